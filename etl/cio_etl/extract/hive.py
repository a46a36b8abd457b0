"""Adds the folders of a path as columns: `year=2024/month=01/x.parquet` gives each row two columns of text.

Text, because a type taken from the values changes with them: `01` stays `01`. Written as Hive and Spark write them:
percent-encoded, and `__HIVE_DEFAULT_PARTITION__` for null.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from urllib.parse import unquote

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.frames import check_names, chosen_columns
from cio_etl.model import FAULT, POSITION, Snapshot

RULES = "hive 1"  # part of the fingerprint: raise it when the same paths would give other values

_NULL = "__HIVE_DEFAULT_PARTITION__"


def with_partitions(snapshot: Snapshot) -> Snapshot:
    """The snapshot with a text column for every key of its files' folders, after the files' own columns.

    Raises SourceError when files have other keys than the first, none has any, or a key is a column of the files.
    """
    values = [partitions(file.path) for file in snapshot.files]
    _check(snapshot, values)
    names = list(values[0])
    of_files = {name: pl.Series(name, [of_file[name] for of_file in values], pl.String) for name in names}
    ends = pl.Series([*accumulate(file.rows for file in snapshot.files)], dtype=pl.Int64)
    schema = pl.Schema({**snapshot.schema, **dict.fromkeys(names, pl.String())})

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        chosen = chosen_columns(snapshot.files[0].path, schema, columns)
        own = [name for name in chosen if name not in of_files]
        for frame in snapshot.read(own, start):
            numbers = ends.search_sorted(frame[POSITION], side="right")
            columns_of = [of_files[name].gather(numbers) if name in of_files else frame[name] for name in chosen]
            yield pl.DataFrame([*columns_of, frame[POSITION], frame[FAULT]])

    settings = json.dumps([RULES, snapshot.fingerprint, values])
    fingerprint = hashlib.sha256(settings.encode()).hexdigest()
    return replace(snapshot, fingerprint=fingerprint, schema=schema, read=read)


def partitions(path: str) -> dict[str, str | None]:
    """Keys and values of the folders in a path, from the outermost on.

    >>> partitions("s3://rows/year=2024/city=S%C3%A3o/x.parquet")
    {'year': '2024', 'city': 'São'}
    """
    folders = re.sub(r"^[a-z][a-z0-9+.-]*://[^/]*/", "", path, flags=re.IGNORECASE).split("/")[:-1]
    values: dict[str, str | None] = {}
    for key, is_one, value in (folder.partition("=") for folder in folders):
        if not (key and is_one):
            continue
        name = _decoded(key)
        if name in values:
            raise SourceError("rename one of the folders", place=path, what=f"two of its folders are {name}=…")
        values[name] = None if value == _NULL else _decoded(value)
    return values


def _decoded(text: str) -> str:
    """As it is when what it encodes is no UTF-8: two values must not become one."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


def _check(snapshot: Snapshot, values: Sequence[dict[str, str | None]]) -> None:
    first = snapshot.files[0].path
    if not any(values):
        raise SourceError("leave `hive: true` out", place=first, what="no folder of its path is named key=value")
    for file, of_file in zip(snapshot.files, values, strict=True):
        if of_file.keys() != values[0].keys():
            raise SourceError(
                "name files of one kind, or make them two steps",
                place=file.path,
                what=f"its folders are {_key_list(of_file)}, and those of {first} are {_key_list(values[0])}",
            )
    check_names(first, list(values[0]))
    if doubled := [name for name in values[0] if name in snapshot.schema]:
        raise SourceError(
            "leave `hive: true` out, or the column out of the files",
            place=first,
            what=f"{doubled[0]!r} is a column of the file and a folder of its path",
        )


def _key_list(values: dict[str, str | None]) -> str:
    return ", ".join(f"{name}=…" for name in values) or "none of key=value"
