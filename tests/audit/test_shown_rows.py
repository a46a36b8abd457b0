"""Are the rows of a problem those that its places name, with the columns that matter, and masked?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from cio_etl.audit.shown_rows import MAX_ROWS, columns_of_field, read_rows, shown_rows
from cio_etl.extract import open_source
from cio_etl.model import (
    Columns,
    Constant,
    CsvSource,
    Finding,
    ParquetSource,
    RejectCount,
    ShownRow,
    Snapshot,
    Source,
    Staging,
)
from tests.mapped_rows import attributes, column, mapping

HOW = mapping(
    attributes={
        **attributes(email="mail", plan="plan"),
        "full": Columns(("first", "last"), ()),
        "k": Constant(1),
    },
    event_key=("mail", "plan"),
)
SCHEMA = pl.Schema(dict.fromkeys(("id", "mail", "plan", "first", "last", "other"), pl.String))


@pytest.mark.parametrize(
    ("field", "columns"),
    [
        ("attributes.email", ("id", "mail")),
        ("attributes.full", ("id", "first", "last")),
        ("identifiers.id", ("id",)),
        ("event_key", ("id", "mail", "plan")),
        ("other", ("id", "other")),  # findings may name a column
        ("attributes.gone", ("id",)),
        (None, ("id",)),
    ],
)
def test_a_problem_shows_who_and_the_columns_of_its_field(field: str | None, columns: tuple[str, ...]) -> None:
    assert columns_of_field(HOW, field, SCHEMA) == columns


def test_a_constant_identifier_shows_nobody() -> None:
    everybody = replace(HOW, targets={**HOW.targets, "identifiers.id": Constant("7")})
    assert columns_of_field(everybody, "attributes.email", SCHEMA) == ("mail",)


def opened(folder: Path, source: Source) -> Snapshot:
    return open_source(source, Staging(folder))


def written(rows: int = 60_000) -> Source:
    pl.DataFrame({"id": [f"c{n:07d}" for n in range(rows)], "mail": ["x@y.co"] * rows}).write_csv("rows.csv")
    return CsvSource(("rows.csv",))


def test_rows_are_read_by_their_positions_wherever_they_are(tmp_path: Path) -> None:
    positions = [0, 1, 24_999, 25_000, 44_444, 59_999]
    found = read_rows(opened(tmp_path, written()), positions, ["id"])
    assert found == {position: {"id": f"c{position:07d}"} for position in positions}


def test_rows_that_are_near_each_other_are_read_at_once(tmp_path: Path) -> None:
    snapshot, asked = opened(tmp_path, written()), []

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        asked.append((columns, start))
        return snapshot.read(columns, start)

    read_rows(replace(snapshot, read=read), [3, 5, 900, 50_000, 50_001], ["mail"])
    assert asked == [(["mail"], 3), (["mail"], 50_000)]


def test_a_row_that_is_no_row_has_no_cells(tmp_path: Path) -> None:
    Path("ragged.csv").write_text("id,mail\n1,a@b.co\n2\n3,c@d.co\n")
    found = read_rows(opened(tmp_path, CsvSource(("ragged.csv",))), [0, 1, 2], ["id", "mail"])
    assert found == {0: {"id": "1", "mail": "a@b.co"}, 1: {}, 2: {"id": "3", "mail": "c@d.co"}}


def test_values_of_every_kind_are_text(tmp_path: Path) -> None:
    pl.DataFrame(
        {"id": [7], "list": [[1, 2]], "record": [{"a": None}], "none": pl.Series([None], dtype=pl.Float64)}
    ).write_parquet("rows.parquet")
    snapshot = opened(tmp_path, ParquetSource(("rows.parquet",)))
    assert read_rows(snapshot, [0], list(snapshot.schema)) == {
        0: {"id": "7", "list": "[1,2]", "record": '{"a":null}', "none": None}
    }


REJECTS = [
    RejectCount("email_malformed", "attributes.email", 9, ("p.csv:3", "p.csv:2")),
    RejectCount("item_too_large", None, 1, ("p.csv:2",)),
]
FINDING = Finding("some_code", "warning", "attributes.email", 1, "words", ("p.csv:3",))


@pytest.mark.parametrize(("reveal", "mail"), [(False, "a***@@b***.co"), (True, "ada@@bee.co")])
def test_each_problem_has_its_rows(tmp_path: Path, reveal: bool, mail: str) -> None:
    Path("p.csv").write_text("id,mail\n,ada@@bee.co\n2,\n")
    how, positions = mapping(attributes=attributes(email=column("mail"))), {"p.csv:2": 0, "p.csv:3": 1}
    shown = shown_rows([FINDING, *REJECTS], positions, how, opened(tmp_path, CsvSource(("p.csv",))), reveal)
    two = "2" if reveal else "#"
    assert list(shown) == [
        ShownRow("some_code", "attributes.email", "p.csv:3", (("id", two), ("mail", None))),
        ShownRow("email_malformed", "attributes.email", "p.csv:3", (("id", two), ("mail", None))),
        ShownRow("email_malformed", "attributes.email", "p.csv:2", (("id", None), ("mail", mail))),
        ShownRow("item_too_large", None, "p.csv:2", (("id", None),)),
    ]


def test_of_many_problems_the_first_are_shown(tmp_path: Path) -> None:
    Path("p.csv").write_text("id,mail\n1,a\n")
    many = [RejectCount(f"reason_{n}", None, 1, ("p.csv:2",)) for n in range(MAX_ROWS + 5)]
    shown = list(shown_rows(many, {"p.csv:2": 0}, mapping(), opened(tmp_path, CsvSource(("p.csv",))), False))
    assert [row.code for row in shown] == [f"reason_{n}" for n in range(MAX_ROWS)]
