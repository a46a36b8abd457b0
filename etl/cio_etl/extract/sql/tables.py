"""Lists the tables and views of a database, and the key of one; names those that a missing one may be meant to be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cio_etl.errors import EtlError, SourceError, similar
from cio_etl.extract.sql.dialects import DATABASES, address, reader_of
from cio_etl.extract.stage import staged
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import SqlSource, Staging

MAX_TABLES = 200  # that are listed

# Each of them asks one kind of database; a database answers the first one that it knows.
_QUERIES = (
    """select table_schema, table_name from information_schema.tables
       where table_schema not in ('information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys',
                                  'INFORMATION_SCHEMA')
       order by table_schema, table_name""",
    """select '' as table_schema, name as table_name from sqlite_master
       where type in ('table', 'view') and name not like 'sqlite~_%' escape '~' order by name""",
)
_NO_TABLE = re.compile(r"no such table|(relation|table|object)\b.* (does not|doesn't) exist", re.IGNORECASE)
_USUAL_SCHEMAS = ("", "public", "main", "dbo")  # a name without one means these


def tables_of(source: SqlSource) -> list[str]:
    """The names of the tables and views, as `table:` writes them; [] where the database does not list them.

    Raises SourceUnreachable and the like when the database cannot be read.
    """
    failure: EtlError = SourceError(place="the database", what="its tables cannot be listed")
    for query in _QUERIES:
        listing = SqlSource(source.url, query=query, place="the database")
        with temporary_folder() as folder:
            staging = Staging(Path(folder), rows=MAX_TABLES)
            try:
                snapshot = staged(reader_of(listing, staging), staging, MAX_TABLES, None)
            except EtlError as error:
                failure = error
                continue
            pairs = [row for frame in snapshot.read(None, 0) for row in frame.select(frame.columns[:2]).iter_rows()]
            return [name if schema in _USUAL_SCHEMAS else f"{schema}.{name}" for schema, name in pairs]
    raise failure


def primary_key_of(source: SqlSource) -> list[str]:
    """The columns of a table's primary key; [] for a query or a view, and where the database cannot be asked."""
    database = DATABASES.get(address(source).get_backend_name())
    if source.table is None or database is None or not database.primary_key:
        return []
    *above, name = source.table
    named = {"name": name, "schema": above[-1] if above else ""}
    asked = SqlSource(source.url, query=database.primary_key, parameters=named, place=source.place)
    with temporary_folder() as folder, suppress(EtlError):
        staging = Staging(Path(folder))
        frames = staged(reader_of(asked, staging), staging, MAX_TABLES, None).read(None, 0)
        return [column for frame in frames for column in frame[frame.columns[0]]]
    return []


def table_names(tables: Sequence[str]) -> str:
    """The tables as a message lists them."""
    return f"{', '.join(tables)}{' and others' if len(tables) >= MAX_TABLES else ''}"


def with_tables(error: SourceError, source: SqlSource) -> SourceError:
    """The error of a source; where the database has no such table, with those that it has."""
    no_table = _NO_TABLE.search(str(error))
    if source.table is None and no_table is None:
        return error
    try:
        tables = tables_of(source)
    except EtlError:
        return error
    listed = f"its tables are {table_names(tables)}" if tables else "it has no tables or views; check its address"
    if source.table is None:
        return SourceError(f"{error.remedy}; {listed}", **error.facts)
    names = {each.rpartition(".")[2]: each for each in tables}  # without the schema, which may be left out
    is_there = source.table[-1].lower() in map(str.lower, names)
    if no_table is None and (is_there or not tables or len(tables) >= MAX_TABLES):
        return error
    near = similar(source.table[-1], names)
    suggestion = "" if near is None else f"did you mean {names[near]!r}? "
    return SourceError(
        f"{suggestion}{listed}",
        place=f"table {'.'.join(source.table)}",
        what="the database has no such table",
    )
