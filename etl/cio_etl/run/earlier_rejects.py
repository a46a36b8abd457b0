"""Which open rejects of earlier runs the rows of a step settle, and by what its own rejects are found later.

    mapped rows ─▶ noted: what their keys are made of; the open rejects that have the same key
    commit      ─▶ its rejects get their keys, and what became of its rows closes rejects of earlier runs

Only the keys of rejected rows are computed; while rejects are open, those of all rows are, to be compared with them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.ledger import Delta
from cio_etl.ledger.delta_files import GONE
from cio_etl.model import POSITION, GoneSource, LaneProgress, Mapping, Reject, Report, Snapshot, Step
from cio_etl.run.folders import delta_folder, ledger_job, rejects_folder
from cio_etl.run.recording import RunContext
from cio_etl.run.reject_rows import delete
from cio_etl.state import Closed, GoneRejects, StepRecord
from cio_etl.transform import Compiled, Mapped
from cio_etl.transform.decisions import REFUSED, SAME, Decisions
from cio_etl.transform.reject_keys import KEYS, RejectKeys

_FOUND = {POSITION: pl.Int64, "reject_id": pl.Int64}

Integers = npt.NDArray[np.int64]
Places = Callable[[Sequence[int]], dict[int, str]]

_NONE: Integers = np.empty(0, dtype=np.int64)
_KEPT_ROWS = 500_000  # beyond so many rows, those that are settled are removed from frames that have others


class OpenKeys:
    """The open rejects of earlier runs by one kind of key."""

    def __init__(self, keys: pl.DataFrame, name: str) -> None:
        is_by = pl.col("content").is_not_null() if name == "content" else pl.col("content").is_null()
        self._rejects = keys.filter(is_by, pl.col(name).is_not_null()).select(name, "reject_id")
        self._name = name
        self._sorted: Integers = self._rejects[name].unique().sort().to_numpy()

    def __len__(self) -> int:
        return len(self._sorted)

    def found(self, keys: pl.DataFrame) -> pl.DataFrame:
        """POSITION and reject_id of the rows that have the key of an open reject."""
        values = keys[self._name].fill_null(0).to_numpy()
        place = np.minimum(np.searchsorted(self._sorted, values), len(self._sorted) - 1)
        has_one = pl.Series(self._sorted[place] == values) & keys[self._name].is_not_null()
        return keys.filter(has_one).join(self._rejects, on=self._name).select(POSITION, "reject_id")


@dataclass(slots=True)
class Noted:
    """A frame of rows that are under way."""

    lanes: Integers
    last: Integers  # position of the last row of each lane; -1: it has none
    made: pl.DataFrame  # what the keys of rows are made of
    rejected: pl.DataFrame  # KEYS of the rows that our checks reject
    positions: Integers  # of rows that have the key of an open reject ...
    reject_ids: Integers  # ... and that reject


class EarlierRejects:
    """The rejects of a step and those of earlier runs. Any thread may call `noted`, `committed` and `settled`."""

    def __init__(
        self,
        keys: RejectKeys,
        still_open: pl.DataFrame,
        progress: Sequence[LaneProgress],
        decisions: Decisions | None = None,
    ) -> None:
        self._keys, self._decisions = keys, decisions
        names = () if still_open.is_empty() else ("subject", "content")
        self._open = {name: each for name in names if len(each := OpenKeys(still_open, name))}
        self._acked = np.array([lane.acked_through for lane in progress], dtype=np.int64)
        self._frames: list[Noted] = []
        self._kept, self._limit = 0, _KEPT_ROWS
        self._lock = threading.Lock()

    @property
    def has_open(self) -> bool:
        """Whether rejects of earlier runs can be found by their keys."""
        return bool(self._open)

    def noted(self, mapped: Mapped) -> Noted:
        """What is known of a frame before it is sent."""
        values, items = mapped.values, _items(mapped)
        is_rejected = items["reason"].is_not_null()
        if self._decisions is not None:  # Customer.io refused the item before: as it does when it is sent
            is_rejected &= pl.Series(self._decisions.codes(items["position"].to_numpy()) != REFUSED)
            items = items.with_columns(pl.when(is_rejected).then(name).alias(name) for name in ("reason", "field"))
        rejected = pl.DataFrame(schema=KEYS)
        if is_rejected.any():
            these = replace(mapped, values=values.filter(is_rejected))
            rejected = self._keys.of_rows(these, items.filter(is_rejected))
        positions, reject_ids = self.found(mapped, items)
        lanes, made, last = items["lane"].to_numpy(), self._keys.made_of(mapped), np.full_like(self._acked, -1)
        last[lanes] = made[POSITION].to_numpy()  # of several rows of a lane, the last is assigned
        return Noted(lanes, last, made, rejected, positions, reject_ids)

    def found(self, mapped: Mapped, items: pl.DataFrame) -> tuple[Integers, Integers]:
        """The positions of rows that have the key of an open reject, and these rejects."""
        if not self._open or mapped.values.is_empty():
            return _NONE, _NONE
        keys = self._keys.of_rows(mapped, items)
        parts = [each.found(keys) for each in self._open.values()]
        if "content" in self._open:  # of rows that have a subject now, too
            parts.append(self._open["content"].found(self._keys.contents(mapped)))
        found = pl.concat(parts).unique()
        return found[POSITION].to_numpy(), found["reject_id"].to_numpy()

    def add(self, noted: Noted) -> None:
        """Adds the next frame, before its rows are sent."""
        if noted.made.is_empty():
            return
        with self._lock:
            self._frames.append(noted)
            self._kept += noted.made.height
            if self._kept > self._limit:
                self._compact()

    def _compact(self) -> None:
        for frame in self._frames:
            is_open = pl.Series(frame.made[POSITION].to_numpy() > self._acked[frame.lanes])
            frame.made, frame.lanes = frame.made.filter(is_open), frame.lanes[is_open.to_numpy()]
        self._kept = sum(frame.made.height for frame in self._frames)
        self._limit = max(_KEPT_ROWS, 2 * self._kept)

    def committed(
        self, rejects: Sequence[Reject], accepted: Integers, places: Places
    ) -> tuple[list[Reject], list[Closed]]:
        """The rejects with what a later run finds them by, and the rejects of earlier runs that these rows close.

        A row that is rejected again counts before others. `places` says where rows are that could not be read.
        """
        rejects = self._keyed(rejects, places) if rejects else []
        if not self._open:
            return rejects, []
        by_accepted, again = self._closed_by(accepted), self._closed_again(rejects)
        closed: dict[int, Closed] = {each: (each, "accepted") for each in by_accepted["reject_id"].to_list()}
        closed |= {each: (each, "rejected") for each in again["reject_id"].to_list()}
        oldest = dict(again.group_by(POSITION).min().iter_rows())
        return [replace(each, earlier=oldest.get(each.position)) for each in rejects], list(closed.values())

    def _keyed(self, rejects: Sequence[Reject], places: Places) -> list[Reject]:
        wanted = pl.Series([reject.position for reject in rejects], dtype=pl.Int64)
        low, high = wanted.min(), wanted.max()
        parts = [pl.DataFrame(schema=KEYS)]
        for frame in self._now():
            if frame.made[POSITION][-1] < low or frame.made[POSITION][0] > high:
                continue
            here = pl.col(POSITION).is_in(wanted.implode())
            rejected, made = frame.rejected.filter(here), frame.made.filter(here)
            parts += [rejected, self._keys.of_made(made.join(rejected, on=POSITION, how="anti"))]
        keys = {position: (subject, content) for position, subject, content in pl.concat(parts).iter_rows()}
        unread = [each.position for each in rejects if keys.get(each.position, (None, None)) == (None, None)]
        where = places(unread) if unread else {}
        return [
            replace(each, content=self._keys.of_text(f"{each.reason} {where[each.position]}"))
            if each.position in where
            else replace(each, subject=keys[each.position][0], content=keys[each.position][1])
            for each in rejects
        ]

    def _closed_by(self, positions: Integers) -> pl.DataFrame:
        """POSITION and reject_id of the rejects of earlier runs that have the key of one of these rows."""
        found = [pl.DataFrame(schema=_FOUND)]
        for frame in self._now():
            if (here := np.isin(frame.positions, positions)).any():
                found.append(pl.DataFrame([frame.positions[here], frame.reject_ids[here]], schema=_FOUND))
        return pl.concat(found)

    def _closed_again(self, rejects: Sequence[Reject]) -> pl.DataFrame:
        """As `_closed_by`, of rejected rows; those that could not be read are found by their place."""
        found = self._closed_by(np.array([reject.position for reject in rejects], dtype=np.int64))
        if "content" in self._open and (unread := [each for each in rejects if each.content is not None]):
            keys = pl.DataFrame([(each.position, None, each.content) for each in unread], schema=KEYS, orient="row")
            found = pl.concat([found, self._open["content"].found(keys)])
        return found

    def settled(self, progress: LaneProgress) -> None:
        """Forgets the rows that a commit has settled."""
        with self._lock:
            self._acked[progress.lane] = progress.acked_through
            while self._frames and (self._frames[0].last <= self._acked).all():
                self._kept -= self._frames.pop(0).made.height

    def _now(self) -> list[Noted]:
        """The frames as they are now: another lane's thread may compact them meanwhile."""
        with self._lock:
            return [replace(frame) for frame in self._frames if frame.made.height]


