"""How one column is read: its kind, the functions that convert it for Customer.io, and the evidence in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl

from cio_etl.config.yaml_writer import scalar
from cio_etl.propose import names
from cio_etl.propose.columns import Look, Looks
from cio_etl.propose.dates.decide import MOST, SURE, Calls, Decision, is_label, of
from cio_etl.transform.encode import settle
from cio_etl.transform.functions.any_value import BOOLEAN_LANGUAGES

Kind = Literal["email", "phone", "time", "integer", "number", "boolean", "json", "text", "other"]

SOME_EMAILS = 0.5  # of the values: from here on a column is proposed as e-mail addresses, with a question
SOME_WORDS = 0.5  # of the values: from here on a column that is named so is proposed as yes or no, with a question
SURE_OF_EMAIL = 0.8  # a column that is named so may contain some bad addresses
SAME = 0.98  # distinct values, as a share: a key, apart from some repetitions

MAX_NAME_BYTES = 500  # a YAML file has its own bounds

NO_BLANKS = ("trim", {"null_if": ""})  # a function that converts rejects a blank


@dataclass(frozen=True, slots=True)
class Reading:
    """A column as the mapping will read it. `apply` converts it to `kind`.

    `evidence` are phrases for its comment. `decide` asks the author something; `left_out` says why the line is written
    as a comment; `personal` what it tells about a person; `rejects` how many rows it would reject.
    """

    look: Look
    kind: Kind
    apply: Calls = ()
    evidence: tuple[str, ...] = ()
    decide: str = ""
    left_out: str = ""
    personal: str = ""
    rejects: int = 0

    @property
    def name(self) -> str:
        return self.look.name

    @property
    def label(self) -> str:
        """The name that indicates what the values are."""
        return self.look.label

    @property
    def calls(self) -> Calls:
        """What the mapping's `apply` says: the member of an object is picked first."""
        return (*(({"pick": self.look.member.path},) if self.look.member else ()), *self.apply)


def read_columns(looks: Looks, dates: Mapping[str, Decision | None]) -> list[Reading]:
    """The reading of each column."""
    readings = [read_column(look, dates.get(look.name)) for look in looks.columns]
    countries = [one for one in readings if names.says_country(one.label) and one.look.share("country") >= SURE]
    country = next(iter(countries), None)
    return [_with_country(reading, country) for reading in readings]


def read_column(look: Look, dates: Decision | None) -> Reading:
    """The reading of the column, from its signs, type, name and dates."""
    if unusable := _unusable(look):
        return Reading(look, "other", left_out=unusable)
    if look.rows and not look.filled and not (dates and dates.read):
        return Reading(look, "text" if look.is_text else "other", left_out="no value in any row")
    reading = _of_text(look, dates) if look.is_text else _of_type(look, dates)
    if reading.kind != "other":
        reading = _without_blanks(reading)
    return _guarded(_described(reading))


def _without_blanks(reading: Reading) -> Reading:
    """The reading with what removes white space around values, and blanks."""
    look, (trim, no_blank) = reading.look, NO_BLANKS
    evidence = list(reading.evidence)
    apply = reading.apply
    if look.count("padded"):
        evidence.append(f"{look.count('padded'):,} with spaces around")
    if (look.count("padded") or look.blank) and trim not in apply:
        apply = (trim, *apply)
    if look.blank and reading.kind != "time":  # of dates, the decision already removes them
        after = apply.index(trim) + 1
        apply = (*apply[:after], no_blank, *apply[after:])
        evidence.append(f"{look.blank:,} blank, read as null")
    return replace(reading, apply=apply, evidence=tuple(evidence))


def _unusable(look: Look) -> str:
    if not look.name:
        return "it has no name; give it one"
    if look.column == "*":
        return "its name is *, which a mapping cannot name; rename the column"
    if "${vars." in look.column:
        return "its name holds ${vars., which a mapping reads as a variable; rename the column"
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
    look, evidence = reading.look, list(reading.evidence)
    if look.filled < look.rows:
        evidence.append(f"filled in {look.filled:,} of {look.rows:,}")
    if look.distinct == 1 and look.filled > 1:
        evidence.append("the same in every row" if look.filled == look.rows else "the same wherever it is filled")
    personal = names.personal(look.label) or reading.personal
    if reading.kind == "boolean" or (reading.kind == "time" and personal != "a birth date"):
        personal = ""
    if not personal and look.share("prose") >= MOST:
        personal = "free text"
    return replace(reading, evidence=tuple(evidence), personal=personal)


