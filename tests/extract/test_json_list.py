"""A file that is one JSON list is read as lines of its entries, however it is written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.extract import open_source
from cio_etl.extract.text import json_list
from cio_etl.model import FAULT, NdjsonSource, Snapshot, Staging

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\ \n,[]{}é', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y,]"]), inner, max_size=2),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1), min_size=1, max_size=8)


def snapshot(folder: Path, content: bytes) -> Snapshot:
    (folder / "rows.json").write_bytes(content)
    return open_source(NdjsonSource((str(folder / "rows.json"),)), Staging(folder))


@given(ROWS, st.sampled_from([None, 1]), st.sampled_from([1, 7, 64, 1 << 22]))
@settings(max_examples=150, deadline=None)
def test_each_entry_is_a_line(rows: list[object], indent: int | None, block_bytes: int) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=False).encode()
    lines = json_list._Lines("x")
    made, rest = b"", b""
    for start in range(0, len(text), block_bytes):
        block = rest + text[start : start + block_bytes]
        whole = len(block) if start + block_bytes >= len(text) else len(block.rstrip(b"\\"))
        rest = block[whole:]
        made += lines.of(block[:whole])
    lines.check_end()
    assert len(made) == len(text)
    assert [json.loads(line) for line in made.decode().strip().split("\n")] == rows


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_list_is_read_as_lines_are_and_an_entry_that_is_no_object_is_rejected(
    is_packed: bool, tmp_path: Path
) -> None:
    content = json.dumps([{"id": "1", "n": {"a": [1, "x"]}}, 5, {"id": "2", "n": None}], indent=2).encode()
    found = snapshot(tmp_path, gzip.compress(content) if is_packed else content)
    (frame,) = found.read(None, 0)
    assert frame["id"].to_list() == ["1", None, "2"]
    assert frame[FAULT].to_list() == [None, "row_unreadable", None]
    assert [line for _, line in found.locate([0, 1, 2])] == [1, 2, 3]
