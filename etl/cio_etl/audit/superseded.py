"""Rows that are not sent because another row has the same key."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.findings import FIRST, PositionedFinding, finding_kind
from cio_etl.transform import Mapped
from cio_etl.transform.repeats import REPEATED, SUPERSEDED, Repeats

SUPERSEDED_ROWS = finding_kind("superseded", "notice", "nothing: the newest row of each person is sent")
EVENT_REPEATED = finding_kind(
    "event_repeated", "notice", "nothing: each event is sent once; check the export if it should contain each row once"
)


class RepeatedRows:
    """Reports what the prescan decided (transform/repeats.py); rows with a conflicting key are rejects instead."""

    def __init__(self, repeats: Repeats | None) -> None:
        self._repeats = repeats

    def observe(self, mapped: Mapped) -> None:
        """Nothing to observe: the rows are known before the first frame."""

    def findings(self) -> Iterable[PositionedFinding]:
        if self._repeats is None:
            return
        for code, kind, words in (
            (
                SUPERSEDED,
                SUPERSEDED_ROWS,
                "rows are older by order_by than another of the same person, and are skipped",
            ),
            (REPEATED, EVENT_REPEATED, "rows repeat another row, and are skipped"),
        ):
            if len(rows := self._repeats.positions(code)):
                first = tuple(int(position) for position in rows[:FIRST])
                yield kind.finding(None, len(rows), f"{len(rows):,} {words}", first)
