"""The command `rejects`: writes a run's rejected rows into a file."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from cio_etl.cli.complete import runs
from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, STATE


@cli.command(epilog="More: jobs/README.md, Fix and replay")
@click.argument("run_id", metavar="RUN", shell_complete=runs)
@click.option("-o", "out", type=click.Path(path_type=Path), help="A .csv, .parquet or .ndjson file.")
@click.option("--all", "closed", is_flag=True, help="Also closed rows, and in a column how each was closed.")
@click.option("--close", "note", metavar="WHY", help="Close the open rejects by hand, for this reason in your words.")
@click.option("--reason", metavar="REASON", help="With --close: only rejects of this reason, as email_malformed.")
@click.option("--forget", is_flag=True, help="Remove the rows of this run that `rejects: rows` has stored.")
@STATE
@ENV_FILE
def rejects(
    run_id: str,
    out: Path | None,
    closed: bool,
    note: str | None,
    reason: str | None,
    forget: bool,
    state: Path | None,
) -> None:
    """Write the rejected rows of RUN, to be fixed and replayed.

    Each row has its reason; `replay` sends the fixed rows. With --close, the rejects are closed by hand.
    """
    from cio_etl.cli.shared import opened_store, state_location
    from cio_etl.config import load_job
    from cio_etl.errors import ConfigError, InvalidArguments
    from cio_etl.log.streams import say
    from cio_etl.model import sums_by_words, target_of
    from cio_etl.model.words import counted, moment
    from cio_etl.reject_files import export, separator_of
    from cio_etl.rejects import rejected_rows
    from cio_etl.run import delete, rejects_folder

    location = state_location(state)
    with opened_store(location) as store:
        run = store.run(run_id)
        if run is None:
            raise click.UsageError(f"no run {run_id} in this state folder; `cio-etl status` lists them")
        if run.job.endswith(".replay"):
            raise click.UsageError(f"{run_id} is a replay; its open rejects are those of the run that it replayed")
        if out is None and not forget and note is None:
            raise click.UsageError("name the file to write with -o, as rejects.csv")
        if note is not None and not note.strip():
            raise click.UsageError("--close: write why, as --close 'test accounts'; no names: the state keeps it")
        if reason is not None and note is None:
            raise click.UsageError("--reason is for --close")
        if out is not None:
            job = None
            with contextlib.suppress(ConfigError, InvalidArguments):
                job = load_job(Path(run.job_file), secrets=False, sources=False, target=target_of(run.job))
            rows, notes = rejected_rows(store, location.folder, run, job, closed=closed)
            try:
                inexact = export(rows, out, separator_of(job, rows["step"].unique()))
            except FileExistsError:
                raise click.UsageError(f"{out} is there already; remove it, or name another file with -o") from None
            except OSError as error:
                why = error.strerror or type(error).__name__
                raise click.UsageError(f"{out} cannot be written: {why}; name another file with -o") from None
            except ValueError as error:
                raise click.UsageError(str(error)) from None
            for line in notes:
                say(line, err=True)
            for name in inexact:
                say(f"column {name}: {out.suffix} cannot hold all of its values exactly; .parquet can", err=True)
            firsts = (at for step in store.steps(run_id) for at in store.first_rejected(run_id, step.number).values())
            since = min(firsts, default=None)
            oldest = f", the oldest open since {moment(since)} UTC" if since else ""
            say(f"{counted(rows.height, 'rejected row')} in {out}{oldest}")
            if (done := store.closed_rejects(of_run=run_id)) and not closed:
                say(f"not in it, since they are closed: {', '.join(sums_by_words(done, by_run=True))}", err=True)
        if note is not None:
            rows_closed = store.close_by_hand(run_id, note.strip(), reason)
            say(f"{counted(rows_closed, 'reject')} of {run_id} closed by hand")
            forget = forget or not store.open_rejects(run_id)
    if forget:
        removed = delete(rejects_folder(location.folder, run_id))
        if removed or note is None:
            say(f"the stored rows of {run_id} are removed" if removed else f"no rows of {run_id} are stored")
