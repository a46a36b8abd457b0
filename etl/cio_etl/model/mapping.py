"""What a mapping says: the value of each target, settings, examples."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from dataclasses import field
from typing import Any, Literal

from cio_etl.model.expectations import Expectation
from cio_etl.model.records import dataclass

IdentifierKind = Literal["id", "email", "phone", "cio_id", "anonymous_id"]
Nulls = Literal["omit", "clear"]


@dataclass(frozen=True, slots=True)
class Call:
    """One function of an `apply` list, with its arguments: `{divide: 100}` is Call("divide", {"by": 100})."""

    name: str
    arguments: MappingOf[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A value taken from a column of the row, through functions."""

    name: str
    apply: tuple[Call, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of the row that the value is made of."""
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value for every row: anything JSON can hold."""

    value: Any

    @property
    def sources(self) -> tuple[str, ...]:
        """None: no column."""
        return ()


@dataclass(frozen=True, slots=True)
class Columns:
    """A value made of several columns of the row, in this order, by the first of its functions."""

    names: tuple[str, ...]
    apply: tuple[Call, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of the row that the value is made of."""
        return self.names


Value = Column | Columns | Constant


@dataclass(frozen=True, slots=True)
class Example:
    """A row and what the mapping must make of it: payloads, or a reject with this reason, or `skipped`."""

    row: MappingOf[str, Any]
    payloads: MappingOf[str, Any] = field(default_factory=dict)  # what each API is sent, by the API's name
    rejected: str | None = None
    skipped: bool = False
    line: int | None = None


@dataclass(frozen=True, slots=True)
class OtherColumns:
    """The attributes `*`: one for each column of the source, or member of one, that no value of the mapping reads."""

    of: str | None = None  # the column of objects whose members they are; None: the source's columns
    leave_out: tuple[str, ...] = ()  # names, or patterns with * and ?
    rename: Literal["snake_case"] | None = None
    prefix: str = ""
    new_columns: Literal["leave", "take"] = "leave"  # columns that the source did not have in the runs before
    on_error: Constant | str = "reject"  # or omit, or what is sent in place of a value that cannot be sent
    nulls: Nulls = "omit"


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a row becomes a call. `digest` is SHA-256 over what it means; comments, key order and examples aren't.

    `targets` has every value by its path in the mapping file: `attributes.plan`, `relationships[0].object.id`. Which
    there are depends on the operation (apis/operations.py); of several faults of a row, the first target's is reported.
    """

    file: str
    operation: str  # a row of the table in apis/operations.py: identify, track, …
    targets: MappingOf[str, Value]
    digest: str = ""
    operations: tuple[str, ...] = ()  # of change records: what the target `operation` may be in a row, each once
    event_key: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()  # columns; of a person's rows the last by them is sent, the others are skipped
    nulls: Nulls = "omit"
    nulls_of: MappingOf[str, Nulls] = field(default_factory=dict)  # by target, where it is not that of the mapping
    # By target: what is sent in place of a value that cannot be sent. None: nothing. Of other targets, such a value
    # rejects its row.
    on_error: MappingOf[str, Constant | None] = field(default_factory=dict)
    explode: str | None = None  # the list of which each entry is a row, as items, or a path to it
    when: str | None = None  # SQL expression over the row's columns
    allow_reserved: tuple[str, ...] = ()  # reserved names that this mapping sends on purpose
    examples: tuple[Example, ...] = ()
    expect: tuple[Expectation, ...] = ()  # of the rows of the source; no part of the digest
    segment: int | None = None
    existing_only: bool = False
    visitors_in_batches: bool = False  # events of visitors, where an API takes them one a request otherwise
    retry_unknown: bool = False  # send again what may have been done, though it cannot be undone
    other_columns: OtherColumns | None = None  # until the source's columns are known: then they are targets
    places: MappingOf[str, str] = field(default_factory=dict, compare=False, repr=False)  # by path, as `a.yaml:7`

    def place_of(self, path: str) -> str:
        """Where a fault of a value or key is: the file and line in which it is written, and its path."""
        return f"{self.places.get(path, self.file)}: {path}"

    def part(self, path: str) -> dict[str, Value]:
        """The values below a path, by the rest of their path: of `attributes`, those of attributes by their names."""
        return {
            target.removeprefix(f"{path}."): value
            for target, value in self.targets.items()
            if target.startswith(f"{path}.")
        }

    @property
    def identifies_events(self) -> bool:
        """Whether an event has the same id in every run: by its columns, or its own id."""
        return bool(self.event_key) or "event_id" in self.targets

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The targets of `identifiers: {first: […]}`: a row is about the first that it has. (): there is one only."""
        targets = tuple(target for target in self.targets if target.startswith("identifiers."))
        return targets if len(targets) > 1 else ()

    def nulls_at(self, target: str) -> Nulls:
        """What happens with a null of this target."""
        return self.nulls_of.get(target, self.nulls)

    def from_columns(self, path: str) -> list[str]:
        """The targets at a path or below it whose values come from columns, and so may differ from row to row."""
        return [
            target
            for target, value in self.targets.items()
            if f"{target}.".startswith(f"{path}.") and not isinstance(value, Constant)
        ]

    def relationship_ends(self) -> list[str]:
        """The path of each relationship's other end: `relationships[0].object`, or `….person`."""
        matches = (_RELATIONSHIP_END.match(target) for target in self.targets)
        return list(dict.fromkeys(match[1] for match in matches if match))


_RELATIONSHIP_END = re.compile(r"(relationships\[\d+\]\.(?:object|person))\.")
