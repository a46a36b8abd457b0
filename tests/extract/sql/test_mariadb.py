"""MariaDB and MySQL are read without loss, and a job cannot write."""

from __future__ import annotations

import ssl
import threading
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import trustme
from sqlalchemy import make_url

from cio_etl.errors import EtlError, SourceError, SourceRefused, SourceUnreachable
from cio_etl.extract.sql.mysql import MysqlReader, arguments
from cio_etl.model import SqlSource
from tests.databases import Database
from tests.reading import DATABASES, asking, by_id, closed, nights, opened, reader, rows, sent, value
from tests.running import until

CANARY = "canary-of-the-rows"
LONG = "SELECT count(*) AS n FROM seq_1_to_1000000 a, seq_1_to_1000000 b"


def column(mariadb: Database, kind: str, *values: str) -> tuple[pl.DataType, list[Any]]:
    """The type and values of a column of a table."""
    mariadb.execute("SET SESSION sql_mode = ''", f"CREATE OR REPLACE TABLE t (n int, v {kind}) CHARACTER SET utf8mb4")
    with closing(mariadb.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SET SESSION sql_mode = ''")
        for number, text in enumerate(values):
            cursor.execute(f"INSERT INTO t VALUES ({number}, {text})")
    source = asking(mariadb.address, "SELECT v FROM t ORDER BY n")
    return opened(source).schema["v"], [row["v"] for row in rows(source)]


TIME = datetime(2024, 1, 2, 3, 4, 5, 678901)


VALUES: list[tuple[str, str, pl.DataType, Any]] = [
    ("decimal(12,2)", "12.30", pl.Decimal(38, 2), Decimal("12.30")),
    ("decimal(38,0) unsigned", "9" * 38, pl.Decimal(38, 0), Decimal("9" * 38)),
    ("decimal(65,10)", "12345678901234567890.5", pl.Decimal(38, 10), Decimal("12345678901234567890.5")),
    ("bigint", "-9223372036854775808", pl.Int64(), -(2**63)),
    ("bigint unsigned", "18446744073709551615", pl.UInt64(), 2**64 - 1),
    ("int unsigned", "4294967295", pl.Int64(), 2**32 - 1),
    ("mediumint", "-8388608", pl.Int64(), -8388608),
    ("smallint", "7", pl.Int64(), 7),
    ("tinyint(1)", "1", pl.Boolean(), True),
    ("tinyint(1)", "2", pl.Int64(), 2),
    ("tinyint(4)", "1", pl.Int64(), 1),
    ("year", "2024", pl.Int64(), 2024),
    ("double", "0.1", pl.Float64(), 0.1),
    ("float", "1.5", pl.Float64(), 1.5),
    ("date", "'2024-02-29'", pl.Date(), date(2024, 2, 29)),
    ("datetime(6)", "'2024-01-02 03:04:05.678901'", pl.Datetime("us"), TIME),
    ("datetime", "'9999-12-31 23:59:59'", pl.Datetime("us"), datetime(9999, 12, 31, 23, 59, 59)),
    ("timestamp(6) null", "'2024-01-02 03:04:05.678901'", pl.Datetime("us", "UTC"), TIME.replace(tzinfo=UTC)),
    ("time(1)", "'-100:00:00.5'", pl.String(), "-100:00:00.5"),
    ("bit(1)", "1", pl.Boolean(), True),
    ("bit(10)", "513", pl.UInt64(), 513),
    ("enum('a','ü')", "'ü'", pl.String(), "ü"),
    ("set('x','y')", "'x,y'", pl.String(), "x,y"),
    ("char(5)", "'ab'", pl.String(), "ab"),
    ("longtext", "'é😀\\n\"'", pl.String(), 'é😀\n"'),
    ("varchar(9) character set latin1", "'é'", pl.String(), "é"),
    ("json", "'{\"a\": 1}'", pl.String(), '{"a": 1}'),
]


def test_a_value_has_the_type_of_its_column(mariadb: Database) -> None:
    """All are columns of one table: a table for each takes some 20 times as long."""
    kinds = ", ".join(f"v{number} {kind}" for number, (kind, *_) in enumerate(VALUES))
    mariadb.execute(f"CREATE TABLE t (n int, {kinds}) CHARACTER SET utf8mb4")
    with closing(mariadb.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SET SESSION sql_mode = ''")
        for number, texts in enumerate([[given for _, given, *_ in VALUES], ["NULL"] * len(VALUES)]):
            cursor.execute(f"INSERT INTO t VALUES ({number}, {', '.join(texts)})")
    source = asking(mariadb.address, "SELECT * FROM t ORDER BY n")
    schema, (first, second) = opened(source).schema, rows(source)
    for number, (kind, _, dtype, expected) in enumerate(VALUES):
        name = f"v{number}"
        assert (schema[name], [first[name], second[name]]) == (dtype, [expected, None]), kind


def test_a_value_arrives_in_the_payload(mariadb: Database) -> None:
    assert sent(mariadb.address, "CAST('12.30' AS decimal(12,2))") == 12.3
    assert sent(mariadb.address, "TIMESTAMP '2024-01-02 03:04:05'") == 1704164645
    assert sent(mariadb.address, "18446744073709551615") == 18446744073709551615


def test_an_empty_result_has_the_types_of_its_columns(mariadb: Database) -> None:
    snapshot = opened(asking(mariadb.address, "SELECT 1 AS n, 'x' AS t, 1.5 AS d, NULL AS z LIMIT 0"))
    assert snapshot.rows == 0
    assert dict(snapshot.schema) == {"n": pl.Int64(), "t": pl.String(), "d": pl.Decimal(38, 1), "z": pl.Null()}


@pytest.mark.parametrize("kind", ["date", "datetime", "timestamp null"])
def test_an_invalid_date_is_an_error_only_in_a_mapped_column(mariadb: Database, kind: str) -> None:
    with pytest.raises(SourceError, match=r"column 'v' has invalid dates, as 0000-00-00") as error:
        column(mariadb, kind, "'0000-00-00'")
    assert error.value.remedy == "write nullif(v, 0) as v in a query"
    assert rows(asking(mariadb.address, table="t"), "n") == [{"n": 0}]
    assert rows(asking(mariadb.address, "SELECT * FROM t"), "n") == [{"n": 0}]
    assert rows(asking(mariadb.address, "SELECT nullif(v, 0) AS v FROM t")) == [{"v": None}]


@pytest.mark.parametrize("kind", ["blob", "varbinary(9)", "binary(2)", "point"])
def test_columns_of_bytes_are_omitted_and_refused_where_the_mapping_reads_them(mariadb: Database, kind: str) -> None:
    mariadb.execute(f"CREATE TABLE t (n int, v {kind})", "INSERT INTO t VALUES (1, NULL)")
    assert rows(asking(mariadb.address, "SELECT * FROM t")) == [{"n": 1}]
    with pytest.raises(SourceError, match=r"column 'v' holds bytes, which have no JSON form"):
        rows(asking(mariadb.address, "SELECT * FROM t"), "n", "v")
    with pytest.raises(SourceError, match="no column that has a JSON form"):
        rows(asking(mariadb.address, "SELECT v FROM t"))


def test_times_do_not_depend_on_the_zone_of_the_server(mariadb: Database) -> None:
    address = mariadb.url.update_query_dict({"init_command": "SET time_zone = '+05:00'"})
    text = address.render_as_string(hide_password=False)
    mariadb.execute("CREATE TABLE t (v timestamp)", "INSERT INTO t VALUES (FROM_UNIXTIME(1700000000))")
    assert rows(asking(text, "SELECT v FROM t")) == [{"v": datetime.fromtimestamp(1700000000, UTC)}]


def test_many_rows_are_read_in_their_order(mariadb: Database) -> None:
    snapshot = opened(asking(mariadb.address, "SELECT seq AS n, concat('t', seq) AS t FROM seq_1_to_120000"))
    frame = pl.concat(snapshot.read(None, 0))
    assert frame["n"].to_list() == list(range(1, 120_001))
    assert frame["t"][119_999] == "t120000"


def test_a_limit_ends_the_reading_and_the_query(mariadb: Database) -> None:
    query = "SELECT a.seq AS n FROM seq_1_to_100000 a, seq_1_to_100000 b"
    assert len(rows(asking(mariadb.address, query), rows=25)) == 25
    until(lambda: reading(mariadb) == [])


def test_a_cancelled_read_ends_the_query_in_the_database(mariadb: Database) -> None:
    one = reader(MysqlReader, asking(mariadb.address, LONG), DATABASES["mariadb"])
    told: list[EtlError] = []

    def read() -> None:
        try:
            list(one.frames())
        except EtlError as error:
            told.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    until(lambda: len(reading(mariadb)) == 1)
    one.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert told
    until(lambda: reading(mariadb) == [])


def reading(mariadb: Database) -> list[Any]:
    """What the database still answers."""
    told = mariadb.rows("SELECT info FROM information_schema.processlist WHERE info IS NOT NULL AND db = database()")
    return [info for (info,) in told if "processlist" not in info]


# ---------------------------------------------------------------- reading only, and of one moment


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM t",
        "INSERT INTO t VALUES (2)",
        "TRUNCATE TABLE t",
        "DROP TABLE t",
        "CREATE TABLE u (a int)",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "SELECT 1 INTO OUTFILE 'o'",
        "CALL sys.nope()",
    ],
)
def test_a_writing_query_writes_nothing(mariadb: Database, query: str) -> None:
    mariadb.execute("CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)")
    with pytest.raises(SourceError, match="no plain select, and this database cannot be told to refuse writing"):
        rows(asking(mariadb.address, query))
    assert mariadb.rows("SELECT * FROM t") == [(1,)]
    assert mariadb.rows("SHOW TABLES") == [("t",)]


