"""Reads what is the same in the answers of every API of Customer.io: statuses, error messages, Retry-After."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from cio_etl.errors import CredentialsRefused, WrongDestination
from cio_etl.model import Retry, Split, Stop, Verdict

RETRIED = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524})
TURNED_AWAY = frozenset({425, 429, 503})  # nothing was accepted; after the others of RETRIED it is unknown
MAX_AFTER_S = 300.0  # a longer Retry-After is cut to this: a run then tries again after five minutes
MAX_MESSAGE = 200

_ADDRESS = re.compile(r"[^\s@\"'<>()\[\],;:]+@[^\s@\"'<>()\[\],;:]+")
# texts in quotes; an apostrophe within a word opens none, and a quote that is not closed quotes the rest
_QUOTED = re.compile(
    r""" "[^"]*(?:"|$) | `[^`]*(?:`|$) | “[^”]*(?:”|$) | ‘[^’]*(?:’|$) | «[^»]*(?:»|$)
    | (?<!\w)'(?:[^']|'(?=\w))*(?:'|$) """,
    re.VERBOSE,
)


def by_status(status: int, headers: Mapping[str, str], host: str, renewal: str) -> Verdict | None:
    """What a status means, whatever the body is; None where the body decides: 200, 207, 400.

    `renewal` is the remedy for refused credentials.
    """
    if status in (200, 207, 400):
        return None
    if status in (401, 403):
        return Stop(CredentialsRefused(renewal, host=host, status=status))
    if 300 <= status < 400:
        to = re.sub(r"[^A-Za-z0-9.:-]", "", headers.get("location", "").split("://")[-1].split("/")[0])
        return Stop(
            WrongDestination(host=host, what=f"it redirects to {to or 'elsewhere'}; the region may be the other one")
        )
    if status in RETRIED or status >= 500:
        after_s = retry_after(headers)
        throttled = status == 429 or after_s is not None
        return Retry(f"HTTP {status}", after_s=after_s, throttled=throttled, ambiguous=status not in TURNED_AWAY)
    if status == 413:
        return Split("http_413", "the body is too large for the server", too_large=True)
    return Stop(WrongDestination(host=host, what=f"it answers with HTTP {status}"))


def unreadable(status: int) -> Verdict:
    """What an answer means whose body does not fit its status."""
    return Split("http_400") if status == 400 else Retry(f"HTTP {status} with an unreadable body", ambiguous=True)


def as_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body; None when the body is not one, or a key of it comes twice."""
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key comes twice")
    return content


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def meta_errors(content: Mapping[str, Any]) -> str:
    """The first error of `{"meta": {"errors": […]}}`, or of `{"meta": {"error": "…"}}`; "" when there is none.

    Sources: the Track API v1 and the Pipelines API reference, and Customer.io's page on invalid requests.
    """
    meta = content.get("meta")
    errors = (meta.get("errors") or [meta.get("error")]) if isinstance(meta, dict) else []
    first = errors[0] if isinstance(errors, list) and errors else errors
    return printable(first)[:MAX_MESSAGE] if isinstance(first, str) else ""


def reports_errors(content: Mapping[str, Any]) -> bool:
    """Whether an answer has a member in which some API of Customer.io reports errors; then it accepts nothing."""
    return not content.keys().isdisjoint(("error", "errors", "meta"))


def masked(message: str, field: str | None = None) -> str:
    """A message of Customer.io without what it may quote of a row: addresses, and quoted texts but the field's name."""

    def mask(quoted: re.Match[str]) -> str:
        text = quoted[0]
        closed = len(text) > 1 and text[-1] in "\"`”’»'"
        return text if field and text[1:-1] == field else f"{text[0]}…{text[-1] if closed else ''}"

    return _ADDRESS.sub("…@…", _QUOTED.sub(mask, message))


def printable(text: str) -> str:
    """The text without what could move a terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After, at most MAX_AFTER_S; None when there is none, or an unreadable one.

    A date is measured against the answer's own Date, so our clock does not matter. (RFC 9110, 10.2.3.)
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):  # not float(): that takes "nan", "1e20" and other scripts' digits
        return min(float(value), MAX_AFTER_S)
    try:
        seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(seconds, MAX_AFTER_S) if seconds >= 0 else None
