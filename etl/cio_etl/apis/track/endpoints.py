"""The endpoints of the Track API, and what their answers mean.

Source: Customer.io's Track API reference. `POST /api/v2/batch`: 200 accepts every item, 207 all but those that `errors`
names, 400 none. Item errors are read from all three alike, since implementations differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cio_etl.apis.answers import (
    MAX_MESSAGE,
    as_object,
    by_status,
    masked,
    meta_errors,
    printable,
    reports_errors,
    unreadable,
)
from cio_etl.apis.api import Endpoint
from cio_etl.model import Accepted, Envelope, ItemError, Refused, Split, Verdict
from cio_etl.model import Mapping as Rules

HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
RENEWAL = "renew what destination.site_id and api_key refer to: a site id and a Track API key of one workspace"
MAX_IDS = 1_000  # in a call that changes a manual segment (Track API v1 reference)


def judge(status: int, headers: Mapping[str, str], body: bytes, items: int, host: str) -> Verdict:
    """What the answer to a batch of `items` items means. `headers` has lower-case names.

    An answer that cannot be read, or whose errors name no item of the batch, is never an acknowledgement.
    """
    return by_status(status, headers, host, RENEWAL) or _judge_content(status, body, items)


def judge_v1(status: int, headers: Mapping[str, str], body: bytes, items: int, host: str) -> Verdict:
    """What the answer to a call of v1 means: it is accepted or refused as a whole, and its 200 may have no body."""
    if (verdict := by_status(status, headers, host, RENEWAL)) is not None:
        return verdict
    content = as_object(body or b"{}")
    if content is None:
        return unreadable(status)
    message = meta_errors(content)
    if status == 400:
        return Split("http_400", message)
    if status == 207 or reports_errors(content):
        return Split("answer_unreadable", message, ambiguous=True)
    return Accepted()


BATCH = Endpoint("/api/v2/batch", judge)
VISITOR_EVENT = Endpoint("/api/v1/events", judge_v1, Envelope(b"", b"", 1))


def visitor_event(mapping: Rules) -> Endpoint:
    """Where an event of a visitor is sent."""
    return VISITOR_EVENT


def segment(verb: str) -> Callable[[Rules], Endpoint]:
    """Where people are sent whom a mapping adds to a manual segment, or removes from it."""

    def of_mapping(mapping: Rules) -> Endpoint:
        path = f"/api/v1/segments/{mapping.segment}/{verb}?id_type={next(iter(mapping.part('identifiers')))}"
        return Endpoint(path, judge_v1, Envelope(b'{"ids":[', b"]}", MAX_IDS))

    return of_mapping


def region(body: bytes) -> str | None:
    """The region that the answer to the check of the credentials names."""
    named = (as_object(body) or {}).get("region")
    return named if isinstance(named, str) and named in HOSTS else None


def _judge_content(status: int, body: bytes, items: int) -> Verdict:
    content = as_object(body)
    if content is None:
        return unreadable(status)
    errors = content.get("errors", [])
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        return Split("answer_unreadable", ambiguous=status != 400)
    if status == 400:
        if errors and all("batch_index" in error for error in errors):
            item_errors = _item_errors(errors, items)
            return Split("answer_unreadable") if item_errors is None else Refused(item_errors)
        return Split(_reason(errors[0]) if errors else "http_400", _message(errors[0]) if errors else "")
    if (status == 207 and not errors) or "meta" in content or "error" in content:  # not documented: nobody knows
        return Split("answer_unreadable", meta_errors(content), ambiguous=True)
    item_errors = _item_errors(errors, items)
    return Split("answer_unreadable", ambiguous=True) if item_errors is None else Accepted(item_errors)


def _item_errors(errors: list[dict[str, Any]], items: int) -> tuple[ItemError, ...] | None:
    """The first error of each item; None when one of them names no item of this batch."""
    by_item: dict[int, ItemError] = {}
    for error in errors:
        index = error.get("batch_index", 0 if items == 1 else None)
        if type(index) is not int or not 0 <= index < items:
            return None
        by_item.setdefault(index, ItemError(index, _reason(error), _field(error), _message(error)))
    return tuple(by_item.values())


def _reason(error: Mapping[str, Any]) -> str:
    reason = error.get("reason")
    if not isinstance(reason, str) or not reason:
        return "refused"
    return "refused_" + re.sub(r"\W+", "_", masked(reason.lower()), flags=re.ASCII).strip("_")[:40]


def _field(error: Mapping[str, Any]) -> str | None:
    name = error.get("field")
    return printable(name)[:MAX_MESSAGE] if isinstance(name, str) and name else None


def _message(error: Mapping[str, Any]) -> str:
    message = error.get("message")
    return printable(message)[:MAX_MESSAGE] if isinstance(message, str) else ""
