"""Validates the job of a file: what the command, the Python API and the Airflow task have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cio_etl import state
from cio_etl.errors import InvalidArguments
from cio_etl.model import Job, Report
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted
from cio_etl.report import Observer
from cio_etl.run.caller import Caller
from cio_etl.run.chosen_steps import Environment, load_steps, note_stand_ins
from cio_etl.run.comparison import compared
from cio_etl.run.folders import private_files, validation_folder
from cio_etl.run.incremental import load_bookmarks
from cio_etl.run.reports import write_reports
from cio_etl.validate.dry_run import validate
from cio_etl.validate.fail_on import Gate, gate, gated
from cio_etl.validate.options import ValidateOptions
from cio_etl.validate.rejected_file import RejectedFile


@dataclass(frozen=True, slots=True)
class Validation:
    """A validation's report, and where its page was written; None when it could not be."""

    job: Job
    report: Report
    page: Path | None


def validate_file(
    path: Path, options: ValidateOptions, caller: Caller, environment: Environment | None = None
) -> Validation:
    """Reads, maps, checks and packs every row of a job, sends nothing, and writes the report. Raises EtlError.

    `environment` gives the values that the job file refers to; None: the process's environment.
    """
    file = None if options.rejects is None else RejectedFile(Path(options.rejects))
    gates, folder = _gates(options.fail_on), None if options.report is None else Path(options.report)
    with private_files():
        if folder is not None:
            _make(folder)
        job = load_steps(path, options, environment, secrets=False)
        note_stand_ins(job, caller.observer)
        bookmarks = load_bookmarks(job)
        report = validate(job, job.steps, options.limit, bookmarks, options.since, reveal=options.reveal, file=file)
        report = gated(_compared(job, report, options.since), gates)
        page = write_reports(report, folder or validation_folder(job), caller.commands, required=True)
        if file is not None:
            _write(file, job, caller.observer)
    return Validation(job, report, page)


def _compared(job: Job, report: Report, since: str | None) -> Report:
    """The report beside the last run of the job. Creates no state."""
    if not state.exists(job.state_location):
        return report
    store = state.open_store(job.state_location)
    try:
        return compared(store, report, since)
    finally:
        store.close()


def _write(file: RejectedFile, job: Job, observer: Observer) -> None:
    rows, inexact = file.write(job)
    observer.note(f"{counted(rows, 'rejected row')} in {file.path}")
    for name in inexact:
        observer.note(f"column {name}: {file.path.suffix} cannot hold all of its values exactly; .parquet can")


def _gates(texts: Sequence[str]) -> list[Gate]:
    try:
        return [gate(text) for text in texts]
    except ValueError as error:
        raise InvalidArguments(f"`fail_on`: {error}") from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArguments(f"{folder} cannot hold the report: {error.strerror}") from None
