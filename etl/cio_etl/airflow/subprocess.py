"""Does a task's work by the command, in an environment of its own: options in, JSON and exit code out."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cio_etl.airflow.plan_summary import plan_summary
from cio_etl.airflow.request import DONE, Environment, RunRequest, Summary, failure, summary_of, task_options
from cio_etl.errors import TooManyChanges
from cio_etl.run.options import FAIL_ON_REJECTS, RunOptions
from cio_etl.validate.options import PLAN_OPTIONS, ValidateOptions

log = logging.getLogger("airflow.task")


class Subprocess:
    """Work by a `cio-etl` of another environment. Keys are in its environment, not in its arguments or on a disk.

    It has a session of its own, so that a signal reaches it once, through `stop`; a second one would not let it finish.
    When this process is killed, the command finishes its run, and the next try finds the job locked until then.
    """

    def __init__(self, executable: str | Sequence[str]) -> None:
        self._executable = [executable] if isinstance(executable, str) else [*executable]
        self._process: subprocess.Popen[str] | None = None

    def run(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        newest = self._output(["status", request.job], request.folder, environment) if request.run.restart else None
        options = replace(request.run, restart=request.restarts(newest["started_at"] if newest else None))
        return self._report(["run", request.job, *_words(options)], request.folder, environment)

    def validate(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        return self._report(["validate", request.job, *_words(request.validation)], request.folder, environment)

    def plan(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        place = f"--output={request.plan}" if request.plan else f"--name={request.plan_name}"
        words = ["plan", request.job, place, *_words(request.run, PLAN_OPTIONS)]
        content = self._output(words, request.folder, environment, done=DONE | {TooManyChanges.exit_code})
        if content is None:
            raise failure(1, "plan has printed no plan")
        return plan_summary(content)

    def apply(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        return self._report(["apply", request.plan, *_words(request.run, ("grace",))], request.folder, environment)

    def stop(self) -> None:
        """See Runner."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _report(self, words: list[str], folder: str | None, environment: Environment) -> Summary:
        report = self._output(words, folder, environment)
        if report is None:
            raise failure(1, f"{words[0]} has printed no report")
        return summary_of(report)

    def _output(
        self, words: list[str], folder: str | None, environment: Environment, done: frozenset[int] = DONE
    ) -> dict[str, Any] | None:
        """What the command prints, as JSON."""
        last: deque[str] = deque(maxlen=2)  # lines of stderr: the message and the remedy
        with tempfile.TemporaryFile("w+") as stdout:
            try:
                self._process = subprocess.Popen(  # nosec B603 # what the DAG's author names, and no shell
                    [*self._executable, *words[:2], "--json", *words[2:]],
                    cwd=folder,
                    env=_bare() | _present_span() | environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                raise failure(2, f"{self._executable[0]} cannot be started: {error.strerror}") from None
            with self._process as process:
                try:
                    for line in process.stderr or ():
                        log.info("%s", line.rstrip())
                        last.append(line.strip())
                except BaseException:  # such as an execution_timeout; the block waits for the process to end
                    self.stop()
                    raise
            stdout.seek(0)
            report: dict[str, Any] | None = json.loads(stdout.read() or "null")
        if process.returncode not in done:
            raise failure(process.returncode, "; ".join(last) or f"{words[0]} ended")
        return report


def _words(options: RunOptions | ValidateOptions, only: Sequence[str] = ()) -> list[str]:
    """The options as the command's arguments: those that Airflow has, where they are not the command's default."""
    offered = [each for each in task_options(type(options), only) if each is not FAIL_ON_REJECTS]
    values = ((each, getattr(options, each.name)) for each in offered)
    return [word for each, value in values if value != each.default for word in each.words(value)]


def _present_span() -> dict[str, str]:
    """The span that Airflow has made of the task, as TRACEPARENT: the run is then a part of it."""
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return {}
    span: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(span)
    return {name.upper(): value for name, value in span.items()}


def _bare() -> dict[str, str]:
    """This process's environment without Airflow's variables, which hold its passwords."""
    return {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
