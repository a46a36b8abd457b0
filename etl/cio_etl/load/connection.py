"""Sends one body over one connection and gives back a verdict, within a deadline for the whole exchange.

Whatever happens on the way there and back is a verdict too: no exception of the network leaves this file.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import httpcore
import httpx

from cio_etl.apis import APIS, Endpoint
from cio_etl.errors import DestinationUnavailable
from cio_etl.load.answer_stream import AnswerBackend
from cio_etl.model import Destination, Retry, Stop, Verdict

CONNECT_S = 10.0
MAX_ANSWER_BYTES = 1_000_000  # an answer with an error for each of 1,500 items has some 200 kB
KEEP_ALIVE_S = 55.0  # below the 60 s after which a half-open connection would go unnoticed
WATCH_EVERY_S = 0.25

ReadAnswer = Callable[[int, httpx.Headers, bytes], Verdict]  # status, headers, body -> what it means

# What can go wrong once there is a connection, in words of our own: a library's message may hold a header or a payload.
FAILURES: dict[type[Exception], str] = {
    httpcore.ReadTimeout: "no answer in time",
    httpcore.WriteTimeout: "the body was not taken in time",
    httpcore.NetworkError: "the connection was cut",
    httpcore.RemoteProtocolError: "the connection was cut, or the answer was no HTTP",
    httpcore.ProtocolError: "the connection was cut",
    httpx.DecodingError: "the answer could not be decompressed",
}


class Deadlines:
    """Cuts every exchange that outlives its deadline: httpcore's time-outs bound each read and write, not their sum."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Connection, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    @contextlib.contextmanager
    def during(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Cuts `connection` if the block takes longer than `seconds`."""
        with self._lock:
            self._running[connection] = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(connection, None)

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_EVERY_S):
            now = time.monotonic()
            with self._lock:
                for connection in [each for each, deadline in self._running.items() if now > deadline]:
                    del self._running[connection]
                    connection.cut()


class Connection:
    """A connection to the destination that takes one exchange at a time, and is opened again after it was closed.

    It is httpcore's connection without httpx's client around it: nothing here follows a redirect, keeps a cookie, or
    asks the environment for a proxy.
    """

    def __init__(
        self,
        destination: Destination,
        deadlines: Deadlines,
        endpoint: Endpoint | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`check` is called at the last moment before a body is sent; it raises when nothing may be sent any more."""
        self._check = check
        address = httpx.URL(destination.base_url)
        self.host = address.netloc.decode("ascii")
        api = APIS[destination.api]
        self._endpoint = endpoint = api.batch if endpoint is None else endpoint
        self._address = address.join(endpoint.path)
        self._deadlines = deadlines
        self._deadline_s = destination.attempt_deadline_s
        self._overdue = False
        self._tls = tls_context(destination.ca_file) if address.scheme == "https" else None
        self._network = AnswerBackend()
        self._http: httpcore.HTTPConnection | None = None
        headers = {
            "Host": self.host,
            "Authorization": api.authorization(destination.credentials),
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "cio-etl",
            **endpoint.headers,
        }
        self._headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        timeout = httpx.Timeout(self._deadline_s, connect=min(CONNECT_S, self._deadline_s)).as_dict()
        self._extensions = {"timeout": timeout, "trace": self._trace}

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def cut(self) -> None:
        """Ends the exchange under way, from another thread."""
        self._overdue = True
        if self._network.stream is not None:
            self._network.stream.cut()

    def post(self, body: bytes, items: int) -> Verdict:
        """Sends one batch once; the endpoint judges the answer."""
        judge = self._endpoint.judge
        return self.send(body, lambda status, headers, body: judge(status, headers, body, items, self.host))

    def send(self, body: bytes, read: ReadAnswer) -> Verdict:
        """Sends a body once; `read` judges the answer."""
        length = (b"Content-Length", str(len(body)).encode("ascii"))
        return self._exchange("POST", self._address, [*self._headers, length], body, read)

    def get(self, path: str, read: ReadAnswer) -> Verdict:
        """Asks for `path` once; `read` judges the answer."""
        return self._exchange("GET", self._address.join(path), self._headers, b"", read)

    def _exchange(
        self, method: str, address: httpx.URL, headers: list[tuple[bytes, bytes]], body: bytes, read: ReadAnswer
    ) -> Verdict:
        url = httpcore.URL(scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path)
        request = httpcore.Request(method, url, headers=headers, content=body, extensions=self._extensions)
        self._overdue = False
        try:
            with (
                self._deadlines.during(self, self._deadline_s),
                contextlib.closing(self._opened(url.origin).handle_request(request)) as raw,
            ):
                assert self._network.stream is not None
                self._network.stream.begin_body(raw.headers)
                response = httpx.Response(raw.status, headers=raw.headers, stream=_Body(raw))
                answer = bytearray()
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > MAX_ANSWER_BYTES:
                        return Retry(f"HTTP {raw.status} with an endless body", ambiguous=True)
        except httpcore.ConnectError as error:
            return _not_connected(error, self.host)
        except httpcore.ConnectTimeout:
            return Retry("no connection in time")
        except tuple(FAILURES) as error:
            words = next(words for kind, words in FAILURES.items() if isinstance(error, kind))
            return Retry(f"no answer within {self._deadline_s:g} s" if self._overdue else words, ambiguous=True)
        return read(response.status_code, response.headers, bytes(answer))

    def _opened(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        """The connection; a new one where it was closed, was idle for too long, or bytes came that nobody asked for."""
        if self._http is None or not self._http.is_available() or self._http.has_expired():
            self.close()
            self._http = httpcore.HTTPConnection(
                origin, ssl_context=self._tls, keepalive_expiry=KEEP_ALIVE_S, network_backend=self._network
            )
        return self._http

    def _trace(self, event: str, _info: dict[str, Any]) -> None:
        if event == "http11.send_request_body.started":
            self._check()


class _Body(httpx.SyncByteStream):
    """The body of an answer as it comes from the network; httpx decompresses it."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()


def _not_connected(error: httpcore.ConnectError, host: str) -> Verdict:
    """What a failed attempt to connect means: nothing was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Stop(
                DestinationUnavailable(host=host, reason=f"its certificate is not valid: {cause.verify_message}")
            )
        if isinstance(cause, socket.gaierror):
            return Retry("the host name is unknown")
        cause = cause.__cause__ or cause.__context__
    return Retry("no connection")


@cache
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Certificates are always verified; a private authority comes by its file. One for all lanes: it takes 30 ms."""
    return ssl.create_default_context(cafile=ca_file)
