"""A copy of a source is made once, complete or not at all, and readable for the user only."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from cio_etl.errors import SourceError, StateError
from cio_etl.extract import open_staged
from cio_etl.extract.stage import staged
from cio_etl.extract.text_columns import DECIMAL_TEXT, JSON_TEXT
from cio_etl.model import FAULT, POSITION, Incremental, Snapshot, Staging, Watermark


@dataclass(slots=True)
class Frames:
    """A source of these frames; it counts how often it was asked and hears when it is cancelled."""

    rows: list[pl.DataFrame]
    settings: object = "these frames"
    place: str = "the frames"
    asked: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    fails_after: int | None = None

    def frames(self) -> Iterator[pl.DataFrame]:
        self.asked += 1
        for number, frame in enumerate(self.rows):
            if number == self.fails_after:
                raise SourceError(place=self.place, what="broke off")
            yield frame

    def cancel(self) -> None:
        self.cancelled.set()


def numbers(start: int, end: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(start, end), "t": [f"t{n}" for n in range(start, end)]})


def test_the_copy_has_the_source_s_rows_in_their_order(tmp_path: Path) -> None:
    source = Frames([numbers(0, 60_000), numbers(60_000, 60_000), numbers(60_000, 200_001)])
    snapshot = staged(source, Staging(tmp_path), 25_000)
    assert snapshot.rows == 200_001
    rows = pl.concat(snapshot.read(None, 0))
    assert_frame_equal(rows.select("n", "t"), numbers(0, 200_001))
    assert rows[POSITION].to_list() == list(range(200_001))
    assert rows[FAULT].null_count() == 200_001
    assert pl.concat(snapshot.read(["t"], 199_999))["t"].to_list() == ["t199999", "t200000"]
    assert snapshot.locate([0, 200_000]) == [("the frames", 1), ("the frames", 200_001)]


def test_an_existing_copy_is_not_made_again(tmp_path: Path) -> None:
    source = Frames([numbers(0, 3)])
    first = staged(source, Staging(tmp_path), 10)
    again = staged(source, Staging(tmp_path, may_read=False), 10)
    assert source.asked == 1
    assert first.fingerprint == again.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        (Frames([numbers(0, 3)], settings="another question"), {}),
        (Frames([numbers(0, 3)]), {"rows": 2}),
        (Frames([numbers(0, 3)]), {"columns": ("n",)}),
        (Frames([numbers(0, 3)]), {"since": 7}),
    ],
)
def test_another_query_limit_or_selection_has_another_copy(
    tmp_path: Path, other: tuple[Frames, dict[str, Any]]
) -> None:
    staged(Frames([numbers(0, 3)]), Staging(tmp_path), 10)
    source, settings = other
    staged(source, Staging(tmp_path, **settings), 10)
    assert source.asked == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_source_whose_rows_were_sent_is_not_read_again(tmp_path: Path) -> None:
    source = Frames([numbers(0, 3)])
    with pytest.raises(SourceError, match=r"some of its rows are sent, and the staged rest is gone") as error:
        staged(source, Staging(tmp_path, may_read=False), 10)
    assert source.asked == 0
    assert error.value.remedy == "undo the change, or abandon the run and start again with --restart"


def test_an_incomplete_copy_is_ignored(tmp_path: Path) -> None:
    rows = [numbers(0, 80_000), numbers(80_000, 160_000)]
    with pytest.raises(SourceError, match="broke off"):
        staged(Frames(rows, fails_after=1), Staging(tmp_path), 10)
    (folder,) = tmp_path.iterdir()
    assert list(folder.glob("*.parquet")), "some of it had been written"
    snapshot = staged(Frames(rows), Staging(tmp_path), 10)
    assert snapshot.rows == 160_000


def test_the_copy_is_readable_for_the_user_only(tmp_path: Path) -> None:
    staged(Frames([numbers(0, 3)]), Staging(tmp_path / "stage"), 10)
    (folder,) = (tmp_path / "stage").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_limit_ends_the_reading(tmp_path: Path) -> None:
    asked_for: list[int] = []

    class Endless(Frames):
        def frames(self) -> Iterator[pl.DataFrame]:
            while not self.cancelled.is_set():
                asked_for.append(1)
                yield numbers(0, 10)

    source = Endless([])
    snapshot = staged(source, Staging(tmp_path, rows=25), 10)
    assert snapshot.rows == 25
    assert source.cancelled.is_set()


def test_progress_is_the_number_of_rows_so_far(tmp_path: Path) -> None:
    told: list[int] = []
    staged(Frames([numbers(0, 3), numbers(3, 5)]), Staging(tmp_path, report_rows=told.append), 10)
    assert told == [3, 5]


def test_decimals_that_come_as_text_are_decimals_of_the_longest_fraction(tmp_path: Path) -> None:
    texts = ["1.5", "-0.125", None, "7", "12345678901234567890.1"]
    frame = pl.DataFrame(
        {"d": [None if text is None else {"decimal_text": text} for text in texts]}, schema={"d": DECIMAL_TEXT}
    )
    snapshot = staged(Frames([frame]), Staging(tmp_path), 10)
    assert snapshot.schema == pl.Schema({"d": pl.Decimal(38, 3)})
    (rows,) = snapshot.read(["d"], 0)
    assert rows["d"].to_list() == [None if text is None else Decimal(text) for text in texts]


@pytest.mark.parametrize("text", ["1" * 40, "nan", "0." + "1" * 39])
def test_a_decimal_of_too_many_digits_is_reported_without_its_value(tmp_path: Path, text: str) -> None:
    frame = pl.DataFrame({"d": [{"decimal_text": text}]}, schema={"d": DECIMAL_TEXT})
    with pytest.raises(SourceError, match=r"'d'") as error:
        list(staged(Frames([frame]), Staging(tmp_path), 10).read(None, 0))
    assert text not in str(error.value)


def test_json_is_text_and_the_snapshot_names_its_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"j": [{"json_text": '{"a":1}'}, None], "t": ["x", "y"]}, schema={"j": JSON_TEXT, "t": pl.String}
    )
    snapshot = staged(Frames([frame]), Staging(tmp_path), 10)
    assert snapshot.json == {"j"}
    assert snapshot.schema == pl.Schema({"j": pl.String, "t": pl.String})
    (rows,) = snapshot.read(["j"], 0)
    assert rows["j"].to_list() == ['{"a":1}', None]


def test_columns_of_nulls_take_the_type_that_later_rows_have(tmp_path: Path) -> None:
    first = pl.DataFrame({"a": [None] * 80_000}, schema={"a": pl.Null})
    snapshot = staged(Frames([first, pl.DataFrame({"a": ["x"]}), pl.DataFrame({"a": [None]})]), Staging(tmp_path), 10)
    assert snapshot.schema == pl.Schema({"a": pl.String})
    assert pl.concat(snapshot.read(None, 79_999))["a"].to_list() == [None, "x", None]


def test_a_source_without_rows_makes_a_snapshot_with_columns(tmp_path: Path) -> None:
    snapshot = staged(Frames([numbers(0, 0)]), Staging(tmp_path), 10)
    assert (snapshot.rows, list(snapshot.schema)) == (0, ["n", "t"])
    assert list(snapshot.read(None, 0)) == []


@pytest.mark.fault("P5")
def test_a_full_disk_is_reported_as_a_fault_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="Not a directory") as error:
        staged(Frames([numbers(0, 3)]), Staging(tmp_path / "file"), 10)
    assert error.value.remedy.startswith("a file or a link has the name of the folder: move it")


NOT_COPIED = {
    "objects without members": pl.Series("odd", [{"a": {}}], dtype=pl.Struct({"a": pl.Struct({})})),
    "whole numbers of 128 bits": pl.Series("odd", [[5]], dtype=pl.List(pl.Int128)),
    "lists of no values": pl.Series("odd", [[]], dtype=pl.Array(pl.Int64, 0)),
}


@pytest.mark.parametrize(("what", "odd"), NOT_COPIED.items(), ids=NOT_COPIED.keys())
def test_a_column_that_no_copy_can_hold_is_reported_with_its_source(tmp_path: Path, what: str, odd: pl.Series) -> None:
    rows = pl.DataFrame([pl.Series("n", [1]), odd])
    snapshot = staged(Frames([rows]), Staging(tmp_path / "1", columns=("n",)), 10)
    assert pl.concat(snapshot.read(["n"], 0))["n"].to_list() == [1]
    with pytest.raises(SourceError) as caught:
        staged(Frames([rows]), Staging(tmp_path / "2", columns=("n", "odd")), 10)
    assert str(caught.value) == f"the frames: column 'odd' holds {what}, which are not read here"


def test_a_damaged_copy_is_reported_with_its_source(tmp_path: Path) -> None:
    snapshot = staged(Frames([numbers(0, 5)]), Staging(tmp_path), 10)
    assert snapshot.copy is not None
    (part,) = snapshot.copy.glob("part-*")
    part.write_bytes(b"PAR1" + b"?" * (part.stat().st_size - 8) + b"PAR1")
    with pytest.raises(SourceError) as caught:
        open_staged(snapshot.copy)
    assert str(caught.value) == "the frames: the staged copy of its rows is damaged, or not a Parquet file"
    with pytest.raises(SourceError, match="the frames: the staged copy of its rows changed while it was being read"):
        list(snapshot.read(None, 0))
    with pytest.raises(SourceError, match="the frames: has no column 'x'"):
        list(snapshot.read(["x"], 0))


def test_a_copy_without_all_its_rows_is_refused(tmp_path: Path) -> None:
    staged(Frames([numbers(0, 3)]), Staging(tmp_path), 10)
    (folder,) = tmp_path.iterdir()
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"rows": 4}))
    with pytest.raises(SourceError, match="the staged rows are not all there"):
        open_staged(folder)
    manifest.unlink()
    with pytest.raises(SourceError, match="the staged rows are gone"):
        open_staged(folder)


def incremental(folder: Path, *frames: pl.DataFrame, watermark: Watermark | None = None) -> Snapshot:
    return staged(
        Frames([*frames], settings=str(folder)), Staging(folder, watermark=watermark), 10, Incremental("w", ("n",))
    )


def test_rows_without_a_watermark_do_not_move_the_watermark(tmp_path: Path) -> None:
    none = pl.DataFrame({"n": [1], "w": [None]}, schema={"n": pl.Int64, "w": pl.Null})
    some = pl.DataFrame({"n": [2], "w": ["2024-01-01"]})
    assert incremental(tmp_path / "1", none).watermark is None
    after = incremental(tmp_path / "2", none, some, none)
    assert after.rows == 3 and after.watermark is not None and after.watermark.value == "2024-01-01"
    assert incremental(tmp_path / "3", none, watermark=after.watermark).watermark == Watermark("2024-01-01")


def test_a_folder_s_name_is_no_pattern(tmp_path: Path) -> None:
    snapshot = staged(Frames([numbers(0, 3)]), Staging(tmp_path / "st[a]te"), 10)
    assert pl.concat(snapshot.read(None, 0)).height == 3


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        ([2**53 + 1], [0.5], ["9007199254740993", "0.5"]),
        ([0.5], [2**53 + 1], ["0.5", "9007199254740993"]),
        ([1], ["x"], ["1", '"x"']),
        (["x\n"], [-(2**63)], ['"x\\n"', "-9223372036854775808"]),
        ([1.5], ["1.5"], ["1.5", '"1.5"']),
        ([True], ["true"], ["true", '"true"']),
        ([None], ["x"], [None, "x"]),
        ([1], [None], [1, None]),
        ([1], [True], [1, 1]),
        ([date(2024, 1, 2)], [7], ["2024-01-02", "7"]),
        ([Decimal("1.50")], ["x"], ["1.50", '"x"']),
    ],
)
def test_a_column_of_several_kinds_in_its_frames_keeps_each_value(
    tmp_path: Path, first: list[Any], then: list[Any], expected: list[Any]
) -> None:
    frames = [pl.DataFrame({"a": values * times}, strict=False) for values, times in ((first, 60_000), (then, 1))]
    snapshot = staged(Frames(frames), Staging(tmp_path), 25_000)
    column = pl.concat(snapshot.read(["a"], 0))["a"]
    assert [column[0], column[60_000]] == expected
    assert ("a" in snapshot.json) == all(isinstance(text, str) for text in expected)


def test_steps_with_different_watermark_columns_share_no_copy(tmp_path: Path) -> None:
    rows = pl.DataFrame({"n": [1], "w": [7]})
    plain = staged(Frames([rows]), Staging(tmp_path), 10)
    read_on = staged(Frames([rows]), Staging(tmp_path), 10, Incremental("w"))
    assert plain.watermark is None and read_on.watermark is not None
