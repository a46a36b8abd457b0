"""Tells open pages that the state has changed: a stream of server-sent events, each without content."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from cio_etl.errors import EtlError
from cio_etl.log import get_logger

log = get_logger()

LOOK_EVERY_S = 2.0
ALIVE_EVERY_S = 15.0  # a line that says nothing: without it, a connection that is gone is not noticed
MOST_PAGES = 30  # beyond, a page is read as it was loaded


class Live:
    """The stream of events, an ASGI application. `stamp` is another one after each change.

    A page says which stamp it shows: `/live?known=…`.
    """

    def __init__(self, stamp: Callable[[], str]) -> None:
        self._stamp = stamp
        self._last = (0.0, "")
        self._looking = asyncio.Lock()
        self._pages = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_full = self._pages >= MOST_PAGES
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 503 if is_full else 200, "headers": headers})
        if is_full or scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        self._pages += 1
        known = Request(scope).query_params.get("known", "")
        telling = asyncio.create_task(self._tell(send, known))
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._pages -= 1
            telling.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await telling

    async def _tell(self, send: Send, known: str) -> None:
        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        await write("retry: 5000\n\n")
        alive_at = time.monotonic()
        while True:
            stamp = await self._current()
            if stamp != known:
                known, alive_at = stamp, time.monotonic()
                await write("event: changed\ndata:\n\n")
            elif time.monotonic() - alive_at > ALIVE_EVERY_S:
                alive_at = time.monotonic()
                await write(":\n\n")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _current(self) -> str:
        """The stamp of now; all pages share one look at the state."""
        async with self._looking:
            if time.monotonic() - self._last[0] > LOOK_EVERY_S / 2:
                try:
                    stamp = await run_in_threadpool(self._stamp)
                except EtlError as error:
                    stamp = str(error)
                self._last = (time.monotonic(), stamp)
            return self._last[1]
