"""App API: reading back people, events, objects and segments; and the sandbox's own paths."""

from __future__ import annotations

import httpx
import pytest

from cio_etl.sandbox import Sandbox
from tests.sandbox_client import APP, ULID, event, identify, send


def test_a_person_is_read_back_as_strings(client: httpx.Client, sandbox: Sandbox) -> None:
    item = identify("1", 1_700_000_000, email="a+b@c.co", n=7, yes=True, tags=["é", 1], unsubscribed="TRUE")
    send(client, sandbox, item)
    person = sandbox.people.everybody()[0]
    url = f"{sandbox.url}/v1/customers"
    with httpx.Client(headers=APP) as app:
        customer = app.get(f"{url}/1/attributes").json()["customer"]
        assert customer["attributes"] == {
            "n": "7",
            "yes": "true",
            "tags": '["é",1]',
            "unsubscribed": "TRUE",
            "id": "1",
            "email": "a+b@c.co",
            "cio_id": person.cio_id,
        }
        assert customer["timestamps"]["n"] == 1_700_000_000
        assert customer["unsubscribed"] is True
        assert customer["identifiers"] == {"cio_id": person.cio_id, "id": "1", "email": "a+b@c.co"}
        for kind, value in (("email", "A+B@c.co"), ("cio_id", person.cio_id), ("cio_id", f"cio_{person.cio_id}")):
            again = app.get(f"{url}/{httpx.URL(path=value).path}/attributes", params={"id_type": kind})
            assert again.json()["customer"] == customer
        assert app.get(url, params={"email": "A+B@c.co"}).json() == {"results": [customer["identifiers"]]}
        assert app.get(f"{url}?email=a+b@c.co").json() == {"results": []}  # an unescaped + is a space
        assert app.get(f"{url}/2/attributes").status_code == 404
        assert app.get(f"{url}/1/attributes", params={"id_type": "name"}).status_code == 400


def test_up_to_100_people_are_read_back_at_once(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, *[identify(str(n), n=n) for n in range(5)])
    url = f"{sandbox.url}/v1/customers/attributes"
    with httpx.Client(headers=APP) as app:
        people = app.post(url, json={"ids": ["3", "nobody", "1"]}).json()["customers"]
        assert [(each["customer"]["id"], each["customer"]["attributes"]["n"]) for each in people] == [
            ("3", "3"),
            ("1", "1"),
        ]
        for ids in ([], ["1"] * 101, [1], "1", None):
            assert app.post(url, json={"ids": ids}).status_code == 400
        assert app.post(url, content=b"{").status_code == 400


def test_a_persons_events_are_paged_with_the_latest_first(client: httpx.Client, sandbox: Sandbox) -> None:
    screen = event(name="home") | {"action": "screen"}
    send(client, sandbox, *[event(name=f"e{n}", timestamp=n, attributes={"n": n}) for n in range(12)], screen)
    url = f"{sandbox.url}/v1/customers/42/activities"
    with httpx.Client(headers=APP) as app:
        first = app.get(url, params={"type": "event"}).json()
        assert [each["name"] for each in first["activities"]] == [f"e{n}" for n in range(11, 1, -1)]
        second = app.get(url, params={"type": "event", "start": first["next"]}).json()
        assert ([each["data"] for each in second["activities"]], second["next"]) == ([{"n": 1}, {"n": 0}], "")
        assert len(app.get(url, params={"limit": "100"}).json()["activities"]) == 14  # with profile_create
        assert [each["type"] for each in app.get(url, params={"name": "home"}).json()["activities"]] == ["screen"]
        assert app.get(f"{sandbox.url}/v1/customers/7/activities").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/customers?email=a"),
        ("GET", "/v1/customers/1/attributes"),
        ("GET", "/v1/customers/1/activities"),
        ("GET", "/v1/customers/1/relationships"),
        ("GET", "/v1/customers/1/segments"),
        ("GET", "/v1/objects/1/acme/attributes"),
        ("GET", "/v1/objects/1/acme/relationships"),
        ("GET", "/v1/segments"),
        ("GET", "/v1/segments/7/customer_count"),
        ("GET", "/v1/segments/7/membership"),
        ("GET", "/v1/activities"),
        ("POST", "/v1/customers/attributes"),
        ("POST", "/v1/segments"),
        ("GET", "/v1/segments/7"),
    ],
)
def test_the_app_api_needs_its_own_key(client: httpx.Client, sandbox: Sandbox, method: str, path: str) -> None:
    assert client.request(method, sandbox.url + path).status_code == 401  # the Track key
    assert httpx.request(method, sandbox.url + path, headers={"Authorization": "Bearer no"}).status_code == 401


