"""What does a whole data set tell that no row tells alone? Each audit looks at every frame, and says at the end.

An audit never rejects a row and never changes one; it keeps counts, digests and positions, no values. It is given what
the mapping made of the rows, so it costs no second reading. `validate` runs all of them; a run those that warn before
its first request.

To add one: a file of this room with a class that has `see` and `findings`, its codes in FINDINGS, and a line in
`audits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from etl.model import Destination, Finding, Step
from etl.transform import Compiled, Mapped

FIRST = 3  # positions that a finding names

# Every code, and what to do about it.
FINDINGS: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Found:
    """A finding whose rows are still positions, the first few of them, in order."""

    code: str
    severity: Literal["warning", "notice"]
    field: str | None
    rows: int
    words: str
    first: tuple[int, ...] = ()


class Audit(Protocol):
    """One question about a step's rows."""

    def see(self, mapped: Mapped) -> None:
        """Looks at a frame; frames come in order of position."""

    def findings(self) -> Iterable[Found]:
        """What there is to say, when all frames have been seen."""


def audits(step: Step, compiled: Compiled, destination: Destination, now_s: float) -> list[Audit]:
    """All audits that have something to ask about this step, each new; `now_s` is the time, in Unix seconds."""
    return []


def found(audits: Sequence[Audit], places: Callable[[Sequence[int]], Mapping[int, str]]) -> tuple[Finding, ...]:
    """What the audits have found, warnings first; `places` says each position as `file:line`."""
    all_found = [one for audit in audits for one in audit.findings()]
    where = places(sorted({position for one in all_found for position in one.first}))
    findings = [
        Finding(
            one.code, one.severity, one.field, one.rows, one.words, tuple(where[position] for position in one.first)
        )
        for one in all_found
    ]
    return tuple(sorted(findings, key=lambda finding: (finding.severity != "warning", -finding.rows, finding.code)))
