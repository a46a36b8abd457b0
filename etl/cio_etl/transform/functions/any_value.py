"""Functions for any value: casts, defaults, maps, nulls and booleans."""

from __future__ import annotations

import json as json_text
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Literal

import polars as pl

from cio_etl.model.reasons import BYTES_UNREADABLE, CAST_FAILED, MAP_UNMATCHED, NOT_A_BOOLEAN
from cio_etl.transform.decimals import NUMBER, as_double, floored, has_fraction, number, text_of
from cio_etl.transform.distinct import by_distinct
from cio_etl.transform.functions.define import RAW_JSON, RAW_JSON_LIST, Scalar, always, function, is_of_kind, kind_of
from cio_etl.transform.functions.numbers import to_number
from cio_etl.transform.invisible import stripped
from cio_etl.transform.nested import in_words
from cio_etl.transform.timestamps import PER_SECOND, in_calendar
from cio_etl.transform.timestamps import text_of as date_text

GROUP = "Any value"


_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
# Every spelling, since to look one up costs half of what it costs to write it in small letters first.
_BOOLEANS = {
    "".join(letters): meant
    for word, meant in _WORDS.items()
    for letters in product(*zip(word.lower(), word.upper(), strict=True))
}


@function(takes=("text", "a number", "true or false", "a date"), reason=CAST_FAILED, shorthand="to", exact=True)
def cast(value: pl.Expr, dtype: pl.DataType, *, to: Literal["text", "integer", "number", "boolean"]) -> pl.Expr:
    """The value as text, as a whole number, as a number, or as true or false.

    - `integer`: digits with or without a sign. A number with a fraction, a text with a point, an exponent or a space
      is rejected, and so is what 64 bits do not hold.
    - `number`: a decimal number, an exponent allowed; from ±2^53 on it is rejected, because JSON readers would change
      its last digits. Integers stay integers.
    - `boolean`: true, t, yes, y, 1 and false, f, no, n, 0, in small letters or capitals.
    - `text`: dates and times are written as in ISO 8601, a Float64 with its point: for 7.0 as "7" go by `integer`.

    >>> "007" | {cast: integer} -> 7
    >>> "1.0" | {cast: integer} -> rejected
    >>> "1e3" | {cast: integer} -> rejected
    >>> " 7 " | {cast: integer} -> rejected
    >>> 2.0 | {cast: integer} -> 2
    >>> 2.5 | {cast: integer} -> rejected
    >>> "1e3" | {cast: number} -> 1000.0
    >>> "nan" | {cast: number} -> rejected
    >>> "Yes" | {cast: boolean} -> true
    >>> 2 | {cast: boolean} -> rejected
    >>> 7 | {cast: text} -> "7"
    """
    if kind_of(dtype) == "a date" and to != "text":
        raise ValueError(f"cast: a date is no {to}; `timestamp` makes Unix seconds of it")
    match to:
        case "text":
            return to_text(value, dtype)
        case "integer":
            return _to_integer(value, dtype)
        case "number":
            return to_number(value.cast(pl.Int64), pl.Int64()) if dtype == pl.Boolean else to_number(value, dtype)
        case "boolean":
            return _to_boolean(value, dtype)


@function(takes=("bytes",), reason=BYTES_UNREADABLE, shorthand="form")
def decode(value: pl.Expr, dtype: pl.DataType, *, form: Literal["utf-8", "hex", "base64", "uuid"] = "utf-8") -> pl.Expr:
    """The text of a column of bytes: text that was stored as bytes (UTF-8), or the bytes written in another form.

    `uuid` writes the 16 bytes of a UUID in its usual form, other lengths are rejected.

    >>> b"Zo\\xc3\\xab" | decode -> "Zoë"
    >>> b"\\xff\\xfe" | decode -> rejected
    >>> b"\\x01\\xab" | {decode: hex} -> "01ab"
    >>> b"0123456789abcdef" | {decode: uuid} -> "30313233-3435-3637-3839-616263646566"
    """
    match form:
        case "utf-8":
            return value.map_batches(_utf8, return_dtype=pl.String, is_elementwise=True)
        case "uuid":
            digits = pl.when(value.bin.size() == 16).then(value).bin.encode("hex")
            return digits.str.replace("^(.{8})(.{4})(.{4})(.{4})", "${1}-${2}-${3}-${4}-")
        case _:
            return value.bin.encode(form)


