"""The door: commands, options, what is printed, and the exit code. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import os
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import structlog
from pydantic import SecretStr
from rich.console import Console

from etl.errors import EXIT_CODES as EXIT_WORDS
from etl.errors import ConfigError, CredentialsRefused, EtlError, Problem
from etl.model import Job, Report
from etl.report.logs import FileLines, KeptLines, LogLines
from etl.report.streams import Screen, let_go, say, take_any_text

if TYPE_CHECKING:
    from etl.resume import Share
    from etl.state import Store
    from etl.transform.timestamps import Serial, Unit

log = structlog.get_logger()


def _exit_codes() -> str:
    """The exit codes as the help shows them, in two columns."""
    said = [f"{code}  {words}" for code, words in EXIT_WORDS.items() if code not in (130, 143)]
    said.insert(5, f"130, 143  {EXIT_WORDS[130]}")
    rows = (f"  {left:<36}{right}" for left, right in zip(said[:6], said[6:], strict=True))
    return "\n".join(["\b", "Exit codes:", *rows])


EXIT_CODES = _exit_codes()
PROPOSAL_ROWS = 200_000  # that `init` takes from a source which has to be copied


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration, as `30m` or `2 hours`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        from etl.config.durations import duration

        try:
            return duration(str(value)).total_seconds()
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, context)


class Lanes(click.ParamType):  # type: ignore[type-arg]
    """How many lanes, as `32`, or which of how many, as `0-7/16` or `0,4,8/16`; 1 to 256 in all."""

    name = "lanes"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int | Share:
        from etl.resume import share

        try:
            return share(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, context)


class RunName(click.ParamType):  # type: ignore[type-arg]
    """A run's own name: it names a folder."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", str(value)):
            self.fail("up to 100 letters, digits, - and _, beginning with a letter or digit", param, context)
        return str(value)


DURATION = Duration()
JOB = click.argument("job", type=click.Path(path_type=Path))
STEP = click.option("--step", "steps", multiple=True, metavar="NAME", help="Only this step; may be given again.")
FULL_REFRESH = click.option("--full-refresh", is_flag=True, help="Read everything that is newer than `start`, again.")
WATERMARK = click.option(
    "--watermark", metavar="VALUE", help="Read from this value on, instead of the last run's mark."
)
JSON = click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
SOURCE = click.argument("source")
TABLE = click.option(
    "--table", metavar="NAME", help="SOURCE is a database's address, as '${WAREHOUSE_URL}'; read this table."
)
QUERY_FILE = click.option(
    "--query-file", metavar="FILE", help="SOURCE is a database's address; read what this query gives."
)
SHEET = click.option("--sheet", metavar="NAME", help="Of a workbook with several sheets.")
UNITS = ("s", "ms", "us", "ns", "excel", "excel1904")
SANDBOX = click.option("--sandbox", is_flag=True, help="Against the embedded sandbox instead of Customer.io.")
GRACE = click.option(
    "--grace", type=click.FloatRange(0), default=20.0, show_default=True, help="Seconds to drain after a signal."
)
STATE = click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="The state folder, or a job file that says where it is. [default: .etl]",
)


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cio-etl", prog_name="cio-etl")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How log lines look on stderr.")
@click.option("--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Log lines go there, not to stderr.")
@click.option("--debug", is_flag=True, help="Log more: every retry.")
def cli(log_format: str, log_file: Path | None, debug: bool) -> None:
    """Loads files into Customer.io: mapped, checked, in order, resumable."""
    try:
        _log(LogLines() if log_file is None else FileLines(log_file), log_format, debug)
    except OSError as error:
        raise click.UsageError(f"--log-file: {log_file} cannot be written: {error.strerror}") from None


