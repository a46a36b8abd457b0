"""What number does a text say? In E.164 form, by the plans of all countries that the library phonenumbers knows."""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from cio_etl.transform.distinct import REMEMBERED


def is_region(name: str) -> bool:
    """Whether this is a country's two capitals in ISO 3166."""
    return name in phonenumbers.SUPPORTED_REGIONS


@lru_cache(REMEMBERED)
def e164(text: str, region: str | None, valid: bool) -> str | None:
    """The number in E.164 form; None for what is none of its country's plan, or not `valid`, of its lengths."""
    if len(text) > 250:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    right = phonenumbers.is_valid_number if valid else phonenumbers.is_possible_number
    if not right(number) or number.extension or not _said_last(text, number.national_number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _said_last(text: str, national: int | None) -> bool:
    """Whether the text ends with the number that was read: the library leaves out what it takes for a second one."""
    return phonenumbers.normalize_digits_only(text).endswith(str(national)[-6:])
