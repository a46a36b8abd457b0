"""The metrics of a run. What lanes count anyway is read when metrics are exported; only answers are counted here."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from math import isfinite

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from cio_etl.model import (
    Accepted,
    Counts,
    Refused,
    Report,
    Retry,
    Split,
    Stop,
    Unknown,
    Verdict,
    total_counts,
)
from cio_etl.telemetry import names
from cio_etl.telemetry.facts import JobFacts
from cio_etl.telemetry.names import Metric
from cio_etl.telemetry.watch import ReadProgress

OUTCOMES = ("accepted", "rejected", "skipped")
Attributes = dict[str, str | int]


@dataclass(slots=True)
class Sending:
    """What this process has sent of a step: the lanes' counts, without those of an earlier process."""

    step: str
    before: Counts
    progress: ReadProgress

    @property
    def counts(self) -> Counts:
        now = total_counts(lane.counts for lane in self.progress())
        return Counts(*(getattr(now, each.name) - getattr(self.before, each.name) for each in fields(Counts)))


class Meters:
    """The metrics of one run in this process."""

    def __init__(self, job: str, meter: Meter) -> None:
        self._about: Attributes = {names.JOB: job}
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._sendings: list[Sending] = []
        self._requests: Counter[tuple[str, str]] = Counter()  # by step and outcome
        self._allowed: Callable[[], float] = lambda: float("inf")
        self._meter = meter
        self._duration = meter.create_histogram(
            names.DURATION.name,
            names.DURATION.unit,
            names.DURATION.words,
            explicit_bucket_boundaries_advisory=names.REQUEST_S,
        )
        for metric, field in (
            (names.SENT_TWICE, "possibly_sent_twice"),
            (names.RETRIES, "retries"),
            (names.SENT, "bytes_sent"),
        ):
            self._observe(metric, partial(self._of_steps, field))
        self._observe(names.ROWS, self._rows)
        self._observe(names.REQUESTS, self._by_outcome)
        meter.create_observable_gauge(names.PACE.name, [lambda _: self._pace()], names.PACE.unit, names.PACE.words)

    def begun(self, allowed: Callable[[], float]) -> None:
        self._allowed = allowed

    @contextmanager
    def sending(self, step: str, progress: ReadProgress) -> Iterator[None]:
        """Counts what the lanes do until the block ends."""
        sending = Sending(step, total_counts(lane.counts for lane in progress()), progress)
        with self._lock:
            self._sendings.append(sending)
        try:
            yield
        finally:
            last = [*progress()]
            sending.progress = lambda: last

    def answered(self, step: str, seconds: float, verdict: Verdict) -> None:
        outcome = outcome_of(verdict)
        with self._lock:
            self._requests[step, outcome] += 1
        self._duration.record(seconds, {**self._about, names.STEP: step, names.OUTCOME: outcome})

    def of_step(self, step: str) -> Counts:
        """What this process has sent of a step."""
        with self._lock:
            sendings = [each for each in self._sendings if each.step == step]
        return total_counts(each.counts for each in sendings)

    def ended(self, report: Report, facts: JobFacts) -> None:
        """Records how the run has ended."""
        self._set(names.OPEN_REJECTS, facts.open_rejects, {names.JOB: facts.job})
        if facts.last_success is not None:
            self._set(names.LAST_SUCCESS, facts.last_success, {names.JOB: facts.job})
        for ledger, subjects in facts.subjects.items():
            self._set(names.SUBJECTS, subjects, {names.JOB: facts.job, names.LEDGER: ledger})
        if report.status == "running":  # other workers go on with it
            return
        about: Attributes = {**self._about, names.STATUS: report.status}
        runs, seconds = names.RUNS, names.RUN_DURATION
        exit_code = {} if report.exit_code is None else {names.EXIT_CODE: report.exit_code}
        self._meter.create_counter(runs.name, runs.unit, runs.words).add(1, {**about, **exit_code})
        self._meter.create_histogram(
            seconds.name, seconds.unit, seconds.words, explicit_bucket_boundaries_advisory=names.RUN_S
        ).record(time.monotonic() - self._began, about)

    def _set(self, metric: Metric, value: float, attributes: Attributes) -> None:
        self._meter.create_gauge(metric.name, metric.unit, metric.words).set(value, attributes)

    def _observe(self, metric: Metric, read: Callable[[], Iterable[Observation]]) -> None:
        def callback(_: CallbackOptions) -> Iterable[Observation]:
            return read()

        self._meter.create_observable_counter(metric.name, [callback], metric.unit, metric.words)

    def _steps(self) -> dict[str, Counts]:
        with self._lock:
            steps = dict.fromkeys(each.step for each in self._sendings)
        return {step: self.of_step(step) for step in steps}

    def _of_steps(self, field: str) -> Iterator[Observation]:
        for step, counts in self._steps().items():
            yield Observation(getattr(counts, field), {**self._about, names.STEP: step})

    def _rows(self) -> Iterator[Observation]:
        for step, counts in self._steps().items():
            for outcome in OUTCOMES:
                yield Observation(getattr(counts, outcome), {**self._about, names.STEP: step, names.OUTCOME: outcome})

    def _by_outcome(self) -> Iterator[Observation]:
        with self._lock:
            requests = dict(self._requests)
        for (step, outcome), number in requests.items():
            yield Observation(number, {**self._about, names.STEP: step, names.OUTCOME: outcome})

    def _pace(self) -> Iterator[Observation]:
        if isfinite(allowed := self._allowed()):
            yield Observation(allowed, self._about)


def outcome_of(verdict: Verdict) -> str:
    """What came of a request, in a word; names.REQUESTS lists them."""
    match verdict:
        case Accepted(errors):
            return "partly_accepted" if errors else "accepted"
        case Refused():
            return "refused"
        case Retry(throttled=throttled):
            return "throttled" if throttled else "retry"
        case Split():
            return "split"
        case Unknown():
            return "unknown"
        case Stop():
            return "stop"
