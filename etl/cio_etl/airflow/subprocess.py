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

from cio_etl.airflow.request import DONE, Environment, RunRequest, Summary, failure, summary_of
from cio_etl.run.options import RunOptions, options_of
from cio_etl.validate.options import ValidateOptions

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
        newest = self._output("status", request, [], environment) if request.run.restart else None
        options = replace(request.run, restart=request.restarts(newest["started_at"] if newest else None))
        return self._report("run", request, _words(options), environment)

    def validate(self, request: RunRequest, environment: Environment) -> Summary:
        """See Runner."""
        return self._report("validate", request, _words(request.validation), environment)

    def stop(self) -> None:
        """See Runner."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _report(self, name: str, request: RunRequest, options: list[str], environment: Environment) -> Summary:
        report = self._output(name, request, options, environment)
        if report is None:
            raise failure(1, f"{name} has printed no report")
        return summary_of(report)

    def _output(
        self, name: str, request: RunRequest, options: list[str], environment: Environment
    ) -> dict[str, Any] | None:
        """What the command prints, as JSON."""
        last: deque[str] = deque(maxlen=2)  # lines of stderr: the message and the remedy
        with tempfile.TemporaryFile("w+") as stdout:
            try:
                self._process = subprocess.Popen(
                    [*self._executable, name, request.job, "--json", *options],
                    cwd=request.folder,
                    env=_bare() | environment(),
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
        if process.returncode not in DONE:
            raise failure(process.returncode, "; ".join(last) or f"{name} ended")
        return report


def _words(options: RunOptions | ValidateOptions) -> list[str]:
    """The options as the command's arguments: those that Airflow has, where they are not the command's default."""
    offered = [each for each in options_of(type(options)) if "airflow" in each.interfaces]
    values = ((each, getattr(options, each.name)) for each in offered)
    return [word for each, value in values if value != each.default for word in each.words(value)]


def _bare() -> dict[str, str]:
    """This process's environment without Airflow's variables, which hold its passwords."""
    return {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
