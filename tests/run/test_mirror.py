"""Mirrors: who is gone from the source is removed, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from cio_etl.errors import ConfigError, CredentialsRefused, TooManyRejects
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