def test_all_rows_are_of_one_point_in_time_while_others_write(mariadb: Database) -> None:
    mariadb.execute("CREATE TABLE t (n int) ENGINE InnoDB", "INSERT INTO t SELECT seq FROM seq_1_to_30000")
    frames = reader(MysqlReader, asking(mariadb.address, table="t"), DATABASES["mariadb"]).frames()
    seen = [next(frames), next(frames)]
    mariadb.execute("DELETE FROM t WHERE n > 5", "INSERT INTO t SELECT -seq FROM seq_1_to_9")
    seen += list(frames)
    assert pl.concat(seen)["n"].to_list() == list(range(1, 30_001))


# ---------------------------------------------------------------- names and parameters

ODD = [
    "Capitals",
    "two words",
    'dou"ble',
    "back`tick",
    "per%cent",
    "per%scent",
    "co:lon",
    "back\\slash",
    "select",
    "ü漢",
]


def test_names_with_any_characters_are_quoted(mariadb: Database) -> None:
    names = [*ODD, "semi;colon", "com--ment", ":watermark", "a.b", "'; DROP TABLE t; --"]
    written = ["`" + name.replace("`", "``") + "`" for name in names]
    mariadb.execute(f"CREATE TABLE t ({', '.join(f'{name} int DEFAULT 7' for name in written)})")
    mariadb.execute("INSERT INTO t VALUES ()", *(f"CREATE VIEW {name} AS SELECT * FROM t" for name in written))
    for name in names:
        assert rows(asking(mariadb.address, table=name), name) == [{name: 7}], name
    assert rows(asking(mariadb.address, table="t")) == [dict.fromkeys(names, 7)]


