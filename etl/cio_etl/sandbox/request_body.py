"""The items of a request body, and the size of each in bytes.

Stricter than JSON readers are by default: NaN, Infinity, numbers beyond a double, a repeated key and half a
surrogate pair are errors. Items are decoded one by one from the body's text. That gives the place where each ends, so
its size is that of the bytes that were received, and not of a second encoding.

The decoder is the standard library's: with these hooks it takes less than half of the time that an item costs the
sandbox, and a faster one would be one more dependency of the program.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from json.scanner import make_scanner
from typing import Any, NamedTuple, NoReturn


class Malformed(Exception):
    """A body that the endpoint cannot read. The message names no value."""


class Item(NamedTuple):
    """One entity of a request: any JSON value, and its size in the body in bytes."""

    value: Any
    bytes: int


class Envelope(NamedTuple):
    """The calls of a Pipelines batch, and the members beside them, which apply to all of them."""

    calls: list[Item]
    members: dict[str, Any]


def read_entity(body: bytes) -> Item:
    """The one value that is the whole body. Raises Malformed."""
    with _reworded():
        return Item(_whole(_text_of(body)), len(body))


def read_batch(body: bytes) -> list[Item]:
    """The entities of `{"batch": [...]}`, in order. Raises Malformed."""
    with _reworded():
        text = _text_of(body)
        opening = _OPENING(text)
        if opening is None:
            raise _not_a_batch(_whole(text))
        items, end = _items_from(text, opening.end())
    if _CLOSING(text, end) is None:
        raise Malformed("batch is followed by something else")
    return items


def read_envelope(body: bytes) -> Envelope:
    """The calls of a Pipelines `{"batch": [...], "context": {...}, ...}`, in order. Raises Malformed."""
    with _reworded():
        text = _text_of(body)
        opening = _MEMBERS(text)
        if opening is None:
            raise _not_a_batch(_whole(text))
        return _envelope_from(text, opening.end())


_WHITE = " \t\n\r"
_SPACE = rf"[{_WHITE}]*+"
_OPENING = re.compile(rf'{_SPACE}\{{{_SPACE}"batch"{_SPACE}:{_SPACE}\[{_SPACE}(?!\])').match
_SEPARATOR = re.compile(rf"{_SPACE}([,\]]){_SPACE}").match
_MEMBERS = re.compile(rf'{_SPACE}\{{{_SPACE}(?=")').match
_COLON = re.compile(rf"{_SPACE}:{_SPACE}").match
_ARRAY = re.compile(rf"\[{_SPACE}(?!\])").match
_NEXT_MEMBER = re.compile(rf'{_SPACE}(,{_SPACE}(?=")|\}}{_SPACE})').match
_CLOSING = re.compile(rf"\}}{_SPACE}\Z").match


def _items_from(text: str, start: int) -> tuple[list[Item], int]:
    """The items of an array from its first item on, and where the array and the space after it end."""
    one_byte_each = text.isascii()
    items: list[Item] = []
    while True:
        value, end = _scan(text, start)
        items.append(Item(value, end - start if one_byte_each else len(text[start:end].encode())))
        separator = _SEPARATOR(text, end)
        if separator is None:
            raise Malformed("the items of batch are not separated by commas")
        start = separator.end()
        if separator[1] == "]":
            return items, start


def _envelope_from(text: str, start: int) -> Envelope:
    """The members of the object from its first member's name on; only those of `batch` are read one by one."""
    calls: list[Item] = []
    members: dict[str, Any] = {}
    following = None
    while following is None or following[1][0] == ",":
        name, end = _scan(text, start)
        colon = _COLON(text, end)
        if colon is None:
            raise Malformed(f"the body is not JSON at character {end}")
        if name in members or (name == "batch" and calls):
            raise Malformed("an object has the same key twice")
        start = colon.end()
        if name == "batch" and (opening := _ARRAY(text, start)):
            calls, end = _items_from(text, opening.end())
        else:
            members[name], end = _scan(text, start)
        following = _NEXT_MEMBER(text, end)
        if following is None:
            raise Malformed(f"the body is not JSON at character {end}")
        start = following.end()
    if start != len(text):
        raise Malformed("the body goes on after its JSON value")
    if not calls:
        raise _not_a_batch(members)
    return Envelope(calls, members)


def _not_a_batch(document: Any) -> Malformed:
    """The error of a JSON document that is no batch."""
    if not isinstance(document, dict):
        return Malformed("the body is not an object")
    if not isinstance(document.get("batch"), list):
        return Malformed("batch is missing or not an array")
    if not document["batch"]:
        return Malformed("batch is empty")
    return Malformed("batch is not the only member of the body")


def _text_of(body: bytes) -> str:
    text = body.decode()
    if "\\u" in text:  # only an escape can contain half a surrogate pair, which UTF-8 cannot
        json.dumps(_whole(text), ensure_ascii=False).encode()
    return text


def _whole(text: str) -> Any:
    value, end = _scan(text, len(text) - len(text.lstrip(_WHITE)))
    if text[end:].strip(_WHITE):
        raise Malformed("the body goes on after its JSON value")
    return value


@contextmanager
def _reworded() -> Iterator[None]:
    """Replace the decoder's messages, which can quote the body."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON at character {error.pos}") from None
    except StopIteration as where:  # of the scanner: no value begins there
        raise Malformed(f"the body is not JSON at character {where.value}") from None
    except UnicodeError:
        raise Malformed("the body is not UTF-8, or a string holds half a surrogate pair") from None
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None
    except ValueError:  # an integer of more than 4,300 digits
        raise Malformed("a number is too long") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("an object has the same key twice")
    return members


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Malformed("a number is beyond the range of a double")
    return number


def _constant(_: str) -> NoReturn:
    raise Malformed("NaN and Infinity are not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)
_scan = make_scanner(_STRICT)  # type: ignore[arg-type]  # the stubs have it take itself
