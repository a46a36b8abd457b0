"""A path that no row of the source has is found: a misspelt key would be null everywhere, and reject nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from cio_etl.audit import PathValues
from cio_etl.config import load_mapping
from cio_etl.model import Step
from cio_etl.model.sources import CsvSource
from cio_etl.transform import exploded, has_no_entries, unseen_paths, with_paths
from cio_etl.validate.yaml_rows import snapshot_of

ROWS: list[dict[str, Any]] = [
    {"who": json.dumps({"id": "1", "plan": None, "at": {"city": "Nice"}, "tags": []}), "items": "[]"},
    {"who": json.dumps({"id": "2", "tags": [{"n": 1}]}), "items": '[{"sku": null}]'},
    {"who": "{", "items": None},
]


def unseen(of: dict[str, Any], tmp_path: Any, rows: list[dict[str, Any]] = ROWS) -> list[tuple[str, Any, str | None]]:
    """The unseen paths of a mapping with these keys, with what reads them and the key that is probably meant."""
    file = tmp_path / "m.yaml"
    file.write_text(json.dumps({"operation": "identify", "identifiers": {"id": "who.id"}} | of))
    mapping = load_mapping(file)
    snapshot = with_paths(exploded(snapshot_of(rows, {}), mapping), mapping)
    return [(each.name, each.targets, each.near) for each in unseen_paths(mapping, snapshot)]


@pytest.mark.parametrize(
    ("of", "found"),
    [
        ({"attributes": {"a": "who.plan", "b": "who.at.city", "c": "who.tags[0].n", "d": "who.tags[*].n"}}, []),
        ({"attributes": {"a": "who.at.citty"}}, [("who.at.citty", ("attributes.a",), "city")]),
        ({"attributes": {"a": "who.att.city"}}, [("who.att.city", ("attributes.a",), "at")]),
        ({"attributes": {"a": "who.tags[*].x"}}, [("who.tags[*].x", ("attributes.a",), None)]),
        ({"attributes": {"a": "who.tags[0].x"}}, [("who.tags[0].x", ("attributes.a",), None)]),
        ({"when": "who.kind is null", "order_by": "who.kind"}, [("who.kind", ("order_by", "when"), None)]),
        (
            {"attributes": {"a": {"column": "who", "apply": ["trim", {"pick": "plann"}, "upper"]}}},
            [("who | pick: plann", ("attributes.a",), "plan")],
        ),
        (
            {"attributes": {"a": {"column": "who.at", "apply": [{"pick": "city"}, {"pick": "x"}]}}},
            [("who.at | pick: city | pick: x", ("attributes.a",), None)],
        ),
        (
            {"attributes": {"a": {"object": {"b": {"list": ["who.idd", {"column": "who", "apply": {"pick": "z"}}]}}}}},
            [("who.idd", ("attributes.a",), "id"), ("who | pick: z", ("attributes.a",), None)],
        ),
        ({"explode": "items", "attributes": {"a": "items.sku"}}, []),
        ({"explode": "items", "attributes": {"a": "items.skuu"}}, [("items.skuu", ("attributes.a",), "sku")]),
        ({"explode": "who.tagz"}, [("who.tagz", ("explode",), "tags")]),
    ],
)
def test_only_keys_that_no_row_has_are_found(of: dict[str, Any], found: list[Any], tmp_path: Any) -> None:
    assert unseen(of, tmp_path) == found


def test_a_path_that_only_an_expectation_reads_is_looked_for(tmp_path: Any) -> None:
    file = tmp_path / "m.yaml"
    expect = [{"range": {"column": "who.citty", "min": 1}}, {"not_null": "who.id", "where": "who.plan = 'free'"}]
    file.write_text(json.dumps({"operation": "identify", "identifiers": {"id": "who.id"}, "expect": expect}))
    made = Step("people", CsvSource(tmp_path / "rows.csv"), load_mapping(file))
    rows = with_paths(
        snapshot_of([{"who": '{"id": "1", "city": 7}'}], {}), made.mapping, ["who.citty", "who.id", "who.plan"]
    )
    found = [(each.field, each.words) for each in PathValues(made, rows).findings()]
    assert found == [
        ("expect", "'who.citty' leads to no value in any of 1 row; did you mean 'city'?"),
        ("expect", "'who.plan' leads to no value in any of 1 row"),
    ]


def test_a_key_of_a_map_is_looked_for_and_one_of_a_record_is_known(tmp_path: Any) -> None:
    rows = [{"who": {"id": "1", "plan": None}}]
    assert unseen({"attributes": {"a": "who.plan"}}, tmp_path, rows) == []


def test_places_of_lists_and_keys_of_maps_in_them_are_looked_for(tmp_path: Any) -> None:
    maps = pl.Series([[{"n": 1}], [], None], dtype=pl.List(pl.Map(pl.String(), pl.Int64())))
    frame = pl.DataFrame({"id": ["1", "2", "3"], "tags": [["x"], [], None], "maps": maps}, strict=False)
    source = snapshot_of([{"id": "1"}] * 3, {})
    snapshot = replace(
        source,
        schema=pl.Schema({**source.schema, **frame.schema}),
        read=lambda columns, start: iter([frame.select(columns)[start:]]),
    )
    file = tmp_path / "m.yaml"
    paths = {"a": "tags[0]", "b": "tags[1]", "c": "maps[*].n", "d": "maps[*].z", "e": "maps[0].z"}
    file.write_text(json.dumps({"operation": "identify", "identifiers": {"id": "id"}, "attributes": paths}))
    mapping = load_mapping(file)
    found = unseen_paths(mapping, with_paths(snapshot, mapping))
    assert [each.name for each in found] == ["tags[1]", "maps[*].z", "maps[0].z"]


def test_rows_are_read_until_each_path_was_seen(tmp_path: Any) -> None:
    file = tmp_path / "m.yaml"
    how = {"operation": "identify", "identifiers": {"id": "a.x"}, "attributes": {"b": "b.x", "c": "b.y"}}
    file.write_text(json.dumps(how))
    mapping, reads = load_mapping(file), []
    frame = pl.DataFrame({"a": ['{"x": 1}'] * 2, "b": ['{"x": 1}', "{}"]})
    source = snapshot_of(frame.to_dicts(), {})

    def read(columns: Any, start: int) -> Any:
        for position in range(start, 2):
            reads.append((sorted(columns), position))
            yield next(source.read(columns, position)).head(1)

    snapshot = with_paths(replace(source, read=read), mapping)
    assert [each.name for each in unseen_paths(mapping, snapshot)] == ["b.y"]
    assert reads == [(["a", "b"], 0), (["b"], 1)]


def test_a_list_without_entries_in_any_row_is_found(tmp_path: Any) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(json.dumps({"operation": "identify", "identifiers": {"id": "items"}, "explode": "items"}))
    mapping = load_mapping(file)
    found = [
        has_no_entries(mapping, exploded(snapshot_of([{"items": text}], {}), mapping)) for text in ("[]", None, "[1]")
    ]
    assert found == [True, True, False]
