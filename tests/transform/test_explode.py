"""Each entry of a list as a row: any snapshot of lists, from any position, beside what plain Python makes of it."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.model import ENTRY, FAULT, POSITION, Column, Mapping
from cio_etl.transform import exploded
from cio_etl.validate.yaml_rows import snapshot_of

HOW = Mapping("m.yaml", "identify", {"identifiers.id": Column("id")}, explode="items")
VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.sampled_from(['a"\\é,[]{}\n', "", "null", 1.5])
ENTRIES = VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(st.sampled_from("ab]"), VALUES, max_size=2)
LISTS = st.none() | st.lists(ENTRIES, max_size=4)


def rows_of(lists: list[Any]) -> list[tuple[str, int | None, Any, str | None]]:
    """Id, place, entry and fault of each row that these lists become."""
    rows: list[tuple[str, int | None, Any, str | None]] = []
    for number, entries in enumerate(lists):
        rows += [(str(number), None, None, None)] if not entries else []
        for place, entry in enumerate(entries or []):
            rows.append((str(number), place, entry, "entry_null" if entry is None else None))
    return rows


@given(st.lists(LISTS, min_size=1, max_size=12), st.integers(0, 12), st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=100, deadline=None)
def test_the_entries_of_any_json_lists_are_rows(lists: list[Any], start: int, declared: bool, indent: Any) -> None:
    texts = [None if each is None else json.dumps(each, ensure_ascii=False, indent=indent) for each in lists]
    rows = [{"id": str(number), "items": each} for number, each in enumerate(texts)]
    source = snapshot_of(rows, {"items": "text", "id": "text"})
    snapshot = exploded(source, HOW)
    wanted = rows_of(lists)
    assert snapshot.rows == len(wanted)
    frames = list(snapshot.read(["id", "items", ENTRY], start))
    made = pl.concat(frames) if frames else pl.DataFrame()
    found = [
        (row["id"], row[ENTRY], None if row["items"] is None else json.loads(row["items"]), row[FAULT])
        for row in made.iter_rows(named=True)
    ]
    assert found == wanted[start:]
    assert not frames or made[POSITION].to_list() == list(range(start, len(wanted)))
    narrow = list(snapshot.read(["id"], start))  # without the list, the faults are the same
    assert [fault for frame in narrow for fault in frame[FAULT]] == [fault for *_, fault in wanted[start:]]
    places = snapshot.places(range(len(wanted)))
    assert [places[row] for row in range(len(wanted))] == [
        f"row:{int(number) + 1}" + ("" if place is None else f" items[{place}]") for number, place, _, _ in wanted
    ]


def test_lists_of_records_become_records() -> None:
    lists = [[{"sku": "a"}, None], [], None, [{"sku": "b"}]]
    snapshot = exploded(snapshot_of([{"id": "7", "items": each} for each in lists], {}), HOW)
    (frame,) = snapshot.read(None, 1)
    assert snapshot.schema["items"] == pl.Struct({"sku": pl.String})
    assert frame["items"].to_list() == [None, None, None, {"sku": "b"}]
    assert frame[ENTRY].to_list() == [1, None, None, 0]
    assert frame[FAULT].to_list() == ["entry_null", None, None, None]


@pytest.mark.parametrize(
    ("text", "fault"), [("{}", "not_a_list"), ('"[1]"', "not_a_list"), ("[1", "json_unreadable"), ("null", None)]
)
def test_what_is_no_list_is_a_rejected_row(text: str, fault: str | None) -> None:
    snapshot = exploded(snapshot_of([{"id": "7", "items": text}], {}), HOW)
    (frame,) = snapshot.read(["items", ENTRY], 0)
    assert (frame[FAULT].to_list(), frame["items"].to_list()) == ([fault], [None])
    assert frame[ENTRY].to_list() == [None if fault is None else 0]
    assert snapshot.places([0]) == {0: "row:1"}


def test_one_long_list_is_many_frames() -> None:
    snapshot = exploded(snapshot_of([{"id": "7", "items": list(range(60_000))}, {"id": "8", "items": [1]}], {}), HOW)
    frames = list(snapshot.read(["id"], 30_000))
    assert [frame.height for frame in frames] == [25_000, 5_000, 1]
    assert pl.concat(frames)[POSITION].to_list() == list(range(30_000, 60_001))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"id": "7", "item": []}, "no column 'items'; did you mean 'item'"),
        ({"id": "7", "items": 5}, "column 'items' holds whole numbers, and no lists"),
        ({"id": "7", "items": [], "_entry": 1}, "the source has a column '_entry'"),
    ],
)
def test_a_source_that_cannot_be_exploded_is_refused(row: dict[str, Any], fault: str) -> None:
    with pytest.raises(SourceError, match=fault):
        exploded(snapshot_of([row], {}), HOW)
