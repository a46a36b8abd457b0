"""What Customer.io has is compared with what was sent: by the command, and after each run; against the sandbox."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import cio_etl
from cio_etl.cli import main
from cio_etl.cli.commands import verify_commands
from cio_etl.doctor import examine
from cio_etl.errors import ConfigError, CredentialsRefused, EtlError
from cio_etl.model import Report, Verification
from cio_etl.report import Commands
from cio_etl.run import Caller, RunOptions, Signals, ending_run, load_run
from cio_etl.run.ended import Ended
from cio_etl.run.options import repeated_words
from cio_etl.run.start import run_file, run_within
from cio_etl.run.verify.sample import NOT_SENT, REJECTED, REMOVED
from cio_etl.run.verify_options import VerifyOptions
from cio_etl.run.verifying import _write, verify_file
from cio_etl.sandbox import Faults
from tests import databases
from tests.nightly_step import EVENTS, KEYS, PEOPLE, Nights, order, person
from tests.notified import Hook, hook
from tests.sandbox_client import AUTH, identify, send

pytestmark = pytest.mark.slow

APP_KEY = "APP_KEY_OF_THE_TESTS"
ALL_KEYS = {**KEYS, APP_KEY: "sandbox"}
WITH_KEY = {"app_api_key": f"${{{APP_KEY}}}"}
JOB = Path("job.yaml")
MANY = [person(n) for n in range(1, 201)]


@pytest.fixture
def job(nights: Nights) -> Nights:
    nights.step = {}
    nights.settings = {"destination": WITH_KEY}
    return nights


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as running:
        yield running


def run(job: Nights, rows: Sequence[dict[str, Any]], **options: Any) -> Report:
    job.write(rows)
    environ = lambda: ALL_KEYS  # noqa: E731
    return run_file(JOB, RunOptions(**options), Caller(commands=Commands("cio-etl run job.yaml")), environ)


def verified(**options: Any) -> Verification:
    waits: list[float] = []
    return verify_file(JOB, VerifyOptions(**options), environment=lambda: ALL_KEYS, sleep=waits.append)


def found(result: Verification) -> tuple[int, int, int, dict[str, int]]:
    return result.checked, result.missing, result.differing, {each.attribute: each.people for each in result.attributes}


def elsewhere(job: Nights, number: int, **attributes: Any) -> None:
    """Another system changes a person."""
    with httpx.Client(auth=AUTH) as client:
        assert send(client, job.sandbox, identify(str(number), **attributes)).status_code == 200


@pytest.mark.parametrize("api", ["track", "pipelines"])
def test_everybody_is_as_they_were_sent(job: Nights, api: str) -> None:
    job.settings["destination"] = WITH_KEY | {"api": api}
    run(job, MANY)
    result = verified()
    assert found(result) == (200, 0, 0, {}) and result.is_whole and result.most_differ == 0
    few = verified(sample=50)
    assert found(few) == (50, 0, 0, {}) and not few.is_whole
    assert few.most_differ == pytest.approx(1 - 0.05 ** (1 / 50))


@pytest.mark.parametrize("api", ["track", "pipelines"])
def test_what_was_accepted_and_dropped_is_missing(job: Nights, api: str) -> None:
    job.settings["destination"] = WITH_KEY | {"api": api}
    job.sandbox.set_faults(Faults(seed=2, dropped=0.1))
    assert run(job, MANY).rejected == 0
    dropped = 200 - len(job.sandbox.people)
    assert dropped and found(verified()) == (200, dropped, 0, {})
    part = verified(sample=100)
    assert part.most_differ is not None and part.different / 100 < part.most_differ < 0.3
    assert part.missing_examples == () and len(verified(reveal=True).missing_examples) == min(dropped, 5)


def test_what_another_system_changed_differs_by_its_name_and_without_values(job: Nights) -> None:
    run(job, MANY)
    elsewhere(job, 7, plan="SECRET", city="SECRET")
    elsewhere(job, 8, plan="SECRET", more="is not ours")
    result = verified()
    assert found(result) == (200, 0, 2, {"plan": 2, "city": 1})
    assert "SECRET" not in json.dumps(result.as_json())
    revealed = json.dumps(verified(reveal=True).as_json())
    assert 'id 8: sent \\"free\\", there \\"SECRET\\"' in revealed


def test_nulls_numbers_booleans_and_times_are_compared_as_customer_io_has_them(job: Nights) -> None:
    job.mapping = PEOPLE | {
        "nulls": "clear",
        "attributes": {
            "city": "city",
            "n": {"column": "plan", "apply": ["number"]},
            "created_at": {"column": "at", "apply": ["timestamp"]},
            "yes": {"value": True},
        },
    }
    elsewhere(job, 1, city="Rome")
    rows = [person(n, city=None, plan="1.50", at="2024-03-10T09:00:00Z") for n in (1, 2)]
    run(job, rows)
    assert found(verified()) == (2, 0, 0, {})
    elsewhere(job, 1, city="back", n=1.5001, yes=False, created_at=1_710_061_201)
    assert found(verified()) == (2, 0, 1, {"city": 1, "n": 1, "yes": 1, "created_at": 1})


def test_rows_that_are_rejected_or_only_change_who_is_there_are_not_missing(job: Nights) -> None:
    job.mapping = PEOPLE | {"existing_only": True}
    elsewhere(job, 1, plan="old")
    run(job, [person(1), person(2), person(3, email="no@@address")])
    result = verified()
    assert found(result) == (1, 0, 0, {})
    assert list(result.not_compared.values()) == [1] and "do not exist" in next(iter(result.not_compared))


def test_steps_of_events_are_named_as_not_compared(job: Nights) -> None:
    job.mapping = EVENTS
    run(job, [order(1)])
    result = verified()
    assert (result.checked, result.people, result.most_differ) == (0, 0, None)
    assert result.left_out == ("step rows: not compared: it sends events, and only people are read back",)


def test_a_damaged_ledger_is_named_with_the_commands_that_go_on(
    job: Nights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.step = {"sync": "changed"}
    run(job, MANY)
    (piece,) = Path(".etl/ledger").rglob("*.parquet")
    piece.write_bytes(b"no parquet")
    for name, value in ALL_KEYS.items():
        monkeypatch.setenv(name, value)
    assert main(["verify", "job.yaml", "--seed=2"]) == 74
    _, commands = capsys.readouterr().err.splitlines()[-1].split("; then: ")
    assert commands == "cio-etl run job.yaml --rebuild-ledger; cio-etl verify job.yaml --seed=2"
    for command in commands.split("; "):
        assert main(command.split()[1:]) == 0


@pytest.mark.parametrize("option", ["--seed", "--sample"])
def test_a_number_that_no_hash_takes_is_refused_as_an_option(
    job: Nights, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    job.write(MANY)
    assert main(["verify", "job.yaml", option, "9" * 23]) == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err


def test_with_a_ledger_only_what_was_acknowledged_is_compared(job: Nights) -> None:
    job.step = {"sync": "changed"}
    run(job, MANY)
    assert found(verified()) == (200, 0, 0, {})
    job.write([person(1, plan="pro"), *MANY[1:], person(999)])  # not sent yet
    result = verified()
    assert found(result) == (200, 0, 0, {}) and sum(result.not_compared.values()) == 1
    elsewhere(job, 1, city="Oslo")
    elsewhere(job, 2, plan="pro")
    with httpx.Client(auth=AUTH) as client:
        delete = {"type": "person", "action": "delete", "identifiers": {"id": "3"}}
        send(client, job.sandbox, delete)
    assert found(verified()) == (200, 1, 2, {"city": 1, "plan": 1})


def test_a_ledger_that_is_empty_has_nothing_to_compare(job: Nights) -> None:
    job.step = {"sync": "changed"}
    job.write(MANY[:3])
    result = verified()
    assert (result.checked, sum(result.not_compared.values())) == (0, 3)


def test_of_an_unfinished_run_only_the_rows_that_it_has_sent_are_compared(
    job: Nights, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    job.settings["destination"] |= {"max_batch_bytes": 32_100, "lanes": 3}
    rows = [person(number, city=f"{number:0900}") for number in range(200)]
    job.sandbox.set_faults(Faults(key_revoked_after=2))
    with pytest.raises(CredentialsRefused):
        run(job, rows)
    there = len(job.sandbox.people.everybody())
    assert 0 < there < 200
    code, out, err = command(capsys)
    assert (code, f"{200 - there} people not compared: {NOT_SENT}" in out) == (0, True), out
    assert f"only {there} of 200 rows are settled" in err and "accepted" not in out
    job.write([*rows, person(200)])
    code, out, err = command(capsys)
    assert code == 0 and "0 people of 201 read back" in out and "its source is not what it was then" in err
    job.sandbox.set_faults(Faults())
    run(job, rows)
    assert found(verified()) == (200, 0, 0, {})


def test_a_trial_with_a_limit_has_sent_its_first_rows_only(job: Nights) -> None:
    run(job, MANY, limit=20)
    result = verified()
    assert found(result) == (20, 0, 0, {}) and result.not_compared == {NOT_SENT: 180}
    run(job, MANY)
    run(job, MANY, limit=20)
    assert found(verified()) == (200, 0, 0, {})


def test_who_was_rejected_by_customer_io_is_not_said_to_be_accepted(job: Nights) -> None:
    job.sandbox.set_faults(Faults(seed=3, refused=0.1))
    refused = run(job, MANY).rejected
    assert refused and verified().not_compared == {REJECTED: refused} and verified().missing == 0


def test_two_steps_of_one_person_are_compared_by_the_last_value(job: Nights) -> None:
    job.write(MANY[:3])
    other = dict(PEOPLE, attributes={"plan": {"value": "gold"}})
    Path("other.yaml").write_text(json.dumps(other))
    content = json.loads(JOB.read_text())
    content["steps"].append({"name": "gold", "source": {"parquet": "rows.parquet"}, "mapping": "other.yaml"})
    JOB.write_text(json.dumps(content))
    run_file(JOB, RunOptions(), Caller(), lambda: ALL_KEYS)
    assert found(verified()) == (3, 0, 0, {})
    elsewhere(job, 1, plan="free")
    assert found(verified()) == (3, 0, 1, {"plan": 1})
    assert found(verified(steps=["rows"])) == (3, 0, 2, {"plan": 2})  # the step alone says: free


# ---------------------------------------------------------------- the command


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(["verify", "job.yaml", "--wait=0s", *words]))
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ALL_KEYS.items():
        monkeypatch.setenv(name, value)


def test_the_command_prints_what_differs_and_exits_with_3(
    job: Nights, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run(job, MANY[:20])
    code, out, err = command(capsys)
    assert (code, err) == (0, "") and "20 people of 20 read back" in out and "all people were compared" in out
    elsewhere(job, 7, plan="SECRET")
    code, out, _ = command(capsys, "--sample=20", "--seed=5")
    assert code == 3 and "1 person with other values: plan of 1" in out and "SECRET" not in out
    again = next(line for line in out.splitlines() if "--reveal" in line).split()
    assert again[1:] == ["cio-etl", "verify", "job.yaml", "--sample=20", "--seed=5", "--wait=0.0", "--reveal"]
    code, out, _ = command(capsys, *again[4:])
    assert code == 3 and "SECRET" in out
    assert repeated_words(VerifyOptions()) == [], "what is the default anyway"
    code, out, _ = command(capsys, "--json")
    content = json.loads(out)
    assert (code, content["differing"], content["attributes"]) == (3, 1, [{"attribute": "plan", "people": 1}])


def test_people_of_a_job_that_never_ran_are_not_said_to_be_accepted(
    job: Nights, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write(MANY[:3])
    code, out, err = command(capsys, "--reveal")
    assert (code, err) == (3, "step rows: no run in this state has sent its rows\n")
    assert "3 people not there\n" in out and "accepted" not in out
    assert "step rows: no run in this state has sent its rows" in out
    assert "send them  cio-etl run job.yaml\n" in out
    run(job, MANY[:3])
    code, out, _ = command(capsys)
    assert code == 0 and "no run in this state" not in out and "cio-etl run" not in out
    job.sandbox.set_faults(Faults(dropped=1.0))
    run(job, MANY[:4])
    code, out, _ = command(capsys)
    assert code == 3 and "1 person not there, though Customer.io accepted them" in out


def test_the_command_run_prints_what_was_read_back_and_the_command_that_shows_more(
    job: Nights, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    job.settings["verify"] = {"people": 100, "wait": "0s"}
    job.sandbox.set_faults(Faults(dropped=1.0))
    job.write(MANY[:5])
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(["run", "job.yaml"]))
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0 and "verified   5 people of 5 read back" in lines
    assert "           5 people not there, though Customer.io accepted them" in lines
    assert "verify     cio-etl verify job.yaml" in lines


def test_the_function_of_python_returns_what_was_found_and_prints_nothing(
    job: Nights, capfd: pytest.CaptureFixture[str]
) -> None:
    run(job, MANY)
    elsewhere(job, 7, plan="other")
    capfd.readouterr()
    result = cio_etl.verify(JOB, environment=ALL_KEYS, sample=500, wait=0)
    assert isinstance(result, cio_etl.Verification) and found(result) == (200, 0, 1, {"plan": 1})
    assert capfd.readouterr() == ("", "")
    with pytest.raises(cio_etl.ConfigError, match="app_api_key: missing"):
        job.settings = {}
        job.write(MANY)
        cio_etl.verify(JOB, environment=ALL_KEYS)


def test_a_missing_key_is_reported_with_place_fault_and_remedy(
    job: Nights, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    job.settings = {}
    job.write(MANY[:1])
    code, _, err = command(capsys)
    assert code == 78
    assert "job.yaml: destination.app_api_key: missing; write app_api_key: ${CUSTOMERIO_APP_API_KEY}" in err
    job.settings = {"verify": 10}
    job.write(MANY[:1])
    with pytest.raises(ConfigError, match=r"verify: reads people back, which needs app_api_key: \$\{CUSTOMERIO_APP"):
        run(job, MANY[:1])


def test_a_wrong_key_ends_the_command_with_two_lines(
    job: Nights, keys: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(job, MANY[:1])
    monkeypatch.setenv(APP_KEY, "WRONG")
    code, out, err = command(capsys)
    lines = err.strip().splitlines()
    assert (code, out, len(lines)) == (77, "", 2) and "app_api_key" in lines[1] and "WRONG" not in err


def test_doctor_checks_the_key(job: Nights, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    job.write(MANY[:1])
    checks = {each.subject: each for each in examine(JOB, "cio-etl run job.yaml")}
    assert checks["App API"].level == "ok" and "accepts the App API key" in checks["App API"].found
    monkeypatch.setenv(APP_KEY, "WRONG")
    checks = {each.subject: each for each in examine(JOB, "cio-etl run job.yaml")}
    assert checks["App API"].level == "wrong" and "app_api_key" in checks["App API"].remedy
    job.settings = {}
    job.write(MANY[:1])
    assert "App API" not in {each.subject for each in examine(JOB, "cio-etl run job.yaml")}


# ---------------------------------------------------------------- after a run


@pytest.fixture
def verifying(job: Nights) -> Nights:
    job.settings["verify"] = {"people": 100, "wait": "0s"}
    return job


def test_a_run_reads_back_the_people_that_it_has_sent(verifying: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(verifying, MANY)
    assert report.verification is not None and report.exit_code == 0
    assert found(report.verification) == (100, 0, 0, {})
    content = json.loads(next(Path(".etl/runs").glob("*/report.json")).read_text())
    assert content["verification"]["checked"] == 100
    page = next(Path(".etl/runs").glob("*/report.html")).read_text()
    assert "Read back from Customer.io" in page and "100 people of about" in page


def test_of_several_workers_the_report_has_what_the_one_with_the_most_differences_found(
    verifying: Nights, postgres: databases.Database
) -> None:
    state = {"database": "${STATE_OF_THE_TESTS}", "folder": "etl"}
    verifying.settings |= {"state": state}
    verifying.write(MANY)
    environ = lambda: ALL_KEYS | {"STATE_OF_THE_TESTS": postgres.address}  # noqa: E731
    verifying.sandbox.set_faults(Faults(seed=2, dropped=0.1))
    caller = Caller(commands=Commands("cio-etl run job.yaml"))
    report = run_file(JOB, RunOptions(run_id="night", lanes="0-15/16"), caller, environ)
    assert report.verification is not None and report.verification.missing
    job = load_run(JOB, RunOptions(), environ)
    for missing, written in ((0, report.verification.missing), (200, 200)):
        other = replace(report, verification=replace(report.verification, missing=missing))
        ended = Ended(job, RunOptions(lanes="0-7/16"), caller.commands, other, None, datetime.now(UTC))
        _write(job, ended, other)
        content = json.loads(Path("etl/runs/job-night/report.json").read_text())
        assert content["verification"]["missing"] == written


def test_differences_do_not_fail_the_run(verifying: Nights) -> None:
    verifying.sandbox.set_faults(Faults(seed=2, dropped=0.2))
    report = run(verifying, MANY[:50])
    assert report.verification is not None
    assert (report.status, report.exit_code) == ("finished", 0)
    assert report.verification.missing == 50 - len(verifying.sandbox.people) > 0


def test_rows_that_customer_io_rejected_are_not_compared(verifying: Nights) -> None:
    verifying.sandbox.set_faults(Faults(seed=2, refused=0.2))
    report = run(verifying, MANY[:50])
    assert report.verification is not None and report.rejected > 0
    assert found(report.verification) == (50 - report.rejected, 0, 0, {})
    assert report.verification.not_compared == {"rejected by Customer.io": report.rejected}


def test_a_night_that_sends_nothing_reads_nothing_back(verifying: Nights) -> None:
    verifying.step = {"sync": "changed"}
    assert run(verifying, MANY[:5]).verification is not None
    assert run(verifying, MANY[:5]).verification is None
    changed = run(verifying, [person(1, plan="pro"), *MANY[1:5]]).verification
    assert changed is not None and found(changed) == (1, 0, 0, {})


def test_an_app_api_that_refuses_is_a_part_of_the_report(verifying: Nights) -> None:
    verifying.write(MANY[:5])
    environ = ALL_KEYS | {APP_KEY: "WRONG"}
    report = run_file(JOB, RunOptions(), Caller(), lambda: environ)
    assert report.verification is not None and report.verification.fault is not None
    assert (report.status, report.exit_code, len(verifying.sandbox.people)) == ("finished", 0, 5)
    assert "refused the credentials" in report.verification.fault and "WRONG" not in report.verification.fault


def test_a_signal_ends_the_reading_and_not_the_run_that_has_finished(verifying: Nights) -> None:
    verifying.settings["verify"] = {"people": 10, "wait": "10m"}
    verifying.write(MANY[:5])
    job = load_run(JOB, RunOptions(), lambda: ALL_KEYS)
    with Signals() as signals, ending_run(job, RunOptions(), Caller(signals=signals)) as run_:
        run_.report = run_within(job, RunOptions(), run_.caller)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert run_.report is not None and (run_.report.status, run_.report.exit_code) == ("finished", 0)
    assert run_.report.verification is not None and "SIGTERM" in str(run_.report.verification.fault)


@pytest.mark.parametrize("api", ["track", "pipelines"])
def test_people_are_found_by_the_identifier_of_their_mapping(verifying: Nights, api: str) -> None:
    verifying.settings["destination"] = WITH_KEY | {"api": api}
    verifying.mapping = PEOPLE | {"identifiers": {"email": "email"}, "attributes": {"plan": "plan"}}
    report = run(verifying, [person(n, email=f"Ann+{n}@Example.com") for n in range(1, 30)])
    assert report.verification is not None and found(report.verification) == (29, 0, 0, {})
    elsewhere(verifying, 0, email="ann+7@example.com", plan="other")  # the id 0 becomes that person's
    assert found(verified()) == (29, 0, 1, {"plan": 1})


def test_who_is_deleted_by_a_change_record_is_not_missing(verifying: Nights) -> None:
    verifying.mapping = PEOPLE | {
        "operation": {"column": "plan", "map": {"free": "identify", "gone": "delete"}},
        "attributes": {"city": "city"},
    }
    report = run(verifying, [person(1), person(2), person(2, plan="gone"), person(3)])
    assert report.verification is not None and found(report.verification) == (2, 0, 0, {})
    assert list(report.verification.not_compared) == [REMOVED]


def test_who_was_merged_into_somebody_else_is_not_missing(job: Nights) -> None:
    """An address of the merge is written in another case than that of the person's own row."""
    job.mapping = PEOPLE | {"identifiers": {"email": "email"}, "attributes": {"plan": "plan"}}
    job.write([person(n) for n in (1, 2, 3)])
    Path("merges.csv").write_text("keep,gone\n1@example.com,2@EXAMPLE.com\n")
    merge = {"operation": "merge", "primary": {"email": "keep"}, "secondary": {"email": "gone"}}
    Path("merge.yaml").write_text(json.dumps(merge))
    written = json.loads(JOB.read_text())
    written["steps"].append({"name": "merges", "source": {"csv": "merges.csv"}, "mapping": "merge.yaml"})
    JOB.write_text(json.dumps(written))
    assert run_file(JOB, RunOptions(), Caller(), lambda: ALL_KEYS).rejected == 0
    result = verified()
    assert found(result) == (2, 0, 0, {})
    assert result.not_compared == {REMOVED: 1} and result.left_out == ()


