"""What does a whole data set tell that no row tells alone? Each audit looks at every frame, and says at the end.

An audit never rejects a row and never changes one; it keeps counts, digests and positions, no values. It is given what
the mapping made of the rows, so it costs no second reading. `validate` runs all of them; a run those that warn before
its first request.

To add one: a file of this room with a class that has `see` and `findings`, its codes in FINDINGS, and a line in
`audits`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from etl.audit.found import FIRST, Audit, Found
from etl.audit.repeated import Repeated
from etl.model import Destination, Finding, Step
from etl.transform import Compiled

__all__ = ["FINDINGS", "FIRST", "Audit", "Found", "audits", "found", "warnings"]

# Every code, and what to do about it.
FINDINGS: dict[str, str] = {
    "superseded": "nothing: the newest row of each person is sent",
    "event_repeated": "nothing: each event is sent once; look at the export if it should hold each row once",
}


def audits(step: Step, compiled: Compiled, destination: Destination, now_s: float) -> list[Audit]:
    """All audits that have something to ask about this step, each new; `now_s` is the time, in Unix seconds."""
    return [Repeated(compiled.repeats), *warnings(step, compiled, destination, now_s)]


def warnings(step: Step, compiled: Compiled, destination: Destination, now_s: float) -> list[Audit]:
    """Those of them that a run asks before its first request. They are shown who, the item's time, and dates only."""
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
