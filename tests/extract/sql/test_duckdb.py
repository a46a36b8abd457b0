"""DuckDB files are read without loss, and cannot be written."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.errors import EtlError, SourceError
from tests.reading import DATABASES, asking, by_id, closed, nights, opened, reader, rows, sent
from tests.running import spawn

duckdb = pytest.importorskip("duckdb", reason="the extra cio-etl[duckdb] is not installed")

URL = "duckdb:///shop.duckdb"
CANARY = "canary-of-the-rows"

Shop = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def with_a_table(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with an empty table. DuckDB takes 20 ms of CPU to make one, or to connect to it."""
    file = tmp_path_factory.mktemp("duckdb") / "shop.duckdb"
    with duckdb.connect(file) as connection:
        connection.execute("CREATE TABLE t (n int)")
    return file.read_bytes()


@pytest.fixture
def shop(with_a_table: bytes) -> Shop:
    """Executes statements in shop.duckdb."""

    def execute(*statements: str) -> list[Any]:
        with duckdb.connect("shop.duckdb") as connection:
            return [connection.execute(statement).fetchall() for statement in statements]

    Path("shop.duckdb").write_bytes(with_a_table)
    return execute


@pytest.mark.parametrize(
    ("expression", "dtype", "expected"),
    [
        ("7::tinyint", pl.Int8(), 7),
        ("18446744073709551615::ubigint", pl.UInt64(), 2**64 - 1),
        ("sum(9223372036854775807)", pl.Decimal(38, 0), Decimal(2**63 - 1)),
        ("1.50::decimal(10,2)", pl.Decimal(10, 2), Decimal("1.50")),
        ("0.1::double", pl.Float64(), 0.1),
        ("true", pl.Boolean(), True),
        ("'Zoë 漢'", pl.String(), "Zoë 漢"),
        ("'a'::enum('a', 'b')", pl.String(), "a"),
        ("'6e8bc430-9c3a-11d9-9669-0800200c9a66'::uuid", pl.String(), "6e8bc430-9c3a-11d9-9669-0800200c9a66"),
        ("date '2024-02-29'", pl.Date(), date(2024, 2, 29)),
        ("timestamp '2024-01-02 03:04:05.678901'", pl.Datetime("us"), datetime(2024, 1, 2, 3, 4, 5, 678901)),
        (
            "timestamptz '2024-01-02 03:04:05+02'",
            pl.Datetime("us", "UTC"),
            datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC),
        ),
        ("time '03:04:05'", pl.String(), "03:04:05"),
        ("timetz '03:04:05+02'", pl.String(), "03:04:05+02"),
        ("interval 1 day", pl.String(), "1 day"),
        ("'101'::bit", pl.String(), "101"),
        ("union_value(num := 2)", pl.String(), '{"num":2}'),
        ("map {'a': 1}", pl.Map(pl.String, pl.Int32), {"a": 1}),
        ("map {1.5::double: 1}", pl.String(), '{"1.5":1}'),
        ("'{\"a\": 1}'::json", pl.String(), '{"a": 1}'),
        ("{'j': '[1]'::json}", pl.String(), '{"j":[1]}'),
        ("[interval 1 day]", pl.String(), '["1 day"]'),
        ("[1, 2]", pl.List(pl.Int32()), [1, 2]),
        ("{'a': 1}", pl.Struct({"a": pl.Int32()}), {"a": 1}),
    ],
)
def test_a_value_has_the_type_of_its_column(shop: Shop, expression: str, dtype: pl.DataType, expected: Any) -> None:
    source = asking(URL, f"SELECT {expression} AS v")
    assert (opened(source).schema["v"], rows(source)) == (dtype, [{"v": expected}])


def _rejected(reason: str) -> dict[str, Any]:
    return {"row": 1, "rejected": reason, "field": "attributes.v"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'{\"a\": [1, null]}'::json", {"a": [1, None]}),
        ("map {'a': 1}", {"a": 1}),
        ("map {7: [timestamp '2024-01-01', null]}", {"7": [1704067200, None]}),
        ("{'at': timestamptz '2024-01-01 00:00:00+00', 'n': 1.5::decimal(20, 3)}", {"at": 1704067200, "n": 1.5}),
        ("[date '9999-12-31']", _rejected("timestamp_out_of_range")),
        ("map {'a': 'nan'::double}", _rejected("number_not_finite")),
        ("9007199254740993::hugeint", 9007199254740993),
    ],
)
def test_a_value_arrives_in_the_payload(shop: Shop, expression: str, expected: Any) -> None:
    assert sent(URL, expression) == expected


