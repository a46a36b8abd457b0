"""CSV files become exactly their rows, or an error that names the line."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError, StateError
from cio_etl.extract import open_source
from cio_etl.extract.text.csv_files import ChunkLimits, open_csv
from cio_etl.extract.text.plain_text import BombLimits
from cio_etl.model import FAULT, POSITION, CsvSource, Snapshot, Staging

SMALL = ChunkLimits(chunk_rows=3, block_bytes=16)


def opened(*paths: Path, limits: ChunkLimits = SMALL, **how: Any) -> Snapshot:
    stage = paths[0].parent / "stage"
    return open_csv(CsvSource(tuple(str(path) for path in paths), **how), stage, limits)


def written(folder: Path, content: bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def whole(snapshot: Snapshot, columns: Sequence[str] | None = None, start: int = 0) -> pl.DataFrame:
    frames = list(snapshot.read(columns, start))
    return pl.concat(frames) if frames else pl.DataFrame()


def values(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return whole(snapshot).drop(POSITION, FAULT).rows() if snapshot.rows else []


# ---------------------------------------------------------------- what is read

READ = {
    "text stays text": (b"a,b\n00123,1e3\nNaN,99999999999999999999\n", {}, [("00123", "1e3"), ("NaN", "9" * 20)]),
    "the last line end may be missing": (b"a,b\n1,2", {}, [("1", "2")]),
    "a last empty field may end the file": (b"a,b\n1,", {}, [("1", None)]),
    "LF and CRLF may be mixed": (b"a,b\r\n1,2\n3,4\r\n", {}, [("1", "2"), ("3", "4")]),
    "blank lines are no rows": (b"\r\na,b\n\n1,2\n\r\n\n3,4\n\n", {}, [("1", "2"), ("3", "4")]),
    "a byte-order mark is no part of a name": (b"\xef\xbb\xbfa,b\n1,2\n", {}, [("1", "2")]),
    "quoted fields hold separators, quotes, line ends": (
        b'a,b\n"1,2","say ""hi"""\n"x\r\ny\rz",\n',
        {},
        [("1,2", 'say "hi"'), ("x\r\ny\rz", None)],
    ),
    "spaces belong to the field": (b"a,b\n 1 ,  \n", {}, [(" 1 ", "  ")]),
    "an empty field is null, quoted or not": (b'a,b\n,""\n', {}, [(None, None)]),
    "an empty field is empty text where null_values leave it out": (
        b'a,b\n,""\nNULL,"NULL"\n',
        {"null_values": ("NULL",)},
        [("", ""), (None, None)],
    ),
    "any of several texts is null": (
        b"a,b\n-,NULL\nx,\n",
        {"null_values": ("", "NULL", "-")},
        [(None, None), ("x", None)],
    ),
    "a text with a quote is null": (
        b'a,b\n"x""y",1\n"x","NULL"\n',
        {"null_values": ('x"y', "NULL")},
        [(None, "1"), ("x", None)],
    ),
    "nothing is null": (b"a,b\n,NULL\n", {"null_values": ()}, [("", "NULL")]),
    "another separator": (b"a;b\n1,5;2\n", {"separator": ";"}, [("1,5", "2")]),
    "tabs": (b"a\tb\n1\t2\n", {"separator": "\t"}, [("1", "2")]),
    "another quote": (b"a,b\n'1,2',\"\n", {"quote": "'"}, [("1,2", '"')]),
    "no quotes at all": (b'a,b\n5" pipe,"x\n', {"quote": None}, [('5" pipe', '"x')]),
    "one column": (b'a\nx\n""\n"\n"\n', {}, [("x",), (None,), ("\n",)]),
    "one column with a comma in quotes": (b'a\n"x,y"\n', {}, [("x,y",)]),
    "a comma in a name": (b'"Last; First; Middle",b\n1,2\n', {}, [("1", "2")]),
    "a record that begins like compressed data": (b"a,b\nx\x01,2\n", {}, [("x\x01", "2")]),
    "control characters": (b"a,b\n\x1b[31m,\x07\n", {}, [("\x1b[31m", "\x07")]),
    "latin-1": ("a,b\né,ß\n".encode("latin-1"), {"encoding": "latin-1"}, [("é", "ß")]),
    "cp1252": ("a,b\n€,ß\n".encode("cp1252"), {"encoding": "windows-1252"}, [("€", "ß")]),
    "utf-16": ("a,b\né,😀\n".encode("utf-16"), {"encoding": "utf-16"}, [("é", "😀")]),
    "utf-16-be": ("a,b\né,😀\n".encode("utf-16-be"), {"encoding": "UTF-16BE"}, [("é", "😀")]),
    "utf-8-sig": (b"\xef\xbb\xbfa,b\n1,2\n", {"encoding": "utf-8-sig"}, [("1", "2")]),
    "gzip": (gzip.compress(b"a,b\n1,2\n"), {}, [("1", "2")]),
    "gzip in two members": (gzip.compress(b"a,b\n1,") + gzip.compress(b"2\n"), {}, [("1", "2")]),
    "zstd": (zstandard.compress(b"a,b\n1,2\n"), {}, [("1", "2")]),
    "gzip of utf-16": (gzip.compress("a,b\n1,é\n".encode("utf-16")), {"encoding": "utf-16"}, [("1", "é")]),
    "gzip of text with a byte-order mark": (gzip.compress(b"\xef\xbb\xbfa,b\n1,2\n"), {}, [("1", "2")]),
    "header only": (b"a,b\n", {}, []),
    "header only, without a line end": (b"a,b", {}, []),
}


