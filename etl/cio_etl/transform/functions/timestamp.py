"""The function `timestamp`: times to Unix seconds, and the facts about the whole column that it needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import polars as pl

from cio_etl.model import Call
from cio_etl.model.reasons import TIMESTAMP_UNREADABLE
from cio_etl.transform import timestamps
from cio_etl.transform.functions.define import FactQueries, function
from cio_etl.transform.nested import in_words
from cio_etl.transform.timestamps import Serial, TimestampFacts, Unit, Zone

GROUP = "Dates"


UNIT_NAMES: dict[Unit, str] = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}

# From this |number| on the unit applies: each range is the dates 1970-04-26 to 2286-11-20, so ranges do not overlap.
_FROM: dict[Unit, int] = {"s": 1, "ms": 10**10, "us": 10**13, "ns": 10**16}

# A column whose newest number would be before 1980 holds something else: days, Excel's days, 20240310, 202403100900.
_YEAR_1980 = 315_532_800

# Properties of an ISO text, as bits.
DATE, SECONDS_T, SECONDS_SPACE, UNIVERSAL, OFFSET = 1, 2, 4, 8, 16


def _queries(value: pl.Expr, dtype: pl.DataType, call: Call) -> dict[str, pl.Expr]:
    """The sizes of the column's numbers and the shapes of its ISO texts: the distinct ones of a frame."""
    if "format" in call.arguments:
        return {}
    if isinstance(dtype, pl.String):
        return {"texts": value.map_batches(_of_texts, return_dtype=_TEXTS, returns_scalar=True)}
    if dtype.is_numeric() and not _unit_argument(call):
        return _of_numbers(timestamps.whole(value, dtype))
    return {}


def _unit_argument(call: Call) -> Unit | Serial | None:
    unit: Unit | Serial | Literal["auto"] = call.arguments.get("unit", "auto")
    return None if unit == "auto" else unit


def _of_numbers(number: pl.Expr) -> dict[str, pl.Expr]:
    sizes = timestamps.let(_size, number=number.abs())
    return {"sizes": sizes.unique().implode(), "largest": number.abs().max()}


_TEXTS = pl.Struct({"sizes": pl.List(pl.Int64), "largest": pl.Int64, "shapes": pl.List(pl.UInt8), "others": pl.Boolean})


def _of_texts(texts: pl.Series) -> pl.Series:
    """One row of _TEXTS: sizes and shapes, and whether some texts are not ISO ones; only these may be numbers."""
    named = texts.alias("text")  # polars takes some names for patterns of names
    is_iso = named.str.contains(timestamps.ISO)
    others = named.filter(~is_iso)
    isos = named.filter(is_iso) if others.len() else named
    shapes = isos.to_frame().select(_bits(pl.col("text")).unique()).to_series().drop_nulls()
    found = {"sizes": [], "largest": None, "shapes": shapes.to_list(), "others": others.len() > 0}
    if others.len():
        numbers = _of_numbers(timestamps.whole(pl.col("text"), pl.String()))
        found |= others.to_frame().select(**numbers).row(0, named=True)
    return pl.Series(texts.name, [found], _TEXTS)


def _size(number: pl.Expr) -> pl.Expr:
    """0 for zero, which fits every unit; 1 to 4 for the units of _FROM; null for null."""
    return pl.sum_horizontal((number >= least).cast(pl.UInt8) for least in _FROM.values()) + number * 0


def shape(text: pl.Expr) -> pl.Expr:
    """The bits of each ISO text, UInt8; null for any other."""
    return pl.when(text.str.contains(timestamps.ISO)).then(_bits(text))


