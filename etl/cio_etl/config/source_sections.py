"""The keys of a step's `source:` section, and the record of `model.sources` that each kind of source becomes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, WithJsonSchema, model_validator

from cio_etl.model import (
    CSV_DIALECTS,
    PARAMETER,
    AvroSource,
    CsvSource,
    DeltaSource,
    ExcelSource,
    IcebergSource,
    Incremental,
    MarkValue,
    NdjsonSource,
    ParquetSource,
    Source,
    SqlSource,
    Storage,
    watermark_value,
)
from cio_etl.model.yaml_section import (
    SHOWN_DEFAULT,
    Count,
    Flag,
    LocalPath,
    Names,
    References,
    Secret,
    Section,
    Text,
    as_list,
    did_you_mean,
    duration,
    from_reference,
    local_path,
    omitted,
    wrong,
)

# Each kind of source, and the keys that go with it.
KINDS: dict[str, frozenset[str]] = {
    "csv": frozenset(
        {"dialect", "separator", "encoding", "quote", "escape", "null_values", "columns", "hive", "storage"}
    ),
    "parquet": frozenset({"hive", "storage"}),
    "ndjson": frozenset({"encoding", "hive", "storage"}),
    "excel": frozenset({"sheet", "storage"}),
    "avro": frozenset({"storage"}),
    "delta": frozenset({"version", "storage"}),
    "iceberg": frozenset({"snapshot", "storage"}),
    "sql": frozenset({"table", "query", "query_file", "parameters", "watermark", "key", "lag", "start"}),
}
_KEYS_OF_KINDS = sorted(frozenset().union(*KINDS.values()))
OF_INCREMENTAL = frozenset({"key", "lag", "start"})

_URL = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://", re.IGNORECASE)


_REMOTE = re.compile(r"(s3|gs|az|https)://[^/]+/.*", re.IGNORECASE | re.DOTALL)


def _source_path(text: str) -> str:
    if "://" in text and not _REMOTE.match(text):
        raise wrong("must be a path, or a URL of s3://, gs://, az:// or https://, as s3://lake/orders/*.parquet")
    return text if "://" in text else local_path(text)


def _one_sign(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\0":
        raise wrong('must be one ASCII character, as ";" or "\\t"')
    return text


def _encoding(text: str) -> str:
    try:
        codecs.lookup(text)
        "".encode(text)  # refuses codecs that are not of text, as base64
    except (LookupError, ValueError):
        raise wrong("no such encoding; as utf-8, latin-1, cp1252, utf-16") from None
    return text


def _dialect(name: str) -> str:
    if name not in CSV_DIALECTS:
        raise wrong(f"no dialect of that name; {did_you_mean(name, CSV_DIALECTS)}")
    return name


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


def _start(raw: object) -> MarkValue:
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


SourcePath = Annotated[str, AfterValidator(_source_path)]
SourcePaths = Annotated[list[SourcePath], BeforeValidator(as_list), Field(min_length=1)]
Sign = Annotated[str, AfterValidator(_one_sign), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 1})]


class StorageYaml(Section):
    """How an object store is reached, where the environment does not say it."""

    goes_with: ClassVar = {
        "access_key_id": ("secret_access_key",),
        "secret_access_key": ("access_key_id",),
    }

    endpoint: Text = omitted("the address of MinIO or of another server with the S3 protocol")
    region: Text = omitted("the region of the store, if the environment does not set it")
    profile: Text = omitted("a profile of the AWS configuration files; needs `cio-etl[aws]`")
    anonymous: Flag = Field(False, description="`true`: a public store, read without keys")
    access_key_id: Secret = omitted("a reference, as `${AWS_ACCESS_KEY_ID}`; for `az://` the name of the account")
    secret_access_key: Secret = omitted(
        "a reference, as `${AWS_SECRET_ACCESS_KEY}`; for `az://` the key of the account"
    )

    @classmethod
    def of_keys(cls, written: AbstractSet[str]) -> Iterator[str]:
        if len(written & {"access_key_id", "secret_access_key"}) == 1:
            yield "access_key_id and secret_access_key go together"

    @model_validator(mode="after")
    def _fits_together(self) -> StorageYaml:
        if sum((self.anonymous, self.access_key_id is not None, self.profile is not None)) > 1:
            raise wrong("write one of anonymous, profile, and the two keys")
        return self

    def to_storage(self) -> Storage:
        return Storage(
            endpoint=self.endpoint,
            region=self.region,
            profile=self.profile,
            anonymous=self.anonymous,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
        )


_WrittenTable = Text | Annotated[list[Text], Field(min_length=1, max_length=3)]
_WrittenLag = Annotated[int, Field(ge=0)] | Text
_WrittenParameters = dict[str, str | float | bool]


class SourceYaml(Section):
    """Where a step's rows come from."""

    not_offered: ClassVar = {
        **dict.fromkeys(("path", "file", "files"), "a file is named by its kind, as csv: people.csv"),
        **dict.fromkeys(("type", "format"), "the kind is the key itself, as csv: people.csv"),
        **dict.fromkeys(("delimiter", "sep"), "written separator:"),
    }
    one_of = tuple(KINDS)
    goes_with: ClassVar = {key: tuple(kind for kind in KINDS if key in KINDS[kind]) for key in _KEYS_OF_KINDS} | {
        key: ("watermark",) for key in OF_INCREMENTAL
    }

    csv: SourcePaths = omitted(
        "a path, a pattern such as `exports/*.csv`, or a list of them. Files are read in the order of their names; "
        "gzip and zstd are unpacked",
        "one of these",
    )
    parquet: SourcePaths = omitted("as `csv`, Parquet files; all of them have the same columns", "one of these")
    ndjson: SourcePaths = omitted("as `csv`, files with one JSON object per line", "one of these")
    excel: SourcePaths = omitted("as `csv`, `.xlsx`, `.xls` or `.ods` files", "one of these")
    avro: SourcePaths = omitted("as `csv`, Avro files", "one of these")
    delta: SourcePath = omitted("the folder of a Delta table", "one of these")
    iceberg: SourcePath = omitted("the folder of an Iceberg table, or one of its `metadata.json` files", "one of these")
    sql: Annotated[SecretStr, PlainValidator(_url, json_schema_input_type=Text), References.ADDRESS] = omitted(
        "the address of a database, as `${WAREHOUSE_URL}`. See Databases.", "one of these"
    )
    dialect: Annotated[str, AfterValidator(_dialect), WithJsonSchema({"enum": [*CSV_DIALECTS]})] = omitted(
        "of CSV: the settings of the tool that wrote the file, by its name. Settings that you write here as well take "
        "precedence. See Other files."
    )
    separator: Sign = Field(",", description='of CSV: one ASCII character, as `";"` or `"\\t"`')
    encoding: Annotated[str, AfterValidator(_encoding)] = Field(
        "utf-8", description="of CSV and NDJSON: as `latin-1`, `cp1252` or `utf-16`"
    )
    quote: Sign | None = Field('"', description="of CSV: one ASCII character; `null`: quotes have no meaning")
    escape: Sign = omitted(
        'of CSV: one ASCII character, after which the next character is plain text, as `"\\\\"` in the files of MySQL '
        "and Hive"
    )
    null_values: Annotated[list[str], BeforeValidator(as_list)] = Field(
        default=[""],
        description="of CSV: the texts that mean null, in quotes or not. With `[]` an empty field is an empty text",
        json_schema_extra={SHOWN_DEFAULT: '`[""]`'},
    )
    columns: Names = omitted("of CSV: the names of the columns, for files without a header line", "the first line")
    sheet: Text = omitted("of Excel: the name of the sheet", "the only one")
    hive: Flag = Field(False, description="`true`: folders named `key=value` are columns of text")
    version: Count = omitted("of a Delta table: its version, from 0", "the newest when the run starts")
    snapshot: Count = omitted("of an Iceberg table: its snapshot, from 0", "the current one when the run starts")
    storage: StorageYaml = omitted("how to reach the object store. See Object storage.", "environment, profile, role")
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
    start: Annotated[MarkValue, PlainValidator(_start, json_schema_input_type=int | Text)] = omitted(
        "where the first run starts, as `2024-01-01`; required for a query with `:watermark`", "the first row"
    )

    @classmethod
    def of_keys(cls, written: AbstractSet[str]) -> Iterator[str]:
        yield from _of_kind(written)
        if "sql" in written:
            yield from _of_sql_keys(written)

    @model_validator(mode="after")
    def _fits_together(self) -> SourceYaml:
        faults = list(_of_query(self) if self.sql else ())
        if self.quote == self.separator:
            faults.append("separator and quote are the same sign")
        if faults:
            raise wrong("\n".join(faults))
        return self

    def to_source(self) -> Source:
        storage = None if self.storage is None else self.storage.to_storage()
        if self.csv:
            return self._csv(storage)
        if self.parquet:
            return ParquetSource(tuple(self.parquet), hive=self.hive, storage=storage)
        if self.ndjson:
            return NdjsonSource(tuple(self.ndjson), encoding=self.encoding, hive=self.hive, storage=storage)
        if self.excel:
            return ExcelSource(tuple(self.excel), sheet=self.sheet, storage=storage)
        if self.avro:
            return AvroSource(tuple(self.avro), storage=storage)
        if self.delta:
            return DeltaSource(self.delta, version=self.version, storage=storage)
        if self.iceberg:
            return IcebergSource(self.iceberg, snapshot=self.snapshot, storage=storage)
        return SqlSource(
            url=self.sql,
            table=self.table,
            query=self.query,
            parameters=self.parameters,
            incremental=self._incremental(),
            place=f"table {'.'.join(self.table)}" if self.table else self.query_file or "the query",
        )

    def _csv(self, storage: Storage | None) -> CsvSource:
        """The dialect's settings, and over them those that are written."""
        written = {
            "separator": self.separator,
            "quote": self.quote,
            "escape": self.escape,
            "null_values": tuple(self.null_values),
        }
        chosen = {name: value for name, value in written.items() if name in self.model_fields_set}
        settings = {**CSV_DIALECTS.get(self.dialect or "", {}), **chosen}
        columns = tuple(self.columns or ())
        return CsvSource(
            tuple(self.csv), encoding=self.encoding, columns=columns, hive=self.hive, storage=storage, **settings
        )

    def _incremental(self) -> Incremental | None:
        return Incremental(self.watermark, tuple(self.key or ()), self.lag, self.start) if self.watermark else None


