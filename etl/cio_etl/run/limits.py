"""How much may change at once: a run past the limits of a step stops before the step's first request."""

from __future__ import annotations

from collections.abc import Iterator

from cio_etl.errors import TooManyChanges
from cio_etl.ledger import Delta, Ledger, Made
from cio_etl.model import DeltaCounts, Limit, Step
from cio_etl.model.words import counted


def require_within_limits(step: Step, made: Made, ledger: Ledger, *, accepts: bool) -> None:
    """Raises TooManyChanges when the delta changes more at once than the step allows."""
    if exceeded := "; ".join(exceeded_limits(step, made, ledger, accepts=accepts)):
        is_empty = step.sync.mode == "mirror" and not made.delta.head.rows
        remedy = "check the source; a mirror removes nobody while its source has no rows" if is_empty else ""
        raise TooManyChanges(remedy, step=step.name, changes=exceeded)


def exceeded_limits(step: Step, made: Made, ledger: Ledger, *, accepts: bool) -> Iterator[str]:
    """The limits of the step that a delta exceeds, in words.

    Only `max_gone` limits a first run, also after one that was abandoned, and a --full-refresh: everybody is new then.
    `accepts`: all changes are allowed, but a source without rows removes nobody.
    """
    before, counts, head = ledger.generation, made.counts, made.delta.head
    if not before.number:
        return
    known = counts.known + (counts.new if head.again else 0)
    known = known if before.subjects is None else before.subjects  # the rows may be those of an incremental source
    unset = max((part.unset for part in counts.parts.values()), default=0)
    found = {"new": counts.new, "changed": counts.changed, "unset": unset, "gone": counts.gone}
    limits = dict(step.sync.limits) if before.is_whole and known and not head.again else {}
    if step.sync.mode == "mirror":
        limits["gone"] = step.sync.max_gone
    if accepts:
        limits = {}
    if not head.rows:
        limits["gone"] = Limit(number=0)
    for name, limit in limits.items():
        if found.get(name, 0) > limit.of(known):
            key = "max_gone" if name == "gone" else f"limits: {name}"
            words = _LIMIT_WORDS[name]
            if name == "gone" and counts.left_out:
                words += f", {counts.left_out:,} of them because `when` leaves their rows out"
            allows = f"{key} allows {limit.of(known):,}{_share(limit)}" if head.rows else "the source has no rows"
            yield f"{found[name]:,} of {counted(known, 'subject')} {words}; {allows}"


def exceeded_events(step: Step, delta: Delta, events: int) -> Iterator[str]:
    """The limit of events of the last 72 hours, in words, when more than it allows would be sent; see exceeded_limits.

    Their times are known only after the delta has been made.
    """
    limit, head = step.sync.limits.get("events_of_72h"), delta.head
    if limit is None or head.is_first or head.again:
        return
    if events > (most := limit.of(DeltaCounts.of(head.counts).known)):
        are = "event of the last 72 hours would be sent", "events of the last 72 hours would be sent"
        yield f"{counted(events, *are)}; limits: events_of_72h allows {most:,}{_share(limit)}"


def require_few_events(step: Step, delta: Delta, events: int) -> None:
    """Raises TooManyChanges when more events of the last 72 hours would be sent than the step allows."""
    for changes in exceeded_events(step, delta, events):
        raise TooManyChanges(step=step.name, changes=changes)


def _share(limit: Limit) -> str:
    return f" ({limit})" if limit.number is None else ""


_LIMIT_WORDS = {
    "new": "would be new",
    "changed": "would change",
    "unset": "would lose an attribute",
    "gone": "are gone from the source",
}
