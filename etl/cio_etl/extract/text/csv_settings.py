"""Detects the separator, the encoding, titles and comments of a CSV file from its bytes."""

from __future__ import annotations

import codecs
import zlib
from pathlib import Path
from typing import Any

from cio_etl.extract.files import RegularFile
from cio_etl.extract.text.csv_layout import layout_of

_HEAD_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"

_BOMS = (  # longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def csv_settings(path: Path) -> dict[str, Any]:
    """The keys that a `source:` section needs beside `csv:`, each only if not the default.

    `separator`, `skip_lines` and `comment` are detected in the first 64 kB: the separator divides the header line, and
    the lines after it into as many fields. UTF-8 is tried on the whole file; a file that is not UTF-8 and has no
    byte-order mark is cp1252, or latin-1 if some bytes have no meaning in cp1252. Of a gzip file only the head is read,
    of a zstd file nothing. Raises SourceError when the file cannot be read.
    """
    with RegularFile(str(path)) as file:
        head = file.read_at(0, _HEAD_BYTES)
        if head.startswith(_ZSTD):
            return {}
        packed = head.startswith(_GZIP)
        head = _unpacked(head) if packed else head
        encoding = _encoding_of_bom(head) or _encoding_without_bom(head)
        if encoding == "utf-8":
            encoding = _eight_bits(head) if packed else _of_whole(file)
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    text = decoder.decode(head).removeprefix("\ufeff")
    layout = layout_of(text, is_cut=len(text) >= _HEAD_BYTES // 4)
    return layout.settings | ({} if encoding == "utf-8" else {"encoding": encoding})


def _unpacked(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""  # opening the source reports the fault


def _encoding_of_bom(head: bytes) -> str:
    return next((name for bom, name in _BOMS if head.startswith(bom)), "")


def _encoding_without_bom(head: bytes) -> str:
    """UTF-16 by its NUL bytes, every second one of Latin text; else utf-8, to be tried."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if (even + odd) * 4 <= len(head):
        return "utf-8"
    return "utf-16-le" if odd > even else "utf-16-be"


def _of_whole(file: RegularFile) -> str:
    """utf-8 if the whole file is, else what its bytes leave."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for offset in range(0, file.identity.bytes, _BLOCK_BYTES):
            decoder.decode(block := file.read_at(offset, _BLOCK_BYTES))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _single_byte(block)
    return "utf-8"


def _eight_bits(head: bytes) -> str:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return _single_byte(head)
    return "utf-8"


def _single_byte(block: bytes) -> str:
    try:
        block.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"
