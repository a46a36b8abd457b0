"""Reads a sheet of a workbook as typed columns.

The first row that is not empty names the columns; empty rows are skipped. Rows, columns and sheets that are hidden are
read like others; of merged cells, the first one has the value. A column has the type of its cells:

    numbers                 Int64 if all are whole (a workbook stores 7 as 7.0), else Float64
    days, times             Date if no cell has a time of day; else Datetime; times without a day among them are lost
    times without a day     "09:30:00"
    durations               Duration
    true and false          Boolean
    several of these        their JSON text, each cell of its own kind; text, if all are texts, or have no day
    nothing                 null

A row with an error (#N/A), or with a formula whose result the file does not have, is rejected if the mapping reads that
column: such a cell has no value, and null would say that it is empty.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import polars as pl

from cio_etl.errors import SourceError, install
from cio_etl.extract.decoding import decoding
from cio_etl.extract.excel_cells import error_places, is_filled, read_cells
from cio_etl.extract.file_kinds import HEAD_BYTES, refuse_other_kind
from cio_etl.extract.files import RegularFile, named_files
from cio_etl.extract.stage import staged
from cio_etl.extract.staged_files import agreed, check_own_names, faults_text, in_type, placed, with_places
from cio_etl.extract.text.csv_header import check_unique
from cio_etl.extract.xlsx_parts import (
    SheetFacts,
    cell_name,
    check_sizes,
    extents_of_ods,
    part_of_sheet,
    scan_sheet,
    worksheets,
)
from cio_etl.model import CELL_ERROR, CELL_NOT_COMPUTED, CELL_WITHOUT_DAY, ExcelSource, Snapshot, Staging
from cio_etl.model.records import dataclass

if TYPE_CHECKING:
    from fastexcel import ExcelReader

RULES = "excel 4"  # part of the copy's name: raise it when the same bytes would give other rows

_FRAME_ROWS = 25_000
_HEAD_ROWS = 100  # empty rows that may stand above the header
_MAX_FILE_BYTES = 512 << 20
_MAX_UNPACKED_BYTES = 2 << 30
_MAX_CELLS = 32_000_000  # a sheet is in memory from its first cell to its last, 32 bytes each
_ZIP = b"PK\x03\x04"


def open_excel(
    source: ExcelSource, staging: Staging, chunk_rows: int = 25_000, max_unpacked_bytes: int = _MAX_UNPACKED_BYTES
) -> Snapshot:
    """The snapshot of a copy of all files that the source names, in sorted order. Raises SourceError, StateError."""
    return with_places(staged(_ExcelFiles(source, max_unpacked_bytes), staging, chunk_rows))


@dataclass(frozen=True, slots=True)
class _SheetRows:
    """The rows of a sheet that are not empty, and their numbers; the cells without a value, by number and column."""

    rows: pl.DataFrame
    numbers: pl.Series
    faults: Mapping[tuple[int, str], str]


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
        others = [(path, self._rows(path).rows.schema) for path in paths[:-1]]
        schema = agreed([*others, (paths[-1], last.rows.schema)])
        nothing = pl.Series([], dtype=pl.Int64)
        yield placed(pl.DataFrame(schema=schema), "", nothing, nothing.cast(pl.String))
        for path in paths:
            sheet = last if path == paths[-1] else self._rows(path)
            rows = pl.DataFrame([in_type(sheet.rows[name], dtype) for name, dtype in schema.items()])
            frame = placed(rows, path, sheet.numbers, faults_text(sheet.faults, list(schema), sheet.numbers))
            yield from frame.iter_slices(_FRAME_ROWS)

    def _rows(self, path: str) -> _SheetRows:
        with RegularFile(path) as opened:
            data, facts = _content(opened, self._max_unpacked_bytes)
            opened.check_unchanged()
        with decoding(lambda: _damaged(path)):
            return self._decoded(path, data, facts)

    def _decoded(self, path: str, data: bytes, of_parts: Mapping[str, SheetFacts]) -> _SheetRows:
        workbook = _workbook(path, data)
        sheet = _chosen(path, workbook.sheet_names, self._sheet)
        place = f"{path}: sheet {sheet!r}"
        part = part_of_sheet(data, sheet) if of_parts else None
        facts = of_parts.get(part or "", SheetFacts())
        if facts.unknown_error is not None:
            cell, error = facts.unknown_error
            raise SourceError(
                "fix its formula, and save the file again",
                place=place,
                what=f"cell {cell_name(*cell)} holds an error {error}, which cannot be read",
            )
        head, head_errors = _head(workbook, sheet)
        above = next(
            (number for number, row in enumerate(head.iter_rows()) if any(cell is not None for cell in row)), None
        )
        if above is None:
            raise SourceError("name the columns in the sheet's first row", place=place, what="has no header row")
        cells = read_cells(workbook, sheet, above + 1)
        first = facts.first_column
        faults = {(above + 2 + row, at): CELL_ERROR for row, at in cells.errors}
        faults |= {(above + 2 + row, at): CELL_WITHOUT_DAY for row, at in cells.without_day}
        faults |= {(row, column - first): CELL_NOT_COMPUTED for row, column in facts.not_computed}
        of_header = [at for row, at in faults if row == above + 1] + [at for row, at in head_errors if row == above]
        if of_header:
            what = f"cell {cell_name(above + 1, first + min(of_header))} of the header has no value"
            raise SourceError("write the column's name there", place=place, what=what)
        body, with_fault = cells.columns, {at for _, at in faults}
        names = {at: head.item(above, at) or "" for at in range(head.width)}
        names = {at: name for at, name in names.items() if name or at in with_fault or not _is_empty(body, at)}
        check_unique(place, list(names.values()), "give every column a name, or clear its cells")
        check_own_names(place, list(names.values()))
        rows = pl.DataFrame([body.to_series(at).alias(name) for at, name in names.items()])
        height = max([rows.height, *(row - above - 1 for row, _ in faults)])  # formulas below the last value count, too
        rows = pl.concat([rows, rows.clear(height - rows.height)])
        numbers = pl.int_range(above + 2, above + 2 + height, eager=True)
        wanted = is_filled(rows) | numbers.is_in([row for row, _ in faults])
        named = {(row, names[at]): reason for (row, at), reason in faults.items() if at in names}
        return _SheetRows(rows.filter(wanted), numbers.filter(wanted), named)


def _content(opened: RegularFile, max_unpacked_bytes: int) -> tuple[bytes, dict[str, SheetFacts]]:
    """The file's bytes, and the facts about each sheet of an .xlsx, by its part.

    Raises SourceError for a file that would fill the memory when it is decoded.
    """
    if not opened.identity.bytes:
        raise SourceError("export it again", place=opened.path, what="the file is empty")
    if opened.identity.bytes > _MAX_FILE_BYTES:
        raise SourceError(
            "export the sheet as CSV", place=opened.path, what=f"is larger than {_MAX_FILE_BYTES >> 20} MB"
        )
    data = opened.read_at(0, opened.identity.bytes)
    if not data.startswith(_ZIP):
        refuse_other_kind(opened.path, data[:HEAD_BYTES], "Excel")
        return data, {}  # .xls: its sheets end at 65,536 rows of 256 cells, and nothing is packed
    with decoding(lambda: _damaged(opened.path)), zipfile.ZipFile(BytesIO(data)) as archive:
        if sum(part.file_size for part in archive.infolist()) > max_unpacked_bytes:
            what = f"unpacks to more than {max_unpacked_bytes >> 20} MB"
            raise SourceError("export the sheet as CSV", place=opened.path, what=what)
        check_sizes(archive, max_unpacked_bytes)
        facts = {part.filename: scan_sheet(archive, part) for part in worksheets(archive)}
        of_ods = extents_of_ods(archive) if "content.xml" in archive.namelist() else ()
        for of_sheet in (*facts.values(), *of_ods):
            _check_extent(opened.path, of_sheet)
    return data, facts


def _check_extent(path: str, facts: SheetFacts) -> None:
    """Raises SourceError when a stray cell far from the others would fill the memory with empty ones."""
    if facts.rows * facts.columns > _MAX_CELLS:
        raise SourceError(
            "delete what stands far below or to the right of the rows, or export the sheet as CSV",
            place=path,
            what=f"a sheet reaches to row {facts.rows:,} and column {facts.columns:,}, which is more than fits into "
            "memory",
        )


def _workbook(path: str, data: bytes) -> ExcelReader:
    try:
        import fastexcel  # an extra: only those who read workbooks install it
    except ImportError:
        raise SourceError(install("excel"), place=path, what="the reader for Excel files is not installed") from None
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


def _head(workbook: ExcelReader, sheet: str) -> tuple[pl.DataFrame, set[tuple[int, int]]]:
    """The sheet's first rows, from its first one on, as text; and the places of errors in them, from 0."""
    import fastexcel

    try:
        head = workbook.load_sheet(sheet, header_row=None, skip_rows=0, n_rows=_HEAD_ROWS, dtypes="string")
    except fastexcel.InvalidParametersError:  # an empty sheet has fewer rows than the none that are skipped
        return pl.DataFrame(), set()
    batch, errors = head.to_arrow_with_errors()
    return pl.DataFrame(batch), error_places(errors)


def _is_empty(frame: pl.DataFrame, at: int) -> bool:
    return frame.to_series(at).null_count() == frame.height


def _damaged(path: str) -> SourceError:
    return SourceError("save it again", place=path, what="is damaged, or no spreadsheet")
