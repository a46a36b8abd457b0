"""Writes values of any type as cells of text, and reads them back exactly.

Three kinds of text get an apostrophe before them. A spreadsheet runs a cell that begins with a sign of a formula, and
some do so behind blanks. A byte-order mark at the beginning of a cell is the trace of another file. And "" and null
look alike in a spreadsheet: null is the empty cell, and "" is an apostrophe alone. A text
that already begins with such apostrophes gets one more, so reading removes one apostrophe and changes no other cell.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from cio_etl.transform import timestamps
from cio_etl.transform.nested import anywhere, in_words, parts

_FORMULA = "=+@＝＋－＠\t\r\n-"  # signs of formulas (OWASP: CSV injection); some are full-width
_BEGINS = rf"(\x{{FEFF}}|\s*[{_FORMULA}]|\z)"  # \z is the end of the text; `$` may be the end of a line
_TO_GUARD = rf"^'*{_BEGINS}"
_GUARDED = rf"^'+{_BEGINS}"

_TIME = r"(\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?"
_MOMENT = rf"^(\d{{4}}-\d\d-\d\d)(?:[ T]{_TIME})?\s?(Z|UTC|[+-]\d\d:?\d\d)?$"
_WHOLE = r"^[+-]?\d+(\.0*)?$"
_DECIMAL = r"^[+-]?\d+(\.\d*)?$"


def guarded(cells: pl.Series) -> pl.Series:
    """The texts, safe to open in a spreadsheet."""
    return _replaced(cells, _TO_GUARD, pl.lit("'") + pl.col("cell"))


def unguarded(cells: pl.Series) -> pl.Series:
    """The texts from which `guarded` made these."""
    return _replaced(cells, _GUARDED, pl.col("cell").str.strip_prefix("'"))


def _replaced(cells: pl.Series, pattern: str, new: pl.Expr) -> pl.Series:
    cell = pl.col("cell")
    changed = pl.when(cell.str.contains(pattern)).then(new).otherwise(cell)
    return cells.alias("cell").to_frame().select(changed.alias(cells.name)).to_series()


def as_text(column: pl.Series) -> pl.Series:
    """The column as text: digits, ISO 8601, true and false; JSON for nested values, hexadecimal digits for bytes."""
    dtype = column.dtype
    if dtype == pl.String:
        return column
    if isinstance(dtype, pl.Datetime | pl.Date):
        value = pl.col("v")
        within = timestamps.in_calendar(value, dtype).dt.to_string("iso")
        text = pl.coalesce(within, value.to_physical().cast(pl.String))  # polars cannot write the other years
        return column.alias("v").to_frame().select(text.alias(column.name)).to_series()
    if isinstance(dtype, pl.Time):
        return column.dt.to_string("iso")
    if isinstance(dtype, pl.Duration):
        return column.to_physical().cast(pl.String)  # in the column's own unit
    if dtype == pl.Binary:
        return column.bin.encode("hex")
    if dtype.is_nested():
        value = pl.col("v")
        if _is_odd(column):
            return _in_words(column)
        encoded = pl.struct(value).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
        json = pl.when(value.is_not_null()).then(encoded).alias(column.name)
        return column.alias("v").to_frame().select(json).to_series()
    return column.cast(pl.String)


def _is_odd(column: pl.Series) -> bool:
    """Whether polars cannot write the nested values as JSON: bytes, maps whose keys are not text, years past 9999."""
    for part in parts(column.dtype):
        if isinstance(part.dtype, pl.Binary) or (isinstance(part.dtype, pl.Map) and part.dtype.key != pl.String):
            return True
    outside = anywhere(pl.col("v"), column.dtype, _outside_calendar)
    return outside is not None and bool(column.alias("v").to_frame().select(outside.any()).item())


def _outside_calendar(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if not isinstance(dtype, pl.Date | pl.Datetime):
        return None
    return value.is_not_null() & timestamps.in_calendar(value, dtype).is_null()


def _in_words(column: pl.Series) -> pl.Series:
    """A word for what each value is, where it has no text that could be read back."""
    words = pl.when(pl.col("v").is_not_null()).then(pl.lit(f"({in_words(column.dtype)})"))
    return column.alias("v").to_frame().select(words.alias(column.name)).to_series()


def from_text(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The texts as values of a type; null where a text is no such value, or where the type would lose a part of it.

    Takes also what people write: `TRUE`, `42.0` for a whole number, a time without seconds.
    """
    if dtype in (pl.String, pl.Null):  # a column of nulls had no type
        return column
    if dtype.is_nested():
        return _nested(column, dtype)
    cell = pl.col("cell")
    frame = column.alias("cell").to_frame().select(cell.str.strip_chars())
    return frame.select(_parsed(cell, dtype).alias(column.name)).to_series()


