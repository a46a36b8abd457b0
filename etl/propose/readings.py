"""What is one column, and which functions make of it what Customer.io wants? With the evidence, in words and counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from etl.propose import names
from etl.propose.columns import Look
from etl.propose.dates import Dates
from etl.transform import timestamps
from etl.transform.encode import settle

Kind = Literal["email", "phone", "time", "integer", "number", "boolean", "json", "text", "other"]

SURE = 0.95  # of the values: what bears a sign less often than this is not what the sign says
SURE_OF_EMAIL = 0.8  # dirty addresses are still addresses
SAME = 0.98  # different values among as many: a key, but for some repetitions

MAX_NAME_BYTES = 500  # a YAML file has its own bounds

_ZONE = "no offset: which zone? UTC is written; or as Europe/Paris"

Calls = tuple[Any, ...]  # an `apply` list, as YAML writes it


@dataclass(frozen=True, slots=True)
class Reading:
    """A column as the mapping will take it. `apply` makes of it what `kind` says.

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


def of(count: int, total: int) -> str:
    """`4,980 of 5,000`, or `all 5,000`."""
    return f"all {total:,}" if count == total else f"{count:,} of {total:,}"


def read_column(look: Look, dates: Dates | None) -> Reading:
    """What the column is, by its signs, its type and its name."""
    if unusable := _unusable(look):
        return Reading(look, "other", left_out=unusable)
    if look.rows and not look.filled:
        return Reading(look, "text" if look.is_text else "other", left_out="no value in any row")
    reading = _of_text(look, dates) if look.is_text else _of_type(look, dates)
    if look.count("padded") and reading.kind != "other":
        spaces = f"{look.count('padded'):,} with spaces around"
        trimmed = reading.apply if "trim" in reading.apply else ("trim", *reading.apply)
        reading = replace(reading, apply=trimmed, evidence=(*reading.evidence, spaces))
    return _guarded(_described(reading))


def may_hold_dates(look: Look) -> bool:
    """Whether the column's dates, if it has any, are in a form that needs a `format`."""
    if look.is_text:
        digits = look.share("integer") >= SURE
        return look.share("date") >= MOST_PROSE and look.share("iso") < SURE and not (digits and _is_label(look))
    return look.dtype.is_integer() and look.share("day_digits") >= SURE and not _is_label(look)


def _is_label(look: Look) -> bool:
    return names.key_rank(look.name) is not None or names.says_label(look.name)


def _unusable(look: Look) -> str:
    if not look.name:
        return "it has no name; give it one"
    if "\0" in look.name:
        return "its name holds a NUL character; rename the column"
    if len(look.name.encode()) > MAX_NAME_BYTES:
        return f"its name is {len(look.name.encode()):,} bytes; rename the column"
    if isinstance(look.dtype, pl.Decimal):
        return ""  # written digit by digit
    try:
        settle(pl.col("x"), look.dtype)
    except ValueError:
        return f"{_type_name(look.dtype)} has no JSON form; cast it in the source"
    return ""


def _type_name(dtype: pl.DataType) -> str:
    return str(dtype).split("(")[0]  # a struct's type lists its fields


def _described(reading: Reading) -> Reading:
    """With what is to be said of any column: empty, the same everywhere, a person's."""
    look, said = reading.look, list(reading.evidence)
    if look.filled < look.rows:
        said.append(f"filled in {look.filled:,} of {look.rows:,}")
    if look.distinct == 1 and look.filled > 1:
        said.append("the same in every row" if look.filled == look.rows else "the same wherever it is filled")
    personal = names.personal(look.name) or reading.personal
    if reading.kind == "boolean" or (reading.kind == "time" and personal != "a birth date"):
        personal = ""
    if not personal and look.share("prose") >= MOST_PROSE:
        personal = "free text"
    return replace(reading, evidence=tuple(said), personal=personal)


MOST_PROSE = 0.5


