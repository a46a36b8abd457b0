"""What a mapping or a step expects of the rows of its source, tested frame by frame on the columns that it names.

Memory is bounded: of the keys of `unique`, a hash each is kept, of at most MOST_KEYS of them, most of them in the
temporary folder. Of more keys, those of a part are kept, and counts are estimated from it; a hash that two different
keys share is as likely as 1 in 36,000 then.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cio_etl.audit.findings import FIRST, PositionedFinding, finding_kind
from cio_etl.errors import SourceError
from cio_etl.model import FAULT, POSITION, Expectation, Finding, Snapshot, Step
from cio_etl.model.words import counted
from cio_etl.transform import Mapped, column_of, repeats, require_names, row_condition, row_sql, timestamps
from cio_etl.transform.by_hash import KEY, RowsByHash
from cio_etl.transform.nested import in_words

EXPECTATION_FAILED = finding_kind(
    "expectation_failed", "error", "fix the source, or change `expect`; with --accept-unexpected a run sends it once"
)

MOST_KEYS = 32_000_000  # 512 MB of hashes and positions


@dataclass(frozen=True, slots=True)
class Look:
    """What one frame says of one expectation."""

    rows: int  # that count
    broken: int = 0
    first: tuple[int, ...] = ()
    keys: pl.DataFrame | None = None  # of `unique`: a hash of each, and the row's position
    newest_s: int | None = None  # Unix seconds


@dataclass(slots=True)
class _Sum:
    rows: int = 0
    broken: int = 0
    first: tuple[int, ...] = ()
    keys: RowsByHash | None = None
    newest_s: int | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    expectation: Expectation
    where: pl.Expr | None
    broken: pl.Expr | None = None
    key: tuple[pl.Expr, ...] = ()
    time: pl.Expr | None = None


class Expectations:
    """The expectations of a step, over the rows of a snapshot. Call `look` on each frame, `add` in their order.

    `look` may be called by several threads at once. The frames need `columns`, with JSON columns as plain text.
    """

    def __init__(
        self, expected: Sequence[Expectation], snapshot: Snapshot, now_s: float, *, most: int = MOST_KEYS
    ) -> None:
        """Raises SourceError when an expectation does not fit the columns."""
        require_expected(expected, snapshot.schema)
        self.columns = columns_of_expectations(expected)
        self._rules = [_rule(one, snapshot.schema) for one in expected]
        self._sums = [_Sum(keys=RowsByHash(most) if rule.key else None) for rule in self._rules]
        self._now_s = now_s

    def look(self, frame: pl.DataFrame) -> list[Look]:
        """What the frame's readable rows say of each expectation."""
        if frame[FAULT].null_count() < frame.height:
            frame = frame.filter(pl.col(FAULT).is_null())
        masks, of_rules = [], []
        for place, rule in enumerate(self._rules):
            counts = pl.lit(True) if rule.where is None else rule.where.fill_null(False)
            of_rules.append(counts.alias(f"{place}.rows"))
            if rule.broken is not None:
                masks.append((rule.broken.fill_null(False) & counts).alias(f"{place}.broken"))
            if rule.time is not None:
                has_passed = rule.time <= self._now_s + _DAY  # 9999-12-31 stands for no date, and is never old
                of_rules.append(pl.when(counts & has_passed).then(rule.time).alias(f"{place}.time"))
        try:
            values = frame.select(pl.col(POSITION), *of_rules, *masks)
        except pl.exceptions.PolarsError:  # its message quotes values
            places = ", ".join(rule.expectation.place for rule in self._rules if rule.where is not None)
            what = "where: cannot be computed for some row; write try_cast for cast, and such a row does not count"
            raise SourceError(place=places, what=what) from None
        return [self._look(frame, values, place, rule) for place, rule in enumerate(self._rules)]

    def _look(self, frame: pl.DataFrame, values: pl.DataFrame, place: int, rule: _Rule) -> Look:
        here = values[f"{place}.rows"]
        rows = int(here.sum())
        if rule.time is not None:
            newest: Any = values[f"{place}.time"].max()
            return Look(rows, newest_s=None if newest is None else int(newest))
        if rule.key:
            keys = frame.filter(here).select(pl.col(POSITION), *rule.key).drop_nulls()
            return Look(rows, keys=pl.DataFrame([pl.Series(KEY, repeats.hashes(keys)), keys[POSITION]]))
        if rule.broken is None:
            return Look(rows)
        broken = values[f"{place}.broken"]
        count = int(broken.sum())
        first = tuple(values[POSITION].filter(broken).head(FIRST)) if count else ()
        return Look(rows, count, first)

    def add(self, looks: Sequence[Look]) -> None:
        """Take note of a frame's looks; frames come in order of position."""
        for total, look in zip(self._sums, looks, strict=True):
            total.rows += look.rows
            total.broken += look.broken
            total.first = (*total.first, *look.first)[:FIRST]
            if look.newest_s is not None:
                total.newest_s = max(look.newest_s, total.newest_s or look.newest_s)
            if look.keys is not None and total.keys is not None:
                total.keys.add(look.keys)

    def observe(self, mapped: Mapped) -> None:
        """Take note of a frame, as an audit does, where no rows have been left out of it."""
        self.add(self.look(mapped.rows))

    def findings(self) -> Iterable[PositionedFinding]:
        """Those that do not hold, each as a finding."""
        for rule, total in zip(self._rules, self._sums, strict=True):
            expectation = rule.expectation
            if (found := self._broken(rule, total)) is not None:
                rows, words, first = found
                severity = EXPECTATION_FAILED.severity if expectation.stops else "warning"
                words = f"{expectation.check}: {words}{_where(expectation)}"
                yield EXPECTATION_FAILED.finding(expectation.field, rows, words, first, severity)

    def _broken(self, rule: _Rule, total: _Sum) -> tuple[int, str, tuple[int, ...]] | None:
        """How many rows break the expectation, in words, and the first of them; None: it holds."""
        expectation = rule.expectation
        arguments = expectation.arguments
        if expectation.check == "row_count":
            least, most = arguments["min"], arguments["max"]
            if (least is None or total.rows >= least) and (most is None or total.rows <= most):
                return None
            return total.rows, f"{counted(total.rows, 'row')}; {_bounds(least, most)} expected", ()
        if expectation.check == "freshness":
            return self._stale(expectation, total)
        broken, first = total.broken, total.first
        every = 1
        if total.keys is not None:
            broken, first = _repeated(total.keys)
            every = total.keys.every
        if broken <= expectation.allow.of(total.rows):
            return None
        about = "about " if every > 1 else ""
        words = f"{about}{broken:,} of {counted(total.rows, 'row')} {_WORDS[expectation.check]}"
        if expectation.check == "range":
            words += f" {_bounds(arguments['min'], arguments['max'])}"
        if expectation.allow.number != 0:
            words += f"; {expectation.allow} allowed"
        return broken, words, first

    def _stale(self, expectation: Expectation, total: _Sum) -> tuple[int, str, tuple[int, ...]] | None:
        if total.newest_s is None:
            return total.rows, "no row has a time that can be read and is not in the future", ()
        age = self._now_s - total.newest_s
        if age <= expectation.within.total_seconds():
            return None
        newest = datetime.fromtimestamp(total.newest_s, UTC).isoformat().replace("+00:00", "Z")
        within = _duration(expectation.within.total_seconds())
        return total.rows, f"the newest time is {newest}, {_duration(age)} ago; at most {within} expected", ()


