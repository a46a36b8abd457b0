"""Sheets become typed columns, or an error that names the fault."""

from __future__ import annotations

import io
import re
import sys
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter  # type: ignore[import-untyped]  # it has no types

from cio_etl.errors import SourceError, install
from cio_etl.extract.excel_files import open_excel
from cio_etl.model import (
    CELL_ERROR,
    CELL_NOT_COMPUTED,
    CELL_WITHOUT_DAY,
    FAULT,
    POSITION,
    ExcelSource,
    Snapshot,
    Staging,
)

Rows = list[list[Any]]

ERRORS = ("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!")


def workbook(first_row: int = 0, **sheets: Rows) -> bytes:
    """Cells by Python type; a text as "#N/A" is an error; None is no cell."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    forms = {
        date: book.add_format({"num_format": "yyyy-mm-dd"}),
        datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        timedelta: book.add_format({"num_format": "[h]:mm:ss"}),
        Clock: book.add_format({"num_format": "hh:mm:ss"}),
    }
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows, first_row):
            for column, value in enumerate(row):
                if isinstance(value, Clock):
                    sheet.write_number(number, column, float(value), forms[Clock])
                elif isinstance(value, date | timedelta):
                    sheet.write_datetime(number, column, value, forms[type(value)])
                elif value in ERRORS:
                    sheet.write_formula(number, column, "=NA()", None, value)
                elif value is not None:
                    sheet.write(number, column, value)
    book.close()
    return file.getvalue()


def packed(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


class Clock(float):
    """A time without a day: the share of one."""


def opened(folder: Path, *contents: bytes, sheet: str | None = None, **how: Any) -> Snapshot:
    for number, content in enumerate(contents):
        (folder / f"{number}.xlsx").write_bytes(content)
    return open_excel(ExcelSource((str(folder / "*.xlsx"),), sheet), Staging(folder / "stage"), **how)


def whole(snapshot: Snapshot, start: int = 0) -> pl.DataFrame:
    return pl.concat(snapshot.read(None, start))


COLUMNS: dict[str, tuple[list[Any], pl.DataType, list[Any]]] = {
    "whole numbers": ([7, None, -1.0], pl.Int64(), [7, None, -1]),
    "numbers": ([7, 1.5], pl.Float64(), [7.0, 1.5]),
    "whole numbers past what is exact": ([2.0**60], pl.Float64(), [2.0**60]),
    "text": (["x", "00123"], pl.String(), ["x", "00123"]),
    "days": ([date(2024, 1, 2), None], pl.Date(), [date(2024, 1, 2), None]),
    "times": (
        [datetime(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5)],
        pl.Datetime("ms"),
        [datetime(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5)],
    ),
    "times without a day": ([Clock(0.25), Clock(0.5)], pl.String(), ["06:00:00", "12:00:00"]),
    "true and false": ([True, False], pl.Boolean(), [True, False]),
    "numbers and text": ([5, "five", 1.5, "5", None], pl.String(), ["5", '"five"', "1.5", '"5"', None]),
    "true and numbers": ([True, 1], pl.String(), ["true", "1"]),
    "true and text": ([False, "false", 'a"b'], pl.String(), ["false", '"false"', '"a\\"b"']),
    "days and numbers": ([date(2024, 1, 2), 45293], pl.String(), ["2024-01-02 00:00:00", "45293"]),
    "times and text": ([Clock(0.25), "noon"], pl.String(), ["06:00:00", "noon"]),
    "durations and text": ([timedelta(hours=30), "long"], pl.String(), ["30:00:00", "long"]),
    "days before March 1900": ([date(1900, 1, 1), date(1900, 2, 28)], pl.Date(), [date(1900, 1, 1), date(1900, 2, 28)]),
    "texts that say nothing": (["N/A", "#VALUE", "null", "-"], pl.String(), ["N/A", "#VALUE", "null", "-"]),
    "days and text": ([date(2024, 1, 2), "soon"], pl.String(), ["2024-01-02 00:00:00", '"soon"']),
    "days, times and text": (
        [date(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5), Clock(0.25), timedelta(hours=30), "2024-01-02"],
        pl.String(),
        ["2024-01-02 00:00:00", "2024-01-02 03:04:05", '"06:00:00"', '"30:00:00"', '"2024-01-02"'],
    ),
    "durations": ([timedelta(hours=30)], pl.Duration("ms"), [timedelta(hours=30)]),
    "nothing": ([None, None], pl.Null(), [None, None]),
}


@pytest.mark.parametrize(("cells", "dtype", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_has_the_type_of_its_cells(
    tmp_path: Path, cells: list[Any], dtype: pl.DataType, expected: list[Any]
) -> None:
    rows = [["key", "a"], *([number, cell] for number, cell in enumerate(cells))]
    snapshot = opened(tmp_path, workbook(S=rows))
    assert snapshot.schema == {"key": pl.Int64(), "a": dtype}
    assert whole(snapshot)["a"].to_list() == expected
    assert whole(snapshot)[FAULT].null_count() == len(cells)


@pytest.mark.parametrize("error", ERRORS)
def test_a_row_with_an_error_is_rejected_where_the_column_is_read(tmp_path: Path, error: str) -> None:
    rows: Rows = [["a", "b", "c"], [1, 2, 3], [4, error, "x"], [None, error, None], [5, 6, None], [7, "y", error]]
    snapshot = opened(tmp_path, workbook(first_row=2, S=rows))
    faults = pl.concat(snapshot.read(None, 0))[FAULT].to_list()
    assert faults == [None, CELL_ERROR, CELL_ERROR, None, CELL_ERROR]
    for names, expected in (
        (["a"], [None] * 5),
        (["b", "a"], [None, CELL_ERROR, CELL_ERROR, None, None]),
        (["c"], [None] * 4 + [CELL_ERROR]),
    ):
        frame = pl.concat(snapshot.read(names, 0))
        assert frame[FAULT].to_list() == expected
        assert frame.columns == [*names, POSITION, FAULT]
    assert snapshot.locate([2]) == [(str(tmp_path / "0.xlsx"), 6)]


def edited(content: bytes, part: str, *changes: tuple[str, str]) -> bytes:
    """The workbook, with changes in the XML of a part."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for before, after in changes:
        changed = re.sub(before, after, parts[part].decode())
        assert changed != parts[part].decode()
        parts[part] = changed.encode()
    return packed(**parts)


