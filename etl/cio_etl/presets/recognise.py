"""Which presets read a source with these columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import polars as pl

from cio_etl.presets.catalog import ExportFile, Preset, presets


@dataclass(frozen=True, slots=True)
class Recognised:
    """A preset, and the file of its export that a source is."""

    preset: Preset
    file: ExportFile


def recognise(kind: str, schema: pl.Schema, among: Iterable[Preset] | None = None) -> list[Recognised]:
    """The files of presets that a source of this kind, such as `csv`, may be; the most columns first.

    A file is recognised by its columns, in any order and in capital or small letters; it may have more.
    """
    columns = {name.casefold() for name in _columns(schema)}
    found = [
        Recognised(preset, file)
        for preset in (presets() if among is None else among)
        for file in preset.files
        if file.kind == kind and _has(columns, file)
    ]
    return sorted(found, key=lambda each: -len(each.file.columns))


def _has(columns: Collection[str], file: ExportFile) -> bool:
    return all(name.casefold() in columns for name in file.columns) and not any(
        name.casefold() in columns for name in file.absent
    )


def _columns(schema: pl.Schema) -> Iterable[str]:
    """The columns, and the members of those that hold objects, as `properties.time`."""
    for name, kind in schema.items():
        yield name
        if isinstance(kind, pl.Struct):
            yield from (f"{name}.{member.name}" for member in kind.fields)
