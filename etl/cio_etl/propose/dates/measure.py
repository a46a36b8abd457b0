"""Measures of the proposed functions over every row: one more pass, through the same code as a run.

First and last time, times of the last 72 hours and of the future, and the rows that would be rejected: unreadable, or
at an hour that the clocks of their zone left out or showed twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import polars as pl
import polars.selectors as cs

from cio_etl.model import FAULT, POSITION, Call, Snapshot
from cio_etl.propose.dates.decide import Calls, Decision
from cio_etl.transform.checks import EARLIEST_S, LATEST_S
from cio_etl.transform.functions import apply, parse_call

YOUNG_S = 72 * 3_600  # events of the last 72 hours can start campaigns at Customer.io
FIRST = 3  # rows that are named
_YEAR_2100 = 4_102_444_800  # no daylight-saving changes are known from then on

# Kinds of rows: name -> description.
KINDS = {
    "unreadable": "unreadable, and would be rejected",
    "gap": "at an hour that the clocks left out",
    "fold": "at an hour that the clocks showed twice",
    "late": "from 2100 on, where no changes of clocks are known",
    "out_of_range": "not between the years 1900 and 2200, and would be rejected",
    "young": "of the last 72 hours: such events can start campaigns",
    "future": "in the future",
}


@dataclass(frozen=True, slots=True)
class RowSample:
    """A count of rows, and the positions of the first."""

    count: int = 0
    first: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """The result of one option for the column: the times as Unix seconds, and the rows of each of KINDS."""

    read: int
    first_s: int | None
    last_s: int | None
    rows: Mapping[str, RowSample]

    def count(self, kind: str) -> int:
        return self.rows[kind].count


def measure(snapshot: Snapshot, decisions: Sequence[Decision], now_s: int) -> list[list[Measure]]:
    """The measures of the options of each decision."""
    options = [
        [_OptionCounts(f"{n}.{place}", decision, option.apply) for place, option in enumerate(decision.options)]
        for n, decision in enumerate(decisions)
    ]
    names = list(dict.fromkeys(decision.facts.name for decision in decisions if decision.options))
    for frame in snapshot.read(names, 0) if names else ():
        sound = frame.filter(pl.col(FAULT).is_null())
        values = sound.select(
            pl.col(POSITION), *(cs.by_name(name).as_expr().alias(f"v{n}") for n, name in enumerate(names))
        )
        place = {name: f"v{n}" for n, name in enumerate(names)}
        of_all = list(chain.from_iterable(options))
        seconds = values.with_columns(chain.from_iterable(option.expressions(place[option.name]) for option in of_all))
        answers = seconds.select(
            chain.from_iterable(option.queries(place[option.name], now_s) for option in of_all)
        ).row(0, named=True)
        for option in of_all:
            option.take(answers)
    return [[option.measure() for option in of_one] for of_one in options]


class _OptionCounts:
    """One option on one column, counted frame by frame."""

    def __init__(self, key: str, decision: Decision, calls: Calls) -> None:
        self.key, self.name, self.dtype = key, decision.facts.name, decision.facts.dtype
        self.known = decision.known
        self.calls = [parse_call(call) for call in calls]
        if not any(call.name == "timestamp" for call in self.calls):
            self.calls.append(Call("timestamp"))  # what becomes of a typed column by itself
        self.zone = self.calls[-1].arguments.get("timezone")
        self.read = 0
        self.first_s: int | None = None
        self.last_s: int | None = None
        self.counts = dict.fromkeys(KINDS, 0)
        self.first: dict[str, list[int]] = {kind: [] for kind in KINDS}

    @property
    def in_zone(self) -> bool:
        return self.zone not in (None, "UTC")

    def expressions(self, column: str) -> Iterator[pl.Expr]:
        """The seconds as the option reads them; in a zone also by UTC's clock, and the earlier where there are two."""
        yield self._seconds(column, {}).alias(f"{self.key}.s")
        if self.in_zone:
            yield self._seconds(column, {"timezone": "UTC"}).alias(f"{self.key}.utc")
            yield self._seconds(column, {"ambiguous": "earliest"}).alias(f"{self.key}.early")

    def _seconds(self, column: str, changes: Mapping[str, Any]) -> pl.Expr:
        value, dtype = pl.col(column), self.dtype
        for call in self.calls[:-1]:
            value = apply(value, dtype, call)
            dtype = pl.String() if call.name == "trim" else dtype
        last = replace(self.calls[-1], arguments={**self.calls[-1].arguments, **changes})
        return apply(value, dtype, last, self.known)

    def queries(self, column: str, now_s: int) -> Iterator[pl.Expr]:
        """Counts of a frame, and the first positions."""
        seconds = pl.col(f"{self.key}.s")
        yield seconds.count().alias(f"{self.key}.read")
        yield seconds.min().alias(f"{self.key}.first_s")
        yield seconds.max().alias(f"{self.key}.last_s")
        for kind, rows in self._kinds(column, now_s).items():
            yield rows.sum().alias(f"{self.key}.{kind}")
            yield pl.col(POSITION).filter(rows).head(FIRST).implode().alias(f"{self.key}.first.{kind}")

    def _kinds(self, column: str, now_s: int) -> dict[str, pl.Expr]:
        seconds = pl.col(f"{self.key}.s")
        expected = self._is_expected(column)
        kinds = {
            "out_of_range": seconds.is_between(EARLIEST_S, LATEST_S).not_(),
            "young": seconds.is_between(now_s - YOUNG_S, now_s),
            "future": seconds > now_s,
        }
        if not self.in_zone:
            return {"unreadable": expected & seconds.is_null(), **kinds}
        wall, early = pl.col(f"{self.key}.utc"), pl.col(f"{self.key}.early")
        lost = wall.is_not_null() & seconds.is_null()
        known = wall < _YEAR_2100
        return {
            "unreadable": expected & wall.is_null(),
            "gap": lost & known & early.is_null(),
            "fold": lost & known & early.is_not_null(),
            "late": lost & known.not_(),
            **kinds,
        }

    def _is_expected(self, column: str) -> pl.Expr:
        """True where a value should be a time."""
        value, dtype = pl.col(column), self.dtype
        for call in self.calls[:-1]:
            value = apply(value, dtype, call)
        return value.is_not_null()

    def take(self, answers: Mapping[str, Any]) -> None:
        """Add the results of a frame."""
        prefix = f"{self.key}."
        of_option = {name.removeprefix(prefix): answer for name, answer in answers.items() if name.startswith(prefix)}
        self.read += of_option["read"]
        self.first_s = _least((self.first_s, of_option["first_s"]))
        last = [one for one in (self.last_s, of_option["last_s"]) if one is not None]
        self.last_s = max(last, default=None)
        for kind in KINDS:
            self.counts[kind] += of_option.get(kind) or 0
            self.first[kind] = (self.first[kind] + list(of_option.get(f"first.{kind}") or ()))[:FIRST]

    def measure(self) -> Measure:
        rows = {kind: RowSample(self.counts[kind], tuple(self.first[kind])) for kind in KINDS}
        return Measure(self.read, self.first_s, self.last_s, rows)


def _least(moments: Iterable[int | None]) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