def _guarded(reading: Reading) -> Reading:
    """Secrets and official numbers are left out, unless the column is plainly something else."""
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


def _of_text(look: Look, dates: Dates | None) -> Reading:
    if look.share("email") >= SURE_OF_EMAIL:
        return _email(look)
    if not look.filled:
        return _by_name(look)
    if look.share("iso") >= SURE:
        return _iso(look)
    if dates is not None and dates.read >= SURE * look.filled:
        return _in_formats(look, dates)
    if epoch := _epoch(look):
        return epoch
    if look.share("number") >= SURE:
        return _numbers(look)
    if look.count("boolean") == look.filled:
        return Reading(
            look, "boolean", ({"cast": "boolean"},), (f"yes or no in words: {of(look.filled, look.filled)}",)
        )
    return _other_text(look)


def _by_name(look: Look) -> Reading:
    """Of a column without rows."""
    if names.personal(look.name) == "an e-mail address":
        return Reading(look, "email", ("trim", "lower"), ("by its name alone",))
    if names.says_time(look.name):
        return Reading(look, "time", ("timestamp",), ("by its name alone",), "no rows that show how times are written")
    return Reading(look, "text")


def _email(look: Look) -> Reading:
    read = look.count("email")
    said = (f"e-mail addresses: {of(read, look.filled)}", *_rejected(look, read))
    return Reading(look, "email", ("trim", "lower"), said, personal="an e-mail address")


def _rejected(look: Look, read: int) -> list[str]:
    bad = look.filled - read
    return [f"{bad:,} other{'s'[: bad != 1]}, whose rows would be rejected"] if bad else []


def _iso(look: Look) -> Reading:
    read, zoned = look.count("iso"), look.count("iso_zone")
    said = [f"ISO 8601: {of(read, look.filled)}", *_rejected(look, read)]
    if zoned == read:
        return Reading(look, "time", ("timestamp",), (*said, "with offset or Z"))
    if look.count("iso_day") == read:
        return Reading(look, "time", ("timestamp",), (*said, "days, sent as their midnight in UTC"))
    said += [f"{read - zoned:,} without an offset"] if zoned else []
    return Reading(look, "time", ({"timestamp": {"timezone": "UTC"}},), tuple(said), _ZONE)


def _in_formats(look: Look, dates: Dates) -> Reading:
    said = [f"dates: {of(dates.read, look.filled)}"]
    formats = dates.formats[0] if len(dates.formats) == 1 else list(dates.formats)
    call = {"timestamp": {"format": formats} if dates.aware else {"format": formats, "timezone": "UTC"}}
    reading = Reading(look, "time", (call,))
    match dates.order:
        case "day first":
            said.append(f"day first: {dates.day_first:,} have a first number above 12, none a second")
        case "month first":
            said.append(f"month first: {dates.month_first:,} have a second number above 12, none a first")
        case "both":
            said.append(f"{dates.day_first:,} can only be day first, {dates.month_first:,} only month first")
            why = "two orders of day and month in one column; mend the export, or write both formats in a list"
            return replace(reading, evidence=tuple(said), decide="day and month in two orders", left_out=why)
        case "either":
            other = dates.with_month_first()
            said.append("no proof of the order: no number is above 12")
            why = f"the order of day and month is not known; month first is {_quoted(other)}"
            return replace(reading, evidence=tuple(said), decide="day first or month first?", left_out=why)
    said += _rejected(look, dates.read)
    return replace(reading, evidence=tuple(said), decide=_ZONE if dates.timed and not dates.aware else "")


def _quoted(formats: tuple[str, ...]) -> str:
    return ", ".join(f'"{format}"' for format in formats)


