"""Read access: the App API, the sandbox's own figures, and its pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cio_etl.sandbox import page, readback
from cio_etl.sandbox.faults import Faults
from cio_etl.sandbox.people import People, Person
from cio_etl.sandbox.workspace import Workspace


class Lookup:
    """The endpoints that change nothing, and the one that sets faults."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @property
    def people(self) -> People:
        return self.workspace.people

    async def region(self, request: Request) -> Response:
        if not self.workspace.may_track(_authorization(request)):
            return _unauthorized()
        url = str(request.base_url).rstrip("/")
        return _json({"url": url, "region": self.workspace.faults.region, "environment_id": 1})

    # ---------------------------------------------------------------- App API

    async def customers(self, request: Request) -> Response:
        email = request.query_params.get("email", "")
        return self._read_back(request, lambda: {"results": readback.by_email(self.people, email)})

    async def many_attributes(self, request: Request) -> Response:
        ids = await _ids_of(request)

        def found() -> Any:
            people = (readback.find(self.people, _id_type(request), each) for each in ids or ())
            return {"customers": [readback.customer(person) for person in people if person]}

        if ids is None and self.workspace.may_read_back(_authorization(request)):
            return _json({"errors": [{"detail": "ids must be 1 to 100 strings", "status": "400"}]}, 400)
        return self._read_back(request, found)

    async def attributes(self, request: Request) -> Response:
        return self._of_person(request, lambda person: {"customer": readback.customer(person)})

    async def activities_of_person(self, request: Request) -> Response:
        return self._of_person(
            request, lambda person: readback.activities_of(self.people, person, request.query_params)
        )

    async def relationships_of_person(self, request: Request) -> Response:
        return self._of_person(request, lambda person: readback.relationships_of_person(self.people, person))

    async def segments_of_person(self, request: Request) -> Response:
        return self._of_person(request, lambda person: readback.segments_of(self.people, person))

    async def attributes_of_object(self, request: Request) -> Response:
        return self._of_object(request, readback.thing)

    async def relationships_of_object(self, request: Request) -> Response:
        return self._of_object(request, lambda what: readback.relationships_of_object(self.people, what))

    async def segments(self, request: Request) -> Response:
        return self._read_back(request, lambda: readback.segments(self.people))

    async def customer_count(self, request: Request) -> Response:
        return self._of_segment(request, lambda number: {"count": len(self.people.segments[number])})

    async def membership(self, request: Request) -> Response:
        return self._of_segment(request, lambda number: readback.membership(self.people, number, request.query_params))

    async def activities(self, request: Request) -> Response:
        return self._read_back(request, lambda: readback.activities(self.people, request.query_params))

    def _of_person(self, request: Request, shown: Callable[[Person], Any]) -> Response:
        def found() -> Any:
            person = readback.find(self.people, _id_type(request), request.path_params["identifier"])
            return person and shown(person)

        return self._read_back(request, found, "customer")

    def _of_object(self, request: Request, shown: Callable[[Any], Any]) -> Response:
        def found() -> Any:
            what = self.people.objects.find(request.path_params["object_type_id"], request.path_params["object_id"])
            return what and shown(what)

        return self._read_back(request, found, "object")

    def _of_segment(self, request: Request, shown: Callable[[int], Any]) -> Response:
        number = request.path_params["segment_id"]
        return self._read_back(request, lambda: shown(number) if number in self.people.segments else None, "segment")

    def _read_back(self, request: Request, found: Callable[[], Any], what: str = "") -> Response:
        if not self.workspace.may_read_back(_authorization(request)):
            return _unauthorized()
        if _id_type(request) not in readback.ID_TYPES:
            return _json({"errors": [{"detail": "no such id_type", "status": "400"}]}, 400)
        document = found()
        if document is None:
            return _json({"errors": [{"detail": f"{what} not found", "status": "404"}]}, 404)
        return _json(document)

    # ---------------------------------------------------------------- the sandbox's own

    async def stats(self, request: Request) -> Response:
        return _json(self.workspace.stats())

    async def suppressed(self, request: Request) -> Response:
        return _json([{kind: value} for kind, value in self.people.suppressed])

    async def merges(self, request: Request) -> Response:
        return _json([{"primary": each.primary, "secondary": each.secondary} for each in self.people.merges])

    async def anonymous_events(self, request: Request) -> Response:
        return _json([readback.event(each) for each in self.people.anonymous_events])

    async def messages(self, request: Request) -> Response:
        return _json(dict(self.workspace.messages))

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
        return _page(page.home(self.workspace.stats(), self.people))

    async def person(self, request: Request) -> Response:
        found = self.people.find("cio_id", request.path_params["cio_id"])
        return _page(page.person(found, self.people)) if found else _page(page.nobody("person"), 404)

    async def thing(self, request: Request) -> Response:
        found = self.people.objects.by_cio_object_id.get(request.path_params["cio_object_id"])
        return _page(page.thing(found, self.people)) if found else _page(page.nobody("object"), 404)


async def _ids_of(request: Request) -> list[str] | None:
    """The identifiers of a read-back, 1 to 100 of them; None when there is another thing in the body."""
    try:
        ids = (await request.json())["ids"]
    except (ValueError, TypeError, KeyError):
        return None
    if isinstance(ids, list) and 1 <= len(ids) <= 100 and all(isinstance(each, str) for each in ids):
        return ids
    return None


def _authorization(request: Request) -> str:
    return request.headers.get("authorization", "")


def _id_type(request: Request) -> str:
    return request.query_params.get("id_type", "id")


def _json(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type="application/json")


def _page(html: str, status: int = 200) -> Response:
    # Nothing of a page may run or be fetched, whatever the data holds.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return HTMLResponse(html, status, {"content-security-policy": policy, "x-content-type-options": "nosniff"})


def _unauthorized() -> Response:
    return _json({"meta": {"error": "Unauthorized request"}}, 401)
