"""Short values that several sections of a job have: names, shares, counts, durations."""

import re
from datetime import timedelta
from typing import Annotated, TypeGuard

from pydantic import AfterValidator, Field, WithJsonSchema

from cio_etl.model.yaml_section import duration, wrong

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def _plain_name(name: str) -> str:
    if not PLAIN_NAME.fullmatch(name):
        raise wrong("must be up to 100 letters, digits, - and _, beginning with a letter or digit: it names files")
    return name


PlainName = Annotated[
    str, AfterValidator(_plain_name), WithJsonSchema({"type": "string", "pattern": f"^{PLAIN_NAME.pattern}$"})
]

Share = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,9})? ?%$")]


def share_of(raw: object) -> float | None:
    """The share that a text such as `1%` means, from 0 to 1; None for anything else."""
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?) ?%", raw, re.ASCII) if isinstance(raw, str) else None
    return float(share[1]) / 100 if share and float(share[1]) <= 100 else None


def is_count(value: object) -> TypeGuard[int]:
    """Whether it is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def checked_duration(raw: object) -> timedelta:
    """The duration that a text means; see yaml_section.duration."""
    try:
        return duration(str(raw))
    except ValueError as error:
        raise wrong(str(error)) from None