def _guarded(reading: Reading) -> Reading:
    """Secrets and official numbers are left out, unless the column is clearly something else."""
    look = reading.look
    named = "" if reading.kind in ("boolean", "time") else names.sensitive(look.label)
    by_content = next((what for sign, what in _SENSITIVE_SIGNS.items() if look.share(sign) >= SURE), "")
    if not by_content and look.share("opaque") >= SURE and names.key_rank(look.label) is None:
        by_content = "keys or tokens" if look.distinct and look.distinct >= SAME * look.filled else ""
    if named or by_content:
        why = f"named like {named}" if named else f"looks like {by_content}"
        return replace(reading, left_out=f"{why}; not for Customer.io", personal=named or by_content, decide="")
    return reading


_SENSITIVE_SIGNS = {
    "secret": "passwords, keys or tokens",  # nosec B105 # words
    "card": "card numbers",
    "iban": "bank accounts",
}


# ---------------------------------------------------------------- columns of text


def _of_text(look: Look, dates: Decision | None) -> Reading:
    named = names.personal(look.label) == "an e-mail address"
    if look.filled and look.share("email") >= SOME_EMAILS and (named or look.share("email") >= SURE_OF_EMAIL):
        return _email(look, named)
    if dates is not None and _is_sure(dates):
        return _time(look, dates)
    if not look.filled:
        return _by_name(look)
    if look.share("excel_text") >= SURE:
        removed = {"regex_replace": {"pattern": "^'", "new": ""}}
        return Reading(look, "text", (removed,), ("the apostrophe that a spreadsheet put before digits is removed",))
    if look.share("number") >= SURE:
        return _numbers(look)
    if look.count("boolean") == look.filled:
        return Reading(
            look, "boolean", ({"cast": "boolean"},), (f"yes or no in words: {of(look.filled, look.filled)}",)
        )
    return _yes_or_no(look) or _other_text(look, dates)


def _yes_or_no(look: Look) -> Reading | None:
    """The reading of words for yes and no in one of the languages of `boolean`; a question where they may be text."""
    known = {language: look.count(f"boolean_{language}") for language in BOOLEAN_LANGUAGES}
    most = max(known.values())
    languages = [language for language, count in known.items() if count == most]
    named = names.says_yes_or_no(look.label)
    if names.says_country(look.label) or most < (SOME_WORDS if named else SURE) * look.filled:
        return None
    if not named and (look.distinct or 0) < 2:
        return None
    words = f"yes or no in words ({', '.join(languages)}): {of(most, look.filled)}"
    call = {"boolean": languages[0]}
    if most == look.filled and (named or look.count("letter") < look.filled):
        return Reading(look, "boolean", (call,), (words,))
    advice = f"apply: [{{boolean: {{language: {languages[0]}, yes: […], no: […]}}}}] if they mean true and false"
    return Reading(look, "text", (), (), f"text, or true and false? {words}; {advice}")


def _by_name(look: Look) -> Reading:
    """The reading of a column without rows."""
    if names.personal(look.label) == "an e-mail address":
        return Reading(look, "email", ("trim", "lower"), ("by its name alone",))
    if names.says_time(look.label):
        return Reading(look, "time", ("timestamp",), ("by its name alone",), "no rows that show how times are written")
    return Reading(look, "text")


def _email(look: Look, named: bool) -> Reading:
    addresses, share = look.count("email"), look.share("email")
    others = look.filled - addresses
    evidence = (f"e-mail addresses: {of(addresses, look.filled)}", *_rejected(others))
    doubtful = share < (SURE_OF_EMAIL if named else SURE)
    decide = f"is it the e-mail address? only {addresses:,} of {look.filled:,} values are one" if doubtful else ""
    return Reading(look, "email", ("trim", "lower"), evidence, decide, personal="an e-mail address", rejects=others)


def _rejected(bad: int) -> list[str]:
    return [f"{bad:,} other{'s'[: bad != 1]}, whose row{'s'[: bad != 1]} would be rejected"] if bad else []


def _is_sure(dates: Decision) -> bool:
    return bool(dates.options) and (dates.read >= SURE * dates.facts.dated or bool(dates.asks_for("unit")))


def _time(look: Look, dates: Decision) -> Reading:
    """The reading of dates in any form; a wrong time is worse than none."""
    evidence = [*dates.phrases, *(dates.notes if dates.facts.is_text or dates.facts.numbers else ())]
    reading = Reading(look, "time", dates.options[0].apply, tuple(evidence))
    if dates.asks_for("order"):
        other = _quoted(dates.options[1].apply[-1]["timestamp"]["format"])
        why = f"the order of day and month is not known; month first is {other}"
        return replace(reading, decide=dates.asks_for("order"), left_out=why)
    if dates.asks_for("both orders"):
        why = "two orders of day and month in one column; fix the export, or write both formats in a list"
        return replace(reading, decide=dates.asks_for("both orders"), left_out=why)
    if dates.asks_for("unit"):
        return replace(reading, decide=dates.asks_for("unit"), left_out="the unit of the numbers is not known")
    if dates.facts.is_text and not dates.facts.numbers:
        unread = dates.facts.dated - dates.read
        reading = replace(reading, evidence=(*evidence, *_rejected(unread)), rejects=unread)
    return replace(reading, decide=dates.asks_for("zone"))


