"""Measures one run of a command: time, CPU and memory of the whole process, from its start to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process cost, and what it said."""

    seconds: float  # by the wall clock, start-up included
    cpu_s: float  # user and system time, of its own children too
    peak_mb: float  # resident memory
    exit_code: int  # negative: the signal that ended it
    stdout: str
    stderr: str


# Runs a command, with an environment and a deadline, and says what it cost: `cost_of`, or what a test has for it.
Measure = Callable[[Sequence[str], MappingOf[str, str], float], Cost]


def cost_of(command: Sequence[str], environment: MappingOf[str, str], deadline_s: float) -> Cost:
    """Run `command` to its end, which is forced after `deadline_s` seconds, and say what it cost.

    A child starts out in a copy of its parent's memory, and Linux counts that copy into the child's peak: no peak can
    be smaller than the caller's. So whoever measures must stay small; run.py loads neither polars nor httpx.
    """
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
        deadline = threading.Timer(deadline_s, os.kill, (process.pid, signal.SIGKILL))
        deadline.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            deadline.cancel()
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has reaped it behind Popen's back
        stdout.seek(0)
        stderr.seek(0)
        return Cost(
            seconds=seconds,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mb=usage.ru_maxrss / 1024,  # KiB on Linux
            exit_code=process.returncode,
            stdout=stdout.read(),
            stderr=stderr.read(),
        )
