"""What must be known of whole columns before the first row is mapped, such as an epoch's unit?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any

import polars as pl

from cio_etl.model import ColumnFacts, Mapping
from cio_etl.transform.chains import Chain, Gathered, applied, chains, require_columns, unfit
from cio_etl.transform.functions import FUNCTIONS

Read = Callable[[Sequence[str]], Iterable[pl.DataFrame]]


def collect_facts(
    mapping: Mapping,
    schema: pl.Schema,
    read: Read,
    noted: dict[str, list[MappingOf[str, Any]]] | None = None,
    of_all: ColumnFacts | None = None,
) -> Gathered:
    """What the mapping's functions must know of their whole columns before any row is mapped, such as an epoch's unit.

    `read` gives the source's frames with the columns asked for; it is not called when nothing must be known. The
    answers are written into `noted`. `of_all` are those of the source's rows when `read` gives only some of these: both
    count. Raises SourceError when a column is missing, or cannot be read without more words in the YAML.
    """
    require_columns(mapping, schema)
    known: dict[tuple[str, int], Any] = {}
    while questions := list(_questions(mapping, schema, known)):
        asked = {
            f"{n}.{name}": query for n, question in enumerate(questions) for name, query in question.queries.items()
        }
        columns = list(dict.fromkeys(name for question in questions for name in question.chain.sources))
        answers = [frame.select(**asked).row(0, named=True) for frame in read(columns)] if asked else []
        for n, question in enumerate(questions):
            rows: list[MappingOf[str, Any]] = [
                {name: answer[f"{n}.{name}"] for name in question.queries} for answer in answers
            ]
            if noted is not None and question.queries:
                noted[question.digest] = rows
            if of_all is not None and question.queries:
                rows = [*question.answered(mapping.file, of_all), *rows]
            known[question.chain.target, question.place] = question.answer(mapping.file, rows)
    return known


@dataclass(frozen=True, slots=True)
class Question:
    """What one function of a chain wants to know of its column, as aggregations of a frame."""

    chain: Chain
    place: int
    dtype: pl.DataType
    queries: MappingOf[str, pl.Expr]

    @property
    def digest(self) -> str:
        """What is asked, whatever it is asked for."""
        asked = {name: str(query) for name, query in sorted(self.queries.items())}
        after = repr(self.chain.calls[: self.place])
        return hashlib.sha256(json.dumps([asked, after]).encode()).hexdigest()

    def answered(self, file: str, of_all: ColumnFacts) -> Sequence[MappingOf[str, Any]]:
        """What all rows of the source have answered. Raises SourceError when it is not known."""
        if self.digest in of_all:
            return of_all[self.digest]
        call = self.chain.calls[self.place]
        gathering = FUNCTIONS[call.name].evidence
        if gathering is None or any(call.arguments.get(name, "auto") != "auto" for name in gathering.said_by):
            return ()
        what = "tells from the whole column how to read it, and only some rows are here; write it, as `unit:`"
        raise unfit(file, self.chain, ValueError(f"{call.name}: {what}"))

    def answer(self, file: str, rows: list[MappingOf[str, Any]]) -> Any:
        call = self.chain.calls[self.place]
        gathering = FUNCTIONS[call.name].evidence
        assert gathering is not None
        try:
            return gathering.combine(rows, self.dtype, call)
        except ValueError as error:
            raise unfit(file, self.chain, error) from None


def _questions(mapping: Mapping, schema: pl.Schema, known: Gathered) -> Iterator[Question]:
    """The first unanswered question of each chain: what comes after it hangs on the answer."""
    for chain in chains(mapping):
        value, dtype = chain.first(), chain.dtype(schema)
        for place, call in enumerate(chain.calls):
            gathering = FUNCTIONS[call.name].evidence
            if gathering is not None and (chain.target, place) not in known:
                yield Question(chain, place, dtype, gathering.queries(value, dtype, call))
                break
            value, dtype = applied(mapping.file, chain, place, value, dtype, known, schema)
