"""What of a finished run is not as it should be: its rejects, and its rows and time against the runs before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from cio_etl.model import ConditionKind, Report, StepReport
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted, moment, percent, verification_words

RUNS = 14  # that are compared, the newest
FEWEST = 5  # finished runs without which nothing is usual
MAD_WIDTH = 3 * 1.4826  # median absolute deviations; 1.4826 of them are a standard deviation of a normal distribution
AT_LEAST_S = 10.0  # longer than usual, so that a run of a second is not slow after one of 0.2 s

Findings = Mapping[ConditionKind, str | None]  # what is not as it should be, in words; None: it is


@dataclass(frozen=True, slots=True)
class PastRun:
    """A finished run: the rows read of each step, and its time."""

    rows: Mapping[str, int]
    seconds: float


def compare(report: Report, on: Mapping[str, float | None], past: Sequence[PastRun]) -> Findings:
    """Says of a finished run what `on` asks for; `past` are the finished runs before it, the newest first."""
    past = past[:RUNS]
    found: dict[ConditionKind, str | None] = {}
    if (share := on.get("rejects")) is not None:
        found["rejects"] = _rejects(report, share)
    if (share := on.get("deviates")) is not None:
        found["deviates"] = _deviations(report, share, past)
    if (times := on.get("slower")) is not None:
        found["slower"] = _slower(report, times, past)
    if "verify_differs" in on and (result := report.verification) is not None and result.checked:
        found["verify_differs"] = "; ".join(verification_words(result)) if result.different else None
    return found


def _rejects(report: Report, share: float) -> str | None:
    return _listed(
        f"step {step.name}: {counted(step.rejected, 'row')} of {step.rows_read:,} rejected, "
        f"{percent(step.rejected, step.rows_read)}{_since(step)}"
        for step in report.steps
        if step.rejected > share * step.rows_read
    )


def _since(step: StepReport) -> str:
    """Since when the oldest of the step's rejects is open, if an earlier run rejected it first."""
    return f", the oldest since {moment(step.rejected_since)} UTC" if step.rejected_since else ""


def _deviations(report: Report, share: float, past: Sequence[PastRun]) -> str | None:
    words = []
    for step in report.steps:
        usual = [run.rows[step.name] for run in past if step.name in run.rows]
        if len(usual) < FEWEST or not (middle := median(usual)):  # most runs were empty: there is nothing usual
            continue
        width = max(share * middle, MAD_WIDTH * median(abs(rows - middle) for rows in usual))
        if abs(step.rows_read - middle) > width:
            than = "fewer" if step.rows_read < middle else "more"
            words.append(
                f"step {step.name}: {counted(step.rows_read, 'row')} read, {than} than usual: "
                f"{middle:,.0f} is the median of the last {len(usual)} runs"
            )
    return _listed(words)


def _slower(report: Report, times: float, past: Sequence[PastRun]) -> str | None:
    past = [run for run in past if run.rows.keys() == {step.name for step in report.steps}]
    if len(past) < FEWEST:
        return None
    usual, took = median(run.seconds for run in past), sum(step.seconds for step in report.steps)
    if took <= max(times * usual, usual + AT_LEAST_S):
        return None
    return f"it took {took:,.0f} s; {usual:,.0f} s is the median of the last {len(past)} runs"


def _listed(words: Iterable[str]) -> str | None:
    return "; ".join(words) or None
