"""How do bytes get there, and an answer back? One connection a lane, a deadline on the whole exchange, no surprises."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import httpx
from pydantic import SecretStr

from cio_etl.errors import DestinationUnavailable
from cio_etl.load.destinations import track
from cio_etl.load.destinations.endpoints import Endpoint
from cio_etl.model import Destination, Retry, Stop, Verdict

CONNECT_S = 10.0
MAX_ANSWER_BYTES = 1_000_000  # an answer with an error for each of 1,500 items has some 200 kB
KEEP_ALIVE_S = 55.0  # below the 60 s after which a half-open connection would go unnoticed
WATCH_EVERY_S = 0.25


class Deadlines:
    """Cuts every exchange that outlives its deadline: httpx's time-outs bound each read and write, not their sum."""

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
    def during(self, wire: Connection, seconds: float) -> Iterator[None]:
        with self._lock:
            self._running[wire] = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(wire, None)

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_EVERY_S):
            with self._lock:
                for wire in [wire for wire, deadline in self._running.items() if time.monotonic() > deadline]:
                    del self._running[wire]
                    wire.cut()


class Connection:
    """A connection to the destination that takes one exchange at a time.

    It is httpx's transport without its client: nothing here follows a redirect, keeps a cookie, or asks the
    environment for a proxy, and an exchange costs two thirds.
    """

    def __init__(
        self,
        destination: Destination,
        deadlines: Deadlines,
        endpoint: Endpoint = track.BATCH,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`check` is asked at the last moment before a body leaves, and raises when it must not."""
        self._check = check
        address = httpx.URL(destination.base_url)
        self.host = address.netloc.decode("ascii")
        self._endpoint = endpoint
        self._batches = address.join(endpoint.path)
        self._deadlines = deadlines
        self._deadline_s = destination.attempt_deadline_s
        self._socket: socket.socket | None = None
        self._overdue = False
        user, password = destination.site_id, destination.api_key
        if destination.api == "pipelines":
            user, password = destination.write_key, SecretStr("")
        credentials = f"{user.get_secret_value()}:{password.get_secret_value()}"
        self._headers = httpx.Headers(
            {
                "Host": self.host,
                "Authorization": "Basic " + b64encode(credentials.encode()).decode("ascii"),
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "cio-etl",
                **endpoint.headers,
            }
        )
        timeout = httpx.Timeout(self._deadline_s, connect=min(CONNECT_S, self._deadline_s)).as_dict()
        self._extensions = {"timeout": timeout, "trace": self._trace}
        self._transport = httpx.HTTPTransport(
            verify=tls_context(destination.ca_file)
            if address.scheme == "https"
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S),
        )

    def close(self) -> None:
        self._transport.close()

    def cut(self) -> None:
        """Ends the exchange under way, from another thread."""
        self._overdue = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # the plain socket's shutdown: TLS's own would touch what the sending thread is using
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def post(self, body: bytes, items: int) -> Verdict:
        """Sends one batch once; what came of it, every failure of the way there included."""
        judge = self._endpoint.judge
        return self.send(body, lambda status, headers, body: judge(status, headers, body, items, self.host))

    def send(self, body: bytes, read: Callable[[int, httpx.Headers, bytes], Verdict]) -> Verdict:
        """Sends a body once, with the answer read as `read` says."""
        request = httpx.Request("POST", self._batches, headers=self._headers, content=body, extensions=self._extensions)
        return self._exchange(request, read)

    def get(self, path: str, read: Callable[[int, httpx.Headers, bytes], Verdict]) -> Verdict:
        address = self._batches.join(path)
        return self._exchange(httpx.Request("GET", address, headers=self._headers, extensions=self._extensions), read)

    def _exchange(self, request: httpx.Request, read: Callable[[int, httpx.Headers, bytes], Verdict]) -> Verdict:
        self._overdue = False
        try:
            with (
                self._deadlines.during(self, self._deadline_s),
                contextlib.closing(self._transport.handle_request(request)) as response,
            ):
                answer = bytearray()
                for piece in response.iter_bytes():
                    answer += piece
                    if len(answer) > MAX_ANSWER_BYTES:
                        return Retry(f"HTTP {response.status_code} with an endless body", ambiguous=True)
            self._close_if_more_came()
            return read(response.status_code, response.headers, bytes(answer))
        except httpx.ConnectError as error:
            return _unconnected(error, self.host)
        except (httpx.ConnectTimeout, httpx.PoolTimeout):
            return Retry("no connection in time")
        except (httpx.TransportError, httpx.DecodingError) as error:
            why = f"no answer within {self._deadline_s:g} s" if self._overdue else _spoken(error)
            return Retry(why, ambiguous=True)

    def _close_if_more_came(self) -> None:
        """Closes a connection on which more came than was asked for: it would be taken for the next batch's answer.

        httpcore closes one on which something waits in the socket; this is what it has already read. There is no
        public way to ask; test_wire holds that this one works.
        """
        for connection in self._transport._pool.connections:
            exchange = getattr(connection, "_connection", None)
            if exchange is not None and exchange._h11_state.trailing_data[0]:
                exchange.close()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
        elif event == "http11.send_request_body.started":
            self._check()


def _spoken(error: Exception) -> str:
    """The kind of a failure in words, without what its message may hold."""
    words = {
        httpx.ReadTimeout: "no answer in time",
        httpx.WriteTimeout: "the body was not taken in time",
        httpx.RemoteProtocolError: "the connection was cut, or the answer was no HTTP",
        httpx.DecodingError: "the answer could not be decompressed",
    }
    return next((said for kind, said in words.items() if isinstance(error, kind)), "the connection was cut")


def _unconnected(error: httpx.ConnectError, host: str) -> Verdict:
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
