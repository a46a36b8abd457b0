"""One rate limit for all processes that send to one workspace: never exceeded, fully used, whichever process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import struct
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from cio_etl.load import rate_limiter
from cio_etl.load.rate.limiter import WINDOW_S
from cio_etl.load.rate.shared_limiter import MAX_AHEAD_S, FileRateLimiter
from cio_etl.model import Destination
from tests.fork_server import Process
from tests.running import start_program, until

# Reserves slots for a moment that stays the same, as fast as it can, and writes down their times.
TAKER = """
import sys, time
from pathlib import Path
from cio_etl.load.rate.shared_limiter import FileRateLimiter
limiter, out = FileRateLimiter(Path("budget"), 100.0), open(sys.argv[2], "a", buffering=1)
for _ in range(int(sys.argv[1])):
    out.write(f"{limiter.reserve(1_000.0)!r}\\n")
    time.sleep(0.002)  # so that all of them stay below MAX_AHEAD_S while a test looks on
"""
GAP_S = WINDOW_S / 100.0


def takers(processes: int, slots: int) -> list[Process]:
    """Processes that share a rate of 100 a second, and reserve so many slots each."""
    return [start_program(TAKER, slots, f"{number}.times") for number in range(processes)]


def taken() -> list[float]:
    return sorted(float(line) for path in Path().glob("*.times") for line in path.read_text().splitlines())


def most_in(seconds: float, times: list[float]) -> int:
    """The most slots in any time of this length."""
    return max(bisect_left(times, start + seconds) - place for place, start in enumerate(times))


def test_four_processes_share_one_rate_without_gap_or_overlap() -> None:
    for process in takers(4, slots=150):
        assert process.wait(60) == 0
    times = taken()
    assert len(times) == 600
    assert np.diff(times) == pytest.approx(GAP_S)
    assert most_in(1.0, times) <= 100


def stop_between_slots(process: Process) -> None:
    """Stops a process at a moment at which it does not hold the lock of the file."""
    with open("budget", "rb") as file:
        while True:
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.01)  # the others hold the lock for some microseconds
            for _ in range(50):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    fcntl.flock(file, fcntl.LOCK_UN)
                    return
                time.sleep(0.001)
            process.send_signal(signal.SIGCONT)


def test_a_process_that_is_killed_or_stopped_takes_no_slots_with_it() -> None:
    killed, stopped, *others = takers(4, slots=1_200)
    until(lambda: len(taken()) > 400)
    killed.kill()
    stop_between_slots(stopped)
    for process in others:
        assert process.wait(60) == 0
    stopped.kill()
    for process in (killed, stopped):
        process.wait()
    times = taken()
    missing = round((times[-1] - times[0]) / GAP_S) - (len(times) - 1)
    assert most_in(1.0, times) <= 100
    assert missing in (0, 1, 2), "a process loses at most the slot that it has not written down yet"


def test_slots_of_two_processes_alternate_and_idle_time_earns_no_slots() -> None:
    one, other = (FileRateLimiter(Path("budget"), 10.0) for _ in range(2))
    assert [one.reserve(100.0), other.reserve(100.0), one.reserve(100.0)] == pytest.approx([100.0, 100.102, 100.204])
    assert other.reserve(150.0) == 150.0
    assert one.reserve(150.0) == pytest.approx(150.102)


def test_a_process_with_a_lower_limit_takes_more_of_the_schedule() -> None:
    fast, slow = FileRateLimiter(Path("budget"), 100.0), FileRateLimiter(Path("budget"), 10.0)
    assert slow.reserve(0.0) == 0.0
    assert fast.reserve(0.0) == pytest.approx(0.102)
    assert slow.reserve(0.0) == pytest.approx(0.1122)


@pytest.mark.parametrize("content", [b"", b"abc", struct.pack("<d", 1e9), struct.pack("<d", float("nan"))])
def test_a_schedule_that_is_unreadable_or_from_before_a_reboot_is_ignored(content: bytes) -> None:
    Path("budget").write_bytes(content)
    limiter = FileRateLimiter(Path("budget"), 100.0)
    assert limiter.reserve(1_000.0) == 1_000.0
    assert limiter.reserve(1_000.0) == pytest.approx(1_000.0102)
    assert MAX_AHEAD_S < 1e9 - 1_000.0


def test_a_lock_of_a_stopped_process_delays_sending_briefly_and_is_logged_once(quiet_log: list[dict[str, Any]]) -> None:
    limiter = FileRateLimiter(Path("budget"), 100.0)
    locked = os.open("budget", os.O_RDWR)
    fcntl.flock(locked, fcntl.LOCK_EX)
    assert [limiter.reserve(10.0), limiter.reserve(10.0)] == pytest.approx([10.0, 10.01])
    os.close(locked)
    assert [event["event"] for event in quiet_log] == ["budget_not_shared"]
    assert limiter.reserve(11.0) == 11.0


def test_each_workspace_has_its_schedule_and_the_file_holds_no_secret() -> None:
    secret = SecretStr("canary5ecret")
    here = Destination("track", "https://track.customer.io", dict.fromkeys(("site_id", "api_key"), secret))
    elsewhere = Destination("track", "https://track-eu.customer.io", dict.fromkeys(("site_id", "api_key"), secret))
    for destination in (here, here, elsewhere):
        with rate_limiter(destination, Path(), None) as limiter:
            limiter.reserve(1.0)
    files = sorted(Path().glob("budget-*"))
    assert len(files) == 2 and all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert "canary" not in str(files)


def test_without_a_rate_limit_there_is_no_schedule() -> None:
    secret = SecretStr("x")
    here = Destination(
        "track", "http://127.0.0.1:1", dict.fromkeys(("site_id", "api_key"), secret), requests_per_second=None
    )
    with rate_limiter(here, Path(), None) as limiter:
        assert [limiter.reserve(5.0), limiter.reserve(5.0)] == [5.0, 5.0]
    assert list(Path().glob("budget-*")) == []
