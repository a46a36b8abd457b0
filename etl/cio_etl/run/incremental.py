"""Where a step's source begins in this run, and what this run leaves for the next one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from cio_etl.apis import APIS
from cio_etl.errors import SourceError
from cio_etl.extract import delete_copy, origin_of
from cio_etl.model import Destination, Job, Snapshot, Staging, Step, watermark_value
from cio_etl.run.resume import FULL_REFRESH
from cio_etl.run.schema_drift import kinds
from cio_etl.state import Bookmark, exists, open_store
from cio_etl.transform import columns_of

log = structlog.get_logger()


def staging(
    folder: Path,
    step: Step,
    left: Bookmark,
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
        watermark=None if since == FULL_REFRESH else left.watermark,
        since=None if since in (None, FULL_REFRESH) else watermark_value(str(since)),
        rows=rows,
        told=told,
        may_read=may_read,
    )


def origin(destination: Destination, step: Step) -> str:
    """What a mark of the step would be of, as a digest: where its rows go, the database, the table, the watermark."""
    source = step.source
    if source.incremental is None:
        return ""
    account = destination.credentials[APIS[destination.api].workspace_key]
    of = [destination.base_url, account.get_secret_value(), *origin_of(source)]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def check_origin(step: Step, left: Bookmark, now: str, since: str | None) -> None:
    """Raises SourceError when the mark is not of what is read and sent to now: all before it would be left out."""
    if left.watermark is not None and since is None and left.origin != now:
        raise SourceError(
            "read everything with --full-refresh, or go on from a value with --watermark",
            place=f"step {step.name}",
            what="its mark is of another destination, database, table or watermark column",
        )


def load_bookmarks(job: Job) -> dict[str, Bookmark]:
    """What the last finished run left of each of the job's steps; asking makes no state."""
    if not exists(job.kept_in):
        return {}
    store = open_store(job.kept_in)
    try:
        return {step.name: store.bookmark(job.name, step.name) for step in job.steps}
    finally:
        store.close()


def bookmark_after(snapshot: Snapshot, before: Bookmark, origin: str, *, moves: bool) -> Bookmark:
    """What a step over this snapshot leaves, once it is finished. `moves`: the mark, to where these rows end."""
    known = {name: kind for name, kind in before.columns.items() if name in snapshot.schema and not snapshot.loose}
    columns = {**known, **kinds(snapshot)}
    return (
        Bookmark(snapshot.watermark or before.watermark, columns, origin)
        if moves
        else Bookmark(before.watermark, columns, before.origin)
    )


@contextmanager
def copy_deleted_if_unfit(snapshot: Snapshot, begun: bool) -> Iterator[None]:
    """When the block finds the snapshot unfit and none of it was sent, the next run copies its source anew, mended."""
    try:
        yield
    except SourceError:
        if not begun:
            delete_copy(snapshot)
        raise
