"""May this text be a mapping's `when`: a condition on one row, and nothing else?

`pl.sql_expr` reads more than conditions: it opens the file of `(select … from read_csv('…'))` while it parses. And an
aggregate, a window or the clock would make a row's fate depend on the rows it is read with, or on the day: a resumed
run would choose other rows. So the words are looked at first, and only functions of one row's values pass.
"""

from __future__ import annotations

import re

import polars as pl

from etl.config.sections import did_you_mean

MAX_LENGTH = 2_000  # the parser descends into what it reads

# Functions of polars' SQL that look at one row (polars reference, SQL functions)
_OF_A_ROW = re.findall(
    r"\w+",
    """
    abs ceil ceiling floor round sign sqrt exp ln log log2 log10 log1p pow power mod div greatest least
    if ifnull nullif coalesce cast try_cast
    length char_length character_length octet_length bit_length lower upper initcap concat concat_ws left right
    ltrim rtrim trim lpad rpad substr substring replace reverse position strpos starts_with ends_with split_part
    regexp_like regexp_replace normalize
    date_part extract strftime strptime date datetime timestamp year month day hour minute second
    array_contains array_length
    """,
)
_BEFORE_A_BRACKET = re.findall(r"\w+", "and or not in like ilike rlike regexp between is case when then else from")
_CALLABLE = {name.upper() for name in (*_OF_A_ROW, *_BEFORE_A_BRACKET)}
_REFUSED = {
    "SELECT": "a query inside",
    "EXISTS": "a query inside",
    "VALUES": "a query inside",
    "WITH": "a query inside",
    "TABLE": "a query inside",
    "OVER": "a window over other rows",
    "FILTER": "a window over other rows",
    "WITHIN": "a window over other rows",
    "CURRENT_DATE": "the clock",
    "CURRENT_TIME": "the clock",
    "CURRENT_TIMESTAMP": "the clock",
    "LOCALTIME": "the clock",
    "LOCALTIMESTAMP": "the clock",
}
_TOKENS = re.compile(
    r"""(?P<text>'(?:[^']|'')*') | (?P<quoted>"(?:[^"]|"")*"|`[^`]*`) | (?P<word>[^\W\d]\w*) | (?P<number>\d[\w.]*)
      | (?P<comment>--|/\*) | (?P<space>\s+) | (?P<sign>.)""",
    re.VERBOSE,
)
_READABLE = "not a condition in SQL over the row's columns, as \"plan_name <> 'internal'\""


def check_condition(sql: str) -> None:
    """Raises ValueError, saying what to do, unless `sql` is a condition on the columns of one row."""
    if len(sql) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH:,} characters; prepare a column for it in the source")
    _look_at_words([(found.lastgroup or "", found[0]) for found in _TOKENS.finditer(sql)])
    try:
        condition = pl.sql_expr(sql)
        several = condition.meta.has_multiple_outputs()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise ValueError(_READABLE) from None  # polars quotes the text
    if several:
        raise ValueError("stands for several columns; name one column at a time")


def _look_at_words(tokens: list[tuple[str, str]]) -> None:
    for place, (kind, token) in enumerate(tokens):
        following = tokens[place + 1 :]
        called = next((text for group, text in following if group != "space"), "") == "("
        if kind == "comment":
            raise ValueError("a comment inside; write it as a YAML comment")
        if kind == "sign" and token in "'\"`$#":
            raise ValueError("a quote that is not closed, or a sign that has no meaning here")
        if kind == "quoted" and called:
            raise ValueError("a function's name in quotes; quotes are for columns")
        if kind != "word":
            continue
        word = token.upper()  # as SQL parsers compare words; lower() would miss 'ſelect'
        if word in _REFUSED:
            raise ValueError(
                f"{_REFUSED[word]} ({word}); a condition looks at the columns of one row: prepare a column in the "
                "source, or put the word in double quotes if it is a column"
            )
        if following and following[0][0] == "text":
            raise ValueError("letters right before a quote; write the text alone, in single quotes")
        if called and word not in _CALLABLE:
            raise ValueError(f"no function {token[:60]!r} of one row's values; {_near(token)}")


def _near(name: str) -> str:
    said = did_you_mean(name, _OF_A_ROW)
    return said if said.startswith("did") else "prepare a column for it in the source"
