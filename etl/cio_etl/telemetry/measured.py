"""Follows a run by spans and metrics: what the run calls, and both of them take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cio_etl.errors import Interrupted
from cio_etl.log import about
from cio_etl.model import Delivery, Report, Verdict
from cio_etl.model.records import dataclass
from cio_etl.telemetry import names
from cio_etl.telemetry.facts import JobFacts
from cio_etl.telemetry.meters import Meters
from cio_etl.telemetry.spans import Spans
from cio_etl.telemetry.watch import ReadProgress, Watch


class Measured(Watch):
    """Follows one run in this process. `close` sends everything; it gets whether the run was stopped by a signal."""

    def __init__(self, spans: Spans, meters: Meters, close: Callable[[bool], None]) -> None:
        self._spans = spans
        self._meters = meters
        self._close = close
        self._step = ""
        self._about: dict[str, str] = {}  # in the events after the run's own end

    @contextmanager
    def running(self) -> Iterator[None]:
        """The run is at work until the block ends; then everything is sent."""
        is_stopped = False
        try:
            with self._spans.run():
                yield
        except (Interrupted, KeyboardInterrupt):
            is_stopped = True
            raise
        finally:
            with about(**self._about):
                self._close(is_stopped)

    def begun(self, run_id: str, allowed: Callable[[], float]) -> None:
        self._about = {"run_id": run_id}
        self._spans.begun(run_id)
        self._meters.begun(allowed)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._step = name
        with self._spans.step(name) as span:
            try:
                yield
            finally:
                counts = self._meters.of_step(name)
                for outcome, attribute in names.STEP_ROWS.items():
                    span.set_attribute(attribute, getattr(counts, outcome))

    @contextmanager
    def opening(self) -> Iterator[None]:
        with self._spans.part(names.OPEN_SPAN):
            yield

    def lanes(self) -> Lanes:
        return Lanes(self._step, self._spans, self._meters)

    @contextmanager
    def sending(self, progress: ReadProgress) -> Iterator[None]:
        with self._spans.part(names.SEND_SPAN), self._meters.sending(self._step, progress):
            yield

    def ended(self, report: Report, facts: JobFacts) -> None:
        self._spans.ended(report)
        self._meters.ended(report, facts)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Follows the lanes of a step."""

    step: str
    spans: Spans
    meters: Meters

    def answered(self, seconds: float, verdict: Verdict) -> None:
        with suppress(Exception):  # rows matter more than their measure
            self.meters.answered(self.step, seconds, verdict)

    def delivered(self, delivery: Delivery, seconds: float) -> None:
        with suppress(Exception):
            self.spans.batch(delivery, seconds)
