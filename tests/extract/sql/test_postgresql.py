"""A real PostgreSQL is read without loss, and a job cannot write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr
from sqlalchemy import URL

from cio_etl.errors import EtlError, SourceError
from cio_etl.extract import open_source
from cio_etl.extract.sql.connect_postgresql import handle_of, libpq_address
from cio_etl.extract.sql.dialects import DATABASES, address
from cio_etl.extract.sql.postgresql import PostgresqlReader
from cio_etl.model import FAULT, POSITION, Constant, Incremental, Snapshot, SqlSource, Staging, Step
from cio_etl.run import prepare
from cio_etl.validate.preview import preview
from tests.databases import Database, own_database
from tests.mapped_rows import attributes
from tests.mapped_rows import mapping as mapping_of
from tests.running import until

CANARY = "canary-of-the-rows"


@pytest.fixture(scope="module")
def calculator(postgresql_server: URL) -> Iterator[Database]:
    """A database that is only asked what expressions are, and stays empty."""
    with own_database(postgresql_server) as database:
        yield database


def asking(
    database: Database, query: str | None = None, table: str | tuple[str, ...] = "", **settings: Any
) -> SqlSource:
    """A source of a query, or of a table."""
    named = (table,) if isinstance(table, str) else table
    return SqlSource(
        SecretStr(settings.pop("address", database.address)),
        query=query,
        table=named if query is None else None,
        place=settings.pop("place", "the query"),
        **settings,
    )


def opened(source: SqlSource, *columns: str, **staging: Any) -> Snapshot:
    """The source's snapshot; without columns, all are wanted."""
    return open_source(source, Staging(Path("stage"), columns or None, **staging))


def rows(source: SqlSource, *columns: str, **staging: Any) -> list[dict[str, Any]]:
    snapshot = opened(source, *columns, **staging)
    return [row for frame in snapshot.read(columns or None, 0) for row in frame.drop(POSITION, FAULT).to_dicts()]


def fixed(database: Database, source: SqlSource, error: SourceError) -> list[dict[str, Any]]:
    """The rows of a query that does what the error's remedy says."""
    remedy = error.remedy.removeprefix("write ").removesuffix(" in the query")
    return rows(asking(database, f"SELECT id, {remedy} FROM ({source.query}) AS asked"))


def value(database: Database, expression: str) -> Any:
    """What an SQL expression is in a snapshot."""
    (row,) = rows(asking(database, f"SELECT {expression} AS v"))
    return row["v"]


def sent(database: Database, expression: str, nulls: str = "omit") -> Any:
    """What an attribute of an SQL expression is in the payload; the whole outcome when there is no payload."""
    identify = mapping_of(identifiers={"id": Constant("1")}, attributes=attributes(v="v"), nulls=nulls)
    (outcome,) = preview(Step("s", asking(database, f"SELECT {expression} AS v"), identify), 5, "track")
    return outcome["payload"]["attributes"].get("v", "(none)") if "payload" in outcome else outcome


# ---------------------------------------------------------------- values


