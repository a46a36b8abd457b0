"""The App API, by which what Customer.io has stored is read back: its hosts, its limits, its paths and its answers.

It takes no rows, so it is no destination. Source: Customer.io's App API reference, "Customers".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from cio_etl.apis.addresses import is_loopback
from cio_etl.apis.answers import as_object
from cio_etl.model import Destination
from cio_etl.model.records import dataclass

HOSTS = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
KEY = "app_api_key"  # of `destination:`
VARIABLE = f"CUSTOMERIO_{KEY.upper()}"
RENEWAL = f"renew what destination.{KEY} refers to: an App API key of the workspace"
REQUESTS_PER_SECOND = 10.0  # of a workspace, for all operations but sends
MAX_IDS = 100  # people that one request reads
CHECK_PATH = "/v1/segments"  # is cheap, and needs the key as every path does


@dataclass(frozen=True, slots=True)
class Profile:
    """A person as the App API shows them: every attribute is text."""

    identifiers: Mapping[str, str]  # cio_id, id, email; those that the person has
    attributes: Mapping[str, str]
    unsubscribed: bool


def address(destination: Destination) -> str:
    """The App API of a destination: that of its region, or the sandbox that it sends to."""
    return destination.base_url if is_loopback(destination.base_url) else HOSTS[destination.region]


def people_path(kind: str) -> str:
    """Where up to MAX_IDS people are read by their identifiers of a kind."""
    return f"/v1/customers/attributes?id_type={kind}"


def people_body(identifiers: list[str]) -> bytes:
    """The body of a request to `people_path`."""
    return json.dumps({"ids": identifiers}, ensure_ascii=False, separators=(",", ":")).encode()


def person_path(kind: str, identifier: str) -> str:
    """Where one person is read. Every character that means something in a path is encoded.

    >>> person_path("id", "a/b?c#d%e f")
    '/v1/customers/a%2Fb%3Fc%23d%25e%20f/attributes?id_type=id'
    >>> person_path("id", "..")
    '/v1/customers/%2E%2E/attributes?id_type=id'
    """
    segment = quote(identifier, safe="")
    if not segment.strip("."):  # a segment of dots only would be a step in the path
        segment = segment.replace(".", "%2E")
    return f"/v1/customers/{segment}/attributes?id_type={kind}"


def people_of(body: bytes) -> list[Profile] | None:
    """The people of an answer to `people_path`; None when it cannot be read."""
    listed = (as_object(body) or {}).get("customers")
    if not isinstance(listed, list):
        return None
    people = [_profile(each.get("customer", each)) if isinstance(each, dict) else None for each in listed]
    return [each for each in people if each is not None] if None not in people else None


def person_of(body: bytes) -> Profile | None:
    """The person of an answer to `person_path`; None when it cannot be read."""
    return _profile((as_object(body) or {}).get("customer"))


def _profile(customer: Any) -> Profile | None:
    attributes = customer.get("attributes") if isinstance(customer, dict) else None
    identifiers = customer.get("identifiers") if isinstance(customer, dict) else None
    if not isinstance(attributes, dict) or not isinstance(identifiers, dict | None):
        return None
    return Profile(
        {name: str(value) for name, value in (identifiers or {}).items() if value not in (None, "")},
        {name: _text(value) for name, value in attributes.items() if value is not None},
        customer.get("unsubscribed") is True,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
