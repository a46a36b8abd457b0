"""What every test has: an environment of its own, and a local Customer.io or a database when it asks for one."""

from __future__ import annotations

import fcntl
import gc
import itertools
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from tests.first_import import HAS_ONE_THREAD

# isort: split

import certifi
import httpx
import pytest
import structlog
from hypothesis import is_hypothesis_test, settings
from sqlalchemy import URL

from cio_etl.sandbox import Sandbox
from tests import browser, databases, running
from tests.running import API_KEY, SITE_ID
from tests.sandbox_client import AUTH

TESTS = Path(__file__).parent

settings.register_profile("any machine", deadline=None)  # no test depends on the time that it takes
settings.load_profile("any machine")

# `make test` tries a share of the examples of a property that has many; every run draws others. `make properties`
# tries all of them.
SHARE, FEW_EXAMPLES = 0.3, 20

LARGEST_BYTES = 4_000_000_000  # ten times what a run of all tests leaves in folders until its end

collect_ignore = ["with_airflow"]  # it has an environment of its own: airflow/test_airflow.py


# What `make test-fast` leaves out: files that take more than four seconds, and whatever starts a server or a browser.
SLOW_FILES = frozenset(
    {
        "airflow/test_airflow.py",
        "benchmarks/test_benchmarks.py",
        "cli/test_cli.py",
        "cli/test_own_words.py",
        "config/test_shipped.py",
        "docs/test_examples.py",
        "doctor/test_doctor.py",
        "extract/sql/test_cursor.py",
        "extract/sql/test_duckdb.py",
        "extract/sql/test_faults.py",
        "extract/test_csv.py",
        "extract/test_lake.py",
        "extract/test_parquet_kinds.py",
        "extract/test_remote.py",
        "load/rate/test_pace.py",
        "load/rate/test_shared_limiter.py",
        "load/test_connection.py",
        "load/test_lanes.py",
        "propose/test_evidence.py",
        "propose/test_export_shapes.py",
        "propose/test_inspect.py",
        "propose/test_propose.py",
        "reject_files/test_csv_cells.py",
        "rejects/test_export.py",
        "rejects/test_fixed_file.py",
        "rejects/test_replay.py",
        "rejects/test_replay_resumed.py",
        "run/test_api.py",
        "run/test_explode.py",
        "run/test_incremental.py",
        "run/test_kill.py",
        "run/test_ledger_nights.py",
        "run/test_mirror_nights.py",
        "run/test_nightly.py",
        "run/test_operations.py",
        "run/test_run.py",
        "run/test_status.py",
        "run/test_status_note.py",
        "run/test_workers.py",
        "state/test_state.py",
        "test_presets.py",
        "transform/test_encode.py",
        "transform/test_func_json.py",
        "transform/test_func_number.py",
        "transform/test_repeats.py",
        "transform/test_timestamps.py",
    }
)
assert all((TESTS / file).exists() for file in SLOW_FILES)
SERVERS = frozenset({"postgresql_server", "mariadb_server", "chromium", "sandbox"})


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make test-fast` does not even import the files that it leaves out."""
    fast = config.option.markexpr == "not slow"
    return True if fast and collection_path.relative_to(TESTS).as_posix() in SLOW_FILES else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-examples", action="store_true", help="try all examples of each property, not only a share")


def pytest_configure(config: pytest.Config) -> None:
    """Puts temporary files and the databases of servers in memory, where it has room and TMPDIR names no folder.

    No test cuts the power of a disk, and tens of thousands of times they would wait for one. Programs that tests start
    get signals also where pytest ignores them, under `nohup` or behind `&` in a script: what a program ignores, the
    programs that it starts ignore, but what it handles, they do not.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    memory = "/dev/shm"  # nosec B108 # every folder in it is made by mkdtemp or by pytest
    if "TMPDIR" in os.environ or config.option.basetemp or not os.access(memory, os.W_OK):
        return
    its = os.statvfs(memory)
    if its.f_bavail * its.f_frsize > LARGEST_BYTES and not its.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = memory


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """In a fresh clone one worker compiles all tests, and the others wait for it: together each would compile them."""
    if hasattr(session.config, "workerinput") and not all(
        (test.parent / "__pycache__").exists() for test in TESTS.rglob("test_*.py")
    ):
        folder = os.open(TESTS, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(folder, fcntl.LOCK_SH)  # as soon as it has compiled them, and all at once
            os.close(folder)
        else:
            try:
                return (yield)
            finally:
                os.close(folder)
    return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Marks what is slow. The test that waits for those with Airflow comes first, since others can run meanwhile."""
    properties = {function for item in items if is_hypothesis_test(function := getattr(item, "obj", None))}
    for function in () if config.option.all_examples else properties:
        _take_share(function)
    for item in items:
        if getattr(item, "obj", None) in properties:
            item.add_marker(pytest.mark.property)
        path = item.path.relative_to(TESTS).as_posix()
        if path in SLOW_FILES or SERVERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.path.name != "test_airflow.py")


def _take_share(function: Any) -> None:
    """Lets a property try a share of its examples; a few stay a few."""
    of_all: settings = function._hypothesis_internal_use_settings  # no public name reads or replaces it
    examples = max(round(of_all.max_examples * SHARE), min(of_all.max_examples, FEW_EXAMPLES))
    function._hypothesis_internal_use_settings = settings(of_all, max_examples=examples)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says of a failure that polars had one thread, since this is so in other workers of another run."""
    report = yield
    if report.failed and HAS_ONE_THREAD:
        report.sections.append(("polars", "one thread; POLARS_MAX_THREADS=1 repeats it"))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, object, object]:
    """No helper process outlives its test, however the test ends. As a fixture it would take longer."""
    try:
        return (yield)
    finally:
        running.kill_leftovers()


def pytest_collection_finish() -> None:
    """What was collected is no garbage: the garbage collector never looks at it. At the rest it looks less often.

    Nearly all objects of a test end without it, and by Python's own thresholds it takes 7 % of the time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 20)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_root_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Instead of the system's. No test meets a public authority, and each client of httpx or pymysql loads them all.

    That takes 35 ms of CPU, and there are a thousand clients.
    """
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----")
    file = tmp_path_factory.mktemp("root") / "root.pem"
    file.write_text(f"{first}{end}\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that are not there yet, for tests that do not ask for `tmp_path`, which takes ten times as long."""
    base = tmp_path_factory.mktemp("in")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, folders: Iterator[Path], request: pytest.FixtureRequest) -> None:
    """No credentials, proxies or state folders of whoever runs the tests; each in a folder of its own."""
    for name in os.environ:
        theirs = name.startswith(("CUSTOMERIO_", "ETL_")) or name.lower().endswith("_proxy")
        if theirs or (name.startswith("PG") and name != "PG_URL"):  # libpq reads PGPASSWORD, PGSSLMODE …
            monkeypatch.delenv(name)
    if "tmp_path" in request.fixturenames:
        folder: Path = request.getfixturevalue("tmp_path")
    else:
        folder = next(folders)
        folder.mkdir()
    monkeypatch.chdir(folder)


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
    with Sandbox(segments=(7,)) as running:
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
