"""Which presets read a source with these columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath

import polars as pl

from cio_etl.errors import ConfigError, Problem
from cio_etl.presets.catalog import ExportFile, Preset, presets

_SURE = 3  # columns; fewer, such as email and created, stand in files of anybody


@dataclass(frozen=True, slots=True)
class Recognised:
    """A preset, and the file of its export that a source is."""

    preset: Preset
    file: ExportFile


def recognise(
    kind: str, schema: pl.Schema, among: Iterable[Preset] | None = None, *, path: object = ""
) -> list[Recognised]:
    """The files of presets that a source of this kind, such as `csv`, may be; the most columns first.

    A file is recognised by its columns, in any order and in capital or small letters; it may have more. Its name, in
    `path`, decides between files of one preset that have the same columns, and counts where these are too few to say
    anything: then another name is another file. Of a table, `path` is its name, which must be that of the preset's.
    """
    table = str(path).rpartition(".")[2].casefold()
    columns = {name.casefold() for name in _columns(schema)}
    found = [
        Recognised(preset, file)
        for preset in (presets() if among is None else among)
        for file in preset.files
        if file.kind == kind and (file.table is None or table in ("", file.table)) and _has(columns, file)
    ]
    found = [each for each in found if len(each.file.columns) >= _SURE or _is_named(path, each.file)]
    found = [each for each in found if _is_named(path, each.file) or not _other_is_named(path, each, found)]
    return sorted(found, key=lambda each: -len(each.file.columns))


def which_file(preset: Preset, kind: str, schema: pl.Schema, path: object) -> ExportFile | None:
    """The preset's file that a source is; None: it is none of them. Raises ConfigError when it may be several."""
    found = [each.file for each in recognise(kind, schema, [preset], path=path)]
    likely = [file for file in found if len(file.columns) == len(found[0].columns)]
    if len(likely) > 1:
        names = " or ".join(str(file.file or file.table) for file in likely)
        what = f"by its columns it may be {names} of {preset.title}; give it the name that the product gave it"
        raise ConfigError([Problem(str(path), None, "", what)])
    return likely[0] if likely else None


def _is_named(path: object, file: ExportFile) -> bool:
    """Whether a file has the name that the product gives to such files; a table's name is that of the source."""
    name = PurePath(str(path)).name.casefold()
    return file.file is None or fnmatchcase(name, PurePath(file.file).name.casefold())


def _other_is_named(path: object, this: Recognised, found: Iterable[Recognised]) -> bool:
    """Whether the path has the name of another file with the same columns, of the same preset."""
    return any(
        each is not this
        and each.preset is this.preset
        and len(each.file.columns) == len(this.file.columns)
        and _is_named(path, each.file)
        for each in found
    )


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
