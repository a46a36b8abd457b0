"""Facts about whole columns that functions need before the first row is mapped, such as an epoch's unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from typing import Any

import polars as pl

from cio_etl.model import ColumnFacts, Mapping
from cio_etl.model.records import dataclass
from cio_etl.transform.chains import Chain, KnownFacts, applied, chains, require_columns, unfit
from cio_etl.transform.functions import FUNCTIONS, normalized

Read = Callable[[Sequence[str]], Iterable[pl.DataFrame]]


def collect_facts(
    mapping: Mapping,
    schema: pl.Schema,
    read: Read,
    column_facts: dict[str, list[MappingOf[str, Any]]] | None = None,
    facts_of_source: ColumnFacts | None = None,
) -> KnownFacts:
    """The facts that the mapping's functions need about their whole columns, by target and place in `apply`.

    `read` gives the source's frames with the named columns; it is not called when no fact is needed. The results of the
    queries are written into `column_facts`. When `read` gives only some rows of the source, `facts_of_source` are those
    of all its rows, and both count. Raises SourceError when a column is missing, or the YAML must say more about it.
    """
    require_columns(mapping, schema)
    known: dict[tuple[str, int], Any] = {}
    open_ones = [_questions(chain, schema, known) for chain in chains(mapping)]
    while questions := [question for each in open_ones if (question := next(each, None)) is not None]:
        queries = {
            f"{n}.{name}": query for n, question in enumerate(questions) for name, query in question.queries.items()
        }
        columns = list(dict.fromkeys(name for question in questions for name in question.chain.sources))
        results = [frame.select(**queries).row(0, named=True) for frame in read(columns)] if queries else []
        for n, question in enumerate(questions):
            rows: list[MappingOf[str, Any]] = [
                {name: result[f"{n}.{name}"] for name in question.queries} for result in results
            ]
            if column_facts is not None and question.queries:
                column_facts[question.digest] = rows
            if facts_of_source is not None and question.queries:
                rows = [*question.results_of_source(facts_of_source), *rows]
            known[question.chain.target, question.place] = question.facts(rows)
    return known


@dataclass(frozen=True, slots=True)
class Question:
    """The facts that one function of a chain needs about its column, as aggregations of a frame."""

    chain: Chain
    place: int
    dtype: pl.DataType
    queries: MappingOf[str, pl.Expr]

    @property
    def digest(self) -> str:
        """A hash of the queries, which does not depend on the target."""
        queries = {name: str(query) for name, query in sorted(self.queries.items())}
        after = repr(self.chain.calls[: self.place])
        return hashlib.sha256(json.dumps([queries, after]).encode()).hexdigest()

    def results_of_source(self, facts_of_source: ColumnFacts) -> Sequence[MappingOf[str, Any]]:
        """The results for all rows of the source. Raises SourceError when they are needed and not recorded."""
        if self.digest in facts_of_source:
            return facts_of_source[self.digest]
        call = self.chain.calls[self.place]
        fact_queries = FUNCTIONS[call.name].facts
        if fact_queries is None or any(call.arguments.get(name, "auto") != "auto" for name in fact_queries.replaced_by):
            return ()
        what = "needs the whole column to choose how to read it, and only some rows are here; write it, as `unit:`"
        raise unfit(self.chain, ValueError(f"{call.name}: {what}"))

    def facts(self, rows: list[MappingOf[str, Any]]) -> Any:
        call = self.chain.calls[self.place]
        fact_queries = FUNCTIONS[call.name].facts
        assert fact_queries is not None
        try:
            return fact_queries.combine(rows, self.dtype, call)
        except ValueError as error:
            raise unfit(self.chain, error) from None


def _questions(chain: Chain, schema: pl.Schema, known: KnownFacts) -> Iterator[Question]:
    """The questions of a chain. Each depends on the facts of those before it, which must be in `known` by then."""
    asking = [place for place, call in enumerate(chain.calls) if FUNCTIONS[call.name].facts is not None]
    if not asking:
        return
    value, dtype = chain.first(), chain.dtype(schema)
    own = pl.Schema({name: schema[name] for name in chain.sources})
    for place, call in enumerate(chain.calls[: asking[-1] + 1]):
        function = FUNCTIONS[call.name]
        if function.facts is not None:
            asked, asked_type = normalized(value, dtype, function)
            yield Question(chain, place, asked_type, function.facts.queries(asked, asked_type, call))
        if place < asking[-1]:
            value, dtype = applied(chain, place, value, dtype, known, own)
