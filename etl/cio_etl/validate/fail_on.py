"""Makes a validation fail for what `--fail-on` names, though a run would let it pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cio_etl.audit import FINDINGS
from cio_etl.errors import did_you_mean
from cio_etl.model import REASONS, Report, StepReport
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted

WARNING = "warning"  # any finding that is one
_LIMIT = re.compile(r"(omitted:)?(?:(\d+(?:\.\d+)?)%|(\d+))")


@dataclass(frozen=True, slots=True)
class Gate:
    """One `--fail-on`: more rows of a step rejected, or sent without a value, than a share or a number.

    Without a limit it is the name of a reason or finding.
    """

    text: str  # as it was written
    percent: float | None = None
    rows: int | None = None
    omitted: bool = False


def gate(text: str) -> Gate:
    """The gate that the text of a `--fail-on` describes. Raises ValueError, with a similar name, when there is none."""
    if match := _LIMIT.fullmatch(text):
        what, share, rows = match.groups()
        if share is not None and float(share) >= 100:
            raise ValueError(f"{text}: no step can have more such rows than that")
        percent, most = (None, int(rows)) if share is None else (float(share), None)
        return Gate(text, percent, most, omitted=bool(what))
    if text == "omitted":
        return Gate(text, rows=0, omitted=True)
    names = [WARNING, "omitted", *REASONS, *FINDINGS]
    if text not in names:
        advice = did_you_mean(text, names, "see mappings/README.md; or write 1%, 100 or omitted:1%")
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
        rows = step.omitted.rows if gate.omitted else step.counts.rejected
        if rows > (limit or 0):
            ending = "are sent without a value" if gate.omitted else "rejected"
            yield f"{rows:,} of {counted(step.rows_read, 'row')} of step {step.name} {ending}"
        return
    codes = [(reject.reason, reject.rows) for reject in step.rejects]
    codes += [(WARNING if gate.text == finding.severity else finding.code, finding.rows) for finding in step.findings]
    if found := [rows for code, rows in codes if code == gate.text]:
        yield f"{counted(sum(found), 'row')} of step {step.name}"
