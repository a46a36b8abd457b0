"""Track v2: devices, objects, relationships, merges, suppression, visitors, and the activity log."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cio_etl.sandbox import Person, Sandbox
from cio_etl.sandbox.people import People
from cio_etl.sandbox.rules import violations
from tests.sandbox_client import ULID, event, identify, send

ACME = {"object_type_id": "1", "object_id": "acme"}
DAY = 86_400


def person(action: str, person_id: str | int = "42", **members: object) -> dict[str, Any]:
    return {"type": "person", "action": action, "identifiers": {"id": person_id}} | members


def thing(action: str = "identify", identifiers: dict[str, Any] = ACME, **members: object) -> dict[str, Any]:
    return {"type": "object", "action": action, "identifiers": identifiers} | members


def merge(primary: dict[str, Any], secondary: dict[str, Any]) -> dict[str, Any]:
    return {"type": "person", "action": "merge", "primary": primary, "secondary": secondary}


def related(identifiers: dict[str, Any], **attributes: object) -> dict[str, Any]:
    return {"identifiers": identifiers} | ({"relationship_attributes": attributes} if attributes else {})


def person_of(sandbox: Sandbox, person_id: str = "42") -> Person:
    person = sandbox.people.find("id", person_id)
    assert person is not None
    return person


def people_after(*steps: tuple[float, dict[str, Any]]) -> People:
    """People after these items were applied, each at its time."""
    people = People()
    for at, item in steps:
        assert violations(item, 0) == []
        people.apply(item, at)
    return people


# ---------------------------------------------------------------- refused items


PREFERENCES = "cio_subscription_preferences"


@pytest.mark.parametrize(
    ("item", "field", "message"),
    [
        (person("add_device"), "device", "device must be an object"),
        (person("add_device", device={"platform": "ios"}), "device.token", "a device needs a token"),
        (
            person("add_device", device={"token": " ", "platform": "ios"}),
            "device.token",
            "a device's token must be text and cannot be blank",
        ),
        (person("add_device", device={"token": "t"}), "device.platform", "a device needs a platform"),
        (
            person("add_device", device={"token": "t", "platform": "web"}),
            "device.platform",
            "a device's platform is ios or android",
        ),
        (
            person("add_device", device={"token": "t", "platform": "ios", "last_used": "now"}),
            "device.last_used",
            "a device's last_used must be Unix seconds",
        ),
        (
            person("add_device", device={"token": "t", "platform": "ios", "attributes": []}),
            "device.attributes",
            "attributes must be an object",
        ),
        (
            person("add_device", device={"token": "t", "platform": "ios", "attributes": {"push_enabled": True}}),
            "device.attributes.push_enabled",
            'push_enabled must be the text "true" or "false"',
        ),
        (person("delete_device", device={}), "device.token", "a device needs a token"),
        ({"type": "person", "action": "merge", "primary": {"id": "1"}}, "secondary", "secondary must be an object"),
        (
            merge({"id": "1"}, {"phone": "+33123456789"}),
            "secondary",
            "a person is identified by id, email or cio_id here",
        ),
        (merge({"id": "1", "email": "a@b.co"}, {"id": "2"}), "primary", "exactly one identifier is needed, not 2"),
        (person("suppress") | {"identifiers": {}}, "identifiers", "exactly one identifier is needed, not 0"),
        (
            identify(**{PREFERENCES: []}),
            f"attributes.{PREFERENCES}",
            "subscription preferences must be an object, and its topics another",
        ),
        (
            identify(**{PREFERENCES: {"topics": {"topic_1": "yes"}}}),
            f"attributes.{PREFERENCES}",
            "a subscription preference must be true or false",
        ),
        (
            identify(**{f"{PREFERENCES}.topics.topic_1": 1}),
            f"attributes.{PREFERENCES}.topics.topic_1",
            "a subscription preference must be true or false",
        ),
        (
            identify(**{f"{PREFERENCES}.topics.news": True}),
            f"attributes.{PREFERENCES}.topics.news",
            "no such subscription preference",
        ),
        (
            person("add_relationships"),
            "cio_relationships",
            "cio_relationships must be an array of at least one relationship",
        ),
        (
            thing("delete_relationships", cio_relationships=[]),
            "cio_relationships",
            "cio_relationships must be an array of at least one relationship",
        ),
        (
            identify() | {"cio_relationships": {}},
            "cio_relationships",
            "cio_relationships must be an array of at least one relationship",
        ),
        (
            person("add_relationships", cio_relationships=["acme"]),
            "cio_relationships[0]",
            "a relationship must be an object",
        ),
        (
            person("add_relationships", cio_relationships=[related(ACME), related({"id": "1"})]),
            "cio_relationships[1].identifiers",
            "an object is identified by object_type_id and object_id, or by cio_object_id",
        ),
        (
            person("add_relationships", cio_relationships=[related(ACME) | {"relationship_attributes": 1}]),
            "cio_relationships[0].relationship_attributes",
            "attributes must be an object",
        ),
        (
            thing("add_relationships", cio_relationships=[related(ACME)]),
            "cio_relationships[0].identifiers",
            "exactly one identifier is needed, not 2",
        ),
        (
            thing("add_relationships", cio_relationships=[related({"phone": "+33123456789"})]),
            "cio_relationships[0].identifiers",
            "a person is identified by id, email or cio_id here",
        ),
        (
            thing("identify_anonymous", cio_relationships=[related({"id": "1"})]),
            "cio_relationships[0].identifiers",
            "an anonymous_id is needed, and nothing else",
        ),
        (thing("identify_anonymous", anonymous_id=" "), "anonymous_id", "an identifier cannot be blank"),
        (
            thing(identifiers={"object_id": "acme"}),
            "identifiers",
            "an object is identified by object_type_id and object_id, or by cio_object_id",
        ),
        (
            thing(identifiers=ACME | {"object_type_id": "companies"}),
            "identifiers.object_type_id",
            "an object type is a whole number from 1",
        ),
        (
            thing(identifiers=ACME | {"object_id": "é" * 76}),
            "identifiers.object_id",
            "an identifier cannot be longer than 150 bytes",
        ),
        (thing(attributes={"plan": "x" * 1001}), "attributes.plan", "a value cannot be longer than 1000 bytes"),
        (
            {"type": "delivery", "action": "event", "name": "opened", "attributes": {"device_token": "t"}},
            "identifiers.id",
            "the id of a delivery is needed",
        ),
        (
            {
                "type": "delivery",
                "action": "event",
                "identifiers": {"id": "d"},
                "name": "eaten",
                "attributes": {"device_token": "t"},
            },
            "name",
            "a delivery's event is opened, converted or delivered",
        ),
        (
            {"type": "delivery", "action": "event", "identifiers": {"id": "d"}, "name": "opened"},
            "attributes.device_token",
            "the token of a device is needed",
        ),
    ],
)
def test_an_item_without_a_required_member_is_refused(
    client: httpx.Client, sandbox: Sandbox, item: dict[str, Any], field: str, message: str
) -> None:
    answer = send(client, sandbox, item)
    assert answer.status_code == 207
    (error,) = answer.json()["errors"]
    assert (error["field"], error["message"]) == (field, message)
    assert len(sandbox.people) == len(sandbox.objects) == 0


# ---------------------------------------------------------------- people


def test_a_number_and_its_text_are_the_same_id(client: httpx.Client, sandbox: Sandbox) -> None:
    by_email = {"type": "person", "action": "identify", "identifiers": {"email": "a@b.co"}, "attributes": {"id": 7}}
    assert send(client, sandbox, person("identify", 42), person("identify", "42"), by_email).status_code == 200
    assert [each.id for each in sandbox.people.everybody()] == ["42", "7"]


def test_a_preferences_object_replaces_all_and_a_dotted_name_changes_one(
    client: httpx.Client, sandbox: Sandbox
) -> None:
    whole = {"topics": {"topic_1": True, "topic_2": False}}
    send(client, sandbox, identify(**{PREFERENCES: whole}), identify(**{f"{PREFERENCES}.topics.topic_2": True}))
    assert person_of(sandbox).attributes == {PREFERENCES: {"topics": {"topic_1": True, "topic_2": True}}}
    send(client, sandbox, identify(**{f"{PREFERENCES}.topics.topic_1": None, f"{PREFERENCES}.topics.topic_9": ""}))
    assert person_of(sandbox).attributes == {PREFERENCES: {"topics": {"topic_2": True}}}
    send(client, sandbox, identify(**{PREFERENCES: {"topics": {"topic_3": False}}}))
    assert person_of(sandbox).attributes == {PREFERENCES: {"topics": {"topic_3": False}}}
    send(client, sandbox, identify("7", **{f"{PREFERENCES}.topics.topic_1": False}))
    assert person_of(sandbox, "7").attributes == {PREFERENCES: {"topics": {"topic_1": False}}}
    assert whole == {"topics": {"topic_1": True, "topic_2": False}}


def test_devices_are_added_changed_and_deleted(client: httpx.Client, sandbox: Sandbox) -> None:
    ios = {"token": "t", "platform": "ios", "last_used": 7, "attributes": {"app_version": "1", "push_enabled": "true"}}
    newer = {"token": "t", "platform": "ios", "last_used": 8, "attributes": {"app_version": "2"}}
    send(client, sandbox, person("add_device", device=ios), person("add_device", device=newer))
    (device,) = person_of(sandbox).devices.values()
    assert (device.token, device.platform, device.last_used) == ("t", "ios", 8)
    assert device.attributes == {"app_version": "2", "push_enabled": "true"}
    delete = person("delete_device", device={"token": "t"})
    assert send(client, sandbox, delete, delete).status_code == 200
    assert person_of(sandbox).devices == {}
    assert sandbox.people.counts == {
        "people_made_by_devices": 1,
        "devices_added": 2,
        "devices_deleted": 1,
        "devices_of_nobody": 1,
    }
    (activity,) = sandbox.activity.of_type("failed_device")
    assert (activity.about, activity.reason) == ("id 42", "the person has no such device")


def test_a_merge_fills_what_is_empty_and_deletes_the_secondary(client: httpx.Client, sandbox: Sandbox) -> None:
    send(
        client,
        sandbox,
        identify("1", plan="pro", city=""),
        identify("2", email="a@b.co", plan="free", city="Lyon"),
        event("2", id=ULID),
    )
    cio_id = person_of(sandbox, "2").cio_id
    client.post(f"{sandbox.url}/api/v1/segments/7/add_customers", json={"ids": ["2"]})
    assert send(client, sandbox, merge({"id": "1"}, {"email": "A@B.co"})).status_code == 200
    (primary,) = sandbox.people.everybody()
    assert (primary.id, primary.email, primary.attributes) == ("1", "a@b.co", {"plan": "pro", "city": "Lyon"})
    assert primary.event_ids == [ULID] and sandbox.people.events[ULID].cio_id == primary.cio_id
    assert sandbox.people.segment(7) == [primary]
    assert sandbox.people.find("id", "2") is None and sandbox.people.find("email", "a@b.co") is primary
    (merged,) = sandbox.people.merges
    assert (merged.primary, merged.secondary["cio_id"], merged.secondary["id"]) == (primary.cio_id, cio_id, "2")


def test_a_merge_carries_the_last_30_days_of_events() -> None:
    old, new = (event("2", id=f"{ULID[:-1]}{n}", timestamp=at) for n, at in enumerate((0, 2 * DAY)))
    people = people_after((0, identify("1")), (0, old), (0, new), (31 * DAY, merge({"id": "1"}, {"id": "2"})))
    (primary,) = people.everybody()
    assert primary.event_ids == [new["id"]]
    assert people.events[old["id"]].cio_id != primary.cio_id


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (merge({"id": "nobody"}, {"id": "1"}), "one of the two does not exist"),
        (merge({"id": "1"}, {"id": "nobody"}), "one of the two does not exist"),
        (merge({"id": "1"}, {"email": "a@b.co"}), "both are the same person"),
    ],
)
def test_a_merge_without_two_people_does_nothing(
    client: httpx.Client, sandbox: Sandbox, item: dict[str, Any], reason: str
) -> None:
    send(client, sandbox, identify("1", email="a@b.co", n=1))
    assert send(client, sandbox, item).text == "{}\n"
    (unchanged,) = sandbox.people.everybody()
    assert (unchanged.attributes, sandbox.people.merges) == ({"n": 1}, [])
    (activity,) = sandbox.activity
    assert (activity.type, activity.reason) == ("failed_merge", reason)


def test_a_suppressed_person_is_deleted_and_not_created_again(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify("42", email="a@b.co"), person("suppress"))
    assert len(sandbox.people) == 0
    assert [each for each in sandbox.people.suppressed if each[0] != "cio_id"] == [("email", "a@b.co"), ("id", "42")]
    ignored = [
        identify("42"),
        identify("42") | {"identifiers": {"email": "A@b.co"}},
        event("42"),
        person("add_device", device={"token": "t", "platform": "ios"}),
        person("add_relationships", cio_relationships=[related(ACME)]),
    ]
    assert send(client, sandbox, *ignored, person("delete"), identify("7", email="a@b.co")).text == "{}\n"
    (other,) = sandbox.people.everybody()
    assert (other.id, other.email) == ("7", None)
    assert sandbox.people.counts["suppressed_calls"] == len(ignored)
    assert {each.reason for each in sandbox.activity.of_type("ignored_suppressed")} == {"the identifier is suppressed"}


def test_a_person_who_is_created_after_unsuppression_has_no_attributes(client: httpx.Client, sandbox: Sandbox) -> None:
    unsuppress = person("unsuppress") | {"identifiers": {"email": "a@b.co"}}
    send(client, sandbox, identify("42", email="a@b.co", n=1), person("suppress"), unsuppress, identify("42"))
    assert sandbox.people.suppressed == []
    assert person_of(sandbox).attributes == {}
    assert send(client, sandbox, person("suppress", "7"), identify("7"), person("unsuppress", "7")).status_code == 200
    assert sandbox.people.find("id", "7") is None


def test_a_deleted_person_is_removed_from_segments_and_objects(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, identify() | {"cio_relationships": [related(ACME)]})
    client.post(f"{sandbox.url}/api/v1/segments/7/add_customers", json={"ids": ["42"]})
    send(client, sandbox, person("delete"))
    acme = sandbox.objects.find(1, "acme")
    assert acme is not None and acme.people == {}
    assert (sandbox.people.segment(7), sandbox.objects.relationships) == ([], 0)


# ---------------------------------------------------------------- objects and relationships


def test_an_object_is_created_changed_and_deleted(client: httpx.Client, sandbox: Sandbox) -> None:
    number = {"object_type_id": 1, "object_id": 7}
    send(client, sandbox, thing(identifiers=number, attributes={"name": "Seven", "seats": 5, "plan": "pro"}))
    seven = sandbox.objects.find("1", "7")
    assert seven is not None
    by_cio_id = {"cio_object_id": seven.cio_object_id}
    send(client, sandbox, thing(identifiers=by_cio_id, attributes={"seats": 6, "plan": None, "name": ""}))
    assert seven.attributes == {"seats": 6} and set(seven.set_at) == {"seats"}
    send(client, sandbox, thing("delete", number), thing("delete", number))
    assert len(sandbox.objects) == 0 and sandbox.objects.find(1, 7) is None
    assert sandbox.people.counts == {"objects_identified": 2, "objects_deleted": 2}


def test_a_cio_object_id_creates_no_object(client: httpx.Client, sandbox: Sandbox) -> None:
    nothing = {"cio_object_id": "ob1"}
    items = thing(identifiers=nothing), person("add_relationships", cio_relationships=[related(nothing)])
    assert send(client, sandbox, *items).status_code == 200
    assert len(sandbox.objects) == 0
    assert [each.about for each in sandbox.activity] == ["object ob1", "object ob1"]


def test_a_301st_attribute_of_an_object_is_refused(client: httpx.Client, sandbox: Sandbox) -> None:
    send(client, sandbox, thing(attributes={f"a{n}": n for n in range(300)}), thing(attributes={"b": 1, "a0": 7}))
    acme = sandbox.objects.find(1, "acme")
    assert acme is not None and len(acme.attributes) == 300 and acme.attributes["a0"] == 7
    (activity,) = sandbox.activity
    assert (activity.about, activity.reason) == ("object 1/acme", "the object has 300 attributes already")


@pytest.mark.parametrize(
    "item",
    [
        identify() | {"cio_relationships": [related(ACME, role="admin")]},
        person("add_relationships", cio_relationships=[related(ACME, role="admin")]),
        thing(cio_relationships=[related({"id": "42"}, role="admin")]),
        thing("add_relationships", cio_relationships=[related({"id": 42}, role="admin")]),
    ],
)
def test_people_and_objects_are_related_from_either_side(
    client: httpx.Client, sandbox: Sandbox, item: dict[str, Any]
) -> None:
    assert send(client, sandbox, item, item).status_code == 200
    employee, acme = person_of(sandbox), sandbox.objects.find(1, "acme")
    assert acme is not None
    assert employee.relationships == {acme.cio_object_id: {"role": "admin"}}
    assert acme.people == {employee.cio_id: {"role": "admin"}}
    assert sandbox.stats()["relationships"] == 1


@pytest.mark.parametrize(
    "item",
    [
        person("delete_relationships", cio_relationships=[related(ACME)]),
        thing("delete_relationships", cio_relationships=[related({"id": "42"})]),
        thing("delete"),
    ],
)
def test_relationships_are_deleted_from_either_side(
    client: httpx.Client, sandbox: Sandbox, item: dict[str, Any]
) -> None:
    send(client, sandbox, identify() | {"cio_relationships": [related(ACME)]}, item, item)
    assert person_of(sandbox).relationships == {}
    assert sandbox.objects.relationships == 0


def test_a_relationships_attribute_is_removed_by_null_or_empty_text(client: httpx.Client, sandbox: Sandbox) -> None:
    for attributes in ({"role": "admin", "since": 1, "desk": 7}, {"role": None, "since": ""}):
        send(client, sandbox, person("add_relationships", cio_relationships=[related(ACME, **attributes)]))
    assert list(person_of(sandbox).relationships.values()) == [{"desk": 7}]


def test_deleting_a_relationship_that_does_not_exist_is_logged(client: httpx.Client, sandbox: Sandbox) -> None:
    items = (
        person("delete_relationships", cio_relationships=[related(ACME)]),
        thing("delete_relationships", cio_relationships=[related({"id": "42"})]),
    )
    assert send(client, sandbox, *items).status_code == 200
    assert [each.about for each in sandbox.activity.of_type("failed_relationship")] == ["id 42", "object 1/acme"]
    assert len(sandbox.people) == len(sandbox.objects) == 0


@pytest.mark.parametrize(
    "members", [{"anonymous_id": "v1"}, {"cio_relationships": [related({"anonymous_id": "v1"}, role="guest")]}]
)
def test_a_visitors_relationship_becomes_the_identified_persons(
    client: httpx.Client, sandbox: Sandbox, members: dict[str, Any]
) -> None:
    send(client, sandbox, thing("identify_anonymous", **members), identify("7"))
    acme = sandbox.objects.find(1, "acme")
    assert acme is not None and list(acme.visitors) == ["v1"] and acme.people == {}
    send(client, sandbox, identify(anonymous_id="v1"))
    assert (acme.visitors, list(acme.people)) == ({}, [person_of(sandbox).cio_id])
    send(client, sandbox, thing("identify_anonymous", ACME | {"object_id": "later"}, anonymous_id="v1"))
    assert len(person_of(sandbox).relationships) == 2


def test_a_deleted_object_is_not_related_to_a_visitor_who_is_identified_later(
    client: httpx.Client, sandbox: Sandbox
) -> None:
    send(client, sandbox, thing("identify_anonymous", anonymous_id="v1"), thing("delete"), identify(anonymous_id="v1"))
    assert (person_of(sandbox).relationships, sandbox.objects.relationships) == ({}, 0)


def test_a_delivery_event_is_counted(client: httpx.Client, sandbox: Sandbox) -> None:
    opened = {"type": "delivery", "action": "event", "identifiers": {"id": "d"}, "name": "opened"}
    assert send(client, sandbox, opened | {"attributes": {"device_token": "t"}}).status_code == 200
    assert sandbox.people.counts == {"delivery_events": 1}


# ---------------------------------------------------------------- visitors


def visit(people: People, at: float, number: int = 0, **members: object) -> None:
    item = {"type": "anonymous", "action": "event", "name": "seen", "id": f"{ULID[:-1]}{number}", "anonymous_id": "v1"}
    people.record_anonymous(item | members, at)


def test_a_visitors_events_become_the_identified_persons() -> None:
    people = people_after((0, identify("1")))
    visit(people, 0)
    visit(people, 1, 1, anonymous_id="v2")
    assert [each.anonymous_id for each in people.anonymous_events] == ["v1", "v2"]
    people.apply(identify("1", anonymous_id="v1"), 2)
    (identified,) = people.everybody()
    assert [people.events[each].anonymous_id for each in identified.event_ids] == ["v1"]
    assert [each.anonymous_id for each in people.anonymous_events] == ["v2"]
    assert people.counts["anonymous_events_attached"] == 1


@pytest.mark.parametrize(("late_s", "attached"), [(300, True), (301, False)])
def test_events_that_arrive_five_minutes_after_identification_are_attached(late_s: float, attached: bool) -> None:
    people = people_after((0, identify("1", anonymous_id="v1")))
    visit(people, late_s)
    assert len(people.everybody()[0].event_ids) == attached


@pytest.mark.parametrize(("after_days", "attached"), [(30, True), (31, False)])
def test_a_visitors_events_can_be_attached_for_30_days(after_days: int, attached: bool) -> None:
    people = People()
    visit(people, 0)
    people.apply(identify("1", anonymous_id="v1"), after_days * DAY)
    assert len(people.everybody()[0].event_ids) == attached


def test_an_anonymous_id_belongs_to_one_person() -> None:
    people = people_after((0, identify("1", anonymous_id="v1")), (0, identify("2", anonymous_id="v1")))
    assert [each.attributes.get("anonymous_id") for each in people.everybody()] == ["v1", None]
    (activity,) = people.activity
    assert (activity.about, activity.reason) == ("id 2", "anonymous_id: belongs to another person")


def test_a_merge_gives_the_primary_the_visits_of_the_secondary() -> None:
    people = people_after(
        (0, identify("1")), (0, identify("2", anonymous_id="v1")), (1, merge({"id": "1"}, {"id": "2"}))
    )
    visit(people, 2)
    (primary,) = people.everybody()
    assert (primary.attributes["anonymous_id"], len(primary.event_ids)) == ("v1", 1)


def test_a_visitors_repeated_event_counts_once() -> None:
    people = People()
    visit(people, 0)
    visit(people, 1)
    assert [each.received for each in people.anonymous_events] == [2]


# ---------------------------------------------------------------- the activity log


@pytest.mark.parametrize(
    ("items", "kind", "about", "reason"),
    [
        (
            [identify("1", _update=True)],
            "failed_attribute_change",
            "id 1",
            "there is no such person, and none is created",
        ),
        (
            [identify("1", 200), identify("1", 100)],
            "skipped_update",
            "id 1",
            "older than the profile's newest edit",
        ),
        (
            [identify("1", email="a@b.co"), identify("2"), identify("2", email="a@b.co")],
            "failed_attribute_change",
            "id 2",
            "email: belongs to another person",
        ),
        (
            [identify("1", id="2")],
            "failed_attribute_change",
            "id 1",
            "id: is set already; only a call by cio_id can change it",
        ),
        ([identify("1", phone=7)], "failed_attribute_change", "id 1", "phone: must be text"),
        ([identify("1", cio_id="f")], "failed_attribute_change", "id 1", "cio_id: cannot be changed"),
        (
            [event() | {"identifiers": {"cio_id": "f00"}}],
            "failed_event",
            "cio_id f00",
            "there is no such person",
        ),
        (
            [event(timestamp="2024-03-10")],
            "timestamp_replaced",
            "event",
            "the timestamp is no Unix time, and became now",
        ),
    ],
)
def test_the_log_shows_what_was_answered_with_200_and_had_no_effect(
    client: httpx.Client, sandbox: Sandbox, items: list[dict[str, Any]], kind: str, about: str, reason: str
) -> None:
    assert send(client, sandbox, *items).text == "{}\n"
    (activity,) = sandbox.activity
    assert (activity.type, activity.about, activity.reason) == (kind, about, reason)
