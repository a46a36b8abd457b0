"""A collector of OpenTelemetry for tests: a real HTTP server that decodes what it is sent by OTLP's own definitions."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {each.key: value_of(each.value) for each in attributes if isinstance(each, KeyValue)}


def value_of(value: AnyValue) -> Any:
    return getattr(value, value.WhichOneof("value") or "string_value")


def decoded(headers: dict[str, str], body: bytes) -> bytes:
    """The body of a request, unpacked."""
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


@dataclass
class Collector:
    """What was sent: requests as (path, headers, body), spans, and each metric's newest points."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)  # of cio_etl.rows, at each export of metrics

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.requests.append((path, headers, body))
        body = decoded(headers, body)
        if path == "/v1/traces":
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(plain(sent.resource.attributes))
                self.spans += [span for scope in sent.scope_spans for span in scope.spans]
        else:
            assert path == "/v1/metrics", path
            for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resources.append(plain(of_resource.resource.attributes))
                self.metrics |= {each.name: each for scope in of_resource.scope_metrics for each in scope.metrics}
            if "cio_etl.rows" in self.metrics:
                self.rows.append(sum(self.numbers("cio_etl.rows").values()))

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """A metric's points by the values of their attributes, in the order of the attributes' names."""
        metric = self.metrics[name]
        data = getattr(metric, metric.WhichOneof("data") or "")
        return {tuple(v for _, v in sorted(plain(p.attributes).items())): p for p in data.data_points}

    def numbers(self, name: str) -> dict[tuple[Any, ...], float]:
        return {key: getattr(p, p.WhichOneof("value")) for key, p in self.points(name).items()}


@contextmanager
def collecting(
    answer: Callable[[], int] = lambda: 200, tls: ssl.SSLContext | None = None, hangs_s: float = 0.0
) -> Iterator[Collector]:
    """A collector on this machine, which gives these answers, each after `hangs_s`."""
    collector, ended = Collector(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ended.wait(hangs_s)
            status = answer()
            if status == 200:
                collector.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # a client that has left

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        collector.url = f"{'https' if tls else 'http'}://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            ended.set()
            server.shutdown()
            thread.join()
