"""Before anything is sent: the destination answers, takes the credentials, and their region is the job's."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from pydantic import SecretStr

from cio_etl.errors import CredentialsRefused, DestinationUnavailable, WrongDestination
from cio_etl.load import CredentialCheck, check_credentials, resolve, with_region
from cio_etl.model import Destination
from cio_etl.sandbox import Credentials, Sandbox
from tests.raw_server import answering, raw_server

SECRET = SecretStr("sandbox")


def at(url: str) -> Destination:
    return Destination(
        api="track", base_url=url, credentials=dict.fromkeys(("site_id", "api_key"), SECRET), attempt_deadline_s=5.0
    )


def test_a_destination_that_answers_is_used_as_it_is(sandbox: Sandbox) -> None:
    assert resolve(at(sandbox.url)) == at(sandbox.url)


@pytest.mark.fault("N10")
def test_wrong_credentials_end_the_run_before_anything_is_sent(sandbox: Sandbox) -> None:
    sandbox.set_credentials(Credentials(api_key="another"))
    with pytest.raises(CredentialsRefused, match=r"refused the credentials \(HTTP 401\)"):
        resolve(at(sandbox.url))


@pytest.mark.fault("N23")
@pytest.mark.parametrize("url", ["https://customer-io.invalid", "http://127.0.0.1:1"])
def test_a_destination_out_of_reach_is_reported_within_the_time_limit(url: str) -> None:
    with pytest.raises(DestinationUnavailable) as raised:
        resolve(at(url), patience_s=0.5)  # without its limit it tries for ever, and the test is ended
    assert raised.value.exit_code == 69


@pytest.mark.fault("N11")
def test_an_address_that_is_not_customer_ios_ends_the_run_before_anything_is_sent() -> None:
    def answer_404(connection: socket.socket) -> None:
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with (
        raw_server(answer_404) as url,
        pytest.raises(WrongDestination, match=r"is not this API of Customer\.io: it answers with HTTP 404"),
    ):
        resolve(at(url))


BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
IN_EUROPE = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\nConnection: close\r\n\r\n{"region": "eu"}'


@pytest.mark.fault("N23")
def test_the_request_for_an_unknown_region_is_repeated_after_a_503() -> None:
    with raw_server(answering(BUSY, BUSY, IN_EUROPE)) as url:
        check = check_credentials(at(url), 10.0, persistent=True)
    assert check.region == "eu" and check.clock_ahead_s is None


@pytest.mark.fault("N23")
def test_a_region_not_known_within_the_time_limit_is_reported_as_out_of_reach() -> None:
    with (
        raw_server(answering(BUSY)) as url,
        pytest.raises(DestinationUnavailable, match="is out of reach: HTTP 503") as raised,
    ):
        resolve(replace(at(url), region="auto"), patience_s=0.3)
    assert raised.value.exit_code == 69


def test_with_a_region_in_the_job_a_503_does_not_stop_the_start() -> None:
    with raw_server(answering(BUSY)) as url:
        assert resolve(at(url), patience_s=10.0) == at(url)


def test_the_region_of_the_credentials_decides_where_rows_go() -> None:
    auto = replace(at(""), region="auto")
    destination = with_region(auto, CredentialCheck("track.customer.io", "eu", None))
    assert (destination.region, destination.base_url) == ("eu", "https://track-eu.customer.io")
    with pytest.raises(WrongDestination, match="does not say which region"):
        with_region(auto, CredentialCheck("track.customer.io", None, None))


def test_credentials_of_the_other_region_are_refused_with_the_line_to_write() -> None:
    american = at("https://track.customer.io")
    with pytest.raises(WrongDestination, match="belong to the region eu, the job says us") as raised:
        with_region(american, CredentialCheck("track.customer.io", "eu", None))
    assert raised.value.remedy == "write `region: eu` in the job file"
