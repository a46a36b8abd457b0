"""Reads the rows of a result of MySQL or MariaDB from the connection, a column at a time.

A row is a packet: 3 bytes with its length, 1 with its number, and then each value as its length and its bytes. pymysql
makes Python objects of each; here, only the packets' lengths are read one by one. See "Text Resultset Row" and
"Length-Encoded Integer" in https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from pymysql.constants import CR  # type: ignore[import-untyped]
from pymysql.err import InternalError, OperationalError  # type: ignore[import-untyped]
from pymysql.protocol import MysqlPacket  # type: ignore[import-untyped]

from cio_etl.model.records import dataclass

_BYTES = 4 << 20  # that are read before rows are made of them
_VALUES = 500_000  # per frame at most: each takes at least 16 bytes, if it is null, too
_HEADER = 4
_LONGEST = 0xFFFFFF  # of a packet; a longer row is several, of which the last is shorter
_INLINE = 12  # bytes of a value that stand in its view, see `_column`
_NULL, _END, _ERROR = 0xFB, 0xFE, 0xFF
_LONG_VALUES = {0xFC: 2, 0xFD: 3, 0xFE: 8}  # signs of a longer length, and its number of bytes

_Bytes = npt.NDArray[np.uint8]
_Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in the bytes that came, each from its start to its end."""

    data: _Bytes  # with `_INLINE` more bytes at its end
    starts: _Places
    ends: _Places

    def columns(self, count: int) -> Iterator[tuple[_Places, _Places, npt.NDArray[np.bool_]]]:
        """For each column the places and the lengths of its values, and which are null.

        Raises InternalError for rows that have other values than `count`.
        """
        at = self.starts
        for _ in range(count):
            if (at >= self.ends).any():
                raise _malformed()
            first = self.data[at]
            lengths, at = first.astype(np.int64), at + 1
            for sign, size in _LONG_VALUES.items():
                long = np.flatnonzero(first == sign)
                if long.size:
                    if (at[long] + size > self.ends[long]).any():
                        raise _malformed()
                    digits = self.data[at[long, None] + np.arange(size)].astype(np.int64)
                    lengths[long] = (digits << (8 * np.arange(size))).sum(axis=1)
                    at[long] += size
            is_null = first == _NULL
            lengths[is_null] = 0
            if (first == _ERROR).any() or (lengths.view(np.uint64) > (self.ends - at).view(np.uint64)).any():
                raise _malformed()
            yield at, lengths, is_null
            at = at + lengths
        if (at != self.ends).any():
            raise _malformed()

    def values(self, at: _Places, lengths: _Places, is_null: npt.NDArray[np.bool_]) -> pl.Series:
        """The values of a column as bytes, without copying those of more than 12.

        Each is a view of 16 bytes: its length, and then itself, or its begin, the number of the data and its place.
        """
        views = np.zeros((len(at), 16), np.uint8)
        numbers = views.view(np.uint32)
        numbers[:, 0] = lengths
        views[:, 4:] = (
            np.lib.stride_tricks.sliding_window_view(self.data, _INLINE)[at] * _KEPT[np.minimum(lengths, _INLINE)]
        )
        long = np.flatnonzero(lengths > _INLINE)
        numbers[long, 2] = 0
        numbers[long, 3] = at[long]
        present = pa.py_buffer(np.packbits(~is_null, bitorder="little")) if is_null.any() else None
        buffers = [present, pa.py_buffer(views), pa.py_buffer(self.data)]
        return pl.Series(pa.Array.from_buffers(pa.binary_view(), len(at), buffers))


_KEPT = np.tri(_INLINE + 1, _INLINE, -1, np.uint8)  # 1 for the first n bytes, 0 for those after them


