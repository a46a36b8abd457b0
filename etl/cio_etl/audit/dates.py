"""Dates with side effects at Customer.io: campaigns that start, changes that are dropped in silence.

- An event of the last 72 hours can start campaigns, one without a time always; older events only count
  (Track API reference: timestamp). For events of the future the behaviour is not documented.
- A change of a person with a time is dropped, with a 200, when the person was changed after that time.
- A person enters campaigns that begin with `created_at` once; when that date changes, again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.apis import OPERATIONS
from cio_etl.audit.findings import FIRST, Audit, PositionedFinding, Tally, finding_kind, firsts, sent
from cio_etl.model import POSITION, Constant, Mapping, Value
from cio_etl.model.words import counted
from cio_etl.transform import Mapped
from cio_etl.transform.by_hash import KEY, RowsByHash

EVENT_MAY_START_CAMPAIGNS = finding_kind(
    "event_may_start_campaigns",
    "warning",
    "stop the campaigns, or leave these rows out with `when`, if nobody is to be mailed",
)
EVENT_IN_THE_FUTURE = finding_kind(
    "event_in_the_future", "warning", "fix the times, or the unit or zone by which the mapping reads them"
)
IDENTIFY_TIMESTAMP_DROPS_UPDATES = finding_kind(
    "identify_timestamp_drops_updates",
    "warning",
    "leave `timestamp` out, if every row is to count; or sort the rows by it",
)
CREATED_AT_MOVES = finding_kind(
    "created_at_moves",
    "warning",
    "take the column that says when a person signed up: a new date starts campaigns again",
)
CREATED_AT_IN_THE_FUTURE = finding_kind(
    "created_at_in_the_future", "warning", "fix the times: such people enter campaigns only then"
)


YOUNG_S = 72 * 3_600
AHEAD_S = 60  # by which clocks may differ
DAY_S = 86_400
MOST_TIMES = 16_000_000  # rows of people with a time: 400 MB of the temporary folder
ENOUGH = 100  # rows: that so many agree is no coincidence

_TIME_BITS, _TIME_OFFSET = 39, 1 << 36  # seconds of the years 1 to 9999 as numbers from 0 on

_TIME, _CREATED = "timestamp", "attributes.created_at"

# Names of columns that hold the time of the last change or of the export, not of the sign-up.
_MOVES = re.compile(r"(?:^|_)(?:last_|updat|modif|chang|sync|load|extract|export|batch|ingest|now(?:_|$))")


def date_audits(mapping: Mapping, now_s: float) -> Iterator[Audit]:
    """The audits of a mapping's dates; `now_s` is the current time, in Unix seconds."""
    has_event = OPERATIONS[mapping.operation].has_event
    if has_event:
        yield EventTimes(mapping, int(now_s))
    if not has_event and "timestamp" in mapping.targets:
        yield ChangeTimes(mapping, int(now_s))
    if mapping.operation == "identify" and _CREATED in mapping.targets:
        yield CreatedAt(mapping, int(now_s))


class EventTimes:
    """Counts events that can start campaigns, and those of the future."""

    def __init__(self, mapping: Mapping, now_s: int) -> None:
        time = mapping.targets.get(_TIME)
        self._constant = time.value if isinstance(time, Constant) else None
        self._undated = time is None
        self._now_s = now_s
        self._events = 0
        self._young, self._future = Tally(), Tally()

    def observe(self, mapped: Mapped) -> None:
        rows = sent(mapped, [] if self._undated or self._constant is not None else [_TIME])
        self._events += rows.height
        if self._undated:
            self._young.add(rows[POSITION], _all(rows, True))
            return
        times = _all(rows, self._constant) if self._constant is not None else rows[_TIME]
        future = times > self._now_s + AHEAD_S
        self._future.add(rows[POSITION], future)
        self._young.add(rows[POSITION], (times >= self._now_s - YOUNG_S) & ~future)

    @property
    def young(self) -> int:
        """Events of the last 72 hours, and those without a time."""
        return self._young.rows

    def findings(self) -> Iterable[PositionedFinding]:
        if young := self._young.rows:
            one, several = "is of the last 72 hours", "are of the last 72 hours"
            if self._undated:
                one, several = "has no time, so it is dated now", "have no time, so they are dated now"
            verb = one if young == 1 else several
            words = f"{young:,} of {counted(self._events, 'event')} {verb}, and can start campaigns"
            yield EVENT_MAY_START_CAMPAIGNS.finding(_TIME, young, words, self._young.first)
        if future := self._future.rows:
            words = f"{counted(future, 'event is', 'events are')} in the future, by this machine's clock"
            yield EVENT_IN_THE_FUTURE.finding(_TIME, future, words, self._future.first)


