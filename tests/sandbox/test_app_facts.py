"""App API: documented facts, each with its source."""

from __future__ import annotations

import time

import httpx
import pytest

from cio_etl.sandbox import Sandbox
from tests.sandbox.facts import ANY, Fact, Step, check, delete, get, post, put
from tests.sandbox_client import APP

DOCUMENT = "App API document"
NOT_SERVED = "the sandbox does not serve this operation"
ACME = {"object_type_id": "1", "object_id": "acme"}
EMPLOYEE = {"identifiers": {"id": "1"}, "relationship_attributes": {"role": "admin"}}
OBJECT = {
    "type": "object",
    "action": "identify",
    "identifiers": ACME,
    "attributes": {"seats": 5},
    "cio_relationships": [EMPLOYEE],
}


def not_served(method: str, path: str, answer: object) -> Fact:
    """Something that the sandbox leaves out says so in the shape of the API, after a look at the key."""
    wrong_key = Step(method, path, {}, 401, {"meta": {"error": ANY}}, {"Authorization": "Bearer no"})
    return Fact(f"{method} {path} is not served", DOCUMENT, (Step(method, path, {}, 404, answer), wrong_key))


FACTS = [
    Fact(
        "a profile shows when its identifiers were set",
        f"{DOCUMENT}, customerAttributesObject",
        (
            put("/api/v1/customers/1", {"email": "a@b.co", "n": 7}),
            get(
                "/v1/customers/1/attributes",
                {
                    "customer": {
                        "id": "1",
                        "identifiers": {"id": "1", "email": "a@b.co", "cio_id": "000000000001"},
                        "attributes": {"id": "1", "email": "a@b.co", "cio_id": "000000000001", "n": "7"},
                        "timestamps": {"id": ANY, "email": ANY, "cio_id": ANY, "n": ANY},
                        "unsubscribed": False,
                        "devices": [],
                    }
                },
            ),
        ),
    ),
    Fact(
        "many profiles are each within `customer`",
        f"{DOCUMENT}, POST /v1/customers/attributes",
        (
            put("/api/v1/customers/1", {"n": 7}),
            post(
                "/v1/customers/attributes",
                {"ids": ["1", "nobody"]},
                {"customers": [{"customer": {"id": "1", "attributes": {"n": "7"}}}]},
            ),
        ),
    ),
    Fact(
        "objects are found by object_id and by cio_object_id",
        f"{DOCUMENT}, GET /v1/objects/{{object_type_id}}/{{object_id}}/attributes",
        (
            post("/api/v2/entity", OBJECT, {}),
            *(
                get(
                    f"/v1/objects/1/{path}",
                    {
                        "object": {
                            "object_type_id": "1",
                            "identifiers": {"object_id": "acme", "cio_object_id": "ob0000000001"},
                            "attributes": {"seats": "5"},
                            "timestamps": {"seats": ANY},
                        }
                    },
                )
                for path in (
                    "acme/attributes",
                    "acme/attributes?id_type=object_id",
                    "ob0000000001/attributes?id_type=cio_object_id",
                )
            ),
            get("/v1/objects/2/ob0000000001/attributes?id_type=cio_object_id", status=404),
            get(
                "/v1/objects/1/acme/attributes?id_type=id",
                {"errors": [{"detail": "id_type must be object_id or cio_object_id", "status": "400"}]},
                400,
            ),
        ),
    ),
    Fact(
        "a person's relationships have attributes and timestamps, and the type's number",
        f"{DOCUMENT}, GET /v1/customers/{{customer_id}}/relationships",
        (
            post("/api/v2/entity", OBJECT),
            get(
                "/v1/customers/1/relationships",
                {
                    "cio_relationships": [
                        {
                            "object_type_id": 1,
                            "identifiers": {"object_id": "acme", "cio_object_id": "ob0000000001"},
                            "attributes": {"role": "admin"},
                            "timestamps": {"seats": ANY},
                        }
                    ],
                    "next": "",
                },
            ),
        ),
    ),
    Fact(
        "an object's relationships have people's identifiers and the type",
        f"{DOCUMENT}, GET /v1/objects/{{object_type_id}}/{{object_id}}/relationships",
        (
            post("/api/v2/entity", OBJECT),
            get(
                "/v1/objects/1/acme/relationships",
                {
                    "cio_relationships": [
                        {
                            "identifiers": {"cio_id": "000000000001", "id": "1", "email": None},
                            "object_type_id": "1",
                            "object_type_disabled": False,
                        }
                    ],
                    "next": "",
                },
            ),
        ),
    ),
    Fact(
        "relationships are paged by start and limit",
        f"{DOCUMENT}, start and limit",
        (
            *(post("/api/v2/entity", OBJECT | {"identifiers": ACME | {"object_id": name}}) for name in "abc"),
            post("/api/v2/entity", OBJECT | {"cio_relationships": [{"identifiers": {"id": n}} for n in "123"]}),
            get("/v1/customers/1/relationships?limit=3", {"cio_relationships": [ANY] * 3, "next": "3"}),
            get(
                "/v1/customers/1/relationships?limit=3&start=3",
                {"cio_relationships": [{"identifiers": {"object_id": "acme"}}], "next": ""},
            ),
            get(
                "/v1/objects/1/acme/relationships?limit=1&start=1",
                {"cio_relationships": [{"identifiers": {"id": "2"}}], "next": "2"},
            ),
        ),
    ),
    Fact(
        "activities are events, changes of people, and failures; the latest come first",
        f"{DOCUMENT}, activityObject and activityTypes",
        (
            put("/api/v1/customers/1", {"plan": "free", "email": "a@b.co"}),
            put("/api/v1/customers/1", {"plan": "pro", "old": None}),
            put("/api/v1/customers/1", {"plan": "pro"}),
            post("/api/v1/customers/1/events", {"name": "https://a.b", "type": "page"}),
            post("/api/v1/customers/1/events", {"name": "bought", "data": {"n": 1}}),
            put("/api/v1/customers/1", {"cio_id": "x"}),
            get(
                "/v1/activities",
                {
                    "activities": [
                        {"type": "failed_attribute_change"},
                        {"type": "event", "name": "bought", "data": {"n": 1}},
                        {"type": "page", "url": "https://a.b"},
                        {"type": "attribute_change", "data": {"plan": {"from": "free", "to": "pro"}}},
                        {
                            "type": "attribute_change",
                            "data": {"plan": {"from": "", "to": "free"}, "email": {"from": "", "to": "a@b.co"}},
                        },
                        {
                            "type": "profile_create",
                            "customer_id": "1",
                            "customer_identifiers": {"id": "1", "email": "a@b.co", "cio_id": "000000000001"},
                        },
                    ],
                    "next": "",
                },
            ),
            get("/v1/activities?type=attribute_change&name=email", {"activities": [{"data": {"email": ANY}}]}),
            get("/v1/activities?limit=2&start=1", {"activities": [{"type": "event"}, {"type": "page"}], "next": "3"}),
            get("/v1/activities?customer_id=a@b.co&id_type=email", {"activities": [ANY] * 6}),
            get("/v1/customers/1/activities?type=profile_create", {"activities": [{"customer_id": "1"}]}),
            get("/v1/activities?customer_id=2", status=404),
        ),
    ),
    Fact(
        "activities of deleted people are shown on request",
        f"{DOCUMENT}, GET /v1/activities, deleted",
        (
            put("/api/v1/customers/1", {}),
            delete("/api/v1/customers/1"),
            get("/v1/activities", {"activities": []}),
            get(
                "/v1/activities?deleted=true",
                {"activities": [{"type": "profile_delete", "customer_id": "1"}, {"type": "profile_create"}]},
            ),
        ),
    ),
    Fact(
        "a merge is an activity of the primary",
        f"{DOCUMENT}, activityTypes",
        (
            *(put(f"/api/v1/customers/{name}", {}) for name in "12"),
            post("/api/v1/merge_customers", {"primary": {"id": "1"}, "secondary": {"id": "2"}}),
            get("/v1/activities?type=profile_merge", {"activities": [{"customer_id": "1"}]}),
        ),
    ),
    Fact(
        "segments are created, listed and counted",
        f"{DOCUMENT}, segmentResponseObject, customer_count and membership",
        (
            post("/v1/segments", {"segment": {"name": "best", "description": "of all"}}, {"segment": {"id": 8}}),
            get(
                "/v1/segments/8",
                {
                    "segment": {
                        "id": 8,
                        "deduplicate_id": ANY,
                        "name": "best",
                        "description": "of all",
                        "state": "finished",
                        "progress": None,
                        "type": "manual",
                        "tags": None,
                        "created_at": ANY,
                        "updated_at": ANY,
                    }
                },
            ),
            get("/v1/segments", {"segments": [{"id": 7, "name": "segment 7"}, {"id": 8, "name": "best"}]}),
            get("/v1/segments/8/customer_count", {"segment_id": 8, "count": 0}),
            get("/v1/segments/8/membership", {"segment_id": 8, "ids": [], "identifiers": [], "next": ""}),
            get("/v1/segments/9", {"errors": [{"detail": "segment not found", "status": "404"}]}, 404),
            post("/v1/segments", {"segment": {"name": " "}}, {"errors": [{"detail": ANY, "status": "400"}]}, 400),
            post("/v1/segments", {"name": "x"}, status=400),
        ),
    ),
    *(
        not_served(method, path, {"errors": [{"detail": NOT_SERVED, "status": "404"}]})
        for method, path in (
            ("POST", "/v1/customers"),  # the search for people
            ("POST", "/v1/objects"),
            ("GET", "/v1/campaigns"),
            ("GET", "/v1/campaigns/1/metrics"),
            ("POST", "/v1/campaigns/1/triggers"),
            ("POST", "/v1/api/campaigns/1/triggers"),  # where customerio-node 4.4 sends a broadcast
            ("GET", "/v1/broadcasts"),
            ("GET", "/v1/exports"),
            ("GET", "/v1/exports/1/download"),
            ("POST", "/v1/exports/customers"),
            ("POST", "/v1/imports"),
            ("GET", "/v1/nothing"),
        )
    ),
    *(
        not_served("POST", f"/v1/send/{kind}", {"meta": {"error": NOT_SERVED}})
        for kind in ("email", "push", "sms", "whatsapp", "inbox_message", "in_app")
    ),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_the_app_api_does_what_a_source_says(sandbox: Sandbox, fact: Fact) -> None:
    check(sandbox, fact)


def test_the_times_of_a_segment_and_of_identifiers_are_those_of_their_requests(sandbox: Sandbox) -> None:
    """App API document: created_at and timestamps are Unix seconds, deduplicate_id is id:timestamp."""
    before = int(time.time())
    with httpx.Client(headers=APP, base_url=f"{sandbox.url}/v1") as app:
        segment = app.post("/segments", json={"segment": {"name": "best"}}).json()["segment"]
        httpx.put(f"{sandbox.url}/api/v1/customers/1", json={}, auth=("sandbox", "sandbox"))
        timestamps = app.get("/customers/1/attributes").json()["customer"]["timestamps"]
    assert before <= segment["created_at"] == segment["updated_at"] <= time.time()
    assert segment["deduplicate_id"] == f"8:{segment['created_at']}"
    assert all(before <= timestamps[kind] <= time.time() for kind in ("id", "cio_id"))
