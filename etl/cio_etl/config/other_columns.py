"""The attributes `*`: one for each column of the source that no value of the mapping reads.

Which they are is known when the source is open: `with_columns` then makes targets of them, as if each were written.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, create_model

from cio_etl.config.canonical_form import digest
from cio_etl.config.validation import Fault, validated
from cio_etl.config.value_sections import OnError
from cio_etl.config.yaml_file import Loc
from cio_etl.errors import SourceError, similar
from cio_etl.model import ENTRY, Column, Constant, Mapping, Nulls, OtherColumns, Snapshot
from cio_etl.model.records import dataclass
from cio_etl.model.yaml_section import SHOWN_DEFAULT, Section, Text, as_list, omitted
from cio_etl.transform.checks import constant_faults, problems
from cio_etl.transform.explode import exploded
from cio_etl.transform.paths import member_key, path_of, with_members, with_paths

STAR = "*"  # the name under which `attributes` has the other columns
PLACE = ("attributes", STAR)

EMPTY = "empty; write {} to take all other columns of the source, or {except: [password_hash]}"
NOT_KEYS = "must be keys with values, as {except: [password_hash]}; {} takes all other columns of the source"
ONLY_AT_THE_TOP = "all other columns are attributes of what the mapping is about; name each attribute here"
NO_ON_ERROR = "empty; write reject, omit, null, or a constant in place of the value, as {value: unknown}"


class _ExceptYaml(Section):
    """All columns of the source that no value of the mapping reads."""


_EXCEPT = "except"  # a word of Python, which no field of a class can be written as
_Except = Annotated[list[Text], BeforeValidator(as_list)]

if TYPE_CHECKING:
    _OtherColumns = _ExceptYaml
else:
    _words = 'columns to leave out: names, or patterns with `*` and `?`, as `[password_hash, "internal_*"]`'
    _OtherColumns = create_model(
        "_OtherColumns", __base__=_ExceptYaml, **{_EXCEPT: (_Except, Field(default=[], description=_words))}
    )


class OtherColumnsYaml(_OtherColumns):
    """All columns of the source, or members of one of its columns, that no value of the mapping reads."""

    not_offered: ClassVar[dict[str, str]] = {
        **dict.fromkeys(("exclude", "exclude_columns", "without"), "write the columns to leave out as except:"),
        "include": "name these columns as attributes",
        "apply": "functions are for single attributes; name the attribute, as name: {column: name, apply: [trim]}",
        "column": "`*` stands for all other columns; name a single one as an attribute",
    }

    of: Text = omitted(
        "a column of objects, as `properties`: its members are taken in place of columns. See "
        "[Members of objects](#members-of-objects).",
        "the columns of the source",
    )
    rename: Literal["snake_case"] = omitted(
        "`snake_case`: `firstName` and `First name` become `first_name`", "columns keep their names"
    )
    prefix: str = Field(
        "", description="what each name begins with, as `crm_`", json_schema_extra={SHOWN_DEFAULT: "none"}
    )
    new_columns: Literal["leave", "take"] = Field(
        "leave",
        description="what happens with a column that the source did not have in the runs before: `leave` reports it "
        "and does not send it, `take` reports it and sends it",
    )
    on_error: OnError = omitted("as `on_error` of the mapping, for these attributes", "the mapping's")
    nulls: Nulls = omitted("what happens with a null in these attributes: `omit` or `clear`", "the mapping's")

    def to_other_columns(self, on_error: Constant | str, nulls: Nulls) -> OtherColumns:
        """The rule, with what the mapping says where this one says nothing."""
        return OtherColumns(
            self.of,
            tuple(getattr(self, _EXCEPT)),
            self.rename,
            self.prefix,
            self.new_columns,
            on_error if self.on_error is None else self.on_error,
            nulls if self.nulls is None else self.nulls,
        )


def without_star(data: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """A mapping's data without `*`, and what is written there; an empty list: nothing is."""
    attributes = data.get("attributes")
    if not isinstance(attributes, dict) or STAR not in attributes:
        return data, []
    named = {name: value for name, value in attributes.items() if name != STAR}
    return {**data, "attributes": named}, [attributes[STAR]]


