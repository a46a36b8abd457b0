"""What is a finding, and what becomes of an error on the way to one?"""

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
    CredentialsRefused,
    DestinationUnavailable,
    EtlError,
    SourceUnreachable,
    StateError,
    WrongDestination,
)
from cio_etl.report.words import counted

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, and what to do when it is not as it should be."""

    subject: str
    level: Level
    found: str
    remedy: str = ""  # "" only when all is well
    exit_code: int = 0  # with which `run` would end for it


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine says of itself, and how long it waits for Customer.io."""

    mounts: Callable[[], str] = state.mount_table
    free_bytes: Callable[[Path], int] = _free_bytes
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    patience_s: float = 5.0


def tried(subject: str, findings: Iterator[Check]) -> Iterator[Check]:
    """The findings; an error ends them, and is one."""
    try:
        yield from findings
    except EtlError as error:
        yield of_error(subject, error)
    except Exception as error:  # else nobody would hear of the rest; its own words may hold values
        frame = traceback.extract_tb(error.__traceback__)[-1]
        found = f"a bug of ours: unexpected {type(error).__name__}, {Path(frame.filename).name}:{frame.lineno}"
        yield Check(subject, "wrong", found, "please report this line, which holds no data", 1)


_REMEDIES: dict[type[EtlError], str] = {
    CredentialsRefused: "renew what destination.site_id and api_key refer to: a site id and a Track API key of one "
    "workspace",
    DestinationUnavailable: "see whether this machine may reach it: name server, firewall, a proxy with a certificate "
    "of its own (destination.ca_file)",
    WrongDestination: "leave base_url out of the job file, or mend it, and see that region is the workspace's",
    StateError: "make the folder writable for this user, or name another with state: in the job file",
    SourceUnreachable: "see whether it runs, and may be reached from this machine",
}


def of_error(subject: str, error: EtlError) -> Check:
    """The error as a finding, with what to do in every case."""
    remedy = error.remedy or _REMEDIES.get(type(error), "mend the source, or what the job file says of it")
    return Check(subject, "wrong", str(error), remedy, error.exit_code)


def lasting(seconds: float) -> str:
    """A time as people say it."""
    for word, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {word}s"
    return counted(round(seconds), "second")
