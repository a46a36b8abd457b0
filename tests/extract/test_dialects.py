"""Escaped fields become the text that the tool exported, at their line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.extract.text.chunks import ChunkLimits
from cio_etl.extract.text.csv_files import open_csv
from cio_etl.model import CSV_DIALECTS, FAULT, POSITION, CsvSource, Snapshot

SMALL = ChunkLimits(chunk_rows=3, block_bytes=16)


def opened(folder: Path, content: bytes, limits: ChunkLimits = SMALL, **how: Any) -> Snapshot:
    path = folder / "x.csv"
    path.write_bytes(content)
    return open_csv(CsvSource((str(path),), **how), folder / "stage", limits)


def whole(snapshot: Snapshot) -> pl.DataFrame:
    return pl.concat(snapshot.read(None, 0))


def values(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    return whole(snapshot).drop(POSITION, FAULT).rows() if snapshot.rows else []


QUOTED: dict[str, Any] = {"escape": "\\"}
MYSQL: dict[str, Any] = {"separator": "\t", "quote": None, "escape": "\\", "null_values": ()}

READ = {
    "a quote, a separator, a backslash": (rb'"say \"hi\"",a\,b\\', QUOTED, ('say "hi"', "a,b\\")),
    "doubled quotes, too": (rb'"say ""hi""",x', QUOTED, ('say "hi"', "x")),
    "letters": (rb"1\n2\t3\r4\b5\f6\v7,\Z", QUOTED, ("1\n2\t3\r4\b5\f6\v7", "\x1a")),
    "another letter means itself": (rb"\x\q,\'", QUOTED, ("xq", "'")),
    "the end of a line": (b"a\\\nb,c\\\r\\\nd", QUOTED, ("a\nb", "c\r\nd")),
    "an escaped backslash before a separator": (rb"a\\,b", QUOTED, ("a\\", "b")),
    "an escaped backslash before a letter": (rb"\\n,\\\n", QUOTED, ("\\n", "\\\n")),
    "an escaped backslash before a closing quote": (rb'"C:\\",x', QUOTED, ("C:\\", "x")),
    "null": (rb"\N,x", QUOTED, (None, "x")),
    "null, quoted": (rb'"\N",x', QUOTED, (None, "x")),
    "a backslash and an N are no null": (rb"\\N,a\N", QUOTED, ("\\N", "aN")),
    "empty is null as it always is": (b",x", QUOTED, (None, "x")),
    "MySQL: empty is empty": (b"\tx", MYSQL, ("", "x")),
    "MySQL: a quote is a quote": (b"\"\t'", MYSQL, ('"', "'")),
    "MySQL: an escaped tab and line end": (b"a\\\tb\tc\\\nd", MYSQL, ("a\tb", "c\nd")),
    "PostgreSQL: a tab as a letter": (rb"a\tb" + b"\t" + rb"c\nd", MYSQL, ("a\tb", "c\nd")),
    "no ASCII": ("é\\,ü,\\😀".encode(), QUOTED, ("é,ü", "😀")),
}


