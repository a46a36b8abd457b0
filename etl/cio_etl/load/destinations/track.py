"""Track API v2: where a batch goes, and what an answer to it means.

Source: Customer.io's Track API reference (`POST /api/v2/batch`): 200 everything was taken, 207 all but the items that
`errors` names, 400 nothing. Item errors are read from all three alike, since implementations differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cio_etl.load.destinations.answers import MAX_MESSAGE, as_object, by_status, meta_errors, printable, unreadable
from cio_etl.load.destinations.endpoints import Endpoint
from cio_etl.model import Accepted, Envelope, ItemError, Refused, Split, Verdict
from cio_etl.model import Mapping as Rules

REGION_PATH = "/api/v1/accounts/region"
HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
MAX_IDS = 1_000  # of a call that changes a manual segment (Track API v1 reference)


def judge(status: int, headers: Mapping[str, str], body: bytes, items: int, host: str) -> Verdict:
    """What the answer to a batch of `items` items means. `headers` has lower-case names.

    An answer that cannot be read and tied to items is never an acknowledgement.
    """
    return by_status(status, headers, host) or _judge_content(status, body, items)


def judge_v1(status: int, headers: Mapping[str, str], body: bytes, items: int, host: str) -> Verdict:
    """What the answer to a call of v1 means: it is taken or refused as a whole, and its 200 may have no body."""
    if (verdict := by_status(status, headers, host)) is not None:
        return verdict
    content = as_object(body or b"{}")
    if content is None:
        return unreadable(status)
    said = meta_errors(content)
    if status == 400:
        return Split("http_400", said)
    return Split("answer_unreadable", said, ambiguous=True) if status == 207 or said else Accepted()


BATCH = Endpoint("/api/v2/batch", judge)
ANONYMOUS_EVENT = Endpoint("/api/v1/events", judge_v1, Envelope(b"", b"", 1))


def segment(mapping: Rules) -> Endpoint:
    """Where people go whom a mapping puts into a manual segment, or takes out of it."""
    verb = "add_customers" if mapping.operation == "add_to_segment" else "remove_customers"
    path = f"/api/v1/segments/{mapping.segment}/{verb}?id_type={next(iter(mapping.identifiers))}"
    return Endpoint(path, judge_v1, Envelope(b'{"ids":[', b"]}", MAX_IDS))


def region(body: bytes) -> str | None:
    """The region that the answer to REGION_PATH names."""
    said = (as_object(body) or {}).get("region")
    return said if isinstance(said, str) and said in HOSTS else None


def _judge_content(status: int, body: bytes, items: int) -> Verdict:
    content = as_object(body)
    if content is None:
        return unreadable(status)
    errors = content.get("errors", [])
    if not isinstance(errors, list) or not all(isinstance(error, dict) for error in errors):
        return Split("answer_unreadable", ambiguous=status != 400)
    if status == 400:
        if errors and all("batch_index" in error for error in errors):
            found = _item_errors(errors, items)
            return Split("answer_unreadable") if found is None else Refused(found)
        return Split(_reason(errors[0]) if errors else "http_400", _message(errors[0]) if errors else "")
    if status == 207 and not errors:
        return Split("answer_unreadable", ambiguous=True)
    found = _item_errors(errors, items)
    return Split("answer_unreadable", ambiguous=True) if found is None else Accepted(found)


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
    return printable(said)[:MAX_MESSAGE] if isinstance(said, str) and said else None


def _message(error: Mapping[str, Any]) -> str:
    said = error.get("message")
    return printable(said)[:MAX_MESSAGE] if isinstance(said, str) else ""
