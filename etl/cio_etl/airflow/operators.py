"""Defines the tasks for a job: a run, a validation, a plan, and a run of a plan."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator, SkipMixin
from airflow.sdk.log import mask_secret

from cio_etl.airflow.hook import CustomerIOHook
from cio_etl.airflow.request import (
    PARAMS,
    Environment,
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
from cio_etl.validate.options import PLAN_OPTIONS, ValidateOptions

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cio_etl.airflow.lineage import Flow


def _with_options(kind: type[RunOptions] | type[ValidateOptions], only: Sequence[str] = ()) -> Callable[[Any], Any]:
    """Adds the options of a class, or `only` some of them, to the arguments of an `__init__`.

    Airflow takes default arguments, and the names of all arguments, from the signature.
    """
    options = task_options(kind, only)

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


class _Operator(BaseOperator):
    """The common part of all tasks.

    Relative paths, arguments and those in the job file, start at `folder`. `connections` names, for variables of the
    job file, the Airflow connections whose addresses they stand for: {"WAREHOUSE_URL": "warehouse"}. With `executable`,
    a `cio-etl` of another environment does the work, else this process. With `from_params`, the DAG's params override
    the arguments of the same names. The other arguments are the options of the command.
    """

    template_fields: Sequence[str] = ("folder", "customerio_conn_id")
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        folder: str | None = None,
        customerio_conn_id: str = CustomerIOHook.default_conn_name,
        connections: Mapping[str, str] | None = None,
        executable: str | Sequence[str] | None = None,
        from_params: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
            self._warn_of_rejects(summary, fail=self._values([FAIL_ON_REJECTS], context)["fail_on_rejects"])
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = {k: v for k, v in summary.items() if k != "steps"}
        return summary

    def _warn_of_rejects(self, summary: Summary, *, fail: bool) -> None:
        from cio_etl.model.words import counted  # here: the scheduler reads this module without polars

        rejected = f"{counted(summary['rejected'], 'row was', 'rows were')} rejected"
        self.log.warning("%s: see %s", rejected, summary.get("report") or summary.get("plan") or "the report")
        if fail:
            raise failure(4, f"{rejected}, and fail_on_rejects is set")

    def on_kill(self) -> None:
        """Finishes the requests in flight, records them, and ends: the next try resumes there."""
        if (work := getattr(self, "_at_work", None)) is not None:
            work.stop()


class _JobOperator(_Operator):
    """A task that reads a job file: `job`. See _Operator for the other arguments."""

    template_fields: Sequence[str] = ("job", *_Operator.template_fields, "steps", "watermark")

    def __init__(self, *, job: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job


class _Sends:
    """What a task that sends rows reports to OpenLineage."""

    def _note_flows(self, request: RunRequest, summary: Summary, environment: Environment) -> None:
        """Notes what OpenLineage needs, where it is installed: its listener forks, and must not need polars then."""
        self._counts: Summary = summary["steps"]
        self._flows: list[Flow] = []
        if find_spec("openlineage") is not None and find_spec("airflow.providers.openlineage") is not None:
            from cio_etl.airflow.in_process import flows

            self._flows = flows(request, environment)

    def get_openlineage_facets_on_complete(self, _task_instance: Any) -> Any:
        """The sources, their targets at Customer.io column by column, and the number of rows."""
        from cio_etl.airflow.lineage import operator_lineage

        return operator_lineage(getattr(self, "_flows", []), getattr(self, "_counts", {}))


class CustomerIORunOperator(_JobOperator, _Sends):
    """Runs a job, or resumes its unfinished run; its XCom is a summary of the run.

    Rejected rows are a warning, more than `max_rejects` a failure. A failure is retried, unless the job file, the rows
    or the keys must be fixed first; a retry resumes where the last try stopped. See _Operator for the arguments.

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
        self._note_flows(request, summary, self._environment)
        return self._ended(summary, context)


