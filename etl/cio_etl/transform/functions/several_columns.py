"""Functions of several columns: these arrive as one struct, with a field for each column, in order.

A null result is not a failure here: there was nothing to make a value of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import polars as pl

from cio_etl.errors import did_you_mean
from cio_etl.model.reasons import EXPR_FAILED, NUMBER_NOT_FINITE
from cio_etl.transform import row_sql
from cio_etl.transform.decimals import NUMBER
from cio_etl.transform.encode import not_finite
from cio_etl.transform.functions.any_value import to_text
from cio_etl.transform.functions.define import always, function, kind_of
from cio_etl.transform.invisible import is_blank
from cio_etl.transform.nested import fields, in_words

GROUP = "Several columns"


@function(takes=("several columns",), means_null=always)
def coalesce(value: pl.Expr, dtype: pl.Struct, *, skip_blank: bool = False) -> pl.Expr:
    """The first of the columns that is not null; with `skip_blank`, that is not an empty or blank text either.

    The columns are of one kind; without `skip_blank`, an empty text is a value, as in SQL.

    >>> {"mobile": null, "phone": "+33612345678"} | coalesce -> "+33612345678"
    >>> {"mobile": "", "phone": "+33612345678"} | coalesce -> ""
    >>> {"mobile": " ", "phone": "+33612345678"} | {coalesce: {skip_blank: true}} -> "+33612345678"
    >>> {"mobile": null, "phone": null} | coalesce -> null
    """
    parts = [(part, kind) for _, part, kind in _parts(value, dtype) if kind != pl.Null]
    if not parts:
        return pl.lit(None, dtype=pl.String) if not dtype.fields else value.struct[0]
    if len({_kind(kind) for _, kind in parts}) > 1:
        kinds = ", ".join(dict.fromkeys(map(_words, (kind for _, kind in parts))))
        raise ValueError(f"coalesce: the columns are of several kinds, {kinds}; cast them in an `expr`, or the source")
    if any(kind == pl.UInt64 for _, kind in parts) and len({kind for _, kind in parts}) > 1:
        parts = [(part.cast(pl.Int128), pl.Int128()) for part, _ in parts]  # polars makes floats of Int64 and UInt64
    return pl.coalesce(_not_blank(part, kind, skip_blank) for part, kind in parts)


def _kind(dtype: pl.DataType) -> str:
    """The kind that columns must share to be combined unchanged: whole numbers are one kind, floats another."""
    if isinstance(dtype, pl.Datetime):
        return f"times in {dtype.time_unit}{f', {dtype.time_zone}' if dtype.time_zone else ''}"
    if isinstance(dtype, pl.Decimal):
        return f"decimal numbers with {dtype.scale} digits after the point"
    if dtype.is_nested() or dtype == pl.UInt128:
        return str(dtype)
    return in_words(dtype)


def _words(dtype: pl.DataType) -> str:
    return in_words(dtype) if dtype.is_nested() else _kind(dtype)


def _not_blank(part: pl.Expr, dtype: pl.DataType, skip_blank: bool) -> pl.Expr:
    return pl.when(~is_blank(part)).then(part) if skip_blank and isinstance(dtype, pl.String) else part


def _parts(value: pl.Expr, dtype: pl.Struct) -> Iterator[tuple[str, pl.Expr, pl.DataType]]:
    """Name, value and type of each column; categories are text."""
    for name, part, kind in fields(value, dtype):
        if isinstance(kind, pl.Categorical | pl.Enum):
            yield name, part.cast(pl.String), pl.String()
        else:
            yield name, part, kind


def _texts(called: str, value: pl.Expr, dtype: pl.DataType) -> dict[str, pl.Expr]:
    """Each column as text, as `cast: text` makes it, by its name."""
    assert isinstance(dtype, pl.Struct)
    texts = {}
    for name, part, kind in _parts(value, dtype):
        if kind_of(kind) not in ("text", "a number", "true or false", "a date") and kind != pl.Null:
            raise ValueError(f"{called}: the column {name!r} holds {in_words(kind)}, which have no text")
        texts[name] = to_text(part, kind)
    return texts


def _all_finite(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    """True where no column holds NaN or infinity, which have no text."""
    broken = not_finite(value, dtype)
    return pl.lit(True) if broken is None else ~broken


@function(takes=("several columns",), reason=NUMBER_NOT_FINITE, shorthand="separator", means_null=_all_finite)
def concat(value: pl.Expr, dtype: pl.DataType, *, separator: str = "", skip_blank: bool = False) -> pl.Expr:
    """The columns as one text with the separator between them; nulls are left out, and null if all are null.

    With `skip_blank`, empty and blank texts are left out as well. Columns other than text are written as by
    `cast: text`.

    >>> {"first": "Ada", "last": "L"} | {concat: " "} -> "Ada L"
    >>> {"first": "Ada", "middle": null, "last": "L"} | {concat: " "} -> "Ada L"
    >>> {"first": "Ada", "middle": "", "last": "L"} | {concat: {separator: " ", skip_blank: true}} -> "Ada L"
    >>> {"shop": "fr", "number": 7} | {concat: "-"} -> "fr-7"
    >>> {"first": null, "last": null} | {concat: " "} -> null
    """
    texts = [_not_blank(text, pl.String(), skip_blank) for text in _texts("concat", value, dtype).values()]
    joined = pl.concat_str(texts, separator=separator, ignore_nulls=True)
    some = pl.any_horizontal(text.is_not_null() for text in texts)
    return pl.when(some & _all_finite(value, dtype)).then(joined)


_HOLE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def _pieces(template: str) -> list[tuple[str, str | None]]:
    """A template as (text, name of the column after it); the last name is None."""
    pieces: list[tuple[str, str | None]] = []
    text, end = "", 0
    for match in _HOLE.finditer(template):
        text += template[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            text += match[0][0]
        elif match[1] is None:
            raise ValueError("'template' has a brace alone; a column is {name}, and {{ or }} is a brace")
        else:
            pieces.append((text, match[1]))
            text = ""
    return [*pieces, (text + template[end:], None)]


def _check_template(*, template: str, **_: object) -> None:
    if len(_pieces(template)) == 1:
        raise ValueError(
            "'template' names no column; write {name} where its text is to stand, and {} for the value itself"
        )


@function(
    takes=("several columns", "text", "a number", "true or false", "a date"),
    reason=NUMBER_NOT_FINITE,
    shorthand="template",
    check=_check_template,
    means_null=_all_finite,
    exact=True,
)
def template(value: pl.Expr, dtype: pl.DataType, *, template: str, null_text: str | None = None) -> pl.Expr:
    """The template with each `{name}` replaced by that column's text; for a single column, `{}` is the value.

    Null when one of the columns that it names is null; with `null_text`, that text stands for the null. Braces
    themselves are `{{` and `}}`. Other columns than text are written as by `cast: text`.

    >>> {"first": "Ada", "last": "L"} | {template: "{last}, {first}"} -> "L, Ada"
    >>> {"first": null, "last": "L"} | {template: "{last}, {first}"} -> null
    >>> {"first": null, "last": "L"} | {template: {template: "{last}, {first}", null_text: "?"}} -> "L, ?"
    >>> "4711" | {template: "https://example.org/orders/{}"} -> "https://example.org/orders/4711"
    """
    single = dtype == NUMBER or not isinstance(dtype, pl.Struct)
    texts = {"": to_text(value, dtype)} if single else _texts("template", value, dtype)
    made: list[pl.Expr] = []
    for text, name in _pieces(template):
        made += [pl.lit(text)] if text else []
        if name is not None:
            if name not in texts:
                raise ValueError(f"template: no column {name!r}; {_near(name, single, list(texts))}")
            made.append(texts[name] if null_text is None else texts[name].fill_null(null_text))
    return pl.when(_all_finite(value, dtype)).then(pl.concat_str(made))


def _near(name: str, single: bool, known: list[str]) -> str:
    if single:
        return "of a single column write {}, or give it `columns:`"
    return did_you_mean(name, known, f"there are {', '.join(map(repr, known))}")


def _check_expr(*, sql: str) -> None:
    row_sql.check_value(sql)


def _computable(value: pl.Expr, dtype: pl.DataType, *, sql: str) -> pl.Expr:
    return value.map_batches(lambda rows: ~row_sql.failing_rows(sql, rows.struct.unnest()), return_dtype=pl.Boolean)


@function(takes=("several columns",), reason=EXPR_FAILED, shorthand="sql", check=_check_expr, means_null=_computable)
def expr(value: pl.Expr, dtype: pl.DataType, *, sql: str) -> pl.Expr:
    """The value of an SQL expression over the columns of one row: operators, `case`, and functions of one row.

    Unusual names stand in double quotes, text in single quotes. A null result is null, as in SQL; a row for which the
    expression cannot be computed, such as a `cast` that fails, is rejected: `try_cast` gives null instead. Queries,
    aggregates, the clock, and dates without a format are refused. Whole numbers have 64 bits, after `as int` 32; a row
    whose numbers exceed them is rejected.

    >>> {"cents": 1050, "quantity": 2} | {expr: "cents * quantity / 100"} -> 21.0
    >>> {"first": "Ada", "last": "L"} | {expr: "first || ' ' || last"} -> "Ada L"
    >>> {"plan": null} | {expr: "case when plan is null then 'free' else lower(plan) end"} -> "free"
    >>> {"quantity": "7"} | {expr: "cast(quantity as bigint) > 5"} -> true
    >>> {"quantity": "x"} | {expr: "try_cast(quantity as bigint)"} -> null
    >>> {"quantity": "x"} | {expr: "cast(quantity as bigint)"} -> rejected
    >>> {"cents": 9223372036854775807} | {expr: "cents * 2"} -> rejected
    """
    made = row_sql.dtype_of(sql, dtype)
    return value.map_batches(lambda rows: row_sql.values(sql, rows.struct.unnest(), made), return_dtype=made)