def test_a_frame_is_in_one_piece(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b\n" + b"".join(b"%d,x\n" % row for row in range(60_000)))
    assert {frame.n_chunks() for frame in opened(path, limits=ChunkLimits()).read(None, 0)} == {1}


@pytest.mark.fault("S8", "S9", "S12", "S13", "S14", "S15")
@pytest.mark.parametrize(("content", "how", "expected"), READ.values(), ids=READ.keys())
@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["small blocks", "one block"])
def test_a_file_becomes_exactly_its_rows(
    tmp_path: Path, content: bytes, how: dict[str, Any], expected: list[tuple[Any, ...]], limits: ChunkLimits
) -> None:
    snapshot = opened(written(tmp_path, content), limits=limits, **how)
    assert values(snapshot) == expected
    assert snapshot.rows == len(expected)
    assert all(dtype == pl.String for dtype in snapshot.schema.values())


# ---------------------------------------------------------------- what is refused


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
    return buffer.getvalue()


# content, settings, place after the path, what, remedy
REFUSED = {
    "empty": (b"", {}, "", "the file is empty", "header line"),
    "only blank lines": (b"\n\r\n\n", {}, "", "only blank lines", "header line"),
    "only a byte-order mark": (b"\xef\xbb\xbf", {}, "", "only blank lines", "header line"),
    "two columns of one name": (b"id,x,id\n", {}, ":1", "columns 1 and 3 are all named 'id'", "own name"),
    "a column without a name": (b"\na,,b\n", {}, ":2", "no name for column 2", "separator at the end"),
    "two columns without a name": (b"a, ,b,\n", {}, ":1", "no name for column 2 and 4", "separator at the end"),
    "a reserved name": (b"a,_position\n", {}, ":1", "column 2 is named '_position'", "rename"),
    "semicolons": (b"a;b\n1;2\n", {}, ":1", "has 1 column; its separator seems to be", 'separator: ";"'),
    "tabs": (b"a\tb\n", {}, ":1", 'seems to be "\\t", not ","', 'separator: "\\t"'),
    "pipes": (b"a|b|c\n", {"separator": ";"}, ":1", 'seems to be "|"', 'separator: "|"'),
    "commas": (b"a,b\n", {"separator": ";"}, ":1", 'seems to be ",", not ";"', 'separator: ","'),
    "an unclosed quote, then sound rows": (
        b'a,b\n1,2\n3,"x\n5,6\n7,8\n',
        {},
        ":3",
        "the quote that opens here",
        "close it",
    ),
    "an unclosed quote, then quoted rows": (
        b'a,b\n1,"x\n2,"y"\n3,"z"\n',
        {},
        ":2",
        "the quote that opens here",
        "double",
    ),
    "text after a closing quote": (b'a,b\n"1"x,2\n', {}, ":2", "closed in the middle of a field", "double the quotes"),
    "text after a field of several lines": (
        b'a,b\n1,"\n""\n"x\n',
        {},
        ":2",
        "closed in the middle of a field",
        "double",
    ),
    "a quote in an unquoted field": (
        b'a,b\n1,2\n5" pipe,2\n',
        {},
        ":3",
        "stands in the middle of a field",
        "quote: null",
    ),
    "a quote after a space": (b'a,b\n1, "2"\n', {}, ":2", "stands in the middle of a field", "quote: null"),
    "lines that end with CR": (b"a,b\r1,2\r3,4\r", {}, ":1", "ends with CR only", "LF or CRLF"),
    "one line that ends with CR": (b"a,b\n1,2\r3,4\n", {}, ":2", "ends with CR only", "LF or CRLF"),
    "a CR at the very end": (b"a,b\n1,2\r", {}, ":2", "ends with CR only", "LF or CRLF"),
    "latin-1 undeclared": ("a,b\n1,2\nné,x\n".encode("latin-1"), {}, ":3", "not valid UTF-8", "encoding: cp1252"),
    "a cut character at the end": (b"a,b\n1,\xc3", {}, ":2", "not valid UTF-8", "encoding"),
    "utf-16 undeclared": ("a,b\n".encode("utf-16"), {}, "", "byte-order mark of utf-16", "encoding: utf-16"),
    "utf-16 without a mark": ("a,b\n".encode("utf-16-le"), {}, "", "looks like UTF-16", "utf-16-le"),
    "utf-16 declared without order": (b"a\0,\0", {"encoding": "utf-16"}, "", "no byte-order mark", "utf-16-le"),
    "utf-8 declared as latin-1": (b"\xef\xbb\xbfa", {"encoding": "latin-1"}, "", "mark of utf-8", "encoding: utf-8"),
    "ascii is not": (
        "a,b\n1,é\n".encode(),
        {"encoding": "ascii"},
        ":2",
        "is not valid ascii",
        "encoding that the file has",
    ),
    "an unknown encoding": (b"a,b\n", {"encoding": "klingon"}, None, "not the name of a text encoding", "utf-16"),
    "an encoding that is no text": (
        b"a,b\n",
        {"encoding": "rot13"},
        None,
        "not the name of a text encoding",
        "latin-1",
    ),
    "two separators": (b"a,b\n", {"separator": "||"}, None, "`separator:` is not one character", "one ASCII character"),
    "a letter of two bytes as quote": (b"a,b\n", {"quote": "é"}, None, "`quote:` is not one character", "one ASCII"),
    "quote and separator alike": (b"a,b\n", {"quote": ","}, None, "also its `separator:`", "two characters"),
    "a header with NUL": (b"a,b\0cdefghijkl\n1,2\n", {}, ":1", "NUL bytes", "UTF-8"),
    "zip": (zipped(), {}, "", "is a zip archive", "unpack it"),
    "parquet": (b"PAR1\x15\x04", {}, "", "is a Parquet file", "parquet:"),
    "a SQLite database": (b"SQLite format 3\0" + bytes(99), {}, "", "is a SQLite database", "sql: sqlite:///"),
    "an Arrow file": (b"ARROW1\0\0", {}, "", "is an Arrow file", "Parquet"),
    "JSON lines": (b'{"a": 1}\n{"a": 2}\n', {}, "", "is JSON, not CSV", "ndjson:"),
    "a JSON list": (b'\n[\n  {"a": "x"},\n {}]', {}, "", "is JSON, not CSV", "write `ndjson:` before its path"),
    "a JSON object of several lines": (b'{\n  "a": "x"\n}\n', {}, "", "is JSON, not CSV", "jq -c ."),
    "another separator by sep=": (b"sep=;\na;b\n", {}, ":1", 'says that the separator is ";"', 'separator: ";"'),
    "too few lines to skip": (b"a\nb", {"skip_lines": 2}, ":2", "has no 2 lines", "above the header"),
    "xz": (b"\xfd7zXZ\x00\x00", {}, "", "compressed with xz", "gzip or zstd"),
    "tar in gzip": (gzip.compress(b"a" * 257 + b"ustar"), {}, "", "is a tar archive", "unpack"),
    "gzip in gzip": (gzip.compress(gzip.compress(b"a,b\n")), {}, "", "compressed twice", "once"),
    "gzip of nothing": (gzip.compress(b""), {}, "", "holds no text", "header line"),
    "gzip cut short": (gzip.compress(b"a,b\n1,2\n" * 99)[:-9], {}, "", "gzip data is damaged or cut short", "again"),
    "gzip with a wrong checksum": (gzip.compress(b"a,b\n")[:-8] + b"12345678", {}, "", "damaged", "again"),
    "zstd cut short": (zstandard.compress(os.urandom(99))[:-9], {}, "", "zstd data is damaged or cut short", "again"),
}