class CustomerIOValidateOperator(_JobOperator):
    """Reads, maps and checks every row of a job, and sends nothing; its XCom is a summary.

    It fails when a run would stop for its rejects, or when `fail_on` applies, like the command's `--fail-on`: `1%`,
    `100`, a reason, a finding, or `warning`. See _Operator for the other arguments.
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


class CustomerIOPlanOperator(_JobOperator, SkipMixin):
    """Plans a run of a job: compares every row with the ledger, writes what a run would send to a file, sends nothing.

    If nothing would be sent and no row is rejected, the tasks directly after it are skipped. If a run would stop,
    because more would change than `limits` or `max_gone` allow, or more is rejected than `max_rejects`, it fails and is
    not tried again. It also fails while another run of the job is unfinished, which a run would resume first. See
    _Operator for the arguments.

    Its XCom is a summary of counts, without values: `headline`, `items`, `gone`, `rejected`, `rows`, `requests`,
    `bytes`, `seconds` (estimated), `exit_code`, `made_at`, and for each of `steps` these counts, those of the ledger,
    rejects and findings. Two more XComs are `plan`, the file's path, and `markdown`, a table for people.

    `path` is where the plan is written, and a page beside it, with the ending `.html`; by default in `plans/` and the
    job's name in the job's state folder, under a name of this task and DAG run. If the task that applies it may run on
    another machine, both need the same path of the state folder, on a disk that they share, and the same user: the
    ledger is there, too, and files are for their owner only. A state in a database does not hold plans; with
    `state: {database: …, folder: …}`, share the `folder`.
    """

    template_fields: Sequence[str] = (*_JobOperator.template_fields, "path")
    inherits_from_skipmixin = True

    @_with_options(RunOptions, PLAN_OPTIONS)
    def __init__(self, *, path: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path

    def execute(self, context: Context) -> Summary:
        """Plans the run."""
        from cio_etl.airflow.plan_summary import log_lines, markdown, would_stop

        values = self._values(task_options(RunOptions, PLAN_OPTIONS), context)
        fail_on_rejects = values.pop("fail_on_rejects")
        ti, name = context["ti"], _plan_name(context)
        request = RunRequest(self.job, self.folder, run=_made(RunOptions, values), plan=self.path or "", plan_name=name)
        summary = self._work().plan(request, self._environment)
        for line in log_lines(summary):
            self.log.info("%s", line)
        if why := would_stop(summary):
            remedy = "check the source; the param accept_changes lets one run change more than the limits, and "
            remedy += "accept_unexpected lets it send what was not expected"
            raise failure(4, f"a run would stop: {why}; {remedy}")
        if (run := summary["unfinished"]) is not None:
            remedy = "let it end first: clear the task that has failed, or run the job as it was started"
            raise failure(75, f"the run {run} has sent a part of its rows, and is unfinished; {remedy}")
        if summary["rejected"]:
            self._warn_of_rejects(summary, fail=fail_on_rejects)
        ti.xcom_push(key="plan", value=summary["plan"])
        ti.xcom_push(key="markdown", value=markdown(summary))
        if summary["exit_code"] == 0:
            self.log.info("nothing would be sent: the tasks after this one are skipped")
            ti.xcom_push(key="return_value", value=summary)  # `skip` raises
            after = context["task"].get_direct_relatives(upstream=False)
            self.skip(ti=ti, tasks=[task for task in after if not task.is_teardown])
        return summary


class CustomerIOApplyOperator(_Operator, _Sends):
    """Sends just what a plan says, or resumes that; its XCom is a summary of the run.

    `plan` is the file of a CustomerIOPlanOperator, such as `plan.output["plan"]`: job, steps and options are those of
    the plan. If source, mapping or ledger have changed since, it fails before its first request, says which, and is not
    tried again: make a new plan. A retry of a task that was interrupted resumes where the last try stopped; once the
    run has finished, the task reports it and sends nothing. See _Operator for the other arguments.
    """

    template_fields: Sequence[str] = ("plan", *_Operator.template_fields)

    @_with_options(RunOptions, ("grace",))
    def __init__(self, *, plan: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def execute(self, context: Context) -> Summary:
        """Runs the job as it was planned."""
        request = RunRequest(folder=self.folder, run=_made(RunOptions, {"grace": self.grace}), plan=self.plan)
        summary = self._work().apply(request, self._environment)
        self._note_flows(request, summary, self._environment)
        return self._ended(summary, context)


def _plan_name(context: Context) -> str:
    """A name for the plan of this task: the same in each try, and of no other task or DAG run."""
    ti = context["ti"]
    of = "\n".join((ti.dag_id, ti.task_id, str(ti.map_index), ti.run_id))
    return f"{plain_name(f'plan-{ti.run_id}')[:91]}-{hashlib.sha256(of.encode()).hexdigest()[:8]}"


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    """The options with these values. Raises AirflowFailException for a wrong value."""
    try:
        return made_of(kind, values)
    except InvalidArguments as error:
        raise failure(error.exit_code, str(error)) from None
