"""Defines what a door adds to a report: the commands with which a person goes on. Without a door there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cio_etl.model import Report
from cio_etl.model.records import dataclass


def _no_steps(report: Report) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands to show beside a report."""

    resume: str | None = None  # that resumes the run
    next_steps: Callable[[Report], Mapping[str, str]] = _no_steps  # by what each is for

    def resume_command(self, report: Report) -> str | None:
        """The command that resumes the run; None when the run cannot be resumed."""
        return self.resume if report.resumable else None

    def shown(self, report: Report) -> dict[str, str]:
        """All commands to show, by what each is for."""
        resume = self.resume_command(report)
        return ({"continue": resume} if resume else {}) | dict(self.next_steps(report))


NO_COMMANDS = Commands()
