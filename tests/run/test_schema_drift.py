"""A step starts at its watermark, and a column whose kind has changed stops it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import structlog
from pydantic import SecretStr

from cio_etl import state
from cio_etl.errors import SourceError
from cio_etl.model import Bookmark, CsvSource, Destination, Job, Snapshot, Staging, Step, Watermark
from cio_etl.run import FULL_REFRESH
from cio_etl.run.incremental import load_bookmarks, staging
from cio_etl.run.schema_drift import check_drift, kinds
from tests.mapped_rows import attributes, mapping

MARK = Watermark(datetime(2026, 11, 20, tzinfo=UTC), frozenset({"0" * 32}))
STEP = Step("people", CsvSource(("a.csv",)), mapping(attributes=attributes(n="n")))


def how(since: str | None, mark: Watermark | None = MARK) -> Staging:
    return staging(Path("stage"), STEP, Bookmark(mark), since)


def test_a_run_reads_from_the_watermark_unless_an_option_replaces_it() -> None:
    assert (how(None).watermark, how(None).since) == (MARK, None)
    assert (how(FULL_REFRESH).watermark, how(FULL_REFRESH).since) == (None, None)
    assert (how("2026-11-01T00:00:00+01:00").watermark, how("2026-11-01T00:00:00+01:00").since) == (
        MARK,
        datetime(2026, 10, 31, 23, tzinfo=UTC),
    )
    assert how(None, None).watermark is None
    assert how(None).columns == ("id", "n")


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (pl.Int8(), "numbers"),
        (pl.Float64(), "numbers"),
        (pl.Decimal(38, 2), "numbers"),
        (pl.String(), "text"),
        (pl.Boolean(), "true or false"),
        (pl.Date(), "dates"),
        (pl.Datetime("us"), "times without a zone"),
        (pl.Datetime("ns", "UTC"), "times with a zone"),
        (pl.List(pl.String), "nested values"),
        (pl.Struct({"a": pl.String}), "nested values"),
    ],
)
def test_types_with_the_same_json_are_of_one_kind(dtype: pl.DataType, kind: str) -> None:
    assert kinds(snapshot(pl.Schema({"a": dtype}))) == {"a": kind}


def snapshot(schema: pl.Schema, rows: int = 1, loose: bool = False) -> Snapshot:
    return Snapshot("f", (), rows, schema, lambda columns, start: iter(()), lambda positions: [], loose=loose)


def test_columns_of_nulls_without_rows_or_of_loose_types_are_no_drift() -> None:
    text = pl.Schema({"a": pl.String()})
    assert kinds(snapshot(pl.Schema({"a": pl.Null()}))) == {}
    assert kinds(snapshot(text, rows=0)) == kinds(snapshot(text, loose=True)) == {}


@pytest.mark.fault("S18")
def test_a_mapped_column_of_another_kind_is_named() -> None:
    with pytest.raises(SourceError) as error:
        check_drift(STEP, {"id": "numbers", "n": "text"}, {"id": "text", "n": "text"}, ["id", "n"])
    assert str(error.value) == "step people: since the last run, 'id' contained numbers and now contains text"
    assert error.value.remedy == "fix the source, or add --accept-drift to accept it as it is now"


def test_an_unmapped_column_may_change_its_kind_and_a_new_column_is_recorded(
    quiet_log: list[structlog.typing.EventDict],
) -> None:
    check_drift(STEP, {"id": "numbers", "x": "text"}, {"id": "numbers", "x": "numbers", "y": "text"}, ["id", "n"])
    check_drift(STEP, {}, {"id": "numbers"}, ["id"])
    assert [(event["event"], event["columns"]) for event in quiet_log] == [("columns_appeared", ["y"])]


def test_loading_bookmarks_creates_no_state(tmp_path: Path) -> None:
    nowhere = Destination("track", "http://127.0.0.1:1", dict.fromkeys(("site_id", "api_key"), SecretStr("")))
    job = Job("j.yaml", "nightly", tmp_path / "state", destination=nowhere, steps=(STEP,))
    assert load_bookmarks(job) == {}
    assert not job.state.exists()
    state.open_store(job.state).close()
    assert load_bookmarks(job) == {"people": Bookmark()}
