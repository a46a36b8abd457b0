"""The function `lookup`: a value from a CSV file. config/ reads the file with the mapping; here it is a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from cio_etl.model.reasons import LOOKUP_UNMATCHED
from cio_etl.model.records import dataclass
from cio_etl.transform.distinct import by_distinct
from cio_etl.transform.functions.define import function
from cio_etl.transform.nested import in_words

GROUP = "Any value"


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """Keys and values of a lookup's file, both text."""

    entries: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the entries, whatever the order of the file's lines."""
        return hashlib.sha256(json.dumps(sorted(self.entries.items())).encode()).hexdigest()


def _check_lookup(*, separator: str = ",", default: str | None = None, optional: bool = False, **_: object) -> None:
    if len(separator) != 1 or not separator.isascii():
        raise ValueError("'separator' must be one ASCII character")
    if optional and default is not None:
        raise ValueError("give 'default' or 'optional', one of the two")


@function(
    takes=("text", "a number"),
    reason=LOOKUP_UNMATCHED,
    check=_check_lookup,
    means_null=lambda column, dtype, *, optional=False, **_: pl.lit(optional),
)
def lookup(
    column: pl.Expr,
    dtype: pl.DataType,
    *,
    file: str,
    key: str,
    value: str,
    default: str | None = None,
    optional: bool = False,
    separator: str = ",",
    table: Any = None,
) -> pl.Expr:
    """The column `value` of a CSV file, from the line whose column `key` equals the value; everything is text.

    A value that the file does not have becomes `default`, or null with `optional`, or rejects the row. The file is
    read with the mapping, and its content is part of the mapping: a run is not resumed with another content. It has a
    header line, at most 10 MB, and no key twice.

    >>> "FR" | {lookup: {file: countries.csv, key: code, value: name}} -> "France"
    >>> "XX" | {lookup: {file: countries.csv, key: code, value: name}} -> rejected
    >>> "XX" | {lookup: {file: countries.csv, key: code, value: name, default: elsewhere}} -> "elsewhere"
    >>> "XX" | {lookup: {file: countries.csv, key: code, value: name, optional: true}} -> null
    >>> 33 | {lookup: {file: countries.csv, key: dial, value: name}} -> "France"
    """
    if not isinstance(table, Table):
        raise ValueError("lookup: its file was not read; load the mapping with cio_etl.config")
    if not isinstance(dtype, pl.String):
        if not dtype.is_integer():
            what = f"the column holds {in_words(dtype)}, and keys are text or whole numbers; put a `cast` before it"
            raise ValueError(f"lookup: {what}")
        column = column.cast(pl.String)
    entries = table.entries
    return by_distinct(column, lambda one: entries.get(one, default), pl.String())
