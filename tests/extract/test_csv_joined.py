"""Files that were put together, title lines and comments are no rows; files of one source may differ harmlessly."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.errors import SourceError
from cio_etl.extract.text.csv_files import ChunkLimits, open_csv
from cio_etl.model import FAULT, POSITION, ROW_HEADER, ROW_MARKED, ROW_RAGGED, CsvSource, Snapshot

LIMITS = pytest.mark.parametrize(
    "limits", [ChunkLimits(chunk_rows=3, block_bytes=16), ChunkLimits()], ids=["small blocks", "one block"]
)
MARK = b"\xef\xbb\xbf"


def opened(
    folder: Path, *contents: bytes, limits: ChunkLimits | None = None, wanted: list[str] | None = None, **how: Any
) -> Snapshot:
    for number, content in enumerate(contents):
        (folder / f"{number}.csv").write_bytes(content)
    source = CsvSource((str(folder / "*.csv"),), **how)
    return open_csv(source, folder / "stage", limits or ChunkLimits(), wanted)


def faults(snapshot: Snapshot) -> list[str | None]:
    return pl.concat(snapshot.read(None, 0))[FAULT].to_list()


def values(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return pl.concat(snapshot.read(None, 0)).drop(POSITION, FAULT).rows()


# ---------------------------------------------------------------- files that were put together

JOINED: dict[str, tuple[bytes, dict[str, Any], list[str | None]]] = {
    "the header again": (b"id,plan\n1,a\nid,plan\n2,b\n", {}, [None, ROW_HEADER, None]),
    "the header again, at the end": (b"id,plan\n1,a\nid,plan", {}, [None, ROW_HEADER]),
    "the header again, in quotes": (b'id,plan\n1,a\n"id","plan"\r\n2,b\n', {}, [None, ROW_HEADER, None]),
    "the header again, without quotes": (b'"id","plan"\n1,a\nid,plan\n2,b\n', {}, [None, ROW_HEADER, None]),
    "the header in capitals": (b"id,plan\n1,a\nID,Plan\n2,b\n", {}, [None, ROW_HEADER, None]),
    "the header in small letters": (b"ID,Plan\n1,a\nid,plan\n2,b\n", {}, [None, ROW_HEADER, None]),
    "the header with blanks": (b"id,plan\n1,a\n id , plan \n\tID\t,PLAN\n2,b\n", {}, [None, *[ROW_HEADER] * 2, None]),
    "the header with blanks in quotes": (b'id,plan\n1,a\n" Id ","plan "\n2,b\n', {}, [None, ROW_HEADER, None]),
    "a header whose names have blanks": (b" id, plan\n1,a\nid,plan\n2,b\n", {}, [None, ROW_HEADER, None]),
    "capitals behind a mark": (b"id,plan\n1,a\n" + MARK + b"ID,PLAN\n2,b\n", {}, [None, ROW_HEADER, None]),
    "letters beyond ASCII": ("été,plan\n1,a\nÉTÉ,Plan\n2,b\n".encode(), {}, [None, ROW_HEADER, None]),
    "one column in capitals": (b"id\n1\n ID \n2\n", {}, [None, ROW_HEADER, None]),
    "one cell is no name": (b"id,plan\nID,a\nid ,PLANS\n id,\nx,Plan\n", {}, [None] * 4),
    "three times": (b"id,plan\nid,plan\n1,a\nid,plan\n", {}, [ROW_HEADER, None, ROW_HEADER]),
    "a header behind a mark": (MARK + b"id,plan\n1,a\n" + MARK + b"id,plan\n2,b\n", {}, [None, ROW_HEADER, None]),
    "a quoted header behind a mark": (b"id,plan\n1,a\n" + MARK + b"id,plan\n2,b\n", {}, [None, ROW_HEADER, None]),
    "a row behind a mark": (b"id,plan\n1,a\n" + MARK + b"2,b\n3,c\n", {}, [None, ROW_MARKED, None]),
    "a row behind a mark, in other quotes": (
        b"id,plan\n1,a\n'" + MARK + b"2',b\n",
        {"quote": "'"},
        [None, ROW_MARKED],
    ),
    "a field behind a mark": (b"id,plan\n1," + MARK + b"a\n2,b\n", {}, [ROW_MARKED, None]),
    "a quoted field behind a mark": (b'id,plan,n\n1,"' + MARK + b'a",\n2,"b",\n', {}, [ROW_MARKED, None]),
    "a mark within a field": (b"id,plan\n1,a" + MARK + b"b\n", {}, [None]),
    "a mark behind a separator, a line's end or a quote within a field": (
        b'id,plan\n1,"a,' + MARK + b'b"\n2,"a\n' + MARK + b'b"\n3,"a""' + MARK + b'b"\n4,"a\n\x1ab"\n',
        {},
        [None, None, None, None],
    ),
    "a row behind DOS's end of a file": (b"id,plan\n1,a\n\x1a2,b\n", {}, [None, ROW_MARKED]),
    "a header behind DOS's end of a file": (
        b"id,plan\n1,a\n\x1a" + MARK + b"id,plan\n2,b\n",
        {},
        [None, ROW_HEADER, None],
    ),
    "tabs": (b"id\tplan\n1\ta\nid\tplan\n", {"separator": "\t", "quote": None}, [None, ROW_HEADER]),
    "one column": (b"id\n1\nid\n2\n", {}, [None, ROW_HEADER, None]),
    "a long header": (
        b"customer_identifier,plan\ncustomer_1,a\ncustomer_identifier,plan\ncustomer_identifier,b\n",
        {},
        [None, ROW_HEADER, None],
    ),
    "values named as columns": (b"id,plan\nid,1\nplan,id2\nplan,plan\nid,\n", {}, [None] * 4),
    "another separator in a later part": (b"id,plan\n1,a\nid;plan\n2;b\n", {}, [None, ROW_RAGGED, ROW_RAGGED]),
    "names given by the job": (b"1,a\nid,plan\n2,b\n", {"columns": ("id", "plan")}, [None, ROW_HEADER, None]),
    "gzip members": (gzip.compress(b"id,plan\n1,a\n") + gzip.compress(b"id,plan\n2,b\n"), {}, [None, ROW_HEADER, None]),
}


@LIMITS
@pytest.mark.parametrize(("content", "how", "expected"), JOINED.values(), ids=JOINED)
def test_traces_of_files_that_were_put_together_are_rejected(
    tmp_path: Path, content: bytes, how: dict[str, Any], expected: list[str | None], limits: ChunkLimits
) -> None:
    assert faults(opened(tmp_path, content, limits=limits, **how)) == expected


@LIMITS
@pytest.mark.parametrize("header", [b"plan,id", b"Plan, ID"], ids=["as the first", "in another case"])
def test_a_second_header_in_another_order_is_refused(tmp_path: Path, limits: ChunkLimits, header: bytes) -> None:
    with pytest.raises(SourceError, match=r"0\.csv:4: is a second header line with its columns in another order"):
        opened(tmp_path, b"id,plan\n1,a\n2,b\n" + header + b"\nc,3\n", limits=limits)


@LIMITS
@pytest.mark.parametrize("end", [b"\n\x1a", b"\r\n\x1a\x1a\x1a", b"\x1a"])
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
def test_the_sign_with_which_dos_ends_a_file_is_no_data(
    tmp_path: Path, limits: ChunkLimits, end: bytes, is_packed: bool
) -> None:
    content = b"id,plan\n1,a\n2,b" + end
    content = gzip.compress(content) if is_packed else content
    snapshot = opened(tmp_path, content, limits=limits)
    assert values(snapshot) == [("1", "a"), ("2", "b")] and faults(snapshot) == [None, None]
    assert snapshot.files[0].sha256 == hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------- lines that are no rows

PROLOGUES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "sep=": (b"sep=;\r\nid;plan\r\n1;a\r\n2;b\r\n", {"separator": ";"}),
    "sep= in quotes, behind a mark": (MARK + b'"sep=,"\nid,plan\n1,a\n2,b\n', {}),
    "sep= of a tab": (b"SEP=\t\nid\tplan\n1\ta\n2\tb\n", {"separator": "\t"}),
    "title lines": (b'Export of "May\n\n"2024\nid,plan\n1,a\n2,b\n', {"skip_lines": 3}),
    "a title line and sep=": (b"Title\nsep=,\nid,plan\n1,a\n2,b", {"skip_lines": 1}),
    "comments": (b"# it's \"so\nid,plan\n# x,y,z\n1,a\n#\n2,b\n#end", {"comment": "#"}),
    "title lines and comments": (b"Title\n#c\nid,plan\n1,a\n2,b\n", {"skip_lines": 1, "comment": "#"}),
    "a compressed file": (gzip.compress(b"Title\n#c\nid,plan\n1,a\n2,b\n"), {"skip_lines": 1, "comment": "#"}),
    "without a header": (b"Title\n1,a\n#\n2,b\n", {"skip_lines": 1, "comment": "#", "columns": ("id", "plan")}),
}


@LIMITS
@pytest.mark.parametrize(("content", "how"), PROLOGUES.values(), ids=PROLOGUES)
def test_lines_above_the_header_and_comments_are_no_rows(
    tmp_path: Path, content: bytes, how: dict[str, Any], limits: ChunkLimits
) -> None:
    snapshot = opened(tmp_path, content, limits=limits, **how)
    assert list(snapshot.schema) == ["id", "plan"]
    assert values(snapshot) == [("1", "a"), ("2", "b")] and faults(snapshot) == [None, None]
    text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    rows = [number for number, line in enumerate(text.split(b"\n"), 1) if line[:1] in (b"1", b"2")]
    assert [line for _, line in snapshot.locate([0, 1])] == rows


@LIMITS
def test_a_line_inside_quotes_is_no_comment(tmp_path: Path, limits: ChunkLimits) -> None:
    snapshot = opened(tmp_path, b'id,plan\n1,"a\n#b"\n#"\n2,"#c"\n"#3",d\n', limits=limits, comment="#")
    assert values(snapshot) == [("1", "a\n#b"), ("2", "#c"), ("#3", "d")]


def test_skipped_lines_and_comments_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    content = b"#a,b\n#c,d\n"
    plain, without = opened(tmp_path, content), opened(tmp_path, content, skip_lines=1)
    assert plain.fingerprint != without.fingerprint
    (tmp_path / "0.csv").write_bytes(b"#A,b\n#c,d\n")
    assert open_csv(CsvSource((str(tmp_path / "0.csv"),), skip_lines=1), tmp_path, ChunkLimits()).fingerprint != (
        without.fingerprint
    )


# ---------------------------------------------------------------- files that differ


def test_files_may_have_their_columns_in_another_order_and_more_of_them(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, b"id,plan\n1,a\n", b"plan,extra,id\nb,x,2\n", b"id,plan\n3,c\n", wanted=["plan", "id"])
    assert list(snapshot.schema) == ["id", "plan"]
    assert values(snapshot) == [("1", "a"), ("2", "b"), ("3", "c")]
    assert pl.concat(snapshot.read(["plan"], 1))["plan"].to_list() == ["b", "c"]


def test_a_file_without_a_column_that_is_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1\.csv: has no column 'plan', which .*0\.csv has; did you mean 'plans'\?"):
        opened(tmp_path, b"id,plan\n1,a\n", b"id,plans\n2,b\n", wanted=["id", "plan"])
    with pytest.raises(SourceError, match=r"0\.csv: has no column 'extra', which .*1\.csv has$"):
        opened(tmp_path, b"id,plan\n1,a\n", b"id,extra\n2,b\n", wanted=["id", "extra"])


def test_files_without_a_common_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"1\.csv: its header has no column in common with that of .*0\.csv"):
        opened(tmp_path, b"a,b\n1,2\n", b"c\n3\n")
