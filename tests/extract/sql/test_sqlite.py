"""SQLite files are read without loss, and cannot be written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import URL

from cio_etl.errors import EtlError, SourceError
from cio_etl.extract.sql.sqlite import SqliteReader
from cio_etl.model import Column, Constant, Incremental, Step, WatermarkValue
from cio_etl.validate.preview import preview
from tests.mapped_rows import mapping
from tests.reading import DATABASES, asking, by_id, closed, nights, opened, reader, rows, sent, value

SHOP = "sqlite:///shop.db"
CANARY = "canary-of-the-rows"
MANY = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {}) SELECT n FROM c"

Shop = Callable[..., list[Any]]


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Executes statements in shop.db."""

    def execute(*statements: str) -> list[Any]:
        with closing(sqlite3.connect("shop.db")) as connection, connection:
            return [connection.execute(statement).fetchall() for statement in statements]

    execute("CREATE TABLE t (n)")
    yield execute


def column(shop: Shop, *values: str) -> tuple[pl.DataType, list[Any]]:
    """The type and values of a column of these values."""
    shop("CREATE TABLE v (v)", *(f"INSERT INTO v VALUES ({value})" for value in values))
    source = asking(SHOP, "SELECT v FROM v ORDER BY rowid")
    return opened(source).schema["v"], [row["v"] for row in rows(source)]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["1", "9223372036854775807", "NULL"], pl.Int64(), [1, 2**63 - 1, None]),
        (["1.5", "NULL", "-0.1"], pl.Float64(), [1.5, None, -0.1]),
        (["'00123'", "'Zoë 漢'", "NULL"], pl.String(), ["00123", "Zoë 漢", None]),
        (["1", "1.5"], pl.Float64(), [1.0, 1.5]),
        (["9007199254740993", "1.5"], pl.String(), ["9007199254740993", "1.5"]),
        (["1", "'x'", "1.5", "'1'", "NULL"], pl.String(), ["1", '"x"', "1.5", '"1"', None]),
        (["NULL"], pl.Null(), [None]),
    ],
)
def test_a_column_has_the_type_of_its_values(
    shop: Shop, values: list[str], dtype: pl.DataType, expected: list[Any]
) -> None:
    assert column(shop, *values) == (dtype, expected)


@pytest.mark.parametrize(
    ("later", "dtype", "first", "last"),
    [
        ("'x'", pl.String(), "1", '"x"'),
        ("1.5", pl.Float64(), 1.0, 1.5),
        ("NULL", pl.Int64(), 1, None),
    ],
)
def test_a_column_whose_values_change_has_their_common_type(
    shop: Shop, later: str, dtype: pl.DataType, first: Any, last: Any
) -> None:
    source = asking(SHOP, f"SELECT iif(n <= 30000, 1, {later}) AS v FROM ({MANY.format(30_001)})")
    assert opened(source).schema["v"] == dtype
    read = rows(source)
    assert (read[0]["v"], read[30_000]["v"]) == (first, last)


def test_a_value_arrives_in_the_payload(shop: Shop) -> None:
    assert sent(SHOP, "9007199254740993") == 9007199254740993
    assert sent(SHOP, "'a' || char(10)") == "a\n"


@pytest.mark.parametrize("number", ["9e999", "-9e999"])
def test_an_infinity_beside_text_is_called_so(shop: Shop, number: str) -> None:
    source = asking(SHOP, f"SELECT {number} AS v UNION ALL SELECT 'text'")
    how = mapping(identifiers={"id": Constant("1")}, attributes={"v": Column("v")})
    assert list(preview(Step("s", source, how), 1, "track")) == [
        {"row": 1, "rejected": "number_not_finite", "field": "attributes.v"}
    ]


@pytest.mark.parametrize(("number", "text"), [("9e999", "Infinity"), ("-9e999", "-Infinity"), ("1.5", "1.5")])
def test_an_infinity_is_no_null_where_later_rows_have_text(shop: Shop, number: str, text: str) -> None:
    later = f"SELECT iif(n <= 30000, 2.5, 'x') FROM ({MANY.format(30_001)})"
    read = rows(asking(SHOP, f"SELECT {number} AS v UNION ALL SELECT NULL UNION ALL {later}"))
    assert [row["v"] for row in (*read[:3], read[-1])] == [text, None, "2.5", '"x"']