@cli.command()
@JOB
@STEP
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each step.")
@click.option("--restart", is_flag=True, help="Give the unfinished run up and start anew.")
@SANDBOX
@FULL_REFRESH
@WATERMARK
@click.option(
    "--lanes", type=Lanes(), metavar="N", help="So many, instead of the job's; or a worker's share of them, as 0-7/16."
)
@click.option("--run-id", type=RunName(), metavar="NAME", help="The run's own name, that it has only once.")
@click.option("--accept-drift", is_flag=True, help="Take columns whose kind has changed since the last run.")
@GRACE
@click.option("--wait", "wait_s", type=DURATION, default="0s", help="So long for another run of JOB to end, as 30m.")
@click.option("--quiet", is_flag=True, help="Print nothing at all when every row was accepted; for cron.")
@JSON
def run(
    job: Path,
    steps: tuple[str, ...],
    limit: int | None,
    restart: bool,
    sandbox: bool,
    full_refresh: bool,
    watermark: str | None,
    lanes: int | Share | None,
    run_id: str | None,
    accept_drift: bool,
    grace: float,
    wait_s: float,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run JOB, or go on with its unfinished run."""
    from etl.record import run_folder
    from etl.report import Progress
    from etl.resume import FULL_REFRESH as FULL
    from etl.resume import Options, Share
    from etl.run import run_job
    from etl.signals import Signals

    loaded = _laned(_loaded(job, steps, secrets=not sandbox), lanes)
    own_share = lanes if isinstance(lanes, Share) else None
    if own_share is not None:
        _require_shared(loaded, run_id, sandbox)
    if not quiet:
        _say_stand_ins(loaded)
    since = _since(full_refresh, watermark)
    flags = _flags(steps, limit, full_refresh, watermark) + ["--accept-drift"] * accept_drift
    flags += [f"--lanes={own_share}"] if own_share is not None else []
    flags += [f"--run-id={run_id}"] if run_id is not None else []
    command = _command("run", job, *flags, *["--sandbox"] * sandbox)  # a rehearsal's remedy must not send for real
    console = Console(stderr=True)
    progress = Progress(console, live=console.is_terminal and not as_json and not quiet)
    with _kept_back() if quiet else contextlib.nullcontext():
        with Signals() as signals, _rehearsal(loaded, quiet) if sandbox else contextlib.nullcontext(loaded) as target:
            if sandbox and since is None:
                since = FULL  # a rehearsal begins where a first run would: its sandbox holds nothing yet
            options = Options(limit, restart or sandbox, grace, since, accept_drift, wait_s, own_share, run_id)
            with _continued_by(command, target if as_json else None):
                try:
                    report = run_job(target, options, command, signals, progress)
                except CredentialsRefused:
                    renewed = loaded if sandbox else _laned(_loaded(job, steps, secrets=True), lanes)
                    if renewed.destination == loaded.destination:
                        raise
                    log.warning("credentials_renewed")  # in their file, meanwhile: one more try, from where it stopped
                    report = run_job(renewed, replace(options, restart=False), command, signals, progress)
            if report.exit_code or as_json or not quiet:
                _show(report, as_json, {"report": _page_of(run_folder(target, report.run_id))}, target.named_by)
        raise SystemExit(report.exit_code)


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
    from etl.gate import gate, gated
    from etl.record import validation_folder, written
    from etl.rehearse import validate as rehearse
    from etl.since import left_by

    try:
        failing = [gate(text) for text in gates]
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except ValueError as error:
        raise click.UsageError(f"--fail-on: {error}") from None
    except OSError as error:
        raise click.UsageError(f"{folder} cannot hold the report: {error.strerror}") from None
    loaded = _loaded(job, steps, secrets=False)
    _say_stand_ins(loaded)
    rehearsed = rehearse(loaded, loaded.steps, limit, left_by(loaded), _since(full_refresh, watermark), reveal=reveal)
    report = gated(rehearsed, failing)
    flags = _flags(steps, limit, full_refresh, watermark)
    next_steps = {"run": _command("run", job, *flags)}
    if report.exit_code == 4:
        next_steps = {"again": _command("validate", job, *flags, *(f"--fail-on={text}" for text in gates))}
    if not reveal and report.rejected:
        next_steps["values"] = _command("validate", job, *flags, "--reveal")
    page = written(report, folder or validation_folder(loaded), next_steps)
    _show(report, as_json, {"report": str(page)} if page is not None else {})
    raise SystemExit(report.exit_code)


@cli.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@JSON
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check job files with their mappings, or mappings alone, and try examples; no data is read, nothing is sent."""
    from etl.check import check_file

    problems: dict[Problem, None] = {}  # each once: jobs share mappings
    for path in files:
        checked = check_file(path)
        problems |= dict.fromkeys(checked.problems)
        if not checked.problems and not as_json:
            say(f"{path}: {checked.holds}")
    if as_json:
        say(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False))
        raise SystemExit(ConfigError.exit_code if problems else 0)
    if problems:
        raise ConfigError(problems)


