"""What is told of a job at the end of a run: to a collector of OpenTelemetry, and in the file for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cio_etl import state
from cio_etl.errors import Interrupted, JobLocked
from cio_etl.ledger import Generation
from cio_etl.log import get_logger
from cio_etl.model import JobSettings, Report
from cio_etl.run.ended import Ended
from cio_etl.run.folders import ledger_job
from cio_etl.run.recording import RunContext, report_of
from cio_etl.state import LedgerMove, Store
from cio_etl.telemetry import JobFacts, seconds_of, write_text_file

log = get_logger()


def job_facts(store: Store, job: JobSettings, exit_code: int | None = None) -> JobFacts:
    """What the state says of a job; after a replay, of the job whose rejects it has sent."""
    name = ledger_job(job)
    newest, last = next(iter(store.runs(name, limit=1)), None), store.last_success(name)
    return JobFacts(
        job=name,
        report=None if newest is None else state.build_report(store, newest),
        last_success=None if last is None or last.finished_at is None else seconds_of(last.finished_at),
        open_rejects=store.open_rejects_of(name),
        subjects={ledger: _subjects(move) for ledger, move in store.ledgers(name).items()},
        expected_every=None if job.expect_every is None else job.expect_every.total_seconds(),
        exit_code=exit_code,
    )


def _subjects(move: LedgerMove) -> int:
    now = Generation.of_text(move.generation)
    return now.base_rows if now.subjects is None else now.subjects


@contextmanager
def telling(context: RunContext) -> Iterator[None]:
    """Tells the run's watch how the run in the block has ended, whichever way. A failure is only a warning."""
    if context.job.telemetry is None:
        yield
        return
    try:
        yield
    finally:
        try:
            store = context.store
            context.watch.ended(report_of(store, context.run.run_id), job_facts(store, context.job))
        except Exception as error:
            log.warning("telemetry_lost", signals="how the run has ended", reason=type(error).__name__)


def write_metrics(ended: Ended) -> Report | None:
    """Writes the job's `metrics_file`; not of a run in the sandbox, nor where the job was locked.

    A failure is only a warning.
    """
    job, last = ended.job, ended.report if ended.error is None else ended.error
    if job.metrics_file is None or ended.options.sandbox or isinstance(last, JobLocked):
        return ended.report
    if not state.exists(job.state_location):
        return ended.report
    exit_code = None if last is None else last.exit_code
    try:
        _write(job, exit_code)
    except Interrupted:  # by the first signal; without the file, what watches would see the run before for a day
        _write(job, exit_code)
    return ended.report


def _write(job: JobSettings, exit_code: int | None) -> None:
    assert job.metrics_file is not None
    store = state.open_store(job.state_location)
    try:
        write_text_file(job.metrics_file, job_facts(store, job, exit_code))
    except OSError as error:
        log.warning("metrics_not_written", file=str(job.metrics_file), reason=error.strerror)
    finally:
        store.close()
