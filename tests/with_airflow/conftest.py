"""What every test with Airflow has: an Airflow of its own in a folder, and a shop whose job goes to a local sandbox."""

from __future__ import annotations

import atexit
import gc
import json
import os
import secrets
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

gc.disable()  # until Airflow is imported: see empty_database
HOME = Path(tempfile.mkdtemp(prefix="cio-etl-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
SETTINGS = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
}
for name in [name for name in os.environ if name.startswith(("AIRFLOW", "CUSTOMERIO_", "ETL_"))]:
    del os.environ[name]
sys.dont_write_bytecode = True  # of two DAG files within a second, of one size, it would hold the first
os.environ |= SETTINGS  # Airflow reads them once, when it is first imported
(HOME / "dags").mkdir()

sys.path.append(str(Path(__file__).parents[2]))  # what the other tests have in common

import read_dags  # noqa: E402, F401

# isort: split

import pytest  # noqa: E402
from sqlalchemy import URL  # noqa: E402

from cio_etl.sandbox import Credentials, Faults, Sandbox  # noqa: E402
from tests import databases  # noqa: E402

SITE_ID, API_KEY = "site-of-the-tests", "key-of-the-tests"
CONNECTION = "AIRFLOW_CONN_CUSTOMERIO_DEFAULT"
STATE_URL = "SHOP_STATE_URL"
COMMAND = [sys.executable, "-m", "cio_etl.cli"]
BOTH_WAYS = pytest.mark.parametrize("executable", [None, COMMAND], ids=["here", "command"])
# As BOTH_WAYS, but by the command only with --all: that takes three times as long, and the code is the same.
WAYS = pytest.mark.parametrize(
    "executable", [None, pytest.param(COMMAND, marks=pytest.mark.long)], ids=["here", "command"]
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run the tests that are marked as long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@dataclass(frozen=True)
class Shop:
    """A folder with a job of some rows, and where they go."""

    folder: Path
    sandbox: Sandbox

    @property
    def jobs(self) -> Path:
        return self.folder / "jobs"

    @property
    def job(self) -> Path:
        return self.jobs / "people.yaml"

    def write(self, rows: int = 400, **settings: Any) -> None:
        """Writes rows, mapping and job; `settings` are keys of the job."""
        lines = (f"{number},p{number}@shop.example,pro" for number in range(rows))
        (self.folder / "people.csv").write_text("\n".join(["id,e_mail,plan", *lines, ""]))
        mapping = {
            "operation": "identify",
            "identifiers": {"id": "id"},
            "attributes": {"email": "e_mail", "plan": "plan"},
        }
        (self.folder / "people.yaml").write_text(json.dumps(mapping))
        self.write_job(**settings)

    def write_job(self, **settings: Any) -> None:
        """Writes the job alone."""
        job = {
            "destination": {
                "base_url": self.sandbox.url,
                "site_id": "${CUSTOMERIO_SITE_ID}",
                "api_key": "${CUSTOMERIO_API_KEY}",
                "lanes": 2,
                "max_batch_bytes": 32_100,
                "requests_per_second": "unlimited",
                **settings.pop("destination", {}),
            },
            "steps": [{"name": "people", "source": {"csv": "people.csv"}, "mapping": "people.yaml"}],
            "schedule": "0 3 * * *",
            **settings,
        }
        self.job.write_text(json.dumps(job))

    def dag(self, **arguments: Any) -> Any:
        """The job's DAG, as Airflow reads it from a file of its DAGs folder."""
        named = "".join(f", {name}={value!r}" for name, value in arguments.items())
        return self.dag_of(
            f"from cio_etl.airflow.dags import build_dags\nglobals().update(build_dags({str(self.jobs)!r}{named}))\n",
            "customerio__people",
        )

    def dag_of(self, program: str, dag_id: str) -> Any:
        """A DAG of a file with this program, likewise."""
        from airflow.dag_processing.dagbag import DagBag

        file = HOME / "dags" / "etl_jobs.py"
        file.write_text(f'"""The DAGs of a test of airflow."""\n{program}')
        bag = DagBag(str(file))
        assert bag.import_errors == {}
        return bag.dags[dag_id]

    def run(self, dag: Any, **params: Any) -> Any:
        """Runs the DAG here, tries and all, without waiting between them; the DAG's run."""
        for task in dag.tasks:
            task.retry_delay, task.retry_exponential_backoff = timedelta(0), 0
        return dag.test(run_conf=params)

    @property
    def people(self) -> int:
        return int(self.sandbox.stats()["people"])


def tries(run: Any, task_id: str = "run") -> tuple[str, int]:
    """The state of a task, and the number of its tries."""
    (found,) = [ti for ti in run.get_task_instances() if ti.task_id == task_id]
    return str(found.state), found.try_number


def summary(run: Any, task_id: str = "run") -> Any:
    """What a task has left for others."""
    (found,) = [ti for ti in run.get_task_instances() if ti.task_id == task_id]
    return found.xcom_pull(task_ids=task_id)


@contextmanager
def once(true: Callable[[], bool], then: Callable[[], Any]) -> Iterator[None]:
    """While the block runs: does `then`, once, as soon as `true()` is."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            if true():
                then()
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


@pytest.fixture(scope="session", autouse=True)
def empty_database() -> Path:
    """A copy of Airflow's database as it is before the first test: to make another one takes seconds."""
    from airflow.utils.db import initdb

    initdb()
    copy = HOME / "empty.db"
    with closing(sqlite3.connect(HOME / "airflow.db")) as made, closing(sqlite3.connect(copy)) as copied:
        made.backup(copied)
    gc.freeze()  # the garbage collector would take a fifth of the time to look at what Airflow has imported
    gc.set_threshold(200_000, 10, 20)
    gc.enable()
    return copy


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Generator[None, object, object]:
    """What pytest's last search for garbage has left is none: the end of the interpreter need not look again."""
    try:
        return (yield)
    finally:
        gc.freeze()


@pytest.fixture
def faults() -> Faults | None:
    """What the sandbox does wrong: parametrize it."""
    return None


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults | None) -> Iterator[Shop]:
    connect(monkeypatch)
    monkeypatch.chdir(tmp_path)
    with Sandbox(faults, credentials=Credentials(SITE_ID, API_KEY)) as sandbox:
        folder = tmp_path / "shop"
        (folder / "jobs").mkdir(parents=True)
        made = Shop(folder, sandbox)
        made.write()
        yield made


def connect(monkeypatch: pytest.MonkeyPatch, api_key: str = API_KEY, **more: Any) -> None:
    """Makes the connection that tasks take."""
    monkeypatch.setenv(CONNECTION, json.dumps(connection(api_key, **more)))


def connection(api_key: str = API_KEY, **more: Any) -> Mapping[str, Any]:
    return {"conn_type": "customerio", "login": SITE_ID, "password": api_key, **more}


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    with databases.postgresql() as url:
        yield url


@pytest.fixture
def state_in_postgres(postgresql_server: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The `state:` of a job that several machines share; its address is in the environment."""
    with databases.own_database(postgresql_server) as database:
        monkeypatch.setenv(STATE_URL, database.address)
        yield {"database": f"${{{STATE_URL}}}", "lease": "2s"}