def events_of_72h(audits: Iterable[Audit]) -> int:
    """How many events of those that the audits have observed can start campaigns."""
    return sum(audit.young for audit in audits if isinstance(audit, EventTimes))


class ChangeTimes:
    """Counts changes of people that Customer.io would drop because of their time."""

    def __init__(self, mapping: Mapping, now_s: int, most: int = MOST_TIMES) -> None:
        self._who = mapping.from_columns("identifiers")
        self._constant = isinstance(mapping.targets[_TIME], Constant)
        self._now_s = now_s
        self._old, self._future = Tally(), Tally()
        self._people = PeopleTimes(most)

    def observe(self, mapped: Mapped) -> None:
        if self._constant:
            return
        who = [
            target for target in self._who if target in mapped.values.columns and len(self._who) == 1
        ]  # a run's prescan shows times only
        rows = sent(mapped, [*who, _TIME])
        times, positions = rows[_TIME], rows[POSITION]
        self._old.add(positions, times < self._now_s - DAY_S)
        self._future.add(positions, times > self._now_s + AHEAD_S)
        for target in who[:1]:
            self._people.add(rows[target].hash(), times, positions)

    def findings(self) -> Iterable[PositionedFinding]:
        late = self._people.out_of_order()
        if late.rows:
            about = "about " if self._people.every > 1 else ""
            rows = counted(late.rows, "row is", "rows are")
            words = f"{about}{rows} older than an earlier row of the same person, and would be dropped"
            yield IDENTIFY_TIMESTAMP_DROPS_UPDATES.finding(_TIME, late.rows, words, late.first)
        if future := self._future.rows:
            rows = counted(future, "row is", "rows are")
            words = f"{rows} in the future: all changes of these people before then would be dropped"
            yield IDENTIFY_TIMESTAMP_DROPS_UPDATES.finding(_TIME, future, words, self._future.first)
        if old := self._old.rows:
            rows = counted(old, "row is", "rows are")
            words = f"{rows} older than a day, and would be dropped where the person was changed since then"
            yield IDENTIFY_TIMESTAMP_DROPS_UPDATES.finding(_TIME, old, words, self._old.first, severity="notice")


class PeopleTimes:
    """The times of people's rows, by a hash of the person. Past `most` rows every second person is dropped."""

    def __init__(self, most: int) -> None:
        self._rows = RowsByHash(most)

    @property
    def every(self) -> int:
        """One in this many people is in the sample."""
        return self._rows.every

    def add(self, who: pl.Series, times: pl.Series, positions: pl.Series) -> None:
        """Add the next rows."""
        rows = pl.DataFrame([who.alias(KEY), times.cast(pl.Int64).alias("time"), positions.alias("position")])
        self._rows.add(rows.drop_nulls())

    def out_of_order(self) -> Tally:
        """The rows that are older than an earlier row of the same person."""
        total = Tally()
        for rows in self._rows.parts():
            late = _out_of_order(rows)
            total.rows += len(late) * self.every
            total.first = tuple(sorted([*total.first, *late[:FIRST].tolist()])[:FIRST])
        return total


