"""A job of one step over several nights: its rows, its mapping, and the items that each night sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from cio_etl.config import load_job
from cio_etl.model import Report
from cio_etl.report import Observer
from cio_etl.run import Caller, RunOptions, run_job
from cio_etl.sandbox import Sandbox
from tests.running import API_KEY, SITE_ID, write_job

WRITE_KEY = "WRITE_KEY_OF_THE_TESTS"
KEYS = {name: "sandbox" for name in (SITE_ID, API_KEY, WRITE_KEY)}
PEOPLE = {
    "operation": "identify",
    "identifiers": {"id": "id"},
    "attributes": {name: name for name in ("email", "plan", "city")},
}
EVENTS = {
    "operation": "track",
    "identifiers": {"id": "id"},
    "event": {"value": "bought"},
    "event_key": ["order"],
    "timestamp": {"column": "at", "apply": ["timestamp"]},
    "attributes": {"price": "price"},
}


@dataclass(slots=True)
class Notes(Observer):
    """Collects the notes of a run."""

    lines: list[str]

    def note(self, line: str) -> None:
        self.lines.append(line)


@dataclass(slots=True)
class Nights:
    """One job over several nights, and the items that each night sends."""

    sandbox: Sandbox
    bodies: list[bytes]
    notes: list[str] = field(default_factory=list)  # that the last night printed
    mapping: dict[str, Any] = field(default_factory=lambda: PEOPLE)
    settings: dict[str, Any] = field(default_factory=dict)
    step: dict[str, Any] = field(default_factory=lambda: {"sync": "changed"})

    def run(self, rows: Sequence[Mapping[str, Any]], **options: Any) -> Report:
        self.write(rows)
        return self.again(**options)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes the job, its mapping and its rows."""
        schema = {name: pl.String for row in rows or [person(0)] for name in row}
        pl.DataFrame(list(rows), schema=schema).write_parquet("rows.parquet")
        Path("mapping.yaml").write_text(json.dumps(self.mapping))
        settings = {"max_rejects": "100%"} | self.settings
        to = {"lanes": 4, "requests_per_second": "unlimited", "write_key": f"${{{WRITE_KEY}}}"}
        write_job(
            Path("job.yaml"),
            self.sandbox.url,
            {"rows": ({"parquet": "rows.parquet"}, "mapping.yaml", self.step)},
            destination=to | settings.pop("destination", {}),
            **settings,
        )

    def again(self, **options: Any) -> Report:
        self.bodies.clear()
        self.notes.clear()
        return run_job(load_job(Path("job.yaml"), KEYS), RunOptions(**options), Caller(observer=Notes(self.notes)))

    def sent(self, rows: Sequence[Mapping[str, Any]], **options: Any) -> list[dict[str, Any]]:
        """The items that a night sends."""
        self.run(rows, **options)
        return self.items()

    def items(self) -> list[dict[str, Any]]:
        items = [item for body in self.bodies for item in json.loads(body)["batch"]]
        return sorted(items, key=lambda item: str(item))

    def people(self) -> dict[str, dict[str, Any]]:
        return {str(each.identifiers["id"]): dict(each.attributes) for each in self.sandbox.people.everybody()}


def person(number: int, **values: Any) -> dict[str, Any]:
    return {"id": str(number), "email": f"{number}@example.com", "plan": "free", "city": "Rome"} | values


def change(number: int, **attributes: Any) -> dict[str, Any]:
    return {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": str(number)},
        "attributes": {**attributes, "_update": True},
    }


def delta(report: Report) -> tuple[int, int, int, int]:
    counts = report.steps[0].delta
    assert counts is not None
    return counts.new, counts.changed, counts.same, counts.refused_before


def order(number: int, **values: Any) -> dict[str, Any]:
    return {"id": "7", "order": str(number), "at": "2026-11-20T10:00:00Z", "price": "5"} | values
