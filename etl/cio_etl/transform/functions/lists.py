"""Functions for lists: from text, to text, and their elements."""

from __future__ import annotations

from typing import Literal

import polars as pl

from cio_etl.transform.functions.define import RAW_JSON_LIST, Scalar, always, function, is_of_kind, plain_text
from cio_etl.transform.invisible import is_blank, stripped
from cio_etl.transform.nested import as_dtype, in_words

GROUP = "Lists and JSON"


def _separator_not_empty(*, separator: str = ",", **_: object) -> None:
    if separator == "":
        raise ValueError("'separator' must not be empty")


@function(takes=("text",), shorthand="separator", check=_separator_not_empty)
def split(value: pl.Expr, dtype: pl.DataType, *, separator: str = ",", trim: bool = False) -> pl.Expr:
    """The pieces of the text between separators, a list of text; `trim` removes the white space around each.

    >>> "red,,blue" | {split: ","} -> ["red", "", "blue"]
    >>> "red; blue" | {split: {separator: ";", trim: true}} -> ["red", "blue"]
    """
    pieces = value.str.split(separator)
    return pieces.list.eval(stripped(pl.element())) if trim else pieces


@function(takes=("a list of text",), shorthand="separator")
def join(value: pl.Expr, dtype: pl.DataType, *, separator: str = ",") -> pl.Expr:
    """The texts of a list as one text with the separator between them; nulls in the list are left out.

    >>> ["red", null, "blue"] | {join: "; "} -> "red; blue"
    """
    return value.list.join(separator, ignore_nulls=True)


@function(takes=("a list",), means_null=always, any_elements=True)
def first(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The first element of the list; null for an empty one.

    >>> ["red", "blue"] | first -> "red"
    >>> [] | first -> null
    """
    return value.list.first()


@function(takes=("a list",), means_null=always, any_elements=True)
def last(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The last element of the list; null for an empty one.

    >>> ["red", "blue"] | last -> "blue"
    """
    return value.list.last()


@function(takes=("a list",), shorthand="place", means_null=always, any_elements=True)
def element(value: pl.Expr, dtype: pl.DataType, *, place: int) -> pl.Expr:
    """The list's element at a place: 0 is the first, -1 the last; null where the list is too short.

    >>> ["Paris", "Lyon", "Nice"] | {element: 1} -> "Lyon"
    >>> ["Paris"] | {element: 1} -> null
    """
    return value.list.get(place, null_on_oob=True)


def _some(*, count: int) -> None:
    if count < 1:
        raise ValueError("'count' must be 1 or more")


@function(takes=("a list",), shorthand="count", check=_some, any_elements=True)
def limit(value: pl.Expr, dtype: pl.DataType, *, count: int) -> pl.Expr:
    """The first `count` elements of the list.

    >>> ["red", "green", "blue"] | {limit: 2} -> ["red", "green"]
    """
    return value.list.head(count)


@function(takes=("a list",), any_elements=True)
def unique(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The list with each element once, at its first place.

    >>> ["red", "blue", "red"] | unique -> ["red", "blue"]
    """
    return value.list.unique(maintain_order=True)


@function(takes=("a list",), shorthand="order")
def sort(value: pl.Expr, dtype: pl.DataType, *, order: Literal["ascending", "descending"] = "ascending") -> pl.Expr:
    """The list in order, nulls at its end; text by code points, so capitals come first.

    >>> ["b", "a", "C"] | sort -> ["C", "a", "b"]
    >>> [3, 10, 7] | {sort: descending} -> [10, 7, 3]
    """
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.List | pl.Struct | pl.Array):
        raise ValueError("sort: the elements are lists or structs, which have no order")
    # by list.eval: list.sort takes twenty times as long
    return value.list.eval(pl.element().sort(descending=order == "descending", nulls_last=True))


@function(takes=("a list",), any_elements=True)
def compact(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The list without its nulls, and without texts that are empty or white space.

    >>> ["red", "", null, " ", "blue"] | compact -> ["red", "blue"]
    """
    non_null = value.list.drop_nulls()
    if dtype == RAW_JSON_LIST:
        return non_null.list.eval(pl.element().filter(~is_blank(plain_text(pl.element()))))
    if isinstance(dtype, pl.List) and dtype.inner == pl.String:
        return non_null.list.eval(pl.element().filter(~is_blank(pl.element())))
    return non_null


@function(takes=("a list", "text"), any_elements=True)
def length(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """How many elements the list has, nulls counted, or how many characters the text; a JSON object has no length.

    Of a list in JSON, `pick: "items[*]"` makes the list whose length it is.

    >>> ["red", "blue"] | length -> 2
    >>> "crème" | length -> 5
    """
    return (value.list.len() if isinstance(dtype, pl.List) else value.str.len_chars()).cast(pl.Int64)


@function(takes=("text", "a list"), shorthand="what")
def contains(value: pl.Expr, dtype: pl.DataType, *, what: Scalar) -> pl.Expr:
    """Whether the text contains `what`, or the list has it as an element; not a pattern, and case counts.

    >>> "Order of 2 books" | {contains: book} -> true
    >>> ["red", "blue"] | {contains: red} -> true
    >>> ["red", "blue"] | {contains: re} -> false
    >>> [1, 2] | {contains: 3} -> false
    """
    inner = as_dtype(dtype.inner) if isinstance(dtype, pl.List) else dtype
    if inner == pl.Null:
        return pl.when(value.is_not_null()).then(False)
    if not is_of_kind(what, inner):
        raise ValueError(f"contains: 'what' is of another kind than {in_words(inner)}")
    searched = pl.lit(what)
    return value.list.contains(searched) if isinstance(dtype, pl.List) else value.str.contains(searched, literal=True)
