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


Rows = tuple[int, tuple[int, ...]]  # how many, and the positions of the first


class RepeatedRows:
    """Reports what the prescan decided (transform/repeats.py); rows with a conflicting key are rejects instead."""

    def __init__(self, repeats: Repeats | None) -> None:
        self._repeats = repeats
        self._rejected: Rows = (0, ())  # of those that are the newest of a person

    def observe(self, mapped: Mapped) -> None:
        """Takes the rejected rows; those that are skipped are known before the first frame."""
        if self._repeats is not None and mapped.items["reason"].null_count() < mapped.items.height:
            rejected = mapped.items.filter(pl.col("reason").is_not_null())["position"].to_numpy()
            (count, first), (more, later) = self._rejected, _newest_among(self._repeats, rejected)
            self._rejected = count + more, (*first, *later)[:FIRST]

    def findings(self) -> Iterable[PositionedFinding]:
        if self._repeats is None:
            return
        older, repeated = (self._repeats.rows(code, FIRST) for code in (SUPERSEDED, REPEATED))
        words = "older by order_by than another of the same person or object, and skipped"
        yield from _of_rows(SUPERSEDED_ROWS, older, f"row is {words}", f"rows are {words}")
        yield from _of_rows(
            EVENT_REPEATED, repeated, "row repeats another, and is skipped", "rows repeat another, and are skipped"
        )
        yield from _of_newest(self._rejected)


def newest_rejected(repeats: Repeats | None, rejected: npt.NDArray[np.int64]) -> Iterator[PositionedFinding]:
    """The finding on people whose newest row is among these rejected rows, if there are any."""
    if repeats is not None:
        yield from _of_newest(_newest_among(repeats, rejected))


def _newest_among(repeats: Repeats, rejected: npt.NDArray[np.int64]) -> Rows:
    newest = np.sort(rejected[repeats.codes[rejected] == NEWEST])
    return len(newest), tuple(newest[:FIRST].tolist())


def _of_newest(rows: Rows) -> Iterator[PositionedFinding]:
    return _of_rows(
        NEWEST_REJECTED,
        rows,
        "row is the newest of a person, and is rejected",
        "rows are the newest of a person each, and are rejected",
    )


def _of_rows(kind: FindingKind, rows: Rows, one: str, several: str) -> Iterator[PositionedFinding]:
    """The finding on these rows, if there are any: their number, then the words for one row or several."""
    count, first = rows
    if count:
        yield kind.finding(None, count, counted(count, one, several), first)
