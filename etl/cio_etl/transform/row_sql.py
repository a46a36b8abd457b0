"""SQL expressions over the columns of one row: `when` and the function `expr`.

`pl.sql_expr` accepts more than expressions: it opens the file of `(select … from read_csv('…'))` while it parses. And
with an aggregate, a window or the clock a row's result would depend on the other rows of its frame, or on the day: a
resumed run would choose other rows. So the tokens are checked first, and only functions of one row's values pass.

The check reads tokens and builds no syntax tree, on purpose. sqlglot would parse another SQL: none of its dialects
reads all that polars does (`~` with backticks, `//`), and where the two parsers disagree (a backslash before a quote,
`//` as a comment, `||` as OR) a query could hide. Its import would also add 0.4 s to the start of each command.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import lru_cache

import polars as pl
import polars.selectors as cs

from cio_etl.errors import did_you_mean
from cio_etl.transform.nested import as_dtype, in_words

MAX_LENGTH = 2_000  # the parser descends into what it reads

# Functions of polars' SQL that use the values of one row (polars reference, SQL functions)
_ROW_FUNCTIONS = re.findall(
    r"\w+",
    """
    abs ceil ceiling floor round sign sqrt exp ln log log2 log10 log1p pow power mod div greatest least
    if ifnull nullif coalesce cast try_cast
    length char_length character_length octet_length bit_length lower upper initcap concat concat_ws left right
    ltrim rtrim trim lpad rpad substr substring replace reverse starts_with ends_with split_part
    regexp_like regexp_replace normalize
    date_part extract strftime strptime date datetime timestamp year month day hour minute second
    array_contains array_length
    """,
)
_BEFORE_A_BRACKET = re.findall(r"\w+", "and or not in like ilike rlike regexp between is case when then else from")
_CALLABLE = {name.upper() for name in (*_ROW_FUNCTIONS, *_BEFORE_A_BRACKET)}
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
# polars takes the text that they look for as a regular expression, and counts bytes.
_BY_PATTERN = {"STRPOS", "POSITION"}
# Without a format polars infers it from the first row of a frame, so the result would depend on that row.
_WITH_A_FORMAT = {"DATE", "DATETIME", "TIMESTAMP", "STRPTIME"}
_TOKENS = re.compile(
    r"""(?P<text>'(?:[^']|'')*') | (?P<quoted>"(?:[^"]|"")*"|`[^`]*`) | (?P<word>[^\W\d]\w*) | (?P<number>\d[\w.]*)
      | (?P<comment>--|/\*) | (?P<space>\s+) | (?P<sign>.)""",
    re.VERBOSE,
)
_CONDITION = "not a condition in SQL over the row's columns, as \"plan_name <> 'internal'\""
_VALUE = "not an expression in SQL over the row's columns, as \"first || ' ' || last\""


def check_condition(sql: str) -> None:
    """Raises ValueError, with what to do, unless `sql` is a condition on the columns of one row."""
    _parsed(sql, _CONDITION)


def check_value(sql: str) -> None:
    """Raises ValueError, with what to do, unless `sql` computes a value from the columns of one row."""
    if not _parsed(sql, _VALUE).meta.root_names():
        raise ValueError("names no column; a constant is written {value: …}")


def sql_expr(sql: str) -> pl.Expr:
    """A checked text as an expression, in which `address.city` is the column of that name: transform/paths.py has it.

    polars would take it for the field of a record, which a column of JSON has not.
    """
    return pl.sql_expr(_with_quoted_paths(sql))


@lru_cache(maxsize=256)
def _with_quoted_paths(sql: str) -> str:
    return _TOKENS_OF_PATH.sub(lambda each: f'"{each["path"]}"' if each["path"] else each[0], sql)


_TOKENS_OF_PATH = re.compile(
    r"""(?P<text>'(?:[^']|'')*') | "(?:[^"]|"")*" | `[^`]*` | (?P<path>[^\W\d]\w*(?:\.[^\W\d]\w*)+)""", re.VERBOSE
)


