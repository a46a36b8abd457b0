"""From an entry of an `apply` list in YAML to a call, and from a call to an expression.

    call = parse_call({"divide": 100})              # Call("divide", {"by": 100}), or ValueError for the YAML's author
    expression = apply(pl.col("cents"), pl.Int64(), call)

A function with `facts` needs facts about the whole column first: `queries` over every frame, then `combine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from cio_etl.errors import did_you_mean
from cio_etl.model import Call
from cio_etl.transform.decimals import NUMBER, as_double
from cio_etl.transform.functions.define import FUNCTIONS, RAW_JSON, RAW_JSON_LIST, Function, kind_of, plain_text
from cio_etl.transform.nested import in_words
from cio_etl.transform.timestamps import TimestampFacts


def parse_call(raw: object) -> Call:
    """A call from an entry of an `apply` list: `trim`, `{divide: 100}` or `{round: {digits: 2}}`.

    Raises ValueError with each fault and its remedy on a line of its own; it quotes the YAML, never data.
    """
    name, raw_arguments = _named(raw)
    function = FUNCTIONS.get(name)
    if function is None:
        raise ValueError(f"no function {name!r}; {did_you_mean(name, FUNCTIONS)}")
    arguments = _arguments(function, raw_arguments)
    if faults := list(_faults(function, arguments)):
        raise ValueError("\n".join(f"{name}: {fault}" for fault in faults))
    if function.check is not None:
        try:
            function.check(**arguments)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return Call(name, arguments)


def apply(value: pl.Expr, dtype: pl.DataType, call: Call, facts: TimestampFacts | None = None) -> pl.Expr:
    """The expression of a call on `value`, a column of this dtype. Null stays null, except for `default` and for the
    functions of several columns.

    Raises ValueError when the function cannot read such a column. Text means String, Categorical or Enum.
    """
    function = FUNCTIONS[call.name]
    if dtype == pl.Null and function.takes and function.takes != ("several columns",):
        return value  # null stays null, and the type stays open for a `default`
    value, dtype = normalized(value, dtype, function)
    if function.takes and not takes(function, dtype):
        needs, holds = " or ".join(function.takes), f"the column holds {in_words(dtype)}"
        raise ValueError(f"{call.name} needs {needs}; {holds}{_advice(dtype, function)}")
    known = {} if function.facts is None else {"facts": facts}
    return function.build(value, dtype, **call.arguments, **known)


def takes(function: Function, dtype: pl.DataType) -> bool:
    """Whether the function can read such a column."""
    kind = kind_of(dtype)
    return kind in function.takes or (kind == "a list of text" and "a list" in function.takes)


def meant_null(value: pl.Expr, dtype: pl.DataType, call: Call) -> pl.Expr | None:
    """A Boolean expression: true where a null result of the call is correct. None when every null is a failure."""
    function = FUNCTIONS[call.name]
    if function.means_null is None:
        return None
    value, dtype = normalized(value, dtype, function)
    return function.means_null(value, dtype, **call.arguments)


def is_no_text(value: pl.Expr, dtype: pl.DataType, call: Call) -> pl.Expr | None:
    """True where the value is a JSON list or object, and the call reads texts; None where that cannot be.

    `cast: text` makes the JSON's text of it, as its name says.
    """
    function = FUNCTIONS[call.name]
    if dtype != RAW_JSON or "text" not in function.takes or "JSON" in function.takes or function.name == "cast":
        return None
    return value.struct.field("raw_json").str.contains(r"^\s*[\[{]")


def normalized(value: pl.Expr, dtype: pl.DataType, function: Function) -> tuple[pl.Expr, pl.DataType]:
    """A column in the type that functions read: categories and JSON as text, arrays as lists, nulls as needed."""
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return value.cast(pl.String), pl.String()
    if dtype == NUMBER and function.takes and not function.exact:
        return as_double(value), pl.Float64()
    if isinstance(dtype, pl.Array):
        value, dtype = value.arr.to_list(), pl.List(dtype.inner)
    if dtype == pl.List(pl.Null) and function.takes == ("a list of text",):
        return value.cast(pl.List(pl.String)), pl.List(pl.String())
    if dtype == RAW_JSON and "text" in function.takes and "JSON" not in function.takes:
        return plain_text(value), pl.String()
    if dtype == RAW_JSON_LIST and function.takes and not function.any_elements:
        return value.list.eval(plain_text(pl.element())), pl.List(pl.String())
    if isinstance(dtype, pl.Null) and function.takes and function.takes != ("several columns",):
        lists = not {"a list of text", "a list"}.isdisjoint(function.takes) and "text" not in function.takes
        wanted = pl.List(pl.String()) if lists else pl.String()
        return value.cast(wanted), wanted
    return value, dtype


def _named(raw: object) -> tuple[str, object]:
    if isinstance(raw, str):
        return raw, None
    if isinstance(raw, Mapping) and len(raw) == 1:
        name, given = next(iter(raw.items()))
        if isinstance(name, str):
            return name, given
    raise ValueError("a function is its name, or {name: argument}, or {name: {argument: value, …}}; one for each '-'")


def _arguments(function: Function, given: object) -> dict[str, Any]:
    if given is None:
        return {}
    shorthand = function.parameters[function.shorthand] if function.shorthand else None
    if not isinstance(given, Mapping):
        if shorthand is None:
            raise ValueError(f"{function.name}: {_takes(function)}")
        return {shorthand.name: given}
    # {map: {p: pro}}: a mapping that is the argument itself, not a list of arguments.
    if shorthand is not None and shorthand.accepts(given) and not isinstance(given.get(shorthand.name), Mapping):
        if (function.parameters.keys() - {shorthand.name}) & given.keys():
            raise ValueError(f"{function.name}: with other arguments, put the mapping under `{shorthand.name}:`")
        return {shorthand.name: given}
    return {str(name): value for name, value in given.items()}


def _faults(function: Function, arguments: Mapping[str, Any]) -> Iterator[str]:
    """The faults of the arguments. With an unknown one, none is reported missing: it may be a misspelling."""
    for argument, value in arguments.items():
        parameter = function.parameters.get(argument)
        if parameter is None:
            advice = did_you_mean(argument, function.parameters, _takes(function))
            yield f"unknown argument {argument!r}; {advice}"
        elif not parameter.accepts(value):
            yield f"{argument!r} must be {parameter.kind}"
    if arguments.keys() <= function.parameters.keys():
        for parameter in function.parameters.values():
            if parameter.required and parameter.name not in arguments:
                yield f"{parameter.name!r} is missing, {parameter.kind}"


def _takes(function: Function) -> str:
    names = ", ".join(repr(name) for name in function.parameters)
    return f"it takes {names}" if names else "it takes no argument"


def _advice(dtype: pl.DataType, function: Function) -> str:
    if "text" in function.takes and kind_of(dtype) in ("a number", "true or false", "a date"):
        return ": put `cast: text` before it"
    if "text" in function.takes and kind_of(dtype) == "bytes":
        return ": put `decode` before it"
    if not {"a list of text", "a list"}.isdisjoint(function.takes) and kind_of(dtype) == "text":
        return ": put `split` before it"
    if function.takes == ("several columns",):
        return ": write {columns: [one, another], apply: […]}"
    return ""
