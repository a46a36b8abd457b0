"""`cio-etl new` writes a project in which everything works, and overwrites nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cio_etl.cli import main
from cio_etl.project import write_project
from cio_etl.sandbox import Sandbox
from tests.docs.pages import blocks
from tests.running import environment, start

Captured = pytest.CaptureFixture[str]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path / "shop")
    return tmp_path / "shop"


def in_fork(line: str, folder: Path) -> tuple[int, str]:
    """The exit code and the output of a command line of ours, with its patterns expanded as a shell does it."""
    words = [name for word in shlex.split(line)[1:] for name in (sorted(expanded(word, folder)) or [word])]
    process = start(*words, folder=folder)
    assert process.stdout is not None
    return process.wait(timeout=60), process.stdout.read()


def expanded(word: str, folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.glob(word)] if "*" in word else []


def ci(project: Path) -> dict[str, Any]:
    workflow = YAML(typ="safe").load((project / ".github/workflows/check.yaml").read_text())
    return {step["name"]: step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step}


@pytest.mark.slow
def test_the_commands_of_the_project_s_page_end_well_and_ci_runs_them(project: Path) -> None:
    ((_, shown),) = blocks((project / "README.md").read_text(), "")
    check, test, validate, run, real = (line.split("  #")[0].rstrip() for line in shown.splitlines())
    assert real == "cio-etl run jobs/shop.yaml --env-file .env", "needs a workspace"
    done = [in_fork(line, project) for line in (check, test, validate, run)]
    assert [code for code, _ in done] == [0, 0, 0, 0], done
    assert "jobs/shop.yaml: 2 steps, 2 mappings" in done[0][1] and "6 tests passed" in done[1][1]
    assert re.search(r"(?m)^shop\.sandbox-\S+ finished: 8 rows accepted$", done[3][1])
    assert ci(project) == {
        "install": "pip install wheels/*.whl",
        "check": check,
        "test": test,
        "validate": 'for job in jobs/*.yaml; do cio-etl validate "$job"; done',
    }


@pytest.mark.slow
def test_a_night_sends_only_what_changed(
    project: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("CUSTOMERIO_SITE_ID", "sandbox")
    monkeypatch.setenv("CUSTOMERIO_API_KEY", "sandbox")
    job = Path("jobs/shop.yaml")
    job.write_text(job.read_text().replace("destination:", f"destination:\n  base_url: {sandbox.url}"))

    def night() -> list[tuple[int, int]]:
        """How many rows of each step are accepted and skipped."""
        capsys.readouterr()
        assert main(["run", "jobs/shop.yaml", "--json"]) == 0
        return [(step["accepted"], step["skipped"]) for step in json.loads(capsys.readouterr().out)["steps"]]

    assert night() == [(4, 0), (4, 1)]
    requests = sandbox.stats()["requests"]
    assert night() == [(0, 4), (0, 5)] and sandbox.stats()["requests"] == requests
    customers = Path("exports/customers.csv")
    customers.write_text(customers.read_text().replace("Lyon", "Nancy"))
    assert night() == [(1, 3), (0, 5)] and main(["status", "jobs/shop.yaml"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "step"),
    [
        ("mappings/orders.yaml", "operation: track", "operation: trak", "check"),
        ("mappings/customers.yaml", "{divide: 100}", "{divide: 10}", "test"),
    ],
)
def test_ci_fails_at_a_fault_of_a_mapping(file: str, old: str, new: str, step: str, project: Path) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    assert in_fork(ci(project)[step], project)[0] == 78


@pytest.mark.slow
def test_ci_fails_at_a_row_that_would_be_rejected_and_only_then(project: Path) -> None:
    shutil.copy(project / "jobs/shop.yaml", project / "jobs/a.yaml")
    orders = (project / "exports/orders.csv").read_text()
    (project / "jobs/a.yaml").write_text((project / "jobs/shop.yaml").read_text().replace("/orders.csv", "/odd.csv"))
    (project / "exports/odd.csv").write_text(orders.replace("0000001,00042", "0000001,"))
    env = environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-o", "pipefail", "-c", ci(project)["validate"]]
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "identifier_missing" in done.stdout and "jobs/shop" not in done.stdout


def test_new_names_what_it_wrote_and_what_to_do_next(capsys: Captured) -> None:
    assert main(["new", "my shop"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.pop() == "next: cd 'my shop' && cio-etl run jobs/shop.yaml --sandbox"
    schemas = {f"{folder}/.schema.json" for folder in ("jobs", "mappings", "mappings/tests")}
    assert {line.removeprefix("written: my shop/") for line in lines} == files(Path("my shop")) - schemas
    assert {".gitignore", ".env.example", ".github/workflows/check.yaml", "airflow_dags/etl_jobs.py"} <= files(
        Path("my shop")
    )
    assert main(["new", "other", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert {Path(path).relative_to("other").as_posix() for path in written} == files(Path("other")) - schemas


def test_a_folder_that_has_one_of_the_files_is_left_as_it_is(capsys: Captured) -> None:
    Path("shop/jobs").mkdir(parents=True)
    Path("shop/jobs/shop.yaml").write_text("mine")
    Path("shop/README.md").write_text("mine, too")
    assert main(["new", "shop"]) == 78
    error = capsys.readouterr().err
    assert [line.partition(":")[0] for line in error.splitlines()] == ["shop/README.md", "shop/jobs/shop.yaml"]
    assert files(Path("shop")) == {"jobs/shop.yaml", "README.md"} and Path("shop/jobs/shop.yaml").read_text() == "mine"


def test_a_project_that_cannot_be_written_whole_leaves_neither_a_file_nor_a_folder(capsys: Captured) -> None:
    Path("shop").mkdir()
    Path("shop/mappings").write_text("a file of this name")
    assert main(["new", "shop"]) == 78
    assert "a file has the name of the folder" in capsys.readouterr().err
    assert [path.name for path in Path("shop").iterdir()] == ["mappings"]


def test_keys_state_and_rejected_rows_stay_out_of_version_control(project: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    for name in (".env", ".etl/state.db", "rejects.csv"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).touch()
    listed = ["git", "ls-files", "--others", "--exclude-standard"]
    seen = {*subprocess.run(listed, cwd=project, capture_output=True, text=True, check=True).stdout.split()}
    assert ".env.example" in seen and not seen & {".env", ".etl/state.db", "rejects.csv"}
    example = (project / ".env.example").read_text()
    assert {*re.findall(r"(?m)^(\w+)=", example)} == {
        name for name in re.findall(r"\$\{(\w+)\}", (project / "jobs/shop.yaml").read_text())
    }