VALUES: list[tuple[str, Any]] = [
    ("7::int2", 7),
    ("(-2147483648)::int4", -2147483648),
    ("9223372036854775807::int8", 9223372036854775807),
    ("'4294967295'::oid", 4294967295),
    ("1.1::float4", 1.1),
    ("0.1::float8", 0.1),
    ("true", True),
    ("false", False),
    ("'Zoë \"x\" \\ 漢'::text", 'Zoë "x" \\ 漢'),
    ("''::text", ""),
    ("'x'::varchar(5)", "x"),
    ("'x'::char(5)", "x"),
    ("'b'::\"char\"", "b"),
    ("'n'::name", "n"),
    ("'2024-03-10'::date", 1710028800),
    ("'1900-03-15'::date", -2202681600),
    ("'2024-03-10 09:00:00.999999'::timestamp", 1710061200),
    ("'1969-12-31 23:59:59.5'::timestamp", -1),
    ("'2024-03-10 18:00:00+09'::timestamptz", 1710061200),
    ("'09:30:00'::time", "09:30:00"),
    ("'24:00'::time", "24:00:00"),
    ("'09:30:00+02'::timetz", "09:30:00+02"),
    ("'1 mon 2 days 03:04:05'::interval", "1 mon 2 days 03:04:05"),
    ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("'12.34'::money", 12.34),
    ("'10.0.0.1'::inet", "10.0.0.1"),
    ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
    ("'08:00:2b:01:02:03'::macaddr", "08:00:2b:01:02:03"),
    ("b'1010'", "1010"),
    ("point(1,2)", "(1,2)"),
    ("int4range(1,5)", "[1,5)"),
    ("'<a>1</a>'::xml", "<a>1</a>"),
    ("to_tsvector('simple', 'hello')", "'hello':1"),
    ("'pg_class'::regclass", "pg_class"),
    ("'16/B374D848'::pg_lsn", "16/B374D848"),
    ("'x'", "x"),
    ("row(1, 'a')", {"f1": 1, "f2": "a"}),
    ('\'{"a": [1, {"b": null}], "c": "ü"}\'::json', {"a": [1, {"b": None}], "c": "ü"}),
    ("'{\"a\": [1.50, true]}'::jsonb", {"a": [1.5, True]}),
    ("'\"text\"'::jsonb", "text"),
    ("array[1, null, 3]", [1, None, 3]),
    ("array['a', null, 'b\"c']", ["a", None, 'b"c']),
    ("array[1.5, 0.1]::float8[]", [1.5, 0.1]),
    ("array[true, null]", [True, None]),
    ("array['2024-03-10'::date]", [1710028800]),
    ("array['2024-03-10 18:00+09'::timestamptz]", [1710061200]),
    ("array[12.345, 1]::numeric[]", [12.345, 1]),
    ("array[12345678901234567890.5]::numeric[]", [Decimal("12345678901234567890.5")]),
    ("array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("array['{\"a\": 1}'::jsonb, 'null']", [{"a": 1}, None]),
    ("array['1 day'::interval]", ["1 day"]),
    ("array['09:30'::time]", ["09:30:00"]),
    ("array['10.0.0.1'::inet]", ["10.0.0.1"]),
    ("array[]::text[]", []),
    ("to_json(array[array['a'], array['b']])", [["a"], ["b"]]),
]


def test_a_value_arrives_in_the_payload_as_it_is(calculator: Database) -> None:
    """All are columns of one row: a snapshot for each takes some 30 times as long."""
    names = [f"v{number}" for number in range(len(VALUES))]
    query = "SELECT " + ", ".join(f"{text} AS {name}" for name, (text, _) in zip(names, VALUES, strict=True))
    identify = mapping_of(identifiers={"id": Constant("1")}, attributes=attributes(**{name: name for name in names}))
    (outcome,) = preview(Step("s", asking(calculator, query), identify), 5, "track")
    for name, (expression, expected) in zip(names, VALUES, strict=True):
        came = outcome["payload"]["attributes"].get(name, "(none)")
        assert (came, type(came)) == (expected, type(expected)), expression


@pytest.mark.parametrize("expression", ["'null'::jsonb", "' null '::json", "NULL::json", "NULL", "NULL::numeric"])
@pytest.mark.parametrize(("nulls", "expected"), [("omit", "(none)"), ("clear", None)])
def test_a_null_of_sql_and_one_of_json_are_the_same(
    calculator: Database, expression: str, nulls: str, expected: str | None
) -> None:
    assert sent(calculator, expression, nulls) == expected


def test_types_of_the_database_s_own_and_of_extensions_arrive_as_text_or_json(postgres: Database) -> None:
    postgres.execute(
        "CREATE TYPE mood AS ENUM ('glad', 'so so')",
        "CREATE TYPE place AS (x int, name text)",
        "CREATE DOMAIN price AS numeric(10,3)",
        "CREATE DOMAIN code AS text CHECK (value <> '')",
        "CREATE DOMAIN temper AS mood",
        "CREATE DOMAIN codes AS text[]",
    )
    for expression, expected in {
        "'so so'::mood": "so so",
        "array['glad', 'so so']::mood[]": ["glad", "so so"],
        "row(1, 'Paris')::place": {"x": 1, "name": "Paris"},
        "array[row(1, 'Paris')::place]": [{"x": 1, "name": "Paris"}],
        "1.5::price": 1.5,
        "array[1.5]::price[]": [1.5],
        "'c'::code": "c",
        "'glad'::temper": "glad",
        "array['a', 'b']::codes": ["a", "b"],
    }.items():
        assert sent(postgres, expression) == expected, expression


@pytest.mark.parametrize(
    ("extension", "expression", "expected"),
    [("citext", "'ABC'::citext", "ABC"), ("hstore", "'a=>1, b=>NULL'::hstore", {"a": "1", "b": None})],
)
def test_types_of_extensions_arrive(postgres: Database, extension: str, expression: str, expected: Any) -> None:
    if not postgres.rows(f"SELECT 1 FROM pg_available_extensions WHERE name = '{extension}'"):
        pytest.skip(f"this PostgreSQL has no {extension}")
    postgres.execute(f"CREATE EXTENSION {extension}")
    assert sent(postgres, expression) == expected


def test_types_that_are_made_after_a_first_read_are_known_to_the_next(postgres: Database) -> None:
    assert rows(asking(postgres, "SELECT 1 AS n")) == [{"n": 1}]
    postgres.execute("CREATE TYPE mood AS ENUM ('glad', 'so so')", "CREATE DOMAIN price AS int")
    query = "SELECT array['glad']::mood[] AS moods, array[7]::price[] AS prices, '[1,5)'::int4range AS r"
    assert rows(asking(postgres, query)) == [{"moods": ["glad"], "prices": [7], "r": "[1,5)"}]


def test_the_driver_s_types_of_an_address_are_kept_for_that_database_only(
    postgres: Database, postgresql_server: URL
) -> None:
    rows(asking(postgres, "SELECT 1 AS n"))
    kept, is_new = handle_of(libpq_address(postgres.url))
    assert not is_new

    def is_of_what_is_there() -> bool:
        with closing(kept.connect()) as connection, closing(connection.cursor()) as cursor:
            return kept.is_of(cursor)

    assert is_of_what_is_there()
    name = postgres.url.database
    Database(postgresql_server).execute(f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name}")
    assert not is_of_what_is_there()
    assert rows(asking(postgres, "SELECT 1 AS n")) == [{"n": 1}]


@pytest.mark.parametrize(
    "text",
    [
        "0.1",
        "-12.340",
        "9" * 38,
        "0." + "1" * 38,
        "1" * 20 + "." + "9" * 18,
        "0.000000000000000000001",
    ],
)
def test_a_numeric_is_exact_to_its_last_digit(calculator: Database, text: str) -> None:
    assert value(calculator, f"{text}::numeric") == Decimal(text)
    (snapshot_row,) = rows(asking(calculator, f"SELECT {text}::numeric AS v"))
    assert isinstance(snapshot_row["v"], Decimal)


def test_a_payload_has_a_numeric_s_own_digits(calculator: Database) -> None:
    identify = mapping_of(attributes=attributes(v="v"))
    source = asking(calculator, "SELECT '1' AS id, 12345678901234567890.123456789::numeric AS v")
    snapshot = open_source(source, Staging(Path("stage"), ("id", "v")))
    snapshot, compiled = prepare(Step("s", source, identify), snapshot, 1, "track")
    (frame,) = snapshot.read(compiled.columns, 0)
    assert '"v":12345678901234567890.123456789}' in compiled.items(frame)["item"][0]


def test_numerics_of_a_column_keep_the_longest_fraction(calculator: Database) -> None:
    source = asking(calculator, "SELECT v::numeric FROM (VALUES ('1.5'), (NULL), ('0.12345'), ('-7')) AS t(v)")
    assert [row["v"] for row in rows(source)] == [Decimal("1.5"), None, Decimal("0.12345"), Decimal(-7)]


@pytest.mark.parametrize(
    ("numbers", "what", "remedy"),
    [
        ("('NaN')", "holds NaN, which JSON has not", 'write nullif("V", \'NaN\') as "V" in the query'),
        ("('1'), ('Infinity')", "holds Infinity, which JSON has not", "nullif"),
        ("('-Infinity'), ('NaN')", "holds NaN and -Infinity, which JSON has not", "nullif"),
        ("(repeat('7', 39))", "holds more than 38 digits", 'cast "V" to numeric with fewer, or to text, in the query'),
        ("(repeat('7', 30)), ('0.' || repeat('7', 20))", "holds more than 38 digits", 'cast "V"'),
    ],
)
def test_a_numeric_that_neither_json_nor_a_decimal_can_hold_is_reported_without_its_value(
    calculator: Database, numbers: str, what: str, remedy: str
) -> None:
    source = asking(calculator, f'SELECT 1 AS id, v::numeric AS "V" FROM (VALUES {numbers}) AS t(v)')
    with pytest.raises(SourceError, match=rf"^the query: column 'V' {what}") as error:
        opened(source, "id", "V")
    assert remedy in error.value.remedy and "777" not in str(error.value)
    if "nullif" in remedy:
        assert {row["V"] for row in fixed(calculator, source, error.value)} <= {None, Decimal(1)}
    assert len(rows(source, "id")) == len(numbers.split("), ")), "nothing is made of it"
    assert all(isinstance(row["V"], str) for row in pl.concat(opened(source, "id").read(None, 0)).to_dicts())


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("listed", [False, True])
def test_an_infinite_date_is_an_error_only_in_a_mapped_column(
    calculator: Database, kind: str, sign: str, listed: bool
) -> None:
    expression = f"'{sign}infinity'::{kind}"
    source = asking(calculator, f"SELECT 1 AS id, {f'array[{expression}]' if listed else expression} AS until")
    with pytest.raises(SourceError, match=r"column 'until' holds an infinite date") as error:
        opened(source, "id", "until")
    assert fixed(calculator, source, error.value) == [{"id": 1, "until": [] if listed else None}]
    assert pl.concat(opened(source, "id").read(None, 0)).drop(POSITION, FAULT).to_dicts() == [{"id": 1, "until": None}]


@pytest.mark.parametrize("expression", ["'5874897-12-31'::date", "'4713-01-01 BC'::date", "'294276-12-31'::timestamp"])
def test_the_earliest_and_latest_dates_are_not_read_as_infinite(calculator: Database, expression: str) -> None:
    assert sent(calculator, expression)["rejected"] == "timestamp_out_of_range"


def test_lists_of_lists_are_reported_since_the_driver_would_flatten_them(calculator: Database) -> None:
    query = "SELECT 1 AS id, CASE WHEN n > 2 THEN array[array['a'], array['b']] ELSE array['c'] END AS v FROM {}"
    flat, nested = (asking(calculator, query.format(f"generate_series(1, {n}) AS t(n)")) for n in (2, 3))
    assert [row["v"] for row in rows(flat)] == [["c"], ["c"]]
    with pytest.raises(SourceError, match=r"column 'v' holds lists of lists") as error:
        opened(nested, "id", "v")
    assert error.value.remedy == "write to_json(v) as v in the query"
    assert len(rows(nested, "id")) == 3


def test_columns_of_bytes_are_omitted_and_refused_where_the_mapping_reads_them(calculator: Database) -> None:
    source = asking(calculator, "SELECT 1 AS id, '\\x0102'::bytea AS photo")
    assert list(opened(source, "id").schema) == ["id"]
    with pytest.raises(SourceError, match=r"column 'photo' holds bytes, which have no JSON form") as error:
        opened(source, "id", "photo")
    assert error.value.remedy == "leave it out of the mapping, or encode it in the query"
    with pytest.raises(SourceError, match="no column that has a JSON form"):
        opened(asking(calculator, "SELECT '\\x0102'::bytea AS photo"), "id")


@pytest.mark.parametrize("expression", ["'NaN'::float8", "'Infinity'::float4", "array['NaN'::float8]"])
def test_a_float_that_json_cannot_hold_is_a_reject(calculator: Database, expression: str) -> None:
    assert sent(calculator, expression)["rejected"] == "number_not_finite"


def test_an_empty_result_keeps_its_columns_and_types(postgres: Database) -> None:
    postgres.execute("CREATE TABLE t (id int8, n numeric, j jsonb, a text[], at timestamptz, d date, e inet, b bool)")
    snapshot = opened(asking(postgres, table="t"))
    assert snapshot.rows == 0 and snapshot.json == {"j"}
    assert dict(snapshot.schema) == dict(
        {
            "id": pl.Int64,
            "n": pl.Decimal(38, 0),
            "j": pl.String,
            "a": pl.List(pl.String),
            "at": pl.Datetime("us", "UTC"),
            "d": pl.Date,
            "e": pl.String,
            "b": pl.Boolean,
        }
    )


def test_many_rows_are_read_in_their_order(calculator: Database) -> None:
    snapshot = opened(asking(calculator, "SELECT n, repeat('x', 200) AS pad FROM generate_series(1, 120000) AS t(n)"))
    frames = pl.concat(snapshot.read(["n"], 0))
    assert frames["n"].to_list() == list(range(1, 120_001))
    assert pl.concat(snapshot.read(["n"], 119_998))["n"].to_list() == [119_999, 120_000]


def test_times_do_not_depend_on_the_zone_of_server_and_user(postgres: Database) -> None:
    postgres.execute(
        "CREATE TABLE t (naive timestamp, aware timestamptz, day date)",
        "SET TIME ZONE 'UTC'",
        "INSERT INTO t VALUES ('2024-03-10 09:00', '2024-03-10 09:00+00', '2024-03-10')",
        f"ALTER DATABASE {postgres.url.database} SET timezone = 'Asia/Tokyo'",
        f"ALTER DATABASE {postgres.url.database} SET datestyle = 'SQL, DMY'",
        f"ALTER DATABASE {postgres.url.database} SET intervalstyle = 'iso_8601'",
    )
    (row,) = rows(asking(postgres, table="t"))
    assert row["naive"] == datetime(2024, 3, 10, 9) and row["day"] == date(2024, 3, 10)
    assert row["aware"].isoformat() == "2024-03-10T09:00:00+00:00"
    for column, mark in (("naive", "2024-03-10 09:00"), ("aware", "2024-03-10T09:00:00+00:00"), ("day", "2024-03-10")):
        since = datetime.fromisoformat(mark) if ":" in mark else date.fromisoformat(mark)
        assert rows(asking(postgres, table="t", incremental=Incremental(column, start=since))), column
        later = since.replace(year=2025)
        assert not rows(asking(postgres, table="t", incremental=Incremental(column, start=later))), column


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("query", ["SELECT 1 AS a, 2 AS a", "SELECT * FROM (SELECT 1 AS a) x, (SELECT 2 AS a) y"])
def test_two_columns_of_one_name_are_refused(calculator: Database, query: str) -> None:
    with pytest.raises(SourceError, match=r"^the query: two columns are named 'a'$") as error:
        opened(asking(calculator, query))
    assert error.value.remedy == "give them names with `as`"


def test_a_column_with_a_reserved_name_is_refused(calculator: Database) -> None:
    with pytest.raises(SourceError, match=r"column 1 is named '_position'"):
        opened(asking(calculator, "SELECT 1 AS _position"))


NAMES = [
    "order",
    "user",
    "Orders",
    "order lines",
    'quo"te',
    "quo'te",
    "per%cent",
    "%(s)s",
    "co:lon",
    ":watermark",
    "back\\slash",
    "\\:n",
    "$1",
    "a;b",
    "ümlaut",
    "{x}",
    "a.b",
    "--",
    "/*",
    "*",
    "^.*$",
]
HOSTILE = [
    't"; DROP TABLE canary; --',
    "t; DROP TABLE canary",
    't" WHERE 1=1; DELETE FROM canary; SELECT "',
    "t'); DROP TABLE canary; --",
    "(SELECT 1 FROM canary) AS x; DROP TABLE canary; --",
    "pg_sleep(9)",
    't" UNION SELECT secret FROM canary --',
    "\\'; DROP TABLE canary; --",
    "$$; DROP TABLE canary; $$",
    "*/ DROP TABLE canary; /*",
    ":watermark; DROP TABLE canary; --",
]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_names_with_any_characters_are_quoted(postgres: Database) -> None:
    """Every second table is named with its database; the first one has the columns of all, and is read whole, too."""
    names = [*NAMES, *HOSTILE]
    columns = [f"{quoted(f'c{name}')} int DEFAULT 1, {quoted(f'w{name}')} date" for name in names]
    for number, name in enumerate(names):
        schema, there = quoted(f"s{name}"), f"{quoted(f's{name}')}.{quoted(name)}"
        postgres.execute(
            f"CREATE SCHEMA {schema}",
            f"CREATE TABLE {there} ({columns[number] if number else ', '.join(columns)}, l text[], i inet)",
            f"INSERT INTO {there} ({quoted(f'w{name}')}, l, i) VALUES ('2024-03-10', array['a'], '10.0.0.1')",
            f"INSERT INTO {there} ({quoted(f'w{name}')}) VALUES ('2020-01-01')",
        )
        table = (str(postgres.url.database), f"s{name}", name)[number % 2 :]
        source = asking(postgres, table=table, incremental=Incremental(f"w{name}", start=date(2024, 1, 1)))
        if number % 4 < 2:
            assert rows(source, f"c{name}") == [{f"c{name}": 1}], name
        else:
            assert rows(source, "l", f"c{name}", "i") == [{"l": ["a"], f"c{name}": 1, "i": "10.0.0.1"}], name
    expected = {f"c{name}": 1 for name in names}
    assert rows(asking(postgres, table=(f"s{names[0]}", names[0])), "l", *expected, "i") == [
        {"l": ["a"], **expected, "i": "10.0.0.1"},
        {"l": None, **expected, "i": None},
    ]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_name_executes_nothing(postgres: Database, hostile: str) -> None:
    postgres.execute(
        "CREATE TABLE canary (secret text)",
        f"INSERT INTO canary VALUES ('{CANARY}')",
        "CREATE TABLE t (a int, w date)",
    )
    start = date(2024, 1, 1)
    places = [
        (asking(postgres, table=hostile), ("a",)),
        (asking(postgres, table=(hostile, "t")), ("a",)),
        (asking(postgres, table="t"), (hostile,)),
        (asking(postgres, table=("public", hostile)), ("a",)),
        (asking(postgres, table="t", incremental=Incremental(hostile, start=start)), ("a",)),
        (asking(postgres, table="t", incremental=Incremental("w", key=(hostile,), start=start)), ("a",)),
    ]
    # All places of one name, and for the others half of them: each way of quoting meets each name twice or more.
    for source, columns in places if hostile == HOSTILE[0] else places[HOSTILE.index(hostile) % 2 :: 2]:
        with pytest.raises(EtlError) as error:
            opened(source, *columns)
        assert CANARY not in str(error.value)
    with pytest.raises(SourceError, match="and start is not"):
        rows(asking(postgres, table="t", incremental=Incremental("w", start=hostile)), "a")
    query = "SELECT a, w FROM t WHERE CAST(w AS text) >= :watermark"
    with pytest.raises(SourceError, match="and start is not"):
        rows(asking(postgres, query, incremental=Incremental("w", start=hostile)), "a")
    assert postgres.rows("SELECT secret FROM canary") == [(CANARY,)]


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "it's",
        "'; DROP TABLE canary; --",
        "\\'; DROP TABLE canary; --",
        "\\",
        "\\\\",
        '"',
        "50%",
        "%s %(x)s %%",
        ":other",
        "漢字 🚀",
        "line\nbreak\ttab\r",
        "$1 $$ $x$",
        "?",
        "{0}",
        "",
        "null",
        "E'\\x41'",
        "U&'\\0041'",
    ],
)
@pytest.mark.parametrize("settings", ["", "?options=-c%20standard_conforming_strings%3Doff"])
def test_parameters_with_any_characters_are_passed_as_values(postgres: Database, text: str, settings: str) -> None:
    postgres.execute("CREATE TABLE canary (secret text)")
    source = asking(
        postgres,
        "SELECT :text AS text, length(:text) AS length, '%'::text AS percent, 1::int AS one",
        parameters={"text": text},
        address=postgres.address + settings,
    )
    expected = {"text": text, "length": len(text), "percent": "%", "one": 1}
    (row,) = rows(source, *expected)
    assert row == expected
    assert postgres.rows("SELECT * FROM canary") == []


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        (7, "int8", 7),
        (-7, "int8", -7),
        (2**40, "int8", 2**40),
        (1.5, "float8", 1.5),
        (True, "bool", True),
        ("7", "int4", 7),
    ],
)
def test_a_parameter_has_its_type(calculator: Database, given: object, kind: str, expected: object) -> None:
    source = asking(
        calculator, f"SELECT CAST(:given AS {kind}) AS v, 3 -:given2 AS w", parameters={"given": given, "given2": -2}
    )
    assert rows(source) == [{"v": expected, "w": 5}]


