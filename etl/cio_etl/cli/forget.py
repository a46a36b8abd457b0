"""The command `forget`: removes a person from the state."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from cio_etl.cli.complete import job_files
from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JSON

if TYPE_CHECKING:
    from cio_etl.cli.shared import StateLocation
    from cio_etl.model import Job
    from cio_etl.run.forget import Erasure, LedgerErasure
    from cio_etl.run.person import Person

INCOMPLETE = 3  # exit code: a person should look

NOT_REACHED = (
    "not reached: Customer.io, the sources, and logs and files outside of the state. If a source still has this "
    "person, the next run sends them as new: remove them there first"
)


@cli.command(epilog="More: jobs/README.md, Forget a person")
@click.option(
    "--person",
    "identifiers",
    multiple=True,
    required=True,
    metavar="KIND:ID",
    help="Whom: id:123 or email:ada@example.com, as Customer.io has it. Repeatable, for one person; - reads stdin.",
)
@click.argument("jobs", metavar="[JOB]...", type=click.Path(path_type=Path), nargs=-1, shell_complete=job_files)
@click.option(
    "--state", type=click.Path(path_type=Path), help="The state folder, when no JOB names it. [default: .etl]"
)
@JSON
@ENV_FILE
def forget(identifiers: tuple[str, ...], jobs: tuple[Path, ...], state: Path | None, as_json: bool) -> None:
    """Remove a person from the state of JOB, or of all jobs.

    They leave its ledgers, rejected rows, copies of sources and the last validation. If a source still has them, the
    next run sends them as new. Exits with 3 if something could not be searched.
    """
    from dataclasses import asdict

    from cio_etl.cli.shared import state_location
    from cio_etl.log.streams import say
    from cio_etl.run import private_files

    person = _person(identifiers)
    with private_files():
        files = jobs or _jobs(state_location(state))
        erasures = [each for file in files for each in _forget(file, person, is_alone=len(files) == 1)]
    if as_json:
        say(json.dumps([asdict(each) for each in erasures], ensure_ascii=False))
    else:
        for each in erasures:
            for line in _lines(each):
                say(f"{each.job}: {line}")
        say(NOT_REACHED)
    raise SystemExit(0 if all(each.is_complete for each in erasures) else INCOMPLETE)


def _person(identifiers: Sequence[str]) -> Person:
    """The person of the command line; an error never shows what was given."""
    from cio_etl.model import IdentifierKind
    from cio_etl.run.person import Person

    given = sys.stdin.read().split("\n") if list(identifiers) == ["-"] else identifiers
    kinds: dict[Any, str] = {}
    for each in filter(None, map(str.strip, given)):
        kind, colon, value = each.partition(":")
        if not colon or kind not in get_args(IdentifierKind) or not value:
            names = ", ".join(get_args(IdentifierKind))
            raise click.UsageError(f"--person: write KIND:ID, as id:123 or email:ada@example.com; kinds are {names}")
        if kinds.setdefault(kind, value) != value:
            raise click.UsageError(f"--person: two different values of {kind}; forget one person at a time")
    if not kinds:
        raise click.UsageError("--person: nothing was given on stdin")
    return Person(kinds)


def _jobs(location: StateLocation) -> Sequence[Path]:
    """The files of all jobs that have run in a state."""
    from cio_etl.cli.shared import opened_store
    from cio_etl.run.forget import EVERY_RUN

    with opened_store(location) as store:
        runs = store.runs(limit=EVERY_RUN)
    newest = {run.job: run.job_file for run in reversed(runs)}
    return [Path(file) for file in dict.fromkeys(newest.values())]


def _forget(file: Path, person: Person, *, is_alone: bool) -> Sequence[Erasure]:
    """What was removed from the state of a job, for each of its destinations, and from before it had several.

    Of several jobs, one that fails does not stop the others.
    """
    from dataclasses import replace

    from cio_etl.cli.commands import as_typed
    from cio_etl.config import load_jobs
    from cio_etl.errors import ConfigError, EtlError
    from cio_etl.run.forget import Erasure, forget

    try:
        jobs = load_jobs(file)
        before = replace(jobs[0], name=jobs[0].name.removesuffix(f".{jobs[0].target}"), target=None)
        if jobs[0].target is not None and _has_runs(before):
            jobs.append(before)
        return [forget(job, person) for job in jobs]
    except EtlError as error:
        if is_alone:
            raise
        is_wrong = isinstance(error, ConfigError)
        fault = (
            f"{file} cannot be read; `{as_typed('check', file)}` says why" if is_wrong else f"{error}; {error.remedy}"
        )
        return [Erasure(file.stem, faults=(fault,))]


def _has_runs(job: Job) -> bool:
    from contextlib import closing

    from cio_etl.state import exists, open_store

    if not exists(job.state_location):
        return False
    with closing(open_store(job.state_location)) as store:
        return bool(store.runs(job.name, limit=1))


def _lines(erasure: Erasure) -> Iterator[str]:
    """What was removed, in sentences that name nobody."""
    from cio_etl.model.words import counted

    for ledger in erasure.ledgers:
        yield f"ledger of {ledger.step}: {_ledger_words(ledger)}"
    yield from (f"not searched: {fault}" for fault in erasure.faults)
    if erasure.rejected_rows:
        yield f"{counted(erasure.rejected_rows, 'rejected row')} removed"
    if erasure.messages:
        yield f"{counted(erasure.messages, 'message')} of Customer.io about rejected rows removed"
    if erasure.copies:
        yield f"copies of sources of {counted(erasure.copies, 'run')} removed; `rejects` can read no rows from them"
    if erasure.validation:
        yield "the report of the last validation removed"
    found = erasure.rejected_rows or erasure.messages or any(each.subjects for each in erasure.ledgers)
    if not found and not erasure.faults:
        yield "this person was not found"


def _ledger_words(ledger: LedgerErasure) -> str:
    if not ledger.is_searched:
        return f"not searched: {ledger.note}"
    return ledger.note or (f"{ledger.subjects:,} removed" if ledger.subjects else "nobody to remove")
