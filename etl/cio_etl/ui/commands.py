"""Defines the commands that the pages show to copy. Only the command line words them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cio_etl.model import Job, JobOutline, JobSettings, Report
from cio_etl.run import RunOptions
from cio_etl.state import RunRecord

Words = Mapping[str, str]  # a command by what it is for


def _none(*_: object) -> Words:
    return {}


@dataclass(frozen=True, slots=True)
class PageCommands:
    """What to type next."""

    of_job: Callable[[JobSettings], Words] = _none
    of_run: Callable[[RunRecord, Report, Job | JobOutline | None, RunOptions], Words] = _none
    of_plan: Callable[[Path], Words] = _none
    of_planned_run: Callable[[Path], Words] = _none  # that applies the plan of this file, and has not finished