def inner_stars(data: dict[str, Any]) -> Iterator[Loc]:
    """The places of `*` among attributes of a device or a relationship."""
    relationships = data.get("relationships")
    parts = [((("relationships", place)), part) for place, part in enumerate(_list(relationships))]
    for loc, part in [(("device",), data.get("device")), *parts]:
        attributes = part.get("attributes") if isinstance(part, dict) else None
        if isinstance(attributes, dict) and STAR in attributes:
            yield (*loc, "attributes", STAR)


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def checked_star(written: Sequence[Any], empty: AbstractSet[Loc]) -> tuple[OtherColumnsYaml | None, list[Fault]]:
    """The section that is written as `*`, if any, and its faults; `empty` has the places with no value."""
    for raw in written:
        if not isinstance(raw, dict):
            return None, [(PLACE, EMPTY if PLACE in empty else NOT_KEYS)]
        section, faults = validated(OtherColumnsYaml, raw)
        faults += [((loc[-1],), NO_ON_ERROR) for loc in empty if loc == (*PLACE, "on_error")]
        return section, [((*PLACE, *loc), message) for loc, message in faults]
    return None, []


@dataclass(frozen=True, slots=True)
class SourceColumns:
    """What `*` makes of a source's columns. None of `known`: no run has finished yet, so all are taken."""

    taken: tuple[str, ...]
    new: tuple[str, ...] = ()  # since the last finished run; taken only if the mapping says so
    gone: tuple[str, ...] = ()  # taken in the last finished run, and not in the source any more
    known: tuple[str, ...] = ()  # what the next run compares with


def source_columns(mapping: Mapping, columns: Sequence[str], known: Collection[str] | None) -> SourceColumns:
    """The columns of a source that a mapping with `*` takes; `known` are those of earlier finished runs.

    Raises SourceError when a column to leave out is probably misspelt.
    """
    rule = mapping.other_columns
    assert rule is not None
    _require_spelling(mapping, rule, [_own_name(rule, name) for name in columns])
    read = _read(mapping)
    others = _others(mapping, rule, columns)
    new = [] if known is None else [name for name in others if name not in known]
    taken = others if rule.new_columns == "take" else [name for name in others if name not in new]
    before = [] if known is None else [name for name in known if name not in columns]
    gone = [name for name in before if name not in read and not _is_left_out(rule, _own_name(rule, name))]
    untaken = set(new) - set(taken)
    after = [*before, *(name for name in columns if name not in untaken)]
    return SourceColumns(tuple(taken), tuple(new), tuple(gone), tuple(after))


def require_other_columns(mapping: Mapping, columns: Sequence[str]) -> None:
    """Raises SourceError when a source has no column for `*`."""
    assert mapping.other_columns is not None
    if mapping.other_columns.of is None and columns and not _others(mapping, mapping.other_columns, columns):
        what = "the source has no other column; remove `*`, or leave fewer columns out"
        raise SourceError("fix the mapping, or the source", place=_place(mapping), what=what)


def _others(mapping: Mapping, rule: OtherColumns, columns: Sequence[str]) -> list[str]:
    read = _read(mapping)
    return [name for name in columns if name not in read and not _is_left_out(rule, _own_name(rule, name))]


def _own_name(rule: OtherColumns, column: str) -> str:
    """The name of a column; of a member of objects, its key."""
    return column if rule.of is None else member_key(rule.of, column)


def rows_of(source: Snapshot, mapping: Mapping, more: Iterable[str] = ()) -> Snapshot:
    """The rows of a source as a mapping reads them: entries of lists, with a column for each path and each member.

    `more` are other names that may be paths. Raises SourceError.
    """
    rows = with_members(exploded(source, mapping), mapping)
    rule = mapping.other_columns
    return with_paths(rows, mapping, [*more, *(() if rule is None else _others(mapping, rule, rows.members))])


def _read(mapping: Mapping) -> set[str]:
    """The columns that values of the mapping read; those of `when`, `event_key` and `order_by` are no values.

    So is the list whose entries are the rows: its parts are named one by one.
    """
    read = set() if mapping.explode is None else {mapping.explode, ENTRY}
    read |= {name for value in mapping.targets.values() for name in value.sources}
    rule = mapping.other_columns
    if rule is not None and rule.of is not None:  # a path may be written in two ways
        paths = [path for path in (path_of(name, [rule.of]) for name in read) if path is not None]
        keys = [path.parts[0] for path in paths if len(path.parts) == 1 and isinstance(path.parts[0], str)]
        read |= {f"{rule.of}.{key}" for key in keys} | {f'{rule.of}["{key}"]' for key in keys}
    return read


