"""Plans as Airflow tasks: made, approved by a person through Airflow's own API, and applied; against the sandbox."""

from __future__ import annotations

import gc
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import BOTH_WAYS, HOME, WAYS, Shop, once, summary, tries
from fastapi.testclient import TestClient

from cio_etl.airflow.dags import build_dags
from cio_etl.sandbox import Faults

Capture = pytest.CaptureFixture[str]
TASKS = ("plan", "approve", "apply")


@pytest.fixture(scope="session")
def api() -> Iterator[TestClient]:
    """Airflow's API, as its pages use it, without the one that tasks use: `dag.test()` has its own."""
    from airflow.api_fastapi.app import create_app

    with TestClient(create_app(apps="core")) as client:
        token = client.get("/auth/token").json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        gc.freeze()  # some 400,000 objects, none of which is garbage
        yield client


@BOTH_WAYS
def test_what_a_person_approves_is_sent(shop: Shop, api: TestClient, executable: list[str] | None) -> None:
    step(shop, sync="changed")
    dag = shop.dag(executable=executable, approve=True)
    with answered(api, "Approve") as asked:
        run = shop.run(dag)
    assert (run.state, states(run), shop.people) == ("success", ["success"] * 3, 400)
    (question,) = asked
    assert question["subject"] == "Send the plan of people to Customer.io?"
    assert question["body"].startswith("The first run would add 400 people.")
    assert "- people: can start campaigns: 400 new people, 0 changed people, 0 events" in question["body"]
    assert "| people | 400 | 400 | 0 | 0 | 0 | 0 | 400 | 2 | 0.0 |" in question["body"]
    planned, done = summary(run, "plan"), summary(run, "apply")
    assert (planned["exit_code"], planned["items"], planned["steps"]["people"]["new"]) == (3, 400, 400)
    assert (done["status"], done["accepted"]) == ("finished", 400)
    assert "shop.example" not in json.dumps(planned) + question["body"]  # the rows are 400 addresses there
    assert "add 400 people" in Path(planned["page"]).read_text()
    file = Path(planned["plan"])
    assert file.parent == shop.folder / ".etl" / "plans" / "people" and file.stat().st_mode & 0o777 == 0o600


def test_a_rejected_plan_sends_nothing(shop: Shop, api: TestClient) -> None:
    dag = shop.dag(approve=True)
    with answered(api, "Reject"):
        run = shop.run(dag)
    assert (run.state, states(run), shop.people) == ("success", ["success", "success", "skipped"], 0)
    dag = shop.dag(approve={"fail_on_reject": True})
    with answered(api, "Reject"):
        run = shop.run(dag)
    assert (run.state, states(run), shop.people) == ("failed", ["success", "failed", "upstream_failed"], 0)


def test_without_an_answer_in_time_nothing_is_sent_and_nobody_is_asked_again(shop: Shop) -> None:
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    dag = shop.dag(approve=True)
    assert dag.task_dict["approve"].response_timeout == timedelta(hours=20)
    dag.task_dict["approve"].response_timeout = timedelta(seconds=1)
    scheduler = SchedulerJobRunner(Job())
    with meanwhile(scheduler.check_awaiting_input_timeouts):
        run = shop.run(dag)
    assert (run.state, tries(run, "approve"), tries(run, "apply")[0]) == ("failed", ("failed", 1), "upstream_failed")
    assert shop.people == 0


@WAYS
@pytest.mark.parametrize("sync", ["all", "changed"])
def test_a_plan_that_does_not_fit_any_more_fails_and_is_not_tried_again(
    shop: Shop, api: TestClient, executable: list[str] | None, sync: str, capfd: Capture
) -> None:
    step(shop, sync=sync)
    rows = shop.folder / "people.csv"
    dag = shop.dag(executable=executable, approve=True)
    with answered(api, "Approve", lambda: rows.write_text(rows.read_text().replace(",pro\n", ",own\n", 1))):
        run = shop.run(dag)
    assert (run.state, tries(run, "apply"), shop.people) == ("failed", ("failed", 1), 0)
    said = "".join(capfd.readouterr())
    assert "the plan does not fit any more: step people: its source has other rows" in said and "(exit code 78)" in said


@WAYS
def test_nothing_to_send_skips_the_question_and_the_run(shop: Shop, executable: list[str] | None) -> None:
    step(shop, sync="changed")
    assert shop.run(shop.dag()).state == "success"
    before = shop.sandbox.stats()
    run = shop.run(shop.dag(executable=executable, approve=True))
    assert (run.state, states(run)) == ("success", ["success", "skipped", "skipped"])
    assert (summary(run, "plan")["exit_code"], summary(run, "plan")["items"]) == (0, 0)
    assert shop.sandbox.stats() == before