def test_a_result_without_rows_has_columns(shop: Shop) -> None:
    snapshot = opened(asking(SHOP, table="t"))
    assert (snapshot.rows, list(snapshot.schema)) == (0, ["n"])


def test_columns_of_bytes_are_omitted_and_refused_where_the_mapping_reads_them(shop: Shop) -> None:
    shop("CREATE TABLE b (n, v)", "INSERT INTO b VALUES (1, x'00ff')")
    assert rows(asking(SHOP, table="b")) == [{"n": 1}]
    assert rows(asking(SHOP, "SELECT * FROM b"), "n") == [{"n": 1}]
    with pytest.raises(SourceError, match=r"column 'v' holds bytes, which have no JSON form"):
        rows(asking(SHOP, table="b"), "n", "v")
    with pytest.raises(SourceError, match="no column that has a JSON form"):
        rows(asking(SHOP, "SELECT v FROM b"))


@pytest.mark.parametrize(
    ("watermark", "column_", "remedy"),
    [
        ("id", "v", "leave it out of the mapping, or encode it in the query"),
        ("v", "v", "cast it in a query"),
    ],
)
def test_bytes_of_an_incremental_source_are_refused_by_their_column(
    shop: Shop, watermark: str, column_: str, remedy: str
) -> None:
    shop("CREATE TABLE b (id, v)", "INSERT INTO b VALUES ('1', x'616263'), ('2', 'x'), ('3', 1)")
    source = asking(SHOP, table="b", incremental=Incremental(watermark))  # no key: all columns are read
    with pytest.raises(SourceError, match=f"column '{column_}' holds bytes") as error:
        rows(source, "id", "v")
    assert error.value.remedy == remedy


def test_bytes_in_a_later_frame_are_refused_only_where_the_mapping_reads_them(shop: Shop) -> None:
    query = f"SELECT n, iif(n <= 30000, 'a', x'00') AS v FROM ({MANY.format(30_001)})"
    assert rows(asking(SHOP, query), "n")[30_000] == {"n": 30_001}
    with pytest.raises(SourceError, match="column 'v' holds bytes"):
        rows(asking(SHOP, query))


def test_many_rows_are_read_in_their_order(shop: Shop) -> None:
    assert [row["n"] for row in rows(asking(SHOP, MANY.format(120_000)))] == list(range(1, 120_001))


# ---------------------------------------------------------------- reading only, and of one moment


@pytest.mark.parametrize(
    "query", ["DELETE FROM t", "INSERT INTO t VALUES (2)", "DROP TABLE t", "CREATE TABLE u (a)", "VACUUM"]
)
def test_a_writing_query_is_reported_and_writes_nothing(shop: Shop, query: str) -> None:
    shop("INSERT INTO t VALUES (1)")
    before = Path("shop.db").read_bytes()
    with pytest.raises(SourceError):
        rows(asking(SHOP, query))
    assert Path("shop.db").read_bytes() == before


def test_a_writing_query_is_refused(shop: Shop) -> None:
    with pytest.raises(SourceError, match="the query would write, and is run read-only") as error:
        rows(asking(SHOP, "DELETE FROM t RETURNING n"))
    assert error.value.remedy == "leave a query that only reads"


def test_a_query_cannot_create_another_file(shop: Shop) -> None:
    with pytest.raises(SourceError, match="the query would open another file"):
        rows(asking(SHOP, "ATTACH 'other.db' AS other"))
    assert not Path("other.db").exists()


def test_all_rows_are_of_one_point_in_time_while_others_write(shop: Shop) -> None:
    shop("PRAGMA journal_mode = WAL", f"INSERT INTO t {MANY.format(30_000)}")
    frames = reader(SqliteReader, asking(SHOP, table="t"), DATABASES["sqlite"]).frames()
    seen = [next(frames)]
    shop("DELETE FROM t WHERE n > 5", "INSERT INTO t VALUES (-1)")
    seen += list(frames)
    assert pl.concat(seen)["n"].to_list() == list(range(1, 30_001))


def test_a_cancelled_read_ends_immediately(shop: Shop) -> None:
    one = reader(SqliteReader, asking(SHOP, f"SELECT count(*) AS n FROM ({MANY.format(10**12)})"), DATABASES["sqlite"])
    told: list[EtlError] = []

    def read() -> None:
        try:
            list(one.frames())
        except EtlError as error:
            told.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    while thread.is_alive():
        one.cancel()
        thread.join(0.01)
    assert str(told[0]) == f"{Path('shop.db').absolute()}: the query was stopped"


