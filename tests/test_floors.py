"""Imports run downwards only, and each library has its room: read from the code's own imports."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import cio_etl

HOUSE = Path(cio_etl.__file__).parent

# From the ground up. Rooms on one floor do not import each other; `run` is the line and what belongs to it.
FLOORS = [
    {"errors", "log", "sandbox"},
    {"model"},
    {"apis"},
    {"transform"},
    {"audit", "config", "extract", "ledger", "load", "state", "report", "notify", "telemetry"},
    {"run", "reject_files"},
    {"validate", "rejects", "propose", "presets", "importers", "project", "doctor", "ui"},
    {"cli", "airflow"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

ROOMS_OF_LIBRARIES = {
    "httpx": {"load", "extract", "notify", "ui"},
    "httpcore": {"load"},
    "obstore": {"extract"},
    "pymysql": {"extract"},
    "deltalake": {"extract"},
    "pyiceberg": {"extract"},
    "fastexcel": {"extract"},
    "sqlalchemy": {"state", "extract"},
    "sqlglot": {"extract"},
    "adbc_driver_manager": {"extract"},
    "adbc_driver_postgresql": {"extract"},
    "duckdb": {"extract"},
    "tenacity": {"load", "notify"},
    "starlette": {"sandbox", "ui"},
    "uvicorn": {"sandbox"},
    "pyarrow": {"extract", "ledger", "transform"},
    "polars_hash": {"transform"},
    "phonenumbers": {"transform"},
    "idna": {"transform"},
    "tzlocal": {"transform"},
    "ruamel": {"config", "airflow"},
    "jinja2": {"report", "ui"},
    "markupsafe": {"report"},
    "rich": {"report", "log", "cli", "airflow"},
    "click": {"cli"},
    "croniter": {"config"},
    "requests": {"telemetry"},
    "opentelemetry": {"telemetry", "airflow"},
    "airflow": {"airflow"},
}


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    return [*ast.walk(ast.parse(path.read_text()))]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that a file imports, anywhere in it."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}:{node.lineno}: imports here are absolute"
            yield node.lineno, node.module
            if node.module == "cio_etl":
                yield from ((node.lineno, f"cio_etl.{alias.name}") for alias in node.names)


def room_of(path: Path) -> str:
    parts = path.relative_to(HOUSE).parts
    return parts[0].removesuffix(".py")


FILES = sorted(path for path in HOUSE.rglob("*.py") if path != HOUSE / "__init__.py")


def test_every_file_is_in_a_room_that_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} == set(LEVEL)


def test_a_file_imports_only_from_its_room_and_from_floors_below() -> None:
    upwards = [
        f"{path.relative_to(HOUSE)}:{line} imports {name}"
        for path in FILES
        for line, name in imports_of(path)
        if name.startswith("cio_etl.")
        and (to := name.split(".")[1]) != (room := room_of(path))
        and LEVEL[to] >= LEVEL[room]
    ]
    assert upwards == []


def imported_files(path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    """The modules of the package that a file imports; `from package import module` is an import of the module."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.module in files:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in files else node.module for name in names)


def module_name(path: Path, root: Path = HOUSE.parent) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in [*FILES, HOUSE / "__init__.py"]}


def circle_of_imports(files: Mapping[str, Path]) -> list[str]:
    """Modules of which each imports the next one, and the last one the first; none if there is no circle.

    Imports inside functions and those for type checkers count, too.
    """
    try:
        graphlib.TopologicalSorter({name: {*imported_files(path, files)} for name, path in files.items()}).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1][1:]))
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    stage = {*imported_files(MODULES["cio_etl.extract.stage"], MODULES)}
    assert {"cio_etl.errors", "cio_etl.extract.copies"} <= stage
    assert circle_of_imports(MODULES) == []


