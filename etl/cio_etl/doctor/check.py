"""The result of one check, and how an error becomes one."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cio_etl import state
from cio_etl.errors import (
    EtlError,
)
from cio_etl.model.words import counted

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: what it looked at, how that is, and what to do if it is not well."""

    subject: str
    level: Level
    found: str
    remedy: str = ""  # "" only when all is well
    exit_code: int = 0  # of a run that this stops


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Machine:
    """What the checks read from this machine, and how long they wait for Customer.io."""

    mounts: Callable[[], str] = state.mount_table
    free_bytes: Callable[[Path], int] = _free_bytes
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    patience_s: float = 5.0


def with_errors(subject: str, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks; an error that ends them becomes the last one."""
    try:
        yield from checks
    except EtlError as error:
        yield failed_check(subject, error)
    except Exception as error:  # the other checks must still run; the error's own words may hold values
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = f"a bug in cio-etl: unexpected {type(error).__name__}, {Path(frame.filename).name}:{frame.lineno}"
        yield Check(subject, "wrong", text, "please report this line, which holds no data", 1)


def failed_check(subject: str, error: EtlError) -> Check:
    """The error as a check; it always has a remedy."""
    remedy = error.remedy or "fix the source, or its section in the job file"
    return Check(subject, "wrong", str(error), remedy, error.exit_code)


def duration_words(seconds: float) -> str:
    """A duration in words, in its largest fitting unit."""
    for word, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {word}s"
    return counted(round(seconds), "second")
