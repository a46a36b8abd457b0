"""Track v2: the documented rules, and which rule an item breaks."""

from __future__ import annotations

import doctest
import json
from types import ModuleType

import httpx
import pytest

from cio_etl.sandbox import Credentials, Faults, Sandbox, calls, paths, pipelines, rules
from cio_etl.sandbox.request_body import Malformed, read_batch
from tests.sandbox_client import ULID, body_of, event, identify, padded, send


def test_a_valid_batch_is_answered_with_an_empty_object(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = send(client, sandbox, identify(), event())
    assert (answer.status_code, answer.json()) == (200, {})
    assert "server" not in answer.headers
    assert "date" in answer.headers


def test_invalid_items_are_named_by_index_and_the_others_are_applied(client: httpx.Client, sandbox: Sandbox) -> None:
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
        ({"type": "object", "action": "merge"}, "action", "an object has no such action"),
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
        (
            identify() | {"identifiers": {"id": 4.2}},
            "identifiers.id",
            "an identifier must be a string or a whole number",
        ),
        (
            identify() | {"identifiers": {"id": True}},
            "identifiers.id",
            "an identifier must be a string or a whole number",
        ),
        (identify() | {"identifiers": {"email": 42}}, "identifiers.email", "an identifier must be a string"),
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
        identify() | {"identifiers": {"id": 42}},
        identify() | {"identifiers": {"phone": "+33123456789"}},
        identify() | {"identifiers": {"email": "a@b.co"}},
        {"type": "person", "action": "identify", "identifiers": {"id": "1"}},
        {"type": "person", "action": "delete", "identifiers": {"id": "1"}},
        {"type": "person", "action": "screen", "identifiers": {"id": "1"}, "name": "home"},
        event(name=" " + "é" * 50 + " "),
        event(id=ULID.lower(), attributes={"note": "x" * 20_000}),
    ],
)
def test_an_item_at_the_limit_of_a_rule_is_accepted(client: httpx.Client, sandbox: Sandbox, item: object) -> None:
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


def test_an_entity_is_accepted_or_refused(client: httpx.Client, sandbox: Sandbox) -> None:
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


def test_the_region_is_shown_to_whoever_has_the_key(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = client.get(f"{sandbox.url}/api/v1/accounts/region").json()
    assert answer == {"url": sandbox.url, "region": "us", "environment_id": 1}
    sandbox.set_faults(Faults(region="eu"))
    assert client.get(f"{sandbox.url}/api/v1/accounts/region").json()["region"] == "eu"


def test_credentials_can_be_set_and_changed() -> None:
    credentials = Credentials("site", "key", "app")
    with Sandbox(credentials=credentials) as sandbox, httpx.Client(auth=("site", "key")) as client:
        assert send(client, sandbox, identify()).status_code == 200
        sandbox.set_credentials(Credentials("site", "new key", "app"))
        assert send(client, sandbox, identify()).status_code == 401
    assert "key" not in repr(credentials).replace("api_key", "")


@pytest.mark.parametrize("module", [calls, paths, pipelines, rules])
def test_the_examples_in_docstrings_are_right(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