@pytest.mark.fault("S6", "S8", "S9", "S10", "S11", "S14", "S15")
@pytest.mark.parametrize(("content", "how", "place", "what", "remedy"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["small blocks", "one block"])
def test_a_malformed_file_is_refused_by_line(
    tmp_path: Path, content: bytes, how: dict[str, Any], place: str | None, what: str, remedy: str, limits: ChunkLimits
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SourceError) as caught:
        opened(path, limits=limits, **how)
    assert caught.value.facts["place"] == ("source" if place is None else f"{path}{place}")
    assert what in str(caught.value)
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 65


@pytest.mark.fault("S11")
def test_a_wrong_separator_that_also_divides_the_header_is_reported_at_the_first_row(tmp_path: Path) -> None:
    path = written(tmp_path, b"id;price, EUR;c\n1;2;3\n")
    with pytest.raises(SourceError, match=r"x\.csv:1: the header line has 2 columns") as caught:
        opened(path, limits=ChunkLimits())
    assert 'separator: ";"' in caught.value.remedy
    path = written(tmp_path, b"id,a;b;c\n1,2\n")
    assert values(opened(path, limits=ChunkLimits())) == [("1", "2")]


@pytest.mark.fault("S6")
def test_an_unclosed_quote_is_reported_before_the_whole_file_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, b'a,b\n1,2\n3,"x\n' + b"4,5\n" * 100)
    with pytest.raises(SourceError, match=r"x\.csv:3: the quote that opens here is not closed"):
        opened(path, limits=ChunkLimits(block_bytes=16, record_bytes=50))


