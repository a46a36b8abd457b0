"""What is sent of rows, and what the ledger holds afterwards, compared with a model of Customer.io in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cio_etl.ledger import Ledger, Rules, make_delta, moved, new_generation
from cio_etl.ledger.decide import folded
from cio_etl.ledger.stored import KNOWN
from cio_etl.model import POSITION
from cio_etl.transform import decisions
from cio_etl.transform.decisions import bit_of

PARTS = ("a", "b", "c")
SALT = 7
NULL = 1  # the hash of a part that is null
REFUSED = (3, 3, 3)


@dataclass(frozen=True)
class Row:
    """A row: its subject, and its parts (None: it has no such part)."""

    subject: int
    parts: tuple[int | None, ...]

    @property
    def refused(self) -> bool:
        """Whether Customer.io refuses it."""
        return self.parts == REFUSED


ROWS = st.builds(
    Row,
    st.integers(0, 5),
    st.tuples(*(st.sampled_from([None, NULL, 2, 3]) for _ in PARTS)) | st.just(REFUSED),
)
NIGHTS = st.lists(st.lists(ROWS, max_size=8), min_size=1, max_size=5)


@dataclass
class Nights:
    """A ledger over several nights, and what Customer.io has."""

    folder: Path
    divisible: bool
    people: dict[int, dict[str, int]] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder / "ledger", new_generation("x", SALT, ""))

    def night(self, rows: Sequence[Row], *, again: bool = False, gone: bool = False) -> list[dict[str, int]]:
        """Sends what the delta says; the parts of each item, and `_update` where it must not create."""
        self.number += 1
        rules = Rules(PARTS, SALT, self.divisible, again=again)
        made = make_delta(
            self.folder / f"{self.number}.delta",
            self.ledger,
            [frame(rows)],
            rules,
            NULL,
            rows=len(rows),
            finds_gone=gone,
            belongs_to="x",
            fingerprint="",
            mapping="",
        )
        self.counts, self.gone = made.counts, made.delta.gone()
        what = made.delta.decisions()
        sent, refused = [], set()
        codes, flags = what.codes(np.arange(len(rows))), flags_of(what, len(rows))
        for place, row in enumerate(rows):
            whole = {name: value for name, value in zip(PARTS, row.parts, strict=True) if value is not None}
            match codes[place]:
                case decisions.WHOLE:
                    item = whole
                case decisions.PARTIAL:
                    item = {name: value for name, value in whole.items() if flags[name][place]}
                    if flags["_update"][place]:
                        item["_update"] = 1
                case _:
                    continue
            sent.append(item)
            if row.refused:
                refused.add(place)
            elif "_update" not in item or row.subject in self.people:
                self.people.setdefault(row.subject, {}).update({k: v for k, v in item.items() if k != "_update"})

        def outcomes(rows: pl.DataFrame) -> pl.DataFrame:
            was_refused = pl.col(POSITION).is_in(sorted(refused))
            outcome = pl.when(was_refused).then(pl.lit("refused")).otherwise(pl.lit("accepted"))
            return rows.with_columns(
                outcome.alias("outcome"), pl.lit("no").alias("reason"), pl.lit(None, pl.String).alias("field")
            )

        self.ledger = Ledger(self.ledger.folder, moved(self.ledger, made.delta, outcomes))
        return sent


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    parts = {
        f"part.{name}": pl.Series([row.parts[place] for row in rows], dtype=pl.UInt64)
        for place, name in enumerate(PARTS)
    }
    return pl.DataFrame(
        {
            POSITION: pl.Series(range(len(rows)), dtype=pl.Int64),
            "hi": pl.Series([hi(row.subject) for row in rows], dtype=pl.UInt64),
            "lo": pl.Series([row.subject for row in rows], dtype=pl.UInt64),
            **parts,
            "key.id": pl.Series([str(row.subject) for row in rows], dtype=pl.String),
            "lane": pl.Series([0] * len(rows), dtype=pl.UInt8),
            "is_sent": pl.Series([True] * len(rows), dtype=pl.Boolean),
        }
    )


def flags_of(what: decisions.Decisions, rows: int) -> dict[str, dict[int, bool]]:
    """Which parts of the rows are sent that are sent in part, by position."""
    every = pl.Series(range(rows), dtype=pl.Int64)
    partial = every.filter(what.is_partial(every))
    names = ("_update", *PARTS)
    if partial.is_empty():
        return {name: {} for name in names}
    flags = zip(names, what.flags(partial), strict=True)
    return {name: dict(zip(partial.to_list(), flag.to_list(), strict=True)) for name, flag in flags}


def hi(subject: int) -> int:
    return (subject * 0x9E3779B97F4A7C15) % 2**64


def full_load(people: dict[int, dict[str, int]], rows: Sequence[Row]) -> None:
    """What Customer.io has after every row was sent whole."""
    for row in rows:
        if not row.refused:
            values = {name: value for name, value in zip(PARTS, row.parts, strict=True) if value is not None}
            people.setdefault(row.subject, {}).update(values)


@settings(max_examples=20, deadline=None, phases=[Phase.generate])  # no shrinking: each example writes files
@given(NIGHTS, st.booleans())
def test_nights_of_changes_leave_what_full_loads_leave(nights: list[list[Row]], divisible: bool) -> None:
    with TemporaryDirectory() as folder:
        ours = Nights(Path(folder), divisible)
        theirs: dict[int, dict[str, int]] = {}
        for rows in nights:
            ours.night(rows)
            if any(row.refused for row in rows):  # it has hidden the rows before it; the next night knows it
                ours.night(rows)
            full_load(theirs, rows)
            assert ours.people == theirs
            assert ours.night(rows) == []


@settings(max_examples=25, deadline=None, phases=[Phase.generate])  # no shrinking: each example writes files
@given(NIGHTS)
def test_only_parts_that_differ_are_sent(nights: list[list[Row]]) -> None:
    with TemporaryDirectory() as folder:
        ours = Nights(Path(folder), divisible=True)
        for rows in nights:
            before = {subject: dict(parts) for subject, parts in ours.people.items()}
            sent = ours.night(rows)
            of_known = [item for item in sent if "_update" in item]
            subjects = {row.subject for row in rows}
            known_values = [before[subject] for subject in subjects if subject in before]
            for item in of_known:
                parts = {name: value for name, value in item.items() if name != "_update"}
                assert parts and any(all(values.get(k) != v for k, v in parts.items()) for values in known_values)


def test_a_row_that_is_refused_is_not_sent_again_until_it_changes(tmp_path: Path) -> None:
    nights = Nights(tmp_path, divisible=True)
    assert nights.night([Row(1, REFUSED)]) == [{"a": 3, "b": 3, "c": 3}]
    assert nights.night([Row(1, REFUSED)]) == [] and nights.counts.refused_before == 1
    assert nights.night([Row(1, (3, 3, None))]) == [{"a": 3, "b": 3}]
    assert nights.night([Row(1, (3, 3, None))]) == [] and nights.counts.same == 1


def test_subjects_without_a_row_are_gone_and_subjects_of_rejected_rows_are_not(tmp_path: Path) -> None:
    nights = Nights(tmp_path, divisible=True)
    nights.night([Row(subject, (2, 2, 2)) for subject in range(4)])
    rows = frame([Row(subject, (2, 2, 2)) for subject in range(3)]).with_columns(
        is_sent=pl.Series([True, False, False]), is_left_out=pl.Series([False, False, True])
    )
    made = make_delta(
        tmp_path / "now.delta",
        nights.ledger,
        [rows],
        Rules(PARTS, SALT, True),
        NULL,
        rows=3,
        finds_gone=True,
        belongs_to="x",
        fingerprint="",
        mapping="",
    )
    gone = made.delta.gone()
    assert sorted(gone["lo"]) == [2, 3] and (made.counts.gone, made.counts.left_out) == (2, 1)


def test_counts_say_what_becomes_of_each_part(tmp_path: Path) -> None:
    nights = Nights(tmp_path, divisible=True)
    nights.night([Row(1, (2, 2, None)), Row(2, (2, 2, None)), Row(3, (2, 2, 2))])
    nights.night([Row(1, (3, 2, 2)), Row(2, (2, NULL, None)), Row(3, (2, 2, 2)), Row(4, (2, 2, 2))])
    counts = nights.counts
    assert (counts.new, counts.changed, counts.same) == (1, 2, 1)
    assert {name: (part.set, part.changed, part.unset) for name, part in counts.parts.items()} == {
        "a": (0, 1, 0),
        "b": (0, 0, 1),
        "c": (1, 0, 0),
    }


def test_a_full_refresh_sends_whole_items_to_everybody(tmp_path: Path) -> None:
    nights = Nights(tmp_path, divisible=True)
    rows = [Row(1, (2, 2, None)), Row(2, (2, None, 3))]
    nights.night(rows)
    assert nights.night(rows, again=True) == [{"a": 2, "b": 2}, {"a": 2, "c": 3}]
    assert nights.night(rows) == []


def test_masks_have_a_bit_for_every_part_of_a_hundred() -> None:
    masks = np.zeros((1, decisions.words(100)), dtype=np.uint64)
    masks[0, 1] = np.uint64(1) << np.uint64(36)
    assert [bit for bit in range(101) if bit_of(masks, bit)[0]] == [100]


def test_all_partitions_of_a_ledger_have_the_same_columns() -> None:
    schema: dict[str, Any] = KNOWN | {"part.left": pl.UInt64, "value.left": pl.String, "key.id": pl.String}
    rows = {"hi": [1], "lo": [1], "was_accepted": [True], "is_gone": [False], "part.left": [5], "key.id": ["one"]}
    known = pl.concat([pl.DataFrame(schema=schema), pl.DataFrame(rows, schema_overrides=schema)], how="diagonal")
    sent = pl.DataFrame({POSITION: [0], "hi": [2], "lo": [2], "part.a": [7], "value.a": ["7"], "key.id": ["two"]})
    sent = sent.cast({"hi": pl.UInt64, "lo": pl.UInt64, "part.a": pl.UInt64})
    ended = sent.with_columns(
        content=pl.lit(1, pl.UInt64), outcome=pl.lit("accepted"), reason=pl.lit(None, pl.String), field=pl.lit("")
    )
    rules = Rules(("a",), SALT, divisible=True, values=("a",))
    nobody, somebody = (folded(each, ended, rules, ["key.id"]) for each in (known.clear(), known))
    assert nobody.schema == somebody.schema
    assert nobody.equals(somebody)
