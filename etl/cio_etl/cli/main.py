"""Defines the group of all commands, and prints a failure as two lines on stderr."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from cio_etl.cli.log import open_log
from cio_etl.cli.own_words import only_own_words
from cio_etl.cli.stopped import ending_when_stopped
from cio_etl.errors import EXIT_CODES as EXIT_WORDS
from cio_etl.errors import InvalidArguments, failure_of
from cio_etl.log.lines import FileLines, LogLines
from cio_etl.log.streams import accept_any_text, drop_output, say
from cio_etl.log.visible import visible


def _exit_codes() -> str:
    """The exit codes as the help shows them, in two columns."""
    lines = [f"{code}  {words}" for code, words in EXIT_WORDS.items() if code not in (130, 143)]
    lines.insert(5, f"130, 143  {EXIT_WORDS[130]}")
    rows = (f"  {first:<36}{second}" for first, second in zip(lines[:6], lines[6:], strict=True))
    return "\n".join(["\b", "Exit codes:", *rows])


EXIT_CODES = _exit_codes()


class _Command(click.Command):
    """A command that shows wrong arguments as click shows its own, with options as they are spelled here."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InvalidArguments as error:
            from cio_etl.cli.options import FLAGS

            words = re.sub(r"`(\w+)`", lambda match: FLAGS.get(match[1], match[0]), str(error))
            raise click.UsageError(words, ctx) from None


class _Group(click.Group):
    command_class = _Command


@click.group(cls=_Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cio-etl", prog_name="cio-etl")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="The format of log lines on stderr."
)
@click.option(
    "--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Write log lines there, not to stderr."
)
@click.option("--debug", is_flag=True, help="Log more, such as every retry.")
def cli(log_format: str, log_file: Path | None, debug: bool) -> None:
    """Loads files, tables and queries into Customer.io: mapped, checked, in order, resumable.

    Documentation: README.md to start, jobs/README.md for jobs, sources and exit codes, mappings/README.md for mappings
    and rejects, airflow_dags/README.md for Airflow, etl/README.md for how it works.
    """
    try:
        open_log(LogLines() if log_file is None else FileLines(log_file), log_format, debug)
    except OSError as error:
        raise click.UsageError(f"--log-file: {log_file} cannot be written: {error.strerror}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit code. A failure is two lines on stderr: what happened, and what to do."""
    accept_any_text()
    atexit.register(gc.freeze)  # the end of the process need not look for garbage in all that was loaded
    os.umask(0o077)  # files written here are about people: state, reports, rejects
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy starts threads to multiply matrices, and there are none
    with _rare_garbage_collection(), only_own_words(), ending_when_stopped():
        return _run(arguments)


@contextlib.contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Lets the collector look for garbage seldom: imports make many objects that stay, and a command little garbage.

    With Python's default, it takes a tenth of the time of a short command. What a command loads, up to 230,000 objects,
    is not looked at once; `shared.calling` lets the collector look more often while a run works.
    """
    before = gc.get_threshold()
    gc.set_threshold(300_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        cli.main(arguments, standalone_mode=False, prog_name="cio-etl")
    except SystemExit as end:
        return int(end.code or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        error.message = visible(error.message)  # type: ignore[misc]
        error.show()
        return error.exit_code
    except BrokenPipeError:
        drop_output(sys.stdout)  # click's own output, such as --help
        return 0
    except BaseException as error:  # a panic of a library in Rust is no Exception
        failure = failure_of(error)
        say(str(failure), err=True)
        if failure.remedy:
            say(failure.remedy, err=True)
        return failure.exit_code
    return 0
