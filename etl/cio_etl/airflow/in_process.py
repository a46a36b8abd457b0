"""Does a task's work in the task's own process, by the functions that the command uses; this imports polars."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException

from cio_etl.airflow.lineage import Flow, flows_of
from cio_etl.airflow.plan_summary import plan_summary
from cio_etl.airflow.request import Environment, RunRequest, Summary, failure, summary_of
from cio_etl.errors import EtlError, TooManyRejects, failure_of, is_failure
from cio_etl.log.consoles import SafeConsole
from cio_etl.log.streams import say
from cio_etl.model import Plan, Report
from cio_etl.report import as_json
from cio_etl.report.plan_json import page_place, write_plan
from cio_etl.report.progress import Progress
from cio_etl.run import (
    Caller,
    Signals,
    load_run,
    load_steps,
    load_to_run,
    private_files,
    run_folder,
    run_loaded,
    unfinished_since,
    validation_folder,
)
from cio_etl.run.reports import remedies
from cio_etl.validate import validate_file
from cio_etl.validate.plan import apply_plan, plan_file, plan_place, run_options


class InProcess:
    """Work in this process."""

    def __init__(self) -> None:
        self._signals = Signals(lambda line: say(line, err=True))

    def run(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        return _translated(request, lambda: self._run(request, environment))

    def validate(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        return _translated(request, lambda: self._validate(request, environment))

    def plan(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        return _translated(request, lambda: self._plan(request, environment))

    def apply(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        return _translated(request, lambda: self._apply(request, environment))

    def stop(self) -> None:
        """See Runner."""
        self._signals.ask("SIGTERM")

    def _run(self, request: RunRequest, environment: Environment) -> Summary:
        path, values = Path(request.job), _values(environment)
        job = load_to_run(path, request.run, values)
        options = replace(request.run, restart=request.restarts(unfinished_since(job)))
        with self._signals as signals:
            caller = replace(_caller(signals), environment=values)
            report = run_loaded(job, options, caller, lambda: load_run(path, options, values))
        return _summary(report, run_folder(job, report.run_id))

    def _validate(self, request: RunRequest, environment: Environment) -> Summary:
        path, values = Path(request.job), _values(environment)
        done = validate_file(path, request.validation, _caller(self._signals), values)
        summary = _summary(done.report, validation_folder(done.job))
        if done.report.exit_code == TooManyRejects.exit_code:
            raise failure(TooManyRejects.exit_code, f"the rows are not fit to be sent: {summary['report']}")
        return summary

    def _plan(self, request: RunRequest, environment: Environment) -> Summary:
        path, values = Path(request.job), _values(environment)
        file = Path(request.plan) if request.plan else plan_place(path, request.plan_name, request.run, values)
        page = page_place(file)
        made = plan_file(path, request.run, _caller(self._signals).observer.note, values)
        return plan_summary(write_plan(made, file, page, {}, remedies()))

    def _apply(self, request: RunRequest, environment: Environment) -> Summary:
        plan, values = Plan.read(Path(request.plan)), _values(environment)
        with self._signals as signals:
            report = apply_plan(plan, request.run, _caller(signals), values)
        job = load_steps(Path(plan.job_file), run_options(plan, request.run), values, secrets=False)
        return _summary(report, run_folder(job, report.run_id))


def _values(environment: Environment) -> Environment:
    """The process's environment, and over it Airflow's connections."""
    return lambda: {**os.environ, **environment()}


def _caller(signals: Signals) -> Caller:
    return Caller(signals, Progress(SafeConsole(stderr=True), live=False))


def flows(request: RunRequest, environment: Environment) -> list[Flow]:
    """The sources and targets of the job's rows; nothing when they cannot be read, which is no reason to fail."""
    try:
        with contextlib.chdir(request.folder or "."):
            path, options = Path(request.job), request.run
            if request.plan:
                plan = Plan.read(Path(request.plan))
                path, options = Path(plan.job_file), run_options(plan, options)
            return flows_of(load_steps(path, options, _values(environment), secrets=False))
    except (EtlError, OSError, ValueError):
        return []


def _translated(request: RunRequest, work: Callable[[], Summary]) -> Summary:
    """Works in the job's folder; a failure becomes Airflow's kind of failure, in words without values."""
    try:
        with contextlib.chdir(request.folder or "."), private_files():
            return work()
    except AirflowException:
        raise
    except BaseException as error:
        if not is_failure(error):  # such as an execution_timeout
            raise
        ended = failure_of(error)
        remedy = f"; {ended.remedy}" if ended.remedy else ""
        raise failure(ended.exit_code, f"{ended}{remedy}") from None


def _summary(report: Report, folder: Path) -> Summary:
    content: Mapping[str, Any] = as_json(report)
    return summary_of(content) | {"report": str(folder.absolute() / "report.html")}
