"""Prints the report on a terminal: the verdict, a line for each step, the rejects by reason, and the next commands."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cio_etl.log.visible import one_line
from cio_etl.model import (
    EarlierEnds,
    Finding,
    NoticeSent,
    ReasonCount,
    RejectCount,
    Report,
    StepPlan,
    StepReport,
    Verification,
)
from cio_etl.model.closed import settled_and_again, sums_by_words
from cio_etl.model.words import counted, delta_words, moment, verification_words
from cio_etl.report.comparison_words import large_differences

NARROWEST = 120  # columns of the table, where the output is not a terminal

_COUNTS = {
    "accepted": "accepted",
    "rejected": "rejected",
    "skipped": "skipped",
    "sent twice?": "possibly_sent_twice",
    "requests": "requests",
    "retries": "retries",
}
# Where a terminal is narrow, in order; first the counts that are 0 everywhere.
DISPENSABLE = ("rows/s", "MB", "requests", "seconds", "retries", "sent twice?")
_PLACE = re.compile(r"(.*?)(:|, row |row )(\d+(?: .*\[\d+\])?)", re.DOTALL)  # of a first row: Snapshot.places
_STYLES = {"finished": "bold green", "running": "bold cyan"}


def show(report: Report, console: Console, reasons: Mapping[str, str], next_steps: Mapping[str, str]) -> None:
    """Prints the report. `reasons` has each reason in words; `next_steps` are commands by purpose."""
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    console.print(_verdict(report), soft_wrap=True)
    if report.earlier_ends.times:
        console.print(Text(f"earlier    {one_line(_earlier(report.earlier_ends))}"), soft_wrap=True)
    console.print(_steps(report, console))
    for step in report.steps:
        for line in (
            *_forecast(step),
            *_delta(step),
            *findings(step),
            *rejects(step, reasons),
            *omitted(step, reasons),
        ):
            console.print(line, soft_wrap=True)
    for line in (*_compared(report), *_closed(report)):
        console.print(line, soft_wrap=True)
    if report.verification is not None:
        for line in verification_lines(report.verification):
            console.print(line, soft_wrap=True)
    for each in report.notices:
        console.print(_notice(each, report), soft_wrap=True)
    for purpose, command in next_steps.items():
        console.print(Text.assemble(f"{purpose:<10} ", (command, "bold")), soft_wrap=True)


def verification_lines(result: Verification) -> list[Text]:
    """What was read back: `verified   1,000 people of 4,955 read back`, and more lines below it."""
    style = "yellow" if result.different or result.fault is not None else ""
    lines = []
    for number, words in enumerate(verification_words(result)):
        lines.append(Text.assemble("" if number else "verified", " " * (11 if number else 3), (one_line(words), style)))
    lines += [Text(f"           {one_line(each)}", style="dim") for each in result.left_out]
    examples = [*result.missing_examples, *(f"{a.attribute}: {e}" for a in result.attributes for e in a.examples)]
    return lines + [Text(f"           {one_line(each)}") for each in examples]


def _notice(notice: NoticeSent, report: Report) -> Text:
    """Who was told what, or why not: `told       slack: recovered`."""
    of_job = "" if notice.job == report.job else f" of {notice.job}"
    words = f"{notice.channel}: {notice.kind}{of_job}" + (f"; {notice.reason}" if notice.reason else "")
    return Text(f"told       {words}") if notice.sent else Text(f"not told   {words}", style="yellow")


def _verdict(report: Report) -> Text:
    accepted, rejected = report.counts.accepted, report.counts.rejected
    style = _STYLES.get(report.status, "bold red")
    if report.status == "finished" and rejected:
        style = "bold yellow"
    counts = f": {counted(accepted, 'row')} accepted" + (f", {rejected:,} rejected" if rejected else "")
    return Text.assemble(
        (f"{report.run_id} {report.status}", style), counts, f" ({report.reason})" if report.reason else ""
    )


def _earlier(ends: EarlierEnds) -> str:
    """How often it ended before, and the last of these ends: `stopped once: 2026-11-12 03:05 UTC, exit code 69, …`."""
    if not ends.newest:
        return ends.words
    last = ends.newest[0]
    code = "" if last.exit_code is None else f", exit code {last.exit_code}"
    why = f", {last.reason}" if last.reason else ""
    return f"{ends.words}{': ' if ends.times == 1 else ', the last time '}{moment(last.at)} UTC{code}{why}"


def _steps(report: Report, console: Console) -> Table:
    """A line for each step, with the columns for which the console has room."""
    unlimited = console.options.update(max_width=10_000)
    dispensable = sorted(DISPENSABLE, key=lambda name: name not in _COUNTS or _is_counted(report.steps, _COUNTS[name]))
    for number in range(len(dispensable) + 1):
        table = _table(report.steps, dispensable[:number])
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    return table


def _is_counted(steps: Sequence[StepReport], count: str) -> bool:
    return any(getattr(step.counts, count) for step in steps)


def _table(steps: Sequence[StepReport], left_out: Collection[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step", no_wrap=True)
    shown = [name for name in ("rows read", *_COUNTS, "MB", "seconds", "rows/s") if name not in left_out]
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for step in steps:
        name = step.name if step.status == "finished" else f"{step.name} ({_unfinished(step)})"
        cells = {"rows read": f"{step.rows_read:,}", "MB": f"{step.counts.bytes_sent / 1e6:,.1f}"}
        cells |= {name: f"{getattr(step.counts, count):,}" for name, count in _COUNTS.items()}
        if step.seconds or not step.counts.settled:  # the time of a killed process is unknown
            cells |= {"seconds": f"{step.seconds:,.1f}", "rows/s": f"{step.rows_per_second:,.0f}"}
        table.add_row(Text(name), *(cells.get(name, "") for name in shown))
    return table


def _unfinished(step: StepReport) -> str:
    return "unfinished" if step.rows is None else f"of {counted(step.rows, 'row')}"


def _forecast(step: StepReport) -> list[Text]:
    if (forecast := step.forecast) is None:
        return []
    about = "" if forecast.people_exact else "about "
    rate = "" if forecast.requests_per_second is None else f" at {forecast.requests_per_second:g} requests a second"
    people = counted(forecast.people, "person or object", "people or objects")
    sums = f"{about}{people}, {counted(forecast.events, 'event')}, {counted(forecast.requests, 'request')}"
    time = f"{forecast.seconds:,.0f} s{rate} in {counted(forecast.lanes, 'lane')}"
    return [Text.assemble("a run of ", (step.name, "bold"), f": {sums}, {forecast.bytes / 1e6:,.1f} MB; {time}")]


def _compared(report: Report) -> list[Text]:
    """The large differences from the last run, a line for each step."""
    if (before := report.compared_with) is None:
        return []
    return [
        Text.assemble((one_line(name), "bold"), f", compared with {before.run_id}: ", (one_line(words), "yellow"))
        for name, words in large_differences(before)
    ]


def _closed(report: Report) -> list[Text]:
    """The rejects of earlier runs that this run has closed, and its own that are closed since."""
    lines = []
    settled, again = settled_and_again(report.closes)
    if settled:
        rows = counted(sum(each.rows for each in settled), "reject")
        lines.append(Text(f"closed     {rows} of earlier runs: {', '.join(sums_by_words(settled, by_run=False))}"))
    if again:
        rows = counted(again, "reject")
        lines.append(Text(f"again      {rows} of earlier runs, rejected again and open in this run{_since(report)}"))
    if report.closed:
        lines.append(Text(f"since then {', '.join(sums_by_words(report.closed, by_run=True))}"))
    return lines


def _since(rejected: Report | StepReport | RejectCount) -> str:
    """Since when the oldest reject is open, if an earlier run rejected it first."""
    since = rejected.since if isinstance(rejected, RejectCount) else rejected.rejected_since
    return f", the oldest since {moment(since)} UTC" if since else ""


def _delta(step: StepReport) -> list[Text]:
    """What the ledger said of the step's rows."""
    return (
        [] if step.delta is None else [Text.assemble("ledger of ", (step.name, "bold"), f": {delta_words(step.delta)}")]
    )