def _items(mapped: Mapped) -> pl.DataFrame:
    """The items of the rows of `mapped.values`; both are in order of position."""
    if mapped.items.height == mapped.values.height:
        return mapped.items
    return mapped.items.filter(pl.col("position").is_in(mapped.values[POSITION].implode()))


class Watched:
    """The rows of a step that have the key of an open reject, noted while they are compared with the ledger."""

    def __init__(self, earlier: EarlierRejects) -> None:
        self._earlier = earlier
        self._found: list[tuple[Integers, Integers]] = [(_NONE, _NONE)]

    def note(self, mapped: Mapped, since: int | None = None) -> None:
        """Notes the rows of a frame; frames may come from several threads.

        Events before `since`, in Unix seconds, are not compared: nobody knows whether Customer.io has them.
        """
        positions, reject_ids = self._earlier.found(mapped, _items(mapped))
        if since is not None and len(positions):
            is_old = (pl.col("timestamp").cast(pl.Int64) < since).fill_null(False)
            is_compared = ~np.isin(positions, mapped.values.filter(is_old)[POSITION].to_numpy())
            positions, reject_ids = positions[is_compared], reject_ids[is_compared]
        self._found.append((positions, reject_ids))

    def same(self, decisions: Decisions) -> list[int]:
        """The rejects of whose rows nothing is sent, because Customer.io has what they say now.

        Of several rows of a subject the last may be sent: then that one tells.
        """
        positions, reject_ids = (np.concatenate(each) for each in zip(*self._found, strict=True))
        is_same = decisions.codes(positions) == SAME
        return sorted({*reject_ids[is_same].tolist()} - {*reject_ids[~is_same].tolist()})


