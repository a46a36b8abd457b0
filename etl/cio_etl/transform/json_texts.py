"""Reads columns of sound lines of NDJSON: in given types, or each value as the JSON text that it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import polars as pl
import polars.selectors as cs

from cio_etl.transform.arrays import np, pa
from cio_etl.transform.json_strings import keys_of_objects, with_placeholder_in_texts, without_repeated_keys

_NONCHARACTER = re.compile(rb"(\xef\xb7[\x90-\xaf])|\\u([fF][dD][dDeE][0-9a-fA-F])")  # a noncharacter, or its escape
_LOST_ESCAPE = re.compile(rb"\\(?=[bfnrt]|u00(?:[01][0-9a-fA-F]|22|5[cC]))")


def read_lines(lines: bytes, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """These columns of sound lines. Raises PolarsError."""
    return pl.read_ndjson(BytesIO(lines), schema=schema)


def json_texts(data: bytes, columns: Sequence[str], mixed: bool) -> pl.DataFrame:
    """Columns as JSON text, where strings have escapes, or (`mixed`) are beside other kinds.

    polars writes a nested value out without escaping its backslashes, its control characters and the quotes of its keys
    again. So these escapes are hidden from it: they pass as characters that the text does not have. It also drops the
    quotes of strings; a fourth such character stands for them.
    """
    lines, shown = _hidden(data, mixed)
    texts = read_lines(lines, dict.fromkeys(columns, pl.String()))
    return texts.select(shown(cs.by_name(name).as_expr()).alias(name) for name in columns)


def json_texts_at(data: bytes, paths: Sequence[Sequence[str]]) -> list[pl.Series]:
    """The values at paths of keys as JSON texts, each path once and none inside another; null where there is none.

    Raises PolarsError where a line has something else than an object on the way to a value.
    """
    made: dict[tuple[str, ...], pl.Series] = {}
    if b"\\" not in data:
        try:
            made = _of_one_kind(data, paths)
        except pa.ArrowInvalid:  # a value of another kind
            read = _at_paths(read_lines(data, _schema_of(paths)), paths)
            texts = zip(map(tuple, paths), map(_strings, read), strict=True)
            made = {path: text for path, text in texts if text is not None}
    if unclear := [path for path in paths if tuple(path) not in made]:
        lines, shown = _hidden(data, mixed=True)
        found = _at_paths(read_lines(lines, _schema_of(unclear)), unclear)
        texts_of = (text.to_frame("v").select(shown(pl.col("v")).alias("v"))["v"] for text in found)
        made |= zip(map(tuple, unclear), texts_of, strict=True)
    return [made[tuple(path)] for path in paths]


_LINES_OF_A_GUESS = 100


def _of_one_kind(data: bytes, paths: Sequence[Sequence[str]]) -> dict[tuple[str, ...], pl.Series]:
    """The values at those paths where all are strings, whole numbers, or true and false, as the first lines have them.

    Arrow reads objects in objects in half of polars' time, and no value of another kind. Raises ArrowInvalid for one.
    """
    from pyarrow import json as arrow_json

    end = -1
    for _ in range(_LINES_OF_A_GUESS):
        if (next_end := data.find(b"\n", end + 1)) < 0:
            break
        end = next_end
    try:
        first = _at_paths(pl.read_ndjson(BytesIO(data[: end + 1])), paths)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return {}
    plain_kinds: dict[pl.DataType, pa.DataType] = {
        pl.String(): pa.large_string(),
        pl.Int64(): pa.int64(),
        pl.Boolean(): pa.bool_(),
    }
    kinds = {tuple(path): plain_kinds.get(column.dtype) for path, column in zip(paths, first, strict=True)}
    plain = {path: kind for path, kind in kinds.items() if kind is not None}
    if not plain:
        return {}
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    lengths = np.diff(ends, prepend=-1, append=[] if data.endswith(b"\n") else len(data))
    in_blocks = arrow_json.ReadOptions(block_size=max(_BLOCK, int(lengths.max()) + 1))
    only = arrow_json.ParseOptions(
        explicit_schema=pa.schema(_arrow_fields(plain)), newlines_in_values=False, unexpected_field_behavior="ignore"
    )
    table = arrow_json.read_json(pa.BufferReader(data), read_options=in_blocks, parse_options=only)
    if table.num_rows != lengths.size:
        raise pa.ArrowInvalid("not one object a line")
    columns = _at_paths(pl.DataFrame(table), list(plain))
    return dict(zip(plain, _as_json(columns), strict=True))


_BLOCK = 1 << 19  # bytes that one thread reads at once; no line may be longer


def _arrow_fields(kinds: Mapping[tuple[str, ...], pa.DataType]) -> list[tuple[str, pa.DataType]]:
    """The fields of objects that have values of these kinds at the paths."""
    below: dict[str, dict[tuple[str, ...], pa.DataType]] = {}
    for (first, *rest), kind in kinds.items():
        below.setdefault(first, {})[tuple(rest)] = kind
    return [(key, inner[()] if () in inner else pa.struct(_arrow_fields(inner))) for key, inner in below.items()]


def _as_json(columns: Sequence[pl.Series]) -> list[pl.Series]:
    """Strings without escapes, numbers, or true and false as JSON texts."""
    frame = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(columns)])
    texts = frame.select(
        (pl.format('"{}"', name) if dtype == pl.String else pl.col(name).cast(pl.String)).alias(name)
        for name, dtype in frame.schema.items()
    )
    return texts.get_columns()


def _strings(column: pl.Series) -> pl.Series | None:
    """The JSON texts of strings that polars has read; None where a text may be of another kind."""
    return None if column.str.contains(_LIKE_ANOTHER_KIND).any() else _as_json([column])[0]


# What a text that polars made of another kind than a string looks like.
_LIKE_ANOTHER_KIND = r"(?s)^(?:-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$|true$|false$|[\[{])"


def _schema_of(paths: Sequence[Sequence[str]]) -> dict[str, pl.DataType]:
    """The schema of objects whose values at the paths are read as text."""
    below: dict[str, list[Sequence[str]]] = {}
    for first, *rest in paths:
        below.setdefault(first, []).append(rest)
    return {key: pl.Struct(_schema_of(inner)) if inner[0] else pl.String() for key, inner in below.items()}


def _at_paths(frame: pl.DataFrame, paths: Sequence[Sequence[str]]) -> list[pl.Series]:
    """The columns at these paths; of one that the frame has not, nulls."""
    values = []
    for place, (first, *rest) in enumerate(paths):
        value, dtype = cs.by_name(first, require_all=False).as_expr(), frame.schema.get(first)
        for key in rest:
            dtype = _fields(dtype).get(key)
            value = value.struct.field(key) if dtype is not None else value
        is_there = dtype is not None
        values.append((value if is_there else pl.lit(None, pl.Null)).alias(str(place)))
    return frame.with_columns(values).select(map(str, range(len(paths)))).get_columns()


def _fields(dtype: pl.DataType | None) -> pl.Schema:
    return pl.Schema(dtype.to_schema() if isinstance(dtype, pl.Struct) else {})


def _hidden(data: bytes, mixed: bool) -> tuple[bytes, Callable[[pl.Expr], pl.Expr]]:
    """The lines with what polars would change hidden from it, and how it is shown again in a text that it made."""
    has_any = b"\xef\xb7" in data or b"\\" in data  # the search below is slow
    found = _NONCHARACTER.findall(data) if has_any else []
    used = {int(escaped, 16) if escaped else ord(raw.decode()) for raw, escaped in found}
    placeholders = sorted(map(chr, range(0xFDD0, 0xFDF0)), key=lambda placeholder: ord(placeholder) in used)
    backslashes, quote, other, string = placeholders[:4]
    hidden = data.replace(rb"\\", backslashes.encode()).replace(rb"\"", quote.encode())
    hidden = _LOST_ESCAPE.sub(other.encode(), hidden) if b"\\" in hidden else hidden
    if mixed:
        hidden = with_placeholder_in_texts(hidden, string.encode())

    def shown(text: pl.Expr) -> pl.Expr:
        text = _with_quotes(text, string) if mixed else text
        return text.str.replace_many([backslashes, quote, other], [r"\\", r"\"", "\\"]) if has_any else text

    return hidden, shown


def _with_quotes(text: pl.Expr, placeholder: str) -> pl.Expr:
    """The text in quotes where a placeholder shows that it was a string; else without placeholders inside it."""
    inside = text.str.replace_all(placeholder, "", literal=True)
    return pl.when(text.str.starts_with(placeholder)).then(pl.format('"{}"', inside)).otherwise(inside)


def keys_in(texts: pl.Series) -> list[str]:
    """The keys of the objects among JSON texts, in the order in which they first occur."""
    lines = texts.filter(texts.str.contains(_OBJECT).fill_null(False)).str.replace_all("[\r\n]", " ")
    return keys_of_objects((lines.str.join("\n")[0] + "\n").encode()) if len(lines) else []


_OBJECT = r"^[ \t\r\n]*\{"


def members(texts: pl.Series, paths: Sequence[tuple[str, ...]], *, unique: bool) -> list[pl.Series]:
    """The values at these paths of keys in each object; null in a row that has no object."""
    is_object = texts.str.contains(_OBJECT).fill_null(False)
    none = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    if not is_object.any():
        return [none for _ in paths]
    lines = texts.filter(is_object)
    if lines.str.contains("[\r\n]").any():
        lines = lines.str.replace_all("[\r\n]", " ")
    data = (lines.str.join("\n")[0] + "\n").encode()
    if not unique:
        data = without_repeated_keys(data)
    try:
        read = json_texts_at(data, paths)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):  # an object in one row is a text in another
        read = _key_by_key(lines, paths, unique=unique)
    if is_object.all():
        return read
    places = (is_object.cast(pl.Int64).cum_sum() - 1).to_frame("at").select(pl.when(is_object).then("at").alias("at"))
    return [column.gather(places["at"]) for column in read]


def values_at(data: bytes, paths: Sequence[Sequence[str]]) -> list[pl.Series]:
    """The values at these paths of keys in sound lines in which no object has a key twice; null where there is none.

    Each path is there once, and none is inside another. Raises PolarsError.
    """
    try:
        return json_texts_at(data, paths)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):  # an object in one row is a text in another
        lines = data.rstrip(b"\n").decode().split("\n")
        return _key_by_key(pl.Series(lines, dtype=pl.String), list(map(tuple, paths)), unique=True)


def _key_by_key(lines: pl.Series, paths: Sequence[tuple[str, ...]], *, unique: bool) -> list[pl.Series]:
    """The same, one level of objects after the other."""
    first = list(dict.fromkeys(path[0] for path in paths))
    data = (lines.str.join("\n")[0] + "\n").encode()
    of_keys = dict(zip(first, json_texts(data, first, mixed=True).get_columns(), strict=True))
    made: dict[tuple[str, ...], pl.Series] = {path: of_keys[path[0]] for path in paths if len(path) == 1}
    for key in first:
        below = [path for path in paths if path[0] == key and len(path) > 1]
        if below:
            made |= zip(below, members(of_keys[key], [path[1:] for path in below], unique=unique), strict=True)
    return [made[path] for path in paths]
