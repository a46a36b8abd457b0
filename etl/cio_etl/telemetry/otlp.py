"""Sends traces and metrics of a run to a collector by OTLP over HTTP. The only module that needs the extra `otel`.

The standard variables `OTEL_…` of the process configure it: the libraries read them. The providers are this run's own;
those of a program around it, such as Airflow, stay as they are.

A collector can neither stop nor delay a run: exports have threads of their own, a queue that overflows loses spans, and
the end of a run waits FLUSH_S at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import NoOpTracer, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cio_etl.log import get_logger
from cio_etl.model import Telemetry
from cio_etl.telemetry.measured import Measured
from cio_etl.telemetry.meters import Meters
from cio_etl.telemetry.spans import Spans

log = get_logger()

FLUSH_S = 5.0  # at the end of a run, for everything together
FLUSH_STOPPED_S = 1.0  # who sent the signal may soon kill the process: Airflow after five seconds
NAME = "cio-etl"

logging.getLogger("opentelemetry").addHandler(logging.NullHandler())  # else Python prints its warnings to stderr


def begin(job: str, telemetry: Telemetry, worker: str | None = None) -> Measured:
    """What follows a run of the job, or a worker's share of it. Raises what the libraries raise for a wrong value."""
    told = version(NAME)
    resource = Resource(_about(told, worker)).merge(OTELResourceDetector().detect())
    outbox = Outbox()
    tracer: Tracer = NoOpTracer()
    meter: Meter = NoOpMeter(NAME)
    if telemetry.traces:
        tracer = outbox.tracer_provider(resource).get_tracer(NAME, told)
    if telemetry.metrics:
        meter = outbox.meter_provider(resource).get_meter(NAME, told)
    return Measured(Spans(job, tracer, _parent(telemetry)), Meters(job, meter), outbox.close)


def _about(told: str, worker: str | None) -> dict[str, str]:
    """What the resource says of this program, unless a variable says otherwise.

    The workers of a run are instances, since a backend would take the counters of all of them for one. Their names are
    the same each night: an instance for each process would be a new series for each run.
    """
    library = {"language": "python", "name": "opentelemetry", "version": version("opentelemetry-sdk")}
    about = {"service.name": NAME, "service.version": told}
    about |= {f"telemetry.sdk.{name}": value for name, value in library.items()}
    return about if worker is None else {**about, "service.instance.id": worker}


def _parent(telemetry: Telemetry) -> Context | None:
    """The span that a run belongs to: the present one of a program around it, or the one that TRACEPARENT names."""
    if trace.get_current_span().get_span_context().is_valid:
        return None  # the libraries take the present one
    return TraceContextTextMapPropagator().extract(telemetry.parent)


class Outbox:
    """The exporters of one run, and what could not be sent."""

    def __init__(self) -> None:
        self.failures = Failures()
        self._providers: dict[str, TracerProvider | MeterProvider] = {}
        self._exporters: list[SpanExporter | MetricExporter] = []

    def tracer_provider(self, resource: Resource) -> TracerProvider:
        exporter = SpanExporter(self.failures)
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        self._exporters.append(exporter)
        self._providers["traces"] = provider
        return provider

    def meter_provider(self, resource: Resource) -> MeterProvider:
        exporter = MetricExporter(self.failures)
        reader = PeriodicExportingMetricReader(exporter)
        provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self._exporters.append(exporter)
        self._providers["metrics"] = provider
        return provider

    def close(self, is_stopped: bool) -> None:
        """Sends the rest, for a few seconds at most. What was lost is told by one warning."""
        seconds = FLUSH_STOPPED_S if is_stopped else FLUSH_S
        flushes = {
            signal: threading.Thread(target=_shut_down, args=(provider,), name=f"flush {signal}", daemon=True)
            for signal, provider in self._providers.items()
        }
        for flush in flushes.values():
            flush.start()
        deadline = time.monotonic() + seconds
        for flush in flushes.values():
            flush.join(max(0.0, deadline - time.monotonic()))
        late = [signal for signal, flush in flushes.items() if flush.is_alive()]
        if not late:
            self.failures.close()
        else:
            for exporter in self._exporters:
                exporter.shutdown()  # ends the pauses between its tries
        lost = sorted({*late, *self.failures.signals})
        if lost:
            reason = self.failures.reason or f"the collector has not taken it within {seconds:g} s"
            log.warning("telemetry_lost", signals=" and ".join(lost), reason=reason)


def _shut_down(provider: TracerProvider | MeterProvider) -> None:
    try:
        provider.shutdown()
    except Exception as error:
        log.debug("telemetry_not_closed", reason=type(error).__name__)


class Failures(logging.Filter):
    """The exports of one run that have failed. Of their log records it keeps the status of the answer, and no more.

    The libraries log an address and the words of an answer, which may hold secrets. So the records of this run's
    exports are dropped; those of other exports, such as Airflow's own, pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signals: set[str] = set()
        self.status: int | None = None
        self._own = threading.local()
        self._loggers = [logging.getLogger(module.__name__) for module in (trace_exporter, metric_exporter)]

    @property
    def reason(self) -> str:
        """Why an export has failed; "" when none has."""
        if not self.signals:
            return ""
        return "the collector cannot be reached" if self.status is None else f"the collector answers {self.status}"

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(self._own, "exporting", False):
            return True
        if isinstance(record.args, tuple):
            self.status = next((each for each in record.args if isinstance(each, int)), self.status)
        return False

    def close(self) -> None:
        """No export is expected any more."""
        for each in self._loggers:
            each.removeFilter(self)

    def __enter__(self) -> None:
        self._own.exporting = True
        for each in self._loggers:
            each.addFilter(self)  # nothing changes when it is there

    def __exit__(self, *_: object) -> None:
        self._own.exporting = False


class Session(requests.Session):
    """What the exporters send with. OTEL_EXPORTER_OTLP_CERTIFICATE counts, whatever REQUESTS_CA_BUNDLE says."""

    def merge_environment_settings(self, *arguments: Any) -> Any:
        settings = super().merge_environment_settings(*arguments)
        return settings if self.verify is True else {**settings, "verify": self.verify}


class SpanExporter(OTLPSpanExporter):
    """The exporter of OTLP, whose failures are noted."""

    def __init__(self, failures: Failures) -> None:
        super().__init__(session=Session())
        self._failures = failures

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._failures:
            result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._failures.signals.add("traces")
        return result


class MetricExporter(OTLPMetricExporter):
    """The exporter of OTLP, whose failures are noted."""

    def __init__(self, failures: Failures) -> None:
        super().__init__(session=Session())
        self._failures = failures

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        with self._failures:
            result = super().export(metrics_data, timeout_millis, **kwargs)
        if result is not MetricExportResult.SUCCESS:
            self._failures.signals.add("metrics")
        return result