def test_a_parameter_with_a_nul_is_refused_before_the_query(postgres: Database) -> None:
    with pytest.raises(SourceError, match="the query or a parameter has a NUL sign in it") as error:
        opened(asking(postgres, "SELECT :text AS text", parameters={"text": f"{CANARY}\0' AS text; DROP TABLE x; --"}))
    assert CANARY not in str(error.value)


# ---------------------------------------------------------------- queries


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS v;",
        "SELECT 1 AS v ; \n ;; ",
        "SELECT 1 AS v -- the end",
        "SELECT 1 AS v; -- the end",
        "/* ; */ SELECT 1 AS v /* the ; end */",
        "-- first;\nSELECT 1 AS v\n-- last;",
        "WITH a AS (SELECT 1 AS v) SELECT * FROM a",
        "VALUES (1)",
        "SELECT 1 AS v FROM (SELECT ';--' AS text) AS t WHERE text = ';--'",
        "SELECT 1 AS v, $$;$$ AS dollar",
        "SELECT 1 AS v, E'\\';' AS escaped",
        "SELECT 1 AS v, 'a' LIKE '%' AS percent, 5 % 2 AS modulo, '{1}'::int[] AS cast",
        "TABLE one",
        "SELECT v FROM one ORDER BY v LIMIT 1",
    ],
)
def test_a_query_may_have_comments_semicolons_and_any_form(postgres: Database, query: str) -> None:
    postgres.execute("CREATE TABLE one (v int)", "INSERT INTO one VALUES (1)")
    (row,) = rows(asking(postgres, query))
    assert row.get("v", row.get("column1")) == 1


