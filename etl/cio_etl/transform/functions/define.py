"""What is a function of an `apply` list? A record that says its name, its parameters, its reason and how it is built.

A function is one decorated Python function, and the decorator writes it into FUNCTIONS. It takes the value and its
type, and by name what the YAML gives; it answers an expression. It answers null for what it cannot convert, never a
guess: a value that was there before and is null after rejects its row with the function's `reason`.

Some nulls are no failure: a JSON document without that key, `null_if`. A function says which with `means_null`.

Its docstring's `>>> input | call -> output` lines are its tests: input and output are JSON, the call is YAML, and
`rejected` stands for a null that rejects the row. Several columns are a JSON object in it.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

import polars as pl

from cio_etl.model import Call

Scalar = str | float | bool  # a float in an annotation takes whole numbers too

Group = Literal["Any value", "Text", "Numbers", "Dates", "People's data", "Several columns", "Lists and JSON"]

Builder = Callable[..., pl.Expr]
Kind = Literal["text", "a number", "true or false", "a date", "a list of text", "a list", "several columns", "JSON"]

# The type of what `json` makes: a text that is JSON already, marked by this field's name. An encoder writes the
# field's text as it is, without quotes.
RAW_JSON = pl.Struct({"raw_json": pl.String})

# Keyword arguments of builders that the YAML does not give: what `gather` found, and what config/calls.py fetches.
SUPPLIED = ("evidence", "table", "secret")


@dataclass(frozen=True, slots=True)
class Gathering:
    """How to learn what must be known of a whole column before its first row is mapped.

    `queries(value, dtype, call)` are aggregations, each one value for a frame; none when nothing must be known.
    `combine(rows, dtype, call)` makes the evidence of one dict of their values for each frame; raises ValueError when
    the column cannot be read without more words in the YAML. `said_by` are the arguments that leave nothing to be told
    by rows that are not at hand.
    """

    queries: Callable[[pl.Expr, pl.DataType, Call], dict[str, pl.Expr]]
    combine: Callable[[Sequence[Mapping[str, Any]], pl.DataType, Call], Any]
    said_by: tuple[str, ...] = ()


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
    """A row of FUNCTIONS. `takes` are the kinds of column it can read; none: any. "a list" is one of text, too."""

    name: str
    parameters: Mapping[str, Parameter]
    shorthand: str | None  # the parameter that a bare argument fills: {divide: 100} is {divide: {by: 100}}
    takes: tuple[Kind, ...]
    reason: str  # of the reject when a value becomes null
    build: Builder
    check: Callable[..., None] | None  # what the parameters' types cannot say; raises ValueError
    evidence: Gathering | None
    means_null: Builder | None  # where a null that it makes of a value is meant, and rejects nothing
    supplied: tuple[str, ...]  # those of SUPPLIED that it takes
    doc: str


FUNCTIONS: dict[str, Function] = {}


def function(
    *,
    takes: tuple[Kind, ...] = (),
    reason: str = "",
    shorthand: str | None = None,
    check: Callable[..., None] | None = None,
    evidence: Gathering | None = None,
    means_null: Builder | None = None,
) -> Callable[[Builder], Builder]:
    """Write the decorated function into FUNCTIONS; its keyword-only parameters are what the YAML may give.

    Without a `reason` the function makes no value null. With `evidence` it gets a keyword `evidence` too. `means_null`
    takes what the function takes, and answers a Boolean expression.
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
            evidence=evidence,
            means_null=means_null,
            supplied=tuple(one.name for one in keywords if one.name in SUPPLIED),
            doc=inspect.getdoc(build) or "",
        )
        return build

    return register


def kind_of(dtype: pl.DataType) -> Kind | None:
    """What kind of column this is to a function; None: one that only a cast could read, such as Binary."""
    if isinstance(dtype, pl.String):
        return "text"
    if dtype.is_numeric():
        return "a number"
    if isinstance(dtype, pl.Boolean):
        return "true or false"
    if isinstance(dtype, pl.Date | pl.Datetime):
        return "a date"
    if isinstance(dtype, pl.List):
        return "a list of text" if dtype.inner == pl.String else "a list"
    if isinstance(dtype, pl.Struct):
        return "JSON" if dtype == RAW_JSON else "several columns"
    return None


def is_of_kind(constant: Scalar | list[str], dtype: pl.DataType) -> bool:
    """Whether a constant of the YAML could stand in such a column; a number with a point only among floats."""
    match kind_of(dtype):
        case "text":
            return isinstance(constant, str)
        case "true or false":
            return isinstance(constant, bool)
        case "a list of text":
            return isinstance(constant, list)
        case "a number":
            allowed = int | float if dtype.is_float() else int
            return isinstance(constant, allowed) and not isinstance(constant, bool)
        case _:
            return False


def always(value: pl.Expr, dtype: pl.DataType, **_: object) -> pl.Expr:
    """Of `means_null`: no null that comes out is a failure."""
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
    """Whether YAML's value is what the annotation says; true is no number, and whole numbers have at most 64 bits."""
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