@pytest.mark.fault("P7")
def test_a_row_over_the_limit_is_refused_by_line(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b\n1,2\n3," + b"x" * 100 + b"\n")
    with pytest.raises(SourceError, match=r"x\.csv:3: a row longer than"):
        opened(path, limits=ChunkLimits(block_bytes=16, record_bytes=50))
    assert opened(path, limits=ChunkLimits(block_bytes=16, record_bytes=200)).rows == 2


@pytest.mark.fault("S16")
@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_decompression_bomb_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = written(tmp_path, pack(b"a,b\n" + b"1,2\n" * (1 << 20)))
    with pytest.raises(SourceError, match="unpacks to more than 100 times its size"):
        opened(path, limits=ChunkLimits(bomb=BombLimits(bytes=1 << 20, ratio=100)))
    assert opened(path, limits=ChunkLimits(bomb=BombLimits(bytes=1 << 30, ratio=100))).rows == 1 << 20
    assert opened(path, limits=ChunkLimits(bomb=BombLimits(bytes=1 << 20, ratio=100_000))).rows == 1 << 20


def test_no_error_shows_a_value(tmp_path: Path) -> None:
    secret = "canary-7731"
    for content in (f'a,b\n1,"{secret}', f'a,b\n{secret}"x",2\n', f"a,b\n{secret}\r", f"a,b\n{secret}é\n"):
        with pytest.raises(SourceError) as caught:
            opened(written(tmp_path, content.encode("latin-1")))
        assert secret not in f"{caught.value!r} {caught.value.remedy}"


# ---------------------------------------------------------------- rows with a fault


@pytest.mark.fault("S5", "S7", "S12")
@pytest.mark.parametrize("limits", [SMALL, ChunkLimits()], ids=["small blocks", "one block"])
def test_rows_that_cannot_be_read_keep_their_place(tmp_path: Path, limits: ChunkLimits) -> None:
    path = written(tmp_path, b'a,b\n1,2\n3\n\n4,5,6\n"7\n",8\nx\0,9\n\0\n10,11\n')
    snapshot = opened(path, limits=limits)
    assert whole(snapshot).rows() == [
        ("1", "2", 0, None),
        (None, None, 1, "row_ragged"),
        (None, None, 2, "row_ragged"),
        ("7\n", "8", 3, None),
        (None, None, 4, "row_nul"),
        (None, None, 5, "row_nul"),
        ("10", "11", 6, None),
    ]
    assert snapshot.rows == 7
    assert snapshot.locate(range(7)) == [(str(path), line) for line in (2, 3, 5, 6, 8, 9, 10)]


@pytest.mark.fault("S5")
def test_a_file_of_faults_only_is_read(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, b"a,b\n1\n2\n3,4,5\n6\n"))
    assert whole(snapshot, ["b"])[FAULT].to_list() == ["row_ragged"] * 4
    assert whole(snapshot, ["b"])["b"].null_count() == 4