def test_columns_come_back_as_the_mapping_writes_them(mariadb: Database) -> None:
    mariadb.execute("CREATE TABLE t (Email text)", "INSERT INTO t VALUES ('a')")
    assert rows(asking(mariadb.address, table="t"), "email") == [{"email": "a"}]


@pytest.mark.parametrize(
    "text", ["it's", 'a"b', "back\\slash", "\\'; DROP TABLE t; --", "100 %", "%s", ":x", "\\:x", "ü漢😀", "a\nb", ""]
)
def test_parameters_with_any_characters_are_passed_as_values(mariadb: Database, text: str) -> None:
    source = asking(mariadb.address, "SELECT :given AS v, '%' AS w, '\\:x' AS x", parameters={"given": text})
    assert rows(source) == [{"v": text, "w": "%", "x": ":x"}]


def test_two_columns_of_one_name_are_refused(mariadb: Database) -> None:
    with pytest.raises(SourceError, match="two columns are named 'a'") as error:
        rows(asking(mariadb.address, "SELECT 1 AS a, 2 AS a"))
    assert error.value.remedy == "give them names with `as`"


# ---------------------------------------------------------------- night after night


@pytest.mark.parametrize(
    ("kind", "tie", "later"),
    [
        ("datetime", "'2024-01-02 03:04:05'", "'2024-01-02 03:04:06'"),
        ("datetime(6)", "'2024-01-02 03:04:05.000001'", "'2024-01-02 03:04:05.000002'"),
        ("timestamp null", "'2024-01-02 03:04:05'", "'2024-01-02 03:04:06'"),
        ("date", "'2024-01-02'", "'2024-01-03'"),
        ("bigint unsigned", "9223372036854775807", "9223372036854775808"),
        ("decimal(20,4)", "1.5000", "1.5001"),
        ("varchar(20)", "'B'", "'a'"),  # by bytes; the column's own order has them the other way round
    ],
)
def test_each_run_reads_new_rows_and_rows_with_the_same_watermark(
    mariadb: Database, kind: str, tie: str, later: str
) -> None:
    mariadb.execute(f"CREATE TABLE t (id int, w {kind})", f"INSERT INTO t VALUES (1, {tie}), (2, {tie})")
    source = asking(mariadb.address, table="t", incremental=by_id("w"))
    read = nights(
        source,
        lambda: mariadb.execute(f"INSERT INTO t VALUES (3, {tie})"),
        lambda: mariadb.execute(f"INSERT INTO t VALUES (4, {later})"),
        lambda: None,
    )
    assert read == [[1, 2], [3], [4], []]


