"""What does a whole data set tell that no row tells alone? Each audit looks at every frame, and says at the end.

An audit never rejects a row and never changes one; it keeps counts, digests and positions, no values. It is given what
the mapping made of the rows, so it costs no second reading. `validate` runs all of them; a run those that warn before
its first request.

To add one: a file of this room with a class that has `see` and `findings`, its codes in FINDINGS, and a line in
`audits`, or in `warnings` if a run is to ask it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cio_etl.audit.dates import dates
from cio_etl.audit.empty import Empty
from cio_etl.audit.found import FIRST, Audit, Found, StepContext
from cio_etl.audit.identity import Identity
from cio_etl.audit.kinds import Kinds, Subscriptions
from cio_etl.audit.limits import Limits
from cio_etl.audit.names import Names
from cio_etl.audit.repeated import Repeated
from cio_etl.audit.totals import forecast
from cio_etl.model import Column, Columns, Destination, Finding, Step
from cio_etl.transform import Compiled
from cio_etl.transform.operations import OPERATIONS

__all__ = ["FINDINGS", "FIRST", "Audit", "Empty", "Found", "StepContext", "audits", "forecast", "found", "warnings"]

# Every code, and what to do about it.
FINDINGS: dict[str, str] = {
    "source_empty": "look whether the export came out whole",
    "email_shared": "mend the addresses, or merge the people; Customer.io drops such changes, and only its log says so",
    "phone_shared": "nothing, unless numbers identify people in your workspace; then mend them, or merge the people",
    "email_case_twins": "nothing; `lower` makes them alike",
    "id_case_twins": "let functions make them alike, as `trim` and `lower`, if they are one person",
    "id_zero_twins": "find out where zeros were lost, if they are one person: a spreadsheet, or a column of numbers",
    "id_is_email": "write identifiers: {email: …}, if the column holds addresses",
    "id_is_cio_id": "write identifiers: {cio_id: …}, if they are Customer.io's own; else give them other ids",
    "person_repeated": "write order_by: updated_at in the mapping, if only the newest row is to be sent",
    "superseded": "nothing: the newest row of each person is sent",
    "event_repeated": "nothing: each event is sent once; look at the export if it should hold each row once",
    "names_collide": "give them one name",
    "keys_collide": "give them one name, where the values are made",
    "columns_collide": "look whether the mapping reads the column that is meant",
    "name_is_customer_io_s": "give the attribute another name, unless you mean Customer.io's",
    "attributes_too_many": "leave some out; what is over the limit is refused",
    "value_near_limit": "nothing yet; a value over the limit is rejected",
    "item_near_limit": "nothing yet; an item over the limit is rejected",
    "value_cut": "find out whether a database or a tool has cut these texts",
    "kinds_mixed": "make them one kind: a segment of numbers does not find text",
    "numbers_mixed": "write null_values, or `map`, for what stands for nothing, and `cast` to send numbers",
    "column_changed": "mend the source, or run with --accept-drift to take it as it is now",
    "columns_appeared": "nothing, unless the mapping should read them",
    "unsubscribed_unclear": "write `map`, to make true and false of them: such people would get mail",
    "event_may_start_campaigns": "stop the campaigns, or leave these rows out with `when`, if nobody is to be mailed",
    "event_in_the_future": "mend the times, or the unit or zone that the mapping reads them by",
    "identify_timestamp_drops_updates": "leave `timestamp` out, if every row is to count; or sort the rows by it",
    "created_at_moves": "take the column that says when a person signed up: a new date starts campaigns again",
    "created_at_in_the_future": "mend the times: such people enter campaigns only then",
}


_ALONE = StepContext()


def audits(
    step: Step, compiled: Compiled, destination: Destination, now_s: float, beside: StepContext = _ALONE
) -> list[Audit]:
    """All audits that have something to ask about this step, each new; `now_s` is the time, in Unix seconds."""
    mapping = step.mapping
    asking: list[Audit] = [Repeated(compiled.repeats), Identity(mapping), Limits(mapping)]
    asking += [Kinds(mapping, compiled, beside), Names(step, compiled, beside)]
    if (
        isinstance(mapping.attributes.get("unsubscribed"), (Column, Columns))
        and not OPERATIONS[mapping.operation].has_event
    ):
        asking.append(Subscriptions())
    return [*asking, *warnings(step, compiled, destination, now_s)]


def warnings(step: Step, compiled: Compiled, destination: Destination, now_s: float) -> list[Audit]:
    """Those of them that a run asks before its first request. There they are shown the item's time and dates only."""
    return list(dates(step.mapping, now_s))


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
