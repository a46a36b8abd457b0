"""Track v2: what identifies, deletions and events do to people."""

from __future__ import annotations

import time

import httpx
import pytest

from cio_etl.sandbox import Sandbox
from tests.sandbox_client import ULID, event, identify, send


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


def test_an_update_of_an_unknown_person_creates_nobody(client: httpx.Client, sandbox: Sandbox) -> None:
    assert send(client, sandbox, identify(plan="pro", _update=True)).status_code == 200
    assert len(sandbox.people) == 0
    assert sandbox.people.counts["identifies_of_nobody"] == 1


def test_the_case_of_ids_matters_and_that_of_addresses_does_not(client: httpx.Client, sandbox: Sandbox) -> None:
    by_email = {"type": "person", "action": "identify", "identifiers": {"email": "A@b.CO"}}
    send(client, sandbox, identify("a"), identify("A"), by_email, by_email | {"identifiers": {"email": "a@B.co"}})
    assert len(sandbox.people) == 3
    person = sandbox.people.find("email", "A@B.CO")
    assert person is not None and person.email == "A@b.CO"


def test_a_new_id_with_a_known_address_is_assigned_to_that_person(client: httpx.Client, sandbox: Sandbox) -> None:
    by_email = {"type": "person", "action": "identify", "identifiers": {"email": "a@b.co"}, "attributes": {"n": 1}}
    send(client, sandbox, by_email, identify("7", email="A@b.co"))
    (person,) = sandbox.people.everybody()
    assert (person.id, person.email, person.attributes) == ("7", "A@b.co", {"n": 1})


def test_an_identifier_of_another_person_is_not_assigned(client: httpx.Client, sandbox: Sandbox) -> None:
    answer = send(
        client, sandbox, identify("1", email="a@b.co"), identify("2"), identify("2", email="a@b.co", plan="pro")
    )
    assert answer.status_code == 200
    second = sandbox.people.find("id", "2")
    assert second is not None and (second.email, second.attributes) == (None, {"plan": "pro"})
    assert sandbox.people.counts["failed_attribute_changes"] == 1


def test_only_a_call_with_a_cio_id_changes_an_id(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify("1", id="2"))
    (person,) = sandbox.people.everybody()
    assert person.id == "1"
    by_cio_id = {"type": "person", "action": "identify", "identifiers": {"cio_id": person.cio_id}}
    send(client, sandbox, by_cio_id | {"attributes": {"id": "2"}})
    assert person.id == "2"
    assert sandbox.people.find("id", "1") is None
    assert sandbox.people.find("id", "2") is person


def test_a_person_is_found_by_a_changed_address_and_not_by_the_old_one(client: httpx.Client, sandbox: Sandbox) -> None:
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


def test_the_trace_has_the_order_of_a_persons_identifies(client: httpx.Client) -> None:
    with Sandbox(trace="row") as sandbox:
        send(client, sandbox, identify("1", row=1), identify("2", row=2), identify("1", row=3), identify("1"))
        assert [person.trace for person in sandbox.people.everybody()] == [[1, 3], [2]]


def test_a_301st_attribute_is_refused(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify(**{f"a{n}": n for n in range(300)}), identify(one_more=1, a0=7))
    (person,) = sandbox.people.everybody()
    assert len(person.attributes) == 300
    assert person.attributes["a0"] == 7
    assert sandbox.people.counts["failed_attribute_changes"] == 1


def test_a_deleted_person_has_no_identifiers(client: httpx.Client, sandbox: Sandbox) -> None:
    delete = {"type": "person", "action": "delete", "identifiers": {"email": "A@B.co"}}
    send(client, sandbox, identify("1", email="a@b.co"), event("1", id=ULID), delete, delete)
    assert len(sandbox.people) == 0
    assert sandbox.people.find("id", "1") is None
    assert sandbox.people.find("email", "a@b.co") is None
    assert sandbox.people.counts["deletes"] == 2
    assert "deleted" in client.get(f"{sandbox.url}/").text


# ---------------------------------------------------------------- events


def test_an_event_with_an_id_counts_once(client: httpx.Client, sandbox: Sandbox) -> None:
    for name in ("first", "second"):
        send(client, sandbox, event(name=name, id=ULID, timestamp=1_700_000_000), event(name=name, id=ULID.lower()))
    (recorded,) = sandbox.people.events.values()
    assert (recorded.name, recorded.timestamp, recorded.received) == ("first", 1_700_000_000, 4)
    assert sandbox.stats()["duplicate_events"] == 3


def test_events_without_an_id_all_count(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, event(), event())
    assert len(sandbox.people.events) == 2


@pytest.mark.parametrize("identifiers", [{"id": "9"}, {"email": "n@e.w"}, {"phone": "+123456"}])
def test_an_event_of_an_unknown_person_creates_the_person(
    client: httpx.Client, sandbox: Sandbox, identifiers: dict[str, str]
) -> None:
    send(client, sandbox, event(id=ULID) | {"identifiers": identifiers})
    (person,) = sandbox.people.everybody()
    assert (person.event_ids, person.edited_at) == ([ULID], None)
    assert sandbox.people.counts["people_made_by_events"] == 1


def test_an_unknown_cio_id_creates_nobody(client: httpx.Client, sandbox: Sandbox) -> None:
    nobody = {"identifiers": {"cio_id": "f00"}}
    assert send(client, sandbox, event() | nobody, identify() | nobody).status_code == 200
    assert len(sandbox.people) == len(sandbox.people.events) == 0
    assert sandbox.people.counts == {"events_of_nobody": 1, "identifies_of_nobody": 1}
