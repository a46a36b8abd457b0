"""Does it work with Airflow? Its own tests, in its own environment: the package's dependencies stay free of it.

They wait more than they work, so conftest.py starts them before all other tests, and this one comes last.
"""

from __future__ import annotations

import pytest

from tests.airflow_session import AIRFLOW


@pytest.mark.timeout(600)
def test_jobs_run_in_a_real_airflow(pytestconfig: pytest.Config) -> None:
    running = pytestconfig.stash[AIRFLOW]
    if running is None:
        pytest.skip("there is no .venv-airflow; `make with-airflow` builds it")
    code, told = running.ended()
    assert code == 0, told[-20_000:]
    assert "skipped" not in told.splitlines()[-1]