@cli.command()
@JOB
@JSON
def doctor(job: Path, as_json: bool) -> None:
    """Try all that a run of JOB needs, from its keys to its sources, and say what to do about what is wrong."""
    from etl.doctor import examine, exit_code, show

    findings = examine(job, _command("run", job))
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
    from etl.rehearse import preview as first_rows

    loaded = _loaded(job, steps, secrets=False)
    _say_stand_ins(loaded)
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
    from etl.config import load_job
    from etl.status import job_status, runs_status

    if job is not None:
        loaded = load_job(job, secrets=False, sources=False)
        raise SystemExit(job_status(loaded, _command("run", job), as_json, datetime.now(UTC)))
    else:
        runs_status(_kept(state).where, as_json)


@cli.command()
@click.argument("run_id", metavar="RUN")
@click.option("-o", "out", type=click.Path(path_type=Path), help="A .csv, .parquet or .ndjson file.")
@click.option("--all", "closed", is_flag=True, help="Also those that a replay has closed.")
@click.option("--forget", is_flag=True, help="Remove the rows that `rejects: rows` has kept of this run.")
@STATE
def rejects(run_id: str, out: Path | None, closed: bool, forget: bool, state: Path | None) -> None:
    """Write the rejected rows of RUN, with reasons, to be mended and sent by `replay`."""
    from etl.config import load_job
    from etl.kept import forget as forget_rows
    from etl.record import rejects_folder
    from etl.rejects import export, rejected_rows

    kept = _kept(state)
    with _store(kept) as store:
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


@cli.command()
@click.argument("what", metavar="RUN_OR_FILE")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each step.")
@click.option("--unknown", is_flag=True, help="Also rows of which the answer was lost, and that may be done already.")
@click.option("--restart", is_flag=True, help="Give the unfinished run up and start anew.")
@SANDBOX
@GRACE
@STATE
@JSON
def replay(
    what: str,
    limit: int | None,
    unknown: bool,
    restart: bool,
    sandbox: bool,
    grace: float,
    state: Path | None,
    as_json: bool,
) -> None:
    """Send rejected rows again: those of a mended FILE, or all of RUN; those that are accepted are closed."""
    from etl.record import run_folder
    from etl.replay import ENDINGS, of_file, of_run
    from etl.replay import replay as send_again
    from etl.report import Progress
    from etl.resume import Options
    from etl.signals import Signals

    kept = _kept(state)
    with _store(kept) as store:
        asked = of_file(store, Path(what)) if what.endswith(ENDINGS) or Path(what).is_file() else of_run(store, what)
    asked, newest = replace(asked, unknown=unknown), asked.runs[-1]
    rehearsed = asked.job.removesuffix(".sandbox")
    if rehearsed != asked.job and not sandbox:
        raise click.UsageError(f"{newest.run_id} was a rehearsal, and its rows are sent nowhere else; add --sandbox")
    if not Path(newest.job_file).exists():
        said = (
            f"the job file of {newest.run_id} is not there; put it back, or go to the folder where that run was started"
        )
        raise ConfigError([Problem(newest.job_file, None, "", said)])
    loaded = replace(_loaded(Path(newest.job_file), (), secrets=not sandbox), state=kept.folder, database=kept.database)
    _say_stand_ins(loaded)
    if loaded.name != rehearsed:
        said = f"is now the job {loaded.name}, and {newest.run_id} was a run of {rehearsed}; give it its old name back"
        raise ConfigError([Problem(newest.job_file, None, "name", said)])
    where = [f"--state={kept.named_by}"] if kept.named_by != Path(".etl") else []
    flags = ([f"--limit={limit}"] if limit else []) + (["--unknown"] if unknown else [])
    flags += ["--sandbox"] if sandbox else []
    command = _command("replay", what, *flags, *where)
    console = Console(stderr=True)
    progress = Progress(console, live=console.is_terminal and not as_json)
    with (
        Signals() as signals,
        _rehearsal(loaded) if sandbox else contextlib.nullcontext(loaded) as target,
        _continued_by(command),
    ):
        report = send_again(asked, target, Options(limit, restart, grace), command, signals, progress)
    if report is None:
        say("null" if as_json else f"{what}: nothing to send, all of its rejects are closed")
        raise SystemExit(0)
    next_steps = {"report": _page_of(run_folder(target, report.run_id))}
    if target.name != asked.job:
        next_steps["rehearsed"] = "the rejects are open as before; without --sandbox they are sent"
    elif report.rejected and Path(what).is_file():  # an export would hold the source's values, and not what was mended
        next_steps["rest"] = f"what is still wrong is open: mend it in {what}, and replay that again"
    elif report.rejected:
        next_steps["rejects"] = _command("rejects", newest.run_id, "-o", "rejects.csv", *where)
    _show(report, as_json, next_steps)
    raise SystemExit(report.exit_code)


