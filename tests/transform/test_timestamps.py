"""A timestamp is converted to the right second, or to null. Compared with Python's datetime and zoneinfo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import FUNCTIONS, apply, parse_call
from cio_etl.transform.timestamps import TimestampFacts
from tests.functions import mapped

EPOCH = datetime(1970, 1, 1)
ZONES = [
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kathmandu",  # +05:45
    "Pacific/Apia",  # had no 2011-12-30
    "America/Sao_Paulo",  # put its clocks forward at midnight
    "Europe/Dublin",  # winter time is the exception
]


def seconds(values: Sequence[object], dtype: Any = None, *, frames: int = 1, **arguments: object) -> list[int | None]:
    """A column through `timestamp`, its facts gathered over so many frames."""
    call, frame = parse_call({"timestamp": arguments}), pl.DataFrame({"v": pl.Series(values, dtype=dtype)})
    gathering, kind = FUNCTIONS["timestamp"].facts, frame.schema["v"]
    assert gathering is not None
    rows = -(-len(values) // frames) or 1
    queries = gathering.queries(pl.col("v"), kind, call)
    pieces = [frame.slice(start, rows) for start in range(0, len(values), rows)] if queries else []
    facts = gathering.combine([piece.select(**queries).row(0, named=True) for piece in pieces], kind, call)
    made = frame.select(apply(pl.col("v"), kind, call, facts)).to_series()
    assert made.dtype == (pl.Null if kind == pl.Null else pl.Int64)  # nulls leave the type open for a `default`
    return made.to_list()


def wall_seconds(wall: datetime) -> int:
    return (wall - EPOCH) // timedelta(seconds=1)


# ---------------------------------------------------------------- ISO 8601

walls = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
OFFSETS = {
    "Z": 0,
    "UTC": 0,
    "+00": 0,
    "+02": 120,
    "-0330": -210,
    "-00:30": -30,
    "+05:45": 345,
    "+14:00": 840,
    "-12": -720,
}


@st.composite
def iso_texts(draw: st.DrawFn, shape: str | None = None) -> tuple[str, int, bool]:
    """An ISO text, the seconds it means when it is UTC, and whether it says its offset."""
    wall = draw(walls)
    shape = shape or draw(st.sampled_from(["date", "minutes", "seconds", "fraction"]))
    if shape == "date":
        return wall.date().isoformat(), wall_seconds(datetime.combine(wall.date(), datetime.min.time())), False
    clock = wall.strftime("%H:%M") if shape == "minutes" else wall.strftime("%H:%M:%S")
    wall = wall.replace(microsecond=0, second=0 if shape == "minutes" else wall.second)
    if shape == "fraction":
        clock += draw(st.sampled_from(".,")) + draw(st.text("0123456789", min_size=1, max_size=12))
    offset = draw(st.sampled_from(["", "", *OFFSETS, " UTC", " +02"]))
    minutes = OFFSETS.get(offset.strip(), 0)
    text = f"{wall:%Y-%m-%d}".zfill(10) + draw(st.sampled_from("T ")) + clock + offset
    return text, wall_seconds(wall) - minutes * 60, offset != ""


@given(st.lists(iso_texts(), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_iso_texts_of_any_shape_are_read_exactly(column: list[tuple[str, int, bool]], frames: int) -> None:
    texts = [text for text, _, _ in column]
    assert seconds(texts, frames=frames) == [instant for _, instant, _ in column]


@pytest.mark.parametrize("shape", ["date", "seconds", "minutes", "fraction"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_column_of_one_shape_is_read_the_same(shape: str, data: st.DataObject) -> None:
    column = data.draw(st.lists(iso_texts(shape), min_size=1, max_size=5))
    assert seconds([text for text, _, _ in column]) == [instant for _, instant, _ in column]


@given(iso_texts(), st.integers(0, 30), st.text("0123456789-+:.,TZ UC٣", max_size=2), st.booleans())
@settings(max_examples=400, deadline=None)
def test_a_damaged_text_is_read_as_python_reads_it_or_not_at_all(
    column: tuple[str, int, bool], at: int, noise: str, insert: bool
) -> None:
    text = column[0][:at] + noise + column[0][at + (0 if insert else 1) :]
    try:
        (instant,) = seconds([text])
    except ValueError as error:  # digits alone, too small for an epoch
        assert "before 1980" in str(error)
        return
    if instant is None or text.isdigit() or text.startswith("0000"):  # Python knows no year 0
        return
    known = re.sub(r" ?UTC$", "Z", text).replace(",", ".").replace(" Z", "Z").replace(" +", "+").replace(" -", "-")
    late = ":60" in known[16:19]
    python = datetime.fromisoformat(known[:16] + known[16:].replace(":60", ":59", 1) if late else known)
    python = python.replace(microsecond=0)
    utc = python if python.tzinfo is None else (python - (python.utcoffset() or timedelta())).replace(tzinfo=None)
    assert instant == wall_seconds(utc) + (1 if late else 0)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "2024-3-1",
        "0000-00-00",
        "2024-01-01T24:00:00",
        "2024-01-01T12:60",
        "2024-01-01T12:00:61",
        "2024-01-01T12",
        "2024-01-01T12:00:00.",
        "2024-01-01T12:00+24:00",
        "2024-01-01T12:00+2",
        "2024-01-01Z",
        "20240101T120000Z",
        "2024-W01-1",
        " 2024-01-01",
        "2024-01-01\n",
        "+2024-01-01",
        "12024-01-01",
        "03/04/2024",
        "10.03.2024",
        "1,710,061,200",
        "now",
        "",
        "٢٠٢٤-٠١-٠١",
    ],
)
def test_what_is_not_iso_is_rejected_and_never_guessed(text: str) -> None:
    assert seconds([text]) == [None]
    assert seconds([text, "2024-01-01", "2024-01-01T00:00:00"]) == [None, 1704067200, 1704067200]


def test_a_leap_second_is_the_next_second_as_posix_counts() -> None:
    after = wall_seconds(datetime(2017, 1, 1))
    assert seconds(["2016-12-31T23:59:60Z", "2016-12-31 23:59:60.5+00"]) == [after, after]
    assert seconds(["2016-12-31T23:59:60"]) == [after]


def test_fractions_are_floored_before_1970_too() -> None:
    assert seconds(["1969-12-31T23:59:59.999999999", "1970-01-01T00:00:00.9"]) == [-1, 0]


# ---------------------------------------------------------------- zones


def in_zone(wall: datetime, zone: str) -> tuple[str, int, int]:
    """What Python knows of a wall time: once, twice or never; and the seconds of the earlier and the later reading."""
    early, late = (wall.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    first, second = wall_seconds(wall) - offset_s(early), wall_seconds(wall) - offset_s(late)
    if first == second:
        return "once", first, first
    return ("twice" if first < second else "never"), first, second


def offset_s(moment: datetime) -> int:
    return int((moment.utcoffset() or timedelta()).total_seconds())


TRANSITIONS = [
    datetime(2024, 3, 31, 2, 30),  # Paris: gap
    datetime(2024, 10, 27, 2, 30),  # Paris: fold
    datetime(2024, 3, 10, 2, 30),  # New York: gap
    datetime(2024, 11, 3, 1, 30),  # New York: fold
    datetime(2024, 10, 6, 2, 15),  # Lord Howe: gap of half an hour
    datetime(2024, 4, 7, 1, 45),  # Lord Howe: fold of half an hour
    datetime(2011, 12, 30, 12, 0),  # Apia: no such day
    datetime(2018, 11, 4, 0, 30),  # São Paulo: gap at midnight
]
zoned_walls = st.datetimes(datetime(1902, 1, 1), datetime(2037, 12, 31)) | st.builds(
    lambda near, minutes: near + timedelta(minutes=minutes), st.sampled_from(TRANSITIONS), st.integers(-180, 180)
)


@given(
    st.lists(zoned_walls, min_size=1, max_size=6),
    st.sampled_from(ZONES),
    st.sampled_from(["reject", "earliest", "latest"]),
    st.sampled_from(["reject", "shift_forward"]),
    st.sampled_from(["T", " ", "typed"]),
)
@settings(max_examples=400, deadline=None)
def test_naive_times_are_the_zones_as_python_has_it(
    column: list[datetime], zone: str, ambiguous: str, nonexistent: str, written: str
) -> None:
    def expected(wall: datetime) -> int | None:
        times, early, late = in_zone(wall.replace(microsecond=0), zone)
        if times == "twice":
            return {"reject": None, "earliest": early, "latest": late}[ambiguous]
        return None if times == "never" and nonexistent == "reject" else early

    values = column if written == "typed" else [wall.isoformat(sep=written) for wall in column]
    made = seconds(values, timezone=zone, ambiguous=ambiguous, nonexistent=nonexistent)
    assert made == [expected(wall) for wall in column]


@pytest.mark.parametrize(
    ("zone", "text", "ambiguous", "nonexistent", "instant"),
    [
        ("Europe/Paris", "2024-10-27 02:30", "reject", "reject", None),
        ("Europe/Paris", "2024-10-27 02:30", "earliest", "reject", 1729989000),
        ("Europe/Paris", "2024-10-27 02:30", "latest", "reject", 1729992600),
        ("Europe/Paris", "2024-10-27 02:30+01:00", "reject", "reject", 1729992600),
        ("Europe/Paris", "2024-03-31 02:30", "latest", "reject", None),
        ("Europe/Paris", "2024-03-31 02:30", "reject", "shift_forward", 1711848600),
        ("Europe/Paris", "2024-10-27 02:30", "reject", "shift_forward", None),
        ("America/Sao_Paulo", "2018-11-04", "reject", "reject", None),
        ("America/Sao_Paulo", "2018-11-04", "reject", "shift_forward", 1541300400),
        ("UTC", "2024-03-31 02:30", "reject", "reject", 1711852200),
    ],
)
def test_gaps_and_folds_are_read_only_as_said(
    zone: str, text: str, ambiguous: str, nonexistent: str, instant: int | None
) -> None:
    assert seconds([text], timezone=zone, ambiguous=ambiguous, nonexistent=nonexistent) == [instant]


def test_a_text_that_says_its_offset_does_not_care_for_the_zone() -> None:
    texts = ["2024-07-01T12:00", "2024-07-01T12:00Z", "2024-07-01T12:00-04:00", "2024-07-01"]
    assert seconds(texts, timezone="Europe/Paris") == [1719828000, 1719835200, 1719849600, 1719784800]


def test_from_2100_on_a_zone_is_not_guessed() -> None:
    texts = ["2099-12-31 23:59:59", "2100-01-01", "2100-01-01T00:00Z"]
    assert seconds(texts, timezone="Europe/Paris") == [4102441199, None, 4102444800]
    assert seconds(["2100-01-01"]) == [4102444800]


# ---------------------------------------------------------------- dates and times


@given(
    st.lists(st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1)), min_size=1), st.sampled_from(["ms", "us", "ns"])
)
@settings(max_examples=100, deadline=None)
def test_typed_times_of_any_unit_are_floored(column: list[datetime], unit: Any) -> None:
    assert seconds(column, pl.Datetime(unit)) == [wall_seconds(wall) for wall in column]
    aware = [wall.replace(tzinfo=UTC) for wall in column]
    assert seconds(aware, pl.Datetime(unit, "UTC"), timezone="Europe/Paris") == [wall_seconds(wall) for wall in column]


def test_a_date_is_its_midnight_in_the_zone() -> None:
    assert seconds([date(2024, 7, 1), None], timezone="America/New_York") == [1719806400, None]
    assert seconds([date(1969, 12, 31)]) == [-86400]


# ---------------------------------------------------------------- numbers

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
epochs = st.integers(wall_seconds(datetime(1980, 1, 1)), wall_seconds(datetime(2260, 1, 1)))


@given(st.lists(epochs, min_size=1), st.sampled_from(list(PER_SECOND)), st.booleans(), st.integers(1, 3), st.data())
@settings(max_examples=150, deadline=None)
def test_the_whole_column_says_the_unit_of_its_numbers(
    column: list[int], unit: str, text: bool, frames: int, data: st.DataObject
) -> None:
    per_second = PER_SECOND[unit]
    numbers = [instant * per_second + data.draw(st.integers(0, per_second - 1)) for instant in column]
    assert seconds([str(n) for n in numbers] if text else numbers, frames=frames) == column


@given(st.integers(-(10**9), 10**9), st.integers(1, 999), st.booleans())
@settings(max_examples=100, deadline=None)
def test_fractions_of_numbers_are_floored(whole: int, thousandths: int, text: bool) -> None:
    number = f"{'-' if whole < 0 else ''}{abs(whole)}.{thousandths:03}"
    floor = whole - 1 if whole < 0 else whole
    assert seconds([number if text else float(number)], unit="s") == [floor]


def test_numbers_of_two_sizes_are_refused_across_frames_too() -> None:
    column = [1710061200, 1710061200000]
    for values in (column, [str(value) for value in column]):
        for frames in (1, 2):
            with pytest.raises(ValueError) as caught:
                seconds(values, frames=frames)
            assert str(caught.value) == (
                "timestamp: some numbers look like seconds and milliseconds; put `unit:` (s, ms, us, ns)"
            )


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(20240310, id="YYYYMMDD"),
        pytest.param(202403100900, id="YYYYMMDDhhmm"),
        pytest.param(20240310090000, id="YYYYMMDDhhmmss"),
        pytest.param(240310090000, id="YYMMDDhhmmss"),
        pytest.param(45361, id="Excel"),
        pytest.param(19792, id="days"),
        pytest.param(28501020, id="minutes"),
        pytest.param(2024, id="year"),
    ],
)
def test_numbers_that_are_no_epochs_are_refused(number: int) -> None:
    for values in ([number], [str(number)], [float(number)], [0, number]):
        with pytest.raises(ValueError, match=r"the numbers are all before 1980; put `unit:` .* or `format:`"):
            seconds(values)


def test_a_stray_number_among_texts_is_rejected_without_stopping_the_column() -> None:
    assert seconds(["45361", "2024-01-01", None]) == [None, 1704067200, None]


def test_zero_is_a_number_of_every_unit_and_old_dates_are_read_beside_new_ones() -> None:
    assert seconds([0, 1710061200000, -1710061200000]) == [0, 1710061200, -1710061200]
    assert seconds([1, 1710061200]) == [1, 1710061200]
    assert seconds([0, None]) == [0, None]


def test_each_units_numbers_are_the_same_dates() -> None:
    assert seconds([9_999_999_999]) == [9_999_999_999]  # 2286-11-20
    for per_second in (10**3, 10**6, 10**9):
        earliest = 10**7 * per_second  # 1970-04-26
        assert seconds([earliest, 1710061200 * per_second]) == [10**7, 1710061200]
        with pytest.raises(ValueError, match="some numbers look like"):
            seconds([earliest - 1, 1710061200 * per_second])


def test_a_said_unit_wins_but_milliseconds_never_pass_for_seconds() -> None:
    assert seconds([1710061200, 1710061200000], unit="ms") == [1710061, 1710061200]
    assert seconds([1710061200, 1710061200000], unit="s") == [1710061200, None]
    assert seconds(["1710061200000", "2024-03-10T09:00:00Z"], unit="s") == [None, 1710061200]
    assert seconds([20240310], unit="s") == [20240310]


# ---------------------------------------------------------------- a spreadsheet's days

ORIGINS = {"excel": datetime(1899, 12, 30), "excel1904": datetime(1904, 1, 1)}
moments = st.datetimes(datetime(1904, 1, 1), datetime(9999, 12, 31, 23, 59, 58))


@given(st.lists(moments, min_size=1, max_size=5), st.sampled_from(list(ORIGINS)), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_spreadsheets_days_are_the_times_that_python_counts(column: list[datetime], system: Any, text: bool) -> None:
    column = [moment.replace(microsecond=0) for moment in column]
    days = [(moment - ORIGINS[system]) / timedelta(days=1) for moment in column]  # the nearest Float64
    made = seconds([f"{day:.10f}" for day in days] if text else days, unit=system)
    assert made == [wall_seconds(moment) for moment in column]


@given(st.integers(1, 59))
def test_before_the_day_that_never_was_excel_counts_one_less(serial: int) -> None:
    assert seconds([serial], unit="excel") == [wall_seconds(datetime(1899, 12, 31) + timedelta(days=serial))]


@pytest.mark.parametrize(
    ("number", "system", "moment"),
    [
        (0.99, "excel", None),  # a time without a day
        (1, "excel", datetime(1900, 1, 1)),
        (59.5, "excel", datetime(1900, 2, 28, 12)),
        (60, "excel", None),  # 1900-02-29, which never was
        (60.75, "excel", None),
        (61, "excel", datetime(1900, 3, 1)),
        (2_958_465.5, "excel", datetime(9999, 12, 31, 12)),
        (2_958_466, "excel", None),
        (-1, "excel", None),
        (0, "excel1904", datetime(1904, 1, 1)),
        (60, "excel1904", datetime(1904, 3, 1)),
        (2_957_004, "excel1904", None),
    ],
)
def test_a_number_that_is_no_day_of_a_spreadsheet_is_rejected(
    number: float, system: str, moment: datetime | None
) -> None:
    expected = [None if moment is None else wall_seconds(moment)]
    for values in ([float(number)], [number], [f"{number}"]):
        assert seconds(values, unit=system) == expected


def test_excels_days_are_local_times_and_texts_beside_them_are_read_too() -> None:
    texts = ["45382.1041666667", "2024-03-10T09:00:00Z", "4.5e4", "45,361", "nan"]
    assert seconds(texts, unit="excel") == [1711852200, 1710061200, None, None, None]
    assert seconds(["45382.1041666667", "45383"], unit="excel", timezone="Europe/Paris") == [None, 1711922400]
    assert seconds([45382.1041666667], unit="excel", timezone="Europe/Paris", nonexistent="shift_forward") == [
        1711848600
    ]
    assert seconds([float("nan"), float("inf"), None, 45361.0], unit="excel") == [None, None, None, 1710028800]


def test_numbers_without_evidence_are_not_guessed() -> None:
    frame, call = pl.DataFrame({"v": ["1710061200", "2024-03-10T09:00:00Z"]}), parse_call("timestamp")
    assert frame.select(apply(pl.col("v"), pl.String(), call)).to_series().to_list() == [None, 1710061200]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([float("nan"), float("inf"), 1e300, 1710061200.0], pl.Float64),
        ([None, None, None, 1710061200], pl.UInt32),
        ([2**64 - 1, 2**63, None, 1710061200], pl.UInt64),
        ([-(2**63), None, None, 1710061200], pl.Int64),
    ],
)
def test_numbers_that_are_no_time_are_null(values: list[object], dtype: Any) -> None:
    assert seconds(values, dtype) == [None, None, None, 1710061200]


def test_an_empty_column_has_no_opinion() -> None:
    for dtype in (pl.String, pl.Int64, pl.Float64, pl.Null, pl.Date):
        assert seconds([], dtype) == []
        assert seconds([None], dtype) == [None]


# ---------------------------------------------------------------- facts


def test_evidence_is_what_the_column_has_in_common() -> None:
    gathering, call = FUNCTIONS["timestamp"].facts, parse_call("timestamp")
    assert gathering is not None
    queries = gathering.queries(pl.col("v"), pl.String(), call)

    def facts(*frames: list[str]) -> object:
        rows = [pl.DataFrame({"v": frame}).select(**queries).row(0, named=True) for frame in frames]
        return gathering.combine(rows, pl.String(), call)

    seconds_t = TimestampFacts(unit="s", numbers=False, stem="%Y-%m-%dT%H:%M:%S", aware=False, offsets=False)
    assert facts(["2024-01-01T00:00:00", "unknown"], ["2024-01-01T00:00:00.5"]) == seconds_t
    assert facts(["2024-01-01"]) == TimestampFacts("s", False, "%Y-%m-%d", False, False, others=False)
    assert facts(["2024-01-01"], ["2024-01-01 00:00"]) == TimestampFacts("s", False, None, False, False, others=False)
    assert facts(["2024-01-01 00:00:00Z"]) == TimestampFacts("s", False, "%Y-%m-%d %H:%M:%S", True, False, others=False)
    assert facts(["2024-01-01 00:00+02"], ["1710061200123"]) == TimestampFacts("ms", True, None, True, True)


@given(st.lists(iso_texts() | st.just(("unknown", 0, False)), min_size=1, max_size=6), st.sampled_from(["UTC", *ZONES]))
@settings(max_examples=100, deadline=None)
def test_evidence_changes_no_answer(column: list[tuple[str, int, bool]], zone: str) -> None:
    texts = [text for text, _, _ in column]
    call = parse_call({"timestamp": {"timezone": zone}})
    unknown = pl.DataFrame({"v": texts}).select(apply(pl.col("v"), pl.String(), call)).to_series().to_list()
    assert seconds(texts, timezone=zone) == unknown


def test_typed_columns_and_formats_and_said_units_need_no_evidence() -> None:
    gathering = FUNCTIONS["timestamp"].facts
    assert gathering is not None
    for dtype, arguments in (
        (pl.Datetime(), {}),
        (pl.Date(), {}),
        (pl.Int64(), {"unit": "ms"}),
        (pl.String(), {"format": "%Y%m%d"}),
    ):
        assert gathering.queries(pl.col("v"), dtype, parse_call({"timestamp": arguments})) == {}


# ---------------------------------------------------------------- formats

FORMATS = [
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%Y%m%d",
    "%Y%m%d%H%M%S",
    "%d %b %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d.%m.%y",
    "%Y-%j",
    "%Y-%m-%dT%H:%M:%S.%f%z",
]


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2060, 1, 1)),
    st.sampled_from(FORMATS),
    st.sampled_from([0, 120, -210]),
)
@settings(max_examples=200, deadline=None)
def test_a_format_reads_what_python_writes(wall: datetime, format: str, minutes: int) -> None:
    text = wall.replace(tzinfo=timezone(timedelta(minutes=minutes))).strftime(format)
    python = datetime.strptime(text, format)
    expected = int((python.replace(microsecond=0, tzinfo=python.tzinfo or UTC)).timestamp())
    assert seconds([text, "x", None], format=format) == [expected, None, None]


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2060, 1, 1)),
    st.sampled_from([format for format in FORMATS if "%z" not in format]),
    st.integers(0, 19),
    st.text("0123456789/ :.", max_size=1),
)
@example(datetime(2000, 1, 1), "%Y%m%d", 0, "0")
@settings(max_examples=300, deadline=None)
def test_a_damaged_text_is_read_as_its_format_says_or_not_at_all(
    wall: datetime, format: str, at: int, noise: str
) -> None:
    text = wall.strftime(format)
    text = text[:at] + noise + text[at + 1 :]
    (made,) = seconds([text], format=format)
    if made is not None and made >= wall_seconds(datetime.min):  # Python has no year 0
        assert made == wall_seconds(datetime.strptime(re.sub(" +", " ", text.strip()), format))


@pytest.mark.parametrize(
    ("format", "text", "instant"),
    [
        ("%d/%m/%Y", "1/2/2024", 1706745600),
        ("%d/%m/%Y", "1/2/24", None),
        ("%d/%m/%y", "1/2/2024", None),
        ("%Y%m%d", "2024031", None),
        ("%Y%m%d", "202403100", None),
        ("%m%d%Y", "1102024", None),
        ("%m%d%Y", "03102024", 1710028800),
        ("%Y%m%dT%H%M%S%z", "20240310T090000Z", 1710061200),
        ("%Y-%m-%d %H:%M %z", "2024-03-10 09:00 +01", 1710057600),
        (["%d/%m/%Y", "%Y-%m-%d"], "2024-03-10", 1710028800),
        ("%Y年%m月%d日", "2024年3月10日", 1710028800),
        ("%d.%m.%Y", "10x03x2024", None),
        ("%Y-%m-%d", "2024-03-10T00:00:00", None),
    ],
)
def test_formats_hold_numbers_to_their_width(format: object, text: str, instant: int | None) -> None:
    assert seconds([text], format=format) == [instant]


def test_formats_go_with_a_zone_and_with_digits_in_a_number_column() -> None:
    assert seconds(["10/03/2024 09:00"], format="%d/%m/%Y %H:%M", timezone="Europe/Paris") == [1710057600]
    assert seconds(["31/03/2024 02:30"], format="%d/%m/%Y %H:%M", timezone="Europe/Paris") == [None]
    assert seconds([20240310, 2024031, None], format="%Y%m%d") == [1710028800, None, None]


@pytest.mark.parametrize("dtype", [pl.Date(), pl.Datetime(), pl.Float64()])
def test_a_format_is_refused_where_there_is_no_text(dtype: pl.DataType) -> None:
    with pytest.raises(ValueError, match=r"^timestamp: 'format' is for text; the column holds .*: leave 'format' out$"):
        apply(pl.col("v"), dtype, parse_call({"timestamp": {"format": "%Y-%m-%d"}}))


NEEDS = "it needs a year, a month and a day, %M beside %H, %p beside %I"
COMMA = "%Y-%m-%d %H:%M:%S,%f"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("Europe/Paris", "it takes 'timezone', 'format', 'unit', 'ambiguous', 'nonexistent'"),
        ({"timezone": "Europe/Pariss"}, "no time zone 'Europe/Pariss'; use a name such as Europe/Paris or UTC"),
        ({"timezone": ""}, "no time zone ''; use a name such as Europe/Paris or UTC"),
        ({"unit": "h"}, "'unit' must be one of auto, s, ms, us, ns, excel, excel1904"),
        ({"ambiguous": "raise"}, "'ambiguous' must be one of earliest, latest, reject"),
        ({"nonexistent": "null"}, "'nonexistent' must be one of reject, shift_forward"),
        ({"format": 5}, "'format' must be text or a list of text"),
        ({"format": []}, "'format' must not be empty"),
        ({"format": "%d/%m"}, f"'format' '%d/%m' does not give the day: {NEEDS}"),
        ({"format": "%Y-%m-%d %H"}, f"'format' '%Y-%m-%d %H' cannot be read: {NEEDS}"),
        ({"format": "%"}, f"'format' '%' cannot be read: {NEEDS}"),
        ({"format": ["%Y-%m-%d", "%d/%m"]}, f"'format' '%d/%m' does not give the day: {NEEDS}"),
        ({"format": "%s"}, "'format' '%s' has %s: numbers need no format; put `unit:`"),
        ({"format": "DD.MM.YYYY"}, "'format' 'DD.MM.YYYY' has no directive such as %d; did you mean '%d.%m.%Y'?"),
        (
            {"format": "yyyy-MM-dd HH:MM"},
            "'format' 'yyyy-MM-dd HH:MM' has no directive such as %d; did you mean '%Y-%m-%d %H:%M'?",
        ),
        ({"format": "MM/DD"}, f"'format' 'MM/DD' has no directive such as %d; {NEEDS}"),
        (
            {"format": "%Y-%m-%d %H:%M %Z"},
            "'format' '%Y-%m-%d %H:%M %Z' has %Z: the name of a zone is not an offset; put `timezone:` and "
            "leave it out",
        ),
        ({"format": COMMA}, f"'format' {COMMA!r} has %f: write %.f for the fraction of a second"),
        ({"format": "%Y-%m-%d", "unit": "s"}, "'format' is for text and 'unit' for numbers: give one of them"),
    ],
)
def test_wrong_arguments_say_what_would_be_right(arguments: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_call({"timestamp": arguments})
    assert str(caught.value) == f"timestamp: {message}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1.7e9", 1_700_000_000), ("1.7100612E+09", 1_710_061_200), ("-1.5e9", -1_500_000_000), ("1.7e400", None)],
)
def test_a_count_may_be_written_with_an_exponent(text: str, seconds: int | None) -> None:
    assert mapped([text, "1700000000"], "timestamp") == [seconds, 1_700_000_000]


def test_the_smallest_count_less_a_fraction_does_not_wrap_into_the_future() -> None:
    assert mapped([f"{-(2**63)}.5"], {"timestamp": {"unit": "ns"}}) == [None]
