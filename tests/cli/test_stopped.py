"""SIGTERM and SIGHUP end a command, which deletes what it has copied; also the first process, as in a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import environment, spawn, until, write_job

ALONE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@pytest.mark.slow
@pytest.mark.fault("P9")
def test_sigterm_ends_a_validation_that_is_process_1() -> None:
    try:
        subprocess.run([*ALONE, "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no process can be the first of a namespace here")
    Path("people.yaml").write_text("operation: identify\nidentifiers: {id: id}\nattributes: {name: name}\n")
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"people": ({"csv": "-"}, "people.yaml")})
    command = [*ALONE, sys.executable, "-m", "cio_etl.cli", "validate", "job.yaml"]
    with spawn(command, env=environment(), stdin=subprocess.PIPE) as shell:
        children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children")
        until(lambda: children.read_text() != "")
        child = int(children.read_text())
        until(lambda: "polars" in Path(f"/proc/{child}/maps").read_text())  # it is about to wait for rows
        os.kill(child, signal.SIGTERM)
        assert shell.wait(timeout=20) == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.fault("P9")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["validate", "preview", "plan"])
def test_a_command_that_is_stopped_leaves_no_copy_of_the_rows(command: str, number: signal.Signals) -> None:
    Path("people.yaml").write_text("operation: identify\nidentifiers: {id: id}\nattributes: {name: name}\n")
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"people": ({"csv": "-"}, "people.yaml")})
    Path("tmp").mkdir()
    words = [sys.executable, "-m", "cio_etl.cli", command, "job.yaml"]
    with spawn(words, env=environment() | {"TMPDIR": "tmp"}, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"id,name\n" + b"1,Ann\n" * 100_000)
        process.stdin.flush()  # more rows would come
        until(lambda: any(path.is_file() for path in Path("tmp").rglob("*")))
        process.send_signal(number)
        assert process.wait(timeout=20) == 143
    assert list(Path("tmp").iterdir()) == []
