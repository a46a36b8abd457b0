"""Findings over a whole data set: what no single row shows. An audit observes every frame and reports at the end.

An audit never rejects a row and never changes one; it keeps counts, digests and positions, no values. It observes what
the mapping made of the rows, so it costs no second read of the source. `validate` runs all audits; a run makes those of
`run_audits` before its first request.

To add one: a file of this folder with a class that has `observe` and `findings` and, above it, a `finding_kind` for
each of its codes; and a line in `audits`, or in `run_audits` if a run makes it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cio_etl.apis import OPERATIONS
from cio_etl.audit.changes import ChangeRecords
from cio_etl.audit.columns import OtherColumnsChanged
from cio_etl.audit.consent import Consent
from cio_etl.audit.dates import date_audits, events_of_72h
from cio_etl.audit.empty import Empty
from cio_etl.audit.event_keys import EventKeys
from cio_etl.audit.event_names import EventNames, event_names
from cio_etl.audit.expectations import (
    Expectations,
    columns_of_expectations,
    expectations_of,
    expected_digest,
    require_expected,
    stopping,
)
from cio_etl.audit.findings import (
    FINDINGS,
    FIRST,
    SEVERITIES,
    Audit,
    FindingKind,
    PositionedFinding,
    RejectedPeople,
    StepContext,
    sent,
)
from cio_etl.audit.identity import Identity
from cio_etl.audit.kinds import Kinds, Subscriptions
from cio_etl.audit.limits import LimitAudit
from cio_etl.audit.mask import mask, shown, value_shown
from cio_etl.audit.names import Names
from cio_etl.audit.paths import PathValues, ValuesLost
from cio_etl.audit.phones import Phones
from cio_etl.audit.placeholders import Header, Placeholders
from cio_etl.audit.profile import FrameProfile, Profiler
from cio_etl.audit.rejected_people import rejected_people_audits
from cio_etl.audit.sent_before import SentBefore
from cio_etl.audit.shown_rows import shown_rows
from cio_etl.audit.superseded import RepeatedRows, newest_rejected
from cio_etl.audit.totals import forecast, seconds_to_send
from cio_etl.audit.unseen import Unseen
from cio_etl.model import Destination, Finding, Step
from cio_etl.transform import Compiled

__all__ = [
    "FINDINGS",
    "FIRST",
    "Audit",
    "Empty",
    "EventKeys",
    "EventNames",
    "Expectations",
    "FindingKind",
    "FrameProfile",
    "OtherColumnsChanged",
    "PathValues",
    "PositionedFinding",
    "Profiler",
    "RejectedPeople",
    "RepeatedRows",
    "SentBefore",
    "StepContext",
    "ValuesLost",
    "audits",
    "columns_of_expectations",
    "columns_to_read",
    "event_names",
    "events_of_72h",
    "expectations_of",
    "expected_digest",
    "forecast",
    "located_findings",
    "mask",
    "newest_rejected",
    "require_expected",
    "run_audits",
    "seconds_to_send",
    "sent",
    "shown",
    "shown_rows",
    "stopping",
    "value_shown",
    "with_places",
]

_NO_CONTEXT = StepContext()


def audits(
    step: Step, compiled: Compiled, destination: Destination, now_s: float, context: StepContext = _NO_CONTEXT
) -> list[Audit]:
    """All audits that apply to this step, newly made; `now_s` is the time, in Unix seconds."""
    mapping = step.mapping
    identity = Identity(mapping)
    made: list[Audit] = [RepeatedRows(compiled.repeats), EventKeys(step), identity, LimitAudit(mapping)]
    made += [Kinds(mapping, compiled, context), Names(step, compiled, context)]
    made += [Placeholders(mapping), Unseen(mapping), Header(context), Consent(step, context)]
    made += rejected_people_audits(step, context, identity.people)
    varies = "attributes.unsubscribed" in mapping.from_columns("attributes")
    if varies and not OPERATIONS[mapping.operation].has_event:
        made.append(Subscriptions())
    if "attributes.phone" in mapping.from_columns("attributes") and mapping.operation == "identify":
        made.append(Phones())
    return [*made, *run_audits(step, compiled, destination, now_s)]


def columns_to_read(audits: Sequence[Audit]) -> tuple[str, ...]:
    """The columns that these audits observe, also where the mapping does not read them."""
    return tuple(name for audit in audits if isinstance(audit, Consent | Expectations) for name in audit.columns)


def run_audits(step: Step, compiled: Compiled, destination: Destination, now_s: float) -> list[Audit]:
    """The audits that a run makes before its first request. They observe the item's time, dates and operation only."""
    changes = [ChangeRecords(step.mapping)] if step.mapping.operations else []
    return [*changes, *date_audits(step.mapping, now_s)]


def located_findings(
    audits: Sequence[Audit], places: Callable[[Sequence[int]], Mapping[int, str]]
) -> tuple[Finding, ...]:
    """All findings of the audits, warnings first; `places` gives each position's place, as `file:line`."""
    return with_places([finding for audit in audits for finding in audit.findings()], places)


def with_places(
    positioned: Sequence[PositionedFinding], places: Callable[[Sequence[int]], Mapping[int, str]]
) -> tuple[Finding, ...]:
    """The findings with the places of their first rows, warnings first."""
    place_of = places(sorted({position for finding in positioned for position in finding.first}))
    findings = [
        Finding(
            finding.code,
            finding.severity,
            finding.field,
            finding.rows,
            finding.words,
            tuple(place_of[position] for position in finding.first),
        )
        for finding in positioned
    ]
    return tuple(
        sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), -finding.rows, finding.code))
    )