@cli.command()
@click.argument("kind", metavar="KIND", type=click.Choice(["job", "mapping"]))
def schema(kind: Literal["job", "mapping"]) -> None:
    """Print the JSON Schema of a job or a mapping, for editors; KIND is `job` or `mapping`."""
    from etl.config.json_schema import text

    say(text(kind).removesuffix("\n"))


@cli.command()
@SOURCE
@TABLE
@QUERY_FILE
@SHEET
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Only this column; may be given again.")
@click.option("--day-first", is_flag=True, help="Where the dates do not say it: 02/03/2024 is of March.")
@click.option("--month-first", is_flag=True, help="Where the dates do not say it: 02/03/2024 is of February.")
@click.option("--timezone", metavar="ZONE", help="Where the clock hung whose times have no offset, as Europe/Paris.")
@click.option("--unit", type=click.Choice(UNITS), help="What the numbers count, where their size does not say it:")
@click.option("--reveal", is_flag=True, help="Show the values of the rows that are named.")
@JSON
def inspect(
    source: str,
    table: str | None,
    query_file: str | None,
    sheet: str | None,
    columns: tuple[str, ...],
    day_first: bool,
    month_first: bool,
    timezone: str | None,
    unit: Unit | Serial | None,
    reveal: bool,
    as_json: bool,
) -> None:
    """Say how each column of SOURCE writes its dates, by all of its rows, and what of a mapping reads them."""
    from etl.config import load_source
    from etl.extract import open_source
    from etl.propose.dates.decide import Told
    from etl.propose.dates.inspection import inspect as look
    from etl.propose.dates.show import show
    from etl.sources import Staging
    from etl.transform.timestamps import is_zone

    if day_first and month_first:
        raise click.UsageError("--day-first and --month-first say the opposite; give one of the two")
    if timezone is not None and not is_zone(timezone):
        raise click.UsageError(f"no time zone {timezone!r}; use a name such as Europe/Paris or UTC")
    told = Told("day first" if day_first else "month first" if month_first else None, timezone, unit)
    section = _section_of(source, table, query_file, sheet)
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = open_source(load_source(section), Staging(Path(stage)), chunk_rows=100_000)
        if unknown := [name for name in columns if name not in snapshot.schema]:
            has = ", ".join(repr(name) for name in snapshot.schema)
            raise click.UsageError(f"{source} has no column {unknown[0]!r}; it has {has}")
        inspection = look(snapshot, int(time.time()), told, columns, reveal)
        show(inspection, table or query_file or source, as_json, reveal)
    raise SystemExit(inspection.exit_code)


