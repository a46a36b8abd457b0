"""Paths: a name such as `address.city` that is no column of the source, but a part of one.

A path may stand wherever a column may. It becomes a column of the snapshot, so whatever reads columns reads it. Of a
record, map or list it has the type of the part. Of JSON text it is JSON text itself, each value of its own kind: all
keys of one object are read at once, as lines of NDJSON.

A column whose own name is the path wins, then the longest column with which the path begins.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from cio_etl.errors import SourceError, did_you_mean
from cio_etl.model import FAULT, Snapshot
from cio_etl.model import Mapping as Rules
from cio_etl.model.reasons import JSON_UNREADABLE
from cio_etl.model.records import dataclass
from cio_etl.transform.chains import column_of, place_of_column
from cio_etl.transform.checks import columns_of
from cio_etl.transform.functions.json_values import Part, in_columns, parts_of_path, raw_json_at
from cio_etl.transform.json_texts import keys_in, members
from cio_etl.transform.nested import in_words


@dataclass(frozen=True, slots=True)
class Path:
    """A part of a column."""

    column: str
    parts: tuple[Part, ...]


def path_of(name: str, columns: Iterable[str]) -> Path | None:
    """The part of a column that a name means; None when it is a column itself, or begins with none."""
    known = set(columns)
    if name in known:
        return None
    ends = [match.start() for match in re.finditer(r"[.\[]", name)]
    for end in reversed(ends):
        if (column := name[:end]) in known:
            try:
                return Path(column, parts_of_path(name[end:].removeprefix(".")))
            except ValueError:
                continue
    return None


def is_like_a_path(name: str) -> bool:
    """Whether a name may be a path, as long as the columns are not known."""
    return re.search(r".[.\[]", name) is not None


def columns_to_read(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The columns of a source that are read by these names; None, all, where one of them may be a path."""
    return None if any(map(is_like_a_path, names)) else names


def with_paths(snapshot: Snapshot, mapping: Rules, more: Iterable[str] = ()) -> Snapshot:
    """The snapshot with a column for each path that the mapping reads, and for those among `more`.

    Raises SourceError when a record has no such part. A row whose text is no JSON has a fault, unless the source says
    that the column is JSON.
    """
    return with_parts(snapshot, [*columns_of(mapping), *more], mapping)


def with_parts(snapshot: Snapshot, names: Iterable[str], mapping: Rules) -> Snapshot:
    """The same for the paths among these names, which are the mapping's."""
    paths = _paths(names, snapshot.schema)
    if not paths:
        return snapshot
    json = _in_json(paths, snapshot.schema)
    of_types = {
        name: _typed(path, snapshot.schema, place_of_column(mapping, name))
        for name, path in paths.items()
        if name not in json
    }
    added = {name: pl.String() for name in json} | {name: dtype for name, (_, dtype) in of_types.items()}

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        wanted = {} if columns is None else {name: paths[name] for name in columns if name in paths}
        if not wanted or columns is None:
            yield from snapshot.read(columns, start)
            return
        direct = _direct(snapshot, wanted)
        if len(direct) == len(wanted):
            yield from snapshot.keys.read(direct)(columns, start) if snapshot.keys else ()
            return
        bases = [path.column for path in wanted.values()]
        own = list(dict.fromkeys([*(name for name in columns if name not in paths), *bases]))
        unused = [name for name in bases if name not in columns]
        for frame in snapshot.read(own, start):
            yield _added(frame, wanted, snapshot.json, mapping, unique=snapshot.unique_keys).drop(unused)

    return replace(
        snapshot,
        schema=pl.Schema({**snapshot.schema, **added}),
        read=read,
        json=snapshot.json | frozenset(json),
        paths=snapshot.paths | frozenset(paths),
    )


