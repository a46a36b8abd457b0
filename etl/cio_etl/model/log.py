"""Gives each module its log: structlog's where the application has configured it, else the standard library's.

A library prints nothing by itself. structlog prints to stdout while nobody has configured it, so until then events go
to the logger `cio_etl` of `logging`, which is silent unless the application gives it a handler.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

logging.getLogger("cio_etl").addHandler(logging.NullHandler())

_STANDARD = structlog.wrap_logger(
    logging.getLogger("cio_etl"),
    processors=[structlog.stdlib.filter_by_level, structlog.processors.LogfmtRenderer(key_order=["event"])],
    wrapper_class=structlog.stdlib.BoundLogger,
)


class Log:
    """Events of one module: `log.info("run_started", run_id=…)`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(structlog.get_logger() if structlog.is_configured() else _STANDARD, name)


def get_logger() -> Log:
    """The log of a module."""
    return Log()
