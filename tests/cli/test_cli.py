"""The command line: commands, exit codes, and what goes to stdout and to stderr."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import httpx
import polars as pl
import pytest

from cio_etl import state
from cio_etl.cli import cli, main
from cio_etl.config import load_job
from cio_etl.run import open_step
from cio_etl.sandbox import Faults, Sandbox
from tests import databases
from tests.running import API_KEY, SITE_ID, environment, start, write_job
from tests.ui.shop import pages_of

Captured = pytest.CaptureFixture[str]

MAPPING = {
    "operation": "identify",
    "identifiers": {"id": "id"},
    "attributes": {"email": "e_mail", "name": "name"},
}
ROWS = ["1,a@b.co,Zoë", "2,b@@b.co,=cmd()", "3,c@b.co,Mia"]  # the second one is bad
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    "csv": pl.read_csv,
    "parquet": pl.read_parquet,
    "ndjson": pl.read_ndjson,
}
PROJECT = Path(__file__).parents[2]
DOTALL = re.DOTALL | re.MULTILINE
EXIT_CODES = {0, 1, 2, 3, 4, 65, 69, 74, 75, 77, 78, 130, 143}  # the documented ones


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SITE_ID, API_KEY):
        monkeypatch.setenv(name, "sandbox")


@pytest.fixture
def job(sandbox: Sandbox) -> Iterator[str]:
    """A job of three rows, one of them bad, in the folder that the test runs in."""
    write_rows(*ROWS)
    write_mapping(example="wrong")
    yield write_job(
        Path("job.yaml"), sandbox.url, {"people": ({"csv": "people.csv"}, "people.yaml")}, max_rejects=2
    ).name


def write_rows(*rows: str) -> None:
    Path("people.csv").write_text("\n".join(["id,e_mail,name", *rows, ""]))


def write_mapping(example: str = "right") -> None:
    row = {"id": None if example == "right" else "1", "e_mail": None, "name": "A"}
    examples = [{"row": row, "rejected": "identifier_missing"}]
    Path("people.yaml").write_text(json.dumps(MAPPING | {"examples": examples}))


def commands() -> list[tuple[str, ...]]:
    return [(), *((name,) for name in sorted(cli.commands))]


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help(command: tuple[str, ...], capsys: Captured) -> None:
    assert main([*command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: cio-etl {' '.join(command)}") and err == ""
    assert main([*command, "-h"]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_the_help_names_a_section_of_the_documents_that_shows_the_command(command: str) -> None:
    named = re.fullmatch(r"More: ([\w/]*README\.md), (.+)", cli.commands[command].epilog or "")
    assert named is not None
    pages = re.sub(
        r"^```.*?^```", lambda block: block[0].replace("\n#", "\n"), (PROJECT / named[1]).read_text(), flags=DOTALL
    )
    shown = re.search(rf"^(##+) {re.escape(named[2])}\n(.*?)(?=^##+ |\Z)", pages, DOTALL)
    assert shown is not None and re.search(rf"\bcio-etl( --\S+ \S+)* {command}\b", shown[2])


def test_every_option_of_every_command_has_help() -> None:
    for name, command in cli.commands.items():
        assert command.help, name
        for option in command.params:
            assert isinstance(option, click.Argument) or getattr(option, "help", None), f"{name} {option.name}"


def test_the_help_lists_every_exit_code(capsys: Captured) -> None:
    main(["--help"])
    listed = capsys.readouterr().out.split("Exit codes:")[1]
    assert set(map(int, re.findall(r"(?:^|  |, )(\d+)(?=,|  )", listed, re.MULTILINE))) == EXIT_CODES


def test_version_prints_the_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"cio-etl, version \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["walk"], "No such command 'walk'"),
        (["run"], "Missing argument 'JOB'"),
        (["run", "job.yaml", "--limit", "0"], "--limit"),
        (["run", "job.yaml", "--step", "nobody"], "job.yaml has no step 'nobody'; it has people"),
        (["rejects", "no-such-run", "-o", "out.csv"], ".etl holds no state; name the folder with --state"),
        (["sandbox", "--host", "0.0.0.0"], "a loopback address only"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_names_the_fault(
    job: str, arguments: list[str], said: str, capsys: Captured
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err


# ---------------------------------------------------------------- run


def test_a_run_reports_on_stdout_and_logs_on_stderr(job: str, capsys: Captured) -> None:
    assert main(["run", job]) == 3
    out, err = capsys.readouterr()
    assert "finished: 2 rows accepted, 1 rejected" in out
    assert "email_malformed in attributes.email at people.csv:3" in out
    assert re.search(r"rejects +cio-etl rejects job-\w+ -o rejects\.csv", out)
    assert "run_started" in err and "run_finished" in err and "run_" not in out


def test_with_json_stdout_is_the_report_and_nothing_else(job: str, capsys: Captured) -> None:
    assert main(["run", job, "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(Path(".etl/runs", report["run_id"], "report.json").read_text())
    (step,) = report["steps"]
    assert step["rows_read"] == step["accepted"] + step["rejected"] + step["skipped"] == 3
    (malformed,) = step["rejects"]
    assert malformed.pop("since") is None  # no earlier run rejected the row
    wanted = {"reason": "email_malformed", "field": "attributes.email", "rows": 1, "first_rows": ["people.csv:3"]}
    assert malformed == wanted


def test_log_lines_can_be_json(job: str, capsys: Captured) -> None:
    main(["--log-format", "json", "run", job])
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["run_started", "run_finished"]
    assert {line["level"] for line in lines} == {"info"}


def test_a_run_without_rejects_exits_with_0(job: str, sandbox: Sandbox, capsys: Captured) -> None:
    write_rows("1,a@b.co,Zoë")
    assert main(["run", job]) == 0
    assert sandbox.people.find("id", "1") is not None


@pytest.mark.parametrize(
    ("break_it", "exit_code", "first", "last"),
    [
        (
            "max_rejects",
            4,
            r"step people: 1 row rejected, more than .* \(0 rows\); .*: email_malformed",
            "max_rejects",
        ),
        ("source", 65, r"people\.csv: cannot be read: No such file", "then: cio-etl run job.yaml"),
        ("state", 74, r"people\.csv: File exists", "cio-etl run job.yaml"),
        ("lock", 75, r"another run holds the job job: process \d+ on", "wait until it has finished"),
        (
            "key",
            77,
            r"127\.0\.0\.1:\d+ refused the credentials \(HTTP 401\)",
            "a Track API key of one workspace; then: cio-etl run job.yaml",
        ),
        (
            "address",
            78,
            r"127\.0\.0\.1:\d+ is not this API of Customer.io: it answers with HTTP 404",
            "cio-etl run job.yaml",
        ),
        ("mapping", 78, r"people\.yaml:2: nuls: unknown key; did you mean 'nulls'", "people.yaml:3: wen: unknown"),
    ],
)
def test_a_failure_is_printed_with_its_fault_and_remedy(
    job: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    break_it: str,
    exit_code: int,
    first: str,
    last: str,
) -> None:
    held = None
    match break_it:
        case "max_rejects" | "state":
            change = {"max_rejects": 0} if break_it == "max_rejects" else {"state": "people.csv"}
            Path(job).write_text(json.dumps(json.loads(Path(job).read_text()) | change))
        case "source":
            Path("people.csv").unlink()
        case "lock":
            held = state.hold(Path(".etl"), "job")
            held.__enter__()
        case "key":
            monkeypatch.setenv(API_KEY, "another")
        case "address":
            sandbox.set_faults(Faults(rates={"404": 1.0}))
        case "mapping":
            Path("people.yaml").write_text("{operation: identify, identifiers: {id: id},\n nuls: omit,\n wen: x}")
    assert main(["run", job]) == exit_code
    if held is not None:
        held.__exit__(None, None, None)
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if "[info" not in line]
    assert out == "" and len(said) == 2
    assert re.match(first, said[0]) and last in said[1]


def test_a_bug_is_reported_as_one_without_the_text_of_its_error(
    job: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a value of the data")

    monkeypatch.setattr(open_step, "open_step_source", broken)  # the one patch: a bug cannot be made otherwise
    assert main(["run", job]) == 1
    err = capsys.readouterr().err
    assert re.search(r"a bug in cio-etl: unexpected RuntimeError, .*run\.py:\d+ > .*; the state is intact", err)
    assert "a value of the data" not in err


def test_a_report_that_cannot_be_written_does_not_change_how_the_run_ends(job: str, capsys: Captured) -> None:
    write_rows("1,a@b.co,Zoë")
    Path(".etl").mkdir()
    Path(".etl/runs").touch()  # a file where the folder of the reports belongs
    assert main(["run", job]) == 0
    out, err = capsys.readouterr()
    assert "1 row accepted" in out and "report_not_written" in err


def test_the_sandbox_option_sends_nothing_to_the_destination(job: str, sandbox: Sandbox, capsys: Captured) -> None:
    assert main(["run", job, "--sandbox"]) == 3
    assert "the sandbox had 2 people and 0 events" in capsys.readouterr().err
    assert sandbox.stats()["requests"] == 0


def test_the_sandbox_option_says_what_had_no_effect(job: str, capsys: Captured) -> None:
    write_rows("1,a@b.co,Zoë", "2,a@b.co,Ben", "3,c@b.co,Cleo")
    assert main(["run", job, "--sandbox"]) == 0
    err = capsys.readouterr().err
    assert "1 change had no effect in the sandbox, though it answered 200; the most frequent reason: " in err
    assert "a@b.co" not in err


def test_the_sandbox_option_needs_no_keys(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(API_KEY)
    assert main(["run", job, "--sandbox"]) == 3
    assert main(["run", job]) == 78


def test_step_and_limit_restrict_what_is_sent(job: str, sandbox: Sandbox, capsys: Captured) -> None:
    assert main(["run", job, "--step", "people", "--limit", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["rows_read"] == 1
    assert len(sandbox.people) == 1


# ---------------------------------------------------------------- before a run


def test_check_names_every_problem_with_its_line_and_reads_no_data(job: str, capsys: Captured) -> None:
    Path("people.csv").unlink()
    assert main(["check", job]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"people\.yaml:1: examples\[0\]: rejected: identifier_missing was expected, but .* is sent\n", err
    )
    write_mapping()
    assert main(["check", job, job, "people.yaml"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (
        "job.yaml: 1 step, 1 mapping, 1 example\n" * 2 + "people.yaml: a mapping, 1 example\n",
        "",
    )
    Path("tests").mkdir()
    Path("tests/people.yaml").write_text(json.dumps({"tests": [{"name": "one", "row": {"id": "1"}}] * 2}))
    assert main(["check", job]) == 0
    assert capsys.readouterr().out == "job.yaml: 1 step, 1 mapping, 1 example, 2 tests\n"
    Path("people.yaml").write_text(json.dumps(MAPPING))
    assert main(["check", "people.yaml"]) == 0
    assert capsys.readouterr().out == "people.yaml: a mapping, 2 tests\n"


def test_check_needs_no_keys(job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mapping()
    monkeypatch.delenv(API_KEY)
    assert main(["check", job]) == 0


def test_validate_reports_what_a_run_would_reject_and_sends_nothing(
    job: str, sandbox: Sandbox, capsys: Captured
) -> None:
    assert main(["validate", job, "--json"]) == 3
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert (step["rows_read"], step["accepted"], step["rejected"]) == (3, 2, 1)
    assert main(["validate", job]) == 3
    assert "email_malformed" in capsys.readouterr().out
    assert sandbox.stats()["requests"] == 0 and not Path(".etl/state.db").exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_validate_writes_a_page_beside_its_json_for_its_user_only(job: str, capsys: Captured) -> None:
    assert main(["validate", job]) == 3
    folder = Path(".etl/validations/job")
    assert f"report     {folder}/report.html" in capsys.readouterr().out
    assert {path.name: mode(path) for path in folder.iterdir()} == dict.fromkeys(
        ("report.html", "report.json", "status.json"), 0o600
    )
    assert mode(folder) == 0o700
    page = (folder / "report.html").read_text()
    assert "A run would send 2 of 3 rows, reject 1." in page.replace(" and reject", ", reject")
    assert "cio-etl run job.yaml" in page and "cio-etl validate job.yaml --reveal" in page
    assert "b@@b.co" not in page and "b***@@b***.co" in page
    assert main(["validate", job, "--limit", "1"]) == 0  # the next one takes its place
    assert "the first 1 row of each step" in (folder / "report.html").read_text()


def test_the_report_of_validate_may_show_values_and_lie_elsewhere(job: str, capsys: Captured) -> None:
    assert main(["validate", job, "--reveal", "--report", "out/here", "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(Path("out/here/report.json").read_text())
    (row,) = report["steps"][0]["profile"]["rows"]
    assert row == {
        "code": "email_malformed",
        "field": "attributes.email",
        "place": "people.csv:3",
        "cells": [["id", "2"], ["e_mail", "b@@b.co"]],
    }
    page = Path("out/here/report.html").read_text()
    assert "b@@b.co" in page and "This report shows values of rows." in page
    assert not Path(".etl").exists()


def test_a_report_folder_that_cannot_be_written_is_reported_before_a_row_is_read(job: str, capsys: Captured) -> None:
    Path("people.csv").unlink()
    assert main(["validate", job, "-o", "people.yaml/out"]) == 2
    assert "people.yaml/out cannot hold the report: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gates", "exit_code", "reason"),
    [
        (["email_malformed"], 4, "--fail-on email_malformed: 1 row of step people"),
        (["33%", "row_ragged"], 4, "--fail-on 33%: 1 of 3 rows of step people rejected"),
        (["34%", "row_ragged", "1", "warning"], 3, None),
    ],
)
def test_a_finding_named_by_fail_on_exits_with_4(
    job: str, capsys: Captured, gates: list[str], exit_code: int, reason: str | None
) -> None:
    assert main(["validate", job, "--json", *(f"--fail-on={each}" for each in gates)]) == exit_code
    report = json.loads(capsys.readouterr().out)
    assert (report["exit_code"], report["reason"]) == (exit_code, reason)
    page = Path(".etl/validations/job/report.html").read_text()
    again = f"cio-etl validate job.yaml {' '.join(f'--fail-on={each}' for each in gates)}"
    assert (again in page) == (exit_code == 4) and ("cio-etl run job.yaml" in page) == (exit_code == 3)


def test_an_unknown_fail_on_value_is_reported_with_the_nearest_one(job: str, capsys: Captured) -> None:
    assert main(["validate", job, "--fail-on", "email_malfromed"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "--fail-on: no reason or finding 'email_malfromed'; did you mean 'email_malformed'?" in err


@pytest.mark.parametrize(("rows", "exit_code"), [(["1,a@b.co,Zoë"], 0), (ROWS, 3), ([*ROWS, *ROWS, *ROWS], 4)])
def test_a_run_writes_a_page_however_it_ends(job: str, rows: list[str], exit_code: int, capsys: Captured) -> None:
    write_rows(*rows)
    assert main(["run", job]) == exit_code
    (folder,) = Path(".etl/runs").iterdir()
    page = (folder / "report.html").read_text()
    assert mode(folder / "report.html") == 0o600
    assert f"Exit code {exit_code}:" in page and "b@@b.co" not in page
    assert (f"cio-etl rejects {folder.name} -o rejects.csv" in page) == (exit_code > 0)
    assert ("cio-etl run job.yaml" in page) == (exit_code == 4)


def test_a_validation_without_its_report_fails(job: str, capsys: Captured) -> None:
    Path(".etl").mkdir()
    Path(".etl/validations").touch()  # a file where the folder of the reports belongs
    assert main(["validate", job]) == 74
    assert ".etl/validations/job: the report could not be written: Not a directory" in capsys.readouterr().err


def test_a_page_that_fails_does_not_change_how_the_run_ends(
    job: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cio_etl.report.page.verdict", lambda report: 1 // 0
    )  # no way is known to make it fail otherwise
    assert main(["run", job]) == 3
    (folder,) = Path(".etl/runs").iterdir()
    assert (folder / "report.json").exists() and not (folder / "report.html").exists()
    out, err = capsys.readouterr()
    assert "page_not_written" in err and f"report     {folder}/report.json" in out


def test_validate_exits_with_4_where_a_run_would_stop(job: str, capsys: Captured) -> None:
    write_rows(*ROWS[1:2] * 3)
    assert main(["validate", job]) == 4
    assert "a run would stop in step people" in capsys.readouterr().out


def test_preview_prints_a_json_line_for_each_row(job: str, capsys: Captured) -> None:
    assert main(["preview", job, "-n", "2"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "step": "people",
        "row": 1,
        "payload": {
            "type": "person",
            "action": "identify",
            "identifiers": {"id": "1"},
            "attributes": {"email": "a@b.co", "name": "Zoë"},
        },
    }
    assert second == {"step": "people", "row": 2, "rejected": "email_malformed", "field": "attributes.email"}


# ---------------------------------------------------------------- after a run


def test_status_and_doctor_distinguish_sandbox_runs_from_no_runs(job: str, sandbox: Sandbox, capsys: Captured) -> None:
    main(["run", job, "--sandbox"])
    run_id = re.findall(r"job\.sandbox-\S+", capsys.readouterr().out)[0]
    assert main(["status", job]) == 0
    message = f"job has run in the sandbox only, last as {run_id}; `cio-etl run job.yaml` sends to the destination\n"
    assert capsys.readouterr().out == message
    main(["doctor", job])
    assert f"job has run in the sandbox only, last as {run_id}" in " ".join(capsys.readouterr().out.split())


def test_status_reports_a_job_s_newest_run_and_what_run_would_do(job: str, sandbox: Sandbox, capsys: Captured) -> None:
    assert main(["status", job]) == 0
    assert capsys.readouterr().out == "job has never run; `cio-etl run job.yaml` starts it\n"
    sandbox.set_faults(Faults(key_revoked_after=0))
    assert main(["run", job]) == 77
    capsys.readouterr()
    assert main(["status", job]) == 0
    out = capsys.readouterr().out
    assert re.search(r"continue +cio-etl run job\.yaml", out)
    assert "`cio-etl run job.yaml` continues in step people: 1 of 3 rows are settled" in out
    sandbox.set_faults(Faults())
    main(["run", job])
    capsys.readouterr()
    main(["status", job])
    assert "`cio-etl run job.yaml` starts a new run" in capsys.readouterr().out


def test_a_run_that_stopped_before_it_finished_says_so_wherever_it_is_shown(
    job: str, sandbox: Sandbox, capsys: Captured
) -> None:
    for _ in range(2):
        sandbox.set_faults(Faults(key_revoked_after=0))
        assert main(["run", job, "--run-id", "night"]) == 77
    sandbox.set_faults(Faults())
    capsys.readouterr()
    assert main(["run", job, "--run-id", "night"]) == 3
    last = r"stopped 2 times, the last time 20\S+ \S+ UTC, exit code 77, .*401"
    assert re.search(rf"^earlier    {last}", capsys.readouterr().out, re.MULTILINE)
    main(["status", job])
    assert re.search(rf"^earlier    {last}", capsys.readouterr().out, re.MULTILINE)
    main(["status"])
    assert re.search(r"^job-night +finished \(before that stopped 2 times\) ", capsys.readouterr().out, re.MULTILINE)
    for command in (["status", job, "--json"], ["run", job, "--run-id", "night", "--json"]):
        main(command)
        ends = json.loads(capsys.readouterr().out)["earlier_ends"]
        assert (ends["stopped"], ends["failed"], ends["killed"], len(ends["newest"])) == (2, 0, 0, 2)
    assert json.loads(Path(".etl/runs/job-night/report.json").read_text())["earlier_ends"] == ends
    pages = pages_of(Path(".etl"))
    words = "finished (before that stopped 2 times): 2 rows accepted, 1 rejected"
    for page in (pages.home(None), pages.job("job", None)):
        assert re.search(rf'title="[^"]* UTC: {re.escape(words)}".*?<small>✕</small>!.*?{re.escape(words)}', page)
    for page in (pages.run("job-night"), Path(".etl/runs/job-night/report.html").read_text()):
        assert 'Before that: <a href="#earlier">stopped 2 times</a>' in page
        assert page.count("UTC: stopped with exit code 77: ") == 2


def test_status_of_a_run_whose_source_was_out_of_reach_counts_no_rows(sandbox: Sandbox, capsys: Captured) -> None:
    mapping = Path("people.yaml")
    mapping.write_text("{operation: identify, identifiers: {id: id}}")
    source = {"sql": "sqlite:///shop.db", "table": "people"}
    write_job(Path("job.yaml"), sandbox.url, {"people": (source, "people.yaml")})
    assert main(["run", "job.yaml"]) == 65
    capsys.readouterr()
    assert main(["status", "job.yaml"]) == 0
    assert "`cio-etl run job.yaml` continues in step people: its source is not read yet" in capsys.readouterr().out


def test_status_as_json_is_the_report_of_each_run(job: str, capsys: Captured) -> None:
    main(["status", job, "--json"])
    assert json.loads(capsys.readouterr().out) is None
    main(["run", job, "--json"])
    ran = json.loads(capsys.readouterr().out)
    assert main(["status", job, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    (reason,) = status["open_in_all_runs"].pop("reasons")
    total = {"rows": 1, "since": ran["started_at"], "runs": [ran["run_id"]]}
    assert {name: reason[name] for name in total} == total
    assert status == ran | {"held": False, "open_rejects": 1, "stale": None, "open_in_all_runs": total}
    assert main(["status", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["run_id"] == ran["run_id"]
    assert main(["status"]) == 0
    assert re.search(rf"{ran['run_id']} +finished .* 3 +2 +1 +1$", capsys.readouterr().out, re.MULTILINE)
    assert main(["run", job, "--run-id", "a" * 60 + "-2026-11-28"]) == 3
    capsys.readouterr()
    assert main(["status"]) == 0
    long, _ = capsys.readouterr().out.splitlines()[1:3]
    assert re.search(r"^job-a{60}-2026-11-28 +finished ", long), "a name can be copied from the list"


def test_status_reports_that_a_process_is_at_work(job: str, capsys: Captured) -> None:
    main(["run", job])
    capsys.readouterr()
    with state.hold(Path(".etl"), "job"):
        assert main(["status", job]) == 0
        assert "a process is at work on it now; `run` would exit 75" in capsys.readouterr().out
        main(["status", job, "--json"])
        assert json.loads(capsys.readouterr().out)["held"] is True


@pytest.mark.parametrize("folder", [None, ""])
def test_status_without_a_state_reports_that_there_is_none(
    folder: str | None, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    if folder is not None:
        monkeypatch.setenv("ETL_STATE", folder)
    assert main(["status"]) == 2
    assert ".etl holds no state; name the job, or the folder with --state" in capsys.readouterr().err
    assert not Path(".etl").exists()


def run_id_of(job: str, capsys: Captured) -> str:
    main(["run", job, "--json"])
    return str(json.loads(capsys.readouterr().out)["run_id"])


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_rejects_are_written_beside_their_rows(job: str, ending: str, capsys: Captured) -> None:
    out = Path(f"rejects.{ending}")
    assert main(["rejects", run_id_of(job, capsys), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"1 rejected row in {out}\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    (row,) = READERS[ending](out).to_dicts()
    assert (row["step"], row["file"], row["line"], row["reason"]) == ("people", "people.csv", 3, "email_malformed")
    # in CSV a spreadsheet would run it
    assert row["e_mail"] == "b@@b.co" and row["name"] == ("'=cmd()" if ending == "csv" else "=cmd()")


@pytest.mark.parametrize("gone", ["people.csv", "job.yaml", "changed"])
def test_rejects_without_their_source_still_have_their_reasons(job: str, gone: str, capsys: Captured) -> None:
    run_id = run_id_of(job, capsys)
    if gone == "changed":
        write_rows(*ROWS, "4,d@b.co,late")
    else:
        Path(gone).unlink()
    assert main(["rejects", run_id, "-o", "out.ndjson"]) == 0
    assert "step people: without the source's columns, because" in capsys.readouterr().err
    (row,) = pl.read_ndjson("out.ndjson").to_dicts()
    assert (row["reason"], row["field"], "e_mail" in row) == ("email_malformed", "attributes.email", False)


@pytest.mark.parametrize(
    ("out", "said"),
    [("people.csv", "is there already; remove it, or name another file"), ("out.xlsx", "the name must end in .csv")],
)
def test_rejects_overwrite_nothing_and_know_three_formats(job: str, out: str, said: str, capsys: Captured) -> None:
    run_id, before = run_id_of(job, capsys), Path("people.csv").read_text()
    assert main(["rejects", run_id, "-o", out]) == 2
    assert said in capsys.readouterr().err
    assert Path("people.csv").read_text() == before


# ---------------------------------------------------------------- as a process


def test_the_sandbox_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    process = start("sandbox", "--port", "0", folder=tmp_path)
    assert process.stdout is not None
    url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert url and httpx.get(url[0]).status_code == 200
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")


def test_a_port_in_use_is_reported_with_the_option_that_takes_a_free_one(sandbox: Sandbox, capsys: Captured) -> None:
    assert main(["sandbox", "--port", str(sandbox.port)]) == 2
    out, err = capsys.readouterr()
    message = f"port {sandbox.port} of 127.0.0.1 is in use by another program; add --port 0 for a free one"
    assert out == "" and message in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--certfile", "job.yaml"], "--certfile and --keyfile go together; add the other one"),
        (
            ["--certfile", "job.yaml", "--keyfile", "job.yaml"],
            "job.yaml and job.yaml are no certificate with its key in PEM",
        ),
        (["--certfile", "no-such.pem", "--keyfile", "job.yaml"], "no-such.pem: no such file; relative paths"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_refused(
    job: str, options: list[str], message: str, capsys: Captured
) -> None:
    assert main(["sandbox", "--port", "0", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [["apply", "job.yml"], ["presets", "klaviyo", "--export", "job.yml"], ["sandbox", "--keyfile", "job.yml"]],
    ids=lambda command: command[0],
)
def test_a_path_that_is_not_there_is_answered_with_a_similar_one(
    job: str, command: list[str], capsys: Captured
) -> None:
    assert main(command) == 2
    assert "job.yml: no such file; did you mean job.yaml?" in capsys.readouterr().err


def test_no_path_of_a_command_has_click_s_own_message() -> None:
    asked = [(command.name, each) for command in cli.commands.values() for each in command.params]
    plain = [(name, each.name) for name, each in asked if type(each.type) is click.Path and each.type.exists]
    assert plain == []


def test_output_is_printable_on_any_terminal(job: str, tmp_path: Path) -> None:
    """A job in a folder with an odd name, on a terminal that knows ASCII only: shown as it can be, and no failure."""
    odd = Path("Zoë.csv")
    Path("people.csv").rename(odd)
    Path(job).write_text(Path(job).read_text().replace("people.csv", odd.name))
    done = subprocess.run(
        [sys.executable, "-m", "cio_etl.cli", "run", job],
        env=environment() | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 3, done.stderr
    assert "at Zo\\xeb.csv:3" in done.stdout


@pytest.mark.fault("P12")
def test_a_closed_pipe_is_no_failure(job: str, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("preview", job, folder=tmp_path, stdout=write_end)
    os.close(write_end)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


@pytest.mark.fault("P5")
@pytest.mark.parametrize(
    "arguments",
    [
        "run job.yaml",
        "run job.yaml --json",
        "validate job.yaml",
        "preview job.yaml",
        "check job.yaml",
        "doctor job.yaml",
    ],
)
def test_an_output_that_cannot_be_written_is_named_and_asks_for_no_second_run(
    job: str, tmp_path: Path, arguments: str
) -> None:
    write_mapping()
    with open("/dev/full", "wb") as full:
        process = start(*arguments.split(), folder=tmp_path, stdout=full)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 74, err
    assert err.splitlines()[-2:] == [
        "standard output cannot be written: No space left on device; what the command did before is done",
        "free some space, or name another file; `cio-etl status` says what a run did, and whether to run it again",
    ]


@pytest.mark.fault("N10")
def test_a_key_renewed_in_its_file_is_read_again_once_and_the_run_is_resumed(sandbox: Sandbox, job: str) -> None:
    Path("key").write_text("sandbox\n")
    Path(job).write_text(Path(job).read_text().replace(f"${{{API_KEY}}}", f"${{file:{Path('key').absolute()}}}"))
    sandbox.set_faults(Faults(key_revoked_after=0, new_api_key="renewed", latency_s=0.3))

    def renew() -> None:
        while sandbox.stats()["requests"] < 1:
            threading.Event().wait(0.01)
        Path("key").write_text("renewed\n")

    renewing = threading.Thread(target=renew)
    renewing.start()
    assert main(["run", job]) == 3
    renewing.join()
    assert sandbox.stats()["answers"]["401"] >= 1
    assert {person.attributes["name"] for person in sandbox.people.everybody()} == {"Zoë", "Mia"}


@pytest.mark.fault("N10")
def test_a_key_that_is_refused_and_not_renewed_is_not_tried_again(sandbox: Sandbox, job: str) -> None:
    sandbox.set_faults(Faults(key_revoked_after=0))
    assert main(["run", job]) == 77
    assert list(sandbox.people.everybody()) == []
    assert sandbox.stats()["requests"] <= 2


# ---------------------------------------------------------------- init


def test_init_proposes_a_job_and_a_mapping_that_check_and_validate_accept(capsys: Captured) -> None:
    Path("people.csv").write_text(
        "customer_no;mail;joined\n00042;a@example.com;2024-03-10\n00043;b@example.com;2024-03-11\n"
    )
    assert main(["init", "people.csv"]) == 0
    assert "customer_no" in capsys.readouterr().out
    assert "separator" in Path("jobs/people.yaml").read_text()
    assert main(["check", "jobs/people.yaml"]) == 0
    assert main(["validate", "jobs/people.yaml"]) == 0
    assert "a@example.com" not in Path("jobs/people.yaml").read_text() + Path("mappings/people.yaml").read_text()
    capsys.readouterr()
    assert main(["init", "people.csv"]) == 78
    assert "jobs/people.yaml" in capsys.readouterr().err


def test_init_reads_a_table_and_writes_the_reference_not_the_value(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(sqlite3.connect("shop.db")) as database:
        database.executescript("CREATE TABLE people (id INTEGER, email TEXT, joined TEXT);")
        database.executemany(
            "INSERT INTO people VALUES (?, ?, ?)", [(n, f"p{n}@example.com", f"2024-03-{n:02}") for n in range(1, 20)]
        )
        database.commit()
    monkeypatch.setenv("SHOP_URL", "sqlite:///shop.db")
    assert main(["init", "${SHOP_URL}", "--table", "people", "--name", "shop"]) == 0
    written = Path("jobs/shop.yaml").read_text()
    assert "${SHOP_URL}" in written and "sqlite:" not in written
    assert main(["validate", "jobs/shop.yaml"]) == 0
    assert "19 rows accepted" in capsys.readouterr().out


def shop_database() -> None:
    with contextlib.closing(sqlite3.connect("shop.sqlite")) as database:
        database.executescript(
            "CREATE TABLE customers (id INTEGER, email TEXT, first_name TEXT);"
            "CREATE TABLE orders (order_id INTEGER, customer_id INTEGER, placed_at TEXT, total REAL);"
            "CREATE VIEW best AS SELECT * FROM customers;"
        )
        people = [(n, f"p{n}@example.com", "Ada") for n in range(20)]
        database.executemany("INSERT INTO customers VALUES (?, ?, ?)", people)
        orders = [(n, n % 7, f"2024-01-{n + 1:02} 10:00", n * 2.5) for n in range(20)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", orders)
        database.commit()


def test_init_lists_the_tables_of_a_database_when_none_is_named(capsys: Captured) -> None:
    shop_database()
    for source in ("shop.sqlite", "sqlite:///shop.sqlite"):
        assert main(["init", source]) == 78
        place = "shop.sqlite" if source == "shop.sqlite" else "the source"
        message = f"{place}: a database, whose tables are best, customers, orders; name one by --table, or a query"
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["init", "inspect"])
@pytest.mark.parametrize(
    ("file", "kind"), [("shop.sqlite", "SQLite"), ("shop.db", "SQLite"), ("shop.duckdb", "DuckDB")]
)
def test_a_file_that_is_called_a_database_and_is_none_is_not_read_as_csv(
    command: str, file: str, kind: str, capsys: Captured
) -> None:
    Path(file).write_text("id,email\n1,a@example.com\n")
    assert main([command, file]) == 65
    assert f"the file is no {kind} database" in capsys.readouterr().err
    assert not Path("jobs").exists()


def test_init_stores_rejected_rows_of_a_source_that_is_not_read_again(capsys: Captured) -> None:
    shop_database()
    Path("people.csv").write_text("id,email\n1,a@example.com\n")
    assert main(["init", "shop.sqlite", "--table", "customers"]) == 0
    assert main(["init", "people.csv"]) == 0
    assert [load_job(Path(f"jobs/{name}.yaml"), secrets=False).rejects for name in ("customers", "people")] == [
        "rows",
        "keys",
    ]


def test_init_proposes_to_send_only_what_changed_of_a_table_with_a_key(capsys: Captured) -> None:
    shop_database()
    with contextlib.closing(sqlite3.connect("shop.sqlite")) as database:
        database.executescript(
            "CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT);"
            "INSERT INTO people SELECT id, email FROM customers;"
            "CREATE TABLE visits (no INTEGER PRIMARY KEY, customer_id INTEGER, visited_at TEXT);"
            "INSERT INTO visits SELECT order_id, customer_id, placed_at FROM orders;"
        )
    arguments = [word for name in ("people", "customers", "visits") for word in ("--table", name)]
    assert main(["init", "shop.sqlite", *arguments, "--timezone", "UTC"]) == 0
    job = load_job(Path("jobs/shop.yaml"), secrets=False)
    assert {step.name: step.sync.mode for step in job.steps} == {
        "people": "changed",
        "customers": "all",
        "visits": "changed",
    }
    said = "the first run sends every row, and each later run only what is new or has changed since"
    assert f"people: sync: changed, since the table has the key id: {said}" in capsys.readouterr().out
    comment = " ".join(line.strip(" #") for line in Path("jobs/shop.yaml").read_text().splitlines())
    assert comment.count(f"{said}; `all` sends every row each time sync: changed") == 2


def test_init_does_not_send_only_changes_of_events_that_cannot_be_recognised(capsys: Captured) -> None:
    with contextlib.closing(sqlite3.connect("shop.sqlite")) as database:
        database.executescript("CREATE TABLE visits (customer_id INTEGER, page TEXT, no BLOB PRIMARY KEY);")
        rows = [(n % 3, "home", bytes([n])) for n in range(20)]
        database.executemany("INSERT INTO visits VALUES (?, ?, ?)", rows)
        database.commit()
    assert main(["init", "shop.sqlite", "--table", "visits", "--as", "events"]) == 0
    (step,) = load_job(Path("jobs/visits.yaml"), secrets=False).steps
    assert (step.mapping.event_key, step.sync.mode) == ((), "all")
    assert "sync:" not in capsys.readouterr().out


def test_the_text_of_each_command_fits_the_help(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.partition("\nCommands:\n")[2].partition("\n\n")[0]
    assert len(listed.splitlines()) > 10 and "..." not in listed


def test_init_lists_the_tables_when_the_named_one_does_not_exist(capsys: Captured) -> None:
    shop_database()
    assert main(["init", "shop.sqlite", "--table", "order"]) == 65
    assert capsys.readouterr().err == (
        "table order: the database has no such table\ndid you mean 'orders'? its tables are best, customers, orders\n"
    )


def test_init_lists_the_tables_of_postgresql_with_their_schema(
    capsys: Captured, postgres: databases.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute("CREATE TABLE people (id int)", "CREATE SCHEMA sales", "CREATE TABLE sales.orders (id int)")
    monkeypatch.setenv("SHOP_URL", postgres.address)
    assert main(["init", "${SHOP_URL}"]) == 78
    assert "a database, whose tables are people, sales.orders; name one by --table" in capsys.readouterr().err


def test_init_makes_one_job_of_several_tables_with_people_before_events(capsys: Captured) -> None:
    shop_database()
    arguments = ["--table", "orders", "--table", "customers", "--timezone", "Europe/Paris"]
    assert main(["init", "shop.sqlite", *arguments]) == 0, capsys.readouterr().err
    job = load_job(Path("jobs/shop.yaml"), secrets=False)
    steps = [(step.name, step.mapping.operation, step.mapping.file) for step in job.steps]
    assert steps == [
        ("customers", "identify", "mappings/shop_customers.yaml"),
        ("orders", "track", "mappings/shop_orders.yaml"),
    ]
    orders = Path("mappings/shop_orders.yaml").read_text()
    assert "{timestamp: {timezone: Europe/Paris}}" in orders and "which zone" not in orders
    assert main(["validate", "jobs/shop.yaml"]) == 0
    assert "40 rows accepted" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "validate", "doctor", "check"])
@pytest.mark.parametrize("file", ["people.csv", "people.json", "shop.sqlite"])
def test_a_source_that_is_named_instead_of_a_job_is_recognised(command: str, file: str, capsys: Captured) -> None:
    shop_database()
    Path("people.csv").write_text("id,email\n1,a@example.com\n")
    Path("people.json").write_text('{"id": 1}\n{"id": 2}\n')
    assert main([command, file]) == 78
    printed = capsys.readouterr()
    assert f"`cio-etl init {file}` proposes a job for it" in (printed.out + printed.err).replace("\n", " ")


def test_a_mapping_that_is_named_instead_of_its_job_names_the_job(capsys: Captured) -> None:
    Path("people.csv").write_text("id,email\n1,a@example.com\n")
    assert main(["init", "people.csv"]) == 0
    assert main(["run", "mappings/people.yaml"]) == 78
    assert "run jobs/people.yaml instead" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.csv"], 65, "nowhere.csv: cannot be read: No such file or directory"),
        (["${NOWHERE}", "--table", "people"], 78, "the environment variable NOWHERE is not set"),
        (["people.csv", "--table", "people"], 78, "must be a database's address"),
        (["${NOWHERE}"], 78, "a database, and no rows of it are named; add --table or --query-file"),
        (["mysql://db/shop"], 78, "add --table or --query-file"),
        (["mysql://me:hunter2@db/shop", "--table", "people"], 78, "a password in plain text"),
    ],
)
def test_init_reports_the_fault_of_a_source(arguments: list[str], code: int, said: str, capsys: Captured) -> None:
    assert main(["init", *arguments]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_full_refresh_and_a_watermark_exclude_each_other(command: str, job: str, capsys: Captured) -> None:
    assert main([command, job, "--full-refresh", "--watermark", "7"]) == 2
    assert "give one of the two" in capsys.readouterr().err


def test_a_run_may_have_another_number_of_lanes_than_the_job(job: str) -> None:
    assert main(["run", job, "--lanes", "3"]) == 3
    with contextlib.closing(sqlite3.connect(".etl/state.db")) as written, written:
        assert written.execute("select lanes from run").fetchall() == [(3,)]
        assert written.execute("select count(*) from lane").fetchall() == [(3,)]


# ---------------------------------------------------------------- keys of functions


def test_commands_that_send_nothing_need_no_hmac_key_and_report_the_stand_in(job: str, capsys: Captured) -> None:
    hashed = {"column": "name", "apply": [{"hmac": "${SHOP_KEY}"}]}
    Path("people.yaml").write_text(json.dumps(MAPPING | {"attributes": {"token": hashed}}))
    said = "hmac: ${SHOP_KEY} is not looked up here; its own text is the key, so a run sends other values\n"
    for command in (["preview", job, "-n", "1"], ["validate", job], ["run", job, "--sandbox"]):
        assert main(command) == 0
        assert capsys.readouterr().err.startswith(said)
    assert main(["check", job]) == 0
    assert main(["run", job]) == 78
    assert (
        "hmac: the environment variable SHOP_KEY is not set; set it, or name its file with --env-file"
        in capsys.readouterr().err
    )
