"""How is a task's work done by the command, in an environment of its own? Options in, JSON and exit code out."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from cio_etl.airflow.request import DONE, Environment, RunRequest, Summary, failure, summary_of

log = logging.getLogger("airflow.task")


class Subprocess:
    """Work by a `cio-etl` of another environment. Keys are in its environment: not in its words, nor on a disk.

    It is a session of its own, so that a signal reaches it once, through `stop`: a second one would not let it finish.
    When this process is killed outright the command ends its run, and the next try finds the job locked until then.
    """

    def __init__(self, executable: str | Sequence[str]) -> None:
        self._executable = [executable] if isinstance(executable, str) else [*executable]
        self._process: subprocess.Popen[str] | None = None

    def run(self, request: RunRequest, environment: Environment) -> Summary:
        """See Work."""
        flags = {
            "--restart": request.restart and self._is_old(request, environment),
            "--accept-drift": request.accept_drift,
        }
        valued = {"--grace": request.grace_s, "--lanes": request.lanes, "--run-id": request.run_id}
        words = [flag for flag, is_asked in flags.items() if is_asked]
        words += [f"{option}={value}" for option, value in valued.items() if value is not None]
        return self._report("run", request, [*_options(request), *words], environment)

    def validate(self, request: RunRequest, environment: Environment) -> Summary:
        """See Work."""
        words = [f"--fail-on={text}" for text in request.fail_on]
        return self._report("validate", request, [*_options(request), *words], environment)

    def stop(self) -> None:
        """See Work."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _is_old(self, request: RunRequest, environment: Environment) -> bool:
        """Whether the job's unfinished run is of another day, and no earlier try of this one."""
        newest = self._told("status", request, [], environment)
        return newest is not None and newest["started_at"] < request.began

    def _report(self, name: str, request: RunRequest, options: list[str], environment: Environment) -> Summary:
        report = self._told(name, request, options, environment)
        if report is None:
            raise failure(1, f"{name} has told nothing")
        return summary_of(report)

    def _told(
        self, name: str, request: RunRequest, options: list[str], environment: Environment
    ) -> dict[str, Any] | None:
        """What the command prints as JSON."""
        last: deque[str] = deque(maxlen=2)  # of stderr: what happened, and what to do
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
                except BaseException:  # as an execution_timeout: the block waits for its end
                    self.stop()
                    raise
            stdout.seek(0)
            report: dict[str, Any] | None = json.loads(stdout.read() or "null")
        if process.returncode not in DONE:
            raise failure(process.returncode, "; ".join(last) or f"{name} ended")
        return report


def _options(request: RunRequest) -> Iterator[str]:
    """Those that a run and a validation share."""
    yield from (f"--step={name}" for name in request.steps)
    if request.limit is not None:
        yield f"--limit={request.limit}"
    if request.full_refresh:
        yield "--full-refresh"
    if request.watermark is not None:
        yield f"--watermark={request.watermark}"


def _bare() -> dict[str, str]:
    """This process's environment without what is Airflow's: its own passwords are among that."""
    return {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
