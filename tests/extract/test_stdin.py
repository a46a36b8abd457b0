"""Piped rows are read once, stored until they are sent, and read from the copy by a run without a pipe."""

from __future__ import annotations

import gzip
import io
import os
import pty
import stat
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pytest

from cio_etl.errors import SourceError, StateError
from cio_etl.extract.standard_input import open_standard_input
from cio_etl.extract.text.chunks import ChunkLimits
from cio_etl.extract.text.csv_files import open_csv
from cio_etl.extract.text.ndjson_files import open_ndjson
from cio_etl.model import CsvSource, NdjsonSource, Snapshot, Staging


def piped(staging: Staging, stream: BinaryIO | None, **how: Any) -> Snapshot:
    return open_standard_input(
        staging, lambda path: open_csv(CsvSource((path,), **how), staging.folder, ChunkLimits()), stream
    )


def rows(snapshot: Snapshot, start: int = 0) -> list[tuple[Any, ...]]:
    return pl.concat(snapshot.read(None, start)).drop("_position", "_fault").rows()


class NeverRead(io.RawIOBase):
    def read(self, size: int = -1, /) -> bytes:
        raise AssertionError("the stream is read again")


NEVER: BinaryIO = NeverRead()  # type: ignore[assignment]


def test_piped_rows_are_read_as_those_of_a_file(tmp_path: Path) -> None:
    told: list[int] = []
    staging = Staging(tmp_path / "stage", report_rows=told.append)
    snapshot = piped(staging, io.BytesIO(b"a,b\n1,2\n3\n"))
    assert rows(snapshot) == [("1", "2"), (None, None)]
    assert snapshot.locate([1, 0]) == [("standard input", 3), ("standard input", 2)]
    assert told[-1] == 3


def test_packed_rows_and_ndjson_can_be_piped_in(tmp_path: Path) -> None:
    assert rows(piped(Staging(tmp_path / "1"), io.BytesIO(gzip.compress(b"a\n1\n")))) == [("1",)]
    staging = Staging(tmp_path / "2")
    snapshot = open_standard_input(
        staging,
        lambda path: open_ndjson(NdjsonSource((path,)), staging.folder, ChunkLimits()),
        io.BytesIO(b'{"a":1}\n'),
    )
    assert rows(snapshot) == [(1,)]


def test_a_pipe_that_writes_little_by_little_is_read_to_its_end(tmp_path: Path) -> None:
    source, sink = os.pipe()

    def write() -> None:
        with os.fdopen(sink, "wb", buffering=0) as file:
            for number in range(200):
                file.write(b"a\n" if not number else b"%d\n" % number * 2_000)

    threading.Thread(target=write).start()
    with os.fdopen(source, "rb") as stream:
        assert piped(Staging(tmp_path / "stage"), stream).rows == 199 * 2_000


def test_a_resumed_run_reads_the_copy_and_no_stream(tmp_path: Path) -> None:
    first = piped(Staging(tmp_path / "stage"), io.BytesIO(b"a\n1\n2\n"))
    again = piped(Staging(tmp_path / "stage", may_read=False), NEVER)
    assert again.fingerprint == first.fingerprint
    assert rows(again, 1) == [("2",)]


def test_the_copy_is_readable_for_the_user_only(tmp_path: Path) -> None:
    piped(Staging(tmp_path / "stage"), io.BytesIO(b"a\n1\n"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "stage").iterdir()] == [0o600]
    assert stat.S_IMODE((tmp_path / "stage").stat().st_mode) == 0o700


def test_without_a_copy_a_run_that_has_sent_rows_does_not_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="standard input: some of its rows are sent") as caught:
        piped(Staging(tmp_path / "stage", may_read=False), NEVER)
    assert "--restart" in caught.value.remedy


class Breaks(io.BytesIO):
    """Gives some bytes, then fails, as when the process is killed in between."""

    def read(self, size: int | None = -1, /) -> bytes:
        if block := super().read(4):
            return block
        raise OSError(5, "Input/output error")


def test_an_incomplete_copy_is_ignored(tmp_path: Path) -> None:
    staging = Staging(tmp_path / "stage")
    with pytest.raises(SourceError, match="standard input: cannot be read: Input/output error"):
        piped(staging, Breaks(b"a\n1\n2\n"))
    assert rows(piped(staging, io.BytesIO(b"a\n7\n"))) == [("7",)]
    assert [path.name for path in staging.folder.iterdir()] == ["standard-input"]


def test_an_empty_pipe_is_refused_and_no_copy_remains(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="standard input: is empty") as caught:
        piped(Staging(tmp_path / "stage"), io.BytesIO())
    assert "before the pipe" in caught.value.remedy
    assert list((tmp_path / "stage").iterdir()) == []


def test_a_terminal_is_refused(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with (
        os.fdopen(theirs, "rb") as terminal,
        pytest.raises(SourceError, match="standard input: is a terminal") as caught,
    ):
        piped(Staging(tmp_path / "stage"), terminal)
    os.close(ours)
    assert "pipe the rows in" in caught.value.remedy


def test_an_error_in_the_rows_names_the_line_of_the_standard_input(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        piped(Staging(tmp_path / "stage"), io.BytesIO(b"a,b\n1,2\n\xff,4\n"))
    assert str(caught.value) == "standard input:3: is not valid UTF-8"
    assert "encoding" in caught.value.remedy


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "stage").write_bytes(b"")
    with pytest.raises(StateError, match="cannot hold the copy of standard input"):
        piped(Staging(tmp_path / "stage" / "x"), io.BytesIO(b"a\n1\n"))


def test_standard_input_is_the_default_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n1\n")))
    assert rows(piped(Staging(tmp_path / "stage"), None)) == [("1",)]


@pytest.mark.parametrize(("again", "refused"), [(b"id,n\n1,a\n", False), (b"", False), (b"id,n\n2,b\n", True)])
def test_piped_rows_other_than_those_of_the_unfinished_run_are_refused(
    tmp_path: Path, again: bytes, refused: bool
) -> None:
    piped(Staging(tmp_path), io.BytesIO(b"id,n\n1,a\n"))
    reading, writing = os.pipe()
    os.write(writing, again)
    os.close(writing)
    with open(reading, "rb") as stream:
        if not refused:
            assert rows(piped(Staging(tmp_path), stream)) == [("1", "a")]
            return
        with pytest.raises(SourceError) as error:
            piped(Staging(tmp_path), stream)
    assert str(error.value) == "standard input: has other rows than the unfinished run, which would not be sent"