SHEET = "xl/worksheets/sheet1.xml"
FORMULA = "#formula"


def with_formulas(rows: Rows, *changes: tuple[str, str]) -> bytes:
    """A sheet whose cells FORMULA hold a formula of the result 99."""
    content = workbook(S=[[98765 if cell == FORMULA else cell for cell in row] for row in rows])
    return edited(content, SHEET, ("<v>98765</v>", "<f>49+50</f><v>99</v>"), *changes)


def test_an_error_that_the_library_does_not_know_is_refused_with_its_cell(tmp_path: Path) -> None:
    content = edited(workbook(S=[["a", "b"], [1, "#N/A"], [2, "#NUM!"]]), SHEET, ("#NUM!", "#SPILL!"))
    with pytest.raises(SourceError, match=r"sheet 'S': cell B3 holds an error #SPILL!, which cannot be read"):
        opened(tmp_path, content)


@pytest.mark.parametrize(
    "change",
    [
        ("<v>99</v>", ""),
        ("<v>99</v>", "<v/>"),
        ("<v>99</v>", "<v></v>"),
        ("<f>49.50</f><v>99</v>", '<f t="shared" si="0"/>'),
        (r"><f>49.50</f><v>99</v>", r' t="n"><f>49+50</f><v />'),
    ],
    ids=["no value", "an empty value", "nothing in the value", "a shared formula", "with a type"],
)
def test_a_row_with_a_formula_that_was_never_computed_is_rejected(tmp_path: Path, change: tuple[str, str]) -> None:
    content = with_formulas([["k", "v"], [1, FORMULA], [2, None], [3, 4], [None, FORMULA]], change)
    snapshot = opened(tmp_path, content)
    assert whole(snapshot)["k"].to_list() == [1, 2, 3, None]
    assert whole(snapshot)[FAULT].to_list() == [CELL_NOT_COMPUTED, None, None, CELL_NOT_COMPUTED]
    assert pl.concat(snapshot.read(["k"], 0))[FAULT].null_count() == 4


def test_a_column_of_formulas_that_were_never_computed_is_there(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, with_formulas([["v"], [FORMULA], [FORMULA]], ("<v>99</v>", "")))
    assert whole(snapshot)[FAULT].to_list() == [CELL_NOT_COMPUTED] * 2


def test_a_computed_formula_is_its_result(tmp_path: Path) -> None:
    rows: Rows = [["v", "k"], [FORMULA, 1], [FORMULA, 2]]
    content = with_formulas(rows, ('<c r="A2">(.*?)<v>99</v>', r'<c r="A2" t="str">\1<v></v>'))
    frame = whole(opened(tmp_path, content))
    assert frame[FAULT].null_count() == 2
    assert frame["v"].to_list()[1] in (99, "99") and frame["v"].to_list()[0] in (None, '""', "")