def expectations_of(step: Step, snapshot: Snapshot, now_s: float, *, whole: bool) -> Expectations | None:
    """The expectations of a step over a snapshot of its rows; None: there are none.

    Unless the snapshot is `whole`, as with --limit, nothing is said about all rows together. Rows that are sent again
    were tested before. Raises SourceError when an expectation does not fit the columns.
    """
    if snapshot.replayed is not None:
        return None
    may_be_empty = step.source.may_be_empty or snapshot.watermark is not None
    expected = [
        one
        for one in step.expectations
        if (whole or one.check not in ("row_count", "freshness"))
        and not (one.check == "freshness" and not snapshot.rows and may_be_empty)
    ]
    return Expectations(expected, snapshot, now_s) if expected else None


def expected_digest(step: Step) -> str:
    """Tells whether the expectations of a step are those that they were."""
    return hashlib.sha256("\n".join(one.what for one in step.expectations).encode()).hexdigest()[:16]


def stopping(findings: Iterable[Finding]) -> str:
    """The failed expectations for which a run stops, in words; "" when there are none."""
    return "; ".join(
        finding.words if finding.field is None else f"{finding.field}: {finding.words}"
        for finding in findings
        if finding.severity == EXPECTATION_FAILED.severity
    )


def columns_of_expectations(expected: Iterable[Expectation]) -> tuple[str, ...]:
    """The columns that these expectations read."""
    names: dict[str, None] = {}
    for one in expected:
        names |= dict.fromkeys([*one.columns, *(() if one.where is None else row_sql.columns_of(one.where))])
    return tuple(names)