def test_a_limit_ends_the_reading(shop: Shop) -> None:
    assert len(rows(asking(SHOP, MANY.format(10**12)), rows=25)) == 25


# ---------------------------------------------------------------- names and parameters


@pytest.mark.parametrize(
    "name",
    [
        *("Capitals", "two words", 'dou"ble', "back`tick", "bra]cket", "per%cent", "per%scent", "co:lon", "a::b"),
        *("back\\slash", "\\:x", "select", "ü漢", "semi;colon", "com--ment", ":watermark", "a.b", "?"),
        *("'; DROP TABLE t; --", "`; DROP TABLE t; --", "*", "^n.*$"),
    ],
)
def test_names_with_any_characters_are_quoted(shop: Shop, name: str) -> None:
    written = "`" + name.replace("`", "``") + "`"
    shop(f"CREATE TABLE {written} ({written} int)", f"INSERT INTO {written} VALUES (7)")
    assert rows(asking(SHOP, table=name), name) == [{name: 7}]
    assert rows(asking(SHOP, table=name)) == [{name: 7}]
    assert shop("SELECT count(*) FROM t") == [[(0,)]]


def test_a_missing_column_is_reported_and_not_read_as_a_text(shop: Shop) -> None:
    shop("INSERT INTO t VALUES (1)")
    with pytest.raises(SourceError, match="the database does not understand it: no such column: nope"):
        rows(asking(SHOP, table="t"), "n", "nope")


def test_columns_come_back_as_the_mapping_writes_them(shop: Shop) -> None:
    shop("CREATE TABLE c (Email)", "INSERT INTO c VALUES ('a')")
    assert rows(asking(SHOP, table="c"), "email") == [{"email": "a"}]


@pytest.mark.parametrize("given", ["it's", "back\\slash", "%s", ":x", "\\:x", "ü漢😀", "a\nb", "", 7, 1.5, 2**40])
def test_parameters_with_any_characters_are_passed_as_values(shop: Shop, given: object) -> None:
    source = asking(SHOP, "SELECT :given AS v, '%' AS w, '\\:x' AS x, '?' AS q", parameters={"given": given})
    assert rows(source) == [{"v": given, "w": "%", "x": ":x", "q": "?"}]


@pytest.mark.parametrize(
    "query", ["SELECT 1 AS a;", "SELECT 1 AS a; -- end", "SELECT 1 AS a -- ;", "/* ; */ SELECT 1 AS a;;"]
)
def test_a_query_may_end_in_semicolons_and_comments(shop: Shop, query: str) -> None:
    assert rows(asking(SHOP, query)) == [{"a": 1}]


def test_two_columns_of_one_name_are_refused(shop: Shop) -> None:
    with pytest.raises(SourceError, match="two columns are named 'a'"):
        rows(asking(SHOP, "SELECT 1 AS a, 2 AS a"))


# ---------------------------------------------------------------- night after night


@pytest.mark.parametrize(
    ("kind", "tie", "later"),
    [
        ("text", "'2024-01-02 03:04:05'", "'2024-01-02 03:04:05.1'"),
        ("text COLLATE NOCASE", "'B'", "'a'"),
        ("integer", "9007199254740993", "9007199254740994"),
    ],
)
def test_each_run_reads_new_rows_and_rows_with_the_same_watermark(shop: Shop, kind: str, tie: str, later: str) -> None:
    shop(f"CREATE TABLE w (id int, w {kind})", f"INSERT INTO w VALUES (1, {tie}), (2, {tie})")
    read = nights(
        asking(SHOP, table="w", incremental=by_id("w")),
        lambda: (shop(f"INSERT INTO w VALUES (3, {tie})"), None)[1],
        lambda: (shop(f"INSERT INTO w VALUES (4, {later})"), None)[1],
        lambda: None,
    )
    assert read == [[1, 2], [3], [4], []]


