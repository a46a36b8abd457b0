"""Mirrors: who is gone from the source is removed, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cio_etl.errors import ConfigError, CredentialsRefused, TooManyChanges, TooManyRejects
from cio_etl.sandbox import Faults, Sandbox
from tests.nightly_step import PEOPLE, Nights, person

TIES = {
    "operation": "add_relationships",
    "identifiers": {"id": "id"},
    "relationships": [{"object": {"type": {"value": "1"}, "id": "company"}}],
}
MEMBERS = {
    "operation": "add_object_relationships",
    "object": {"type": {"value": "1"}, "id": "company"},
    "relationships": [{"person": {"email": "email"}}],
}
OF_OBJECT_TYPE_2 = TIES | {"relationships": [{"object": {"type": {"value": "2"}, "id": "company"}}]}


def companies(nights: Nights) -> list[str]:
    """The companies that somebody is related to."""
    return [company.object_id for company in nights.sandbox.objects.everything() if company.people]


@pytest.mark.parametrize("sync", ["changed", "mirror"])
def test_several_relationships_of_a_row_have_no_ledger(nights: Nights, sync: str) -> None:
    nights.step = {"sync": sync}
    nights.mapping = TIES | {"relationships": [*TIES["relationships"], *OF_OBJECT_TYPE_2["relationships"]]}
    with pytest.raises(ConfigError, match="several relationships, which the ledger could not tell apart; write a map"):
        nights.run([{"id": "1", "company": "acme"}])


def test_a_constant_of_a_relationship_is_part_of_what_a_ledger_is_about(nights: Nights) -> None:
    nights.mapping = TIES
    nights.run([{"id": "1", "company": "acme"}])
    nights.mapping = OF_OBJECT_TYPE_2
    (item,) = nights.sent([{"id": "1", "company": "acme"}])
    assert item["cio_relationships"] == [{"identifiers": {"object_type_id": "2", "object_id": "acme"}}]


def test_an_address_with_other_capital_letters_is_the_same_person(mirror: Nights) -> None:
    mirror.step = {"sync": "mirror", "max_gone": "100%"}
    mirror.mapping = MEMBERS
    mirror.run([{"company": "acme", "email": "Ann@Example.com"}])
    assert mirror.sent([{"company": "acme", "email": "ann@example.com"}]) == []
    assert companies(mirror) == ["acme"]


@pytest.mark.parametrize("address", ["no address", "", None])
def test_nobody_is_gone_while_the_identifier_of_a_row_is_rejected(mirror: Nights, address: Any) -> None:
    mirror.mapping = PEOPLE | {"identifiers": {"email": "email"}, "attributes": {"plan": "plan"}}
    mirror.run([person(1), person(2)])
    report = mirror.run([person(1), person(2, email=address)])
    assert mirror.items() == []
    assert [finding.code for finding in report.steps[0].findings] == ["gone_not_known"]


@pytest.mark.parametrize("when_gone", ["delete", "suppress", "unset", {"set": {"churned": True}}])
def test_when_gone_is_for_people_and_objects(mirror: Nights, when_gone: Any) -> None:
    mirror.step["when_gone"], mirror.mapping = when_gone, TIES
    with pytest.raises(ConfigError, match="leave it out, and delete_relationships is done of who is gone"):
        mirror.run([{"id": "1", "company": "acme"}])


COMPANIES = {
    "operation": "identify_object",
    "object": {"type": {"value": "1"}, "id": "id"},
    "attributes": {"name": "name"},
}
DEVICES = {
    "operation": "add_device",
    "identifiers": {"id": "id"},
    "device": {"token": "token", "platform": {"value": "ios"}},
}
PIPELINES: dict[str, tuple[dict[str, Any], str | None, list[dict[str, str]]]] = {
    "people are deleted": (PEOPLE, "delete", [person(1), person(2)]),
    "people are suppressed": (PEOPLE, "suppress", [person(1), person(2)]),
    "objects are deleted": (COMPANIES, None, [{"id": "acme", "name": "Acme"}, {"id": "bolt", "name": "Bolt"}]),
    "relationships are ended": (TIES, None, [{"id": "1", "company": "acme"}, {"id": "1", "company": "bolt"}]),
    "devices are removed": (DEVICES, None, [{"id": "1", "token": "a"}, {"id": "1", "token": "b"}]),
}


def counted(nights: Nights) -> list[int]:
    everybody = nights.sandbox.people.everybody()
    objects = nights.sandbox.objects.everything()
    devices, ties = (sum(len(getattr(each, name)) for each in everybody) for name in ("devices", "relationships"))
    return [len(everybody), len(objects), ties, devices]


@pytest.mark.parametrize("what", PIPELINES)
def test_the_pipelines_api_removes_who_is_gone(mirror: Nights, what: str) -> None:
    mirror.mapping, when_gone, rows = PIPELINES[what]
    mirror.settings = {"destination": {"api": "pipelines"}}
    mirror.step = {"sync": "mirror", "max_gone": "100%"} | ({"when_gone": when_gone} if when_gone else {})
    mirror.run(rows)
    both = counted(mirror)
    assert len(mirror.sent(rows[:1])) == 1
    one = counted(mirror)
    assert sum(both) - sum(one) == 1 and mirror.sent(rows[:1]) == []
    mirror.run(rows)
    assert counted(mirror) == (one if when_gone == "suppress" else both)


# ---------------------------------------------------------------- removals whose answer was lost, or that were refused


def test_a_removal_whose_answer_was_lost_is_sent_again(mirror: Nights, sandbox: Sandbox) -> None:
    mirror.run([person(1), person(2)])
    sandbox.set_faults(Faults(script=("lost_after",)))
    report = mirror.run([person(1)])
    assert (report.exit_code, len(mirror.items()), [*mirror.people()]) == (0, 2, ["1"])
    assert len(mirror.sent([person(1), person(2)])) == 1 and sorted(mirror.people()) == ["1", "2"]


@pytest.mark.parametrize("fault", ["lost_after", "lost_before"])
@pytest.mark.parametrize("returns", [True, False])
def test_who_may_have_been_removed_by_an_abandoned_run_is_sent_whole_or_removed_again(
    mirror: Nights, sandbox: Sandbox, fault: str, returns: bool
) -> None:
    mirror.run([person(1), person(2)])
    sandbox.set_faults(Faults(script=(fault,), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        mirror.run([person(1)])
    sandbox.set_faults(Faults())
    rows = [person(1), person(2)] if returns else [person(1)]
    (item,) = mirror.sent(rows, restart=True)
    assert item.get("attributes", {}) == (
        {name: person(2)[name] for name in ("email", "plan", "city")} if returns else {}
    )
    assert sorted(mirror.people()) == [row["id"] for row in rows]
    assert mirror.sent(rows) == []


def test_who_may_be_in_customer_io_after_an_abandoned_run_can_be_gone(mirror: Nights, sandbox: Sandbox) -> None:
    mirror.run([person(1)])
    sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        mirror.run([person(1), person(2)])
    sandbox.set_faults(Faults())
    mirror.run([person(1)], restart=True)
    assert [*mirror.people()] == ["1"] and mirror.sent([person(1)]) == []


def test_who_may_be_in_customer_io_and_is_refused_can_be_gone(mirror: Nights, sandbox: Sandbox) -> None:
    mirror.run([person(1)])
    sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        mirror.run([person(1), person(2)])
    sandbox.set_faults(Faults(refused=1.0))
    mirror.run([person(1), person(2)], restart=True)
    sandbox.set_faults(Faults())
    mirror.run([person(1)])
    assert [*mirror.people()] == ["1"]


def test_too_many_refused_removals_stop_the_run_and_the_next_night_goes_on(mirror: Nights, sandbox: Sandbox) -> None:
    mirror.settings = {"max_rejects": 0}
    mirror.run([person(number) for number in range(6)])
    sandbox.set_faults(Faults(refused=1.0))
    for _ in range(2):
        with pytest.raises(TooManyRejects):
            mirror.run([person(1)])
    sandbox.set_faults(Faults())
    mirror.run([person(1), person(9)])
    assert sorted(mirror.people()) == ["1", "9"]


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("accepts", [False, True])
def test_a_source_without_rows_removes_nobody_whatever_is_accepted(mirror: Nights, accepts: bool) -> None:
    mirror.run([person(1), person(2)])
    with pytest.raises(
        TooManyChanges, match="2 of 2 subjects are gone from the source; the source has no rows"
    ) as raised:
        mirror.run([], accept_changes=accepts)
    assert raised.value.remedy == "check the source; a mirror removes nobody while its source has no rows"
    assert mirror.bodies == []


def test_a_full_refresh_is_limited_by_max_gone_alone(mirror: Nights) -> None:
    mirror.step |= {"limits": {"new": "20%", "changed": "20%"}, "max_gone": "10%"}
    rows = [person(number) for number in range(20)]
    mirror.run(rows)
    mirror.run(rows[1:], full_refresh=True)
    assert "0" not in mirror.people()
    with pytest.raises(TooManyChanges, match="9 of 19 subjects are gone from the source; max_gone allows 1"):
        mirror.run(rows[10:], full_refresh=True)


def test_a_first_run_that_was_abandoned_does_not_limit_the_next_one(nights: Nights, sandbox: Sandbox) -> None:
    nights.step["limits"] = {"new": "20%"}
    nights.settings = {"destination": {"lanes": 1, "max_batch_bytes": 32_100}}
    rows = [person(number, city="x" * 600) for number in range(100)]
    sandbox.set_faults(Faults(key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run(rows)
    sandbox.set_faults(Faults())
    nights.run(rows, restart=True)
    assert len(nights.people()) == 100
    with pytest.raises(TooManyChanges):
        nights.run([*rows, *(person(number) for number in range(100, 130))])


def test_limits_are_shares_of_the_ledger_also_when_few_rows_are_read(nights: Nights) -> None:
    nights.step["limits"] = {"new": "20%", "changed": "20%"}
    rows = [person(number) for number in range(20)]
    nights.run(rows)
    assert len(nights.sent([person(0, city="Oslo"), person(20)])) == 2
    with pytest.raises(TooManyChanges, match="5 of 21 subjects would be new; limits: new allows 4"):
        nights.run([person(number) for number in range(30, 35)])


def test_a_run_with_limit_does_not_limit_the_first_whole_one(nights: Nights) -> None:
    nights.step["limits"] = {"new": "20%"}
    rows = [person(number) for number in range(20)]
    nights.run(rows, limit=1)
    assert len(nights.sent(rows)) == 19


def test_a_first_run_whose_rows_were_all_rejected_does_not_limit_the_next_one(nights: Nights) -> None:
    nights.step["limits"] = {"new": "20%"}
    nights.run([person(1, email="no address")])
    assert len(nights.sent([person(1), person(2)])) == 2


def test_options_that_a_resumed_run_does_not_follow_are_reported(nights: Nights, sandbox: Sandbox) -> None:
    nights.run([person(1)])
    sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run([person(1, city="Oslo")])
    sandbox.set_faults(Faults())
    nights.run([person(1, city="Oslo")], retry_refused=True, rebuild_ledger=True)
    (note,) = nights.notes
    assert note.endswith("began to send; later steps and runs follow --retry-refused and --rebuild-ledger")


def test_a_step_of_another_name_says_that_its_ledger_is_new(nights: Nights) -> None:
    nights.run([person(1)])
    nights.run([person(1)])
    assert nights.notes == []
    job = Path("job.yaml").read_text()
    Path("job.yaml").write_text(job.replace('"name": "rows"', '"name": "people"'))
    nights.again()
    assert nights.notes == [
        "step people: job has no ledger of this step yet; a new one begins, to which every row is new",
        "step people: if it was renamed, write its ledger: {name: rows}",
    ]
