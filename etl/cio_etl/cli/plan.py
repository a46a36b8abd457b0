"""The commands `plan` and `apply`: what a run would send, and a run that sends just that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import JOB, JSON, options
from cio_etl.run.options import RunOptions, repeated_words
from cio_etl.validate.options import PLAN_OPTIONS

if TYPE_CHECKING:
    from rich.console import Console

    from cio_etl.validate.plan import Plan, StepPlan


@cli.command(epilog="More: jobs/README.md, Plan and apply")
@JOB
@options(RunOptions, only=PLAN_OPTIONS)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the plan to this file.")
@JSON
def plan(job: Path, options: RunOptions, output: Path | None, as_json: bool) -> None:
    """Print what a run of JOB would change; send nothing.

    Exits with 0 if nothing would be sent, with 3 if something would or rows are rejected, and with 4 if a run would
    stop because too much would change.
    """
    from cio_etl.cli.commands import as_typed
    from cio_etl.report.files import write_text
    from cio_etl.report.streams import say
    from cio_etl.validate.plan import plan_file

    made = plan_file(job, options, lambda line: say(line, err=True))
    text = json.dumps(made.to_json(), ensure_ascii=False, indent=2) + "\n"
    if output is not None:
        write_text(output, text)
    if as_json:
        say(text.rstrip("\n"))
    else:
        from cio_etl.report.consoles import Screen

        _show(made, Screen())
        send = as_typed("run", job, *repeated_words(options)) if output is None else as_typed("apply", output)
        if made.exit_code == 3 and made.unfinished is None:
            say(f"send it    {send}")
        elif not made.exit_code:
            say("nothing to send")
    raise SystemExit(made.exit_code)


@cli.command(epilog="More: jobs/README.md, Plan and apply")
@click.argument("plan", metavar="PLAN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options(RunOptions, only=("accept_changes", "grace"))
@click.option("--quiet", is_flag=True, help="Print no progress; for cron.")
@JSON
def apply(plan: Path, options: RunOptions, quiet: bool, as_json: bool) -> None:
    """Send just what PLAN says, a file of `plan -o`.

    Source, mapping and ledger must be those of the plan; otherwise it exits with 78. Once the run has finished, it
    prints its report and sends nothing.
    """
    from cio_etl.cli.commands import as_typed, reject_commands
    from cio_etl.cli.shared import calling, page_of, print_report, resumed_by
    from cio_etl.config import load_job
    from cio_etl.report import Commands
    from cio_etl.run import run_folder
    from cio_etl.validate.plan import Plan, apply_plan

    planned = Plan.read(plan)
    again = as_typed("apply", plan)
    job = load_job(Path(planned.job_file))
    commands = Commands(again, lambda report: reject_commands(report, job.named_by, set()))
    with (
        calling(commands, options.grace, as_json=as_json, quiet=quiet) as caller,
        resumed_by(again, job.name if as_json else None),
    ):
        report = apply_plan(planned, options, caller)
    print_report(report, as_json, commands, {"report": page_of(run_folder(job, report.run_id))})
    raise SystemExit(report.exit_code)


def _show(plan: Plan, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step", no_wrap=True)
    for name in ("rows", "new", "changed", "same", "gone", "rejected", "items", "requests", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for step in plan.steps:
        delta = step.delta
        counts = ["-"] * 4 if delta is None else [delta.new, delta.changed, delta.same, delta.gone]
        numbers = [step.rows, *counts, step.rejected, step.items, step.requests]
        shown = [each if isinstance(each, str) else f"{each:,}" for each in numbers]
        table.add_row(step.name, *shown, f"{step.bytes / 1e6:,.1f}")
    console.print(f"plan of {plan.job}: nothing was sent", soft_wrap=True)
    console.print(table)
    for step in plan.steps:
        _show_step(step, console)
    if plan.unfinished:
        words = f"the run {plan.unfinished} is unfinished: a run resumes it first, and `apply` refuses this plan"
        console.print(Text(words, style="bold red"), soft_wrap=True)


def _show_step(step: StepPlan, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from cio_etl.report.visible import one_line

    if step.full_refresh:
        console.print(Text(f"step {step.name}: {step.full_refresh}"), soft_wrap=True)
    if step.delta is not None and (count := step.delta.refused_before):
        words = "rejected again without being sent, since Customer.io refused them before"
        console.print(Text(f"{count:>8,}  {words}"), soft_wrap=True)
    parts = {} if step.delta is None else step.delta.parts
    if moved := {name: part for name, part in parts.items() if part.set or part.changed or part.unset}:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column(f"changes in {step.name}", no_wrap=True)
        for heading in ("set", "changed", "becomes null"):
            table.add_column(heading, justify="right", no_wrap=True)
        for name, part in moved.items():
            table.add_row(one_line(name), f"{part.set:,}", f"{part.changed:,}", f"{part.unset:,}")
        console.print(table)
    for finding in step.findings:
        console.print(Text(f"{finding.rows:>8,}  {finding.code}  {one_line(finding.words)}"), soft_wrap=True)
    for reject in step.rejects:
        where = f" in {one_line(reject.field)}" if reject.field else ""
        first = ", ".join(one_line(place) for place in reject.first_rows)
        console.print(Text(f"{reject.rows:>8,}  {reject.reason}{where} at {first}"), soft_wrap=True)
    if step.would_stop:
        console.print(Text(f"a run would stop: {step.would_stop}", style="bold red"), soft_wrap=True)
