"""The commands that look, and send nothing: validate, check, doctor, preview, status, rejects."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import FULL_REFRESH, JOB, JSON, STATE, STEP, WATERMARK
from cio_etl.cli.shared import (
    as_typed,
    flags_of,
    load,
    opened_store,
    say_stand_ins,
    show_report,
    since_of,
    state_location,
)
from cio_etl.errors import ConfigError, Problem
from cio_etl.report.streams import say

if TYPE_CHECKING:
    from cio_etl.config import Checked


@cli.command()
@JOB
@STEP
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each step.")
@FULL_REFRESH
@WATERMARK
@click.option(
    "-o", "--report", "folder", type=click.Path(path_type=Path), metavar="FOLDER", help="Where the report is written."
)
@click.option("--reveal", is_flag=True, help="Show values of rows in the report.")
@click.option(
    "--fail-on",
    "gates",
    multiple=True,
    metavar="WHAT",
    help="Exit with 4 when there is this: a reason, a finding, `warning`, or more rejects than 1% or 100. Repeatable.",
)
@JSON
def validate(
    job: Path,
    steps: tuple[str, ...],
    limit: int | None,
    full_refresh: bool,
    watermark: str | None,
    folder: Path | None,
    reveal: bool,
    gates: tuple[str, ...],
    as_json: bool,
) -> None:
    """Dry run: read, map, check and pack every row of JOB; send nothing."""
    from cio_etl.run.incremental import load_bookmarks
    from cio_etl.run.recording import validation_folder, written
    from cio_etl.validate.dry_run import validate as rehearse
    from cio_etl.validate.fail_on import gate, gated

    try:
        failing = [gate(text) for text in gates]
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except ValueError as error:
        raise click.UsageError(f"--fail-on: {error}") from None
    except OSError as error:
        raise click.UsageError(f"{folder} cannot hold the report: {error.strerror}") from None
    loaded = load(job, steps, secrets=False)
    say_stand_ins(loaded)
    rehearsed = rehearse(
        loaded, loaded.steps, limit, load_bookmarks(loaded), since_of(full_refresh, watermark), reveal=reveal
    )
    report = gated(rehearsed, failing)
    flags = flags_of(steps, limit, full_refresh, watermark)
    next_steps = {"run": as_typed("run", job, *flags)}
    if report.exit_code == 4:
        next_steps = {"again": as_typed("validate", job, *flags, *(f"--fail-on={text}" for text in gates))}
    if not reveal and report.rejected:
        next_steps["values"] = as_typed("validate", job, *flags, "--reveal")
    page = written(report, folder or validation_folder(loaded), next_steps)
    show_report(report, as_json, {"report": str(page)} if page is not None else {})
    raise SystemExit(report.exit_code)


@cli.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@JSON
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check job files with their mappings, or mappings alone, and try examples; no data is read, nothing is sent."""
    from cio_etl.config import check_file

    problems: dict[Problem, None] = {}  # each once: jobs share mappings
    for path in files:
        checked = check_file(path)
        problems |= dict.fromkeys(checked.problems)
        if not checked.problems and not as_json:
            say(f"{path}: {_contents(checked)}")
    if as_json:
        say(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False))
        raise SystemExit(ConfigError.exit_code if problems else 0)
    if problems:
        raise ConfigError(problems)


def _contents(checked: Checked) -> str:
    """`2 steps, 3 mappings, 4 examples`; of a mapping, `a mapping, 4 examples`."""
    from cio_etl.report.words import counted

    holds = "a mapping"
    if checked.steps is not None:
        holds = f"{counted(checked.steps, 'step')}, {counted(checked.mappings, 'mapping')}"
    return f"{holds}, {counted(checked.examples, 'example')}"


@cli.command()
@JOB
@JSON
def doctor(job: Path, as_json: bool) -> None:
    """Try all that a run of JOB needs, from its keys to its sources, and say what to do about what is wrong."""
    from cio_etl.doctor import examine, exit_code, show

    findings = examine(job, as_typed("run", job))
    show(findings, as_json)
    raise SystemExit(exit_code(findings))


@cli.command()
@JOB
@STEP
@click.option(
    "-n", "rows", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many rows of each step."
)
def preview(job: Path, steps: tuple[str, ...], rows: int) -> None:
    """Print the payloads of the first rows of JOB, one JSON line each."""
    from cio_etl.validate.preview import preview as first_rows

    loaded = load(job, steps, secrets=False)
    say_stand_ins(loaded)
    for step in loaded.steps:
        for shown in first_rows(step, rows, loaded.destination.api):
            say(json.dumps({"step": step.name, **shown}, ensure_ascii=False))


@cli.command()
@click.argument("job", type=click.Path(path_type=Path), required=False)
@click.option(
    "--state", type=click.Path(path_type=Path), help="The state folder, when no JOB names it. [default: .etl]"
)
@JSON
def status(job: Path | None, state: Path | None, as_json: bool) -> None:
    """The runs of JOB, or of every job in the state folder, and what `run` would do next."""
    from cio_etl.config import load_job
    from cio_etl.run.status import job_status, runs_status

    if job is not None:
        loaded = load_job(job, secrets=False, sources=False)
        raise SystemExit(job_status(loaded, as_typed("run", job), as_json, datetime.now(UTC)))
    else:
        runs_status(state_location(state).where, as_json)


@cli.command()
@click.argument("run_id", metavar="RUN")
@click.option("-o", "out", type=click.Path(path_type=Path), help="A .csv, .parquet or .ndjson file.")
@click.option("--all", "closed", is_flag=True, help="Also those that a replay has closed.")
@click.option("--forget", is_flag=True, help="Remove the rows that `rejects: rows` has kept of this run.")
@STATE
def rejects(run_id: str, out: Path | None, closed: bool, forget: bool, state: Path | None) -> None:
    """Write the rejected rows of RUN, with reasons, to be mended and sent by `replay`."""
    from cio_etl.config import load_job
    from cio_etl.rejects import export, rejected_rows
    from cio_etl.run.recording import rejects_folder
    from cio_etl.run.reject_rows import delete as forget_rows

    kept = state_location(state)
    with opened_store(kept) as store:
        found = store.run(run_id)
        if found is None:
            raise click.UsageError(f"no run {run_id} in this state folder; `cio-etl status` lists them")
        if found.job.endswith(".replay"):
            raise click.UsageError(f"{run_id} is a replay; what it did not mend is still rejected in the run before it")
        if out is None and not forget:
            raise click.UsageError("name the file to write with -o, as rejects.csv")
        if out is not None:
            loaded = None
            with contextlib.suppress(ConfigError):
                loaded = load_job(Path(found.job_file), secrets=False, sources=False)
            rows, notes = rejected_rows(store, kept.folder, found, loaded, closed=closed)
            try:
                inexact = export(rows, out)
            except FileExistsError:
                raise click.UsageError(f"{out} is there already; remove it, or name another file with -o") from None
            except (ValueError, OSError) as error:
                said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
                raise click.UsageError(said) from None
            for note in notes:
                say(note, err=True)
            for name in inexact:
                say(f"column {name}: {out.suffix} cannot say all that is in it; .parquet can", err=True)
            say(f"{rows.height:,} rejected rows in {out}")
    if forget:
        there = forget_rows(rejects_folder(kept.folder, run_id))
        say(f"the rows kept of {run_id} are removed" if there else f"no rows are kept of {run_id}")
