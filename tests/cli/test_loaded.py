"""What each command loads: a library that it does not need costs a tenth of a second, each time that it is typed."""

from __future__ import annotations

import gc
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.config import JobYaml
from cio_etl.model.yaml_section import Section
from cio_etl.sandbox import Sandbox
from tests import running
from tests.running import start, write_job

HOUSE = Path(__file__).parents[2]
READING = {"pyarrow.parquet", "sqlglot"}
SENDING = {"httpcore", "httpx", "cio_etl.load.connection", "cio_etl.run.run"}
SANDBOX = {"starlette", "uvicorn", "cio_etl.sandbox"}
REPORT = {"jinja2", "rich"}
STATE = {"asyncio", "sqlalchemy", "cio_etl.state.store"}
ARRAYS = {"numpy", "pyarrow"}  # of rows
OF_A_SERVER = {"sqlalchemy.dialects.postgresql"}
OF_A_RUN = {"cio_etl.audit", "cio_etl.telemetry", "cio_etl.run.recording", "cio_etl.run.resume"}
RARE = {"phonenumbers", "structlog"}  # what few jobs use, and what the first log line loads

OF_NO_STATUS = {"polars", *ARRAYS, *OF_A_SERVER, *OF_A_RUN, *READING, *SENDING, *SANDBOX, "jinja2", *RARE}
WITHOUT_POLARS = {"--help", "status job.yaml", "status sent.yaml", "status --state state_of_job", "notify sent.yaml"}

# command -> what it must not load
UNUSED = {
    "--help": {"pydantic", "polars", "numpy", "ruamel", *READING, *SENDING, *SANDBOX, *REPORT, *STATE, *RARE}
    | {"difflib", "hashlib", "socket", "tempfile"},
    "check jobs/demo.yaml": {"cio_etl.audit", "cio_etl.extract"}
    | {*ARRAYS, *READING, *SENDING, *SANDBOX, *REPORT, *STATE, *RARE},
    "status job.yaml": OF_NO_STATUS,
    "status sent.yaml": OF_NO_STATUS,
    "status --state state_of_job": OF_NO_STATUS,
    "notify sent.yaml": {*ARRAYS, *OF_A_SERVER, *READING, *SANDBOX, "jinja2", "rich"},
    "preview job.yaml": {"cio_etl.extract.sql", "cio_etl.ledger.files"}
    | {*READING, *SENDING, *SANDBOX, *REPORT, *STATE, *RARE},
    "preview parquet.yaml": {"sqlglot", "cio_etl.extract.text", *SENDING, *SANDBOX, *REPORT, *STATE, *RARE},
    "validate parquet.yaml": {
        "cio_etl.run.recording",
        "cio_etl.telemetry",
        "sqlglot",
        *SENDING,
        *SANDBOX,
        *STATE,
        *RARE,
    },
    "run job.yaml --sandbox": {*READING, *OF_A_SERVER, "phonenumbers", "cio_etl.extract.sql"},
}

