"""Words the commands that a person may type next. Only the command line does this."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

from cio_etl.model import Report


def as_typed(*words: object) -> str:
    """A `cio-etl` command as one would type it."""
    return shlex.join(["cio-etl", *(str(word) for word in words)])


ROWS_ARE_GONE = (
    "fix the rows at the source; with `rejects: rows` in the job file, a run keeps the rejected rows of a database"
)


def reject_commands(report: Report, state: Path, without_rows: Collection[str] = ()) -> dict[str, str]:
    """The commands that fix a run's rejected rows; none when there are none.

    The rejects of a replay are rejects of the run before, which stay open there. Of the steps `without_rows`, the
    rejected rows are gone with the copy that they were read from, so no command can export them.
    """
    if not report.rejected or report.job.endswith(".replay"):
        return {}
    if all(step.name in without_rows for step in report.steps if step.counts.rejected):
        return {"rejects": ROWS_ARE_GONE}
    where = [f"--state={state}"] if state != Path(".etl") else []
    sandbox = ["--sandbox"] if report.job.endswith(".sandbox") else []
    return {
        "rejects": as_typed("rejects", report.run_id, "-o", "rejects.csv", *where),
        "once fixed": as_typed("replay", "rejects.csv", *sandbox, *where),
    }
