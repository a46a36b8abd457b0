"""A notice: what it says to people, and its JSON for programs. It has counts, places and commands, and no values."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any

from cio_etl.model import ConditionKind, NoticeKind, Report
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted, moment
from cio_etl.notify.decide import Due

VERSION = 1  # of the JSON; it gets more keys without a new one
MOST_LINES = 12  # of what is wrong: a job file may have a hundred problems

_TITLES: Mapping[NoticeKind, str] = {
    "failed": "{job} failed",
    "stale": "{job} is stale",
    "rejects": "{job} finished with many rejected rows",
    "deviates": "{job} finished with an unusual number of rows",
    "slower": "{job} finished slowly",
    "verify_differs": "{job}: Customer.io has other data than was sent",
    "recovered": "{job} is well again",
    "test": "{job}: a test notice",
}
_OVER: Mapping[ConditionKind, str] = {
    "failed": "it failed",
    "stale": "it was stale",
    "rejects": "it had many rejected rows",
    "deviates": "it had an unusual number of rows",
    "slower": "it was slow",
    "verify_differs": "Customer.io had other data than was sent",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice about a job, for one channel."""

    due: Due
    job: str
    job_file: str
    at: datetime
    report: Report | None = None  # of the run that has just ended
    remedy: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)  # with which a person goes on, by what each is for
    page: str | None = None  # of the report

    @property
    def kind(self) -> NoticeKind:
        return self.due.kind

    @property
    def id(self) -> str:
        """The same for a notice that is sent a second time after a kill, so that a receiver can leave it out."""
        parts = [self.job, self.kind, *sorted(f"{kind} {each.since}" for kind, each in self.due.conditions.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    @property
    def title(self) -> str:
        return _TITLES[self.kind].format(job=self.job)

    @property
    def since(self) -> str | None:
        """Since when, in ISO 8601 and UTC; None of a test."""
        return min((each.since for each in self.due.conditions.values()), default=None)

    @property
    def folder(self) -> str | None:
        """In which the commands start; None where it is not known, as of a stale job that runs elsewhere."""
        return str(Path.cwd()) if Path(self.job_file).is_file() else None

    @property
    def text(self) -> str:
        """What a person reads: what, since when, how many, and the commands that go on; without the title."""
        lines = [*self._conditions(), *self._counts()]
        if self.remedy:
            lines.append(f"to do: {self.remedy}")
        lines += [f"{purpose}: {command}" for purpose, command in self.commands.items()]
        lines += [f"report: {self.page}"] if self.page else []
        return "\n".join([*lines, " ".join(self._place())])

    def _conditions(self) -> list[str]:
        if self.kind == "test":
            return ["Nothing has happened: somebody tries the channels of this job."]
        lines = []
        for kind, each in self.due.conditions.items():
            since, times = _time(each.since), counted(each.times, "run")
            if self.kind != "recovered":
                lines += [*_shortened(each.words), f"since {since}" + (f", {times}" if each.times > 1 else "")]
            else:
                until = f"{_OVER[kind]} from {since} to {_time(each.over_at or each.since)}"
                lines.append(until if kind == "stale" else f"{until}, {times}")
                if each.told_at is None:
                    lines.append("this channel was not told of it, because the notice could not be sent")
        return lines

    def _place(self) -> list[str]:
        return [self.job_file, *(["in the folder", self.folder] if self.folder else []), "on", socket.gethostname()]

    def _counts(self) -> list[str]:
        if self.report is None:
            return []
        counts = self.report.counts
        rows = f"{counted(self.report.rows_read, 'row')} read, {counts.accepted:,} accepted"
        return [f"{self.report.run_id} {self.report.status}: {rows}, {counts.rejected:,} rejected"]

    def summary(self, sent_at: int) -> dict[str, Any]:
        """The notice as JSON types, with the time at which it is sent, in Unix seconds."""
        conditions = self.due.conditions.items()
        return {
            "version": VERSION,
            "id": self.id,
            "sent_at": sent_at,
            "kind": self.kind,
            "job": self.job,
            "job_file": self.job_file,
            "folder": self.folder,
            "host": socket.gethostname(),
            "title": self.title,
            "text": self.text,
            "since": self.since,
            "conditions": [
                {"kind": kind, "since": each.since, "runs": each.times, "words": each.words, "over_at": each.over_at}
                for kind, each in conditions
            ],
            "remedy": self.remedy,
            "commands": dict(self.commands),
            "page": self.page,
            "run": None if self.report is None else _run(self.report),
        }


def _run(report: Report) -> dict[str, Any]:
    """The report without places and findings."""
    names = ("run_id", "status", "exit_code", "started_at", "finished_at", "rows_read")
    counts = ("rows_read", "accepted", "rejected", "skipped")
    return {
        **{name: getattr(report, name) for name in names},
        **{name: getattr(report.counts, name) for name in counts[1:]},
        "steps": [
            {
                "name": step.name,
                "status": step.status,
                **{name: getattr(step, name) for name in counts},
                "seconds": step.seconds,
                "rejects": [{"reason": each.reason, "field": each.field, "rows": each.rows} for each in step.rejects],
            }
            for step in report.steps
        ],
    }


def _shortened(words: str) -> list[str]:
    lines = words.splitlines()
    more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return lines[:MOST_LINES] + more


def _time(at: str) -> str:
    """2026-11-20 03:00 UTC."""
    return f"{moment(at)} UTC"