def rejects(step: StepReport | StepPlan, reasons: Mapping[str, str]) -> list[Text]:
    """The rejects of a step by reason, with their first rows and what to do."""
    heading = Text.assemble("rejected in ", (step.name, "bold"))
    return [heading, *_by_reason(step.rejects, reasons, "yellow")] if step.rejects else []


def omitted(step: StepReport | StepPlan, reasons: Mapping[str, str]) -> list[Text]:
    """The values without which rows of a step are sent, as the rejects."""
    values = step.omitted
    heading = Text.assemble("omitted in ", (step.name, "bold"), f": values of {counted(values.rows, 'row')}")
    return [heading, *_by_reason(values.counts, reasons, "cyan")] if values.rows else []


def _by_reason(counts: Sequence[ReasonCount], reasons: Mapping[str, str], style: str) -> Iterator[Text]:
    for count in counts:
        head = f"{count.rows:>8,}  {count.reason}" + (f" in {one_line(count.field)}" if count.field else "")
        yield Text.assemble(
            (head, style), f" at {_places(count)}{_since(count) if isinstance(count, RejectCount) else ''}"
        )
        if count.reason in reasons:
            yield Text(f"          {reasons[count.reason]}", style="dim")


def findings(step: StepReport | StepPlan) -> list[Text]:
    """The findings of a step, with their first rows."""
    lines = [Text.assemble("findings in ", (step.name, "bold"))] if step.findings else []
    for finding in step.findings:
        style = {"error": "bold red", "warning": "bold yellow"}.get(finding.severity, "cyan")
        head = f"{finding.rows:>8,}  {finding.code}" + (f" in {one_line(finding.field)}" if finding.field else "")
        where = f" at {_places(finding)}" if finding.first_rows else ""
        lines += [Text.assemble((head, style), where), Text(f"          {one_line(finding.words)}", style="dim")]
    return lines


def _places(problem: ReasonCount | Finding) -> str:
    """The first rows as `file:3,19` or `table orders, rows 3,19`, each file or table named once."""
    split = [match.groups() for row in problem.first_rows if (match := _PLACE.fullmatch(one_line(row))) is not None]
    places = []
    for (file, separator), rows in groupby(split, key=lambda parts: parts[:2]):
        numbers = [number for *_, number in rows]
        between = separator.replace("row", "rows") if len(numbers) > 1 else separator
        comma = ", " if any("[" in number for number in numbers) else ","  # of entries of lists
        places.append(f"{file}{between}{comma.join(numbers)}")
    return " ".join(places) + (" …" if problem.rows > len(problem.first_rows) else "")
