"""Of each part, a ledger of values has the text whose hash it has, or none; a ledger of hashes has no text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cio_etl.ledger import Ledger, Rules, files, make_delta, moved, new_generation, stored, without
from cio_etl.ledger.changes import Changes
from cio_etl.model import NOT_KNOWN, NOTHING, POSITION
from tests.ledger.test_decide import NIGHTS, NULL, PARTS, SALT, Row, frame

OUTCOMES = ["accepted", "accepted", "accepted", "refused", "unknown", None]


def text(part: int) -> str:
    return f'"{part}"'


def rows_with_values(rows: Sequence[Row], parts: Sequence[str]) -> pl.DataFrame:
    """The rows; of these parts, the text too."""
    made = frame(rows)
    texts = (pl.col(f"part.{name}").map_elements(text, pl.String).alias(f"value.{name}") for name in parts)
    return made.with_columns(texts)


class Values:
    """A ledger over several nights, and which values it should know."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.ledger = Ledger(folder / "ledger", new_generation("x", SALT, ""))
        self.known: set[tuple[int, str]] = set()

    def night(
        self,
        rows: Sequence[Row],
        *,
        keeps: bool,
        parts: Sequence[str] = PARTS,
        again: bool = False,
        chance: random.Random | None = None,
    ) -> Changes:
        """Sends what the delta says; each row ends by chance, or is accepted."""
        self.number += 1
        values = tuple(parts) if keeps else ()
        here = rows_with_values(rows, values).drop(f"part.{name}" for name in PARTS if name not in parts)
        made = make_delta(
            self.folder / f"{self.number}.delta",
            self.ledger,
            [here],
            Rules(tuple(parts), SALT, True, again=again, values=values),
            NULL,
            rows=len(rows),
            finds_gone=False,
            counts_changes=True,
            belongs_to="x",
            fingerprint="",
            mapping="",
        )
        ends = [chance.choice(OUTCOMES) if chance else "accepted" for _ in rows]

        def outcomes(rows: pl.DataFrame) -> pl.DataFrame:
            outcome = pl.Series("outcome", [ends[position] for position in rows[POSITION]], dtype=pl.String)
            return rows.with_columns(outcome, pl.lit("no").alias("reason"), pl.lit(None, pl.String).alias("field"))

        sent = made.delta.rows(0, 0)
        ended = {} if sent is None else {row["lo"]: row for row in sent.to_dicts() if ends[row[POSITION]] is not None}
        if again:
            self.known -= {(subject, name) for subject in ended for name in PARTS}
        for row in [] if sent is None else sent.sort(POSITION).to_dicts():
            for name in parts:
                if row[f"part.{name}"] is not None and ends[row[POSITION]] == "accepted":
                    self.known.add((row["lo"], name))
        if not keeps:
            self.known.clear()
        self.ledger = Ledger(self.ledger.folder, moved(self.ledger, made.delta, outcomes))
        return made.changes

    def check(self) -> None:
        known = self.ledger.known(0, 0)
        values = [name for name in known.columns if name.startswith("value.")]
        assert values or not self.known
        for row in known.to_dicts():
            for name in PARTS:
                part, value = row.get(f"part.{name}"), row.get(f"value.{name}")
                assert value in (None, None if part is None else text(part))
                assert (value is not None) == ((row["lo"], name) in self.known and part is not None)


@settings(max_examples=60, deadline=None, phases=[Phase.generate])  # no shrinking: each example writes files
@given(NIGHTS, st.randoms(use_true_random=False))
def test_a_value_is_the_text_of_its_part_or_not_known(nights: list[list[Row]], chance: random.Random) -> None:
    with TemporaryDirectory() as folder:
        ours = Values(Path(folder))
        for rows in nights * 2:
            parts = PARTS if chance.random() < 0.8 else PARTS[:2]
            again, keeps = chance.random() < 0.2, chance.random() < 0.8
            ours.night(rows, keeps=keeps, parts=parts, again=again, chance=chance)
            ours.check()
            assert keeps or not any(name.startswith("value.") for name in ours.ledger.known(0, 0).columns)


