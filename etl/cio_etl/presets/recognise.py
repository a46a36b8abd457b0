"""Which presets read a source with these columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath

import polars as pl

from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Snapshot
from cio_etl.presets.catalog import ExportFile, Preset, presets

_OBJECTS = 100  # whose members are listed
_SURE = 3  # columns; fewer, such as email and created, stand in files of anybody


@dataclass(frozen=True, slots=True)
class Recognised:
    """A preset, and the file of its export that a source is."""

    preset: Preset
    file: ExportFile


def recognise(
    kind: str, columns: Iterable[str], among: Iterable[Preset] | None = None, *, path: object = ""
) -> list[Recognised]:
    """The files of presets that a source of this kind, such as `csv`, may be; the most columns first.

    columns: those of `columns_of`.

    A file is recognised by its columns, in any order and in capital or small letters; it may have more. Its name, in
    `path`, decides between files of one preset that have the same columns, and counts where these are too few to say
    anything: then another name is another file. Of a table, `path` is its name, which must be that of the preset's.
    """
    table = str(path).rpartition(".")[2].casefold()
    columns = {name.casefold() for name in columns}
    found = [
        Recognised(preset, file)
        for preset in (presets() if among is None else among)
        for file in preset.files
        if file.kind == kind and (file.table is None or table in ("", file.table)) and _has(columns, file)
    ]
    found = [each for each in found if len(each.file.columns) >= _SURE or _is_named(path, each.file)]
    found = [each for each in found if _is_named(path, each.file) or not _other_is_named(path, each, found)]
    return sorted(found, key=lambda each: -len(each.file.columns))


def which_file(preset: Preset, kind: str, columns: Iterable[str], path: object) -> ExportFile | None:
    """The preset's file that a source is; None: it is none of them.

    Raises ConfigError when it may be several, and when its columns are written in other letters.
    """
    columns = [*columns]
    found = [each.file for each in recognise(kind, columns, [preset], path=path)]
    likely = [file for file in found if len(file.columns) == len(found[0].columns)]
    if len(likely) > 1:
        names = " or ".join(str(file.file or file.table) for file in likely)
        what = f"by its columns it may be {names} of {preset.title}; give it the name that the product gave it"
        raise ConfigError([Problem(str(path), None, "", what)])
    if likely and (words := _other_letters(columns, likely[0], preset)):
        raise ConfigError([Problem(str(path), None, "", words)])
    return likely[0] if likely else None


def _other_letters(columns: Collection[str], file: ExportFile, preset: Preset) -> str:
    """Which columns are in other letters than the product's, by which the mappings read them; "" if none is."""
    written = {name.casefold(): name for name in columns}
    other = [(name, written[name.casefold()]) for name in file.columns if name not in columns]
    if not other:
        return ""
    names = ", ".join(f"{there!r} in place of {name!r}" for name, there in other)
    return f"its header has {names}; the mappings read the names as {preset.title} writes them: write the header so"


def why_not(preset: Preset, kind: str, columns: Iterable[str], path: object) -> str:
    """Why a source is none of the preset's files: what it lacks of the file that it is most like."""
    files = [file for file in preset.files if file.kind == kind]
    if not files:
        kinds = " and ".join(sorted({file.kind for file in preset.files}))
        return f"it is read as {kind}, and the files of {preset.title} as {kinds}"
    columns = {name.casefold() for name in columns}
    lacking = {file.name: [name for name in file.columns if name.casefold() not in columns] for file in files}
    share = {file.name: len(lacking[file.name]) / len(file.columns) for file in files}
    like = min(files, key=lambda file: (not (_is_named(path, file) and share[file.name] < 1), share[file.name]))
    name = like.file or f"table {like.table}"
    if share[like.name] == 1:
        return f"it has none of the columns by which {preset.title}'s {name} is recognised"
    if missing := lacking[like.name]:
        return f"it lacks {', '.join(map(repr, missing))} of {preset.title}'s {name}"
    if others := [name for name in like.absent if name.casefold() in columns]:
        return f"it has {', '.join(map(repr, others))}, and {preset.title}'s {name} does not"
    return f"it has the columns of {preset.title}'s {name}, but another name; give it this name"


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


def columns_of(snapshot: Snapshot) -> list[str]:
    """The columns of a source, and the members of those that hold objects, as `properties.time`.

    Members of JSON are those of the first objects.
    """
    return [name for column in snapshot.schema for name in (column, *_members(snapshot, column))]


def _members(snapshot: Snapshot, column: str) -> Iterator[str]:
    kind = snapshot.schema[column]
    if isinstance(kind, pl.Struct):
        yield from (f"{column}.{member.name}" for member in kind.fields)
    if column not in snapshot.json:
        return
    frame = next(snapshot.read([column], 0), None)
    texts = [] if frame is None else frame.get_column(column).drop_nulls().head(_OBJECTS).to_list()
    documents = [json.loads(text) for text in texts]
    names = {name: None for document in documents if isinstance(document, dict) for name in document}
    yield from (f"{column}.{name}" for name in names)
