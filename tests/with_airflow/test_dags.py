"""The DAGs that job files make, as Airflow parses them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import read_dags
from conftest import Shop

from cio_etl.airflow import get_provider_info
from cio_etl.airflow.dags import build_dags, plans
from cio_etl.airflow.request import run_params
from cio_etl.project import write_project


def test_a_job_with_a_schedule_is_a_dag_with_one_run_at_a_time(shop: Shop) -> None:
    (shop.jobs / "by-hand.yaml").write_text("name: by-hand\nsteps: []\n")
    dags = build_dags(shop.jobs, timezone="Europe/Paris")
    assert [*dags] == ["customerio__people"]
    dag = dags["customerio__people"]
    assert (dag.catchup, dag.max_active_runs, dag.schedule) == (False, 1, "0 3 * * *")
    assert str(dag.timezone) == "Europe/Paris"
    assert {*dag.params} == {*run_params()}
    (run,) = dag.tasks
    assert (run.retries, run.job, run.folder) == (3, str(shop.job), str(shop.folder))
    assert [outlet.uri for outlet in run.outlets] == ["customerio://people/"]


def test_the_dag_file_of_a_new_project_makes_a_dag_of_its_job(shop: Shop) -> None:
    write_project(shop.folder / "new")
    made = runpy.run_path(str(shop.folder / "new/airflow_dags/etl_jobs.py"))
    (run,) = made["customerio__shop"].tasks
    assert (made["customerio__shop"].schedule, run.folder) == ("0 3 * * *", str(shop.folder / "new"))


def test_a_job_can_wait_for_assets(shop: Shop) -> None:
    shop.write(schedule={"assets": ["s3://lake/people", "customerio://other/"]})
    (planned,) = plans(shop.jobs)
    assert isinstance(planned.schedule, list)
    assert [asset.uri for asset in planned.schedule] == ["s3://lake/people", "customerio://other/"]


def test_validation_can_come_first(shop: Shop) -> None:
    dag = build_dags(shop.jobs, validate=True, fail_on=["warning"])["customerio__people"]
    assert dag.task_dict["run"].upstream_task_ids == {"validate"}
    assert dag.task_dict["validate"].fail_on == ["warning"]


def test_a_target_is_for_jobs_with_several_destinations(shop: Shop) -> None:
    (shop.folder / "base.yaml").write_text("destinations: {dev: {}, prod: {}}\n")
    (shop.jobs / "other.yaml").write_text("extends: ../base.yaml\nschedule: '@daily'\n")
    (shop.jobs / "broken.yaml").write_text("extends: no.yaml\nschedule: '@daily'\n")
    dags = build_dags(shop.jobs, target="prod", validate=True)
    targets = {name: {task.target for task in dag.tasks} for name, dag in dags.items()}
    prefix = "customerio__"
    assert targets == {f"{prefix}people": {None}, f"{prefix}other": {"prod"}, f"{prefix}broken": {None}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: b\nschedule: [", "it is not YAML in line 2; `cio-etl check` reports more"),
        ("schedule: '@daily'\nname: ${NAME}\n", "its name must not be a reference: Airflow knows the DAG by it"),
        ("schedule: ${CRON}\n", "its schedule must be a cron line without references, or {assets: […]}"),
        (
            "schedule: {assets: ['s3://${B}']}\n",
            "its schedule must be a cron line without references, or {assets: […]}",
        ),
        ("schedule: 3\n", "its schedule must be a cron line without references, or {assets: […]}"),
        ("schedule: '@daily'\nname: people\n", "{jobs}/people.yaml has the same name; give it another one"),
        (b"\xff\xfe\x00", "it is not YAML; `cio-etl check` reports more"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_and_hides_no_other(shop: Shop, text: str | bytes, fault: str) -> None:
    (shop.jobs / "zzz.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    sound, broken = build_dags(shop.jobs).values()
    assert (sound.dag_id, sound.schedule) == ("customerio__people", "0 3 * * *")
    assert broken.schedule is None and broken.tags == {"customerio", "broken"}
    assert (broken.doc_md or "").endswith("\n\n" + fault.replace("{jobs}", str(shop.jobs)))


def test_the_scheduler_gets_the_dag_whole(shop: Shop) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    dag = shop.dag(validate=True)
    written = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    back = DagSerialization.from_dict(written)
    assert back.task_dict.keys() == {"validate", "run"}
    assert back.task_dict["run"].task_type == "CustomerIORunOperator"
    assert back.params.dump() == dag.params.dump()


def test_a_task_that_starts_is_given_its_own_dag_only(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.jobs / "other.yaml").write_text("schedule: '@daily'\n")
    assert len(build_dags(shop.jobs)) == 2
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "customerio__other")  # as the task's process has it
    assert [*build_dags(shop.jobs)] == ["customerio__other"]


def test_reading_dags_loads_no_polars_and_the_shipped_file_has_the_shipped_jobs() -> None:
    assert read_dags.DAGS == ["customerio__nightly", "customerio__warehouse"]
    assert read_dags.APPROVED_DAGS == ["customerio__people"]
    assert read_dags.LOADED == []


def test_the_provider_is_found_and_its_description_is_in_order() -> None:
    import jsonschema
    from airflow.providers_manager import ProvidersManager

    schema = json.loads((Path(sys.modules["airflow"].__path__[0]) / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    manager = ProvidersManager()
    assert manager.providers["cio-etl"].data["name"] == "Customer.io"
    hook = manager.hooks["customerio"]
    assert hook is not None and hook.hook_name == "Customer.io" and hook.connection_testable is not False
