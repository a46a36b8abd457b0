"""`cio-etl demo` writes and runs the demo; what a reader has changed stays."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.project.shipped import shipped
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow
Captured = pytest.CaptureFixture[str]


def report_of_the_newest_run(folder: Path) -> dict[str, object]:
    newest = max(folder.glob(".etl/demo/state/runs/*/report.json"))
    content = json.loads(newest.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_data_that_cannot_be_written_are_named_with_what_to_do(capsys: Captured) -> None:
    Path("demo").mkdir()
    Path("demo/.etl").write_text("")
    assert main(["demo"]) == 78
    assert "demo/.etl/demo: cannot be written: Not a directory; a file has the name" in capsys.readouterr().err


def test_the_demo_needs_nothing_but_the_package_and_ends_with_its_report(capsys: Captured) -> None:
    here = Path.cwd()
    assert main(["demo"]) == 0 and Path.cwd() == here
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith(" finished: 15,162 rows accepted, 85 rejected") for line in lines)
    printed = {line[:11].rstrip(): shlex.split(line[11:], comments=True) for line in lines}
    assert printed["folder"] == ["cd", "demo"] and printed["again"] == ["cio-etl", "run", "jobs/demo.yaml", "--sandbox"]
    assert printed["a page"] == ["cio-etl", "ui", "--state", "jobs/demo.yaml"]
    with contextlib.chdir(printed["folder"][1]):
        assert Path(*printed["report"]).is_file()
        codes = [main(printed[name][1:]) for name in ("rejects", "once fixed", "again")]
        Path("rejects.csv").unlink()
    assert codes == [0, 3, 3]
    capsys.readouterr()
    assert {path.name for path in Path("demo").iterdir()} == {".etl", "jobs", "mappings"}

    mapping = Path("demo/mappings/customers.yaml")
    mapping.write_text(mapping.read_text().replace("when: coalesce(plan_name, '') <> 'internal'", "when: 'true'"))
    changed = mapping.read_bytes()
    assert main(["demo", "demo"]) == 0
    out = capsys.readouterr().out
    assert f"kept       {mapping}, which differs from the demo's" in out and mapping.read_bytes() == changed
    assert "15,182 rows accepted, 85 rejected" in out, "the 20 internal customers, too"


def test_the_demo_in_a_clone_runs_the_files_of_the_clone(capsys: Captured) -> None:
    for folder in ("jobs", "mappings"):
        shutil.copytree(ROOT / folder, folder)
    assert main(["demo", "."]) == 0
    out = capsys.readouterr().out
    assert "jobs/demo.yaml," not in out.splitlines()[0] and "kept" not in out
    assert "\nagain      cio-etl run jobs/demo.yaml --sandbox\n" in out


def test_a_demo_that_cannot_run_fails(capsys: Captured) -> None:
    Path("demo/mappings").mkdir(parents=True)
    Path("demo/mappings/orders.yaml").write_text("operation: trak\n")
    assert main(["demo"]) == 78
    assert "mappings/orders.yaml:1" in capsys.readouterr().err


def test_what_the_demo_writes_is_what_the_repository_shows() -> None:
    names = ("jobs/demo.yaml", "mappings/customers.yaml", "mappings/orders.yaml", "airflow_dags/etl_jobs.py")
    assert [shipped(name) for name in names] == [ROOT / name for name in names]