def test_an_empty_result_has_the_types_of_its_columns(shop: Shop) -> None:
    snapshot = opened(asking(URL, "SELECT 1 AS n, '{}'::json AS j, 1::hugeint AS h FROM t"))
    assert (snapshot.rows, snapshot.json) == (0, frozenset({"j"}))
    assert dict(snapshot.schema) == {"n": pl.Int32(), "j": pl.String(), "h": pl.Decimal(38, 0)}


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("infinity", ["infinity", "-infinity"])
def test_an_infinite_date_is_an_error_only_in_a_mapped_column(shop: Shop, kind: str, infinity: str) -> None:
    query = f"""SELECT 1 AS n, '{infinity}'::{kind} AS "V 1\""""
    with pytest.raises(SourceError, match="column 'V 1' holds an infinite date, which is no moment") as error:
        rows(asking(URL, query))
    assert rows(asking(URL, query), "n") == [{"n": 1}]
    remedy = error.value.remedy.removeprefix("write ").removesuffix(" in the query")
    assert rows(asking(URL, f"SELECT n, {remedy} FROM ({query})")) == [{"n": 1, "V 1": None}]


def test_columns_of_bytes_are_omitted_and_refused_where_the_mapping_reads_them(shop: Shop) -> None:
    source = asking(URL, "SELECT 1 AS n, 'x'::blob AS v")
    assert rows(source) == [{"n": 1}]
    with pytest.raises(SourceError, match="column 'v' holds bytes"):
        rows(source, "n", "v")


def test_many_rows_are_read_in_their_order(shop: Shop) -> None:
    assert [row["n"] for row in rows(asking(URL, "SELECT range AS n FROM range(200_000)"))] == list(range(200_000))


# ---------------------------------------------------------------- reading only


@pytest.mark.parametrize(
    "query", ["DELETE FROM t", "INSERT INTO t VALUES (2)", "DROP TABLE t", "CREATE TABLE u (a int)"]
)
def test_a_writing_query_is_reported_and_writes_nothing(shop: Shop, query: str) -> None:
    shop("INSERT INTO t VALUES (1)")
    with pytest.raises(SourceError, match="the query would write, and is run read-only"):
        rows(asking(URL, query))
    assert shop("SELECT * FROM t") == [[(1,)]]


@pytest.mark.parametrize(
    "query", ["SELECT * FROM read_csv('secret.csv')", "SELECT * FROM 'secret.csv'", "ATTACH 'other.duckdb' AS o"]
)
def test_a_query_reaches_no_other_file(shop: Shop, query: str) -> None:
    Path("secret.csv").write_text(f"a\n{CANARY}\n")
    with pytest.raises(SourceError, match="the query asks for another file or the network, which it may not"):
        rows(asking(URL, query))
    assert not Path("other.duckdb").exists()


def test_settings_cannot_be_changed_by_a_query(shop: Shop) -> None:
    with pytest.raises(SourceError):
        rows(asking(URL, "SET enable_external_access = true"))


def test_a_cancelled_read_ends_immediately(shop: Shop) -> None:
    from cio_etl.extract.sql.duckdb import DuckdbReader

    query = "SELECT count(*) AS n FROM range(1_000_000) a, range(1_000_000) b WHERE a.range * b.range % 7 = 3"
    one = reader(DuckdbReader, asking(URL, query), DATABASES["duckdb"])
    told: list[EtlError] = []

    def read() -> None:
        try:
            list(one.frames())
        except EtlError as error:
            told.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    while thread.is_alive():
        one.cancel()
        thread.join(0.01)
    assert str(told[0]) == f"{Path('shop.duckdb').absolute()}: the query was stopped"


def test_a_limit_ends_the_reading(shop: Shop) -> None:
    assert len(rows(asking(URL, "SELECT range AS n FROM range(1_000_000_000)"), rows=25)) == 25


# ---------------------------------------------------------------- names and parameters


@pytest.mark.parametrize(
    "name",
    [
        *("Capitals", "two words", 'dou"ble', "back`tick", "per%cent", "co:lon", "a::b", "back\\slash", "\\:x"),
        *("select", "ü漢", "semi;colon", "com--ment", ":watermark", "a.b", "?", "$1", "'; DROP TABLE t; --", "c0"),
    ],
)
def test_names_with_any_characters_are_quoted(shop: Shop, name: str) -> None:
    written = '"' + name.replace('"', '""') + '"'
    shop(f"CREATE TABLE {written} ({written} hugeint, c0x int)", f"INSERT INTO {written} VALUES (7, 8)")
    assert rows(asking(URL, table=name), name) == [{name: 7}]
    assert rows(asking(URL, table=name)) == [{name: 7, "c0x": 8}]


@pytest.mark.parametrize("query", ["SELECT 1 AS a, 2 AS a", "SELECT 1::hugeint AS a, 2 AS a"])
def test_two_columns_of_one_name_are_refused(shop: Shop, query: str) -> None:
    with pytest.raises(SourceError, match="two columns are named 'a'"):
        rows(asking(URL, query))


