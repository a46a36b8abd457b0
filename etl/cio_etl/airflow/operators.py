"""Which tasks are there for a job? A run, a validation, and both in a group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator, TaskGroup
from airflow.sdk.log import mask_secret

from cio_etl.airflow.hook import CustomerIOHook
from cio_etl.airflow.request import GRACE_S, Runner, RunRequest, Summary, failure, plain_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cio_etl.airflow.lineage import Flow


class _JobOperator(BaseOperator):
    """What a run and a validation share.

    `job` is a job file; relative paths, in it and of it, begin at `folder`. `connections` names, for variables of the
    job file, connections of Airflow whose address they stand for: {"WAREHOUSE_URL": "warehouse"}. With `executable`, a
    `cio-etl` of another environment does the work, else this process. With `from_params`, what the DAG's params say
    counts more than the arguments of the same names.
    """

    template_fields: Sequence[str] = ("job", "folder", "customerio_conn_id", "steps", "watermark")
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        job: str,
        folder: str | None = None,
        customerio_conn_id: str = CustomerIOHook.default_conn_name,
        connections: Mapping[str, str] | None = None,
        executable: str | Sequence[str] | None = None,
        steps: Sequence[str] = (),
        limit: int | None = None,
        full_refresh: bool = False,
        watermark: str | None = None,
        fail_on_rejects: bool = False,
        from_params: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.folder = folder
        self.customerio_conn_id = customerio_conn_id
        self.connections = dict(connections or {})
        self.executable = executable
        self.steps = steps
        self.limit = limit
        self.full_refresh = full_refresh
        self.watermark = watermark
        self.fail_on_rejects = fail_on_rejects
        self.from_params = from_params

    def _asked(self, params: Mapping[str, Any]) -> RunRequest:
        """What the arguments ask for, or the params where they count more. `params` may hold others, too."""
        chosen = {name: params.get(name, getattr(self, name)) for name in ("limit", "full_refresh", "watermark")}
        if chosen["full_refresh"] and chosen["watermark"] is not None:
            raise failure(2, "full_refresh reads everything, watermark from a value on; give one of the two")
        return RunRequest(job=self.job, folder=self.folder, steps=tuple(self.steps), **chosen)

    def _work(self) -> Runner:
        self._at_work: Runner
        if self.executable is not None:
            from cio_etl.airflow.subprocess import Subprocess

            self._at_work = Subprocess(self.executable)
        else:
            from cio_etl.airflow.in_process import InProcess  # here: polars comes with it

            self._at_work = InProcess()
        return self._at_work

    def _environment(self) -> dict[str, str]:
        """What the job's references stand for, by Airflow's connections; to be laid over the process's environment."""
        held = CustomerIOHook(self.customerio_conn_id).environment()
        for name, conn_id in self.connections.items():
            address = CustomerIOHook.get_connection(conn_id).get_uri()
            held[name] = re.sub("^postgres:", "postgresql:", address)
            mask_secret(held[name])
        return held

    def _ended(self, summary: Summary, context: Context) -> Summary:
        """Tells of rejected rows, and the assets' consumers how many rows there were."""
        params = context["params"] if self.from_params else {}
        if summary["rejected"]:
            self.log.warning("%s rows were rejected: see %s", summary["rejected"], summary.get("report", "the report"))
            if params.get("fail_on_rejects", self.fail_on_rejects):
                raise failure(4, f"{summary['rejected']} rows were rejected, and fail_on_rejects is set")
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {k: v for k, v in summary.items() if k != "steps"}
        return summary

    def on_kill(self) -> None:
        """Finishes what is under way, notes it, and ends: the next try goes on from there."""
        if (work := getattr(self, "_at_work", None)) is not None:
            work.stop()


