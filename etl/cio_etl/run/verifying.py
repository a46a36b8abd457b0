"""Reads people back: of a job, for the command `verify`; and after a run, those whose rows it has sent.

Only people can be compared: the steps that create, change or remove them are read, and each other step is named as left
out. With a ledger, only what it says was sent is compared.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from cio_etl import state
from cio_etl.apis import OPERATIONS, app
from cio_etl.config import require_secrets
from cio_etl.errors import ConfigError, EtlError, Problem
from cio_etl.log import get_logger
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import POSITION, Bookmark, Job, Mapping, Report, Step, Verification
from cio_etl.run.chosen_steps import Environment, load_steps
from cio_etl.run.ended import Ended
from cio_etl.run.folders import run_folder
from cio_etl.run.incremental import load_bookmarks, open_step_source, staging
from cio_etl.run.ledgers import while_it_is_current
from cio_etl.run.options import FULL_REFRESH, RunOptions
from cio_etl.run.other_columns import with_other_columns
from cio_etl.run.prepared import prepare
from cio_etl.run.reports import write_reports
from cio_etl.run.sent_rows import last_of_step, rejected_rows, unsent_rows
from cio_etl.run.sync import compare, current_ledger, with_delta
from cio_etl.run.verify_options import VerifyOptions
from cio_etl.state import Store
from cio_etl.transform import Compiled

if TYPE_CHECKING:
    from cio_etl.run.verify import Sample

log = get_logger()

PATIENCE_S = 60.0  # with an App API that does not answer, after a run: the next one must not wait for it
_OF_PEOPLE = frozenset({"identify", "delete", "suppress", "merge"})
Note = Callable[[str], None]


def sends_people(mapping: Mapping) -> bool:
    """Whether the items of a mapping create, change or remove people."""
    return not _OF_PEOPLE.isdisjoint(mapping.operations or (mapping.operation,))


def sample_of(job: Job, options: RunOptions) -> Sample | None:
    """The sample of a run that is about to start; None: nobody is to be read back."""
    if job.verify is None or options.sandbox:  # the sandbox of a run is gone when it ends
        return None
    from cio_etl.run.verify import Sample

    return Sample(job.verify.people, secrets.randbits(31) + 1)


def verify(ended: Ended) -> Report | None:
    """Reads back a sample of the people whose rows a finished run has sent; the report, with what was found.

    Whatever goes wrong is a part of the result, a signal to stop too: the run has finished.
    """
    job, report, sample = ended.job, ended.report, ended.sample
    if sample is None or report is None or report.status != "finished" or not sample.people:
        return report
    assert isinstance(job, Job) and job.verify is not None  # it has a sample
    from cio_etl.run.verify import verified

    wait_s = job.verify.wait_s
    try:
        time.sleep(wait_s)
        left_out = tuple(_left_out(step) for step in job.steps if not sends_people(step.mapping))
        rejected = _rejected(job, report)
        job = _addressed(job)
        to = replace(job.destination, batch_budget_s=min(PATIENCE_S, job.destination.batch_budget_s))
        result = verified(sample, to, wait_s=wait_s, rejected=rejected, left_out=left_out)
    except EtlError as error:
        log.warning("verification_failed", run_id=report.run_id, reason=str(error))
        result = Verification(sample.people, sample.is_whole, 0, seed=sample.seed, fault=str(error))
    report = replace(report, verification=result)
    _write(job, ended, report)
    return report


def _write(job: Job, ended: Ended, report: Report) -> None:
    """Writes the report; of several workers, the file has what the one with the most differences has found."""
    folder = run_folder(job, report.run_id)
    if ended.options.share is None:
        write_reports(report, folder, ended.commands)
        return
    with closing(state.open_store(job.state_location)) as store, store.exclusive(job.name):
        write_reports(replace(report, verification=_worst(folder, report.verification)), folder, ended.commands)


def _worst(folder: Path, own: Verification | None) -> Verification | None:
    """The result of this worker, or the one in the report, if more people differ there."""
    try:
        written = json.loads((folder / "report.json").read_text(encoding="utf-8")).get("verification")
        others = Verification.of_json(written or {})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # there is none, or not on this machine
        return own
    return others if own is None or others.different > own.different else own


def _rejected(job: Job, report: Report) -> dict[int, set[int]]:
    """The positions of the rejected rows of a run, by the number of the step."""
    if not report.rejected:
        return {}
    with closing(state.open_store(job.state_location)) as store:
        return {
            number: set(store.rejects(report.run_id, number)["position"].to_list())
            for number, step in enumerate(report.steps)
            if step.rejected
        }


def _left_out(step: Step) -> str:
    _, things = OPERATIONS[step.mapping.operation].nouns
    what = "it sends no attributes" if things == "people" else f"it sends {things}, and only people are read back"
    return f"step {step.name}: not compared: {what}"


# ---------------------------------------------------------------- the command


def verify_file(
    path: Path,
    options: VerifyOptions,
    note: Note = lambda line: None,
    environment: Environment | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Verification:
    """Compares a sample of the people of a job's sources with what Customer.io has. Raises EtlError."""
    from cio_etl.run.verify import Sample, verified

    job = load_steps(path, options, environment, secrets=True)
    require_secrets(job)
    require_app_key(job)
    job = _addressed(job)
    sample = Sample(options.sample, options.seed)
    left_out, never_sent = [], []
    rejected: dict[int, Collection[int]] = {}
    bookmarks = load_bookmarks(job)
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    opened = closing(state.open_store(job.state_location)) if state.exists(job.state_location) else nullcontext()
    with opened as store:
        sent = set() if store is None else store.sent_steps(job.name)
        for number, step in enumerate(job.steps):
            if not sends_people(step.mapping):
                left_out.append(_left_out(step))
                continue
            if step.name not in sent and not step.sync.has_ledger:  # a ledger says itself what was not sent yet
                never_sent.append(step.name)
                note(f"step {step.name}: no run in this state has sent its rows")
            bookmark = bookmarks.get(step.name, Bookmark())
            rejected[number] = _draw(sample, job, number, step, bookmark, store, made_at, note)
    return verified(
        sample,
        job.destination,
        wait_s=options.wait_s,
        rejected=rejected,
        left_out=left_out,
        never_sent=never_sent,
        reveal=options.reveal,
        sleep=sleep,
        note=note,
    )


