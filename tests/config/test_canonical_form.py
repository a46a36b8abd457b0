"""The canonical text of a mapping changes exactly when what the mapping does changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cio_etl.config import canonical, changes_by_file, describe_change, digest, load_mapping
from cio_etl.model import Call, Column, Constant, Mapping
from tests.mapped_rows import mapping

MAPPING = """\
operation: track
event: {value: order_placed}
identifiers:
  id: customer_id
timestamp: {column: placed_at, apply: [timestamp]}
event_key: [order_id, shop]
attributes:
  status: status
  total: {column: cents, apply: [{divide: 100}]}
  source: {value: {name: shop, level: 1}}
when: status <> 'test'
allow_reserved: [recipient]
nulls: omit
"""


def read(folder: Path, text: str) -> Mapping:
    (folder / "m.yaml").write_text(text, encoding="utf-8")
    return load_mapping(folder / "m.yaml")


@pytest.mark.fault("S3")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("nulls: omit\n", ""),
        ("nulls: omit\n", "on_error: reject\n"),
        ("[{divide: 100}]}", "[{divide: 100}], nulls: omit, on_error: reject}"),
        ("  id: customer_id\n", "  id: {column: customer_id}\n"),
        ("  id: customer_id\n", "  id:   'customer_id'   # who\n\n"),
        ("[timestamp]", "timestamp"),
        ("{divide: 100}", "{divide: {by: 100}}"),
        ("{name: shop, level: 1}", "{level: 1, name: shop}"),
        ("  status: status\n  total: {", "  total: {"),  # moved to the end, see below
        ("when: status <> 'test'", "when: |\n  status <> 'test'\n"),
        ("operation: track\n", "# first\noperation: 'track'\nexamples: [{row: {}, skipped: true}]\n"),
    ],
)
def test_equivalent_ways_to_write_a_mapping_have_one_canonical_text(tmp_path: Path, old: str, new: str) -> None:
    assert old in MAPPING
    text = MAPPING.replace(old, new)
    if "  status: status\n" not in text:
        text = text.replace("  source: ", "  status: status\n  source: ")
    before, after = read(tmp_path, MAPPING), read(tmp_path, text)
    assert before.digest == after.digest
    assert describe_change(canonical(before), canonical(after)) == ""


@pytest.mark.fault("S3")
@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("order_placed}", "ordered}", "event.value changed"),
        ("event: {value: order_placed}", "event: order_placed", "event changed"),
        ("  id: customer_id", "  id: user_id", "identifiers.id.column changed"),
        ("  id: customer_id", "  email: customer_id", "identifiers.email added; identifiers.id removed"),
        ("apply: [timestamp]", "apply: [{timestamp: {timezone: UTC}}]", "timestamp.apply changed"),
        ("timestamp: {column: placed_at, apply: [timestamp]}\n", "", "timestamp removed"),
        ("[order_id, shop]", "[shop, order_id]", "event_key changed"),
        ("event_key: [order_id, shop]\n", "", "event_key removed"),
        ("  status: status\n", "  status: status\n  plan: plan\n", "attributes.plan added"),
        ("  status: status\n", "", "attributes.status removed"),
        ("column: cents, apply: [{divide: 100}]", "column: cents", "attributes.total.apply changed"),
        ("divide: 100", "divide: 10", "attributes.total.apply changed"),
        ("divide: 100", "divide: 100.0", "attributes.total.apply changed"),
        ("level: 1}", "level: true}", "attributes.source.value changed"),
        ("level: 1}", "level: 1.0}", "attributes.source.value changed"),
        ("level: 1}", "level: '1'}", "attributes.source.value changed"),
        ("<> 'test'", "= 'test'", "when changed"),
        ("when: status <> 'test'\n", "", "when removed"),
        ("omit", "clear", "nulls changed"),
        ("nulls: omit", "on_error: omit", "attributes.status.on_error changed; attributes.total.on_error changed"),
        ("  status: status\n", "  status: {column: status, nulls: clear}\n", "attributes.status.nulls changed"),
        ("divide: 100}]", "divide: 100}], on_error: null", "attributes.total.on_error changed"),
        ("allow_reserved: [recipient]\n", "", "allow_reserved removed"),
    ],
)
def test_a_change_in_what_a_mapping_does_changes_the_digest_and_is_described_by_place(
    tmp_path: Path, old: str, new: str, change: str
) -> None:
    assert old in MAPPING
    before, after = read(tmp_path, MAPPING), read(tmp_path, MAPPING.replace(old, new))
    assert before.digest != after.digest
    assert describe_change(canonical(before), canonical(after)) == change


def test_a_change_is_reported_with_the_file_in_which_it_is_written(tmp_path: Path) -> None:
    base, own = tmp_path / "base.yaml", tmp_path / "people.yaml"
    plain = "operation: identify\nidentifiers: {id: id}\nattributes: {plan: plan, city: city}\n"
    base.write_text(plain)
    own.write_text("extends: base.yaml\nattributes: {name: name}\n")
    before = canonical(load_mapping(own))
    base.write_text(plain.replace("plan: plan, city: city", "plan: tariff"))
    own.write_text("extends: base.yaml\nattributes: {name: full_name}\n")
    assert changes_by_file(before, canonical(load_mapping(own)), own) == {
        f"{own} or {base}": "attributes.city removed",
        str(own): "attributes.name.column changed",
        str(base): "attributes.plan.column changed",
    }


def test_several_changes_are_described_in_order_and_without_values(tmp_path: Path) -> None:
    text = MAPPING.replace("[timestamp]", "[trim, timestamp]").replace("  status: status\n", "  plan: canary\n")
    description = describe_change(canonical(read(tmp_path, MAPPING)), canonical(read(tmp_path, text)))
    assert description == "attributes.plan added; attributes.status removed; timestamp.apply changed"


def test_names_with_the_same_beginning_are_different_places() -> None:
    long = "x" * 90
    one = mapping(attributes={f"{long}1": Column("a"), f"{long}2": Column("b")})
    other = mapping(attributes={f"{long}1": Column("b"), f"{long}2": Column("b")})
    assert describe_change(canonical(one), canonical(other)) == f"attributes.{'x' * 60}….column changed"


def test_a_constant_null_differs_from_no_attribute() -> None:
    plain, nothing = mapping(attributes={"x": Constant("1")}), mapping(attributes={"x": Constant(None)})
    assert describe_change(canonical(plain), canonical(nothing)) == "attributes.x.value changed"
    assert describe_change(canonical(nothing), canonical(mapping())) == "attributes.x removed"


def test_the_canonical_text_and_digest_stay_the_same_between_versions() -> None:
    plain = mapping(identifiers={"id": Column("é")}, attributes={"x": Column("a", (Call("trim"),))})
    assert canonical(plain) == (
        '{"allow_reserved":[],"attributes":{"x":{"apply":[["trim",{}]],"column":"a"}},"event":null,"event_key":[],'
        '"identifiers":{"id":{"apply":[],"column":"é"}},"nulls":"omit","operation":"identify","timestamp":null,"when":null}'
    )
    assert digest(plain) == "426ba2d22c84e1be555a64e4748af59318363a1c041d46fc0794b3d255c28491"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "operation: identify\nidentifiers: {email: e}\nattributes: {a.b: {value: [1, null]}, "
            "plan: {expr: x || y}}\ntopics: {1: news}\n"
            "relationships: [{object: {type: 1, id: c}, attributes: {role: r}}]\nexisting_only: true\nwhen: x > 1\n",
            "74d7dc1e48d76fa5c5fc4410ca27328606ad617901d0d41450267e4339fada36",
        ),
        (
            "operation: track\nidentifiers: {anonymous_id: v}\nevent: {column: e, apply: trim}\ntimestamp: t\n"
            "event_key: [a, b]\nallow_reserved: [recipient]\nnulls: clear\n",
            "42f4936a0401272b8e2c8246beadc2ac6dcf0c1ae381d36528ad4c7df8f1655d",
        ),
        (
            "operation: identify_object\nobject: {type: kind, id: {columns: [a, b], apply: {concat: /}}}\n"
            "relationships: [{person: {email: e}}, {person: {id: f}}]\norder_by: at\n",
            "204d9fc736f1b47e0bf6fb7a86c499700c37b94dcb0be254992060f21cbbffa1",
        ),
        (
            "operation: add_device\nidentifiers: {id: i}\ndevice: {token: t, platform: {value: ios}, last_used: l, "
            "attributes: {app: v}}\n",
            "aeaa8c436f38f8da75ee1f3a4605e2979dc9f1feb4ca680f983e059b472abd92",
        ),
        (
            "operation: merge\nprimary: {id: a}\nsecondary: {email: b}\nretry_unknown: true\n",
            "7a00b8ba4770b48992c38494077b1ba32b4d7bdd24bec58d137b8f13f0e8ee14",
        ),
        (
            "operation: add_to_segment\nidentifiers: {id: i}\nsegment: 7\n",
            "d0de6fbff82988c99db5d1f57bd2b036002ccb062a24d1e7ce93995a4ba135be",
        ),
    ],
)
def test_the_digests_of_mappings_with_every_part_stay_the_same(tmp_path: Path, text: str, expected: str) -> None:
    assert read(tmp_path, text).digest == expected


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5), st.lists, max_leaves=4
)
VALUES = st.builds(Constant, JSON) | st.builds(
    Column, NAMES, st.lists(st.sampled_from([Call("trim"), Call("divide", {"by": 2})]), max_size=2).map(tuple)
)
MAPPINGS = st.builds(
    mapping,
    operation=st.sampled_from(["identify", "track"]),
    identifiers=st.builds(lambda kind, value: {kind: value}, st.sampled_from(["id", "email"]), VALUES),
    attributes=st.dictionaries(NAMES, VALUES, max_size=3),
    event=st.none() | VALUES,
    timestamp=st.none() | VALUES,
    event_key=st.lists(NAMES, max_size=2).map(tuple),
    order_by=st.lists(NAMES, max_size=2).map(tuple),
    nulls=st.sampled_from(["omit", "clear"]),
    when=st.none() | NAMES,
)


@pytest.mark.fault("S3")
@given(MAPPINGS, MAPPINGS)
def test_a_change_is_described_exactly_when_the_digest_differs(one: Mapping, other: Mapping) -> None:
    description = describe_change(canonical(one), canonical(other))
    assert (description == "") == (digest(one) == digest(other))


@pytest.mark.fault("S3")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_comments_spaces_and_key_order_do_not_change_the_digest(tmp_path: Path, data: st.DataObject) -> None:
    sections = ["\n" + section for section in _sections(MAPPING)]
    text = "".join(
        line.rstrip() + data.draw(st.sampled_from(["", "  ", "   # note", "\n", "\n# note: {"])) + "\n"
        for line in "".join(data.draw(st.permutations(sections))).splitlines()
    )
    assert read(tmp_path, text).digest == read(tmp_path, MAPPING).digest


def _sections(text: str) -> list[str]:
    """The top-level keys of a YAML text, each with its lines."""
    sections: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(" "):
            sections[-1] += line
        else:
            sections.append(line)
    return sections


def test_order_by_is_in_the_canonical_text_only_when_it_is_used() -> None:
    plain = mapping()
    assert "order_by" not in canonical(plain)
    ordered, other = replace(plain, order_by=("at", "no")), replace(plain, order_by=("no", "at"))
    assert describe_change(canonical(plain), canonical(ordered)) == "order_by added"
    assert describe_change(canonical(ordered), canonical(other)) == "order_by changed"


def test_the_canonical_text_is_json(tmp_path: Path) -> None:
    assert json.loads(canonical(read(tmp_path, MAPPING)))["event_key"] == ["order_id", "shop"]
