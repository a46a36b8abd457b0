"""What mirror steps must send, and what Customer.io then has. It shares no code with the program.

A Memory is the ledger as the documents describe it, in dictionaries; a Cloud is what Customer.io has of what it took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PEOPLE, OBJECTS, TIES, DEVICES, MEMBERS = "people", "objects", "ties", "devices", "members"
STEPS = (PEOPLE, OBJECTS, TIES, DEVICES, MEMBERS)
COLUMNS = {
    PEOPLE: ("id", "email", "plan", "city", "tier", "company"),
    OBJECTS: ("id", "name", "seats"),
    TIES: ("id", "object", "role"),
    DEVICES: ("id", "token", "platform"),
    MEMBERS: ("id",),
}
KEYS = {PEOPLE: ("id",), OBJECTS: ("id",), TIES: ("id", "object"), DEVICES: ("id", "token"), MEMBERS: ("id",)}
ALWAYS = {PEOPLE: ("email", "plan"), OBJECTS: ("name",), TIES: ("role",), DEVICES: ("platform",), MEMBERS: ()}
SOMETIMES = {PEOPLE: ("city", "tier", "company"), OBJECTS: ("seats",), TIES: (), DEVICES: (), MEMBERS: ()}
INVERSES = {TIES: "delete_relationships", DEVICES: "delete_device", MEMBERS: "remove_from_segment"}
ACTIONS = {TIES: "add_relationships", DEVICES: "add_device", MEMBERS: "add_to_segment"}
MALFORMED, FORBIDDEN = "no address", "forbidden"  # Customer.io refuses an item with the second one
COMPANY = "company"  # of people: a relationship; those of several nights add up

Row = Mapping[str, str | None]
Parts = frozenset[tuple[str, str | bool | None]]


@dataclass(frozen=True, slots=True)
class Item:
    """One call, as it is sent."""

    step: str
    subject: str
    action: str
    parts: Parts = frozenset()
    update: bool = False  # it must not create a person

    def __str__(self) -> str:
        parts = ", ".join(f"{name}={str(value)[:12]}" for name, value in sorted(self.parts, key=str))
        return f"{self.step} {self.subject}: {self.action}{' _update' if self.update else ''} {parts}"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A step's mapping and what becomes of who is gone."""

    attributes: tuple[str, ...]
    clears: bool = False
    when_gone: str = ""  # delete, suppress, unset, set; "": the inverse

    def parts(self, step: str, row: Row) -> dict[str, str | None]:
        """The parts of a row; one that is omitted is not among them."""
        return {
            name: row[name]
            for name in self.attributes
            if row[name] is not None or (self.clears and name != COMPANY and step not in ACTIONS)
        }

    def removal(self, step: str, subject: str) -> Item:
        """The item that removes a subject."""
        if step in INVERSES:
            return Item(step, subject, INVERSES[step])
        if self.when_gone in ("delete", "suppress"):
            return Item(step, subject, self.when_gone)
        unset: dict[str, str | bool | None] = {name: None for name in self.attributes if name != COMPANY}
        parts = unset if self.when_gone == "unset" else {"churned": True}
        return Item(step, subject, "identify", frozenset(parts.items()), update=step == PEOPLE)


@dataclass(slots=True)
class Plan:
    """What becomes of a step's rows, and of its gone subjects."""

    items: dict[int, Item] = field(default_factory=dict)  # by position
    content: dict[int, Parts] = field(default_factory=dict)
    gone: dict[str, Item] = field(default_factory=dict)  # by subject
    rejected: int = 0
    refused_before: int = 0
    same: int = 0
    again: bool = False  # with --full-refresh
    stops: str = ""  # why a run stops before the step

    @property
    def every(self) -> list[Item]:
        return [] if self.stops else [*self.items.values(), *self.gone.values()]


@dataclass(slots=True)
class Known:
    """A subject that Customer.io has acknowledged."""

    parts: dict[str, str | bool | None] = field(default_factory=dict)
    is_sure: bool = True  # False: an answer was lost, and it may have the subject or not


