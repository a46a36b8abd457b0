"""Parquet files of every kind that exporters write are read right, or the column that is not read is named.

The names are those of the public list of test files (apache/parquet-testing) where it has such a file.
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import io
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise, takewhile
from operator import eq
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from structlog.testing import capture_logs

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile
from cio_etl.extract.parquet import decode, open_parquet
from cio_etl.extract.parquet.delta import shared_bytes
from cio_etl.extract.parquet.pages import pages
from cio_etl.model import FAULT, POSITION, ParquetSource, Snapshot
from tests.parquet_bytes import (
    BYTE_ARRAY,
    FIXED,
    GZIP,
    INT64,
    LZ4_HADOOP,
    REPEATED,
    Leaf,
    integers,
    texts,
    thrift,
    write,
)

Rows = Mapping[str, list[Any]]


def opened(path: Path, *columns: str, chunk_rows: int = 7) -> Snapshot:
    return open_parquet(ParquetSource((str(path),)), chunk_rows, columns=columns or None)


def values(snapshot: Snapshot, columns: list[str] | None = None) -> Rows:
    return pl.concat(snapshot.read(columns, 0)).drop(POSITION, FAULT).to_dict(as_series=False)


def by_arrow(columns: Mapping[str, pa.Array], **how: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), file, **how)
    return file.getvalue()


def by_polars(columns: Mapping[str, Any], **how: Any) -> bytes:
    file = io.BytesIO()
    pl.DataFrame(columns).write_parquet(file, **how)
    return file.getvalue()


def by_duckdb(select: str) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute(f"copy ({select}) to '{folder}/x.parquet' (format parquet)")
        return Path(folder, "x.parquet").read_bytes()


NUMBERS = [*range(9), None]
TEXTS = [*(f"text {number % 3}" for number in range(9)), None]
PLAIN: Rows = {"n": NUMBERS, "s": TEXTS}
ARROW = {"n": pa.array(NUMBERS), "s": pa.array(TEXTS)}
DAY = dt.datetime(2024, 2, 29, 12)
UUID, UUID_BYTES = "30313233-3435-3637-3839-616263646566", b"0123456789abcdef"


class Unknown(pa.ExtensionType):  # type: ignore[misc]
    """An extension that no reader registers."""

    def __init__(self) -> None:
        super().__init__(pa.int64(), "example.unknown")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, _: pa.DataType, __: bytes) -> Unknown:
        return cls()


def hadoop_lz4(data: bytes) -> bytes:
    packed = pa.Codec("lz4_raw").compress(data).to_pybytes()
    return b"".join((len(data).to_bytes(4, "big"), len(packed).to_bytes(4, "big"), packed))


def levels(*each: int) -> bytes:
    runs = b"".join(bytes([2, level]) for level in each)
    return len(runs).to_bytes(4, "little") + runs


def encoded(encoding: str, column: pa.Array) -> bytes:
    return by_arrow({"c": column}, use_dictionary=False, column_encoding={"c": encoding}, row_group_size=3)


PAIRS = [[1, 2], None, [1, None], [3, 4], None, [1, 2]]
SUMS = [Decimal("1.10"), None, Decimal("-2.00")]
TIMES = [DAY, None, dt.datetime(9000, 1, 1), dt.datetime(1500, 1, 1)]
INT96 = by_arrow({"at": pa.array(TIMES, pa.timestamp("us"))}, use_deprecated_int96_timestamps=True)
SPARK = by_arrow({"at": pa.array(TIMES, pa.timestamp("us"))}, flavor="spark", store_schema=False)
STRUCTS = [{"a": None}, None]
LARGE = by_arrow({"c": pa.array(["x", None], pa.large_string())}, compression="brotli")
FLOATS = [1.5, math.inf, None, -0.0]

CATEGORY = pa.dictionary(pa.int32(), pa.string())
KINDS = [{"kind": kind, "pair": [kind]} for kind in ("a", "b", "c", None, "a")]

READ: dict[str, tuple[bytes | Callable[[], bytes], Rows]] = {
    "alltypes_plain.duckdb": (
        lambda: by_duckdb(
            "select true as b, 7::tinyint as t, 1.5::float as f, date '2024-02-29' as d, 'x' as s, 1.10 as c"
        ),
        {"b": [True], "t": [7], "f": [1.5], "d": [dt.date(2024, 2, 29)], "s": ["x"], "c": [Decimal("1.10")]},
    ),
    "alltypes_dictionary": (by_arrow(ARROW), PLAIN),
    "alltypes_plain": (by_arrow(ARROW, use_dictionary=False), PLAIN),
    "alltypes_plain.snappy": (by_arrow(ARROW, compression="snappy"), PLAIN),
    "gzip": (by_arrow(ARROW, compression="gzip"), PLAIN),
    "brotli": (by_arrow(ARROW, compression="brotli"), PLAIN),
    "zstd": (by_arrow(ARROW, compression="zstd"), PLAIN),
    "lz4_raw_compressed": (by_arrow(ARROW, compression="lz4"), PLAIN),
    "hadoop_lz4_compressed": (
        write(3, Leaf("n", INT64, [integers(1, 2, 3)], codec=LZ4_HADOOP, pack=hadoop_lz4)),
        {"n": [1, 2, 3]},
    ),
    "hadoop_lz4_compressed_larger": (
        write(
            3,
            Leaf(
                "n",
                INT64,
                [integers(1, 2, 3)],
                codec=LZ4_HADOOP,
                pack=lambda data: hadoop_lz4(data[:8]) + hadoop_lz4(data[8:]),
            ),
        ),
        {"n": [1, 2, 3]},
    ),
    "non_hadoop_lz4_compressed": (
        write(
            3,
            Leaf(
                "n",
                INT64,
                [integers(1, 2, 3)],
                codec=LZ4_HADOOP,
                pack=lambda data: pa.Codec("lz4_raw").compress(data).to_pybytes(),
            ),
        ),
        {"n": [1, 2, 3]},
    ),
    "concatenated_gzip_members": (
        write(
            3,
            Leaf(
                "n",
                INT64,
                [integers(1, 2, 3)],
                codec=GZIP,
                pack=lambda data: gzip.compress(data[:8]) + gzip.compress(data[8:]),
            ),
        ),
        {"n": [1, 2, 3]},
    ),
    "dict-page-offset-zero": (write(2, Leaf("n", INT64, [integers(1, 2)], facts={11: 0})), {"n": [1, 2]}),
    "overflow_i16_page_cnt": (
        lambda: write(40_000, Leaf("n", INT64, [integers(number) for number in range(40_000)])),
        {"n": [*range(40_000)]},
    ),
    "datapage_v2.snappy": (by_arrow(ARROW, data_page_version="2.0", compression="snappy"), PLAIN),
    "datapage_v1-checksum": (by_arrow(ARROW, write_page_checksum=True), PLAIN),
    "datapage_v2-checksum": (by_arrow(ARROW, write_page_checksum=True, data_page_version="2.0"), PLAIN),
    "page_index": (by_arrow(ARROW, write_page_index=True, data_page_size=10), PLAIN),
    "delta_binary_packed.i32": (encoded("DELTA_BINARY_PACKED", pa.array(NUMBERS, pa.int32())), {"c": NUMBERS}),
    "delta_binary_packed": (encoded("DELTA_BINARY_PACKED", pa.array(NUMBERS)), {"c": NUMBERS}),
    "delta_byte_array": (encoded("DELTA_BYTE_ARRAY", pa.array(TEXTS)), {"c": TEXTS}),
    "delta_length_byte_array": (encoded("DELTA_LENGTH_BYTE_ARRAY", pa.array(TEXTS)), {"c": TEXTS}),
    "delta_fixed": (encoded("DELTA_BYTE_ARRAY", pa.array([b"ab", None], pa.binary(2))), {"c": [b"ab", None]}),
    "byte_stream_split.zstd": (encoded("BYTE_STREAM_SPLIT", pa.array(FLOATS)), {"c": FLOATS}),
    "byte_stream_split_i64": (encoded("BYTE_STREAM_SPLIT", pa.array(NUMBERS)), {"c": NUMBERS}),
    "byte_stream_split_decimal": (encoded("BYTE_STREAM_SPLIT", pa.array(SUMS, pa.decimal128(20, 2))), {"c": SUMS}),
    "fixed_length_decimal": (by_arrow({"c": pa.array(SUMS, pa.decimal128(38, 2))}), {"c": SUMS}),
    "fixed_length_decimal_legacy": (
        write(1, Leaf("c", FIXED, [(1, b"\x01\x00")], length=2, logical=thrift((5, 12, thrift((1, 5, 0), (2, 5, 4)))))),
        {"c": [Decimal(256)]},
    ),
    "int32_decimal": (
        by_arrow({"c": pa.array(SUMS, pa.decimal128(7, 2))}, store_decimal_as_integer=True),
        {"c": SUMS},
    ),
    "decimal256_of_38_digits": (by_arrow({"c": pa.array(SUMS, pa.decimal256(38, 2))}), {"c": SUMS}),
    "int96_from_spark": (SPARK, {"at": TIMES}),
    "int96_of_arrow": (INT96, {"at": TIMES}),
    "float16_nonzeros_and_nans": (
        by_arrow({"c": pa.array([np.float16(1.5), None, np.float16(-2)], pa.float16())}),
        {"c": [1.5, None, -2.0]},
    ),
    "nulls.snappy": (
        by_arrow({"c": pa.array([{"a": None}, None], pa.struct([("a", pa.int32())]))}),
        {"c": [{"a": None}, None]},
    ),
    "single_nan": (by_arrow({"c": pa.array([math.nan])}), {"c": [math.nan]}),
    "nan_in_stats": (by_arrow({"c": pa.array([1.0, math.nan])}), {"c": [1.0, math.nan]}),
    "null_list": (by_arrow({"c": pa.array([[]], pa.list_(pa.int64()))}), {"c": [[]]}),
    "list_columns": (by_arrow({"c": pa.array([["a", None], None, []])}), {"c": [["a", None], None, []]}),
    "nested_lists.snappy": (by_arrow({"c": pa.array([[[[1], None]], None])}), {"c": [[[[1], None]], None]}),
    "nested_structs": (by_arrow({"c": pa.array([{"a": {"b": 1}}, None])}), {"c": [{"a": {"b": 1}}, None]}),
    "nested_maps.snappy": (lambda: by_duckdb("select map {'a': map {'b': 1}} as c"), {"c": [{"a": {"b": 1}}]}),
    "map_no_value": (lambda: by_duckdb("select map {'a': null::int} as c"), {"c": [{"a": None}]}),
    "repeated_no_annotation": (
        write(
            2,
            Leaf("c", INT64, [(3, levels(0, 1, 0) + levels(1, 1, 1) + integers(1, 2, 3)[1])], repetition=REPEATED),
        ),
        {"c": [[1, 2], [3]]},
    ),
    "list_view": (by_arrow({"c": pa.array([[1, 2], None, [3]], pa.list_view(pa.int64()))}), {"c": [[1, 2], None, [3]]}),
    "fixed_size_list_at_a_border": (
        by_arrow({"c": pa.array(PAIRS, pa.list_(pa.int64(), 2))}, row_group_size=2),
        {"c": PAIRS},
    ),
    "categories_in_records_of_several_groups": (
        by_arrow(
            {"c": pa.array(KINDS, pa.struct([("kind", CATEGORY), ("pair", pa.list_(CATEGORY, 1))]))}, row_group_size=2
        ),
        {"c": KINDS},
    ),
    "unknown-logical-type": (
        write(2, Leaf("n", INT64, [integers(1, 2)], logical=thrift((2555, 12, b"\0")))),
        {"n": [1, 2]},
    ),
    "extension_unknown": (by_arrow({"c": pa.ExtensionArray.from_storage(Unknown(), pa.array([1, 2]))}), {"c": [1, 2]}),
    "json": (lambda: by_duckdb("select '{\"a\":1}'::json as c"), {"c": ['{"a":1}']}),
    "json.arrow": (by_arrow({"c": pa.array(["{}", None], pa.json_())}), {"c": ["{}", None]}),
    "enum": (lambda: by_duckdb("select 'a'::enum('a', 'b') as c"), {"c": ["a"]}),
    "uuid": (by_arrow({"c": pa.array([UUID_BYTES, None], pa.uuid())}), {"c": [UUID, None]}),
    "uuid.duckdb": (
        lambda: by_duckdb(f"select '{UUID}'::uuid as c, ['{UUID}'::uuid, null] as l"),
        {"c": [UUID], "l": [[UUID, None]]},
    ),
    "uuid_in_struct": (lambda: by_duckdb(f"select {{'a': '{UUID}'::uuid, 'n': 1}} as c"), {"c": [{"a": UUID, "n": 1}]}),
    "fixed_offset_zone": (
        by_arrow({"c": pa.array([DAY, None], pa.timestamp("us", "+05:30"))}),
        {"c": [DAY.replace(tzinfo=ZoneInfo("UTC")), None]},
    ),
    "unknown_zone": (
        by_arrow({"c": pa.array([DAY], pa.timestamp("us", "Z"))}),
        {"c": [DAY.replace(tzinfo=ZoneInfo("UTC"))]},
    ),
    "zone_in_lists": (
        by_arrow({"c": pa.array([[DAY]], pa.list_(pa.timestamp("ms", "-03:30")))}),
        {"c": [[DAY.replace(tzinfo=ZoneInfo("UTC"))]]},
    ),
    "names_that_differ_by_case": (by_polars({"n": [1], "N": [2]}), {"n": [1], "N": [2]}),
    "old_list_structure": (by_arrow({"c": pa.array([[1], []])}, use_compliant_nested_type=False), {"c": [[1], []]}),
    "sort_columns": (by_polars({"n": [1, 2], "s": ["a", "b"]}, row_group_size=1), {"n": [1, 2], "s": ["a", "b"]}),
    "binary": (by_arrow({"c": pa.array([b"\xff", None])}), {"c": [b"\xff", None]}),
    "large_string_map.brotli": (
        by_arrow({"c": pa.array(["x", None], pa.large_string())}, compression="brotli"),
        {"c": ["x", None]},
    ),
    "no_rows": (write(0, Leaf("n", INT64, [])), {"n": []}),
}


@pytest.mark.parametrize(("content", "expected"), READ.values(), ids=READ.keys())
def test_a_file_is_read_right(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | Callable[[], bytes], expected: Rows
) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content() if callable(content) else content)  # what costs time is not made by every worker
    snapshot = opened(path, *expected, chunk_rows=30_000)
    rows = len(next(iter(expected.values())))
    assert snapshot.rows == rows
    if rows:
        assert str(values(snapshot)) == str(dict(expected))  # as text: NaN is not equal to itself
        last = pl.concat(snapshot.read(None, rows - 1)).drop(POSITION, FAULT).to_dict(as_series=False)
        assert str(last) == str({name: column[-1:] for name, column in expected.items()})
    assert "panicked" not in capfd.readouterr().err


class _Keys(pe.KmsClient):  # type: ignore[misc]
    def __init__(self, _: object) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)

    def unwrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64decode(key)


def test_a_map_keeps_both_values_of_a_key_so_that_the_row_can_be_rejected(tmp_path: Path) -> None:
    twice = [[("a", 1), ("a", 2)], [("a", 1)], None]
    maps = pa.array(twice, pa.map_(pa.string(), pa.int64()))
    (tmp_path / "x").write_bytes(by_arrow({"m": maps, "l": pa.array([[each] for each in twice], pa.list_(maps.type))}))
    frame = pl.concat(opened(tmp_path / "x").read(None, 0))
    read = frame.select(pl.col("m").map.entries(), pl.col("l").list.first().map.entries())
    expected = [[{"key": "a", "value": 1}, {"key": "a", "value": 2}], [{"key": "a", "value": 1}], None]
    assert read["m"].to_list() == read["l"].to_list() == expected


def encrypted(*, plaintext_footer: bool) -> bytes:
    how = pe.EncryptionConfiguration(footer_key="f", column_keys={"k": ["odd"]}, plaintext_footer=plaintext_footer)
    factory = pe.CryptoFactory(lambda _: _Keys(None))
    keys = factory.file_encryption_properties(pe.KmsConnectionConfig(), how)
    file = io.BytesIO()
    table = pa.table({"odd": ["x"], "id": [1]})
    with pq.ParquetWriter(file, table.schema, encryption_properties=keys) as writer:
        writer.write_table(table)
    return file.getvalue()


def beside(odd: Leaf) -> bytes:
    """A file of an odd column and a plain one, of one row."""
    return write(1, odd, Leaf("id", INT64, [integers(1)]))


def of_two_names() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table([pa.array(["x"]), pa.array([1]), pa.array(["y"])], names=["odd", "id", "odd"]), file)
    return file.getvalue()


ODD: dict[str, tuple[bytes, str]] = {
    "variant": (by_duckdb("select {'a': 1}::variant as odd, 1::bigint as id"), "column 'odd' is a VARIANT"),
    "geometry": (
        beside(Leaf("odd", BYTE_ARRAY, [texts("x")], logical=thrift((17, 12, b"\0")))),
        "column 'odd' is a GEOMETRY",
    ),
    "geography": (
        beside(Leaf("odd", BYTE_ARRAY, [texts("x")], logical=thrift((18, 12, b"\0")))),
        "column 'odd' is a GEOGRAPHY",
    ),
    "bson": (beside(Leaf("odd", BYTE_ARRAY, [texts("x")], converted=20)), "column 'odd' is BSON"),
    "interval": (beside(Leaf("odd", FIXED, [(1, bytes(12))], length=12, converted=21)), "column 'odd' is an INTERVAL"),
    "interval.duckdb": (by_duckdb("select interval 3 days as odd, 1::bigint as id"), "column 'odd' is an INTERVAL"),
    "a decimal of 50 digits": (
        by_arrow({"odd": pa.array([1], pa.decimal256(50, 2)), "id": pa.array([1])}),
        "column 'odd' is a decimal of more than 38 digits",
    ),
    "two columns of one name": (of_two_names(), "columns 1 and 3 are all named 'odd'"),
    "encrypt_columns_plaintext_footer": (encrypted(plaintext_footer=True), "column 'odd' is encrypted"),
    "a page that is damaged": (
        beside(Leaf("odd", INT64, [integers(1)], checksum=lambda data: 7)),
        "column 'odd' has in row group 1 a page that does not agree with its checksum",
    ),
    "a page of another size": (
        beside(Leaf("odd", INT64, [(1, b"123")])),
        "column 'odd' is damaged in row group 1",
    ),
    "a page that unfolds": (
        beside(Leaf("odd", INT64, [integers(1)], unpacked=1 << 30)),
        "column 'odd' has in row group 1 a page of 1,024 MB, more than 256",
    ),
    "text that is not UTF-8": (
        beside(Leaf("odd", BYTE_ARRAY, [(1, b"\x02\0\0\0\xff\xfe")], converted=0)),
        "column 'odd' is damaged in row group 1",
    ),
}


@pytest.mark.fault("S17")
@pytest.mark.parametrize(("content", "what"), ODD.values(), ids=ODD.keys())
def test_an_unreadable_column_is_an_error_only_where_the_mapping_reads_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, what: str
) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    assert values(opened(path, "id"), ["id"]) == {"id": [1]}
    with capture_logs() as events, pytest.raises(SourceError) as caught:
        values(opened(path, "id", "odd"), ["id", "odd"])
    assert not events  # the error says it
    assert str(caught.value).startswith(f"{path}: {what}")
    assert caught.value.remedy
    assert "panicked" not in capfd.readouterr().err


def test_reading_all_columns_reads_those_that_are_readable(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for name in ("a page that is damaged", "a page that unfolds", "interval", "two columns of one name"):
        path.write_bytes(ODD[name][0])
        snapshot = opened(path)
        assert list(snapshot.schema) == ["id"] and values(snapshot) == {"id": [1]}


def test_an_encrypted_file_is_reported_as_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(encrypted(plaintext_footer=False))
    with pytest.raises(SourceError, match="is encrypted"):
        opened(path, "id")


HARMLESS: dict[str, tuple[pa.Array, pa.Array, list[Any]]] = {
    "whole numbers of two sizes": (pa.array([1], pa.int32()), pa.array([2**40]), [1, 2**40]),
    "signed and unsigned": (pa.array([1], pa.uint32()), pa.array([-1], pa.int8()), [1, -1]),
    "decimals": (
        pa.array([Decimal("1.5")], pa.decimal128(5, 1)),
        pa.array([Decimal("2.25")], pa.decimal128(9, 2)),
        [Decimal("1.50"), Decimal("2.25")],
    ),
    "whole numbers and decimals": (
        pa.array([2**40]),
        pa.array([Decimal("2.25")], pa.decimal128(9, 2)),
        [Decimal("1099511627776.00"), Decimal("2.25")],
    ),
    "floats of two sizes": (pa.array([1.5], pa.float32()), pa.array([0.1]), [1.5, 0.1]),
    "small numbers and floats": (pa.array([1], pa.int32()), pa.array([0.1]), [1.0, 0.1]),
    "units of time": (pa.array([DAY], pa.timestamp("ms")), pa.array([DAY], pa.timestamp("us")), [DAY, DAY]),
    "zones": (
        pa.array([DAY], pa.timestamp("us", "Europe/Paris")),
        pa.array([DAY], pa.timestamp("us", "UTC")),
        [DAY.replace(tzinfo=ZoneInfo("UTC"))] * 2,
    ),
    "text of two kinds": (pa.array(["a"]).dictionary_encode(), pa.array(["b"], pa.large_string()), ["a", "b"]),
    "parts of a struct": (
        pa.array([{"a": 1, "b": "x"}]),
        pa.array([{"b": "y", "a": 2}], pa.struct([("b", pa.string()), ("a", pa.int32())])),
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    ),
    "lists": (pa.array([[1]], pa.list_(pa.int16())), pa.array([[2]]), [[1], [2]]),
    "nulls": (pa.array([None]), pa.array([2]), [None, 2]),
}


@pytest.mark.parametrize(("one", "other", "expected"), HARMLESS.values(), ids=HARMLESS.keys())
def test_files_that_differ_harmlessly_are_read_together(
    tmp_path: Path, one: pa.Array, other: pa.Array, expected: list[Any]
) -> None:
    (tmp_path / "1.parquet").write_bytes(by_arrow({"id": pa.array([1]), "c": one}))
    (tmp_path / "2.parquet").write_bytes(by_arrow({"c": other, "more": pa.array(["x"]), "id": pa.array([2])}))
    snapshot = opened(tmp_path / "*.parquet", "id", "c")
    assert values(snapshot, ["c"]) == {"c": expected}
    assert "more" not in snapshot.schema


def test_a_time_that_the_finer_unit_cannot_hold_stays_out_of_range(tmp_path: Path) -> None:
    far = pa.array([9_000_000_000_000_000_000, 1_704_067_200_000], pa.timestamp("ms"))
    (tmp_path / "1.parquet").write_bytes(by_arrow({"c": far}))
    (tmp_path / "2.parquet").write_bytes(by_arrow({"c": pa.array([0], pa.timestamp("us"))}))
    (frame, _) = opened(tmp_path / "*.parquet", "c").read(["c"], 0)
    assert frame["c"].dt.year().to_list() == [192102, 2024]


HARMFUL: dict[str, tuple[pa.Array, pa.Array, str]] = {
    "text and numbers": (pa.array(["a"]), pa.array([1]), "is Int64 here and String in"),
    "large numbers and floats": (pa.array([1]), pa.array([0.5]), "is Float64 here and Int64 in"),
    "times with and without a zone": (
        pa.array([DAY], pa.timestamp("us")),
        pa.array([DAY], pa.timestamp("us", "UTC")),
        r"is Datetime\(time_unit='us', time_zone='UTC'\) here and Datetime",
    ),
    "other parts of a struct": (pa.array([{"a": 1}]), pa.array([{"b": 1}]), "is Struct"),
    "an INTERVAL": (
        pa.array([1]),
        pa.array([1], pa.decimal256(50, 0)),
        "is a decimal of more than 38 digits",
    ),
}


@pytest.mark.parametrize(("one", "other", "what"), HARMFUL.values(), ids=HARMFUL.keys())
def test_files_that_differ_are_named_where_the_column_is_read(
    tmp_path: Path, one: pa.Array, other: pa.Array, what: str
) -> None:
    (tmp_path / "1.parquet").write_bytes(by_arrow({"id": pa.array([1]), "c": one}))
    (tmp_path / "2.parquet").write_bytes(by_arrow({"id": pa.array([2]), "c": other}))
    assert values(opened(tmp_path / "*.parquet", "id"), ["id"]) == {"id": [1, 2]}
    with pytest.raises(SourceError, match=rf"2\.parquet: column 'c' {what}"):
        opened(tmp_path / "*.parquet", "id", "c")


@pytest.mark.fault("S16")
@pytest.mark.parametrize("large_groups", [False, True])
def test_one_long_text_of_many_rows_comes_in_small_frames(tmp_path: Path, large_groups: bool) -> None:
    rows = 200_000 if large_groups else 2_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * 100_000])
    path = tmp_path / "x.parquet"
    path.write_bytes(by_arrow({"c": text}, compression="zstd", row_group_size=rows))
    assert path.stat().st_size < 4_000
    frame = next(opened(path, "c", chunk_rows=25_000).read(["c"], 0))
    assert frame.height <= 1_000 and frame["c"].str.len_bytes().max() == 100_000


@pytest.mark.fault("S16")
def test_a_list_that_decodes_to_a_billion_values_is_refused(tmp_path: Path) -> None:
    count = 1 << 27
    page = b"".join(len(run).to_bytes(4, "little") + run for run in (run_of(count, 1), run_of(count, 0)))
    path = tmp_path / "x.parquet"
    path.write_bytes(write(1, Leaf("c", INT64, [(count, page)], repetition=REPEATED)))
    with pytest.raises(SourceError, match="has in row group 1 a page of 134,217,728 values, more than 67,108,864"):
        opened(path, "c")


@pytest.mark.fault("S16")
@pytest.mark.parametrize("kind", ["list", "list of structs", "map"])
@pytest.mark.parametrize("has_arrow_schema", [False, True])
def test_a_row_of_long_texts_in_lists_is_refused_and_many_rows_come_in_small_frames(
    tmp_path: Path, kind: str, has_arrow_schema: bool
) -> None:
    def content(rows: int, values_of_each: int) -> bytes:
        values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows * values_of_each, np.int32)), ["x" * 1_000_000])
        offsets = pa.array(range(0, rows * values_of_each + 1, values_of_each), pa.int32())
        if kind == "map":
            column = pa.MapArray.from_arrays(offsets, pa.array(["k"] * len(values)), values)
        else:
            inner = values if kind == "list" else pa.StructArray.from_arrays([values], ["s"])
            column = pa.ListArray.from_arrays(offsets, inner)
        return by_arrow({"c": column}, compression="zstd", store_schema=has_arrow_schema)

    path = tmp_path / "x.parquet"
    path.write_bytes(content(2, 300))
    assert path.stat().st_size < 4_000
    with pytest.raises(SourceError, match="a row of column 'c' unfolds to 286 MB, more than 256"):
        opened(path, "c")
    path.write_bytes(content(2_000, 1))
    assert next(opened(path, "c", chunk_rows=25_000).read(["c"], 0)).height <= 300


@pytest.mark.fault("S16")
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("is_list", [False, True], ids=["texts", "lists"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_texts_that_share_their_beginnings_are_read(
    tmp_path: Path, version: Any, is_list: bool, compression: str
) -> None:
    words = with_a_shared_beginning(tmp_path / "x.parquet", 10, version, is_list, compression)
    assert values(opened(tmp_path / "x.parquet", "c"), ["c"]) == {"c": [words] if is_list else words}


@pytest.mark.fault("S16")
@pytest.mark.parametrize(
    ("version", "is_list", "compression"),
    [("1.0", False, "none"), ("2.0", False, "snappy"), ("1.0", True, "zstd"), ("2.0", True, "gzip")],
)
def test_texts_that_share_their_beginnings_beyond_the_limit_are_refused(
    tmp_path: Path, version: Any, is_list: bool, compression: str
) -> None:
    with_a_shared_beginning(tmp_path / "x.parquet", 300, version, is_list, compression)
    with pytest.raises(SourceError, match=r"column 'c' has in row group 1 a page of 28\d MB, more than 256"):
        opened(tmp_path / "x.parquet", "c")


def with_a_shared_beginning(path: Path, count: int, version: Any, is_list: bool, compression: str) -> list[str | None]:
    """Writes texts of 1 MB that differ in their last letters; they are one row's list, or a row each."""
    words = [None, *(f"{'x' * 1_000_000}{number * 7919 % 1009}" for number in range(count))]
    column = pa.array([words] if is_list else words)
    how = {"use_dictionary": False, "column_encoding": {"c.list.element" if is_list else "c": "DELTA_BYTE_ARRAY"}}
    path.write_bytes(by_arrow({"c": column}, compression=compression, data_page_version=version, **how))
    return words


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_what_texts_share_is_counted_to_the_byte(tmp_path: Path, version: Any) -> None:
    chances = np.random.default_rng(7)
    words = ["".join(map(str, chances.integers(0, 2, chances.integers(0, 90)))) for _ in range(5_000)]
    path = tmp_path / "x.parquet"
    how = {"use_dictionary": False, "column_encoding": {"c": "DELTA_BYTE_ARRAY"}, "compression": "none"}
    path.write_bytes(by_arrow({"c": pa.array(words)}, data_page_version=version, **how))
    with RegularFile(str(path)) as file:
        found = list(pages(file, 4, len(words)))
        counted = sum(shared_bytes(file, page, "UNCOMPRESSED", 1) for page in found)
    shared = [takewhile(bool, map(eq, one, other)) for one, other in pairwise(words)]
    assert counted == sum(len([*same]) for same in shared) and found


@pytest.mark.fault("P7")
@pytest.mark.parametrize("error", [pa.ArrowMemoryError("malloc failed"), RuntimeError("can't start new thread")])
def test_a_file_is_not_called_damaged_when_memory_or_threads_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def no_reader(*_: object) -> None:
        raise error

    path = tmp_path / "x.parquet"
    path.write_bytes(by_duckdb(f"select {{'a': '{UUID}'::uuid, 'n': 1}} as c"))
    snapshot = opened(path, "c")
    # A patch: a process whose memory is limited for real reads it at times, from what its allocators have in reserve.
    monkeypatch.setattr(decode, "_reader", no_reader)
    monkeypatch.setattr(decode.ParquetFile, "fits", lambda *_: False)
    with pytest.raises(type(error)) as caught:
        values(snapshot)
    assert caught.value is error


def run_of(count: int, level: int) -> bytes:
    """Levels that are all the same, as a run."""
    head, number = bytearray(), count << 1
    while number > 0x7F:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*head, number, level])
