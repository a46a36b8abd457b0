"""Makes a validation fail for what `--fail-on` names, though a run would let it pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cio_etl.audit import FINDINGS
from cio_etl.errors import did_you_mean
from cio_etl.model import Report, StepReport
from cio_etl.report.words import counted
from cio_etl.transform import REASONS

WARNING = "warning"  # any finding that is one
_REJECTED = re.compile(r"(\d+(?:\.\d+)?)%|(\d+)")


@dataclass(frozen=True, slots=True)
class Gate:
    """One `--fail-on`: more rejected rows in a step than a share or a number; else the name of a reason or finding."""

    text: str  # as it was written
    percent: float | None = None
    rows: int | None = None


def gate(text: str) -> Gate:
    """The gate that the text of a `--fail-on` describes. Raises ValueError, with a similar name, when there is none."""
    if match := _REJECTED.fullmatch(text):
        share, rows = match.groups()
        if share is not None and float(share) >= 100:
            raise ValueError(f"{text}: no step can have more rejected rows than that")
        return Gate(text, *((float(share), None) if share is not None else (None, int(rows))))
    names = [WARNING, *REASONS, *FINDINGS]
    if text not in names:
        advice = did_you_mean(text, names, "see mappings/README.md; or write 1% or 100")
        raise ValueError(f"no reason or finding {text!r}; {advice}")
    return Gate(text)


def gated(report: Report, gates: Sequence[Gate]) -> Report:
    """The report, with exit code 4 and the reason, when a gate applies to it."""
    met = [f"--fail-on {each.text}: {fault}" for each in gates for step in report.steps for fault in _met(each, step)]
    if not met:
        return report
    return replace(report, exit_code=4, reason="; ".join([report.reason, *met] if report.reason else met))


def _met(gate: Gate, step: StepReport) -> Iterator[str]:
    if gate.percent is not None or gate.rows is not None:
        limit = gate.rows if gate.percent is None else gate.percent / 100 * step.rows_read
        if step.counts.rejected > (limit or 0):
            yield f"{step.counts.rejected:,} of {counted(step.rows_read, 'row')} of step {step.name} rejected"
        return
    codes = [(reject.reason, reject.rows) for reject in step.rejects]
    codes += [(WARNING if gate.text == finding.severity else finding.code, finding.rows) for finding in step.findings]
    if rows := [rows for code, rows in codes if code == gate.text]:
        yield f"{counted(sum(rows), 'row')} of step {step.name}"
