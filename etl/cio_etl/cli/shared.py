"""What several commands do: load a job, find a state, say what goes on, show a report."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from cio_etl.errors import EtlError
from cio_etl.model import Job, Report
from cio_etl.report.streams import Screen, say

if TYPE_CHECKING:
    from cio_etl.run.resume import Share
    from cio_etl.state import Store


@dataclass(frozen=True, slots=True)
class StateLocation:
    """Where a state is: the folder of its files, the database if one holds it, and what names it for a command."""

    folder: Path
    database: SecretStr | None
    named_by: Path

    @property
    def where(self) -> Path | SecretStr:
        return self.folder if self.database is None else self.database


def state_location(state: Path | None) -> StateLocation:
    """The state that --state names, or ETL_STATE, which may be a database's address."""
    named = str(state or os.environ.get("ETL_STATE", ".etl"))
    if named.endswith((".yaml", ".yml")):
        from cio_etl.config import load_job

        job = load_job(Path(named), secrets=False, sources=False)
        return StateLocation(job.state, job.database, job.named_by)
    if state is None and "://" in named:
        return StateLocation(Path(".etl"), SecretStr(named), Path(".etl"))
    return StateLocation(Path(named), None, Path(named))


@contextlib.contextmanager
def opened_store(kept: StateLocation) -> Iterator[Store]:
    """The state, which must be there: asking makes none."""
    from cio_etl.state import exists, open_store

    if not exists(kept.where):
        raise click.UsageError(f"{kept.named_by} holds no state; name the folder with --state, or a job file")
    store = open_store(kept.where)
    try:
        yield store
    finally:
        store.close()


def load(path: Path, steps: Sequence[str], *, secrets: bool) -> Job:
    """A job with the steps that are asked for. Raises ConfigError; UsageError for a step that it has not."""
    from cio_etl.config import load_job
    from cio_etl.run.run import chosen

    job = load_job(path, secrets=secrets)
    known = {name for step in job.steps for name in (step.name, step.name.split("/")[0])}
    if unknown := [name for name in steps if name not in known]:
        raise click.UsageError(
            f"{path} has no step {unknown[0]!r}; it has {', '.join(step.name for step in job.steps)}"
        )
    return replace(job, steps=chosen(job, steps))


def laned(job: Job, lanes: int | Share | None) -> Job:
    """The job with another number of lanes, when one is asked for."""
    return job if not isinstance(lanes, int) else replace(job, destination=replace(job.destination, lanes=lanes))


def since_of(full_refresh: bool, watermark: str | None) -> str | None:
    """Where to begin, as the options say it; None: where the last run left off."""
    from cio_etl.run.resume import FULL_REFRESH as FULL

    if full_refresh and watermark is not None:
        raise click.UsageError("--full-refresh reads everything, --watermark from a value on; give one of the two")
    return FULL if full_refresh else watermark


def flags_of(steps: Sequence[str], limit: int | None, full_refresh: bool, watermark: str | None) -> list[str]:
    """What `run` and `validate` were asked for, as they are asked for it again."""
    flags = [f"--step={name}" for name in steps] + ([f"--limit={limit}"] if limit else [])
    return flags + (["--full-refresh"] if full_refresh else [f"--watermark={watermark}"] if watermark else [])


def say_stand_ins(job: Job) -> None:
    """Tells which of the values that are made now are not those that a run would send."""
    from cio_etl.config import stand_ins

    for reference in dict.fromkeys(name for step in job.steps for name in stand_ins(step.mapping)):
        say(f"hmac: {reference} is not looked up here; its own text is the key, so a run sends other values", err=True)


@contextlib.contextmanager
def rehearsal(job: Job, quiet: bool = False) -> Iterator[Job]:
    """The job, sent to a sandbox of its own; its runs are kept apart from the real ones."""
    from cio_etl.sandbox import Sandbox

    with Sandbox() as sandbox:
        credentials = dict.fromkeys(job.destination.credentials, SecretStr("sandbox"))
        target = replace(job.destination, base_url=sandbox.url, region="us", credentials=credentials)
        yield replace(job, name=f"{job.name}.sandbox", destination=target, ping=None)
        if quiet:
            return
        stats: dict[str, Any] = sandbox.stats()
        say(f"the sandbox had {stats['people']:,} people and {stats['events']:,} events", err=True)


def as_typed(*words: object) -> str:
    """A `cio-etl` command as one would type it."""
    return shlex.join(["cio-etl", *(str(word) for word in words)])


@contextlib.contextmanager
def continued_by(command: str, told_as_json: Job | None = None) -> Iterator[None]:
    """An error that leaves the block says the command that goes on, and with a job is printed as JSON, too."""
    try:
        yield
    except EtlError as error:
        if error.resumable:
            error.remedy = f"{error.remedy}; then: {command}" if error.remedy else f"to go on: {command}"
        if told_as_json is not None:
            say(json.dumps(_stopped(told_as_json, error), ensure_ascii=False))
        raise


def _stopped(job: Job, error: EtlError) -> dict[str, Any]:
    """What `--json` prints of a run that did not come to its end."""
    return {
        "job": job.name,
        "status": "stopped" if error.resumable else "failed",
        "exit_code": error.exit_code,
        "reason": str(error),
        "resumable": error.resumable,
        "remedy": error.remedy,
    }


def show_report(report: Report, as_json: bool, next_steps: dict[str, str], state: Path | None = None) -> None:
    """Prints a report, and what to do next."""
    from cio_etl.report import mending, show
    from cio_etl.report.files import as_json as content
    from cio_etl.transform import reason_words

    if as_json:
        say(json.dumps(content(report), ensure_ascii=False))
    else:
        next_steps |= mending(report, state) if state is not None else {}
        show(report, Screen(), reason_words(), next_steps)


def page_of(folder: Path) -> str:
    """The report to read of a run, or the one for programs if that is all there is."""
    page = folder / "report.html"
    return str(page if page.exists() else page.with_suffix(".json"))
