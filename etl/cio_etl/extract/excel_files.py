"""Reads a sheet of a workbook as typed columns.

The first row that is not empty names the columns; empty rows are skipped. A column has the type of its cells:

    numbers                 Int64 if all are whole (a workbook stores 7 as 7.0), else Float64
    days, times             Date if no cell has a time of day; Datetime; "09:30:00" for times without a day
    true and false          Boolean; among numbers, 1 and 0
    a mixture               text, as the numbers and dates are stored
    errors (#N/A), nothing  null
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile, named_files
from cio_etl.extract.stage import staged
from cio_etl.extract.staged_files import agreed, check_own_names, placed, with_places
from cio_etl.extract.text.csv_header import check_unique
from cio_etl.model import ExcelSource, Snapshot, Staging

if TYPE_CHECKING:
    from fastexcel import ExcelReader

RULES = "excel 1"  # part of the copy's name: raise it when the same bytes would give other rows

_FRAME_ROWS = 25_000
_HEAD_ROWS = 100  # empty rows that may stand above the header
_MAX_FILE_BYTES = 512 << 20
_MAX_UNPACKED_BYTES = 2 << 30
_MAX_CELLS = 32_000_000  # a sheet is in memory from its first cell to its last, 32 bytes each
_EXACT = 1 << 53
_FIRST_DAY = datetime(1900, 1, 1)
_CELL = re.compile(rb'<c r="([A-Z]{1,3})([0-9]{1,7})"')


def open_excel(
    source: ExcelSource, staging: Staging, chunk_rows: int = 25_000, max_unpacked_bytes: int = _MAX_UNPACKED_BYTES
) -> Snapshot:
    """The snapshot of a copy of all files that the source names, in sorted order. Raises SourceError, StateError."""
    return with_places(staged(_ExcelFiles(source, max_unpacked_bytes), staging, chunk_rows))


class _ExcelFiles:
    """See stage.Reader."""

    def __init__(self, source: ExcelSource, max_unpacked_bytes: int) -> None:
        self.place = ", ".join(source.paths)
        self._paths = source.paths
        self._sheet = source.sheet
        self._max_unpacked_bytes = max_unpacked_bytes

    @property
    def settings(self) -> object:
        return [RULES, self._paths, self._sheet]

    def cancel(self) -> None:
        """A sheet is decoded as a whole; the thread stops after it."""

    def frames(self) -> Iterator[pl.DataFrame]:
        paths = named_files(self._paths)
        last = self._rows(paths[-1])
        others = [(path, self._rows(path)[0].schema) for path in paths[:-1]]
        schema = agreed([*others, (paths[-1], last[0].schema)])
        yield placed(pl.DataFrame(schema=schema), "", pl.Series([], dtype=pl.Int64))
        for path in paths:
            rows, numbers = last if path == paths[-1] else self._rows(path)
            frame = placed(rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items()), path, numbers)
            yield from frame.iter_slices(_FRAME_ROWS)

    def _rows(self, path: str) -> tuple[pl.DataFrame, pl.Series]:
        """The sheet's rows that are not empty, and the number of each in the sheet."""
        with RegularFile(path) as opened:
            data = _content(opened, self._max_unpacked_bytes)
            opened.check_unchanged()
        try:
            return self._decoded(path, data)
        except SourceError:
            raise
        except (Exception, pl.exceptions.PanicException):  # the library's own words may show cells
            raise _damaged(path) from None

    def _decoded(self, path: str, data: bytes) -> tuple[pl.DataFrame, pl.Series]:
        workbook = _workbook(path, data)
        sheet = _chosen(path, workbook.sheet_names, self._sheet)
        place = f"{path}: sheet {sheet!r}"
        head = _head(workbook, sheet)
        above = next(
            (number for number, row in enumerate(head.iter_rows()) if any(cell is not None for cell in row)), None
        )
        if above is None:
            raise SourceError("name the columns in the sheet's first row", place=place, what="has no header row")
        body = _typed(workbook, sheet, above + 1)
        places = [at for at, name in enumerate(head.row(above)) if name is not None or not _is_empty(body, at)]
        names = ["" if (name := head.item(above, at)) is None else name for at in places]
        check_unique(place, names, "give every column a name, or clear its cells")
        check_own_names(place, names)
        rows = body.select(_plain(body.to_series(at)).alias(name) for at, name in zip(places, names, strict=True))
        numbers = pl.int_range(above + 2, above + 2 + rows.height, eager=True)
        filled = rows.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
        return rows.filter(filled), numbers.filter(filled)


