"""Which rows are not sent because another one has their key?"""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.found import FIRST, Found
from cio_etl.transform import Mapped
from cio_etl.transform.repeats import REPEATED, SUPERSEDED, Repeats


class Repeated:
    """Says what has been decided before the first row was mapped, see transform/repeats.py; rejects say themselves."""

    def __init__(self, repeats: Repeats | None) -> None:
        self._repeats = repeats

    def observe(self, mapped: Mapped) -> None:
        """Nothing is left to look at."""

    def findings(self) -> Iterable[Found]:
        if self._repeats is None:
            return
        for code, name, words in (
            (
                SUPERSEDED,
                "superseded",
                "rows are older by order_by than another of the same person, and are skipped",
            ),
            (REPEATED, "event_repeated", "rows say once more what another row says, and are skipped"),
        ):
            if len(rows := self._repeats.positions(code)):
                first = tuple(int(position) for position in rows[:FIRST])
                yield Found(name, "notice", None, len(rows), f"{len(rows):,} {words}", first)
