"""A preview reads the beginning of a large source, and shows what a run sends of it."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from cio_etl.extract import open_source
from cio_etl.model import CsvSource, FileSource, NdjsonSource, ParquetSource, Staging, Step
from cio_etl.run import prepare
from cio_etl.validate.preview import previewed
from tests.mapped_rows import attributes, mapping

ROWS = 30_000
FILLED = 700  # bytes of a text in each row: so few rows are read that the first rows are a part
PEOPLE = mapping(attributes=attributes(at="at", filled="filled"))


def frame(rows: int = ROWS) -> pl.DataFrame:
    ids = pl.int_range(rows, eager=True).cast(pl.String).alias("id")
    return ids.to_frame().with_columns(pl.lit(7, pl.Int64).alias("at"), pl.lit("x" * FILLED).alias("filled"))


def csv(folder: Path) -> FileSource:
    frame().write_csv(folder / "x.csv")
    return CsvSource((str(folder / "x.csv"),))


def ndjson(folder: Path) -> FileSource:
    frame().write_ndjson(folder / "x.ndjson")
    return NdjsonSource((str(folder / "x.ndjson"),))


def parquet(folder: Path) -> FileSource:
    frame().write_parquet(folder / "x.parquet", row_group_size=4_000)
    return ParquetSource((str(folder / "x.parquet"),))


def parquets(folder: Path) -> FileSource:
    for number in range(3):
        frame(ROWS // 3)[: 6_000 + number].write_parquet(folder / f"{number}.parquet", row_group_size=3_000)
    return ParquetSource((str(folder / "*.parquet"),))


@pytest.mark.parametrize("source_in", [csv, ndjson, parquet, parquets])
def test_the_first_rows_of_a_large_source_are_shown_as_a_run_sends_them(
    source_in: Callable[[Path], FileSource], tmp_path: Path
) -> None:
    source, notes = source_in(tmp_path), list[str]()
    step = Step("s", source, PEOPLE)
    shown = [row.item for row in previewed(step, 1_000, "track", note=notes.append)]
    rows, compiled = prepare(step, open_source(source, Staging(tmp_path)), 1, "track")
    sent = pl.concat(compiled.items(each) for each in rows.read(compiled.columns, 0))["item"].to_list()
    assert shown == sent[:1_000]
    (note,) = notes
    read = int(note.partition("the first ")[2].partition(" rows")[0].replace(",", ""))
    assert 10_000 <= read < len(sent)
    part = open_source(source, Staging(tmp_path, rows=10_000, first_only=True))
    assert part.is_part and part.rows == read and "" in {file.sha256 for file in part.files}


@pytest.mark.parametrize("source_in", [csv, ndjson, parquet, parquets])
def test_a_source_with_few_rows_is_read_whole_and_has_its_fingerprint(
    source_in: Callable[[Path], FileSource], tmp_path: Path
) -> None:
    source = source_in(tmp_path)
    whole = open_source(source, Staging(tmp_path))
    first = open_source(source, Staging(tmp_path, rows=ROWS, first_only=True))
    assert not first.is_part and first.fingerprint == whole.fingerprint and first.files == whole.files


def test_the_time_of_a_preview_does_not_grow_with_the_file(tmp_path: Path) -> None:
    source = csv(tmp_path)
    path = Path(source.paths[0])
    shown = [row.item for row in previewed(Step("s", source, PEOPLE), 5, "track")]
    os.truncate(path, 1 << 40)  # a terabyte, of which the disk has only what was written: nobody could read it
    assert [row.item for row in previewed(Step("s", source, PEOPLE), 5, "track")] == shown


def test_no_row_is_lost_of_files_that_are_small_or_compressed(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.csv").write_text(f"id,at,filled\n{number},7,x\n")
    (tmp_path / "4.csv").write_bytes(gzip.compress(b"id,at,filled\n4,7,x\n"))
    notes = list[str]()
    rows = previewed(Step("s", CsvSource((str(tmp_path / "*.csv"),)), PEOPLE), 9, "track", note=notes.append)
    assert [json.loads(str(row.item)[:-1])["identifiers"]["id"] for row in rows] == [*"01234"]
    assert notes == []
