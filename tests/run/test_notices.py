"""Whom a job tells how it goes hears it once for each change: of runs, replays and plans, against real servers."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import ConfigError, CredentialsRefused, EtlError, JobLocked, StateError
from cio_etl.model import Report
from cio_etl.rejects import replay, request_for_run
from cio_etl.report import Commands
from cio_etl.run import Caller, RunOptions
from cio_etl.run.ended import Ended
from cio_etl.run.notices import tell
from cio_etl.run.shares import share as share_of
from cio_etl.run.start import run_file
from cio_etl.sandbox import Faults
from tests.nightly_step import KEYS, Nights, person
from tests.notified import Hook, hook
from tests.running import environment, start

pytestmark = pytest.mark.slow

ALL = ["failed", "recovered", "stale", {"rejects": "40%"}, {"deviates": "50%"}]
JOB = Path("job.yaml")


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as running:
        yield running


@pytest.fixture
def job(nights: Nights, server: Hook) -> Nights:
    """A job that tells a signed webhook, with a good night's rows."""
    nights.step = {}
    nights.settings = {"notify": [{"webhook": "${HOOK}", "secret": "${HOOK_KEY}", "on": ALL}]}
    nights.write([person(1), person(2)])
    return nights


def night(hooked: Hook, keys: dict[str, str] | None = None, **options: Any) -> Report | EtlError:
    """Runs the job; how it ends."""
    environ = {**(KEYS if keys is None else keys), "HOOK": f"{hooked.url}/SECRET_PATH", "HOOK_KEY": "SECRET_KEY"}
    caller = Caller(commands=Commands("cio-etl run job.yaml"))
    try:
        return run_file(JOB, RunOptions(**options), caller, lambda: environ)
    except EtlError as error:
        return error


def test_five_failed_nights_are_one_notice_and_the_first_good_one_another(job: Nights, server: Hook) -> None:
    assert isinstance(night(server), Report) and server.kinds == []
    job.sandbox.set_faults(Faults(key_revoked_after=0))
    for _ in range(4):
        assert isinstance(night(server), EtlError)
    assert isinstance(night(server, keys={}), ConfigError)  # before there is a run: its keys are missing
    assert server.kinds == ["failed"]
    job.sandbox.set_faults(Faults())
    report = night(server)
    night(server)
    assert server.kinds == ["failed", "recovered"]
    failed, recovered = server.contents
    assert "refused the credentials" in failed["text"] and "exit code 77" in failed["text"]
    assert failed["commands"] == {"continue": "cio-etl run job.yaml"} and failed["run"]["status"] == "stopped"
    assert recovered["conditions"][0]["runs"] == 5 and ", 5 runs" in recovered["text"]
    assert recovered["since"] == failed["since"]
    assert isinstance(report, Report)
    written = json.loads(Path(f".etl/runs/{report.run_id}/report.json").read_text())
    told = {"job": "job", "channel": "webhook", "kind": "recovered", "sent": True, "reason": None}
    assert written["notices"] == [told] and report.notices[0].kind == "recovered"
    assert "webhook: recovered" in Path(f".etl/runs/{report.run_id}/report.html").read_text()
    for body in server.bodies:
        assert b"@example.com" not in body and b"sandbox" not in body and b"SECRET" not in body


def test_a_failure_before_there_is_a_run_is_told_and_a_held_job_is_none(job: Nights, server: Hook) -> None:
    loaded = load_job(JOB, KEYS)
    with state.hold(loaded.state_location, "job"):
        assert isinstance(night(server), JobLocked)
    assert server.kinds == []
    Path("rows.parquet").unlink()
    assert isinstance(night(server), EtlError)
    night(server, keys={})
    assert server.kinds == ["failed"] and server.contents[0]["commands"] == {"continue": "cio-etl run job.yaml"}


