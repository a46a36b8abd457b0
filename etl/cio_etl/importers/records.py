"""What an importer is, and what it makes: plain records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from cio_etl.importers.definitions import Definition
from cio_etl.importers.lost import Lost


@dataclass(frozen=True, slots=True)
class ImportedStep:
    """A step of the job and its mapping, as plain data.

    connection: the tool's name for the database, from which the name of the address's variable is made.
    query: an SQL query of the source; a table is in `source`. more: other keys of the step, as `sync`.
    """

    name: str
    place: str
    connection: str
    source: dict[str, Any]
    mapping: dict[str, Any]
    query: str | None = None
    more: dict[str, Any] = field(default_factory=dict)
    lost: tuple[Lost, ...] = ()
    schedule: str | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """Everything that was made of the files. `lost` is what belongs to no step. region: us or eu."""

    steps: tuple[ImportedStep, ...]
    lost: tuple[Lost, ...] = ()
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page or a file that describes a format, what was taken from it, and when it was looked up."""

    address: str
    says: str
    looked_up: str


@dataclass(frozen=True, slots=True)
class Importer:
    """An importer of one tool's definitions.

    read: makes steps of files; the collection has the names of destinations that a person says are Customer.io.
    loses: what is never carried over.
    """

    name: str
    title: str
    takes: str
    pages: tuple[Page, ...]
    loses: tuple[str, ...]
    read: Callable[[Sequence[Definition], Collection[str]], Imported]
