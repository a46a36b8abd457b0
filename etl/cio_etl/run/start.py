"""Runs the job of a file: what the command, the Python API and the Airflow task have in common."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cio_etl.config import load_outline
from cio_etl.errors import ConfigError, CredentialsRefused, InvalidArguments
from cio_etl.log import get_logger
from cio_etl.model import Job, Report
from cio_etl.model.words import counted
from cio_etl.report import NO_COMMANDS, Commands, Observer
from cio_etl.run.caller import Caller
from cio_etl.run.chosen_steps import Environment, load_steps, note_stand_ins
from cio_etl.run.ended import Ended
from cio_etl.run.ending import end, ending_run
from cio_etl.run.folders import private_files
from cio_etl.run.options import RunOptions
from cio_etl.run.run import run_job

log = get_logger()


def run_file(path: Path, options: RunOptions, caller: Caller, environment: Environment | None = None) -> Report:
    """Runs the job of a file, or resumes its unfinished run. Raises EtlError.

    `environment` gives the values that the job file refers to; None: the process's environment.
    """
    job = load_to_run(path, options, environment, caller.commands)
    caller = replace(caller, environment=environment)
    return run_loaded(job, options, caller, lambda: load_run(path, replace(options, sandbox=False), environment))


def run_loaded(job: Job, options: RunOptions, caller: Caller, load_again: Callable[[], Job] | None = None) -> Report:
    """Runs a job that `load_to_run` has given. Raises EtlError.

    When credentials are refused and `load_again` gives others, the run is resumed with those, once.
    """
    with ending_run(job, options, caller) as run:
        run.report = run_within(job, options, run.caller, load_again)
    assert run.report is not None
    return run.report


def run_within(job: Job, options: RunOptions, caller: Caller, load_again: Callable[[], Job] | None = None) -> Report:
    """As `run_loaded`, for a caller that is within `ending_run`."""
    note_stand_ins(job, caller.observer)
    with private_files(), sandboxed(job, caller.observer) if options.sandbox else contextlib.nullcontext(job) as target:
        if options.sandbox:  # its sandbox is empty: it starts where a first run would
            options = replace(options, restart=True, full_refresh=options.watermark is None)
        try:
            return run_job(target, options, caller)
        except CredentialsRefused:
            renewed = job if load_again is None or options.sandbox else load_again()
            if renewed.destination == job.destination:
                raise
            log.warning("credentials_renewed")
            return run_job(renewed, replace(options, restart=False), caller)


def load_to_run(
    path: Path, options: RunOptions, environment: Environment | None = None, commands: Commands = NO_COMMANDS
) -> Job:
    """As `load_run`, for a run that is to start now: a job that cannot start has ended, see ending.py."""
    with loading(path, options, environment, commands):
        return load_run(path, options, environment)


@contextlib.contextmanager
def loading(
    path: Path,
    options: RunOptions,
    environment: Environment | None = None,
    commands: Commands = NO_COMMANDS,
    *,
    is_replay: bool = False,
) -> Iterator[None]:
    """Ends a run whose job the block cannot load: a key is missing, or a file is wrong. `commands` are the run's.

    Where the job's settings themselves are wrong, nobody is known who could be told.
    """
    try:
        yield
    except ConfigError as error:
        with contextlib.suppress(ConfigError):
            environ = () if environment is None else (environment(),)
            job = load_outline(path, *environ, target=options.target)
            if is_replay:
                job = replace(job, name=f"{job.name}.replay")
            end(Ended(job, options, commands, None, error, datetime.now(UTC), environment))
        raise


def load_run(path: Path, options: RunOptions, environment: Environment | None = None) -> Job:
    """The job of a file as these options run it. Raises ConfigError, and InvalidArguments for unfit options."""
    job = load_steps(path, options, environment, secrets=not options.sandbox)
    if isinstance(options.lanes, int):
        job = replace(job, destination=replace(job.destination, lanes=options.lanes))
    if options.share is not None:
        _require_shared(job, options)
    return job


def _require_shared(job: Job, options: RunOptions) -> None:
    """Raises InvalidArguments unless a worker can find the others."""
    if options.sandbox:
        raise InvalidArguments("`sandbox` is for one process; give it no share of lanes")
    if job.database is None:
        raise InvalidArguments("workers share a state database: write state: {database: …} in the job file")
    if options.run_id is None:
        raise InvalidArguments("workers find each other by the run's name: give all of them the same `run_id`")


@contextlib.contextmanager
def sandboxed(job: Job, observer: Observer) -> Iterator[Job]:
    """The job, sent to a sandbox of its own; its runs are kept apart from the real ones."""
    from cio_etl.sandbox import Sandbox

    segments = {step.mapping.segment for step in job.steps if step.mapping.segment is not None}
    with Sandbox(segments=segments) as sandbox:
        credentials = dict.fromkeys(job.destination.credentials, SecretStr("sandbox"))
        target = replace(job.destination, base_url=sandbox.url, region="us", credentials=credentials)
        yield replace(job, name=f"{job.name}.sandbox", destination=target, ping=None, telemetry=None, metrics_file=None)
        stats: dict[str, Any] = sandbox.stats()
        people = counted(stats["people"], "person", "people")
        observer.note(f"the sandbox had {people} and {counted(stats['events'], 'event')}")
        if dropped := sandbox.activity.dropped:
            reason = Counter(each.reason for each in sandbox.activity).most_common(1)[0][0]
            observer.note(
                f"{counted(dropped, 'change')} had no effect in the sandbox, though it answered 200; the most frequent "
                f"reason: {reason}. The page of `cio-etl sandbox` lists them"
            )
