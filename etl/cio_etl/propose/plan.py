"""The plan of a mapping: people or events, and the attribute that each column becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cio_etl.apis import OPERATIONS
from cio_etl.errors import SourceError
from cio_etl.model import IdentifierKind
from cio_etl.propose import names
from cio_etl.propose.dates.decide import of
from cio_etl.propose.readings import SAME, Reading
from cio_etl.transform.checks import MAX_EVENT_NAME_BYTES, MAX_IDENTIFIER_BYTES, MAX_NAME_BYTES

MAX_ATTRIBUTES = 300  # of people, per call; the author decides about the rest

# Attributes that indicate rows of people.
_OF_A_PERSON = ("an e-mail address", "a name", "a phone number", "a birth date")

_EMAIL_NAMES = ("_email_", "_e_mail_", "_email_address_")

# Attributes of a person that also identify the person.
_WHO = ("id", "cio_id", "email")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column under the name that it has at Customer.io."""

    name: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Plan:
    """The content of the mapping, and the reasons."""

    operation: Literal["identify", "track"]
    kind: IdentifierKind
    who: Reading
    attributes: tuple[Attribute, ...]
    event: str = ""
    timestamp: Reading | None = None
    event_key: Reading | None = None
    unlisted: int = 0  # columns past MAX_ATTRIBUTES

    @property
    def decisions(self) -> tuple[tuple[str, str], ...]:
        """(place, question) of every decision for the author."""
        kept = [(f"identifiers.{self.kind}", self.who)]
        kept += [("timestamp", self.timestamp)] if self.timestamp is not None else []
        kept += [(f"attributes.{one.name}", one.reading) for one in self.attributes]
        found = [(place, reading.decide) for place, reading in kept if reading.decide]
        if self.operation == "track" and self.timestamp is None:
            found.insert(0, ("timestamp", "no column says when; without it every event is dated now"))
        return tuple(found)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Of every column, each once."""
        roles = [role for role in (self.who, self.timestamp, self.event_key) if role is not None]
        return tuple(
            {reading.name: reading for reading in (*roles, *(one.reading for one in self.attributes))}.values()
        )


def plan(readings: Sequence[Reading], name: str) -> Plan:
    """The plan for a source named `name`. Raises SourceError when no column could identify a person."""
    usable = [reading for reading in readings if _may_say_who(reading)]
    if not usable:
        what = "no column of text or whole numbers, which could say whose row it is"
        raise SourceError("add the column to the source", place=name, what=what)
    person, own = _person(usable), _own_key(usable)
    when = _when(readings)
    if person is not None and when is not None and (_repeats(person) or _is_of_things(own)):
        return _events(readings, person, own if own is not person else None, when, name)
    return _people(readings, person, own, usable)


# ---------------------------------------------------------------- the identifier


def _may_say_who(reading: Reading) -> bool:
    look = reading.look
    if reading.left_out or not (look.is_text or look.dtype.is_integer()):
        return False
    return reading.kind in ("email", "phone", "text", "integer")


def _repeats(reading: Reading) -> bool:
    look = reading.look
    return look.distinct is not None and look.distinct < SAME * look.filled


def _is_of_things(own: Reading | None) -> bool:
    """Whether a key clearly belongs to something other than people: order_id."""
    return own is not None and names.key_rank(own.name) == 2 and names.person_rank(own.name) is None


def _person(usable: Sequence[Reading]) -> Reading | None:
    """The column that identifies the person of a row: customer_id, else customer, else the e-mail address."""
    named = [(rank, reading) for reading in usable if (rank := names.person_rank(reading.name)) is not None]
    named = [(rank, reading) for rank, reading in named if reading.kind != "email" and _mostly_filled(reading)]
    # of several, the one with more distinct values: customer_id rather than account_id
    best = min(named, key=lambda one: (one[0], -(one[1].look.distinct or 0)), default=None)
    if best is not None and (best[0] == 0 or not _prose_like(best[1])):
        return best[1]
    return next(iter(_emails(usable)), None)


def _mostly_filled(reading: Reading) -> bool:
    return reading.look.filled * 2 >= reading.look.rows


def _prose_like(reading: Reading) -> bool:
    return reading.kind == "text" and reading.look.count("prose") > 0


def _emails(usable: Sequence[Reading]) -> list[Reading]:
    return sorted(
        (reading for reading in usable if reading.kind == "email" and _mostly_filled(reading)),
        key=lambda reading: (names.words(reading.name) not in _EMAIL_NAMES, -(reading.look.distinct or 0)),
    )


def _own_key(usable: Sequence[Reading]) -> Reading | None:
    """The column that is a unique key, by its name and its values."""
    keys = [one for one in usable if one.kind not in ("email", "phone") and _tells_rows_apart(one)]
    ranked = [(not one.look.is_key, rank, one) for one in keys if (rank := _rank(one)) is not None]
    return min(ranked, key=lambda found: found[:2], default=(None, None, None))[2]


def _tells_rows_apart(reading: Reading) -> bool:
    """Whether it is in nearly all rows: exports have some bad rows."""
    return reading.look.filled >= SAME * reading.look.rows and not _repeats(reading)


def _rank(reading: Reading) -> int | None:
    rank = names.key_rank(reading.name)
    return 2 if rank is None and reading.look.filled and reading.look.share("uuid") == 1 else rank


# ---------------------------------------------------------------- the time


def _when(readings: Sequence[Reading]) -> Reading | None:
    """The time column: filled and named like a time; an unambiguous one is preferred."""
    times = [one for one in readings if one.kind == "time" and names.personal(one.name) != "a birth date"]
    times = [one for one in times if _mostly_filled(one)]
    return min(
        times,
        key=lambda one: (
            bool(one.left_out),
            one.look.filled < one.look.rows,
            not names.says_time(one.name),
            _late(one),
        ),
        default=None,
    )


def _late(reading: Reading) -> bool:
    """Whether the name indicates a time after the event itself."""
    said = names.words(reading.name)
    return any(
        f"_{word}" in said for word in ("updated", "modified", "exp", "due", "deleted", "loaded", "synced", "end")
    )


# ---------------------------------------------------------------- the two shapes


def _events(readings: Sequence[Reading], person: Reading, own: Reading | None, when: Reading, name: str) -> Plan:
    who = _as_identifier(person, f"{person.look.distinct or 0:,} different in {person.look.filled:,} rows")
    event = name.encode()[:MAX_EVENT_NAME_BYTES].decode(errors="ignore")
    taken = {person.name, when.name}
    attributes, unlisted = _attributes([one for one in readings if one.name not in taken], "track")
    if when.left_out:  # ambiguous: better no event than a wrong time
        why = "as it stands, every row is rejected; " + when.left_out
        when = replace(when, apply=("timestamp",), evidence=(*when.evidence, why), left_out="")
    return Plan("track", _kind(person), who, attributes, event, when, own, unlisted)


def _people(
    readings: Sequence[Reading], person: Reading | None, own: Reading | None, usable: Sequence[Reading]
) -> Plan:
    emails = _emails(usable)
    chosen = next(
        (one for one in (own, person, *emails) if one is not None and not _repeats(one)),
        person or own or next(iter(emails), None),
    )
    if chosen is None:
        distinct = max(usable, key=lambda one: (one.look.is_key, one.look.distinct or 0))
        guess = "no column is named like a key or holds e-mail addresses; which one says who?"
        chosen = replace(distinct, decide=guess)
    elif names.person_rank(chosen.name) is None and not any(one.personal in _OF_A_PERSON for one in readings):
        chosen = replace(chosen, decide="does it name a person? nothing else in the rows tells of one")
    who = _as_identifier(chosen, _uniqueness(chosen))
    attributes, unlisted = _attributes([one for one in readings if one.name != chosen.name], "identify")
    return Plan("identify", _kind(chosen), who, attributes, unlisted=unlisted)


def _uniqueness(reading: Reading) -> str:
    look = reading.look
    if not look.rows:
        return "no rows to look at: chosen by its name"
    if look.is_key:
        return f"filled and different in all {look.rows:,} rows"
    again = look.filled - (look.distinct or 0)
    said = f"filled in {of(look.filled, look.rows)} rows"
    return f"{said}; {again:,} repeat a person: of their rows the last one stays" if again else said


def _kind(reading: Reading) -> IdentifierKind:
    if reading.kind == "email":
        return "email"
    return "cio_id" if reading.name == "cio_id" else "id"


def _as_identifier(reading: Reading, evidence: str) -> Reading:
    """The column as an identifier: a text, even if it looks like a number."""
    apply = tuple(call for call in reading.apply if call in ("trim", "lower"))
    said = [evidence]
    if missing := reading.look.rows - reading.look.filled:
        said.append(f"{missing:,} empty, which would be rejected")
    if reading.kind == "email" and (bad := reading.look.filled - reading.look.count("email")):
        said.append(f"{bad:,} are malformed and would be rejected")
    if long := reading.look.count("long_key"):
        said.append(f"{long:,} over {MAX_IDENTIFIER_BYTES} bytes, which would be rejected")
    return replace(reading, apply=apply, evidence=tuple(said))


# ---------------------------------------------------------------- attributes


def _attributes(
    readings: Sequence[Reading], operation: Literal["identify", "track"]
) -> tuple[tuple[Attribute, ...], int]:
    """The columns as attributes, renamed where necessary; and how many exceed the limit."""
    of_people = operation == "identify"
    signup = _signup(readings) if of_people else None
    email = next(iter(_emails([one for one in readings if not one.left_out])), None) if of_people else None
    given = {one.name: name for one, name in ((signup, "created_at"), (email, "email")) if one is not None}
    taken = {*given.values()}
    attributes = []
    for reading in readings:
        reading = _fit_for_people(reading) if of_people else reading
        name = given.get(reading.name) or _attribute_name(reading, operation, taken)
        taken.add(name)
        if name != reading.name and reading.name not in given:
            reading = replace(reading, evidence=(_why_renamed(reading.name, operation), *reading.evidence))
        if name == "created_at" and not _is_time(reading) and not reading.left_out:
            reading = replace(
                reading, left_out="created_at must be a time that can be read", decide="created_at is no time"
            )
        attributes.append(Attribute(name, reading))
    return tuple(attributes[:MAX_ATTRIBUTES]), max(0, len(attributes) - MAX_ATTRIBUTES)


def _is_time(reading: Reading) -> bool:
    return reading.kind == "time"


def _signup(readings: Sequence[Reading]) -> Reading | None:
    ranked = [(rank, one) for one in readings if (rank := names.signup_rank(one.name)) is not None]
    return min(
        ((rank, one) for rank, one in ranked if one.kind == "time"), key=lambda found: found[0], default=(0, None)
    )[1]


def _fit_for_people(reading: Reading) -> Reading:
    if (long := reading.look.count("long")) and not reading.left_out and reading.kind in ("text", "json"):
        limit = OPERATIONS["identify"].max_value_bytes
        why = f"{long:,} over {limit:,} bytes, and their rows would be rejected"
        return replace(reading, left_out=why)
    return reading


def _attribute_name(reading: Reading, operation: str, taken: set[str]) -> str:
    """The attribute's name: the column's, unless Customer.io reserves it or another attribute has it."""
    name = reading.name.replace("\0", "").strip() or "column"
    if reading.name in _not_to_be_used(operation):
        name = f"source_{name}"
    name = _cut(name, MAX_NAME_BYTES)
    for candidate in _numbered(name):
        if candidate not in taken:
            return candidate
    raise AssertionError("numbers do not end")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{_cut(name, MAX_NAME_BYTES - 7)}_{number}"
        number += 1


def _not_to_be_used(operation: str) -> set[str]:
    return {*OPERATIONS[operation].reserved, *(_WHO if operation == "identify" else ())}


def _why_renamed(name: str, operation: str) -> str:
    if name in _not_to_be_used(operation):
        return "renamed: the column's name is Customer.io's own"
    if name != name.strip():
        return "renamed: without the spaces around it"
    return f"renamed: longer than {MAX_NAME_BYTES} bytes" if len(name.encode()) > MAX_NAME_BYTES else "renamed"


def _cut(name: str, limit: int) -> str:
    return name.encode()[:limit].decode(errors="ignore")
