"""The audit protocol, the kinds of finding, and the helpers that audits share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.model import POSITION, Step
from cio_etl.model.records import dataclass
from cio_etl.transform import Mapped
from cio_etl.transform.decimals import NUMBER, as_double

FIRST = 3  # positions that a finding names


# error: a run stops; warning: somebody could be mailed, or data lost; notice: worth knowing
Severity = Literal["error", "warning", "notice"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the worst first


@dataclass(frozen=True, slots=True)
class PositionedFinding:
    """A finding whose first rows are positions in the snapshot, in order. In model.Finding they are `file:line`."""

    code: str
    severity: Severity
    field: str | None
    rows: int
    words: str
    first: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FindingKind:
    """A code, how serious such findings are, and what to do about them."""

    code: str
    severity: Severity
    remedy: str

    def finding(
        self,
        field: str | None,
        rows: int,
        words: str,
        first: tuple[int, ...] = (),
        severity: Severity | None = None,
    ) -> PositionedFinding:
        """A finding of this kind; `severity` is for the few that are less serious than their kind."""
        return PositionedFinding(self.code, severity or self.severity, field, rows, words, first)


FINDINGS: dict[str, FindingKind] = {}  # complete once cio_etl.audit is imported


def finding_kind(code: str, severity: Severity, remedy: str) -> FindingKind:
    """Declare a kind of finding and return it. Raises ValueError when the code is declared already."""
    if code in FINDINGS:
        raise ValueError(f"the finding {code!r} is declared twice")
    FINDINGS[code] = FindingKind(code, severity, remedy)
    return FINDINGS[code]


class Audit(Protocol):
    """One check over all rows of a step."""

    def observe(self, mapped: Mapped) -> None:
        """Take note of a frame; frames come in order of position."""

    def findings(self) -> Iterable[PositionedFinding]:
        """The findings, once all frames have been observed."""


@dataclass(frozen=True, slots=True)
class RejectedPeople:
    """The people whose row a step has rejected, and who have no other row that it accepts."""

    step: str
    hashes: npt.NDArray[np.uint64]  # of the identifiers of one person in `every`, sorted
    every: int = 1


@dataclass(frozen=True, slots=True)
class StepContext:
    """What audits know about a step besides its rows."""

    steps: tuple[Step, ...] = ()  # of the job, this one among them
    columns: tuple[str, ...] = ()  # of the source, also those that the mapping does not read
    kinds_before: Mapping[str, str] = field(default_factory=dict)  # of the columns, in the last finished run
    kinds: Mapping[str, str] = field(default_factory=dict)  # and in this one
    rejected_people: dict[str, RejectedPeople] = field(default_factory=dict)  # of earlier steps, by target


def sent(mapped: Mapped, targets: Sequence[str]) -> pl.DataFrame:
    """POSITION and these values of the rows that would be sent; the results of arithmetic as Float64."""
    values, items = mapped.values.select(POSITION, *targets), mapped.items
    exact = [name for name, dtype in values.schema.items() if dtype == NUMBER]
    values = values.with_columns(as_double(pl.col(name)).alias(name) for name in exact)
    if items["item"].null_count() == 0:
        return values
    positions = items.filter(pl.col("item").is_not_null())["position"]
    return values.filter(pl.col(POSITION).is_in(positions.implode()))


class TextCondition:
    """A condition on the texts of targets; which of few different texts do not meet it is known from frame to frame."""

    def __init__(self, condition: Callable[[pl.Expr], pl.Expr]) -> None:
        self._condition = condition(pl.col("text"))
        self._unmet: dict[str, set[str | None]] = {}  # by target: texts that were looked at, and null

    def met(self, mapped: Mapped, rows: pl.DataFrame, target: str) -> pl.Series | None:
        """Which of these `rows`, all that are sent, have a text that meets the condition; None: none has."""
        texts = rows[target].alias("text")
        distinct = _distinct(mapped, texts, target)
        if distinct is None:
            return texts.to_frame().select(self._condition.fill_null(False)).to_series()
        unmet = self._unmet.setdefault(target, {None})
        if distinct <= unmet:
            return None
        those = pl.Series("text", list(distinct), dtype=pl.String).to_frame().filter(self._condition).to_series()
        unmet |= distinct.difference(those)
        if len(unmet) > _MOST_KNOWN:
            del self._unmet[target]
        return None if those.is_empty() else texts.is_in(those.implode()).fill_null(False)


def _distinct(mapped: Mapped, texts: pl.Series, target: str) -> frozenset[str | None] | None:
    """The different texts of a frame's target, where they are few; found once for all conditions."""
    if target not in mapped.distinct:
        are_few = texts.head(_SAMPLE).n_unique() <= _SAMPLE // 4
        mapped.distinct[target] = frozenset(texts.unique()) if are_few else None
    return mapped.distinct[target]


_MOST_KNOWN = 10_000  # texts of a target
_SAMPLE = 1_000  # texts of a frame by which it is decided


def firsts(before: Sequence[int], positions: pl.Series) -> tuple[int, ...]:
    """The first FIRST positions: those from before, then these."""
    return (*before, *positions.head(FIRST - len(before)).to_list())


@dataclasses.dataclass(slots=True)
class Tally:
    """A count of rows, and the positions of the first few."""

    rows: int = 0
    first: tuple[int, ...] = ()

    def add(self, positions: pl.Series, holds: pl.Series | None) -> None:
        """Count the rows for which `holds` is true; None: it is for no row."""
        count = 0 if holds is None else int(holds.sum() or 0)
        self.rows += count
        if holds is not None and count and len(self.first) < FIRST:
            self.first = firsts(self.first, positions.filter(holds))