def test_a_circle_that_one_more_import_closes_is_found(tmp_path: Path) -> None:
    changed = tmp_path / "copies.py"
    changed.write_text(f"{MODULES['cio_etl.extract.copies'].read_text()}\nfrom cio_etl.extract.stage import staged\n")
    assert sorted(circle_of_imports(MODULES | {"cio_etl.extract.copies": changed})) == [
        "cio_etl.extract.copies",
        "cio_etl.extract.stage",
    ]


@pytest.mark.parametrize(
    ("last", "circle"),
    [
        ("import json", []),
        ("import house.a.one", ["house.a.one", "house.a.two", "house.b"]),
        ("from house.a import one", ["house.a.one", "house.a.two", "house.b"]),
        ("from house.a.one import name", ["house.a.one", "house.a.two", "house.b"]),
        ("def later():\n    from house.a.one import name", ["house.a.one", "house.a.two", "house.b"]),
        ("if TYPE_CHECKING:\n    from house.a import one, other", ["house.a.one", "house.a.two", "house.b"]),
        ("from house.a.two import name", ["house.a.two", "house.b"]),
        ("import house.b", ["house.b"]),
    ],
)
def test_a_circle_is_found_in_every_form_of_import(last: str, circle: list[str], tmp_path: Path) -> None:
    house = tmp_path / "house"
    texts = {"__init__.py": "", "a/__init__.py": "", "a/one.py": "from house.a import two", "b.py": last}
    for name, text in {**texts, "a/two.py": "from house import b"}.items():
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text(text)
    files = {module_name(path, tmp_path): path for path in house.rglob("*.py")}
    assert len(files) == 5 and sorted(circle_of_imports(files)) == circle


def test_a_library_is_used_in_its_room_only() -> None:
    outside = [
        f"{path.relative_to(HOUSE)}:{line} imports {name}"
        for path in FILES
        for line, name in imports_of(path)
        if (room := room_of(path)) not in ROOMS_OF_LIBRARIES.get(name.split(".")[0], {room})
    ]
    assert outside == []


def test_the_environment_is_read_in_config_and_at_the_door_only() -> None:
    readers = {
        room_of(path)
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert readers <= {"config", "cli", "airflow"}


@pytest.mark.fault("P13")
def test_nothing_forks_once_polars_may_have_run() -> None:
    forks = {"os.fork", "os.forkpty", "multiprocessing", "subprocess", "pty", "concurrent.futures.process"}
    forking = [
        f"{path.name}:{line} imports {name}" for path in FILES for line, name in imports_of(path) if name in forks
    ]
    called = [path.name for path in FILES if "os.fork" in path.read_text() or "ProcessPool" in path.read_text()]
    starts = {"subprocess.py": "subprocess", "program.py": "subprocess"}  # other programs, which take nothing of this
    assert {line.partition(":")[0]: line.rpartition(" ")[2] for line in forking} == starts
    assert len(forking) == len(starts) and called == []


def test_the_command_needs_no_airflow_and_what_airflow_reads_all_day_no_polars() -> None:
    program = "import sys, cio_etl.cli, cio_etl.airflow; cio_etl.airflow.get_provider_info(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "cio_etl.cli" in loaded and "airflow" not in loaded
    program = "import sys, cio_etl.airflow; cio_etl.airflow.get_provider_info(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "cio_etl.airflow" in loaded and not {"polars", "airflow"} & {*loaded}


def test_every_room_logs_by_the_log_that_prints_nothing_unless_it_is_configured() -> None:
    own = [str(path.relative_to(HOUSE)) for path in FILES if "structlog.get_logger" in path.read_text()]
    assert own == ["log/events.py"]


def test_threads_at_work_in_a_run_are_those_whose_events_say_which_run() -> None:
    """Others begin in an empty context; `ping` is called before and after a run, notices are sent after it."""
    plain = [
        str(path.relative_to(HOUSE))
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) == "threading.Thread"
        and room_of(path) not in ("sandbox", "ui")
    ]
    assert sorted({*plain} - {"log/threads.py", "load/lanes.py", "run/signals.py"}) == [
        "cli/stopped.py",
        "notify/ping.py",
        "notify/send.py",
        "telemetry/otlp.py",
    ]
