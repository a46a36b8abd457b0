"""Defines every failure of this program, grouped by who must act.

    EtlError                                        exit
    ├── ConfigError          author of the YAML      78
    ├── ChangedSinceStart    author of the YAML      78
    ├── PlanOutdated         whoever approves it     78
    ├── SourceError          owner of the data       65
    ├── SourceUnreachable    owner of the data       65
    ├── SourceRefused        keeper of the keys      77
    ├── TooManyRejects       owner of the data        4
    ├── TooManyChanges       owner of the data        4
    │   └── ExpectationsFailed
    ├── CredentialsRefused   keeper of the keys      77
    ├── WrongDestination     keeper of the keys      78
    ├── DestinationUnavailable  Customer.io, network 69
    ├── StateError           this machine            74
    ├── LimitReached         this machine            74
    ├── OutputLost           this machine            74
    ├── JobLocked            this machine            75
    ├── RunUnfinished        this machine            75
    ├── LanesTaken           this machine            75
    ├── EndedElsewhere       as the one that ended it
    ├── Interrupted          this machine       130/143
    ├── InvalidArguments     the caller               2
    ├── TooDeep              owner of the data       65
    ├── CountsDisagree       cio-etl: a bug           1
    └── Bug                  cio-etl: a bug           1

A docstring is the message; its `{names}` are filled in by the keyword arguments. The command prints the message on the
first line of stderr and the remedy on the second. No message holds a value of the data or a secret, only positions and
names.
"""

from __future__ import annotations

import errno
import inspect
import os
import resource
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

# What each exit code means.
EXIT_CODES: dict[int, str] = {
    0: "every row accepted",
    1: "a bug in cio-etl; state intact",
    2: "wrong command line",
    3: "done, some rows rejected",
    4: "too much rejected or changed",
    65: "source unreadable, out of reach, damaged or changed",
    69: "Customer.io out of reach; run again to go on",
    74: "state, disk or memory failed; fix it and run again",
    75: "another run holds this job, or its lanes",
    77: "credentials refused",
    78: "job file wrong, or changed since the run began",
    130: "stopped by a signal",
    143: "stopped by a signal",
}


class EtlError(Exception):
    """{what}"""

    exit_code: ClassVar[int] = 1
    resumable: ClassVar[bool] = False
    has_lines: ClassVar[bool] = False  # its message is a list of problems, a line each
    option: ClassVar[str] = ""  # of `run`, with which the run goes on
    remedy: str = ""

    def __init__(self, remedy: str = "", **facts: object) -> None:
        self.facts = facts
        if remedy:
            self.remedy = remedy
        message = inspect.cleandoc(type(self).__doc__ or "").format(**facts)
        super().__init__(message if self.has_lines else _one_line(message))


