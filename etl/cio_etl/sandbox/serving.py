"""Serves an application on a socket: starts and stops at once. The sandbox and the page of runs are served so."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp


class AppServer:
    """Serves an application in this thread, or in one of its own for the length of a `with` block, at `url`.

    It listens as soon as it is created; port 0 takes a free one. `options` are those of uvicorn. Leaving the block, and
    a signal, cut all connections. Raises OSError for a port in use, and what uvicorn raises for its options.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, name: str, **options: Any) -> None:
        self._socket = _listening(host, port)
        config = uvicorn.Config(
            app,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            **options,
        )
        try:
            config.load()  # here, so that the caller gets the error of a bad certificate
        except BaseException:
            self._socket.close()
            raise
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self.url = url_of("https" if config.is_ssl else "http", host, self.port)
        self._server = _Server(config)
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    def run(self, announce: Callable[[str], None] = lambda url: None) -> None:
        """Serves in this thread until a signal, or until `stop`.

        `announce` gets the address. Whoever reads it there may press Ctrl-C before uvicorn handles signals.
        """
        try:
            with self._ended_by_ctrl_c():
                announce(self.url)
                self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._server.accepting.set()  # or a thread that waits for it would wait for ever

    @contextlib.contextmanager
    def _ended_by_ctrl_c(self) -> Iterator[None]:
        """Within the block, SIGINT ends the server, and raises nothing: uvicorn raises it again when it has ended."""
        if threading.current_thread() is not threading.main_thread():
            yield  # which gets no signals
            return

        def end(*_: object) -> None:
            self._server.should_exit = True

        before = signal.signal(signal.SIGINT, end)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def stop(self) -> None:
        """Cuts every connection and ends the thread."""
        self._server.stop()
        self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server.accepting.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """uvicorn's server, which starts and stops without polling, and stops without waiting for clients."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = threading.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """From another thread, after `accepting`."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.accepting.set()

    async def main_loop(self) -> None:
        while not (self.should_exit or self._stopping.is_set()):
            await self.on_tick(0)  # sets the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        while self.server_state.connections:
            await asyncio.sleep(0)
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=1024)
    # Connections inherit it. asyncio sets it only for a socket that was created with TCP named; without it an answer's
    # body waits some 40 ms until the client acknowledges the headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url_of(scheme: str, host: str, port: int) -> str:
    """The address of a server."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