def columns_of(sql: str) -> tuple[str, ...]:
    """The columns that a checked expression reads, in order of appearance, each once."""
    return tuple(dict.fromkeys(sql_expr(sql).meta.root_names()))


def _parsed(sql: str, refusal: str) -> pl.Expr:
    if len(sql) > MAX_LENGTH:
        raise ValueError(f"longer than {MAX_LENGTH:,} characters; prepare a column for it in the source")
    _check_tokens([(token.lastgroup or "", token[0]) for token in _TOKENS.finditer(sql)])
    try:
        expression = sql_expr(sql)
        several = expression.meta.has_multiple_outputs()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise ValueError(refusal) from None  # the message of polars quotes the text
    if several:
        raise ValueError("stands for several columns; name one column at a time")
    return expression


def _check_tokens(tokens: list[tuple[str, str]]) -> None:
    previous_word, by_pattern = "", ""
    for place, (kind, token) in enumerate(tokens):
        following = tokens[place + 1 :]
        called = next((text for group, text in following if group != "space"), "") == "("
        if kind == "comment":
            raise ValueError("a comment inside; write it as a YAML comment")
        if kind == "sign" and token in "'\"`$#":  # nosec B105 # a sign of SQL
            raise ValueError("a quote that is not closed, or a sign that has no meaning here")
        if kind == "quoted" and called:
            raise ValueError("a function's name in quotes; quotes are for columns")
        if kind != "word":
            continue
        word = token.upper()  # as SQL parsers compare words; lower() would miss 'ſelect'
        if word in _REFUSED:
            raise ValueError(
                f"{_REFUSED[word]} ({word}); only the columns of one row can be used: prepare a column in the "
                "source, or put the word in double quotes if it is a column"
            )
        if following and following[0][0] == "text":
            raise ValueError("letters right before a quote; write the text alone, in single quotes")
        if called and word in _BY_PATTERN:
            by_pattern = token
        elif called and word not in _CALLABLE:
            advice = did_you_mean(token, _ROW_FUNCTIONS, "prepare a column for it in the source")
            raise ValueError(f"no function {token[:60]!r} of one row's values; {advice}")
        if called and word in _WITH_A_FORMAT and previous_word.upper() != "AS" and not _has_second_argument(following):
            raise ValueError(f"{word} without a format; write {word.lower()}(placed_at, '%Y-%m-%d')")
        previous_word = token
    if by_pattern:
        raise ValueError(f"{by_pattern} would read its text as a pattern; {_INSTEAD_OF_A_PLACE}")


_INSTEAD_OF_A_PLACE = (
    "write name like '%x%', starts_with(name, 'x'), or split_part(name, 'x', 1) for the text before it"
)


def _has_second_argument(tokens: list[tuple[str, str]]) -> bool:
    """Whether the parentheses that follow contain a comma that is not inside inner ones."""
    depth = 0
    for kind, token in tokens:
        depth += (token in "([") - (token in ")]") if kind == "sign" else 0  # nosec B105 # signs of SQL
        if token == "," and depth == 1:  # nosec B105 # a sign of SQL
            return True
        if token == ")" and depth == 0:  # nosec B105 # a sign of SQL
            return False
    return False


# ---------------------------------------------------------------- values


def dtype_of(sql: str, columns: pl.DataType) -> pl.DataType:
    """The type of a checked expression over a struct's columns; raises ValueError if it does not fit them."""
    assert isinstance(columns, pl.Struct)
    schema = {field.name: as_dtype(field.dtype) for field in columns.fields}
    if missing := [name for name in columns_of(sql) if name not in schema]:
        raise ValueError(f"expr: no column {missing[0]!r} among those given: {', '.join(map(repr, schema))}")
    try:
        result = _select(sql, pl.DataFrame(schema=schema).clear(1)).dtype
    except pl.exceptions.PolarsError:  # its message quotes values
        raise ValueError(f"expr: {unfit(sql, schema)}") from None
    try:
        _select(sql, pl.DataFrame({name: pl.Series([_SOME.get(dtype)], dtype=dtype) for name, dtype in schema.items()}))
    except pl.exceptions.PolarsError as error:  # a cast may fail for this row only; "not supported" is for every row
        if "not supported" in str(error):
            raise ValueError(f"expr: {unfit(sql, schema)}") from None
    return result