def rows_of(connection: Any, columns: int) -> Iterator[Rows]:
    """The rows of the connection's unbuffered result, whose columns were read. Raises MySQLError of pymysql."""
    packets, step = _Packets(connection), max(1, _VALUES // columns)
    while not packets.ended:
        rows = packets.next_rows()
        for first in range(0, len(rows.starts), step):
            part = slice(first, first + step)
            yield Rows(rows.data, rows.starts[part], rows.ends[part])


class _Packets:
    """The packets that come after those of the columns."""

    def __init__(self, connection: Any) -> None:
        self.ended = False
        self._number = connection._next_seq_id
        self._encoding = connection.encoding
        buffer = connection._rfile
        with _lost():
            self._rest: bytes = buffer.read(len(buffer.peek()))  # what came after the last whole packet
        self._socket = buffer.raw  # the buffer would wait for as many bytes as are asked for

    def next_rows(self) -> Rows:
        """The rows of the next packets; perhaps none at the end of the result."""
        if len(self._rest) < _HEADER:
            self._rest = self._exactly(_HEADER)
        length = int.from_bytes(self._rest[:3], "little")
        if length == _LONGEST:
            return self._row_of_several()
        data = np.empty(max(_BYTES, len(self._rest), _HEADER + length) + _INLINE, np.uint8)
        view = data.data[:-_INLINE]
        filled = len(self._rest)
        view[:filled] = self._rest
        starts: list[int] = []
        end = _walk(view, 0, filled, starts)
        while not starts or (filled < len(view) * 3 // 4 and not _last_word(view[starts[-1] : end])):
            filled += self._read_into(view[filled:])
            end = _walk(view, end, filled, starts)
        self._rest = bytes(view[end:filled])
        return self._rows(data, np.array([*starts, end], np.int64))

    def _rows(self, data: _Bytes, places: _Places) -> Rows:
        """The rows of the packets between these places. Raises the error that the last packet is."""
        starts, ends = places[:-1], places[1:]
        numbers = np.arange(self._number, self._number + len(starts)).astype(np.uint8)
        differ = np.flatnonzero(data[starts + 3] != numbers)
        if differ.size:
            raise _out_of_order(int(data[starts[differ[0]] + 3]))
        self._number = (self._number + len(starts)) % 256
        last = data[starts[-1] : ends[-1]]
        match _last_word(last.data):
            case "error":
                MysqlPacket(last[_HEADER:].tobytes(), self._encoding).raise_for_error()
            case "end":
                self.ended, starts, ends = True, starts[:-1], ends[:-1]
        return Rows(data, starts + _HEADER, ends)

    def _row_of_several(self) -> Rows:
        row = bytearray()
        length = _LONGEST
        while length == _LONGEST:
            header = self._exactly(_HEADER)
            if header[3] != self._number:
                raise _out_of_order(header[3])
            self._number = (self._number + 1) % 256
            length = int.from_bytes(header[:3], "little")
            row += self._exactly(length)
        end = len(row)
        return Rows(np.frombuffer(row + bytes(_INLINE), np.uint8), np.array([0]), np.array([end]))

    def _exactly(self, size: int) -> bytes:
        data = bytearray(self._rest[:size])
        self._rest = self._rest[size:]
        filled = len(data)
        data += bytes(size - filled)
        while filled < size:
            filled += self._read_into(memoryview(data)[filled:])
        return bytes(data)

    def _read_into(self, view: memoryview) -> int:
        """Fills the begin of the view; the number of bytes. Waits as long as the connection's `read_timeout`."""
        with _lost():
            size = int(self._socket.readinto(view))
        if not size:
            raise _connection_lost()
        return size


@contextmanager
def _lost() -> Iterator[None]:
    """Raises OperationalError for errors of the socket, and when it did not answer in time."""
    try:
        yield
    except OSError:
        raise _connection_lost() from None


def _walk(view: memoryview, at: int, filled: int, starts: list[int]) -> int:
    """Adds the starts of the whole packets from `at` on, and gives the end of the last one."""
    while at <= filled - _HEADER:
        after = at + _HEADER + (view[at] | view[at + 1] << 8 | view[at + 2] << 16)
        if after > filled:
            break
        starts.append(at)
        at = after
    return at


def _last_word(packet: memoryview) -> str:
    """Whether a packet ends the result: "end", "error" or ""."""
    if len(packet) > _HEADER and packet[_HEADER] == _ERROR:
        return "error"
    return "end" if _HEADER < len(packet) < _HEADER + 9 and packet[_HEADER] == _END else ""


def _out_of_order(number: int) -> Exception:
    return _malformed() if number else _connection_lost()  # 0: of a MariaDB that is shut down


def _connection_lost() -> Exception:
    return OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")  # type: ignore[no-any-return]


def _malformed() -> Exception:
    return InternalError(0, "the packets of a row are not whole")  # type: ignore[no-any-return]