@pytest.mark.parametrize("written", ["table", "query"])
@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("'2024-01-01'", "1704067201"),
        ("'2024-01-01'", "0.5"),
        ("1704067200", "'2024-01-02'"),
        ("1704067200", "1704067201.5"),
    ],
)
def test_a_watermark_of_another_type_than_before_stops_the_run(
    shop: Shop, first: str, later: str, written: str
) -> None:
    shop("CREATE TABLE w (id, w)", f"INSERT INTO w VALUES (1, {first})")
    query = "SELECT id, w FROM w WHERE w >= :watermark" if written == "query" else None
    start = (0 if first.isdigit() else "2000") if query else None
    source = asking(SHOP, query, "w", incremental=by_id("w", start=start))
    with pytest.raises(SourceError, match=r"the watermark 'w' (is|holds)"):
        nights(source, lambda: (shop(f"INSERT INTO w VALUES (2, {later})"), None)[1])


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (datetime(2024, 1, 15), [2]),
        (date(2024, 1, 15), [2]),
        ("2024-01-15", [2]),
    ],
)
def test_the_first_run_reads_from_start_on(shop: Shop, start: WatermarkValue, expected: list[int]) -> None:
    shop("CREATE TABLE w (id int, w text)", "INSERT INTO w VALUES (1, '2024-01-01'), (2, '2024-02-01')")
    query = "SELECT id, w FROM w WHERE w >= :watermark"
    assert nights(asking(SHOP, query, incremental=by_id("w", start=start))) == [expected]


# ---------------------------------------------------------------- what goes wrong


def failing(url: str, query: str = "SELECT 1 AS a") -> EtlError:
    with pytest.raises(EtlError) as error:
        rows(asking(url, query))
    return error.value


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"])
def test_a_database_in_memory_has_nothing_to_read(url: str) -> None:
    error = failing(url)
    assert "the address sqlite:// names no file" in str(error)
    assert "sqlite:///shop.db" in error.remedy


def test_a_missing_file_is_reported_and_not_created() -> None:
    error = failing("sqlite:///nope.db")
    assert (str(error), error.remedy) == (f"{Path('nope.db').absolute()}: no such file", "check the path")
    Path("shop.db").touch()
    assert failing("sqlite:///shp.db").remedy == f"did you mean {Path('shop.db').absolute()}?"
    assert not Path("nope.db").exists()


@pytest.mark.parametrize("name", ["a b.db", "per%20cent.db", "ha#sh.db", "ü.db"])
def test_a_file_may_have_any_name(shop: Shop, name: str) -> None:
    Path("shop.db").rename(name)
    for path in (name, str(Path(name).absolute())):
        address = URL.create("sqlite", database=path).render_as_string()
        assert rows(asking(address, "SELECT 1 AS a")) == [{"a": 1}]


def test_a_file_that_is_no_database_is_reported(shop: Shop) -> None:
    Path("text.db").write_text(f"{CANARY}, not a database, but long enough to be looked at by the program" * 9)
    error = failing("sqlite:///text.db", "SELECT * FROM t")
    assert "the file is no SQLite database, or an encrypted one" in str(error)
    closed([CANARY], str(error))


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT * FROM nope", "the database does not understand it: no such table: nope"),
        ("SELECT nope FROM t", "the database does not understand it: no such column: nope"),
        ("SELEC 1", "SQLite does not understand the query"),
        ("BEGIN", "SQLite failed while it was read"),
        ("SELECT CAST(x'ff' AS text) AS a", "a text in it is not UTF-8"),
        (f"SELECT json('{CANARY}') AS a", "SQLite failed while it was read"),
        ("SELECT abs(-9223372036854775808) AS a", "SQLite failed while it was read"),
    ],
)
def test_a_query_that_fails_is_reported(shop: Shop, query: str, what: str) -> None:
    error = failing(SHOP, query)
    assert what in str(error)
    closed([CANARY], f"{error} {error.remedy}")


def test_a_file_locked_by_another_program_is_reported(shop: Shop) -> None:
    with closing(sqlite3.connect("shop.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        error = failing(f"{SHOP}?timeout=0", "SELECT * FROM t")
    assert "another program has locked the file for too long" in str(error)


def test_an_unknown_option_is_reported(shop: Shop) -> None:
    error = failing(f"{SHOP}?nope={CANARY}")
    assert "the address has an option 'nope', which SQLite has not" in str(error)
    closed([CANARY], f"{error} {error.remedy}")


def test_no_option_opens_the_file_for_writing(shop: Shop) -> None:
    with pytest.raises(SourceError, match="read-only"):
        rows(asking(f"{SHOP}?mode=rwc", "DELETE FROM t RETURNING n"))
    assert value(f"{SHOP}?immutable=1", "1") == 1
