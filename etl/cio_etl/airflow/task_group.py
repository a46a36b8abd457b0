"""Defines the tasks of one job as a group, for the middle of a DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, TaskGroup

from cio_etl.airflow.approval import approved_run
from cio_etl.airflow.operators import CustomerIORunOperator, CustomerIOValidateOperator
from cio_etl.airflow.request import task_options
from cio_etl.run.options import RunOptions
from cio_etl.validate.options import PLAN_OPTIONS, ValidateOptions


class CustomerIOTaskGroup(TaskGroup):
    """A validation and then the run of one job, for the middle of a DAG, such as after dbt. Named after the job file.

    `fail_on` is for the validation. With `approve`, the run is a plan, its approval by a person, and the run of it;
    it may hold arguments of Airflow's ApprovalOperator, such as `response_timeout`. The other arguments are those of
    the operators. `tasks` are the tasks in order.
    """

    def __init__(
        self,
        *,
        job: str,
        group_id: str | None = None,
        fail_on: Sequence[str] = (),
        outlets: Sequence[Asset] = (),
        from_params: bool = False,
        approve: bool | Mapping[str, Any] = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id or Path(job).stem)
        common = {each.name for each in task_options(ValidateOptions)}
        names = [each.name for each in task_options(RunOptions) if each.name not in common]
        only_run = {name: kwargs.pop(name) for name in names if name in kwargs}
        shared = {"from_params": from_params, "task_group": self, **kwargs}
        validate = CustomerIOValidateOperator(task_id="validate", job=job, fail_on=fail_on, **shared)
        if approve:
            given = {**shared, **only_run}
            of_plan = {name: given.pop(name) for name in PLAN_OPTIONS if name in given}
            of_run = {"grace": given.pop("grace")} if "grace" in given else {}
            tasks: tuple[Any, ...] = approved_run(
                approve, {"job": job, **of_plan}, {"outlets": outlets, **of_run}, given
            )
        else:
            tasks = (CustomerIORunOperator(task_id="run", job=job, outlets=[*outlets], **shared, **only_run),)
        validate >> tasks[0]
        self.tasks = (validate, *tasks)
