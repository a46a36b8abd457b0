"""`identifiers: {first: […]}`: a row is about the first identifier that it has, wherever a person is compared."""

from __future__ import annotations

from typing import Any

import polars as pl

from cio_etl.config.canonical_form import canonical
from cio_etl.model import FAULT, POSITION, Column, Mapping
from cio_etl.transform import collect_facts, compile_mapping, repeats
from tests.mapped_rows import column, mapped, mapping, outcomes, rows

FIRST = {"id": column("u", "trim"), "email": column("m", "email")}
ROWS = rows(
    {
        "u": ["7", " ", None, None, "8", None, None],
        "m": ["two words", "A@b.co", "a@B.co", "no mail", "a@b.co", None, " "],
    }
)


def first(**parts: Any) -> Mapping:
    return mapping(identifiers=FIRST, **parts)


def who(api: str) -> list[Any]:
    made: list[Any] = outcomes(first(), ROWS, api=api)
    if api == "pipelines":
        return [(each["userId"], each["traits"]) if isinstance(each, dict) else each for each in made]
    return [each["identifiers"] if isinstance(each, dict) else each for each in made]


def test_a_row_is_about_the_first_identifier_that_it_has_and_later_ones_are_not_checked() -> None:
    assert who("track") == [
        {"id": "7"},
        {"email": "A@b.co"},
        {"email": "a@b.co"},
        ("email_malformed", "identifiers.email"),
        {"id": "8"},
        ("identifier_missing", "identifiers"),
        ("email_malformed", "identifiers.email"),
    ]


def test_through_pipelines_an_address_is_a_trait_beside_an_empty_user_id() -> None:
    assert who("pipelines")[:3] == [("7", {}), ("", {"email": "A@b.co"}), ("", {"email": "a@b.co"})]


def test_a_value_that_cannot_be_converted_is_not_replaced_by_a_later_identifier() -> None:
    frame = rows({"p": ["nobody", None, "06 12 34 56 78"], "u": ["7", "x", "x"]})
    how = mapping(identifiers={"phone": column("p", {"phone": "FR"}), "id": column("u", {"cast": "integer"})})
    assert [each["identifiers"] if isinstance(each, dict) else each for each in outcomes(how, frame)] == [
        ("phone_unreadable", "identifiers.phone"),
        ("cast_failed", "identifiers.id"),
        {"phone": "+33612345678"},
    ]


def test_rows_of_one_person_are_in_one_lane_and_have_one_key_and_one_subject() -> None:
    how = first(order_by=("u",))
    lanes = mapped(how, ROWS, lanes=250)["lane"].to_list()
    assert lanes[1] == lanes[2] and lanes[0] != lanes[4]
    schema = ROWS.drop(POSITION, FAULT).schema
    compiled = compile_mapping(how, schema, collect_facts(how, schema, lambda _: [ROWS]), "f", 4)
    made = compiled.mapped(ROWS)
    keys = repeats.keyed(made.values, how)
    assert keys.rows() == [(0, "7", ""), (1, "", "a@b.co"), (2, "", "a@b.co"), (4, "8", "")]
    assert compiled.parts is not None
    hashed = compiled.parts.hashes(made.values, made.items, 1, with_keys=True)
    subjects = hashed["hi"].to_list()
    assert subjects[1] == subjects[2] and len(set(subjects[:3])) == 2 and subjects[5:] == [None, None]
    assert hashed.filter(pl.col(POSITION) == 1).select("key.identifiers.id", "key.identifiers.email").row(0) == (
        None,
        "a@b.co",
    )


def test_the_order_of_the_identifiers_is_part_of_what_a_mapping_means() -> None:
    one, other = {"id": Column("u"), "email": Column("m")}, {"email": Column("m"), "id": Column("u")}
    assert canonical(mapping(identifiers=one)) != canonical(mapping(identifiers=other))