# The commands of a line are given to one interpreter, one after the other: none loads what a later one must not load.
TOGETHER = (
    ("--help", "status job.yaml", "status sent.yaml", "status --state state_of_job"),
    ("notify sent.yaml",),
    ("check jobs/demo.yaml", "preview parquet.yaml", "validate parquet.yaml"),
    ("preview job.yaml", "run job.yaml --sandbox"),
)
PROGRAM = """
import os, sys
from cio_etl.cli import main
house, jobs, *commands = sys.argv[1:]
for command in commands:
    os.chdir(house if "demo" in command else jobs)
    code = main(command.split())
    print("\\nloaded:", code, *sys.modules, flush=True)
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with jobs over a CSV file and a Parquet file; the first has run in the sandbox, and as `sent.yaml`."""
    folder = tmp_path_factory.mktemp("jobs")
    rows = pl.DataFrame({"id": ["1"], "name": ["Ada"]})
    rows.write_csv(folder / "people.csv")
    rows.write_parquet(folder / "people.parquet")
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"name": "name"}}
    (folder / "people.yaml").write_text(json.dumps(mapping))
    for kind, job in (("csv", "job"), ("parquet", "parquet")):
        step = {"name": "people", "source": {kind: f"people.{kind}"}, "mapping": "people.yaml"}
        destination = {"site_id": "${SITE}", "api_key": "${KEY}"}
        text = json.dumps({"destination": destination, "steps": [step], "state": f"state_of_{job}"})
        (folder / f"{job}.yaml").write_text(text)
    with start("run", "job.yaml", "--sandbox", folder=folder) as process:
        process.communicate(60)
    assert process.returncode == 0
    with Sandbox() as sandbox:
        (folder / "sent.csv").write_text("id,name\n1,Ada\n,Bo\n")
        sent = ({"csv": "sent.csv"}, "people.yaml", {"sync": "changed"})
        write_job(folder / "sent.yaml", sandbox.url, {"people": sent}, expect_every="26 hours")
        with start("run", "sent.yaml", folder=folder) as process:
            process.communicate(60)
    assert process.returncode == 3  # one row is rejected, and status says why in words
    return folder


@pytest.mark.slow
def test_a_command_loads_no_library_that_it_does_not_need(jobs: Path) -> None:
    assert sorted(command for commands in TOGETHER for command in commands) == sorted(UNUSED)
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, HOUSE, jobs, *commands], stdout=subprocess.PIPE, text=True)
        for commands in TOGETHER
    ]
    for commands, process in zip(TOGETHER, started, strict=True):
        lines = process.communicate(timeout=60)[0].splitlines()
        outputs = [line.split()[1:] for line in lines if line.startswith("loaded: ")]
        for command, (code, *loaded) in zip(commands, outputs, strict=True):
            assert code == "0" and "click" in loaded, command
            assert sorted(UNUSED[command].intersection(loaded)) == [], command
            assert ("polars" in loaded) == (command not in WITHOUT_POLARS), command


def test_what_must_not_be_loaded_can_be_loaded() -> None:
    assert [name for names in UNUSED.values() for name in names if importlib.util.find_spec(name) is None] == []


def test_the_garbage_collector_is_as_before_when_a_command_has_ended() -> None:
    before = gc.get_threshold()
    assert main(["--version"]) == 0 and main(["check"]) == 2
    assert gc.get_threshold() == before


def test_a_section_is_built_when_it_is_first_read() -> None:
    program = (
        "from cio_etl.config import JobYaml, MappingYaml, load_mapping; from pathlib import Path;"
        "from cio_etl.model.yaml_section import Section;"
        "print(any(section.__pydantic_complete__ for section in Section.__subclasses__()));"
        "load_mapping(Path('mappings/customers.yaml'));"
        "print(JobYaml.__pydantic_complete__, MappingYaml.__pydantic_complete__)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=HOUSE, capture_output=True, check=True)
    assert done.stdout.split() == [b"False", b"False", b"True"]


def test_the_types_of_sections_are_no_texts_each_of_which_pydantic_would_compile() -> None:
    sections = [section for section in Section.__subclasses__() if section.__module__.startswith("cio_etl.")]
    types = [(section, kind) for section in sections for kind in vars(section).get("__annotations__", {}).values()]
    assert JobYaml in sections and [section for section, kind in types if isinstance(kind, str)] == []


def test_the_end_of_a_command_looks_for_no_garbage() -> None:
    program = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > len(gc.get_objects())));"
        "from cio_etl.cli import main; main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split()[-1] == b"True"


def test_numpy_starts_no_threads_in_a_command() -> None:
    code = (
        "import os; from cio_etl.cli import main; main(['--version']); import numpy; "
        "raise SystemExit(len(os.listdir('/proc/self/task')) - 1)"
    )
    environment = running.environment()
    assert "OPENBLAS_NUM_THREADS" not in environment
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, capture_output=True).returncode == 0
    )