@cli.command()
@SOURCE
@TABLE
@QUERY_FILE
@SHEET
@click.option("--name", help="The job's name. [default: the file's or table's]")
def init(source: str, table: str | None, query_file: str | None, sheet: str | None, name: str | None) -> None:
    """Propose a job and a mapping for SOURCE, a file or a database, with the evidence in comments."""
    from etl.config import load_source
    from etl.extract import open_source
    from etl.propose import name_from, propose, written
    from etl.sources import Staging

    section = _section_of(source, table, query_file, sheet)
    subject = table or Path(query_file or source.partition("?")[0]).name.partition(".")[0]
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = open_source(load_source(section), Staging(Path(stage), rows=PROPOSAL_ROWS))
        proposal = propose(snapshot, section, name or name_from(subject))
    written(proposal)
    for line in proposal.summary:
        say(line)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
def sandbox(host: str, port: int) -> None:
    """Serve a local Customer.io to rehearse against, until Ctrl-C."""
    from etl.sandbox import serve

    def announce(url: str) -> None:
        say(f"Customer.io sandbox on {url}  (site id, API key, write key and App key: sandbox)")
        say(f"  a job goes there with   destination.base_url: {url}")

    try:
        serve(host, port, announce=announce)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit code. A failure is two lines on stderr: what happened, and what to do."""
    take_any_text()
    os.umask(0o077)  # what is written here tells of people: state, reports, rejects
    try:
        cli.main(arguments, standalone_mode=False, prog_name="cio-etl")
    except SystemExit as end:
        return int(end.code or 0)
    except EtlError as error:
        say(str(error), err=True)
        if error.remedy:
            say(error.remedy, err=True)
        return error.exit_code
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        let_go(sys.stdout)  # click's own output, as of --help
        return 0
    except Exception as error:
        # frames only: the error's own words may hold values
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        say(
            f"a bug of ours: unexpected {type(error).__name__}, {' > '.join(frames[-6:])}; the state is intact",
            err=True,
        )
        say("run the same command again to go on, and please report this line", err=True)
        return 1
    return 0


def _section_of(source: str, table: str | None, query_file: str | None, sheet: str | None) -> dict[str, Any]:
    """The `source:` section of what a command line names; of a CSV file with its separator and encoding."""
    from etl.config import source_section
    from etl.propose import csv_settings

    section = source_section(source, table=table, query_file=query_file, sheet=sheet)
    if section.keys() == {"csv"} and (files := [source] if Path(source).is_file() else sorted(glob.glob(source))):
        section |= csv_settings(Path(files[0]))
    return section


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a state is: the folder of its files, the database if one holds it, and what names it for a command."""

    folder: Path
    database: SecretStr | None
    named_by: Path

    @property
    def where(self) -> Path | SecretStr:
        return self.folder if self.database is None else self.database


def _kept(state: Path | None) -> Kept:
    """The state that --state names, or ETL_STATE, which may be a database's address."""
    named = str(state or os.environ.get("ETL_STATE", ".etl"))
    if named.endswith((".yaml", ".yml")):
        from etl.config import load_job

        job = load_job(Path(named), secrets=False, sources=False)
        return Kept(job.state, job.database, job.named_by)
    if state is None and "://" in named:
        return Kept(Path(".etl"), SecretStr(named), Path(".etl"))
    return Kept(Path(named), None, Path(named))


@contextlib.contextmanager
def _store(kept: Kept) -> Iterator[Store]:
    """The state, which must be there: asking makes none."""
    from etl.state import exists, open_store

    if not exists(kept.where):
        raise click.UsageError(f"{kept.named_by} holds no state; name the folder with --state, or a job file")
    store = open_store(kept.where)
    try:
        yield store
    finally:
        store.close()


def _since(full_refresh: bool, watermark: str | None) -> str | None:
    from etl.resume import FULL_REFRESH as FULL

    if full_refresh and watermark is not None:
        raise click.UsageError("--full-refresh reads everything, --watermark from a value on; give one of the two")
    return FULL if full_refresh else watermark


