"""The kinds of content by which suites of tests for CSV and JSON compare parsers, by the names that they have there.

CSV: those of csv-spectrum, and those that other suites add. JSON: the kinds of JSONTestSuite that matter for a line,
with its prefixes: `y_` must be read, `n_` must be refused, `i_` may be either, and what is done is written here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.errors import SourceError
from cio_etl.extract.text import ChunkLimits, open_csv, open_ndjson
from cio_etl.model import FAULT, POSITION, ROW_NUL, ROW_RAGGED, ROW_UNREADABLE, CsvSource, NdjsonSource

LIMITS = pytest.mark.parametrize(
    "limits", [ChunkLimits(chunk_rows=2, block_bytes=8), ChunkLimits()], ids=["small blocks", "one block"]
)


def at_most_1_000_blocks(limits: ChunkLimits, content: bytes) -> ChunkLimits:
    """The limits, with larger blocks for what would have 10,000: each takes 0.1 ms of CPU."""
    return replace(limits, block_bytes=max(limits.block_bytes, len(content) // 1_000))


Rows = list[tuple[Any, ...]]

CSV: dict[str, tuple[bytes, Rows]] = {
    "comma_in_quotes": (b'name,town\nAda,"Turin, Po"\n', [("Ada", "Turin, Po")]),
    "empty": (b'a,b,c\n1,"",""\n2,3,4\n', [("1", None, None), ("2", "3", "4")]),
    "empty_crlf": (b'a,b,c\r\n1,"",""\r\n2,3,4\r\n', [("1", None, None), ("2", "3", "4")]),
    "escaped_quotes": (b'a,b\n1,"she said ""ha"""\n2,""""\n', [("1", 'she said "ha"'), ("2", '"')]),
    "json": (b'key,doc\n1,"{""kind"": ""point"", ""at"": [7.5, 8]}"\n', [("1", '{"kind": "point", "at": [7.5, 8]}')]),
    "location_coordinates": (
        'id,place\n1,"45°03\'22.4""N 7°41\'09.1""E"\n'.encode(),
        [("1", "45°03'22.4\"N 7°41'09.1\"E")],
    ),
    "newlines": (b'a,b\n1,"first\nsecond"\n"x\n\ny",2\n', [("1", "first\nsecond"), ("x\n\ny", "2")]),
    "newlines_crlf": (b'a,b\r\n1,"first\r\nsecond"\r\n3,4\r\n', [("1", "first\r\nsecond"), ("3", "4")]),
    "quotes_and_newlines": (b'a,b\n1,"a ""q""\nand ""r"""\n', [("1", 'a "q"\nand "r"')]),
    "simple": (b"a,b,c\n1,2,3\n", [("1", "2", "3")]),
    "simple_crlf": (b"a,b,c\r\n1,2,3\r\n", [("1", "2", "3")]),
    "utf8": ("a,b\nß,漢字\n😀,é\n".encode(), [("ß", "漢字"), ("😀", "é")]),
    "byte_order_mark": (b'\xef\xbb\xbf"a",b\n1,2\n', [("1", "2")]),
    "blank_lines": (b"\na,b\n\n1,2\n\n", [("1", "2")]),
    "no_final_newline": (b"a,b\n1,2", [("1", "2")]),
    "no_final_newline_after_a_quote": (b'a,b\n1,"2"', [("1", "2")]),
    "only_a_header": (b"a,b\n", []),
    "mixed_line_ends": (b"a,b\r\n1,2\n3,4\r\n", [("1", "2"), ("3", "4")]),
    "spaces_around_fields": (b"a,b\n 1 , 2\t\n", [(" 1 ", " 2\t")]),
    "a_quoted_header": (b'"a, b","c ""d"""\n1,2\n', [("1", "2")]),
    "all_fields_empty": (b"a,b\n,\n", [(None, None)]),
    "one_column_of_empty_texts": (b'a\n""\nx\n', [(None,), ("x",)]),
    "a_field_of_separators": (b'a,b\n",,,",;\n', [(",,,", ";")]),
    "a_very_long_field": (b"a,b\n1," + b"x" * 100_000 + b"\n", [("1", "x" * 100_000)]),
    "many_columns": (
        ",".join(f"c{n}" for n in range(2_000)).encode() + b"\n" + b",".join([b"v"] * 2_000) + b"\n",
        [("v",) * 2_000],
    ),
    "leading_zeros_and_exponents": (b"a,b\n007,1e5\n+1,1_000\n", [("007", "1e5"), ("+1", "1_000")]),
    "backslashes": (b'a,b\n"c:\\d\\",\\"\n'[:-3] + b"\\n\n", [("c:\\d\\", "\\n")]),
    "a_formula": (b"a,b\n=1+1,@x\n", [("=1+1", "@x")]),
    "control_characters": (b"a,b\n\x01,\x7f\n", [("\x01", "\x7f")]),
}


