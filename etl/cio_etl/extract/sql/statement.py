"""Writes the SQL statement that reads a source, with its parameters.

Names are quoted by the database's rules, and every column of a table is selected under the name that the mapping uses.
Values are parameters, or literals where a driver streams only statements without any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import TextClause, text
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.default import DefaultDialect

from cio_etl.errors import SourceError
from cio_etl.extract.incremental import first_wanted, has_step
from cio_etl.extract.sql.names import Names
from cio_etl.model import PARAMETER, SqlSource, Staging
from cio_etl.model.records import dataclass

WATERMARK = "watermark"
# A comparison with the watermark that excludes equal values
_AFTER_ONLY = re.compile(r">(?!=)[^<>=]{0,80}:watermark\b|:watermark\b[^<>=]{0,80}<(?![=>])", re.DOTALL)
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "INTO"})
_READS = frozenset({"SELECT", "WITH", "FROM", "VALUES", "TABLE", "("})


class Grammar(Protocol):
    """The facts about a database that its SQL depends on."""

    @property
    def names(self) -> Names: ...
    @property
    def grammar(self) -> str:
        """sqlglot's name of its SQL."""

    @property
    def by_bytes(self) -> str:
        """A text column `{}`, compared by its bytes, as this program does to find the highest value."""

    @property
    def read_only(self) -> bool:
        """Whether the database itself refuses to write."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL text with `:name` parameters in SQLAlchemy's form, and their values."""

    sql: str
    values: Mapping[str, Any]

    def bound(self) -> TextClause:
        """The statement as SQLAlchemy executes it."""
        return text(self.sql).bindparams(**self.values)

    def with_literals(self, *, backslashes: bool = False) -> str:
        """The text with its values as literals. `backslashes`: a backslash in a text is an escape in this database."""
        of_text = _backslashed if backslashes else _standard
        compiled = str(self.bound().compile(dialect=DefaultDialect(paramstyle="pyformat")))
        return compiled % {name: _literal(value, of_text) for name, value in self.values.items()}

    def with_question_marks(self) -> tuple[str, list[Any]]:
        """The text with `?` for each value, and the values in their order."""
        return self.placed(DefaultDialect(paramstyle="qmark"))

    def placed(self, dialect: Dialect) -> tuple[str, list[Any]]:
        """The text with the dialect's sign for each value, and the values in their order."""
        compiled = self.bound().compile(dialect=dialect)
        return str(compiled), [compiled.params[name] for name in compiled.positiontup or ()]

    def named(self) -> str:
        """The text with `:name` for each value, for drivers that read it so."""
        return str(self.bound().compile(dialect=DefaultDialect(paramstyle="named")))


