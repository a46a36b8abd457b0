"""The sample of people that is read back: drawn by the hash, with all rows of a person, in bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl

from cio_etl.model import POSITION
from cio_etl.run.verify import Sample
from cio_etl.run.verify.sample import NOT_SENT, REJECTED, REMOVED
from cio_etl.transform import ITEMS_SCHEMA, Mapped


def mapped(first: int, people: list[str], items: Sequence[str | None] | None = None) -> Mapped:
    """Rows of people by their ids; an item sets the attribute `n` to the row's position."""
    positions = range(first, first + len(people))
    texts = items or [_item(name, n=position) for name, position in zip(people, positions, strict=True)]
    frame = pl.DataFrame({"position": positions, "item": texts}, schema_overrides={"item": pl.String})
    full = frame.with_columns(
        pl.lit(None, ITEMS_SCHEMA[name]).alias(name) for name in ("lane", "reason", "field", "also")
    )
    values = pl.DataFrame({POSITION: positions, "identifiers.id": people})
    return Mapped(values.select(POSITION), values, full)


def _item(name: str, action: str = "identify", **attributes: Any) -> str:
    item = {"type": "person", "action": action, "identifiers": {"id": name}, "attributes": attributes}
    return json.dumps(item) + ","


def take(sample: Sample, step: int, rows: Mapped) -> None:
    drawn = sample.drawn(rows)
    assert drawn is not None
    sample.add(step, drawn)


def names(sample: Sample) -> set[str]:
    return {each.identifier for each in sample.expected({})[0]}


def test_the_same_seed_draws_the_same_people_however_the_rows_are_cut_and_ordered() -> None:
    people = [str(n) for n in range(20_000)]
    first, second, other = Sample(500, 7), Sample(500, 7), Sample(500, 8)
    for start in range(0, 20_000, 900):
        take(first, 0, mapped(start, people[start : start + 900]))
    take(second, 0, mapped(0, people[::-1]))
    take(other, 0, mapped(0, people))
    assert names(first) == names(second) != names(other)
    assert len(names(first)) == 500 and not first.is_whole
    assert abs(first.people - 20_000) < 4_000  # estimated: within four standard errors of 1/sqrt(500)
    assert len(names(first) & names(other)) < 100


def test_few_people_are_all_drawn_and_counted_exactly() -> None:
    sample = Sample(10, 1)
    take(sample, 0, mapped(0, ["a", "b", "a"]))
    assert (sample.people, sample.is_whole, names(sample)) == (2, True, {"a", "b"})


def test_every_row_of_a_person_counts_and_the_last_one_of_the_last_step_wins() -> None:
    sample = Sample(10, 1)
    items = [_item("a", plan="free", city="Rome"), _item("b", plan="free"), _item("a", plan="pro")]
    take(sample, 0, mapped(0, ["a", "b", "a"], items))
    take(sample, 1, mapped(0, ["a"], [_item("a", city=None)]))
    expected, out = sample.expected({})
    assert {each.identifier: each.attributes for each in expected} == {
        "a": {"plan": "pro", "city": None},
        "b": {"plan": "free"},
    }
    assert out == Counter()


def test_a_change_that_is_older_than_the_newest_one_is_left_out() -> None:
    def at(time: int, plan: str) -> str:
        return (
            f'{{"action":"identify","identifiers":{{"id":"a"}},"timestamp":{time},"attributes":{{"plan":"{plan}"}}}},'
        )

    sample = Sample(10, 1)
    take(sample, 0, mapped(0, ["a"] * 3, [at(20, "new"), at(10, "old"), at(20, "newest")]))
    assert sample.expected({})[0][0].attributes == {"plan": "newest"}


def test_who_was_removed_or_rejected_is_not_compared() -> None:
    sample = Sample(10, 1)
    items = [_item("a", plan="x"), _item("b", plan="x"), _item("c", plan="x"), _item("b", "delete"), None]
    take(sample, 0, mapped(0, ["a", "b", "c", "b", "d"], items))
    expected, out = sample.expected({0: {2}})
    assert [each.identifier for each in expected] == ["a"]
    assert out == {REMOVED: 1, REJECTED: 1}


def test_what_the_ledger_has_not_is_not_compared() -> None:
    sample = Sample(10, 1)
    people = ["same", "part", "new", "refused"]
    rows = mapped(0, people, [_item(name, plan="x", city="y") for name in people])
    drawn = sample.drawn(rows)
    assert drawn is not None
    unsent = {"same": None, "part": _item("part", city="y"), "new": _item("new", plan="x", city="y"), "refused": ""}
    column = pl.Series("unsent", [unsent[key.partition(":")[2]] for key in drawn["key"]], dtype=pl.String)
    sample.add(0, drawn.with_columns(column))
    expected, out = sample.expected({})
    assert {each.identifier: each.attributes for each in expected} == {
        "same": {"plan": "x", "city": "y"},
        "part": {"plan": "x"},
    }
    assert out == {NOT_SENT: 2}


def test_a_person_of_a_million_rows_takes_no_more_memory_than_one_of_a_hundred() -> None:
    sample = Sample(10, 1)
    for start in range(0, 200_000, 20_000):
        take(sample, 0, mapped(start, ["a"] * 20_000))
        assert sum(frame.height for frame in sample._frames) < 32_000
    assert sample.expected({})[0][0].attributes == {"n": 199_999}
