"""Reads the cells of a sheet as typed columns, and finds the cells that hold an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from cio_etl.extract.text_columns import JSON_TEXT, as_json_texts
from cio_etl.model.records import dataclass

if TYPE_CHECKING:
    from fastexcel import CellError, CellErrors, ExcelReader

_EXACT = 1 << 53
_DAY_ONE = datetime(1900, 1, 1)  # what is before it is a time without a day
_DAY_ZERO_OF_1904 = date(1904, 1, 1)  # in workbooks that count from 1904, a time without a day is on it
_DAY_59 = date(1900, 2, 28)  # the library gives it for day 60, too: Excel's 29 February 1900, which no calendar has
_KIND = re.compile(r"but got '(\w+)")  # what follows is the cell's content
_MOMENT = re.compile(r"value: ([-+\d.eE]+), datetime_type: (\w+), is_1904: (\w+)")

_ISO_DURATION = re.compile(r'but got \'DurationIso\("([^"]*)"\)')  # of OpenDocument, which the library gives in no type
_TYPES = {"number": "float", "Bool": "boolean", "moment": "datetime", "duration": "duration"}

Load = Callable[..., tuple[pa.RecordBatch, "CellErrors | None"]]


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of a sheet: a column for each of the sheet's, named by its number; and the rows and columns of errors."""

    columns: pl.DataFrame
    errors: frozenset[tuple[int, int]]  # row and column, from 0
    without_day: frozenset[tuple[int, int]]  # times without a day, or no days of the calendar, in columns of days


def read_cells(workbook: ExcelReader, sheet: str, skipped: int) -> Cells:
    """The sheet's cells below the first `skipped` rows. A column has the type of its cells; see excel_files.py."""
    import fastexcel

    # Of #NAME? alone the library finds no type.
    not_one_kind = (fastexcel.UnsupportedColumnTypeCombinationError, fastexcel.CalamineCellError)

    def load(**how: Any) -> tuple[pa.RecordBatch, CellErrors | None]:
        loaded = workbook.load_sheet(sheet, header_row=None, skip_rows=skipped, schema_sample_rows=None, **how)
        read: tuple[pa.RecordBatch, CellErrors | None] = loaded.to_arrow_with_errors()
        return read

    width = load(dtypes="string")[0].num_columns
    loaded, errors = _of_one_kind_each(list(range(width)), load, not_one_kind)
    lossy = {error.position[1] for error in errors if _kind(error.detail) != "Error"}
    places = {(error.offset_position[0], error.position[1]) for error in errors if _kind(error.detail) == "Error"}
    columns = []
    without_day: set[tuple[int, int]] = set()
    for at, column in loaded.items():
        if column is None or at in lossy:
            column, lost, dayless = _of_several_kinds(at, load)
            places |= {(row, at) for row in lost}
            without_day |= {(row, at) for row in dayless}
        else:
            column = _of_one_kind(column, at, load)
        if isinstance(column.dtype, pl.Datetime):
            column, rows = _moments(column, at, load)
            without_day |= {(row, at) for row in rows}
        columns.append(column.alias(str(at)))
    return Cells(pl.DataFrame(columns), frozenset(places), frozenset(without_day))


def _of_one_kind_each(
    ats: list[int], load: Load, not_one_kind: tuple[type[Exception], ...]
) -> tuple[dict[int, pl.Series | None], list[CellError]]:
    """The columns whose cells are of one kind each; None for the others, which are searched by halves.

    The library reads the whole sheet for each load, so columns are loaded together.
    """
    try:
        batch, errors = load(dtype_coercion="strict", use_columns=ats)
    except not_one_kind:
        if len(ats) == 1:
            return {ats[0]: None}, []
        middle = len(ats) // 2
        first, of_first = _of_one_kind_each(ats[:middle], load, not_one_kind)
        second, of_second = _of_one_kind_each(ats[middle:], load, not_one_kind)
        return {**first, **second}, [*of_first, *of_second]
    columns: dict[int, pl.Series | None] = dict(zip(ats, map(pl.Series, batch.columns), strict=True))
    return columns, [] if errors is None else list(errors.errors)


def _others(errors: CellErrors | None) -> list[CellError]:
    """The cells that hold a value, no error, which the library does not give as the column's type."""
    return [] if errors is None else [error for error in errors.errors if _kind(error.detail) != "Error"]


def _details(errors: CellErrors | None) -> dict[int, str]:
    """By row: what the library says about the cells that are not of the requested type."""
    return {} if errors is None else {error.offset_position[0]: error.detail for error in errors.errors}


def error_places(errors: CellErrors | None) -> set[tuple[int, int]]:
    """The cells that hold an error, as #N/A."""
    those = [] if errors is None else [error for error in errors.errors if _kind(error.detail) == "Error"]
    return {(error.offset_position[0], error.position[1]) for error in those}


def _kind(detail: str) -> str:
    kind = _KIND.search(detail)
    return kind[1] if kind else ""


# ---------------------------------------------------------------- one kind


def _of_one_kind(column: pl.Series, at: int, load: Load) -> pl.Series:
    """The column with the type that its cells mean."""
    cells = column.drop_nulls()
    if cells.is_empty():
        return column.cast(pl.Null)
    if column.dtype.is_float():
        whole = bool(((cells == cells.floor()) & (cells.abs() <= _EXACT)).all())
        return column.cast(pl.Int64) if whole else column
    return column


