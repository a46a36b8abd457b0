"""What reading DAGs loads, seen in the test process before it loads anything else.

A process of its own would import Airflow once more, which takes 3 s of CPU. conftest.py imports this first.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
from pathlib import Path

_SHIPPED = Path(__file__).parents[2] / "airflow_dags" / "etl_jobs.py"


def _is_loaded() -> list[str]:
    return [name for name in ("polars", "pyarrow") if name in sys.modules]


assert _is_loaded() == [], "something was imported before"
DAGS = [name for name in runpy.run_path(str(_SHIPPED)) if name.startswith("customerio__")]

import cio_etl.airflow.hook  # noqa: E402, F401
from cio_etl.airflow.dags import build_dags  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "people.yaml").write_text("name: people\nschedule: 0 3 * * *\n")
    APPROVED_DAGS = [*build_dags(folder, approve=True)]
LOADED = _is_loaded()
