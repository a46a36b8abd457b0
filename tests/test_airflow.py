"""Does it work with Airflow? Its own tests, in its own environment: the package's dependencies stay free of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"
TESTS = "tests/with_airflow"


@pytest.mark.timeout(300)
def test_jobs_run_in_a_real_airflow() -> None:
    if not (PYTHON.parents[1] / "done").exists():
        pytest.skip("there is no .venv-airflow; `make with-airflow` builds it")
    tests = [str(PYTHON), "-m", "pytest", "-c", f"{TESTS}/pytest.ini", "--rootdir", TESTS, "--confcutdir", TESTS, TESTS]
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR", "PG_URL")}
    told = subprocess.run(
        tests,
        cwd=ROOT,
        env=clean | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert told.returncode == 0, told.stdout[-20_000:]
    assert "skipped" not in told.stdout.splitlines()[-1]