def with_columns(mapping: Mapping, taken: Iterable[str]) -> Mapping:
    """The plain form of a mapping with `*`: an attribute for each of these columns.

    Raises SourceError when two attributes would have one name, or when Customer.io does not take a name.
    """
    rule = mapping.other_columns
    assert rule is not None
    column_of: dict[str, str] = {}
    for column in taken:
        name = attribute_name(rule, column)
        what = None
        if not name.removeprefix(rule.prefix):
            what = f"column {column!r} has no letters or digits to make a name of"
        elif STAR in (name, column) or "${vars." in name or "${vars." in column:
            what = f"column {column!r} has a name that a mapping uses for something else"
        elif name in column_of:
            what = f"the columns {column_of[name]!r} and {column!r} would both be the attribute {name!r}"
        elif f"attributes.{name}" in mapping.targets:
            what = f"column {column!r} would be the attribute {name!r}, which the mapping has already"
        if what is not None:
            remedy = "list the column under except:, or name its attribute"
            raise SourceError(remedy, place=_place(mapping), what=what)
        column_of[name] = column
    added = {f"attributes.{name}": Column(column) for name, column in column_of.items()}
    instead = None if isinstance(rule.on_error, str) else rule.on_error
    on_error = {} if rule.on_error == "reject" else dict.fromkeys(added, instead)
    nulls = {} if rule.nulls == mapping.nulls else dict.fromkeys(added, rule.nulls)
    place = mapping.places.get("attributes.*")
    plain = replace(
        mapping,
        targets={**mapping.targets, **added},
        on_error={**mapping.on_error, **on_error},
        nulls_of={**mapping.nulls_of, **nulls},
        other_columns=None,
        places={**mapping.places, **({} if place is None else dict.fromkeys(added, place))},
    )
    for path, what in problems(plain):
        name = path.removeprefix("attributes.")
        about = f"column {column_of[name]!r}: {what}" if name in column_of else what
        raise SourceError("or list the column under except:", place=_place(mapping), what=about)
    for target, reason, _ in constant_faults(plain):
        if target in on_error:
            what = f"on_error of the column {added[target].name!r} would be refused as {target} ({reason})"
            raise SourceError("name the attribute, with an on_error of its own", place=_place(mapping), what=what)
    return replace(plain, digest=digest(plain))


def attributes_of_columns(mapping: Mapping, written: dict[str, Any], taken: Iterable[str]) -> dict[str, Any]:
    """The attributes of a mapping file, with an attribute for each of these columns in place of `*`."""
    rule = mapping.other_columns
    assert rule is not None
    more = {key: written[STAR][key] for key in ("on_error", "nulls") if key in written[STAR]}
    values = {attribute_name(rule, name): {"column": name, **more} if more else name for name in taken}
    return {name: value for key in written for name, value in (values if key == STAR else {key: written[key]}).items()}


def attribute_name(rule: OtherColumns, column: str) -> str:
    """The name of the attribute that a column becomes."""
    name = _own_name(rule, column)
    return rule.prefix + (snake_case(name) if rule.rename == "snake_case" else name)


def snake_case(text: str) -> str:
    """The words of a text in small letters, with `_` between them.

    >>> [snake_case(text) for text in ("firstName", "First name", "HTTPServer2", " Größe (cm) ", "a__b")]
    ['first_name', 'first_name', 'http_server2', 'größe_cm', 'a_b']
    """
    return "_".join(_words(text)).lower()


def _words(text: str) -> Iterator[str]:
    for part in re.split(r"[\W_]+", text):
        start = 0
        for place in range(1, len(part)):
            before, here, after = part[place - 1], part[place], part[place + 1 : place + 2]
            if here.isupper() and (not before.isupper() or after.islower()):
                yield part[start:place]
                start = place
        if part:
            yield part[start:]


def _is_left_out(rule: OtherColumns, column: str) -> bool:
    return any(_pattern(written).fullmatch(column) for written in rule.leave_out)


def _pattern(written: str) -> re.Pattern[str]:
    return re.compile(re.escape(written).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


_ALIKE = 0.8  # of the characters of two names, from 0 to 1: then one of them is probably misspelt


def _require_spelling(mapping: Mapping, rule: OtherColumns, columns: Sequence[str]) -> None:
    """Raises SourceError for a column to leave out that the source lacks, when it has one of a similar name.

    The column that was meant would be sent.
    """
    for written in rule.leave_out:
        if not {"*", "?"} & {*written} and written not in columns:
            others = [name for name in columns if not _is_left_out(rule, name)]
            if (near := similar(written, others, _ALIKE)) is not None:
                what = f"the source has no column {written!r} to leave out; did you mean {near!r}?"
                remedy = f"fix the mapping; or write '{written}*', if that is the name of another source's column"
                raise SourceError(remedy, place=_place(mapping), what=what)


def _place(mapping: Mapping) -> str:
    return f"{mapping.places.get('attributes.*', mapping.file)}: attributes['*']"
