"""The file for the textfile collector of node_exporter, read by the parser of Prometheus' own client."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

import cio_etl
from cio_etl import state
from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import ConfigError, JobLocked, TooManyRejects
from cio_etl.model import Counts, RejectCount, Report, StepReport
from cio_etl.run import measuring
from cio_etl.sandbox import Sandbox
from cio_etl.telemetry import JobFacts, text_file
from cio_etl.telemetry.names import FILE_METRICS
from cio_etl.telemetry.text_file import text_of
from tests.running import API_KEY, write_job

Samples = dict[str, dict[tuple[str, ...], float]]

MAPPING = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "e_mail"}}
FILE = Path("shop.prom")
SUCCESS, EXIT = "cio_etl_last_success_timestamp_seconds", "cio_etl_last_exit_code"


def parsed(text: str) -> Samples:
    """Each metric's samples, by the values of their labels in order of the labels' names."""
    families = list(text_string_to_metric_families(text))
    declared = {each.name: each.words for each in FILE_METRICS}
    assert [each.name for each in families] == [name for name in declared if name in {each.name for each in families}]
    assert all(each.type == "gauge" and each.documentation == declared[each.name] for each in families)
    return {
        each.name: {tuple(value for _, value in sorted(s.labels.items())): s.value for s in each.samples}
        for each in families
    }


def written() -> Samples:
    return parsed(FILE.read_text())


@pytest.fixture
def job(sandbox: Sandbox, keys: None) -> Path:
    """A job of three people, of whom one has no address."""
    Path("people.yaml").write_text(json.dumps(MAPPING))
    Path("people.csv").write_text("id,e_mail\n1,a@b.co\n2,b@b.co\n3,canary-no-address\n")
    return written_job(sandbox)


def written_job(sandbox: Sandbox, **settings: Any) -> Path:
    settings = {"metrics_file": str(FILE), "rejects": "rows", "expect_every": "26 hours", **settings}
    return write_job(Path("shop.yaml"), sandbox.url, {"people": ({"csv": "people.csv"}, "people.yaml")}, **settings)


def test_names_of_any_kind_are_read_back_as_they_are() -> None:
    hostile = 'a"b\\n\\c\nd{},=é'
    rejects = (RejectCount("email_malformed", "attributes.a", 2, ()), RejectCount("email_malformed", None, 1, ()))
    step = StepReport(hostile, "finished", 9, Counts(5, 3, 1, 0, 2, 2, 0, 1234), 1.5, rejects)
    report = Report("r", "shop", "finished", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:09+00:00", (step,), 3)
    samples = parsed(text_of(JobFacts("shop", report, 1_767_225_609.25, 7, {"people": 12}, 3_600, 3)))
    assert samples["cio_etl_last_run_rows"] == {
        ("shop", "accepted", hostile): 5,
        ("shop", "rejected", hostile): 3,
        ("shop", "skipped", hostile): 1,
    }
    assert samples["cio_etl_last_run_rejected_rows"] == {("shop", "email_malformed", hostile): 3}
    assert samples["cio_etl_last_run_step_duration_seconds"] == {("shop", hostile): 1.5}
    assert samples["cio_etl_last_run_sent_bytes"] == {("shop", hostile): 1234}
    assert samples[SUCCESS] == {("shop",): 1_767_225_609.25}
    assert samples["cio_etl_last_run_end_timestamp_seconds"] == {("shop",): 1_767_225_609}
    assert samples["cio_etl_ledger_subjects"] == {("shop", "people"): 12}
    assert samples["cio_etl_open_rejects"] == {("shop",): 7}
    assert samples.keys() == {each.name for each in FILE_METRICS}


def test_a_job_that_never_ran_has_a_last_success_that_is_too_old() -> None:
    assert parsed(text_of(JobFacts("shop", None, None, 0))) == {
        SUCCESS: {("shop",): 0},
        "cio_etl_open_rejects": {("shop",): 0},
    }


@pytest.mark.slow
def test_whichever_way_a_run_ends_the_last_success_stays(
    job: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.time()
    cio_etl.run(job)
    first = written()
    assert before - 1 <= first[SUCCESS][("shop",)] <= time.time() + 1
    assert (first[EXIT], first["cio_etl_open_rejects"]) == ({("shop",): 3}, {("shop",): 1})
    assert first["cio_etl_last_run_rows"][("shop", "accepted", "people")] == 2
    assert first["cio_etl_expected_interval_seconds"] == {("shop",): 26 * 3600}
    assert stat.S_IMODE(FILE.stat().st_mode) == 0o644
    assert [each for each in os.listdir() if "prom" in each] == [FILE.name]
    assert "canary" not in FILE.read_text()

    time.sleep(1.1)  # ends are recorded in whole seconds: those of the two runs must differ
    strict = written_job(sandbox, max_rejects=0)
    with pytest.raises(TooManyRejects):
        cio_etl.run(strict)
    failed = written()
    assert failed[SUCCESS] == first[SUCCESS] and failed[EXIT] == {("shop",): 4}
    assert failed["cio_etl_last_run_resumable"] == {("shop",): 1}
    assert failed["cio_etl_last_run_start_timestamp_seconds"][("shop",)] >= first[SUCCESS][("shop",)] - 1

    with state.hold(load_job(strict).state_location, "shop"), pytest.raises(JobLocked):
        cio_etl.run(strict)
    with pytest.raises(TooManyRejects):
        cio_etl.run(strict, sandbox=True)
    assert written() == failed

    monkeypatch.delenv(API_KEY)
    with pytest.raises(ConfigError):
        cio_etl.run(strict)
    assert written() == failed | {EXIT: {("shop",): 78}}


@pytest.mark.slow
def test_a_replay_is_told_as_what_it_leaves_open_of_its_job(job: Path) -> None:
    run = cio_etl.run(job)
    before = written()
    Path("people.csv").write_text("id,e_mail\n1,a@b.co\n2,b@b.co\n3,canary@no.address\n")
    assert main(["rejects", run.run_id, "-o", "fixed.csv"]) == 0
    fixed = Path("fixed.csv").read_text().replace("canary-no-address", "c@b.co")
    Path("fixed.csv").write_text(fixed)
    assert main(["replay", "fixed.csv"]) == 0
    assert written() == before | {"cio_etl_open_rejects": {("shop",): 0}, EXIT: {("shop",): 0}}


@pytest.mark.slow
def test_a_file_that_cannot_be_written_costs_one_warning(sandbox: Sandbox, job: Path) -> None:
    with capture_logs() as events:
        assert cio_etl.run(written_job(sandbox, metrics_file="missing/shop.prom")).status == "finished"
    (warning,) = [each for each in events if each["event"] == "metrics_not_written"]
    assert warning["reason"] == "No such file or directory" and not Path("missing").exists()


@pytest.mark.slow
def test_a_signal_while_the_file_is_written_does_not_leave_that_of_the_run_before(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, killed = text_file.write_text_file, list[int]()

    def killed_once(path: Path, facts: JobFacts) -> None:
        if not killed:
            killed.append(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)  # until the handler has raised
        write(path, facts)

    monkeypatch.setattr(measuring, "write_text_file", killed_once)
    assert main(["run", str(job)]) == 3
    assert len(killed) == 1 and written()[EXIT] == {("shop",): 3}


def test_each_destination_of_a_job_has_a_file_of_its_own(sandbox: Sandbox, job: Path) -> None:
    written_job(sandbox, destinations={"dev": {}, "prod": {"lanes": 2}})
    assert load_job(job, target="prod").metrics_file == Path("shop.prod.prom")


def test_a_file_that_node_exporter_would_not_read_is_a_fault_of_the_job(sandbox: Sandbox, job: Path) -> None:
    problems = cio_etl.check(written_job(sandbox, metrics_file="shop.txt"))
    assert [each.message for each in problems] == ["must end in .prom, or node_exporter does not read it"]