@dataclass(slots=True)
class Memory:
    """The ledger of one step."""

    step: str
    whole: bool = False  # items cannot carry some of their parts: by Pipelines
    known: dict[str, Known] = field(default_factory=dict)
    refused: dict[str, set[Parts]] = field(default_factory=lambda: defaultdict(set))

    def subject(self, row: Row) -> str | None:
        values = [row[name] for name in KEYS[self.step]]
        return None if None in values else " ".join(str(value) for value in values)

    def plan(
        self, rows: Sequence[Row], mapped: Mapped, max_gone: float, *, again: bool = False, retries: bool = False
    ) -> Plan:
        plan, seen, is_readable = Plan(again=again), set(), True
        for position, row in enumerate(rows):
            subject = self.subject(row)
            if subject is None:
                is_readable, plan.rejected = False, plan.rejected + 1
                continue
            seen.add(subject)
            if row.get("email") == MALFORMED:
                plan.rejected += 1
                continue
            parts = mapped.parts(self.step, row)
            content = plan.content[position] = frozenset(parts.items())
            if content in self.refused[subject] and not (again or retries):
                plan.refused_before += 1
                continue
            known = self.known.get(subject)
            is_known = known is not None and known.is_sure and not again
            before = known.parts if known is not None and is_known else {}
            changed = {name: value for name, value in parts.items() if name not in before or before[name] != value}
            if is_known and not changed:
                plan.same += 1
            elif self.step in ACTIONS:
                plan.items[position] = Item(self.step, subject, ACTIONS[self.step], content)
            else:
                is_partial = is_known and not self.whole
                sent = frozenset((changed if is_partial else parts).items())
                plan.items[position] = Item(self.step, subject, "identify", sent, is_partial and self.step == PEOPLE)
        gone = [subject for subject in self.known if subject not in seen] if is_readable else []
        plan.gone = {subject: mapped.removal(self.step, subject) for subject in gone}
        if gone and (not rows or len(gone) > max_gone * len(self.known)):
            plan.stops = f"{len(gone)} of {len(self.known)} are gone"
        return plan

    def settle(self, plan: Plan, outcomes: Mapping[int, str]) -> None:
        """The ledger after items, by position, were accepted or refused, or ended unknown; others were not sent."""
        for position, outcome in outcomes.items():
            item = plan.items[position]
            if plan.again and item.subject in self.known:  # what is not sent now is not known any more
                self.known[item.subject].parts.clear()
            if outcome == "accepted":
                known = self.known.setdefault(item.subject, Known())
                known.is_sure = True
                known.parts |= dict(item.parts)
                self.refused[item.subject].discard(plan.content[position])
            elif outcome == "refused":
                self.refused[item.subject].add(plan.content[position])
            else:
                known = self.known.setdefault(item.subject, Known(is_sure=False))
                for name, _ in item.parts:
                    known.parts.pop(name, None)

    def remove(self, outcomes: Mapping[str, str]) -> None:
        """The ledger after subjects were removed (accepted), or may have been (unknown); refused ones stay."""
        for subject, outcome in outcomes.items():
            if outcome == "accepted":
                del self.known[subject]
                self.refused.pop(subject, None)
            elif outcome == "unknown":
                self.known[subject].is_sure = False


@dataclass(slots=True)
class Cloud:
    """What Customer.io has."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    companies: dict[str, set[str]] = field(default_factory=dict)  # of people
    suppressed: set[str] = field(default_factory=set)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    ties: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)

    def take(self, item: Item) -> None:
        """Applies an item that was not refused."""
        of_step: Any = getattr(self, item.step)
        if item.step == MEMBERS:
            (of_step.add if item.action == "add_to_segment" else of_step.discard)(item.subject)
        elif item.action in ("delete", "suppress", *INVERSES.values()):
            of_step.pop(item.subject, None)
            self.companies.pop(item.subject, None)
            if item.action == "suppress":
                self.suppressed.add(item.subject)
        elif item.subject not in self.suppressed and (item.subject in of_step or not item.update):
            attributes = of_step.setdefault(item.subject, {})
            for name, value in item.parts:
                if name == COMPANY:
                    self.companies.setdefault(item.subject, set()).add(str(value))
                elif value is not None:
                    attributes[name] = value
                elif name != "email":  # an identifier is not cleared
                    attributes.pop(name, None)


def differences(expected: Cloud, found: Cloud) -> Iterator[str]:
    """What Customer.io has otherwise than it should."""
    for what in ("people", "companies", "objects", "ties", "devices"):
        wanted, has = getattr(expected, what), getattr(found, what)
        for key in sorted(wanted.keys() | has.keys()):
            if wanted.get(key) != has.get(key):
                yield f"{what} {key}: Customer.io has {has.get(key)}, it should have {wanted.get(key)}"
    for subject in sorted(expected.members ^ found.members):
        yield f"{subject} should{'' if subject in expected.members else ' not'} be in the segment"
