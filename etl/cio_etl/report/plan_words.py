"""Words a plan for people: what a run would change, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from cio_etl.apis import OPERATIONS
from cio_etl.model import NOT_KNOWN, NOTHING, PartCounts, Plan, StepPlan
from cio_etl.model.report import ASSUMED_LATENCY_S
from cio_etl.model.words import counted

# What the exit code of a plan means; of a run, 3 means rejected rows alone.
EXIT_WORDS = {
    0: "nothing would be sent, and no row is rejected",
    3: "something would be sent, or rows are rejected",
    4: "a run would stop",
}
AT_ONCE = 3  # steps that one sentence is about
NO_VALUES = (NOTHING, NOT_KNOWN)
SETS_ATTRIBUTES = ("identify", "identify_object")  # operations for who is gone that do not remove them


def headline(plan: Plan) -> str:
    """What a run would change, in one sentence."""
    if stopping := [step.name for step in plan.steps if step.would_stop]:
        return f"Not as it is: a run would stop in {'step' if len(stopping) == 1 else 'the steps'} {listed(stopping)}."
    if len(plan.steps) == 1:
        return sentence(plan.steps[0])
    sending = [step for step in plan.steps if step.sends]
    if not sending:
        return "A run would send nothing."
    nouns = {OPERATIONS[step.operation].nouns for step in sending}
    if len(nouns) < len(sending) or len(sending) > AT_ONCE:
        return f"A run would send something in {len(sending)} of {len(plan.steps)} steps."
    return f"A run would {', and '.join(changes(step) for step in sending)}."


def sentence(step: StepPlan) -> str:
    """What a run would change in a step, in one sentence."""
    delta = step.delta
    if not step.rows and not step.sends:
        return "There are no rows to send."
    run = "The first run" if step.is_first else "A run"
    if delta is None or not delta.same:
        return f"{run} would {changes(step) or 'send nothing'}."
    one, several = ("was", "were") if OPERATIONS[step.operation].has_event else ("stays as it is", "stay as they are")
    stay = f"{one if delta.same == 1 else several}{' sent before' if OPERATIONS[step.operation].has_event else ''}"
    if not step.sends:
        return f"{run} would send nothing: {subjects(step, delta.same)} {stay}."
    return f"{run} would {changes(step)}; {delta.same:,} {stay}."


def changes(step: StepPlan) -> str:
    """`add 31 people, change 1,204 and remove 12`; "" when nothing is sent."""
    delta = step.delta
    if delta is None:
        rows = counted(step.rows, "row")
        return f"send {f'all {rows}' if step.items == step.rows > 1 else f'{step.items:,} of {rows}'}, changed or not"
    new = ("send", delta.new, " whole, changed or not") if step.facts.again else ("add", delta.new, "")
    verbs = [new, ("change", delta.changed, "")]
    if OPERATIONS[step.operation].has_event:
        verbs = [("send", delta.new, "")]
    elif step.when_gone in SETS_ATTRIBUTES:
        verbs.append(("set attributes of", delta.gone, " no longer in the source"))
    else:
        verbs.append(("remove", delta.gone, ""))
    said: list[str] = []
    for verb, count, rest in verbs:
        if count:
            said.append(f"{verb} {f'{count:,}' if said else subjects(step, count)}{rest}")
    return listed(said)


def subjects(step: StepPlan, count: int) -> str:
    """`1,204 people`: so many of what the step's items are about."""
    return counted(count, *OPERATIONS[step.operation].nouns)


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; "" for none."""
    if not words:
        return ""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def unfinished(plan: Plan) -> str | None:
    """That another run must end first; None when there is none."""
    if plan.unfinished is None:
        return None
    return f"the run {plan.unfinished} is unfinished: a run resumes it first, and `apply` refuses this plan"


def campaigns(step: StepPlan) -> list[tuple[int, str]]:
    """Who and what can start campaigns: numbers, and of what. Those of zero are left out."""
    found = step.campaigns
    numbers = [
        (found.new_people, "new person", "new people"),
        (found.changed_people, "changed person", "changed people"),
        (found.events_of_72h, "event of the last 72 hours", "events of the last 72 hours"),
    ]
    if found.new_people is None:
        numbers.append((step.items, "row of a person", "rows of people"))
    return [(count, one if count == 1 else several) for count, one, several in numbers if count]


def campaigns_words(step: StepPlan) -> str:
    """What of these can start which campaigns."""
    if OPERATIONS[step.operation].has_event:
        return "An event of the last 72 hours can start every campaign that begins with it; older events only count."
    words = "People can enter campaigns that begin with a segment, an attribute or a date when one of these changes."
    if step.campaigns.new_people is None:
        return f"{words} Without a ledger, who is new or changed is not known: write sync: changed in the job file."
    return words


def moved_parts(step: StepPlan) -> dict[str, PartCounts]:
    """The parts that change for somebody, by name."""
    parts = {} if step.delta is None else step.delta.parts
    return {name: part for name, part in parts.items() if part.set or part.changed or part.unset}


def other_changes(step: StepPlan, part: str) -> int:
    """The subjects with a change of a part that is not among its most frequent ones."""
    counts = moved_parts(step)[part]
    return counts.set + counts.changed + counts.unset - sum(change.subjects for change in step.changes.get(part, ()))


def new_parts(step: StepPlan) -> dict[str, int]:
    """The attributes that are new in the mapping, and for how many subjects each is sent."""
    return {finding.field: finding.rows for finding in step.findings if finding.code == "backfill" and finding.field}


def dropped_parts(step: StepPlan) -> list[str]:
    """The attributes that are no longer in the mapping."""
    return [finding.field for finding in step.findings if finding.code == "no_longer_mapped" and finding.field]


def estimate(plan: Plan) -> str:
    """By what the time is estimated."""
    rate = plan.requests_per_second
    at = (
        "an unlimited rate of requests"
        if rate is None
        else f"at most {rate:g} {'request' if rate == 1 else 'requests'} a second"
    )
    return f"{at} and {counted(plan.lanes, 'lane')}, each answered in {ASSUMED_LATENCY_S * 1000:.0f} ms"