def _one_line(message: str) -> str:
    """The message in one line: the name of a file or of a column may hold the end of a line."""
    return "\\n".join(message.splitlines())


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a YAML file: where, what, and what to do about it."""

    file: str
    line: int | None  # 1-based; None when the problem has no place in the file
    path: str  # dotted path of the key, "" for the whole file
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return _one_line(f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}")


class ConfigError(EtlError):
    """{what}"""

    exit_code = 78
    has_lines = True

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(what="\n".join(str(problem) for problem in self.problems))


class ChangedSinceStart(EtlError):
    """run {run_id} was interrupted and cannot go on: {changes}"""

    exit_code = 78


class PlanOutdated(EtlError):
    """the plan does not fit any more: step {step}: {what}"""

    exit_code = 78
    remedy = "make a new plan with `cio-etl plan`, and look at it"


class SourceError(EtlError):
    """{place}: {what}"""

    exit_code = 65
    resumable = True


class ColumnOfBytes(SourceError):
    """{place}: column {column!r} holds bytes, which have no JSON form"""


class SourceUnreachable(EtlError):
    """{place} is out of reach: {what}"""

    exit_code = 65
    resumable = True
    remedy = "check whether it runs and whether this machine can reach it"


class SourceRefused(EtlError):
    """{place} refused the user or the password"""

    exit_code = 77
    resumable = True


class TooManyRejects(EtlError):
    """{rejected} rejected, more than max_rejects allows ({limit}); the most frequent: {most}"""

    exit_code = 4
    resumable = True


class TooManyChanges(EtlError):
    """step {step}: {changes}; nothing was sent"""

    exit_code = 4
    resumable = True
    remedy = "check the source; if the changes are right, run once with --accept-changes"


class ExpectationsFailed(TooManyChanges):
    """step {step}: {changes}; nothing of this step was sent"""


class CredentialsRefused(EtlError):
    """{host} refused the credentials (HTTP {status})"""

    exit_code = 77
    resumable = True


class WrongDestination(EtlError):
    """{host} is not this API of Customer.io: {what}"""

    exit_code = 78
    resumable = True
    remedy = "leave base_url out of the job file or fix it, and check that region is that of the workspace"


class DestinationUnavailable(EtlError):
    """{host} is out of reach: {reason}"""

    exit_code = 69
    resumable = True
    remedy = (
        "check whether this machine can reach it: name server, firewall, a proxy with its own certificate "
        "(destination.ca_file)"
    )


class StateError(EtlError):
    """{place}: {what}"""

    exit_code = 74
    resumable = True
    remedy = "check the disk and the folder of the state, or name another one with state: in the job file"

    @classmethod
    def of_file(cls, place: object, error: OSError, failed: str = "") -> StateError:
        """The error of a file or folder of the state, with its remedy; `failed` is what could not be done."""
        remedy = _FILE_REMEDIES.get(error.errno or 0, "")
        what = os.strerror(error.errno) if error.errno else "cannot be used"  # pyarrow's own words are long
        return cls(remedy, place=place, what=f"{failed}: {what}" if failed else what)


class OutputLost(EtlError):
    """standard output cannot be written: {what}; what the command did before is done"""

    exit_code = 74
    remedy = "free some space, or name another file; `cio-etl status` says what a run did, and whether to run it again"


class LedgerDamaged(StateError):
    """{place}: {what}"""

    remedy = "start a new ledger with --rebuild-ledger: a run then sends every row once, and removes nobody"
    option = "--rebuild-ledger"


class DeltaDamaged(LedgerDamaged):
    """{place}: {what}"""

    remedy = "abandon the run and start a new one with --restart: it sends every row once, and removes nobody"
    option = "--restart"


_FILE_REMEDIES = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT),
        "free some space there, or move the folder to another disk and name it with state: in the job file",
    ),
    errno.EFBIG: "raise the quota, or the limit of a file's size (ulimit -f)",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "make the folder writable for this user, or name another one with state: in the job file",
    ),
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
        "a file or a link has the name of the folder: move it, or name another folder with state: in the job file",
    ),
}


class JobLocked(EtlError):
    """another run holds the job {job}: process {pid} on {host}, since {since}"""

    exit_code = 75


class RunUnfinished(EtlError):
    """the run {run_id} is unfinished: it would go on with what is to be removed"""

    exit_code = 75


class LanesTaken(EtlError):
    """process {pid} on {host} has taken lanes {lanes} over"""

    exit_code = 75
    resumable = True
    remedy = "this process was stopped, or cut off from the state database, for longer than a lease lasts"


class EndedElsewhere(EtlError):
    """another worker has ended the run: {reason}"""

    resumable = True

    def __init__(self, remedy: str = "", *, exit_code: int, reason: str) -> None:
        self.exit_code = exit_code  # type: ignore[misc]
        super().__init__(remedy, reason=reason)


class Interrupted(EtlError):
    """stopped by {signal}"""

    resumable = True

    def __init__(self, signal: str, remedy: str = "") -> None:
        self.exit_code = {"SIGINT": 130}.get(signal, 143)  # type: ignore[misc]
        super().__init__(remedy, signal=signal)


class InvalidArguments(EtlError):
    """{what}"""

    exit_code = 2

    def __init__(self, what: str) -> None:
        """`what` names options in backticks, as Python spells them; the command shows its own spelling."""
        super().__init__(what=what)


class CountsDisagree(EtlError):
    """step {step}: {rows_read} rows read, but {counted} accepted, rejected or skipped; please report this bug"""

    exit_code = 1


class LimitReached(EtlError):
    """{what}"""

    exit_code = 74
    resumable = True


class TooDeep(EtlError):
    """a value, or a file, nests more than {depth:,} levels deep"""

    exit_code = 65
    resumable = True
    remedy = "export it flatter, or as text"


class Bug(EtlError):
    """a bug in cio-etl: {what}; the state is intact"""

    exit_code = 1
    remedy = "run the same command again to go on, and please report this line"


def unexpected(error: BaseException) -> str:
    """What is reported of a bug: the kind of error and where it arose; never its words, which may hold values."""
    frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return f"unexpected {type(error).__name__}, {' > '.join(frames[-6:])}"


def is_failure(error: BaseException) -> bool:
    """Whether an error is a failure, and no request to stop.

    Panics of libraries in Rust are BaseExceptions, each library with a class of its own.
    """
    return isinstance(error, Exception) or any(kind.__name__ == "PanicException" for kind in type(error).__mro__)


def failure_of(error: BaseException) -> EtlError:
    """What is reported of any error: itself, a limit of this machine that was reached, or a bug in cio-etl."""
    if isinstance(error, EtlError):
        return error
    if isinstance(error, OSError) and error.filename == "<stdout>":  # see log/streams.py
        return OutputLost(what=error.strerror)
    words = str(error)
    if _is_lack_of_memory(error):
        return LimitReached(
            "give the process more memory, or let other programs use less",
            what=f"memory has run out: {_limit_words(resource.RLIMIT_AS, 'ulimit -v', megabytes=True)}",
        )
    if isinstance(error, RuntimeError) and "can't start new thread" in words:
        memory = _limit_words(resource.RLIMIT_AS, "ulimit -v", megabytes=True)
        return LimitReached(
            "let the user start more processes, give the process more memory, or run with fewer lanes",
            what=f"no thread could be started: {_limit_words(resource.RLIMIT_NPROC, 'ulimit -u')}; of memory {memory}",
        )
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return LimitReached(
            "raise the limit, or run with fewer lanes",
            what=f"too many files are open: {_limit_words(resource.RLIMIT_NOFILE, 'ulimit -n')}",
        )
    if isinstance(error, RecursionError):
        return TooDeep(depth=sys.getrecursionlimit())
    return Bug(what=unexpected(error))


def is_limit(error: BaseException) -> bool:
    """Whether an error says that this machine has reached a limit. It is then no fault of what was being read."""
    return isinstance(failure_of(error), LimitReached)


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ImportError) and "failed to map segment" in str(error):
        return True
    # Where memory is limited, libraries that find none while they are imported raise this.
    return isinstance(error, SystemError) and resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def _limit_words(limit: int, command: str, *, megabytes: bool = False) -> str:
    """The limit of this process in words, and the shell's command that shows it."""
    allowed = resource.getrlimit(limit)[0]
    if allowed == resource.RLIM_INFINITY:
        return f"this machine has no more (`{command}` sets no limit)"
    return (
        f"its limit is {allowed >> 20:,} MB (`{command}`)" if megabytes else f"the limit is {allowed:,} (`{command}`)"
    )
