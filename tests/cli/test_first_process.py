"""SIGTERM ends a command that is the first process of its machine, as in a container."""

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
