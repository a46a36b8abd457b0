"""Functions for JSON: send a document, or take a part of it."""

from __future__ import annotations

import json as json_text
import re
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from cio_etl.errors import did_you_mean
from cio_etl.model.reasons import JSON_UNREADABLE
from cio_etl.transform.arrays import are_worthwhile
from cio_etl.transform.distinct import by_distinct
from cio_etl.transform.encode import key_text
from cio_etl.transform.functions.define import RAW_JSON, function, plain_text, raw_json
from cio_etl.transform.json_strings import without_repeated_keys
from cio_etl.transform.nested import as_dtype, fields, in_words

GROUP = "Lists and JSON"


Part = str | int | None  # of a path: a name, a place in a list, or None, each element


def _is_null(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    """Where JSON says that there is nothing."""
    return value.str.strip_chars(" \t\r\n") == "null"


@function(takes=("text",), reason=JSON_UNREADABLE, means_null=_is_null)
def json(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The list, object or other value in a JSON text, sent as it is written: no digit of a number changes.

    JSON's null is null. Rejected: what is not JSON or not Unicode, or is nested deeper than 127. Of a key that occurs
    twice in an object, the last is sent.

    >>> "[1, 12345678901234567890]" | json -> [1, 12345678901234567890]
    >>> "null" | json -> null
    >>> "{'a': 1}" | json -> rejected
    >>> "[NaN]" | json -> rejected
    """
    return value.map_batches(_sound, return_dtype=RAW_JSON, is_elementwise=True)


def _sound(texts: pl.Series) -> pl.Series:
    """The texts that are JSON, no object of which has a key twice."""
    is_json = _is_json(texts)
    return (
        _with_unique_keys(texts, is_json)
        .to_frame("raw_json")
        .select(pl.when(is_json).then(pl.struct("raw_json")))
        .to_series()
    )


def _repeats_a_key(text: str) -> bool:
    repeats = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeats
        repeats |= len({name for name, _ in pairs}) < len(pairs)

    json_text.loads(text, object_pairs_hook=look, parse_int=str, parse_float=str)  # numbers of any length
    return repeats


def _with_unique_keys(texts: pl.Series, is_json: pl.Series) -> pl.Series:
    holds_keys = (is_json & texts.str.contains(r"^[ \t\r\n]*[\[{]") & texts.str.contains(":", literal=True)).fill_null(
        False
    )
    if not holds_keys.any():
        return texts
    lines = texts.filter(holds_keys)
    if not (are_worthwhile(len(lines)) or any(map(_repeats_a_key, lines))):
        return texts
    if lines.str.contains("[\r\n]").any():  # white space between the parts of a document
        lines = lines.str.replace_all("[\r\n]", " ")
    data = (lines.str.join("\n")[0] + "\n").encode()
    unique = without_repeated_keys(data)
    if len(unique) == len(data):
        return texts
    made = pl.Series(unique.decode().split("\n")[:-1], dtype=pl.String)
    changed = holds_keys.arg_true()
    return texts.clone().scatter(changed, made)


# Most values are plain numbers and strings, which need no parser.
_PLAIN = r'^(?:-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?|true|false|"[^"\\\x00-\x1f]*")$'


def _is_json(column: pl.Series) -> pl.Series:
    plain = column.str.contains(_PLAIN)
    if plain.all():
        return plain
    others = (~plain).fill_null(False)
    parsed = column.filter(others).str.json_path_match("$").is_not_null()
    return plain.scatter(others.arg_true(), parsed)


_PART = re.compile(r"""(?P<dot>\.?)(?P<name>[^.\[\]"'\\]+) | \[(?P<place>-?[0-9]{1,9})\] | (?P<each>\[\*\])
                     | \["(?P<quoted>[^"\\]+)"\]""", re.VERBOSE)  # fmt: skip


def parts_of_path(path: str) -> tuple[Part, ...]:
    """The parts of a path; raises ValueError when it is not a path."""
    parts: list[Part] = []
    end = 0
    for match in _PART.finditer(path):
        if match.start() != end or (match["name"] and bool(match["dot"]) != bool(parts)):
            break
        end = match.end()
        parts.append(
            int(match["place"]) if match["place"] else None if match["each"] else match["name"] or match["quoted"]
        )
    if end != len(path) or not parts or parts.count(None) > 1 or re.match(r"\$(?![^.\[])", path):
        raise ValueError("'path' is names and places, as a.b[0].c, a[\"odd name\"] or, once, items[*].sku; without `$`")
    return tuple(parts)


def _check_pick(*, path: str) -> None:
    parts_of_path(path)


def _missing_is_no_failure(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    if dtype == RAW_JSON:
        value, dtype = plain_text(value), pl.String()
    if not isinstance(dtype, pl.String):
        return pl.lit(True)
    return value.str.json_path_match("$").is_not_null() | _is_null(value, dtype)


@function(
    takes=("text", "several columns", "a list", "a map", "JSON"),
    reason=JSON_UNREADABLE,
    shorthand="path",
    check=_check_pick,
    means_null=_missing_is_no_failure,
)
def pick(value: pl.Expr, dtype: pl.DataType, *, path: str) -> pl.Expr:
    """The value at a path: a name, `a.b`, a place, `a[0]`, or each, `a[*].b`; it keeps its kind.

    From JSON text, a number is sent as a number, to its last digit, and a list or an object as itself; a function that
    reads text gets it as text, so `cast`, `number`, `lower` or `timestamp` may follow; it rejects a list or an object.
    `[*]` makes a list. A missing value is null, like JSON's null, and rejects nothing; text that is not JSON rejects
    the row. Of a key that occurs twice in an object, the last counts.

    >>> "{\\"user\\": {\\"mail\\": \\"a@b.co\\"}}" | {pick: user.mail} -> "a@b.co"
    >>> "{\\"items\\": [{\\"sku\\": \\"x\\", \\"n\\": 2}]}" | {pick: "items[0].n"} -> 2
    >>> "{\\"items\\": [{\\"sku\\": \\"x\\"}, {\\"sku\\": 7}]}" | {pick: "items[*].sku"} -> ["x", 7]
    >>> "[\\"red\\", \\"blue\\"]" | {pick: "[*]"} -> ["red", "blue"]
    >>> "{\\"a.b\\": {\\"c\\": true}}" | {pick: "[\\"a.b\\"]"} -> {"c": true}
    >>> "{\\"user\\": {}}" | {pick: user.mail} -> null
    >>> "user=7" | {pick: user} -> rejected
    >>> {"address": {"city": "Nice"}} | {pick: address.city} -> "Nice"
    >>> [{"sku": "x"}, {"sku": "y"}] | {pick: "[*].sku"} -> ["x", "y"]
    """
    parts = parts_of_path(path)
    if dtype == RAW_JSON:
        value, dtype = plain_text(value), pl.String()  # a JSON string may hold JSON
    if not isinstance(dtype, pl.String):
        return in_columns(value, dtype, parts)
    if None not in parts:
        return raw_json(_raw(value, parts))
    each = parts.index(None)
    texts = by_distinct(value, lambda text: _each(text, parts[:each], parts[each + 1 :]), pl.List(pl.String()))
    return texts.list.eval(raw_json(pl.element()))


# What may be another kind of value than a string.
_NO_STRING = r"^(?:-?[0-9]|true$|false$|\[|\{)"


def _raw(document: pl.Expr, parts: Sequence[Part]) -> pl.Expr:
    """The JSON text of the value at a path.

    polars gives a value as text: the number 5 and the string "5" are alike, and numbers lose digits. Where the text
    could be either, or has many digits, the document decides: parsed once more, if it holds the text in quotes.
    """
    text = document.str.json_path_match("$" + "".join(_as_json_path(part) for part in parts))
    quoted = pl.struct(v=text).struct.json_encode().str.slice(len('{"v":')).str.head(-1)
    ambiguous = document.str.contains(pl.format('"{}"', text), literal=True) | document.str.contains("\\", literal=True)
    as_written = pl.any_horizontal(document.str.contains(text + end, literal=True) for end in ",}] ")
    changed = text.str.contains("[0-9]{16}") | (text.str.contains("^-?[0-9]") & ~as_written)
    doubtful = text.str.contains(_NO_STRING) & (ambiguous | changed)
    exact = by_distinct(pl.when(doubtful).then(document), lambda one: _json_at(one, parts), pl.String())
    return pl.when(text.str.contains(_NO_STRING)).then(pl.coalesce(exact, text)).when(text.is_not_null()).then(quoted)


def _as_json_path(part: Part) -> str:
    return f'["{part}"]' if isinstance(part, str) else f"[{part}]"


def in_columns(value: pl.Expr, dtype: pl.DataType, parts: Sequence[Part]) -> pl.Expr:
    """The part of a record, map or list at a path. Raises ValueError, with the remedy, where its type has none."""
    if not parts or isinstance(dtype, pl.Null):
        return value
    part, rest = parts[0], parts[1:]
    if isinstance(dtype, pl.Array):
        value, dtype = value.arr.to_list(), pl.List(dtype.inner)
    if isinstance(part, str) and isinstance(dtype, pl.Struct):
        inside = {name: (inner, kind) for name, inner, kind in fields(value, dtype)}
        if part in inside:
            return in_columns(*inside[part], rest)
        known = did_you_mean(part, inside, f"there are {', '.join(map(repr, inside))}")
        raise ValueError(f"pick: no field {part!r}; {known}")
    if isinstance(part, str) and isinstance(dtype, pl.Map):
        entry = pl.element().filter(key_text(pl.element().struct.field("key"), as_dtype(dtype.key)) == part)
        chosen = value.map.entries().list.eval(entry).list.first().struct.field("value")
        return in_columns(chosen, as_dtype(dtype.value), rest)
    if not isinstance(part, str) and isinstance(dtype, pl.List):
        if part is None:
            return value.list.eval(in_columns(pl.element(), as_dtype(dtype.inner), rest))
        return in_columns(value.list.get(part, null_on_oob=True), as_dtype(dtype.inner), rest)
    wanted = f"field {part!r}" if isinstance(part, str) else "place"
    raise ValueError(f"pick: no {wanted} in a column of {in_words(dtype)}")


def raw_json_at(documents: pl.Series, parts: Sequence[Part]) -> pl.Series:
    """The JSON text of the value at a path of JSON texts; with an "each", of the list of all of them."""

    def at(text: str) -> str | None:
        if None not in parts:
            return _json_at(text, parts)
        each = parts.index(None)
        found = _each(text, parts[:each], parts[each + 1 :])
        return None if found is None else f"[{','.join('null' if one is None else one for one in found)}]"

    return documents.to_frame("document").select(by_distinct(pl.col("document"), at, pl.String()).alias("part"))["part"]


class _Number(str):
    """A number as the JSON text writes it, to the last digit."""


def _loaded(text: str) -> Any:
    return json_text.loads(text, parse_constant=_refused, parse_int=_Number, parse_float=_Number)


def _json_at(text: str, parts: Sequence[Part]) -> str | None:
    return _as_json(_at(_loaded(text), parts))


def _each(text: str, before: Sequence[Part], after: Sequence[Part]) -> list[str | None] | None:
    """For each element of the list at `before`, the value at `after`, as JSON; None where there is no list."""
    try:
        match = _at(_loaded(text), before)
    except (ValueError, RecursionError):
        return None
    return [_as_json(_at(one, after)) for one in match] if isinstance(match, list) else None


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


def _as_json(value: Any) -> str | None:
    """The JSON text of a value that `_loaded` has read; None for null."""
    return None if value is None else "".join(_pieces(value))


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for place, (name, inner) in enumerate(value.items()):
            yield f"{',' if place else ''}{json_text.dumps(name, ensure_ascii=False)}:"
            yield from _pieces(inner)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for place, inner in enumerate(value):
            yield "," if place else ""
            yield from _pieces(inner)
        yield "]"
    else:
        yield value if isinstance(value, _Number) else json_text.dumps(value, ensure_ascii=False)
