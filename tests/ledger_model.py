"""What a step with `sync: changed` must send, and what Customer.io then has. It shares no code with the program.

A Memory is the ledger as the documents describe it, in dictionaries; a Cloud is what Customer.io has of what it took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PEOPLE, COMPANIES, ORDERS = "people", "companies", "orders"
STEPS = (PEOPLE, COMPANIES, ORDERS)
KEY = {PEOPLE: "id", COMPANIES: "company", ORDERS: "order"}
OWNER = "owner"  # the part of a company that is its relationship; those of several rows add up
MALFORMED = "no address"

Row = Mapping[str, str | None]
Tie = tuple[str, tuple[tuple[str, str | None], ...]]  # the person, and the attributes of the relationship
Part = str | Tie | None  # None: the attribute is cleared


@dataclass(frozen=True, slots=True)
class Item:
    """One call, as it is sent."""

    step: str
    subject: str
    update: bool  # it must not create a person
    parts: frozenset[tuple[str, Part]]

    def __str__(self) -> str:
        parts = ", ".join(f"{name}={str(value)[:12]}" for name, value in sorted(self.parts, key=str))
        return f"{self.step} {self.subject}{' _update' if self.update else ''}: {parts}"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A step's mapping: its attributes, and whether a null clears."""

    attributes: tuple[str, ...]
    clears: bool = False

    def parts(self, step: str, row: Row) -> dict[str, Part]:
        """The parts of a row; one that is omitted is not among them."""
        found: dict[str, Part] = {
            name: row[name] for name in self.attributes if row[name] is not None or (self.clears and step != ORDERS)
        }
        if step == COMPANIES and (owner := row[OWNER]) is not None:
            found[OWNER] = (owner, (("role", row["role"]),) if self.clears or row["role"] is not None else ())
        return found


@dataclass(slots=True)
class Plan:
    """What becomes of a step's rows."""

    items: dict[int, Item] = field(default_factory=dict)  # by position
    content: dict[int, frozenset[tuple[str, Part]]] = field(default_factory=dict)  # of all rows that are no rejects
    ties: dict[str, frozenset[Part]] = field(default_factory=dict)  # by subject, of the rows that may be sent
    rejected: int = 0
    refused_before: int = 0
    same: int = 0


def is_rejected(step: str, row: Row) -> bool:
    """Whether our own checks reject a row."""
    return row[KEY[step]] is None or row.get("email") == MALFORMED


@dataclass(slots=True)
class Memory:
    """The ledger of one step: what Customer.io has acknowledged of each subject, and what it refused."""

    step: str
    whole: bool = False  # items cannot carry some of their parts: by Pipelines
    known: set[str] = field(default_factory=set)
    acknowledged: dict[tuple[str, str], Part] = field(default_factory=dict)  # by subject and part
    ties: dict[str, frozenset[Part]] = field(default_factory=dict)  # by subject, those of the last night together
    refused: dict[str, set[frozenset[tuple[str, Part]]]] = field(default_factory=lambda: defaultdict(set))

    def plan(self, rows: Sequence[Row], mapped: Mapped, *, again: bool = False, since: int | None = None) -> Plan:
        """What is sent of the rows; `again`: with --full-refresh. Orders `at` a time before `since` are left alone."""
        plan = Plan()
        counting: dict[str, list[int]] = defaultdict(list)  # positions of the rows that may be sent, by subject
        parts = {}
        for position, row in enumerate(rows):
            subject = row[KEY[self.step]]
            if subject is None or is_rejected(self.step, row):
                plan.rejected += 1
                continue
            if since is not None and int(str(row["at"])) < since:
                continue
            parts[position] = mapped.parts(self.step, row)
            plan.content[position] = self._content(row, mapped)
            if not again and plan.content[position] in self.refused[subject]:
                plan.refused_before += 1
            else:
                counting[subject].append(position)
        for subject, positions in counting.items():
            known = subject in self.known and not again
            last = {_slot(part): position for position in positions for part in parts[position].items()}
            ties = plan.ties[subject] = frozenset(parts[each][OWNER] for each in positions if OWNER in parts[each])
            items: dict[int, Item] = {}
            for position in positions:
                sent = {
                    name: value
                    for name, value in parts[position].items()
                    if last[_slot((name, value))] == position
                    and not (
                        known and (self.ties.get(subject) == ties if name == OWNER else self._has(subject, name, value))
                    )
                }
                first_time = position == positions[-1] and not known
                if self.step == ORDERS:
                    if first_time:
                        items[position] = self._item(subject, parts[position], known=False)
                elif sent or first_time:
                    items[position] = self._item(subject, sent, known=known)
            if items and self.whole and self.step != ORDERS:
                items = {position: self._item(subject, parts[position], known=False) for position in positions}
            plan.items |= items
        plan.same = len(rows) - len(plan.items) - plan.rejected - plan.refused_before
        return plan

    def _content(self, row: Row, mapped: Mapped) -> frozenset[tuple[str, Part]]:
        others: dict[str, Part] = {name: row[name] for name in ("id", "at") if self.step == ORDERS}
        return frozenset((mapped.parts(self.step, row) | others).items())

    def _has(self, subject: str, name: str, value: Part) -> bool:
        return (subject, name) in self.acknowledged and self.acknowledged[subject, name] == value

    def _item(self, subject: str, parts: Mapping[str, Part], *, known: bool) -> Item:
        return Item(self.step, subject, known and self.step == PEOPLE, frozenset(parts.items()))

    def settle(self, plan: Plan, outcomes: Mapping[int, str]) -> None:
        """The ledger after items, by position, were accepted or refused, or ended unknown; others were not sent."""
        of_ties: dict[str, set[str]] = defaultdict(set)
        for position, item in plan.items.items():
            outcome, subject, content = outcomes.get(position, ""), item.subject, plan.content[position]
            if any(name == OWNER for name, _ in item.parts):
                of_ties[subject].add(outcome)
            if outcome == "accepted":
                self.known.add(subject)
                self.refused[subject].discard(content)
                self.acknowledged |= {(subject, name): value for name, value in item.parts}
            elif outcome == "refused":
                self.refused[subject].add(content)
            elif outcome == "unknown":
                for name, _ in item.parts:
                    self.acknowledged.pop((subject, name), None)
        for subject, ends in of_ties.items():
            if ends == {"accepted"}:
                self.ties[subject] = plan.ties[subject]
            elif ends & {"accepted", "unknown"}:
                self.ties.pop(subject, None)


