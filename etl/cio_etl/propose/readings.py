"""How one column is read: its kind, the functions that convert it for Customer.io, and the evidence in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from cio_etl.propose import names
from cio_etl.propose.columns import Look
from cio_etl.propose.dates.decide import MOST, SURE, Calls, Decision, is_label, of
from cio_etl.transform.encode import settle

Kind = Literal["email", "phone", "time", "integer", "number", "boolean", "json", "text", "other"]

SURE_OF_EMAIL = 0.8  # a column may contain some bad addresses
SAME = 0.98  # distinct values, as a share: a key, apart from some repetitions

MAX_NAME_BYTES = 500  # a YAML file has its own bounds


@dataclass(frozen=True, slots=True)
class Reading:
    """A column as the mapping will read it. `apply` converts it to `kind`.

    `evidence` are phrases for its comment. `decide` asks the author something; `left_out` says why the line is written
    as a comment; `personal` what it tells about a person.
    """

    look: Look
    kind: Kind
    apply: Calls = ()
    evidence: tuple[str, ...] = ()
    decide: str = ""
    left_out: str = ""
    personal: str = ""

    @property
    def name(self) -> str:
        return self.look.name


def read_column(look: Look, dates: Decision | None) -> Reading:
    """The reading of the column, from its signs, type, name and dates."""
    if unusable := _unusable(look):
        return Reading(look, "other", left_out=unusable)
    if look.rows and not look.filled and not (dates and dates.read):
        return Reading(look, "text" if look.is_text else "other", left_out="no value in any row")
    reading = _of_text(look, dates) if look.is_text else _of_type(look, dates)
    if look.count("padded") and reading.kind != "other":
        spaces = f"{look.count('padded'):,} with spaces around"
        trimmed = reading.apply if "trim" in reading.apply else ("trim", *reading.apply)
        reading = replace(reading, apply=trimmed, evidence=(*reading.evidence, spaces))
    return _guarded(_described(reading))


def _unusable(look: Look) -> str:
    if not look.name:
        return "it has no name; give it one"
    if "\0" in look.name:
        return "its name holds a NUL character; rename the column"
    if len(look.name.encode()) > MAX_NAME_BYTES:
        return f"its name is {len(look.name.encode()):,} bytes; rename the column"
    try:
        settle(pl.col("x"), look.dtype)
    except ValueError as error:
        return str(error).replace("leave the column out or cast it", "cast it")
    return ""


def _described(reading: Reading) -> Reading:
    """The reading with notes for any column: empty, constant, personal data."""
    look, said = reading.look, list(reading.evidence)
    if look.filled < look.rows:
        said.append(f"filled in {look.filled:,} of {look.rows:,}")
    if look.distinct == 1 and look.filled > 1:
        said.append("the same in every row" if look.filled == look.rows else "the same wherever it is filled")
    personal = names.personal(look.name) or reading.personal
    if reading.kind == "boolean" or (reading.kind == "time" and personal != "a birth date"):
        personal = ""
    if not personal and look.share("prose") >= MOST:
        personal = "free text"
    return replace(reading, evidence=tuple(said), personal=personal)


def _guarded(reading: Reading) -> Reading:
    """Secrets and official numbers are left out, unless the column is clearly something else."""
    look = reading.look
    named = "" if reading.kind in ("boolean", "time") else names.sensitive(look.name)
    by_content = next((what for sign, what in _SENSITIVE_SIGNS.items() if look.share(sign) >= SURE), "")
    if not by_content and look.share("opaque") >= SURE and names.key_rank(look.name) is None:
        by_content = "keys or tokens" if look.distinct and look.distinct >= SAME * look.filled else ""
    if named or by_content:
        why = f"named like {named}" if named else f"looks like {by_content}"
        return replace(reading, left_out=f"{why}; not for Customer.io", personal=named or by_content, decide="")
    return reading


_SENSITIVE_SIGNS = {"secret": "passwords, keys or tokens", "card": "card numbers", "iban": "bank accounts"}


# ---------------------------------------------------------------- columns of text


def _of_text(look: Look, dates: Decision | None) -> Reading:
    if look.share("email") >= SURE_OF_EMAIL:
        return _email(look)
    if dates is not None and _is_sure(dates):
        return _time(look, dates)
    if not look.filled:
        return _by_name(look)
    if look.share("number") >= SURE:
        return _numbers(look)
    if look.count("boolean") == look.filled:
        return Reading(
            look, "boolean", ({"cast": "boolean"},), (f"yes or no in words: {of(look.filled, look.filled)}",)
        )
    return _other_text(look, dates)


def _by_name(look: Look) -> Reading:
    """The reading of a column without rows."""
    if names.personal(look.name) == "an e-mail address":
        return Reading(look, "email", ("trim", "lower"), ("by its name alone",))
    if names.says_time(look.name):
        return Reading(look, "time", ("timestamp",), ("by its name alone",), "no rows that show how times are written")
    return Reading(look, "text")


def _email(look: Look) -> Reading:
    read = look.count("email")
    said = (f"e-mail addresses: {of(read, look.filled)}", *_rejected(look.filled - read))
    return Reading(look, "email", ("trim", "lower"), said, personal="an e-mail address")


def _rejected(bad: int) -> list[str]:
    return [f"{bad:,} other{'s'[: bad != 1]}, whose rows would be rejected"] if bad else []


def _is_sure(dates: Decision) -> bool:
    return bool(dates.options) and (dates.read >= SURE * dates.seen.dated or bool(dates.asks_for("unit")))


def _time(look: Look, dates: Decision) -> Reading:
    """The reading of dates in any form; a wrong time is worse than none."""
    said = [*dates.phrases, *(dates.notes if dates.seen.is_text or dates.seen.numbers else ())]
    reading = Reading(look, "time", dates.options[0].apply, tuple(said))
    if dates.asks_for("order"):
        other = _quoted(dates.options[1].apply[-1]["timestamp"]["format"])
        why = f"the order of day and month is not known; month first is {other}"
        return replace(reading, decide=dates.asks_for("order"), left_out=why)
    if dates.asks_for("both orders"):
        why = "two orders of day and month in one column; fix the export, or write both formats in a list"
        return replace(reading, decide=dates.asks_for("both orders"), left_out=why)
    if dates.asks_for("unit"):
        return replace(reading, decide=dates.asks_for("unit"), left_out="the unit of the numbers is not known")
    if dates.seen.is_text and not dates.seen.numbers:
        reading = replace(reading, evidence=(*said, *_rejected(dates.seen.dated - dates.read)))
    return replace(reading, decide=dates.asks_for("zone"))


def _quoted(formats: str | list[str]) -> str:
    return ", ".join(f'"{format}"' for format in ([formats] if isinstance(formats, str) else formats))


def _numbers(look: Look) -> Reading:
    whole = look.count("integer") == look.filled
    if names.personal(look.name) == "a phone number" or look.share("e164") >= SURE:
        return _phone(look)
    if look.count("zeros") and whole:
        return Reading(look, "text", (), (f"digits; {look.count('zeros'):,} with leading zeros, so it stays text",))
    if look.count("number") < look.filled:
        said = f"numbers: {of(look.count('number'), look.filled)}; text, since the others would be rejected"
        return Reading(look, "text", (), (said,))
    if is_label(look.name):
        return Reading(look, "text", (), ("digits that are a label, so it stays text",))
    if look.count("digit") == look.filled:
        if names.says_yes_or_no(look.name):
            return Reading(look, "boolean", ({"cast": "boolean"},), (f"0 or 1: {of(look.filled, look.filled)}",))
        said = f"0 or 1: {of(look.filled, look.filled)}; {{cast: boolean}} if that is no or yes"
        return Reading(look, "integer", ({"cast": "integer"},), (said,))
    said = f"{'whole numbers' if whole else 'numbers'}: {of(look.filled, look.filled)}"
    return _with_cents(
        Reading(look, "integer" if whole else "number", ({"cast": "integer" if whole else "number"},), (said,))
    )


def _with_cents(reading: Reading) -> Reading:
    if not names.says_cents(reading.name):
        return reading
    return replace(reading, evidence=(*reading.evidence, "cents? add {divide: 100}"))


def _phone(look: Look) -> Reading:
    e164 = look.count("e164")
    said = (
        f"phone numbers; {of(e164, look.filled)} in E.164 form, as Customer.io wants them" if e164 < look.filled else ""
    )
    return Reading(
        look, "phone", (), (said or f"phone numbers in E.164 form: {of(e164, look.filled)}",), personal="a phone number"
    )


def _other_text(look: Look, dates: Decision | None) -> Reading:
    if look.share("e164") >= SURE or (names.personal(look.name) == "a phone number" and look.share("phone") >= MOST):
        return _phone(look)
    if look.count("json") == look.filled:
        return Reading(look, "json", ("json",), (f"JSON: {of(look.filled, look.filled)}",))
    if look.share("comma") >= SURE:
        thousands = "point" if look.count("thousands") else "space" if look.count("spaced") else "none"
        said = f"decimal commas: {of(look.count('comma'), look.filled)}; text, or numbers by"
        return Reading(look, "text", (), (f"{said} [{{number: {{decimal: comma, thousands: {thousands}}}}}]",))
    if dates is not None:
        said = "dates in forms that no single list of formats reads"
        return Reading(look, "text", (), (said,), decide="dates in several forms")
    if look.share("json") >= SURE:
        return Reading(
            look, "text", (), (f"JSON: {of(look.count('json'), look.filled)}; text, since the others are not",)
        )
    personal = "an IP address" if look.share("ip") >= SURE else ""
    return Reading(look, "text", (), (), personal=personal)


# ---------------------------------------------------------------- columns with a type


def _of_type(look: Look, dates: Decision | None) -> Reading:
    if dates is not None and _is_sure(dates):
        return _time(look, dates)
    if look.dtype.is_numeric():
        return _with_cents(Reading(look, "integer" if look.dtype.is_integer() else "number"))
    return Reading(look, "boolean" if isinstance(look.dtype, pl.Boolean) else "other")