def require_expected(expected: Iterable[Expectation], schema: pl.Schema) -> None:
    """Raises SourceError when an expectation names a column that the source has not."""
    for one in expected:
        require_names(columns_of_expectations([one]), schema, one.place, "fix what is expected, or the source")


def _repeated(keys: RowsByHash) -> tuple[int, tuple[int, ...]]:
    """How many rows repeat the key of another row, and the first of them."""
    count, first = 0, list[int]()
    for rows in keys.parts():
        if (repeated := rows.filter(~pl.col(KEY).is_first_distinct())).height:
            count += repeated.height
            first = sorted([*first, *repeated[POSITION].head(FIRST)])[:FIRST]
    return count * keys.every, tuple(first)


_WORDS = {
    "not_null": "have no value",
    "unique": "repeat the key of another row",
    "accepted_values": "have a value that is not accepted",
    "range": "have a value outside",
    "regex": "do not match the pattern",
}


def _where(expectation: Expectation) -> str:
    return "" if expectation.where is None else f" (where {expectation.where})"


def _bounds(least: object, most: object) -> str:
    def shown(bound: object) -> str:
        return f"{bound:,}" if isinstance(bound, int | float) else str(bound)

    if least is None:
        return f"at most {shown(most)}"
    return f"at least {shown(least)}" if most is None else f"{shown(least)} to {shown(most)}"