def _bits(text: pl.Expr) -> pl.Expr:
    """The bits of ISO texts, of which a character is a byte; null for null."""
    octets = text.cast(pl.Binary)
    between, after = (octets.bin.get(at, null_on_oob=True).fill_null(0) for at in (10, 16))
    has_seconds = after == ord(":")
    bits = {
        DATE: octets.bin.size() == 10,
        SECONDS_T: has_seconds & (between == ord("T")),
        SECONDS_SPACE: has_seconds & (between == ord(" ")),
        UNIVERSAL: text.str.ends_with("Z") | text.str.ends_with("UTC"),
        OFFSET: text.str.slice(16).str.contains("[+-]"),
    }
    code = pl.sum_horizontal(has.cast(pl.UInt8) * pl.lit(bit, pl.UInt8) for bit, has in bits.items())
    return pl.when(text.is_not_null()).then(code)


def _combine(rows: Sequence[Mapping[str, Any]], dtype: pl.DataType, call: Call) -> TimestampFacts:
    """The facts from all frames; raises ValueError when the YAML must give the numbers' unit."""
    rows = [row.get("texts", row) for row in rows]
    sizes, shapes = _distinct("sizes", rows), _distinct("shapes", rows)
    largest = max((row["largest"] for row in rows if row.get("largest") is not None), default=0)
    unit = _unit_argument(call) or _unit(sizes, largest, alone=not shapes)
    others = any(row.get("others", True) for row in rows)
    return timestamp_facts(shapes, unit, numbers=bool(sizes), others=others)


def timestamp_facts(
    shapes: Collection[int], unit: Unit | Serial | None, *, numbers: bool, others: bool = True
) -> TimestampFacts:
    """The facts about a column whose ISO texts have these shapes and whose numbers have this unit."""
    return TimestampFacts(
        unit=unit,
        numbers=numbers,
        stem=_stem(shapes),
        aware=any(code & (UNIVERSAL | OFFSET) for code in shapes),
        offsets=any(code & OFFSET for code in shapes),
        others=others,
    )


def _distinct(name: str, rows: Sequence[Mapping[str, Any]]) -> set[int]:
    return {code for row in rows for code in row.get(name, ()) if code is not None}


def _unit(sizes: set[int], largest: int, alone: bool) -> Unit | None:
    """The unit of all numbers. Numbers too small for epochs are refused, or unreadable if there are other texts."""
    units = [unit for size, unit in enumerate(_FROM, start=1) if size in sizes]
    if not units:
        return "s"  # zeros, or no numbers
    if len(units) > 1:
        candidates = " and ".join(UNIT_NAMES[unit] for unit in units)
        raise ValueError(f"timestamp: some numbers look like {candidates}; put `unit:` (s, ms, us, ns)")
    if largest >= _YEAR_1980 * timestamps.PER_SECOND[units[0]]:
        return units[0]
    if alone:
        raise ValueError(
            "timestamp: as counts since 1970 the numbers are all before 1980; put `unit:` (s, ms, us, ns) if they are "
            'counts, `unit: excel` if they are Excel\'s days, or `format:` if they are dates in digits ("%Y%m%d")'
        )
    return None


def _stem(shapes: Collection[int]) -> str | None:
    """The format of the first characters of all ISO texts, if they share one."""
    starts = {code & (DATE | SECONDS_T | SECONDS_SPACE) for code in shapes}
    formats = {DATE: "%Y-%m-%d", SECONDS_T: "%Y-%m-%dT%H:%M:%S", SECONDS_SPACE: "%Y-%m-%d %H:%M:%S"}
    return formats.get(starts.pop()) if len(starts) == 1 else None


def _check(
    *, timezone: str | None = None, format: str | list[str] | None = None, unit: str = "auto", **_: object
) -> None:
    if timezone is not None and not timestamps.is_zone(timezone):
        raise ValueError(f"no time zone {timezone!r}; use a name such as Europe/Paris or UTC")
    if format is not None:
        if unit != "auto":
            raise ValueError("'format' is for text and 'unit' for numbers: give one of them")
        if not format:
            raise ValueError("'format' must not be empty")
        for text in [format] if isinstance(format, str) else format:
            timestamps.as_format(text)


