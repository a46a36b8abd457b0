"""Reads from the network no further than the end of the answer under way, and notices bytes that nobody asked for.

An answer that nobody asked for must not be taken for the next batch's. The parser of HTTP (h11, inside httpcore) asks
for more bytes only while its answer is unfinished, but it keeps whatever it is given. So it is given the headers, then
the rest of a body whose length is known, or else one line at a time: an answer ends with its headers, with a line (a
chunked body) or with its last byte (Content-Length). What has arrived beyond that stays here, where it can be seen, and
the stream says that it is readable: an idle connection that is readable is closed, and the next batch opens a new one.

An answer can also come too early: bytes that arrive before the end of a request is sent do not answer this request, or
refuse it unread. `is_early` reports them.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

MAX_ANSWER_BYTES = 1_000_000  # with its headers; an answer with an error for each of 1,500 items has some 200 kB
TAIL_BYTES = 16_384  # the end of a request, before which the stream looks for an early answer: one record of TLS
READ_BYTES = 65_536
_END_OF_HEADERS = re.compile(rb"\n\r?\n")  # as h11 finds it


class AnswerTooLong(httpcore.RemoteProtocolError):
    """The answer has more than MAX_ANSWER_BYTES, as they come from the network."""


class AnswerStream(httpcore.NetworkStream):
    """The bytes of one connection, handed out so that none beyond the answer under way is."""

    def __init__(self, network: httpcore.NetworkStream, check: Callable[[], None]) -> None:
        """`check` is called before the first byte of a body is sent."""
        self._network = network
        self._check = check
        self._received = b""
        self._start = 0  # what is before it has been handed out
        self._body_bytes: int | None = None  # of the body that is still to come; None: it comes in lines
        self._answer_bytes = 0  # of the answer under way that have been handed out
        self._in_headers = True  # of the answer under way
        self._is_sending = False  # a part of the request is sent, and nothing of its answer is read
        self.is_early = False  # bytes came before the request's end was sent

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._start == len(self._received):
            self._received, self._start = self._network.read(max_bytes, timeout), 0
        self._is_sending = False
        if self._in_headers and (headers := _END_OF_HEADERS.search(self._received, self._start)):
            end = headers.end()
        elif self._body_bytes is None:
            end = self._received.find(b"\n", self._start) + 1 or len(self._received)
        else:
            end = min(self._start + self._body_bytes, len(self._received))
            self._body_bytes -= end - self._start
        piece = self._received[self._start : end]
        self._start = end
        self._answer_bytes += len(piece)
        if self._answer_bytes > MAX_ANSWER_BYTES:
            raise AnswerTooLong
        return piece

    def begin_body(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Takes the length of the body from the answer's headers, which have been read."""
        values = {name.lower(): value for name, value in headers}
        length = values.get(b"content-length", b"")
        self._in_headers = False
        self._body_bytes = int(length) if length.isdigit() and b"transfer-encoding" not in values else None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        if not self._is_sending:  # the request's first bytes: its connection has just been checked
            self._is_sending, self.is_early = True, False
            self._in_headers, self._body_bytes, self._answer_bytes = True, None, 0
            self._network.write(buffer, timeout)
            return
        self._check()
        view = memoryview(buffer)
        if len(view) > TAIL_BYTES:
            self._network.write(view[:-TAIL_BYTES], timeout)  # type: ignore[arg-type]
            view = view[-TAIL_BYTES:]
        self.is_early = self.is_early or self.has_unasked()
        self._network.write(view, timeout)  # type: ignore[arg-type]

    def has_unasked(self) -> bool:
        """Whether bytes have arrived that have not been handed out; reads what there is, and waits for nothing.

        Over TLS, a readable socket may hold no bytes of an answer, but a session ticket or the end.
        """
        if self._start == len(self._received) and self._network.get_extra_info("is_readable"):
            with contextlib.suppress(httpcore.NetworkError, httpcore.TimeoutException):
                self._received, self._start = self._network.read(READ_BYTES, 0.0), 0
        return self._start < len(self._received)

    @property
    def unasked(self) -> bytes:
        """What has arrived and has not been handed out."""
        return self._received[self._start :]

    def close(self) -> None:
        self._network.close()

    def cut(self) -> None:
        """Ends whatever another thread waits for on this connection."""
        with contextlib.suppress(OSError):
            # the plain socket's shutdown: TLS's own would touch what the sending thread is using
            socket.socket.shutdown(self._network.get_extra_info("socket"), socket.SHUT_RDWR)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._network = self._network.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self._start < len(self._received):
            return True
        return self._network.get_extra_info(info)


class AnswerBackend(httpcore.SyncBackend):
    """Opens connections whose bytes are read through an AnswerStream; `stream` is the newest one."""

    stream: AnswerStream | None = None

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        self.stream = AnswerStream(super().connect_tcp(host, port, timeout, local_address, socket_options), self._check)
        return self.stream
