"""One exchange over a real socket: whatever the server does, there is a verdict in time."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from cio_etl.errors import DestinationUnavailable, WrongDestination
from cio_etl.load.connection import Connection, Deadlines, tls_context
from cio_etl.model import Accepted, Destination, Retry, Split, Stop, Verdict
from cio_etl.sandbox import Answer, Faults, Sandbox
from tests.raw_server import raw_server

SECRET = SecretStr("sandbox")
ITEM = {"type": "person", "action": "identify", "identifiers": {"id": "1"}, "attributes": {}}
BODY = json.dumps({"batch": [ITEM]}).encode()


def at(url: str) -> Destination:
    return Destination(
        api="track", base_url=url, credentials=dict.fromkeys(("site_id", "api_key"), SECRET), attempt_deadline_s=5.0
    )


@contextmanager
def connected(destination: Destination) -> Iterator[Connection]:
    deadlines = Deadlines()
    connection = Connection(destination, deadlines)
    try:
        yield connection
    finally:
        connection.close()
        deadlines.close()


def sent(sandbox: Sandbox, *faults: str | Answer, items: int = 1, **settings: object) -> list[Verdict]:
    """The verdicts of a batch that is sent once for each fault, and once more without one."""
    sandbox.set_faults(Faults(script=faults, **settings))  # type: ignore[arg-type]
    with connected(replace(at(sandbox.url), attempt_deadline_s=0.6)) as connection:
        return [connection.post(BODY, items) for _ in range(len(faults) + 1)]


def test_a_batch_that_the_server_applies_is_accepted(sandbox: Sandbox) -> None:
    assert sent(sandbox) == [Accepted()]
    assert sandbox.people.find("id", "1") is not None


@pytest.mark.fault("N14", "N15", "N16", "N17", "N18", "N19", "N20")
@pytest.mark.parametrize(
    "fault",
    [
        *("lost_after", "lost_before", "closed_after", "cut_upload", "truncated", "broken_chunks", "bad_gzip"),
        *("header_bomb", "hang_before", "hang_after", "drip", "html", "empty", "null", "list", "bom", "text"),
    ],
)
def test_after_a_lost_or_broken_answer_the_batch_is_sent_again_and_may_have_arrived(
    sandbox: Sandbox, fault: str
) -> None:
    broken, whole = sent(sandbox, fault, drip_s=0.4)
    assert isinstance(broken, Retry) and broken.ambiguous
    assert whole == Accepted()


@pytest.mark.fault("N15")
@pytest.mark.parametrize("cut_at", range(0, 80, 7))
def test_a_207_cut_at_any_byte_acknowledges_nothing(sandbox: Sandbox, cut_at: int) -> None:
    (broken, _) = sent(sandbox, "truncated", cut_at=cut_at, refused=1.0)
    assert isinstance(broken, Retry)


@pytest.mark.fault("N17")
def test_an_endless_answer_does_not_fill_the_memory(sandbox: Sandbox) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    broken, whole = sent(sandbox, "huge")
    assert isinstance(broken, Retry) and whole == Accepted()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB, of 300 MB sent


@pytest.mark.fault("N18")
def test_a_413_that_comes_before_the_whole_body_is_sent_is_read(sandbox: Sandbox) -> None:
    early, whole = sent(sandbox, "early_413")
    assert isinstance(early, Split | Retry)
    assert whole == Accepted()


@pytest.mark.fault("N20")
def test_a_slow_answer_is_cut_at_the_deadline(sandbox: Sandbox) -> None:
    broken, _ = sent(sandbox, "drip", drip_s=0.5)  # each byte comes in time, the whole answer does not
    assert broken == Retry("no answer within 0.6 s", ambiguous=True)


@pytest.mark.fault("N20")
def test_an_upload_that_nobody_reads_is_cut_at_the_deadline() -> None:
    over = threading.Event()

    def read_a_little_now_and_then(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with connection:
            while not over.wait(0.1) and connection.recv(100):
                pass

    with (
        raw_server(read_a_little_now_and_then) as url,
        connected(replace(at(url), attempt_deadline_s=0.5)) as connection,
    ):
        verdict = connection.post(b"x" * 20_000_000, 1)  # at this server's speed it would take hours
        over.set()
    assert isinstance(verdict, Retry) and verdict.ambiguous


ANSWERS = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a length, twice": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a body of lines": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{\n}\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "chunks and a trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nTook: 2\r\n\r\n",
    "an answer before it": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "bare line ends": b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
}
REFUSED = b"HTTP/1.1 503 -\r\nContent-Length: 0\r\n\r\n"


class Scripted:
    """A server that answers each request with the pieces of the next script, and counts connections."""

    def __init__(self, *scripts: list[bytes]) -> None:
        self.connections = 0
        self._scripts = list(scripts)
        self.all_sent = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        with connection, contextlib.suppress(ConnectionError):  # the client closes it where it must
            while self._read_request(connection):
                for piece in self._scripts.pop(0):
                    connection.sendall(piece)
                    time.sleep(0.002)
                self.all_sent.set()

    @staticmethod
    def _read_request(connection: socket.socket) -> bool:
        received = b""
        while not received.endswith(BODY):
            if not (piece := connection.recv(10_000)):
                return False
            received += piece
        return True


@pytest.mark.fault("N26")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=[*ANSWERS])
@pytest.mark.parametrize(
    "surplus",
    [ANSWERS["a length"], b"HTTP/1.1 200 OK\r\nContent-Le", b"\r\n", b"x"],
    ids=["answer", "part", "line end", "byte"],
)
def test_a_second_answer_in_the_same_packet_is_not_taken_for_the_next_batchs(answer: bytes, surplus: bytes) -> None:
    server = Scripted([answer + surplus], [REFUSED])
    with raw_server(server) as url, connected(at(url)) as connection:
        assert connection.post(BODY, 1) == Accepted()
        assert connection.post(BODY, 1) == Retry("HTTP 503")
    assert server.connections == 2


@pytest.mark.fault("N26")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=[*ANSWERS])
def test_a_second_answer_that_comes_later_is_not_taken_for_the_next_batchs(answer: bytes) -> None:
    server = Scripted([answer, ANSWERS["a length"]], [REFUSED])
    with raw_server(server) as url, connected(at(url)) as connection:
        assert connection.post(BODY, 1) == Accepted()
        assert server.all_sent.wait(5.0)
        assert connection.post(BODY, 1) == Retry("HTTP 503")
    assert server.connections == 2


@pytest.mark.fault("N26")
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=[*ANSWERS])
def test_a_second_answer_is_seen_wherever_the_network_cuts_the_first_one(answer: bytes) -> None:
    for cut in range(1, len(answer)):
        server = Scripted([answer[:cut], answer[cut:] + ANSWERS["a length"]], [REFUSED])
        with raw_server(server) as url, connected(at(url)) as connection:
            assert connection.post(BODY, 1) == Accepted()
            assert connection.post(BODY, 1) == Retry("HTTP 503")


@pytest.mark.fault("N26")
def test_a_second_answer_of_the_sandbox_is_not_taken_for_the_next_batchs(sandbox: Sandbox) -> None:
    refused = Answer(207, b'{"errors": [{"batch_index": 0, "reason": "invalid"}]}')
    sandbox.set_faults(Faults(script=("two_answers", refused)))
    with connected(at(sandbox.url)) as connection:
        assert connection.post(BODY, 1) == Accepted()
        stream = connection._network.stream
        assert stream is not None
        while not stream.get_extra_info("is_readable"):
            time.sleep(0.01)
        second = connection.post(BODY, 1)
    assert isinstance(second, Accepted) and len(second.errors) == 1


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=[*ANSWERS])
def test_a_connection_is_used_again_when_nothing_else_came(answer: bytes) -> None:
    server = Scripted([answer], [answer[:-1], answer[-1:]], [answer])
    with raw_server(server) as url, connected(at(url)) as connection:
        assert [connection.post(BODY, 1) for _ in range(3)] == [Accepted()] * 3
    assert server.connections == 1


@pytest.mark.fault("N21", "P15")
def test_a_connection_that_was_closed_meanwhile_is_opened_again(sandbox: Sandbox) -> None:
    with connected(at(sandbox.url)) as connection:
        assert connection.post(BODY, 1) == Accepted()
        port = sandbox.port
        sandbox.stop()
        with Sandbox(port=port):
            assert connection.post(BODY, 1) == Accepted()


@pytest.mark.fault("N23")
def test_an_unknown_host_name_is_tried_again() -> None:
    with connected(at("https://customer-io.invalid")) as connection:
        assert connection.post(BODY, 1) == Retry("the host name is unknown")


def test_a_port_without_a_server_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with connected(at(f"http://127.0.0.1:{port}")) as connection:
        assert connection.post(BODY, 1) == Retry("no connection")


@pytest.mark.fault("N12")
def test_a_redirect_is_not_followed(sandbox: Sandbox) -> None:
    with Sandbox() as other:
        verdict, _ = sent(sandbox, "307", location=f"{other.url}/api/v2/batch")
        assert other.stats()["requests"] == 0
    assert isinstance(verdict, Stop) and isinstance(verdict.error, WrongDestination)


@pytest.mark.fault("N25")
def test_a_proxy_in_the_environment_is_not_used(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    with raw_server(lambda connection: seen.append(connection.recv(100))) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy)
        assert sent(sandbox) == [Accepted()]
    assert seen == []


@pytest.mark.fault("N17")
def test_the_cap_is_of_one_answer_and_not_of_all_that_a_connection_brings() -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + b" " * 599_998 + b"{}"
    server = Scripted([large], [large], [large])
    with raw_server(server) as url, connected(at(url)) as connection:
        assert [connection.post(BODY, 1) for _ in range(3)] == [Accepted()] * 3
    assert server.connections == 1


@pytest.mark.fault("N21")
def test_an_idle_connection_is_used_again_for_less_than_a_minute() -> None:
    with raw_server(Scripted([ANSWERS["a length"]])) as url, connected(at(url)) as connection:
        assert connection.post(BODY, 1) == Accepted()
        assert connection._http is not None
        expires_at = connection._http._connection._expire_at  # type: ignore[union-attr]
        assert 0.0 < expires_at - time.monotonic() < 60.0


def test_the_lease_is_checked_at_the_last_moment_before_a_body_is_sent() -> None:
    class Lost(Exception):
        pass

    def lost() -> None:
        raise Lost

    bodies: list[bytes] = []

    def receive(connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(10_000):
                bodies.append(piece)

    deadlines = Deadlines()
    with raw_server(receive) as url, contextlib.closing(deadlines), pytest.raises(Lost):
        Connection(at(url), deadlines, check=lost).post(BODY, 1)
    assert b"batch" not in b"".join(bodies).partition(b"\r\n\r\n")[2]


# ---------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def written(blob: trustme.Blob, path: Path) -> str:
    blob.write_to_path(str(path))
    return str(path)


def certified(certificate: trustme.LeafCert, folder: Path) -> Sandbox:
    chain = folder / "chain.pem"
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    return Sandbox(ssl_certfile=chain, ssl_keyfile=written(certificate.private_key_pem, folder / "key.pem"))


def test_a_private_certificate_authority_is_trusted_when_configured(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = written(authority.cert_pem, tmp_path / "ca.pem")
    with (
        certified(authority.issue_cert("127.0.0.1"), tmp_path) as sandbox,
        connected(replace(at(sandbox.url), ca_file=ca_file)) as connection,
    ):
        assert connection.post(BODY, 1) == Accepted()


@pytest.mark.fault("N20")
def test_the_deadline_limits_tls_exchanges_too(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = written(authority.cert_pem, tmp_path / "ca.pem")
    with certified(authority.issue_cert("127.0.0.1"), tmp_path) as sandbox:
        sandbox.set_faults(Faults(script=("drip",), drip_s=0.5))
        with connected(replace(at(sandbox.url), ca_file=ca_file, attempt_deadline_s=0.6)) as connection:
            assert connection.post(BODY, 1) == Retry("no answer within 0.6 s", ambiguous=True)
            assert connection.post(BODY, 1) == Accepted()


@pytest.mark.fault("N24")
@pytest.mark.parametrize("wrong", ["unknown authority", "expired", "another host"])
def test_a_certificate_that_is_not_valid_stops_the_run(wrong: str, authority: trustme.CA, tmp_path: Path) -> None:
    from datetime import UTC, datetime

    name = "elsewhere.example" if wrong == "another host" else "127.0.0.1"
    until = datetime(2020, 1, 1, tzinfo=UTC) if wrong == "expired" else None
    since = datetime(2019, 1, 1, tzinfo=UTC) if wrong == "expired" else None
    ca_file = None if wrong == "unknown authority" else written(authority.cert_pem, tmp_path / "ca.pem")
    certificate = authority.issue_cert(name, not_before=since, not_after=until)
    with (
        certified(certificate, tmp_path) as sandbox,
        connected(replace(at(sandbox.url), ca_file=ca_file)) as connection,
    ):
        verdict = connection.post(BODY, 1)
    assert isinstance(verdict, Stop) and isinstance(verdict.error, DestinationUnavailable)
    assert "its certificate is not valid: " in str(verdict.error)


def test_tls_below_1_2_is_refused() -> None:
    assert tls_context(None).minimum_version >= ssl.TLSVersion.TLSv1_2