@pytest.mark.parametrize(("line", "how", "expected"), READ.values(), ids=READ)
def test_an_escape_means_what_its_tool_writes(
    tmp_path: Path, line: bytes, how: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    header = b"a\tb\n" if how is MYSQL else b"a,b\n"
    for limits in (SMALL, ChunkLimits()):
        assert values(opened(tmp_path, header + line + b"\n", limits, **how)) == [expected]
        assert values(opened(tmp_path, header + line, limits, **how)) == [expected]


def test_lines_are_those_of_the_file_and_rows_can_be_read_from_any_on(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, b"a,b\n1\\\n1,x\n2\\n2,y\n3\n4,z\n", **QUOTED)
    assert values(snapshot) == [("1\n1", "x"), ("2\n2", "y"), (None, None), ("4", "z")]
    assert whole(snapshot)[FAULT].to_list() == [None, None, "row_ragged", None]
    assert [line for _, line in snapshot.locate([0, 1, 2, 3])] == [2, 4, 5, 6]
    assert pl.concat(snapshot.read(["b"], 1))["b"].to_list() == ["y", None, "z"]


def test_an_escaped_nul_is_a_fault_of_its_row(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, b"a,b\n1\\0,x\n1\\\\0,y\n", **QUOTED)
    assert whole(snapshot)[FAULT].to_list() == ["row_nul", None]
    assert values(snapshot)[1] == ("1\\0", "y")


@pytest.mark.parametrize("separator", [",", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_NONE])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text("aé\\\"',\t|\nnN0 ", min_size=1), min_size=2, max_size=2), min_size=1, max_size=9))
def test_escaped_text_is_read_as_it_was_before_escaping(
    tmp_path_factory: pytest.TempPathFactory, separator: str, quoting: Any, rows: list[list[str]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=separator, quoting=quoting, escapechar="\\", doublequote=False, lineterminator="\n"
    )
    writer.writerows([["k1", "k2"], *rows])
    quote = '"' if quoting == csv.QUOTE_ALL else None
    how: dict[str, Any] = {"separator": separator, "quote": quote, "escape": "\\"}
    snapshot = opened(tmp_path_factory.mktemp("d"), text.getvalue().encode(), **how)
    assert values(snapshot) == [tuple(row) for row in rows]


def test_a_noncharacter_in_a_file_with_escapes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"x\.csv:2: holds one of the noncharacters"):
        opened(tmp_path, "a,b\n\ufdd3,x\n".encode(), **QUOTED)
    assert values(opened(tmp_path, "a,b\n\ufdd3,x\n".encode())) == [("\ufdd3", "x")]


@pytest.mark.parametrize(("escape", "what"), [("\\\\", "is not one character"), ('"', "is also its `quote:`")])
def test_an_invalid_escape_character_is_refused(tmp_path: Path, escape: str, what: str) -> None:
    with pytest.raises(SourceError, match=what):
        opened(tmp_path, b"a,b\n", escape=escape)


# ---------------------------------------------------------------- without a header line


def test_columns_name_the_fields_of_a_file_without_a_header_line(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, b"\n1,2\n3\n", columns=("a", "b"))
    assert values(snapshot) == [("1", "2"), (None, None)]
    assert list(snapshot.schema) == ["a", "b"]
    assert snapshot.locate([0, 1]) == [(str(tmp_path / "x.csv"), 2), (str(tmp_path / "x.csv"), 3)]


def test_as_many_columns_must_be_named_as_the_first_row_has(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"x\.csv:1: the row has 3 fields, and the job's `columns:` names 2"
    ) as caught:
        opened(tmp_path, b"secret,2,3\n", columns=("a", "b"))
    assert "name each column" in caught.value.remedy and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "what"), [(("a", "a"), "columns 1 and 2 are all named 'a'"), (("a", FAULT), "this program's own")]
)
def test_declared_columns_are_checked_as_a_header_is(tmp_path: Path, columns: tuple[str, ...], what: str) -> None:
    with pytest.raises(SourceError, match=what):
        opened(tmp_path, b"1,2\n", columns=columns)


# ---------------------------------------------------------------- dialects by name

BY_NAME = {
    "excel": b'a,b\n1,"x,y"\n',
    "excel-semicolon": b'a;b\n1;"x,y"\n',
    "tab": b'a\tb\n1\t"x,y"\n',
    "tab-unquoted": b"a\tb\n1\tx,y\n",
    "pipe": b"a|b\n1|x,y\n",
    "mysql": b"a\tb\n1\tx,y\n",
    "postgresql": b'a,b\n1,"x,y"\n',
    "postgresql-text": b"a\tb\n1\tx,y\n",
    "redshift": b"a|b\n1|x,y\n",
    "hive": b"a\x01b\n1\x01x,y\n",
}


def test_every_dialect_has_an_example() -> None:
    assert set(BY_NAME) == set(CSV_DIALECTS)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_dialect_reads_what_its_tool_writes(tmp_path: Path, name: str) -> None:
    assert values(opened(tmp_path, BY_NAME[name], **CSV_DIALECTS[name])) == [("1", "x,y")]


def test_how_a_file_is_read_is_in_the_fingerprint(tmp_path: Path) -> None:
    plain = opened(tmp_path, b"a,b\n1,2\n").fingerprint
    assert opened(tmp_path, b"a,b\n1,2\n", escape="\\").fingerprint != plain
    assert opened(tmp_path, b"a,b\n1,2\n", columns=("a", "b")).fingerprint != plain
