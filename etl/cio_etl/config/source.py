"""A source that is named on the command line, as the `source:` section of a job and as a Source."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cio_etl.config.references import read_file, resolve, resolve_address
from cio_etl.config.source_sections import SourceYaml
from cio_etl.config.validation import validated
from cio_etl.config.yaml_file import dotted
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Source
from cio_etl.model.sources import KINDS
from cio_etl.model.yaml_section import References

_KINDS_OF_ENDINGS = {ending: kind.kind() for kind in KINDS for ending in kind.endings} | {
    ending: "csv" for ending in (".csv", ".tsv")
}

_DATABASE = re.compile(r"(?!(s3a?|gs|gcs|az|azure|abfss?|https?|file|ftp|hdfs)://)[a-z][a-z0-9+_]*://", re.IGNORECASE)


def source_section(
    named: str, *, table: str | None = None, query_file: str | None = None, sheet: str | None = None
) -> dict[str, Any]:
    """The `source:` section for a file, pattern or URL, or for a table or query of the database that `named` is."""
    if table is not None or query_file is not None:
        chosen = {"table": table, "query_file": query_file}
        return {"sql": named, **{key: value for key, value in chosen.items() if value is not None}}
    if is_database(named):
        problem = "a database, and no rows of it are named; add --table or --query-file"
        raise ConfigError([Problem("the source", None, "", problem)])
    return {_kind(named) or "csv": named} | ({"sheet": sheet} if sheet is not None else {})


def is_source_file(path: Path) -> bool:
    """Whether a file's name, or what it begins with, is that of rows."""
    return path.is_file() and (_kind(path.name) is not None or is_database(address_of(str(path))))


def _kind(named: str) -> str | None:
    """The kind of a file by the ending of its name; None where it has no kind's."""
    plain = named.partition("?")[0].removesuffix(".gz").removesuffix(".zst")
    return _KINDS_OF_ENDINGS.get(Path(plain).suffix.lower())


_MAGIC = {0: (b"SQLite format 3\0", "sqlite"), 8: (b"DUCK", "duckdb")}  # by place in the file
_DATABASE_ENDINGS = {".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".duckdb": "duckdb"}


def address_of(named: str) -> str:
    """What a source is named by: a file that is a database, or is called so, gets its address: sqlite:///shop.db."""
    path = Path(named)
    if not path.is_file():
        return named
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        return named  # opening the source reports it
    kinds = (kind for place, (magic, kind) in _MAGIC.items() if head[place:].startswith(magic))
    kind = next(kinds, _DATABASE_ENDINGS.get(path.suffix.lower()))
    return named if kind is None else f"{kind}:///{named}"


def is_database(named: str) -> bool:
    """Whether this is a database's address, or a reference to one."""
    return "${" in named or _DATABASE.match(named) is not None


def load_source(section: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Source:
    """The source that a section describes. Raises ConfigError with what is wrong in it."""
    try:
        data = {key: _resolved(key, value, environ) for key, value in section.items()}
        if "query_file" in data:
            data["query"] = read_file(Path(data["query_file"]))
    except ValueError as error:
        raise ConfigError([Problem("the source", None, "", str(error))]) from None
    parsed, faults = validated(SourceYaml, data)
    if parsed is None:
        raise ConfigError(Problem("the source", None, dotted(loc), message) for loc, message in faults)
    return parsed.to_source()


def _resolved(key: str, value: Any, environ: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    field = SourceYaml.model_fields.get(key)
    is_address = field is not None and References.ADDRESS in field.metadata
    return resolve_address(value, environ) if is_address else resolve(value, environ)
