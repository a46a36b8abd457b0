"""Functions with regular expressions, in Rust's syntax: no look-around, linear time.

A pattern is compiled when the YAML is read, so a wrong one is reported with its line.
"""

from __future__ import annotations

import re
from functools import lru_cache

import polars as pl

from cio_etl.model.reasons import PATTERN_UNMATCHED
from cio_etl.transform.functions.define import function

GROUP = "Text"


def _check_pattern(*, pattern: str, **_: object) -> None:
    groups_of(pattern)


@lru_cache(1_000)
def groups_of(pattern: str) -> tuple[str, ...]:
    """The groups of a pattern, in order, by name or else by number; raises ValueError for an invalid pattern."""
    value = pl.col("v").str
    try:
        pl.DataFrame({"v": [""]}).select(value.contains(pattern))
        made = pl.LazyFrame(schema={"v": pl.String}).select(value.extract_groups(pattern)).collect_schema()["v"]
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"'pattern' is not one: {_message_of(str(error))}") from None
    assert isinstance(made, pl.Struct)
    return tuple(field.name for field in made.fields)


def _message_of(error: str) -> str:
    """A message from the error of Rust's parser, whose last line is the reason; it quotes YAML, never data."""
    if "look-around" in error:
        return "look-around, such as (?=…), is not supported; take a group with `regex_extract` instead"
    if "backreferences" in error:
        return r"a back-reference, such as \1, is not supported; write the pattern without it"
    if "size limit" in error:
        return "it is too large; repeat less"
    reason = re.search(r"(?m)^error: (.+)$", error)
    return f"{reason[1]}; put a \\ before a sign that stands for itself" if reason else "write it otherwise"


def _check_extract(*, pattern: str, group: int | str | None = None, optional: bool = False) -> None:
    _number_of(pattern, group)


def _number_of(pattern: str, group: int | str | None) -> int:
    """The number of a group; without one the first, or the whole match (0) of a pattern that has no group."""
    groups = groups_of(pattern)
    if group is None:
        return 1 if groups else 0
    if isinstance(group, str) and group in groups:
        return groups.index(group) + 1
    if isinstance(group, int) and 0 <= group <= len(groups):
        return group
    named = ", ".join(repr(name) for name in groups if not name.isdigit())
    raise ValueError(
        f"the pattern has no group {group!r}; it has {len(groups)}{f', named {named}' if named else ''}"
        ", and 0 is the whole match"
    )


@function(
    takes=("text",),
    reason=PATTERN_UNMATCHED,
    shorthand="pattern",
    check=_check_extract,
    means_null=lambda value, dtype, *, optional=False, **_: pl.lit(optional),
)
def regex_extract(
    value: pl.Expr, dtype: pl.DataType, *, pattern: str, group: int | str | None = None, optional: bool = False
) -> pl.Expr:
    """The text of a group in the pattern's first match: `group`, a number or a name, else the first group.

    A pattern without groups gives the whole match, as `group: 0` does. A text without a match rejects the row; with
    `optional` it becomes null.

    >>> "Order #4711 of May" | {regex_extract: "#([0-9]+)"} -> "4711"
    >>> "ada@example.org" | {regex_extract: {pattern: "@(?<domain>.+)", group: domain}} -> "example.org"
    >>> "AB-12" | {regex_extract: "[0-9]+"} -> "12"
    >>> "no number" | {regex_extract: "[0-9]+"} -> rejected
    >>> "no number" | {regex_extract: {pattern: "[0-9]+", optional: true}} -> null
    """
    return value.str.extract(pattern, _number_of(pattern, group))


@function(takes=("text",), shorthand="pattern", check=_check_pattern)
def regex_match(value: pl.Expr, dtype: pl.DataType, *, pattern: str) -> pl.Expr:
    """Whether the pattern matches somewhere in the text; `^` and `$` anchor it to start and end, `(?i)` ignores case.

    >>> "SKU-0042" | {regex_match: "^SKU-[0-9]{4}$"} -> true
    >>> "sku-42" | {regex_match: "^SKU-[0-9]{4}$"} -> false
    """
    return value.str.contains(pattern)


# `$1`, `$name` and `${name}`, as Rust reads them, and `$$`
_REFERENCE = re.compile(r"\$(?:(\$)|\{([^{}]*)\}|([0-9A-Za-z_]+))")


def _check_replace(*, pattern: str, new: str) -> None:
    groups = groups_of(pattern)
    numbers = [str(number) for number in range(len(groups) + 1)]
    for match in _REFERENCE.finditer(new):
        name = match[2] if match[2] is not None else match[3]
        if not match[1] and name not in numbers and name not in groups:
            raise ValueError(
                f"'new' names a group {name!r} that the pattern has not; write ${{1}} before a letter, $$ for a $"
            )


@function(takes=("text",), check=_check_replace)
def regex_replace(value: pl.Expr, dtype: pl.DataType, *, pattern: str, new: str) -> pl.Expr:
    """The text with every match of the pattern replaced; in `new`, `$1` or `${name}` is a group, and `$$` a dollar.

    >>> "+1 (555) 010-9999" | {regex_replace: {pattern: "[^0-9]", new: ""}} -> "15550109999"
    >>> "Lovelace, Ada" | {regex_replace: {pattern: "^(.+), (.+)$", new: "$2 $1"}} -> "Ada Lovelace"
    """
    return value.str.replace_all(pattern, new)
