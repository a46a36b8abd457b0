"""Two destinations of one job: nothing of the one, no ledger and no unfinished run, is taken for that of the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli import main
from cio_etl.sandbox import Sandbox
from tests.run.test_run import SMALL
from tests.running import API_KEY, SITE_ID

pytestmark = pytest.mark.usefixtures("keys")

ROWS = 40


@pytest.fixture
def prod() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def job(sandbox: Sandbox, prod: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    note = "x" * 900
    Path("rows.csv").write_text("id,note\n" + "".join(f"{number},{note}\n" for number in range(ROWS)))
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"*": {}}}
    Path("m.yaml").write_text(json.dumps(mapping))
    common = {"site_id": f"${{{SITE_ID}}}", "api_key": f"${{{API_KEY}}}", "max_batch_bytes": SMALL, "lanes": 1}
    content: dict[str, Any] = {
        "destination": common,
        "destinations": {"dev": {"base_url": sandbox.url}, "prod": {"base_url": prod.url}},
        "steps": [{"name": "s", "source": {"csv": "rows.csv"}, "mapping": "m.yaml", "sync": "changed"}],
    }
    Path("job.yaml").write_text(json.dumps(content))
    return Path("job.yaml")


def people(sandbox: Sandbox) -> int:
    return len(list(sandbox.people.everybody()))


def test_a_ledger_belongs_to_one_target_and_both_stay(
    job: Path, sandbox: Sandbox, prod: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    for target, here in (("dev", sandbox), ("prod", prod), ("dev", sandbox), ("prod", prod)):
        before = here.stats()["requests"]
        assert main(["run", str(job), "--target", target]) == 0
        assert people(here) == ROWS and (here.stats()["requests"] > before) is (before == 0)
    capsys.readouterr()
    assert main(["status", str(job), "--target", "prod"]) == 0
    assert "job.prod-" in capsys.readouterr().out
    assert main(["plan", str(job), "--target", "dev", "-o", "plan.json"]) == 0
    Path("rows.csv").write_text("id,note\n1,changed\n2,b@@\n")
    assert main(["plan", str(job), "--target", "dev", "-o", "plan.json"]) == 3
    assert main(["apply", "plan.json"]) == 0
    notes = [
        {str(each.identifiers["id"]): each.attributes["note"] for each in here.people.everybody()}["1"]
        for here in (sandbox, prod)
    ]
    assert notes[0] == "changed" and notes[1] != "changed"
    assert main(["forget", str(job), "--person", "id:1"]) == 0
    out = capsys.readouterr().out
    assert "job.dev: ledger of s: 1 removed" in out and "job.prod: ledger of s: 1 removed" in out


def test_the_command_that_runs_a_target_names_it_once(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(job), "--target", "prod"]
    for before in ("status", "run", "status", "doctor"):  # without a run, then with one
        assert main([before, *words]) == 0
        if before != "run":
            assert "`cio-etl run job.yaml --target=prod` starts" in capsys.readouterr().out
        capsys.readouterr()


def test_an_unfinished_run_is_resumed_with_its_own_target_only(
    job: Path, sandbox: Sandbox, prod: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads(job.read_text()) | {"max_rejects": 0}
    job.write_text(json.dumps(content))
    Path("m.yaml").write_text(Path("m.yaml").read_text().replace('{"*": {}}', '{"email": "email", "*": {}}'))
    rows = [f"{number},{number}@example.com,{'x' * 900}\n" for number in range(ROWS)]
    Path("rows.csv").write_text(f"id,email,note\n{''.join(rows)}last,a@@b,x\n")
    for target, here in (("dev", sandbox), ("prod", prod)):
        assert main(["run", str(job), "--target", target]) == 4
        assert 0 < people(here) <= ROWS
        assert f"cio-etl run job.yaml --target={target}" in capsys.readouterr().err
    assert people(prod) == people(sandbox)  # prod has begun at its first row
    job.write_text(json.dumps(content | {"max_rejects": 1}))
    for target, here in (("dev", sandbox), ("prod", prod)):
        before = len(list(Path(".etl/runs").iterdir()))
        assert main(["run", str(job), "--target", target]) == 3
        assert people(here) == ROWS and len(list(Path(".etl/runs").iterdir())) == before
    assert main(["status"]) == 0
    assert "job.dev-" in capsys.readouterr().out


def test_rejects_of_a_target_are_replayed_there(
    job: Path, sandbox: Sandbox, prod: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = json.loads(Path("m.yaml").read_text())
    mapping["attributes"] = {"email": "note"}
    Path("m.yaml").write_text(json.dumps(mapping))
    Path("rows.csv").write_text("id,note\n1,a@@b\n2,b@example.com\n")
    assert main(["run", str(job), "--target", "prod"]) == 3
    (run,) = [path.name for path in Path(".etl/runs").iterdir()]
    assert main(["rejects", run, "-o", "rejects.csv"]) == 0
    Path("rejects.csv").write_text(Path("rejects.csv").read_text().replace("a@@b", "a@example.com"))
    assert main(["replay", "rejects.csv"]) == 0
    assert people(prod) == 2 and people(sandbox) == 0
