"""The spans of a run: the run, its steps, how each is opened and sent, and of its batches as many as are bounded.

A run may send a thousand batches a second for hours. So at most BATCHES_A_SECOND spans of batches begin in a second,
and as many again of batches that did not go as usual: sent again, refused in part, or not settled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    Status,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from cio_etl.errors import failure_of
from cio_etl.log import about
from cio_etl.model import Delivery, Report
from cio_etl.telemetry import names

BATCHES_A_SECOND = 10


@dataclass(slots=True)
class Bound:
    """Lets a number of events of each second pass, and counts the others."""

    most: int
    second: int = 0
    passed: int = 0
    since: int = 0  # events since the last one that has passed

    def passes(self, now: float) -> int:
        """How many events this one stands for; 0: it does not pass."""
        if int(now) != self.second:
            self.second, self.passed = int(now), 0
        self.since += 1
        if self.passed >= self.most:
            return 0
        stands_for, self.since, self.passed = self.since, 0, self.passed + 1
        return stands_for


class Spans:
    """The spans of one run in this process."""

    def __init__(self, job: str, tracer: Tracer, parent: Context | None) -> None:
        self._tracer = tracer
        self._run = tracer.start_span(f"run {job}", parent, attributes={names.JOB: job})
        self._step = self._run
        self._lock = threading.Lock()
        self._usual, self._unusual = Bound(BATCHES_A_SECOND), Bound(BATCHES_A_SECOND)

    def begun(self, run_id: str) -> None:
        self._run.set_attribute(names.RUN_ID, run_id)

    @contextmanager
    def run(self) -> Iterator[None]:
        """The run's span ends with the block."""
        with about(**_ids(self._run)), _ending(self._run):
            yield

    @contextmanager
    def step(self, name: str) -> Iterator[Span]:
        """The step's span, until the block ends."""
        within = set_span_in_context(self._run)
        span = self._tracer.start_span(f"step {name}", within, attributes={names.STEP: name})
        self._step = span
        try:
            with about(**_ids(span)), _ending(span):
                yield span
        finally:
            self._step = self._run

    @contextmanager
    def part(self, kind: names.SpanKind) -> Iterator[None]:
        """The span of a part of the step, until the block ends."""
        with _ending(self._tracer.start_span(kind.name, set_span_in_context(self._step))):
            yield

    def batch(self, delivery: Delivery, seconds: float) -> None:
        """The span of a batch that has just ended, if it is one that is sent."""
        items, rejected = len(delivery.batch.positions), len(delivery.rejects)
        if not items:
            return
        is_settled = delivery.accepted + rejected == items
        is_usual = is_settled and not rejected and not delivery.retries
        with self._lock:
            stands_for = (self._usual if is_usual else self._unusual).passes(time.monotonic())
        if not stands_for:
            return
        ended = time.time_ns()
        span = self._tracer.start_span(
            names.BATCH_SPAN.name,
            set_span_in_context(self._step),
            start_time=ended - int(seconds * 1e9),
            attributes={
                names.BATCH_LANE: delivery.batch.lane,
                names.BATCH_ITEMS: items,
                names.BATCH_BYTES: len(delivery.batch.body),
                names.BATCH_REQUESTS: delivery.requests,
                names.BATCH_RETRIES: delivery.retries,
                names.BATCH_REJECTED: rejected,
                names.BATCH_COUNT: stands_for,
            },
        )
        if not is_settled:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute(names.ERROR, "not_settled")
        span.end(ended)

    def ended(self, report: Report) -> None:
        self._run.set_attribute(names.STATUS, report.status)
        if report.exit_code is not None:
            self._run.set_attribute(names.EXIT_CODE, report.exit_code)


@contextmanager
def _ending(span: Span) -> Iterator[None]:
    """Ends the span with the block. Of an error it has the kind: its words may hold values."""
    try:
        yield
    except BaseException as error:
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute(names.ERROR, type(failure_of(error)).__name__)
        raise
    finally:
        span.end()


def _ids(span: Span) -> Mapping[str, str]:
    """The ids of a span as log events have them."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
