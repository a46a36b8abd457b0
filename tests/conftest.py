"""What every test has: an environment of its own, and a local Customer.io or a database when it asks for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from sqlalchemy import URL

from cio_etl.sandbox import Sandbox
from tests import airflow_session, browser, databases, running
from tests.running import API_KEY, SITE_ID
from tests.sandbox_client import AUTH

collect_ignore = ["with_airflow"]  # it has an environment of its own: test_airflow.py


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that waits for those with Airflow comes last."""
    items.sort(key=lambda item: item.path.name == "test_airflow.py")


def pytest_collection_finish(session: pytest.Session) -> None:
    """The tests with Airflow begin, if they are asked for."""
    if session.items and session.items[-1].path.name == "test_airflow.py" and not session.config.option.collectonly:
        session.config.stash[airflow_session.AIRFLOW] = airflow_session.started()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing goes on after the last test."""
    if (running := session.config.stash.get(airflow_session.AIRFLOW, None)) is not None:
        running.close()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, proxies or state folders of whoever runs the tests; each in a folder of its own."""
    for name in os.environ:
        theirs = name.startswith(("CUSTOMERIO_", "ETL_")) or name.lower().endswith("_proxy")
        if theirs or (name.startswith("PG") and name != "PG_URL"):  # libpq reads PGPASSWORD, PGSSLMODE …
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """No helper process outlives its test, however the test ends."""
    yield
    running.kill_leftovers()


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as events:
        yield events


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox's keys, in the variables that jobs of the tests name."""
    for name in (SITE_ID, API_KEY):
        monkeypatch.setenv(name, "sandbox")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Has the Track keys of every sandbox."""
    with httpx.Client(auth=AUTH, timeout=10) as client:
        yield client


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    with databases.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[URL]:
    with databases.mariadb() as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[browser.Browser]:
    with browser.chromium() as running:
        yield running


@pytest.fixture
def postgres(postgresql_server: URL) -> Iterator[databases.Database]:
    """An empty database of a real PostgreSQL."""
    with databases.own_database(postgresql_server) as database:
        yield database


@pytest.fixture
def mariadb(mariadb_server: URL) -> Iterator[databases.Database]:
    """An empty database of a real MariaDB or MySQL."""
    with databases.own_database(mariadb_server) as database:
        yield database