@pytest.mark.parametrize(
    "content",
    [
        workbook(first_row=1, S=[["a", "#REF!"], [1, 2]]),
        with_formulas([[None], ["a", FORMULA], [1, 2]], ("<v>99</v>", "")),
    ],
    ids=["an error", "never computed"],
)
def test_a_header_cell_without_a_value_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceError, match="cell B2 of the header has no value"):
        opened(tmp_path, content)


def test_days_and_times_of_a_workbook_that_counts_from_1904(tmp_path: Path) -> None:
    rows: Rows = [["d", "t", "n"], [date(2024, 1, 2), Clock(0.25), Clock(0.5)], [date(2024, 1, 3), Clock(0.75), "noon"]]
    content = edited(workbook(S=rows), "xl/workbook.xml", ("<workbookPr ", '<workbookPr date1904="1" '))
    frame = whole(opened(tmp_path, content))
    assert frame["d"].to_list() == [date(2028, 1, 3), date(2028, 1, 4)]
    assert frame["t"].to_list() == ["06:00:00", "18:00:00"]
    assert frame["n"].to_list() == ["12:00:00", "noon"]


def serials(*cells: float | str) -> bytes:
    """A sheet whose second column has these cells, of which the numbers are formatted as days."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    sheet, form = book.add_worksheet("S"), book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(0, 0, ["k", "d"])
    for row, cell in enumerate(cells, start=1):
        sheet.write(row, 0, row)
        sheet.write(row, 1, cell, form)
    book.close()
    return file.getvalue()


@pytest.mark.parametrize(
    "odd", [0, 0.5, -1, 60, 60.5], ids=["zero", "a time", "before 1900", "29 February 1900", "its noon"]
)
def test_a_cell_without_a_day_among_days_is_rejected_and_the_days_stay_days(tmp_path: Path, odd: float) -> None:
    frame = whole(opened(tmp_path, serials(45361, odd, 59, 61)))
    assert frame["d"].to_list() == [date(2024, 3, 10), None, date(1900, 2, 28), date(1900, 3, 1)]
    assert frame[FAULT].to_list() == [None, CELL_WITHOUT_DAY, None, None]


@pytest.mark.parametrize("odd", [-1, 60, 60.5], ids=["before 1900", "29 February 1900", "its noon"])
def test_a_cell_without_a_day_among_days_and_text_is_rejected(tmp_path: Path, odd: float) -> None:
    frame = whole(opened(tmp_path, serials(45361, odd, "soon", 59)))
    assert frame["d"].to_list() == ["2024-03-10 00:00:00", None, '"soon"', "1900-02-28 00:00:00"]
    assert frame[FAULT].to_list() == [None, CELL_WITHOUT_DAY, None, None]


def test_the_60th_day_of_1904_is_a_day(tmp_path: Path) -> None:
    content = edited(serials(60, 61), "xl/workbook.xml", ("<workbookPr ", '<workbookPr date1904="1" '))
    assert whole(opened(tmp_path, content))["d"].to_list() == [date(1904, 3, 1), date(1904, 3, 2)]


def test_days_of_one_file_and_days_and_text_of_another_agree(tmp_path: Path) -> None:
    first, second = workbook(S=[["a"], [date(2024, 1, 2)]]), workbook(S=[["a"], [date(2024, 1, 3)], ["soon"]])
    snapshot = opened(tmp_path, first, second)
    assert whole(snapshot)["a"].to_list() == ["2024-01-02", "2024-01-03 00:00:00", '"soon"'] and "a" in snapshot.json


def test_rich_text_merged_cells_and_hidden_rows_are_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    sheet, bold = book.add_worksheet("S"), book.add_format({"bold": True})
    sheet.write_row(0, 0, ["a", "b"])
    sheet.write_rich_string(1, 0, "one ", bold, "two")
    sheet.merge_range(1, 1, 2, 1, "both")
    sheet.write(2, 0, "x")
    sheet.write(3, 0, "hidden")
    sheet.set_row(3, None, None, {"hidden": True})
    book.close()
    frame = whole(opened(tmp_path, file.getvalue()))
    assert frame.drop(POSITION, FAULT).rows() == [("one two", "both"), ("x", None), ("hidden", None)]


def test_elements_may_have_a_prefix(tmp_path: Path) -> None:
    changes = (("<v>99</v>", ""), (r"<(/?)(?![?])", r"<\1x:"), (' xmlns="', ' xmlns:x="'))
    content = with_formulas([["k", "v"], [1, FORMULA]], *changes)
    assert whole(opened(tmp_path, content))[FAULT].to_list() == [CELL_NOT_COMPUTED]


def test_cells_of_several_kinds_of_two_files_agree(tmp_path: Path) -> None:
    first, second = workbook(S=[["a", "b"], [1, 2], ["x", "#N/A"]]), workbook(S=[["b", "a"], ["#N/A", 7], [3, 8]])
    snapshot = opened(tmp_path, first, second)
    assert whole(snapshot)["a"].to_list() == ["1", '"x"', "7", "8"] and "a" in snapshot.json
    assert whole(snapshot)[FAULT].to_list() == [None, CELL_ERROR, CELL_ERROR, None]


def test_a_column_of_types_without_a_common_one_is_text_and_the_others_are_not(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, workbook(S=[["a", "b"], [timedelta(hours=1), 1], ["x", 2]]))
    assert snapshot.schema == {"a": pl.String(), "b": pl.Int64()}
    assert whole(snapshot)["a"].to_list()[1] == "x"


def test_empty_rows_are_left_out_and_rows_are_named_by_their_number_in_the_sheet(tmp_path: Path) -> None:
    content = workbook(3, S=[["a", "b"], [1, "x"], [None, None], [2, None], [None, "z"]])
    snapshot = opened(tmp_path, content, content)
    assert whole(snapshot).drop(POSITION, FAULT).rows() == [(1, "x"), (2, None), (None, "z")] * 2
    first, second = str(tmp_path / "0.xlsx"), str(tmp_path / "1.xlsx")
    assert snapshot.locate([0, 1, 2, 3]) == [(first, 5), (first, 7), (first, 8), (second, 5)]
    assert whole(snapshot, 4)[POSITION].to_list() == [4, 5]


def test_a_column_without_a_name_or_a_cell_is_ignored(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, workbook(S=[["a", "", None, "b", ""], [1, None, None, 2, ""]]))
    assert whole(snapshot).drop(POSITION, FAULT).rows() == [(1, 2)]
    assert list(snapshot.schema) == ["a", "b"]


def test_a_header_alone_has_columns_and_no_rows(tmp_path: Path) -> None:
    snapshot = opened(tmp_path, workbook(S=[["a", "b"]]))
    assert (list(snapshot.schema), snapshot.rows) == (["a", "b"], 0)


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    content = workbook(One=[["a"], [1]], Two=[["b"], [2]])
    assert whole(opened(tmp_path, content, sheet="Two"))["b"].to_list() == [2]


@pytest.mark.parametrize(
    ("sheet", "what"),
    [(None, "has several sheets: 'One', 'Two'"), ("Three", "has no sheet 'Three'; it has 'One', 'Two'")],
)
def test_a_sheet_that_is_not_named_or_not_there_is_refused(tmp_path: Path, sheet: str | None, what: str) -> None:
    with pytest.raises(SourceError, match=what) as caught:
        opened(tmp_path, workbook(One=[["a"]], Two=[["a"]]), sheet=sheet)
    assert "`sheet:`" in caught.value.remedy


def test_files_must_have_the_same_columns_and_whole_numbers_join_other_numbers(tmp_path: Path) -> None:
    one, two = workbook(S=[["a", "b"], [1, None]]), workbook(S=[["a", "b"], [1.5, "x"]])
    assert opened(tmp_path, one, two).schema == {"a": pl.Float64(), "b": pl.String()}
    with pytest.raises(SourceError, match=r"1\.xlsx: column 'a' is String here and Int64 in .*0\.xlsx"):
        other = tmp_path / "other"
        other.mkdir()
        opened(other, one, workbook(S=[["a", "b"], ["x", None]]))


def test_the_copy_is_read_again_without_the_file(tmp_path: Path) -> None:
    opened(tmp_path, workbook(S=[["a"], [1]]))
    (tmp_path / "0.xlsx").unlink()
    source = ExcelSource((str(tmp_path / "*.xlsx"),))
    again = open_excel(source, Staging(tmp_path / "stage", may_read=False))
    assert whole(again)["a"].to_list() == [1] and again.locate([0]) == [(str(tmp_path / "0.xlsx"), 2)]


GOOD = workbook(S=[["a", "b"], ["secret", 1]])
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "two columns of one name": (workbook(S=[["a", "a"], ["secret", 1]]), "columns 1 and 2 are all named 'a'", "name"),
    "a column without a name": (workbook(S=[["a"], [1, "secret"]]), "no name for column 2", "clear its cells"),
    "a reserved column name": (workbook(S=[["_fault"], ["secret"]]), "'_fault', which is a name of this", "rename"),
    "an empty sheet": (workbook(S=[]), "sheet 'S': has no header row", "first row"),
    "empty": (b"", "the file is empty", "again"),
    "CSV": (b"a,b\nsecret,1\n", "is text, not Excel", "`csv:`"),
    "noise": (b"\0secret", "is damaged, or no Excel", "password"),
    "cut short": (GOOD[:-40], "is damaged, or no spreadsheet", "save it again"),
    "another zip": (packed(x=b"secret"), "is damaged, or no Excel", "password"),
}


@pytest.mark.parametrize(("content", "what", "remedy"), REFUSED.values(), ids=REFUSED)
def test_a_file_without_a_table_is_refused_without_showing_it(
    tmp_path: Path, content: bytes, what: str, remedy: str
) -> None:
    with pytest.raises(SourceError) as caught:
        opened(tmp_path, content)
    assert what in str(caught.value) and remedy in caught.value.remedy
    assert "secret" not in str(caught.value) + caught.value.remedy


def test_a_damaged_sheet_is_refused(tmp_path: Path) -> None:
    broken = bytearray(workbook(S=[["a"], *([f"secret {number}"] for number in range(500))]))
    with zipfile.ZipFile(io.BytesIO(bytes(broken))) as archive:
        start = archive.getinfo("xl/worksheets/sheet1.xml").header_offset + 100
    broken[start : start + 50] = b"\xff" * 50
    with pytest.raises(SourceError, match="is damaged, or no spreadsheet"):
        opened(tmp_path, bytes(broken))


def test_a_stray_cell_far_away_does_not_end_the_process(tmp_path: Path) -> None:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    sheet = book.add_worksheet("S")
    sheet.write(0, 0, "a")
    sheet.write(1_048_575, 16_383, "secret")
    book.close()
    with pytest.raises(SourceError, match="reaches to row 1,048,576 and column 16,384") as caught:
        opened(tmp_path, file.getvalue())
    assert "delete what stands far below" in caught.value.remedy


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="unpacks to more than 1 MB"):
        opened(tmp_path, packed(x=b"0" * (2 << 20)), max_unpacked_bytes=1 << 20)


def test_a_part_that_is_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    content = packed(**{SHEET: b"<x/>", "xl/sharedStrings.xml": b"0" * (1 << 20)})
    size = (1 << 20).to_bytes(4, "little")
    assert content.count(size) == 2  # in the part's own header, and in the list of parts
    with pytest.raises(SourceError, match="is damaged, or no spreadsheet"):
        opened(tmp_path, content.replace(size, (64).to_bytes(4, "little")), max_unpacked_bytes=1 << 19)


def test_a_missing_extra_is_reported_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(SourceError, match="the reader for Excel files is not installed") as caught:
        opened(tmp_path, GOOD)
    assert caught.value.remedy == install("excel")


OPEN_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
 office:version="1.3"><office:body><office:spreadsheet><table:table table:name="S">
<table:table-row><table:table-cell office:value-type="string"><text:p>a</text:p></table:table-cell></table:table-row>
<table:table-row><table:table-cell office:value-type="float" office:value="7"><text:p>7</text:p></table:table-cell>
</table:table-row></table:table></office:spreadsheet></office:body></office:document-content>"""