def _of_kind(written: AbstractSet[str]) -> Iterator[str]:
    """What is wrong with a source of these keys, so far as keys alone can tell."""
    kinds = [kind for kind in KINDS if kind in written]
    if len(kinds) != 1:
        yield f"write one of {', '.join(f'{kind}:' for kind in KINDS)}"
    fitting = frozenset().union(*(KINDS[kind] for kind in kinds))
    homes: dict[str, list[str]] = {}  # of each key that does not fit, the kinds that it goes with
    for key in sorted(written - fitting - KINDS.keys()) if kinds else ():
        kinds_of_key = [f"{kind}:" for kind, keys in KINDS.items() if key in keys]
        homes.setdefault(", ".join(kinds_of_key), []).append(key)
    for home, keys in homes.items():
        yield f"{', '.join(keys)}: goes with {home} only; leave it out"


def _of_sql_keys(written: AbstractSet[str]) -> Iterator[str]:
    asked = written & {"table", "query", "query_file"}  # a query_file has its text beside it as a query by now
    if len(asked - {"query"} or asked) != 1 or ("query" in asked and "table" in asked):
        yield "write one of table:, query: and query_file:"
    if "watermark" not in written and (lonely := sorted(written & OF_INCREMENTAL)):
        yield f"{', '.join(lonely)}: goes with watermark:, which is missing"


def _of_query(source: SourceYaml) -> Iterator[str]:
    used = set(PARAMETER.findall(source.query or ""))
    if source.watermark and source.query and "watermark" not in used:
        yield "the query must use :watermark, as in `where updated_at >= :watermark`"
    if "watermark" in used and not source.watermark:
        yield "the query uses :watermark; name the column with watermark:"
    if source.watermark and source.query and "start" not in source.model_fields_set:
        yield "start: is missing; the first run needs a value for :watermark, as 2024-01-01"
    if missing := sorted(used - {"watermark"} - source.parameters.keys()):
        yield f"the query has :{missing[0]}, which parameters: does not give; a colon that is none is written \\:"
    if unused := sorted(source.parameters.keys() - used):
        yield f"parameters: has {unused[0]!r}, which the query does not use"
