"""Checks that a copy can hold a source's columns, so that the copy is not blamed for what the source holds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl

from cio_etl.errors import SourceError


def copyable(place: str, frame: pl.DataFrame, wanted: Collection[str] | None) -> pl.DataFrame:
    """The frame with nulls in place of columns that no copy can hold.

    wanted: the columns that the mapping reads. Raises SourceError for one of them; None: the mapping is not known yet.
    """
    odd = {name: words for name, dtype in frame.schema.items() if (words := _not_copied(dtype)) is not None}
    for name in odd:
        if wanted is not None and name in wanted:
            what = f"column {name!r} holds {odd[name]}, which are not read here"
            raise SourceError("cast the column to text in the source", place=place, what=what)
    return frame.with_columns(pl.Series(name, [None]).new_from_index(0, frame.height) for name in odd) if odd else frame


def _not_copied(dtype: Any) -> str | None:
    """What a column holds that Parquet, or its readers here, do not; None: nothing of that kind."""
    if isinstance(dtype, pl.Struct):
        if not dtype.fields:
            return "objects without members"
        return next((words for each in dtype.fields if (words := _not_copied(each.dtype))), None)
    if isinstance(dtype, pl.Array) and not dtype.size:
        return "lists of no values"
    if isinstance(dtype, pl.List | pl.Array):
        return _not_copied(dtype.inner)
    if isinstance(dtype, pl.Map):
        return _not_copied(dtype.key) or _not_copied(dtype.value)
    if isinstance(dtype, pl.Int128 | pl.UInt128):
        return "whole numbers of 128 bits"
    return "objects of Python" if isinstance(dtype, pl.Object) else None
