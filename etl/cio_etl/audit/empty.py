"""Is there anything to send at all? An export that came out empty looks like a night on which nothing happened."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.found import Found
from cio_etl.model import Snapshot
from cio_etl.transform import Mapped


class Empty:
    """Says that a source has no rows, unless none are to be expected: nothing new since the last run, say."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._is_odd = not snapshot.rows and snapshot.mark is None and snapshot.replayed is None

    def observe(self, mapped: Mapped) -> None:
        """No row is asked."""

    def findings(self) -> Iterable[Found]:
        if self._is_odd:
            yield Found("source_empty", "warning", None, 0, "the source is readable, and has no rows")
