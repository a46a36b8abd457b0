"""Functions for JSON: send a document, or take a part of it."""

from __future__ import annotations

import json as json_text
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import polars as pl

from cio_etl.model import reject_reason
from cio_etl.transform.distinct import by_distinct
from cio_etl.transform.functions.define import RAW_JSON, function
from cio_etl.transform.nested import as_dtype, fields, in_words

GROUP = "Lists and JSON"

JSON_UNREADABLE = reject_reason("json_unreadable", "not JSON, so that `json` or `pick` cannot read it")

Part = str | int | None  # of a path: a name, a place in a list, or None, each element


def _is_null(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    """Where JSON says that there is nothing."""
    return value.str.strip_chars(" \t\r\n") == "null"


@function(takes=("text",), reason=JSON_UNREADABLE, means_null=_is_null)
def json(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The list, object or other value in a JSON text, sent as it is written: no digit of a number changes.

    JSON's null is null. Rejected: what is not JSON or not Unicode, or is nested deeper than 127. Where a key occurs
    twice in an object, both are sent, and the last counts.

    >>> "[1, 12345678901234567890]" | json -> [1, 12345678901234567890]
    >>> "null" | json -> null
    >>> "{'a': 1}" | json -> rejected
    >>> "[NaN]" | json -> rejected
    """
    is_json = value.str.json_path_match("$").is_not_null()
    return pl.when(is_json).then(pl.struct(raw_json=value))


_PART = re.compile(r"""(?P<dot>\.?)(?P<name>[^.\[\]"'\\]+) | \[(?P<place>-?[0-9]{1,9})\] | (?P<each>\[\*\])
                     | \["(?P<quoted>[^"\\]+)"\]""", re.VERBOSE)  # fmt: skip


def _parts(path: str) -> tuple[Part, ...]:
    """The parts of a path; raises ValueError when it is not a path."""
    parts: list[Part] = []
    end = 0
    for found in _PART.finditer(path):
        if found.start() != end or (found["name"] and bool(found["dot"]) != bool(parts)):
            break
        end = found.end()
        parts.append(
            int(found["place"]) if found["place"] else None if found["each"] else found["name"] or found["quoted"]
        )
    if end != len(path) or not parts or parts.count(None) > 1 or re.match(r"\$(?![^.\[])", path):
        raise ValueError("'path' is names and places, as a.b[0].c, a[\"odd name\"] or, once, items[*].sku; without `$`")
    return tuple(parts)


def _check_pick(*, path: str) -> None:
    _parts(path)


def _missing_is_no_failure(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    if dtype == RAW_JSON:
        return pl.lit(True)
    if not isinstance(dtype, pl.String):
        return pl.lit(True)
    return value.str.json_path_match("$").is_not_null() | _is_null(value, dtype)


@function(
    takes=("text", "several columns", "a list", "JSON"),
    reason=JSON_UNREADABLE,
    shorthand="path",
    check=_check_pick,
    means_null=_missing_is_no_failure,
)
def pick(value: pl.Expr, dtype: pl.DataType, *, path: str) -> pl.Expr:
    """The value at a path: a name, `a.b`, a place, `a[0]`, or each, `a[*].b`; from JSON text it is text.

    From JSON text a number is the text `5`, a list or an object is JSON text, for a following `cast`, `number` or
    `json`; `[*]` makes a list of text. From a nested column the value keeps its type. A missing value is null, like
    JSON's null, and rejects nothing; text that is not JSON rejects the row. Numbers over 64 bits lose digits.

    >>> "{\\"user\\": {\\"mail\\": \\"a@b.co\\"}}" | {pick: user.mail} -> "a@b.co"
    >>> "{\\"items\\": [{\\"sku\\": \\"x\\", \\"n\\": 2}]}" | {pick: "items[0].n"} -> "2"
    >>> "{\\"items\\": [{\\"sku\\": \\"x\\"}, {\\"sku\\": 7}]}" | {pick: "items[*].sku"} -> ["x", "7"]
    >>> "[\\"red\\", \\"blue\\"]" | {pick: "[*]"} -> ["red", "blue"]
    >>> "{\\"a.b\\": {\\"c\\": true}}" | {pick: "[\\"a.b\\"]"} -> "{\\"c\\":true}"
    >>> "{\\"user\\": {}}" | {pick: user.mail} -> null
    >>> "user=7" | {pick: user} -> rejected
    >>> {"address": {"city": "Nice"}} | {pick: address.city} -> "Nice"
    >>> [{"sku": "x"}, {"sku": "y"}] | {pick: "[*].sku"} -> ["x", "y"]
    """
    parts = _parts(path)
    if dtype == RAW_JSON:
        value, dtype = value.struct.field("raw_json"), pl.String()
    if not isinstance(dtype, pl.String):
        return _in_columns(value, dtype, parts)
    if None not in parts:
        return value.str.json_path_match("$" + "".join(_as_json_path(part) for part in parts))
    each = parts.index(None)
    return by_distinct(value, lambda text: _each(text, parts[:each], parts[each + 1 :]), pl.List(pl.String()))


def _as_json_path(part: Part) -> str:
    return f'["{part}"]' if isinstance(part, str) else f"[{part}]"


def _in_columns(value: pl.Expr, dtype: pl.DataType, parts: Sequence[Part]) -> pl.Expr:
    if not parts:
        return value
    part, rest = parts[0], parts[1:]
    if isinstance(dtype, pl.Array):
        value, dtype = value.arr.to_list(), pl.List(dtype.inner)
    if isinstance(part, str) and isinstance(dtype, pl.Struct):
        inside = {name: (inner, kind) for name, inner, kind in fields(value, dtype)}
        if part in inside:
            return _in_columns(*inside[part], rest)
        near = get_close_matches(part, inside, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, inside))}"
        raise ValueError(f"pick: no field {part!r}; {known}")
    if not isinstance(part, str) and isinstance(dtype, pl.List):
        if part is None:
            return value.list.eval(_in_columns(pl.element(), as_dtype(dtype.inner), rest))
        return _in_columns(value.list.get(part, null_on_oob=True), as_dtype(dtype.inner), rest)
    wanted = f"field {part!r}" if isinstance(part, str) else "place"
    raise ValueError(f"pick: no {wanted} in a column of {in_words(dtype)}")


def _each(text: str, before: Sequence[Part], after: Sequence[Part]) -> list[str | None] | None:
    """For each element of the list at `before`, the value at `after`, as text; None where there is no list."""
    try:
        found = _at(json_text.loads(text, parse_constant=_refused), before)
    except (ValueError, RecursionError):
        return None
    return [_as_text(_at(one, after)) for one in found] if isinstance(found, list) else None


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def _at(document: Any, parts: Sequence[Part]) -> Any:
    for part in parts:
        if isinstance(part, str) and isinstance(document, dict):
            document = document.get(part)
        elif isinstance(part, int) and isinstance(document, list) and -len(document) <= part < len(document):
            document = document[part]
        else:
            return None
    return document


def _as_text(found: Any) -> str | None:
    if found is None or isinstance(found, str):
        return found
    return json_text.dumps(found, ensure_ascii=False, separators=(",", ":"))