def unfit(sql: str, schema: Mapping[str, pl.DataType]) -> str:
    """The fault and remedy of an expression that does not fit the types of its columns."""
    types = {name: schema[name] for name in columns_of(sql)}
    named = ", ".join(f"{name!r} ({in_words(dtype)})" for name, dtype in list(types.items())[:_NAMED])
    texts = any(isinstance(dtype, pl.String | pl.Categorical | pl.Enum) for dtype in types.values())
    remedy = "make a number or a date of text: try_cast(quantity as int) > 5, date(placed_at, '%Y-%m-%d')"
    more = ", …" if len(types) > _NAMED else ""
    return f"it does not fit the types of {named}{more}; {remedy if texts else 'cast a column to the type it needs'}"


_NAMED = 5  # columns

# A sample value of each type, for errors that a null does not raise
_SOME: dict[pl.DataType, object] = {pl.String(): "0", pl.Boolean(): True, pl.Int64(): 0, pl.Float64(): 0.0}


def _select(sql: str, rows: pl.DataFrame) -> pl.Series:
    """The expression's values. A column of nulls only, which has no type, has the one that the expression needs."""
    untyped = tuple(name for name, dtype in rows.schema.items() if dtype == pl.Null)
    if untyped:
        types = _types_of_nulls(sql, tuple(rows.schema.items()), untyped)
        rows = rows.with_columns(_column(name).cast(dtype) for name, dtype in types.items())
    return rows.select(sql_expr(sql).alias("made")).to_series()


def _column(name: str) -> pl.Expr:
    return cs.by_name(name).as_expr()


@lru_cache(maxsize=256)
def _types_of_nulls(
    sql: str, schema: tuple[tuple[str, pl.DataType], ...], untyped: tuple[str, ...]
) -> dict[str, pl.DataType]:
    """A type for each column of nulls, with which the expression can be computed; none where no type helps."""
    used = [name for name in columns_of(sql) if name in untyped]
    nulls = pl.DataFrame(schema=dict(schema)).clear(1)
    every = itertools.chain(([one] * len(used) for one in _TYPES), itertools.product(_TYPES, repeat=len(used)))
    for types in itertools.islice(every, _TRIED):
        chosen = dict(zip(used, types, strict=True))
        typed = nulls.with_columns(_column(name).cast(dtype) for name, dtype in chosen.items())
        try:
            typed.select(sql_expr(sql))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            continue
        return chosen
    return {}


_TYPES: tuple[pl.DataType, ...] = (
    pl.Null(),
    pl.String(),
    pl.Int64(),
    pl.Boolean(),
    pl.Datetime("us"),
    pl.List(pl.String()),
)
_TRIED = 300  # all combinations for three columns


def values(sql: str, rows: pl.DataFrame, dtype: pl.DataType) -> pl.Series:
    """The expression's value for each row; null also where it cannot be computed."""
    return _computed(sql, rows, dtype)[0]


def failing_rows(sql: str, rows: pl.DataFrame) -> pl.Series:
    """For each row, whether the expression cannot be computed: a cast fails, or a whole number exceeds its bits."""
    return _computed(sql, rows, None)[1]


def condition(sql: str, rows: pl.DataFrame) -> pl.Series:
    """A condition's value for each row. Raises PolarsError when it cannot be computed for some row."""
    made = _select(sql, rows).cast(pl.Boolean)
    if may_wrap(sql) and _wrapped(sql, rows, made).any():
        raise pl.exceptions.ComputeError("a whole number exceeds its bits")
    return made