# ---------------------------------------------------------------- reading by columns and from a position


def test_columns_are_in_the_wanted_order(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, b"a,b,c\n1,2,3\n4,5,6\n"))
    assert whole(snapshot, ["c", "a", "c"]).columns == ["c", "a", POSITION, FAULT]
    assert whole(snapshot, ["c", "a"]).drop(POSITION, FAULT).rows() == [("3", "1"), ("6", "4")]
    assert whole(snapshot, []).rows() == [(0, None), (1, None)]


def test_a_missing_column_is_refused_before_reading(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, b"a,b\n1,2\n"))
    with pytest.raises(SourceError, match=r"x\.csv: has no column 'nope'") as caught:
        snapshot.read(["a", "nope"], 0)
    assert caught.value.remedy == "its columns are a, b"


def test_frames_have_the_declared_types_and_at_most_chunk_rows(tmp_path: Path) -> None:
    path = written(tmp_path, b"a,b\n" + b"1,2\n" * 100 + b"3\n")
    snapshot = open_source(CsvSource((str(path),)), Staging(tmp_path / "stage"), chunk_rows=10)
    expected = {"a": pl.String(), "b": pl.String(), POSITION: pl.Int64(), FAULT: pl.String()}
    frames = list(snapshot.read(None, 0))
    assert all(frame.schema == expected and 0 < frame.height <= 10 for frame in frames)
    assert pl.concat(frames)[POSITION].to_list() == list(range(101))


def test_a_position_past_the_end_gives_no_frame(tmp_path: Path) -> None:
    snapshot = opened(written(tmp_path, b"a,b\n1,2\n"))
    assert list(snapshot.read(None, 1)) == []
    assert list(snapshot.read(None, 99)) == []
    with pytest.raises(IndexError, match="no row has position 1"):
        snapshot.locate([1])


# ---------------------------------------------------------------- several files


def test_files_of_a_glob_are_read_in_sorted_order_each_once(tmp_path: Path) -> None:
    for name, row in (("b.csv", b"2"), ("a.csv", b"1"), ("c[1].csv", b"3")):
        written(tmp_path, b"k\n" + row + b"\n", name)
    paths = (str(tmp_path / "c[1].csv"), str(tmp_path / "*.csv"), str(tmp_path / "." / "a.csv"))
    snapshot = open_source(CsvSource(paths), Staging(tmp_path / "stage"))
    assert values(snapshot) == [("1",), ("2",), ("3",)]
    assert [Path(file.path).name for file in snapshot.files] == ["a.csv", "b.csv", "c[1].csv"]
    assert snapshot.locate([2, 0]) == [(str(tmp_path / "c[1].csv"), 2), (str(tmp_path / "a.csv"), 2)]


def test_compressed_and_plain_files_may_be_mixed(tmp_path: Path) -> None:
    files = [
        written(tmp_path, b"a,b\n1,2\n3\n", "1.csv"),
        written(tmp_path, gzip.compress(b'a,b\n4,5\n"6\n",7\n'), "2.csv"),
        written(tmp_path, b"a,b\n", "3.csv"),
        written(tmp_path, zstandard.compress(b"\xef\xbb\xbfa,b\n8,9\n"), "4.csv"),
    ]
    snapshot = opened(*files)
    assert values(snapshot) == [("1", "2"), (None, None), ("4", "5"), ("6\n", "7"), ("8", "9")]
    assert [file.rows for file in snapshot.files] == [2, 2, 0, 1]
    assert snapshot.locate([3, 4]) == [(str(files[1]), 3), (str(files[3]), 2)]
    assert values(snapshot) == values(snapshot)


