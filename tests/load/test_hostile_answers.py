"""Whatever a server answers, no row counts as accepted unless its answer is a clean success; memory and time end."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from cio_etl.load.connection import Connection, Deadlines
from cio_etl.model import Accepted, Destination, Refused, Retry, Split, Stop, Unknown, Verdict
from tests.load.hostile_answers import BODIES, CONNECTIONS, GOOD, HEADERS, REFUSED, RETRY_AFTER, STATUS_LINES, answer
from tests.load.hostile_answers import Answer as HostileAnswer
from tests.raw_server import raw_server, read_request

ITEMS = 3
BODY = json.dumps({"batch": [{"type": "person"}] * ITEMS}).encode()
LARGE_BODY = (
    b'{"batch":[' + b" " * 16_000_000 + b"]}"
)  # more than a socket takes from a client whose server does not read

HOSTILE = {
    f"{table}: {name}": case
    for table, cases in {
        "status line": STATUS_LINES,
        "headers": HEADERS,
        "body": BODIES,
        "connection": CONNECTIONS,
    }.items()
    for name, case in cases.items()
}


class Server:
    """Answers the first request as a test wants, and all others with 503: what follows was never accepted."""

    def __init__(self, first: HostileAnswer) -> None:
        self._first: HostileAnswer | None = first
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        with connection:
            while True:
                read_request(connection)
                with self._lock:
                    act, self._first = self._first, None
                if callable(act):
                    act(connection)
                else:
                    connection.sendall(REFUSED if act is None else act)


@contextmanager
def connected(url: str, deadline_s: float = 5.0) -> Iterator[Connection]:
    credentials = dict.fromkeys(("site_id", "api_key"), SecretStr("sandbox"))
    deadlines = Deadlines(watch_every_s=0.02)
    destination = Destination("track", url, credentials, attempt_deadline_s=deadline_s)
    with contextlib.closing(deadlines), contextlib.closing(Connection(destination, deadlines)) as connection:
        yield connection


def kind(verdict: Verdict) -> str:
    """What a verdict says about the batch as a whole."""
    match verdict:
        case Accepted():
            return "accepted"
        case Retry(ambiguous=True) | Split(ambiguous=True) | Unknown():
            return "ambiguous"
        case Retry() | Split() | Refused():
            return "refused"
        case Stop():
            return "stop"


@pytest.mark.fault("N7", "N12", "N14", "N15", "N16", "N17", "N18", "N26")
@pytest.mark.parametrize(("expected", "hostile"), HOSTILE.values(), ids=[*HOSTILE])
def test_a_hostile_answer_is_no_acceptance_unless_it_is_a_clean_success(expected: str, hostile: HostileAnswer) -> None:
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    deadline_s = 0.2 if callable(hostile) and expected == "ambiguous" else 5.0  # short for what never ends
    with raw_server(Server(hostile)) as url, connected(url, deadline_s) as connection:
        first, *others = [kind(connection.post(BODY, ITEMS)) for _ in range(3)]
    assert first == expected
    assert {*others} <= {"refused", "ambiguous"}  # ambiguous: the server closes the connection just then
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_kb < 30_000


def test_the_table_has_all_kinds_of_answers() -> None:
    assert len(HOSTILE) > 150
    assert {expected for expected, _ in HOSTILE.values()} == {"accepted", "refused", "ambiguous", "stop"}


@pytest.mark.fault("N3", "N27")
@pytest.mark.parametrize(("value", "after_s"), RETRY_AFTER.items(), ids=[each[:30] or "empty" for each in RETRY_AFTER])
def test_an_invalid_retry_after_causes_no_endless_wait(value: str, after_s: float | None) -> None:
    start = b"HTTP/1.1 503 -\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nRetry-After: "
    with (
        raw_server(Server(start + value.encode() + b"\r\nContent-Length: 0\r\n\r\n")) as url,
        connected(url) as connection,
    ):
        verdict = connection.post(BODY, ITEMS)
    assert isinstance(verdict, Retry) and (verdict.after_s, verdict.ambiguous) == (after_s, False)


@pytest.mark.fault("N18", "N26")
@pytest.mark.parametrize(
    ("early", "expected"),
    [(GOOD, "ambiguous"), (REFUSED, "refused"), (answer("{}", "413 -"), "refused"), (answer("{}", "401 -"), "stop")],
    ids=["200", "503", "413", "401"],
)
def test_an_answer_before_the_whole_request_is_sent_may_refuse_it_and_never_accepts_it(
    early: bytes, expected: str
) -> None:
    def answer_first(connection: socket.socket) -> None:
        with connection:
            connection.sendall(early)
            read_request(connection)
            connection.recv(1)

    with raw_server(answer_first) as url, connected(url) as connection:
        assert kind(connection.post(LARGE_BODY, ITEMS)) == expected


def test_a_destination_that_answers_twice_gets_a_connection_for_each_request() -> None:
    connections = []

    def answer_twice(connection: socket.socket) -> None:
        connections.append(connection)
        with connection:
            while True:
                read_request(connection)
                connection.sendall(GOOD + GOOD)

    with capture_logs() as events, raw_server(answer_twice) as url, connected(url) as connection:
        assert [kind(connection.post(BODY, ITEMS)) for _ in range(4)] == ["accepted"] * 4
    assert len(connections) == 4
    assert [each["event"] for each in events] == ["answer_without_request"]


def test_a_success_followed_by_a_second_answer_on_a_used_connection_is_not_believed() -> None:
    """The first of the two may be a late answer to the request before, the second one to this."""
    answers = iter([GOOD, GOOD + REFUSED, REFUSED])

    def act(connection: socket.socket) -> None:
        with connection:
            while True:
                read_request(connection)
                connection.sendall(next(answers))

    with raw_server(act) as url, connected(url) as connection:
        assert [kind(connection.post(BODY, ITEMS)) for _ in range(3)] == ["accepted", "ambiguous", "refused"]


def test_a_408_that_ends_an_idle_connection_is_no_second_answer() -> None:
    sent = threading.Event()
    connections = []

    def act(connection: socket.socket) -> None:
        connections.append(connection)
        with connection:
            read_request(connection)
            connection.sendall(GOOD)
            if len(connections) == 1:
                connection.sendall(answer("", "408 Request Time-out", "Connection: close"))
                sent.set()
                return
            read_request(connection)
            connection.sendall(GOOD)

    with capture_logs() as events, raw_server(act) as url, connected(url) as connection:
        assert kind(connection.post(BODY, ITEMS)) == "accepted"
        assert sent.wait(5.0)
        assert [kind(connection.post(BODY, ITEMS)) for _ in range(2)] == ["accepted"] * 2
    assert len(connections) == 2 and events == []
