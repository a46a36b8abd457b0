"""Sends one body over one connection and gives back a verdict, within a deadline for the whole exchange.

Whatever happens on the way there and back is a verdict too: no exception of the network leaves this file.

Only the answer to this request may say that it is accepted. So a connection is used again only after an answer that
accepts its batch; after any other one, what still comes on it belongs to nobody. A destination that once sent bytes
that nobody asked for gets a connection for each request.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

import httpcore
import httpx

from cio_etl.apis import APIS, Endpoint
from cio_etl.errors import DestinationUnavailable
from cio_etl.load.answer_stream import AnswerBackend, AnswerStream, AnswerTooLong
from cio_etl.log import Thread, get_logger
from cio_etl.model import Accepted, Destination, Retry, Stop, Verdict

log = get_logger()

CONNECT_S = 10.0
KEEP_ALIVE_S = 55.0  # below the 60 s after which a half-open connection would go unnoticed
WATCH_EVERY_S = 0.25
UNREADABLE = b"\xff"  # no JSON: judged in place of a body that is not read

ReadAnswer = Callable[[int, httpx.Headers, bytes], Verdict]  # status, headers, body -> what it means

# What can go wrong once there is a connection, in words of our own: a library's message may hold a header or a payload.
FAILURES: dict[type[Exception], str] = {
    httpcore.ReadTimeout: "no answer in time",
    httpcore.WriteTimeout: "the body was not taken in time",
    httpcore.NetworkError: "the connection was cut",
    AnswerTooLong: "the answer is too long",
    httpcore.RemoteProtocolError: "the connection was cut, or the answer was no HTTP",
    httpcore.ProtocolError: "the connection was cut",
}


class Deadlines:
    """Cuts every exchange that outlives its deadline: httpcore's time-outs bound each read and write, not their sum."""

    def __init__(self, watch_every_s: float = WATCH_EVERY_S) -> None:
        self._watch_every_s = watch_every_s
        self._lock = threading.Lock()
        self._running: dict[Connection, float] = {}
        self._ended = threading.Event()
        self._thread = Thread(target=self._watch, name="deadlines", daemon=True)
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
        while not self._ended.wait(self._watch_every_s):
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
        address = _address(destination.base_url)
        self.host = address.netloc.decode("ascii")
        api = APIS[destination.api]
        self._endpoint = endpoint = api.batch if endpoint is None else endpoint
        self._base_url = destination.base_url
        self._url = _url(self._base_url, endpoint.path)
        self._deadlines = deadlines
        self._deadline_s = destination.attempt_deadline_s
        self._overdue = False
        self._tls = tls_context(destination.ca_file) if address.scheme == "https" else None
        self._network = AnswerBackend(check)
        self._http: httpcore.HTTPConnection | None = None
        self._single_use = False  # each request gets a connection of its own
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
        self._extensions = {"timeout": timeout}

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

    def send(self, body: bytes, read: ReadAnswer, path: str | None = None) -> Verdict:
        """Sends a body once, to the endpoint or to another path of its host; `read` judges the answer."""
        length = (b"Content-Length", str(len(body)).encode("ascii"))
        url = self._url if path is None else _url(self._base_url, path)
        return self._exchange("POST", url, [*self._headers, length], body, read)

    def get(self, path: str, read: ReadAnswer) -> Verdict:
        """Asks for `path` once; `read` judges the answer."""
        return self._exchange("GET", _url(self._base_url, path), self._headers, b"", read)

    def _exchange(
        self, method: str, url: httpcore.URL, headers: list[tuple[bytes, bytes]], body: bytes, read: ReadAnswer
    ) -> Verdict:
        request = httpcore.Request(method, url, headers=headers, content=body, extensions=self._extensions)
        self._overdue = False
        try:
            with self._deadlines.during(self, self._deadline_s):
                verdict = self._answered(self._opened(url.origin), request, read)
        except httpcore.ConnectError as error:
            verdict = _not_connected(error, self.host)
        except httpcore.ConnectTimeout:
            verdict = Retry("no connection in time")
        except tuple(FAILURES) as error:
            words = next(words for kind, words in FAILURES.items() if isinstance(error, kind))
            verdict = self._overdue_verdict if self._overdue else Retry(words, ambiguous=True)
        if self._overdue and isinstance(verdict, Accepted):  # the end of its body may be our cut
            verdict = self._overdue_verdict
        if self._single_use or not isinstance(verdict, Accepted):
            self.close()
        return verdict

    def _answered(self, http: httpcore.HTTPConnection, request: httpcore.Request, read: ReadAnswer) -> Verdict:
        """Sends a request, and judges its answer."""
        is_reused = http.is_available()
        with contextlib.closing(http.handle_request(request)) as raw:
            stream = self._stream
            stream.begin_body(raw.headers)
            headers = httpx.Headers(raw.headers)
            answer = b"".join(raw.iter_stream()) if _is_plain(raw, headers) else UNREADABLE
        verdict = read(raw.status, headers, answer)
        if isinstance(verdict, Accepted) and (stream.is_early or (is_reused and stream.has_unasked())):
            # an answer to an earlier request, which may have been answered twice
            self._note_unasked()
            return Retry(f"HTTP {raw.status} that may answer an earlier request", ambiguous=True)
        return verdict

    def _opened(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        """The connection; a new one where it was closed, was idle for too long, or bytes came that nobody asked for."""
        if self._http is not None and self._http.is_available() and self._stream.has_unasked():
            self._note_unasked()
            self.close()
        if self._http is None or not self._http.is_available() or self._http.has_expired():
            self.close()
            self._http = httpcore.HTTPConnection(
                origin, ssl_context=self._tls, keepalive_expiry=KEEP_ALIVE_S, network_backend=self._network
            )
        return self._http

    @property
    def _overdue_verdict(self) -> Retry:
        return Retry(f"no answer within {self._deadline_s:g} s", ambiguous=True)

    @property
    def _stream(self) -> AnswerStream:
        assert self._network.stream is not None
        return self._network.stream

    def _note_unasked(self) -> None:
        """After an answer without a request, each request gets a connection of its own.

        A 408 is how some servers end a connection that was idle; it cannot be taken for an acceptance.
        """
        if not self._single_use and not self._stream.unasked.startswith((b"HTTP/1.1 408 ", b"HTTP/1.0 408 ")):
            log.warning("answer_without_request", host=self.host)
            self._single_use = True


@cache
def _address(base_url: str) -> httpx.URL:
    return httpx.URL(base_url)


@lru_cache(64)  # `verify` asks for people by a path each
def _url(base_url: str, path: str) -> httpcore.URL:
    """The address of a path. One for all lanes: each would parse the same text three times."""
    url = _address(base_url).join(path)
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _is_plain(answer: httpcore.Response, headers: httpx.Headers) -> bool:
    """Whether the body can be read as it comes: HTTP/1, of one length, and not compressed, which nobody asked for."""
    if not answer.extensions["http_version"].startswith(b"HTTP/1."):
        return False
    framed_twice = "transfer-encoding" in headers and "content-length" in headers
    return not framed_twice and headers.get("content-encoding", "").strip().lower() in ("", "identity")


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
