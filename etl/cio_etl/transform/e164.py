"""Phone numbers in E.164 form, by the numbering plans in the library phonenumbers."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from cio_etl.transform.distinct import CACHED_VALUES


def is_region(name: str) -> bool:
    """Whether this is a country's two-letter code in ISO 3166, in capitals."""
    return name in phonenumbers.SUPPORTED_REGIONS


@lru_cache(CACHED_VALUES)
def e164(text: str, region: str | None, valid: bool) -> str | None:
    """The number in E.164 form; None if its country's plan does not have it (not `valid`: if its length is wrong)."""
    if len(text) > 250:
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
