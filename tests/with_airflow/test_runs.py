"""Jobs as Airflow tasks: real task runs, `dag.test()`, against the sandbox."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import API_KEY, BOTH_WAYS, SITE_ID, WAYS, Shop, connect, once, summary, tries

from cio_etl.airflow.request import plain_name, shares
from cio_etl.sandbox import Credentials, Faults, Sandbox

Capture = pytest.CaptureFixture[str]


@WAYS
def test_a_run_sends_every_row_and_leaves_a_summary(shop: Shop, executable: list[str] | None, capfd: Capture) -> None:
    run = shop.run(shop.dag(executable=executable))
    assert (run.state, *tries(run), shop.people) == ("success", "success", 1, 400)
    left = summary(run)
    assert (left["job"], left["status"], left["exit_code"], left["accepted"]) == ("people", "finished", 0, 400)
    assert left["steps"]["people"]["rows_read"] == 400
    assert left["run_id"].startswith("people-") and (shop.folder / ".etl" / "runs" / left["run_id"]).is_dir()
    assert API_KEY not in "".join(capfd.readouterr())


@WAYS
def test_a_run_is_a_part_of_the_span_of_its_task(
    shop: Shop, executable: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from tests.telemetry_collector import collecting

    shop.write(telemetry="otlp")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with TracerProvider().get_tracer("airflow").start_as_current_span("task") as task:
            assert shop.run(shop.dag(executable=executable)).state == "success"
    (run,), context = collector.named("run people"), task.get_span_context()
    assert (run.trace_id, run.parent_span_id) == (
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
    )
    assert collector.numbers("cio_etl.rows")["people", "accepted", "people"] == 400


def test_consumers_of_the_asset_are_told_how_many_rows_there_were(shop: Shop) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    run = shop.run(shop.dag())
    with create_session() as session:
        event = session.query(AssetEvent).filter_by(source_run_id=run.run_id).one()
        assert (event.uri, event.extra["accepted"], event.extra["status"]) == ("customerio://people/", 400, "finished")


@BOTH_WAYS
@pytest.mark.parametrize("faults", [Faults(latency_s=0.2)])
def test_a_task_that_is_killed_drains_and_its_next_try_goes_on(
    shop: Shop, executable: list[str] | None, capfd: Capture
) -> None:
    shop.write(rows=3_000, destination={"lanes": 2, "max_batch_bytes": 32_100})
    dag = shop.dag(executable=executable)
    with once(lambda: shop.people > 400, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        run = shop.run(dag)
    assert (run.state, *tries(run)) == ("success", "success", 2)
    left = summary(run)
    assert (left["accepted"], left["possibly_sent_twice"], shop.people) == (3_000, 0, 3_000)  # of both tries
    assert shop.sandbox.stats()["items"] == 3_000  # each once
    assert "stopped by SIGTERM" in "".join(capfd.readouterr())


@WAYS
def test_mapped_tasks_do_one_run_and_the_last_task_reports_it(
    shop: Shop, state_in_postgres: dict[str, str], executable: list[str] | None
) -> None:
    shop.write(rows=2_000, state=state_in_postgres)
    dag = shop.dag(executable=executable, workers=3, lanes=8)
    run = shop.run(dag)
    assert run.state == "success"
    mapped = [ti for ti in run.get_task_instances() if ti.task_id == "run"]
    assert sorted(ti.rendered_map_index for ti in mapped) == ["0-1/8", "2-4/8", "5-7/8"]
    left = summary(run, "report")
    assert (left["accepted"], left["status"], shop.people) == (2_000, "finished", 2_000)
    assert shop.sandbox.stats()["items"] == 2_000  # each once
    assert [ti.xcom_pull(task_ids="run", map_indexes=ti.map_index)["run_id"] for ti in mapped] == [left["run_id"]] * 3
    assert run.run_id.split("_")[0] in left["run_id"]


@WAYS
def test_mapped_tasks_need_a_state_database(shop: Shop, executable: list[str] | None, capfd: Capture) -> None:
    run = shop.run(shop.dag(executable=executable, workers=2))
    assert run.state == "failed" and {ti.try_number for ti in run.get_task_instances() if ti.task_id == "run"} == {1}
    assert "workers share a state database" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("lanes", "workers", "meant"),
    [(16, 2, ["0-7/16", "8-15/16"]), (4, 4, ["0-0/4", "1-1/4", "2-2/4", "3-3/4"]), (5, 2, ["0-1/5", "2-4/5"])],
)
def test_lanes_are_shared_out_whole(lanes: int, workers: int, meant: list[str]) -> None:
    assert shares(lanes, workers) == meant
    with pytest.raises(ValueError, match="4 lanes are too few for 5 workers"):
        shares(4, 5)


def test_a_dag_runs_id_becomes_a_plain_name() -> None:
    assert plain_name("scheduled__2026-11-25T03:00:00+00:00") == "scheduled__2026-11-25T03-00-00-00-00"


def test_an_outage_is_waited_for(shop: Shop) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shop.write(destination={"base_url": f"http://127.0.0.1:{port}"})
    dag = shop.dag()
    started: list[Sandbox] = []

    def mend(_context: Any) -> None:
        started.append(Sandbox(port=port, credentials=Credentials(SITE_ID, API_KEY)))
        started[0].__enter__()

    dag.task_dict["run"].on_retry_callback = [mend]
    run = shop.run(dag)
    (sandbox,) = started
    sandbox.__exit__(None, None, None)
    assert (run.state, *tries(run), sandbox.stats()["people"]) == ("success", "success", 2, 400)


@WAYS
def test_keys_that_are_refused_are_not_tried_again(
    shop: Shop, executable: list[str] | None, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    connect(monkeypatch, "another-key")
    run = shop.run(shop.dag(executable=executable))
    assert (run.state, *tries(run), shop.people) == ("failed", "failed", 1, 0)
    said = "".join(capfd.readouterr())
    assert "refused the credentials (HTTP 401)" in said and "(exit code 77)" in said
    assert "another-key" not in said


@pytest.mark.parametrize("faults", [Faults(key_revoked_after=3, new_api_key="the-new-key")])
def test_keys_that_are_renewed_meanwhile_are_taken(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write(rows=2_000)
    dag = shop.dag()
    with once(lambda: shop.sandbox.stats()["requests"] >= 1, lambda: connect(monkeypatch, "the-new-key")):
        run = shop.run(dag)
    assert (run.state, *tries(run), shop.people) == ("success", "success", 1, 2_000)


@WAYS
@pytest.mark.parametrize("faults", [Faults(latency_s=0.5)])
def test_a_task_that_takes_too_long_ends_and_can_go_on(shop: Shop, executable: list[str] | None) -> None:
    shop.write(rows=12_000)
    dag = shop.dag(executable=executable)
    task = dag.task_dict["run"]
    task.retries, task.execution_timeout = 0, timedelta(seconds=6)
    assert shop.run(dag).state == "failed"
    sent = shop.people
    assert 0 < sent < 12_000  # all rows would need 24 seconds, and more
    task.execution_timeout = None
    assert (shop.run(dag).state, shop.people) == ("success", 12_000)
    assert shop.sandbox.stats()["items"] <= 12_000 + 2 * 300  # a batch of each lane, at most


@pytest.mark.parametrize(
    ("job", "said", "code"),
    [
        ({"unknown": 1}, "unknown: unknown key", 78),
        ({"destination": {"region": "fr"}}, "destination.region: must be 'us', 'eu' or 'auto'", 78),
    ],
)
@WAYS
def test_a_job_file_that_is_wrong_is_not_tried_again(
    shop: Shop, executable: list[str] | None, job: dict[str, Any], said: str, code: int, capfd: Capture
) -> None:
    shop.write(**job)
    run = shop.run(shop.dag(executable=executable))
    assert (run.state, *tries(run)) == ("failed", "failed", 1)
    told = "".join(capfd.readouterr())
    assert said in told and f"(exit code {code})" in told


@WAYS
def test_rejected_rows_are_a_warning_unless_they_are_to_fail(
    shop: Shop, executable: list[str] | None, capfd: Capture
) -> None:
    with (shop.folder / "people.csv").open("a") as file:
        file.write("400,nobody@@shop.example,pro\n")
    dag = shop.dag(executable=executable)
    run = shop.run(dag)
    assert (run.state, summary(run)["rejected"], summary(run)["exit_code"]) == ("success", 1, 3)
    assert "1 row was rejected" in "".join(capfd.readouterr())
    run = shop.run(dag, fail_on_rejects=True)
    assert (run.state, *tries(run)) == ("failed", "failed", 1)


@WAYS
def test_too_many_rejects_are_not_tried_again(shop: Shop, executable: list[str] | None, capfd: Capture) -> None:
    (shop.folder / "people.csv").write_text("id,e_mail,plan\n1,a@@b,pro\n2,b@b.co,pro\n")
    shop.write_job(max_rejects=0)
    run = shop.run(shop.dag(executable=executable))
    assert (run.state, *tries(run)) == ("failed", "failed", 1)
    assert "more than max_rejects allows" in "".join(capfd.readouterr())


@WAYS
def test_params_choose_rows_and_lanes(shop: Shop, executable: list[str] | None) -> None:
    dag = shop.dag(executable=executable)
    run = shop.run(dag, limit=7, lanes=1)
    assert (run.state, summary(run)["accepted"], shop.people) == ("success", 7, 7)
    assert shop.sandbox.stats()["requests"] == 1
    run = shop.run(dag, full_refresh=True, watermark="2024-01-01")
    assert (run.state, *tries(run)) == ("failed", "failed", 1)


@WAYS
@pytest.mark.parametrize("faults", [Faults(latency_s=0.2)])
def test_restart_gives_up_what_was_there_before_and_not_its_own_first_try(
    shop: Shop, executable: list[str] | None
) -> None:
    shop.write(rows=3_000)
    dag = shop.dag(executable=executable)
    dag.task_dict["run"].retries = 0
    with once(lambda: shop.people > 400, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert shop.run(dag).state == "failed"
    time.sleep(1.1)  # a run's begin is known to the second
    dag = shop.dag(executable=executable)
    before = shop.sandbox.stats()["items"]
    with once(lambda: shop.sandbox.stats()["items"] > before + 400, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        run = shop.run(dag, restart=True)
    assert (run.state, *tries(run), summary(run)["accepted"]) == ("success", "success", 2, 3_000)
    assert shop.sandbox.stats()["items"] == before + 3_000


def test_the_command_is_told_the_keys_by_its_environment_alone(shop: Shop, tmp_path: Path) -> None:
    spy = tmp_path / "cio-etl"
    spy.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"open({str(tmp_path / 'seen.json')!r}, 'w').write(json.dumps([sys.argv, dict(os.environ)]))\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'cio_etl.cli', *sys.argv[1:]])\n"
    )
    spy.chmod(0o700)
    run = shop.run(shop.dag(executable=str(spy)))
    left = summary(run)
    assert (run.state, left["status"], left["exit_code"], left["accepted"]) == ("success", "finished", 0, 400)
    words, environment = json.loads((tmp_path / "seen.json").read_text())
    assert words[1:] == ["run", str(shop.job), "--json", "--grace=4.0"]
    assert environment["CUSTOMERIO_API_KEY"] == API_KEY
    assert [name for name in environment if name.lstrip("_").startswith("AIRFLOW")] == []
    written = [path for path in shop.folder.rglob("*") if path.is_file() and API_KEY.encode() in path.read_bytes()]
    assert written == []


def test_a_command_that_is_not_there_is_told(shop: Shop, capfd: Capture) -> None:
    run = shop.run(shop.dag(executable="/nowhere/cio-etl"))
    assert (run.state, *tries(run)) == ("failed", "failed", 1)
    assert "/nowhere/cio-etl cannot be started: No such file or directory" in "".join(capfd.readouterr())


@WAYS
def test_a_validation_lets_only_pass_what_is_fit(shop: Shop, executable: list[str] | None) -> None:
    dag = shop.dag(executable=executable, validate=True, fail_on=["email_malformed"])
    run = shop.run(dag)
    assert (run.state, summary(run, "validate")["rows_read"], shop.people) == ("success", 400, 400)
    with (shop.folder / "people.csv").open("a") as file:
        file.write("401,nobody@@shop.example,pro\n")
    run = shop.run(dag)
    assert tries(run, "validate") == ("failed", 1)
    assert (run.state, tries(run)[0]) == ("failed", "upstream_failed")


def test_a_group_goes_into_a_dag_of_ones_own(shop: Shop) -> None:
    program = f"""
from airflow.sdk import DAG, task
from cio_etl.airflow.task_group import CustomerIOTaskGroup
with DAG("own") as dag:
    @task
    def dbt(): pass
    @task
    def tell(summary): assert summary["accepted"] == 9
    load = CustomerIOTaskGroup(job="jobs/people.yaml", folder={str(shop.folder)!r}, limit=9, lanes=1, outlets=[])
    dbt() >> load
    tell(load.tasks[1].output)
"""
    dag = shop.dag_of(program, "own")
    assert dag.task_dict["people.validate"].upstream_task_ids == {"dbt"}
    assert dag.task_dict["people.run"].upstream_task_ids == {"people.validate"}
    run = shop.run(dag)
    assert (run.state, tries(run, "tell"), shop.people) == ("success", ("success", 1), 9)