@WAYS
def test_a_plan_of_too_many_changes_fails_until_they_are_accepted(
    shop: Shop, api: TestClient, executable: list[str] | None, capfd: Capture
) -> None:
    step(shop, sync="changed", limits={"changed": "10%"})
    assert shop.run(shop.dag()).state == "success"
    rows = shop.folder / "people.csv"
    rows.write_text(rows.read_text().replace(",pro", ",own"))
    dag = shop.dag(executable=executable, approve=True)
    run = shop.run(dag)
    assert (run.state, tries(run, "plan"), states(run)[1:]) == ("failed", ("failed", 1), ["upstream_failed"] * 2)
    said = "".join(capfd.readouterr())
    assert "a run would stop: step people: 400 of 400 subjects would change; limits: changed allows 40" in said
    with answered(api, "Approve"):
        run = shop.run(dag, accept_changes=True)
    assert (run.state, summary(run, "apply")["accepted"]) == ("success", 400)


@WAYS
@pytest.mark.parametrize("faults", [Faults(latency_s=0.2)])
def test_a_run_of_a_plan_that_is_interrupted_goes_on(shop: Shop, api: TestClient, executable: list[str] | None) -> None:
    shop.write(rows=3_000)
    dag = shop.dag(executable=executable, approve=True)
    with (
        answered(api, "Approve"),
        once(lambda: shop.people > 400, lambda: os.kill(os.getpid(), signal.SIGTERM)),
    ):
        run = shop.run(dag)
    assert (run.state, tries(run, "apply"), tries(run, "plan")) == ("success", ("success", 2), ("success", 1))
    assert (summary(run, "apply")["accepted"], shop.sandbox.stats()["items"]) == (3_000, 3_000)  # each once


@WAYS
def test_while_another_run_is_unfinished_no_plan_is_put_to_anybody(
    shop: Shop, executable: list[str] | None, capfd: Capture
) -> None:
    shop.write(rows=3_000)
    shop.sandbox.set_faults(Faults(key_revoked_after=3))
    assert shop.run(shop.dag()).state == "failed"
    shop.sandbox.set_faults(Faults())
    dag = shop.dag(executable=executable, approve=True)
    dag.task_dict["plan"].retries = 0
    run = shop.run(dag)
    assert (run.state, states(run)) == ("failed", ["failed", "upstream_failed", "upstream_failed"])
    assert "has sent a part of its rows, and is unfinished; let it end first" in "".join(capfd.readouterr())


@WAYS
def test_rejected_rows_of_a_plan_are_a_warning_unless_they_are_to_fail(
    shop: Shop, api: TestClient, executable: list[str] | None, capfd: Capture
) -> None:
    with (shop.folder / "people.csv").open("a") as file:
        file.write("400,nobody@@shop.example,pro\n")
    dag = shop.dag(executable=executable, approve=True)
    with answered(api, "Approve") as asked:
        run = shop.run(dag)
    assert (run.state, summary(run, "plan")["rejected"], summary(run, "apply")["rejected"]) == ("success", 1, 1)
    assert r"- people: 1 rejected with email\_malformed in attributes.email" in asked[0]["body"]
    assert "step people: 1 rejected with email_malformed in attributes.email" in "".join(capfd.readouterr())
    run = shop.run(dag, fail_on_rejects=True)
    assert (run.state, tries(run, "plan")) == ("failed", ("failed", 1))
    assert "1 row was rejected, and fail_on_rejects is set" in "".join(capfd.readouterr())


@WAYS
def test_operators_go_into_a_dag_of_ones_own(
    shop: Shop, executable: list[str] | None, capfd: Capture, tmp_path: Path
) -> None:
    program = f"""
from airflow.sdk import DAG
from cio_etl.airflow.operators import CustomerIOApplyOperator, CustomerIOPlanOperator
with DAG("own") as dag:
    shared = {{"folder": {str(shop.folder)!r}, "executable": {executable!r}}}
    shared |= {{"retries": 3}}
    plan = CustomerIOPlanOperator(
        task_id="plan", job="jobs/people.yaml", path="{{{{ dag.dag_id }}}}.json", limit=9, **shared)
    CustomerIOApplyOperator(task_id="apply", plan=plan.output["plan"], **shared)
    CustomerIOApplyOperator(task_id="other", plan="nowhere.json", **shared)
"""
    dag = shop.dag_of(program, "own")
    assert dag.task_dict["apply"].upstream_task_ids == {"plan"}
    run = shop.run(dag)
    assert (tries(run, "apply"), tries(run, "other"), shop.people) == (("success", 1), ("failed", 1), 9)
    assert summary(run, "plan")["plan"] == str(shop.folder / "own.json")
    assert "nowhere.json" in "".join(capfd.readouterr())


