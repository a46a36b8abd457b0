"""Is what is kept of rejected rows just those rows, and for their owner only?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.model import FAULT, POSITION, ColumnFacts, Snapshot
from cio_etl.run import reject_rows as kept
from cio_etl.run.reject_rows import PLACE_FILE, PLACE_LINE, Columns, rows_at

ROWS = 500_000


def counted(reads: list[int]) -> Snapshot:
    """Half a million rows in frames of 20,000; `reads` notes the position of each frame that was read."""

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        for first in range(start, ROWS, 20_000):
            reads.append(first)
            position = pl.int_range(first, min(first + 20_000, ROWS), dtype=pl.Int64, eager=True).alias(POSITION)
            fault = pl.lit(None, dtype=pl.String).alias(FAULT)
            yield pl.DataFrame([(position * 2).alias("double"), position]).with_columns(fault)

    def locate(positions: Sequence[int]) -> list[tuple[str, int]]:
        return [("a.csv", position + 2) for position in positions]

    return Snapshot("print", (), ROWS, pl.Schema({"double": pl.Int64}), read, locate)


@given(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=8, unique=True).map(sorted))
def test_the_rows_at_some_positions_are_those_with_their_places(positions: list[int]) -> None:
    rows = rows_at(counted([]), positions)
    assert rows[POSITION].to_list() == positions
    assert rows["double"].to_list() == [2 * position for position in positions]
    assert rows[PLACE_LINE].to_list() == [position + 2 for position in positions]
    assert set(rows[PLACE_FILE]) == {"a.csv"}


def test_what_lies_between_rejects_far_from_each_other_is_not_read() -> None:
    reads: list[int] = []
    rows_at(counted(reads), [7, 9, 30_000, 499_999])
    assert reads == [7, 20_007, 499_999]


def test_what_a_replay_must_know_comes_back_from_its_text_as_it_was() -> None:
    schema = pl.Schema(
        {
            "a": pl.Decimal(38, 4),
            "b": pl.Datetime("ns", "Europe/Paris"),
            "*": pl.List(pl.Struct({"x": pl.Array(pl.Int8(), 2), "y": pl.Null()})),
            "": pl.Duration("ms"),
        }
    )
    answers: ColumnFacts = {"told": [{"sizes": [1, 2], "largest": 3}, {"sizes": [], "largest": None}]}
    columns = Columns(schema, frozenset({"j"}), answers)
    assert Columns.of_text(columns.to_text()) == columns


def test_an_answer_that_json_cannot_say_is_not_noted_rather_than_noted_wrongly() -> None:
    answers: ColumnFacts = {
        "day": [{"first": date(2024, 3, 10)}],
        "pair": [{"ends": (1, 2)}],
        "sizes": [{"sizes": [1]}],
    }
    columns = Columns(pl.Schema({"a": pl.String}), frozenset(), answers)
    assert Columns.of_text(columns.to_text()).answers == {"sizes": [{"sizes": [1]}]}


def test_kept_rows_are_the_owner_s_only_and_replace_those_before_whole(tmp_path: Path) -> None:
    folder = tmp_path / "rejects"
    kept.write_rows(folder, 0, pl.DataFrame({"a": [1]}))
    (folder / ".0.killed").write_text("half a file, of a process that was killed")
    os.utime(folder / ".0.killed", (0, 0))
    (folder / ".0.at-work").write_text("half a file, of another worker")
    kept.write_rows(folder, 0, pl.DataFrame({"a": [1, 2]}))
    assert sorted(path.name for path in folder.iterdir()) == [".0.at-work", "0.parquet"]
    assert stat.S_IMODE((folder / "0.parquet").stat().st_mode) == 0o600
    found = kept.read_rows(folder, 0)
    assert found is not None and found["a"].to_list() == [1, 2]
    assert kept.read_rows(folder, 1) is None
    (folder / "0.parquet").write_text("damaged")
    assert kept.read_rows(folder, 0) is None
    assert kept.delete(folder) and not folder.exists() and not kept.delete(folder)
