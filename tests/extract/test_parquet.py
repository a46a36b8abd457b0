"""Parquet files become exactly their rows, in bounded frames, or an error that names the file."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.extract import open_source
from cio_etl.extract.parquet import open_parquet
from cio_etl.model import FAULT, POSITION, CsvSource, ParquetSource, Snapshot, Staging

ROWS = pl.DataFrame({"id": range(100), "name": [f"n{number}" for number in range(100)]})


def opened(*paths: Path, chunk_rows: int = 7, columns: Sequence[str] | None = None) -> Snapshot:
    return open_parquet(ParquetSource(tuple(str(path) for path in paths)), chunk_rows, columns=columns)


def written(folder: Path, frame: pl.DataFrame, name: str = "x.parquet", group_rows: int = 30) -> Path:
    path = folder / name
    frame.write_parquet(path, row_group_size=group_rows)
    return path


def whole(snapshot: Snapshot, columns: Sequence[str] | None = None, start: int = 0) -> pl.DataFrame:
    return pl.concat(snapshot.read(columns, start))


# ---------------------------------------------------------------- what is read


def test_rows_come_with_their_positions_in_frames_of_at_most_chunk_rows(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, ROWS))
    frames = list(snapshot.read(None, 0))
    expected = {"id": pl.Int64(), "name": pl.String(), POSITION: pl.Int64(), FAULT: pl.String()}
    assert all(0 < frame.height <= 7 and frame.schema == expected for frame in frames)
    everything = pl.concat(frames)
    assert everything.select("id", "name").equals(ROWS)
    assert everything[POSITION].to_list() == list(range(100))
    assert everything[FAULT].null_count() == 100
    assert snapshot.rows == 100
    assert snapshot.schema == ROWS.schema


def test_small_row_groups_are_read_together(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, ROWS, group_rows=2), chunk_rows=50)
    assert len(list(snapshot.read(None, 0))) <= 4


def test_a_row_group_of_many_rows_is_read_in_slices_from_any_row_and_fast(tmp_path: Path) -> None:
    rows = 400_000
    texts = [(pl.col("number") % (7 + place)).cast(pl.String).alias(f"text{place}") for place in range(12)]
    frame = pl.int_range(rows, eager=True).alias("number").to_frame().with_columns(texts)
    one, many = written(tmp_path, frame, "one", rows), written(tmp_path, frame, "many", 100_000)

    def seconds(path: Path, start: int) -> float:
        """CPU seconds of reading a file from this row on, which is as it was written."""
        snapshot = opened(path, chunk_rows=25_000)
        began = time.process_time()
        frames = list(snapshot.read(None, start))
        spent = time.process_time() - began
        assert max(each.height for each in frames) <= 25_000
        assert pl.concat(frames).select(frame.columns).equals(frame[start:])
        return spent

    for start in (1, 133_333, 133_334, 134_000, 399_999):
        seconds(one, start)
    by_groups = min(seconds(many, 0) for _ in range(3))
    assert min(seconds(one, 0) for _ in range(3)) < 3 * by_groups


def test_wide_rows_come_in_frames_of_fewer_rows(tmp_path: Path) -> None:
    wide = pl.DataFrame({"text": [random.Random(n).randbytes(500).hex() for n in range(50)]})
    source = ParquetSource((str(written(tmp_path, wide)),))
    frames = list(open_parquet(source, 50, frame_bytes=10_000).read(None, 0))
    assert sum(frame.height for frame in frames) == 50
    assert max(frame.height for frame in frames) < 20


TYPES: dict[str, tuple[pl.DataType, list[Any]]] = {
    "boolean": (pl.Boolean(), [True, None]),
    "int8": (pl.Int8(), [-1, None]),
    "uint64": (pl.UInt64(), [2**64 - 1, None]),
    "float32": (pl.Float32(), [0.5, None]),
    "float64": (pl.Float64(), [0.1, None]),
    "string": (pl.String(), ["é😀", None]),
    "binary": (pl.Binary(), [b"\xff\0", None]),
    "decimal": (pl.Decimal(20, 2), [decimal.Decimal("1.10"), None]),
    "date": (pl.Date(), [dt.date(1969, 12, 31), None]),
    "time": (pl.Time(), [dt.time(1, 2, 3), None]),
    "milliseconds": (pl.Datetime("ms"), [dt.datetime(2024, 3, 10, 9), None]),
    "nanoseconds with zone": (pl.Datetime("ns", "Europe/Paris"), [dt.datetime(2024, 3, 10, 9), None]),
    "list": (pl.List(pl.Int64()), [[1, None], None]),
    "struct": (pl.Struct({"a": pl.String()}), [{"a": "x"}, {"a": None}]),
    "null": (pl.Null(), [None, None]),
}


@pytest.mark.parametrize(("dtype", "content"), TYPES.values(), ids=TYPES.keys())
def test_a_column_keeps_its_type_and_values(tmp_path: Path, dtype: pl.DataType, content: list[Any]) -> None:
    column = pl.Series("c", content, dtype=dtype.base_type()() if isinstance(dtype, pl.Null) else dtype)
    snapshot = opened(written(tmp_path, column.to_frame()))
    assert snapshot.schema == {"c": dtype}
    assert whole(snapshot)["c"].equals(column)


def test_categories_are_text(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "c": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "e": pl.Series(["u", "u", "v"], dtype=pl.Enum(["u", "v"])),
        }
    )
    by_polars = written(tmp_path, frame, "1.parquet")
    by_arrow = tmp_path / "2.parquet"
    pq.write_table(pa.table({"c": pa.array(["x"]).dictionary_encode(), "e": pa.array(["w"])}), by_arrow)
    snapshot = opened(by_polars, by_arrow)
    assert snapshot.schema == {"c": pl.String(), "e": pl.String()}
    assert whole(snapshot).select("c", "e").rows() == [("x", "u"), ("y", "u"), (None, "v"), ("x", "w")]


def test_a_uuid_comes_as_its_text_and_json_as_what_it_is_stored_as(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"uuid": pa.array([b"0123456789abcdef"], pa.uuid()), "json": pa.array(["{}"], pa.json_())})
    pq.write_table(table, path)
    snapshot = opened(path)
    assert snapshot.schema == {"uuid": pl.String(), "json": pl.String()}
    assert whole(snapshot, ["json", "uuid"]).rows() == [("{}", "30313233-3435-3637-3839-616263646566", 0, None)]


def test_a_decimal_that_is_too_wide_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"sum": pa.array([1], pa.decimal256(50, 2))}), path)
    with pytest.raises(SourceError, match="column 'sum' is a decimal of more than 38 digits"):
        opened(path, columns=["sum"])


def test_columns_are_in_the_wanted_order(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1], "b.c": [2], "b": [{"c": 3}]})
    snapshot = opened(written(tmp_path, frame))
    assert whole(snapshot, ["b", "b.c", "b"]).columns == ["b", "b.c", POSITION, FAULT]
    assert whole(snapshot, ["b.c", "a"]).rows() == [(2, 1, 0, None)]
    assert whole(snapshot, ["b"]).rows() == [({"c": 3}, 0, None)]
    assert whole(snapshot, []).rows() == [(0, None)]
    with pytest.raises(SourceError, match=r"x\.parquet: has no column 'nope'"):
        snapshot.read(["nope"], 0)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any),
    group_rows=st.integers(1, 8),
    chunk_rows=st.integers(1, 9),
    start=st.integers(0, 50),
)
def test_several_files_read_from_any_position(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group_rows: int, chunk_rows: int, start: int
) -> None:
    folder = tmp_path_factory.mktemp("files")
    offsets = [sum(sizes[:number]) for number in range(len(sizes))]
    paths = [
        written(folder, ROWS[offset : offset + size], f"{number}.parquet", group_rows)
        for number, (offset, size) in enumerate(zip(offsets, sizes, strict=True))
    ]
    snapshot = opened(*reversed(paths), chunk_rows=chunk_rows)
    assert snapshot.rows == sum(sizes)
    assert [file.rows for file in snapshot.files] == sizes
    frames = list(snapshot.read(None, start))
    assert [row for frame in frames for row in frame["id"]] == list(range(start, sum(sizes)))
    assert [row for frame in frames for row in frame[POSITION]] == list(range(start, sum(sizes)))
    assert all(frame.height <= chunk_rows for frame in frames)
    expected = [(str(path), row + 1) for path, size in zip(paths, sizes, strict=True) for row in range(size)]
    assert snapshot.locate(range(sum(sizes))) == expected
    with pytest.raises(IndexError, match="no row has position"):
        snapshot.locate([sum(sizes)])


def test_row_groups_before_the_start_are_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS, group_rows=30)
    with path.open("r+b") as file:  # the header of the first row group's first page
        file.seek(4)
        file.write(b"\xff" * 20)
    snapshot = opened(path)
    assert whole(snapshot, None, 60)["id"].to_list() == list(range(60, 100))
    with pytest.raises(SourceError, match="is damaged"):
        whole(snapshot, None, 29)


# ---------------------------------------------------------------- what is refused


DIFFERENT = {
    "another type": ({"id": ["1"], "name": ["x"]}, "column 'id' is String here and Int64 in"),
    "a column less": ({"id": [1]}, "column 'name' is absent here and String in"),
    "a column more": ({"id": [1], "name": ["x"], "more": [1]}, "column 'more' is Int64 here and absent in"),
}


@pytest.mark.parametrize(("columns", "what"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_files_with_other_columns_are_refused(tmp_path: Path, columns: dict[str, list[Any]], what: str) -> None:
    first = written(tmp_path, ROWS, "1.parquet")
    second = written(tmp_path, pl.DataFrame(columns), "2.parquet")
    with pytest.raises(SourceError) as caught:
        opened(first, second, columns=["id", "name", "more"])
    assert str(caught.value) == f"{second}: {what} {first}"


def test_columns_may_stand_in_another_order_and_be_all_null(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, pl.DataFrame({"a": [None], "b": [1]}), "1.parquet"),
        written(tmp_path, pl.DataFrame({"b": [2], "a": ["x"]}), "2.parquet"),
        written(tmp_path, pl.DataFrame({"a": [None], "b": [None]}), "3.parquet"),
    ]
    snapshot = opened(*paths)
    assert snapshot.schema == {"a": pl.String(), "b": pl.Int64()}
    assert whole(snapshot).select("a", "b").rows() == [(None, 1), ("x", 2), (None, None)]


@pytest.mark.fault("S14", "S15", "S17")
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n", "is text, not Parquet"),
        (b"Obj\x01", "is an Avro file, not Parquet"),
        (b'{"a": 1}\n', "is JSON, not Parquet"),
        (b"\x1f\x8b\x08", "is compressed, which only text may be, not Parquet"),
        (b"PAR1", "is damaged, or not a Parquet file"),
        (b"PAR1" + b"\xff" * 20 + b"PAR1", "is damaged, or not a Parquet file"),
    ],
)
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        opened(path)
    assert str(caught.value) == f"{path}: {what}"
    assert caught.value.exit_code == 65


def test_a_column_with_a_reserved_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="column 1 is named '_fault', which is a name of this program's own"):
        opened(written(tmp_path, pl.DataFrame({FAULT: [1]})))


def test_a_file_without_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({}), tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="the file has no columns"):
        opened(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("absent.parquet", "cannot be read: No such file or directory"),
        ("*.parquet", "no file matches"),
        (".", "is a folder, not a file"),
    ],
)
def test_a_path_that_is_no_local_file_is_refused(tmp_path: Path, path: str, what: str) -> None:
    with pytest.raises(SourceError, match=what):
        open_source(ParquetSource((str(tmp_path / path),)), Staging(tmp_path / "stage"))


def test_an_empty_table_has_no_rows(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, ROWS.clear()))
    assert snapshot.rows == 0
    assert list(snapshot.read(None, 0)) == []


# ---------------------------------------------------------------- damage


def damaged(sound: bytes, chance: random.Random) -> bytes:
    """The file with a few bytes changed, cut out or put in; half of the places lie in the footer."""
    content = bytearray(sound)
    for _ in range(chance.choice([1, 1, 2, 8])):
        span = len(content) if chance.random() < 0.5 else min(900, len(content))
        place = len(content) - 1 - chance.randrange(span)
        match chance.choice(["change", "change", "change", "cut", "put"]):
            case "change":
                content[place] = chance.randrange(256)
            case "cut":
                del content[place : place + chance.randrange(1, 50)]
            case _:
                content[place:place] = chance.randbytes(5)
    return bytes(content)


@pytest.mark.fault("S17")
def test_a_damaged_file_reads_or_is_refused_and_never_loses_a_row(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = pl.DataFrame(
        {
            "id": range(300),
            "name": [f"name{number % 7}" for number in range(300)],
            "list": [[number, number + 1] for number in range(300)],
            "when": [dt.datetime(2024, 1, 1) + dt.timedelta(hours=number) for number in range(300)],
        }
    )
    path = written(tmp_path, frame, group_rows=100)
    sound = path.read_bytes()
    chance = random.Random(17)
    refused = 0
    for _ in range(200):
        path.write_bytes(damaged(sound, chance))
        try:
            snapshot = opened(path, chunk_rows=70)
            assert sum(piece.height for piece in snapshot.read(None, 0)) == snapshot.rows
        except SourceError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
            assert error.__context__ is None or error.__suppress_context__
    assert 50 < refused < 200
    assert "panicked" not in capfd.readouterr().err


@pytest.mark.fault("S17")
def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")]
    )
    pq.write_table(pa.table({"a": text}), path)
    with pytest.raises(SourceError, match="is damaged"):
        whole(opened(path))


# ---------------------------------------------------------------- the same file, before and after


@pytest.mark.fault("S1")
def test_the_fingerprint_is_over_content_in_order(tmp_path: Path) -> None:
    one, two = written(tmp_path, ROWS, "1.parquet"), written(tmp_path, ROWS[:50], "2.parquet")
    both = opened(one, two).fingerprint
    assert opened(one, two, chunk_rows=50).fingerprint == both
    assert len({both, opened(one).fingerprint, opened(two).fingerprint}) == 3
    one.rename(tmp_path / "3.parquet")
    assert opened(two, tmp_path / "3.parquet").fingerprint != both
    csv = tmp_path / "x.csv"
    csv.write_text("a\n")
    assert open_source(CsvSource((str(csv),)), Staging(tmp_path)).fingerprint != both


def truncated(path: Path) -> None:
    os.truncate(path, 100)


def overwritten(path: Path) -> None:
    path.write_bytes(path.read_bytes())


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(0, 0))
    other.rename(path)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.fault("S2")
@pytest.mark.parametrize("change", [truncated, overwritten, replaced, removed])
def test_a_file_that_changes_while_it_is_read_stops_the_reading(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = written(tmp_path, ROWS)
    os.utime(path, ns=(0, 0))
    snapshot = opened(path)
    frames = snapshot.read(None, 0)
    next(frames)
    change(path)
    with pytest.raises(SourceError, match=r"x\.parquet: changed while it was being read"):
        next(frames)
    with pytest.raises(SourceError, match=r"changed while it was being read|cannot be read"):
        next(snapshot.read(None, 0))


def test_column_names_that_polars_takes_for_patterns_are_names(tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    pl.DataFrame({"x": [1, 2], "^x$": [3, 4], "*": [5, 6]}).write_parquet(path)
    snapshot = open_source(ParquetSource((str(path),)), Staging(tmp_path / "stage"))
    frame = next(snapshot.read(["^x$", "*"], 0))
    assert frame[:, :2].to_dict(as_series=False) == {"^x$": [3, 4], "*": [5, 6]}
