"""What is told of a job at the end of a run, beyond the run's own report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from cio_etl.model import Report
from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job after a run: times in Unix seconds, all of it from the state."""

    job: str
    report: Report | None  # of its newest run; None: it has none
    last_success: float | None  # the end of the newest run that finished, without those of --limit
    open_rejects: int  # of all its runs
    subjects: Mapping[str, int] = field(default_factory=dict)  # by ledger
    expected_every: float | None = None  # seconds
    exit_code: int | None = None  # of the command that has ended
