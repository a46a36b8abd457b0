"""Writes the report as a page: one HTML file without other files, for people who decide about a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cio_etl.errors import EXIT_CODES
from cio_etl.model import Report, StepReport
from cio_etl.model.words import counted
from cio_etl.report.files import write_text
from cio_etl.report.templates import rendered

TEMPLATE = "page.html.j2"
NAME = "report.html"
COLUMNS_SHOWN = 40  # the others are folded up


def write_page(report: Report, folder: Path, next_steps: Mapping[str, str], remedies: Mapping[str, str]) -> Path:
    """Writes report.html into `folder` (0600, whole or not at all); its path."""
    return write_text(folder / NAME, page(report, next_steps, remedies))


def page(report: Report, next_steps: Mapping[str, str], remedies: Mapping[str, str]) -> str:
    """The report as HTML: `next_steps` are commands by purpose, `remedies` texts by reason and code of finding.

    Text from data, files and mappings is escaped; there are no scripts.
    """
    return rendered(
        TEMPLATE,
        report=report,
        remedy=lambda code: remedies.get(code, ""),
        verdict=verdict(report),
        tone=tone(report),
        warnings=warnings(report),
        exit_words=None if report.exit_code is None else EXIT_CODES.get(report.exit_code),
        next_steps=dict(next_steps),
        seconds=seconds(report.steps),
        revealed=any(step.profile is not None and step.profile.revealed for step in report.steps),
        columns_shown=COLUMNS_SHOWN,
    )


def verdict(report: Report) -> str:
    """What a run would do, or did, in one sentence."""
    read, counts = report.rows_read, report.counts
    accepted, rejected, skipped = counts.accepted, counts.rejected, counts.skipped
    if report.is_validation and report.exit_code == 4:
        return f"Not as it is: {report.reason}."
    if report.status != "finished":
        state = {"running": "is in progress", "abandoned": "was abandoned"}.get(report.status, "has stopped")
        so_far = (
            f"The run {state}; {counted(accepted, 'row was', 'rows were')} accepted so far and {rejected:,} rejected"
        )
        return f"{so_far}: {report.reason}." if report.reason else f"{so_far}."
    if not read:
        return "There are no rows to send." if report.is_validation else "There were no rows to send."
    rows = f"all {read:,} rows" if accepted == read > 1 else f"{accepted:,} of {counted(read, 'row')}"
    others = [f"reject {rejected:,}"] * bool(rejected) + [f"skip {skipped:,}"] * bool(skipped)
    if report.is_validation:
        return f"A run would send {rows}{_listed(others)}."
    others = [f"{rejected:,} rejected"] * bool(rejected) + [f"{skipped:,} skipped"] * bool(skipped)
    were = "was" if accepted == 1 else "were"
    return f"{rows[0].upper()}{rows[1:]} {were} accepted{_listed(others)}."


def tone(report: Report) -> str:
    """How the verdict looks: good, fair or bad."""
    if report.status not in ("finished", "running") or report.exit_code not in (0, 3, None):
        return "bad"
    if report.is_validation and not any(step.rows_read for step in report.steps):
        return "fair"
    return "fair" if report.exit_code == 3 or warnings(report) else "good"


def warnings(report: Report) -> int:
    """How many findings are warnings."""
    return sum(finding.severity == "warning" for step in report.steps for finding in step.findings)


def seconds(steps: Sequence[StepReport]) -> float | None:
    """How long a run over all steps would take; None unless it is known for each step."""
    known = [step.forecast.seconds for step in steps if step.forecast is not None]
    return sum(known) if known and len(known) == len(steps) else None


def _listed(others: Sequence[str]) -> str:
    return "".join(f", {other}" for other in others[:-1]) + (f" and {others[-1]}" if others else "")