def _content(opened: RegularFile, max_unpacked_bytes: int) -> bytes:
    """The file's bytes. Raises SourceError for a file that would fill the memory when it is decoded."""
    if not opened.identity.bytes:
        raise SourceError("export it again", place=opened.path, what="the file is empty")
    if opened.identity.bytes > _MAX_FILE_BYTES:
        raise SourceError(
            "export the sheet as CSV", place=opened.path, what=f"is larger than {_MAX_FILE_BYTES >> 20} MB"
        )
    data = opened.read_at(0, opened.identity.bytes)
    if not data.startswith(b"PK\x03\x04"):
        return data  # .xls: its sheets end at 65,536 rows of 256 cells, and nothing is packed
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if sum(part.file_size for part in archive.infolist()) > max_unpacked_bytes:
                what = f"unpacks to more than {max_unpacked_bytes >> 20} MB"
                raise SourceError("export the sheet as CSV", place=opened.path, what=what)
            for part in archive.infolist():
                if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
                    _check_extent(opened.path, archive, part)
    except SourceError:
        raise
    except Exception:  # zipfile raises BadZipFile, zlib.error, EOFError, NotImplementedError and more
        raise _damaged(opened.path) from None
    return data


def _check_extent(path: str, archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    """Raises SourceError when a stray cell far from the others would fill the memory with empty ones."""
    widest = last = 0
    rest = b""
    with archive.open(part) as stream:
        while block := stream.read(1 << 20):
            text = rest + block
            cells = _CELL.findall(text)
            if cells:
                widest = max(widest, *map(_column_number, {letters for letters, _ in cells}))
                last = max(last, int(cells[-1][1]))
            rest = text[-20:]
    if widest * last > _MAX_CELLS:
        raise SourceError(
            "delete what stands far below or to the right of the rows, or export the sheet as CSV",
            place=path,
            what=f"a sheet reaches to row {last:,} and column {widest:,}, which is more than fits into memory",
        )


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _workbook(path: str, data: bytes) -> ExcelReader:
    try:
        import fastexcel  # an extra: only those who read workbooks install it
    except ImportError:
        raise SourceError(
            "pip install 'cio-etl[excel]'", place=path, what="the reader for Excel files is not installed"
        ) from None
    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # it says by number which columns are empty
    try:
        return fastexcel.read_excel(data)
    except fastexcel.FastExcelError:
        raise SourceError(
            "is it .xlsx, .xlsb, .xls or .ods, and without a password?",
            place=path,
            what="is damaged, or no Excel or OpenDocument spreadsheet",
        ) from None


def _chosen(path: str, sheets: list[str], wanted: str | None) -> str:
    if wanted is None and len(sheets) == 1:
        return sheets[0]
    if wanted in sheets:
        return str(wanted)
    raise SourceError(
        "name one with `sheet:`",
        place=path,
        what=(f"has no sheet {wanted!r}; it has" if wanted else "has several sheets:")
        + f" {', '.join(map(repr, sheets))}",
    )


def _head(workbook: ExcelReader, sheet: str) -> pl.DataFrame:
    """The sheet's first rows, from its first one on, as text."""
    import fastexcel

    try:
        head: pl.DataFrame = workbook.load_sheet(
            sheet, header_row=None, skip_rows=0, n_rows=_HEAD_ROWS, dtypes="string"
        ).to_polars()
    except fastexcel.InvalidParametersError:  # an empty sheet has fewer rows than the none that are skipped
        return pl.DataFrame()
    return head


def _typed(workbook: ExcelReader, sheet: str, skipped: int) -> pl.DataFrame:
    """The sheet's cells from a row on. A column whose cells' types have none in common is text."""
    import fastexcel

    how: dict[str, Any] = {"header_row": None, "skip_rows": skipped, "schema_sample_rows": None}
    try:
        typed: pl.DataFrame = workbook.load_sheet(sheet, **how).to_polars()
        return typed
    except fastexcel.UnsupportedColumnTypeCombinationError:
        as_text = workbook.load_sheet(sheet, dtypes="string", **how).to_polars()
    columns = []
    for at in range(as_text.width):
        try:
            columns.append(workbook.load_sheet(sheet, use_columns=[at], **how).to_polars().to_series())
        except fastexcel.UnsupportedColumnTypeCombinationError:
            columns.append(as_text.to_series(at))
    return pl.DataFrame([column.alias(str(at)) for at, column in enumerate(columns)])


def _is_empty(frame: pl.DataFrame, at: int) -> bool:
    return frame.to_series(at).null_count() == frame.height


def _plain(column: pl.Series) -> pl.Series:
    """The column with the type that its cells mean."""
    cells = column.drop_nulls()
    if cells.is_empty():
        return column.cast(pl.Null)
    if column.dtype.is_float() and bool(((cells == cells.floor()) & (cells.abs() <= _EXACT)).all()):
        return column.cast(pl.Int64)
    if isinstance(column.dtype, pl.Datetime):
        if bool((cells < _FIRST_DAY).all()):
            return column.dt.to_string("%H:%M:%S%.f")
        if bool((cells.dt.date().cast(column.dtype) == cells).all()):
            return column.dt.date()
    return column


def _damaged(path: str) -> SourceError:
    return SourceError("save it again", place=path, what="is damaged, or no spreadsheet")
