"""The decorator that makes a record of a function of an `apply` list: name, parameters, reason and builder.

A function is one decorated Python function; the decorator writes it into FUNCTIONS. Its parameters are the value, the
value's type and, by keyword, the arguments from the YAML; it returns an expression. The expression is null for what
cannot be converted, never a guess: a value that becomes null rejects its row with the function's `reason`.

Some nulls are not failures: a JSON document without that key, `null_if`. `means_null` says which.

The lines `>>> input | call -> output` of its docstring are its tests: input and output are JSON, the call is YAML, and
`rejected` stands for a null that rejects the row. Several columns are a JSON object.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

import polars as pl

from cio_etl.model import Call
from cio_etl.model.records import dataclass
from cio_etl.transform.decimals import NUMBER

Scalar = str | float | bool  # a float in an annotation takes whole numbers too

Group = Literal["Any value", "Text", "Numbers", "Dates", "People's data", "Several columns", "Lists and JSON"]

Builder = Callable[..., pl.Expr]
Kind = Literal[
    "text",
    "a number",
    "true or false",
    "a date",
    "a list of text",
    "a list",
    "several columns",
    "JSON",
    "bytes",
    "a map",
]

# The type of the values of `json`: text that is JSON already, marked by this field's name. The encoder writes the
# field's text unchanged, without quotes.
RAW_JSON = pl.Struct({"raw_json": pl.String})
RAW_JSON_LIST = pl.List(RAW_JSON)  # of `pick` with [*]


def raw_json(text: pl.Expr) -> pl.Expr:
    """JSON text as RAW_JSON."""
    return pl.when(text.is_not_null()).then(pl.struct(raw_json=text))


def plain_text(value: pl.Expr) -> pl.Expr:
    """RAW_JSON as text: a string without its quotes and escapes, another value as its JSON."""
    return text_of_json(value.struct.field("raw_json"))


def text_of_json(json: pl.Expr) -> pl.Expr:
    """JSON text as text: a string without its quotes and escapes, another value as its JSON."""
    text = json.str.strip_chars(" \t\r\n")
    return pl.when(text.str.starts_with('"')).then(text.str.json_path_match("$")).otherwise(text)


# Keyword arguments of builders that do not come from the YAML: the results of `collect_facts`, and what
# config/function_arguments.py reads from files and secrets.
SUPPLIED = ("facts", "table", "secret")


@dataclass(frozen=True, slots=True)
class FactQueries:
    """Queries for facts about a whole column that a function needs before the first row is mapped.

    `queries(value, dtype, call)` are aggregations, each one value per frame; none when no fact is needed.
    `combine(rows, dtype, call)` makes the facts from one dict of these values per frame; raises ValueError when the
    YAML must say more about the column. With one of the arguments `replaced_by`, no facts about absent rows are needed.
    """

    queries: Callable[[pl.Expr, pl.DataType, Call], dict[str, pl.Expr]]
    combine: Callable[[Sequence[Mapping[str, Any]], pl.DataType, Call], Any]
    replaced_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a function, by its Python annotation."""

    name: str
    annotation: Any
    required: bool

    @property
    def kind(self) -> str:
        """What the argument must be, in words: "a whole number", "text or a list of text"."""
        return _words(self.annotation)

    def accepts(self, argument: object) -> bool:
        return _fits(self.annotation, argument)


@dataclass(frozen=True, slots=True)
class Function:
    """An entry of FUNCTIONS. `takes` are the kinds of column it reads; none: any. "a list" includes a list of text."""

    name: str
    parameters: Mapping[str, Parameter]
    shorthand: str | None  # the parameter that a bare argument fills: {divide: 100} is {divide: {by: 100}}
    takes: tuple[Kind, ...]
    reason: str  # of the reject when a value becomes null
    build: Builder
    check: Callable[..., None] | None  # of the arguments, beyond their types; raises ValueError
    facts: FactQueries | None
    means_null: Builder | None  # true where a null result is correct, and rejects nothing
    supplied: tuple[str, ...]  # those of SUPPLIED that it takes
    any_elements: bool  # it does not look at a list's elements, so that JSON in it stays JSON
    exact: bool  # it reads NUMBER, the result of arithmetic; the others get Float64
    doc: str


