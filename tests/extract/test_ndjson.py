"""NDJSON files become exactly their rows, in columns of one type each, or an error that names the line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.extract.text.chunks import ChunkLimits
from cio_etl.extract.text.ndjson_files import MAX_COLUMNS, open_ndjson
from cio_etl.extract.text.plain_text import BombLimits
from cio_etl.model import FAULT, POSITION, REASONS, ROW_NUL, ROW_UNREADABLE, NdjsonSource, Snapshot

SMALL = ChunkLimits(chunk_rows=3, block_bytes=16)


def opened(*paths: Path, limits: ChunkLimits = SMALL, **how: Any) -> Snapshot:
    return open_ndjson(NdjsonSource(tuple(str(path) for path in paths), **how), paths[0].parent / "stage", limits)


def written(folder: Path, content: bytes, name: str = "x.ndjson") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def lines(*values: str) -> bytes:
    """A row for each value of the column a, as JSON writes it."""
    return "".join(f'{{"a": {value}}}\n' for value in values).encode()


def whole(snapshot: Snapshot, columns: list[str] | None = None, start: int = 0) -> pl.DataFrame:
    return pl.concat(snapshot.read(columns, start))


# ---------------------------------------------------------------- types

TYPES: dict[str, tuple[tuple[str, ...], pl.DataType, list[Any]]] = {
    "whole numbers": (("1", "-2", "null"), pl.Int64(), [1, -2, None]),
    "the largest whole number": (("1", str(2**63 - 1)), pl.Int64(), [1, 2**63 - 1]),
    "numbers": (("1.5", "2", "1e3"), pl.Float64(), [1.5, 2.0, 1000.0]),
    "numbers, the whole ones exact": (("1.5", str(2**53)), pl.Float64(), [1.5, 2.0**53]),
    "long but exact": (("0.5", "1700000000000000"), pl.Float64(), [0.5, 1.7e15]),
    "true and false": (("true", "false", "null"), pl.Boolean(), [True, False, None]),
    "text": (
        ('"x"', '"00123"', '""', '"1e3"', '"true"', '"[1]"'),
        pl.String(),
        ["x", "00123", "", "1e3", "true", "[1]"],
    ),
    "escapes": (('"\\u00e9\\n\\ud83d\\ude00"',), pl.String(), ["é\n😀"]),
    "nulls": (("null", "null"), pl.Null(), [None, None]),
}


@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["in many chunks", "in one chunk"])
@pytest.mark.parametrize(("name"), TYPES)
def test_a_column_has_the_type_that_holds_all_of_its_values(tmp_path: Path, name: str, limits: ChunkLimits) -> None:
    written_values, dtype, expected = TYPES[name]
    snapshot = opened(written(tmp_path, lines(*written_values)), limits=limits)
    frame = whole(snapshot)
    assert snapshot.schema == {"a": dtype}
    assert frame.schema == {"a": dtype, POSITION: pl.Int64(), FAULT: pl.String()}
    assert frame["a"].to_list() == expected
    assert not snapshot.json


SEVERAL_KINDS: dict[str, tuple[str, ...]] = {
    "larger than 64 bits": ("1", str(2**63), str(2**64), str(-(2**63) - 1)),
    "numbers, a whole one not exact": ("1.5", str(2**53 + 1)),
    "a whole one not exact long before": (str(-(2**53) - 1), "1", "2", "3", "1.5"),
    "text and numbers": ('"x"', "5", "1.5", '"5"', '""'),
    "a number long after text": ('"x"', '"y"', '"z"', "5"),
    "a number among texts of digits": ('"1"', '"2"', "3"),
    "numbers and true": ("1", "true", "0"),
    "true and text": ("true", '"true"', '"x"', "false"),
    "objects": ('{"k": 1}', '{"l": [1.5, null]}'),
    "objects and lists": ("[1]", '{"k": 1}'),
    "lists of several kinds": ('[1, "1", 1.5, true, {"k": "1"}]', "[]"),
    "lists and numbers": ("[1]", "5"),
    "lists and a text like one": ("[1]", '"[1]"'),
    "a text like an object and objects": ('"{\\"k\\": 1}"', '{"k": 1}'),
    "objects and numbers": ('{"k": 1}', "5", "null"),
    "objects and text": ('{"k": "x"}', '"x"', '""'),
    "escapes and numbers": ('"a\\"b\\\\c\\n\\u00e9\\u0001\\/"', "5", '{"k\\\\": "\\t"}', '"\\\\"', '":"', '"\\":\\""'),
    "noncharacters and numbers": ('"\ufdd0\ufdd1\ufdd2\ufdd3"', "5", '"\\ufdd4"'),
    "separators in text": ('"{\\"a\\":\\"x\\"}"', '",\\"a\\":"', "1", '"a"', '": "'),
}


@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["in many chunks", "in one chunk"])
@pytest.mark.parametrize(("name"), SEVERAL_KINDS)
def test_a_column_of_several_kinds_keeps_each_value_as_json(tmp_path: Path, name: str, limits: ChunkLimits) -> None:
    values = SEVERAL_KINDS[name]
    snapshot = opened(written(tmp_path, lines(*values)), limits=limits)
    assert snapshot.schema == {"a": pl.String()}
    assert snapshot.json == {"a"}
    texts = [text and json.loads(text) for text in whole(snapshot)["a"]]
    expected = [json.loads(value) for value in values]
    assert texts == expected
    assert list(map(type, texts)) == list(map(type, expected))


def test_a_key_inside_an_object_does_not_hide_a_value_of_another_kind(tmp_path: Path) -> None:
    rows = ['{"a": "1", "o": {"a": "x"}}', '{"a": 2, "o": {}}', '{"o": {"a" : 1}, "a":"3"}', '{"\\u0061": 4, "o": {}}']
    snapshot = opened(written(tmp_path, "\n".join(rows).encode()), limits=ChunkLimits())
    assert whole(snapshot)["a"].to_list() == ['"1"', "2", '"3"', "4"]


def test_rows_may_have_different_keys(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, b'{"a":1}\n{}\n{"b":"x"}\n{"a":2,"c":true}\n'))
    assert whole(snapshot).drop(POSITION, FAULT).rows() == [
        (1, None, None),
        (None, None, None),
        (None, "x", None),
        (2, None, True),
    ]


@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["in many chunks", "in one chunk"])
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (['{"a":1,"a":2}', '{"a":3}'], [2, 3]),
        (['{"a":"x","b":0,"a":1}', '{"a":2}'], [1, 2]),
        (['{"a":1,"a":null}', '{"a":2}'], [None, 2]),
        (['{"a":1,"a":"x"}', '{"a":true}'], ['"x"', "true"]),
        (['{"a":1,"o":{"a":5,"a":6}}', '{"a":2,"o":{"a":5}}'], [1, 2]),
        (['{"o":[{"a":5},{"a":6}],"a":1}', "\t", '{"a":2,"a":3}'], [1, 3]),
        (['{"a":"{\\"a\\":1}","b":"\\\\","a":"y"}'], ["y"]),
        (['{"a":1}', '{"a":{"b":1,"b":2}}'], ["1", '{"b": 2}']),
        (
            ['{"a":{"b":{"c":1,"c":"}"},"c":0,"b":[{"d":1,"d":2},{"d":3}]}}', '{"a":1}'],
            ['{"c": 0, "b": [{"d": 2}, {"d": 3}]}', "1"],
        ),
        (['{"a":{"b":1, "b":{"b":2,"b":3} }}', '{"a":{}}'], ['{"b": {"b": 3}}', "{}"]),
        (['{"a":1,"\\u0061":2}', '{"\\u0061":3,"a":4}'], [2, 4]),
        (['{"a":{"é":1,"\\u00e9":2,"\\u00E9":3,"e":4,"/":5,"\\/":6}}'], ['{"é": 3, "e": 4, "/": 6}']),
        (['{"a":{"\\"":1,"\\u0022":2,"\\\\":3,"\\u005c":4,"u005c":5}}'], ['{"\\"": 2, "\\\\": 4, "u005c": 5}']),
    ],
)
def test_of_a_key_that_an_object_has_twice_the_last_counts(
    tmp_path: Path, rows: list[str], expected: list[Any], limits: ChunkLimits
) -> None:
    snapshot = opened(written(tmp_path, "\n".join(rows).encode()), limits=limits)
    read = whole(snapshot, ["a"])["a"].to_list()
    assert [json.loads(one) if str(one).startswith("{") else one for one in read] == [
        json.loads(one) if str(one).startswith("{") else one for one in expected
    ]
    assert not [name for name in snapshot.schema if "\x7f" in name]


def test_blank_lines_carriage_returns_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf\n{"a":1}\r\n \t\r\n\n{"a":2}\n\r\n{"a":3}')
    snapshot = opened(path)
    assert whole(snapshot)["a"].to_list() == [1, 2, 3]
    assert snapshot.locate([2, 0, 1]) == [(str(path), 7), (str(path), 2), (str(path), 5)]


def test_the_sign_with_which_dos_ends_a_file_is_no_row(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, b'{"a":1}\r\n{"a":2}\r\n\x1a'))
    assert whole(snapshot)["a"].to_list() == [1, 2]


@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["in many chunks", "in one chunk"])
@pytest.mark.parametrize("line", [b'{"a": "x\0"}', rb'{"a": "x\u0000"}', rb'{"a": {"b": ["\\\u0000"]}}'])
def test_a_line_with_nul_is_a_row_with_a_fault(tmp_path: Path, line: bytes, limits: ChunkLimits) -> None:
    snapshot = opened(written(tmp_path, rb'{"a": "\\u0000"}' + b"\n" + line + b'\n{"a": "y"}\n'), limits=limits)
    assert whole(snapshot, ["a"])[FAULT].to_list() == [None, ROW_NUL, None]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1, max_size=9), st.booleans())
def test_any_objects_are_read_as_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], ascii_only: bool
) -> None:
    if not any(rows):
        return
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    snapshot = opened(written(tmp_path_factory.mktemp("n"), text.encode()))
    frame = whole(snapshot)
    assert frame[FAULT].null_count() == frame.height == len(rows)
    for name in frame.drop(POSITION, FAULT).columns:
        expected = [row.get(name) for row in rows]
        found = frame[name].to_list()
        kinds = {type(value) for value in expected if value is not None}
        assert [value is None for value in found] == [value is None for value in expected]
        if name in snapshot.json:
            assert [value and as_floats(value) for value in found] == [
                None if value is None else as_floats(json.dumps(value)) for value in expected
            ]
        elif kinds in ({bool}, {str}):
            assert found == expected
        elif kinds <= {int, float}:
            exact = int if kinds == {int} else float
            assert [value and exact(value) for value in found] == [value and exact(value) for value in expected]


NESTED = [
    {"k": 'a"b\\c\\"d\\\\', "l": "\b\f\n\r\t\x01\x7f\u2028"},
    {'k"\\\n\x02': ["\\n", "\\u0041"]},
    ["\ufdd0", "\ufdd1\ufdef"],
    {"é": "\N{GRINNING FACE}"},
]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_text_has_the_content_of_the_line(tmp_path: Path, ascii_only: bool) -> None:
    content = "".join(json.dumps({"b": "\\n", "a": value}, ensure_ascii=ascii_only) + "\n" for value in NESTED)
    snapshot = opened(written(tmp_path, content.encode()), limits=ChunkLimits())
    frame = whole(snapshot)
    assert [json.loads(text) for text in frame["a"]] == NESTED
    assert frame["b"].to_list() == ["\\n"] * len(NESTED)
    assert [json.loads(text) for text in whole(snapshot, ["a"])["a"]] == NESTED
    assert frame.columns == ["b", "a", POSITION, FAULT]


def as_floats(text: str) -> Any:
    """A float without a fraction may be written without a point."""
    return json.loads(text, parse_int=float)


# ---------------------------------------------------------------- lines that are no rows

DAMAGED = {
    "cut short": b'{"a": 1',
    "a comma after the object": b'{"a": 1},',
    "a comma after the last key": b'{"a": 1,}',
    "two objects": b'{"a": 1}{"a": 2}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "too large for a number": b'{"a": 1e999}',
    "too many digits": b'{"a": 1' + b"0" * 50 + b"}",
    "half a surrogate pair": b'{"a": "\\ud83d"}',
    "the other half": b'{"a": "\\ude00\\ud83d"}',
    "a tab in text": b'{"a": "\t"}',
    "single quotes": b"{'a': 1}",
    "a list": b'[{"a": 1}]',
    "a number": b"5",
    "text": b'"x"',
    "null": b"null",
    "a comment": b'// {"a": 1}',
    "a control character": b"\x01",
    "too deep": b'{"a":' * 65 + b"1" + b"}" * 65,
    "deep enough to end the process": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "deep behind text of brackets": b'{"a": "' + b"}" * 2000 + b'", "b": ' + b"[" * 1000 + b"]" * 1000 + b"}",
}


@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["in many chunks", "in one chunk"])
@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_line_that_is_no_object_is_a_row_with_a_fault(tmp_path: Path, line: bytes, limits: ChunkLimits) -> None:
    path = written(tmp_path, b'{"a": 1}\n\n' + line + b'\n{"a": 2}\n')
    snapshot = opened(path, limits=limits)
    frame = whole(snapshot)
    assert (frame["a"].to_list(), frame[FAULT].to_list()) == ([1, None, 2], [None, ROW_UNREADABLE, None])
    assert snapshot.schema["a"] == pl.Int64
    assert snapshot.locate([1, 2]) == [(str(path), 3), (str(path), 4)]
    assert whole(snapshot, start=1)[FAULT].to_list() == [ROW_UNREADABLE, None]
    assert ROW_UNREADABLE in REASONS


def test_nesting_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"a": [' + b"{}," * 200 + b"{}]}\n" + b'{"a":' * 64 + b"1" + b"}" * 64 + b"\n")
    assert whole(opened(path))[FAULT].to_list() == [None, None]


def test_a_nul_byte_is_a_fault_of_its_row(tmp_path: Path) -> None:
    frame = whole(opened(written(tmp_path, b'{"a":1}\n{"a":"\0"}\n\0\n{"a":2}\n')))
    assert frame[FAULT].to_list() == [None, "row_nul", "row_nul", None]


def test_invalid_utf_8_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"x\.ndjson:3: is not valid UTF-8"):
        opened(written(tmp_path, b'{"a":1}\n\n{"a":"\xff"}\n'))


NOT_NDJSON = {
    "a JSON list that is cut": (b'[{"a": "secret"}, {"a"', "entry 2: its JSON list is not closed", "export it again"),
    "two JSON lists": (b'[{"a": "secret"}]\n[{"a": 2}]', "its JSON list has ended, and something follows", "one list"),
    "an object over lines": (
        b'{\n  "a": "secret"\n}\n',
        ":1: begins a JSON object of several lines",
        "one object a line",
    ),
    "objects over lines": (b'{"a": "secret",\n"b": 1}\n', ":1: begins a JSON object of several lines", "one object"),
    "CSV": (b"secret,b\n1,2\n", ":1: is no JSON object, nor are the lines after it", "NDJSON"),
    "empty": (b"", ": has no row that has a key", "again"),
    "blank": (b"\n\n", ": has no row that has a key", "again"),
    "empty objects": (b"{}\n{}\n", ": has no row that has a key", "again"),
    "Parquet": (b"PAR1\x15\x04", ": is a Parquet file, not NDJSON", "parquet:"),
    "a reserved column name": (b'{"_fault": "secret"}\n', "is named '_fault'", "rename"),
    "a quote in a key": (b'{"a\\"secret": 1}\n', "a key has a quote", "rename"),
    "gzip of nothing": (gzip.compress(b""), "holds no text", "export it again"),
}


@pytest.mark.parametrize(("content", "what", "remedy"), NOT_NDJSON.values(), ids=NOT_NDJSON)
def test_a_file_that_is_no_ndjson_is_refused_without_showing_it(
    tmp_path: Path, content: bytes, what: str, remedy: str
) -> None:
    with pytest.raises(SourceError) as caught:
        opened(written(tmp_path, content))
    assert what in str(caught.value) and remedy in caught.value.remedy
    assert "secret" not in str(caught.value) + caught.value.remedy


def test_a_line_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"a":1}\n{"a":"' + b"x" * 200 + b'"}\n')
    with pytest.raises(SourceError, match=r"x\.ndjson:2: a row longer than") as caught:
        opened(path, limits=ChunkLimits(block_bytes=16, record_bytes=100))
    assert caught.value.remedy == "is this NDJSON?"


def test_too_many_different_keys_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, b"".join(b'{"k%d":1}\n' % number for number in range(MAX_COLUMNS + 1)))
    with pytest.raises(SourceError, match="more than 1,000 different keys"):
        opened(path, limits=ChunkLimits())


# ---------------------------------------------------------------- files

PACKED = {
    "gzip": (gzip.compress, {}),
    "zstd": (zstandard.compress, {}),
    "utf-16": (lambda data: data.decode().encode("utf-16"), {"encoding": "utf-16"}),
}


@pytest.mark.parametrize(("pack", "how"), PACKED.values(), ids=PACKED)
def test_a_compressed_file_has_the_same_rows(tmp_path: Path, pack: Any, how: dict[str, Any]) -> None:
    content = '{"a":"é"}\nx\n{"a":"ü"}\n'.encode()
    snapshot = opened(written(tmp_path, pack(content)), **how)
    assert whole(snapshot)["a"].to_list() == ["é", None, "ü"]
    assert snapshot.locate([2])[0][1] == 3


def test_rows_of_compressed_files_are_named_by_their_own_file(tmp_path: Path) -> None:
    """Their texts lie side by side in one copy."""
    for name in ("1.gz", "2.gz"):
        written(tmp_path, gzip.compress(lines("1") + b"oops\n"), name)
    snapshot = opened(tmp_path / "*.gz", limits=ChunkLimits())
    assert whole(snapshot)[FAULT].to_list() == [None, ROW_UNREADABLE] * 2
    assert snapshot.locate([3, 1]) == [(str(tmp_path / "2.gz"), 2), (str(tmp_path / "1.gz"), 2)]


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(lines(*["1"] * 20_000)))
    with pytest.raises(SourceError, match="like a decompression bomb"):
        opened(path, limits=ChunkLimits(bomb=BombLimits(bytes=1000, ratio=10)))


def test_files_are_read_in_order_and_agree_on_types(tmp_path: Path) -> None:
    written(tmp_path, lines("1", "x"), "1.ndjson")
    written(tmp_path, b"", "2.ndjson")
    written(tmp_path, lines('"y"') + b'{"b": 1.5}', "3.ndjson")
    snapshot = opened(tmp_path / "*.ndjson")
    assert whole(snapshot).drop(POSITION).rows() == [
        ("1", None, None),
        (None, None, ROW_UNREADABLE),
        ('"y"', None, None),
        (None, 1.5, None),
    ]
    assert [(Path(file.path).name, file.rows) for file in snapshot.files] == [
        ("1.ndjson", 2),
        ("2.ndjson", 0),
        ("3.ndjson", 2),
    ]
    assert snapshot.locate([3, 1]) == [(str(tmp_path / "3.ndjson"), 2), (str(tmp_path / "1.ndjson"), 2)]


def test_any_columns_can_be_read_from_any_row_on(tmp_path: Path) -> None:
    content = b"".join(b'{"a":%d,"b":"x%d"}\n' % (number, number) for number in range(50))
    snapshot = opened(written(tmp_path, content + b"oops\n"))
    for start in (0, 1, 17, 50):
        frame = whole(snapshot, ["b"], start)
        assert frame[POSITION].to_list() == list(range(start, 51))
        assert frame["b"].to_list() == [*(f"x{number}" for number in range(start, 50)), None]
    assert all(frame.height <= 3 for frame in snapshot.read(None, 0))
    with pytest.raises(SourceError, match="has no column 'nope'"):
        snapshot.read(["nope"], 0)


def test_the_fingerprint_is_over_the_content(tmp_path: Path) -> None:
    one = opened(written(tmp_path, lines("1"), "one"))
    assert opened(written(tmp_path, lines("1"), "two")).fingerprint == one.fingerprint
    assert opened(written(tmp_path, lines("2"), "two")).fingerprint != one.fingerprint
    packed = opened(written(tmp_path, gzip.compress(lines("1")), "three"))
    assert len(packed.files[0].sha256) == 64 and packed.fingerprint != one.fingerprint


def test_a_file_that_changes_underneath_stops_the_reading(tmp_path: Path) -> None:
    path = written(tmp_path, lines(*"123456789"))
    snapshot = opened(path)
    path.write_bytes(lines(*"987654321"))
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match="changed while it was being read"):
        whole(snapshot)


def test_the_reason_of_an_unreadable_line_names_what_valid_json_may_lack() -> None:
    words = REASONS[ROW_UNREADABLE].words
    assert not [case for case in ("beyond a float", "half a surrogate pair", "nested too deeply") if case not in words]
