"""What runs beside the other tests, from their beginning: those with Airflow, in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"
TESTS = "tests/with_airflow"


class Running:
    """The tests with Airflow, under way."""

    def __init__(self) -> None:
        self._said: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 it is closed by `close`
        command = [str(PYTHON), "-m", "pytest", "-c", f"{TESTS}/pytest.ini", "--rootdir", TESTS, "--confcutdir", TESTS]
        names = ("PATH", "HOME", "LANG", "TMPDIR", "PG_URL")
        clean = {name: value for name, value in os.environ.items() if name in names}
        self._process = subprocess.Popen(
            [*command, TESTS],
            cwd=ROOT,
            env=clean | {"PYTHONPATH": str(ROOT)},
            stdout=self._said,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ended(self) -> tuple[int, str]:
        """Waits for their end: exit code, and what was said."""
        code = self._process.wait()
        self._said.seek(0)
        return code, self._said.read()

    def close(self) -> None:
        """Ends them, if nobody waited."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._said.close()


AIRFLOW = pytest.StashKey[Running | None]()


def started() -> Running | None:
    """They are under way now; None: there is no environment for them."""
    return Running() if (PYTHON.parents[1] / "done").exists() else None
