"""Request paths: decodes identifiers after splitting, and answers unknown paths and methods with JSON."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote, unquote, unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cio_etl.sandbox.workspace import Workspace

JSON_TYPE: Final = "application/json; charset=utf-8"  # of every recorded answer of Track and App


class Segment(Convertor[str]):
    """A path parameter that is one segment of the path. It is decoded once, so `1%2F` is the identifier `1/`."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("segment", Segment())  # for routes, as `{identifier:segment}`


class EncodedPaths:
    """Lets routes match the encoded path: uvicorn decodes the path before the router splits it at each `/`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                scope = {**scope, "path": canonical(scope["raw_path"])}
            except UnicodeDecodeError:  # with U+FFFD in place of such bytes, two identifiers could become one
                answer = _answer(scope["path"], 400, "the path is not UTF-8 after percent-decoding")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def canonical(raw_path: bytes) -> str:
    """The path with each segment encoded in the one way that `Segment` decodes. Raises UnicodeDecodeError.

    >>> canonical(b"/api/v1/custom%65rs/a%2fb@c")
    '/api/v1/customers/a%2Fb%40c'
    """
    return "/".join(quote(unquote_to_bytes(segment).decode(), safe="") for segment in raw_path.split(b"/"))


class UnknownPath:
    """Answers requests that no route takes. A path of the App API needs the App key first, as every other does."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def answer(self, request: Request, error: Exception) -> Response:
        path: str = request.scope["path"]
        if _is_app(path):
            if not self._workspace.may_read_back(request.headers.get("authorization", "")):
                return unauthorized()
            # Customer.io has operations that the sandbox has not, on paths of others: 404, not 405.
            return _answer(path, 404, "the sandbox does not serve this operation")
        if isinstance(error, HTTPException) and error.status_code == 405:
            answer = _answer(path, 405, "the path does not take this method")
            answer.headers.update(error.headers or {})  # Allow
            return answer
        return _answer(path, 404, "the sandbox does not serve this path")


def app_error(status: int, message: str) -> Response:
    """An error in the shape that most operations of the App API declare."""
    return json_answer({"errors": [{"detail": message, "status": str(status)}]}, status)


def unauthorized() -> Response:
    """The answer to wrong credentials."""
    return json_answer({"meta": {"error": "Unauthorized request"}}, 401)


def json_answer(document: Any, status: int = 200) -> Response:
    """A document as the body of an answer."""
    return Response(json.dumps(document), status, {"content-type": JSON_TYPE})


def _answer(path: str, status: int, message: str) -> Response:
    """An error in the shape of the API whose path it is. The message never quotes the path: it can name a person."""
    if path.startswith("/v1/send/"):  # the App API's transactional messages
        return json_answer({"meta": {"error": message}}, status)
    if _is_app(path):
        return app_error(status, message)
    if path.startswith("/v1/"):
        return json_answer({"meta": {"errors": [message]}}, status)
    if path.startswith(("/api/", "/unsubscribe/")):
        return json_answer({"meta": {"error": message}}, status)
    return json_answer({"error": message}, status)


def _is_app(path: str) -> bool:
    return path.startswith("/v1/") and path not in _PIPELINES


_PIPELINES: Final = frozenset(
    f"/v1/{call}" for call in ("batch", "identify", "track", "page", "screen", "group", "alias")
)