WRONG: dict[str, tuple[str, str]] = {
    "mapping.yaml": ('{"operation": "identfy", "identifiers": {"id": "id"}}', "operation"),
    "no YAML": ("operation: [", "mapping.yaml"),
    "source": ('{"steps": [{"name": "rows", "source": {"sql": "SECRET"}, "mapping": "mapping.yaml"}]}', "source"),
    "key": ('{"destination": {"site_id": "SECRET", "api_key": "SECRET"}}', "secrets are references only"),
    "limit": ('{"max_rejects": "SECRET"}', "max_rejects"),
}


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=list(WRONG))
def test_a_night_that_cannot_start_because_a_file_is_wrong_is_a_failure(
    text: str, told: str, job: Nights, server: Hook
) -> None:
    job.settings["metrics_file"] = "job.prom"
    job.write([person(1)])
    assert isinstance(night(server), Report) and _last_exit_code() == "0"
    file = Path("mapping.yaml") if "operation" in text else JOB
    good = file.read_text()
    file.write_text(text if file != JOB else json.dumps(json.loads(good) | json.loads(text)))
    assert isinstance(night(server, sandbox=True), ConfigError) and server.kinds == []
    for _ in range(2):
        assert isinstance(night(server), ConfigError)
    assert server.kinds == ["failed"] and _last_exit_code() == "78"
    (notice,) = server.contents
    assert told in notice["text"] and "exit code 78" in notice["text"]
    assert notice["commands"] == {"continue": "cio-etl run job.yaml"}
    assert b"SECRET" not in server.bodies[0]
    file.write_text(good)
    assert isinstance(night(server), Report) and server.kinds == ["failed", "recovered"]


def _last_exit_code() -> str:
    (code,) = re.findall(r"^cio_etl_last_exit_code\{.*\} (\d+)$", Path("job.prom").read_text(), re.MULTILINE)
    return str(code)


def test_trials_tell_nobody(job: Nights, server: Hook) -> None:
    Path("rows.parquet").unlink()
    assert isinstance(night(server, sandbox=True), EtlError)
    assert isinstance(night(server, limit=1), EtlError)
    assert server.kinds == []


