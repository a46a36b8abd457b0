"""The server of the pages: uvicorn on one address, until a signal."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from cio_etl.sandbox.serving import Server, listening, url_of


class PageServer:
    """Serves an application from its start on, in this thread or for the length of a `with` block, at `url`.

    Port 0 takes a free one. Leaving the block, and a signal, cut all connections. Raises OSError for a port in use.
    """

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._socket = listening(host, port)
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=200,
        )
        self.port = int(self._socket.getsockname()[1])
        self.url = url_of("http", host, self.port)
        self._server = Server(config)
        self._thread = threading.Thread(target=self.run, name="pages", daemon=True)

    def run(self) -> None:
        """Serves in this thread until a signal, or the end of the block."""
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._server.accepting.set()

    def __enter__(self) -> PageServer:
        self._thread.start()
        self._server.accepting.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._thread.join()
