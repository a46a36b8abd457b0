"""Recognises by its first bytes a file that a source names as another kind, and says which key it needs."""

from __future__ import annotations

import codecs
import re

from cio_etl.errors import SourceError

HEAD_BYTES = 4096  # of a file are enough

# The first bytes of a text that is compressed and is unpacked: name in pyarrow.
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

# The first bytes of formats that are no text: what they are, what to do.
_BINARY = {
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "unpack it; for a spreadsheet write `excel:` before its path"),
    b"PK\x05\x06": ("an empty zip archive", "unpack it"),
    b"PAR1\x15": ("a Parquet file", "write `parquet:` before its path"),
    b"Obj\x01": ("an Avro file", "write `avro:` before its path"),
    b"BZh9": ("compressed with bzip2", "unpack it, or compress it with gzip or zstd"),
    b"\xfd7zXZ\x00": ("compressed with xz", "unpack it, or compress it with gzip or zstd"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"),
    b"Rar!\x1a\x07": ("a rar archive", "unpack it"),
    b"\x04\x22\x4d\x18": ("compressed with lz4", "unpack it, or compress it with gzip or zstd"),
    b"\xd0\xcf\x11\xe0": ("an Office document", "for a spreadsheet write `excel:` before its path"),
    b"SQLite format 3\0": ("a SQLite database", "write `sql: sqlite:///PATH` and `table:` instead"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"%PDF-": ("a PDF document", "export the rows from where they came"),
}
_TAR_MAGIC_OFFSET = 257
# How a JSON document begins, and no header line of CSV: an object on one line, on several, or a list of objects.
_JSON = re.compile(rb'\s*(?:(?P<lines>\{[ \t]*"[^\n]*\}\s*$)|(?P<object>\{\s*")|(?P<list>\[\s*\{))', re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")  # no text has such characters


def refuse_other_kind(path: str, head: bytes, form: str) -> None:
    """Raises SourceError when a file's first bytes show that it is of another kind than `form`, as CSV or Parquet."""
    for magic, (what, remedy) in _BINARY.items():
        if head.startswith(magic) and f"`{form.lower()}:`" not in remedy:
            raise SourceError(remedy, place=path, what=f"is {what}, not {form}")
    if head[_TAR_MAGIC_OFFSET:].startswith(b"ustar"):
        raise SourceError("unpack it", place=path, what=f"is a tar archive, not {form}")
    if form != "NDJSON" and (json := _JSON.match(head)):
        steps = {"lines": "", "object": ", after `jq -c .`", "list": ""}
        remedy = f"write `ndjson:` before its path{steps[json.lastgroup or 'lines']}"
        raise SourceError(remedy, place=path, what=f"is JSON, not {form}")
    if form not in ("CSV", "NDJSON"):
        if any(head.startswith(magic) for magic in COMPRESSED):
            raise SourceError("unpack it", place=path, what=f"is compressed, which only text may be, not {form}")
        if _is_text(head):
            raise SourceError("write `csv:` before its path, if it is CSV", place=path, what=f"is text, not {form}")


def _is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 without control characters; the last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and _CONTROL.search(text) is None