@pytest.mark.parametrize(
    "query", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE canary", "SELECT 1 /* ; */; --x\n SELECT 2"]
)
def test_two_statements_are_refused(postgres: Database, query: str) -> None:
    postgres.execute("CREATE TABLE canary (secret text)")
    with pytest.raises(SourceError, match=r"^the query: the query is more than one statement$"):
        opened(asking(postgres, query))
    assert postgres.rows("SELECT * FROM canary") == []


WRITING = [
    "INSERT INTO canary VALUES ('x') RETURNING secret",
    "UPDATE canary SET secret = 'x' RETURNING secret",
    "DELETE FROM canary RETURNING secret",
    "WITH gone AS (DELETE FROM canary RETURNING secret) SELECT * FROM gone",
    "WITH gone AS (DELETE FROM canary RETURNING secret, array['a']) SELECT * FROM gone",
    "SELECT nextval('numbers') AS n",
    "SELECT setval('numbers', 9) AS n",
    "SELECT wipe() AS n",
    "SELECT set_config('transaction_read_only', 'off', true), wipe() AS n",
    "SELECT secret FROM canary FOR UPDATE",
    "DROP TABLE canary",
    "TRUNCATE canary",
    "CREATE TABLE other AS SELECT 1 AS n",
    "COMMIT",
    "SET TRANSACTION READ WRITE",
    "COPY canary TO PROGRAM 'touch /tmp/x'",
    "DO $$ BEGIN DELETE FROM canary; END $$",
    "CALL wipe_all()",
]


