"""Checks that a run can be watched as its job asks: the packages of OpenTelemetry, the folder of the metrics file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

from cio_etl.doctor.check import Check
from cio_etl.errors import ConfigError, install
from cio_etl.model import Job


def telemetry(job: Job) -> Iterator[Check]:
    """Checks what the job's `telemetry` and `metrics_file` need; nothing where it has neither."""
    if job.telemetry is not None:
        is_installed = find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None
        if is_installed:
            yield Check("telemetry", "ok", "the packages of OpenTelemetry are installed")
        else:
            what = "otlp needs the packages of OpenTelemetry, which are not installed"
            yield Check("telemetry", "wrong", what, install("otel"), ConfigError.exit_code)
    if job.metrics_file is not None:
        folder = job.metrics_file.parent
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            yield Check("telemetry", "ok", f"{job.metrics_file} can be written")
        else:
            fault = "this user cannot write into its folder" if folder.is_dir() else "its folder does not exist"
            remedy = f"make {folder} a folder that this user can write into"
            yield Check("telemetry", "warning", f"{job.metrics_file} cannot be written: {fault}", remedy)
