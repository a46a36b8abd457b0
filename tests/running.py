"""Writes a job and starts the command on it: files in a folder, and the real command as a process."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cio_etl
from tests.fork_server import ForkServer, Process

SITE_ID, API_KEY = "SITE_ID_OF_THE_TESTS", "API_KEY_OF_THE_TESTS"  # the variables that hold them


def write_job(
    path: Path, url: str, steps: Mapping[str, tuple[Any, Any] | tuple[Any, Any, Mapping[str, Any]]], **settings: Any
) -> Path:
    """Writes a job that goes to `url`, with `steps` of name: (source, mapping file), and says where.

    A step may have more keys, as a third part. `settings` are keys of the job; `destination` among them adds to the
    destination's. JSON is YAML, too.
    """
    destination = {"base_url": url, "site_id": f"${{{SITE_ID}}}", "api_key": f"${{{API_KEY}}}"}
    job = {
        "destination": destination | settings.pop("destination", {}),
        "steps": [
            {"name": name, "source": source, "mapping": mapping}
            | {key: value for keys in more for key, value in keys.items()}
            for name, (source, mapping, *more) in steps.items()
        ],
        **settings,
    }
    path.write_text(json.dumps(job, indent=1), encoding="utf-8")
    return path


def environment(site_id: str = "sandbox", api_key: str = "sandbox") -> dict[str, str]:
    """What a process of the command needs, and nothing else."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(cio_etl.__file__).parents[1]),
        SITE_ID: site_id,
        API_KEY: api_key,
    }


DEADLINE_S = 300  # of a helper process; the kernel ends it then, also when the test process is gone
_started: list[subprocess.Popen[Any] | Process] = []


def spawn(
    command: Sequence[object], *, before_exec: Callable[[], object] = lambda: None, **popen: Any
) -> subprocess.Popen[Any]:
    """Starts a helper process. It ends with its test at the latest: see `kill_leftovers`, and DEADLINE_S."""

    def prepare() -> None:
        signal.alarm(DEADLINE_S)  # an alarm outlives exec, and its default action ends the process
        before_exec()

    process = subprocess.Popen([str(word) for word in command], preexec_fn=prepare, **popen)
    _started.append(process)
    return process


def kill_leftovers() -> None:
    """Kills what `spawn` has started and is still running. conftest.py calls it after each test."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.wait()
        if isinstance(process, Process):
            process.close_pipes()


def start(*arguments: object, folder: Path, **streams: Any) -> Process:
    """Starts `cio-etl` with these arguments in `folder`, in a session of its own; stdout and stderr are pipes.

    `streams` may have other ones, and an environment, `env`.
    """
    return _forked(None, arguments, folder, streams)


def start_program(program: str, *arguments: object, folder: Path = Path(), **streams: Any) -> Process:
    """Starts a Python program, which may import what `cio-etl` imports, likewise; stdout is a pipe."""
    return _forked(program, arguments, folder, {"stderr": None, **streams})


def _forked(program: str | None, arguments: Sequence[object], folder: Path, streams: Mapping[str, Any]) -> Process:
    settings = dict(streams)
    surroundings = settings.pop("env", None) or environment()
    words = [str(word) for word in arguments]
    process = _fork_server().start(
        program, words, folder=folder, environment=surroundings, deadline_s=DEADLINE_S, **settings
    )
    _started.append(process)
    return process


@functools.cache
def _fork_server() -> ForkServer:
    return ForkServer(environment())


def start_anew(*arguments: object, folder: Path, **popen: Any) -> subprocess.Popen[str]:
    """Starts `cio-etl` like `start`, but in a new interpreter, as a shell does; it costs about 1 s of CPU."""
    settings: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": environment(),
        "start_new_session": True,
        "text": True,
    }
    return spawn([sys.executable, "-m", "cio_etl.cli", *arguments], cwd=folder, **(settings | popen))


def until(true: Callable[[], bool], deadline_s: float = 30.0) -> None:
    """Returns as soon as `true()` is; for what another process does. Raises TimeoutError."""
    deadline, tick = time.monotonic() + deadline_s, threading.Event()
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen")
        tick.wait(0.005)