def condition_type(sql: str, schema: Mapping[str, pl.DataType]) -> pl.DataType:
    """The type of a checked condition; raises ValueError, with what to do, if it does not fit its columns."""
    columns = {name: schema[name] for name in columns_of(sql)}
    try:
        return _select(sql, pl.DataFrame(schema=columns).clear(1)).dtype
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):  # the message quotes values
        raise ValueError(unfit(sql, columns)) from None


def may_wrap(sql: str) -> bool:
    """Whether whole numbers in the expression could exceed their bits."""
    return bool(_ARITHMETIC.search(sql))


def _computed(sql: str, rows: pl.DataFrame, dtype: pl.DataType | None) -> tuple[pl.Series, pl.Series]:
    """The expression's values, null where it fails; and for each row, whether it fails."""
    pieces = _pieces(sql, rows)
    dtype = dtype or next((piece.dtype for piece in pieces if piece is not None), pl.Null())
    made = pl.concat(
        [pl.Series("made", [None], dtype) if piece is None else piece.alias("made").cast(dtype) for piece in pieces]
    )
    sizes = [(piece is None, 1 if piece is None else len(piece)) for piece in pieces]
    failing = pl.concat([pl.Series("failing", [failed], pl.Boolean).new_from_index(0, size) for failed, size in sizes])
    if not may_wrap(sql) or not rows.height:
        return made, failing
    wrapped = _wrapped(sql, rows, made)
    return made.to_frame().select(pl.when(~wrapped).then("made").alias("made")).to_series(), failing | wrapped


_ARITHMETIC = re.compile(r"[*+-]|\b(?:pow|power|abs)\b", re.IGNORECASE)
_WHOLE_NUMBERS = {"INT", "INTEGER", "BIGINT", "SMALLINT", "TINYINT", "INT2", "INT4", "INT8"}  # types in SQL


def _wrapped(sql: str, rows: pl.DataFrame, made: pl.Series) -> pl.Series:
    """For each row, whether a whole number exceeded its bits on the way to the value, which polars does not report.

    The same expression over whole numbers of 128 bits has another value then.
    """
    there = made.is_not_null()
    try:
        wide = _select(_widened(sql), rows.filter(there).with_columns(cs.integer().cast(pl.Int128)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return pl.Series([False]).new_from_index(0, rows.height)  # it has no form with 128 bits
    usual = made.filter(there)
    both = pl.DataFrame([usual.alias("usual"), wide.alias("wide")])
    if usual.dtype.is_float():
        apart = (pl.col("usual") - pl.col("wide").cast(pl.Float64)).abs() > pl.col("usual").abs() * 1e-6
    elif usual.dtype.is_integer():
        apart = pl.col("usual").cast(pl.Int128, strict=False) != pl.col("wide").cast(pl.Int128, strict=False)
    else:
        apart = pl.col("usual") != pl.col("wide")
    differs = both.select(apart.fill_null(False).alias("differs")).to_series()
    places = there.arg_true()
    return pl.Series([False]).new_from_index(0, rows.height).scatter(places.filter(differs), True)


def _widened(sql: str) -> str:
    """The expression with casts to whole numbers of 128 bits."""
    made, before = "", ""
    for token in _TOKENS.finditer(sql):
        is_type = before.upper() in ("AS", ":") and token[0].upper() in _WHOLE_NUMBERS
        made += "HUGEINT" if is_type else token[0]
        before = before if token.lastgroup == "space" else token[0]
    return made


def _pieces(sql: str, rows: pl.DataFrame) -> list[pl.Series | None]:
    """The rows' values in pieces; a row for which polars fails is a piece of its own, None."""
    try:
        return [_select(sql, rows)]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        if rows.height <= 1:
            return [None]
    half = rows.height // 2
    return [*_pieces(sql, rows[:half]), *_pieces(sql, rows[half:])]