def test_a_notice_that_cannot_be_sent_fails_no_run_is_told_in_the_report_and_sent_later(
    job: Nights, server: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    server.statuses = [404]
    job.write([person(1), person(2, id=None)])  # half of them are rejected
    report = night(server)
    assert isinstance(report, Report) and report.exit_code == 3
    (notice,) = report.notices
    assert (notice.kind, notice.sent, notice.reason) == ("rejects", False, "HTTP 404")
    page = Path(f".etl/runs/{report.run_id}/report.html").read_text()
    assert "webhook: rejects, not sent: HTTP 404" in page and "SECRET" not in page + caplog.text
    server.statuses, server.bodies = [200], []
    report = night(server)
    assert isinstance(report, Report) and server.kinds == ["rejects"] and report.notices[0].sent
    assert server.contents[0]["conditions"][0]["runs"] == 2


def test_a_secret_that_is_missing_is_told_in_the_report(job: Nights, server: Hook) -> None:
    job.write([person(1), person(2, id=None)])
    report = run_file(JOB, RunOptions(), Caller(), lambda: KEYS)
    assert (
        report.notices[0].reason == "the environment variable HOOK is not set; set it, or name its file with --env-file"
    )


def test_rows_that_deviate_from_the_last_runs_are_told(job: Nights, server: Hook) -> None:
    for _ in range(6):
        night(server)
    job.write([person(n) for n in range(9)])
    night(server)
    night(server)
    assert server.kinds == ["deviates"]
    assert "9 rows read, more than usual: 2 is the median of the last 6 runs" in server.contents[0]["text"]


def test_a_replay_is_told_by_its_own_name(job: Nights, server: Hook) -> None:
    job.write([person(1), person(2, email="2@@example.com"), person(3)])
    report = night(server)
    assert isinstance(report, Report)
    environ = {**KEYS, "HOOK": server.url, "HOOK_KEY": "k"}
    job.mapping = {**job.mapping, "attributes": {"plan": "plan"}}
    job.write([person(1), person(2, email="2@@example.com"), person(3)])
    loaded = load_job(JOB, environ)
    with closing(state.open_store(loaded.state_location)) as store:
        request = request_for_run(store, report.run_id)
    job.sandbox.set_faults(Faults(key_revoked_after=0))
    with pytest.raises(EtlError):
        replay(request, loaded, RunOptions(), Caller())
    assert [(each["kind"], each["job"]) for each in server.contents] == [("failed", "job.replay")]


# ---------------------------------------------------------------- stale


def age(days: int) -> None:
    """Makes every run of the state so many days older."""
    with closing(sqlite3.connect(".etl/state.db")) as database, database:
        at = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
        database.execute("UPDATE run SET finished_at = ?", (at,))


def test_a_job_that_nothing_starts_is_told_by_the_next_run_of_another_and_by_status(
    job: Nights, server: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.settings |= {"expect_every": "26 hours"}
    job.write([person(1)])
    night(server)
    age(days=2)
    other = json.loads(JOB.read_text())
    del other["notify"], other["expect_every"]
    mapping = Path(other["steps"][0]["mapping"])
    right = mapping.read_text()
    other["steps"][0]["mapping"] = "other_mapping.yaml"
    Path("other_mapping.yaml").write_text(right)
    Path("other.yaml").write_text(json.dumps(other))
    environ = {**KEYS, "HOOK": server.url, "HOOK_KEY": "k"}
    mapping.write_text(right.replace("identify", "identfy"))  # a job that cannot run is missed all the same
    reports = [run_file(Path("other.yaml"), RunOptions(), Caller(), lambda: environ) for _ in range(2)]
    assert [(each["kind"], each["job"], each["run"]) for each in server.contents] == [("stale", "job", None)]
    assert "the last finished run is 2 days old, and one is expected every 26 hours" in server.contents[0]["text"]
    assert [[each.job for each in report.notices] for report in reports] == [["job"], []]
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["status", "job.yaml"]) == 3 and server.kinds == ["stale"]
    mapping.write_text(right)
    night(server)
    assert server.kinds == ["stale", "recovered"]
    age(days=2)
    assert main(["status", "job.yaml"]) == 3 and server.kinds == ["stale", "recovered", "stale"]
    JOB.rename("gone.yaml")  # a job that is no more is not missed
    run_file(Path("other.yaml"), RunOptions(), Caller(), lambda: environ)
    assert server.kinds[3:] == []


def test_what_could_not_be_sent_when_a_job_ended_is_sent_by_the_next_end_of_another(job: Nights, server: Hook) -> None:
    job.settings |= {"max_rejects": 0}
    job.write([person(1, id=None)])
    other = json.loads(JOB.read_text())
    del other["notify"], other["max_rejects"]
    Path("other.yaml").write_text(json.dumps(other))
    away = {**KEYS, "HOOK": "http://127.0.0.1:9", "HOOK_KEY": "k"}
    with pytest.raises(EtlError):
        run_file(JOB, RunOptions(), Caller(), lambda: away)
    environ = away | {"HOOK": server.url}
    job.write([person(1)])
    reports = [run_file(Path("other.yaml"), RunOptions(), Caller(), lambda: environ) for _ in range(2)]
    assert [(each["kind"], each["job"]) for each in server.contents] == [("failed", "job")]
    assert "max_rejects" in server.contents[0]["text"]
    assert [[(each.job, each.sent) for each in report.notices] for report in reports] == [[("job", True)], []]


def test_many_stale_jobs_whose_channels_are_slow_are_told_at_once(job: Nights, server: Hook) -> None:
    job.settings |= {"expect_every": "26 hours", "notify": [{"command": ["sh", "-c", "sleep 1.5; echo {job} >> told"]}]}
    job.write([person(1)])
    names = [f"stale-{number}" for number in range(8)]
    for name in names:
        Path(f"{name}.yaml").write_text(JOB.read_text())
        run_file(Path(f"{name}.yaml"), RunOptions(), Caller(), lambda: KEYS)
    age(days=2)
    began = time.monotonic()
    run_file(JOB, RunOptions(), Caller(), lambda: KEYS)
    assert time.monotonic() - began < 8 and sorted(Path("told").read_text().split()) == names


# ---------------------------------------------------------------- kills, workers, a state that is out of reach


def test_killed_between_sending_and_recording_a_notice_is_told_twice_and_not_lost(job: Nights) -> None:
    kill = "cat >> told; echo >> told; [ -e killed ] || { touch killed; kill -9 $PPID; sleep 1; }"
    job.settings = {"notify": [{"command": ["sh", "-c", kill]}], "max_rejects": 0}
    job.write([person(1, id=None)])
    codes = []
    for _ in range(3):
        process = start("run", "job.yaml", folder=Path(), env=environment() | KEYS)
        process.communicate(timeout=60)
        codes.append(process.returncode)
    assert codes == [-signal.SIGKILL, 4, 4]
    told = [json.loads(line) for line in Path("told").read_text().splitlines()]
    assert [each["kind"] for each in told] == ["failed", "failed"]
    assert told[0]["id"] == told[1]["id"]


def test_workers_of_one_run_that_end_at_once_send_one_notice(job: Nights, server: Hook) -> None:
    job.sandbox.set_faults(Faults(key_revoked_after=0))
    environ = {**KEYS, "HOOK": server.url, "HOOK_KEY": "k"}
    job.settings["notify"][0]["on"] = ["recovered", "stale", "failed"]
    job.write([person(1)])
    loaded = load_job(JOB, environ)
    night(server)
    server.bodies.clear()
    with closing(sqlite3.connect(".etl/state.db")) as database, database:
        database.execute("DELETE FROM notice")
    with closing(state.open_store(loaded.state_location)) as store:
        report = state.build_report(store, store.runs("job")[0])
    error = StateError(place="database", what="gone")
    ended = Ended(loaded, RunOptions(), Commands(), report, error, datetime.now(UTC))
    workers = [threading.Thread(target=tell, args=(ended,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert server.kinds == ["failed"] and server.contents[0]["conditions"][0]["runs"] == 1
    share, credentials = RunOptions(lanes=share_of("0-1/4")), CredentialsRefused(host="h", status=401)
    running = replace(ended, report=replace(report, status="running"), options=share, error=credentials)
    assert tell(running) is running.report and server.kinds == ["failed"]


def test_a_state_that_cannot_record_that_the_run_has_failed_is_told(job: Nights, server: Hook) -> None:
    job.settings["notify"][0]["on"] = ["failed", "recovered"]
    night(server)
    with closing(sqlite3.connect(".etl/state.db")) as database, database:  # as on a full disk: no room for either
        for change in ("INSERT ON reject", "UPDATE ON run"):
            name = change.split()[-1]
            database.execute(f"CREATE TRIGGER no_{name} BEFORE {change} BEGIN SELECT RAISE(ABORT, 'no room'); END")
    job.write([person(1, id=None)])
    for _ in range(2):
        assert isinstance(night(server), StateError)
    with closing(sqlite3.connect(".etl/state.db")) as database:
        assert database.execute("SELECT status FROM run").fetchall() == [("finished",), ("running",)]
        database.execute("DROP TRIGGER no_run")
        database.execute("DROP TRIGGER no_reject")
    night(server)
    assert server.kinds == ["failed", "recovered"] and server.contents[1]["conditions"][0]["runs"] == 2


def test_a_state_that_is_out_of_reach_is_told_each_time(job: Nights, server: Hook) -> None:
    job.settings["state"] = {"database": "${DB}"}
    job.write([person(1)])
    keys = {**KEYS, "DB": "postgresql://nobody:SECRET_PASSWORD@127.0.0.1:1/none"}
    for _ in range(2):
        assert isinstance(night(server, keys=keys), StateError)
    assert server.kinds == ["failed", "failed"] and b"SECRET" not in b"".join(server.bodies)


# ---------------------------------------------------------------- the command


def test_notify_prints_the_channels_and_tries_them(
    job: Nights, server: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["notify", "job.yaml"]) == 0
    shown = capsys.readouterr().out
    said = "webhook: failed, recovered, stale, rejects above 40 %, rows that deviate by 50 %; the environment"
    assert shown.startswith(said)
    main(["doctor", "job.yaml", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    (found,) = (each for each in findings if each["subject"] == "notify webhook")
    assert (found["level"], found["exit_code"]) == ("warning", 0)  # it stops no run
    assert found["found"].startswith("the environment variable HOOK") and "--test" in found["remedy"]
    monkeypatch.setenv("HOOK", server.url)
    monkeypatch.setenv("HOOK_KEY", "k")
    assert main(["notify", "job.yaml", "--test"]) == 0 and capsys.readouterr().out == "webhook: sent\n"
    assert server.kinds == ["test"] and not Path(".etl/state.db").exists()
    server.statuses = [410]
    assert main(["notify", "job.yaml", "--test", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)[0]["reason"] == "HTTP 410"
    job.settings["notify"] = []
    job.write([person(1)])
    assert main(["notify", "job.yaml"]) == 0 and "job tells nobody" in capsys.readouterr().out