@pytest.mark.parametrize("query", WRITING)
def test_a_writing_query_is_refused_and_writes_nothing(postgres: Database, query: str) -> None:
    postgres.execute(
        "CREATE TABLE canary (secret text)",
        f"INSERT INTO canary VALUES ('{CANARY}')",
        "CREATE SEQUENCE numbers",
        "CREATE FUNCTION wipe() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM canary; SELECT 1'",
        "CREATE PROCEDURE wipe_all() LANGUAGE sql AS 'DELETE FROM canary'",
    )
    with pytest.raises(SourceError) as error:
        opened(asking(postgres, query))
    assert CANARY not in str(error.value)
    assert postgres.rows("SELECT secret FROM canary") == [(CANARY,)]
    assert postgres.rows("SELECT is_called FROM numbers") == [(False,)]


def test_a_writing_query_is_refused(postgres: Database) -> None:
    postgres.execute("CREATE TABLE canary (secret text)")
    with pytest.raises(SourceError, match=r"^the query: the query would write, and is run read-only$") as error:
        opened(asking(postgres, "DELETE FROM canary RETURNING secret"))
    assert error.value.remedy == "leave a query that only reads"


def test_a_user_with_read_only_rights_can_run_a_job(postgres: Database) -> None:
    name = f"reader_{postgres.url.database}"
    postgres.execute(
        "CREATE TABLE t (id int, mail text, l text[], i inet, n numeric)",
        "INSERT INTO t VALUES (1, 'a@b.co', array['x'], '10.0.0.1', 1.5)",
        "SET password_encryption = 'scram-sha-256'",  # as servers have it; those of the tests save the CPU time
        f"CREATE ROLE {name} LOGIN PASSWORD 'p'",
        "REVOKE ALL ON SCHEMA public FROM public",
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"GRANT SELECT (id, l, i, n) ON t TO {name}",
    )
    try:
        theirs = {"address": postgres.as_user(name, "p"), "place": "table t"}
        assert rows(asking(postgres, table="t", **theirs), "id", "i") == [{"id": 1, "i": "10.0.0.1"}]
        with pytest.raises(SourceError, match=r"^table t: the database's user may not read it$") as error:
            opened(asking(postgres, table="t", **theirs), "id", "mail")
        assert error.value.remedy == "grant select on it to the job's user"
    finally:
        postgres.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.mark.fault("S23")