class CustomerIORunOperator(_JobOperator):
    """Runs a job, or goes on with its unfinished run; its XCom is a summary of the run.

    Rejected rows are a warning, more than `max_rejects` a failure. A failure that is not of the file, the rows or the
    keys is tried again, and a try goes on where the last one stopped. See _JobOperator for the other arguments.

    `lanes` is how many; or a share of them, as "0-7/16": then the task is one of several workers that do one run over a
    state database, found by its `run_id`, which is the DAG run's unless it is given. Map the operator over
    `shares(16, 4)`; a task after them with any share has the whole run's summary, and nothing left to do.
    """

    template_fields: Sequence[str] = (*_JobOperator.template_fields, "run_id")

    def __init__(
        self,
        *,
        lanes: int | str | None = None,
        run_id: str | None = None,
        restart: bool = False,
        accept_drift: bool = False,
        grace: float = GRACE_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lanes = lanes
        self.run_id = run_id
        self.restart = restart
        self.accept_drift = accept_drift
        self.grace = grace

    def execute(self, context: Context) -> Summary:
        """Runs the job."""
        params = context["params"] if self.from_params else {}
        chosen = {name: params.get(name, getattr(self, name)) for name in ("lanes", "restart", "accept_drift")}
        run_id = self.run_id
        if isinstance(self.lanes, str):  # a worker's share is no matter of taste
            chosen["lanes"] = self.lanes
            run_id = run_id or plain_name(context["dag_run"].run_id)
        began = context["dag_run"].start_date or datetime.now(UTC)
        stamp = began.astimezone(UTC).isoformat(timespec="seconds")
        request = replace(self._asked(params), grace_s=self.grace, began=stamp, run_id=run_id, **chosen)
        summary = self._work().run(request, self._environment)
        self._flows = self._flows_of(request)
        self._counts = summary["steps"]
        return self._ended(summary, context)

    def _flows_of(self, request: RunRequest) -> list[Flow]:
        """What OpenLineage will want to know, if it is there: its listener forks, and must not need polars then."""
        if find_spec("openlineage") is None or find_spec("airflow.providers.openlineage") is None:
            return []
        from cio_etl.airflow.in_process import flows

        return flows(request, self._environment)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """Sources, what they became at Customer.io, column by column, and how many rows."""
        from cio_etl.airflow.lineage import operator_lineage

        return operator_lineage(getattr(self, "_flows", []), getattr(self, "_counts", {}))


class CustomerIOValidateOperator(_JobOperator):
    """Reads, maps and checks every row of a job, and sends nothing; its XCom is a summary.

    It fails when a run would stop for its rejects, or when there is what `fail_on` names, as the command's `--fail-on`:
    `1%`, `100`, a reason, a finding, or `warning`. See _JobOperator for the other arguments.
    """

    def __init__(self, *, fail_on: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fail_on = fail_on

    def execute(self, context: Context) -> Summary:
        """Validates the job."""
        request = replace(self._asked(context["params"] if self.from_params else {}), fail_on=tuple(self.fail_on))
        return self._ended(self._work().validate(request, self._environment), context)


class CustomerIOTaskGroup(TaskGroup):
    """A validation, and then the run, of one job: for the middle of a DAG, as after dbt. Named after the job file.

    `fail_on` is for the validation; other arguments are those of the operators. `tasks` are the two, in order.
    """

    def __init__(
        self,
        *,
        job: str,
        group_id: str | None = None,
        fail_on: Sequence[str] = (),
        outlets: Sequence[Asset] = (),
        from_params: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id or Path(job).stem)
        of_run = ("lanes", "run_id", "restart", "accept_drift", "grace")
        only_run = {name: kwargs.pop(name) for name in of_run if name in kwargs}
        shared = {"job": job, "from_params": from_params, "task_group": self, **kwargs}
        validate = CustomerIOValidateOperator(task_id="validate", fail_on=fail_on, **shared)
        run = CustomerIORunOperator(task_id="run", outlets=[*outlets], **shared, **only_run)
        validate >> run
        self.tasks = (validate, run)
