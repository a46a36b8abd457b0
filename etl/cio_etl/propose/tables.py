"""Lists the tables and views of a database."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cio_etl.config import load_source
from cio_etl.errors import ConfigError, EtlError, SourceError
from cio_etl.extract import open_source
from cio_etl.model import Staging

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
_USUAL_SCHEMAS = ("", "public", "main", "dbo")  # a name without one means these


def tables_of(address: str) -> list[str]:
    """The names of the tables and views, as `table:` writes them; [] where the database does not list them.

    Raises SourceUnreachable and the like when the database cannot be read.
    """
    failure: EtlError = SourceError(place="the database", what="its tables cannot be listed")
    for query in _QUERIES:
        with tempfile.TemporaryDirectory(prefix="cio-etl-") as folder:
            try:
                source = load_source({"sql": address, "query": query})
                snapshot = open_source(source, Staging(Path(folder), rows=MAX_TABLES))
            except ConfigError:
                raise
            except EtlError as error:
                failure = error
                continue
            pairs = [row for frame in snapshot.read(None, 0) for row in frame.select(frame.columns[:2]).iter_rows()]
            return [name if schema in _USUAL_SCHEMAS else f"{schema}.{name}" for schema, name in pairs]
    raise failure