def test_a_query_is_given_the_watermark(mariadb: Database) -> None:
    mariadb.execute(
        "CREATE TABLE t (id int, w datetime(6))", "INSERT INTO t VALUES (1, '2024-01-01'), (2, '2024-02-01')"
    )
    query = "SELECT id, w FROM t WHERE w > :watermark  -- what is new"
    source = asking(mariadb.address, query, incremental=by_id("w", start=datetime(2024, 1, 15)))
    assert nights(source, lambda: mariadb.execute("INSERT INTO t VALUES (3, '2024-02-01')")) == [[2], [3]]


# ---------------------------------------------------------------- what goes wrong


def failing(source: SqlSource) -> EtlError:
    with pytest.raises(EtlError) as error:
        rows(source)
    return error.value


def test_a_wrong_password_is_an_error_of_the_credentials(mariadb: Database) -> None:
    error = failing(asking(mariadb.as_user("etl", CANARY), "SELECT 1 AS a"))
    assert isinstance(error, SourceRefused)
    closed([CANARY, "etl"], str(error))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"database": "nodb"}, "it has no database of that name"),
        ({"port": 5}, "it refused the connection"),
        ({"host": "no.such.invalid"}, "its host name has no address"),
    ],
)
def test_failed_connections_are_reported_with_the_reason(mariadb: Database, change: dict[str, Any], what: str) -> None:
    error = failing(asking(mariadb.url.set(**change).render_as_string(hide_password=False), "SELECT 1 AS a"))
    assert isinstance(error, SourceUnreachable)
    assert what in str(error)
    closed([str(mariadb.url.password), "etl@"], str(error))


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT * FROM nope", "nope' doesn't exist"),
        ("SELECT nope FROM t", "Unknown column 'nope'"),
        ("SELECT 1 FROM", "You have an error in your SQL syntax"),
    ],
)
def test_a_query_that_fails_is_reported(mariadb: Database, query: str, what: str) -> None:
    mariadb.execute("CREATE TABLE t (n int)")
    error = failing(asking(mariadb.address, query))
    assert isinstance(error, SourceError)
    assert what in str(error)