def nothing_there(folder: Path) -> Path:
    return folder / "absent.csv"


def a_folder(folder: Path) -> Path:
    (folder / "sub").mkdir()
    return folder / "sub"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (nothing_there, "cannot be read: No such file or directory"),
        (lambda folder: folder / "*.csv", "no file matches"),
        (a_folder, "is a folder, not a file"),
        (a_pipe, "is a pipe or device"),
        (lambda folder: Path("/dev/null"), "is a pipe or device"),
    ],
)
def test_a_path_that_is_no_local_file_is_refused(tmp_path: Path, make: Callable[[Path], Path], what: str) -> None:
    with pytest.raises(SourceError, match=what):
        open_source(CsvSource((str(make(tmp_path)),)), Staging(tmp_path / "stage"))


@pytest.mark.parametrize("path", ["ftp://lake/x.csv", "file:///x.csv", "hdfs://lake/*.csv"])
def test_an_address_of_an_unknown_scheme_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceError, match=re.escape(f"{path}: nothing here reads {path[: path.index(':')]}://")):
        open_source(CsvSource((path,)), Staging(tmp_path))


# ---------------------------------------------------------------- the same file, before and after


@pytest.mark.fault("S1")
def test_the_fingerprint_is_over_original_content_and_settings(tmp_path: Path) -> None:
    def printed(content: bytes, name: str = "x.csv", **how: Any) -> str:
        return opened(written(tmp_path, content, name), **how).fingerprint

    plain = printed(b"a,b\n1,2\n")
    assert printed(b"a,b\n1,2\n", "moved.csv") == plain
    assert printed(b"a,b\n1,2\n", limits=ChunkLimits()) == plain
    others = [
        printed(b"a,b\n1,3\n"),
        printed(b"a,b\n1,2\n3,4\n"),
        printed(b"\xef\xbb\xbfa,b\n1,2\n"),
        printed(gzip.compress(b"a,b\n1,2\n", mtime=0)),
        printed(b"a,b\n1,2\n", encoding="latin-1"),
        printed(b"a,b\n1,2\n", quote=None),
        printed(b"a,b\n1,2\n", null_values=("", "2")),
    ]
    assert len({plain, *others}) == 8


def rewritten_with_its_time_put_back(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"a,b\n9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"9,9\n")


def truncated(path: Path) -> None:
    os.truncate(path, 100)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"b,a\n")


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(0, 0))
    other.rename(path)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.fault("S2")
@pytest.mark.parametrize(
    "change", [appended, truncated, overwritten, rewritten_with_its_time_put_back, replaced, removed]
)
def test_a_file_that_changes_while_it_is_read_stops_the_reading(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = written(tmp_path, b"a,b\n" + b"1,2\n" * 100)
    os.utime(path, ns=(0, 0))
    snapshot = opened(path)
    frames = snapshot.read(None, 0)
    next(frames)
    change(path)
    with pytest.raises(SourceError, match=r"x\.csv: (changed while it was being read|cannot be read)"):
        next(frames)
    with pytest.raises(SourceError):
        next(snapshot.read(None, 0))
    with pytest.raises(SourceError):
        snapshot.locate([0])


def test_a_converted_copy_is_private_and_removed_at_the_end(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b"a,b\n1,2\n"))
    snapshot = opened(path)
    stage = tmp_path / "stage"
    assert stat.S_IMODE(stage.stat().st_mode) == 0o700
    assert list(stage.iterdir()) == []
    path.unlink()
    assert values(snapshot) == [("1", "2")]


def test_plain_files_need_no_stage(tmp_path: Path) -> None:
    opened(written(tmp_path, b"a,b\n1,2\n"))
    assert not (tmp_path / "stage").exists()


def test_a_stage_that_cannot_be_written_is_this_machines_fault(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(b"a,b\n1,2\n"))
    (tmp_path / "stage").write_text("in the way")
    with pytest.raises(StateError, match="stage: cannot hold the copy of a source file: File exists"):
        opened(path)


