"""The addresses to which credentials and rows may be sent: Customer.io's, and this machine's for dry runs."""

from __future__ import annotations

import re

from cio_etl.apis.catalog import APIS, DEFAULT_API

_LOOPBACK = re.compile(
    r"https?://(localhost|127\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})|\[::1\])(:(?P<port>\d{1,5}))?/?", re.ASCII
)


def is_loopback(base_url: str) -> bool:
    """Whether the address is this machine's own."""
    parts = _LOOPBACK.fullmatch(base_url.lower())
    if parts is None:
        return False
    numbers = [int(number) for number in parts.groups()[1:4] if number is not None]
    return max(numbers, default=0) <= 255 and 0 < int(parts["port"] or 80) <= 65_535


def allowed_address(base_url: str) -> str:
    """The address in its plain form, without a slash at the end. Raises ValueError for an address that is not allowed.

    Whole texts are compared, nothing is parsed: where two parsers disagree on the end of a host, keys are lost.
    """
    plain = base_url.lower().removesuffix("/")
    host = plain.removesuffix(":443")
    if any(host in api.hosts.values() for api in APIS.values()):
        return host
    if is_loopback(base_url):
        return plain
    hosts = APIS[DEFAULT_API].hosts
    raise ValueError(
        f"credentials are sent to {hosts['us']}, {hosts['eu']} or this machine (http://127.0.0.1:8080) only; "
        "name one of these, without user, path or query"
    )
