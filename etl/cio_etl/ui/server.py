"""The server of the pages, on one address, until a signal."""

from __future__ import annotations

from starlette.types import ASGIApp

from cio_etl.sandbox.serving import AppServer


class PageServer(AppServer):
    """Serves the pages. Some two hundred connections at most: each page that is open has one for what is live."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        super().__init__(app, host, port, "pages", http="h11", limit_concurrency=200)
