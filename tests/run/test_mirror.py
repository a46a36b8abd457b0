"""Mirrors: who is gone from the source is removed, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from cio_etl.errors import ConfigError
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
