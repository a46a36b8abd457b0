"""The command `cio-etl ui`: what it prints, whom it lets in, and how it ends."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from cio_etl import state
from cio_etl.cli import main
from tests.databases import Database
from tests.fork_server import Process
from tests.running import environment, start
from tests.state.runs import begin

pytestmark = pytest.mark.slow


@contextmanager
def serving(*options: str, **streams: object) -> Iterator[tuple[Process, str]]:
    """The command, and the address that it prints."""
    process = start("ui", "--port=0", *options, folder=Path(), **streams)
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found is not None, line + process.stderr.read()
    yield process, found[0]
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate()


@pytest.fixture
def folder() -> Path:
    """A state with an unfinished run, in the current folder."""
    store = state.open_store(Path(".etl"))
    begin(store)
    store.end("nightly-1", "stopped", 69, "Customer.io is out of reach")
    store.close()
    return Path(".etl")


def test_the_page_is_there_until_a_signal_ends_it_at_once_with_pages_open(folder: Path) -> None:
    with serving() as (process, url):
        assert "cio-etl run jobs/nightly.yaml" in httpx.get(f"{url}/runs/nightly-1").text
        assert httpx.get(f"{url}/healthz").text == "ok\n"
        with httpx.stream("GET", f"{url}/live?known=", timeout=20) as live:
            lines = live.iter_lines()
            assert next(lines) == "retry: 5000"
            assert "event: changed" in [next(lines), next(lines)]
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == 0
            with pytest.raises(httpx.HTTPError):
                list(lines)


def test_a_port_in_use_is_said_with_what_helps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["ui", f"--port={taken.getsockname()[1]}"]) == 2
    assert "is in use by another program; add --port 0 for a free one" in capsys.readouterr().err


def test_beyond_this_machine_a_token_is_needed_and_ends_in_a_cookie(folder: Path) -> None:
    with serving("--host=0.0.0.0", "--name=etl.example.com") as (_, printed):
        address, _, token = printed.partition("/?token=")
        assert socket.gethostname() in address
        url = f"http://127.0.0.1:{address.rpartition(':')[2]}"
        with httpx.Client(base_url=url) as client:
            for path in ("/", "/rejects", "/live", "/runs/nightly-1/report.html", "/?token=x", "/?token="):
                assert client.get(path).status_code == 401, path
            assert client.get("/healthz").status_code == 200
            assert client.get("/", headers={"Authorization": f"Bearer {token}"}).status_code == 200
            assert client.get("/", headers={"Cookie": f"cio_etl_ui={token}"}).status_code == 401
            answer = client.get(f"/rejects?job=nightly&token={token}")
            assert (answer.status_code, answer.headers["location"]) == (303, "/rejects?job=nightly")
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and token not in cookie
            assert client.get("/rejects").status_code == 200  # the client has kept the cookie
            assert client.get(f"{url}//evil.example/?token={token}").headers["location"] == "/evil.example/"
            assert client.get("/", headers={"Host": "etl.example.com"}).status_code == 200
            assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert len(token) > 40


def test_the_token_of_a_file_is_not_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("token").write_text("short")
    assert main(["ui", "--token-file=token"]) == 2 and "needs 16 characters" in capsys.readouterr().err
    Path("token").write_text("a-token-of-a-file-1234\n")
    with serving("--token-file=token") as (_, url):
        assert "token" not in url and httpx.get(url).status_code == 401
        assert httpx.get(f"{url}/?token=a-token-of-a-file-1234").status_code == 303


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--state=nothing"], "nothing holds no state"),
        (["--state=postgresql://ada:secret@db.example/etl"], "an address with a password is visible"),
        (["--sandbox=http://example.com"], "--sandbox: name a loopback address"),
        (["--sandbox=http://ada@127.0.0.1:9"], "--sandbox: name a loopback address"),
        (["--sandbox=http://127.0.0.1:9/people"], "--sandbox: name a loopback address"),
        (["--sandbox=http://127.0.0.1.example.com"], "--sandbox: name a loopback address"),
        (["--sandbox=http://[::1"], "--sandbox: name a loopback address"),
        (["--sandbox=localhost:9"], "--sandbox: name a loopback address"),
        (["--reveal"], "add --sandbox URL"),
        (["--reveal", "--sandbox=http://127.0.0.1:9", "--host=0.0.0.0"], "values are shown on this machine only"),
    ],
)
def test_what_cannot_be_shown_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ui", *arguments]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and "secret" not in printed.err + printed.out


def test_a_state_in_a_database_is_shown_without_its_address(postgres: Database) -> None:
    store = state.open_store(SecretStr(postgres.address))
    begin(store)
    store.close()
    with serving(env={**environment(), "ETL_STATE": postgres.address}) as (_, url):
        page = httpx.get(url).text
        assert "nightly" in page and "the database" in page and "canary" not in page
        assert httpx.get(f"{url}/runs/nightly-1").status_code == 200


def test_only_the_state_s_user_may_read_what_the_page_leaves_behind(folder: Path) -> None:
    with serving() as (_, url):
        httpx.get(url)
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()} == {0o600}


def test_a_state_that_is_gone_or_of_another_version_is_a_page_that_says_what_to_do(folder: Path) -> None:
    with serving() as (_, url):
        with contextlib.closing(sqlite3.connect(folder / "state.db")) as database:
            database.execute("PRAGMA user_version = 4")
        answer = httpx.get(url)
        assert answer.status_code == 503 and "run `cio-etl status` over this state once" in answer.text
        for path in folder.glob("state.db*"):
            path.unlink()
        for address in ("/", "/rejects", "/runs/nightly-1", "/jobs/nightly", "/plans"):
            answer = httpx.get(url + address)
            assert answer.status_code == 503 and "it holds no state" in answer.text, address
        assert httpx.get(f"{url}/healthz").status_code == 503
