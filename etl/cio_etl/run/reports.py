"""Writes the report of a run, or of a validation, for programs and for people."""

from __future__ import annotations

from pathlib import Path

from cio_etl.errors import StateError
from cio_etl.log import get_logger
from cio_etl.model import Report, reason_words
from cio_etl.report import NO_COMMANDS, Commands, write_report

log = get_logger()


def remedies() -> dict[str, str]:
    """What to do about each reason of a reject and each finding."""
    from cio_etl.audit import FINDINGS  # here: whoever only sends notices needs no polars

    return reason_words() | {code: kind.remedy for code, kind in FINDINGS.items()}


def write_reports(
    report: Report, folder: Path, commands: Commands = NO_COMMANDS, *, required: bool = False
) -> Path | None:
    """Writes the report for programs and for people; the page's path.

    A failure is only a warning: of a run, `status` reports the same from the state. Where the report is `required`,
    StateError is raised.
    """
    try:
        write_report(report, folder, commands.resume_command(report))
    except OSError as error:
        if required:
            raise StateError.of_file(folder, error, "the report could not be written") from None
        log.warning("report_not_written", run_id=report.run_id, reason=error.strerror)
        return None
    try:
        from cio_etl.report.page import write_page  # here: the template engine is needed at the end only

        return write_page(report, folder, commands.shown(report), remedies())
    except Exception as error:  # a page that fails must not fail the run that it is about
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        log.warning("page_not_written", run_id=report.run_id, reason=why)
        return None