def _literal(value: Any, of_text: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return of_text(value)
    if isinstance(value, datetime):
        return f"'{value.isoformat(' ')}'"
    if isinstance(value, date):
        return f"'{value.isoformat()}'"
    number = format(value, "f") if isinstance(value, Decimal) else repr(value)
    return f"({number})" if number.startswith("-") else number  # two minus signs would begin a comment


def _standard(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _backslashed(value: str) -> str:
    signs = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"}
    return "'" + "".join(signs.get(sign, sign) for sign in value) + "'"


def statement(source: SqlSource, staging: Staging, grammar: Grammar) -> Statement:
    """The statement that reads the source. Raises SourceError for a query that is not one statement."""
    incremental = source.incremental
    wanted = None if incremental is None else first_wanted(incremental, staging)
    bound = {} if wanted is None else {WATERMARK: wanted}
    if source.query is None:
        return Statement(_of_table(source, staging, grammar, bound), bound)
    if incremental is not None and wanted is not None and not has_step(wanted) and _AFTER_ONLY.search(source.query):
        raise SourceError(
            "write >= :watermark; rows that were sent before are skipped anyway",
            place=source.place,
            what="> :watermark would lose rows that have the same watermark, since a text or decimal has "
            "no value just before it",
        )
    return Statement(one_statement(source, grammar), {**source.parameters, **bound})


def wanted_columns(source: SqlSource, staging: Staging) -> tuple[str, ...] | None:
    """The columns that the mapping uses, with those of the watermark and its key; None: all columns."""
    if staging.columns is None:
        return None
    incremental = source.incremental
    if incremental is not None and not incremental.key:
        return None  # rows are identified by all their columns
    more = () if incremental is None else (incremental.watermark, *incremental.key)
    return tuple(dict.fromkeys((*staging.columns, *more)))


def required_columns(source: SqlSource, staging: Staging) -> dict[str, str]:
    """The columns that cannot be left out when they hold bytes, each with the remedy; empty without a mapping."""
    if staging.columns is None:
        return {}
    incremental = source.incremental
    own = () if incremental is None else (incremental.watermark, *incremental.key)
    return {name: BYTES_REMEDY for name in staging.columns} | dict.fromkeys(own, "cast it in a query")


BYTES_REMEDY = "leave it out of the mapping, or encode it in the query"


def _of_table(source: SqlSource, staging: Staging, grammar: Grammar, bound: Mapping[str, Any]) -> str:
    names, incremental = grammar.names, source.incremental
    columns = [f"{names.quoted(name)} AS {names.alias(name)}" for name in wanted_columns(source, staging) or ()]
    table = ".".join(map(names.quoted, source.table or ()))
    select = _escaped(f"SELECT {', '.join(columns) or '*'} FROM {table}")  # nosec B608 # names are quoted
    if incremental is None or not bound:
        return select
    column = names.quoted(incremental.watermark)
    if isinstance(bound[WATERMARK], str):
        column = grammar.by_bytes.format(column)
    return f"{select} WHERE {_escaped(column)} >= :{WATERMARK}"


def _escaped(sql: str) -> str:
    """The SQL for `text()`, which reads a colon as the begin of a parameter."""
    return sql.replace(":", "\\:")


def one_statement(source: SqlSource, grammar: Grammar) -> str:
    """The source's query, without a `;` or comment at its end.

    Raises SourceError for more than one statement, and for one that may write if the database cannot refuse that.
    """
    query = source.query or ""
    if grammar.read_only and query.strip() and not _NEEDS_A_LOOK.search(query):
        return query.strip()
    from sqlglot import TokenType, tokenize  # imported here: it takes a third of a second, and few queries need it
    from sqlglot.errors import SqlglotError

    try:
        tokens = tokenize(query, read=grammar.grammar)
    except (SqlglotError, ValueError):
        raise SourceError(
            "close the quote or the comment",
            place=source.place,
            what="a quote or comment in the query is not closed",
        ) from None
    ends = [token.start for token in tokens if token.token_type is TokenType.SEMICOLON]
    meant = [token for token in tokens if token.token_type is not TokenType.SEMICOLON]
    if not meant:
        raise SourceError("write a select", place=source.place, what="the query is empty")
    if any(end < meant[-1].end for end in ends):
        raise SourceError(
            "leave one select; what it needs first belongs into a view or a common table expression",
            place=source.place,
            what="the query is more than one statement",
        )
    words = [token.text.upper() for token in meant if token.token_type.name not in _QUOTED_TOKENS]
    if not grammar.read_only and (words[:1] == [] or words[0] not in _READS or not _WRITES.isdisjoint(words)):
        raise SourceError(
            "leave a query that only reads",
            place=source.place,
            what="the query is no plain select, and this database cannot be told to refuse writing",
        )
    for match in PARAMETER.finditer(query):
        here = next((token for token in tokens if token.start <= match.start() <= token.end), None)
        if here is None or here.token_type.name in _QUOTED_TOKENS:  # SQLAlchemy would replace it even there
            raise SourceError(
                f"write {match[0]} without quotes, or \\{match[0]} for the text itself",
                place=source.place,
                what=f"the parameter {match[0]} stands inside quotes or a comment",
            )
    return query[: meant[-1].end + 1]


_NEEDS_A_LOOK = re.compile(r"""[;'"`$#\[{\\]|--|/[*/]""")  # what may end a statement, or begin a quote or comment
_QUOTED_TOKENS = frozenset(
    {"IDENTIFIER", "STRING", "NATIONAL_STRING", "RAW_STRING", "HEREDOC_STRING", "UNICODE_STRING"}
)