def test_a_query_that_takes_too_long_for_the_server_is_reported(mariadb: Database) -> None:
    address = mariadb.url.update_query_dict({"init_command": "SET max_statement_time = 0.1"})
    with pytest.raises(SourceError, match="the database stopped it: a time-out"):
        rows(asking(address.render_as_string(hide_password=False), "SELECT SLEEP(20) AS a"))


def test_a_function_of_the_database_cannot_write(mariadb: Database) -> None:
    mariadb.execute(
        "CREATE TABLE t (n int) ENGINE InnoDB",
        "CREATE FUNCTION f() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO t VALUES (1); RETURN 1; END",
    )
    with pytest.raises(SourceError, match="the query would write, and is run read-only"):
        rows(asking(mariadb.address, "SELECT f() AS a"))
    assert mariadb.rows("SELECT * FROM t") == []


def test_a_missing_column_of_a_table_is_reported(mariadb: Database) -> None:
    mariadb.execute("CREATE TABLE t (n int)")
    with pytest.raises(SourceError, match="Unknown column 'nope'"):
        rows(asking(mariadb.address, table="t"), "n", "nope")


def test_a_connection_that_is_killed_is_reported(mariadb: Database) -> None:
    one = reader(MysqlReader, asking(mariadb.address, "SELECT seq AS n FROM seq_1_to_3000000"), DATABASES["mariadb"])
    frames = one.frames()
    next(frames)
    (thread,) = mariadb.rows("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT seq%'")
    mariadb.execute(f"KILL CONNECTION {thread[0]}")
    with pytest.raises(SourceUnreachable, match="the connection was lost while rows were read"):
        list(frames)


def test_an_error_shows_nothing_of_the_rows(mariadb: Database) -> None:
    mariadb.execute("CREATE TABLE t (v text)", f"INSERT INTO t VALUES ('{CANARY}')")
    error = failing(
        asking(
            mariadb.address, "SELECT json_value(v, v) AS a, 1 DIV (v IS NULL) AS b, exp(1000 + (v > '')) AS c FROM t"
        )
    )
    closed([CANARY], f"{error} {error.remedy}")


def test_a_server_that_does_not_answer_times_out(mariadb: Database) -> None:
    address = mariadb.url.update_query_dict({"read_timeout": "1"}).render_as_string(hide_password=False)
    with pytest.raises(SourceUnreachable, match="the connection was lost while rows were read"):
        rows(asking(address, "SELECT SLEEP(20) AS a"))


def test_options_of_the_address_are_those_of_sqlalchemy() -> None:
    url = make_url("mariadb://u:p%40x@h:3307/d?ssl_ca=/ca.pem&connect_timeout=3&charset=latin1&local_infile=1")
    given = arguments(url)
    assert (given["user"], given["password"], given["host"], given["port"]) == ("u", "p@x", "h", 3307)
    assert (given["ssl"], given["connect_timeout"], given["charset"]) == ({"ca": "/ca.pem"}, 3, "latin1")
    assert given["local_infile"] is False, "the server could ask for any file of this machine"
    assert arguments(make_url("mysql://h/d"))["connect_timeout"] == 15


def test_a_certificate_authority_stays_with_the_options_that_say_what_is_checked(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    for checks, hostname, mode in (
        ("ssl_verify_identity=true", True, ssl.CERT_REQUIRED),
        ("ssl_verify_cert=true", False, ssl.CERT_REQUIRED),
        ("ssl_verify_identity=false", False, ssl.CERT_NONE),
    ):
        given = arguments(make_url(f"mysql://u@h/d?ssl_ca={authority}&{checks}"))
        context = given["ssl"]
        assert (context.check_hostname, context.verify_mode) == (hostname, mode), checks
        assert len(context.get_ca_certs()) == 1 and not {name for name in given if name.startswith("ssl_")}


def test_an_option_that_the_driver_does_not_know_is_reported(mariadb: Database) -> None:
    address = mariadb.url.update_query_dict({"nope": CANARY}).render_as_string(hide_password=False)
    error = failing(asking(address, "SELECT 1 AS a"))
    closed([CANARY], f"{error} {error.remedy}")
    assert Path("stage").exists()
    assert value(mariadb.address, "1") == 1
