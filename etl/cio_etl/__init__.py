"""Loads files, tables and queries into Customer.io: mapped, checked, in order, resumable.

    import cio_etl

    report = cio_etl.run("jobs/shop.yaml", sandbox=True)
    print(report.exit_code, report.steps[0].accepted)

The functions print nothing, install no signal handlers and raise EtlError. They write the same state and reports as the
command. Importing this package loads none of its libraries: each is imported when a function needs it.

The rooms, from the ground up. Imports run downwards only; tests/test_floors.py checks it. Read run/run.py first.

    errors/       every failure, by who must act, with its exit code; the names that were probably meant
    log/          what the program writes while it works: log events, lines on stderr, safe screens
    sandbox/      a local Customer.io, with faults on demand; it shares nothing with the program

    model/        frozen records that pass from one room to another
    apis/         the APIs of Customer.io, a record and a folder each; operations and their payloads
    transform/    rows to items: functions, timestamps, checks, ids, JSON text; polars expressions only
    audit/        findings over a whole data set: identities, limits, dates, duplicate keys

    config/       YAML to a checked job: every problem at once, with file and line
    extract/      files, databases, object stores: rows as one unchanging, row-numbered snapshot
    ledger/       what Customer.io has acknowledged: a hash of every part, compared with the rows of a run
    load/         items to requests to answers: packing, lanes, rate, retries, verdicts
    state/        what survives a kill: runs, lane progress, rejects; one run of a job at a time
    report/       what people read: the terminal, report.html, report.json, progress
    notify/       tells people and programs how a job goes, once for each change
    telemetry/    runs measured for programs that watch many: OpenTelemetry, a text file for Prometheus

    run/          the line from source to acknowledgement, and what it uses
    reject_files/ rejected rows as files: their columns, and values as cells of text and back

    validate/     dry runs: what a run would do, and the payloads of the first rows
    rejects/      rejected rows: found again with their rows, fixed by a person, sent again
    propose/      a job and a mapping proposed for a source, and its date formats
    presets/      a job and mappings for the exports of well-known products, recognised by their header
    project/      files to begin with: the demo, and a project of one's own
    importers/    jobs and mappings made of the definitions of Hightouch, Census, Segment, RudderStack
    doctor/       checks what a run needs, and reports how to fix it
    ui/           a page of jobs, runs, rejects and plans for a browser, read-only

    cli/          the command line
    airflow/      connection, tasks and DAGs for Airflow
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.errors import (
        Bug,
        ChangedSinceStart,
        ColumnOfBytes,
        ConfigError,
        CountsDisagree,
        CredentialsRefused,
        DeltaDamaged,
        DestinationUnavailable,
        EndedElsewhere,
        EtlError,
        ExpectationsFailed,
        Interrupted,
        InvalidArguments,
        JobLocked,
        LanesTaken,
        LedgerDamaged,
        LimitReached,
        OutputLost,
        PlanOutdated,
        Problem,
        RunUnfinished,
        SourceError,
        SourceRefused,
        SourceUnreachable,
        StateError,
        TooDeep,
        TooManyChanges,
        TooManyRejects,
        WrongDestination,
    )
    from cio_etl.model import Job, Report, StepReport, Verification
    from cio_etl.report.observer import Observer, StepProgress

    __version__: str

    Progress = Callable[[StepProgress], object] | Observer

__all__ = [
    "Bug",
    "ChangedSinceStart",
    "ColumnOfBytes",
    "ConfigError",
    "CountsDisagree",
    "CredentialsRefused",
    "DeltaDamaged",
    "DestinationUnavailable",
    "EndedElsewhere",
    "EtlError",
    "ExpectationsFailed",
    "Interrupted",
    "InvalidArguments",
    "Job",
    "JobLocked",
    "LanesTaken",
    "LedgerDamaged",
    "LimitReached",
    "OutputLost",
    "PlanOutdated",
    "Problem",
    "Report",
    "RunUnfinished",
    "SourceError",
    "SourceRefused",
    "SourceUnreachable",
    "StateError",
    "StepProgress",
    "StepReport",
    "TooDeep",
    "TooManyChanges",
    "TooManyRejects",
    "Verification",
    "WrongDestination",
    "__version__",
    "check",
    "load_job",
    "preview",
    "run",
    "validate",
    "verify",
]

_MODEL = ("Job", "Report", "StepReport", "Verification")


def run(
    job: str | Path, *, progress: Progress | None = None, environment: Mapping[str, str] | None = None, **options: Any
) -> Report:
    """Runs the job of a file, or resumes its unfinished run, and returns its report.

    `options` are those of `cio-etl run`, named like Airflow's: `sandbox=True`, `steps=["people"]`, `limit=100`,
    `full_refresh`, `watermark`, `restart`, `lanes`, `run_id`, `accept_drift`, `grace`, `wait`. `environment` is used in
    place of the process's environment. `progress` is called with a StepProgress, several times a second and in a thread
    of its own. Rejected rows do not raise: `report.exit_code` is then 3. On KeyboardInterrupt, requests in flight are
    finished first; the run can be resumed. Raises EtlError.
    """
    from cio_etl.run.caller import Caller
    from cio_etl.run.options import RunOptions, made_of
    from cio_etl.run.start import run_file

    caller = Caller(observer=_observer(progress))
    with _only_etl_errors():
        return run_file(Path(job), made_of(RunOptions, options), caller, _getter(environment))


def validate(job: str | Path, *, environment: Mapping[str, str] | None = None, **options: Any) -> Report:
    """Reads, maps, checks and packs every row of a job, sends nothing, and returns the report of a dry run.

    `options` are those of `cio-etl validate`: `steps`, `limit`, `full_refresh`, `watermark`, `fail_on=["1%"]`,
    `reveal`, `report`, the folder of report.html and report.json. Needs no keys. `report.exit_code` is 3 when rows
    would be rejected, and 4 when a run would stop or `fail_on` applies. Raises EtlError.
    """
    from cio_etl.run.caller import Caller
    from cio_etl.run.options import made_of
    from cio_etl.validate.options import ValidateOptions
    from cio_etl.validate.validation import validate_file

    with _only_etl_errors():
        return validate_file(Path(job), made_of(ValidateOptions, options), Caller(), _getter(environment)).report


def preview(
    job: str | Path, *, rows: int = 5, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[dict[str, Any]]:
    """The payloads of the first rows of each step: `{"step": …, "row": 1, "payload": {…}}`, one after the other.

    A row without a payload has `rejected`, the reason, and `field`; or `skipped`. A number that a float would change is
    a Decimal. `options` has `steps`. Sends nothing, needs no keys. Raises EtlError.
    """
    from cio_etl.errors import InvalidArguments
    from cio_etl.report import Observer
    from cio_etl.run.options import ReadOptions, made_of
    from cio_etl.validate.preview import preview_file

    if not isinstance(rows, int) or rows < 1:
        raise InvalidArguments("`rows` must be a whole number, 1 or more")
    with _only_etl_errors():
        shown = preview_file(Path(job), rows, made_of(ReadOptions, options), Observer(), _getter(environment))
    return _guarded(shown)


def verify(job: str | Path, *, environment: Mapping[str, str] | None = None, **options: Any) -> Verification:
    """Reads a random sample of the people of a job's sources back from Customer.io, and compares them; sends nothing.

    `options` are those of `cio-etl verify`: `sample=3000`, `steps`, `target`, `seed`, `wait`, `reveal`. Needs
    `app_api_key` in the job's destination. Who is missing or differs does not raise: `result.different` says how many,
    and `result.most_differ` which share of all people differs at most. Raises EtlError.
    """
    from cio_etl.run.options import made_of
    from cio_etl.run.verify_options import VerifyOptions
    from cio_etl.run.verifying import verify_file

    with _only_etl_errors():
        return verify_file(Path(job), made_of(VerifyOptions, options), environment=_getter(environment))


def check(*files: str | Path) -> tuple[Problem, ...]:
    """All problems of these job files, their mappings, and the examples in them; of mappings alone likewise.

    Each problem once, with file and line; empty when all is well. Reads no data and needs no keys.
    """
    from cio_etl.config import check_file

    with _only_etl_errors():
        return tuple(dict.fromkeys(problem for file in files for problem in check_file(Path(file)).problems))


def load_job(
    job: str | Path,
    *,
    environment: Mapping[str, str] | None = None,
    secrets: bool = True,
    target: str | None = None,
) -> Job:
    """The job of a file, checked. With `secrets=False` no keys are needed. Raises ConfigError with all its problems."""
    from cio_etl.config import load_job

    with _only_etl_errors():
        if environment is None:
            return load_job(Path(job), secrets=secrets, target=target)
        return load_job(Path(job), environment, secrets=secrets, target=target)


@contextmanager
def _only_etl_errors() -> Iterator[None]:
    """Raises an EtlError in place of any other failure: a panic of a library in Rust would pass `except Exception`."""
    try:
        yield
    except BaseException as error:
        from cio_etl.errors import failure_of, is_failure

        if not is_failure(error) or failure_of(error) is error:
            raise
        raise failure_of(error) from None  # the words of other libraries may hold values


def _guarded(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    with _only_etl_errors():
        yield from rows


def _observer(progress: Progress | None) -> Observer:
    from cio_etl.report.observer import Callback, Observer

    if isinstance(progress, Observer):
        return progress
    return Observer() if progress is None else Callback(progress)


def _getter(environment: Mapping[str, str] | None) -> Callable[[], Mapping[str, str]] | None:
    return None if environment is None else lambda: environment


def __getattr__(name: str) -> Any:
    """Loads a class, or the version, on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("cio-etl")
    elif name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    elif name in _MODEL:
        value = getattr(import_module("cio_etl.model"), name)
    elif name == "StepProgress":
        value = import_module("cio_etl.report.observer").StepProgress
    else:
        value = getattr(import_module("cio_etl.errors"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `run`, `validate` and `verify` the public functions.

    Rooms have the same names. When Python first imports the room `cio_etl.run` it sets the attribute `run` of this
    package to that module, which would replace the function. `from cio_etl.run import …` needs no such attribute.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and isinstance(self.__dict__.get(name), FunctionType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
