"""The tests with Airflow, which run in an environment of its own: the package's dependencies stay free of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"
TESTS = "tests/with_airflow"
DEADLINE_S = 800


@pytest.mark.timeout(DEADLINE_S + 20)
def test_jobs_run_in_a_real_airflow() -> None:
    if not (PYTHON.parents[1] / "done").exists():
        pytest.skip("there is no .venv-airflow; `make with-airflow` builds it")
    names = ("PATH", "HOME", "LANG", "TMPDIR", "PG_URL")
    command = [PYTHON, "-m", "pytest", "-c", f"{TESTS}/pytest.ini", "--rootdir", TESTS, "--confcutdir", TESTS, TESTS]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name in names}
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "etl")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
    )
    print(done.stdout[-20_000:], file=sys.stderr)
    assert done.returncode == 0
    assert "skipped" not in done.stdout.splitlines()[-1]
