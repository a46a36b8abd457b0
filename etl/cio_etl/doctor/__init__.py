"""Checks everything that a run of a job needs, without sending a row, and says how to fix what fails.

check.py         the result of one check
job_file.py      the job file, its mappings and their examples
state_folder.py  the state: its disk, its database, its lock, the last run
customer_io.py   Customer.io: reachable, credentials, region, clock; the App API's key
sources.py       each step's source: reachable, columns, types, first rows, drift, watermark
watching.py      the packages of OpenTelemetry, the folder of the metrics file
channels.py      each channel of notify: its secrets, connection and login
ledgers.py       each step's ledger: its files, their permissions, room to merge them
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cio_etl.doctor.channels import channels
from cio_etl.doctor.check import Check, Level, Machine, with_errors
from cio_etl.doctor.customer_io import app_api, customer_io
from cio_etl.doctor.job_file import job_file, load
from cio_etl.doctor.ledgers import step_ledger
from cio_etl.doctor.sources import step_source
from cio_etl.doctor.state_folder import state_folder
from cio_etl.doctor.watching import telemetry
from cio_etl.errors import StateError
from cio_etl.log.consoles import Screen
from cio_etl.log.streams import say
from cio_etl.model import Bookmark
from cio_etl.model.words import counted
from cio_etl.run import load_bookmarks

__all__ = ["Check", "Machine", "examine", "exit_code", "show"]

_SIGNS: dict[Level, tuple[str, str]] = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "wrong": ("✗", "bold red")}


def examine(path: Path, command: str, machine: Machine | None = None, *, target: str | None = None) -> list[Check]:
    """The checks of everything that a run of the job needs, in the order of a run; a failed one hides no other.

    `command` is the command that runs the job. The state and the sources do not change.
    """
    machine = machine or Machine()
    job, checks = load(path, target)
    if job is None:
        return checks
    checks += with_errors("job file", job_file(job))
    checks += with_errors("state", state_folder(job, command, machine))
    checks += with_errors("Customer.io", customer_io(job, machine))
    checks += with_errors("App API", app_api(job, machine))
    checks += with_errors("telemetry", telemetry(job))
    try:
        bookmarks = load_bookmarks(job)
    except StateError:  # the state's own check reports it
        bookmarks = {}
    for step in job.steps:
        checks += with_errors(
            f"step {step.name}", step_source(job, step, bookmarks.get(step.name, Bookmark()), machine)
        )
        checks += with_errors(f"step {step.name}", step_ledger(job, step, machine))
    checks += with_errors("notify", channels(job))
    return checks


def exit_code(checks: Sequence[Check]) -> int:
    """The exit code of the first check that is wrong; 0 when none is."""
    return next((check.exit_code for check in checks if check.level == "wrong"), 0)


def show(checks: Sequence[Check], as_json: bool) -> None:
    """Prints one line per check, and the remedy below it; or all of them as JSON."""
    if as_json:
        content = {"exit_code": exit_code(checks), "findings": [asdict(check) for check in checks]}
        say(json.dumps(content, ensure_ascii=False))
        return
    screen = Screen(highlight=False, markup=False)
    width = max(len(check.subject) for check in checks)
    for check in checks:
        sign, style = _SIGNS[check.level]
        screen.print(f"{sign} {check.level:<8}", end="", style=style)
        screen.print(f"{check.subject:<{width}}  {check.found}", soft_wrap=True)
        if check.remedy:
            screen.print(f"{'':{width + 12}}→ {check.remedy}", soft_wrap=True)
    levels = [check.level for check in checks]
    screen.print(f"{levels.count('wrong')} wrong, {counted(levels.count('warning'), 'warning')}", style="bold")