def _duration(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600)):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return counted(int(seconds // size), unit)
    return counted(int(seconds // 60), "minute")


# ---------------------------------------------------------------- an expectation as expressions


def _rule(one: Expectation, schema: pl.Schema) -> _Rule:
    where = None if one.where is None else row_condition(f"{one.place}.where", one.where, schema)
    if one.check == "row_count":
        return _Rule(one, where)
    if one.check == "not_null":
        return _Rule(one, where, column_of(one.columns[0]).is_null())
    if one.check == "unique":
        return _Rule(one, where, key=tuple(_comparable(one, name, schema[name]) for name in one.columns))
    (name,) = one.columns
    value, dtype = _comparable(one, name, schema[name]), schema[name]
    if one.check == "freshness":
        return _Rule(one, where, time=_seconds(one, value, dtype))
    if one.check == "accepted_values":
        return _Rule(one, where, _not_accepted(value, dtype, one.arguments["values"]))
    if one.check == "regex":
        matches = value.cast(pl.String).str.contains(f"^(?:{one.arguments['pattern']})$")
        return _Rule(one, where, ~matches)
    return _Rule(one, where, _outside(one, value, dtype))


def _comparable(one: Expectation, name: str, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise SourceError(place=one.place, what=f"column {name!r} holds {in_words(dtype)}, which cannot be compared")
    is_coded = isinstance(dtype, pl.Categorical | pl.Enum)  # codes may differ from frame to frame
    return column_of(name).cast(pl.String) if is_coded else column_of(name)


def _not_accepted(value: pl.Expr, dtype: pl.DataType, accepted: Sequence[Any]) -> pl.Expr:
    is_number = [isinstance(each, int | float) and not isinstance(each, bool) for each in accepted]
    if dtype.is_integer() and all(is_number) and all(isinstance(each, int) and abs(each) < 2**127 for each in accepted):
        return ~value.cast(pl.Int128).is_in(pl.Series(accepted, dtype=pl.Int128).implode())
    if dtype.is_numeric() and all(is_number):
        return ~value.cast(pl.Float64).is_in([float(each) for each in accepted])
    texts = [str(each).lower() if isinstance(each, bool) else str(each) for each in accepted]
    return ~value.cast(pl.String).is_in(texts)


def _outside(one: Expectation, value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """True where the value is outside of its bounds, or is none that they can be compared with."""
    bounds = {name: bound for name in ("min", "max") if (bound := one.arguments[name]) is not None}
    if all(isinstance(bound, int | float) for bound in bounds.values()):
        if dtype.is_temporal():
            what = f"column {one.columns[0]!r} holds {in_words(dtype)}; write the bounds as dates, as '2020-01-31'"
            raise SourceError(place=one.place, what=what)
        number = value.cast(pl.Float64, strict=False)
        return pl.any_horizontal(
            value.is_not_null() & ~number.is_finite().fill_null(False),  # a text that is no number, "inf", 1e999
            *(number < bound if name == "min" else number > bound for name, bound in bounds.items()),
        )
    if isinstance(dtype, pl.Date | pl.Datetime):
        seconds = timestamps.from_typed(value, dtype, timestamps.Zone())
        limits = {name: _seconds_of(one, bound) for name, bound in bounds.items()}
        return pl.any_horizontal(seconds < each if name == "min" else seconds > each for name, each in limits.items())
    if dtype.is_numeric():
        what = f"column {one.columns[0]!r} holds {in_words(dtype)}; write the bounds as numbers, without quotes"
        raise SourceError(place=one.place, what=what)
    text = value.cast(pl.String)
    if all(_DATE.match(str(bound)) for bound in bounds.values()):
        seconds = timestamps.from_iso(text, timestamps.Zone(), timestamps.TimestampFacts())
        limits = {name: _seconds_of(one, bound) for name, bound in bounds.items()}
        return pl.any_horizontal(
            value.is_not_null() & seconds.is_null(),
            *(seconds < each if name == "min" else seconds > each for name, each in limits.items()),
        )
    return pl.any_horizontal(
        text < str(bound) if name == "min" else text > str(bound) for name, bound in bounds.items()
    )


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")  # a text that begins so is a date or a time


def _seconds_of(one: Expectation, bound: object) -> float:
    try:
        time = datetime.fromisoformat(str(bound))
    except ValueError:
        what = f"column {one.columns[0]!r} holds dates; write the bounds as dates, as '2020-01-31'"
        raise SourceError(place=one.place, what=what) from None
    return time.replace(tzinfo=time.tzinfo or UTC).timestamp()


_DAY = 86_399  # seconds from a date's midnight to its end


def _seconds(one: Expectation, value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The Unix seconds of a column of times; a date is the end of its day."""
    zone = timestamps.Zone(one.arguments["timezone"])
    if isinstance(dtype, pl.Date | pl.Datetime):
        seconds = timestamps.from_typed(value, dtype, zone)
        return seconds + _DAY if dtype == pl.Date else seconds
    if dtype.is_numeric():
        return _seconds_of_count(value.cast(pl.Float64))
    text = value.cast(pl.String)
    if (written := one.arguments["format"]) is not None:
        return timestamps.from_format(text, timestamps.as_format(written), zone)
    seconds = timestamps.from_iso(text, zone, timestamps.TimestampFacts())
    last = pl.when(text.str.len_chars() == len("2024-01-31")).then(seconds + _DAY).otherwise(seconds)
    return pl.coalesce(last, _seconds_of_count(pl.when(text.str.contains(_COUNT)).then(text).cast(pl.Float64)))


_COUNT = r"^[0-9]{9,19}(?:\.[0-9]+)?$"  # since 1970, not a day such as 20240131


def _seconds_of_count(count: pl.Expr) -> pl.Expr:
    """The Unix seconds of counts since 1970, in the unit that the size of each shows."""
    size = count.abs()
    per_second = pl.when(size < 1e10).then(1).when(size < 1e13).then(1e3).when(size < 1e16).then(1e6).otherwise(1e9)
    return (count / per_second).floor().cast(pl.Int64, strict=False)
