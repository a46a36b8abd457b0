"""Plans a mapping: people or events, and the column for each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cio_etl.config.yaml_writer import shown
from cio_etl.errors import SourceError
from cio_etl.model import IdentifierKind
from cio_etl.propose import names
from cio_etl.propose.attributes import Attribute, attributes_of
from cio_etl.propose.dates.decide import of
from cio_etl.propose.readings import Reading
from cio_etl.propose.roles import Roles, repeats, roles_of
from cio_etl.propose.subject import Subject, Verdict, weigh
from cio_etl.transform.checks import MAX_EVENT_NAME_BYTES, MAX_IDENTIFIER_BYTES

# Columns that show that rows are about people.
_OF_A_PERSON = ("an e-mail address", "a name", "a phone number", "a birth date")

CountDistinct = Callable[[Sequence[str]], tuple[int, int]]  # columns -> (different combinations, rows)


@dataclass(frozen=True, slots=True)
class Plan:
    """The content of a mapping, and the reasons."""

    operation: Literal["identify", "track"]
    kind: IdentifierKind
    person: Reading
    attributes: tuple[Attribute, ...]
    rows: int
    event_name: str = ""  # of every row, where no column names it
    event: Reading | None = None
    timestamp: Reading | None = None
    event_key: tuple[str, ...] = ()
    event_key_evidence: str = ""
    visitor: Reading | None = None  # a column that identifies the rows without a person
    unlisted: int = 0  # columns past the limit of attributes

    @property
    def decisions(self) -> tuple[tuple[str, str], ...]:
        """(place, question) of every decision for the author."""
        places = [(f"identifiers.{self.kind}", self.person)]
        places += [("timestamp", self.timestamp)] if self.timestamp is not None else []
        places += [(f"attributes.{one.name}", one.reading) for one in self.attributes]
        questions = [(place, reading.decide) for place, reading in places if reading.decide]
        if self.operation == "track" and self.timestamp is None:
            questions.insert(0, ("timestamp", "no column says when; without it every event is dated now"))
        return tuple(questions)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The reading of every column, each once."""
        roles = [role for role in (self.person, self.event, self.timestamp) if role is not None]
        every = (*roles, *(one.reading for one in self.attributes))
        return tuple({reading.name: reading for reading in every}.values())

    @property
    def skipped(self) -> int:
        """Rows that the proposed `when` omits."""
        return self.person.look.rows - self.person.look.filled if self.visitor is not None else 0

    @property
    def rejects(self) -> int:
        """At most how many of the rows that were read would be rejected, by the counts of the columns."""
        parts = [self.person, *([self.timestamp] if self.timestamp is not None else [])]
        parts += [one.reading for one in self.attributes if not one.reading.left_out]
        return min(self.rows, sum(part.rejects for part in parts))


@dataclass(frozen=True, slots=True)
class Proposed:
    """The plan of a source, and the other one where the evidence does not decide between people and events."""

    plan: Plan
    verdict: Verdict
    other: Plan | None = None

    @property
    def decisions(self) -> tuple[tuple[str, str], ...]:
        """(place, question) of every decision for the author; which plan is right comes first."""
        if self.verdict.decided:
            return self.plan.decisions
        other = "events" if self.verdict.subject == "people" else "people"
        question = f"people or events? {self.verdict.subject} are written; {other} stand below them as a comment"
        return (("operation", question), *self.plan.decisions)


def plan(
    readings: Sequence[Reading], name: str, source: str, count_distinct: CountDistinct, stated: Subject | None = None
) -> Proposed:
    """The plan for a source. `name` names the event where no column does, `source` is the file's or table's name.

    Raises SourceError when no column could identify a person.
    """
    roles = roles_of(readings)
    if not roles.usable:
        what = "no column of text or whole numbers, which could identify a person"
        raise SourceError("add the column to the source", place=name, what=what)
    verdict = weigh(readings, roles, source, stated)

    def planned(subject: Subject) -> Plan:
        return _people(readings, roles) if subject == "people" else _events(readings, roles, name, count_distinct)

    other = None if verdict.decided else planned("events" if verdict.subject == "people" else "people")
    return Proposed(planned(verdict.subject), verdict, other)


# ---------------------------------------------------------------- events


def _events(readings: Sequence[Reading], roles: Roles, name: str, count_distinct: CountDistinct) -> Plan:
    person, visitor = _person_of_events(roles)
    when = _safe_time(roles.when)
    key, evidence = _event_key(person, roles, count_distinct)
    roles_taken = [one.name for one in (person, roles.event, when) if one is not None]
    attributes, unlisted = attributes_of([one for one in readings if one.name not in roles_taken], "track")
    return Plan(
        operation="track",
        kind="anonymous_id" if names.says_visitor(person.label) else _kind(person),
        person=person,
        attributes=attributes,
        rows=person.look.rows,
        event_name=name.encode()[:MAX_EVENT_NAME_BYTES].decode(errors="ignore"),
        event=roles.event,
        timestamp=when,
        event_key=key,
        event_key_evidence=evidence,
        visitor=visitor,
        unlisted=unlisted,
    )


def _person_of_events(roles: Roles) -> tuple[Reading, Reading | None]:
    """The column that identifies the person of an event; and the visitor's, where it is empty in some rows."""
    person, visitor = roles.person, roles.visitor
    if person is None and visitor is None:
        chosen = max(roles.usable, key=lambda one: -(one.look.distinct or 0))
        question = "no column is named like a person's key; which one is whose event it is?"
        return _as_identifier(replace(chosen, decide=question), _several_rows(chosen)), None
    if person is None and visitor is not None:
        question = "it names a visitor whom Customer.io does not know; is there a column of people?"
        return _as_identifier(replace(visitor, decide=question), _several_rows(visitor)), None
    assert person is not None
    missing = person.look.rows - person.look.filled
    return _as_identifier(person, _several_rows(person), skips=visitor is not None), visitor if missing else None