def _quoted(formats: str | list[str]) -> str:
    return ", ".join(f'"{format}"' for format in ([formats] if isinstance(formats, str) else formats))


def _numbers(look: Look) -> Reading:
    whole, numbers = look.count("integer") == look.filled, look.count("number")
    if names.personal(look.label) == "a phone number" or look.share("e164") >= SURE:
        return _phone(look)
    if look.count("zeros") and whole:
        return Reading(look, "text", (), (f"digits; {look.count('zeros'):,} with leading zeros, so it stays text",))
    if numbers < look.filled:
        text = f"numbers: {of(numbers, look.filled)}; text, since the others would be rejected"
        return Reading(look, "text", (), (text,))
    if is_label(look.label):
        return Reading(look, "text", (), ("digits that are a label, so it stays text",))
    if look.count("digit") == look.filled:
        digits = f"0 or 1: {of(look.filled, look.filled)}"
        if names.says_yes_or_no(look.label):
            return Reading(look, "boolean", ({"cast": "boolean"},), (digits,))
        return Reading(look, "integer", ({"cast": "integer"},), (f"{digits}; {{cast: boolean}} if that is no or yes",))
    counted = f"{'whole numbers' if whole else 'numbers'}: {of(look.filled, look.filled)}"
    return _with_cents(
        Reading(look, "integer" if whole else "number", ({"cast": "integer" if whole else "number"},), (counted,))
    )


def _with_cents(reading: Reading) -> Reading:
    if not names.says_cents(reading.label):
        return reading
    return replace(reading, evidence=(*reading.evidence, "cents? add {divide: 100}"))


def _phone(look: Look) -> Reading:
    e164 = look.count("e164")
    text = f"phone numbers in E.164 form: {of(e164, look.filled)}"
    if e164 < look.filled:
        text = f"phone numbers; {of(e164, look.filled)} in E.164 form, as Customer.io wants them"
    return Reading(look, "phone", (), (text,), personal="a phone number")


def _with_country(reading: Reading, country: Reading | None) -> Reading:
    """A column of phone numbers with the `apply` that converts those in another form than E.164."""
    look = reading.look
    if reading.kind != "phone" or reading.left_out or look.count("e164") == look.filled or look.member:
        return reading
    if country is None or country.look.member:
        advice = "apply: [{phone: FR}] converts them, if FR is the country of those without +"
    else:
        columns = ", ".join(scalar(one.name) for one in (reading, country))
        advice = f"columns: [{columns}], apply: [phone] converts them: the second column is the country"
    return replace(reading, evidence=(*reading.evidence, advice))


def _other_text(look: Look, dates: Decision | None) -> Reading:
    named_phone = names.personal(look.label) == "a phone number"
    if look.share("e164") >= SURE or (named_phone and look.share("phone") >= MOST):
        return _phone(look)
    if look.count("json") == look.filled:
        return Reading(look, "json", ("json",), (f"JSON: {of(look.filled, look.filled)}",))
    if question := _number_of_people(look):
        return Reading(look, "text", (), (), question)
    if dates is not None:
        text = "dates in forms that no single list of formats reads"
        return Reading(look, "text", (), (text,), decide="dates in several forms")
    if look.share("json") >= SURE:
        return Reading(
            look, "text", (), (f"JSON: {of(look.count('json'), look.filled)}; text, since the others are not",)
        )
    personal = "an IP address" if look.share("ip") >= SURE else ""
    return Reading(look, "text", (), (), personal=personal)


def _number_of_people(look: Look) -> str:
    """The question what to do with numbers that are written with a comma or with signs between thousands."""
    comma, point = look.count("comma"), look.count("point")
    forms = []
    if comma and look.share("decimal_comma") >= SURE:
        thousands = "point" if look.count("thousands") else "space" if look.count("spaced") else "none"
        call = f"{{number: {{decimal: comma, thousands: {thousands}}}}}"
        forms.append(f"decimal commas: {of(comma, look.filled)}; apply: [{call}]")
    if point and look.share("decimal_point") >= SURE:
        forms.append(f"commas between thousands: {of(point, look.filled)}; apply: [{{number: {{thousands: comma}}}}]")
    return f"text, or numbers? {', or '.join(forms)}" if forms else ""


# ---------------------------------------------------------------- columns with a type


def _of_type(look: Look, dates: Decision | None) -> Reading:
    if dates is not None and _is_sure(dates):
        return _time(look, dates)
    if look.dtype.is_numeric():
        return _with_cents(Reading(look, "integer" if look.dtype.is_integer() else "number"))
    return Reading(look, "boolean" if isinstance(look.dtype, pl.Boolean) else "other")
