"""The attribute that each column becomes: its name at Customer.io, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cio_etl.apis import OPERATIONS
from cio_etl.audit.consent import ConsentKind, consent_kind, is_of_another_channel
from cio_etl.model.name_words import name_words
from cio_etl.propose import names
from cio_etl.propose.readings import Reading
from cio_etl.propose.roles import emails_of
from cio_etl.transform.checks import MAX_NAME_BYTES

MAX_ATTRIBUTES = 300  # of people, per call; the author decides about the rest

# Attributes of a person that also identify the person.
_IDENTIFIERS = ("id", "cio_id", "email")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column under the name that it has at Customer.io."""

    name: str
    reading: Reading


def attributes_of(
    readings: Sequence[Reading], operation: Literal["identify", "track"]
) -> tuple[tuple[Attribute, ...], int]:
    """The columns as attributes, renamed where necessary; and how many exceed the limit."""
    of_people = operation == "identify"
    signup = _signup(readings) if of_people else None
    email = next(iter(emails_of([one for one in readings if not one.left_out])), None) if of_people else None
    refusal = _refusal(readings) if of_people else None
    roles = ((signup, "created_at"), (email, "email"), (refusal, "unsubscribed"))
    given = {one.name: name for one, name in roles if one is not None}
    taken = {*given.values()}
    attributes = []
    for reading in readings:
        reading = _fit_for_people(_asked_for_consent(reading, refusal)) if of_people else reading
        name = given.get(reading.name) or _attribute_name(reading, operation, taken)
        taken.add(name)
        if name != reading.label and reading.name not in given:
            reading = replace(reading, evidence=(_why_renamed(reading.label, operation), *reading.evidence))
        if name == "created_at" and not _is_time(reading) and not reading.left_out:
            reading = replace(
                reading, left_out="created_at must be a time that can be read", decide="created_at is no time"
            )
        attributes.append(Attribute(name, reading))
    return tuple(attributes[:MAX_ATTRIBUTES]), max(0, len(attributes) - MAX_ATTRIBUTES)


def _is_time(reading: Reading) -> bool:
    return reading.kind == "time"


def _signup(readings: Sequence[Reading]) -> Reading | None:
    ranked = [(rank, one) for one in readings if (rank := names.signup_rank(one.label)) is not None]
    return min(
        ((rank, one) for rank, one in ranked if one.kind == "time"), key=lambda each: each[0], default=(0, None)
    )[1]


def _refusal(readings: Sequence[Reading]) -> Reading | None:
    """The column of yes and no that says who wants no messages: Customer.io reads that by the name `unsubscribed`."""
    of_mail = [one for one in readings if one.kind == "boolean" and not one.left_out and _says(one) == "refusal"]
    return min(of_mail, key=lambda one: "unsub" not in name_words(one.label), default=None)


def _asked_for_consent(reading: Reading, refusal: Reading | None) -> Reading:
    """The reading with a question, where it says who wants messages and Customer.io would not know it."""
    if refusal is not None and refusal.name == reading.name:
        return replace(
            reading, evidence=("who wants no messages; `unsubscribed` is Customer.io's name", *reading.evidence)
        )
    if refusal is not None or reading.left_out or reading.decide or _says(reading) not in ("refusal", "consent"):
        return reading
    return replace(
        reading, decide="who wants no messages? Customer.io reads `unsubscribed` only, as true; map this column to it"
    )


def _says(reading: Reading) -> ConsentKind | None:
    return None if is_of_another_channel(reading.label) else consent_kind(reading.label)


def _fit_for_people(reading: Reading) -> Reading:
    if (long := reading.look.count("long")) and not reading.left_out and reading.kind in ("text", "json"):
        limit = OPERATIONS["identify"].max_value_bytes
        why = f"{long:,} over {limit:,} bytes, and their rows would be rejected"
        return replace(reading, left_out=why)
    return reading


def _attribute_name(reading: Reading, operation: str, taken: set[str]) -> str:
    """The attribute's name: the column's, unless Customer.io reserves it or another attribute has it."""
    name = reading.label.replace("\0", "").strip() or "column"
    if reading.label in _not_to_be_used(operation):
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
    return {*OPERATIONS[operation].reserved, *(_IDENTIFIERS if operation == "identify" else ())}


def _why_renamed(name: str, operation: str) -> str:
    if name in _not_to_be_used(operation):
        return "renamed: the column's name is Customer.io's own"
    if name != name.strip():
        return "renamed: without the spaces around it"
    return f"renamed: longer than {MAX_NAME_BYTES} bytes" if len(name.encode()) > MAX_NAME_BYTES else "renamed"


def _cut(name: str, limit: int) -> str:
    return name.encode()[:limit].decode(errors="ignore")