def _flags(steps: Sequence[str], limit: int | None, full_refresh: bool, watermark: str | None) -> list[str]:
    """What `run` and `validate` were asked for, as they are asked for it again."""
    flags = [f"--step={name}" for name in steps] + ([f"--limit={limit}"] if limit else [])
    return flags + (["--full-refresh"] if full_refresh else [f"--watermark={watermark}"] if watermark else [])


def _loaded(path: Path, steps: Sequence[str], *, secrets: bool) -> Job:
    from etl.config import load_job
    from etl.run import chosen

    job = load_job(path, secrets=secrets)
    known = {name for step in job.steps for name in (step.name, step.name.split("/")[0])}
    if unknown := [name for name in steps if name not in known]:
        raise click.UsageError(
            f"{path} has no step {unknown[0]!r}; it has {', '.join(step.name for step in job.steps)}"
        )
    return replace(job, steps=chosen(job, steps))


def _laned(job: Job, lanes: int | Share | None) -> Job:
    return job if not isinstance(lanes, int) else replace(job, destination=replace(job.destination, lanes=lanes))


def _require_shared(job: Job, run_id: str | None, sandbox: bool) -> None:
    """What a worker needs to find the others."""
    if sandbox:
        raise click.UsageError("--sandbox is this process's own; a rehearsal is done by one, without a share of lanes")
    if job.database is None:
        raise click.UsageError("workers share a state database: write state: {database: …} in the job file")
    if run_id is None:
        raise click.UsageError("workers find each other by the run's name: give all of them the same --run-id NAME")


def _say_stand_ins(job: Job) -> None:
    """Tells which of the values that are made now are not those that a run would send."""
    from etl.config import stand_ins

    for reference in dict.fromkeys(name for step in job.steps for name in stand_ins(step.mapping)):
        say(f"hmac: {reference} is not looked up here; its own text is the key, so a run sends other values", err=True)


@contextlib.contextmanager
def _rehearsal(job: Job, quiet: bool = False) -> Iterator[Job]:
    """The job, sent to a sandbox of its own; its runs are kept apart from the real ones."""
    from etl.sandbox import Sandbox

    with Sandbox() as sandbox:
        secret = SecretStr("sandbox")
        target = replace(
            job.destination, base_url=sandbox.url, region="us", site_id=secret, api_key=secret, write_key=secret
        )
        yield replace(job, name=f"{job.name}.sandbox", destination=target, ping=None)
        if quiet:
            return
        stats: dict[str, Any] = sandbox.stats()
        say(f"the sandbox had {stats['people']:,} people and {stats['events']:,} events", err=True)


def _page_of(folder: Path) -> str:
    """The report to read of a run, or the one for programs if that is all there is."""
    page = folder / "report.html"
    return str(page if page.exists() else page.with_suffix(".json"))


@contextlib.contextmanager
def _continued_by(command: str, told_as_json: Job | None = None) -> Iterator[None]:
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


def _show(report: Report, as_json: bool, next_steps: dict[str, str], state: Path | None = None) -> None:
    from etl.report import mending, show
    from etl.report.files import as_json as content
    from etl.transform.checks import REASONS

    if as_json:
        say(json.dumps(content(report), ensure_ascii=False))
    else:
        next_steps |= mending(report, state) if state is not None else {}
        show(report, Screen(), REASONS, next_steps)


def _command(*words: object) -> str:
    return shlex.join(["cio-etl", *(str(word) for word in words)])


@contextlib.contextmanager
def _kept_back() -> Iterator[None]:
    """Log lines are kept back while the block lasts, and printed when it is left otherwise than with exit code 0."""
    before = structlog.get_config()["logger_factory"]
    kept = KeptLines()
    if isinstance(before(), LogLines):  # lines that go to a file go on to do so
        structlog.configure(logger_factory=lambda *_: kept)
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, SystemExit) and error.code == 0):
            kept.tell()
        raise
    finally:
        structlog.configure(logger_factory=before)


def _log(lines: LogLines | FileLines, log_format: str, debug: bool) -> None:
    render: Any = (
        structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if debug else logging.INFO),
        logger_factory=lambda *_: lines,
    )
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # at debug they write headers, and so the key


if __name__ == "__main__":
    sys.exit(main())