def test_an_open_document_sheet_is_read(tmp_path: Path) -> None:
    content = packed(
        mimetype=b"application/vnd.oasis.opendocument.spreadsheet",
        **{
            "content.xml": OPEN_DOCUMENT.replace(">\n<", "><").encode(),
            "META-INF/manifest.xml": b'<?xml version="1.0"?><manifest:manifest '
            b'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        },
    )
    assert whole(opened(tmp_path, content))["a"].to_list() == [7]


def open_document_of(rows: str) -> bytes:
    """An OpenDocument sheet of these elements."""
    start, end = re.split("<table:table-row>.*</table:table-row>", OPEN_DOCUMENT, flags=re.DOTALL)
    manifest = b'<?xml version="1.0"?><m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    return packed(
        mimetype=b"application/vnd.oasis.opendocument.spreadsheet",
        **{"content.xml": (start + rows + end).replace(">\n<", "><").encode(), "META-INF/manifest.xml": manifest},
    )


def open_document(*columns: list[tuple[str, str]]) -> bytes:
    """An OpenDocument sheet of these columns, named a, b, …; their cells are a type and a value."""
    names = {"float": "value", "boolean": "boolean-value", "date": "date-value", "time": "time-value"}

    def cell(kind: str, value: str) -> str:
        attribute = f' office:{names[kind]}="{value}"' if kind in names else ""
        return f'<table:table-cell office:value-type="{kind}"{attribute}><text:p>{value}</text:p></table:table-cell>'

    header = [("string", chr(ord("a") + number)) for number in range(len(columns))]
    rows = ["".join(cell(*each) for each in row) for row in [header, *zip(*columns, strict=True)]]
    return open_document_of("".join(f"<table:table-row>{row}</table:table-row>" for row in rows))