@function(
    takes=("text", "a number", "a date"),
    reason=TIMESTAMP_UNREADABLE,
    check=_check,
    facts=FactQueries(_queries, _combine, replaced_by=("unit",)),
)
def timestamp(
    value: pl.Expr,
    dtype: pl.DataType,
    *,
    timezone: str | None = None,
    format: str | list[str] | None = None,
    unit: Literal["auto", "s", "ms", "us", "ns", "excel", "excel1904"] = "auto",
    ambiguous: Literal["earliest", "latest", "reject"] = "reject",
    nonexistent: Literal["reject", "shift_forward"] = "reject",
    facts: TimestampFacts | None = None,
) -> pl.Expr:
    """The time as Unix seconds, Int64; fractions are floored.

    - Text is ISO 8601 with '-' and ':', with or without an offset, or a number; with `format`, text is only what one
      of these strptime formats reads; the first that fits is used. 03/04/2024 is never guessed: it needs a `format`.
    - `timezone` is the zone of times without an offset, UTC by default. A date is its midnight in that zone. From 2100
      on the zone must be UTC: later changes between summer and winter time are unknown.
    - `ambiguous`: the hour that occurs twice in autumn. `nonexistent`: the hour that is skipped in spring;
      `shift_forward` reads 02:30 as 03:30.
    - `unit` of numbers, counts since 1970; `auto` derives it from the sizes of the whole column's numbers, and requires
      a `unit` when they have two sizes or are all too small. `excel` is a spreadsheet's days: 45361.375 is 2024-03-10
      09:00, a local time of `timezone`; `excel1904` is the count of old Macs.

    >>> "2024-03-10T09:00:00Z" | timestamp -> 1710061200
    >>> "2024-03-10 09:00" | {timestamp: {timezone: Europe/Paris}} -> 1710057600
    >>> "1969-12-31T23:59:59.5+00:00" | timestamp -> -1
    >>> 1710061200123 | timestamp -> 1710061200
    >>> "1710061200.9" | timestamp -> 1710061200
    >>> "1.7e9" | timestamp -> 1700000000
    >>> 45361.375 | {timestamp: {unit: excel}} -> 1710061200
    >>> 20240310 | {timestamp: {format: "%Y%m%d"}} -> 1710028800
    >>> "10/03/2024 21:00" | {timestamp: {format: "%d/%m/%Y %H:%M"}} -> 1710104400
    >>> "10/03/2024" | timestamp -> rejected
    >>> "2024-03-31 02:30" | {timestamp: {timezone: Europe/Paris}} -> rejected
    >>> "2024-03-31 02:30" | {timestamp: {timezone: Europe/Paris, nonexistent: shift_forward}} -> 1711848600
    >>> "2024-10-27 02:30" | {timestamp: {timezone: Europe/Paris}} -> rejected
    >>> "2024-10-27 02:30" | {timestamp: {timezone: Europe/Paris, ambiguous: latest}} -> 1729992600
    """
    facts = facts or TimestampFacts()
    zone = Zone(timezone, ambiguous, nonexistent)
    known_unit = facts.unit if unit == "auto" else unit
    if format is not None:
        return _in_formats(value, dtype, format, zone)
    if isinstance(dtype, pl.Date | pl.Datetime):
        return timestamps.from_typed(value, dtype, zone)
    from_number = timestamps.from_number(value, dtype, known_unit, zone)
    if not isinstance(dtype, pl.String):
        return from_number
    from_iso = timestamps.from_iso(value, zone, facts)
    return pl.coalesce(from_iso, from_number) if facts.numbers else from_iso


def _in_formats(value: pl.Expr, dtype: pl.DataType, format: str | list[str], zone: Zone) -> pl.Expr:
    if not (isinstance(dtype, pl.String) or dtype.is_integer()):
        raise ValueError(f"timestamp: 'format' is for text; the column holds {in_words(dtype)}: leave 'format' out")
    formats = [timestamps.as_format(text) for text in ([format] if isinstance(format, str) else format)]
    text = value.cast(pl.String)
    return pl.coalesce(timestamps.from_format(text, one, zone) for one in formats)
