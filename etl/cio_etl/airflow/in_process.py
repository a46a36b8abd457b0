"""How is a task's work done in the task's own process? As the command does it; here polars comes in."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from airflow.sdk.exceptions import AirflowException
from rich.console import Console

from cio_etl import state
from cio_etl.airflow.lineage import Flow, flows_of
from cio_etl.airflow.request import Environment, RunRequest, Summary, failure, summary_of
from cio_etl.config import load_job
from cio_etl.errors import ConfigError, CredentialsRefused, EtlError, Problem, TooManyRejects
from cio_etl.model import Job, Report
from cio_etl.report import Progress
from cio_etl.report.files import as_json
from cio_etl.run.incremental import load_bookmarks
from cio_etl.run.recording import run_folder, validation_folder, written
from cio_etl.run.resume import FULL_REFRESH, Options, Share, share
from cio_etl.run.run import chosen, run_job
from cio_etl.run.signals import Signals
from cio_etl.validate.dry_run import validate
from cio_etl.validate.fail_on import gate, gated

log = structlog.get_logger()


class InProcess:
    """Work in this process."""

    def __init__(self) -> None:
        self._signals = Signals()

    def run(self, request: RunRequest, environment: Environment) -> Summary:
        """See Work."""
        return _told(request, lambda: self._run(request, environment))

    def validate(self, request: RunRequest, environment: Environment) -> Summary:
        """See Work."""
        return _told(request, lambda: self._validate(request, environment))

    def stop(self) -> None:
        """See Work."""
        self._signals.ask("SIGTERM")

    def _run(self, request: RunRequest, environment: Environment) -> Summary:
        job = self._loaded(request, environment, secrets=True)
        restart = request.restart and _is_old(job, request.began)
        own_share = share(request.lanes) if isinstance(request.lanes, str) else None
        if isinstance(own_share, Share) and job.database is None:
            raise failure(2, "workers share a state database: write state: {database: …} in the job file")
        options = Options(
            request.limit,
            restart,
            request.grace_s,
            _since(request),
            request.accept_drift,
            share=own_share if isinstance(own_share, Share) else None,
            run_id=request.run_id,
        )
        command, progress = f"cio-etl run {request.job}", Progress(Console(stderr=True), live=False)
        with self._signals as signals:
            try:
                report = run_job(job, options, command, signals, progress)
            except CredentialsRefused:
                renewed = self._loaded(request, environment, secrets=True)
                if renewed.destination == job.destination:
                    raise
                log.warning("credentials_renewed")  # in the connection, meanwhile: one more try, from where it stopped
                report = run_job(renewed, replace(options, restart=False), command, signals, progress)
        return _summary(report, run_folder(job, report.run_id))

    def _validate(self, request: RunRequest, environment: Environment) -> Summary:
        job = self._loaded(request, environment, secrets=False)
        try:
            failing = [gate(text) for text in request.fail_on]
        except ValueError as error:
            raise failure(2, f"fail_on: {error}") from None
        report = gated(validate(job, job.steps, request.limit, load_bookmarks(job), _since(request)), failing)
        written(report, validation_folder(job), {"run": f"cio-etl run {request.job}"})
        summary = _summary(report, validation_folder(job))
        if report.exit_code == TooManyRejects.exit_code:
            raise failure(TooManyRejects.exit_code, f"the rows are not fit to be sent: {summary['report']}")
        return summary

    def _loaded(self, request: RunRequest, environment: Environment, *, secrets: bool) -> Job:
        job = load_job(Path(request.job), os.environ | environment(), secrets=secrets)
        known = {name for step in job.steps for name in (step.name, step.name.split("/")[0])}
        if unknown := [name for name in request.steps if name not in known]:
            has = ", ".join(step.name for step in job.steps)
            raise ConfigError([Problem(request.job, None, "", f"no step {unknown[0]!r}; it has {has}")])
        job = replace(job, steps=chosen(job, request.steps))
        if isinstance(request.lanes, int):
            job = replace(job, destination=replace(job.destination, lanes=request.lanes))
        return job


def flows(request: RunRequest, environment: Environment) -> list[Flow]:
    """Whence and whither the job's rows go; nothing when that cannot be told: it is no reason to fail."""
    try:
        with contextlib.chdir(request.folder or "."):
            job = load_job(Path(request.job), os.environ | environment(), secrets=False)
            return flows_of(replace(job, steps=chosen(job, request.steps)))
    except (EtlError, OSError, ValueError):
        return []


def _told(request: RunRequest, work: Callable[[], Summary]) -> Summary:
    """Works in the job's folder; what fails becomes Airflow's kind of failure, in words without values."""
    umask = os.umask(0o077)  # what is written here tells of people: state, reports, rejects
    try:
        with contextlib.chdir(request.folder or "."):
            return work()
    except EtlError as error:
        remedy = f"; {error.remedy}" if error.remedy else ""
        raise failure(error.exit_code, f"{error}{remedy}") from None
    except AirflowException:
        raise
    except Exception as error:
        # frames only: the error's own words may hold values
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        raise failure(1, f"unexpected {type(error).__name__}, {' > '.join(frames[-6:])}; the state is intact") from None
    finally:
        os.umask(umask)


def _is_old(job: Job, began: str) -> bool:
    """Whether the job's unfinished run is of another day, and no earlier try of this one."""
    if not state.exists(job.kept_in):
        return False
    store = state.open_store(job.kept_in)
    try:
        unfinished = store.unfinished(job.name)
        return unfinished is not None and unfinished.started_at < began
    finally:
        store.close()


def _since(request: RunRequest) -> str | None:
    return FULL_REFRESH if request.full_refresh else request.watermark


def _summary(report: Report, folder: Path) -> Summary:
    content: dict[str, Any] = as_json(report)
    return summary_of(content) | {"report": str(folder.absolute() / "report.html")}
