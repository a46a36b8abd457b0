"""Track v1: visitors' events, manual segments, people, devices and merges."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cio_etl.sandbox import Sandbox
from tests.sandbox_client import ULID, identify, send


def post(client: httpx.Client, sandbox: Sandbox, path: str, body: object, **query: str) -> httpx.Response:
    return client.post(f"{sandbox.url}/api/v1/{path}", json=body, params=query)


def refused(answer: httpx.Response, *errors: str) -> bool:
    return (answer.status_code, answer.json()) == (400, {"meta": {"error": "; ".join(errors)}})


# ---------------------------------------------------------------- anonymous events


def test_an_anonymous_event_becomes_the_identified_persons(client: httpx.Client, sandbox: Sandbox) -> None:
    visit = {"name": " seen ", "anonymous_id": "v1", "id": ULID, "timestamp": 7, "data": {"n": 1}, "type": "page"}
    assert post(client, sandbox, "events", visit).text == "{}\n"
    assert post(client, sandbox, "events", visit).status_code == 200
    (event,) = sandbox.people.anonymous_events
    assert (event.action, event.name, event.timestamp, event.attributes) == ("page", "seen", 7, {"n": 1})
    assert (event.received, len(sandbox.people)) == (2, 0)
    send(client, sandbox, identify(anonymous_id="v1"))
    assert sandbox.people.everybody()[0].event_ids == [ULID]
    assert sandbox.people.anonymous_events == []


def test_an_event_without_a_visitor_is_never_attached(client: httpx.Client, sandbox: Sandbox) -> None:
    assert post(client, sandbox, "events", {"name": "seen"}).status_code == 200
    send(client, sandbox, identify(anonymous_id="None"))
    assert len(sandbox.people.anonymous_events) == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ([], "the body is not an object"),
        ({"anonymous_id": "v1"}, "name: an event needs a name"),
        ({"name": "x" * 101}, "name: an event's name cannot be longer than 100 bytes"),
        ({"name": "x", "id": "7"}, "id: an event's id must be a ULID"),
        ({"name": "x", "data": []}, "attributes: attributes must be an object"),
        ({"name": "x", "data": {"a": "x" * 100_000}}, "data: cannot be larger than 100000 bytes"),
        ({"name": "x", "anonymous_id": ""}, "anonymous_id: an identifier cannot be blank"),
    ],
)
def test_an_anonymous_event_that_breaks_a_rule_is_refused(
    client: httpx.Client, sandbox: Sandbox, body: object, error: str
) -> None:
    assert refused(post(client, sandbox, "events", body), error)
    assert len(sandbox.people.events) == 0


# ---------------------------------------------------------------- manual segments


@pytest.mark.parametrize(
    ("id_type", "ids"),
    [("id", ["1", 2]), ("email", ["A@b.co", "2@b.co"]), ("cio_id", ["000000000001", "000000000002"])],
)
def test_people_are_added_to_a_segment_and_removed_from_it(
    client: httpx.Client, sandbox: Sandbox, id_type: str, ids: list[Any]
) -> None:
    send(client, sandbox, identify("1", email="a@b.co"), identify("2", email="2@b.co"), identify("None"))
    query = {} if id_type == "id" else {"id_type": id_type}
    body = {"ids": [*ids, "nobody", "f00@b.co", None]}
    for _ in range(2):
        assert post(client, sandbox, "segments/7/add_customers", body, **query).text == "{}\n"
    assert [each.id for each in sandbox.people.segment(7)] == ["1", "2"]
    assert sandbox.people.segments_of(sandbox.people.everybody()[0]) == [7]
    assert sandbox.people.counts["segment_additions"] == 2
    assert sandbox.people.counts["segment_ids_ignored"] == 6
    assert post(client, sandbox, "segments/7/remove_customers", {"ids": ids[:1]}, **query).status_code == 200
    assert [each.id for each in sandbox.people.segment(7)] == ["2"]
    assert sandbox.people.counts["segment_removals"] == 1


@pytest.mark.parametrize("change", ["add_customers", "remove_customers"])
@pytest.mark.parametrize(
    ("body", "query", "error"),
    [
        ({"ids": []}, {}, "ids: must be an array of at least one id"),
        ({}, {}, "ids: must be an array of at least one id"),
        ({"ids": "1"}, {}, "ids: must be an array of at least one id"),
        ({"ids": ["1"] * 1001}, {}, "ids: cannot be more than 1000"),
        ({"ids": ["1"]}, {"id_type": "phone"}, "id_type: must be id, email or cio_id"),
        (["1"], {}, "the body is not an object"),
    ],
)
def test_a_change_of_a_segment_that_breaks_a_rule_is_refused_as_a_whole(
    client: httpx.Client, sandbox: Sandbox, change: str, body: object, query: dict[str, str], error: str
) -> None:
    send(client, sandbox, identify("1"))
    assert refused(post(client, sandbox, f"segments/7/{change}", body, **query), error)
    assert sandbox.people.segment(7) == []
    assert client.post(f"{sandbox.url}/api/v1/segments/seven/{change}", json=body).status_code == 404


def test_a_change_of_a_segment_can_have_1000_ids(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, *[identify(str(number)) for number in range(1000)])
    ids = [str(number) for number in range(1000)]
    assert post(client, sandbox, "segments/7/add_customers", {"ids": ids}).status_code == 200
    assert len(sandbox.people.segment(7)) == sandbox.stats()["items"] - 1000 == 1000


# ---------------------------------------------------------------- people, devices, merges


def test_a_customer_is_created_changed_and_deleted(client: httpx.Client, sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/api/v1/customers"
    related = {"identifiers": {"object_type_id": "1", "object_id": "acme"}}
    body = {"email": "a@b.co", "n": 1, "_timestamp": 7, "cio_relationships": {"action": "add_relationships"}}
    body["cio_relationships"] |= {"relationships": [related]}  # type: ignore[operator]
    assert client.put(f"{url}/42", json=body).text == "{}\n"
    (person,) = sandbox.people.everybody()
    assert (person.id, person.email, person.attributes, person.edited_at) == ("42", "a@b.co", {"n": 1}, 7)
    assert len(person.relationships) == 1
    unrelated = {"cio_relationships": {"action": "delete_relationships", "relationships": [related]}, "n": 2}
    assert client.put(f"{url}/cio_{person.cio_id}", json=unrelated).status_code == 200
    assert (person.attributes, person.relationships) == ({"n": 2}, {})
    assert client.delete(f"{url}/A@b.co").status_code == 200
    assert len(sandbox.people) == 0


def test_events_devices_merges_and_suppression_do_the_same_as_in_v2(client: httpx.Client, sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/api/v1/customers"
    assert client.post(f"{url}/42/events", json={"name": "bought", "id": ULID, "data": {"n": 1}}).status_code == 200
    (person,) = sandbox.people.everybody()
    assert person.event_ids == [ULID]
    assert client.put(f"{url}/42/devices", json={"device": {"id": "t", "platform": "ios"}}).status_code == 200
    assert list(person.devices) == ["t"]
    assert client.delete(f"{url}/42/devices/t").status_code == 200
    assert person.devices == {}
    client.put(f"{url}/7", json={"n": 1})
    merge = {"primary": {"id": "42"}, "secondary": {"id": "7"}}
    assert post(client, sandbox, "merge_customers", merge).status_code == 200
    assert (sandbox.people.everybody(), person.attributes) == ([person], {"n": 1})
    assert client.post(f"{url}/42/suppress").status_code == 200
    assert ("id", "42") in sandbox.people.suppressed
    assert client.post(f"{url}/42/unsuppress").status_code == 200
    assert sandbox.people.suppressed == []


@pytest.mark.parametrize(
    ("method", "path", "body", "error"),
    [
        ("PUT", "customers/42", [], "the body is not an object"),
        ("PUT", "customers/42", {"a": "x" * 1001}, "attributes.a: a value cannot be longer than 1000 bytes"),
        (
            "PUT",
            "customers/42",
            {"cio_relationships": [], "a": 1},
            "cio_relationships.action: must be add_relationships or delete_relationships",
        ),
        ("PUT", "customers/42/devices", {}, "device: must be an object"),
        ("PUT", "customers/42/devices", {"device": {"platform": "ios"}}, "device.token: a device needs a token"),
        ("POST", "customers/42/events", {"name": ""}, "name: an event's name must be text and cannot be blank"),
        ("POST", "merge_customers", {"primary": {"id": "1"}}, "secondary: secondary must be an object"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(
    client: httpx.Client, sandbox: Sandbox, method: str, path: str, body: object, error: str
) -> None:
    assert refused(client.request(method, f"{sandbox.url}/api/v1/{path}", json=body), error)
    assert len(sandbox.people) == 0
    assert sandbox.stats()["invalid_items"] == 1


def test_a_body_that_is_no_json_or_too_large_is_refused(client: httpx.Client, sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/api/v1/events"
    assert refused(client.post(url, content=b"{"), "the body is not JSON at character 1")
    large = client.post(url, content=b" " * 500_001)
    assert (large.status_code, large.json()["meta"]["error"]) == (
        413,
        "the request cannot be larger than 500000 bytes",
    )


def test_v1_needs_the_track_key(sandbox: Sandbox) -> None:
    with httpx.Client(auth=("sandbox", "")) as stranger:
        assert post(stranger, sandbox, "events", {"name": "x"}).status_code == 401
        assert post(stranger, sandbox, "segments/7/add_customers", {"ids": ["1"]}).status_code == 401
        assert stranger.delete(f"{sandbox.url}/api/v1/customers/1").status_code == 401
    assert len(sandbox.people.events) == 0
