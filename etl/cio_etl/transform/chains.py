"""Chains: a value of the mapping, the columns it comes from, and the functions it passes through."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from typing import Any

import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError, similar
from cio_etl.model import Call, Columns, Constant, Mapping
from cio_etl.model.records import dataclass
from cio_etl.transform import checks
from cio_etl.transform.functions import apply

KnownFacts = MappingOf[tuple[str, int], Any]  # facts about whole columns, by (target, place in `apply`)


@dataclass(frozen=True, slots=True)
class Chain:
    """One value of the mapping that comes from columns: its target (`attributes.plan`), columns and calls.

    Several columns are one value at first: a struct of them, null where all of them are.
    """

    target: str
    sources: tuple[str, ...]
    calls: tuple[Call, ...]
    several: bool = False
    place: str = ""  # where a message says that it is

    def first(self) -> pl.Expr:
        """The value as the source has it."""
        if not self.several:
            return column_of(self.sources[0])
        fields = [column_of(name).alias(name) for name in self.sources]
        return pl.when(pl.any_horizontal(field.is_not_null() for field in fields)).then(pl.struct(fields))

    def dtype(self, schema: pl.Schema) -> pl.DataType:
        """The type of `first`, of a source with this schema."""
        if not self.several:
            return schema[self.sources[0]]
        return pl.Struct([pl.Field(name, schema[name]) for name in self.sources])


def chains(mapping: Mapping) -> list[Chain]:
    """Every value of the mapping that comes from columns, under its target's name."""
    return [
        Chain(target, value.sources, value.apply, several=isinstance(value, Columns), place=mapping.place_of(target))
        for target, value in mapping.targets.items()
        if not isinstance(value, Constant)
    ]


def makes_time(chain: Chain) -> bool:
    """Whether the functions make Unix seconds: `timestamp`, and after it only those that leave a time what it is.

    What becomes of a time otherwise, such as its days or a text, is no time any more.
    """
    for call in reversed(chain.calls):
        if call.name == "timestamp":
            return True
        if not (call.name in _LEAVING_TIMES or (call.name == "cast" and call.arguments["to"] in ("integer", "number"))):
            return False
    return False


_LEAVING_TIMES = ("default", "null_if", "round")


def require_columns(mapping: Mapping, schema: pl.Schema) -> None:
    """Raises SourceError when the mapping reads a column that the source has not."""
    missing = [name for name in checks.columns_of(mapping) if name not in schema]
    if missing:
        remedy = "fix the mapping, or the source"
        if mapping.when and readers_of(mapping, missing[0])[0] == "when":
            remedy += "; a text in `when` has single quotes, as plan = 'pro'"
        require_names(missing, schema, place_of_column(mapping, missing[0]), remedy)


def require_names(columns: Iterable[str], schema: pl.Schema, place: str, remedy: str) -> None:
    """Raises SourceError when the source has not all of these columns."""
    if missing := [name for name in columns if name not in schema]:
        names = [name for name in schema if not name.endswith(checks.AS_JSON)]
        near = [match for name in missing if (match := similar(name, names)) is not None]
        has = ", ".join(map(_shown, names))
        what = f"the source has no column {', '.join(map(repr, missing))}"
        what += f"; did you mean {' and '.join(map(_shown, near))}? It has {has}" if near else f"; it has {has}"
        raise SourceError(remedy, place=place, what=what)


def place_of_column(mapping: Mapping, column: str) -> str:
    """The file and line that read the column."""
    return next((mapping.places[path] for path in readers_of(mapping, column) if path in mapping.places), mapping.file)


def readers_of(mapping: Mapping, column: str) -> list[str]:
    """The targets and keys of the mapping that may read the column; the first one does."""
    lists = (("event_key", mapping.event_key), ("order_by", mapping.order_by))
    paths = [chain.target for chain in chains(mapping) if column in chain.sources]
    return [*paths, *(name for name, columns in lists if column in columns), "when", "explode"]


def _shown(name: str) -> str:
    """The name as messages show it. Where a file has no header line, a row becomes names, with a person's address."""
    return "'…@…'" if "@" in name else repr(name)


def column_of(name: str) -> pl.Expr:
    """The source's column of just this name, where pl.col takes `*` and `^…$` for patterns."""
    return cs.by_name(name).as_expr()


def applied(
    chain: Chain, place: int, value: pl.Expr, dtype: pl.DataType, known: KnownFacts, schema: pl.Schema
) -> tuple[pl.Expr, pl.DataType]:
    """`value`, an expression of this type over `schema`, after the chain's function at `place`; and its type then."""
    try:
        made = apply(value, dtype, chain.calls[place], known.get((chain.target, place)))
    except ValueError as error:
        raise unfit(chain, error) from None
    return made, pl.LazyFrame(schema=schema).select(made.alias("made")).collect_schema()["made"]


def unfit(chain: Chain, error: ValueError) -> SourceError:
    """The error that a chain's columns do not fit, for the author of the mapping."""
    return SourceError(place=chain.place, what=f"{_named(chain)}: {error}")


def _named(chain: Chain) -> str:
    names = ", ".join(repr(name.removesuffix(checks.AS_JSON)) for name in chain.sources)
    return f"columns {names}" if chain.several else f"column {names}"