def opened_csv(path: Path, limits: ChunkLimits) -> pl.DataFrame:
    snapshot = open_csv(CsvSource((str(path),)), path.parent / "stage", limits)
    empty = pl.DataFrame(schema={**snapshot.schema, POSITION: pl.Int64(), FAULT: pl.String()})
    return pl.concat([empty, *snapshot.read(None, 0)])


@LIMITS
@pytest.mark.parametrize(("content", "expected"), CSV.values(), ids=CSV)
def test_csv_is_read(tmp_path: Path, content: bytes, expected: Rows, limits: ChunkLimits) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    frame = opened_csv(tmp_path / "x.csv", at_most_1_000_blocks(limits, content))
    assert frame.drop(POSITION, FAULT).rows() == expected
    assert frame[FAULT].null_count() == len(expected)


REJECTED_CSV: dict[str, tuple[bytes, str]] = {
    "too_few_fields": (b"a,b\n1,2\n3\n4,5\n", ROW_RAGGED),
    "too_many_fields": (b"a,b\n1,2\n3,4,5\n4,5\n", ROW_RAGGED),
    "a_trailing_separator": (b"a,b\n1,2\n3,4,\n4,5\n", ROW_RAGGED),
    "nul": (b"a,b\n1,2\n3,\0\n4,5\n", ROW_NUL),
    "a_line_of_spaces": (b"a,b\n1,2\n  \n4,5\n", ROW_RAGGED),
}


@LIMITS
@pytest.mark.parametrize(("content", "reason"), REJECTED_CSV.values(), ids=REJECTED_CSV)
def test_a_csv_row_is_rejected(tmp_path: Path, content: bytes, reason: str, limits: ChunkLimits) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    frame = opened_csv(tmp_path / "x.csv", limits)
    assert frame.drop(POSITION).rows() == [("1", "2", None), (None, None, reason), ("4", "5", None)]


REFUSED_CSV: dict[str, tuple[bytes, str]] = {
    "quote_in_unquoted_field": (b'a,b\n1,2\n3,x"y\n', ":3: a quote stands in the middle of a field"),
    "text_after_a_quoted_field": (b'a,b\n1,2\n"3"x,y\n', ":3: the quote that opens here is closed in the middle"),
    "an_open_quote_at_the_end": (b'a,b\n1,"2\n', ":2: the quote that opens here"),
    "lone_cr": (b"a,b\r1,2\r", ":1: the line ends with CR only"),
    "invalid_utf8": (b"a,b\n1,\xff\n", ":2: is not valid UTF-8"),
    "a_repeated_column": (b"a,a\n1,2\n", ":1: columns 1 and 2 are all named 'a'"),
    "a_nameless_column": (b"a,\n1,2\n", ":1: the header has no name for column 2"),
    "no_content": (b"", ": the file is empty"),
}


