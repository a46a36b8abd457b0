"""Names the folders of a state's folder, where a run keeps its report, copies and rejected rows: private files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cio_etl.model import Job, JobSettings


def runs_folder(state: Path) -> Path:
    """The folder of the folders of all runs."""
    return state / "runs"


def run_folder(job: JobSettings, run_id: str) -> Path:
    """The folder of a run's report and its staged files."""
    return runs_folder(job.state) / run_id


def validation_folder(job: JobSettings) -> Path:
    """The folder of the job's last validation report; the next validation replaces it."""
    return job.state / "validations" / job.name


def plans_folder(job: JobSettings) -> Path:
    """The folder of the job's plans that were given a name."""
    return job.state / "plans" / job.name


def stage_folder(job: Job, run_id: str) -> Path:
    """The folder to which a run copies sources that cannot be read twice."""
    return run_folder(job, run_id) / "stage"


def delta_folder(job: Job, run_id: str, number: int) -> Path:
    """Where a step's delta is until its run has finished."""
    return stage_folder(job, run_id) / f"{number}.delta"


def ledger_job(job: JobSettings) -> str:
    """The job whose ledger a run moves: a replay moves that of the job itself."""
    return job.name.removesuffix(".replay")


def ledger_name(job: Job, step: str) -> str:
    """The name of a step's ledger; of a step that the job does not have any more, that of the step."""
    return next((each.ledger_name for each in job.steps if each.name == step), step)


def ledger_folder(state: Path, job: str, name: str) -> Path:
    """The folder of the ledger of this name."""
    return state / "ledger" / job / name


def rejects_folder(state: Path, run_id: str) -> Path:
    """The folder of a run's rejected rows, where the job keeps them."""
    return runs_folder(state) / run_id / "rejects"


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Files written in the block are for their owner only: state, reports and rejected rows are about people."""
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)
