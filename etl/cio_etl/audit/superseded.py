"""Rows that are not sent because another row has the same key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.audit.findings import FIRST, FindingKind, PositionedFinding, finding_kind
from cio_etl.model.words import counted
from cio_etl.transform import Mapped
from cio_etl.transform.repeats import NEWEST, REPEATED, SUPERSEDED, Repeats

SUPERSEDED_ROWS = finding_kind("superseded", "notice", "nothing: the newest row of each person is sent")
NEWEST_REJECTED = finding_kind(
    "newest_rejected", "warning", "fix these rows: their people are not sent at all, since older rows are skipped"
)
EVENT_REPEATED = finding_kind(
    "event_repeated", "notice", "nothing: each event is sent once; check the export if it should contain each row once"
)


class RepeatedRows:
    """Reports what the prescan decided (transform/repeats.py); rows with a conflicting key are rejects instead."""

    def __init__(self, repeats: Repeats | None) -> None:
        self._repeats = repeats
        self._rejected: list[npt.NDArray[np.int64]] = []

    def observe(self, mapped: Mapped) -> None:
        """Takes the rejected rows; those that are skipped are known before the first frame."""
        if self._repeats is not None and mapped.items["reason"].null_count() < mapped.items.height:
            rejected = mapped.items.filter(pl.col("reason").is_not_null())["position"]
            self._rejected.append(rejected.to_numpy())

    def findings(self) -> Iterable[PositionedFinding]:
        if self._repeats is None:
            return
        older, repeated = (self._repeats.positions(code) for code in (SUPERSEDED, REPEATED))
        words = "older by order_by than another of the same person or object, and skipped"
        yield from _of_rows(SUPERSEDED_ROWS, older, f"row is {words}", f"rows are {words}")
        yield from _of_rows(
            EVENT_REPEATED, repeated, "row repeats another, and is skipped", "rows repeat another, and are skipped"
        )
        yield from newest_rejected(self._repeats, np.concatenate(self._rejected or [np.empty(0, np.int64)]))


def newest_rejected(repeats: Repeats | None, rejected: npt.NDArray[np.int64]) -> Iterator[PositionedFinding]:
    """The finding on people whose newest row is among these rejected rows, if there are any."""
    if repeats is not None:
        newest = np.intersect1d(rejected, repeats.positions(NEWEST))
        yield from _of_rows(
            NEWEST_REJECTED,
            newest,
            "row is the newest of a person, and is rejected",
            "rows are the newest of a person each, and are rejected",
        )


def _of_rows(kind: FindingKind, rows: npt.NDArray[np.int64], one: str, several: str) -> Iterator[PositionedFinding]:
    """The finding on these rows, if there are any: their number, then the words for one row or several."""
    if count := len(rows):
        first = tuple(int(position) for position in rows[:FIRST])
        yield kind.finding(None, count, counted(count, one, several), first)
