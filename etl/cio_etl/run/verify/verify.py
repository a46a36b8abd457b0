"""Compares a sample of people with what Customer.io has, and says how many may differ."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cio_etl.apis.app import Profile
from cio_etl.model import AttributeDifference, Destination, Verification
from cio_etl.run.verify.bound import most_that_differ
from cio_etl.run.verify.compare import differences, shown
from cio_etl.run.verify.read_back import ReadBack
from cio_etl.run.verify.sample import Expected, Sample

NOT_THERE = "only existing people are changed, and they do not exist"
EXAMPLES = 5  # of each attribute, where values are revealed

Found = tuple[Expected, Profile | None, list[str]]  # whom, what there is, and the attributes that differ


def verified(
    sample: Sample,
    destination: Destination,
    *,
    wait_s: float = 0.0,
    rejected: Mapping[int, Collection[int]] | None = None,
    left_out: Sequence[str] = (),
    never_sent: Sequence[str] = (),
    reveal: bool = False,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    note: Callable[[str], None] = lambda line: None,
) -> Verification:
    """What of the sample Customer.io has as it was sent. Raises what ReadBack raises.

    Whoever differs is read a second time after `wait_s`, since Customer.io applies what it takes later.
    """
    expected, out = sample.expected(rejected or {})
    drawn = len(expected) + out.total()
    with ReadBack(destination, now, sleep, note) as app:
        found, unreadable = _compared(app, expected)
        if again := [person for person, _, names in found if names]:
            sleep(wait_s)
            later, unreadable_later = _compared(app, again)
            unreadable += unreadable_later
            found = [each for each in found if not each[2]] + later
    if unreadable:
        out.update(unreadable)
    not_there = [person for person, profile, _ in found if profile is None and person.existing_only]
    if not_there:
        out[NOT_THERE] = len(not_there)
    counted = [each for each in found if not (each[1] is None and each[0].existing_only)]
    missing = [person for person, profile, _ in counted if profile is None]
    differing = [each for each in counted if each[1] is not None and each[2]]
    different = len(missing) + len(differing)
    people, exact = sample.people, sample.is_whole
    whole = exact and len(counted) == people
    return Verification(
        people=people,
        people_exact=exact,
        drawn=drawn,
        checked=len(counted),
        missing=len(missing),
        differing=len(differing),
        attributes=_by_attribute(differing, reveal),
        not_compared=dict(out.most_common()),
        left_out=tuple(left_out),
        never_sent=tuple(never_sent),
        most_differ=_share(different, len(counted), whole),
        seed=sample.seed,
        missing_examples=tuple(f"{each.kind} {each.identifier}" for each in missing[:EXAMPLES]) if reveal else (),
    )


def _share(different: int, checked: int, whole: bool) -> float | None:
    if not checked:
        return None
    return different / checked if whole else most_that_differ(different, checked)


def _compared(app: ReadBack, expected: Sequence[Expected]) -> tuple[list[Found], Counter[str]]:
    """Each person with what Customer.io has; and those whom it cannot be asked for, by the reason."""
    by_kind: defaultdict[str, list[Expected]] = defaultdict(list)
    for person in expected:
        by_kind[person.kind].append(person)
    found: list[Found] = []
    out: Counter[str] = Counter()
    for kind, people in by_kind.items():
        profiles = app.people(kind, [person.identifier for person in people])
        for person in people:
            profile = profiles[person.identifier]
            if isinstance(profile, str):
                out[profile] += 1
            else:
                found.append((person, profile, _names(person, profile)))
    return found, out


def _names(person: Expected, profile: Profile | None) -> list[str]:
    return [""] if profile is None else differences(person.attributes, profile)


def _by_attribute(differing: Sequence[Found], reveal: bool) -> tuple[AttributeDifference, ...]:
    people = Counter(name for _, _, names in differing for name in names)
    examples: defaultdict[str, list[str]] = defaultdict(list)
    if reveal:
        for person, profile, names in differing:
            for name in names:
                if len(examples[name]) < EXAMPLES:
                    examples[name].append(_example(name, person, profile))
    return tuple(AttributeDifference(name, count, tuple(examples[name])) for name, count in people.most_common())


def _example(name: str, person: Expected, profile: Profile | None) -> str:
    found: Any = None if profile is None else shown(name, profile)
    sent = person.attributes[name]
    there = "nothing" if found is None else json.dumps(found, ensure_ascii=False, default=str)
    return f"{person.kind} {person.identifier}: sent {json.dumps(sent, ensure_ascii=False, default=str)}, there {there}"
