"""Writes a plan as a page: one HTML file without other files, for people who decide whether it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cio_etl.model import Finding, Plan, StepPlan
from cio_etl.report import plan_words
from cio_etl.report.files import write_text
from cio_etl.report.templates import rendered

TEMPLATE = "plan.html.j2"
_IN_TABLE = ("backfill", "no_longer_mapped")  # findings that the table of attributes shows


def write_plan_page(plan: Plan, path: Path, commands: Mapping[str, str], remedies: Mapping[str, str]) -> Path:
    """Writes the page to a file (0600, whole or not at all); its path."""
    return write_text(path, plan_page(plan, commands, remedies))


def plan_page(plan: Plan, commands: Mapping[str, str], remedies: Mapping[str, str]) -> str:
    """The plan as HTML: `commands` by purpose, `remedies` by reason and code of finding.

    Text from data, files and mappings is escaped; there are no scripts.
    """
    return rendered(
        TEMPLATE,
        plan=plan,
        words=plan_words,
        tone=tone(plan),
        findings_of=findings_of,
        next_steps=dict(commands),
        remedy=lambda code: remedies.get(code, ""),
        revealed=plan.revealed,
    )


def tone(plan: Plan) -> str:
    """How the headline looks: good, fair or bad."""
    if plan.exit_code == 4 or plan.unfinished is not None:
        return "bad"
    warned = any(finding.severity == "warning" for step in plan.steps for finding in step.findings)
    return "fair" if warned or any(step.rejected for step in plan.steps) else "good"


def findings_of(step: StepPlan) -> list[Finding]:
    """The findings of a step that no table shows."""
    return [finding for finding in step.findings if finding.code not in _IN_TABLE]
