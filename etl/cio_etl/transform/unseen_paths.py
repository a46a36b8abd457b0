"""Paths that lead to a value in no row of the source: a misspelt key would be null everywhere, and nobody would see it.

They are the paths that stand for columns, also inside `object` and `list`, and those of `pick`. A key whose value is
null is there; a field that a record has not is an error before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl

from cio_etl.errors import similar
from cio_etl.model import ENTRY, Call, Column, Columns, Snapshot
from cio_etl.model import Mapping as Rules
from cio_etl.model.records import dataclass
from cio_etl.transform import row_sql
from cio_etl.transform.chains import column_of
from cio_etl.transform.functions.built import members_of
from cio_etl.transform.functions.define import RAW_JSON, raw_json
from cio_etl.transform.functions.json_values import Part, in_columns, parts_of_path
from cio_etl.transform.nested import holds_value
from cio_etl.transform.nested import parts as types_in
from cio_etl.transform.paths import Path, is_no_json, path_of, values_at


@dataclass(frozen=True, slots=True)
class UnseenPath:
    """A path without a value in any row."""

    name: str  # as address.citty
    targets: tuple[str, ...]  # of the mapping, that read it
    near: str | None  # a key that rows have in its place, of a similar name


def unseen_paths(mapping: Rules, snapshot: Snapshot, expected: Sequence[str] = ()) -> list[UnseenPath]:
    """The paths of a mapping that lead to a value in no row. Rows are read until each path has been seen once.

    expected: the columns and paths that the step's expectations read.
    """
    names = _readers(mapping, snapshot, expected)
    unseen = {name: path for name, (path, _) in names.items() if is_open(snapshot.schema[path.column], path.parts)}
    keys: dict[str, set[str]] = {name: set() for name in unseen}
    for frame in _frames(snapshot, unseen):
        for name in _seen(frame, unseen, snapshot.json):
            del unseen[name]
        for name in unseen:
            if len(keys[name]) < _MOST_KEYS:
                keys[name] |= _keys_beside(frame[unseen[name].column], unseen[name].parts)
        if not unseen:
            return []
    return [UnseenPath(name, tuple(names[name][1]), _near(path.parts, keys[name])) for name, path in unseen.items()]


def has_no_entries(mapping: Rules, snapshot: Snapshot) -> bool:
    """Whether the mapping explodes lists, and no row of the source has an entry."""
    if mapping.explode is None or ENTRY not in snapshot.schema or not snapshot.rows:
        return False
    return all(frame[ENTRY].null_count() == frame.height for frame in snapshot.read([ENTRY], 0))


_MOST_KEYS = 200


def _readers(mapping: Rules, snapshot: Snapshot, expected: Sequence[str]) -> dict[str, tuple[Path, list[str]]]:
    """Every path by its name, with the places of the mapping that read it."""
    columns = _columns(mapping, snapshot)
    found: dict[str, tuple[Path, list[str]]] = {}

    def note(name: str, path: Path | None, target: str) -> None:
        if path is not None and path.column in snapshot.schema:
            found.setdefault(name, (path, []))[1].append(target)

    for target, value in mapping.targets.items():
        parts: list[tuple[str, Sequence[Call]]] = [(name, ()) for name in value.sources]
        if isinstance(value, Column):
            parts = [(value.name, value.apply)]
        elif isinstance(value, Columns) and value.apply[0].name == "build":
            parts = [(member.column, member.calls) for member in members_of(value.apply[0].arguments["of"])]
        for name, calls in parts:
            note(name, path_of(name, columns), target)
            note(*_picked(name, calls, columns, snapshot.schema)[:2], target)
    for target, read in (("event_key", mapping.event_key), ("order_by", mapping.order_by), ("expect", expected)):
        for name in read:
            note(name, path_of(name, columns), target)
    for name in row_sql.columns_of(mapping.when) if mapping.when is not None else ():
        note(name, path_of(name, columns), "when")
    if mapping.explode is not None:
        inside = [name for name in columns if name != mapping.explode or name not in snapshot.paths]
        note(mapping.explode, path_of(mapping.explode, inside), "explode")
    return found


_AS_IT_IS = ("trim", "json", "default", "null_if")  # before `pick`, they leave a JSON text as it is


def calls_of_path(name: str, calls: Sequence[Call], mapping: Rules, snapshot: Snapshot) -> int:
    """How many of the first functions of a column make a path that is looked for here; `pick` is the last of them."""
    return _picked(name, calls, _columns(mapping, snapshot), snapshot.schema)[2]


def _columns(mapping: Rules, snapshot: Snapshot) -> list[str]:
    """The columns of a snapshot that are no paths."""
    return [name for name in snapshot.schema if name not in snapshot.paths or name == mapping.explode]


def keys_of_nulls(value: pl.Expr, dtype: pl.DataType, call: Call) -> pl.Expr:
    """The value that `pick` gets, where a key whose value is null is there; of other functions, as it is."""
    if call.name == "pick" and isinstance(dtype, pl.String):
        return value.str.replace_all(_NULL, "${1}0")
    if call.name == "pick" and dtype == RAW_JSON:
        return raw_json(value.struct.field("raw_json").str.replace_all(_NULL, "${1}0"))
    return value


def _picked(
    name: str, calls: Sequence[Call], columns: Sequence[str], schema: pl.Schema
) -> tuple[str, Path | None, int]:
    """The path of the first `pick`s among the functions of a column, its name, and how many functions make it."""
    path = path_of(name, columns) or Path(name, ())
    words, parts, count = name, path.parts, 0
    for place, call in enumerate(calls):
        if call.name == "pick":
            further = parts_of_path(call.arguments["path"])
            if path.column not in schema or not _goes_on(schema[path.column], parts, further):
                break
            words, parts, count = f"{words} | pick: {call.arguments['path']}", (*parts, *further), place + 1
        elif call.name not in _AS_IT_IS:
            break
    return words, Path(path.column, parts) if count else None, count


def _goes_on(dtype: pl.DataType, parts: Sequence[Part], further: Sequence[Part]) -> bool:
    """Whether further parts make one path of a column with these, so that it can be looked for at once.

    After `[*]` they are a part of the list that it makes; in a text of a record, list or map, of the JSON there.
    """
    if None in parts or dtype == RAW_JSON:
        return False
    if isinstance(dtype, pl.String):
        return True
    try:
        in_columns(pl.col("value"), dtype, (*parts, *further))
    except ValueError:
        return False
    return True


def is_open(dtype: pl.DataType, parts: Sequence[Part]) -> bool:
    """Whether values of this type may have nothing at a path: JSON, maps and lists may, a record has all its fields."""
    is_json = isinstance(dtype, pl.String) or dtype == RAW_JSON
    has_places = any(isinstance(part, int) for part in parts)
    return is_json or has_places or any(isinstance(part.dtype, pl.Map) for part in types_in(dtype))


def _frames(snapshot: Snapshot, unseen: Mapping[str, Path]) -> Iterator[pl.DataFrame]:
    """Frames of the columns into which the paths lead that are unseen by then."""
    start = 0
    while unseen and start < snapshot.rows:
        columns = list(dict.fromkeys(path.column for path in unseen.values()))
        for frame in snapshot.read(columns, start):
            start += frame.height
            yield frame
            if not {path.column for path in unseen.values()} >= set(columns):
                break
        else:
            return


def _seen(frame: pl.DataFrame, unseen: Mapping[str, Path], in_json: frozenset[str]) -> list[str]:
    """The paths that lead to a value in a row of the frame."""
    seen: list[str] = []
    for column in dict.fromkeys(path.column for path in unseen.values()):
        paths = {name: path.parts for name, path in unseen.items() if path.column == column}
        values = frame[column]
        if values.dtype == pl.String:
            sound = values if column in in_json else values.filter(~is_no_json(values))
            there = sound.str.replace_all(_NULL, "${1}0").drop_nulls()  # a key whose value is null is there
            made = values_at(there, paths, unique=False) if len(there) else {}
            made = {
                name: values.filter(~values.str.contains(_NONE_OF_EACH)) if None in paths[name] else values
                for name, values in made.items()
            }
        else:
            wanted = (in_columns(column_of(column), values.dtype, parts).alias(name) for name, parts in paths.items())
            made = frame.select(wanted).to_dict()
            made = {
                name: values.filter(values.to_frame().select(holds_value(pl.first(), values.dtype)).to_series())
                if None in paths[name]
                else values
                for name, values in made.items()
            }
        seen += [name for name, part in made.items() if part.null_count() < len(part)]
    return seen


_NULL = r"([:\[,][ \t\r\n]*)null"
_NONE_OF_EACH = r"^\[(?:null,?)*\]$"  # the values at a path with [*], where no element has one


def _keys_beside(values: pl.Series, parts: Sequence[Part]) -> set[str]:
    """The keys that some of these objects have in place of the last key of a path."""
    if values.dtype != pl.String:
        return set()
    keys: set[str] = set()
    for text in values.drop_nulls().head(_LOOKED_AT):
        try:
            here = [json.loads(text)]
        except (ValueError, RecursionError):
            continue
        for part in parts:
            keys |= _texts(key for each in here if isinstance(each, dict) for key in each)
            here = [inner for each in here for inner in _inside(each, part)]
    return keys


_LOOKED_AT = 20


def _texts(keys: Iterable[object]) -> set[str]:
    return {key for key in keys if isinstance(key, str) and "@" not in key}


def _inside(value: object, part: Part) -> list[object]:
    if isinstance(part, str):
        return [value[part]] if isinstance(value, dict) and part in value else []
    if isinstance(value, list):
        return value if part is None else value[part:][:1]
    return []


_ALIKE = 0.7  # of the characters of two keys, from 0 to 1


def _near(parts: Sequence[Part], keys: set[str]) -> str | None:
    """A key that rows have, for the first one of the path that none has."""
    missing = next((part for part in parts if isinstance(part, str) and part not in keys), None)
    return None if missing is None else similar(missing, sorted(keys), _ALIKE)
