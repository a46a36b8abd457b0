"""Decides who may read the page, and what a browser may do with it.

Nothing can be changed: only GET and HEAD are answered. A name in `Host` that is not the page's own is refused, so that
no web page reaches it by a name of its own that resolves to this machine. Beyond this machine a token is needed.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cio_etl.sandbox.serving import is_loopback
from cio_etl.ui.render import rendered

COOKIE = "cio_etl_ui"
OPEN_TO_ALL = ("/healthz", "/style.css")  # they say nothing of the state
LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may read: by which names the page is called, and the token to show. `token` None: none is needed."""

    names: frozenset[str]
    by_address: bool = False  # any IP address is its name, too: nobody can make one resolve to another
    token: str | None = field(default=None, repr=False)

    @classmethod
    def on(cls, host: str, more_names: Iterable[str] = (), token: str | None = None) -> Access:
        """The access to a page that listens on this host."""
        names = {name.lower() for name in (*LOOPBACK, *more_names)}
        if is_loopback(host):
            return cls(frozenset(names | {host.lower()}), token=token)
        here = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(frozenset(names | here), by_address=True, token=token)

    def has_name(self, host: str) -> bool:
        """Whether a request that names this host is meant for the page."""
        name = host.strip().lower()
        name = name[1:].split("]")[0] if name.startswith("[") else name.rsplit(":", 1)[0] if ":" in name else name
        if name.removesuffix(".") in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.by_address

    def is_token(self, shown: str) -> bool:
        """Whether this is the token; how long that takes does not depend on how much of it is right."""
        return self.token is not None and hmac.compare_digest(shown.encode(), self.token.encode())


class Guard:
    """The application behind it is only reached by who may read it; every answer has the headers of safety."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._session = secrets.token_urlsafe(32)  # what the cookie holds: the token itself is stored in no browser

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(scope) or self._app
        await answer(scope, receive, send_safely)

    def _answer(self, scope: Scope) -> Response | None:
        """The answer to a request that does not reach the application; None: it does."""
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            allowed = {"Allow": "GET, HEAD"}
            return error_page(405, "This page only shows", "Nothing can be changed here.", allowed)
        if not self._access.has_name(headers.get("host", "")):
            what = "Open it by its own address, or start `cio-etl ui` with --name for another name of this machine."
            return error_page(400, "The page has another name", what)
        if self._access.token is None or scope["path"] in OPEN_TO_ALL:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = [value for name, value in query if name == "token"]
        if shown and self._access.is_token(shown[-1]):
            return self._welcomed(scope["path"], [(name, value) for name, value in query if name != "token"])
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if (kind.lower() == "bearer" and self._access.is_token(bearer.strip())) or self._has_session(headers):
            return None
        return HTMLResponse(rendered("token.html.j2", wrong=bool(shown)), 401, {"WWW-Authenticate": "Bearer"})

    def _welcomed(self, path: str, query: list[tuple[str, str]]) -> Response:
        """Sets the cookie, and leads to the same page without the token in its address."""
        answer = RedirectResponse(f"/{path.lstrip('/')}{f'?{urlencode(query)}' if query else ''}", 303)
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return answer

    def _has_session(self, headers: Headers) -> bool:
        cookie: SimpleCookie = SimpleCookie()
        try:
            cookie.load(headers.get("cookie", ""))
        except CookieError:
            return False
        return COOKIE in cookie and hmac.compare_digest(cookie[COOKIE].value.encode(), self._session.encode())


def error_page(status: int, title: str, what: str, headers: dict[str, str] | None = None) -> Response:
    """A plain page that says what is wrong, and what to do."""
    return HTMLResponse(rendered("error.html.j2", title=title, what=what, status=status), status, headers)