ONE_CELL = '<table:table-cell office:value-type="string"><text:p>a</text:p></table:table-cell>'
NO_CELL = '<table:table-cell table:number-columns-repeated="16384"/>'
ROW_OF_ONE = f"<table:table-row>{ONE_CELL}</table:table-row>"


@pytest.mark.fault("S16")
@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (
            ROW_OF_ONE + '<table:table-row table:number-rows-repeated="300000"><table:table-cell '
            'table:number-columns-repeated="200" office:value-type="float" office:value="1"/></table:table-row>',
            "row 300,001 and column 200",
        ),
        (
            f"<table:table-row>{ONE_CELL}{NO_CELL}{ONE_CELL}</table:table-row>"
            f'<table:table-row table:number-rows-repeated="200000">{NO_CELL}</table:table-row>' + ROW_OF_ONE,
            "row 200,002 and column 16,386",
        ),
    ],
    ids=["repeated cells", "a cell far away"],
)
def test_an_open_document_sheet_that_fills_the_memory_is_refused(tmp_path: Path, rows: str, what: str) -> None:
    with pytest.raises(SourceError, match=f"a sheet reaches to {what}"):
        opened(tmp_path, open_document_of(rows))


def test_empty_rows_and_cells_below_and_beside_an_open_document_table_do_not_matter(tmp_path: Path) -> None:
    empty = f'<table:table-row table:number-rows-repeated="1048570">{NO_CELL}</table:table-row>'
    row = ROW_OF_ONE.replace("</table:table-row>", f"{NO_CELL}</table:table-row>")
    assert whole(opened(tmp_path, open_document_of(row + ROW_OF_ONE + empty)))["a"].to_list() == ["a"]