def test_devices_relationships_and_segments_are_read_back(client: httpx.Client, sandbox: Sandbox) -> None:
    acme = {"object_type_id": "1", "object_id": "acme"}
    device = {"token": "t", "platform": "ios", "last_used": 7, "attributes": {"n": 1}}
    add = {"type": "person", "action": "add_device", "identifiers": {"id": "42"}, "device": device}
    thing = {"type": "object", "action": "identify", "identifiers": acme, "attributes": {"seats": 5, "name": "A"}}
    related = {"identifiers": {"id": "42"}, "relationship_attributes": {"role": "admin", "since": 7}}
    send(client, sandbox, identify("42"), add, thing | {"cio_relationships": [related]})
    client.post(f"{sandbox.url}/api/v1/segments/7/add_customers", json={"ids": ["42"]})
    person = {"cio_id": sandbox.people.everybody()[0].cio_id, "id": "42", "email": None}
    object_identifiers = {"object_id": "acme", "cio_object_id": sandbox.objects.everything()[0].cio_object_id}
    with httpx.Client(headers=APP, base_url=f"{sandbox.url}/v1") as app:
        assert app.get("/customers/42/attributes").json()["customer"]["devices"] == [
            {"id": "t", "platform": "ios", "last_used": 7, "attributes": {"n": "1"}}
        ]
        (relationship,) = app.get("/customers/42/relationships").json()["cio_relationships"]
        assert set(relationship.pop("timestamps")) == {"seats", "name"}
        assert relationship == {
            "object_type_id": 1,
            "identifiers": object_identifiers,
            "attributes": {"role": "admin", "since": "7"},
        }
        (segment,) = app.get("/segments").json()["segments"]
        assert (segment["id"], segment["name"], segment["type"], segment["state"]) == (
            7,
            "segment 7",
            "manual",
            "finished",
        )
        assert app.get("/customers/42/segments").json() == {"segments": [segment]}
        assert app.get("/segments/7/customer_count").json() == {"segment_id": 7, "count": 1}
        members = {"segment_id": 7, "ids": ["42"], "identifiers": [person], "next": ""}
        assert app.get("/segments/7/membership").json() == members
        document = app.get("/objects/1/acme/attributes").json()["object"]
        assert (document["identifiers"], document["attributes"]) == (object_identifiers, {"seats": "5", "name": "A"})
        assert set(document["timestamps"]) == {"seats", "name"}
        assert app.get("/objects/1/acme/relationships").json() == {
            "cio_relationships": [{"identifiers": person, "object_type_id": "1", "object_type_disabled": False}],
            "next": "",
        }
        for path in ("/objects/2/acme/attributes", "/objects/1/b/relationships", "/segments/8/membership"):
            assert app.get(path).status_code == 404
        assert app.get("/segments/8/customer_count").json() == {
            "errors": [{"detail": "segment not found", "status": "404"}]
        }


def test_members_of_a_segment_are_paged(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, *[identify(str(number)) for number in range(5)])
    client.post(f"{sandbox.url}/api/v1/segments/7/add_customers", json={"ids": ["3", "1", "4"]})
    with httpx.Client(headers=APP, base_url=f"{sandbox.url}/v1/segments/7") as app:
        first = app.get("/membership", params={"limit": 2}).json()
        assert (first["ids"], first["next"]) == (["3", "1"], "2")
        assert app.get("/membership", params={"limit": 2, "start": 2}).json()["ids"] == ["4"]


def test_failures_are_read_back_with_the_latest_first(client: httpx.Client, sandbox: Sandbox) -> None:
    failed = [event() | {"identifiers": {"cio_id": f"f{number}"}} for number in range(12)]
    send(client, sandbox, *failed, identify("1", 200), identify("1", 100))
    with httpx.Client(headers=APP) as app:
        url = f"{sandbox.url}/v1/activities"
        latest = app.get(url).json()
        types = ["skipped_update", "profile_create", *["failed_event"] * 8]
        assert [each["type"] for each in latest["activities"]] == types
        skipped = latest["activities"][0]
        assert (skipped["customer_id"], skipped["customer_identifiers"]["id"]) == ("1", "1")
        assert skipped["data"] == {"about": "id 1", "reason": "older than the profile's newest edit"}
        events = app.get(url, params={"type": "failed_event", "start": 10}).json()
        assert [each["data"]["about"] for each in events["activities"]] == ["cio_id f1", "cio_id f0"]
        assert (events["next"], events["activities"][0]["customer_identifiers"]) == ("", {})


def test_the_sandboxs_own_paths_show_what_no_api_shows(client: httpx.Client, sandbox: Sandbox) -> None:
    suppress = {"type": "person", "action": "suppress", "identifiers": {"email": "a@b.co"}}
    merge = {"type": "person", "action": "merge", "primary": {"id": "1"}, "secondary": {"id": "2"}}
    send(client, sandbox, suppress, identify("1"), identify("2"), merge)
    client.post(f"{sandbox.url}/api/v1/events", json={"name": "seen", "anonymous_id": "v1", "timestamp": 7, "id": ULID})
    client.post(f"{sandbox.url}/v1/track", json={"userId": "1", "event": "x", "messageId": "m"}, auth=("sandbox", ""))
    one, two = sandbox.people.merges[0].primary, sandbox.people.merges[0].secondary
    documents = {path: client.get(f"{sandbox.url}/__sandbox/{path}").json() for path in OWN_PATHS}
    assert documents == {
        "suppressed": [{"email": "a@b.co"}],
        "merges": [{"primary": one, "secondary": two}],
        "anonymous_events": [
            {"id": ULID, "type": "event", "name": "seen", "timestamp": 7, "data": {}, "anonymous_id": "v1"}
        ],
        "messages": {"m": 1},
    }


OWN_PATHS = ("suppressed", "merges", "anonymous_events", "messages")
