"""Finds the plans that `cio-etl plan` has written into the state's folder or beside it, and reads them whole."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cio_etl.audit.mask import value_shown
from cio_etl.model import NOT_KNOWN, NOTHING, Plan, StepPlan, ValueChange

MOST_FILES = 200
MOST_BYTES = 20_000_000
HEAD_BYTES = 4_000  # in which a plan has named its job file


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan and its file."""

    path: Path
    plan: Plan

    @property
    def key(self) -> str:
        """What names it in an address."""
        return hashlib.sha256(os.fsencode(self.path.absolute())).hexdigest()[:16]


@dataclass(slots=True)
class PlanFiles:
    """The plans in a state's folder, and in others; each is read once, and again when it has changed."""

    state: Path
    others: Sequence[Path]
    _read: dict[Path, tuple[tuple[int, int], Plan | None]] = field(default_factory=dict)
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> list[PlanFile]:
        """The plans as they are now, the newest first."""
        with self._reading:
            found = [PlanFile(path, plan) for path in self._paths() if (plan := self._current(path)) is not None]
        return sorted(found, key=lambda file: file.plan.made_at, reverse=True)

    def _paths(self) -> Iterator[Path]:
        found: dict[Path, float] = {}
        named = (self.state / "plans").glob("*/*.json")
        for path in chain(named, *(folder.glob("*.json") for folder in (self.state, *self.others))):
            try:
                found.setdefault(path.absolute(), path.stat().st_mtime)
            except OSError:
                continue
        newest = sorted(found, key=found.__getitem__, reverse=True)
        yield from newest[:MOST_FILES]

    def _current(self, path: Path) -> Plan | None:
        try:
            stat = path.stat()
            version = (stat.st_mtime_ns, stat.st_size)
            if (read := self._read.get(path)) is not None and read[0] == version:
                return read[1]
            plan = read_plan(path.read_text(encoding="utf-8")) if _may_be_plan(path, stat.st_size) else None
        except (OSError, ValueError):
            return None
        self._read[path] = (version, plan)
        return plan


def _may_be_plan(path: Path, size: int) -> bool:
    """Whether it is worth reading: other JSON files here may be exports of any size."""
    with path.open("rb") as file:
        return size <= MOST_BYTES and b'"job_file"' in file.read(HEAD_BYTES)


def read_plan(text: str) -> Plan | None:
    """A plan as `plan -o` writes it, with its values masked; None for another file."""
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or not {"job", "made_at", "steps", "format"} <= content.keys():
            return None
        return masked(TypeAdapter(Plan).validate_python(content))
    except (ValueError, ValidationError, RecursionError):
        return None


def masked(plan: Plan) -> Plan:
    """The plan without the values that `--reveal` has written into its file."""
    if not plan.revealed:
        return plan
    return replace(plan, steps=tuple(_masked(step) for step in plan.steps), revealed=False)


def _masked(step: StepPlan) -> StepPlan:
    def form(value: str) -> str:
        if value in (NOTHING, NOT_KNOWN):
            return value
        try:
            return value_shown(value, False)
        except (ValueError, RecursionError):
            return "…"  # cut to a length, it is no JSON any more

    changes = {
        part: tuple(ValueChange(form(each.before), form(each.after), each.subjects) for each in most_frequent)
        for part, most_frequent in step.changes.items()
    }
    return replace(step, changes=changes)