@LIMITS
@pytest.mark.parametrize(("content", "what"), REFUSED_CSV.values(), ids=REFUSED_CSV)
def test_a_csv_file_is_refused(tmp_path: Path, content: bytes, what: str, limits: ChunkLimits) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        opened_csv(tmp_path / "x.csv", limits)
    assert f"x.csv{what}" in str(caught.value)


# ---------------------------------------------------------------- JSON

JSON: dict[str, str] = {  # a value that must be read
    "y_array_empty": "[]",
    "y_array_heterogeneous": '[null, 1, "1", {}]',
    "y_array_with_spaces": "[ 1\t,  2 ]",
    "y_number_0e1": "0e1",
    "y_number_double_close_to_zero": "-0.000000000000000000000000000000000000000000000000000000000001",
    "y_number_minus_zero": "-0",
    "y_number_real_capital_e_pos_exp": "1E+2",
    "y_number_real_fraction_exponent": "123.456e78",
    "y_object_empty_key_inside": '{"": 0}',
    "y_object_with_escaped_key": '{"a\\"b": 1}',
    "y_string_1_2_3_bytes_UTF8": '"\\u0060\\u012a\\u12AB"',
    "y_string_accepted_surrogate_pair": '"\\uD801\\udc37"',
    "y_string_allowed_escapes": '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    "y_string_backslash_and_u_escaped_zero": '"\\\\u0000"',
    "y_string_double_escape_a": '"\\\\a"',
    "y_string_in_array_with_leading_space": '[ "x"]',
    "y_string_noncharacter": '"\uffff\\uFDD0"',
    "y_string_u2028_line_sep": '"\u2028\u2029"',
    "y_string_unicode_del": '"\x7f"',
    "y_string_empty": '""',
    "y_structure_lonely_true": "true",
    "y_string_utf8": '"€𝄞"',
    "i_number_huge_int_of_64_bits": "18446744073709551616",
    "i_number_double_many_digits": "0.1234567890123456789012345",
    "i_number_real_underflow": "123e-10000000",
}

NO_JSON: dict[str, bytes] = {  # a line that is rejected
    "n_array_comma_after_close": b'{"a": [""],}',
    "n_array_extra_comma": b'{"a": ["",]}',
    "n_array_just_minus": b'{"a": [-]}',
    "n_array_unclosed": b'{"a": [1}',
    "n_incomplete_false": b'{"a": fals}',
    "n_number_plus_1": b'{"a": +1}',
    "n_number_leading_zero": b'{"a": 012}',
    "n_number_minus_01": b'{"a": -01}',
    "n_number_dot_5": b'{"a": .5}',
    "n_number_2.e3": b'{"a": 2.e3}',
    "n_number_hex_1_digit": b'{"a": 0x1}',
    "n_number_NaN": b'{"a": NaN}',
    "n_number_Infinity": b'{"a": Infinity}',
    "n_number_1_000": b'{"a": 1 000}',
    "n_object_bad_value": b'{"a": truth}',
    "n_object_missing_colon": b'{"a" 1}',
    "n_object_non_string_key": b"{1: 1}",
    "n_object_single_quote": b"{'a': 0}",
    "n_object_trailing_comma": b'{"a": 0,}',
    "n_object_trailing_comment": b'{"a": 0}/**/',
    "n_object_two_commas_in_a_row": b'{"a": 0,,"b": 1}',
    "n_object_unquoted_key": b'{a: "b"}',
    "n_object_with_trailing_garbage": b'{"a": 0}#',
    "n_string_1_surrogate_then_escape": b'{"a": "\\uD800\\"}',
    "n_string_escape_x": b'{"a": "\\x00"}',
    "n_string_escaped_ctrl_char_tab": b'{"a": "\\\t"}',
    "n_string_incomplete_escape": b'{"a": "\\"}',
    "n_string_invalid_unicode_escape": b'{"a": "\\uqqqq"}',
    "n_string_unescaped_tab": b'{"a": "\t"}',
    "n_string_with_trailing_garbage": b'{"a": ""x}',
    "n_structure_double_array": b"[][]",
    "n_structure_null": b"null",
    "n_structure_number": b"5",
    "n_structure_open_object": b"{",
    "n_structure_open_array_object": b'{"a":' * 500,
    "n_structure_100000_opening_arrays": b'{"a": ' + b"[" * 100_000,
    "n_structure_unclosed_string": b'{"a": "asd',
    "n_structure_UTF8_BOM_in_the_middle": b'\xef\xbb\xbf{"a": 1}',
    "i_number_very_big_negative_int": b'{"a": -237462374673276894279832749832423479823}',
    "i_number_huge_exp": b'{"a": 0.4e00669999999999999999999999999999999999999999999999999999999}',
    "i_number_pos_double_huge_exp": b'{"a": 1.5e+9999}',
    "i_object_key_lone_2nd_surrogate": b'{"\\uDFAA": 0}',
    "i_string_1st_surrogate_but_2nd_missing": b'{"a": "\\uDADA"}',
    "i_string_inverted_surrogates": b'{"a": "\\uDd1e\\uD834"}',
    "i_structure_500_nested_arrays": b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}",
}


