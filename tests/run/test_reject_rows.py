"""The kept rows are exactly the rejected ones, and only their owner can read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.model import FAULT, PLACE_FILE, PLACE_LINE, POSITION, ColumnFacts, Snapshot
from cio_etl.run import reject_rows
from cio_etl.run.reject_rows import Columns, rows_at

ROWS = 500_000


def counting_snapshot(reads: list[int]) -> Snapshot:
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
def test_rows_at_has_the_rows_at_the_positions_with_file_and_line(positions: list[int]) -> None:
    rows = rows_at(counting_snapshot([]), positions)
    assert rows[POSITION].to_list() == positions
    assert rows["double"].to_list() == [2 * position for position in positions]
    assert rows[PLACE_LINE].to_list() == [position + 2 for position in positions]
    assert set(rows[PLACE_FILE]) == {"a.csv"}


def test_rows_between_distant_rejects_are_not_read() -> None:
    reads: list[int] = []
    rows_at(counting_snapshot(reads), [7, 9, 30_000, 499_999])
    assert reads == [7, 20_007, 499_999]


def test_columns_are_read_back_from_their_text_exactly() -> None:
    schema = pl.Schema(
        {
            "a": pl.Decimal(38, 4),
            "b": pl.Datetime("ns", "Europe/Paris"),
            "*": pl.List(pl.Struct({"x": pl.Array(pl.Int8(), 2), "y": pl.Null()})),
            "": pl.Duration("ms"),
        }
    )
    column_facts: ColumnFacts = {"digest": [{"sizes": [1, 2], "largest": 3}, {"sizes": [], "largest": None}]}
    columns = Columns(schema, frozenset({"j"}), column_facts)
    assert Columns.of_text(columns.to_text()) == columns


def test_facts_that_json_cannot_hold_exactly_are_not_stored() -> None:
    column_facts: ColumnFacts = {
        "day": [{"first": date(2024, 3, 10)}],
        "pair": [{"ends": (1, 2)}],
        "sizes": [{"sizes": [1]}],
    }
    columns = Columns(pl.Schema({"a": pl.String}), frozenset(), column_facts)
    assert Columns.of_text(columns.to_text()).column_facts == {"sizes": [{"sizes": [1]}]}


def test_stored_reject_rows_are_readable_by_their_owner_only_and_replace_earlier_ones(tmp_path: Path) -> None:
    folder = tmp_path / "rejects"
    reject_rows.write_rows(folder, 0, pl.DataFrame({"a": [1]}))
    (folder / ".0.killed").write_text("half a file, of a process that was killed")
    os.utime(folder / ".0.killed", (0, 0))
    (folder / ".0.at-work").write_text("half a file, of another worker")
    reject_rows.write_rows(folder, 0, pl.DataFrame({"a": [1, 2]}))
    assert sorted(path.name for path in folder.iterdir()) == [".0.at-work", "0.parquet"]
    assert stat.S_IMODE((folder / "0.parquet").stat().st_mode) == 0o600
    rows = reject_rows.read_rows(folder, 0)
    assert rows is not None and rows["a"].to_list() == [1, 2]
    assert reject_rows.read_rows(folder, 1) is None
    (folder / "0.parquet").write_text("damaged")
    assert reject_rows.read_rows(folder, 0) is None
    assert reject_rows.delete(folder) and not folder.exists() and not reject_rows.delete(folder)