def _numbers(look: Look) -> Reading:
    whole = look.count("integer") == look.filled
    if names.personal(look.name) == "a phone number" or look.share("e164") >= SURE:
        return _phone(look)
    if look.count("zeros") and whole:
        return Reading(look, "text", (), (f"digits; {look.count('zeros'):,} with leading zeros, so it stays text",))
    if look.count("number") < look.filled:
        said = f"numbers: {of(look.count('number'), look.filled)}; text, since the others would be rejected"
        return Reading(look, "text", (), (said,))
    if _looks_like_excel(look):
        why = "looks like Excel's day numbers, which no function reads; export the dates as 2024-03-10"
        return Reading(look, "number", ({"cast": "number"},), decide="dates as Excel's day numbers", left_out=why)
    if _is_label(look):
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


def _epoch(look: Look) -> Reading | None:
    """Counts since 1970, if in one unit nearly all lie between 1990 and 2040, and the name doesn't say otherwise."""
    unit = next((unit for unit in timestamps.PER_SECOND if look.share(unit) >= SURE), None)
    named = names.says_time(look.name)
    if unit is None or _is_label(look) or (unit == "s" and not named):  # nine and ten digits may be anything
        return None
    said = [f"{_UNIT_NAMES[unit]} since 1970, by their size: {of(look.count(unit), look.filled)}"]
    said += [] if named else ["the name says no time"]
    said += [] if look.count(unit) == look.filled else ["others may be out of range, and their rows rejected"]
    return Reading(look, "time", ({"timestamp": {"unit": unit}},), tuple(said))


_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def _looks_like_excel(look: Look) -> bool:
    return names.says_time(look.name) and look.share("excel") >= SURE


def _phone(look: Look) -> Reading:
    e164 = look.count("e164")
    said = (
        f"phone numbers; {of(e164, look.filled)} in E.164 form, as Customer.io wants them" if e164 < look.filled else ""
    )
    return Reading(
        look, "phone", (), (said or f"phone numbers in E.164 form: {of(e164, look.filled)}",), personal="a phone number"
    )


def _other_text(look: Look) -> Reading:
    if look.share("e164") >= SURE or (
        names.personal(look.name) == "a phone number" and look.share("phone") >= MOST_PROSE
    ):
        return _phone(look)
    if look.count("json") == look.filled:
        return Reading(look, "json", ("json",), (f"JSON: {of(look.filled, look.filled)}",))
    if look.share("comma") >= SURE:
        dots = '{replace: {old: ".", new: ""}}, ' if look.count("thousands") else ""
        said = f"decimal commas: {of(look.count('comma'), look.filled)}; text, or numbers by"
        return Reading(look, "text", (), (f'{said} [{dots}{{replace: {{old: ",", new: "."}}}}, {{cast: number}}]',))
    if look.share("date") >= MOST_PROSE:
        said = "dates in forms that no single list of formats reads"
        return Reading(look, "text", (), (said,), decide="dates in several forms")
    if look.share("json") >= SURE:
        return Reading(
            look, "text", (), (f"JSON: {of(look.count('json'), look.filled)}; text, since the others are not",)
        )
    personal = "an IP address" if look.share("ip") >= SURE else ""
    return Reading(look, "text", (), (), personal=personal)


# ---------------------------------------------------------------- columns with a type


def _of_type(look: Look, dates: Dates | None) -> Reading:
    dtype = look.dtype
    if isinstance(dtype, pl.Date):
        return Reading(look, "time", (), ("dates, sent as Unix seconds of their midnight in UTC",))
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone:
            return Reading(look, "time", (), ("times with a zone, sent as Unix seconds",))
        return Reading(look, "time", ({"timestamp": {"timezone": "UTC"}},), ("times without a zone",), _ZONE)
    if dates is not None and dates.read >= SURE * look.filled:
        return _in_formats(look, dates)
    if dtype.is_numeric():
        if epoch := _epoch(look):
            return epoch
        if _looks_like_excel(look):
            why = "looks like Excel's day numbers, which no function reads; export the dates as dates"
            return Reading(look, "number", decide="dates as Excel's day numbers", left_out=why)
        return _with_cents(Reading(look, "integer" if dtype.is_integer() else "number"))
    return Reading(look, "boolean" if isinstance(dtype, pl.Boolean) else "other")
