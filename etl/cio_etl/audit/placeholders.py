"""Texts that stand for nothing, such as N/A, and column names that look like a row."""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl

from cio_etl.audit.findings import PositionedFinding, StepContext, Tally, TextCondition, finding_kind, sent
from cio_etl.model import POSITION, Constant, Mapping
from cio_etl.model.words import counted
from cio_etl.transform import Mapped
from cio_etl.transform.checks import is_name

PLACEHOLDERS = finding_kind(
    "placeholders", "notice", "write null_values in the source, or `null_if`, for texts that stand for nothing"
)
HEADER_LIKE_ROW = finding_kind(
    "header_like_row",
    "warning",
    "write `columns:` with the names, if the file has no header line: its first row is lost",
)

# As exports and spreadsheets write them; capitals do not matter, nor white space and quotes around them.
WORDS = (
    *("#n/a", "#div/0!", "#ref!", "#value!", "#name?", "#num!", "#null!"),
    *("n/a", "n.a.", "null", "nil", "none", "nan", "undefined", "-", "--", "(null)", "<null>", "\\n"),
)
_IS_WORD = rf'(?i)^\s*"*(?:{"|".join(map(re.escape, WORDS))})"*\s*$'
_VALUE = r"^\s*(?:[^@\s]+@[^@\s]+\.[^@\s]+|[-+]?\d+(?:[.,]\d+)?|\d{4}-\d\d-\d\d.*|\+\d[\d ()-]{6,})\s*$"


class Placeholders:
    """Counts values that are only a word for nothing, in ids and names, and in attributes of text."""

    def __init__(self, mapping: Mapping) -> None:
        self._tallies = {
            target: Tally()
            for target, value in mapping.targets.items()
            if (is_name(target) or target.startswith("attributes.")) and not isinstance(value, Constant)
        }
        self._is_word = TextCondition(lambda text: text.str.contains(_IS_WORD))

    def observe(self, mapped: Mapped) -> None:
        targets = [target for target in self._tallies if mapped.values[target].dtype == pl.String]
        rows = sent(mapped, targets)
        for target in targets:
            self._tallies[target].add(rows[POSITION], self._is_word.met(mapped, rows, target))

    def findings(self) -> Iterable[PositionedFinding]:
        for target, tally in self._tallies.items():
            if tally.rows:
                one, several = (
                    "value is a word for nothing, as N/A or null",
                    "values are words for nothing, as N/A or null",
                )
                words = f"{counted(tally.rows, one, several)}; sent as text"
                of_person = is_name(target)
                yield PLACEHOLDERS.finding(
                    target, tally.rows, words, tally.first, "warning" if of_person else PLACEHOLDERS.severity
                )


class Header:
    """Looks at the names of the source's columns: of a file without a header line, they are a row's values."""

    def __init__(self, context: StepContext) -> None:
        names = pl.Series(context.columns, dtype=pl.String)
        self._like_values = [number for number, is_value in enumerate(names.str.contains(_VALUE), 1) if is_value]
        self._addresses = names.str.contains("@", literal=True).any()
        self._columns = len(names)

    def observe(self, mapped: Mapped) -> None:
        """The rows do not matter."""

    def findings(self) -> Iterable[PositionedFinding]:
        if self._addresses or len(self._like_values) * 2 > self._columns:
            numbers = ", ".join(map(str, self._like_values[:5]))
            yield HEADER_LIKE_ROW.finding(None, 0, f"names of columns look like values, not names: column {numbers}")
