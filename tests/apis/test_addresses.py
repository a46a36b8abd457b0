"""Credentials are sent only to Customer.io and to this machine."""

from __future__ import annotations

import pytest

from cio_etl.apis import allowed_address, is_loopback


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("https://track.customer.io", "https://track.customer.io"),
        ("https://track-eu.customer.io/", "https://track-eu.customer.io"),
        ("HTTPS://Track.Customer.IO:443/", "https://track.customer.io"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.10/", "http://127.8.9.10"),
        ("https://localhost:8443", "https://localhost:8443"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_customer_io_and_this_machine_are_allowed(given: str, plain: str) -> None:
    assert allowed_address(given) == plain


@pytest.mark.parametrize(
    "given",
    [
        "http://track.customer.io",
        "https://customer.io",
        "https://cdp2.customer.io",
        "https://track.customer.io.example.com",
        "https://track.customer.io@example.com",
        "https://user:canary@track.customer.io",
        "http://canary@127.0.0.1",
        "https://track.customer.io:8443",
        "https://track.customer.io/api",
        "https://track.customer.io?x=canary",
        "https://track.customer.io#x",
        "https://track.customer.io\\@example.com",
        "https://track.customer.io\n.example.com",
        "https://track.customer.io\n",
        "https://track.customer.io.",
        "https://evil-track.customer.io",
        "https://trackXcustomer.io",
        "http://127.0.0.256",
        "http://127.1",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "http://localhost:0",
        "http://localhost:70000",
        "http://1२7.0.0.1",
        "http://127.0.0.२",
        "http://169.254.169.254",
        "file:///etc/passwd",
        "track.customer.io",
        "//track.customer.io",
        "",
    ],
)
def test_any_other_address_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(ValueError) as error:
        allowed_address(given)
    assert str(error.value) == (
        "credentials are sent to https://track.customer.io, https://track-eu.customer.io or this machine "
        "(http://127.0.0.1:8080) only; name one of these, without user, path or query"
    )


def test_customer_io_is_not_this_machine() -> None:
    assert is_loopback("http://127.0.0.1") and is_loopback("https://[::1]:1")
    assert not is_loopback("https://track.customer.io")
