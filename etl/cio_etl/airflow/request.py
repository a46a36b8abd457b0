"""What is a task asked to do, and what does it tell in the end? The same, whichever way the work is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowException, AirflowFailException

Summary = dict[str, Any]
Environment = Callable[[], dict[str, str]]  # asked anew when credentials are refused: they may be renewed meanwhile

# Trying again does not help: the command line, the rows, the keys or the job file must be mended by somebody first.
HOPELESS = frozenset({2, 4, 77, 78})
DONE = frozenset({0, 3})

GRACE_S = 4.0  # Airflow kills a task five seconds after it has asked it to end


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run or validation, as the command's options say it."""

    job: str
    folder: str | None = None  # where relative paths begin; None: the folder of the task's process
    steps: Sequence[str] = ()
    limit: int | None = None
    full_refresh: bool = False
    watermark: str | None = None
    lanes: int | str | None = None  # how many; or a worker's share of them, as `0-7/16`
    run_id: str | None = None  # the run's own name, which workers need to find each other
    restart: bool = False
    began: str = ""  # ISO 8601, UTC: a run begun since then is this one, on an earlier try, and is not given up
    accept_drift: bool = False
    grace_s: float = GRACE_S
    fail_on: Sequence[str] = ()  # of a validation


class Runner(Protocol):
    """A way to do what is asked. `environment` is what the job's references stand for."""

    def run(self, request: RunRequest, environment: Environment) -> Summary:
        """Runs the job, or goes on with its unfinished run. Raises AirflowException."""

    def validate(self, request: RunRequest, environment: Environment) -> Summary:
        """Reads, maps and checks every row, and sends nothing. Raises AirflowException."""

    def stop(self) -> None:
        """Asks it to finish what is under way, and to end."""


# What a person may choose when a DAG is started by hand, and what each is for.
PARAMS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "full_refresh": (False, "Read everything that is newer than `start`, again.", {"type": "boolean"}),
    "limit": (None, "Only the first rows of each step, so many.", {"type": ["integer", "null"], "minimum": 1}),
    "watermark": (None, "Read from this value on, instead of the last run's mark.", {"type": ["string", "null"]}),
    "lanes": (
        None,
        "Batches under way at once, at most, instead of the job's.",
        {"type": ["integer", "null"], "minimum": 1, "maximum": 256},
    ),
    "restart": (False, "Give the unfinished run up and start anew.", {"type": "boolean"}),
    "accept_drift": (False, "Take columns whose kind has changed since the last run.", {"type": "boolean"}),
    "fail_on_rejects": (False, "Fail when there are rejected rows, however few.", {"type": "boolean"}),
}


def shares(lanes: int, workers: int) -> list[str]:
    """The lanes shared out among so many workers, as `run --lanes` has it: `["0-7/16", "8-15/16"]`.

    Raises ValueError when there are fewer lanes than workers.
    """
    if not 1 <= workers <= lanes:
        raise ValueError(f"{lanes} lanes are too few for {workers} workers")
    ends = [worker * lanes // workers for worker in range(workers + 1)]
    return [f"{first}-{end - 1}/{lanes}" for first, end in pairwise(ends)]


def plain_name(run_id: str) -> str:
    """A DAG run's id as a run may be called."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", run_id).lstrip("-_")[:100]


def run_params() -> dict[str, Param]:
    """The params of a DAG that runs a job, as `DAG(params=run_params())`."""
    return {name: Param(default, words, **schema) for name, (default, words, schema) in PARAMS.items()}


def failure(exit_code: int, words: str) -> AirflowException:
    """What a task raises that ended like this: one that is tried again, unless that cannot help."""
    kind = AirflowFailException if exit_code in HOPELESS else AirflowException
    return kind(f"{words} (exit code {exit_code})")


def summary_of(report: Mapping[str, Any]) -> Summary:
    """The few figures of a report, as JSON has it, that other tasks may ask for."""
    steps = {step["name"]: {name: step[name] for name in _COUNTS} for step in report["steps"]}
    totals = {name: sum(step[name] for step in steps.values()) for name in _COUNTS}
    seconds = round(sum(step["seconds"] for step in report["steps"]), 3)
    about = {name: report[name] for name in ("run_id", "job", "status", "exit_code")}
    return {**about, **totals, "seconds": seconds, "steps": steps}


_COUNTS = ("rows_read", "accepted", "rejected", "skipped", "possibly_sent_twice")