def test_a_group_can_ask_for_approval(shop: Shop, api: TestClient) -> None:
    program = f"""
from airflow.sdk import DAG
from cio_etl.airflow.task_group import CustomerIOTaskGroup
with DAG("own") as dag:
    CustomerIOTaskGroup(job="jobs/people.yaml", folder={str(shop.folder)!r}, limit=9, grace=2.0, approve=True)
"""
    dag = shop.dag_of(program, "own")
    assert [*dag.task_dict] == [f"people.{name}" for name in ("validate", *TASKS)]
    assert dag.task_dict["people.plan"].upstream_task_ids == {"people.validate"}
    assert dag.task_dict["people.apply"].grace == 2.0
    with answered(api, "Approve"):
        run = shop.run(dag)
    assert (run.state, shop.people) == ("success", 9)


def test_a_plan_that_is_already_applied_is_reported_and_not_sent_again(shop: Shop, api: TestClient) -> None:
    dag = shop.dag(approve=True)
    with answered(api, "Approve"):
        run = shop.run(dag)
    before = shop.sandbox.stats()
    program = f"""
from airflow.sdk import DAG
from cio_etl.airflow.operators import CustomerIOApplyOperator
with DAG("again") as dag:
    CustomerIOApplyOperator(task_id="apply", plan={summary(run, "plan")["plan"]!r}, folder={str(shop.folder)!r})
"""
    again = shop.run(shop.dag_of(program, "again"))
    assert summary(again, "apply") == summary(run, "apply")
    assert shop.sandbox.stats() == before


def test_a_dag_with_approval_has_the_params_of_a_plan(shop: Shop) -> None:
    dag = build_dags(shop.jobs, approve=True, validate=True)["customerio__people"]
    assert dag.task_dict["plan"].upstream_task_ids == {"validate"}
    assert "restart" not in dag.params and "lanes" not in dag.params
    assert {"limit", "full_refresh", "accept_changes", "fail_on_rejects"} < {*dag.params}
    assert [outlet.uri for outlet in dag.task_dict["apply"].outlets] == ["customerio://people/"]
    with pytest.raises(ValueError, match="`approve` is for runs of one task"):
        build_dags(shop.jobs, approve=True, workers=2)


def test_the_scheduler_gets_a_dag_with_approval_whole(shop: Shop) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    written = json.loads(json.dumps(DagSerialization.to_dict(shop.dag(approve=True))))
    back = DagSerialization.from_dict(written)
    assert [*back.task_dict] == [*TASKS]
    assert [back.task_dict[name].inherits_from_skipmixin for name in TASKS] == [True, True, False]


def test_a_package_that_approval_needs_and_is_missing_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.hitl", None)  # as where it is missing
    with pytest.raises(ImportError) as error:
        build_dags(shop.jobs, approve=True)
    assert "`approve` needs the ApprovalOperator of Airflow 3.3 with its package" in str(error.value)
    assert "apache-airflow-providers-standard; this is Airflow 3.3" in str(error.value)


def step(shop: Shop, **keys: Any) -> None:
    """Writes the shop's job with these keys of its step."""
    shop.write(steps=[{"name": "people", "source": {"csv": "people.csv"}, "mapping": "people.yaml", **keys}])


def states(run: Any) -> list[str]:
    """The states of plan, approve and apply."""
    return [tries(run, name)[0] for name in TASKS]


@contextmanager
def answered(api: TestClient, answer: str, before: Callable[[], Any] = lambda: None) -> Iterator[list[Any]]:
    """While the block runs: does `before`, and answers whatever waits for an answer; the questions that were asked."""
    asked: list[Any] = []

    def look() -> None:
        if not somebody_waits():
            return  # to ask the API takes 50 ms of CPU
        waiting = {"state": "awaiting_input", "response_received": "false"}
        for detail in api.get("/api/v2/dags/~/dagRuns/~/hitlDetails", params=waiting).json()["hitl_details"]:
            ti = detail["task_instance"]
            before()
            path = (
                f"/api/v2/dags/{ti['dag_id']}/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/-1/hitlDetails"
            )
            api.patch(path, json={"chosen_options": [answer], "params_input": {}}).raise_for_status()
            asked.append(detail)

    with meanwhile(look):
        yield asked


def somebody_waits() -> bool:
    """Whether a task waits for an answer, by Airflow's database."""
    with closing(sqlite3.connect(f"file:{HOME}/airflow.db?mode=ro", uri=True)) as database:
        waiting = "select exists (select 1 from task_instance where state = 'awaiting_input')"
        return bool(database.execute(waiting).fetchone()[0])


@contextmanager
def meanwhile(look: Callable[[], Any]) -> Iterator[None]:
    """While the block runs: looks again and again."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.3):
            look()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