FUNCTIONS: dict[str, Function] = {}


def function(
    *,
    takes: tuple[Kind, ...] = (),
    reason: str = "",
    shorthand: str | None = None,
    check: Callable[..., None] | None = None,
    facts: FactQueries | None = None,
    means_null: Builder | None = None,
    any_elements: bool = False,
    exact: bool = False,
) -> Callable[[Builder], Builder]:
    """Write the decorated function into FUNCTIONS; its keyword-only parameters are the arguments in the YAML.

    Without a `reason` the function makes no value null. With `facts` it gets a keyword `facts` too. `means_null` has
    the function's parameters and returns a Boolean expression.
    """

    def register(build: Builder) -> Builder:
        name = build.__name__.rstrip("_")  # `round_` leaves Python's own round alone
        hints = get_type_hints(build)
        keywords = [one for one in inspect.signature(build).parameters.values() if one.kind is one.KEYWORD_ONLY]
        FUNCTIONS[name] = Function(
            name=name,
            parameters={
                one.name: Parameter(one.name, hints[one.name], one.default is one.empty)
                for one in keywords
                if one.name not in SUPPLIED
            },
            shorthand=shorthand,
            takes=takes,
            reason=reason or f"{name}_failed",
            build=build,
            check=check,
            facts=facts,
            means_null=means_null,
            supplied=tuple(one.name for one in keywords if one.name in SUPPLIED),
            any_elements=any_elements,
            exact=exact,
            doc=inspect.getdoc(build) or "",
        )
        return build

    return register


def kind_of(dtype: pl.DataType) -> Kind | None:
    """The kind of a column; None for types that no function reads, such as Duration."""
    if isinstance(dtype, pl.String):
        return "text"
    if dtype.is_numeric() or dtype == NUMBER:
        return "a number"
    if isinstance(dtype, pl.Boolean):
        return "true or false"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return "a date"
    if isinstance(dtype, pl.Binary):
        return "bytes"
    if isinstance(dtype, pl.Map):
        return "a map"
    if isinstance(dtype, pl.List):
        return "a list of text" if dtype.inner == pl.String else "a list"
    if isinstance(dtype, pl.Struct):
        return "JSON" if dtype == RAW_JSON else "several columns"
    return None


def is_of_kind(constant: Scalar | list[str], dtype: pl.DataType) -> bool:
    """Whether a constant of the YAML fits such a column; a number with a point fits floats only."""
    match kind_of(dtype):
        case "text":
            return isinstance(constant, str)
        case "true or false":
            return isinstance(constant, bool)
        case "a list of text":
            return isinstance(constant, list)
        case "a number":
            allowed = int | float if dtype.is_float() or dtype == NUMBER else int
            return isinstance(constant, allowed) and not isinstance(constant, bool)
        case _:
            return False


def always(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    """For `means_null`: no null result is a failure."""
    return pl.lit(True)


_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a mapping",
    types.NoneType: "empty",
}


def _words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_words(choice) for choice in get_args(annotation) if choice is not types.NoneType)
    if get_origin(annotation) is list:
        return f"a list of {_words(get_args(annotation)[0])}"
    return _WORDS[get_origin(annotation) or annotation]


def _fits(annotation: Any, argument: object) -> bool:
    """Whether a value from the YAML fits the annotation; true is not a number, whole numbers have at most 64 bits."""
    origin, choices = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(_fits(choice, argument) for choice in choices)
    if origin is Literal:
        return isinstance(argument, str) and argument in choices
    if origin is list:
        return _is_list(argument) and all(_fits(choices[0], one) for one in argument)
    if origin is dict:
        return isinstance(argument, Mapping)
    if annotation is float:
        return _fits(int, argument) or (isinstance(argument, float) and math.isfinite(argument))
    if annotation is int:
        return isinstance(argument, int) and not isinstance(argument, bool) and -(2**63) <= argument < 2**63
    return isinstance(argument, annotation)


def _is_list(argument: object) -> TypeGuard[Sequence[object]]:
    return isinstance(argument, Sequence) and not isinstance(argument, str)