def test_all_rows_are_of_one_point_in_time_while_others_write(postgres: Database) -> None:
    postgres.execute("CREATE TABLE t (n int)", "INSERT INTO t SELECT generate_series(1, 60000)")
    source = asking(postgres, "SELECT n, (SELECT count(*) FROM t) AS rows, repeat('x', 300) AS pad FROM t")
    staging = Staging(Path("stage"))
    frames = PostgresqlReader(source, staging, address(source), DATABASES["postgresql"]).frames()
    seen = [next(frames), next(frames)]  # the snapshot is taken; the rest is still to come
    postgres.execute("UPDATE t SET n = -n", "INSERT INTO t VALUES (0)", "DELETE FROM t WHERE n < -30000")
    seen += list(frames)
    came = pl.concat(seen)
    assert came["n"].to_list() == list(range(1, 60_001))
    assert came["rows"].unique().to_list() == [60_000]


def test_a_cancelled_read_ends_the_query_in_the_database(calculator: Database) -> None:
    source = asking(calculator, "SELECT generate_series(1, 50000000) AS n, repeat('x', 300) AS pad")
    assert opened(source, rows=10).rows == 10
    others = "FROM pg_stat_activity WHERE query LIKE '%1, 50000000%' AND pid <> pg_backend_pid()"
    until(lambda: calculator.rows(f"SELECT count(*) {others}") == [(0,)])
