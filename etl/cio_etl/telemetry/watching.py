"""Begins to follow a run, where its job asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cio_etl.errors import ConfigError, Problem, install
from cio_etl.log import get_logger
from cio_etl.model import Job
from cio_etl.telemetry.watch import Watch

log = get_logger()


@contextmanager
def watching(job: Job, worker: str | None = None) -> Iterator[Watch]:
    """Follows the run in the block, or a worker's share of it, as the job's `telemetry` says.

    Raises ConfigError when the packages are missing. At the end, what is still to be sent is waited for, a few seconds
    at most. Nothing else here can fail a run.
    """
    if job.telemetry is None:
        yield Watch()
        return
    try:
        from cio_etl.telemetry.otlp import begin
    except ImportError:
        fault = f"otlp needs the packages of OpenTelemetry, which are not installed; {install('otel')}"
        raise ConfigError([Problem(job.file, None, "telemetry", fault)]) from None
    try:
        watch = begin(job.name, job.telemetry, worker)
    except Exception as error:  # a wrong value of one of its variables
        log.warning("telemetry_not_started", reason=type(error).__name__)
        yield Watch()
        return
    with watch.running():
        yield watch
