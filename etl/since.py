"""Where does a step's source begin in this run, and are its columns still what they were in the last one?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import structlog

from etl.errors import SourceError
from etl.extract import forget_copy
from etl.extract.sql.dialects import address, shown
from etl.model import Destination, Job, Snapshot, Step
from etl.resume import FULL_REFRESH
from etl.sources import SqlSource, Staging, mark_value
from etl.state import Left, exists, open_store
from etl.transform import columns_of

log = structlog.get_logger()


def staging(
    folder: Path,
    step: Step,
    left: Left,
    since: str | None = None,
    *,
    rows: int | None = None,
    told: Callable[[int], None] = lambda rows: None,
    may_read: bool = True,
) -> Staging:
    """How the step's source is staged, if it has to be. `left` is what its last finished run left, `since` what the
    command line says instead of that."""
    return Staging(
        folder,
        columns=columns_of(step.mapping),
        mark=None if since == FULL_REFRESH else left.mark,
        since=None if since in (None, FULL_REFRESH) else mark_value(str(since)),
        rows=rows,
        told=told,
        may_read=may_read,
    )


def origin(destination: Destination, step: Step) -> str:
    """What a mark of the step would be of, as a digest: where its rows go, the database, the table, the watermark."""
    source = step.source
    if not isinstance(source, SqlSource) or source.incremental is None:
        return ""
    account = destination.site_id if destination.api == "track" else destination.write_key
    of = [destination.base_url, account.get_secret_value(), shown(address(source))]
    return hashlib.sha256(json.dumps([*of, source.table, source.incremental.watermark]).encode()).hexdigest()


def check_origin(step: Step, left: Left, now: str, since: str | None) -> None:
    """Raises SourceError when the mark is not of what is read and sent to now: all before it would be left out."""
    if left.mark is not None and since is None and left.origin != now:
        raise SourceError(
            "read everything with --full-refresh, or go on from a value with --watermark",
            place=f"step {step.name}",
            what="its mark is of another destination, database, table or watermark column",
        )


def left_by(job: Job) -> dict[str, Left]:
    """What the last finished run left of each of the job's steps; asking makes no state."""
    if not exists(job.kept_in):
        return {}
    store = open_store(job.kept_in)
    try:
        return {step.name: store.left(job.name, step.name) for step in job.steps}
    finally:
        store.close()


def left_after(snapshot: Snapshot, before: Left, origin: str, *, moves: bool) -> Left:
    """What a step over this snapshot leaves, once it is finished. `moves`: the mark, to where these rows end."""
    known = {name: kind for name, kind in before.columns.items() if name in snapshot.schema and not snapshot.loose}
    columns = {**known, **kinds(snapshot)}
    return Left(snapshot.mark or before.mark, columns, origin) if moves else Left(before.mark, columns, before.origin)


def kinds(snapshot: Snapshot) -> dict[str, str]:
    """What each column holds, in the words of messages.

    Nothing is said by a snapshot without rows, by one whose types may be others tomorrow, by a column of nulls.
    """
    if snapshot.loose or not snapshot.rows:
        return {}
    return {name: kind(dtype) for name, dtype in snapshot.schema.items() if dtype != pl.Null}


def kind(dtype: pl.DataType) -> str:
    """What a column of this type holds; types of one kind are sent alike."""
    if dtype.is_numeric():
        return "numbers"
    if isinstance(dtype, pl.Datetime):
        return "times without a zone" if dtype.time_zone is None else "times with a zone"
    return {"String": "text", "Boolean": "true or false", "Date": "dates"}.get(str(dtype.base_type()), "nested values")


def check_drift(step: Step, before: Mapping[str, str], now: Mapping[str, str], mapped: Sequence[str]) -> None:
    """Raises SourceError when a column that the mapping reads is of another kind than in the last finished run."""
    changed = [f"{name!r} held {before[name]} and now {now[name]}" for name in mapped if _differ(name, before, now)]
    if changed:
        raise SourceError(
            "mend the source, or add --accept-drift to take it as it is now",
            place=f"step {step.name}",
            what=f"since the last run, {'; '.join(changed)}",
        )
    others = [name for name in now if name not in before] if before else []
    if others:
        log.info("columns_appeared", step=step.name, columns=sorted(others))


@contextmanager
def forgotten_unless_fit(snapshot: Snapshot, begun: bool) -> Iterator[None]:
    """When the block finds the snapshot unfit and none of it was sent, the next run copies its source anew, mended."""
    try:
        yield
    except SourceError:
        if not begun:
            forget_copy(snapshot)
        raise


def _differ(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    return name in before and name in now and before[name] != now[name]