def test_names_that_differ_only_in_capitals_are_two_columns(shop: Shop) -> None:
    assert rows(asking(URL, 'SELECT 1::hugeint AS a, 2::hugeint AS "A"')) == [{"a": 1, "A": 2}]


@pytest.mark.parametrize("given", ["it's", "back\\slash", "%s", ":x", "\\:x", "ü漢😀", "a\nb", "", 7, 1.5, True])
def test_parameters_with_any_characters_are_passed_as_values(shop: Shop, given: object) -> None:
    source = asking(URL, "SELECT :given AS v, '%' AS w, '?' AS q, 1::hugeint AS h", parameters={"given": given})
    assert rows(source) == [{"v": given, "w": "%", "q": "?", "h": 1}]


@pytest.mark.parametrize("query", ["SELECT 1 AS a;", "SELECT 1 AS a -- end", "FROM (SELECT 1::hugeint AS a) -- end"])
def test_a_query_may_end_in_a_comment(shop: Shop, query: str) -> None:
    assert rows(asking(URL, query)) == [{"a": 1}]


# ---------------------------------------------------------------- night after night


@pytest.mark.parametrize(
    ("kind", "tie", "later"),
    [
        ("timestamp", "'2024-01-02 03:04:05.000001'", "'2024-01-02 03:04:05.000002'"),
        ("timestamptz", "'2024-01-02 03:04:05+02'", "'2024-01-02 03:04:06+02'"),
        ("date", "'2024-01-02'", "'2024-01-03'"),
        ("bigint", "9007199254740993", "9007199254740994"),
        ("hugeint", "9007199254740993", "9007199254740994"),
        ("decimal(20,4)", "1.5000", "1.5001"),
        ("varchar COLLATE nocase", "'B'", "'a'"),
    ],
)
def test_each_run_reads_new_rows_and_rows_with_the_same_watermark(shop: Shop, kind: str, tie: str, later: str) -> None:
    shop(f"CREATE TABLE w (id int, w {kind})", f"INSERT INTO w VALUES (1, {tie}), (2, {tie})")
    read = nights(
        asking(URL, table="w", incremental=by_id("w")),
        lambda: (shop(f"INSERT INTO w VALUES (3, {tie})"), None)[1],
        lambda: (shop(f"INSERT INTO w VALUES (4, {later})"), None)[1],
        lambda: None,
    )
    assert read == [[1, 2], [3], [4], []]


# ---------------------------------------------------------------- what goes wrong


def failing(url: str, query: str = "SELECT 1 AS a") -> EtlError:
    with pytest.raises(EtlError) as error:
        rows(asking(url, query))
    return error.value


@pytest.mark.parametrize("url", ["duckdb://", "duckdb:///:memory:"])
def test_a_database_in_memory_has_nothing_to_read(url: str) -> None:
    assert "the address duckdb:// names no file" in str(failing(url))


def test_a_missing_file_is_reported_and_not_created() -> None:
    assert str(failing("duckdb:///nope.duckdb")) == f"{Path('nope.duckdb').absolute()}: no such file"
    assert not Path("nope.duckdb").exists()


def test_a_file_that_is_no_database_is_reported() -> None:
    Path("text.duckdb").write_text(CANARY * 1000)
    error = failing("duckdb:///text.duckdb")
    assert "the file is no DuckDB database" in str(error)
    closed([CANARY], str(error))


def test_a_file_that_another_program_writes_is_reported(shop: Shop) -> None:
    holds = "import duckdb, sys; c = duckdb.connect('shop.duckdb'); print('open', flush=True); sys.stdin.read()"
    with spawn([sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        error = failing(URL)
        holder.communicate("")
    assert str(error) == f"{Path('shop.duckdb').absolute()}: another program has it open for writing"
    assert "DuckDB lets one program write, or several read" in error.remedy


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT * FROM nope", "the database does not understand it: Table with name nope does not exist!"),
        ("SELECT nope FROM t", 'the database does not understand it: Referenced column "nope" not found'),
        ("SELECT 1 FROM FROM", "the database does not understand it: syntax error"),
        (f"SELECT '{CANARY}'::int AS a", "DuckDB failed while it was read"),
        (f"SELECT (if(range < 90000, '1', '{CANARY}'))::int AS a FROM range(90001)", "DuckDB failed while it was read"),
    ],
)
def test_a_query_that_fails_is_reported(shop: Shop, query: str, what: str) -> None:
    error = failing(URL, query)
    assert what in str(error)
    closed([CANARY], f"{error} {error.remedy}")


def test_a_missing_column_of_a_table_is_reported(shop: Shop) -> None:
    with pytest.raises(SourceError, match='Column "nope" referenced'):
        rows(asking(URL, table="t"), "n", "nope")
