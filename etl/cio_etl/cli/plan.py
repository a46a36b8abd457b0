"""The commands `plan` and `apply`: what a run would send, and a run that sends just that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, JSON, Existing, RunName, options
from cio_etl.run.options import RunOptions, repeated_words
from cio_etl.validate.options import PLAN_OPTIONS

if TYPE_CHECKING:
    from cio_etl.model import Plan

_FILE = click.Path(dir_okay=False, path_type=Path)


@cli.command(epilog="More: jobs/README.md, Plan and apply")
@JOB
@options(RunOptions, only=PLAN_OPTIONS)
@click.option("-o", "--output", type=_FILE, metavar="FILE", help="Write the plan to this file, and its page beside it.")
@click.option("--name", type=RunName(), help="Write both under this name to plans/JOB/ of the state's folder.")
@click.option("--page", type=_FILE, metavar="FILE", help="Write the page to this file. [default: beside the plan]")
@click.option("--reveal", is_flag=True, help="Show the values that change, where the ledger stores them.")
@ENV_FILE
@JSON
def plan(
    job: Path,
    options: RunOptions,
    output: Path | None,
    name: str | None,
    page: Path | None,
    reveal: bool,
    as_json: bool,
) -> None:
    """Print what a run of JOB would change; send nothing.

    With -o plan.json, plan.html shows it, too. Exits with 0 if nothing would be sent, with 3 if something would or rows
    are rejected, and with 4 if a run would stop because too much would change or is rejected.
    """
    from cio_etl.cli.commands import as_typed, with_option
    from cio_etl.cli.shared import resumed_by
    from cio_etl.log.streams import say
    from cio_etl.report.plan_json import page_place, write_plan
    from cio_etl.run.reports import remedies
    from cio_etl.validate.plan import plan_file, plan_place

    if name is not None and output is not None:
        raise click.UsageError("--output and --name both say where the plan is written; give one of the two")
    if name is not None:
        output = plan_place(job, name, options)
    again = _as_typed(job, options, output, page, reveal)
    page = page_place(output, page)
    run = as_typed("run", job, *repeated_words(options))
    with resumed_by(again, with_option=with_option(again, run)):
        made = plan_file(job, options, lambda line: say(line, err=True), reveal=reveal)
    commands = _commands(made, job, options, output)
    try:
        content = write_plan(made, output, page, commands, remedies())
    except OSError as error:
        raise click.UsageError(f"the plan cannot be written: {error.filename}: {error.strerror}") from None
    if as_json:
        say(json.dumps(content, ensure_ascii=False, indent=2))
    else:
        from cio_etl.log.consoles import Screen
        from cio_etl.model import reason_words
        from cio_etl.report.plan_terminal import show_plan

        show_plan(made, Screen(), reason_words(), ({} if page is None else {"page": str(page)}) | commands)
    raise SystemExit(made.exit_code)


def _as_typed(
    job: Path, options: RunOptions, output: Path | None, page: Path | None = None, reveal: bool = False
) -> str:
    from cio_etl.cli.commands import as_typed

    more = [*(() if output is None else ("-o", output)), *(() if page is None else ("--page", page))]
    return as_typed("plan", job, *repeated_words(options), *more, *["--reveal"] * reveal)


def _commands(plan: Plan, job: Path, options: RunOptions, output: Path | None) -> dict[str, str]:
    """The command that sends what was planned, or what to do first."""
    from cio_etl.cli.commands import as_typed

    words = repeated_words(options)
    if any(step.rejects_too_much for step in plan.steps):
        return {"look at": as_typed("validate", job, *repeated_words(options.reading))}
    accepts = ["--accept-changes"] if any(step.changes_too_much for step in plan.steps) else []
    accepts += ["--accept-unexpected"] if any(step.unexpected for step in plan.steps) else []
    if plan.unfinished is not None or not any(step.sends for step in plan.steps):
        return {}
    send = as_typed("run", job, *words, *accepts) if output is None else as_typed("apply", output, *accepts)
    return {"anyway" if accepts else "send it": send}


@cli.command(epilog="More: jobs/README.md, Plan and apply")
@click.argument("plan", metavar="PLAN", type=Existing())
@options(RunOptions, only=("accept_changes", "accept_unexpected", "grace"))
@click.option("--quiet", is_flag=True, help="Print no progress; for cron.")
@ENV_FILE
@JSON
def apply(plan: Path, options: RunOptions, quiet: bool, as_json: bool) -> None:
    """Send just what PLAN says, a file of `plan -o`.

    Source, mapping and ledger must be those of the plan; otherwise it exits with 78. Once the run has finished, it
    prints its report and sends nothing.
    """
    from cio_etl.cli.commands import as_typed, reject_commands, verify_commands
    from cio_etl.cli.shared import calling, page_of, print_report, resumed_by
    from cio_etl.config import load_outline
    from cio_etl.errors import PlanOutdated
    from cio_etl.model import Plan, Report
    from cio_etl.report import Commands
    from cio_etl.run import run_folder
    from cio_etl.validate.plan import apply_plan

    planned = Plan.read(plan)
    again = as_typed("apply", plan, *repeated_words(options))
    of_plan = RunOptions(**planned.options)
    replan = _as_typed(Path(planned.job_file), of_plan, plan)
    run = as_typed("run", planned.job_file, *repeated_words(of_plan))
    job = load_outline(Path(planned.job_file), target=planned.options.get("target"))

    def next_steps(report: Report) -> dict[str, str]:
        return reject_commands(report, job.named_by, set()) | verify_commands(report, Path(planned.job_file))

    def goes_on(option: str) -> str:
        """A run that is abandoned leaves nothing to apply, and a new ledger needs a new plan."""
        return {"--restart": f"{run} --restart", "--rebuild-ledger": f"{replan} --rebuild-ledger"}.get(
            option, f"{again} {option}"
        )

    commands = Commands(again, next_steps)
    with (
        calling(commands, options.grace, as_json=as_json, quiet=quiet) as caller,
        resumed_by(again, job.name if as_json else None, with_option=goes_on),
    ):
        try:
            report = apply_plan(planned, options, caller)
        except PlanOutdated as error:
            error.remedy = error.remedy.replace("`cio-etl plan`", f"`{replan}`")
            raise
    print_report(report, as_json, commands, {"report": page_of(run_folder(job, report.run_id))})
    raise SystemExit(report.exit_code)
