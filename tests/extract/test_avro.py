"""Avro files become their rows, or an error that names the fault."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest
import zstandard

from cio_etl.errors import SourceError
from cio_etl.extract.avro import open_avro
from cio_etl.model import FAULT, MAP_KEY_REPEATED, POSITION, AvroSource, Snapshot, Staging

COLUMNS: dict[str, tuple[Any, Any, pl.DataType, Any]] = {
    "id": ("long", 7, pl.Int64(), 7),
    "maybe": (["null", "string"], None, pl.String(), None),
    "kind": ({"type": "enum", "name": "Kind", "symbols": ["a", "b"]}, "b", pl.String(), "b"),
    "day": ({"type": "int", "logicalType": "date"}, date(2024, 1, 2), pl.Date(), date(2024, 1, 2)),
    "at": (
        {"type": "long", "logicalType": "timestamp-micros"},
        datetime(2024, 1, 2, 3, tzinfo=UTC),
        pl.Datetime("us", "UTC"),
        datetime(2024, 1, 2, 3, tzinfo=UTC),
    ),
    "clock": ({"type": "int", "logicalType": "time-millis"}, time(9, 30), pl.Time(), time(9, 30)),
    "price": (
        {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
        Decimal("1.25"),
        pl.Decimal(10, 2),
        Decimal("1.25"),
    ),
    "tags": ({"type": "array", "items": "string"}, ["x"], pl.List(pl.String()), ["x"]),
    "plan": (
        {"type": "record", "name": "Plan", "fields": [{"name": "n", "type": "int"}]},
        {"n": 1},
        pl.Struct({"n": pl.Int32()}),
        {"n": 1},
    ),
    "raw": ("bytes", b"x", pl.Binary(), None),
}
SCHEMA = {"type": "record", "name": "Row", "fields": [{"name": name, "type": col[0]} for name, col in COLUMNS.items()]}


def avro(schema: Any, rows: list[Any], **how: Any) -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, schema, rows, **how)
    return file.getvalue()


def fields(**types: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Row", "fields": [{"name": name, "type": kind} for name, kind in types.items()]}


def opened(folder: Path, *contents: bytes, columns: tuple[str, ...] | None = None) -> Snapshot:
    for number, content in enumerate(contents):
        (folder / f"{number}.avro").write_bytes(content)
    return open_avro(AvroSource((str(folder / "*.avro"),)), Staging(folder / "stage", columns=columns))


def whole(snapshot: Snapshot, start: int = 0) -> pl.DataFrame:
    return pl.concat(snapshot.read(None, start))


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_columns_keep_their_types_but_bytes_are_left_out(tmp_path: Path, codec: str) -> None:
    row = {name: value for name, (_, value, _, _) in COLUMNS.items()}
    snapshot = opened(tmp_path, avro(SCHEMA, [row], codec=codec))
    assert snapshot.schema == {name: dtype for name, (_, _, dtype, _) in COLUMNS.items() if name != "raw"}
    assert whole(snapshot).drop(POSITION, FAULT).row(0) == tuple(
        expected for name, (_, _, _, expected) in COLUMNS.items() if name != "raw"
    )


def test_snappy_is_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    pl.DataFrame({"a": list(range(1000))}).write_avro(file, compression="snappy")
    assert whole(opened(tmp_path, file.getvalue()))["a"].sum() == 499_500


def test_zstandard_is_read(tmp_path: Path) -> None:
    assert whole(opened(tmp_path, packed(avro(fields(a="int"), [{"a": 7}]), "zstandard")))["a"].to_list() == [7]


def test_a_snappy_block_with_a_wrong_checksum_is_refused_as_damaged(tmp_path: Path) -> None:
    file = io.BytesIO()
    pl.DataFrame({"a": list(range(1000))}).write_avro(file, compression="snappy")
    content = bytearray(file.getvalue())
    content[-17] ^= 1  # the checksum's last byte, before the mark
    with pytest.raises(SourceError, match="is damaged or cut short in block 1"):
        opened(tmp_path, bytes(content))


def test_a_file_of_many_blocks_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cio_etl.extract.avro.rows._READ_BYTES", 500)
    content = avro(fields(a="int"), [{"a": number} for number in range(5_000)], sync_interval=100)
    snapshot = opened(tmp_path, content, content)
    frame = whole(snapshot)
    assert frame["a"].to_list() == [*range(5_000), *range(5_000)]
    assert frame[POSITION].to_list() == list(range(10_000))
    assert whole(snapshot, 9_999)["a"].to_list() == [4_999]


def test_a_row_is_named_by_its_file_and_number(tmp_path: Path) -> None:
    content = avro(fields(a="int"), [{"a": number} for number in range(3)])
    snapshot = opened(tmp_path, content, content)
    assert snapshot.locate([5, 0, 3]) == [
        (str(tmp_path / "1.avro"), 3),
        (str(tmp_path / "0.avro"), 1),
        (str(tmp_path / "1.avro"), 1),
    ]
    with pytest.raises(IndexError, match="no row has position 6"):
        snapshot.locate([6])


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_a_file_without_rows_has_columns(tmp_path: Path, codec: str) -> None:
    snapshot = opened(tmp_path, avro(fields(a="int"), [], codec=codec))
    assert (snapshot.rows, snapshot.schema) == (0, {"a": pl.Int32()})


def test_the_copy_is_read_again_without_the_file(tmp_path: Path) -> None:
    first = opened(tmp_path, avro(fields(a="int"), [{"a": 1}]))
    (tmp_path / "0.avro").unlink()
    source = AvroSource((str(tmp_path / "*.avro"),))
    again = open_avro(source, Staging(tmp_path / "stage", may_read=False))
    assert again.fingerprint == first.fingerprint and whole(again)["a"].to_list() == [1]


NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}]}
NANOS = 1_704_067_200_000_000_001
ROW_UUID = "30313233-3435-3637-3839-616263646566"

REWRITTEN: dict[str, tuple[Any, Any, pl.DataType, Any]] = {
    "a map": ({"type": "map", "values": "int"}, {"k": 1}, pl.Map(pl.String(), pl.Int32()), {"k": 1}),
    "a map that may be null": (
        ["null", {"type": "map", "values": "int"}],
        None,
        pl.Map(pl.String(), pl.Int32()),
        None,
    ),
    "a map of maps": (
        {"type": "map", "values": {"type": "map", "values": ["null", "string"]}},
        {"a": {"b": None}},
        pl.Map(pl.String(), pl.Map(pl.String(), pl.String())),
        {"a": {"b": None}},
    ),
    "a map in a list in a record": (
        {
            "type": "record",
            "name": "Outer",
            "fields": [{"name": "m", "type": {"type": "array", "items": {"type": "map", "values": POINT}}}],
        },
        {"m": [{"k": {"x": 1}}]},
        pl.Struct({"m": pl.List(pl.Map(pl.String(), pl.Struct({"x": pl.Int32()})))}),
        {"m": [{"k": {"x": 1}}]},
    ),
    "nulls": ("null", None, pl.Null(), None),
    "one type in a list": (["int"], 1, pl.Int32(), 1),
    "a map in a list of types": (
        [{"type": "map", "values": ["int"]}],
        {"k": 1},
        pl.Map(pl.String(), pl.Int32()),
        {"k": 1},
    ),
    "null in a list of types": (["null"], None, pl.Boolean(), None),
    "nanoseconds": (
        {"type": "long", "logicalType": "timestamp-nanos"},
        NANOS,
        pl.Datetime("ns", "UTC"),
        datetime(2024, 1, 1, tzinfo=UTC),
    ),
    "local nanoseconds": (
        {"type": "long", "logicalType": "local-timestamp-nanos"},
        NANOS,
        pl.Datetime("ns"),
        datetime(2024, 1, 1),
    ),
    "local microseconds": (
        {"type": "long", "logicalType": "local-timestamp-micros"},
        datetime(2024, 1, 1),
        pl.Datetime("us"),
        datetime(2024, 1, 1),
    ),
    "a uuid of text": ({"type": "string", "logicalType": "uuid"}, ROW_UUID, pl.String(), ROW_UUID),
    "a uuid of bytes": (
        {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"},
        b"0123456789abcdef",
        pl.String(),
        ROW_UUID,
    ),
    "an unknown logical type": ({"type": "int", "logicalType": "week"}, 7, pl.Int32(), 7),
}


@pytest.mark.parametrize(("kind", "value", "dtype", "expected"), REWRITTEN.values(), ids=REWRITTEN)
def test_types_that_the_decoder_does_not_know_are_read_as_their_base_types(
    tmp_path: Path, kind: Any, value: Any, dtype: pl.DataType, expected: Any
) -> None:
    rows = [{"k": number, "a": value, "z": "end"} for number in range(3)]
    snapshot = opened(tmp_path, avro(fields(k="int", a=kind, z="string"), rows))
    assert snapshot.schema == {"k": pl.Int32(), "a": dtype, "z": pl.String()}
    assert whole(snapshot)["a"].to_list() == [expected] * 3
    assert whole(snapshot)["z"].to_list() == ["end"] * 3


def test_a_map_with_a_key_twice_is_a_fault_of_the_rows_that_read_it(tmp_path: Path) -> None:
    """The writer of the tests takes the map for a list of entries, whose bytes are the same."""
    entries = {"type": "array", "items": {**fields(k="string", v="int"), "name": "Entry"}}
    within = {**fields(l={"type": "array", "items": {"type": "array", "items": "Entry"}}), "name": "Within"}
    once, twice = [{"k": "a", "v": 1}, {"k": "b", "v": 2}], [{"k": "a", "v": 1}, {"k": "a", "v": 2}]
    rows = [{"n": 1, "m": once, "w": {"l": [once]}}, {"n": 2, "m": twice, "w": {"l": []}}]
    rows += [{"n": 3, "m": [], "w": {"l": [once, twice]}}, {"n": 4, "m": twice, "w": {"l": [twice]}}]
    content = avro(fields(n="int", m=entries, w=within), rows)
    as_map, named = b'{"type":"map","values":"int"}', io.BytesIO(content)
    schema = fastavro.reader(named).metadata["avro.schema"].encode()
    read = json.loads(schema)
    read["fields"][1]["type"] = json.loads(as_map)
    read["fields"][2]["type"]["fields"][0]["type"]["items"] = json.loads(as_map)
    padded = json.dumps(read).encode().ljust(len(schema))
    snapshot = opened(tmp_path, content.replace(schema, padded))
    assert snapshot.schema["m"] == pl.Map(pl.String(), pl.Int32())
    faults = {name: pl.concat(snapshot.read([name], 0))[FAULT].to_list() for name in "nmw"}
    assert faults == {
        "n": [None] * 4,
        "m": [None, MAP_KEY_REPEATED, None, MAP_KEY_REPEATED],
        "w": [None, None, MAP_KEY_REPEATED, MAP_KEY_REPEATED],
    }


NOT_READ: dict[str, tuple[Any, Any, str]] = {
    "several types": (["null", "int", "string"], 1, "holds values of several types: null, int, string"),
    "several types with names": (
        [POINT, {"type": "long", "logicalType": "timestamp-millis"}, {"type": "array", "items": "int"}],
        [1],
        "holds values of several types: Point, timestamp-millis, array",
    ),
    "itself": (NODE, {"next": None}, "holds values of the type 'Node', which contains itself"),
    "a list of nothing": ({"type": "array", "items": "null"}, [None], "holds lists of nothing"),
    "a list of empty records": (
        {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}},
        [{}],
        "holds lists of nothing",
    ),
}


@pytest.mark.parametrize(("kind", "value", "what"), NOT_READ.values(), ids=NOT_READ)
def test_a_type_that_the_decoder_cannot_read_is_reported_before_decoding(
    tmp_path: Path, kind: Any, value: Any, what: str
) -> None:
    with pytest.raises(SourceError, match=f"0.avro: column 2, 'a', {what}") as caught:
        opened(tmp_path, avro(fields(k="int", a=kind), [{"k": 1, "a": value}]))
    assert "JSON text" in caught.value.remedy


def test_a_type_that_is_used_twice_is_read(tmp_path: Path) -> None:
    kind = {"type": "enum", "name": "Kind", "symbols": ["x", "y"]}
    snapshot = opened(tmp_path, avro(fields(a=kind, b="Kind"), [{"a": "x", "b": "y"}]))
    assert whole(snapshot).drop(POSITION, FAULT).rows() == [("x", "y")]


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 2}
DURATION = {"type": "fixed", "name": "Span", "size": 12, "logicalType": "duration"}


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [(DECIMAL, Decimal("1.10"), "decimals of more than 38 digits"), (DURATION, bytes(12), "durations")],
)
def test_a_column_without_a_json_form_is_an_error_only_where_it_is_read(
    tmp_path: Path, kind: Any, value: Any, what: str
) -> None:
    content = avro(fields(k="int", a=kind), [{"k": 1, "a": value}])
    assert opened(tmp_path, content, columns=("k",)).schema == {"k": pl.Int32()}
    with pytest.raises(SourceError, match=f"column 'a' holds {what}, which have no JSON form"):
        opened(tmp_path, content, columns=("k", "a"))


@pytest.mark.fault("S16")
@pytest.mark.parametrize("codec", ["deflate", "bzip2", "xz", "zstandard"])
def test_a_block_that_decompresses_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setattr("cio_etl.extract.avro.container.MAX_BLOCK_BYTES", 1 << 20)
    content = packed(avro(fields(a="string"), [{"a": "x" * (2 << 20)}]), codec)
    assert len(content) < 20_000
    with pytest.raises(SourceError, match="block 1 unfolds to more than 1 MB"):
        opened(tmp_path, content)


def packed(content: bytes, codec: str) -> bytes:
    """A file of one block, packed as fastavro cannot without more libraries."""
    pack: dict[str, Callable[[bytes], bytes]] = {
        "deflate": lambda data: zlib.compress(data, 1, -15),
        "bzip2": lambda data: bz2.compress(data, 1),
        "xz": lambda data: lzma.compress(data, preset=0),
        "zstandard": zstandard.compress,
    }
    sync = content[-16:]
    head, block, _ = content.split(sync, 2)
    at = 0
    for _ in range(2):  # the numbers of rows and bytes
        while block[at] & 0x80:
            at += 1
        at += 1
    data = pack[codec](block[at:])
    name = b"\x14avro.codec" + bytes([len(codec) << 1]) + codec.encode()
    head = head.replace(b"\x14avro.codec\x08null", name)
    return head + sync + b"\x02" + long(len(data)) + data + sync


def long(number: int) -> bytes:
    """A length as Avro writes it."""
    number, out = number << 1, bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_a_wanted_column_of_bytes_is_refused(tmp_path: Path) -> None:
    content = avro(fields(a="int", b="bytes"), [{"a": 1, "b": b"x"}])
    with pytest.raises(SourceError, match="column 'b' holds bytes"):
        opened(tmp_path, content, columns=("a", "b"))


WHOLE = avro(fields(a="string"), [{"a": "secret"}] * 100, sync_interval=50)
BROKEN = {
    "cut in the header": (WHOLE[:30], "is damaged or cut short"),
    "cut in a block": (WHOLE[:-20], "is damaged or cut short"),
    "a byte too much": (WHOLE + b"\x02", "is damaged or cut short"),
    "another mark after a block": (WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]), "is damaged or cut short in block 13"),
    "empty": (b"", "the file is empty"),
    "no Avro": (b"\0\0\0\0secret", "does not begin as an Avro file does"),
    "text": (b"secret,b\n1,2\n", "is text, not Avro"),
    "Parquet": (b"PAR1\x15\x04", "is a Parquet file, not Avro"),
    "not records": (avro("string", ["secret"]), "its rows are no records"),
    "another codec": (WHOLE.replace(b"\x08null", b"\x08lzma", 1), "packed in a way"),
    "a reserved column name": (
        avro(fields(_fault="string"), [{"_fault": "secret"}]),
        "'_fault', which is a name of this",
    ),
    "only bytes": (avro(fields(a="bytes"), [{"a": b"secret"}]), "no column has a JSON form"),
}


@pytest.mark.parametrize(("content", "what"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_without_showing_it(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(SourceError) as caught:
        opened(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path}/0.avro: ") and what in str(caught.value)
    assert "secret" not in str(caught.value) + caught.value.remedy


@pytest.mark.parametrize("size", range(0, len(WHOLE), 37))
def test_a_truncated_file_is_never_read_as_a_complete_one(tmp_path: Path, size: int) -> None:
    try:
        assert opened(tmp_path, WHOLE[:size]).rows % 8 == 0  # between two blocks it is whole
    except SourceError as error:
        assert "secret" not in str(error)


def test_an_impossible_count_of_rows_is_refused(tmp_path: Path) -> None:
    content = avro(fields(a="int"), [{"a": 1}])
    block = content.rindex(b"\x02\x02\x02")  # one row of one byte: 1
    with pytest.raises(SourceError, match="is damaged"):
        opened(tmp_path, content[:block] + b"\xfe\xff\xff\xff\xff\x7f" + content[block + 1 :])


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    one, two = avro(fields(a="int"), [{"a": 1}]), avro(fields(a="string"), [{"a": "x"}])
    with pytest.raises(SourceError, match=r"1\.avro: column 'a' is String here and Int32 in .*0\.avro"):
        opened(tmp_path, one, two)
