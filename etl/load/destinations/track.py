"""Track API v2: where a batch goes, and what an answer to it means.

Source: Customer.io's Track API reference (`POST /api/v2/batch`): 200 everything was taken, 207 all but the items that
`errors` names, 400 nothing. Item errors are read from all three alike, since implementations differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from etl.errors import CredentialsRefused, WrongDestination
from etl.model import Accepted, ItemError, Refused, Retry, Split, Stop, Verdict

PATH = "/api/v2/batch"
REGION_PATH = "/api/v1/accounts/region"
OPEN, CLOSE = b'{"batch":[', b"]}"
HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}

RETRIED = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 520, 521, 522, 523, 524})
MAX_AFTER_S = 300.0  # a longer Retry-After is cut to this: five minutes later is soon enough to look again
MAX_MESSAGE = 200


def judge(status: int, headers: Mapping[str, str], body: bytes, items: int, host: str) -> Verdict:
    """What the answer to a batch of `items` items means. `headers` has lower-case names.

    An answer that cannot be read and tied to items is never an acknowledgement.
    """
    if status in (401, 403):
        return Stop(CredentialsRefused(host=host, status=status))
    if 300 <= status < 400:
        to = re.sub(r"[^A-Za-z0-9.:-]", "", headers.get("location", "").split("://")[-1].split("/")[0])
        return Stop(
            WrongDestination(host=host, what=f"it redirects to {to or 'elsewhere'}; the region may be the other one")
        )
    if status in RETRIED or status >= 500:
        after_s = retry_after(headers)
        return Retry(f"HTTP {status}", after_s=after_s, throttled=status == 429 or after_s is not None)
    if status == 413:
        return Split("http_413", "the body is too large for the server", too_large=True)
    if status in (200, 207, 400):
        return _judge_content(status, body, items)
    return Stop(WrongDestination(host=host, what=f"it answers with HTTP {status}"))


def region(body: bytes) -> str | None:
    """The region that the answer to REGION_PATH names."""
    said = (_object(body) or {}).get("region")
    return said if isinstance(said, str) and said in HOSTS else None


def _judge_content(status: int, body: bytes, items: int) -> Verdict:
    content = _object(body)
    if content is None:
        return Split("http_400") if status == 400 else Retry(f"HTTP {status} with an unreadable body", ambiguous=True)
    errors = content.get("errors", [])
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        return Split("answer_unreadable")
    if status == 400:
        if errors and all("batch_index" in error for error in errors):
            found = _item_errors(errors, items)
            return Split("answer_unreadable") if found is None else Refused(found)
        return Split(_reason(errors[0]) if errors else "http_400", _message(errors[0]) if errors else "")
    if status == 207 and not errors:
        return Split("answer_unreadable")
    found = _item_errors(errors, items)
    return Split("answer_unreadable") if found is None else Accepted(found)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _item_errors(errors: list[dict[str, Any]], items: int) -> tuple[ItemError, ...] | None:
    """The first error of each item; None when one of them names no item of this batch."""
    found: dict[int, ItemError] = {}
    for error in errors:
        index = error.get("batch_index", 0 if items == 1 else None)
        if type(index) is not int or not 0 <= index < items:
            return None
        found.setdefault(index, ItemError(index, _reason(error), _field(error), _message(error)))
    return tuple(found.values())


def _reason(error: Mapping[str, Any]) -> str:
    said = error.get("reason")
    return (
        "refused_" + re.sub(r"\W+", "_", said.lower(), flags=re.ASCII)[:40]
        if isinstance(said, str) and said
        else "refused"
    )


def _field(error: Mapping[str, Any]) -> str | None:
    said = error.get("field")
    return _printable(said)[:MAX_MESSAGE] if isinstance(said, str) and said else None


def _message(error: Mapping[str, Any]) -> str:
    said = error.get("message")
    return _printable(said)[:MAX_MESSAGE] if isinstance(said, str) else ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After asks for, at most MAX_AFTER_S; None when there is none that can be read.

    A date is measured against the answer's own Date, so our clock does not matter. (RFC 9110, 10.2.3.)
    """
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", said):  # not float(): that takes "nan", "1e20" and other scripts' digits
        return min(float(said), MAX_AFTER_S)
    try:
        seconds = (parsedate_to_datetime(said) - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(seconds, MAX_AFTER_S) if seconds >= 0 else None
