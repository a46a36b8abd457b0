"""Pipelines: strict mode, permissive mode, sizes, calls, semantic events, repeated messages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cio_etl.sandbox import Credentials, Faults, Sandbox
from cio_etl.sandbox.calls import seconds_of
from cio_etl.sandbox.request_body import Malformed, read_envelope
from cio_etl.sandbox.semantic_events import SEMANTIC

STRICT = {"X-Strict-Mode": "1"}
AT = "2024-03-10T09:00:00Z"


@pytest.fixture(scope="module")
def strict() -> Iterator[httpx.Client]:
    """A client with the write key of every sandbox, in strict mode."""
    with httpx.Client(auth=("sandbox", ""), headers=STRICT, timeout=10) as client:
        yield client


@pytest.fixture(scope="module")
def permissive() -> Iterator[httpx.Client]:
    with httpx.Client(auth=("sandbox", ""), timeout=10) as client:
        yield client


def call(kind: str, user: str | None = "42", **members: object) -> dict[str, Any]:
    return {"type": kind} | ({} if user is None else {"userId": user}) | members


def track(name: str, user: str | None = "42", **members: object) -> dict[str, Any]:
    return call("track", user, event=name, **members)


def send(client: httpx.Client, sandbox: Sandbox, *calls: object, **members: object) -> httpx.Response:
    return client.post(f"{sandbox.url}/v1/batch", json={"batch": calls} | members)


def reasons(sandbox: Sandbox) -> list[tuple[str, str, str]]:
    return [(each.type, each.about, each.reason) for each in sandbox.activity]


INVALID: list[tuple[object, str]] = [
    ("text", "a call must be an object"),
    ({"userId": "42"}, "type: is required"),
    (call("dance"), "type: is none of the known ones"),
    (call("identify", None), "userId or anonymousId: is required"),
    (call("identify", "", traits={"email": ""}), "userId or anonymousId: is required"),
    (call("identify") | {"userId": 42}, "userId: must be text"),
    (call("identify", " "), "userId: must be text"),
    (call("identify", traits=[]), "traits: must be an object"),
    (call("track"), "event: is required"),
    (track("bought", properties="x"), "properties: must be an object"),
    (track("bought", messageId=7), "messageId: must be text"),
    (track("bought", context=[]), "context: must be an object"),
    (track("bought", integrations=[]), "integrations: must be an object"),
    (call("page", None), "userId or anonymousId: is required"),
    (call("screen", None, name="home"), "userId or anonymousId: is required"),
    (call("group"), "groupId: is required"),
    (call("group", None, groupId="acme"), "userId or anonymousId: is required"),
    (call("alias"), "previousId: is required"),
    (track("User Deleted", None, anonymousId="v"), "userId: is required"),
    (track("User Suppressed", None), "userId: is required"),
    (track("User Unsuppressed", None), "userId: is required"),
    (track("Device Created or Updated"), "context.device.token: is required"),
    (track("Device Deleted", context={"device": {"token": ""}}), "context.device.token: is required"),
    (track("Relationship Deleted", properties={}), "properties.objectId: is required"),
    (track("Object Deleted"), "properties.objectId: is required"),
    (track("Object Deleted", None, properties={"objectId": "a"}), "userId or anonymousId: is required"),
]


@pytest.mark.parametrize(("invalid", "message"), INVALID)
def test_strict_mode_refuses_the_batch_and_names_the_fault(
    strict: httpx.Client, sandbox: Sandbox, invalid: object, message: str
) -> None:
    answer = send(strict, sandbox, call("identify", "1"), invalid)
    assert (answer.status_code, answer.json()) == (400, {"meta": {"errors": [f"batch[1].{message}"]}})
    assert (len(sandbox.people), len(sandbox.activity)) == (0, 0)
    assert sandbox.stats()["invalid_items"] == 1


@pytest.mark.parametrize(("invalid", "message"), INVALID)
def test_permissive_mode_drops_an_invalid_call_and_answers_200(
    permissive: httpx.Client, sandbox: Sandbox, invalid: object, message: str
) -> None:
    answer = send(permissive, sandbox, call("identify", "1"), invalid, call("identify", "2"))
    assert (answer.status_code, answer.json()) == (200, {})
    assert [each.id for each in sandbox.people.everybody()] == ["1", "2"]
    assert reasons(sandbox) == [("dropped_call", "a call of a batch", message)]
    assert sandbox.people.counts["calls_dropped"] == 1


@pytest.mark.parametrize("header", [{}, {"X-Strict-Mode": "0"}, {"X-Strict-Mode": "true"}])
def test_strict_mode_is_on_for_the_header_value_1_only(
    permissive: httpx.Client, sandbox: Sandbox, header: dict[str, str]
) -> None:
    answer = permissive.post(f"{sandbox.url}/v1/identify", json={}, headers=header)
    assert answer.status_code == 200
    assert permissive.post(f"{sandbox.url}/v1/identify", json={}, headers=STRICT).status_code == 400


@pytest.mark.parametrize("auth", [None, ("wrong", ""), ("sandbox", "sandbox"), ("", "sandbox")])
def test_a_wrong_write_key_is_refused_in_strict_mode_only(sandbox: Sandbox, auth: tuple[str, str] | None) -> None:
    with httpx.Client(auth=auth) as stranger:
        assert send(stranger, sandbox, call("identify")).status_code == 200
        assert reasons(sandbox) == [("dropped_request", "a request to Pipelines", "the write key is wrong")]
        refused = stranger.post(f"{sandbox.url}/v1/track", json=track("x"), headers=STRICT)
        assert (refused.status_code, refused.json()) == (401, {"meta": {"error": "Unauthorized request"}})
    assert len(sandbox.people) == 0


def test_the_write_key_is_not_the_track_key() -> None:
    keys = Credentials("site", "key", "app", "write")
    with Sandbox(credentials=keys) as sandbox, httpx.Client(headers=STRICT) as client:
        assert client.post(f"{sandbox.url}/v1/identify", json=call("identify"), auth=("write", "")).status_code == 200
        assert client.post(f"{sandbox.url}/v1/identify", json=call("identify"), auth=("key", "")).status_code == 401
        assert client.post(f"{sandbox.url}/api/v2/entity", json={}, auth=("write", "")).status_code == 401
    assert "write" not in repr(keys).replace("write_key", "")


def test_a_write_key_can_be_revoked_and_replaced(strict: httpx.Client) -> None:
    with Sandbox(Faults(key_revoked_after=1, new_write_key="fresh")) as sandbox:
        assert [send(strict, sandbox, call("identify")).status_code for _ in range(2)] == [200, 401]
        with httpx.Client(auth=("fresh", ""), headers=STRICT) as rotated:
            assert send(rotated, sandbox, call("identify")).status_code == 200


# ---------------------------------------------------------------- sizes and shapes


def padded(size: int) -> bytes:
    """A call of this many bytes."""
    bare = len(json.dumps(track("x", properties={"a": ""})))
    return json.dumps(track("x", properties={"a": "x" * (size - bare)})).encode()


def test_a_call_may_have_32000_bytes(strict: httpx.Client, permissive: httpx.Client, sandbox: Sandbox) -> None:
    for size, status in ((32_000, 200), (32_001, 400)):
        for path, body in (("track", padded(size)), ("batch", b'{"batch": [%s ]}' % padded(size))):
            assert strict.post(f"{sandbox.url}/v1/{path}", content=body).status_code == status
            assert permissive.post(f"{sandbox.url}/v1/{path}", content=body).status_code == 200
    assert len(sandbox.people.events) == 4
    assert [each.reason for each in sandbox.activity] == [
        "the request cannot be larger than 32000 bytes",
        "a call cannot be larger than 32000 bytes",
    ]


def test_a_batch_may_have_500000_bytes(strict: httpx.Client, permissive: httpx.Client, sandbox: Sandbox) -> None:
    body = json.dumps({"batch": [call("identify")]}).encode()
    full = body + b" " * (500_000 - len(body))
    url = f"{sandbox.url}/v1/batch"
    assert strict.post(url, content=full).status_code == 200
    refused = strict.post(url, content=full + b" ")
    assert refused.status_code == 400
    assert refused.json() == {"meta": {"errors": ["the request cannot be larger than 500000 bytes"]}}
    assert permissive.post(url, content=full + b" ").status_code == 200
    assert sandbox.people.counts == {"identifies": 1, "requests_dropped": 1}


def test_a_batchs_context_applies_to_calls_without_their_own(strict: httpx.Client, sandbox: Sandbox) -> None:
    ios, android = ({"device": {"token": name, "type": name}} for name in ("ios", "android"))
    calls = track("Device Created or Updated"), track("Device Created or Updated", "7", context=android)
    calls[0]["integrations"] = None  # as in an example of the vendor
    assert send(strict, sandbox, *calls, context=ios, integrations={"All": True}, sentAt=AT).status_code == 200
    assert [list(each.devices) for each in sandbox.people.everybody()] == [["ios"], ["android"]]


def test_calls_that_are_refused_on_demand_are_dropped_behind_a_200(strict: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(refused=1.0))
    answer = send(strict, sandbox, call("identify", traits={"plan": "pro"}), track("Bought"))
    assert (answer.status_code, sandbox.stats()["refused_items"], sandbox.stats()["people"]) == (200, 2, 0)
    assert sandbox.people.counts == {"calls_failed": 2}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON at character 0"),
        (b"[]", "the body is not an object"),
        (b"{}", "batch is missing or not an array"),
        (b'{"a":1}', "batch is missing or not an array"),
        (b'{"batch":[]}', "batch is empty"),
        (b'{"batch":[ ],"a":1}', "batch is empty"),
        (b'{"batch":{}}', "batch is missing or not an array"),
        (b'{"batch":[1],}', "the body is not JSON at character 12"),
        (b'{"batch" [1]}', "the body is not JSON at character 8"),
        (b'{"batch":[1]', "the body is not JSON at character 12"),
        (b'{"batch":[1 2]}', "the items of batch are not separated by commas"),
        (b'{"batch":[1],"a":NaN}', "NaN and Infinity are not JSON"),
        (b'{"batch":[1],"batch":[2]}', "an object has the same key twice"),
        (b'{"a":1,"a":2,"batch":[2]}', "an object has the same key twice"),
        (b'{"batch":[1]} 2', "the body goes on after its JSON value"),
        (b"{1:2}", "the body is not JSON at character 1"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_as_a_whole(
    strict: httpx.Client, permissive: httpx.Client, sandbox: Sandbox, body: bytes, message: str
) -> None:
    answer = strict.post(f"{sandbox.url}/v1/batch", content=body)
    assert (answer.status_code, answer.json()) == (400, {"meta": {"errors": [message]}})
    assert permissive.post(f"{sandbox.url}/v1/batch", content=body).status_code == 200
    assert reasons(sandbox) == [("dropped_request", "a request to Pipelines", message)]


def test_an_envelope_is_read_with_the_sizes_of_its_calls() -> None:
    calls, members = read_envelope(
        b' { "sentAt" : "x" , "batch" :\t[ {"a": "\xc3\xa9"} , 2 ] , "context": {"a": 1} }\n'
    )
    assert [tuple(each) for each in calls] == [({"a": "é"}, 11), (2, 1)]
    assert members == {"sentAt": "x", "context": {"a": 1}}
    with pytest.raises(Malformed, match="batch is empty"):
        read_envelope(b'{"batch": []}')


# ---------------------------------------------------------------- calls


def test_an_identify_creates_and_changes_a_person(strict: httpx.Client, sandbox: Sandbox) -> None:
    traits = {"email": "a@b.co", "createdAt": "1970-01-01T00:01:00Z", "plan": "pro", "tags": ["é"]}
    send(strict, sandbox, call("identify", traits=traits), call("identify", traits={"plan": None}))
    (person,) = sandbox.people.everybody()
    assert (person.id, person.email) == ("42", "a@b.co")
    assert person.attributes == {"created_at": 60, "tags": ["é"]}


@pytest.mark.parametrize("user", [None, ""])
def test_people_can_be_identified_by_their_address_alone(
    strict: httpx.Client, sandbox: Sandbox, user: str | None
) -> None:
    assert send(strict, sandbox, call("identify", user, traits={"email": "a@b.co", "n": 1})).status_code == 200
    (person,) = sandbox.people.everybody()
    assert (person.id, person.email, person.attributes) == (None, "a@b.co", {"n": 1})


def test_events_pages_and_screens_are_recorded(strict: httpx.Client, sandbox: Sandbox) -> None:
    calls = [
        track("bought", properties={"n": 1}, timestamp=AT, messageId="m1"),
        call("page", name="home", messageId="m2"),
        call("page", properties={"url": "https://a.b/c"}, messageId="m3"),
        call("screen", name="start", messageId="m4"),
    ]
    assert send(strict, sandbox, *calls).status_code == 200
    events = sandbox.people.events
    assert [(each.action, each.name) for each in events.values()] == [
        ("event", "bought"),
        ("page", "home"),
        ("page", "https://a.b/c"),
        ("screen", "start"),
    ]
    assert (events["m1"].timestamp, events["m1"].attributes) == (1_710_061_200, {"n": 1})
    assert sandbox.people.everybody()[0].event_ids == ["m1", "m2", "m3", "m4"]


def test_each_call_has_an_endpoint_of_its_own(strict: httpx.Client, sandbox: Sandbox) -> None:
    bare = {
        "identify": {"userId": "1"},
        "track": {"userId": "1", "event": "x"},
        "page": {"userId": "1", "name": "x"},
        "screen": {"userId": "1", "name": "x"},
        "group": {"userId": "1", "groupId": "acme"},
        "alias": {"userId": "1", "previousId": "2"},
    }
    for kind, body in bare.items():
        assert strict.post(f"{sandbox.url}/v1/{kind}", json=body).text == "{}\n"
        other = "page" if kind == "track" else "track"
        refused = strict.post(f"{sandbox.url}/v1/{kind}", json={"event": "x"} | body | {"type": other})
        assert refused.json() == {"meta": {"errors": [f"type: must be {kind}"]}}
    assert sandbox.people.counts["events"] == 3
    assert (len(sandbox.people), len(sandbox.objects)) == (1, 1)
    assert sandbox.stats()["endpoints"] == {f"/v1/{kind}": 2 for kind in bare}


@pytest.mark.parametrize("timestamp", ["1700000000", 1_700_000_000, "yesterday", "2024-13-01", True])
def test_a_time_that_is_not_in_iso_8601_becomes_now(strict: httpx.Client, sandbox: Sandbox, timestamp: object) -> None:
    before = time.time()
    assert send(strict, sandbox, track("x", timestamp=timestamp, messageId="m")).status_code == 200
    assert before <= sandbox.people.events["m"].timestamp <= time.time()
    assert reasons(sandbox) == [("timestamp_replaced", "message m", "the timestamp is not in ISO 8601, and became now")]


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose time zone is not UTC."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_iso_8601_is_read_with_zone_and_fraction_and_is_utc_without_a_zone(far_east: None) -> None:
    texts = ("1970-01-02", "1970-01-01T00:00:00.250Z", "1970-01-01T01:00:00+01:00", "1970-01-01 00:00:07", "1712345678")
    assert [seconds_of(each) for each in texts] == [86_400, 0.25, 0, 7, None]


def test_a_group_is_an_object_and_a_relationship(strict: httpx.Client, sandbox: Sandbox) -> None:
    traits = {"objectTypeId": "2", "name": "Acme", "relationshipAttributes": {"role": "admin"}}
    answer = send(
        strict,
        sandbox,
        call("group", groupId="acme", traits=traits),
        call("group", None, anonymousId="v1", groupId="beta"),
    )
    assert answer.status_code == 200
    acme, beta = sandbox.objects.find(2, "acme"), sandbox.objects.find(1, "beta")
    (person,) = sandbox.people.everybody()
    assert acme is not None and beta is not None
    assert (acme.attributes, acme.people) == ({"name": "Acme"}, {person.cio_id: {"role": "admin"}})
    assert beta.visitors == {"v1": {}}


def test_a_visitors_events_become_the_identified_persons(strict: httpx.Client, sandbox: Sandbox) -> None:
    seen = track("seen", None, anonymousId="v1", messageId="m")
    send(strict, sandbox, seen, call("identify", None, anonymousId="v1", traits={"plan": "pro"}))
    assert [each.id for each in sandbox.people.anonymous_events] == ["m"]
    assert len(sandbox.people) == 0
    send(strict, sandbox, call("identify", anonymousId="v1"))
    assert sandbox.people.everybody()[0].event_ids == ["m"]


@pytest.mark.parametrize(
    "other",
    [
        call("alias", previousId="7"),
        call("identify", None, anonymousId="v1"),
        track("bought", None, groupId="acme"),
        call("identify", integrations={"All": False}),
    ],
)
def test_calls_for_other_destinations_are_logged(strict: httpx.Client, sandbox: Sandbox, other: dict[str, Any]) -> None:
    assert send(strict, sandbox, other).status_code == 200
    assert sandbox.people.counts == {"calls_forwarded": 1}
    assert [each.type for each in sandbox.activity] == ["forwarded_call"]


@pytest.mark.parametrize(
    ("over", "kind", "reason"),
    [
        (
            call("identify", messageId="m", traits={"plan": "x" * 1001}),
            "failed_attribute_change",
            "attributes.plan: a value cannot be longer than 1000 bytes",
        ),
        (
            track("x" * 101, messageId="m"),
            "failed_event",
            "name: an event's name cannot be longer than 100 bytes",
        ),
        (
            track("x", "u" * 151, messageId="m"),
            "failed_event",
            "identifiers.id: an identifier cannot be longer than 150 bytes",
        ),
        (
            track("x", None, anonymousId="v" * 151, messageId="m"),
            "failed_event",
            "anonymous_id: an identifier cannot be longer than 150 bytes",
        ),
        (
            call("group", groupId="a", traits={"objectTypeId": "company"}, messageId="m"),
            "failed_attribute_change",
            "identifiers.object_type_id: an object type is a whole number from 1",
        ),
    ],
)
def test_a_call_over_a_limit_of_the_workspace_is_accepted_and_fails_later(
    strict: httpx.Client, sandbox: Sandbox, over: dict[str, Any], kind: str, reason: str
) -> None:
    assert send(strict, sandbox, over).status_code == 200
    assert reasons(sandbox) == [(kind, "message m", reason)]
    assert len(sandbox.people) == len(sandbox.people.events) == len(sandbox.objects) == 0
    assert sandbox.people.counts == {"calls_failed": 1}


# ---------------------------------------------------------------- semantic events


def test_semantic_events_are_operations_and_are_not_recorded(strict: httpx.Client, sandbox: Sandbox) -> None:
    def operate(name: str, **members: object) -> None:
        assert send(strict, sandbox, track(name) | members).status_code == 200

    send(strict, sandbox, call("identify"), call("group", groupId="acme"), call("group", groupId="beta"))
    (person,) = sandbox.people.everybody()
    device = {"device": {"token": "t", "type": "ios", "model": "x"}}
    operate("Device Created or Updated", context=device, timestamp="1970-01-01T00:00:07Z")
    (added,) = person.devices.values()
    assert (added.platform, added.last_used, added.attributes) == ("ios", 7, {"model": "x"})
    operate("Device Deleted", context=device)
    assert person.devices == {}
    operate("Relationship Deleted", properties={"objectId": "acme", "objectTypeId": 1})
    assert len(person.relationships) == 1
    operate("Object Deleted", properties={"objectId": "beta"})
    assert person.relationships == {} and [each.object_id for each in sandbox.objects.everything()] == ["acme"]
    operate("User Suppressed")
    assert len(sandbox.people) == 0 and ("id", "42") in sandbox.people.suppressed
    operate("User Unsuppressed")
    assert sandbox.people.suppressed == []
    send(strict, sandbox, call("identify"))
    operate("User Deleted")
    assert len(sandbox.people) == len(sandbox.people.events) == 0


def test_a_device_without_a_type_fails_later(strict: httpx.Client, sandbox: Sandbox) -> None:
    assert send(strict, sandbox, track("Device Created or Updated", context={"device": {"token": "t"}})).is_success
    assert [each.reason for each in sandbox.activity] == ["device.platform: a device needs a platform"]


def test_every_semantic_event_has_a_test() -> None:
    tested = {each["event"] for each, _ in INVALID if isinstance(each, dict) and "event" in each}
    assert set(SEMANTIC) <= tested | {"Report Delivery Event", "Report Content Event"}


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(("dedupes", "events"), [(True, ["m"]), (False, ["m", "m (2)", "m (3)"])])
def test_a_repeated_message_is_counted_and_ignored_if_pipelines_dedupes(
    strict: httpx.Client, dedupes: bool, events: list[str]
) -> None:
    with Sandbox(Faults(pipelines_dedupes=dedupes)) as sandbox:
        bought = track("bought", messageId="m")
        send(strict, sandbox, bought, bought, call("identify", messageId="i", traits={"n": 1}))
        send(strict, sandbox, bought, call("identify", messageId="i", traits={"n": 2}))
        assert list(sandbox.people.events) == events
        assert sandbox.people.events["m"].received == (3 if dedupes else 1)
        assert sandbox.people.everybody()[0].attributes == {"n": 1 if dedupes else 2}
        assert sandbox.messages == {"m": 3, "i": 2}
        assert (sandbox.stats()["messages"], sandbox.stats()["repeated_messages"]) == (2, 3)


def test_the_messages_of_a_refused_batch_are_not_repeats_later(strict: httpx.Client, sandbox: Sandbox) -> None:
    bought = track("bought", messageId="m")
    assert send(strict, sandbox, bought, call("identify", None)).status_code == 400
    assert send(strict, sandbox, bought).status_code == 200
    assert (list(sandbox.people.events), sandbox.messages) == (["m"], {"m": 1})
