"""Makes one DAG for each job file of a folder that has a `schedule`.

Airflow runs this all day, so only `name` and `schedule` of a job file are read here. The rest is checked when its task
runs, or before that by `cio-etl check`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, Asset, get_parsing_context
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cio_etl.airflow.approval import approved_run
from cio_etl.airflow.hook import CustomerIOHook
from cio_etl.airflow.operators import CustomerIORunOperator, CustomerIOValidateOperator
from cio_etl.airflow.request import run_params, shares
from cio_etl.run.options import FAIL_ON_REJECTS
from cio_etl.validate.options import PLAN_OPTIONS

log = logging.getLogger(__name__)

RETRIES = {"retries": 3, "retry_delay": timedelta(minutes=5), "retry_exponential_backoff": True}


@dataclass(frozen=True, slots=True)
class Planned:
    """What a DAG needs from a job file. `fault` says why the file cannot be used."""

    path: Path
    name: str
    schedule: str | list[Asset] | None = None
    fault: str = ""
    has_targets: bool = False  # it has several destinations


def build_dags(
    jobs: str | Path,
    *,
    folder: str | Path | None = None,
    timezone: str = "UTC",
    customerio_conn_id: str = CustomerIOHook.default_conn_name,
    connections: Mapping[str, str] | None = None,
    executable: str | Sequence[str] | None = None,
    validate: bool = False,
    fail_on: Sequence[str] = (),
    approve: bool | Mapping[str, Any] = False,
    workers: int | None = None,
    lanes: int = 16,
    target: str | None = None,
    prefix: str = "customerio__",
    default_args: Mapping[str, Any] | None = None,
    **dag_arguments: Any,
) -> dict[str, DAG]:
    """A DAG for each job file in the folder `jobs` that has a `schedule`, by name: `globals().update(build_dags(…))`.

    Relative paths in the jobs start at `folder`; its default is the folder that holds `jobs`. A cron line is read in
    `timezone`. With `validate` the rows are validated before each run, with `fail_on` as a gate. With `approve`, a run
    is planned, a person approves the plan, and just that is sent; it may hold arguments of Airflow's ApprovalOperator.
    `target` is for the jobs with several `destinations`. `default_args` and `dag_arguments` are Airflow's. With
    `workers`, that many mapped tasks share the run's `lanes` over a state database, and a task `report` ends the run.
    Each run updates the asset `customerio://` with the job's name. Raises ValueError for `approve` with `workers`, and
    ImportError when this Airflow has no ApprovalOperator.

    A file that cannot be read makes a DAG, too: without a schedule, tagged "broken", with the fault in its notes.
    """
    if approve and workers is not None:
        raise ValueError("`approve` is for runs of one task; give one of `approve` and `workers`")
    jobs = Path(jobs).absolute()
    wanted = get_parsing_context().dag_id  # a task that starts needs only its own DAG
    dags: dict[str, DAG] = {}
    for planned in plans(jobs):
        dag_id = prefix + planned.name
        if wanted is not None and dag_id != wanted:
            continue
        if planned.fault:
            log.error("%s: %s", planned.path, planned.fault)
        with DAG(
            dag_id,
            schedule=planned.schedule,
            **{
                "start_date": datetime(2024, 1, 1, tzinfo=ZoneInfo(timezone)),
                "catchup": False,
                "max_active_runs": 1,  # a job has one run at a time anyway
                "params": run_params((*PLAN_OPTIONS, FAIL_ON_REJECTS.name) if approve else ()),
                "tags": ["customerio", *(["broken"] if planned.fault else [])],
                "doc_md": f"`{planned.path}`\n\n{planned.fault}",
                **dag_arguments,
            },
            default_args={**RETRIES, **(default_args or {})},
        ) as dag:
            job = {"job": str(planned.path), "target": target if planned.has_targets else None}
            shared: dict[str, Any] = {
                "folder": str(folder or jobs.parent),
                "customerio_conn_id": customerio_conn_id,
                "connections": connections,
                "executable": executable,
                "from_params": True,
            }
            outlets = [Asset(name=dag_id, uri=f"customerio://{planned.name}")]
            if approve:
                first: Any = approved_run(approve, job, {"outlets": outlets}, shared)[0]
            elif workers is None:
                first = CustomerIORunOperator(task_id="run", outlets=outlets, **job, **shared)
            else:
                template = "{{ task.lanes }}"
                mapped = CustomerIORunOperator.partial(task_id="run", map_index_template=template, **job, **shared)
                first = mapped.expand(lanes=(own := shares(lanes, workers)))
                first >> CustomerIORunOperator(task_id="report", lanes=own[0], outlets=outlets, **job, **shared)
            if validate:
                CustomerIOValidateOperator(task_id="validate", fail_on=fail_on, **job, **shared) >> first
        dags[dag_id] = dag
    return dags


def plans(jobs: Path) -> list[Planned]:
    """The job files of a folder that have a schedule or a fault; the second of two with one name has a fault."""
    by_name: dict[str, Planned] = {}
    for path in sorted([*jobs.glob("*.yaml"), *jobs.glob("*.yml")]):
        if path.name.startswith("."):
            continue
        planned = _planned(path)
        if planned is not None and planned.name in by_name:
            fault = f"{by_name[planned.name].path} has the same name; give it another one"
            planned = Planned(path, f"{planned.name}.{path.name}", fault=fault)
        if planned is not None:
            by_name[planned.name] = planned
    return list(by_name.values())


def _planned(path: Path) -> Planned | None:
    try:
        job = YAML(typ="safe", pure=True).load(path)
    except (OSError, UnicodeDecodeError):
        return Planned(path, path.stem, fault="it cannot be read")
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" in line {mark.line + 1}"
        return Planned(path, path.stem, fault=f"it is not YAML{line}; `cio-etl check` reports more")
    if not isinstance(job, dict) or "schedule" not in job:
        return None
    name, schedule = job.get("name", path.stem), job["schedule"]
    if not isinstance(name, str) or "${" in name:
        return Planned(path, path.stem, fault="its name must not be a reference: Airflow knows the DAG by it")
    if isinstance(schedule, dict) and schedule.keys() == {"assets"} and isinstance(schedule["assets"], list):
        uris = schedule["assets"]
        if uris and all(isinstance(uri, str) and "${" not in uri for uri in uris):
            return Planned(path, name, [Asset(uri) for uri in uris], has_targets=_has_targets(path, job))
    if isinstance(schedule, str) and "${" not in schedule:
        return Planned(path, name, schedule, has_targets=_has_targets(path, job))
    return Planned(path, name, fault="its schedule must be a cron line without references, or {assets: […]}")


def _has_targets(path: Path, job: Any, most: int = 20) -> bool:
    """Whether a job file, or one that it extends, has `destinations`; a file that cannot be read has none."""
    for _ in range(most):
        if "destinations" in job or not isinstance(base := job.get("extends"), str):
            break
        path = path.parent / base
        try:
            job = YAML(typ="safe", pure=True).load(path)
        except (OSError, UnicodeDecodeError, YAMLError):
            return False
        if not isinstance(job, dict):
            return False
    return "destinations" in job
