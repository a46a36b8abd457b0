"""Track API: documented facts, each with its source."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.sandbox import Sandbox
from cio_etl.sandbox.paths import Segment, canonical
from tests.sandbox.facts import Fact, Step, check, delete, get, post, put
from tests.sandbox_client import APP, AUTH

PYTHON = "customerio-python 3.2 encodes ids with quote(id, safe=''), customerio-node 4.4 with encodeURIComponent"
PUT = "Track API document, PUT /api/v1/customers/{identifier}"
INVALID = "page on invalid API requests; Track API document, POST /api/v1/merge_customers, 400"
METRIC_ERRORS = (
    "delivery_id: is required; "
    "metric: must be bounced, clicked, converted, deferred, delivered, dropped, opened or spammed"
)
ACME = {"identifiers": {"object_type_id": "1", "object_id": "a/b"}}

FACTS = [
    Fact(
        "an id that ends in a slash is not the id without it",
        PYTHON,
        (
            put("/api/v1/customers/1", {"n": "one"}, {}),
            put("/api/v1/customers/1%2F", {"n": "two"}, {}),
            get("/v1/customers/1/attributes", {"customer": {"attributes": {"id": "1", "n": "one"}}}),
            get("/v1/customers/1%2F/attributes", {"customer": {"attributes": {"id": "1/", "n": "two"}}}),
            delete("/api/v1/customers/1%2F", {}),
            get("/v1/customers/1/attributes"),
            get("/v1/customers/1%2F/attributes", status=404),
        ),
    ),
    Fact(
        "a path with a slash too many is unknown, and redirects nowhere",
        PYTHON,
        (
            put("/api/v1/customers/1", {}),
            delete("/api/v1/customers/1/", {"meta": {"error": "the sandbox does not serve this path"}}, 404),
            get("/v1/customers/1/attributes/", status=404),
            get("/v1/customers/1/attributes"),
        ),
    ),
    Fact(
        "an id is decoded once",
        PYTHON,
        (
            put("/api/v1/customers/a%252Fb", {}),
            get("/v1/customers/a%252Fb/attributes", {"customer": {"id": "a%2Fb"}}),
            get("/v1/customers/a%2Fb/attributes", status=404),
        ),
    ),
    Fact(
        "ids with slashes work in paths of events, suppression, devices and activities",
        PYTHON,
        (
            post("/api/v1/customers/a%2Fb/events", {"name": "x"}, {}),
            put("/api/v1/customers/a%2Fb/devices", {"device": {"id": "t/1", "platform": "ios"}}, {}),
            get("/v1/customers/a%2Fb/attributes", {"customer": {"id": "a/b", "devices": [{"id": "t/1"}]}}),
            get("/v1/customers/a%2Fb/activities?type=event", {"activities": [{"name": "x"}]}),
            delete("/api/v1/customers/a%2Fb/devices/t%2F1", {}),
            get("/v1/customers/a%2Fb/attributes", {"customer": {"devices": []}}),
            post("/api/v1/customers/a%2Fb/suppress", {}, {}),
            get("/v1/customers/a%2Fb/attributes", status=404),
            post("/api/v1/customers/a%2Fb/unsuppress", {}, {}),
        ),
    ),
    Fact(
        "ids of objects may have slashes",
        PYTHON,
        (
            put("/api/v1/customers/1", {"cio_relationships": {"action": "add_relationships", "relationships": [ACME]}}),
            get("/v1/objects/1/a%2Fb/attributes", {"object": {"identifiers": {"object_id": "a/b"}}}),
            get("/v1/objects/1/a%2Fb/relationships", {"cio_relationships": [{"identifiers": {"id": "1"}}]}),
        ),
    ),
    Fact(
        "a path that is not UTF-8 is refused, since two of them could be read as one id",
        "RFC 3986, 2.5: text is encoded as UTF-8",
        (
            put("/api/v1/customers/%FF", {}, {"meta": {"error": "the path is not UTF-8 after percent-decoding"}}, 400),
            get("/v1/customers/%FE/attributes", status=400),
        ),
    ),
    Fact(
        "an event of another type is an event",
        "Track API document, POST /api/v1/customers/{identifier}/events: any other type becomes `event`",
        (
            post("/api/v1/customers/1/events", {"name": "x", "type": "custom"}, {}),
            get("/v1/customers/1/activities?type=event", {"activities": [{"type": "event", "name": "x"}]}),
            post("/api/v1/events", {"name": "y", "type": "custom", "anonymous_id": "v"}, {}),
            get("/v1/activities?name=y", {"activities": [{"type": "event"}]}),
        ),
    ),
    Fact(
        "errors of v1 are one text",
        INVALID,
        (
            put("/api/v1/customers/1", [], {"meta": {"error": "the body is not an object"}}, 400),
            post(
                "/api/v1/customers/1/events",
                {"name": " "},
                {"meta": {"error": "name: an event's name must be text and cannot be blank"}},
                400,
            ),
            post(
                "/api/v1/merge_customers",
                {"primary": {"id": "1"}},
                {"meta": {"error": "secondary: secondary must be an object"}},
                400,
            ),
        ),
    ),
    Fact(
        "errors of a device's deletion and of a form are a list",
        "Track API document, DELETE /api/v1/customers/{identifier}/devices/{device_id} and POST …/submit, 400",
        (
            delete(
                "/api/v1/customers/1/devices/%20",
                {"meta": {"errors": ["device.token: a device's token must be text and cannot be blank"]}},
                400,
            ),
            post("/api/v1/forms/f/submit", {}, {"meta": {"errors": ["data: must be an object"]}}, 400),
        ),
    ),
    Fact(
        "people are added to a manual segment that exists",
        "Track API document, POST /api/v1/segments/{segment_id}/add_customers; App API document, POST /v1/segments",
        (
            put("/api/v1/customers/1", {}),
            post(
                "/api/v1/segments/8/add_customers",
                {"ids": ["1"]},
                {"meta": {"error": "there is no manual segment 8; create it by POST /v1/segments"}},
                400,
            ),
            post("/api/v1/segments/8/remove_customers", {"ids": ["1"]}, status=400),
            post("/v1/segments", {"segment": {"name": "best"}}, {"segment": {"id": 8, "name": "best"}}),
            post("/api/v1/segments/8/add_customers", {"ids": ["1"]}, {}),
            get("/v1/segments/8/membership", {"segment_id": 8, "ids": ["1"]}),
        ),
    ),
    Fact(
        "an identifier in the body that belongs to a person names that person, who gets the path's identifier",
        PUT,
        (
            put("/api/v1/customers/w1", {"n": 1}),
            put("/api/v1/customers/w1@x.io", {"id": "w1", "n": 2}),
            get(
                "/v1/customers/w1/attributes",
                {"customer": {"identifiers": {"id": "w1", "email": "w1@x.io"}, "attributes": {"n": "2"}}},
            ),
            get("/v1/customers/w1@x.io/attributes?id_type=email", {"customer": {"id": "w1"}}),
            get("/v1/activities?type=profile_create", {"activities": [{"customer_id": "w1"}]}),
        ),
    ),
    Fact(
        "a new id with the address of a person without an id becomes that person's",
        PUT,
        (
            put("/api/v1/customers/e@x.io", {"n": 1}),
            put("/api/v1/customers/w2", {"email": "e@x.io", "n": 2}),
            get("/v1/customers?email=e@x.io", {"results": [{"id": "w2"}]}),
            get("/v1/activities?type=profile_create", {"activities": [{"customer_id": "w2"}]}),
        ),
    ),
    Fact(
        "a new id with the address of a person with an id creates nobody; their id stays, and the log says why",
        PUT + ", which says both that the id changes and that only a call by cio_id changes it; the stricter reading",
        (
            put("/api/v1/customers/w2", {"email": "e@x.io", "n": 1}),
            put("/api/v1/customers/w3", {"email": "e@x.io", "n": 2}),
            get("/v1/customers?email=e@x.io", {"results": [{"id": "w2"}]}),
            get("/v1/customers/w2/attributes", {"customer": {"attributes": {"n": "2"}}}),
            get("/v1/customers/w3/attributes", status=404),
            get(
                "/v1/activities?type=failed_attribute_change",
                {
                    "activities": [
                        {
                            "customer_id": "w2",
                            "data": {
                                "about": "id w2",
                                "reason": "id: another identifier of the call belongs to this person, whose id is set "
                                "already. Customer.io documents that it changes, and that only a call by cio_id "
                                "changes it. It is left as it is",
                            },
                        }
                    ]
                },
            ),
        ),
    ),
    Fact(
        "identifiers of two people in one call: the body's fails",
        PUT + ": an Attribute Update Failure for the identifier in the payload",
        (
            put("/api/v1/customers/w1", {}),
            put("/api/v1/customers/w2", {"email": "e@x.io"}),
            put("/api/v1/customers/w1", {"email": "e@x.io"}, {}),
            get("/v1/customers/w1/attributes", {"customer": {"identifiers": {"id": "w1", "email": None}}}),
            get(
                "/v1/activities?type=failed_attribute_change",
                {"activities": [{"data": {"about": "id w1", "reason": "email: belongs to another person"}}]},
            ),
        ),
    ),
    Fact(
        "an unsubscribe link needs no key and a JSON content type",
        "Track API document, POST /unsubscribe/{delivery_id}",
        (
            post("/unsubscribe/RPILAg%2Fx", {"unsubscribe": True}, {}),
            get("/v1/activities", {"activities": [{"data": {"about": "delivery RPILAg/x"}}]}),
            post(
                "/unsubscribe/x", {"unsubscribe": "yes"}, {"meta": {"error": "unsubscribe: must be true or false"}}, 400
            ),
            Step(
                "POST",
                "/unsubscribe/x",
                status=400,
                answer={"meta": {"error": "the content type must be application/json"}},
                headers={"content-type": "text/plain"},
                content=b'{"unsubscribe": true}',
            ),
        ),
    ),
    Fact(
        "a form identifies a person by id or e-mail address, and its reserved fields are ignored",
        "Track API document, POST /api/v1/forms/{form_id}/submit",
        (
            post(
                "/api/v1/forms/contact/submit", {"data": {"email": "a@b.co", "food": "pie", "form_id": "x"}}, status=204
            ),
            get("/v1/customers?email=a@b.co", {"results": [{"email": "a@b.co", "id": None}]}),
            post(
                "/api/v1/forms/contact/submit",
                {"data": {"id": "1", "email": "a@b.co"}},
                {"meta": {"errors": ["data: exactly one of id and email is needed"]}},
                400,
            ),
            post(
                "/api/v1/forms/contact/submit",
                {"data": {"id": "1", "age": 7}},
                {"meta": {"errors": ["data.age: must be text"]}},
                400,
            ),
        ),
    ),
    Fact(
        "metrics of deliveries need no key",
        "Track API document, POST /api/v1/metrics and POST /api/v1/push/events",
        (
            post("/api/v1/metrics", {"delivery_id": "d", "metric": "clicked", "href": "https://a.b"}, {}),
            post("/api/v1/metrics", {"metric": "read"}, {"meta": {"error": METRIC_ERRORS}}, 400),
            post("/api/v1/push/events", {"delivery_id": "d", "event": "opened", "device_id": "t", "timestamp": 7}, {}),
            post("/api/v1/push/events", {"delivery_id": "d", "event": "clicked"}, status=400),
            get("/__sandbox/stats", {"effects": {"delivery_events": 2}}),
        ),
    ),
    Fact(
        "unknown paths and methods are answered with JSON",
        "page on invalid API requests: the shape of errors",
        (
            get("/api/v1/customers", {"meta": {"error": "the sandbox does not serve this path"}}, 404),
            get("/api/v1/customers/1/events", {"meta": {"error": "the path does not take this method"}}, 405),
            post("/api/v2/entities", {}, {"meta": {"error": "the sandbox does not serve this path"}}, 404),
            get("/nowhere", {"error": "the sandbox does not serve this path"}, 404),
        ),
    ),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_track_api_does_what_a_source_says(sandbox: Sandbox, fact: Fact) -> None:
    check(sandbox, fact)


@given(st.text(min_size=1))
def test_every_identifier_in_a_path_is_decoded_to_itself(identifier: str) -> None:
    path = canonical(f"/v1/customers/{quote(identifier, safe='')}/attributes".encode())
    _, version, customers, segment, attributes = path.split("/")
    assert (version, customers, attributes) == ("v1", "customers", "attributes")
    assert Segment().convert(segment) == identifier


def test_answers_have_the_recorded_content_type(sandbox: Sandbox) -> None:
    """customerio-node records answers of Customer.io in test/fixtures/responses."""
    put_answer = httpx.put(f"{sandbox.url}/api/v1/customers/1", json={}, auth=AUTH)
    unknown = httpx.get(f"{sandbox.url}/api/v1/nothing", auth=AUTH)
    read = httpx.get(f"{sandbox.url}/v1/customers?email=a@b.co", headers=APP)
    types = {answer.headers["content-type"] for answer in (put_answer, unknown, read)}
    assert types == {"application/json; charset=utf-8"}