def _several_rows(reading: Reading) -> str:
    return f"{reading.look.distinct or 0:,} different in {reading.look.filled:,} rows"


def _safe_time(when: Reading | None) -> Reading | None:
    """The time of the events; a time that cannot be read for sure rejects the row, rather than being wrong."""
    if when is None or not when.left_out:
        return when
    why = "as it stands, every row is rejected; " + when.left_out
    return replace(when, apply=("timestamp",), evidence=(*when.evidence, why), left_out="", rejects=when.look.filled)


def _event_key(person: Reading, roles: Roles, count_distinct: CountDistinct) -> tuple[tuple[str, ...], str]:
    """The columns that tell events apart, by counting their different values; and the evidence, or why there are none.

    `event_key` names columns of the source: a member of an object cannot be one.
    """
    if roles.key is not None and roles.key.look.member is None:
        return (roles.key.name,), f"{_how_unique(roles.key)}; the event's id is made from it"
    if roles.key is not None:
        return (), f"{shown(roles.key.name)} is {_how_unique(roles.key)}, but `event_key` takes columns only"
    together = [one for one in (person, roles.event, roles.when) if one is not None and one.look.member is None]
    if roles.when not in together or person not in together or not person.look.rows:
        return (), "no column is different in every row"
    distinct, rows = count_distinct([one.name for one in together])
    if distinct == rows:
        return tuple(one.name for one in together), f"together different in all {rows:,} rows"
    columns = " and ".join(shown(one.name) for one in together)
    return (), f"no column is different in every row; {columns} together are in {distinct:,} of {rows:,}"


def _how_unique(key: Reading) -> str:
    look = key.look
    if look.is_key:
        return f"filled and different in all {look.rows:,} rows"
    empty = f", {look.rows - look.filled:,} empty, which would be rejected" if look.filled < look.rows else ""
    return f"{look.distinct or 0:,} different in {look.filled:,} rows{empty}"


# ---------------------------------------------------------------- people


def _people(readings: Sequence[Reading], roles: Roles) -> Plan:
    chosen = _identifier(roles)
    if chosen is None:
        distinct = max(roles.usable, key=lambda one: (one.look.is_key, one.look.distinct or 0))
        chosen = replace(
            distinct, decide="no column is named like a key or holds e-mail addresses; which one is the person's?"
        )
    elif names.person_rank(chosen.label) is None and not any(one.personal in _OF_A_PERSON for one in readings):
        chosen = replace(chosen, decide="is it a person's key? no other column is about a person")
    person = _as_identifier(chosen, _uniqueness(chosen))
    attributes, unlisted = attributes_of([one for one in readings if one.name != chosen.name], "identify")
    return Plan("identify", _kind(chosen), person, attributes, person.look.rows, unlisted=unlisted)


def _identifier(roles: Roles) -> Reading | None:
    """The column that identifies the people: their own key, else `id`, else the e-mail address, else another key.

    A key of the product that exported them, such as Record ID, comes after the e-mail address: nothing else knows it.
    """
    person, key, email = roles.person, roles.key, next(iter(roles.emails), None)
    person_key = person if person is not None and names.person_rank(person.label) in (0, 1) else None
    plain_id = key if key is not None and names.key_rank(key.label) == 1 else None
    if person_key is not None and roles.visitor is not None:  # the rows are calls, and `id` is the key of a call
        return person_key
    candidates = [person_key, plain_id, email, key]
    if person_key is not None and person_key.label == "cio_id":  # another workspace does not know it
        candidates = [plain_id, email, person_key]
    unique = next((one for one in candidates if one is not None and not repeats(one)), None)
    return unique or person_key or person or key or email


def _uniqueness(reading: Reading) -> str:
    look = reading.look
    if not look.rows:
        return "no rows to look at: chosen by its name"
    if look.is_key:
        return f"filled and different in all {look.rows:,} rows"
    again = look.filled - (look.distinct or 0)
    text = f"filled in {of(look.filled, look.rows)} rows"
    if not again:
        return text
    return f"{text}; {again:,} repeat{'s' if again == 1 else ''} a person: of their rows the last one stays"


# ---------------------------------------------------------------- the identifier


def _kind(reading: Reading) -> IdentifierKind:
    if reading.kind == "email":
        return "email"
    return "cio_id" if reading.label == "cio_id" else "id"


def _as_identifier(reading: Reading, evidence: str, skips: bool = False) -> Reading:
    """The column as an identifier: a text, even if it looks like a number. `skips`: rows without one are omitted."""
    look = reading.look
    texts = [evidence]
    rejects = 0
    if (missing := look.rows - look.filled) and not skips:
        texts.append(f"{missing:,} empty, which would be rejected")
        rejects += missing
    if reading.kind == "email" and (bad := look.filled - look.count("email")):
        texts.append(f"{bad:,} {'is' if bad == 1 else 'are'} malformed and would be rejected")
        rejects += bad
    if long := look.count("long_key"):
        texts.append(f"{long:,} over {MAX_IDENTIFIER_BYTES} bytes, which would be rejected")
        rejects += long
    return replace(reading, apply=_as_text(reading), evidence=tuple(texts), rejects=rejects)


def _as_text(reading: Reading) -> tuple[object, ...]:
    """The functions that clean a text, without those that convert it."""
    return tuple(call for call in reading.apply if call in ("trim", "lower") or "regex_replace" in call)
