"""Prints a plan on a terminal: what a run would change, by step and by attribute, and the next commands."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cio_etl.log.visible import one_line
from cio_etl.model import Plan, StepPlan
from cio_etl.model.words import counted, duration, size
from cio_etl.report import plan_words
from cio_etl.report.terminal import NARROWEST, findings, omitted, rejects

_DELTA = {"new": "new", "changed": "changed", "same": "same", "gone": "gone", "refused": "refused_before"}


def show_plan(plan: Plan, console: Console, reasons: Mapping[str, str], commands: Mapping[str, str]) -> None:
    """Prints the plan. `reasons` has each reason in words; `commands` are the next ones by purpose."""
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    console.print(Text(f"plan of {plan.job}: nothing was sent"), soft_wrap=True)
    if (words := plan_words.unfinished(plan)) is not None:
        console.print(Text(words, style="bold red"), soft_wrap=True)
    for step in plan.steps:
        for why in step.would_stop:
            words = f"a run would stop in step {step.name}: {one_line(why)}"
            console.print(Text(words, style="bold red"), soft_wrap=True)
    for step in plan.steps:
        name = f"{step.name}: " if len(plan.steps) > 1 else ""
        console.print(Text(f"{name}{plan_words.sentence(step)}", style="bold"), soft_wrap=True)
    console.print(_steps(plan))
    for step in plan.steps:
        _show_step(plan, step, console, reasons)
    for purpose, command in commands.items():
        console.print(Text.assemble(f"{purpose:<10} ", (command, "bold")), soft_wrap=True)


def _steps(plan: Plan) -> Table:
    table = _table("step", "rows", *_DELTA, "rejected", "skipped", "items", "requests", "MB")
    for step in plan.steps:
        counts = ["-" if step.delta is None else getattr(step.delta, name) for name in _DELTA.values()]
        numbers = [step.rows, *counts, step.rejected, step.skipped - step.same_rows, step.items, step.requests]
        shown = [each if isinstance(each, str) else f"{each:,}" for each in numbers]
        table.add_row(Text(step.name), *shown, f"{step.bytes / 1e6:,.1f}")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(Text(first), no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _show_step(plan: Plan, step: StepPlan, console: Console, reasons: Mapping[str, str]) -> None:
    if step.full_refresh:
        console.print(Text(f"step {step.name}: {step.full_refresh}"), soft_wrap=True)
    if moved := plan_words.moved_parts(step):
        table = _table(f"changes in {step.name}", "set", "changed", "becomes null")
        for name, part in moved.items():
            table.add_row(Text(one_line(name)), f"{part.set:,}", f"{part.changed:,}", f"{part.unset:,}")
        console.print(table)
        for name, changes in step.changes.items():
            for change in changes:
                words = f"{change.subjects:>8,}  {one_line(name)}: {one_line(f'{change.before} → {change.after}')}"
                console.print(Text(words), soft_wrap=True)
    if starts := plan_words.campaigns(step):
        words = ", ".join(f"{count:,} {what}" for count, what in starts)
        console.print(Text.assemble("can start campaigns in ", (step.name, "bold"), f": {words}"), soft_wrap=True)
    if step.sends:
        sums = f"{counted(step.requests, 'request')}, {size(step.bytes)}; about {duration(step.seconds)}"
        words = f": {sums}, for {plan_words.estimate(plan)}"
        console.print(Text.assemble("a run of ", (step.name, "bold"), words), soft_wrap=True)
    for line in (*findings(step), *rejects(step, reasons), *omitted(step, reasons)):
        console.print(line, soft_wrap=True)
