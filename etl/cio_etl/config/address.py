"""To which addresses may credentials and rows be sent? To Customer.io's, and to this machine for a rehearsal."""

from __future__ import annotations

import re

from cio_etl.model import Api

OF_REGION: dict[Api, dict[str, str]] = {
    "track": {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"},
    "pipelines": {"us": "https://cdp.customer.io", "eu": "https://cdp-eu.customer.io"},
}

# Whole texts are compared, nothing is parsed: two parsers that disagree on where a host ends are how keys get lost.
_CUSTOMER_IO = re.compile(r"https://(track|track-eu|cdp|cdp-eu)\.customer\.io(:443)?/?")
_LOOPBACK = re.compile(
    r"https?://(localhost|127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})|\[::1\])(:(?P<port>\d{1,5}))?/?", re.ASCII
)


def is_loopback(base_url: str) -> bool:
    """Whether the address is this machine's own."""
    found = _LOOPBACK.fullmatch(base_url.lower())
    if found is None:
        return False
    numbers = [int(number) for number in found.groups()[1:4] if number is not None]
    return max(numbers, default=0) <= 255 and 0 < int(found["port"] or 80) <= 65_535


def allowed(base_url: str) -> str:
    """The address in its plain form, without a slash at the end. Raises ValueError for any other than the allowed."""
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
