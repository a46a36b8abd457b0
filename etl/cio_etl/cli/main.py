"""The group of all commands, the exit code, and what a failure looks like: two lines on stderr."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import structlog

from cio_etl.errors import EXIT_CODES as EXIT_WORDS
from cio_etl.errors import EtlError
from cio_etl.report.logs import FileLines, LogLines
from cio_etl.report.streams import let_go, say, take_any_text


def _exit_codes() -> str:
    """The exit codes as the help shows them, in two columns."""
    said = [f"{code}  {words}" for code, words in EXIT_WORDS.items() if code not in (130, 143)]
    said.insert(5, f"130, 143  {EXIT_WORDS[130]}")
    rows = (f"  {left:<36}{right}" for left, right in zip(said[:6], said[6:], strict=True))
    return "\n".join(["\b", "Exit codes:", *rows])


EXIT_CODES = _exit_codes()


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cio-etl", prog_name="cio-etl")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="How log lines look on stderr.")
@click.option("--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Log lines go there, not to stderr.")
@click.option("--debug", is_flag=True, help="Log more: every retry.")
def cli(log_format: str, log_file: Path | None, debug: bool) -> None:
    """Loads files into Customer.io: mapped, checked, in order, resumable."""
    try:
        _set_up_log(LogLines() if log_file is None else FileLines(log_file), log_format, debug)
    except OSError as error:
        raise click.UsageError(f"--log-file: {log_file} cannot be written: {error.strerror}") from None


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


def _set_up_log(lines: LogLines | FileLines, log_format: str, debug: bool) -> None:
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
