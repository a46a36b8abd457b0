"""Makes the `source:` section of a job from a source on the command line."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cio_etl.log.temporary import temporary_folder


def section_of(source: str, table: str | None, query_file: str | None, sheet: str | None) -> dict[str, Any]:
    """The `source:` section for a source on the command line; of a CSV file with its separator and encoding.

    Raises ConfigError, which lists the tables, when it is a database and no table or query is named;
    SourceError when a file with the ending of a database is none.
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
    """Raises ConfigError with the tables of the database, where they can be listed; of a file, why they cannot."""
    from cio_etl.config import load_source
    from cio_etl.errors import ConfigError, EtlError, Problem
    from cio_etl.extract import table_names, tables_of
    from cio_etl.model import SqlSource

    try:
        source = load_source({"sql": address, "query": "select 1"})
        assert isinstance(source, SqlSource)
        tables = tables_of(source)
    except EtlError:
        if Path(place).is_file():
            raise
        return  # the section reports that no table is named
    if not tables:
        raise ConfigError([Problem(place, None, "", "a database without tables or views; check its address")])
    message = f"a database, whose tables are {table_names(tables)}; name one by --table, or a query by --query-file"
    raise ConfigError([Problem(place, None, "", message)])


def name_of(section: Mapping[str, Any]) -> str:
    """The path of a file, or the name of a table; empty for a query."""
    return str(section.get("table", "")) if "sql" in section else str(next(iter(section.values())))


def columns_in(section: Mapping[str, Any]) -> list[str]:
    """The columns of a source, by its section, and their members. Raises EtlError when it cannot be read."""
    from cio_etl.config import load_source
    from cio_etl.extract import open_source
    from cio_etl.model import Staging
    from cio_etl.presets import columns_of

    with temporary_folder() as stage:
        return columns_of(open_source(load_source(section), Staging(Path(stage), rows=1_000)))