def opened_ndjson(path: Path, limits: ChunkLimits) -> tuple[pl.DataFrame, frozenset[str]]:
    snapshot = open_ndjson(NdjsonSource((str(path),)), path.parent / "stage", limits)
    return pl.concat(snapshot.read(["k", "a"], 0)), snapshot.json


@LIMITS
@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_json_is_read(tmp_path: Path, text: str, limits: ChunkLimits) -> None:
    lines = ['{"k": 1, "a": null}', f'{{"k": 2, "a": {text}}}', '{"k": 3}']
    (tmp_path / "x.ndjson").write_text("\n".join(lines))
    frame, as_json = opened_ndjson(tmp_path / "x.ndjson", limits)
    assert frame["k"].to_list() == [1, 2, 3] and frame[FAULT].null_count() == 3
    value, expected = frame["a"][1], json.loads(text)
    assert (json.loads(value) if "a" in as_json else value) == expected
    assert frame["a"].null_count() == 2


@LIMITS
@pytest.mark.parametrize("line", NO_JSON.values(), ids=NO_JSON)
def test_a_line_that_is_no_json_is_rejected(tmp_path: Path, line: bytes, limits: ChunkLimits) -> None:
    (tmp_path / "x.ndjson").write_bytes(b'{"k": 1, "a": 7}\n' + line + b'\n{"k": 3}\n')
    frame, _ = opened_ndjson(tmp_path / "x.ndjson", at_most_1_000_blocks(limits, line))
    assert frame[FAULT].to_list() == [None, ROW_UNREADABLE, None]
    assert frame["k"].to_list() == [1, None, 3] and frame["a"].to_list() == [7, None, None]


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b'{\n  "a": 1,\n  "b": 2\n}\n', ":1: begins a JSON object of several lines", "jq -c ."),
        (b'\n{"a": [\n1]}\n', ":2: begins a JSON object of several lines", "jq -c ."),
        (b"a,b\n1,2\n", ":1: is no JSON object", "write `csv:` before its path"),
    ],
)
def test_another_form_of_json_is_refused_with_its_remedy(
    tmp_path: Path, content: bytes, what: str, remedy: str
) -> None:
    (tmp_path / "x.ndjson").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        opened_ndjson(tmp_path / "x.ndjson", ChunkLimits())
    assert f"x.ndjson{what}" in str(caught.value) and remedy in caught.value.remedy


def test_a_line_over_the_limit_is_refused_with_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    with path.open("wb") as file:
        file.write(b'{"k": 1}\n{"k": "' + b"x" * 8_192)
        file.truncate(2 << 30)  # 2 GB that take no room on the disk
    with pytest.raises(SourceError, match=r"x\.ndjson:2: a row longer than 1 MB begins here"):
        opened_ndjson(path, ChunkLimits(block_bytes=1 << 18, record_bytes=1 << 20))
