"""Gives a text file as UTF-8 that can be read from any byte on.

Plain UTF-8 is read in place. What is compressed or in another encoding is written once, in bounded memory, to one file
in the stage folder. The file has no name, so that it is gone with the process, even after a kill.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from cio_etl.errors import SourceError, StateError
from cio_etl.extract.file_kinds import COMPRESSED, HEAD_BYTES, refuse_other_kind
from cio_etl.extract.files import RegularFile
from cio_etl.model.records import dataclass

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_BYTES = 1 << 20
_UTF8_BOM = codecs.BOM_UTF8
_DOS_BLOCK_BYTES = 128

# Longer ones first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (_UTF8_BOM, "utf-8"),
)


@dataclass(frozen=True, slots=True)
class BombLimits:
    """A text is refused when it unpacks to more than `bytes`, and to more than `ratio` times the size of its file."""

    bytes: int = 1 << 30
    ratio: int = 1000


class Copy:
    """The nameless file in the stage folder for texts that must be rewritten; it is gone when the process ends."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._bytes = 0
        self._descriptor = -1

    def begin(self) -> int:
        """The offset at which the next text begins."""
        if self._descriptor < 0:
            try:
                self._stage.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._descriptor, name = tempfile.mkstemp(prefix="csv-", dir=self._stage)  # 0600
                weakref.finalize(self, os.close, self._descriptor)
                os.unlink(name)
            except OSError as error:
                raise self._failed(error) from None
        return self._bytes

    def append(self, text: bytes) -> None:
        """Raises StateError when the disk is full."""
        rest = memoryview(text)
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, self._bytes)
                self._bytes += written
                rest = rest[written:]
        except OSError as error:
            raise self._failed(error) from None

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> StateError:
        return StateError.of_file(self._stage, error, "cannot hold the copy of a source file")


@dataclass(frozen=True, slots=True)
class Text:
    """UTF-8 text without byte-order mark and DOS's end of a file: bytes `start` to `end` of its file or the copy."""

    start: int
    end: int
    sha256: str | None  # of the original file, where making the text has shown it
    copy: Copy | None = None


def canonical_encoding(place: str, encoding: str) -> str:
    """Python's name for a text encoding. Raises SourceError when there is none."""
    try:
        " ".encode(encoding)  # refuses what is a codec, but not of text
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        remedy = "use a name like utf-8, utf-16, latin-1 or cp1252"
        raise SourceError(
            remedy, place=place, what="the job's `encoding:` is not the name of a text encoding"
        ) from None


def plain_text(file: RegularFile, encoding: str, copy: Copy, limits: BombLimits, form: str = "CSV") -> Text:
    """The file as UTF-8 text; `encoding` is a canonical name. Whether declared UTF-8 is valid is left to its reader.

    Raises SourceError for an empty file, an archive, damaged compression, a decompression bomb, or a byte-order mark
    or text that contradicts the encoding.
    """
    head = file.read_at(0, HEAD_BYTES)
    if not head:
        raise SourceError(_export_again(form), place=file.path, what="the file is empty")
    compression = next((name for magic, name in COMPRESSED.items() if head.startswith(magic)), None)
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    if compression is None and encoding == "utf-8":
        _check_head(file.path, head, encoding, form)
        start = _bom_bytes(head)
        return Text(start, _without_dos_end(file.read_at, start, file.identity.bytes), None)
    original = _Original(file)
    blocks = _unpacked(original, compression, limits) if compression else iter(lambda: original.read(_BLOCK_BYTES), b"")
    start = copy.begin()
    lead = b""
    for text in _as_utf8(file.path, blocks, encoding, form):
        copy.append(text)
        lead = lead or text[: len(_UTF8_BOM)]
    end = copy.begin()
    if end == start:
        raise SourceError(_export_again(form), place=file.path, what="the file holds no text")
    start += _bom_bytes(lead)
    return Text(start, _without_dos_end(copy.read_at, start, end), original.sha256(), copy)


