"""A source without rows: an export that failed looks like a night on which nothing happened."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.findings import PositionedFinding, finding_kind
from cio_etl.model import Snapshot, Source
from cio_etl.transform import Mapped

SOURCE_EMPTY = finding_kind("source_empty", "warning", "check whether the export is complete")


class Empty:
    """Reports a source without rows, unless that is normal: an incremental source, a replay, nobody is gone."""

    def __init__(self, source: Source, snapshot: Snapshot) -> None:
        is_normal = source.may_be_empty or snapshot.watermark is not None or snapshot.replayed is not None
        self._is_unexpected = not snapshot.rows and not is_normal

    def observe(self, mapped: Mapped) -> None:
        """Nothing to observe: the snapshot says how many rows it has."""

    def findings(self) -> Iterable[PositionedFinding]:
        if self._is_unexpected:
            yield SOURCE_EMPTY.finding(None, 0, "the source is readable, but has no rows")
