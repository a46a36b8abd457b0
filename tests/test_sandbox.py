"""Does the sandbox keep Customer.io's documented rules, and can it make every fault that a test needs?

Everything goes over real HTTP. What the loader makes of the faults is tested with the loader.
"""

from __future__ import annotations

import base64
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from etl.sandbox import Answer, Credentials, Faults, Sandbox, serve
from etl.sandbox.faults import CONNECTION_FAULTS, UNREADABLE
from etl.sandbox.reading import Malformed, read_batch

ULID = "01HB4HBDKTFWYZCK01DMRSWRFD"
AUTH = ("sandbox", "sandbox")
APP = {"Authorization": "Bearer sandbox"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(auth=AUTH, timeout=10) as client:
        yield client


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def identify(person_id: str = "42", timestamp: object = None, /, **attributes: object) -> dict[str, Any]:
    item = {"type": "person", "action": "identify", "identifiers": {"id": person_id}, "attributes": attributes}
    return item if timestamp is None else item | {"timestamp": timestamp}


def event(person_id: str = "42", name: str = "bought", **members: object) -> dict[str, Any]:
    return {"type": "person", "action": "event", "identifiers": {"id": person_id}, "name": name} | members


def body_of(*items: object) -> bytes:
    return json.dumps({"batch": items}, ensure_ascii=False, separators=(",", ":")).encode()


def send(client: httpx.Client, sandbox: Sandbox, *items: object) -> httpx.Response:
    return client.post(f"{sandbox.url}/api/v2/batch", content=body_of(*items))


def padded(item: dict[str, Any], size: int) -> bytes:
    """The item's JSON, made this many bytes long by data of an event."""
    bare = len(json.dumps(item | {"attributes": {"a": ""}}))
    return json.dumps(item | {"attributes": {"a": "x" * (size - bare)}}).encode()


# ---------------------------------------------------------------- answers


def test_a_good_batch_is_answered_with_an_empty_object(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = send(client, sandbox, identify(), event())
    assert (answer.status_code, answer.json()) == (200, {})
    assert "server" not in answer.headers
    assert "date" in answer.headers


def test_bad_items_are_named_by_index_and_the_others_are_taken(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = send(client, sandbox, identify("1"), {"type": "person", "action": "identify"}, identify("3"))
    assert answer.status_code == 207
    assert answer.json() == {
        "errors": [
            {
                "batch_index": 1,
                "reason": "required",
                "field": "identifiers",
                "message": "identifiers must be an object",
            }
        ]
    }
    assert [person.id for person in sandbox.people.everybody()] == ["1", "3"]
    assert sandbox.stats()["invalid_items"] == 1


def test_an_item_can_have_several_errors(client: httpx.Client, sandbox: Sandbox) -> None:
    errors = send(client, sandbox, event("", "", id="no ulid")).json()["errors"]
    assert [error["field"] for error in errors] == ["identifiers.id", "name", "id"]
    assert {error["batch_index"] for error in errors} == {0}


@pytest.mark.parametrize(
    ("item", "field", "message"),
    [
        ("text", "", "an item must be an object"),
        ({"action": "identify"}, "type", "type is missing"),
        ({"type": "person"}, "action", "action is missing"),
        ({"type": "robot", "action": "identify"}, "type", "type is none of the known ones"),
        ({"type": ["person"], "action": "identify"}, "type", "type is none of the known ones"),
        ({"type": "person", "action": "dance"}, "action", "a person has no such action"),
        ({"type": "person", "action": ["identify"]}, "action", "a person has no such action"),
        (identify() | {"identifiers": []}, "identifiers", "identifiers must be an object"),
        (identify() | {"identifiers": {}}, "identifiers", "exactly one identifier is needed, not 0"),
        (
            identify() | {"identifiers": {"id": "1", "email": "a@b.co"}},
            "identifiers",
            "exactly one identifier is needed, not 2",
        ),
        (
            identify() | {"identifiers": {"anonymous_id": "1"}},
            "identifiers",
            "a person is identified by id, email, phone or cio_id",
        ),
        (identify() | {"identifiers": {"id": 42}}, "identifiers.id", "an identifier must be a string"),
        (identify(" "), "identifiers.id", "an identifier cannot be blank"),
        (identify("é" * 76), "identifiers.id", "an identifier cannot be longer than 150 bytes"),
        (identify() | {"identifiers": {"email": "a b@c"}}, "identifiers.email", "not an e-mail address"),
        (identify() | {"identifiers": {"phone": "0123"}}, "identifiers.phone", "a phone number must be in E.164 form"),
        (identify() | {"attributes": [1]}, "attributes", "attributes must be an object"),
        (event() | {"attributes": "x"}, "attributes", "attributes must be an object"),
        (identify(_update="yes"), "attributes._update", "_update must be true or false"),
        (identify(**{"": 1}), "attributes", "an attribute's name cannot be empty"),
        (identify(**{"é" * 76: 1}), "attributes", "a name cannot be longer than 150 bytes"),
        (identify(plan="é" * 501), "attributes.plan", "a value cannot be longer than 1000 bytes"),
        (identify(tags=["x" * 997]), "attributes.tags", "a value cannot be longer than 1000 bytes"),
        (
            identify(**{f"a{n}": n for n in range(301)}),
            "attributes",
            "cannot set more than 300 attributes at once",
        ),
        ({"type": "person", "action": "page", "identifiers": {"id": "1"}}, "name", "an event needs a name"),
        (event(name="  "), "name", "an event's name must be text and cannot be blank"),
        (event() | {"name": 7}, "name", "an event's name must be text and cannot be blank"),
        (event(name="é" * 51), "name", "an event's name cannot be longer than 100 bytes"),
        (event(id="8" + ULID[1:]), "id", "an event's id must be a ULID"),
        (event(id=ULID[:-1] + "U"), "id", "an event's id must be a ULID"),
        (event(id=7), "id", "an event's id must be a ULID"),
    ],
)
def test_an_item_that_breaks_a_rule_is_refused(
    client: httpx.Client, sandbox: Sandbox, item: object, field: str, message: str
) -> None:
    answer = send(client, sandbox, item)
    assert answer.status_code == 207
    (error,) = answer.json()["errors"]
    assert (error["field"], error["message"]) == (field, message)
    assert len(sandbox.people) == 0


@pytest.mark.parametrize(
    "item",
    [
        identify("é" * 75),
        identify(**{"é" * 75: "é" * 500}),
        identify(tags=["x" * 996]),
        identify(**{f"a{n}": n for n in range(300)}),
        identify() | {"identifiers": {"phone": "+33123456789"}},
        identify() | {"identifiers": {"email": "a@b.co"}},
        {"type": "person", "action": "identify", "identifiers": {"id": "1"}},
        {"type": "person", "action": "delete", "identifiers": {"id": "1"}},
        {"type": "person", "action": "screen", "identifiers": {"id": "1"}, "name": "home"},
        event(name=" " + "é" * 50 + " "),
        event(id=ULID.lower(), attributes={"note": "x" * 20_000}),
    ],
)
def test_an_item_at_the_edge_of_a_rule_is_taken(client: httpx.Client, sandbox: Sandbox, item: object) -> None:
    assert send(client, sandbox, item).text == "{}\n"


def test_an_item_may_have_32000_bytes_as_received(client: httpx.Client, sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/api/v2/batch"
    small = json.dumps(event()).encode()
    for item, status in ((padded(event(), 32_000), 200), (padded(event(), 32_001), 207)):
        assert client.post(url, content=b'{"batch": [%s, %s ]}' % (small, item)).status_code == status
    spaces_count = small[:-1] + b" " * (32_001 - len(small)) + b"}"
    errors = client.post(url, content=b'{"batch":[%s]}' % spaces_count).json()["errors"]
    assert errors[0]["message"] == "an item cannot be larger than 32000 bytes"


def test_a_body_may_have_500000_bytes(client: httpx.Client, sandbox: Sandbox) -> None:
    body = body_of(*[identify(str(n)) for n in range(100)])
    full = body + b" " * (500_000 - len(body))
    assert client.post(f"{sandbox.url}/api/v2/batch", content=full).status_code == 200
    refused = client.post(f"{sandbox.url}/api/v2/batch", content=full + b" ")
    assert refused.status_code == 413
    assert refused.json()["errors"][0]["message"] == "the request cannot be larger than 500000 bytes"
    assert sandbox.body_sizes == [500_000, 500_001]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON at character 0"),
        (b"hello", "the body is not JSON at character 0"),
        (b"[]", "the body is not an object"),
        (b"{}", "batch is missing or not an array"),
        (b'{"batch":{}}', "batch is missing or not an array"),
        (b'{"batch":[]}', "batch is empty"),
        (b'{"batch":[1],"more":2}', "batch is followed by something else"),
        (b'{"more":2,"batch":[1]}', "batch is not the only member of the body"),
        (b'{"batch":[1]} 2', "batch is followed by something else"),
        (b'{"batch":[1 2]}', "the items of batch are not separated by commas"),
        (b'{"batch":[1,]}', "the body is not JSON at character 12"),
        (b'{"batch":[1', "the items of batch are not separated by commas"),
        (b'{"batch":[', "the body is not JSON at character 10"),
        (b'{"batch":[{"a":}]}', "the body is not JSON at character 15"),
        (b"{} {}", "the body goes on after its JSON value"),
        (b'{"batch":[{"a":NaN}]}', "NaN and Infinity are not JSON"),
        (b'{"batch":[{"a":-Infinity}]}', "NaN and Infinity are not JSON"),
        (b'{"batch":[{"a":1e999}]}', "a number is beyond the range of a double"),
        (b'{"batch":[{"a":%s}]}' % (b"9" * 5000), "a number is too long"),
        (b'{"batch":[{"a":1,"b":2,"a":1}]}', "an object has the same key twice"),
        (b'{"batch":[{"x":{"a":1,"a":2}}]}', "an object has the same key twice"),
        (b'{"batch":["\xff"]}', "the body is not UTF-8, or a string holds half a surrogate pair"),
        (b'{"batch":["\\ud83d"]}', "the body is not UTF-8, or a string holds half a surrogate pair"),
        (b'\xef\xbb\xbf{"batch":[1]}', "the body is not JSON at character 0"),
        (b'{"batch":[' + b"[" * 100_000, "the body is nested too deeply"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_as_a_whole(
    client: httpx.Client, sandbox: Sandbox, body: bytes, message: str
) -> None:
    answer = client.post(f"{sandbox.url}/api/v2/batch", content=body)
    assert answer.status_code == 400
    assert answer.json() == {"errors": [{"reason": "invalid", "field": "", "message": message}]}


def test_space_around_the_parts_of_a_batch_is_ignored() -> None:
    items = read_batch(b' {\n"batch" :\t[ {"\\ud83d\\ude00": "\xc3\xa9"} , 2 ]\r\n} ')
    assert [tuple(item) for item in items] == [({"😀": "é"}, 22), (2, 1)]
    with pytest.raises(Malformed, match="batch is empty"):
        read_batch(b'{"batch": [ ] }')


def test_an_entity_is_taken_or_refused_alone(client: httpx.Client, sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/api/v2/entity"
    assert client.post(url, json=identify("1")).text == "{}\n"
    refused = client.post(url, json=identify(""))
    assert refused.status_code == 400
    assert refused.json()["errors"] == [
        {"reason": "invalid", "field": "identifiers.id", "message": "an identifier cannot be blank"}
    ]
    assert client.post(url, content=padded(event(), 32_000)).status_code == 200
    assert client.post(url, content=padded(event(), 32_001)).status_code == 413
    assert client.post(url, content=b"{").json()["errors"][0]["message"] == "the body is not JSON at character 1"
    assert len(sandbox.people) == 2


@pytest.mark.parametrize("auth", [None, ("sandbox", "wrong"), ("wrong", "sandbox"), ("", ""), ("é", "é")])
def test_wrong_track_credentials_are_refused(sandbox: Sandbox, auth: tuple[str, str] | None) -> None:
    with httpx.Client(auth=auth) as stranger:
        assert send(stranger, sandbox, identify()).status_code == 401
        assert stranger.get(f"{sandbox.url}/api/v1/accounts/region").status_code == 401
    assert len(sandbox.people) == 0


def test_the_region_is_told_to_who_has_the_key(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = client.get(f"{sandbox.url}/api/v1/accounts/region").json()
    assert answer == {"url": sandbox.url, "region": "us", "environment_id": 1}
    sandbox.set_faults(Faults(region="eu"))
    assert client.get(f"{sandbox.url}/api/v1/accounts/region").json()["region"] == "eu"


def test_credentials_can_be_others_and_change() -> None:
    theirs = Credentials("site", "key", "app")
    with Sandbox(credentials=theirs) as sandbox, httpx.Client(auth=("site", "key")) as client:
        assert send(client, sandbox, identify()).status_code == 200
        sandbox.set_credentials(Credentials("site", "new key", "app"))
        assert send(client, sandbox, identify()).status_code == 401
    assert "key" not in repr(theirs).replace("api_key", "")


# ---------------------------------------------------------------- people


def test_an_identify_adds_and_changes_attributes(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify(plan="free", city="Lyon"), identify(plan="pro", _update=True))
    (person,) = sandbox.people.everybody()
    assert person.attributes == {"plan": "pro", "city": "Lyon"}
    assert sandbox.people.counts["identifies"] == 2


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_attribute_is_removed_by_null_or_empty_text(client: httpx.Client, sandbox: Sandbox, nothing: object) -> None:
    send(
        client, sandbox, identify(plan="free", city="Lyon", zero=0, no=False), identify(plan=nothing, never_set=nothing)
    )
    (person,) = sandbox.people.everybody()
    assert person.attributes == {"city": "Lyon", "zero": 0, "no": False}
    assert set(person.set_at) == set(person.attributes)


def test_update_only_makes_nobody(client: httpx.Client, sandbox: Sandbox) -> None:
    assert send(client, sandbox, identify(plan="pro", _update=True)).status_code == 200
    assert len(sandbox.people) == 0
    assert sandbox.people.counts["identifies_of_nobody"] == 1


def test_ids_have_a_case_and_addresses_have_none(client: httpx.Client, sandbox: Sandbox) -> None:
    by_email = {"type": "person", "action": "identify", "identifiers": {"email": "A@b.CO"}}
    send(client, sandbox, identify("a"), identify("A"), by_email, by_email | {"identifiers": {"email": "a@B.co"}})
    assert len(sandbox.people) == 3
    found = sandbox.people.find("email", "A@B.CO")
    assert found is not None and found.email == "A@b.CO"


def test_a_new_id_with_a_known_address_goes_to_the_person_who_has_it(client: httpx.Client, sandbox: Sandbox) -> None:
    by_email = {"type": "person", "action": "identify", "identifiers": {"email": "a@b.co"}, "attributes": {"n": 1}}
    send(client, sandbox, by_email, identify("7", email="A@b.co"))
    (person,) = sandbox.people.everybody()
    assert (person.id, person.email, person.attributes) == ("7", "A@b.co", {"n": 1})


def test_an_identifier_of_somebody_else_is_not_taken(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = send(client, sandbox, identify("1", email="a@b.co"), identify("2", email="a@b.co", plan="pro"))
    assert answer.status_code == 200
    second = sandbox.people.find("id", "2")
    assert second is not None and (second.email, second.attributes) == (None, {"plan": "pro"})
    assert sandbox.people.counts["failed_attribute_changes"] == 1


def test_an_id_is_changed_by_a_call_with_the_cio_id_only(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify("1", id="2"))
    (person,) = sandbox.people.everybody()
    assert person.id == "1"
    by_cio_id = {"type": "person", "action": "identify", "identifiers": {"cio_id": person.cio_id}}
    send(client, sandbox, by_cio_id | {"attributes": {"id": "2"}})
    assert person.id == "2"
    assert sandbox.people.find("id", "1") is None
    assert sandbox.people.find("id", "2") is person


def test_a_changed_address_finds_the_person_and_the_old_one_does_not(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify("1", email="old@b.co"), identify("1", email="new@b.co"), identify("1", email=7))
    assert sandbox.people.find("email", "old@b.co") is None
    assert sandbox.people.find("email", "new@b.co") is sandbox.people.find("id", "1")
    assert sandbox.people.counts["failed_attribute_changes"] == 1


def test_an_identify_older_than_the_profile_is_dropped_with_200(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = send(client, sandbox, identify("1", 200, n=2), identify("1", 100, n=1), identify("1", 200.5, n=3))
    assert answer.status_code == 200
    (person,) = sandbox.people.everybody()
    assert (person.attributes, person.edited_at) == ({"n": 3}, 200.5)
    assert sandbox.people.counts["identifies_out_of_date"] == 1
    send(client, sandbox, identify("1", n=4), identify("1", 300, n=5))  # the first is of now, so the second is old
    assert person.attributes == {"n": 4}


@pytest.mark.parametrize("timestamp", ["2024-03-10T09:00:00Z", "1700000000", True, [1], {}])
def test_a_time_that_is_no_number_becomes_now(client: httpx.Client, sandbox: Sandbox, timestamp: object) -> None:
    before = time.time()
    assert send(client, sandbox, event(id=ULID, timestamp=timestamp)).status_code == 200
    assert before <= sandbox.people.events[ULID].timestamp <= time.time()
    assert sandbox.people.counts["timestamps_replaced"] == 1


def test_the_trace_keeps_the_order_of_a_persons_identifies(client: httpx.Client) -> None:
    with Sandbox(trace="row") as sandbox:
        send(client, sandbox, identify("1", row=1), identify("2", row=2), identify("1", row=3), identify("1"))
        assert [person.trace for person in sandbox.people.everybody()] == [[1, 3], [2]]


def test_a_301st_attribute_is_not_kept(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify(**{f"a{n}": n for n in range(300)}), identify(one_more=1, a0=7))
    (person,) = sandbox.people.everybody()
    assert len(person.attributes) == 300
    assert person.attributes["a0"] == 7
    assert sandbox.people.counts["failed_attribute_changes"] == 1


def test_a_deleted_person_is_found_by_nothing(client: httpx.Client, sandbox: Sandbox) -> None:
    delete = {"type": "person", "action": "delete", "identifiers": {"email": "A@B.co"}}
    send(client, sandbox, identify("1", email="a@b.co"), event("1", id=ULID), delete, delete)
    assert len(sandbox.people) == 0
    assert sandbox.people.find("id", "1") is None
    assert sandbox.people.find("email", "a@b.co") is None
    assert sandbox.people.counts["deletes"] == 2
    assert "deleted" in client.get(f"{sandbox.url}/").text


# ---------------------------------------------------------------- events


def test_an_event_with_an_id_counts_once_however_often_it_comes(client: httpx.Client, sandbox: Sandbox) -> None:
    for name in ("first", "second"):
        send(client, sandbox, event(name=name, id=ULID, timestamp=1_700_000_000), event(name=name, id=ULID.lower()))
    (kept,) = sandbox.people.events.values()
    assert (kept.name, kept.timestamp, kept.received) == ("first", 1_700_000_000, 4)
    assert sandbox.stats()["duplicate_events"] == 3


def test_events_without_an_id_all_count(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, event(), event())
    assert len(sandbox.people.events) == 2


@pytest.mark.parametrize("identifiers", [{"id": "9"}, {"email": "n@e.w"}, {"phone": "+123456"}])
def test_an_event_of_an_unknown_person_makes_them(
    client: httpx.Client, sandbox: Sandbox, identifiers: dict[str, str]
) -> None:
    send(client, sandbox, event(id=ULID) | {"identifiers": identifiers})
    (person,) = sandbox.people.everybody()
    assert (person.event_ids, person.edited_at) == ([ULID], None)
    assert sandbox.people.counts["people_made_by_events"] == 1


def test_a_cio_id_makes_nobody(client: httpx.Client, sandbox: Sandbox) -> None:
    nobody = {"identifiers": {"cio_id": "f00"}}
    assert send(client, sandbox, event() | nobody, identify() | nobody).status_code == 200
    assert len(sandbox.people) == len(sandbox.people.events) == 0
    assert sandbox.people.counts == {"events_of_nobody": 1, "identifies_of_nobody": 1}


# ---------------------------------------------------------------- App API


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
        assert [(person["id"], person["attributes"]["n"]) for person in people] == [("3", "3"), ("1", "1")]
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
        rest = app.get(url, params={"type": "event", "start": first["next"]}).json()
        assert ([each["data"] for each in rest["activities"]], rest["next"]) == ([{"n": 1}, {"n": 0}], "")
        assert len(app.get(url, params={"limit": "100"}).json()["activities"]) == 13
        assert [each["type"] for each in app.get(url, params={"name": "home"}).json()["activities"]] == ["screen"]
        assert app.get(f"{sandbox.url}/v1/customers/7/activities").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/customers?email=a"),
        ("GET", "/v1/customers/1/attributes"),
        ("GET", "/v1/customers/1/activities"),
        ("POST", "/v1/customers/attributes"),
    ],
)
def test_the_app_api_wants_its_own_key(client: httpx.Client, sandbox: Sandbox, method: str, path: str) -> None:
    assert client.request(method, sandbox.url + path).status_code == 401  # the Track key
    assert httpx.request(method, sandbox.url + path, headers={"Authorization": "Bearer no"}).status_code == 401


# ---------------------------------------------------------------- faults: answers


@pytest.mark.parametrize("status", [301, 302, 307, 308, 403, 404, 408, 425, 429, 500, 502, 503, 504, 522, 599])
def test_a_status_is_answered_and_nothing_applied(client: httpx.Client, status: int) -> None:
    with Sandbox(Faults(script=(str(status),), location="https://elsewhere.example/x")) as sandbox:
        answer = send(client, sandbox, identify())
        assert (answer.status_code, answer.content, "retry-after" in answer.headers) == (status, b"", False)
        assert answer.headers.get("location") == ("https://elsewhere.example/x" if status < 400 else None)
        assert len(sandbox.people) == 0
        assert send(client, sandbox, identify()).status_code == 200  # the script is over
        assert sandbox.stats()["faults"] == {str(status): 1}
        assert sandbox.stats()["answers"] == {"200": 1, str(status): 1}


@pytest.mark.parametrize("status", ["429", "503"])
def test_retry_after_comes_as_it_is_given(client: httpx.Client, status: str) -> None:
    with Sandbox(Faults(rates={status: 1.0}, retry_after=("30", "nan"))) as sandbox:
        assert send(client, sandbox, identify()).headers.get_list("retry-after") == ["30", "nan"]


def test_retry_after_can_be_a_date(client: httpx.Client) -> None:
    with Sandbox(Faults(rates={"429": 1.0}, retry_after_date_s=3600)) as sandbox:
        headers = send(client, sandbox, identify()).headers
    at, date = (
        time.mktime(time.strptime(headers[name], "%a, %d %b %Y %H:%M:%S GMT")) for name in ("retry-after", "date")
    )
    assert 3598 <= at - date <= 3602


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_can_be_no_acknowledgement(client: httpx.Client, name: str) -> None:
    with Sandbox(Faults(script=(name,))) as sandbox:
        answer = send(client, sandbox, identify())
        assert (answer.status_code, answer.content) == (200, UNREADABLE[name].body)
        assert len(sandbox.people) == 0


@pytest.mark.parametrize("applied", [True, False])
def test_any_answer_can_be_written_down(client: httpx.Client, applied: bool) -> None:
    odd = Answer(207, b'{"errors":[{"batch_index":-1}]}', (("x-odd", "é"), ("content-type", "text/odd")), applied)
    with Sandbox(Faults(script=("ok", odd))) as sandbox:
        assert send(client, sandbox, identify("1")).status_code == 200
        answer = send(client, sandbox, identify("2"))
        assert (answer.status_code, answer.content) == (207, odd.body)
        assert answer.headers.get_list("content-type") == ["text/odd"]
        assert len(sandbox.people) == 1 + applied
        assert sandbox.stats()["faults"] == {"scripted answer": 1}


@pytest.mark.parametrize("status", [200, 207, 400])
def test_item_errors_come_with_any_status(client: httpx.Client, status: int) -> None:
    with Sandbox(Faults(item_error_status=status)) as sandbox:
        answer = send(client, sandbox, identify("1"), identify(""))
        assert (answer.status_code, answer.json()["errors"][0]["batch_index"]) == (status, 1)
        assert len(sandbox.people) == 1


def test_a_strict_sandbox_refuses_the_batch_and_names_no_item(client: httpx.Client) -> None:
    with Sandbox(Faults(strict=True)) as sandbox:
        answer = send(client, sandbox, identify("1"), identify(""))
        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {"reason": "invalid", "field": "batch", "message": "the batch holds an invalid item"}
        ]
        assert len(sandbox.people) == 0
        assert send(client, sandbox, identify("1")).status_code == 200


def test_the_same_valid_items_are_refused_every_time(client: httpx.Client) -> None:
    faults = Faults(seed=3, refused=0.3)
    items: list[dict[str, Any]] = [identify(str(n)) for n in range(50)]
    items += [event(str(n), id=ULID[:20] + f"{n:06d}") for n in range(50)]
    wrong = [index for index, item in enumerate(items) if faults.refuses(item)]
    assert 10 < len(wrong) < 50
    with Sandbox(faults) as sandbox:
        for sent in (items, items):
            errors = send(client, sandbox, *sent).json()["errors"]
            assert [error["batch_index"] for error in errors] == wrong
        (single,) = send(client, sandbox, items[wrong[0]]).json()["errors"]
        assert single["message"] == "refused on demand"
        names = {f"event {items[i]['id']}" if i >= 50 else f"id {items[i]['identifiers']['id']}" for i in wrong}
        assert sandbox.refused == names
        assert sandbox.stats()["refused_items"] == 2 * len(wrong) + 1
        assert sandbox.stats()["invalid_items"] == 0
        assert len(sandbox.people.events) == 50 - sum(index >= 50 for index in wrong)


def test_a_smaller_body_limit_and_another_status_can_be_set(client: httpx.Client) -> None:
    with Sandbox(Faults(max_body_bytes=1_000, too_large_status=400)) as sandbox:
        refused = send(client, sandbox, *[identify(str(n)) for n in range(20)])
        assert (refused.status_code, len(sandbox.people)) == (400, 0)
        assert send(client, sandbox, identify()).status_code == 200
        assert client.post(f"{sandbox.url}/api/v2/entity", json=event(attributes={"a": "x" * 999})).status_code == 400


def test_requests_above_the_rate_are_answered_with_429(client: httpx.Client) -> None:
    with Sandbox(Faults(requests_per_second=3, retry_after=("1",))) as sandbox:
        answers = [send(client, sandbox, identify(str(n))) for n in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[-1].headers["retry-after"] == "1"
        assert len(sandbox.people) == 3
        assert sandbox.stats()["max_requests_in_a_second"] == 5


def test_a_key_can_be_revoked_midway_and_another_taken(client: httpx.Client) -> None:
    with Sandbox(Faults(key_revoked_after=2, new_api_key="fresh")) as sandbox:
        statuses = [send(client, sandbox, identify(str(n))).status_code for n in range(4)]
        assert statuses == [200, 200, 401, 401]
        assert client.get(f"{sandbox.url}/api/v1/accounts/region").status_code == 401
        with httpx.Client(auth=("sandbox", "fresh")) as rotated:
            assert send(rotated, sandbox, identify("9")).status_code == 200
    with Sandbox(Faults(key_revoked_after=0)) as sandbox:
        assert send(client, sandbox, identify()).status_code == 401


def test_an_answer_can_take_its_time(client: httpx.Client) -> None:
    with Sandbox(Faults(latency_s=0.1)) as sandbox:
        start = time.monotonic()
        send(client, sandbox, identify())
        assert time.monotonic() - start >= 0.1


def test_the_same_seed_gives_the_same_faults(client: httpx.Client) -> None:
    def statuses(seed: int) -> list[int]:
        with Sandbox(Faults(seed=seed, rates={"503": 0.3, "429": 0.2})) as sandbox:
            return [send(client, sandbox, identify()).status_code for _ in range(40)]

    first = statuses(1)
    assert first == statuses(1)
    assert first != statuses(2)
    assert set(first) == {200, 503, 429}


# ---------------------------------------------------------------- faults: connections

LOST: dict[str, tuple[type[httpx.HTTPError], bool]] = {
    "lost_before": (httpx.ReadError, False),
    "lost_after": (httpx.ReadError, True),
    "closed_after": (httpx.RemoteProtocolError, True),
    "truncated": (httpx.RemoteProtocolError, True),
    "broken_chunks": (httpx.RemoteProtocolError, True),
    "bad_gzip": (httpx.DecodingError, True),
    "header_bomb": (httpx.RemoteProtocolError, True),
    "hang_before": (httpx.ReadTimeout, False),
    "hang_after": (httpx.ReadTimeout, True),
    "drip": (httpx.ReadTimeout, True),
}


@pytest.mark.parametrize("fault", LOST)
def test_an_answer_can_be_lost_or_broken(fault: str) -> None:
    error, applied = LOST[fault]
    with (
        Sandbox(Faults(script=(fault,), drip_s=5)) as sandbox,
        httpx.Client(auth=AUTH, timeout=httpx.Timeout(10, read=0.2)) as client,
    ):
        with pytest.raises(error):
            send(client, sandbox, identify("1"))
        assert len(sandbox.people) == applied
        assert sandbox.stats()["faults"] == {fault: 1}
        assert send(client, sandbox, identify("2")).status_code == 200  # the sandbox goes on


def test_every_fault_of_a_connection_is_tried_here() -> None:
    assert set(CONNECTION_FAULTS) == {*LOST, "cut_upload", "early_413", "huge", "two_answers"}


@pytest.mark.parametrize("cut_at", range(5))
def test_an_answer_can_be_cut_at_every_byte(client: httpx.Client, cut_at: int) -> None:
    with (
        Sandbox(Faults(script=("truncated",), cut_at=cut_at)) as sandbox,
        pytest.raises(httpx.RemoteProtocolError),
        client.stream("POST", f"{sandbox.url}/api/v2/batch", content=body_of(identify(""))) as answer,
    ):
        assert answer.status_code == 207
        received = b""
        for chunk in answer.iter_bytes():
            received += chunk
        assert received == b'{"er'[:cut_at]
    assert cut_at <= 4


def test_a_connection_can_be_reset_while_it_uploads(client: httpx.Client) -> None:
    with Sandbox(Faults(script=("cut_upload",))) as sandbox:
        with pytest.raises(httpx.TransportError):
            client.post(f"{sandbox.url}/api/v2/batch", content=bytes(20_000_000))
        assert sandbox.stats()["bodies"]["number"] == 0


def test_413_can_come_before_the_body_is_read(client: httpx.Client) -> None:
    with Sandbox(Faults(script=("early_413",))) as sandbox:
        assert send(client, sandbox, identify()).status_code == 413
        assert sandbox.stats()["bodies"]["number"] == 0
        assert send(client, sandbox, identify()).status_code == 200


def test_an_answer_can_be_huge(client: httpx.Client) -> None:
    with (
        Sandbox(Faults(script=("huge",), huge_bytes=2_500_000)) as sandbox,
        client.stream("POST", f"{sandbox.url}/api/v2/batch", content=body_of(identify())) as answer,
    ):
        assert sum(len(chunk) for chunk in answer.iter_bytes()) == 2_500_000
        assert len(sandbox.people) == 1


def test_an_answer_can_drip(client: httpx.Client) -> None:
    with Sandbox(Faults(script=("drip",), drip_s=0.01)) as sandbox:
        start = time.monotonic()
        assert send(client, sandbox, identify()).text == "{}\n"
        assert time.monotonic() - start >= 0.03


def test_an_answer_that_nobody_asked_for_can_follow() -> None:
    body = body_of(identify(""))
    head = (
        "POST /api/v2/batch HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Basic {base64.b64encode(b'sandbox:sandbox').decode()}",
        f"Content-Length: {len(body)}",
    )
    with (
        Sandbox(Faults(script=("two_answers",))) as sandbox,
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as plain,
    ):
        plain.sendall("\r\n".join((*head, "", "")).encode() + body)
        received = b""
        while not received.endswith(b"{}"):
            received += plain.recv(65536)
    assert received.startswith(b"HTTP/1.1 207")
    assert received.index(b"HTTP/1.1 200") > received.index(b"batch_index")


def test_a_client_that_leaves_while_it_waits_is_not_waited_for() -> None:
    with Sandbox(Faults(latency_s=60)) as sandbox:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{sandbox.url}/api/v2/batch", content=body_of(identify()), auth=AUTH, timeout=0.1)
        start = time.monotonic()
    assert time.monotonic() - start < 5


# ---------------------------------------------------------------- its own


def test_faults_can_be_set_while_it_runs(client: httpx.Client, sandbox: Sandbox) -> None:
    assert send(client, sandbox, identify()).status_code == 200
    sandbox.set_faults(Faults(script=("500",)))
    assert send(client, sandbox, identify()).status_code == 500
    wanted = {
        "rates": {"503": 1},
        "script": ["502", {"status": 418, "body": "tea", "headers": [["x-a", "b"]], "applied": True}],
        "retry_after": ["7"],
    }
    assert client.post(f"{sandbox.url}/__sandbox/faults", json=wanted).json() == {}
    answers = [send(client, sandbox, identify()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502, 418, 503]
    assert (answers[1].text, answers[1].headers["x-a"]) == ("tea", "b")
    assert answers[2].headers["retry-after"] == "7"
    assert sandbox.faults.rates == {"503": 1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "faults are an object"),
        (b'{"speed": 1, "colour": 2}', "no such setting: colour, speed"),
        (b'{"rates": {"flood": 1}}', "no such fault: flood"),
        (b'{"script": ["777"]}', "no such fault: 777"),
        (b'{"rates": {"503": 0.7, "429": 0.4}}', "rates and refused are shares between 0 and 1"),
        (b'{"refused": 2}', "rates and refused are shares between 0 and 1"),
        (b'{"rates": 1}', "rates: Input should be a valid dictionary"),
        (b'{"rates": {"503": "x"}}', "rates: Input should be a valid number"),
        (b'{"latency_s": "soon"}', "latency_s: Input should be a valid number"),
        (b'{"script": [{"body": 1}]}', "script: "),
    ],
)
def test_wrong_faults_are_refused_with_the_reason(
    client: httpx.Client, sandbox: Sandbox, body: bytes, message: str
) -> None:
    answer = client.post(f"{sandbox.url}/__sandbox/faults", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)
    assert sandbox.faults == Faults()


def test_no_page_of_the_internet_can_reach_in(client: httpx.Client, sandbox: Sandbox) -> None:
    """Neither by a form, which cannot send this type, nor by a name of its own that leads here."""
    url = f"{sandbox.url}/__sandbox/faults"
    assert client.post(url, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.get(sandbox.url, headers={"Host": "rebound.example"}).status_code == 400


def test_the_figures_are_told_as_json(client: httpx.Client, sandbox: Sandbox) -> None:
    body = body_of(identify("1"), event("1", id=ULID), identify(""))
    client.post(f"{sandbox.url}/api/v2/batch", content=body)
    stats = client.get(f"{sandbox.url}/__sandbox/stats").json()
    assert stats == sandbox.stats()
    assert stats == {
        "requests": 1,
        "items": 3,
        "invalid_items": 1,
        "refused_items": 0,
        "answers": {"207": 1},
        "faults": {},
        "max_requests_in_a_second": 1,
        "bodies": {"number": 1, "bytes": len(body), "largest": len(body)},
        "people": 1,
        "events": 1,
        "duplicate_events": 0,
        "effects": {"events": 1, "identifies": 1},
    }


def test_its_pages_show_what_came_and_escape_it(client: httpx.Client, sandbox: Sandbox) -> None:
    nasty = "<script>alert('&')</script>"
    assert "None yet." in client.get(sandbox.url).text
    items = [identify(nasty, **{nasty: nasty, "email": f'"{nasty}"@b.co'}), event(nasty, nasty, attributes={nasty: 1})]
    assert send(client, sandbox, *items, event(nasty, "late", timestamp=10**15)).status_code == 200
    (person,) = sandbox.people.everybody()
    for path in ("/", f"/people/{person.cio_id}"):
        answer = client.get(sandbox.url + path)
        assert answer.status_code == 200
        assert nasty not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert "beyond year 9999" in answer.text
        assert "<script" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "http://" not in answer.text and "https://" not in answer.text
    assert client.get(f"{sandbox.url}/people/nobody").status_code == 404


def test_it_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key, ca = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    issued.private_key_pem.write_to_path(key)
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(ca)
    script = ("ok", "lost_after", "truncated")
    with Sandbox(Faults(script=script), ssl_certfile=certificate, ssl_keyfile=key) as sandbox:
        with httpx.Client(auth=AUTH, verify=ssl.create_default_context(cafile=ca)) as client:
            assert sandbox.url.startswith("https://127.0.0.1:")
            assert send(client, sandbox, identify("1")).status_code == 200
            for _ in script[1:]:
                with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                    send(client, sandbox, identify("2"))
            assert len(sandbox.people) == 2
        with pytest.raises(httpx.ConnectError):
            httpx.get(sandbox.url)  # does not know the authority


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "example.com", "::", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback address only"):
        Sandbox(host=host)
    with pytest.raises(ValueError, match="loopback address only"):
        serve(host, 0)


def test_localhost_is_a_host(client: httpx.Client) -> None:
    with Sandbox(host="localhost") as sandbox:
        assert send(client, sandbox, identify()).status_code == 200


def test_a_port_that_is_taken_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(OSError):
        Sandbox(port=sandbox.port)


def test_a_bad_certificate_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(OSError):
        Sandbox(ssl_certfile=tmp_path / "bad.pem", ssl_keyfile=tmp_path / "bad.pem")


def test_it_stops_with_clients_still_connected(client: httpx.Client) -> None:
    with Sandbox() as sandbox:
        send(client, sandbox, identify())
    with pytest.raises(httpx.TransportError):
        send(client, sandbox, identify())


def test_every_setting_of_faults_is_json() -> None:
    assert Faults.from_json({}) == Faults()
    plain = {each.name: getattr(Faults(), each.name) for each in fields(Faults) if each.name not in ("rates", "script")}
    assert Faults.from_json(json.loads(json.dumps(plain))) == Faults()


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_served_alone_it_ends_by_a_signal_and_says_nothing(sent: signal.Signals, exit_code: int) -> None:
    program = "from etl.sandbox import serve; serve(port=0, announce=lambda url: print(url, flush=True))"
    command = [sys.executable, "-W", "error", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        url = process.stdout.readline().strip()
        assert httpx.get(url).status_code == 200
        process.send_signal(sent)
        assert (process.wait(10), process.stderr.read()) == (exit_code, "")


def test_many_clients_at_once_lose_nothing() -> None:
    """Eight clients send until each of their batches is acknowledged, through every fault that does not take long."""
    shares = (
        "429",
        "503",
        "lost_before",
        "lost_after",
        "truncated",
        "bad_gzip",
        "html",
        "closed_after",
        "broken_chunks",
    )
    faults = Faults(rates=dict.fromkeys(shares, 0.06))

    def load(lane: int) -> None:
        with httpx.Client(auth=AUTH) as client:
            for row in range(0, 40, 2):
                items = [identify(str(lane), row=row), event(str(lane), id=f"{lane}{row:025d}")]
                while not acknowledged(client, items):
                    pass

    def acknowledged(client: httpx.Client, items: list[dict[str, Any]]) -> bool:
        try:
            return send(client, sandbox, *items).text == "{}\n"
        except (httpx.TransportError, httpx.DecodingError):
            return False

    with Sandbox(faults, trace="row") as sandbox:
        with ThreadPoolExecutor(8) as lanes:
            list(lanes.map(load, range(8)))
        assert len(sandbox.people.events) == 160
        assert [person.attributes["row"] for person in sandbox.people.everybody()] == [38] * 8
        assert all(person.trace == sorted(person.trace) for person in sandbox.people.everybody())
        assert set(sandbox.stats()["faults"]) == set(shares)
        applied = sandbox.stats()["items"] // 2
        assert sandbox.people.counts["duplicate_events"] == applied - 160 > 0
