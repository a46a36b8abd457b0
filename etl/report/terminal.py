"""The report on a terminal: the verdict, a line a step, the rejects by reason, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from etl.model import Report, StepReport


def show(report: Report, console: Console, reasons: Mapping[str, str], where: str | None) -> None:
    """Prints the report. `reasons` says each reject's reason in words; `where` is the folder of the written report."""
    console.print(_verdict(report))
    console.print(_steps(report))
    if any(step.rejects for step in report.steps):
        console.print(_rejects(report, reasons))
    if report.resume_command:
        console.print(Text.assemble("continue   ", (report.resume_command, "bold")))
    if any(step.rejected for step in report.steps) and where:
        console.print(Text.assemble("rejects    ", (f"cio-etl rejects {report.run_id} -o rejects.csv", "bold")))
    if where:
        console.print(Text.assemble("report     ", where))


def _verdict(report: Report) -> Text:
    rejected = sum(step.rejected for step in report.steps)
    accepted = sum(step.accepted for step in report.steps)
    words = {"finished": ("finished", "bold green"), "running": ("running", "bold cyan")}
    said, style = words.get(report.status, (report.status, "bold red"))
    if report.status == "finished" and rejected:
        style = "bold yellow"
    counts = f"{accepted:,} rows accepted" + (f", {rejected:,} rejected" if rejected else "")
    return Text.assemble((f"{report.run_id} {said}", style), f": {counts}" + (f" ({report.reason})" if report.reason else ""))


def _steps(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step")
    for name in ("rows read", "= accepted", "+ rejected", "+ skipped", "twice?", "requests", "retries", "MB", "seconds", "rows/s"):
        table.add_column(name, justify="right")
    for step in report.steps:
        table.add_row(*_cells(step))
    return table


def _cells(step: StepReport) -> list[str]:
    name = escape(step.name) if step.status == "finished" else f"{escape(step.name)} ({step.status})"
    counts = (step.rows_read, step.accepted, step.rejected, step.skipped, step.possibly_sent_twice, step.requests, step.retries)
    return [
        name,
        *(f"{count:,}" for count in counts),
        f"{step.bytes_sent / 1e6:,.1f}",
        f"{step.seconds:,.1f}",
        f"{step.rows_per_second:,.0f}",
    ]


def _rejects(report: Report, reasons: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in (("rejected", "right"), ("reason", "left"), ("field", "left"), ("first rows", "left"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for step in report.steps:
        for reject in step.rejects:
            words = reasons.get(reject.reason, "")
            first = "\n".join(escape(row) for row in reject.first_rows)
            table.add_row(f"{reject.rows:,}", escape(reject.reason), escape(reject.field or ""), first, escape(words))
    return table
