"""Unattended runs: quiet without rejects, loud with them, one at a time, and reported when one is overdue."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cio_etl import state
from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import CredentialsRefused, InvalidArguments, JobLocked, StateError, failure_of
from cio_etl.log.lines import BufferedLines, FileLines
from cio_etl.model.yaml_section import duration
from cio_etl.notify.ping import ping
from cio_etl.run import Caller, RunOptions, ending_run, run_file
from cio_etl.sandbox import Faults, Sandbox
from tests.running import API_KEY, environment, start, until, write_job

ROOT = Path(__file__).parents[2]
MAPPING = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "e_mail"}}
CANARY = "canary5ecret"


@pytest.fixture
def job(sandbox: Sandbox, keys: None) -> Path:
    Path("people.yaml").write_text(json.dumps(MAPPING))
    Path("people.csv").write_text("id,e_mail\n1,a@b.co\n2,b@b.co\n")
    return write_job(
        Path("job.yaml"), sandbox.url, {"people": ({"csv": "people.csv"}, "people.yaml")}, max_rejects="100%"
    )


# ---------------------------------------------------------------- what is printed


def command(*arguments: object) -> tuple[int, str, str]:
    process = start(*arguments, folder=Path.cwd())
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_quiet_run_without_rejects_prints_nothing(job: Path) -> None:
    assert command("run", job, "--quiet") == (0, "", "")


def test_a_quiet_run_prints_one_line_of_json_when_asked(job: Path) -> None:
    code, out, err = command("run", job, "--quiet", "--json")
    assert (code, err) == (0, "") and out.count("\n") == 1
    assert json.loads(out)["steps"][0]["accepted"] == 2


def test_a_quiet_sandbox_run_without_rejects_prints_nothing(job: Path) -> None:
    hashed = {"attributes": {"key": {"column": "e_mail", "apply": [{"hmac": {"key": "${SALT}"}}]}}}
    Path("people.yaml").write_text(json.dumps(MAPPING | hashed))
    assert command("run", job, "--sandbox", "--quiet") == (0, "", "")
    assert "hmac: ${SALT} is not looked up" in command("run", job, "--sandbox")[2]


RENEWAL = (
    "renew what destination.site_id and api_key refer to: a site id and a Track API key of one workspace; "
    "then: cio-etl run job.yaml"
)


def test_a_quiet_run_with_rejects_prints_its_report_and_its_log(job: Path) -> None:
    Path("people.csv").write_text("id,e_mail\n1,a@b.co\n2,no\n")
    code, out, err = command("run", job, "--quiet")
    assert code == 3 and "email_malformed" in out
    assert "run_started" in err and "run_finished" in err


def test_a_quiet_run_that_fails_says_what_happened_and_what_continues_it(job: Path, sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(rates={"401": 1.0}))
    code, out, err = command("run", job, "--quiet")
    assert (code, out) == (77, "")
    *_, what, remedy = err.strip().split("\n")
    assert "refused the credentials" in what and remedy == RENEWAL


@pytest.mark.parametrize("more", [[], ["--quiet"]], ids=["loud", "quiet"])
def test_json_is_one_line_also_of_a_run_that_stopped(more: list[str], job: Path, sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(rates={"401": 1.0}))
    code, out, _ = command("run", job, "--json", *more)
    said = json.loads(out)
    assert out.count("\n") == 1 and (code, said["exit_code"], said["status"]) == (77, 77, "stopped")
    assert said["resumable"] is True and said["remedy"] == RENEWAL


def test_the_remedy_of_a_sandbox_run_has_the_sandbox_option(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text("id,e_mail\n1,no\n2,no\n")
    job.write_text(json.dumps(json.loads(job.read_text()) | {"max_rejects": 1}))
    assert main(["run", str(job), "--sandbox"]) == 4
    assert capfd.readouterr().err.strip().endswith("then: cio-etl run job.yaml --sandbox")


def test_a_log_file_takes_the_log_and_leaves_stderr_empty(job: Path) -> None:
    code, _, err = command("--log-file", "shop.log", "--log-format", "json", "run", job)
    assert (code, err) == (0, "")
    events = [json.loads(line)["event"] for line in Path("shop.log").read_text().splitlines()]
    assert events[0] == "run_started" and events[-1] == "run_finished"
    assert stat.S_IMODE(Path("shop.log").stat().st_mode) == 0o600


def test_a_log_file_that_was_moved_away_is_created_again() -> None:
    lines = FileLines(Path("shop.log"))
    lines.info("one")
    os.rename("shop.log", "shop.log.1")
    lines.info("two")
    Path("shop.log").unlink()
    lines.info("three")
    assert (Path("shop.log.1").read_text(), Path("shop.log").read_text()) == ("one\n", "three\n")


def test_a_log_file_that_was_truncated_is_continued_at_its_new_end() -> None:
    lines = FileLines(Path("shop.log"))
    lines.info("one")
    os.truncate("shop.log", 0)
    lines.info("two")
    assert Path("shop.log").read_text() == "two\n"


def test_a_symbolic_link_in_place_of_the_log_file_is_not_followed(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("precious").write_text("x")
    Path("shop.log").symlink_to("precious")
    assert main(["--log-file", "shop.log", "run", str(job)]) == 2
    assert "--log-file: shop.log cannot be written" in capfd.readouterr().err
    assert Path("precious").read_text() == "x"


@pytest.mark.fault("P5")
def test_a_full_disk_loses_log_lines_and_nothing_else() -> None:
    lines = FileLines(Path("/dev/full"))
    lines.info("one")
    with pytest.raises(OSError, match="No space left"):
        os.write(lines._file, b"it was this device that took nothing")


@pytest.mark.fault("P5")
def test_a_run_whose_log_cannot_be_written_sends_every_row(job: Path) -> None:
    assert command("--log-file", "/dev/full", "run", job, "--quiet") == (0, "", "")


def test_a_log_file_that_cannot_be_created_again_is_continued_in_the_moved_one() -> None:
    Path("precious").write_text("x")
    lines = FileLines(Path("shop.log"))
    lines.info("one")
    os.rename("shop.log", "shop.log.1")
    Path("shop.log").symlink_to("precious")
    lines.info("two")
    other = os.open("other", os.O_RDWR | os.O_CREAT)  # would be given the number, if the log had let go of it
    lines.info("three")
    assert os.fstat(other).st_size == 0  # it is still open, and empty
    os.close(other)
    assert (Path("shop.log.1").read_text(), Path("precious").read_text()) == ("one\ntwo\nthree\n", "x")


def test_threads_that_log_while_the_file_is_moved_away_lose_no_line_and_leave_no_file_open() -> None:
    lines = FileLines(Path("shop.log"))
    threads = [threading.Thread(target=lambda: [lines.info("x") for _ in range(2_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(50):
        until(lambda: Path("shop.log").exists() or not any(thread.is_alive() for thread in threads))
        if Path("shop.log").exists():
            os.rename("shop.log", f"shop.log.{number}")
    for thread in threads:
        thread.join()
    assert sum(path.read_text().count("x\n") for path in Path().glob("shop.log*")) == 8_000
    held = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert len([path for path in held if path.startswith(f"{Path.cwd()}/shop.log")]) == 1


def test_a_pipe_that_nobody_reads_is_no_log_file(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("shop.log")
    assert main(["--log-file", "shop.log", "run", str(job)]) == 2
    assert "--log-file: shop.log cannot be written" in capfd.readouterr().err


def test_buffered_log_lines_are_printed_once_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    lines = BufferedLines()
    for line in ("one", "two"):
        lines.warning(line)
    assert capsys.readouterr().err == ""
    lines.flush()
    lines.flush()
    assert capsys.readouterr().err == "one\ntwo\n"


# ---------------------------------------------------------------- one after the other


def test_a_run_with_wait_starts_when_the_other_run_has_ended(quiet_log: list[dict[str, Any]]) -> None:
    folder, entered = Path("state"), threading.Event()
    with state.hold(folder, "shop"):
        other = threading.Thread(target=lambda: _held_for(folder, entered), daemon=True)
        other.start()
        until(lambda: any(event["event"] == "lock_awaited" for event in quiet_log))
        assert not entered.is_set()
    other.join(30)
    assert entered.is_set()
    (awaited,) = [event for event in quiet_log if event["event"] == "lock_awaited"]
    assert awaited["job"] == "shop" and awaited["pid"] == os.getpid()


def _held_for(folder: Path, entered: threading.Event) -> None:
    with state.hold(folder, "shop", wait_s=60.0):
        entered.set()


def test_a_run_whose_wait_is_over_names_the_process_that_holds_the_job() -> None:
    with state.hold(Path("state"), "shop"), pytest.raises(JobLocked, match=f"process {os.getpid()}"):  # noqa: SIM117
        with state.hold(Path("state"), "shop", wait_s=0.05):
            raise AssertionError("two at once")


def test_a_signal_ends_the_wait_for_another_run(job: Path) -> None:
    with state.hold(Path(".etl"), "job"):
        process = start("run", job, "--wait", "10m", folder=Path.cwd())
        assert process.stderr is not None
        waits = process.stderr.readline()
        assert "lock_awaited" in waits and f"pid={os.getpid()}" in waits
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "stopped by SIGTERM\nto go on: cio-etl run job.yaml\n")


@pytest.mark.parametrize(("text", "code"), [("1s", 75), ("1", 75), ("0.5", 75), ("soon", 2), ("-1", 2), ("nan", 2)])
def test_wait_takes_a_duration_or_seconds(text: str, code: int, job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with state.hold(Path(".etl"), "job"):
        assert main(["run", str(job), "--wait", text]) == code
    said = capfd.readouterr().err
    assert "another run holds the job" in said if code == 75 else "must be a number of seconds, or a duration" in said


# ---------------------------------------------------------------- missed when it does not come


@contextmanager
def monitor(status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A monitor's address, and what it was asked."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{CANARY}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("error", [CredentialsRefused(host="x", status=401), ValueError()])
def test_a_monitor_is_pinged_at_the_start_of_a_run_and_at_its_failure(error: Exception, job: Path) -> None:
    with monitor() as (url, asked):
        monitored = replace(load_job(job), ping=SecretStr(url))
        with pytest.raises(type(error)), ending_run(monitored, RunOptions(), Caller()) as run:
            run.caller.begun()
            run.caller.begun()  # it goes on, with other keys
            raise error
        assert asked == [f"/{CANARY}/start", f"/{CANARY}/{failure_of(error).exit_code}"]


def test_a_run_that_another_one_or_a_person_keeps_from_beginning_pings_nothing(job: Path) -> None:
    with monitor() as (url, asked):
        monitored = replace(load_job(job), ping=SecretStr(url))
        locked = JobLocked(job="job", pid=1, host="here", since="now")
        for error in (locked, InvalidArguments("no step x"), KeyboardInterrupt()):
            with pytest.raises(type(error)), ending_run(monitored, RunOptions(), Caller()):
                raise error
        assert asked == []
        with pytest.raises(StateError), ending_run(monitored, RunOptions(), Caller()):
            raise StateError(place="the state", what="is out of reach")
        assert asked == [f"/{CANARY}/{StateError.exit_code}"]


def test_a_monitor_that_fails_is_pinged_twice_and_does_not_stop_the_run(
    job: Path, monkeypatch: pytest.MonkeyPatch, quiet_log: list[dict[str, Any]]
) -> None:
    with monitor(500) as (url, asked):
        monkeypatch.setenv("PING", url)
        job.write_text(json.dumps(json.loads(job.read_text()) | {"ping": "${PING}"}))
        assert run_file(job, RunOptions(), Caller()).status == "finished"
        assert len(asked) == 4
    assert ping(SecretStr(url), "") == "ConnectError"  # nobody listens there any more
    reasons = [event["reason"] for event in quiet_log if event["event"] == "ping_failed"]
    assert reasons == ["HTTP 500", "HTTP 500"]
    assert CANARY not in str(quiet_log)


@contextmanager
def dripping(right_away: bytes) -> Iterator[str]:
    """The address of a monitor that answers this at once, and then a byte now and then for as long as anybody reads."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            connection.sendall(right_away)
            while not over.wait(0.02):
                connection.sendall(b"x")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while not over.is_set():
                threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/{CANARY}"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("right_away", "failure"),
    [(b"HTTP/1.1 200 OK\r\nx: ", "no answer"), (b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", "")],
    ids=["before its status", "after it"],
)
def test_a_monitor_whose_answer_never_ends_does_not_delay_the_run(right_away: bytes, failure: str) -> None:
    with dripping(right_away) as url:
        assert ping(SecretStr(url), "", timeout_s=0.5) == failure


@pytest.mark.parametrize("address", [f"https://{CANARY}..b/", f"https://{'a' * 300}.example/{CANARY}"])
def test_an_invalid_monitor_address_is_a_failure_whose_words_do_not_hold_it(address: str) -> None:
    failure = ping(SecretStr(address), "/start")
    assert failure and CANARY not in failure


def test_the_ping_s_suffix_comes_before_the_query_of_the_address() -> None:
    with monitor() as (url, asked):
        assert [ping(SecretStr(f"{url}/?rid=1"), suffix) for suffix in ("/start", "")] == ["", ""]
        assert asked == [f"/{CANARY}/start?rid=1", f"/{CANARY}?rid=1"]


def test_a_job_pings_an_address_given_by_a_reference_and_a_sandbox_run_pings_nothing(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monitor() as (url, asked):
        monkeypatch.setenv("PING", url)
        job.write_text(json.dumps(json.loads(job.read_text()) | {"ping": "${PING}"}))
        assert main(["run", str(job)]) == 0
        assert asked == [f"/{CANARY}/start", f"/{CANARY}"]
        assert main(["run", str(job), "--sandbox"]) == 0
        assert len(asked) == 2


def test_a_replay_and_an_applied_plan_ping_as_a_run_does(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monitor() as (url, asked):
        monkeypatch.setenv("PING", url)
        job.write_text(json.dumps(json.loads(job.read_text()) | {"ping": "${PING}"}))
        Path("people.csv").write_text("id,e_mail\n1,a@b.co\n,b@b.co\n")
        begun_and_done = [f"/{CANARY}/start", f"/{CANARY}"]
        assert main(["run", str(job)]) == 3
        assert asked == begun_and_done
        with closing(state.open_store(Path(".etl"))) as store:
            (run,) = store.runs()
        assert main(["replay", run.run_id]) == 3
        assert asked == begun_and_done * 2
        Path("people.csv").write_text("id,e_mail\n2,b@b.co\n")
        assert main(["plan", str(job), "-o", "plan.json"]) == 3  # something would be sent
        assert main(["apply", "plan.json"]) == 0
        assert asked == begun_and_done * 3
        Path("people.csv").write_text("id,e_mail\n3,c@b.co\n")
        assert main(["plan", str(job), "-o", "plan.json"]) == 3  # something would be sent
        Path("people.csv").write_text("id,e_mail\n4,d@b.co\n")
        assert main(["apply", "plan.json"]) == 78  # before it has begun
        assert asked[6:] == [f"/{CANARY}/78"]


def test_a_run_that_cannot_start_pings_its_exit_code(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monitor() as (url, asked):
        monkeypatch.setenv("PING", url)
        job.write_text(json.dumps(json.loads(job.read_text()) | {"ping": "${PING}"}))
        with monkeypatch.context() as without:
            without.delenv(API_KEY)
            assert main(["run", str(job)]) == 78
        mapping = Path(json.loads(job.read_text())["steps"][0]["mapping"])
        mapping.write_text("operation: identfy")
        assert main(["run", str(job)]) == 78
        assert main(["run", str(job), "--sandbox"]) == 78
        assert asked == [f"/{CANARY}/78"] * 2
    assert not Path(".etl").exists()  # the job has no channels, so nothing makes a state


@pytest.mark.parametrize(
    ("ping", "said"),
    [
        ("https://hc.example/secret", "ping: secrets are references only: write ${NAME} or ${file:/run/secrets/key}"),
        ("${PING}", "ping: must be an https:// address, or one on this machine"),
    ],
)
def test_a_ping_must_be_a_reference_to_an_https_address(
    ping: str, said: str, job: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PING", f"http://hc.example/{CANARY}")
    job.write_text(json.dumps(json.loads(job.read_text()) | {"ping": ping}, indent=1))
    assert main(["run", str(job)]) == 78
    told_err = capfd.readouterr().err
    assert said in told_err and CANARY not in told_err


def test_status_reports_when_no_run_has_finished_for_too_long(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job.write_text(json.dumps(json.loads(job.read_text()) | {"expect_every": "26 hours"}))
    assert main(["status", str(job)]) == 3
    assert "no run has finished yet, and one is expected every 26 hours" in capfd.readouterr().out
    assert main(["run", str(job)]) == 0
    capfd.readouterr()
    assert main(["status", str(job), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["stale"] is None
    _age(Path(".etl/state.db"), timedelta(days=3, hours=1))
    assert main(["status", str(job)]) == 3
    assert "the last finished run is 3 days old, and one is expected every 26 hours" in capfd.readouterr().out
    assert main(["status", str(job), "--json"]) == 3
    assert json.loads(capfd.readouterr().out)["stale"].startswith("the last finished run is 3 days old")


def test_a_run_with_a_limit_is_not_the_expected_run(job: Path, capfd: pytest.CaptureFixture[str]) -> None:
    job.write_text(json.dumps(json.loads(job.read_text()) | {"expect_every": "26 hours"}))
    assert main(["run", str(job), "--limit", "1"]) == 0
    assert main(["status", str(job)]) == 3
    assert "no run has finished yet" in capfd.readouterr().out


def _age(database: Path, by: timedelta) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE run SET finished_at = ?", ((datetime.now(UTC) - by).isoformat(),))
    connection.close()


# ---------------------------------------------------------------- what is shipped


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze: Debian's package systemd has it"
)
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in (ROOT / "jobs" / "systemd").iterdir():
        here = unit.read_text().replace("/srv/shop/.venv/bin/cio-etl", "/bin/true")
        (tmp_path / unit.name.replace("@", "@shop", 1)).write_text(here)
    units = sorted(str(path) for path in tmp_path.glob("cio-etl*"))
    assert len(units) == 3
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    ours = [line for line in verified.stderr.splitlines() if "cio-etl" in line and "cio_etl.target" not in line]
    assert (ours, verified.returncode) == ([], 0)


def test_a_service_that_never_finishes_fails_in_the_end(job: Path) -> None:
    unit = (ROOT / "jobs" / "systemd" / "cio-etl@.service").read_text()
    said = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    outage_s = load_job(job).destination.batch_budget_s
    start_s = _seconds(said["ExecStart"].split("--wait ")[1]) + outage_s + _seconds(said["RestartSec"])
    assert int(said["StartLimitBurst"]) * start_s < _seconds(said["StartLimitIntervalSec"])


def _seconds(text: str) -> float:
    return duration(text).total_seconds()


def test_the_commands_of_the_unit_and_of_the_crontab_exist() -> None:
    unit = (ROOT / "jobs" / "systemd" / "cio-etl@.service").read_text()
    crontab = re.search(r"(?m)^0 3 \* \* \* +cd \S+ && (.*)$", (ROOT / "jobs" / "README.md").read_text())
    assert crontab is not None
    for line in (re.search(r"(?m)^ExecStart=(.*)$", unit)[1], crontab[1]):  # type: ignore[index]
        options = [word for word in line.split() if word.startswith("--")]
        known = subprocess.run(
            [sys.executable, "-m", "cio_etl.cli", "run", "--help"], capture_output=True, text=True, env=environment()
        ).stdout
        known += subprocess.run(
            [sys.executable, "-m", "cio_etl.cli", "--help"], capture_output=True, text=True, env=environment()
        ).stdout
        assert options and [option for option in options if option not in known] == []
