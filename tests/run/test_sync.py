"""Steps that send only what changed: whole runs over several nights, against the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.errors import ConfigError, CredentialsRefused, SourceError, StateError, TooManyChanges, TooManyRejects
from cio_etl.ledger import stored
from cio_etl.sandbox import Faults, Sandbox
from tests.nightly_step import EVENTS, PEOPLE, Nights, change, delta, order, person


def test_only_changed_attributes_are_sent_and_nobody_known_is_created(nights: Nights) -> None:
    assert len(nights.sent([person(1), person(2), person(3)])) == 3
    assert nights.sent([person(1), person(2), person(3)]) == []
    assert nights.sent([person(1), person(2, city="Oslo"), person(3, city="Bern", plan="pro"), person(4)]) == [
        change(2, city="Oslo"),
        change(3, plan="pro", city="Bern"),
        {
            "type": "person",
            "action": "identify",
            "identifiers": {"id": "4"},
            "attributes": {"email": "4@example.com", "plan": "free", "city": "Rome"},
        },
    ]
    assert nights.people()["3"] == {"plan": "pro", "city": "Bern"}


def test_the_report_says_what_was_new_changed_and_the_same(nights: Nights) -> None:
    assert delta(nights.run([person(1), person(2)])) == (2, 0, 0, 0)
    report = nights.run([person(1), person(2, plan="pro"), person(3)])
    assert delta(report) == (1, 1, 1, 0)
    assert (report.steps[0].accepted, report.steps[0].skipped, report.steps[0].rows_read) == (2, 1, 3)


def test_a_null_is_no_change_unless_the_mapping_clears_nulls(nights: Nights) -> None:
    nights.run([person(1)])
    assert nights.sent([person(1, city=None)]) == []
    nights.mapping = PEOPLE | {"nulls": "clear"}
    assert nights.sent([person(1, city=None)]) == [change(1, city=None)]
    assert nights.sent([person(1, city=None)]) == []


def test_a_new_attribute_is_sent_for_everybody_and_one_that_left_stays(nights: Nights) -> None:
    nights.mapping = PEOPLE | {"attributes": {"email": "email", "plan": "plan"}}
    nights.run([person(1), person(2)])
    nights.mapping = PEOPLE | {"attributes": {"email": "email", "city": "city"}}
    report = nights.run([person(1), person(2)])
    assert nights.items() == [change(1, city="Rome"), change(2, city="Rome")]
    codes = {finding.code: finding.field for finding in report.steps[0].findings}
    assert (codes["backfill"], codes["no_longer_mapped"]) == ("attributes.city", "attributes.plan")


def test_a_full_refresh_sends_whole_items_to_everybody_and_the_next_night_nothing(nights: Nights) -> None:
    nights.run([person(1), person(2)])
    assert [len(item["attributes"]) for item in nights.sent([person(1), person(2)], full_refresh=True)] == [3, 3]
    assert nights.sent([person(1), person(2)]) == []


def test_of_two_rows_of_a_person_the_last_value_of_each_attribute_counts(nights: Nights) -> None:
    nights.run([person(1, city=None), person(1, email=None, plan=None)])
    assert nights.people()["1"]["city"] == "Rome" and nights.people()["1"]["plan"] == "free"
    assert nights.sent([person(1, city=None), person(1, email=None, plan=None)]) == []
    assert nights.sent([person(1, plan="pro"), person(1, plan="max")]) == [change(1, plan="max")]


def test_calculated_numbers_are_compared_as_they_are_sent(nights: Nights) -> None:
    balance = {"column": "plan", "apply": ["number", {"divide": 100}]}
    nights.mapping = PEOPLE | {"attributes": {"balance": balance}}
    nights.run([person(1, plan="435"), person(2, plan="7")])
    assert nights.people() == {"1": {"balance": 4.35}, "2": {"balance": 0.07}}
    assert nights.sent([person(1, plan="435.00"), person(2, plan="7.0")]) == []
    assert nights.sent([person(1, plan="435.00"), person(2, plan="8")]) == [change(2, balance=0.08)]


def test_with_order_by_the_newest_row_counts(nights: Nights) -> None:
    nights.mapping = PEOPLE | {"order_by": ["at"]}
    nights.run([person(1, at="2")])
    assert nights.sent([person(1, at="9", plan="new"), person(1, at="1", plan="old")]) == [change(1, plan="new")]


def test_what_customer_io_refused_is_rejected_and_not_sent_again_until_it_changes(
    nights: Nights,
) -> None:
    with Sandbox(Faults(refused=0.3, seed=3)) as refusing:
        nights.sandbox = refusing
        rows = [person(number) for number in range(20)]
        first = nights.run(rows)
        refused = first.steps[0].rejected
        assert 0 < refused < 20
        second = nights.run(rows)
        assert nights.items() == [] and delta(second) == (0, 0, 20 - refused, refused)
        assert (second.steps[0].rejected, second.steps[0].rejects[0].reason) == (
            refused,
            first.steps[0].rejects[0].reason,
        )
        assert len(nights.sent(rows, retry_refused=True)) == refused
        changed = [row | {"city": "Oslo"} for row in rows]
        assert len(nights.sent(changed)) == 20


def test_an_event_is_sent_once_and_one_that_changed_afterwards_is_named(nights: Nights) -> None:
    nights.mapping = EVENTS
    nights.run([order(1), order(2)])
    assert nights.sent([order(1), order(2)]) == []
    report = nights.run([order(1, price="8"), order(2), order(3)])
    assert [item["attributes"] for item in nights.items()] == [{"price": "5"}]
    (finding,) = (each for each in report.steps[0].findings if each.code == "event_changed_after_sent")
    assert (finding.rows, finding.first_rows) == (1, ("rows.parquet:1",))


def test_an_event_without_a_key_cannot_be_sent_only_once(nights: Nights) -> None:
    nights.mapping = {name: value for name, value in EVENTS.items() if name != "event_key"}
    with pytest.raises(ConfigError, match="event_key"):
        nights.run([order(1)])


def test_what_must_not_be_done_twice_has_no_ledger(nights: Nights) -> None:
    nights.mapping = {"operation": "delete", "identifiers": {"id": "id"}}
    with pytest.raises(ConfigError, match="must not be done twice"):
        nights.run([{"id": "1"}])


def test_by_the_pipelines_api_changed_people_are_sent_whole(nights: Nights) -> None:
    nights.settings = {"destination": {"api": "pipelines"}}
    nights.run([person(1), person(2)])
    assert nights.sent([person(1), person(2)]) == []
    (item,) = nights.sent([person(1), person(2, plan="pro")])
    assert item["traits"] == {"email": "2@example.com", "plan": "pro", "city": "Rome"}


def test_objects_and_their_relationships_are_sent_by_part(nights: Nights) -> None:
    nights.mapping = {
        "operation": "identify_object",
        "object": {"type": {"value": "1"}, "id": "id"},
        "attributes": {"name": "name", "seats": "seats"},
        "relationships": [{"person": {"id": "owner"}}],
    }
    acme = {"id": "acme", "name": "Acme", "seats": "5", "owner": "1"}
    nights.run([acme])
    assert nights.sent([acme]) == []
    (item,) = nights.sent([acme | {"seats": "6"}])
    assert item["attributes"] == {"seats": "6"} and "cio_relationships" not in item
    (item,) = nights.sent([acme | {"seats": "6", "owner": "2"}])
    assert item["attributes"] == {} and item["cio_relationships"] == [{"identifiers": {"id": "2"}}]


COMPANIES = {
    "operation": "identify_object",
    "object": {"type": {"value": "1"}, "id": "id"},
    "attributes": {"name": "name", "seats": "seats"},
    "relationships": [{"person": {"id": "owner"}, "attributes": {"role": "role"}}],
}
ACME = {"id": "acme", "name": "Acme", "seats": "5", "owner": "1", "role": "chief"}


def ties(nights: Nights) -> dict[str, dict[str, Any]]:
    (company,) = nights.sandbox.objects.everything()
    people = nights.sandbox.people.identities.by_cio_id
    return {str(people[cio_id].id): dict(attributes) for cio_id, attributes in company.people.items()}


def test_the_relationships_of_all_rows_of_an_object_are_sent(nights: Nights) -> None:
    nights.mapping = COMPANIES
    rows = [ACME | {"owner": owner} for owner in ("1", "2", "2", "3")]
    nights.run(rows)
    assert ties(nights) == {owner: {"role": "chief"} for owner in "123"}
    assert nights.sent(rows) == [] and nights.sent(rows[::-1]) == []
    nights.run([*rows, ACME | {"owner": "4"}])
    assert ties(nights).keys() == set("1234")
    nights.run([ACME | {"role": "guest"}, *rows[1:]])
    assert ties(nights)["1"] == {"role": "guest"}


def test_relationships_of_which_some_were_refused_are_sent_again(nights: Nights, sandbox: Sandbox) -> None:
    nights.mapping = COMPANIES

    @dataclass(frozen=True)
    class Refusing(Faults):
        refused: float = 1e-9

        def refuses(self, item: Mapping[str, Any]) -> bool:
            return "refused" in str(item)

    sandbox.set_faults(Refusing())
    rows = [ACME, ACME | {"owner": "2", "role": "refused"}]
    nights.run([ACME | {"role": "guest"}])
    nights.run(rows)
    assert ties(nights) == {"1": {"role": "chief"}}
    sandbox.set_faults(Faults())
    nights.run(rows, retry_refused=True)
    assert ties(nights) == {"1": {"role": "chief"}, "2": {"role": "refused"}}


def test_an_object_that_loses_its_relationship_sends_nothing(nights: Nights) -> None:
    nights.mapping = COMPANIES | {"nulls": "clear"}
    nights.run([ACME])
    assert nights.sent([ACME | {"owner": None}]) == []


def test_several_refused_rows_of_a_person_are_not_sent_again(nights: Nights, sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(refused=1.0))
    rows = [person(1), person(1, city="Oslo")]
    assert [len(nights.sent(rows)) for _ in range(5)] == [1, 1, 0, 0, 0]


def test_a_value_that_was_refused_in_another_attribute_is_sent(nights: Nights, sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(refused=1.0))
    nights.mapping = PEOPLE | {"attributes": {"plan": "plan"}}
    assert len(nights.sent([person(1, plan="bad", city="bad")])) == 1
    nights.mapping = PEOPLE | {"attributes": {"city": "city"}}
    assert len(nights.sent([person(1, plan="bad", city="bad")])) == 1


def test_a_run_by_mistake_to_another_destination_leaves_the_ledger(nights: Nights, sandbox: Sandbox) -> None:
    nights.run([person(1)])
    with Sandbox(Faults(key_revoked_after=0)) as other:
        nights.sandbox = other
        with pytest.raises(CredentialsRefused):
            nights.run([person(1)])
    nights.sandbox = sandbox
    assert nights.sent([person(1)], restart=True) == []


def test_another_destination_begins_a_new_ledger(nights: Nights, sandbox: Sandbox) -> None:
    nights.run([person(1)])
    with Sandbox() as other:
        nights.sandbox = other
        assert len(nights.sent([person(1)])) == 1
        assert nights.sent([person(1)]) == []


def test_a_damaged_ledger_stops_the_run_and_a_new_one_sends_everything(nights: Nights) -> None:
    nights.run([person(1)])
    (piece,) = Path(".etl/ledger/job/rows").glob("*.parquet")
    content = bytearray(piece.read_bytes())
    content[len(content) // 2] ^= 1
    piece.write_bytes(content)
    with pytest.raises(StateError, match="SHA-256") as raised:
        nights.run([person(1)])
    assert "--rebuild-ledger" in raised.value.remedy
    assert len(nights.sent([person(1)], rebuild_ledger=True)) == 1
    assert nights.sent([person(1)]) == []


def test_rows_of_an_abandoned_run_are_in_the_ledger(nights: Nights) -> None:
    nights.settings = {"max_rejects": 0}
    nights.run([person(1)])
    with pytest.raises(TooManyRejects):
        nights.run([person(1, plan="pro"), person(2, email="no address"), person(3)])
    items = nights.sent([person(1, plan="pro"), person(3)])
    assert {item["identifiers"]["id"] for item in items} <= {"1", "3"}
    assert nights.people()["1"]["plan"] == "pro" and "3" in nights.people()
    assert nights.sent([person(1, plan="pro"), person(3)]) == []


def test_what_an_abandoned_run_had_sent_is_not_sent_again(nights: Nights, sandbox: Sandbox) -> None:
    nights.settings = {"destination": {"lanes": 1, "max_batch_bytes": 32_100}}
    rows = [person(number, city="x" * 600) for number in range(100)]
    sandbox.set_faults(Faults(key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run(rows)
    there = nights.people().keys()
    sandbox.set_faults(Faults())
    sent = {item["identifiers"]["id"] for item in nights.sent(rows, restart=True)}
    assert 0 < len(there) < 100 and sent == {row["id"] for row in rows} - there


@pytest.mark.parametrize("city", ["Rome", "Oslo"])
def test_rows_that_were_under_way_when_a_run_was_abandoned_are_sent_again(
    nights: Nights, sandbox: Sandbox, city: str
) -> None:
    nights.run([person(1)])
    sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run([person(1, city="Oslo")])
    sandbox.set_faults(Faults())
    assert nights.sent([person(1, city=city)], restart=True) == [change(1, city=city)]
    assert nights.sent([person(1, city=city)]) == []


def test_several_rows_of_a_person_that_were_under_way_are_sent_again(nights: Nights, sandbox: Sandbox) -> None:
    def rows(plan: str, city: str) -> list[dict[str, Any]]:
        return [person(1, plan=plan, city=None), person(1, plan=None, city=city)]

    nights.run(rows("free", "Rome"))
    sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run(rows("pro", "Oslo"))
    sandbox.set_faults(Faults())
    assert nights.sent(rows("free", "Rome"), restart=True) == [change(1, city="Rome"), change(1, plan="free")]


def test_a_ledger_that_is_merged_has_the_newest_hashes(nights: Nights) -> None:
    nights.run([person(number) for number in range(1_100)])
    rows = [person(number, city="Oslo") for number in range(1_100)]
    assert len(nights.sent(rows)) == 1_100
    assert len(list(Path(".etl/ledger/job/rows").glob("*.parquet"))) == 2  # the base before, and the merged one
    assert nights.sent(rows) == []
    changed = [person(1, city="Bern"), *rows[:1], *rows[2:]]
    assert nights.sent(changed) == [change(1, city="Bern")]
    assert nights.sent(changed) == []


def test_the_additions_of_many_nights_become_one(mirror: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    """One person changes each night, and another leaves and comes back: a mirror adds two files then."""

    def files(kind: str) -> list[str]:
        return [file.name for file in Path(".etl/ledger/job/rows").glob(f"{kind}-*.parquet")]

    monkeypatch.setattr(stored, "MOST_PIECES", most := 8)
    rows = [person(number) for number in range(31)]
    mirror.run(rows)
    base = files("base")
    for night in range(count := most * 3 // 4):
        rows[night] = person(night, city=f"Oslo {night}")
        assert len(mirror.sent(rows[: 30 + night % 2])) == 2
    assert files("base") == base, "no night has written it again"
    assert 1 < len(files("more")) < most - 1
    assert mirror.sent(rows) == []
    people = mirror.people()
    assert len(people) == 31 and all(people[str(night)]["city"] == f"Oslo {night}" for night in range(count))


def test_two_ledgers_have_other_hashes_of_the_same_values(nights: Nights) -> None:
    def hashes() -> dict[str, int]:
        files = sorted(Path(".etl/ledger/job/rows").glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
        (row,) = pl.read_parquet(files[-1]).to_dicts()
        return {name: row[name] for name in ("hi", "lo", "part.attributes.plan")}

    nights.run([person(1)])
    first = hashes()
    nights.run([person(1)], rebuild_ledger=True)
    assert not set(first.values()) & set(hashes().values())


def test_a_step_that_sends_all_has_no_ledger(nights: Nights) -> None:
    nights.step = {}
    report = nights.run([person(1)])
    assert report.steps[0].delta is None and not Path(".etl/ledger").exists()
    assert len(nights.sent([person(1)])) == 1


# ---------------------------------------------------------------- mirror


def test_who_is_gone_from_the_source_is_deleted_and_comes_back_as_new(mirror: Nights) -> None:
    mirror.run([person(1), person(2), person(3)])
    report = mirror.run([person(1), person(3)])
    assert mirror.items() == [{"type": "person", "action": "delete", "identifiers": {"id": "2"}}]
    assert sorted(mirror.people()) == ["1", "3"]
    steps = [(step.name, step.rows_read, step.accepted) for step in report.steps]
    assert steps == [("rows", 2, 0), ("rows/gone", 1, 1)]
    assert mirror.sent([person(1), person(3)]) == []
    (item,) = mirror.sent([person(1), person(2), person(3)])
    assert "_update" not in item["attributes"] and len(item["attributes"]) == 3


def test_the_first_run_of_a_mirror_removes_nobody(mirror: Nights) -> None:
    mirror.step = {}
    mirror.run([person(1), person(2)])
    mirror.step = {"sync": "mirror", "when_gone": "delete", "max_gone": "100%"}
    mirror.run([person(1)])
    assert sorted(mirror.people()) == ["1", "2"]


def test_attributes_of_who_is_gone_are_set_or_removed(mirror: Nights) -> None:
    mirror.step["when_gone"] = {"set": {"churned": True}}
    mirror.run([person(1), person(2), person(3)])
    assert mirror.sent([person(1), person(3)]) == [change(2, churned=True)]
    mirror.step["when_gone"] = "unset"
    assert mirror.sent([person(1)]) == [change(3, email=None, plan=None, city=None)]


def test_a_source_without_rows_removes_nobody(mirror: Nights) -> None:
    mirror.run([person(1), person(2)])
    with pytest.raises(
        TooManyChanges, match="2 of 2 subjects are gone from the source; the source has no rows"
    ) as raised:
        mirror.run([])
    assert raised.value.exit_code == 4 and mirror.bodies == [] and sorted(mirror.people()) == ["1", "2"]
    assert mirror.sent([person(1), person(2)]) == []


def test_a_halved_source_stops_before_the_first_request_unless_it_is_accepted(mirror: Nights) -> None:
    del mirror.step["max_gone"]
    everybody = [person(number) for number in range(200)]
    mirror.run(everybody)
    gone = r"100 of 200 subjects are gone from the source; max_gone allows 2 \(1 %\)"
    with pytest.raises(TooManyChanges, match=gone):
        mirror.run([row | {"city": "Oslo"} for row in everybody[:100]])
    assert mirror.bodies == []
    mirror.again(accept_changes=True)
    assert len(mirror.people()) == 100


def test_rejected_rows_are_not_gone(mirror: Nights) -> None:
    mirror.run([person(1), person(2)])
    mirror.run([person(1), person(2, email="no address")])
    assert sorted(mirror.people()) == ["1", "2"]


def test_nobody_is_gone_while_a_row_does_not_say_who_it_is_about(mirror: Nights) -> None:
    mirror.run([person(1), person(2)])
    report = mirror.run([person(1), person(2, id=None)])
    assert sorted(mirror.people()) == ["1", "2"]
    (finding,) = (each for each in report.steps[0].findings if each.code == "gone_not_known")
    assert finding.rows == 1
    mirror.run([person(1)])
    assert sorted(mirror.people()) == ["1"]


def test_rows_that_a_narrowed_when_leaves_out_are_gone_and_told_apart(mirror: Nights) -> None:
    everybody = [person(1), person(2, plan="pro"), person(3, plan="pro"), person(4)]
    mirror.run(everybody)
    mirror.mapping = PEOPLE | {"when": "plan = 'pro'"}
    mirror.step["max_gone"] = 1
    message = "2 of 4 subjects are gone from the source, 1 of them because `when` leaves their rows out"
    with pytest.raises(TooManyChanges, match=message):
        mirror.run(everybody[:3])
    mirror.step["max_gone"] = 2
    report = mirror.run(everybody[:3])
    assert sorted(mirror.people()) == ["2", "3"]
    (finding,) = (each for each in report.steps[0].findings if each.code == "gone_by_when")
    assert (finding.rows, finding.words) == (1, "1 subject is gone, since `when` leaves its row out")
    mirror.mapping = PEOPLE
    assert sorted(row["identifiers"]["id"] for row in mirror.sent(everybody)) == ["1", "4"]


def test_a_row_that_when_leaves_out_does_not_hide_another_row_of_its_subject(mirror: Nights) -> None:
    mirror.mapping = PEOPLE | {"when": "plan <> 'old'"}
    mirror.run([person(1), person(1, plan="old"), person(2)])
    assert mirror.sent([person(1, plan="old"), person(1), person(2)]) == []
    assert sorted(mirror.people()) == ["1", "2"]


def test_with_a_scope_a_file_of_some_stores_removes_nobody_of_the_others(mirror: Nights) -> None:
    def of_store(store: str | None, *people: int) -> list[dict[str, Any]]:
        return [person(each, store=store) for each in people]

    mirror.step["scope"] = ["store"]
    mirror.run([*of_store("a", 1, 2), *of_store("b", 3, 4), *of_store(None, 5)])
    mirror.run(of_store("a", 1))
    assert sorted(mirror.people()) == ["1", "3", "4", "5"]
    moved = [*of_store("a", 1, 4), *of_store("c", 9)]
    mirror.run(moved)
    assert sorted(mirror.people()) == ["1", "3", "4", "5", "9"]
    mirror.run(of_store("b", 3))
    assert sorted(mirror.people()) == ["1", "3", "4", "5", "9"], "4 has moved from store b to a"
    mirror.run(of_store("a", 1))
    assert sorted(mirror.people()) == ["1", "3", "5", "9"]


def test_a_scope_that_is_new_removes_nobody_whose_scope_is_not_known(mirror: Nights) -> None:
    mirror.run([person(1, store="a"), person(2, store="a"), person(3, store="a")])
    mirror.step["scope"] = ["store"]
    mirror.run([person(1, store="a"), person(2, store="a")])
    assert sorted(mirror.people()) == ["1", "2", "3"]
    mirror.run([person(1, store="a")])
    assert sorted(mirror.people()) == ["1", "3"]


def test_a_scope_whose_column_is_missing_stops_before_the_first_request(mirror: Nights) -> None:
    mirror.run([person(1, store="a"), person(2, store="a")])
    mirror.step["scope"] = ["stores"]
    with pytest.raises(SourceError, match="scope: the source has no column 'stores'; did you mean 'store'"):
        mirror.run([person(1, store="a")])
    assert mirror.bodies == []


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ({"sync": "changed", "when_gone": "delete", "scope": ["plan"]}, "when_gone and scope only with `sync: mirror`"),
        ({"max_gone": "2%"}, "max_gone only with `sync: mirror`"),
        ({"limits": {"new": 1}}, "limits only with `sync: changed` or `sync: mirror`"),
    ],
)
def test_keys_that_would_mean_nothing_are_faults(nights: Nights, step: dict[str, Any], fault: str) -> None:
    nights.step = step
    with pytest.raises(ConfigError, match=re.escape(fault)):
        nights.run([person(1)])


def test_subjects_that_were_sent_before_the_step_was_a_mirror_are_not_forgotten_in_silence(nights: Nights) -> None:
    nights.run([person(1), person(2), person(3)])
    nights.step = {"sync": "mirror", "when_gone": "delete", "max_gone": "100%"}
    report = nights.run([person(1), person(3)])
    (finding,) = report.steps[0].findings
    assert (finding.code, finding.rows) == ("gone_without_name", 1) and sorted(nights.people()) == ["1", "2", "3"]
    nights.run([person(1)])
    assert sorted(nights.people()) == ["1", "2"]


def test_a_night_on_which_nobody_is_gone_has_no_finding(mirror: Nights) -> None:
    for _night in range(2):
        report = mirror.run([person(1), person(2)])
        assert [step.findings for step in report.steps] == [(), ()]


def test_values_that_became_empty_and_are_not_sent_are_a_finding(nights: Nights) -> None:
    nights.run([person(1), person(2), person(3, city=None)])
    report = nights.run([person(1, city=None), person(2, city=None, plan="pro"), person(3, city=None)])
    (finding,) = report.steps[0].findings
    assert (finding.code, finding.field, finding.rows) == ("empty_not_sent", "attributes.city", 2)
    nights.mapping = PEOPLE | {"nulls": "clear"}
    assert nights.run([person(1, city=None), person(2, city=None), person(3, city=None)]).steps[0].findings == ()
    nights.mapping = PEOPLE
    assert nights.run([person(1, city=None), person(2, city=None), person(3, city=None)]).steps[0].findings == ()


def test_with_limit_nobody_is_gone(mirror: Nights) -> None:
    mirror.run([person(1), person(2)])
    mirror.run([person(1), person(2)], limit=1)
    assert sorted(mirror.people()) == ["1", "2"]


def test_more_changes_than_the_limits_allow_stop_before_the_first_request(nights: Nights) -> None:
    nights.step["limits"] = {"changed": "20%", "new": 1}
    rows = [person(number) for number in range(10)]
    nights.run(rows)
    with pytest.raises(TooManyChanges, match="10 of 10 subjects would change; limits: changed allows 2"):
        nights.run([row | {"city": "Oslo"} for row in rows])
    with pytest.raises(TooManyChanges, match="2 of 10 subjects would be new; limits: new allows 1"):
        nights.run([*rows, person(10), person(11)])
    assert nights.bodies == []
    assert len(nights.sent([*rows, person(10)])) == 1


def test_relationships_and_devices_end_with_their_rows(nights: Nights) -> None:
    nights.step = {"sync": "mirror", "max_gone": "100%"}
    nights.mapping = {
        "operation": "add_relationships",
        "identifiers": {"id": "id"},
        "relationships": [{"object": {"type": {"value": "1"}, "id": "company"}, "attributes": {"role": "role"}}],
    }
    tied = {"id": "1", "company": "acme", "role": "owner"}
    nights.run([tied, tied | {"company": "bolt"}])
    (item,) = nights.sent([tied])
    assert item["action"] == "delete_relationships"
    assert item["cio_relationships"] == [{"identifiers": {"object_type_id": "1", "object_id": "bolt"}}]
    nights.mapping = {
        "operation": "add_device",
        "identifiers": {"id": "id"},
        "device": {"token": "token", "platform": {"value": "ios"}},
    }
    nights.run([{"id": "1", "token": "a"}, {"id": "1", "token": "b"}])
    (item,) = nights.sent([{"id": "1", "token": "a"}])
    assert (item["action"], item["device"]) == ("delete_device", {"token": "b"})


@pytest.mark.parametrize(
    ("step", "mapping", "fault"),
    [
        ({}, PEOPLE, "say what happens to who is gone"),
        ({"when_gone": "delete"}, EVENTS, "events cannot be removed"),
        ({"when_gone": "vanish"}, PEOPLE, "must be delete, suppress, unset"),
    ],
)
def test_a_mirror_that_cannot_be_one_is_a_fault_of_the_job(
    nights: Nights, step: dict[str, Any], mapping: dict[str, Any], fault: str
) -> None:
    nights.step, nights.mapping = {"sync": "mirror"} | step, mapping
    with pytest.raises(ConfigError, match=fault):
        nights.run([person(1)])


def test_a_step_that_would_change_too_much_does_not_hold_the_next_night(mirror: Nights) -> None:
    """The first step has sent its rows when the second one stops the run."""
    mirror.step = {"sync": "changed"}
    mirror.run([person(1), person(2)])
    job = json.loads(Path("job.yaml").read_text())
    first = {"name": "first", "source": {"parquet": "first.parquet"}, "mapping": "mapping.yaml"}
    job["steps"] = [first, job["steps"][0] | {"limits": {"changed": 0}}]
    Path("job.yaml").write_text(json.dumps(job))
    pl.DataFrame([person(7)]).write_parquet("first.parquet")
    pl.DataFrame([person(1, plan="pro"), person(2)]).write_parquet("rows.parquet")
    with pytest.raises(TooManyChanges, match="step rows: 1 of 2 subjects would change"):
        mirror.again()
    pl.DataFrame([person(8)]).write_parquet("first.parquet")
    pl.DataFrame([person(1), person(2)]).write_parquet("rows.parquet")
    mirror.again()
    assert {"7", "8"} <= mirror.people().keys() and mirror.people()["1"]["plan"] == "free"
