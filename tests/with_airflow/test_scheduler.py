"""A real Airflow runs jobs: api-server, scheduler, LocalExecutor; a plan is approved, a task killed, one stopped."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from conftest import CONNECTION, STATE_URL, Shop, connection

from cio_etl.sandbox import Faults

ROWS = 6_000
DAG, APPROVED = "customerio__people", "approved"


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("faults", [Faults(latency_s=0.25)])
def test_a_whole_cycle(shop: Shop, tmp_path: Path, empty_database: Path) -> None:
    shop.write(rows=ROWS, schedule={"assets": ["s3://lake/never"]})  # a cron line would start a run at once
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "etl_jobs.py").write_text(
        '"""The DAGs of a test of airflow."""\nfrom datetime import timedelta\n'
        "from cio_etl.airflow.dags import build_dags\n"
        f"globals().update(build_dags({str(shop.jobs)!r}, default_args="
        '{"retry_delay": timedelta(seconds=1), "retry_exponential_backoff": 0}))\n'
        "from airflow.sdk import DAG\nfrom cio_etl.airflow.task_group import CustomerIOTaskGroup\n"
        f"with DAG({APPROVED!r}, schedule=None):\n"
        f"    CustomerIOTaskGroup(job={str(shop.job)!r}, folder={str(shop.folder)!r}, limit=7, approve=True)\n"
    )
    with airflow(home, empty_database) as api:
        # planned, approved by a person, and sent
        approved = api.trigger(APPROVED)
        # Airflow fails a task that is answered before its scheduler knows that it waits: apache/airflow#72716
        api.until(lambda: " state=awaiting_input, executor=" in (home / "scheduler.log").read_text())
        assert shop.people == 0
        place = f"dags/{APPROVED}/dagRuns/{approved}/taskInstances/people.approve/-1/hitlDetails"
        assert "| people | 7 |" in api.get(place)["body"]
        api.patch(place, {"chosen_options": ["Approve"], "params_input": {}})
        assert (api.ended(approved, APPROVED), shop.people) == ("success", 7)
        before = shop.sandbox.stats()["items"]
        # killed outright, in the middle: the retry resumes the run
        first = api.trigger(DAG)
        api.until(lambda: shop.people > 1_000)
        os.kill(holder(shop), signal.SIGKILL)
        assert api.ended(first) == "success"
        (task,) = api.tasks(first)
        assert (task["state"], task["try_number"]) == ("success", 2)
        summary = api.get(f"dags/{DAG}/dagRuns/{first}/taskInstances/run/xcomEntries/return_value")["value"]
        summary = json.loads(summary) if isinstance(summary, str) else summary
        assert (summary["accepted"], shop.people) == (ROWS, ROWS)
        lanes = 2
        assert shop.sandbox.stats()["items"] - before - ROWS == summary["possibly_sent_twice"] <= lanes * 300
        # marked failed, in the middle: it drains, and the state knows how far it came
        before = shop.sandbox.stats()["items"]
        shop.sandbox.set_faults(Faults(latency_s=1.0))  # some 12 s: Airflow tells a task at its next heartbeat
        second = api.trigger(DAG)
        api.until(lambda: shop.sandbox.stats()["items"] > before + 1_000)
        assert [pid for pid in api.processes() if has_polars(pid)] == [holder(shop)]  # nothing that forks has it
        api.patch(f"dags/{DAG}/dagRuns/{second}", {"state": "failed"})
        api.until(lambda: newest(shop)[0] == "stopped")
        sent = shop.sandbox.stats()["items"]
        status, accepted, under_way = newest(shop)
        assert (status, accepted, under_way) == ("stopped", sent - before, 0)
        time.sleep(1)
        assert shop.sandbox.stats()["items"] == sent  # nothing goes out any more
        assert [path for path in home.rglob("*.log") if "key-of-the-tests" in path.read_text(errors="replace")] == []


@pytest.mark.long
@pytest.mark.timeout(200)
@pytest.mark.parametrize("faults", [Faults(latency_s=0.4)])
def test_workers_outlive_a_task_and_a_scheduler_that_are_killed(
    shop: Shop, tmp_path: Path, empty_database: Path, state_in_postgres: dict[str, str]
) -> None:
    """One of three mapped tasks is killed; then the scheduler is, and its orphans work on beside their next tries."""
    rows = 12_000
    shop.write(rows=rows, schedule={"assets": ["s3://lake/never"]}, state=state_in_postgres)
    home = tmp_path / "airflow"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "etl_jobs.py").write_text(
        '"""The DAGs of a test of airflow."""\nfrom datetime import timedelta\n'
        "from cio_etl.airflow.dags import build_dags\n"
        f"globals().update(build_dags({str(shop.jobs)!r}, workers=3, lanes=6, default_args="
        '{"retry_delay": timedelta(seconds=1), "retry_exponential_backoff": 0}))\n'
    )
    address = os.environ[STATE_URL]
    settings = {
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",  # then its tasks are taken for orphans
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
        STATE_URL: address,
    }
    with airflow(home, empty_database, settings) as api:
        run = api.trigger(DAG)
        api.until(lambda: shop.people > 600 and len(owners(address)) == 3)
        killed, orphan, _ = owners(address)
        os.kill(killed, signal.SIGKILL)
        api.until(lambda: shop.people > 3_000)
        api.restart_scheduler()
        assert has_polars(orphan), "the tasks went with their scheduler: this proves nothing"
        assert api.ended(run, deadline_s=120) == "success"
        tasks = {(task["task_id"], task["map_index"]): task for task in api.tasks(run)}
        assert sorted(tasks) == [("report", -1), ("run", 0), ("run", 1), ("run", 2)]
        assert sum(task["try_number"] for task in tasks.values()) > len(tasks)
        summary = api.get(f"dags/{DAG}/dagRuns/{run}/taskInstances/report/xcomEntries/return_value")["value"]
        summary = json.loads(summary) if isinstance(summary, str) else summary
        assert (summary["accepted"], summary["status"], shop.people) == (rows, "finished", rows)
        twice = shop.sandbox.stats()["items"] - rows
        assert twice <= summary["possibly_sent_twice"] <= 6 * 300 * 2


def owners(address: str) -> list[int]:
    """The processes that hold lanes."""
    with psycopg.connect(address) as db:
        found = db.execute("SELECT DISTINCT owner FROM cio_etl.lane WHERE owner IS NOT NULL AND NOT done").fetchall()
    return sorted(int(owner.split(":")[1]) for (owner,) in found)


def holder(shop: Shop) -> int:
    """The process that is at work on the job."""
    return int(json.loads((shop.folder / ".etl" / "people.lock").read_text())["pid"])


def newest(shop: Shop) -> tuple[str, int, int]:
    """The newest run's status, the rows that were accepted, and the lanes that had something under way."""
    with closing(sqlite3.connect(f"file:{shop.folder}/.etl/state.db?mode=ro", uri=True)) as state, state:
        run_id, status = state.execute("select run_id, status from run order by rowid desc limit 1").fetchone()
        lanes = "select sum(accepted), sum(sending_through > acked_through) from lane where run_id = ?"
        return (status, *state.execute(lanes, [run_id]).fetchone())


