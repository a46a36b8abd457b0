"""Gives each module its log: structlog's where the application has configured it, else the standard library's.

A library prints nothing by itself. structlog prints to stdout while nobody has configured it, so until then events go
to the logger `cio_etl` of `logging`, which is silent unless the application gives it a handler.

structlog is imported for the first event: it imports rich and asyncio, and most commands log nothing.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

logging.getLogger("cio_etl").addHandler(logging.NullHandler())

_set_ups: list[Callable[[], object]] = []
_setting_up = threading.RLock()  # a signal's handler may log, too
_about: ContextVar[Mapping[str, Any]] = ContextVar("cio_etl_log", default={})  # noqa: B039 (it is never changed)


class Log:
    """Events of one module: `log.info("run_started", run_id=…)`."""

    def __getattr__(self, name: str) -> Any:
        import structlog

        with _setting_up:
            while _set_ups:
                _set_ups.pop()()
        logger = structlog.get_logger() if structlog.is_configured() else _standard()
        about = _about.get()
        return getattr(logger.bind(**about) if about else logger, name)


def get_logger() -> Log:
    """The log of a module."""
    return Log()


@contextmanager
def about(**names: Any) -> Iterator[None]:
    """Every event of the block has these names, as `run_id`, too; of threads, those that are log.Thread."""
    token = _about.set({**_about.get(), **names})
    try:
        yield
    finally:
        _about.reset(token)


def before_next_event(set_up: Callable[[], object] | None) -> None:
    """Has structlog set up by this function before the next event, if there is one. None: by no function."""
    with _setting_up:
        _set_ups[:] = [] if set_up is None else [set_up]


@functools.cache
def _standard() -> Any:
    import structlog

    return structlog.wrap_logger(
        logging.getLogger("cio_etl"),
        processors=[structlog.stdlib.filter_by_level, structlog.processors.LogfmtRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