def _moments(column: pl.Series, at: int, load: Load) -> tuple[pl.Series, list[int]]:
    """Days, or days with a time; and the rows of the times without a day, and of no day of the calendar: both are lost.

    Where no time has a day, they are texts, and none is lost.
    """
    cells = column.drop_nulls()
    first = _DAY_ONE
    nowhere: list[int] = []
    if cells.dt.date().is_in([_DAY_ZERO_OF_1904, _DAY_59]).any():
        details = _details(load(dtypes="float", use_columns=[at])[1])
        if any("is_1904: true" in detail for detail in details.values()):
            first = datetime(1904, 1, 2)
        nowhere = [row for row, detail in details.items() if _is_day_60(detail)]
    has_no_day = (column < first).fill_null(False)
    if not has_no_day.any() and not nowhere:
        return _of_days(column), []
    if bool((cells < first).all()):
        return column.dt.to_string("%H:%M:%S%.f"), []
    has_no_day = has_no_day.scatter(nowhere, True) if nowhere else has_no_day
    days = column.to_frame().select(pl.when(~has_no_day).then(pl.first())).to_series()
    return _of_days(days), has_no_day.arg_true().to_list()


def _is_day_60(detail: str) -> bool:
    parts = _MOMENT.search(detail)
    return parts is not None and parts[2] != "TimeDelta" and parts[3] == "false" and 60 <= float(parts[1]) < 61


# ---------------------------------------------------------------- several kinds


def _of_several_kinds(at: int, load: Load) -> tuple[pl.Series, set[int], set[int]]:
    """Text where all cells are texts, times or durations; else JSON text, in which each cell keeps its kind.

    Also the rows whose value is an error, or cannot be read; and those whose day is none of the calendar.
    """
    (as_texts, unread), (_, moments), (_, others) = (
        load(dtypes=dtype, use_columns=[at]) for dtype in ("string", "float", "datetime")
    )
    texts = pl.Series("texts", as_texts.column(0))
    kinds = ["number"] * len(texts)
    details = {**_details(others), **_details(unread)}
    for row, detail in details.items():
        kinds[row] = _kind(detail)
    new = {row: iso[1] for row, detail in details.items() if (iso := _ISO_DURATION.search(detail))}
    no_days: set[int] = set()
    for row, detail in _details(moments).items():
        if _kind(detail).startswith(("DateTime", "Duration")):
            kinds[row] = "duration" if "TimeDelta" in detail or "Duration" in detail else "moment"
            new.setdefault(row, _moment(texts[row], detail))
            if _is_day_60(detail):
                no_days.add(row)
    if new:
        texts = texts.scatter(list(new), list(new.values()))
    kind = pl.Series("kind", kinds)
    lost = {row for row in details if texts[row] is None}
    present = set(kind.filter(texts.is_not_null())) - {"Error"}
    if len(present) == 1 and (dtype := _TYPES.get(*present)):
        batch, errors = load(dtypes=dtype, use_columns=[at])
        if not _others(errors):
            return _of_one_kind(pl.Series(batch.column(0)), at, load), lost, set()
        return _iso_moments(texts, lost)
    frame = pl.DataFrame([texts, kind, as_json_texts(texts).struct.field("json_text").alias("quoted")])
    has_day = (pl.col("kind") == "moment") & pl.col("texts").str.contains("^[0-9]+-")
    if not present & {"number", "Bool"} and not frame.select(has_day.any()).item():
        return texts, lost, set()
    json = pl.when(pl.col("kind").is_in(["number", "Bool"]) | has_day).then("texts").otherwise("quoted")
    too_early = has_day & (pl.col("texts") < _DAY_ONE.date().isoformat())
    no_days.update(frame.select(too_early.fill_null(False).arg_true()).to_series())
    if no_days:
        json = pl.when(~pl.int_range(pl.len()).is_in(sorted(no_days))).then(json)
    return frame.select(json.alias("json_text")).to_struct(), lost, no_days


def _iso_moments(texts: pl.Series, lost: set[int]) -> tuple[pl.Series, set[int], set[int]]:
    """Days and times of an OpenDocument sheet, which has them as ISO 8601 texts; texts, if none of them is a day.

    Also what _of_several_kinds answers.
    """
    day = pl.first().str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("ms"))
    time = pl.first().str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="ms", strict=False)
    read = texts.to_frame().select(pl.coalesce(day, time)).to_series()
    if read.null_count() == len(read):
        return texts, lost, set()
    return _of_days(read), lost, {*(read.is_null() & texts.is_not_null()).arg_true()}


def _of_days(column: pl.Series) -> pl.Series:
    """Times as days, if all are at midnight."""
    return column.dt.date() if bool((column.dt.date().cast(column.dtype) == column).all()) else column


def _moment(text: str | None, detail: str) -> str | None:
    """The text of a day or time in a column of several kinds."""
    parts = _MOMENT.search(detail)
    if parts is None or text is None:  # of an OpenDocument sheet
        return text
    days = float(parts[1])
    if parts[2] == "TimeDelta":
        seconds = round(timedelta(days=days).total_seconds())
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text.rpartition(" ")[2] if 0 <= days < 1 else text


def is_filled(frame: pl.DataFrame) -> pl.Series:
    """Whether a row has any value."""
    values = [pl.col(name).struct[0] if dtype == JSON_TEXT else pl.col(name) for name, dtype in frame.schema.items()]
    return frame.select(pl.any_horizontal(value.is_not_null() for value in values)).to_series()