def _without_dos_end(read_at: Callable[[int, int], bytes], start: int, end: int) -> int:
    """Where the text ends, if it ends as DOS ends it: with Ctrl-Z, which some programs repeat up to a block's end."""
    tail = read_at(max(start, end - _DOS_BLOCK_BYTES), min(end - start, _DOS_BLOCK_BYTES))
    return end - len(tail) + len(tail.rstrip(b"\x1a"))


def _export_again(form: str) -> str:
    return "export it again, with its header line" if form == "CSV" else "export it again"


class _Original(io.RawIOBase):
    """A file read once from its beginning to its end, which knows how much was read and its SHA-256."""

    def __init__(self, file: RegularFile) -> None:
        super().__init__()
        self.path = file.path
        self.bytes_read = 0
        self._file = file
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self._file.read_at(self.bytes_read, len(view))
        view[: len(piece)] = piece
        self._digest.update(piece)
        self.bytes_read += len(piece)
        return len(piece)

    def sha256(self) -> str:
        while self.read(_BLOCK_BYTES):
            pass
        return self._digest.hexdigest()


def _unpacked(original: _Original, compression: str, limits: BombLimits) -> Iterator[bytes]:
    unpacked = 0
    damaged = SourceError(
        "copy or export the file again", place=original.path, what=f"its {compression} data is damaged or cut short"
    )
    try:
        stream = pa.CompressedInputStream(pa.PythonFile(original, mode="r"), compression)
    except (pa.ArrowException, OSError):
        raise damaged from None
    while True:
        try:
            block = stream.read(_BLOCK_BYTES)
        except SourceError:
            raise
        except (pa.ArrowException, OSError):
            raise damaged from None
        if not block:
            return
        unpacked += len(block)
        if unpacked > limits.bytes and unpacked > limits.ratio * original.bytes_read:
            raise SourceError(
                "unpack it yourself if that is meant",
                place=original.path,
                what=f"unpacks to more than {limits.ratio} times its size, like a decompression bomb",
            )
        yield block


def _as_utf8(path: str, blocks: Iterator[bytes], encoding: str, form: str) -> Iterator[bytes]:
    """The text of the blocks in UTF-8. What is declared UTF-8 passes unread."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    head = next(blocks, b"")
    _check_head(path, head[:HEAD_BYTES], encoding, form)
    if encoding == "utf-8":
        yield head
        yield from blocks
        return
    block = head
    while True:
        following = next(blocks, b"")
        try:
            text = decoder.decode(block, final=not following).encode()
        except UnicodeError as error:
            if isinstance(error, UnicodeDecodeError):
                line += error.object[: error.start].decode(encoding, "replace").count("\n")
            raise SourceError(
                "write the encoding that the file has", place=f"{path}:{line}", what=f"is not valid {encoding}"
            ) from None
        line += text.count(b"\n")
        if text:
            yield text
        if not following:
            return
        block = following


def _check_head(path: str, head: bytes, encoding: str, form: str) -> None:
    """Raises SourceError when the first bytes show that the file is no text in this encoding."""
    refuse_other_kind(path, head, form)
    if any(head.startswith(magic) for magic in COMPRESSED):
        raise SourceError("compress it once", place=path, what="is compressed twice")
    bom_encoding = next((name for bom, name in _BYTE_ORDER_MARKS if head.startswith(bom)), None)
    if bom_encoding and not encoding.startswith(bom_encoding):
        raise SourceError(
            f"write `encoding: {bom_encoding}` into the job",
            place=path,
            what=f"begins with the byte-order mark of {bom_encoding}, not {encoding}",
        )
    if not bom_encoding and encoding in ("utf-16", "utf-32"):
        raise SourceError(
            f"write `encoding: {encoding}-le` or `encoding: {encoding}-be`, whichever it is",
            place=path,
            what=f"has no byte-order mark, so {encoding} does not say the order of its bytes",
        )
    if encoding == "utf-8" and head.count(0) * 4 > len(head):  # Latin text in UTF-16: every other byte is NUL
        raise SourceError(
            "write `encoding: utf-16-le` or `encoding: utf-16-be` into the job",
            place=path,
            what="looks like UTF-16, not utf-8",
        )


def _bom_bytes(head: bytes) -> int:
    return len(_UTF8_BOM) if head.startswith(_UTF8_BOM) else 0
