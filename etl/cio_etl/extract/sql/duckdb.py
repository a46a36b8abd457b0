"""Reads DuckDB by its stream of Arrow batches, from a file that is opened read-only.

Types that Arrow or a frame does not have are cast by DuckDB: to text, or to JSON if nested. A query cannot reach other
files or the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

import duckdb
import polars as pl
import pyarrow as pa
from sqlalchemy import URL

from cio_etl.errors import EtlError, SourceError
from cio_etl.extract.frames import in_query
from cio_etl.extract.sql.columns import check_columns, has_one_of, unquoted_frames
from cio_etl.extract.sql.dialects import Database
from cio_etl.extract.sql.faults import Complaint, complaint_to_error
from cio_etl.extract.sql.names import Names
from cio_etl.extract.sql.sqlite import database_file
from cio_etl.extract.sql.statement import required_columns, statement, wanted_columns
from cio_etl.model import SqlSource, Staging

_ROWS = 10_000
_THREADS = "1"  # each thread has its own buffers; one reads fast enough
_MEMORY = "200MB"  # beyond it, DuckDB sorts on the disk
_JSON = pa.json_(pa.string())
_NUMERIC = pa.opaque(pa.string(), "numeric", "DuckDB")
_AS_TEXT = re.compile(r"INTERVAL|TIME\b|TIME_NS|BIT\b|BIGNUM|VARIANT|U?HUGEINT|ENUM")
_KEYS = r"VARCHAR|U?(?:TINYINT|SMALLINT|INTEGER|BIGINT)|BOOLEAN|DATE|TIMESTAMP|DECIMAL"  # of maps that frames have
_NESTED = re.compile(
    rf"\b(?:(?:INTERVAL|TIME(?! ZONE)|TIME_NS|BIT|BIGNUM|VARIANT|U?HUGEINT|UNION|BLOB|JSON)\b|MAP\((?!{_KEYS}))"
)
_INFINITE_DAYS = pa.array([2**31 - 1, 1 - 2**31], pa.int32())
_INFINITE_US = pa.array([2**63 - 1, 1 - 2**63], pa.int64())


class DuckdbReader:
    """Reads the rows of one statement. See stage.Reader."""

    def __init__(self, source: SqlSource, staging: Staging, url: URL, database: Database) -> None:
        self.place = source.place
        self._path = database_file(url, source.place)
        self._spill = staging.folder / "spilt"
        self._names = database.names
        self._statement = statement(source, staging, database)
        self._wanted = wanted_columns(source, staging)
        self._required = required_columns(source, staging)
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def settings(self) -> object:
        return [f"duckdb {self._path}", self._statement.sql, dict(self._statement.values)]

    def cancel(self) -> None:
        with suppress(duckdb.Error):  # it may have been closed meanwhile
            if self._connection is not None:
                self._connection.interrupt()

    def frames(self) -> Iterator[pl.DataFrame]:
        config: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "threads": _THREADS,
            "memory_limit": _MEMORY,
            "temp_directory": str(self._spill),
        }
        with self._reworded():
            self._connection = duckdb.connect(str(self._path), read_only=True, config=config)
            with closing(self._connection) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET lock_configuration = true")
                query, values = self._statement.with_question_marks()
                relation = connection.sql(query, params=values or None)
                if relation is None:
                    raise SourceError("write a select", place=self.place, what="the query gives no rows")
                check_columns(relation.columns, self.place)
                kinds = [str(kind) for kind in relation.types]
                batches = connection.sql(_readable(query, relation.columns, kinds, self._names), params=values or None)
                with closing(batches.to_arrow_reader(_ROWS)) as stream:
                    schema = _schema(stream.schema, kinds)
                    yield from unquoted_frames(schema, self._checked(schema, stream), self.place, self._required)

    def _checked(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches with the types of the schema. Raises SourceError for an infinite date in a mapped column."""
        for batch in batches:
            columns = [
                pa.ExtensionArray.from_storage(field.type, column)
                if isinstance(field.type, pa.BaseExtensionType)
                else self._finite(field.name, column)
                for field, column in zip(schema, batch.columns, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _finite(self, name: str, column: pa.Array) -> pa.Array:
        """The column; a column that is not mapped becomes null if it has an infinite date."""
        if not has_one_of(column, _INFINITE_DAYS, _INFINITE_US):
            return column
        if self._wanted is None or name in self._wanted:
            written = in_query(name)
            raise SourceError(
                f"write case when isfinite({written}) then {written} end as {written} in the query",
                place=self.place,
                what=f"column {name!r} holds an infinite date, which is no moment",
            )
        return pa.nulls(len(column), column.type)

    @contextmanager
    def _reworded(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
            raise self._error(error) from None

    def _error(self, error: Exception) -> EtlError:
        words = str(error)
        if isinstance(error, (duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException)):
            words = words.partition("\n")[0].partition("Error: ")[2] or words
            return complaint_to_error(Complaint("42", words), self.place, "")
        for sign, (remedy, what) in _FAULTS.items():
            if sign in words:
                return SourceError(remedy, place=str(self._path), what=what)
        return SourceError("try the query in duckdb", place=self.place, what="DuckDB failed while it was read")


_FAULTS = {  # DuckDB's words: the remedy, and the fault
    "Could not set lock": (
        "run again when it has ended; DuckDB lets one program write, or several read",
        "another program has it open for writing",
    ),
    "not a valid DuckDB database": ("name a file that duckdb can read", "the file is no DuckDB database"),
    "different configuration": ("close it there", "this process has it open already"),
    "read-only mode": ("leave a query that only reads", "the query would write, and is run read-only"),
    "disabled by configuration": (
        "import it into the database first",
        "the query asks for another file or the network, which it may not",
    ),
    "INTERRUPT": ("run the same command again", "the query was stopped"),
    "Out of Memory": ("ask for less at a time", "DuckDB has not enough memory for the query"),
    "encrypt": ("this program reads only plain ones", "the file is encrypted"),
}


def _readable(query: str, columns: Sequence[str], kinds: Sequence[str], names: Names) -> str:
    """The statement, wrapped in casts of the columns whose type Arrow or a frame does not have.

    The columns have numbers in between, because DuckDB does not distinguish names by case.
    """
    read = [_read_as(f"c{number}", kind) for number, kind in enumerate(kinds)]
    if not any("(" in each for each in read):
        return query
    renamed = ", ".join(f"{each} AS {names.alias(name)}" for each, name in zip(read, columns, strict=True))
    numbers = ", ".join(f"c{number}" for number in range(len(kinds)))
    return f"SELECT {renamed} FROM (\n{query}\n) AS asked({numbers})"  # nosec B608 # the job's own query


def _read_as(column: str, kind: str) -> str:
    """The SQL expression that gives the column in a form that Arrow has."""
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
        return f"to_json({column})" if kind.startswith("UNION") or _NESTED.search(kind) else column
    return f"CAST({column} AS varchar)" if _AS_TEXT.match(kind) else column


def _schema(schema: pa.Schema, kinds: Sequence[str]) -> pa.Schema:
    """The stream's columns; those that hold JSON or wide numbers as text get a type that says so."""
    fields = zip(schema, kinds, strict=True)
    return pa.schema([pa.field(field.name, _text_type(kind) or field.type) for field, kind in fields])


def _text_type(kind: str) -> pa.DataType | None:
    if kind in ("HUGEINT", "UHUGEINT"):
        return _NUMERIC
    return _JSON if kind == "JSON" or _read_as("", kind).startswith("to_json") else None
