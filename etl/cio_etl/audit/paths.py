"""Paths that lead to a value in no row, and functions that find nothing: null everywhere, and nothing is rejected."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.expectations import columns_of_expectations
from cio_etl.audit.findings import PositionedFinding, Severity, finding_kind
from cio_etl.model import Snapshot, Step
from cio_etl.model.words import counted
from cio_etl.transform import Compiled, Mapped, has_no_entries, lost_values, unseen_paths

PATH_WITHOUT_VALUES = finding_kind(
    "path_without_values", "warning", "check the spelling of the path; null is meant where no row has such a value yet"
)
LISTS_EMPTY = finding_kind("lists_empty", "warning", "check the column that `explode` names, and the source")

VALUES_LOST = finding_kind(
    "values_lost",
    "warning",
    "check what the function looks for, and the functions before it; null is meant where no row has it yet",
)

FEW_ROWS = 100  # in fewer rows, an optional key may well be missing everywhere


class PathValues:
    """Reports paths of the mapping and of `expect` that lead to a value in no row, and lists without entries.

    Raises SourceError when the rows cannot be read.
    """

    def __init__(self, step: Step, snapshot: Snapshot) -> None:
        self._rows, self._step = snapshot.rows, step
        is_looked_at = snapshot.rows > 0 and snapshot.replayed is None
        expected = columns_of_expectations(step.expectations)
        self._unseen = unseen_paths(step.mapping, snapshot, expected) if is_looked_at else []
        self._has_no_entries = is_looked_at and has_no_entries(step.mapping, snapshot)

    def observe(self, mapped: Mapped) -> None:
        """Nothing to observe: rows are read until each path has been seen, mostly one frame."""

    def findings(self) -> Iterable[PositionedFinding]:
        severity: Severity = "notice" if self._rows < FEW_ROWS else "warning"
        for path in self._unseen:
            near = "" if path.near is None else f"; did you mean {path.near!r}?"
            words = f"{path.name!r} leads to no value in any of {counted(self._rows, 'row')}{near}"
            yield PATH_WITHOUT_VALUES.finding(path.targets[0], self._rows, words, severity=severity)
        if self._has_no_entries:
            words = f"no row has an entry in the list {self._step.mapping.explode!r}, so all are skipped"
            yield LISTS_EMPTY.finding("explode", self._rows, words)


class ValuesLost:
    """Reports functions that make null of each of their values, though some rows have one.

    Raises SourceError when the rows cannot be read.
    """

    def __init__(self, step: Step, snapshot: Snapshot, rows: Snapshot, compiled: Compiled) -> None:
        is_looked_at = snapshot.rows > 0 and snapshot.replayed is None
        self._lost = lost_values(step.mapping, snapshot.json, rows, compiled) if is_looked_at else []

    def observe(self, mapped: Mapped) -> None:
        """Nothing to observe: rows are read until each function has found something, mostly one frame."""

    def findings(self) -> Iterable[PositionedFinding]:
        for each in self._lost:
            severity: Severity = "notice" if each.values < FEW_ROWS else "warning"
            words = f"`{each.function}` makes null of {counted(each.values, 'value')}, which are all that it gets"
            yield VALUES_LOST.finding(each.target, each.values, words, severity=severity)
