"""Finds the columns that have a role in a call: the person, the key, the time and the event's name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cio_etl.model.name_words import name_words
from cio_etl.propose import names
from cio_etl.propose.readings import SAME, Reading

_EMAIL_NAMES = ("_email_", "_e_mail_", "_email_address_")
_MAX_EVENT_NAMES = 500  # different names of events in one source


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns that could have a role. The plan uses those that fit what the rows are.

    `person` is whose row it is, `visitor` the same for a person who is not known yet; `key` is another column, which
    is different in nearly every row; `usable` are all columns that could identify a person.
    """

    usable: tuple[Reading, ...]
    person: Reading | None = None
    visitor: Reading | None = None
    emails: tuple[Reading, ...] = ()
    key: Reading | None = None
    when: Reading | None = None
    event: Reading | None = None


def roles_of(readings: Sequence[Reading]) -> Roles:
    """The roles of the columns; `usable` is empty where none could identify a person."""
    usable = tuple(reading for reading in readings if _may_identify(reading))
    person = _person(usable)
    return Roles(
        usable=usable,
        person=person,
        visitor=next((one for one in usable if names.says_visitor(one.label) and _mostly_filled(one)), None),
        emails=tuple(emails_of(usable)),
        key=_key([one for one in usable if one is not person and not names.says_visitor(one.label)]),
        when=_when(readings),
        event=_event(readings),
    )


def repeats(reading: Reading) -> bool:
    """Whether some values of the column are in more rows than a few."""
    look = reading.look
    return look.distinct is not None and look.distinct < SAME * look.filled


def emails_of(readings: Sequence[Reading]) -> list[Reading]:
    """The columns of e-mail addresses, the one that is named so first."""
    return sorted(
        (reading for reading in readings if reading.kind == "email" and _mostly_filled(reading)),
        key=lambda reading: (
            bool(reading.decide),
            name_words(reading.label) not in _EMAIL_NAMES,
            -(reading.look.distinct or 0),
        ),
    )


def _may_identify(reading: Reading) -> bool:
    look = reading.look
    if reading.left_out or not (look.is_text or look.dtype.is_integer()):
        return False
    return reading.kind in ("email", "phone", "text", "integer")


def _person(usable: Sequence[Reading]) -> Reading | None:
    """The column that identifies the person of a row: customer_id, else customer, else the e-mail address."""
    ranked = [(rank, reading) for reading in usable if (rank := names.person_rank(reading.label)) is not None]
    ranked = [(rank, reading) for rank, reading in ranked if _mostly_filled(reading)]
    ranked = [(rank, reading) for rank, reading in ranked if reading.kind != "email" or rank == 0]
    ranked = [(rank, reading) for rank, reading in ranked if rank == 0 or not _prose_like(reading)]
    # of several, the one with more distinct values: customer_id rather than employee_id
    best = min(ranked, key=lambda one: (one[0], -(one[1].look.distinct or 0)), default=None)
    if best is not None and best[0] < 2:
        return best[1]
    return next(iter(emails_of(usable)), None) or (best[1] if best is not None else None)


def _mostly_filled(reading: Reading) -> bool:
    return reading.look.filled * 2 >= reading.look.rows


def _prose_like(reading: Reading) -> bool:
    return reading.kind == "text" and reading.look.count("prose") > 0


def _key(usable: Sequence[Reading]) -> Reading | None:
    """The column that is different in nearly every row: by its name, or by its values as those of a UUID are."""
    keys = [one for one in usable if one.kind not in ("email", "phone") and _tells_rows_apart(one)]
    ranked = [(not one.look.is_key, rank, one) for one in keys if (rank := _key_rank(one)) is not None]
    return min(ranked, key=lambda each: each[:2], default=(None, None, None))[2]


def _tells_rows_apart(reading: Reading) -> bool:
    """Whether it is in nearly all rows: exports have some bad rows."""
    return reading.look.filled >= SAME * reading.look.rows and not repeats(reading)


def _key_rank(reading: Reading) -> int | None:
    if reading.look.filled and reading.look.share("uuid") == 1 and names.person_rank(reading.label) is None:
        return 1
    return names.key_rank(reading.label)


def _when(readings: Sequence[Reading]) -> Reading | None:
    """The time column: filled, and named like the time of an event; an unambiguous one is preferred."""
    times = [one for one in readings if one.kind == "time" and names.personal(one.label) != "a birth date"]
    times = [one for one in times if _mostly_filled(one)]
    return min(
        times,
        key=lambda one: (
            bool(one.left_out),
            one.look.filled < one.look.rows,
            not names.says_time(one.label),
            names.time_rank(one.label),
        ),
        default=None,
    )


def _event(readings: Sequence[Reading]) -> Reading | None:
    """The column that names what happened: some names, each in many rows."""
    named = [one for one in readings if names.says_event(one.label) and one.kind == "text" and not one.left_out]
    return next((one for one in named if _holds_event_names(one)), None)


def _holds_event_names(reading: Reading) -> bool:
    look = reading.look
    if not look.rows:
        return True
    few = look.distinct is not None and look.distinct <= min(_MAX_EVENT_NAMES, max(look.filled / 2, 3))
    return few and look.filled >= SAME * look.rows and not look.count("long_name")
