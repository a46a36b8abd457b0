"""A process of the fork server is like one of a new interpreter, for who starts it and for the program in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import environment, start, start_program

STATE = """
import json, os, sys, threading
print(json.dumps({
    "arguments": sys.argv[1:],
    "environment": sorted(os.environ),
    "folder": os.getcwd(),
    "leads its session": os.getsid(0) == os.getpid() == os.getpgid(0),
    "open files": len(os.listdir("/dev/fd")) - 1,
    "threads": threading.active_count(),
}))
"""


def test_a_forked_process_has_its_own_environment_folder_and_session_and_nothing_of_other_processes(
    tmp_path: Path,
) -> None:
    with start_program("print(1, flush=True); import time; time.sleep(60)") as other:
        assert other.stdout is not None and other.stdout.readline() == "1\n"
        process = start_program(STATE, "a", 7, folder=tmp_path, env=environment() | {"OF_THIS_TEST": "1"})
        assert json.loads(process.communicate()[0]) == {
            "arguments": ["a", "7"],
            "environment": sorted(environment() | {"OF_THIS_TEST": "1"}),
            "folder": str(tmp_path),
            "leads its session": True,
            "open files": 3,
            "threads": 1,
        }
        other.kill()


@pytest.mark.parametrize(
    ("program", "code", "stderr"),
    [
        ("print('x')", 0, ""),
        ("raise SystemExit(7)", 7, ""),
        ("import os; os._exit(9)", 9, ""),
        ("raise KeyError('a')", 1, "KeyError: 'a'\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import signal; signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM, ""),
        ("import threading, time; threading.Thread(target=lambda: (time.sleep(.05), print('late'))).start()", 0, ""),
        ("import atexit; atexit.register(lambda: print('end'))", 0, ""),
    ],
)
def test_a_forked_process_ends_as_a_new_interpreter_does(program: str, code: int, stderr: str) -> None:
    forked = start_program(program, stderr=subprocess.PIPE)
    printed = forked.communicate(timeout=20)
    new = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert (forked.returncode, printed[0]) == (new.returncode, new.stdout) and forked.returncode == code
    assert printed[1].endswith(stderr) and bool(printed[1]) == bool(new.stderr)


def test_a_forked_process_that_still_runs_can_be_asked_for_waited_for_and_stopped() -> None:
    process = start("sandbox", "--port=0", folder=Path())
    assert process.stdout is not None and "http" in process.stdout.readline()
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.signal_group(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == ""
    assert (process.returncode, process.poll(), process.wait()) == (0, 0, 0)
    process.send_signal(signal.SIGKILL)  # it is over: nobody else gets the signal
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
