"""Defines what a task is asked to do and what it returns, for both ways of doing its work; and the params of a DAG."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from cio_etl.run.options import FAIL_ON_REJECTS, Option, RunOptions, options_of
from cio_etl.validate.options import ValidateOptions

Summary = dict[str, Any]
Environment = Callable[[], dict[str, str]]  # called again when credentials are refused: they may have been renewed

# A retry does not help: a person must first fix the arguments, the rows, the keys or the job file.
HOPELESS = frozenset({2, 4, 77, 78})
DONE = frozenset({0, 3})


def task_options(kind: type[RunOptions] | type[ValidateOptions], only: Sequence[str] = ()) -> tuple[Option, ...]:
    """The options that an operator has as arguments; `only` some of them."""
    offered = (each for each in options_of(kind) if "airflow" in each.interfaces)
    return (*(each for each in offered if not only or each.name in only), FAIL_ON_REJECTS)


def default_of(option: Option) -> Any:
    """The default of an operator's argument."""
    return option.default if option.airflow_default is None else option.airflow_default


# What a person may choose when a DAG is started by hand.
PARAMS = {each.name: each for each in task_options(RunOptions) if "param" in each.interfaces}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run, validation, plan, or run of a plan."""

    job: str = ""  # of a run of a plan: the plan says it
    folder: str | None = None  # where relative paths start; None: the working folder of the task's process
    run: RunOptions = field(default_factory=RunOptions)
    validation: ValidateOptions = field(default_factory=ValidateOptions)
    plan: str = ""  # the plan's file: where it is written, or which one is applied
    plan_name: str = ""  # in place of it: the file's name in the state's folder
    began: str = ""  # ISO 8601, UTC: an unfinished run started since then is an earlier try of this task

    def restarts(self, unfinished_since: str | None) -> bool:
        """Whether to abandon the unfinished run: `restart` is asked for, and the run is not an earlier try."""
        return self.run.restart and unfinished_since is not None and unfinished_since < self.began


class Runner(Protocol):
    """A way to do the work. `environment` gives the values that the job file refers to."""

    def run(self, request: RunRequest, environment: Environment) -> Summary:
        """Runs the job, or resumes its unfinished run. Raises AirflowException."""

    def validate(self, request: RunRequest, environment: Environment) -> Summary:
        """Reads, maps and checks every row, and sends nothing. Raises AirflowException."""

    def plan(self, request: RunRequest, environment: Environment) -> Summary:
        """Writes the plan of a run, and sends nothing. Raises AirflowException."""

    def apply(self, request: RunRequest, environment: Environment) -> Summary:
        """Sends just what a plan says, or resumes that. Raises AirflowException."""

    def stop(self) -> None:
        """Requests a stop: requests in flight are finished, then the work ends."""


def shares(lanes: int, workers: int) -> list[str]:
    """The lanes divided among workers, in the form of `run --lanes`: `["0-7/16", "8-15/16"]`.

    Raises ValueError when there are fewer lanes than workers.
    """
    if not 1 <= workers <= lanes:
        from cio_etl.model.words import counted  # here: the scheduler reads this module without polars

        raise ValueError(f"{counted(lanes, 'lane is', 'lanes are')} too few for {counted(workers, 'worker')}")
    ends = [worker * lanes // workers for worker in range(workers + 1)]
    return [f"{first}-{end - 1}/{lanes}" for first, end in pairwise(ends)]


def plain_name(run_id: str) -> str:
    """A DAG run's id as the name of a run."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", run_id).lstrip("-_")[:100]


def run_params(only: Sequence[str] = ()) -> dict[str, Param]:
    """The params of a DAG that runs a job, for `DAG(params=run_params())`; `only` some of them."""
    offered = (each for each in PARAMS.values() if not only or each.name in only)
    return {each.name: Param(each.default, each.help, **each.schema) for each in offered}


def failure(exit_code: int, words: str) -> AirflowException:
    """The exception of a task that ended with this exit code: one that Airflow retries, unless a retry cannot help."""
    kind = AirflowFailException if exit_code in HOPELESS else AirflowException
    return kind(f"{words} (exit code {exit_code})")


def summary_of(report: Mapping[str, Any]) -> Summary:
    """The few figures of a report, in JSON's types, that other tasks may use."""
    steps = {step["name"]: {name: step[name] for name in _COUNTS} for step in report["steps"]}
    totals = {name: sum(step[name] for step in steps.values()) for name in _COUNTS}
    seconds = round(sum(step["seconds"] for step in report["steps"]), 3)
    about = {name: report[name] for name in ("run_id", "job", "status", "exit_code")}
    return {**about, **totals, "seconds": seconds, "steps": steps}


_COUNTS: Sequence[str] = ("rows_read", "accepted", "rejected", "skipped", "possibly_sent_twice")
