"""Phone numbers in E.164 form, by the numbering plans in the library phonenumbers."""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from cio_etl.transform.distinct import CACHED_VALUES

# Of these the library reads some of the digits, or too many: a number with a fraction or an exponent, as programs write
# a column of numbers (30901820.0, 3.09E7), or below zero; letters after a digit or before one (O for 0, l for 1).
_NO_PHONE = re.compile(r"^[^.,]*[.,]0+\s*$|^\s*[-\u2212]\s*[0-9]|[0-9][\s\S]*[^\W\d_]|[^\W\d_][0-9]|\*")


def is_region(name: str) -> bool:
    """Whether this is a country's two-letter code in ISO 3166, in capitals."""
    return name in phonenumbers.SUPPORTED_REGIONS


@lru_cache(CACHED_VALUES)
def e164(text: str, region: str | None, valid: bool) -> str | None:
    """The number in E.164 form; None if its country's plan does not have it (not `valid`: if its length is wrong)."""
    if len(text) > 250 or _NO_PHONE.search(text):
        return None
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    right = phonenumbers.is_valid_number if valid else phonenumbers.is_possible_number
    if not right(number) or number.extension or not _is_whole_text(text, number.national_number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _is_whole_text(text: str, national: int | None) -> bool:
    """Whether the text ends with the parsed number: the library drops what looks like a second number."""
    return phonenumbers.normalize_digits_only(text).endswith(str(national)[-6:])