def earlier_rejects(
    context: RunContext, record: StepRecord, mapping: Mapping, compiled: Compiled, snapshot: Snapshot
) -> EarlierRejects | None:
    """The rejects of a step and those of earlier runs; None: it is a replay, whose rows are rejects themselves."""
    if snapshot.replayed is not None:
        return None
    store, run_id = context.store, context.run.run_id
    still_open = store.open_keys(context.job.name, record.name, but_of=run_id)
    keys = RejectKeys.of(mapping, compiled, store.salt())
    return EarlierRejects(keys, still_open, store.lane_progress(run_id, record.number), compiled.decisions)


def gone_rejects(context: RunContext, step: Step, number: int, delta: Delta | None) -> GoneRejects | None:
    """Which open rejects are gone once the step has finished; None: it does not tell.

    Only the source of a mirror is known to be whole, and then also the step that removes who is gone from there.
    """
    gone = GoneRejects(context.job.name, step.name)
    if isinstance(step.source, GoneSource):
        return gone if (delta_folder(context.job, context.run.run_id, number - 1) / GONE).exists() else None
    is_whole = delta is not None and not delta.head.is_baseline and context.run.row_limit is None
    if not is_whole or step.sync.mode != "mirror" or step.sync.scope or context.job.name != ledger_job(context.job):
        return None
    assert delta is not None
    return replace(gone, with_subject=(delta.folder / GONE).exists())


def delete_settled_rows(context: RunContext, report: Report) -> None:
    """Deletes the rows that earlier runs have stored, of which no reject is open since this run, which has ended so."""
    for run_id in {each.run_id for each in report.closes}:
        if not context.store.open_rejects(run_id):
            delete(rejects_folder(context.job.state, run_id))