def test_a_run_in_the_sandbox_of_its_own_reads_nothing_back(verifying: Nights) -> None:
    assert run(verifying, MANY[:2], sandbox=True).verification is None


def test_one_notice_is_sent_when_differences_begin_and_one_when_they_are_over(verifying: Nights, server: Hook) -> None:
    on = ["failed", "recovered", "verify_differs"]
    verifying.settings["notify"] = [{"webhook": "${HOOK}", "secret": "${HOOK_KEY}", "on": on}]
    environ = {**ALL_KEYS, "HOOK": server.url, "HOOK_KEY": "SECRET_KEY"}

    def night() -> Report | EtlError:
        commands = Commands("cio-etl run job.yaml", lambda report: verify_commands(report, JOB))
        return run_file(JOB, RunOptions(), Caller(commands=commands), lambda: environ)

    verifying.write(MANY[:20])
    night()
    assert server.kinds == []
    verifying.sandbox.set_faults(Faults(dropped=1.0))
    verifying.write([person(n) for n in range(300, 305)])
    night()
    night()
    assert server.kinds == ["verify_differs"]
    (told,) = server.contents
    assert told["title"] == "job: Customer.io has other data than was sent"
    assert "5 people not there, though Customer.io accepted them" in told["text"] and "since 20" in told["text"]
    assert told["commands"]["verify"] == "cio-etl verify job.yaml"
    verifying.sandbox.set_faults(Faults())
    night()
    night()
    assert server.kinds == ["verify_differs", "recovered"]
    assert "Customer.io had other data than was sent from 20" in server.contents[1]["text"]


def test_no_value_reaches_a_log_a_report_or_the_state(
    verifying: Nights, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    verifying.sandbox.set_faults(Faults(dropped=1.0))
    run(verifying, [person(1, plan="SECRET_VALUE")])
    printed = capfd.readouterr()
    files = [path.read_bytes() for path in Path(".etl").rglob("*") if path.is_file()]
    assert not any(b"SECRET_VALUE" in content or b"1@example.com" in content for content in files)
    assert "SECRET_VALUE" not in printed.out + printed.err + caplog.text


def test_a_wrong_credential_of_the_run_itself_is_not_hidden(verifying: Nights) -> None:
    verifying.write(MANY[:2])
    with pytest.raises(CredentialsRefused):
        run_file(JOB, RunOptions(), Caller(), lambda: ALL_KEYS | dict.fromkeys(KEYS, "no"))