# ---------------------------------------------------------------- properties

AWKWARD = st.text(
    st.sampled_from(list("\",;\n\r\t '\\aé€😀\ufeff\x01\x1f")) | st.characters(exclude_characters="\0", codec="utf-8"),
    max_size=12,
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    return draw(st.lists(st.lists(AWKWARD, min_size=width, max_size=width), min_size=1, max_size=25))


@settings(max_examples=150, deadline=None)
@given(
    rows=tables(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    separator=st.sampled_from(",;\t"),
    limits=st.builds(ChunkLimits, chunk_rows=st.integers(1, 6), block_bytes=st.integers(1, 60)),
    start=st.integers(0, 26),
)
def test_whatever_is_written_reads_back_exactly_from_any_position(
    rows: list[list[str]], quoting: Any, separator: str, limits: ChunkLimits, start: int
) -> None:
    assume(not any(row[0].startswith("\x1a") for row in rows))  # such a row is rejected: the end of a file of DOS
    header = [f"c{number}" for number in range(len(rows[0]))]
    buffer, lines = io.StringIO(newline=""), []
    writer = csv.writer(buffer, delimiter=separator, quoting=quoting)  # CRLF: so that a CR in a field is quoted
    writer.writerow(header)
    for row in rows:
        lines.append(1 + buffer.getvalue().count("\n"))
        writer.writerow(row)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), buffer.getvalue().encode())
        snapshot = opened(path, limits=limits, separator=separator, null_values=())
        assert snapshot.rows == len(rows)
        assert values(snapshot) == [tuple(row) for row in rows]
        assert snapshot.locate(range(len(rows))) == [(str(path), line) for line in lines]
        rest = whole(snapshot, None, start)
        assert rest.rows() == [(*row, number, None) for number, row in enumerate(rows)][start:]
        assert all(frame.height <= limits.chunk_rows for frame in snapshot.read(None, start))


@pytest.mark.fault("S6")
@settings(max_examples=300, deadline=None)
@given(
    text=st.text(st.sampled_from('a,"\n\r'), max_size=14),
    limits=st.builds(ChunkLimits, chunk_rows=st.integers(1, 3), block_bytes=st.integers(1, 12)),
)
def test_accepted_rows_are_those_that_the_standard_library_reads(text: str, limits: ChunkLimits) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), b"x,y\n" + text.encode())
        try:
            read = [row[:2] for row in whole(opened(path, limits=limits, null_values=())).rows()]
        except SourceError:
            return
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    assert read == [tuple(row) if len(row) == 2 else (None, None) for row in rows]


LINES = st.sampled_from([b"1,2", b"1", b"1,2,3", b"", b"\0,2", b'"x\n",""', b",", b"\xc3\xa9,2", b'"""",2'])


@pytest.mark.fault("S5", "S7", "S12")
@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n"])), max_size=30),
    limits=st.builds(ChunkLimits, chunk_rows=st.integers(1, 6), block_bytes=st.integers(1, 40)),
    start=st.integers(0, 30),
)
def test_faults_and_blank_lines_change_no_position(
    lines: list[tuple[bytes, bytes]], limits: ChunkLimits, start: int
) -> None:
    sound = {
        b"1,2": ("1", "2"),
        b'"x\n",""': ("x\n", None),
        b",": (None, None),
        b"\xc3\xa9,2": ("é", "2"),
        b'"""",2': ('"', "2"),
    }
    expected: list[tuple[Any, ...]] = []
    places, line = [], 2
    for text, _ in lines:
        if text:
            fault = None if text in sound else "row_nul" if b"\0" in text else "row_ragged"
            expected.append((*sound.get(text, (None, None)), len(expected), fault))
            places.append(line)
        line += 1 + text.count(b"\n")
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), b"a,b_and_a_long_name_against_nul_counting\n" + b"".join(map(b"".join, lines)))
        snapshot = opened(path, limits=limits)
        assert snapshot.rows == len(expected)
        assert (whole(snapshot, None, start).rows() if start < len(expected) else []) == expected[start:]
        assert snapshot.locate(range(len(expected))) == [(str(path), place) for place in places]
