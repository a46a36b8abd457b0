"""The addresses to which credentials and rows may be sent: Customer.io's, and this machine for dry runs and tests."""

from __future__ import annotations

import re

from cio_etl.model import Api

OF_REGION: dict[Api, dict[str, str]] = {
    "track": {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"},
    "pipelines": {"us": "https://cdp.customer.io", "eu": "https://cdp-eu.customer.io"},
}

# Whole texts are compared, and nothing is parsed: if two parsers disagree on where a host ends, keys leak.
_CUSTOMER_IO = re.compile(r"https://(track|track-eu|cdp|cdp-eu)\.customer\.io(:443)?/?")
_LOOPBACK = re.compile(
    r"https?://(localhost|127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})|\[::1\])(:(?P<port>\d{1,5}))?/?", re.ASCII
)


def is_loopback(base_url: str) -> bool:
    """Whether the address is one of this machine."""
    match = _LOOPBACK.fullmatch(base_url.lower())
    if match is None:
        return False
    numbers = [int(number) for number in match.groups()[1:4] if number is not None]
    return max(numbers, default=0) <= 255 and 0 < int(match["port"] or 80) <= 65_535


def allowed(base_url: str) -> str:
    """The address in lower case, without a slash at the end. Raises ValueError for an address that is not allowed."""
    plain = base_url.lower()
    if _CUSTOMER_IO.fullmatch(plain):
        return plain.removesuffix("/").removesuffix(":443")
    if is_loopback(plain):
        return plain.removesuffix("/")
    hosts = OF_REGION["track"]
    raise ValueError(
        f"credentials are sent to {hosts['us']}, {hosts['eu']} or this machine (http://127.0.0.1:8080) only; "
        "name one of these, without user, path or query"
    )