def has_polars(pid: int) -> bool:
    with suppress(OSError):
        return "polars" in Path(f"/proc/{pid}/maps").read_text()
    return False


class Api:
    """Airflow, as its users speak to it."""

    def __init__(self, url: str, processes: dict[str, subprocess.Popen[bytes]], start: Callable[[str], None]) -> None:
        self._processes = processes
        self._start = start
        self._client = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self.until(self._is_up)
        token = self._client.get("/auth/token").json()["access_token"]
        self._client.headers["authorization"] = f"Bearer {token}"
        self.until(lambda: self._client.get(f"/api/v2/dags/{DAG}").status_code == 200)

    def processes(self) -> list[int]:
        """All of Airflow's: server, scheduler, its worker, the worker's task."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(ProcessLookupError):
                if os.getsid(int(folder.name)) in [process.pid for process in self._processes.values()]:
                    found.append(int(folder.name))
        assert len(found) >= 4
        return found

    def close(self) -> None:
        self._client.close()

    def until(self, true: Callable[[], bool], deadline_s: float = 70) -> None:
        deadline = time.monotonic() + deadline_s
        while not true():
            assert all(process.poll() is None for process in self._processes.values()), "Airflow has ended"
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.1)

    def trigger(self, dag: str) -> str:
        self.patch(f"dags/{dag}", {"is_paused": False})
        answer = self._client.post(f"/api/v2/dags/{dag}/dagRuns", json={"logical_date": None, "conf": {}})
        return str(answer.raise_for_status().json()["dag_run_id"])

    def restart_scheduler(self) -> None:
        """Kills the scheduler with its process group, and starts another."""
        scheduler = self._processes["scheduler"]
        os.killpg(scheduler.pid, signal.SIGKILL)
        scheduler.wait()
        self._start("scheduler")

    def ended(self, run: str, dag: str = DAG, deadline_s: float = 70) -> str:
        states: list[str] = []

        def is_over() -> bool:
            states.append(self.get(f"dags/{dag}/dagRuns/{run}")["state"])
            return states[-1] in ("success", "failed")

        self.until(is_over, deadline_s)
        return states[-1]

    def tasks(self, run: str, dag: str = DAG) -> Any:
        return self.get(f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]

    def get(self, path: str) -> Any:
        return self._client.get(f"/api/v2/{path}").raise_for_status().json()

    def patch(self, path: str, body: dict[str, Any]) -> None:
        self._client.patch(f"/api/v2/{path}", json=body).raise_for_status()

    def _is_up(self) -> bool:
        with suppress(httpx.TransportError):
            return self._client.get("/api/v2/monitor/health").status_code == 200
        return False


@contextmanager
def airflow(home: Path, database: Path, more: Mapping[str, str] | None = None) -> Iterator[Api]:
    """A whole Airflow, until the block ends: with a copy of the database, its DAGs read, its two processes up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        CONNECTION: json.dumps(connection()),
        **(more or {}),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    command = [sys.executable, "-m", "airflow"]
    shutil.copy(database, home / "airflow.db")
    subprocess.run([*command, "dags", "reserialize"], env=inherited | settings, check=True, capture_output=True)
    started: dict[str, subprocess.Popen[bytes]] = {}

    def start(name: str) -> None:
        with (home / f"{name}.log").open("a") as log:
            started[name] = subprocess.Popen(
                [*command, name],
                env=inherited | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    try:
        for name in ("api-server", "scheduler"):
            start(name)
        api = Api(url, started, start)
        yield api
        api.close()
    finally:
        for process in started.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
