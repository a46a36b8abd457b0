"""What several commands do: find a state, start a run, report its failure, print its report."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from cio_etl.cli.log import command_log, use_log
from cio_etl.errors import Bug, EtlError, failure_of, is_failure
from cio_etl.log.streams import say
from cio_etl.model import Report, reason_words
from cio_etl.report import Commands, Observer, as_json

if TYPE_CHECKING:
    from cio_etl.run import Caller
    from cio_etl.state import Store


@dataclass(frozen=True, slots=True)
class StateLocation:
    """Where a state is: the folder of its files, the database if one holds it, and its name in a command."""

    folder: Path
    database: SecretStr | None
    named_by: Path

    @property
    def where(self) -> Path | SecretStr:
        return self.folder if self.database is None else self.database


def state_location(state: Path | None) -> StateLocation:
    """The state that --state names, or ETL_STATE, which may be a database's address."""
    name = str(state or os.environ.get("ETL_STATE") or ".etl")
    if name.endswith((".yaml", ".yml")):
        from cio_etl.config import load_outlines

        job = load_outlines(Path(name))[0]  # its destinations share the state
        return StateLocation(job.state, job.database, job.named_by)
    if state is None and "://" in name:
        return StateLocation(Path(".etl"), SecretStr(name), Path(".etl"))
    return StateLocation(Path(name), None, Path(name))


@contextlib.contextmanager
def opened_store(location: StateLocation) -> Iterator[Store]:
    """The state, which must exist: a question creates none."""
    from cio_etl.state import exists, open_store

    if not exists(location.where):
        raise click.UsageError(f"{location.named_by} holds no state; name the folder with --state, or a job file")
    store = open_store(location.where)
    try:
        yield store
    finally:
        store.close()


class Notes(Observer):
    """Prints the notes about a dry run to stderr."""

    def note(self, line: str) -> None:
        say(line, err=True)


_LOG_DEFAULTS = {"log_format": "text", "log_file": None, "debug": False}  # the bar replaces such a log, not another one


@contextlib.contextmanager
def calling(commands: Commands, grace_s: float, *, as_json: bool, quiet: bool = False) -> Iterator[Caller]:
    """The caller of a run: signals stop it, after `grace_s` at most, and its progress is shown on stderr."""
    from cio_etl.log.consoles import SafeConsole
    from cio_etl.report.progress import Progress
    from cio_etl.run import Caller, Signals

    console = SafeConsole(stderr=True)
    live = console.is_terminal and not as_json and not quiet
    if live and click.get_current_context().find_root().params == _LOG_DEFAULTS:
        use_log(replace(command_log(), level=logging.WARNING))
    progress = Progress(console, live, quiet)
    gc.freeze()  # modules and job live as long as the run: garbage collection need not look at them each time
    gc.set_threshold(100_000)
    with Signals(lambda line: say(line, err=True), grace_s, _to_go_on(commands.resume or "")) as signals:
        yield Caller(signals, progress, commands)


SAME_COMMAND = "run the same command again"
ONCE = re.compile("run once with (--[a-z-]+)")


@contextlib.contextmanager
def resumed_by(
    command: str | Callable[[], str], json_of: str | None = None, *, with_option: Callable[[str], str]
) -> Iterator[None]:
    """Adds the command that resumes the run to an error's remedy; with a job's name prints the error as JSON, too.

    with_option: makes the command that goes on with an option of `run`, where the error needs one, or offers one.
    Any error but a request to stop is raised as the EtlError that is reported of it.
    """
    try:
        yield
    except BaseException as error:
        if not is_failure(error):
            raise
        failure = failure_of(error)
        again = command if isinstance(command, str) else command()
        if failure.option:
            again = with_option(failure.option)
        if isinstance(failure, Bug):
            failure.remedy = f"{_to_go_on(again)}; and please report this line"
        elif failure.resumable and (once := ONCE.search(failure.remedy)):  # nobody should copy that unread
            remedy = failure.remedy.replace(once[0], f"run once `{with_option(once[1])}`")
            failure.remedy = f"{remedy}; once the source is fixed: {again}"
        elif failure.resumable:
            failure.remedy = _with_command(failure.remedy, again)
        if json_of is not None:
            with contextlib.suppress(OSError):  # the error itself is the one to report
                say(json.dumps(_stopped(json_of, failure), ensure_ascii=False))
        if failure is error:
            raise
        raise failure from None


def _with_command(remedy: str, command: str) -> str:
    """The remedy with the command, where it speaks of it or after it."""
    if not remedy:
        return _to_go_on(command)
    if SAME_COMMAND in remedy:
        return remedy.replace(SAME_COMMAND, f"run `{command}` again")
    return f"{remedy} Then: {command}" if remedy.endswith("?") else f"{remedy}; then: {command}"


def _to_go_on(command: str) -> str:
    return f"to go on: {command}"


def _stopped(job: str, error: EtlError) -> dict[str, Any]:
    """What `--json` prints of a run that has failed or stopped."""
    return {
        "job": job,
        "status": "stopped" if error.resumable else "failed",
        "exit_code": error.exit_code,
        "reason": str(error),
        "resumable": error.resumable,
        "remedy": error.remedy,
    }


def print_report(report: Report, is_json: bool, commands: Commands, more: Mapping[str, str]) -> None:
    """Prints a report; for people with the commands to go on, `more` of them after the one that resumes the run."""
    if is_json:
        say(json.dumps(as_json(report, commands.resume_command(report)), ensure_ascii=False))
        return
    from cio_etl.log.consoles import Screen
    from cio_etl.report.terminal import show

    resume = commands.resume_command(report)
    lines = ({"continue": resume} if resume else {}) | dict(more) | dict(commands.next_steps(report))
    show(report, Screen(), reason_words(), lines)


def page_of(folder: Path) -> str:
    """The page of a run's report, or report.json where there is no page."""
    page = folder / "report.html"
    return str(page if page.exists() else page.with_suffix(".json"))


def why_not_listening(error: OSError, host: str, port: int) -> str:
    """Why a server cannot listen there, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use by another program; add --port 0 for a free one"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than yours; add --port 0 for a free one"
    return f"cannot listen on {host}, port {port}: {error.strerror or type(error).__name__}"
