"""The log of a command: where its lines go, in which format, and from which level on.

structlog is set up before the first event and not before, because most commands log nothing: see cio_etl/log/events.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import click

from cio_etl.log import before_next_event
from cio_etl.log.lines import FileLines, Lines, LogLines
from cio_etl.log.visible import visible_event


@dataclass(frozen=True, slots=True)
class CommandLog:
    """Where log lines go, whether they are JSON, and the lowest level of `logging` that is written."""

    lines: Lines
    is_json: bool
    level: int

    def set_up(self) -> None:
        import structlog

        render: Any = (
            structlog.processors.JSONRenderer() if self.is_json else structlog.dev.ConsoleRenderer(colors=False)
        )
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                visible_event,
                render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(self.level),
            logger_factory=lambda *_: self.lines,
        )


def open_log(lines: LogLines | FileLines, log_format: str, debug: bool) -> None:
    """Opens the log of the current command, until the command ends."""
    use_log(CommandLog(lines, log_format == "json", logging.DEBUG if debug else logging.INFO))
    click.get_current_context().call_on_close(lambda: before_next_event(None))
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)  # at debug they log headers, which hold the key


def use_log(log: CommandLog) -> None:
    """Makes this the log of the current command, from the next event on."""
    click.get_current_context().find_root().obj = log
    before_next_event(log.set_up)


def command_log() -> CommandLog:
    """The log of the current command."""
    log: CommandLog = click.get_current_context().find_root().obj
    return log
