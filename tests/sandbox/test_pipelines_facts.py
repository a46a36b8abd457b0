"""Pipelines API: documented facts, each with its source."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from cio_etl.sandbox import Sandbox
from tests.sandbox.facts import Fact, Step, check, get, post

DOCUMENT = "Pipelines API document"
PYTHON = "customerio-cdp-analytics 1.1"
IDENTIFY = {"type": "identify", "userId": "p1", "traits": {"n": 1}}
P1 = {"customer": {"id": "p1", "attributes": {"n": "1"}}}
PACKED = gzip.compress(json.dumps({"batch": [IDENTIFY]}).encode())
STRICT = {"X-Strict-Mode": "1"}


def batch(*calls: object, **members: object) -> Step:
    """A batch of which strict mode accepts every call."""
    return Step("POST", "/v1/batch", {"batch": calls} | members, 200, {}, STRICT)


def refused(*errors: str, call: object) -> Step:
    answer = {"meta": {"errors": [f"batch[0].{error}" for error in errors]}}
    return Step("POST", "/v1/batch", {"batch": [call]}, 400, answer, STRICT)


def keyed(authorization: str, status: int = 200) -> Step:
    return Step("POST", "/v1/identify", IDENTIFY, status, headers=STRICT | {"Authorization": authorization})


def packed(content: bytes, status: int = 200, answer: object = None, encoding: str = "gzip") -> Step:
    headers = STRICT | {"Content-Encoding": encoding, "Content-Type": "application/json"}
    return Step("POST", "/v1/batch", None, status, {} if answer is None else answer, headers, content)


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:".encode()).decode()


FACTS = [
    Fact(
        "members that are null are absent ones",
        f"{PYTHON} sends them on each call, as its tests show",
        (
            batch(
                {
                    "type": "identify",
                    "userId": "p1",
                    "anonymousId": None,
                    "traits": {"n": 1},
                    "context": None,
                    "integrations": None,
                    "timestamp": None,
                    "messageId": None,
                },
                {"type": "track", "userId": None, "anonymousId": "v1", "event": "seen", "properties": None},
                {"type": "page", "userId": "p1", "name": None, "category": None, "properties": {"url": "https://a.b"}},
                {"type": "group", "userId": "p1", "groupId": "acme", "traits": None, "anonymousId": None},
            ),
            get("/v1/customers/p1/attributes", P1),
            get("/v1/activities?type=page", {"activities": [{"url": "https://a.b", "customer_id": "p1"}]}),
            get("/v1/activities?type=event", {"activities": [{"name": "seen", "anonymous_id": "v1"}]}),
            get("/v1/objects/1/acme/attributes", {"object": {"attributes": {}}}),
        ),
    ),
    Fact(
        "a required member that is null is missing",
        f"{DOCUMENT}, /identify and /track",
        (
            refused("userId or anonymousId: is required", call=IDENTIFY | {"userId": None}),
            refused("event: is required", call={"type": "track", "userId": "p1", "event": None}),
            refused("type: is required", call={"type": None, "userId": "p1"}),
        ),
    ),
    Fact(
        "a trait that is null removes the attribute",
        "Grouparoo clears attributes so; the document is silent",
        (
            batch(IDENTIFY, IDENTIFY | {"traits": {"n": None}}),
            get("/v1/customers/p1/attributes", {"customer": {"attributes": {"id": "p1"}}}),
        ),
    ),
    Fact(
        "a body may be packed with gzip",
        f"{PYTHON}, option gzip",
        (
            packed(PACKED),
            get("/v1/customers/p1/attributes", P1),
            packed(PACKED[:-1], 400, {"meta": {"errors": ["the body is not one whole gzip file"]}}),
            packed(PACKED + PACKED, 400, {"meta": {"errors": ["the body is not one whole gzip file"]}}),
            packed(b"{}", 400, {"meta": {"errors": ["the body is not gzip"]}}),
            packed(PACKED, 400, {"meta": {"errors": ["the content encoding must be gzip"]}}, encoding="br"),
        ),
    ),
    Fact(
        "the limit of a body is that of its text, too",
        f"{DOCUMENT}: 500KB; unpacked size is the stricter reading",
        (
            packed(
                gzip.compress(json.dumps({"batch": [IDENTIFY]}).encode() + b" " * 500_000),
                400,
                {"meta": {"errors": ["the request cannot be larger than 500000 bytes"]}},
            ),
        ),
    ),
    Fact(
        "a write key may be a bearer token, and have the prefix of its region",
        f"{PYTHON}, request.py: keys pk_us_…, pk_eu_…, sk_us_…, sk_eu_… are sent as bearer tokens",
        (
            keyed("Bearer sandbox"),
            keyed("Bearer pk_us_sandbox"),
            keyed("Bearer sk_us_sandbox"),
            keyed(basic("pk_us_sandbox")),
            keyed("Bearer pk_eu_sandbox", 401),
            keyed("Bearer pk_us_other", 401),
            keyed(basic("other"), 401),
        ),
    ),
    Fact(
        "pages and screens need neither name nor url",
        f"{DOCUMENT}, /page and /screen: only an id is required",
        (
            batch({"type": "page", "userId": "p1"}, {"type": "screen", "userId": "p1"}),
            get("/v1/customers/p1/activities?type=page", {"activities": [{"url": "page"}]}),
            get("/v1/customers/p1/activities?type=screen", {"activities": [{"name": "screen"}]}),
        ),
    ),
    Fact(
        "a userId that is an e-mail address is the person with that address",
        "page that compares Track with CDP: a userId is an id or an e-mail address",
        (
            batch(
                {"type": "identify", "userId": "A@b.co", "traits": {"n": 1}},
                {"type": "track", "userId": "a@b.co", "event": "seen"},
                {"type": "group", "userId": "a@b.co", "groupId": "acme"},
            ),
            get("/v1/customers?email=a@b.co", {"results": [{"id": None, "email": "A@b.co"}]}),
            get("/v1/customers/a@b.co/activities?id_type=email&type=event", {"activities": [{"name": "seen"}]}),
            get("/v1/objects/1/acme/relationships", {"cio_relationships": [{"identifiers": {"email": "A@b.co"}}]}),
            batch({"type": "track", "userId": "a@b.co", "event": "User Deleted"}),
            get("/v1/customers?email=a@b.co", {"results": []}),
        ),
    ),
    Fact(
        "a call that excludes all integrations is not for Customer.io",
        f"{DOCUMENT}, integrations",
        (
            batch(
                IDENTIFY | {"userId": "no", "integrations": {"All": False, "Mixpanel": True}},
                IDENTIFY | {"userId": "named", "integrations": {"All": False, "Customer.io Journeys": True}},
                IDENTIFY | {"userId": "all", "integrations": {"All": True}},
                IDENTIFY | {"userId": "empty", "integrations": {}},
            ),
            get("/v1/customers/no/attributes", status=404),
            *(get(f"/v1/customers/{name}/attributes") for name in ("named", "all", "empty")),
            get("/__sandbox/stats", {"effects": {"calls_forwarded": 1}}),
        ),
    ),
    Fact(
        "a batch's integrations apply to its calls",
        f"{DOCUMENT}, /batch",
        (
            batch(IDENTIFY, integrations={"All": False}),
            get("/v1/customers/p1/attributes", status=404),
        ),
    ),
    Fact(
        "Report Delivery Event is an event of Customer.io",
        f"{DOCUMENT}, report_delivery_event",
        (
            batch(
                {
                    "type": "track",
                    "event": "Report Delivery Event",
                    "properties": {"deliveryId": "d", "metric": "clicked", "href": "https://a.b"},
                }
            ),
            get("/__sandbox/stats", {"effects": {"delivery_events": 1}, "people": 0, "events": 0}),
            refused(
                "properties.deliveryId: is required",
                "properties.metric: must be delivered, clicked, converted or opened",
                call={"type": "track", "event": "Report Delivery Event", "properties": {"metric": "read"}},
            ),
        ),
    ),
    Fact(
        "Report Content Event is an event of Customer.io",
        f"{DOCUMENT}, report_content_event, whose properties declare actionType and require activityType",
        (
            *(
                batch({"type": "track", "event": "Report Content Event", "properties": {name: "viewed_content"}})
                for name in ("actionType", "activityType")
            ),
            get("/__sandbox/stats", {"effects": {"content_events": 2}}),
            refused(
                "properties.actionType: must be viewed_content or clicked_content",
                call={"type": "track", "event": "Report Content Event"},
            ),
        ),
    ),
    Fact(
        "an event without any id is an anonymous event",
        f"{DOCUMENT}, /batch: an anonymous user's track requires event and type",
        (
            batch({"type": "track", "event": "x"}),
            post("/v1/track", {"event": "y"}, {}),
            get("/v1/activities?type=event", {"activities": [{"name": "y"}, {"name": "x", "customer_id": ""}]}),
        ),
    ),
    Fact(
        "other methods are answered with JSON",
        f"{DOCUMENT}, components/responses/400",
        (get("/v1/batch", {"meta": {"errors": ["the path does not take this method"]}}, 405),),
    ),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_pipelines_does_what_a_source_says(sandbox: Sandbox, fact: Fact) -> None:
    check(sandbox, fact)