def _direct(snapshot: Snapshot, paths: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Those values that the source reads beside its columns, by the keys that lead to each."""
    reader = snapshot.keys
    if reader is None or reader.beside is not snapshot.read:
        return {}
    keys = {
        name: (path.column, *_keys(path.parts))
        for name, path in paths.items()
        if path.column in reader.columns and len(_keys(path.parts)) == len(path.parts)
    }
    found = set(keys.values())
    is_inside = any(each[:end] in found for each in found for end in range(1, len(each)))
    return {} if is_inside or len(found) < len(keys) else keys


MAX_MEMBERS = 1_000


def with_members(snapshot: Snapshot, mapping: Rules) -> Snapshot:
    """The snapshot of a mapping whose `*` takes the members of a column, with the paths to all of them as `members`.

    Of JSON, they are those that some row has, so the column is read once. Raises SourceError.
    """
    if mapping.other_columns is None or mapping.other_columns.of is None:
        return snapshot
    snapshot = with_parts(snapshot, [mapping.other_columns.of], mapping)
    members = members_of(mapping, snapshot.schema, lambda name: snapshot.read([name], 0), snapshot.json)
    return replace(snapshot, members=members)


def members_of(
    mapping: Rules,
    schema: pl.Schema,
    read: Callable[[str], Iterable[pl.DataFrame]],
    json: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """The paths to all members of the objects of which `*` takes each; `read` yields frames with a column.

    `json`: columns of which the source says that they are JSON. Raises SourceError when the source has no such column,
    or when it holds no objects.
    """
    rule = mapping.other_columns
    assert rule is not None and rule.of is not None
    place = f"{mapping.places.get('attributes.*', mapping.file)}: attributes['*'].of"
    if rule.of not in schema:
        what = f"the source has no column {rule.of!r}"
        raise SourceError(did_you_mean(rule.of, schema, "name a column of objects"), place=place, what=what)
    dtype = schema[rule.of]
    if isinstance(dtype, pl.Struct):
        return tuple(path_to_member(rule.of, field.name, place) for field in dtype.fields)
    if not isinstance(dtype, pl.String | pl.Null):
        what = f"column {rule.of!r} holds {in_words(dtype)}, and has no members"
        raise SourceError("name a column of objects", place=place, what=what)
    found: dict[str, None] = {}
    for frame in read(rule.of):
        texts = frame[rule.of].cast(pl.String)
        if rule.of not in json:
            texts = texts.filter(~is_no_json(texts))
        found |= dict.fromkeys(keys_in(texts))
        if len(found) > MAX_MEMBERS:
            what = f"the objects in column {rule.of!r} have more than {MAX_MEMBERS:,} different members"
            raise SourceError("name the attributes that you need", place=place, what=what)
    return tuple(path_to_member(rule.of, key, place) for key in found)


def path_to_member(column: str, key: str, place: str) -> str:
    """The path to a member of an object. Raises SourceError for a key that no path can have."""
    for path in (f"{column}.{key}", f'{column}["{key}"]'):
        if path_of(path, [column]) == Path(column, (key,)):
            return path
    what = f"the objects in column {column!r} have a key that no path can have: {key!r}"
    raise SourceError("rename it, or name the attributes that you need", place=place, what=what)


def member_key(column: str, path: str) -> str:
    """The key of a member to which `path_to_member` leads; another path as it is."""
    found = path_of(path, [column])
    return path if found is None or len(found.parts) != 1 else str(found.parts[0])


def with_path_columns(frame: pl.DataFrame, mapping: Rules, json: frozenset[str], fault: str = FAULT) -> pl.DataFrame:
    """Rows of a source with a column for each path that the mapping reads; `json` are its columns of JSON text.

    The column `fault` is set in the rows whose text is no JSON. Raises SourceError.
    """
    paths = _paths(columns_of(mapping), frame.schema)
    return _added(frame, paths, json, mapping, fault) if paths else frame


def _paths(names: Iterable[str], schema: pl.Schema) -> dict[str, Path]:
    found = {name: path_of(name, schema) for name in names}
    return {name: path for name, path in found.items() if path is not None}


def _in_json(paths: Mapping[str, Path], schema: pl.Schema) -> list[str]:
    return [name for name, path in paths.items() if isinstance(schema[path.column], pl.String | pl.Null)]


def _typed(path: Path, schema: pl.Schema, place: str) -> tuple[pl.Expr, pl.DataType]:
    """The part of a record, map or list, and its type."""
    dtype = schema[path.column]
    try:
        if not dtype.is_nested():
            raise ValueError(f"it holds {in_words(dtype)}, and has no parts")
        value = in_columns(column_of(path.column), dtype, path.parts)
    except ValueError as error:
        what = f"column {path.column!r}: {str(error).removeprefix('pick: ')}"
        raise SourceError("fix the path in the mapping", place=place, what=what) from None
    return value, pl.LazyFrame(schema={path.column: dtype}).select(value.alias("part")).collect_schema()["part"]


def _added(
    frame: pl.DataFrame,
    paths: Mapping[str, Path],
    json: frozenset[str],
    mapping: Rules,
    fault: str = FAULT,
    *,
    unique: bool = False,
) -> pl.DataFrame:
    """The frame with the column of each path."""
    of_json = _in_json(paths, frame.schema)
    typed = [name for name in paths if name not in of_json]
    columns = [_typed(paths[name], frame.schema, place_of_column(mapping, name))[0].alias(name) for name in typed]
    unreadable = pl.repeat(False, frame.height, eager=True)
    made: dict[str, pl.Series] = {}
    for base in dict.fromkeys(paths[name].column for name in of_json):
        texts = frame[base].cast(pl.String)
        if base not in json:
            bad = is_no_json(texts)
            if bad.any():
                unreadable |= bad
                texts = texts.zip_with(~bad, pl.Series([None], dtype=pl.String))
        of_base = {name: paths[name].parts for name in of_json if paths[name].column == base}
        made |= values_at(texts, of_base, unique=unique and base in json)
    frame = frame.with_columns(*columns, *(part.alias(name) for name, part in made.items()))
    if not unreadable.any():
        return frame
    faults = pl.when(unreadable & pl.col(fault).is_null()).then(pl.lit(JSON_UNREADABLE)).otherwise(fault)
    return frame.with_columns(faults.alias(fault))


def is_no_json(texts: pl.Series) -> pl.Series:
    """Where a text is not JSON."""
    return texts.is_not_null() & texts.str.json_path_match("$").is_null() & (texts.str.strip_chars() != "null")


def values_at(texts: pl.Series, parts: Mapping[str, tuple[Part, ...]], *, unique: bool) -> dict[str, pl.Series]:
    """The values at several paths in JSON texts, as JSON text; null where there is no such value, or JSON's null.

    `unique`: no object has a key twice.
    """
    of_keys = {name: _keys(path) for name, path in parts.items()}
    made: dict[str, pl.Series] = {}
    wanted = list(dict.fromkeys(keys for keys in of_keys.values() if keys))
    found: dict[tuple[str, ...], pl.Series] = {(): texts}
    while wanted:  # those of which none is inside another, all at once; then the others
        outer = [keys for keys in wanted if not any(keys[: len(other)] == other for other in wanted if other != keys)]
        found |= zip(outer, members(texts, outer, unique=unique), strict=True)
        wanted = [keys for keys in wanted if keys not in outer]
    for name, path in parts.items():
        rest = path[len(of_keys[name]) :]  # from a place in a list on
        value = found[of_keys[name]]
        made[name] = raw_json_at(value, rest) if rest else value
    return made


def _keys(path: Sequence[Part]) -> tuple[str, ...]:
    """The keys with which a path begins."""
    return tuple(
        part for part in itertools.takewhile(lambda part: isinstance(part, str), path) if isinstance(part, str)
    )