def _parsed(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_integer():
        digits = cell.str.replace(r"\.0*$", "").str.strip_prefix("+")
        return pl.when(cell.str.contains(_WHOLE)).then(digits).cast(dtype, strict=False)
    if isinstance(dtype, pl.Decimal):
        places = cell.str.extract(r"\.(\d*?)0*$").str.len_bytes().fill_null(0)
        return (
            pl.when(cell.str.contains(_DECIMAL) & (places <= dtype.scale))
            .then(cell.str.strip_prefix("+"))
            .cast(dtype, strict=False)
        )
    if dtype.is_float():
        return cell.cast(dtype, strict=False)
    if dtype == pl.Boolean:
        word = cell.str.to_lowercase()
        return pl.when(word == "true").then(True).when(word == "false").then(False)
    if dtype == pl.Date:
        midnight = cell.str.replace(r"[ T]00:00(:00(\.0+)?)?$", "")
        return midnight.str.to_date("%Y-%m-%d", strict=False)
    if isinstance(dtype, pl.Datetime):
        return _moment(cell, dtype)
    if dtype == pl.Time:
        full = pl.format("{}{}", cell.str.extract(f"^{_TIME}$", 1), cell.str.extract(f"^{_TIME}$", 2).fill_null(":00"))
        return full.str.to_time("%H:%M:%S%.f", strict=False)
    if isinstance(dtype, pl.Duration):
        return cell.cast(pl.Int64, strict=False).cast(dtype)
    if dtype == pl.Binary:
        return cell.str.decode("hex", strict=False)
    return cell.cast(dtype, strict=False)


def _moment(cell: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    """A time needs an offset where the type has a zone, and must have none otherwise: no zone is guessed."""
    day, clock, seconds, offset = (cell.str.extract(_MOMENT, group) for group in (1, 2, 3, 4))
    text = pl.format("{} {}{}", day, clock.fill_null("00:00"), seconds.fill_null(":00"))
    unit = dtype.time_unit
    digits = {"ms": 3, "us": 6, "ns": 9}[unit]
    exact = (seconds.str.extract(r"\.(\d*?)0*$").str.len_bytes().fill_null(0) <= digits) & day.is_not_null()
    if dtype.time_zone is None:
        read = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit=unit, strict=False)
        return pl.when(exact & offset.is_null()).then(read)
    in_utc = pl.format("{}{}", text, offset.replace(["Z", "UTC"], "+00:00"))
    read = in_utc.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit=unit, time_zone="UTC", strict=False)
    return pl.when(exact).then(read).dt.convert_time_zone(dtype.time_zone)


def _nested(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """JSON texts as values of a nested type. One invalid text fails the whole column, so each is then tried alone."""
    try:
        return _decoded(column, dtype)
    except pl.exceptions.PolarsError:
        return pl.concat(_one_by_one(column, dtype)).alias(column.name) if len(column) else column.cast(dtype)


def _one_by_one(column: pl.Series, dtype: pl.DataType) -> Iterator[pl.Series]:
    for place in range(len(column)):
        try:
            yield _decoded(column[place : place + 1], dtype)
        except pl.exceptions.PolarsError:
            yield pl.Series([None], dtype=dtype)


def _decoded(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    inner = pl.List(dtype.inner) if isinstance(dtype, pl.Array) else dtype
    return column.str.json_decode(inner).cast(dtype)
