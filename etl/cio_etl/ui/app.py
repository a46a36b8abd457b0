"""The routes: which page answers each path."""

from __future__ import annotations

import re
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cio_etl.errors import EtlError, failure_of
from cio_etl.log import get_logger
from cio_etl.ui.guard import Access, Guard, error_page
from cio_etl.ui.live import Live
from cio_etl.ui.pages import NotFound, Pages
from cio_etl.ui.render import script, style

log = get_logger()

# report.html has its style inline, and its own policy names the style's digest; both policies hold.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
REPORT_HEADERS = {"Content-Security-Policy": REPORT_POLICY}


def make_app(pages: Pages, access: Access) -> ASGIApp:
    """The ASGI application of a state's pages."""
    app = Starlette(
        routes=[
            Route("/", _page(lambda asked: pages.home(asked.query_params.get("after")))),
            Route("/jobs/{name}", _page(lambda asked: pages.job(asked.path_params["name"], _before(asked)))),
            Route("/runs/{run_id}", _page(lambda asked: pages.run(asked.path_params["run_id"]))),
            Route("/runs/{run_id}/report.html", _page(lambda asked: _report(pages, asked), REPORT_HEADERS)),
            Route("/runs/{run_id}/rejects", _page(lambda asked: _rejected(pages, asked))),
            Route("/rejects", _page(lambda asked: pages.rejects(asked.query_params.get("job")))),
            Route("/plans", _page(lambda asked: pages.plans())),
            Route("/plans/{key}", _page(lambda asked: pages.plan(asked.path_params["key"]))),
            Route(
                "/sandbox", _page(lambda asked: pages.sandbox_page(_number(asked, "people"), _number(asked, "events")))
            ),
            Route("/sandbox/live", Live(pages.sandbox_stamp)),
            Route("/healthz", _health(pages)),
            Route("/live", Live(pages.site.stamp)),
            Route("/style.css", lambda asked: Response(style(), media_type="text/css")),
            Route("/live.js", lambda asked: Response(script(), media_type="text/javascript")),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _unexpected},
    )
    app.router.redirect_slashes = False
    return Guard(app, access)


def _report(pages: Pages, asked: Request) -> str:
    return pages.report_page(asked.path_params["run_id"])


def _before(asked: Request) -> str | None:
    return asked.query_params.get("before")


def _rejected(pages: Pages, asked: Request) -> str:
    query, after = asked.query_params, _number(asked, "after") or 0
    field = query.get("field")
    return pages.rejected(asked.path_params["run_id"], query.get("step", ""), query.get("reason", ""), field, after)


def _sandbox(pages: Pages, asked: Request) -> str:
    return pages.sandbox_page(_number(asked, "people"), _number(asked, "events"))


def _number(asked: Request, name: str) -> int | None:
    """The number of this name in the address; None: there is none."""
    text = asked.query_params.get(name)
    if text is None:
        return None
    if re.fullmatch(r"\d{1,18}", text, re.ASCII) is None:  # 64 bits, in each database
        raise NotFound(f"`{name}` is a number.")
    return int(text)


def _page(make: Callable[[Request], str], headers: dict[str, str] | None = None) -> Callable[[Request], Response]:
    """A handler that Starlette calls in a thread of its own."""

    def answer(asked: Request) -> Response:
        try:
            if any("\0" in text for text in (asked.scope["path"], *asked.query_params.values())):
                raise NotFound("Nothing here has a name with a NUL.")  # PostgreSQL has no text with one
            return HTMLResponse(make(asked), headers=headers)
        except NotFound as error:
            return error_page(404, "There is no such page", str(error))
        except EtlError as error:
            return error_page(503, str(error), error.remedy)

    return answer


def _health(pages: Pages) -> Callable[[Request], Response]:
    def answer(asked: Request) -> Response:
        try:
            pages.site.healthy()
        except EtlError:
            return PlainTextResponse("the state cannot be read\n", 503)
        return PlainTextResponse("ok\n")

    return answer


def _http_error(asked: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return error_page(status, "There is no such page" if status == 404 else "This cannot be shown", "")


def _unexpected(asked: Request, error: Exception) -> Response:
    log.error("page_failed", path=asked.url.path, reason=str(failure_of(error)))
    what = f"An unexpected {type(error).__name__}. Please report it; the state and the runs are not affected."
    return error_page(500, "This page has a fault", what)
