"""The SQL text for each database: names and values cannot be read as SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine.default import DefaultDialect
from sqlglot import TokenType, tokenize

from cio_etl.errors import SourceError
from cio_etl.extract.sql.statement import Statement, statement
from cio_etl.model import Staging, Watermark
from tests.reading import DATABASES, asking, by_id

NAMES = [
    *("orders", "ORDERS", "Orders", "two words", 'dou"ble', 'dou""ble', "quo'te", "back`tick", "bra]cket", "bra[cket"),
    *("per%cent", "per%%cent", "per%(a)s", "co:lon", "::", ":watermark", "\\:x", "a\\:b:", "back\\slash", "end\\"),
    *(
        "back\\`tick",
        "select",
        "ü漢😀",
        "semi;colon",
        "com--ment",
        "com/*ment",
        "a.b",
        "?",
        "#",
        "$1",
        "{x}",
        "{{ x }}",
    ),
    *(
        "1a",
        "*",
        "a\nb",
        '"',
        "`",
        "]",
        "\\",
        "' OR 1=1 --",
        '"; DROP TABLE t; --',
        "`; DROP TABLE t; --",
        "]; DROP --",
    ),
]


def text_of(asked: Statement) -> str:
    """As a driver gets it that takes `?`."""
    return asked.with_question_marks()[0]


@pytest.mark.parametrize("database", DATABASES)
def test_a_name_is_one_token_in_its_quotes_whatever_signs_it_has(database: str) -> None:
    for name in NAMES:
        check_one_token_in_quotes(database, name)


def check_one_token_in_quotes(database: str, name: str) -> None:
    kind = DATABASES[database]
    asked = text_of(statement(asking("", table=name), Staging(Path(), (name,)), kind))
    tokens = tokenize(asked, read=kind.grammar)
    kinds = [token.token_type for token in tokens]
    assert kinds == [
        *(TokenType.SELECT, TokenType.IDENTIFIER, TokenType.ALIAS, TokenType.IDENTIFIER),
        *(TokenType.FROM, TokenType.IDENTIFIER),
    ]
    source, alias, table = (token.text for token in tokens if token.token_type is TokenType.IDENTIFIER)
    in_capitals = kind.names.capitals and name in ("orders", "select")
    if not kind.names.backslash:  # sqlglot leaves BigQuery's escapes as they are
        assert (source, alias, table) == (name.upper() if in_capitals else name, name, source)
    assert asked[len("SELECT ")] == kind.names.begin


@pytest.mark.parametrize("database", DATABASES)
def test_a_name_with_placeholder_signs_is_unchanged_for_every_driver(database: str) -> None:
    kind = DATABASES[database]
    asked = statement(asking("", table="per%(a)s:x\\:y?"), Staging(Path()), kind)
    inside = "per%(a)s:x\\\\:y?" if kind.names.backslash else "per%(a)s:x\\:y?"
    expected = f"SELECT * FROM {kind.names.begin}{inside}{kind.names.end}"
    assert [asked.named(), asked.with_literals(), text_of(asked)] == [expected] * 3
    assert asked.placed(DefaultDialect(paramstyle="format"))[0] % () == expected


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("postgresql", 'SELECT "id" AS "id", "Mail" AS "Mail", "at" AS "at" FROM "shop"."people" WHERE "at" >= ?'),
        ("mysql", "SELECT `id` AS `id`, `Mail` AS `Mail`, `at` AS `at` FROM `shop`.`people` WHERE `at` >= ?"),
        ("sqlite", "SELECT `id` AS `id`, `Mail` AS `Mail`, `at` AS `at` FROM `shop`.`people` WHERE `at` >= ?"),
        ("snowflake", 'SELECT "ID" AS "id", "Mail" AS "Mail", "AT" AS "at" FROM "SHOP"."PEOPLE" WHERE "AT" >= ?'),
        ("bigquery", "SELECT `id` AS `id`, `Mail` AS `Mail`, `at` AS `at` FROM `shop`.`people` WHERE `at` >= ?"),
        ("mssql", "SELECT [id] AS [id], [Mail] AS [Mail], [at] AS [at] FROM [shop].[people] WHERE [at] >= ?"),
    ],
)
def test_a_table_s_columns_are_selected_as_the_mapping_writes_them(database: str, expected: str) -> None:
    source = asking("", table=("shop", "people"), incremental=by_id("at"))
    asked = statement(source, Staging(Path(), ("id", "Mail"), Watermark(date(2024, 1, 2))), DATABASES[database])
    assert asked.with_question_marks() == (expected, [date(2024, 1, 1)])


@pytest.mark.parametrize("database", ["postgresql", "mysql", "sqlite", "duckdb", "mssql"])
def test_texts_are_compared_by_their_bytes_as_for_the_watermark(database: str) -> None:
    source = asking("", table="t", incremental=by_id("at"))
    asked = text_of(statement(source, Staging(Path(), watermark=Watermark("B")), DATABASES[database]))
    assert "COLLATE" in asked
    assert "COLLATE" not in text_of(statement(source, Staging(Path(), watermark=Watermark(7)), DATABASES[database]))


# ---------------------------------------------------------------- values

HOSTILE = [
    "it's",
    "'",
    "''",
    "\\",
    "\\'",
    "'; DROP TABLE t; --",
    "\\'; DROP TABLE t; --",
    ":x",
    "\\:x",
    "%s",
    "a\nb",
    "?",
]


@pytest.mark.parametrize("database", DATABASES)
def test_a_text_that_is_written_out_is_one_token(database: str) -> None:
    kind = DATABASES[database]
    backslashes = kind.grammar in ("snowflake", "bigquery", "databricks", "mysql", "redshift")
    for value in HOSTILE:
        asked = Statement("SELECT :given AS v", {"given": value}).with_literals(backslashes=backslashes)
        tokens = tokenize(asked, read=kind.grammar)
        assert [token.token_type for token in tokens] == [
            *(TokenType.SELECT, TokenType.STRING, TokenType.ALIAS, TokenType.VAR),
        ], value
        if not backslashes:
            assert tokens[1].text == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "TRUE"),
        (7, "7"),
        (-7, "(-7)"),
        (0.1, "0.1"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.10"), "(-0.10)"),
        (date(2024, 1, 2), "'2024-01-02'"),
        (datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "'2024-01-02 03:04:05.000006+00:00'"),
        (datetime(2024, 1, 2), "'2024-01-02 00:00:00'"),
        ("it's \\ %s", "'it''s \\ %s'"),
    ],
)
def test_a_value_that_is_written_out_is_a_literal_of_its_type(value: Any, expected: str) -> None:
    assert Statement("SELECT :v, '%', '\\:v'", {"v": value}).with_literals() == f"SELECT {expected}, '%', ':v'"


def test_a_parameter_may_stand_in_several_places() -> None:
    asked = Statement("SELECT :a, :b, :a", {"a": 1, "b": 2})
    assert asked.with_question_marks() == ("SELECT ?, ?, ?", [1, 2, 1])
    assert asked.named() == "SELECT :a, :b, :a"


# ---------------------------------------------------------------- one statement, which reads


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a",
        "SELECT ';' AS a",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "(SELECT 1 AS a)",
        "SELECT 'insert into t' AS a",
        "SELECT 'DELETE' AS a, max(updated) AS b FROM t",
    ],
)
def test_a_query_ends_at_its_last_word(database: str, query: str) -> None:
    for end in ("", ";", " ; -- the end", "\n/* ; */", ";;\n"):
        asked = statement(asking("", query + end), Staging(Path()), DATABASES[database])
        assert text_of(asked) == query, end


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT 1; SELECT 2", "the query is more than one statement"),
        ("SELECT 1; DROP TABLE t --", "the query is more than one statement"),
        (" -- nothing", "the query is empty"),
        (";", "the query is empty"),
        ("SELECT 'canary", "a quote or comment in the query is not closed"),
    ],
)
def test_a_query_that_is_not_one_whole_statement_is_reported_without_showing_it(
    database: str, query: str, what: str
) -> None:
    with pytest.raises(SourceError) as error:
        statement(asking("", query), Staging(Path()), DATABASES[database])
    assert str(error.value) == f"the query: {what}"


@pytest.mark.parametrize("database", [name for name, database in DATABASES.items() if not database.read_only])
@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM t",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "SELECT * INTO u FROM t",
        "MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE",
        "DROP TABLE t",
        "CALL p()",
        "EXEC p",
        "TRUNCATE TABLE t",
        "GRANT SELECT ON t TO u",
    ],
)
def test_a_query_that_may_write_is_refused_where_the_database_would_allow_it(database: str, query: str) -> None:
    with pytest.raises(SourceError, match="the query is no plain select") as error:
        statement(asking("", query), Staging(Path()), DATABASES[database])
    assert error.value.remedy == "leave a query that only reads"


@pytest.mark.parametrize("mark", ["text", Decimal("1.5")])
def test_a_text_or_decimal_watermark_requires_greater_or_equal(mark: Any) -> None:
    source = asking("", "SELECT * FROM t WHERE at > :watermark", incremental=by_id("at"))
    with pytest.raises(SourceError, match="would lose rows that have the same watermark"):
        statement(source, Staging(Path(), watermark=Watermark(mark)), DATABASES["postgresql"])
    assert statement(source, Staging(Path(), watermark=Watermark(7)), DATABASES["postgresql"]).values == {
        "watermark": 6
    }


@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("query", ["SELECT ':a'", "SELECT 'x'' :a'", "SELECT :a -- and :a", "SELECT /* :a */ :a"])
def test_a_parameter_in_quotes_is_refused_since_its_value_would_be_sql_there(database: str, query: str) -> None:
    source = replace(asking("", query), parameters={"a": " || (SELECT s FROM secret) || "})
    with pytest.raises(SourceError) as error:
        statement(source, Staging(Path()), DATABASES[database])
    assert str(error.value) == "the query: the parameter :a stands inside quotes or a comment"
    assert error.value.remedy == r"write :a without quotes, or \:a for the text itself"


def test_a_colon_that_is_no_parameter_stays_as_it_is() -> None:
    query = r"SELECT '12:30:00', a::text, '\:a' FROM t WHERE b = :b"
    asked = statement(replace(asking("", query), parameters={"b": 1}), Staging(Path()), DATABASES["postgresql"])
    assert asked.with_literals() == "SELECT '12:30:00', a::text, ':a' FROM t WHERE b = 1"
