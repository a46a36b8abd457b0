"""A late answer that nobody asked for is never taken for the next request's: accepted is what the server has."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import trustme
from pydantic import SecretStr

from cio_etl.load import Pace
from cio_etl.load.connection import Connection, Deadlines
from cio_etl.load.lane import Lane, LaneSettings
from cio_etl.model import Accepted, Batch, Destination, LaneProgress, Reject, Retry
from tests.pace_simulation import Clock
from tests.raw_server import raw_server, read_request

LANES, ROWS, ROWS_A_BATCH = 4, 400, 10
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REFUSALS = (
    b"HTTP/1.1 503 -\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 429 -\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": NaN',
)


class Belated:
    """Takes every other batch; refuses the others, and says after `delay_s` that it has taken them."""

    def __init__(self, delay_s: float) -> None:
        self.rows: set[int] = set()
        self._delay_s = delay_s
        self._dice = random.Random(7)

    def __call__(self, connection: socket.socket) -> None:
        sending = threading.Lock()
        late: list[threading.Timer] = []

        def send(data: bytes) -> None:
            with sending, contextlib.suppress(OSError):
                connection.sendall(data)

        with connection:
            try:
                while True:
                    rows = [item["row"] for item in json.loads(read_request(connection))["batch"]]
                    if self._dice.random() < 0.5:
                        send(self._dice.choice(REFUSALS))
                        late.append(threading.Timer(self._delay_s, send, (GOOD,)))
                        late[-1].start()
                    else:
                        self.rows.update(rows)
                        send(GOOD)
            finally:
                for timer in late:
                    timer.join()


def batches(lane: int) -> list[Batch]:
    """The lane's batches: every LANES-th row."""
    positions = np.arange(lane, ROWS, LANES)
    cut = [positions[at : at + ROWS_A_BATCH] for at in range(0, len(positions), ROWS_A_BATCH)]
    return [_batch(lane, each) for each in cut]


def _batch(lane: int, positions: npt.NDArray[np.int64]) -> Batch:
    texts = [b'{"row":%d}' % position for position in positions]
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1 + len(b'{"batch":[')
    return Batch(lane, int(positions[-1]), b'{"batch":[' + b",".join(texts) + b"]}", positions, ends, (), 0)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's context, and the file of the authority that signed it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return context, str(ca_file)


def to(url: str, ca_file: str | None = None, deadline_s: float = 5.0) -> Destination:
    credentials = dict.fromkeys(("site_id", "api_key"), SecretStr("sandbox"))
    return Destination("track", url, credentials, attempt_deadline_s=deadline_s, ca_file=ca_file)


@contextlib.contextmanager
def connected(destination: Destination) -> Iterator[Connection]:
    deadlines = Deadlines()
    with contextlib.closing(deadlines), contextlib.closing(Connection(destination, deadlines)) as connection:
        yield connection


@pytest.mark.fault("N26")
@pytest.mark.parametrize("delay_s", [0.005, 0.05, 0.2])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "TLS"])
def test_rows_whose_refusal_is_followed_by_a_late_acceptance_are_sent_again(
    delay_s: float, encrypted: bool, tls: tuple[ssl.SSLContext, str]
) -> None:
    context, ca_file = tls if encrypted else (None, None)
    server, accepted = Belated(delay_s), set[int]()
    writing, deadlines = threading.Lock(), Deadlines()

    def commit(progress: LaneProgress, rejects: Sequence[Reject], positions: npt.NDArray[np.int64]) -> None:
        with writing:
            assert not rejects
            accepted.update(positions.tolist())

    def send(lane: int, url: str) -> None:
        clock = Clock()  # waits take no time, so a late answer meets the next request
        settings = LaneSettings(Pace(None, clock), commit, lambda size: None, clock.sleep, 1e9, True, clock)
        with contextlib.closing(Connection(to(url, ca_file), deadlines)) as connection:
            Lane(LaneProgress(lane), connection, settings).run(batches(lane))

    with raw_server(server, context) as url, contextlib.closing(deadlines), ThreadPoolExecutor(LANES) as lanes:
        for done in [lanes.submit(send, lane, url) for lane in range(LANES)]:
            done.result()
    assert accepted == server.rows == set(range(ROWS))


@pytest.mark.fault("N26")
def test_over_tls_a_second_answer_is_noticed_and_a_session_ticket_is_not_taken_for_one(
    tls: tuple[ssl.SSLContext, str],
) -> None:
    context, ca_file = tls
    connections = []
    answers = iter([GOOD, GOOD, GOOD + GOOD, GOOD, GOOD])

    def act(connection: socket.socket) -> None:
        connections.append(connection)
        with connection:
            while True:
                read_request(connection)
                connection.sendall(next(answers))

    with raw_server(act, context) as url, connected(to(url, ca_file)) as connection:
        verdicts = [connection.post(b'{"batch":[1]}', 1) for _ in range(5)]
    assert [isinstance(verdict, Accepted) for verdict in verdicts] == [True, True, False, True, True]
    assert len(connections) == 3


@pytest.mark.fault("N24", "N26")
@pytest.mark.parametrize(
    ("raw", "verdict"),
    [
        pytest.param(
            b"\x15\x03\x03\x00\x02\x02\x28",
            Retry("the connection was cut", ambiguous=True),
            id="an alert, not encrypted",
        ),
        pytest.param(GOOD, Retry("the connection was cut", ambiguous=True), id="an answer, not encrypted"),
        pytest.param(b"", Retry("the connection was cut, or the answer was no HTTP", ambiguous=True), id="the end"),
    ],
)
def test_an_unencrypted_answer_within_tls_accepts_nothing(
    raw: bytes, verdict: Retry, tls: tuple[ssl.SSLContext, str]
) -> None:
    context, ca_file = tls

    def act(connection: socket.socket) -> None:
        with connection:
            read_request(connection)
            socket.socket.send(connection, raw) if raw else None

    with raw_server(act, context) as url, connected(to(url, ca_file)) as connection:
        assert connection.post(b'{"batch":[1]}', 1) == verdict


@pytest.mark.fault("N24")
@pytest.mark.parametrize("greeting", [b"\x15\x03\x03\x00\x02\x02\x28", GOOD, b"", b"\x16\x03\x03\xff\xff" + b"\0" * 70])
def test_a_server_that_does_not_speak_tls_is_tried_again(greeting: bytes, tls: tuple[ssl.SSLContext, str]) -> None:
    def act(connection: socket.socket) -> None:
        with connection:
            connection.recv(10_000)
            connection.sendall(greeting)

    with raw_server(act) as url, connected(to(url.replace("http:", "https:"), tls[1])) as connection:
        assert connection.post(b'{"batch":[1]}', 1) == Retry("no connection")
