"""One run of a job at a time in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cio_etl import state
from cio_etl.errors import JobLocked
from tests.running import start_program


@pytest.mark.fault("P8")
def test_a_second_run_is_refused_with_the_owner_of_the_lock(tmp_path: Path) -> None:
    with state.hold(tmp_path, "nightly"):
        assert state.running(tmp_path, "nightly")
        message = f"another run holds the job nightly: process {os.getpid()} on "
        with pytest.raises(JobLocked, match=message) as raised, state.hold(tmp_path, "nightly"):
            pytest.fail("held twice")
        with state.hold(tmp_path, "another"):
            pass
    assert raised.value.exit_code == 75
    assert not state.running(tmp_path, "nightly")


@pytest.mark.fault("P1", "P8")
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from cio_etl.state import hold\n"
        "with hold(pathlib.Path(sys.argv[1]), 'j'): print(1, flush=True); time.sleep(60)"
    )
    with start_program(program, tmp_path) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        assert state.running(tmp_path, "j")
        holder.kill()
        holder.wait()
    assert not state.running(tmp_path, "j")
