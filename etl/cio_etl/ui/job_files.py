"""Reads the job files of a folder, for schedules and steps. A file that cannot be read is a note on the page."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from cio_etl.config import is_mapping_file, load_jobs, load_outlines
from cio_etl.errors import ConfigError, EtlError
from cio_etl.model import Job, JobOutline, JobSettings
from cio_etl.state import Where

MOST_FILES = 300
TRY_AGAIN_S = 10.0
ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file: its jobs, one for each destination, and what is wrong with it.

    With a problem in a mapping or a source, a job is an outline: when it is due is known all the same.
    """

    path: Path
    jobs: tuple[Job | JobOutline, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class JobFiles:
    """The job files of folders, and single ones. Each is read once, and again when it has changed.

    One with a problem is read again after a while: what is wrong may be right in another file then.
    """

    places: tuple[Path, ...]
    _read: dict[Path, tuple[tuple[int, int], float, JobFile]] = field(default_factory=dict)  # version, read at
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def current(self) -> list[JobFile]:
        """The files as they are now; a mapping is none of them."""
        with self._reading:
            return [file for path in self._paths() if (file := self._current(path)) is not None]

    def _paths(self) -> Iterator[Path]:
        found: dict[Path, None] = {}
        for place in self.places:
            inside = sorted(place.iterdir()) if place.is_dir() else [place]
            found |= dict.fromkeys(path for path in inside if path.suffix in ENDINGS and not path.name.startswith("."))
        yield from list(found)[:MOST_FILES]

    def _current(self, path: Path) -> JobFile | None:
        try:
            stat = path.stat()
        except OSError:
            return None
        version, now = (stat.st_mtime_ns, stat.st_size), time.monotonic()
        known, at, file = self._read.get(path, (None, now, JobFile(path)))
        if known != version or (file.problem and now - at > TRY_AGAIN_S):
            file = _read(path)
            self._read[path] = (version, now, file)
        return file if file.jobs or file.problem else None


def _read(path: Path) -> JobFile:
    try:
        return JobFile(path, tuple(load_jobs(path)))
    except ConfigError as error:
        if _is_mapping(path):
            return JobFile(path)
        first, *rest = error.problems
        return JobFile(path, _outlines(path), f"{first}{f' (and {len(rest)} more)' if rest else ''}")
    except EtlError as error:
        return JobFile(path, problem=str(error))
    except Exception as error:  # whatever is wrong with it, the page of all the others is shown
        return JobFile(
            path, problem=f"{path}: {type(error).__name__}; `cio-etl check {shlex.quote(str(path))}` may say more"
        )


def _outlines(path: Path) -> tuple[JobOutline, ...]:
    try:
        return tuple(load_outlines(path))
    except Exception:
        return ()


def _is_mapping(path: Path) -> bool:
    try:
        return is_mapping_file(path)
    except Exception:
        return False


def has_state_in(job: JobSettings, where: Where) -> bool:
    """Whether the job's state is this one."""
    if isinstance(where, SecretStr) or job.database is not None:
        return job.database == where
    return job.state.absolute() == where.absolute()
