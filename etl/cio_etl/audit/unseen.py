"""Characters that nobody sees, such as a zero-width space or a byte-order mark, in texts that people compare."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from cio_etl.audit.findings import PositionedFinding, Tally, TextCondition, finding_kind, sent
from cio_etl.model import POSITION, Mapping
from cio_etl.model.words import counted
from cio_etl.transform import Mapped
from cio_etl.transform.invisible import has_unseen

UNSEEN_IN_TEXT = finding_kind(
    "unseen_in_text",
    "notice",
    "take them out: `trim` does it at the ends of a text, `regex_replace` within it; or fix the source",
)


class Unseen:
    """Counts the texts of attributes with such a character; in identifiers and addresses it rejects the row.

    Tabs, ends of lines, and the joiners of words and emoji are part of a text.
    """

    def __init__(self, mapping: Mapping) -> None:
        self._tallies = {target: Tally() for target in mapping.from_columns("attributes")}
        self._has_unseen = TextCondition(lambda text: has_unseen(text, joiners=True, lines=True))

    def observe(self, mapped: Mapped) -> None:
        targets = [target for target in self._tallies if mapped.values[target].dtype == pl.String]
        rows = sent(mapped, targets)
        for target in targets:
            self._tallies[target].add(rows[POSITION], self._has_unseen.met(mapped, rows, target))

    def findings(self) -> Iterable[PositionedFinding]:
        for target, tally in self._tallies.items():
            if tally.rows:
                values = counted(tally.rows, "value contains", "values contain")
                words = f"{values} characters that nobody sees: a segment that names the text does not find them"
                yield UNSEEN_IN_TEXT.finding(target, tally.rows, words, tally.first)
