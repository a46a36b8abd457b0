"""Reads structures of Thrift's compact protocol, in which Parquet writes its footer and the headers of its pages.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
_INTEGERS = (4, 5, 6)  # of 16, 32 and 64 bits: all are zigzag numbers of variable length
_LONG_SIZE = 15  # a list of as many elements or more has its size after the first byte
_DEPTH = 40


class Malformed(ValueError):
    """The bytes are no structure, or are cut short."""


def read_struct(data: bytes, at: int = 0, depth: int = 0) -> tuple[dict[int, Any], int]:
    """A structure's fields by their numbers, and where it ends. Raises Malformed."""
    fields: dict[int, Any] = {}
    number = 0
    try:
        while head := data[at]:
            at += 1
            kind, step = head & 15, head >> 4
            if step:
                number += step
            else:
                number, at = zigzag(data, at)
            if kind in (_TRUE, _FALSE):
                fields[number] = kind == _TRUE
            else:
                fields[number], at = _value(data, at, kind, depth)
    except IndexError:
        raise Malformed from None
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        return zigzag(data, at)
    if kind == _BINARY:
        size, at = varint(data, at)
        return _taken(data, at, size), at + size
    if kind == _STRUCT and depth < _DEPTH:
        return read_struct(data, at, depth + 1)
    if kind in (_LIST, _SET) and depth < _DEPTH:
        size, kind = data[at] >> 4, data[at] & 15
        at += 1
        if size == _LONG_SIZE:
            size, at = varint(data, at)
        return _elements(data, at, [kind] * min(size, len(data)), depth)
    if kind == _MAP and depth < _DEPTH:
        size, at = varint(data, at)
        if not size:
            return [], at
        return _elements(data, at + 1, [data[at] >> 4, data[at] & 15] * min(size, len(data)), depth)
    if kind in (_TRUE, _FALSE, _BYTE):  # of a list
        return data[at], at + 1
    if kind in (_DOUBLE, _UUID):
        size = 8 if kind == _DOUBLE else 16
        return _taken(data, at, size), at + size
    raise Malformed


def _elements(data: bytes, at: int, kinds: list[int], depth: int) -> tuple[list[Any], int]:
    values = []
    for kind in kinds:
        value, at = _value(data, at, kind, depth + 1)
        values.append(value)
    return values, at


def _taken(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise Malformed
    return data[at : at + size]


def zigzag(data: bytes, at: int) -> tuple[int, int]:
    """A number that may be negative, and where it ends."""
    number, at = varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number from 0 on, and where it ends. Raises IndexError where the bytes end, Malformed past 64 bits."""
    number = shift = 0
    while True:
        octet = data[at]
        at += 1
        number |= (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise Malformed
