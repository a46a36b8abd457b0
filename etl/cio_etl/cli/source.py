"""Makes the `source:` section of a job from a source on the command line."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.errors import SourceError


def section_of(source: str, table: str | None, query_file: str | None, sheet: str | None) -> dict[str, Any]:
    """The `source:` section for a source on the command line; of a CSV file with its separator and encoding.

    Raises ConfigError, which lists the tables, when it is a database and no table or query is named.
    """
    from cio_etl.config import address_of, is_database, source_section
    from cio_etl.extract import csv_settings

    place = source if Path(source).is_file() else "the source"  # an address may hold a password
    source = address_of(source)
    if table is None and query_file is None and is_database(source):
        _require_table(source, place)
    section = source_section(source, table=table, query_file=query_file, sheet=sheet)
    if section.keys() == {"csv"} and (files := [source] if Path(source).is_file() else sorted(glob.glob(source))):
        section |= csv_settings(Path(files[0]))
    return section


def _require_table(address: str, place: str) -> None:
    """Raises ConfigError with the tables of the database, where they can be listed."""
    from cio_etl.errors import ConfigError, EtlError, Problem
    from cio_etl.propose import tables_of

    try:
        tables = tables_of(address)
    except EtlError:
        return  # the section reports that no table is named
    if not tables:
        raise ConfigError([Problem(place, None, "", "a database without tables and views; check its address")])
    message = f"a database; choose tables with --table: {_names(tables)}; or a query with --query-file"
    raise ConfigError([Problem(place, None, "", message)])


def with_tables(error: SourceError, section: Mapping[str, Any]) -> SourceError:
    """The error of a source; where the database has no such table, with those that it has."""
    from cio_etl.errors import EtlError, SourceError
    from cio_etl.propose import MAX_TABLES, tables_of

    if (table := section.get("table")) is None:
        return error
    try:
        tables = tables_of(section["sql"])
    except EtlError:
        return error
    known = {name.rpartition(".")[2].lower() for name in tables}  # the schema may be left out, or be the usual one
    if not tables or len(tables) >= MAX_TABLES or table.rpartition(".")[2].lower() in known:
        return error
    near = get_close_matches(table, tables, 1)
    remedy = f"did you mean {near[0]}? {_listed(tables)}" if near else _listed(tables)
    return SourceError(remedy, place=f"table {table}", what="the database has no such table")


def _listed(tables: Sequence[str]) -> str:
    return f"its tables are {_names(tables)}"


def _names(tables: Sequence[str]) -> str:
    from cio_etl.propose import MAX_TABLES

    return f"{', '.join(tables)}{' and others' if len(tables) >= MAX_TABLES else ''}"
