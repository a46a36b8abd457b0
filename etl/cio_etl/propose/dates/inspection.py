"""The date columns of a snapshot, each with evidence, decision and measures over all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import polars.selectors as cs

from cio_etl.model import POSITION, Snapshot
from cio_etl.propose.dates.decide import Decision, Statements, could_be, decide
from cio_etl.propose.dates.evidence import collect_facts
from cio_etl.propose.dates.measure import Measure, measure


@dataclass(frozen=True, slots=True)
class Dates:
    """One column of dates: how it is read, what becomes of its rows, and where the rows are that are named.

    `examples` are values by position; empty unless they were asked for.
    """

    decision: Decision
    measures: tuple[Measure, ...]  # of each option
    places: dict[int, str]
    examples: dict[int, str]

    @property
    def name(self) -> str:
        return self.decision.facts.name


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result for `rows` rows. `unsure` are columns that could hold dates, with what they could be."""

    rows: int
    columns: int
    dates: tuple[Dates, ...]
    unsure: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        """3 when a person must decide something before all columns can be read, else 0."""
        return 3 if any(one.decision.asks for one in self.dates) else 0


def inspect(
    snapshot: Snapshot,
    now_s: int,
    stated: Statements | None = None,
    only: Sequence[str] = (),
    reveal: bool = False,
) -> Inspection:
    """The dates of a snapshot; of the columns `only`, which hold some whatever they are named.

    `stated` holds for all the columns that are looked at. `now_s` is the Unix time.
    """
    stated = stated or Statements()
    facts = collect_facts(snapshot, only or list(snapshot.schema), always=frozenset(only))
    by_name = {name: decide(evidence, stated, name in only) for name, evidence in facts.items()}
    decisions = [by_name[name] for name in snapshot.schema if by_name.get(name) is not None]
    decided = [decision for decision in decisions if decision is not None]
    measures = measure(snapshot, decided, now_s)
    dates = tuple(
        _located(snapshot, decision, tuple(of_one), reveal) for decision, of_one in zip(decided, measures, strict=True)
    )
    unsure = [(name, could_be(facts[name])) for name in snapshot.schema if name in facts and by_name[name] is None]
    return Inspection(snapshot.rows, len(snapshot.schema), dates, tuple(pair for pair in unsure if pair[1]))


def _located(snapshot: Snapshot, decision: Decision, measures: tuple[Measure, ...], reveal: bool) -> Dates:
    by_format = decision.facts.formats
    proofs = [place for place in (by_format.first_day_first, by_format.first_month_first) if place is not None]
    named = {place for one in measures for rows in one.rows.values() for place in rows.first}
    places = snapshot.places(sorted({*proofs, *named}))
    return Dates(decision, measures, places, _examples(snapshot, decision.facts.name, places) if reveal else {})


def _examples(snapshot: Snapshot, column: str, positions: dict[int, str]) -> dict[int, str]:
    """The values at these few positions, each read separately."""
    values = {}
    for position in positions:
        frame = next(iter(snapshot.read([column], position)))
        row = frame.filter(pl.col(POSITION) == position).select(cs.by_name(column).as_expr().cast(pl.String))
        values[position] = str(row.item())
    return values
