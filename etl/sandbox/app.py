"""Which path is answered by what?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from etl.sandbox import page, readback, wire
from etl.sandbox.faults import UNREADABLE, Answer, Faults
from etl.sandbox.workspace import Workspace

# A page of the Internet that gets this address by a trick of DNS names its own host: it may not look in here.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]")


def make_app(workspace: Workspace) -> Starlette:
    """The ASGI application of a workspace."""
    endpoint = _Endpoints(workspace)
    return Starlette(
        routes=[
            Route("/api/v2/batch", endpoint.batch, methods=["POST"]),
            Route("/api/v2/entity", endpoint.entity, methods=["POST"]),
            Route("/api/v1/accounts/region", endpoint.region),
            Route("/v1/customers", endpoint.customers),
            Route("/v1/customers/attributes", endpoint.many_attributes, methods=["POST"]),
            Route("/v1/customers/{identifier}/attributes", endpoint.attributes),
            Route("/v1/customers/{identifier}/activities", endpoint.activities),
            Route("/__sandbox/stats", endpoint.stats),
            Route("/__sandbox/faults", endpoint.set_faults, methods=["POST"]),
            Route("/", endpoint.home),
            Route("/people/{cio_id}", endpoint.person),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES))],
    )


class _Endpoints:
    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    # ---------------------------------------------------------------- Track API

    async def batch(self, request: Request) -> Response:
        return await self._ingest(request, self.workspace.faults.max_body_bytes, self.workspace.take_batch)

    async def entity(self, request: Request) -> Response:
        return await self._ingest(request, self.workspace.max_entity_bytes, self.workspace.take_entity)

    async def region(self, request: Request) -> Response:
        if not self.workspace.may_track(request.headers.get("authorization", "")):
            return _unauthorized()
        url = str(request.base_url).rstrip("/")
        return _json({"url": url, "region": self.workspace.faults.region, "environment_id": 1})

    async def _ingest(self, request: Request, limit: int, take: Callable[[bytes], Answer]) -> Response:
        faults = self.workspace.faults
        fault, one_too_many = self.workspace.arrived()
        if fault == "cut_upload":
            return wire.Reset()
        if fault == "early_413":
            return self._counted(Response(status_code=413, headers={"connection": "close"}))
        try:
            body, size = await _received(request, limit)
        except ClientDisconnect:
            return wire.Hang()
        self.workspace.traffic.body_sizes.append(size)
        if faults.latency_s:
            await wire.pause(request.receive, faults.latency_s)

        def right() -> Response:
            if one_too_many:
                return _plain(faults.answer_with(429, self.workspace.now()))
            if not self.workspace.may_track(request.headers.get("authorization", "")):
                return _unauthorized()
            return _plain(self.workspace.too_large(size, limit) or take(body))

        return self._counted(self._befallen(fault, right))

    def _befallen(self, fault: str | Answer, right: Callable[[], Response]) -> Response:
        """The answer when a fault befalls the request. `right()` applies it and gives the right answer."""
        faults = self.workspace.faults
        if isinstance(fault, Answer):
            if fault.applied:
                right()
            return _plain(fault)
        if fault.isdigit():
            return _plain(faults.answer_with(int(fault), self.workspace.now()))
        if fault in UNREADABLE:
            return _plain(UNREADABLE[fault])
        if fault == "lost_before":
            return wire.Reset()
        if fault == "hang_before":
            return wire.Hang()
        answer = right()
        match fault:
            case "lost_after":
                return wire.Reset()
            case "closed_after":
                return wire.Raw(b"")
            case "hang_after":
                return wire.Hang()
            case "drip":
                return wire.dripping(answer, faults.drip_s)
            case "truncated":
                return wire.truncated(answer, faults.cut_at)
            case "broken_chunks":
                return wire.broken_chunks(answer)
            case "bad_gzip":
                return wire.bad_gzip(answer)
            case "huge":
                return wire.huge(faults.huge_bytes)
            case "header_bomb":
                return wire.header_bomb()
            case "two_answers":
                return wire.TwoAnswers(answer)
        return answer

    def _counted(self, response: Response) -> Response:
        if not isinstance(response, wire.Reset | wire.Hang | wire.Raw):
            self.workspace.traffic.answers[response.status_code] += 1
        return response

    # ---------------------------------------------------------------- App API

    async def customers(self, request: Request) -> Response:
        return self._read_back(
            request,
            lambda: {"results": readback.by_email(self.workspace.people, request.query_params.get("email", ""))},
        )

    async def attributes(self, request: Request) -> Response:
        def found() -> Any:
            person = readback.find(self.workspace.people, _id_type(request), request.path_params["identifier"])
            return person and {"customer": readback.customer(person)}

        return self._read_back(request, found)

    async def many_attributes(self, request: Request) -> Response:
        ids = await _ids_of(request)

        def found() -> Any:
            people = (readback.find(self.workspace.people, _id_type(request), each) for each in ids or ())
            return {"customers": [readback.customer(person) for person in people if person]}

        if ids is None and self.workspace.may_read_back(request.headers.get("authorization", "")):
            return _json({"errors": [{"detail": "ids must be 1 to 100 strings", "status": "400"}]}, 400)
        return self._read_back(request, found)

    async def activities(self, request: Request) -> Response:
        def found() -> Any:
            person = readback.find(self.workspace.people, _id_type(request), request.path_params["identifier"])
            return person and readback.activities(self.workspace.people, person, request.query_params)

        return self._read_back(request, found)

    def _read_back(self, request: Request, found: Callable[[], Any]) -> Response:
        if not self.workspace.may_read_back(request.headers.get("authorization", "")):
            return _unauthorized()
        if request.query_params.get("id_type", "id") not in readback.ID_TYPES:
            return _json({"errors": [{"detail": "no such id_type", "status": "400"}]}, 400)
        document = found()
        if document is None:
            return _json({"errors": [{"detail": "customer not found", "status": "404"}]}, 404)
        return _json(document)

    # ---------------------------------------------------------------- the sandbox's own

    async def stats(self, request: Request) -> Response:
        return _json(self.workspace.stats())

    async def set_faults(self, request: Request) -> Response:
        # Only scripts of this origin can send this type without asking first, so no page of the Internet can.
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _json({"error": "content-type must be application/json"}, 415)
        try:
            self.workspace.set_faults(Faults.from_json(await request.json()))
        except ValueError as error:
            message = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
            return _json({"error": message}, 400)
        return _json({})

    async def home(self, request: Request) -> Response:
        return _page(page.home(self.workspace.stats(), self.workspace.people))

    async def person(self, request: Request) -> Response:
        found = self.workspace.people.find("cio_id", request.path_params["cio_id"])
        return _page(page.person(found, self.workspace.people)) if found else _page(page.nobody(), 404)


async def _received(request: Request, limit: int) -> tuple[bytes, int]:
    """The body and its size. It is read to its end, for an orderly answer, and kept as far as the limit allows."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks), size


async def _ids_of(request: Request) -> list[str] | None:
    """The identifiers of a read-back, 1 to 100 of them; None when there is another thing in the body."""
    try:
        ids = (await request.json())["ids"]
    except (ValueError, TypeError, KeyError):
        return None
    if isinstance(ids, list) and 1 <= len(ids) <= 100 and all(isinstance(each, str) for each in ids):
        return ids
    return None


def _id_type(request: Request) -> str:
    return request.query_params.get("id_type", "id")


def _plain(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    names = {name.lower() for name, _ in answer.headers}
    if "content-type" not in names and answer.body:
        response.headers["content-type"] = "application/json"
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response


def _json(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type="application/json")


def _page(html: str, status: int = 200) -> Response:
    # Nothing of a page may run or be fetched, whatever the data holds.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return HTMLResponse(html, status, {"content-security-policy": policy, "x-content-type-options": "nosniff"})


def _unauthorized() -> Response:
    return _json({"meta": {"error": "Unauthorized request"}}, 401)
