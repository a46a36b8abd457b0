"""Tables and queries of a database."""

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, SecretStr

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import Dataset, Source, SourceKeys, kind_key
from cio_etl.model.sources.watermark import Incremental, WatermarkValue, watermark_value
from cio_etl.model.yaml_section import LocalPath, Names, References, Text, duration, from_reference, omitted, wrong

PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")  # `:name` in a query, by SQLAlchemy's rule

# Options of a database's address that are secrets, whichever driver reads them.
SECRET_OPTIONS = frozenset({"password", "passwd", "pwd", "token", "access_token", "secret", "private_key"})

UNREAD_ADDRESS = "unread://"  # instead of an address that was not looked up


@dataclass(frozen=True, slots=True)
class SqlSource(Source):
    """The rows of a database's answer, copied in one read-only transaction. One of `table` and `query`."""

    is_repeatable: ClassVar[bool] = False

    url: SecretStr  # SQLAlchemy's form: dialect+driver://user:password@host:port/database?option=value
    table: tuple[str, ...] | None = None  # catalogue, schema and name, as far as they are written
    query: str | None = None  # one statement; `:name` is a parameter
    parameters: MappingOf[str, Any] = field(default_factory=dict)
    incremental: Incremental | None = None
    place: str = ""  # "table orders", or the file of the query

    @property
    def lacks_secrets(self) -> bool:
        return self.url.get_secret_value() == UNREAD_ADDRESS

    @property
    def asks_for_columns(self) -> bool:
        return self.table is not None

    def datasets(self) -> list[Dataset]:
        url = urlsplit(self.url.get_secret_value())
        backend = url.scheme.partition("+")[0].replace("postgresql", "postgres")
        host = f"{url.hostname}:{port}" if (port := url.port) else url.hostname
        database = url.path.strip("/") if host else Path(url.path).stem
        table = ".".join(self.table) if self.table else self.place
        return [(f"{backend}://{host}" if host else backend, f"{database}.{table}")]


_URL = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://", re.IGNORECASE)


def _url(raw: object) -> SecretStr:
    if isinstance(raw, str) and _URL.match(raw):
        return SecretStr(raw)
    raise wrong("must be a database's address, as ${WAREHOUSE_URL} or sqlite:///shop.db")


def _table(raw: object) -> tuple[str, ...]:
    parts = raw.split(".") if isinstance(raw, str) else raw
    if isinstance(parts, list) and 1 <= len(parts) <= 3 and all(isinstance(part, str) and part for part in parts):
        return tuple(parts)
    raise wrong('must be a name, as orders or sales.orders; with a point in a name, a list: [sales, "order.lines"]')


def _lag(raw: object) -> timedelta | int:
    raw = from_reference(raw)
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    try:
        return duration(str(raw))
    except ValueError as error:
        raise wrong(f"{error}; for a watermark of numbers, a whole number") from None


def _start(raw: object) -> WatermarkValue:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip():
        return watermark_value(raw.strip())
    raise wrong("must be a value of the watermark, as 2024-01-01, 2024-01-01T00:00:00Z or a whole number")


def _parameters(raw: object) -> dict[str, Any]:
    if isinstance(raw, dict) and all(isinstance(value, (str, int, float, bool)) for value in raw.values()):
        if "watermark" in raw:
            raise wrong(":watermark is set by the program; give this parameter another name")
        return raw
    raise wrong("must be names with text, numbers, true or false, as {region: eu}")


_WrittenTable = Text | Annotated[list[Text], Field(min_length=1, max_length=3)]
_WrittenLag = Annotated[int, Field(ge=0)] | Text
_WrittenParameters = dict[str, str | float | bool]
_OF_WATERMARK = ("key", "lag", "start")


class SqlKeys(SourceKeys):
    """The YAML keys of a database as a source."""

    goes_with: ClassVar = dict.fromkeys(_OF_WATERMARK, ("watermark",))

    sql: Annotated[SecretStr, PlainValidator(_url, json_schema_input_type=Text), References.ADDRESS] = kind_key(
        "the address of a database, as `${WAREHOUSE_URL}`. See Databases."
    )
    table: Annotated[tuple[str, ...], PlainValidator(_table, json_schema_input_type=_WrittenTable)] = omitted(
        "of a database: `orders`, `sales.orders`, or a list of the parts if one of them contains a point. Only the "
        "columns that the mapping uses are read",
        "one of three",
    )
    query: Annotated[Text, References.REFUSED] = omitted(
        "of a database: one statement that only reads. `:name` is a parameter", "one of three"
    )
    query_file: LocalPath = omitted("a file that contains the query", "one of three")
    parameters: Annotated[dict[str, Any], PlainValidator(_parameters, json_schema_input_type=_WrittenParameters)] = (
        Field(
            default={},
            description="the values of the query's parameters, as `{region: eu}`. They are always bound, never pasted "
            "into the text",
        )
    )
    watermark: Text = omitted("the column that shows which rows are new. See Only what is new.", "every row")
    key: Names = omitted("the columns that identify a row, as `[id]`", "all columns")
    lag: Annotated[timedelta | int, PlainValidator(_lag, json_schema_input_type=_WrittenLag)] = omitted(
        "how far before the watermark to read again, for rows that were committed late, as `15 minutes`, `2h`, "
        "`1 day`; for a watermark of numbers, a number"
    )
    start: Annotated[WatermarkValue, PlainValidator(_start, json_schema_input_type=int | Text)] = omitted(
        "where the first run starts, as `2024-01-01`; required for a query with `:watermark`", "the first row"
    )

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        asked = written & {"table", "query", "query_file"}  # the text of a query_file stands there as a query, too
        if len(asked - {"query"} or asked) != 1 or ("query" in asked and "table" in asked):
            yield "write one of table:, query: and query_file:"
        if "watermark" not in written and (lonely := sorted(written & {*_OF_WATERMARK})):
            yield f"{', '.join(lonely)}: goes with watermark:, which is missing"

    def faults(self) -> Iterator[str]:
        used = set(PARAMETER.findall(self.query or ""))
        if self.watermark and self.query and "watermark" not in used:
            yield "the query must use :watermark, as in `where updated_at >= :watermark`"
        if "watermark" in used and not self.watermark:
            yield "the query uses :watermark; name the column with watermark:"
        if self.watermark and self.query and "start" not in self.model_fields_set:
            yield "start: is missing; the first run needs a value for :watermark, as 2024-01-01"
        if missing := sorted(used - {"watermark"} - self.parameters.keys()):
            yield (
                f"the query has :{missing[0]}, which parameters: does not give; a colon that is not a parameter is "
                "written \\:"
            )
        if unused := sorted(self.parameters.keys() - used):
            yield f"parameters: has {unused[0]!r}, which the query does not use"

    def to_source(self) -> SqlSource:
        lag, start, key = self.lag, self.start, tuple(self.key or ())
        return SqlSource(
            url=self.sql,
            table=self.table,
            query=self.query,
            parameters=self.parameters,
            incremental=Incremental(self.watermark, key, lag, start) if self.watermark else None,
            place=f"table {'.'.join(self.table)}" if self.table else self.query_file or "the query",
        )
