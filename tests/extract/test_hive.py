"""Folders of a path become text columns of exactly the rows of their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from cio_etl.errors import SourceError
from cio_etl.extract.hive import partitions, with_partitions
from cio_etl.extract.parquet import open_parquet
from cio_etl.extract.remote.fetch import renamed
from cio_etl.extract.text.chunks import ChunkLimits
from cio_etl.extract.text.csv_files import open_csv
from cio_etl.model import FAULT, POSITION, CsvSource, ParquetSource, Snapshot


def written(folder: Path, rows_of: dict[str, int]) -> Path:
    """Parquet files of so many rows, whose ids go on from file to file in the order of their paths."""
    first = 0
    for name in sorted(rows_of):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ids = pl.Series("id", range(first, first + rows_of[name]), dtype=pl.Int64)
        ids.to_frame().write_parquet(folder / name, row_group_size=3)
        first += rows_of[name]
    return folder


def opened(folder: Path, chunk_rows: int = 2) -> Snapshot:
    return with_partitions(open_parquet(ParquetSource((f"{folder}/**/*.parquet",)), chunk_rows))


def rows(snapshot: Snapshot, columns: Sequence[str] | None = None, start: int = 0) -> pl.DataFrame:
    return pl.concat(snapshot.read(columns, start)).drop(FAULT)


MONTHS = {
    "year=2023/month=12/a.parquet": 4,
    "year=2024/month=01/a.parquet": 5,
    "year=2024/month=01/b.parquet": 0,
    "year=2024/month=02/a.parquet": 1,
}
OF_MONTHS = ["12"] * 4 + ["01"] * 5 + ["02"]


def test_the_folders_are_text_columns_after_the_files_own(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, MONTHS))
    assert snapshot.schema == {"id": pl.Int64(), "year": pl.String(), "month": pl.String()}
    assert rows(snapshot).columns == ["id", "year", "month", POSITION]
    assert rows(snapshot)["id"].to_list() == list(range(10))
    assert rows(snapshot)["month"].to_list() == OF_MONTHS
    assert rows(snapshot)["year"].to_list() == ["2023"] * 4 + ["2024"] * 6
    assert snapshot.rows == 10


@pytest.mark.parametrize("start", range(11))
def test_reading_begins_at_any_row(tmp_path: Path, start: int) -> None:
    snapshot = opened(written(tmp_path, MONTHS))
    frames = list(snapshot.read(["month"], start))
    assert [each for frame in frames for each in frame["month"]] == OF_MONTHS[start:]
    assert [each for frame in frames for each in frame[POSITION]] == list(range(start, 10))


@pytest.mark.parametrize("columns", [["month", "id"], ["month"], ["id"], [], ["year", "id", "month", "year"]])
def test_only_the_wanted_columns_come_in_the_wanted_order(tmp_path: Path, columns: list[str]) -> None:
    frame = rows(opened(written(tmp_path, MONTHS)), columns)
    assert frame.columns == [*dict.fromkeys(columns), POSITION]
    assert frame.height == 10


def test_a_column_that_is_neither_in_the_files_nor_in_their_folders_is_an_error_that_names_all(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, MONTHS))
    with pytest.raises(SourceError, match=r"year=2023/month=12/a\.parquet: has no column 'day'") as error:
        list(snapshot.read(["day"], 0))
    assert error.value.remedy == "its columns are id, year, month"


def test_folders_of_csv_files_are_columns_too(tmp_path: Path) -> None:
    for month, text in (("01", "a,b\n1,2\n"), ("02", "a,b\n\n3,4\nragged\n5,6\n")):
        (tmp_path / f"month={month}").mkdir()
        (tmp_path / f"month={month}" / "x.csv").write_text(text)
    snapshot = with_partitions(open_csv(CsvSource((f"{tmp_path}/*/*.csv",)), tmp_path, ChunkLimits()))
    frame = pl.concat(snapshot.read(["month", "a"], 0))
    assert frame["month"].to_list() == ["01", "02", "02", "02"]
    assert frame[FAULT].to_list() == [None, None, "row_ragged", None]
    assert snapshot.locate([3]) == [(f"{tmp_path}/month=02/x.csv", 5)]


def test_folders_are_read_from_the_names_of_a_renamed_snapshot(tmp_path: Path) -> None:
    snapshot = open_parquet(ParquetSource((str(written(tmp_path, {"x.parquet": 2}) / "x.parquet"),)), 10)
    named = renamed(snapshot, {str(tmp_path / "x.parquet"): "s3://rows=1/day=7/x.parquet"})
    assert with_partitions(named).schema == {"id": pl.Int64(), "day": pl.String()}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("year=2024/month=01/x", {"year": "2024", "month": "01"}),
        ("s3://a=b/day=1/x", {"day": "1"}),
        ("d/x=1.parquet", {}),
        ("d/a=__HIVE_DEFAULT_PARTITION__/x", {"a": None}),
        ("d/a=/x", {"a": ""}),
        ("d/a=b=c/x", {"a": "b=c"}),
        ("d/=b/x", {}),
        ("d/a%20b=c%2Fd%25/x", {"a b": "c/d%"}),
        ("d/a=%FF/x", {"a": "%FF"}),
        ("d/a=S%C3%A3o+x/x", {"a": "São+x"}),
        ("/srv/rows/x", {}),
    ],
)
def test_a_path_is_split_into_keys_and_values(path: str, expected: dict[str, str | None]) -> None:
    assert partitions(path) == expected


def test_the_same_files_in_other_folders_have_another_fingerprint(tmp_path: Path) -> None:
    one, other, again = (
        opened(written(tmp_path / str(number), {f"day={day}/x.parquet": 2}))
        for number, day in enumerate(["01", "02", "01"])
    )
    assert one.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("files", "message", "remedy"),
    [
        ({"a/x.parquet": 1}, r"a/x\.parquet: no folder of its path is named key=value", "leave `hive: true` out"),
        (
            {"a=1/b=2/x.parquet": 1, "a=1/x.parquet": 1},
            r"a=1/x\.parquet: its folders are a=…, and those of .*b=2/x\.parquet are a=…, b=…",
            "name files of one kind, or make them two steps",
        ),
        (
            {"a=1/x.parquet": 1, "b/x.parquet": 1},
            r"b/x\.parquet: its folders are none of key=value",
            "name files of one kind, or make them two steps",
        ),
        (
            {"id=1/x.parquet": 1},
            r"id=1/x\.parquet: 'id' is a column of the file and a folder of its path",
            "leave `hive: true` out, or the column out of the files",
        ),
        ({"a=1/a=2/x.parquet": 1}, r"two of its folders are a=…", "rename one of the folders"),
        ({"_position=1/x.parquet": 1}, r"'_position', which is a name of this program's own", "rename the column"),
    ],
)
def test_folders_that_make_no_columns_are_refused(
    tmp_path: Path, files: dict[str, int], message: str, remedy: str
) -> None:
    with pytest.raises(SourceError, match=message) as error:
        opened(written(tmp_path, files))
    assert error.value.remedy == remedy
