"""How many rows of change records ask for each operation."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.apis import OPERATION
from cio_etl.audit.findings import PositionedFinding, Tally, finding_kind, sent
from cio_etl.model import POSITION, Mapping
from cio_etl.model.words import counted
from cio_etl.transform import Mapped

CHANGE_RECORDS = finding_kind(
    "change_records", "notice", "compare the numbers with those of the source; many deletions may be an export's fault"
)


class ChangeRecords:
    """Counts the rows that would be sent by their operation."""

    def __init__(self, mapping: Mapping) -> None:
        self._tallies = {name: Tally() for name in mapping.operations}

    def observe(self, mapped: Mapped) -> None:
        rows = sent(mapped, [OPERATION])
        for name, tally in self._tallies.items():
            tally.add(rows[POSITION], rows[OPERATION] == name)

    def findings(self) -> Iterable[PositionedFinding]:
        for name, tally in self._tallies.items():
            if tally.rows:
                words = f"{name}: {counted(tally.rows, 'row')}"
                yield CHANGE_RECORDS.finding(OPERATION, tally.rows, words, tally.first)
