"""What works and what does not, and what is to be done? All that a run of a job needs, tried without sending a row.

finding.py       what is told of one thing
job_file.py      the job file, its mappings and their examples
state_folder.py  the state: its disk, its database, its lock, the last run
customer_io.py   Customer.io: reachable, credentials, region, clock
sources.py       each step's source: reachable, columns, types, first rows, drift, mark
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cio_etl.doctor.check import Check, Level, Machine, tried
from cio_etl.doctor.customer_io import customer_io
from cio_etl.doctor.job_file import job_file, loaded
from cio_etl.doctor.sources import step_source
from cio_etl.doctor.state_folder import state_folder
from cio_etl.errors import StateError
from cio_etl.report.streams import Screen, say
from cio_etl.report.words import counted
from cio_etl.run.incremental import load_bookmarks
from cio_etl.state import Bookmark

__all__ = ["Check", "Machine", "examine", "exit_code", "show"]

_SIGNS: dict[Level, tuple[str, str]] = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "wrong": ("✗", "bold red")}


def examine(path: Path, command: str, machine: Machine | None = None) -> list[Check]:
    """All that a run of a job file needs, in the order of a run; what is wrong with one thing hides nothing of another.

    `command` is what would run it. The state and the sources stay as they are.
    """
    machine = machine or Machine()
    job, findings = loaded(path)
    if job is None:
        return findings
    findings += tried("job file", job_file(job))
    findings += tried("state", state_folder(job, command, machine))
    findings += tried("Customer.io", customer_io(job, machine))
    try:
        left = load_bookmarks(job)
    except StateError:  # told already
        left = {}
    for step in job.steps:
        findings += tried(f"step {step.name}", step_source(job, step, left.get(step.name, Bookmark()), machine))
    return findings


def exit_code(findings: Sequence[Check]) -> int:
    """That of the first thing that is wrong; 0 when nothing is."""
    return next((finding.exit_code for finding in findings if finding.level == "wrong"), 0)


def show(findings: Sequence[Check], as_json: bool) -> None:
    """Prints the findings, a line each, and below it what to do."""
    if as_json:
        content = {"exit_code": exit_code(findings), "findings": [asdict(finding) for finding in findings]}
        say(json.dumps(content, ensure_ascii=False))
        return
    screen = Screen(highlight=False, markup=False)
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        screen.print(f"{sign} {finding.level:<8}", end="", style=style)
        screen.print(f"{finding.subject:<{width}}  {finding.found}", soft_wrap=True)
        if finding.remedy:
            screen.print(f"{'':{width + 12}}→ {finding.remedy}", soft_wrap=True)
    levels = [finding.level for finding in findings]
    screen.print(f"{levels.count('wrong')} wrong, {counted(levels.count('warning'), 'warning')}", style="bold")
