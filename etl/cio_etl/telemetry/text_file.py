"""Writes the facts of a job for Prometheus: a text file that the textfile collector of node_exporter reads.

The format is version 0.0.4 of the text exposition format (prometheus.io/docs/instrumenting/exposition_formats).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cio_etl.model import Report, StepReport
from cio_etl.telemetry import names
from cio_etl.telemetry.facts import JobFacts
from cio_etl.telemetry.names import FILE_METRICS, Gauge

READABLE = 0o644  # node_exporter has a user of its own, and the file has numbers only

Sample = tuple[Gauge, tuple[str, ...], float]  # values of the labels after the job


def write_text_file(path: Path, facts: JobFacts) -> None:
    """Writes the file, whole or not at all, in a folder that exists; a reader never sees a part. Raises OSError."""
    # the collector reads what ends in .prom, and nothing else of the folder
    file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(text_of(facts))
            os.fchmod(out.fileno(), READABLE)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def text_of(facts: JobFacts) -> str:
    """The facts in the text format: each metric once, in the order of its declaration, with its help."""
    lines: dict[str, list[str]] = {each.name: [] for each in FILE_METRICS}
    for gauge, values, number in _samples(facts):
        labels = zip(gauge.labels, (facts.job, *values), strict=True)
        shown = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
        lines[gauge.name].append(f"{gauge.name}{{{shown}}} {_number(number)}\n")
    heads = {each.name: f"# HELP {each.name} {each.words}\n# TYPE {each.name} gauge\n" for each in FILE_METRICS}
    return "".join(heads[name] + "".join(samples) for name, samples in lines.items() if samples)


def _samples(facts: JobFacts) -> Iterator[Sample]:
    yield names.F_SUCCESS, (), facts.last_success or 0.0
    if facts.expected_every is not None:
        yield names.F_EXPECTED, (), facts.expected_every
    if facts.exit_code is not None:
        yield names.F_EXIT, (), facts.exit_code
    yield names.F_OPEN, (), facts.open_rejects
    yield from ((names.F_SUBJECTS, (ledger,), subjects) for ledger, subjects in facts.subjects.items())
    if facts.report is not None:
        yield from _of_run(facts.report)


def _of_run(report: Report) -> Iterator[Sample]:
    yield names.F_STARTED, (), seconds_of(report.started_at)
    if report.finished_at is not None:
        yield names.F_ENDED, (), seconds_of(report.finished_at)
    yield names.F_RESUMABLE, (), report.resumable
    for step in report.steps:
        yield from _of_step(step)


def _of_step(step: StepReport) -> Iterator[Sample]:
    counts, name = step.counts, step.name
    for outcome in ("accepted", "rejected", "skipped"):
        yield names.F_ROWS, (name, outcome), getattr(counts, outcome)
    yield names.F_TWICE, (name,), counts.possibly_sent_twice
    by_reason: Counter[str] = Counter()
    for reject in step.rejects:
        by_reason[reject.reason] += reject.rows
    yield from ((names.F_REASONS, (name, reason), rows) for reason, rows in by_reason.items())
    yield names.F_REQUESTS, (name,), counts.requests
    yield names.F_RETRIES, (name,), counts.retries
    yield names.F_SENT, (name,), counts.bytes_sent
    yield names.F_SECONDS, (name,), step.seconds


def seconds_of(time: str) -> float:
    """A time of ISO 8601 in Unix seconds."""
    return datetime.fromisoformat(time).timestamp()


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(float(number))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
