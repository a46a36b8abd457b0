"""Read access: the App API, the sandbox's own figures, and its pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cio_etl.sandbox import activities, listing, page, readback
from cio_etl.sandbox.faults import Faults
from cio_etl.sandbox.paths import app_error, json_answer, unauthorized
from cio_etl.sandbox.people import People, Person
from cio_etl.sandbox.workspace import Workspace


class Lookup:
    """The endpoints that only read, the one that creates a manual segment, and the one that sets faults."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    @property
    def people(self) -> People:
        return self.workspace.people

    async def region(self, request: Request) -> Response:
        if not self.workspace.may_track(_authorization(request), is_revoked=self.workspace.sequence.is_key_revoked()):
            return unauthorized()
        url = str(request.base_url).rstrip("/")
        return json_answer({"url": url, "region": self.workspace.faults.region, "environment_id": 1})

    # ---------------------------------------------------------------- App API

    async def customers(self, request: Request) -> Response:
        email = request.query_params.get("email", "")
        return self._read_back(request, lambda: {"results": readback.by_email(self.people, email)})

    async def many_attributes(self, request: Request) -> Response:
        ids = await _ids_of(request)

        def customers() -> Any:
            people = (readback.find(self.people, _id_type(request), each) for each in ids or ())
            return {"customers": [{"customer": readback.customer(person)} for person in people if person]}

        if ids is None and self.workspace.may_read_back(_authorization(request)):
            return app_error(400, "ids must be 1 to 100 strings")
        return self._read_back(request, customers)

    async def attributes(self, request: Request) -> Response:
        return self._of_person(request, lambda person: {"customer": readback.customer(person)})

    async def activities_of_person(self, request: Request) -> Response:
        return self._of_person(
            request, lambda person: activities.activities_of(self.people, person, request.query_params)
        )

    async def relationships_of_person(self, request: Request) -> Response:
        return self._of_person(
            request, lambda person: readback.relationships_of_person(self.people, person, request.query_params)
        )

    async def segments_of_person(self, request: Request) -> Response:
        return self._of_person(request, lambda person: readback.segments_of(self.people, person))

    async def attributes_of_object(self, request: Request) -> Response:
        return self._of_object(request, readback.thing)

    async def relationships_of_object(self, request: Request) -> Response:
        return self._of_object(
            request, lambda what: readback.relationships_of_object(self.people, what, request.query_params)
        )

    async def segments(self, request: Request) -> Response:
        return self._read_back(request, lambda: {"segments": [readback.segment(each) for each in self.people.segments]})

    async def create_segment(self, request: Request) -> Response:
        if not self.workspace.may_read_back(_authorization(request)):
            return unauthorized()
        new = readback.new_segment(await _json_of(request))
        if new is None:
            return app_error(400, "segment.name must be text that is not blank, and segment.description text")
        segment = self.people.segments.create(*new, self.workspace.now())
        return json_answer({"segment": readback.segment(segment)})

    async def segment(self, request: Request) -> Response:
        return self._of_segment(
            request, lambda number: {"segment": readback.segment(self.people.segments.by_id[number])}
        )

    async def customer_count(self, request: Request) -> Response:
        return self._of_segment(
            request, lambda number: {"segment_id": number, "count": len(self.people.segments.by_id[number].members)}
        )

    async def membership(self, request: Request) -> Response:
        return self._of_segment(request, lambda number: readback.membership(self.people, number, request.query_params))

    async def activities(self, request: Request) -> Response:
        query = request.query_params
        if "customer_id" not in query:
            return self._read_back(request, lambda: activities.activities(self.people, query))

        def of_person() -> Any:
            person = readback.find(self.people, _id_type(request), query["customer_id"])
            return person and activities.activities_of(self.people, person, query)

        return self._read_back(request, of_person, "customer")

    def _of_person(self, request: Request, document_of: Callable[[Person], Any]) -> Response:
        def document() -> Any:
            person = readback.find(self.people, _id_type(request), request.path_params["identifier"])
            return person and document_of(person)

        return self._read_back(request, document, "customer")

    def _of_object(self, request: Request, document_of: Callable[[Any], Any]) -> Response:
        id_type = request.query_params.get("id_type", "object_id")

        def document() -> Any:
            identifiers = request.path_params["object_type_id"], request.path_params["object_id"]
            what = readback.find_object(self.people, id_type, *identifiers)
            return what and document_of(what)

        return self._read_back(request, document, "object", id_type, readback.OBJECT_ID_TYPES)

    def _of_segment(self, request: Request, document_of: Callable[[int], Any]) -> Response:
        number = request.path_params["segment_id"]
        return self._read_back(
            request, lambda: document_of(number) if number in self.people.segments else None, "segment"
        )

    def _read_back(
        self,
        request: Request,
        document_of: Callable[[], Any],
        what: str = "",
        id_type: str | None = None,
        id_types: tuple[str, ...] = readback.ID_TYPES,
    ) -> Response:
        """The answer with a document; 404 when it is None, which `what` names."""
        if not self.workspace.may_read_back(_authorization(request)):
            return unauthorized()
        if (id_type or _id_type(request)) not in id_types:
            return app_error(400, f"id_type must be {', '.join(id_types[:-1])} or {id_types[-1]}")
        document = document_of()
        return app_error(404, f"{what} not found") if document is None else json_answer(document)

    # ---------------------------------------------------------------- the sandbox's own

    async def stats(self, request: Request) -> Response:
        return json_answer(self.workspace.stats())

    async def people_listed(self, request: Request) -> Response:
        return json_answer(listing.people_listed(self.people, request.query_params))

    async def events_listed(self, request: Request) -> Response:
        return json_answer(listing.events_listed(self.people, request.query_params))

    async def suppressed(self, request: Request) -> Response:
        return json_answer([{kind: value} for kind, value in self.people.suppressed])

    async def merges(self, request: Request) -> Response:
        return json_answer([{"primary": each.primary, "secondary": each.secondary} for each in self.people.merges])

    async def anonymous_events(self, request: Request) -> Response:
        return json_answer([activities.event(each) for each in self.people.anonymous_events])

    async def messages(self, request: Request) -> Response:
        return json_answer(dict(self.workspace.messages))

    async def set_faults(self, request: Request) -> Response:
        # Only scripts of this origin can send this type without asking first, so no page of the Internet can.
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return json_answer({"error": "content-type must be application/json"}, 415)
        try:
            self.workspace.set_faults(Faults.from_json(await request.json()))
        except ValueError as error:
            message = "not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
            return json_answer({"error": message}, 400)
        return json_answer({})

    async def home(self, request: Request) -> Response:
        return _page(page.home(self.workspace.stats(), self.people))

    async def person(self, request: Request) -> Response:
        who = self.people.find("cio_id", request.path_params["cio_id"])
        return _page(page.person(who, self.people)) if who else _page(page.not_found("person"), 404)

    async def thing(self, request: Request) -> Response:
        what = self.people.objects.by_cio_object_id.get(request.path_params["cio_object_id"])
        return _page(page.thing(what, self.people)) if what else _page(page.not_found("object"), 404)


async def _json_of(request: Request) -> Any:
    """The body as JSON; None when it is none."""
    try:
        return await request.json()
    except ValueError:
        return None


async def _ids_of(request: Request) -> list[str] | None:
    """The identifiers of a read-back, 1 to 100 of them; None when the body has another form."""
    body = await _json_of(request)
    ids = body.get("ids") if isinstance(body, dict) else None
    if isinstance(ids, list) and 1 <= len(ids) <= 100 and all(isinstance(each, str) for each in ids):
        return ids
    return None


def _authorization(request: Request) -> str:
    return request.headers.get("authorization", "")


def _id_type(request: Request) -> str:
    return request.query_params.get("id_type", "id")


def _page(html: str, status: int = 200) -> Response:
    # Nothing of a page may run or be fetched, whatever the data holds.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return HTMLResponse(html, status, {"content-security-policy": policy, "x-content-type-options": "nosniff"})
