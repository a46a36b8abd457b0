"""The status of a run whose process was killed: its report, its rows, and the command that resumes it."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from cio_etl.sandbox import Faults, Sandbox
from tests.running import start, until, write_job


def shop(url: str, rows: int) -> None:
    """A job of two steps; one address in a hundred is none."""
    lines = [f"u{row},{'none' if row % 100 == 7 else f'u{row}@example.com'}" for row in range(rows)]
    Path("people.csv").write_text("\n".join(["id,email", *lines]), encoding="utf-8")
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "email"}}
    Path("people.yaml").write_text(json.dumps(mapping), encoding="utf-8")
    steps = {name: ({"csv": "people.csv"}, "people.yaml") for name in ("first", "second")}
    destination = {"max_batch_bytes": 32_100, "lanes": 4, "requests_per_second": "unlimited"}
    write_job(Path("job.yaml"), url, steps, destination=destination, max_rejects="5%")


def cio_etl(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    process = start(*arguments, folder=Path())
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


@pytest.mark.fault("P1")
@pytest.mark.parametrize("options", [[], ["--step=first", "--limit=6000"]], ids=["plain", "with options"])
def test_the_status_of_a_killed_run_has_its_counts_and_the_command_that_resumes_it(options: list[str]) -> None:
    with Sandbox(Faults(latency_s=0.1)) as sandbox:
        shop(sandbox.url, rows=7_000)
        process = start("run", "job.yaml", *options, folder=Path())
        until(lambda: sandbox.stats()["requests"] > 12)
        (folder,) = Path(".etl/runs").iterdir()
        assert json.loads((folder / "status.json").read_text())["status"] == "running"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        code, printed, _ = cio_etl("status", "job.yaml", "--json")
        report: dict[str, Any] = json.loads(printed)
        assert (code, report["status"], report["held"]) == (0, "stopped", False)
        assert report["reason"] == "its process has ended without a report: it was killed, or the machine went down"
        first = report["steps"][0]
        assert first["rows_read"] == first["accepted"] + first["rejected"] + first["skipped"] > 0
        assert first["rows"] == (6_000 if options else 7_000)
        assert sum(each["rows"] for each in first["rejects"]) == first["rejected"] > 0
        code, printed, _ = cio_etl("status", "job.yaml")
        assert f"first (of {first['rows']:,} rows)" in printed and "would exit 78" not in printed
        (command,) = [line.split("continue")[1] for line in printed.splitlines() if line.startswith("continue")]
        name, *words = shlex.split(command)
        assert (name, words) == ("cio-etl", ["run", "job.yaml", *options])
        code, _, stderr = cio_etl(*words, "--json")
        assert code == 3 and "run_resumed" in stderr, stderr
        assert cio_etl("status", "job.yaml")[1].count("finished") >= 1
        (killed,) = json.loads(cio_etl("status", "job.yaml", "--json")[1])["earlier_ends"]["newest"]
        assert (killed["status"], killed["exit_code"], killed["reason"]) == ("killed", None, None)


def break_mapping() -> None:
    Path("people.yaml").write_text(json.dumps({"operation": "identfy", "identifiers": {"id": "id"}}))


def test_a_wrong_mapping_does_not_hide_the_last_run() -> None:
    with Sandbox() as sandbox:
        shop(sandbox.url, rows=10)
        assert cio_etl("run", "job.yaml")[0] == 3
    whole = cio_etl("status", "job.yaml"), cio_etl("status", "job.yaml", "--json")
    assert "finished: 18 rows accepted, 2 rejected" in whole[0][1] and "starts a new run" in whole[0][1]
    break_mapping()
    assert (cio_etl("status", "job.yaml"), cio_etl("status", "job.yaml", "--json")) == whole
    run_id = json.loads(whole[1][1])["run_id"]
    assert cio_etl("rejects", run_id, "--close", "tests", "--state", "job.yaml")[0] == 0


def test_an_unfinished_run_of_a_job_that_no_longer_passes_its_check_says_so() -> None:
    with Sandbox(Faults(latency_s=0.1)) as sandbox:
        shop(sandbox.url, rows=7_000)
        process = start("run", "job.yaml", folder=Path())
        until(lambda: sandbox.stats()["requests"] > 12)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    break_mapping()
    code, printed, _ = cio_etl("status", "job.yaml")
    words = " ".join(printed.split())
    assert code == 0 and "would exit 78, since the job no longer passes its check: people.yaml:1: operation" in words
    assert "cio-etl check job.yaml" in words and "continue" not in words
    assert json.loads(cio_etl("status", "job.yaml", "--json")[1])["resume_command"] is None
    assert cio_etl("run", "job.yaml")[0] == 78
