"""The routes: which handler answers each path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cio_etl.sandbox import answers, handlers, pipelines_handlers, v1
from cio_etl.sandbox.faults import Answer
from cio_etl.sandbox.faulty import faulty_answer
from cio_etl.sandbox.handlers import Sent, V1Call
from cio_etl.sandbox.ingest import Ingest
from cio_etl.sandbox.lookup import Lookup
from cio_etl.sandbox.paths import EncodedPaths, UnknownPath
from cio_etl.sandbox.pipelines import CALLS, MAX_CALL_BYTES
from cio_etl.sandbox.workspace import Workspace

# A web page that makes its own host name resolve to this address sends that name: it gets no answer.
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1", "[::1]")


def make_app(workspace: Workspace) -> Starlette:
    """The ASGI application of a workspace."""
    app = Starlette(
        routes=[*_track_v2(workspace), *_track_v1(workspace), *_pipelines(workspace), *_lookup(workspace)],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES)),
            Middleware(EncodedPaths),
        ],
        exception_handlers={HTTPException: UnknownPath(workspace).answer},
    )
    app.router.redirect_slashes = False  # a redirect from `/customers/1/` would reach the person "1"
    return app


def _track_v2(workspace: Workspace) -> list[Route]:
    def batch(request: Request, sent: Sent) -> Answer:
        return handlers.handle_batch(workspace, sent)

    def entity(request: Request, sent: Sent) -> Answer:
        return handlers.handle_entity(workspace, sent)

    return [
        _post(workspace, "/api/v2/batch", batch),
        _post(workspace, "/api/v2/entity", entity, lambda: handlers.max_entity_bytes(workspace)),
    ]


def _track_v1(workspace: Workspace) -> list[Route]:
    def v1_call(call: V1Call) -> Callable[[Request, Sent], Answer]:
        return lambda request, sent: handlers.handle_v1(
            workspace, sent, request.path_params.get("identifier", ""), call
        )

    def items(items_of: Callable[[str, object], list[v1.Item]]) -> Callable[[Request, Sent], Answer]:
        return v1_call(V1Call(items_of))

    def device_deletion(request: Request, sent: Sent) -> Answer:
        items_of = v1.device_deleted(request.path_params["token"])
        return v1_call(V1Call(items_of, refused=answers.meta_errors))(request, sent)

    def segment(add: bool) -> Callable[[Request, Sent], Answer]:
        def change(request: Request, sent: Sent) -> Answer:
            segment_id, id_type = request.path_params["segment_id"], request.query_params.get("id_type", "id")
            return handlers.handle_segment(workspace, sent, segment_id, id_type, add=add)

        return change

    form = V1Call(v1.form_submitted, accepted=answers.NO_CONTENT, refused=answers.meta_errors)
    person = "/api/v1/customers/{identifier:segment}"
    return [
        _post(workspace, "/api/v1/events", items(v1.anonymous_event)),
        _post(workspace, "/api/v1/merge_customers", items(v1.merged)),
        _post(workspace, "/api/v1/segments/{segment_id:int}/add_customers", segment(add=True)),
        _post(workspace, "/api/v1/segments/{segment_id:int}/remove_customers", segment(add=False)),
        _post(workspace, person, items(v1.customer), method="PUT"),
        _post(workspace, person, items(v1.deleted), method="DELETE"),
        _post(workspace, f"{person}/events", items(v1.event)),
        _post(workspace, f"{person}/suppress", items(v1.suppressed)),
        _post(workspace, f"{person}/unsuppress", items(v1.unsuppressed)),
        _post(workspace, f"{person}/devices", items(v1.device), method="PUT"),
        _post(workspace, f"{person}/devices/{{token:segment}}", device_deletion, method="DELETE"),
        _post(workspace, "/api/v1/forms/{form_id:segment}/submit", v1_call(form)),
        # The document asks for no credentials on these paths, which devices and mail clients use.
        _post(workspace, "/api/v1/metrics", v1_call(V1Call(v1.metric, needs_key=False))),
        _post(workspace, "/api/v1/push/events", v1_call(V1Call(v1.push_event, needs_key=False))),
        _post(
            workspace,
            "/unsubscribe/{identifier:segment}",
            v1_call(V1Call(v1.unsubscribed, needs_key=False, needs_json_type=True)),
        ),
    ]


def _pipelines(workspace: Workspace) -> list[Route]:
    def calls(kind: str | None) -> Callable[[Request, Sent], Answer]:
        return lambda request, sent: pipelines_handlers.handle_calls(workspace, sent, kind)

    def max_call_bytes() -> int:
        return min(MAX_CALL_BYTES, workspace.faults.max_body_bytes)

    return [
        _post(workspace, "/v1/batch", calls(None)),
        *(_post(workspace, f"/v1/{kind}", calls(kind), max_call_bytes) for kind in CALLS),
    ]


def _post(
    workspace: Workspace,
    path: str,
    handle: Callable[[Request, Sent], Answer],
    max_bytes: Callable[[], int] | None = None,
    *,
    method: str = "POST",
) -> Route:
    """A path that takes data, and whose requests are subject to faults."""
    limit = max_bytes or (lambda: workspace.faults.max_body_bytes)
    counted_as = path.replace(":segment}", "}").replace(":int}", "}")
    return Route(path, Ingest(workspace, counted_as, handle, limit).answer, methods=[method])


def _read(
    workspace: Workspace, path: str, handle: Callable[[Request], Awaitable[Response]], *, method: str = "GET"
) -> Route:
    """An operation of the App API, which has a limit of its own, and faults of its own."""
    operation = path.replace(":segment}", "}").replace(":int}", "}")

    async def answer(request: Request) -> Response:
        fault, is_over_limit = workspace.count_read(operation)
        if is_over_limit:  # the document declares this status without headers and without a body
            return Response(status_code=429)
        response = await handle(request)
        return faulty_answer(workspace, fault, lambda: response)

    return Route(path, answer, methods=[method])


def _lookup(workspace: Workspace) -> list[Route]:
    look = Lookup(workspace)
    customer, thing = "/v1/customers/{identifier:segment}", "/v1/objects/{object_type_id:segment}/{object_id:segment}"
    return [
        Route("/api/v1/accounts/region", look.region),
        # the App API
        _read(workspace, "/v1/customers", look.customers),
        _read(workspace, "/v1/customers/attributes", look.many_attributes, method="POST"),
        _read(workspace, f"{customer}/attributes", look.attributes),
        _read(workspace, f"{customer}/activities", look.activities_of_person),
        _read(workspace, f"{customer}/relationships", look.relationships_of_person),
        _read(workspace, f"{customer}/segments", look.segments_of_person),
        _read(workspace, f"{thing}/attributes", look.attributes_of_object),
        _read(workspace, f"{thing}/relationships", look.relationships_of_object),
        _read(workspace, "/v1/segments", look.segments),
        _read(workspace, "/v1/segments", look.create_segment, method="POST"),
        _read(workspace, "/v1/segments/{segment_id:int}", look.segment),
        _read(workspace, "/v1/segments/{segment_id:int}/customer_count", look.customer_count),
        _read(workspace, "/v1/segments/{segment_id:int}/membership", look.membership),
        _read(workspace, "/v1/activities", look.activities),
        # the sandbox's own
        Route("/__sandbox/stats", look.stats),
        Route("/__sandbox/people", look.people_listed),
        Route("/__sandbox/events", look.events_listed),
        Route("/__sandbox/faults", look.set_faults, methods=["POST"]),
        Route("/__sandbox/suppressed", look.suppressed),
        Route("/__sandbox/merges", look.merges),
        Route("/__sandbox/anonymous_events", look.anonymous_events),
        Route("/__sandbox/messages", look.messages),
        Route("/", look.home),
        Route("/people/{cio_id:segment}", look.person),
        Route("/objects/{cio_object_id:segment}", look.thing),
    ]
