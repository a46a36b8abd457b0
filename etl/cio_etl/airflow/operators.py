"""Defines the tasks for a job: a run, a validation, and both in a group."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator, TaskGroup
from airflow.sdk.log import mask_secret

from cio_etl.airflow.hook import CustomerIOHook
from cio_etl.airflow.request import (
    PARAMS,
    Runner,
    RunRequest,
    Summary,
    default_of,
    failure,
    plain_name,
    task_options,
)
from cio_etl.errors import InvalidArguments
from cio_etl.run.options import FAIL_ON_REJECTS, Option, RunOptions, made_of
from cio_etl.validate.options import ValidateOptions

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cio_etl.airflow.lineage import Flow


def _with_options(kind: type[RunOptions] | type[ValidateOptions]) -> Callable[[Any], Any]:
    """Adds the options of a class to the arguments of an `__init__`, which gets them in `options`.

    Airflow takes default arguments, and the names of all arguments, from the signature.
    """
    options = task_options(kind)

    def decorate(init: Any) -> Any:
        def __init__(self: Any, **kwargs: Any) -> None:
            given = {each.name: kwargs.pop(each.name, default_of(each)) for each in options}
            init(self, **kwargs)
            for name, value in given.items():
                setattr(self, name, value)

        signature = inspect.signature(init)
        *named, rest = signature.parameters.values()
        more = [
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default_of(each)) for each in options
        ]
        __init__.__signature__ = signature.replace(parameters=[*named, *more, rest])  # type: ignore[attr-defined]
        __init__.__doc__ = init.__doc__
        return __init__

    return decorate


class _JobOperator(BaseOperator):
    """The common part of a run and a validation.

    `job` is a job file; relative paths, its own and those in it, start at `folder`. `connections` names, for variables
    of the job file, the Airflow connections whose addresses they stand for: {"WAREHOUSE_URL": "warehouse"}. With
    `executable`, a `cio-etl` of another environment does the work, else this process. With `from_params`, the DAG's
    params override the arguments of the same names. The other arguments are the options of the command.
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
        from_params: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.folder = folder
        self.customerio_conn_id = customerio_conn_id
        self.connections = dict(connections or {})
        self.executable = executable
        self.from_params = from_params

    def _values(self, options: Sequence[Option], context: Context) -> dict[str, Any]:
        """The options' values by name: of the arguments, or of the params, which may hold others, too."""
        params = context["params"] if self.from_params else {}
        return {
            each.name: params.get(each.name, getattr(self, each.name))
            if each.name in PARAMS
            else getattr(self, each.name)
            for each in options
        }

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
        """The values of Airflow's connections by the names in the job file, to override the process's environment."""
        values = CustomerIOHook(self.customerio_conn_id).environment()
        for name, conn_id in self.connections.items():
            address = CustomerIOHook.get_connection(conn_id).get_uri()
            values[name] = re.sub("^postgres:", "postgresql:", address)
            mask_secret(values[name])
        return values

    def _ended(self, summary: Summary, context: Context) -> Summary:
        """Reports rejected rows, and tells the assets' consumers how many rows there were."""
        if summary["rejected"]:
            from cio_etl.model.words import counted  # here: the scheduler reads this module without polars

            rejected = f"{counted(summary['rejected'], 'row was', 'rows were')} rejected"
            self.log.warning("%s: see %s", rejected, summary.get("report", "the report"))
            if self._values([FAIL_ON_REJECTS], context)["fail_on_rejects"]:
                raise failure(4, f"{rejected}, and fail_on_rejects is set")
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {k: v for k, v in summary.items() if k != "steps"}
        return summary

    def on_kill(self) -> None:
        """Finishes the requests in flight, records them, and ends: the next try resumes there."""
        if (work := getattr(self, "_at_work", None)) is not None:
            work.stop()


class CustomerIORunOperator(_JobOperator):
    """Runs a job, or resumes its unfinished run; its XCom is a summary of the run.

    Rejected rows are a warning, more than `max_rejects` a failure. A failure is retried, unless the job file, the rows
    or the keys must be fixed first; a retry resumes where the last try stopped. See _JobOperator for the arguments.

    `lanes` is a number, or a share such as "0-7/16": then the task is one of several workers that do one run over a
    state database. They find it by its `run_id`, by default the DAG run's. Map the operator over `shares(16, 4)`; a
    task after them with any share returns the whole run's summary.
    """

    template_fields: Sequence[str] = (*_JobOperator.template_fields, "run_id")

    @_with_options(RunOptions)
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def execute(self, context: Context) -> Summary:
        """Runs the job."""
        values = self._values(task_options(RunOptions), context)
        del values["fail_on_rejects"]
        if isinstance(self.lanes, str):  # a worker keeps its share, whatever the params say
            values["lanes"] = self.lanes
            values["run_id"] = self.run_id or plain_name(context["dag_run"].run_id)
        began = context["dag_run"].start_date or datetime.now(UTC)
        stamp = began.astimezone(UTC).isoformat(timespec="seconds")
        request = RunRequest(self.job, self.folder, run=_made(RunOptions, values), began=stamp)
        summary = self._work().run(request, self._environment)
        self._flows = self._flows_of(request)
        self._counts = summary["steps"]
        return self._ended(summary, context)

    def _flows_of(self, request: RunRequest) -> list[Flow]:
        """What OpenLineage needs, where it is installed: its listener forks, and must not need polars then."""
        if find_spec("openlineage") is None or find_spec("airflow.providers.openlineage") is None:
            return []
        from cio_etl.airflow.in_process import flows

        return flows(request, self._environment)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """The sources, their targets at Customer.io column by column, and the number of rows."""
        from cio_etl.airflow.lineage import operator_lineage

        return operator_lineage(getattr(self, "_flows", []), getattr(self, "_counts", {}))


class CustomerIOValidateOperator(_JobOperator):
    """Reads, maps and checks every row of a job, and sends nothing; its XCom is a summary.

    It fails when a run would stop for its rejects, or when `fail_on` applies, like the command's `--fail-on`: `1%`,
    `100`, a reason, a finding, or `warning`. See _JobOperator for the other arguments.
    """

    @_with_options(ValidateOptions)
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def execute(self, context: Context) -> Summary:
        """Validates the job."""
        values = self._values(task_options(ValidateOptions), context)
        del values["fail_on_rejects"]
        request = RunRequest(self.job, self.folder, validation=_made(ValidateOptions, values))
        return self._ended(self._work().validate(request, self._environment), context)


class CustomerIOTaskGroup(TaskGroup):
    """A validation and then the run of one job, for the middle of a DAG, such as after dbt. Named after the job file.

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
        common = {each.name for each in task_options(ValidateOptions)}
        names = [each.name for each in task_options(RunOptions) if each.name not in common]
        only_run = {name: kwargs.pop(name) for name in names if name in kwargs}
        shared = {"job": job, "from_params": from_params, "task_group": self, **kwargs}
        validate = CustomerIOValidateOperator(task_id="validate", fail_on=fail_on, **shared)
        run = CustomerIORunOperator(task_id="run", outlets=[*outlets], **shared, **only_run)
        validate >> run
        self.tasks = (validate, run)


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    """The options with these values. Raises AirflowFailException for a wrong value."""
    try:
        return made_of(kind, values)
    except InvalidArguments as error:
        raise failure(error.exit_code, str(error)) from None