OPEN_COLUMNS: dict[str, tuple[list[tuple[str, str]], list[Any]]] = {
    "days": ([("date", "2024-01-02"), ("date", "2024-01-03")], [date(2024, 1, 2), date(2024, 1, 3)]),
    "days and times": (
        [("date", "2024-01-02"), ("date", "2024-01-02T03:04:05")],
        [datetime(2024, 1, 2), datetime(2024, 1, 2, 3, 4, 5)],
    ),
    "true and numbers": ([("boolean", "true"), ("float", "1")], ["true", "1"]),
    "numbers and texts": ([("float", "5"), ("string", "5")], ["5", '"5"']),
    "days and numbers": ([("date", "2024-01-02"), ("float", "7")], ["2024-01-02", "7"]),
    "days and texts": ([("date", "2024-01-02"), ("string", "2024-01-02")], ["2024-01-02", '"2024-01-02"']),
    "durations and texts": ([("time", "PT09H30M00S"), ("string", "x")], ["PT09H30M00S", "x"]),
}


@pytest.mark.parametrize(("cells", "expected"), OPEN_COLUMNS.values(), ids=OPEN_COLUMNS)
def test_no_cell_of_an_open_document_sheet_becomes_null(
    tmp_path: Path, cells: list[tuple[str, str]], expected: list[Any]
) -> None:
    frame = whole(opened(tmp_path, open_document([("float", "1"), ("float", "2")], cells)))
    assert frame["b"].to_list() == expected and frame[FAULT].null_count() == 2


def test_a_day_of_an_open_document_sheet_that_no_calendar_has_is_rejected(tmp_path: Path) -> None:
    cells = [("date", "2024-02-28"), ("date", "2024-02-30"), ("date", "2024-02-29")]
    frame = whole(opened(tmp_path, open_document(cells)))
    assert frame["a"].to_list() == [date(2024, 2, 28), None, date(2024, 2, 29)]
    assert frame[FAULT].to_list() == [None, CELL_WITHOUT_DAY, None]