def _utf8(values: pl.Series) -> pl.Series:
    """The texts; null for bytes that are not UTF-8, for which polars refuses the whole column."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        texts = by_distinct(pl.col("v"), _decoded, pl.String())
        return values.alias("v").to_frame().select(texts).to_series().alias(values.name)


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def to_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as text, as `cast: text` makes it: ISO 8601 for dates, null for NaN and infinity."""
    if isinstance(dtype, pl.Date | pl.Datetime):
        return date_text(value, dtype)
    if dtype == NUMBER:
        return text_of(value)
    return _finite_or_null(value, dtype).cast(pl.String)


def _to_integer(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == NUMBER:
        value, dtype = text_of(value), pl.String()
    if isinstance(dtype, pl.String):
        value = pl.when(value.str.contains(r"^[+-]?[0-9]+$")).then(value)
    elif dtype.is_decimal():
        return pl.when(~has_fraction(value)).then(floored(value))
    elif dtype.is_float():
        value = pl.when(value == value.floor()).then(value)
    return value.cast(pl.Int64, strict=False)


def _to_boolean(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == NUMBER:
        value, dtype = as_double(value), pl.Float64()
    if isinstance(dtype, pl.String):
        return value.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if isinstance(dtype, pl.Boolean):
        return value
    return pl.when(value == 1).then(True).when(value == 0).then(False)


def _finite_or_null(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return pl.when(value.is_finite()).then(value) if dtype.is_float() else value


@function(shorthand="to")
def default(value: pl.Expr, dtype: pl.DataType, *, to: Scalar | list[str]) -> pl.Expr:
    """The value, and `to` where it is null. `to` must be of the column's kind: text for a CSV column.

    >>> null | {default: 0} -> 0
    >>> "pro" | {default: free} -> "pro"
    """
    if dtype == RAW_JSON:
        return value.fill_null(pl.struct(raw_json=pl.lit(json_text.dumps(to))))
    if dtype == RAW_JSON_LIST and isinstance(to, list):
        elements = pl.Series([[{"raw_json": json_text.dumps(one)} for one in to]], dtype=RAW_JSON_LIST)
        return value.fill_null(pl.lit(elements).first())
    if dtype == pl.Null:
        return pl.lit(to)
    if not is_of_kind(to, dtype):
        raise _other_kind(dtype)
    if dtype == NUMBER:
        return value.fill_null(number(pl.lit(json_text.dumps(to))))
    literal = pl.lit(pl.Series([to], dtype=dtype)).first() if isinstance(to, list) else pl.lit(to)
    if pl.select(literal.cast(dtype, strict=False)).to_series().null_count():
        raise _other_kind(dtype)
    return value.fill_null(literal.cast(dtype))


def _other_kind(dtype: pl.DataType) -> ValueError:
    what = f"the column holds {in_words(dtype)}, which the default is not; put a `cast` before it"
    return ValueError(f"default: {what}")


def _one_kind(*, values: dict[str, Scalar], default: Scalar | None = None, optional: bool = False) -> None:
    if optional and default is not None:
        raise ValueError("give 'default' or 'optional', one of the two")
    if not values:
        raise ValueError("'values' must not be empty")
    if not all(isinstance(key, str | int | float) for key in values):
        raise ValueError("the values to look up must be text, numbers or true/false")
    results = [*values.values(), *([] if default is None else [default])]
    if not all(isinstance(result, str | int | float) for result in results):
        raise ValueError("every result must be text, a number or true/false")
    if len({_kind_of_result(result) for result in results}) > 1:
        raise ValueError("the results must be of one kind: all text, all numbers, or all true/false")


def _kind_of_result(result: Scalar) -> type:
    return float if isinstance(result, int) and not isinstance(result, bool) else type(result)


@function(
    takes=("text", "a number", "true or false"),
    reason=MAP_UNMATCHED,
    shorthand="values",
    check=_one_kind,
    means_null=lambda value, dtype, *, optional=False, **_: pl.lit(optional),
)
def map(
    value: pl.Expr,
    dtype: pl.DataType,
    *,
    values: dict[str, Scalar],
    default: Scalar | None = None,
    optional: bool = False,
) -> pl.Expr:
    """The entry of `values` for the value; a value without one becomes `default`, or rejects the row.

    With `optional` it becomes null instead, and the row is not rejected. A key that is a number or true/false also
    matches text, as YAML writes it.

    >>> "p" | {map: {p: pro, f: free}} -> "pro"
    >>> "x" | {map: {p: pro, f: free}} -> rejected
    >>> "x" | {map: {values: {p: pro}, default: other}} -> "other"
    >>> "1" | {map: {1: true, 0: false}} -> true
    """
    if dtype.is_decimal():
        value, dtype = value.cast(pl.Float64), pl.Float64()
    old = [_looked_up(key, dtype) for key in values]
    if len(set(old)) < len(old):
        raise ValueError("map: two of the values to look up are the same for this column")
    results = [*values.values(), *([] if default is None else [default])]
    made = pl.Series(results, dtype=_type_of(results))
    new, rest = made[: len(old)], None if default is None else made[-1]
    mapped = value.replace_strict(pl.Series(old, dtype=dtype), new, default=rest, return_dtype=made.dtype)
    return pl.when(value.is_not_null()).then(mapped)


def _looked_up(key: Any, dtype: pl.DataType) -> Any:
    """A key of `values` in the type of the column."""
    text = str(key).lower() if isinstance(key, bool) else str(key)
    try:
        if isinstance(dtype, pl.String):
            return text
        if isinstance(dtype, pl.Boolean):
            return {"true": True, "false": False}[text.lower()]
        return int(text) if dtype.is_integer() else float(text)
    except (KeyError, ValueError):
        what = f"the column holds {in_words(dtype)}, which a value to look up is not"
        raise ValueError(f"map: {what}") from None


def _type_of(results: Sequence[Any]) -> pl.DataType:
    if isinstance(results[0], str | bool):
        return pl.String() if isinstance(results[0], str) else pl.Boolean()
    return pl.Int64() if all(isinstance(result, int) for result in results) else pl.Float64()


def _some_values(*, values: str | float | list[str | float], **_: object) -> None:
    if values == []:
        raise ValueError("'values' must not be empty")


@function(takes=("text", "a number", "a date"), shorthand="values", check=_some_values, means_null=always, exact=True)
def null_if(
    value: pl.Expr, dtype: pl.DataType, *, values: str | float | list[str | float], ignore_case: bool = False
) -> pl.Expr:
    """The value, but null where it is one of `values`, such as an export's N/A; no row is rejected.

    In a column of dates the values are written as in ISO 8601; a day, such as 9999-12-31, stands for all its times.

    >>> "N/A" | {null_if: ["N/A", "-", ""]} -> null
    >>> "n/a" | {null_if: {values: N/A, ignore_case: true}} -> null
    >>> "Ada" | {null_if: ["N/A", "-", ""]} -> "Ada"
    >>> -1 | {null_if: -1} -> null
    """
    listed = values if isinstance(values, list) else [values]
    if isinstance(dtype, pl.String):
        listed = [str(one) for one in listed]
    if isinstance(dtype, pl.Date | pl.Datetime):
        return pl.when(pl.any_horizontal(_is_at(value, dtype, one) for one in listed).not_()).then(value)
    sought, dtype = (as_double(value), pl.Float64()) if dtype == NUMBER else (value, dtype)
    try:
        unknown = pl.Series(listed if all(is_of_kind(one, dtype) for one in listed) else [None], dtype=dtype)
    except (OverflowError, TypeError):
        unknown = pl.Series([None], dtype=dtype)
    if unknown.null_count():
        raise ValueError(f"null_if: the column holds {in_words(dtype)}, which a value of the list is not")
    if isinstance(dtype, pl.String) and ignore_case:
        return pl.when(~value.str.to_lowercase().is_in([str(one).lower() for one in listed])).then(value)
    return pl.when(~sought.is_in(unknown.implode())).then(value)


def _is_at(value: pl.Expr, dtype: pl.DataType, written: str | float) -> pl.Expr:
    """Whether a date or time equals the written one; a written day equals every time of that day."""
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        what = f"the column holds {in_words(dtype)}, and {written!r} is no date as 2024-03-10"
        raise ValueError(f"null_if: {what}") from None
    within = in_calendar(value, dtype)
    if isinstance(dtype, pl.Date) or len(str(written)) == len("2024-03-10"):
        return within.dt.date().eq_missing(moment.date())
    assert isinstance(dtype, pl.Datetime)
    if not dtype.time_zone or not moment.tzinfo:
        moment = moment.replace(tzinfo=UTC)
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return within.to_physical().cast(pl.Int128).eq_missing(micros * PER_SECOND[dtype.time_unit] // 1_000_000)


# Words for true and for false; digits and English stand in exports of any language.
_EVERYWHERE = (("true", "1"), ("false", "0"))
_WORDS_OF: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "en": (("yes", "y", "t", "on"), ("no", "n", "f", "off")),
    "cs": (("ano", "pravda"), ("ne", "nepravda")),
    "da": (("ja", "sand"), ("nej", "falsk")),
    "de": (("ja", "j", "wahr", "an"), ("nein", "n", "falsch", "aus")),
    "es": (("sí", "si", "s", "verdadero"), ("no", "n", "falso")),
    "fi": (("kyllä", "tosi"), ("ei", "epätosi")),
    "fr": (("oui", "o", "vrai"), ("non", "n", "faux")),
    "it": (("sì", "si", "s", "vero"), ("no", "n", "falso")),
    "nl": (("ja", "j", "waar", "aan"), ("nee", "n", "onwaar", "uit")),
    "no": (("ja", "sann"), ("nei", "usann")),
    "pl": (("tak", "t", "prawda"), ("nie", "n", "fałsz")),
    "pt": (("sim", "s", "verdadeiro"), ("não", "nao", "n", "falso")),
    "sv": (("ja", "j", "sant"), ("nej", "n", "falskt")),
}

BOOLEAN_LANGUAGES = tuple(_WORDS_OF)


def _words(language: str | list[str], yes: list[str] | None, no: list[str] | None) -> dict[str, bool]:
    """The meaning of each word; raises ValueError for an unknown language, and for a word with both meanings."""
    meanings: dict[str, bool] = {}
    lists: list[tuple[Sequence[str], Sequence[str]]] = [_EVERYWHERE, (yes or (), no or ())]
    for name in [language] if isinstance(language, str) else language:
        if name not in _WORDS_OF:
            raise ValueError(
                f"no words of a language {name!r}; there are {', '.join(_WORDS_OF)}; or give 'yes' and 'no'"
            )
        lists.append(_WORDS_OF[name])
    for words, meaning in [(words, place == 0) for pair in lists for place, words in enumerate(pair)]:
        for word in words:
            if meanings.setdefault(word.strip().lower(), meaning) != meaning:
                raise ValueError(f"{word!r} would mean both true and false")
    return meanings


def _check_boolean(
    *, language: str | list[str] = "en", yes: list[str] | None = None, no: list[str] | None = None
) -> None:
    _words(language, yes, no)


@function(
    takes=("text", "a number", "true or false"),
    reason=NOT_A_BOOLEAN,
    shorthand="language",
    check=_check_boolean,
)
def boolean(
    value: pl.Expr,
    dtype: pl.DataType,
    *,
    language: str | list[str] = "en",
    yes: list[str] | None = None,
    no: list[str] | None = None,
) -> pl.Expr:
    """True or false for a word that means it in a language, in any case, and for 1 and 0; `yes` and `no` add words.

    Languages: en, cs, da, de, es, fi, fr, it, nl, no, pl, pt, sv, or a list of them; `true` and `false` are known in
    each.

    >>> "Yes" | boolean -> true
    >>> " NEIN " | {boolean: de} -> false
    >>> "abgemeldet" | {boolean: {language: de, no: [abgemeldet]}} -> false
    >>> 0 | boolean -> false
    >>> "maybe" | boolean -> rejected
    >>> "oui" | boolean -> rejected
    """
    if isinstance(dtype, pl.String):
        words = _words(language, yes, no)
        return stripped(value).str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    return _to_boolean(value, dtype)