def require_app_key(job: Job) -> None:
    """Raises ConfigError when the job has no key of the App API."""
    if job.destination.app_api_key is None:
        message = f"missing; write {app.KEY}: ${{{app.VARIABLE}}}, which refers to an App API key of the workspace"
        raise ConfigError([Problem(job.file, None, f"destination.{app.KEY}", message)])


def _addressed(job: Job) -> Job:
    """The job with the region of its credentials, where it asks for it."""
    if job.destination.base_url:
        return job
    from cio_etl.load import resolve

    return replace(job, destination=resolve(job.destination))


def _draw(
    sample: Sample, job: Job, number: int, step: Step, bookmark: Bookmark, store: Store | None, made_at: str, note: Note
) -> Collection[int]:
    """Draws from all rows of a step's source, with what of them was not sent yet; the positions of rejected rows."""
    with temporary_folder() as name:
        folder = Path(name)
        snapshot = open_step_source(step, staging(folder, step, bookmark, FULL_REFRESH))
        step, _ = with_other_columns(step, snapshot, bookmark)
        last = None if store is None or step.sync.has_ledger else last_of_step(store, job, step)
        lanes = job.destination.lanes if last is None else last[0].lanes
        rows, compiled = prepare(step, snapshot, lanes, job.destination.api)
        waiting, rejected = None, frozenset[int]()
        if store is not None and last is not None:
            waiting = unsent_rows(store, job, *last, rows, note)
            rejected = rejected_rows(store, *last, rows)
        unsent = None
        if step.sync.has_ledger:
            read = partial(current_ledger, store, job, job.destination, step, RunOptions(), made_at, note)
            _, made = while_it_is_current(
                read,
                lambda ledger: compare(
                    step,
                    rows,
                    compiled,
                    ledger,
                    folder / "delta",
                    made_at,
                    again=False,
                    retry_refused=False,
                    finds_gone=False,
                ),
            )
            unsent = with_delta(compiled, made.delta)
        for frame in rows.read(compiled.columns, 0):
            mapped = compiled.mapped(frame)
            drawn = sample.drawn(mapped)
            if drawn is None:
                return ()
            if waiting is not None:
                late = mapped.items.select("position", pl.when(waiting).then("item").alias("unsent"))
                drawn = drawn.join(late, on="position", how="left")
            if unsent is not None:
                drawn = _with_unsent(drawn, unsent, frame)
            sample.add(number, drawn, existing_only=step.mapping.existing_only)
    return rejected


def _with_unsent(drawn: pl.DataFrame, unsent: Compiled, frame: pl.DataFrame) -> pl.DataFrame:
    """The drawn rows with the item that a run would send now: null for nothing, "" where the row was refused."""
    frame = frame.filter(pl.col(POSITION).is_in(drawn["position"].implode()))
    if unsent.decisions is None:  # a ledger that is empty: everything is to be sent
        return drawn.with_columns(pl.col("item").alias("unsent"))
    now = unsent.sending(frame).items.select(
        "position", pl.when(pl.col("reason").is_not_null()).then(pl.lit("")).otherwise("item").alias("unsent")
    )
    return drawn.join(now, on="position", how="left")
