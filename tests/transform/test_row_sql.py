from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.model import Columns
from cio_etl.transform.functions import parse_call
from cio_etl.transform.row_sql import check_condition
from tests.mapped_rows import mapping, outcomes, rows, sent


@pytest.mark.parametrize(
    "sql",
    [
        "plan_name <> 'internal'",
        "coalesce(plan_name, '') <> 'it''s'",
        "a is not null and (b in ('x', 'y') or not (c like 'x%'))",
        '"select" = 1 and "two words" is null',
        "`from` = 1",
        "cast(a as int) between 1 and 3",
        "a = 'select * from (x) -- no comment'",
        r"a ~ '^\d+$' or a rlike 'x'",
        "a is distinct from b",
        "extract(year from placed_at) = 2024",
        "case when a = 'x' then true else false end",
        "LOWER ( a ) = 'x'",
        "a = 'back\\' or b = 'x'",
        "person.plan = 'pro'",
        "date(a, '%Y-%m-%d') > date '2024-01-01'",
        "strptime(coalesce(a, b), '%d/%m/%Y') is not null",
        "cast(a as timestamp(3)) is not null",
        "date is null and timestamp = 1",
        "true",
    ],
)
def test_a_condition_on_one_row_is_accepted(sql: str) -> None:
    check_condition(sql)
    pl.sql_expr(sql)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("a in (select b from read_csv('x.csv'))", "a query inside (SELECT)"),
        ("(SeLeCt 1)", "a query inside (SELECT)"),
        ("a = (ſelect 1)", "a query inside (SELECT)"),
        ("exists (select 1)", "a query inside (EXISTS)"),
        ("a = (with x as (select 1) select 1)", "a query inside (WITH)"),
        ("a = any (values (1))", "no function 'any' of one row's values"),
        ("read_csv('x.csv')", "no function 'read_csv' of one row's values; prepare a column for it in the source"),
        ("\"read_csv\"('x.csv')", "a function's name in quotes; quotes are for columns"),
        ("a.read_csv('x.csv')", "no function 'read_csv'"),
        ("E'\\' || (select 1) || '' = a", "letters right before a quote"),
        ("a = $$ x $$", "a quote that is not closed, or a sign that has no meaning here"),
        ("a = 'x", "a quote that is not closed, or a sign that has no meaning here"),
        ("a = 1 -- why", "a comment inside; write it as a YAML comment"),
        ("a = 1 /* (select 1) */", "a comment inside; write it as a YAML comment"),
        ("a = max(a)", "no function 'max' of one row's values"),
        ("strpos(a, '.') > 0", "strpos would read its text as a pattern; write name like '%x%'"),
        ("POSITION('|' in a) > 0", "POSITION would read its text as a pattern"),
        ("count(*) > 1", "no function 'count' of one row's values"),
        ("row_number() over (order by a) = 1", "no function 'row_number' of one row's values"),
        ("a over (partition by b) = 1", "a window over other rows (OVER)"),
        ("a > now()", "no function 'now' of one row's values"),
        ("date(a) > b", "DATE without a format; write date(placed_at, '%Y-%m-%d')"),
        ("timestamp (coalesce(a, b)) > c", "TIMESTAMP without a format; write timestamp(placed_at, '%Y-%m-%d')"),
        ("a > current_date", "the clock (CURRENT_DATE)"),
        ("lowr(a) = 'x'", "no function 'lowr' of one row's values; did you mean 'lower'?"),
        ("a in (from read_csv('x.csv'))", "no function 'read_csv'"),
        ("lower(read_parquet('x')) = 'a'", "no function 'read_parquet'"),
        ("a = 1 or\nscan_csv ('x')", "no function 'scan_csv'"),
        ("`read_csv` ('x.csv') = a", "a function's name in quotes"),
        ('"a"."read_csv"(\'x.csv\')', "a function's name in quotes"),
        ("[read_csv]('x.csv')", "not a condition in SQL over the row's columns"),
        ("lower((select 1))", "a query inside (SELECT)"),
        ("array[(select 1)] = a", "a query inside (SELECT)"),
        ("case (select 1) when 1 then true end", "a query inside (SELECT)"),
        ("position('x' in (select b from read_csv('x')))", "a query inside (SELECT)"),
        ("extract(year from (select b from read_csv('x'))) = 1", "a query inside (SELECT)"),
        ("a between (select 1) and 2", "a query inside (SELECT)"),
        ("if(exists(select 1), true, false)", "a query inside (EXISTS)"),
        ("a is distinct from (table x)", "a query inside (TABLE)"),
        ("a = 1 union select 2", "a query inside (SELECT)"),
        ("a = (\u00a0select\u200b 1)", "a query inside (SELECT)"),
        ("a = (\uff53elect 1)", "not a condition in SQL over the row's columns"),
        ("X'27' = a", "letters right before a quote"),
        ("N'x' = a", "letters right before a quote"),
        ("U&'\\0041' = a", "not a condition in SQL over the row's columns"),
        ("a = 'x\\' or (select 1 from read_csv(''y'')) = '1'", "a query inside (SELECT)"),
        ("a = $t$ (select 1) $t$", "a quote that is not closed, or a sign that has no meaning here"),
        ("/*! select 1 */ a = 1", "a comment inside; write it as a YAML comment"),
        ("a = 1 # why", "a quote that is not closed, or a sign that has no meaning here"),
        ("a = {fn now()}", "no function 'now' of one row's values"),
        ("a in unnest(b)", "no function 'unnest' of one row's values"),
        ("a = all(b)", "no function 'all' of one row's values"),
        ("random() < 0.5", "no function 'random' of one row's values"),
        ("lag(a, 1) = 1", "no function 'lag' of one row's values"),
        ("sum(a) filter (where a > 1) > 2", "no function 'sum' of one row's values"),
        ("columns('.*') = 1", "no function 'columns' of one row's values"),
        ("* = 1", "not a condition in SQL over the row's columns"),
        ("a = 1 order by b", "not a condition in SQL over the row's columns"),
        ("a = 1 from read_csv", "not a condition in SQL over the row's columns"),
        ("a at time zone 'UTC' = b", "not a condition in SQL over the row's columns"),
        ("a\x00 = 1", "not a condition in SQL over the row's columns"),
        ("a = ", "not a condition in SQL over the row's columns"),
        ("", "not a condition in SQL over the row's columns"),
        ("a = 'x'; drop table y", "a query inside (TABLE)"),
        ("a = 'x'; b", "not a condition in SQL over the row's columns"),
        ("a = :watermark", "not a condition in SQL over the row's columns"),
        ("a = 'x' canary 'y'", "not a condition in SQL over the row's columns"),
        ("\"^.*$\" = 'x'", "stands for several columns; name one column at a time"),
        ("a = 1 or " * 400 + "b", "longer than 2,000 characters"),
        ("(" * 900 + "a" + ")" * 900, "not a condition in SQL over the row's columns"),
    ],
)
def test_everything_else_is_refused(sql: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        check_condition(sql)
    assert str(error.value).startswith(message)
    assert "canary" not in str(error.value)


def test_a_condition_never_opens_a_file(tmp_path: Path) -> None:
    """Polars would open the file: this test fails when the reason for the check is gone."""
    sql = f"a in (select b from read_csv('{tmp_path / 'no.csv'}'))"
    with pytest.raises(FileNotFoundError):
        pl.sql_expr(sql)
    with pytest.raises(ValueError, match="a query inside"):
        check_condition(sql)


TOKENS = [
    "'",
    '"',
    "`",
    "\\",
    "E",
    "x",
    "(",
    ")",
    " ",
    "=",
    "read_csv",
    "select 1",
    "--",
    "$$",
    "from",
    "/*",
    "*/",
    ";",
]


@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
def test_an_accepted_condition_contains_no_query(sql: str) -> None:
    try:
        check_condition(sql)
    except ValueError:
        return
    assert "subplan" not in str(pl.sql_expr(sql)).lower()
    assert "_POLARS_TMP_SQL" not in str(pl.sql_expr(sql))


INT64, INT32 = pl.Series([2**62, 5]), pl.Series([2**30, 3], dtype=pl.Int32)


@pytest.mark.parametrize(
    ("sql", "data"),
    [
        ("n * 4", {"n": INT64}),
        ("n + n + n", {"n": INT64}),
        ("n - m", {"n": INT64, "m": pl.Series([-(2**63), 1])}),
        ("n * 4 / 100", {"n": INT64}),
        ("n * 4", {"n": INT32}),
        ("pow(n, 2)", {"n": INT64}),
        ("cast(n as int) * 100000", {"n": ["3000000", "2"]}),
        ("cast(n as bigint) * 5000000000000", {"n": ["3000000", "2"]}),
        ("n::int * 100000", {"n": ["3000000", "2"]}),
        ("case when n * 4 > 6 then 'many' else 'few' end", {"n": INT64}),
        ("cast(n * 4 as varchar)", {"n": INT64}),
    ],
)
def test_a_whole_number_that_exceeds_its_bits_is_a_reject(sql: str, data: dict[str, Any]) -> None:
    value = Columns(tuple(data), (parse_call({"expr": sql}),))
    first, second = outcomes(mapping(attributes={"v": value}), rows(data))
    assert first == ("expr_failed", "attributes.v") and isinstance(second, dict)


@pytest.mark.parametrize("sql", ["n * 4 > 0", "case when n + n + n > 0 then true else false end"])
def test_a_condition_whose_numbers_exceed_their_bits_stops_the_step(sql: str) -> None:
    with pytest.raises(SourceError, match=r"^m\.yaml: when: it cannot be computed for some row"):
        outcomes(mapping(when=sql), rows({"n": INT64}))
    assert outcomes(mapping(when=sql), rows({"n": [1, 0]}))[1] == "skipped"


@pytest.mark.parametrize("sql", ["-n", "n - 1.5", "n % 7 - 1", "abs(n)", "n * 2 / 3", "n + null"])
def test_what_stays_within_its_bits_is_what_it_was(sql: str) -> None:
    data = {"n": pl.Series([-7, 5, None])}
    value = Columns(("n",), (parse_call({"expr": sql}),))
    made = pl.DataFrame(data).select(pl.sql_expr(sql).alias("v")).to_series().to_list()
    assert [one.get("v") for one in sent(mapping(attributes={"v": value}), rows(data))] == made