def _slot(part: tuple[str, Part]) -> object:
    """Parts with the same slot replace each other."""
    return part if part[0] == OWNER else part[0]


@dataclass(slots=True)
class Cloud:
    """What Customer.io has."""

    people: dict[str, dict[str, Part]] = field(default_factory=lambda: defaultdict(dict))
    companies: dict[str, dict[str, Part]] = field(default_factory=lambda: defaultdict(dict))
    owners: dict[tuple[str, str], dict[str, Part]] = field(default_factory=dict)  # by company and person
    orders: dict[str, frozenset[tuple[str, Part]]] = field(default_factory=dict)

    def take(self, item: Item) -> None:
        """Applies an item that was not refused."""
        if item.step == ORDERS:
            self.orders.setdefault(item.subject, item.parts)
            return
        if item.update and item.subject not in self.people:
            return
        of_step: dict[str, dict[str, Part]] = getattr(self, item.step)
        attributes = of_step[item.subject]
        for name, value in item.parts:
            if isinstance(value, tuple):
                person, of_tie = value
                self.people[person]  # a relationship creates its person
                tie = self.owners.setdefault((item.subject, person), {})
                tie |= {each: text for each, text in of_tie if text is not None}
                for each in (each for each, text in of_tie if text is None):
                    tie.pop(each, None)
            elif value is not None:
                attributes[name] = value
            elif name != "email":  # an identifier is not cleared
                attributes.pop(name, None)


def differences(expected: Cloud, found: Cloud) -> Iterator[str]:
    """What Customer.io has otherwise than it should."""
    for what in ("people", "companies", "owners", "orders"):
        wanted, has = getattr(expected, what), getattr(found, what)
        if what == "people":  # somebody without attributes may be there for an order
            wanted, has = ({key: value for key, value in each.items() if value} for each in (wanted, has))
        for key in sorted(wanted.keys() | has.keys(), key=str):
            if wanted.get(key) != has.get(key):
                yield f"{what} {key}: Customer.io has {_short(has.get(key))}, it should have {_short(wanted.get(key))}"


def last_values(
    step: str, rows: Sequence[Row], mapped: Mapped, refuses: Callable[[str, str], bool]
) -> Iterator[tuple[str, str, Part]]:
    """What a load of all rows would leave: subject, part, value. Only of subjects of which nothing can be refused."""
    found: dict[str, dict[str, Part]] = defaultdict(dict)
    left_out: set[str] = set()
    ties: list[tuple[str, str, Part]] = []
    for row in rows:
        subject = row[KEY[step]]
        if subject is None or is_rejected(step, row):
            continue
        if refuses(step, subject) or FORBIDDEN in row.values():
            left_out.add(subject)
        found[subject] |= mapped.parts(step, row)
        ties += [(subject, OWNER, value) for name, value in mapped.parts(step, row).items() if name == OWNER]
    for subject in found.keys() - left_out:
        yield from ((subject, name, value) for name, value in found[subject].items() if name != OWNER)
    yield from (tie for tie in ties if tie[0] not in left_out)


FORBIDDEN = "forbidden"  # a value for which Customer.io refuses an item


def _short(value: Any) -> str:
    return str(dict(sorted(value.items())) if isinstance(value, dict) else value)[:160]
