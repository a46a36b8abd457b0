"""Words the commands that a person may type next. Only the command line does this."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection
from pathlib import Path

import click

from cio_etl.cli.options import ENV_FILE_META
from cio_etl.model import Report, target_of


def as_typed(*words: object) -> str:
    """A `cio-etl` command as one would type it, with the file of variables that this command was given."""
    context = click.get_current_context(silent=True)
    file = None if context is None else context.meta.get(ENV_FILE_META)
    more = [] if file is None else [f"--env-file={file}"]
    return " ".join(["cio-etl", *(_quoted(_word(word)) for word in [*words, *more])])


def _word(word: object) -> str:
    """The word, where a path begins like an option with the folder in which it is."""
    return f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)


def _quoted(word: str) -> str:
    """The word as bash, zsh and fish read it.

    fish knows backslashes within single quotes, and replaces `%self`; zsh replaces `=word`.
    """
    if "\\" in word:
        return "".join(rf"\{sign}" if sign in "\\'" else shlex.quote(sign) for sign in word)
    return f"'{word}'" if word.startswith(("=", "%")) and shlex.quote(word) == word else shlex.quote(word)


def with_option(again: str, run: str) -> Callable[[str], str]:
    """Makes the command that goes on with an option of `run`: this one, or, where it has no such option, a run first.

    `again` is this command once more, and `run` a run of the same job.
    """
    flags = {flag for parameter in click.get_current_context().command.params for flag in parameter.opts}
    return lambda option: f"{again} {option}" if option in flags else f"{run} {option}; {again}"


def target_words(target: str | None) -> list[str]:
    """The argument that names a target, if there is one."""
    return [] if target is None else [f"--target={target}"]


def verify_commands(report: Report, job: Path) -> dict[str, str]:
    """The command that shows what Customer.io has otherwise than it was sent; none where nothing differs."""
    if report.verification is None or not report.verification.different:
        return {}
    return {"verify": as_typed("verify", job, *target_words(target_of(report.job)))}


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
    file = "rejects.csv" if not Path("rejects.csv").exists() else f"{report.run_id}.csv"  # none is overwritten
    return {
        "rejects": as_typed("rejects", report.run_id, "-o", file, *where),
        "once fixed": as_typed("replay", file, *sandbox, *where),
    }
