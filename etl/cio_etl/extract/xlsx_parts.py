"""Scans the XML of a workbook for what its reader does not report: extent, formulas without a result, errors.

The XML is read in pieces, so a part of any size takes little memory.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from xml.etree import ElementTree

# In some files the elements have a prefix: <x:c r="A1">.
_CELL = re.compile(rb'<(?:\w+:)?c\s(?:[^>]*?\s)?r="([A-Z]{1,3})([0-9]{1,7})"[^>]*?(/?)>')
_NOT_COMPUTED = re.compile(
    rb"<(?:\w+:)?c\s([^>]*)>\s*<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
_ERROR = re.compile(rb'<(?:\w+:)?c\s([^>]*\bt="e"[^>]*)>(?:(?!</(?:\w+:)?c>).)*?<(?:\w+:)?v>([^<]*)<', re.DOTALL)
_REFERENCE = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_TEXT = re.compile(rb'\bt="(?:str|s|inlineStr)"')
_KNOWN_ERRORS = {b"#DIV/0!", b"#N/A", b"#NAME?", b"#NULL!", b"#NUM!", b"#REF!", b"#VALUE!", b"#DATA!"}  # calamine's
_PIECE_BYTES = 1 << 20
_MOST_UNPACKED = 1032  # bytes that deflate makes of one
_MAX_INDEX_BYTES = 16 << 20  # of the workbook's list of sheets, or of a row of OpenDocument
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"

_ROW_OF_ODS, _END_OF_TABLE = b"<table:table-row", b"</table:table>"
_ROWS = re.compile(rb'number-rows-repeated="([0-9]{1,9})"')
_CELLS = re.compile(rb'<table:(?:covered-)?table-cell\b(?:[^>]*?number-columns-repeated="([0-9]{1,9})")?[^>]*>')

Cell = tuple[int, int]  # row and column, from 1


@dataclass(slots=True)
class SheetFacts:
    """What the XML of a sheet shows."""

    rows: int = 0
    columns: int = 0
    first_column: int = 1 << 14  # that has a value
    not_computed: list[Cell] = field(default_factory=list)  # formulas without a result
    unknown_error: tuple[Cell, str] | None = None  # the first one that the reader cannot read, as #SPILL!


def column_number(letters: bytes) -> int:
    """The number of a column, from 1: 28 for AB."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def cell_name(row: int, column: int) -> str:
    """The name of a cell: B3."""
    letters = ""
    while column:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return f"{letters}{row}"


def worksheets(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The parts that are sheets."""
    for part in archive.infolist():
        if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
            yield part


def scan_sheet(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> SheetFacts:
    """The facts about one sheet's part."""
    facts = SheetFacts()
    rest = b""
    with archive.open(part) as stream:
        while piece := stream.read(_PIECE_BYTES):
            text = rest + piece
            end = text.rfind(b"<", 0, text.rfind(b"c>") + 1) if b"c>" in text else 0  # of the last whole cell
            end = text.find(b">", end) + 1 if end > 0 else 0
            _scan(text[:end], facts)
            rest = text[end:][-_PIECE_BYTES:]
    _scan(rest, facts)
    return facts


def _scan(text: bytes, facts: SheetFacts) -> None:
    cells = _CELL.findall(text)
    if cells:
        facts.rows = max(facts.rows, int(cells[-1][1]))
        facts.columns = max(facts.columns, *map(column_number, {letters for letters, _, _ in cells}))
        valued = {letters for letters, _, is_empty in cells if not is_empty}
        facts.first_column = min(facts.first_column, *map(column_number, valued), 1 << 14)
    if b"<f" in text or b":f" in text:
        for attributes in _NOT_COMPUTED.findall(text):
            if not _TEXT.search(attributes) and (place := _REFERENCE.search(attributes)):
                facts.not_computed.append((int(place[2]), column_number(place[1])))
    if facts.unknown_error is None and b'"e"' in text:
        for attributes, error in _ERROR.findall(text):
            if error not in _KNOWN_ERRORS and (place := _REFERENCE.search(attributes)):
                name = error.decode(errors="replace")
                shown = name if re.fullmatch(r"#[A-Z_/0-9]{1,20}[!?]?", name) else "of no known name"
                facts.unknown_error = (int(place[2]), column_number(place[1])), shown
                return


def extents_of_ods(archive: zipfile.ZipFile) -> Iterator[SheetFacts]:
    """How far each sheet of an OpenDocument spreadsheet reaches, of which a row or cell may stand for a million."""
    facts, empty, rest = SheetFacts(), -1, b""  # what is above the first row is none
    with archive.open("content.xml") as stream:
        while piece := stream.read(_PIECE_BYTES):
            *rows, rest = (rest + piece).split(_ROW_OF_ODS)
            for row in rows:
                empty = _add_row_of_ods(row, facts, empty)
                if _END_OF_TABLE in row:
                    yield facts
                    facts, empty = SheetFacts(), 0
            rest = rest[-_MAX_INDEX_BYTES:]
    _add_row_of_ods(rest, facts, empty)
    yield facts


def _add_row_of_ods(row: bytes, facts: SheetFacts, empty: int) -> int:
    """Counts in a row that `empty` rows without a value stand above; the number of those above the next one."""
    head = row[: row.find(b">")]
    repeated = _ROWS.search(head)
    rows = int(repeated[1]) if repeated else int(row[:1] not in (b"s", b"-"))  # table-rows, table-row-group
    last = max(row.rfind(b"value-type="), row.rfind(b"<text:p"))
    if last < 0:
        return empty + rows
    facts.rows += empty + rows
    width = row.count(b"table-cell ", 0, last) + row.count(b"table-cell>", 0, last)
    if b"columns-repeated" in row:
        width = sum(int(cell[1] or 1) for cell in _CELLS.finditer(row) if cell.start() < last)
    facts.columns = max(facts.columns, width)
    return 0


def part_of_sheet(data: bytes, sheet: str) -> str | None:
    """The part that has the sheet of this name; None when the workbook is no .xlsx."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        names = {part.filename: part for part in archive.infolist()}
        indexes = ("xl/workbook.xml", "xl/_rels/workbook.xml.rels")
        if any(name not in names or names[name].file_size > _MAX_INDEX_BYTES for name in indexes):
            return None
        # Small parts; expat reads no external entities, and ends where those of a document unfold to too much.
        workbook, relations = (ElementTree.fromstring(archive.read(name)) for name in indexes)  # nosec B314
    ids = (each.get(_RELATION) for each in workbook.iter() if each.tag.endswith("}sheet") and each.get("name") == sheet)
    relation = next(ids, None)
    target = next((each.get("Target", "") for each in relations if each.get("Id") == relation), "")
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def check_sizes(archive: zipfile.ZipFile, max_bytes: int) -> None:
    """Raises BadZipFile when a part unpacks to more than the archive says, and that could be more than `max_bytes`."""
    for part in archive.infolist():
        if part.compress_size * _MOST_UNPACKED > max_bytes:
            with archive.open(part) as stream:
                while stream.read(_PIECE_BYTES):
                    pass
