"""Faults of connections: answers that are cut, late, broken or endless.

uvicorn has no way to drop a connection from inside an application, so `ReachableTransport` hands the connection's
transport to the application, and the classes below are Starlette responses that use it. Each of them returns only
when the connection has ended: then uvicorn neither expects an answer nor logs that there was none.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT: Final = "sandbox.transport"
_CHUNK: Final = bytes(1_000_000)


class ReachableTransport(H11Protocol):
    """uvicorn's HTTP/1.1, with the transport in each request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope[_TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport


class Reset(Response):
    """No answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope[_TRANSPORT]
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with RST, not FIN
        transport.abort()
        await _end_of(receive)


class Raw(Response):
    """These bytes as the answer, valid HTTP or not; then the connection is closed."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope[_TRANSPORT]
        transport.write(self.data)
        transport.close()
        await _end_of(receive)


class Hang(Response):
    """No answer until the client closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _end_of(receive)


class TwoAnswers(Response):
    """The correct answer, and a second one after it."""

    def __init__(self, correct: Response) -> None:
        super().__init__()
        self.correct = correct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.correct(scope, receive, send)
        scope[_TRANSPORT].write(_raw_head(200, b"content-length: 2") + b"{}")


def truncated(correct: Response, after_bytes: int) -> Response:
    """The correct answer, whose body ends too early."""
    body = bytes(correct.body)
    return Raw(
        _raw_head(correct.status_code, b"content-length: %d" % len(body)) + body[: min(after_bytes, len(body) - 1)]
    )


def broken_chunks(correct: Response) -> Response:
    """The correct answer in a chunked body whose second chunk has no size."""
    body = bytes(correct.body)
    return Raw(
        _raw_head(correct.status_code, b"transfer-encoding: chunked") + b"%x\r\n%s\r\nno size\r\n" % (len(body), body)
    )


def bad_gzip(correct: Response) -> Response:
    """The correct answer, with a header that says it is compressed, which it is not."""
    return Response(correct.body, correct.status_code, {"content-encoding": "gzip", "content-type": "application/json"})


def header_bomb() -> Response:
    """An answer with a header larger than any client should read."""
    return Raw(_raw_head(200, b"x-bomb: " + b"a" * 1_000_000, b"content-length: 2") + b"{}")


def huge(size_bytes: int) -> Response:
    """An answer with a body of this size."""

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size_bytes, len(_CHUNK)):
            yield _CHUNK[: size_bytes - start]

    return StreamingResponse(chunks(), media_type="application/json")


def dripping(correct: Response, pause_s: float) -> Response:
    """The correct answer, one byte at a time."""

    async def drops() -> AsyncIterator[bytes]:
        for byte in bytes(correct.body):
            await asyncio.sleep(pause_s)
            yield bytes([byte])

    return StreamingResponse(drops(), correct.status_code, media_type="application/json")


async def pause(receive: Receive, seconds: float) -> None:
    """Wait, but not after the client has closed the connection."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_end_of(receive), seconds)


async def _end_of(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _raw_head(status: int, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 %d Sandbox" % status, b"content-type: application/json", *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n"