def test_values_are_kept_where_additions_are_merged(tmp_path: Path) -> None:
    ours = Values(tmp_path)
    everybody = [Row(number, (2, 3, None)) for number in range(3_000)]
    ours.night(everybody, keeps=True)
    for night in range(3):  # additions, the last of which are merged into a new base
        some = [Row(number, (4 + night, None, 5)) for number in range(night * 400, night * 400 + 500)]
        ours.night(some, keeps=True)
        ours.check()
    assert len(ours.ledger.generation.pieces) < 4
    assert ours.ledger.known(0, 0)["value.a"].null_count() == 0


@pytest.mark.parametrize("most_pieces", [2, 100], ids=["additions become one", "a new base"])
def test_a_partition_without_changes_has_the_columns_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_pieces: int
) -> None:
    """A part is new in the mapping, and one partition has nobody who has it."""
    monkeypatch.setattr(files, "ROWS_AT_ONCE", 16)
    monkeypatch.setattr(stored, "LEAST_MERGED", 60 if most_pieces == 2 else 4)
    monkeypatch.setattr(stored, "MOST_PIECES", most_pieces)
    ours = Values(tmp_path)
    ours.night([Row(number, (2, None, None)) for number in range(40)], keeps=True, parts=["a"])
    ours.night([Row(number, (3, None, None)) for number in range(8)], keeps=True, parts=["a"])
    ours.night([Row(number, (4 if number == 1 else 3, None, 5)) for number in (1,)], keeps=True, parts=["a", "c"])
    ours.check()
    files_now = [pl.read_parquet(ours.ledger.folder / piece.file) for piece in ours.ledger.generation.pieces]
    assert len(files_now) == (2 if most_pieces == 2 else 1)
    assert files_now[-1].filter(pl.col("part.c").is_not_null()).height == 1 < files_now[-1].height


def test_values_of_who_is_removed_are_not_written_again(tmp_path: Path) -> None:
    ours = Values(tmp_path)
    ours.night([Row(number, (2, 3, None)) for number in range(2_000)], keeps=True)
    some = ours.ledger.known(0, 0).head(1).select("hi", "lo")
    generation = without(ours.ledger, some, some.clear())
    last = pl.read_parquet(ours.ledger.folder / generation.pieces[-1].file)
    assert last["is_gone"].to_list() == [True] and last["value.a"].to_list() == [None]


def test_without_values_all_files_are_written_again_without_them(tmp_path: Path) -> None:
    ours = Values(tmp_path)
    ours.night([Row(number, (2, 3, None)) for number in range(2_000)], keeps=True)
    assert ours.ledger.generation.values
    ours.night([], keeps=False)
    generation = ours.ledger.generation
    assert not generation.values and len(generation.pieces) == 1
    columns = pl.read_parquet(ours.ledger.folder / generation.pieces[0].file).columns
    assert not any(name.startswith("value.") for name in columns)


def test_changes_are_counted_by_subject_from_value_to_value(tmp_path: Path) -> None:
    ours = Values(tmp_path)
    ours.night([Row(1, (2, 2, None)), Row(2, (2, 2, None)), Row(3, (3, None, None))], keeps=False)
    assert ours.night([Row(1, (4, 2, None)), Row(4, (4, 4, 4))], keeps=True).top(5) == {"a": [(NOT_KNOWN, text(4), 1)]}
    several = [Row(1, (5, 3, None)), Row(1, (7, None, 2)), Row(2, (7, NULL, None)), Row(3, (7, None, None))]
    expected: dict[str, list[Any]] = {
        "a": [(NOT_KNOWN, text(7), 2), (text(4), text(7), 1)],
        "b": [(NOT_KNOWN, text(NULL), 1), (NOT_KNOWN, text(3), 1)],
        "c": [(NOTHING, text(2), 1)],
    }
    assert ours.night(several, keeps=True).top(5) == expected


def test_of_many_changes_the_most_frequent_stay() -> None:
    changes = Changes(most=3)
    rules = Rules(("a",), SALT, True, values=("a",))
    for first in (0, 100):  # two partitions
        numbers = [7] * 5 + list(range(first, first + 10))
        changes.add(
            pl.DataFrame(
                {
                    "before.a": pl.Series([1] * 15, dtype=pl.UInt64),
                    "before.value.a": ["x"] * 15,
                    "value.a": [str(number) for number in numbers],
                    "sent.a": [True] * 15,
                    "is_known": [True] * 15,
                }
            ),
            rules,
        )
    assert changes.top(1) == {"a": [("x", "7", 11)]}