def _out_of_order(rows: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The positions of those that are older than an earlier row of the same person, in order."""
    who, times, positions = (rows[name].to_numpy() for name in (KEY, "time", "position"))
    by_person = np.argsort(who, kind="stable")
    who, times = who[by_person], times[by_person]
    person = np.cumsum(np.concatenate([[False], who[1:] != who[:-1]]))
    # One number that grows with the person, then with the time: the maximum so far is always of the same person.
    key = (person << _TIME_BITS) + (times + _TIME_OFFSET)
    late = key[1:] < np.maximum.accumulate(key)[:-1]
    return np.sort(positions[by_person][1:][late])


class CreatedAt:
    """Finds a `created_at` that could change with the next run."""

    def __init__(self, mapping: Mapping, now_s: int) -> None:
        created = mapping.targets[_CREATED]
        self._constant = isinstance(created, Constant)
        self._now_s = now_s
        self._column = next((name for name in created.sources if _changes(name)), None)
        self._others = [
            target for target, value in _times_of(mapping) if any(_changes(name) for name in (target, *value.sources))
        ]
        self._same = dict.fromkeys(self._others, 0)  # rows where it equals another column of times
        self._rows = 0
        self._oldest_s: int | None = None
        self._newest_s: int | None = None
        self._first: tuple[int, ...] = ()
        self._future = Tally()

    def observe(self, mapped: Mapped) -> None:
        if self._constant:
            return
        types = mapped.values.schema  # a run's prescan shows dates only
        others = [target for target in self._others if target in types and types[target].is_integer()]
        rows = sent(mapped, [_CREATED, *others]).drop_nulls(_CREATED)
        if rows.is_empty():
            return
        created = rows[_CREATED]
        self._rows += rows.height
        self._first = firsts(self._first, rows[POSITION])
        oldest, newest = rows.select(pl.col(_CREATED).min(), pl.col(_CREATED).max().alias("newest")).row(0)
        self._oldest_s = oldest if self._oldest_s is None else min(self._oldest_s, oldest)
        self._newest_s = newest if self._newest_s is None else max(self._newest_s, newest)
        self._future.add(rows[POSITION], created > self._now_s + AHEAD_S)
        for target in others:
            self._same[target] += int((created == rows[target]).sum() or 0)

    def findings(self) -> Iterable[PositionedFinding]:
        if self._rows and (cause := self._cause()):
            yield CREATED_AT_MOVES.finding(_CREATED, self._rows, cause, self._first)
        if future := self._future.rows:
            words = f"{counted(future, 'person is', 'people are')} created in the future"
            yield CREATED_AT_IN_THE_FUTURE.finding(_CREATED, future, words, self._future.first)

    def _cause(self) -> str:
        """Why it probably changes; "" when it does not."""
        if self._column is not None:
            return f"it comes from {self._column!r}, which is named like a time that changes"
        same = [target for target, rows in self._same.items() if rows == self._rows]
        if self._rows < ENOUGH or self._oldest_s is None or self._newest_s is None:
            return ""
        if same and self._oldest_s < self._newest_s:
            return f"it equals {same[0]} in all {self._rows:,} rows"
        if self._newest_s - self._oldest_s <= 60 and self._newest_s >= self._now_s - DAY_S:
            return f"all {self._rows:,} values are in the minute {_moment(self._newest_s)}, probably that of the export"
        return ""


def _all(rows: pl.DataFrame, value: object) -> pl.Series:
    return pl.Series([value]).new_from_index(0, rows.height)


def _times_of(mapping: Mapping) -> Iterator[tuple[str, Value]]:
    """The other values that may be times of a person."""
    for target, value in mapping.targets.items():
        may_be_time = target == _TIME or (target.startswith("attributes.") and target != _CREATED)
        if may_be_time and not isinstance(value, Constant):
            yield target, value


def _changes(name: str) -> bool:
    """Whether a time of this name changes while the sign-up does not."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower()
    return _MOVES.search(words) is not None


def _moment(second: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%MZ")
