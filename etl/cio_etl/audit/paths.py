"""Paths into JSON that no row has: nothing says which keys JSON should have, so a misspelt one is null in every row."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.findings import PositionedFinding, finding_kind
from cio_etl.model import Mapping, Snapshot
from cio_etl.model.words import counted
from cio_etl.transform import Mapped, columns_of, readers_of

PATH_WITHOUT_VALUES = finding_kind(
    "path_without_values", "notice", "check the spelling of the path; null is meant where no row has such a value yet"
)


class PathValues:
    """Observes whether any row has a value at each path into JSON. Of records, a part that is not there is an error."""

    def __init__(self, mapping: Mapping, snapshot: Snapshot) -> None:
        paths = snapshot.paths & snapshot.json
        self._nowhere = {name: readers_of(mapping, name)[0] for name in columns_of(mapping) if name in paths}
        self._rows = 0

    def observe(self, mapped: Mapped) -> None:
        self._rows += mapped.rows.height
        found = [name for name in self._nowhere if mapped.rows[name].null_count() < mapped.rows.height]
        for name in found:
            del self._nowhere[name]

    def findings(self) -> Iterable[PositionedFinding]:
        for name, reader in self._nowhere.items() if self._rows else ():
            words = f"{name!r} leads to no value in any of {counted(self._rows, 'row')}"
            yield PATH_WITHOUT_VALUES.finding(reader, self._rows, words)
