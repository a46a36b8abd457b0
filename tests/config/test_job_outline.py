"""What is known of a job file whatever is wrong in its mappings: it is what is known of the whole job."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from cio_etl.config import load_job, load_jobs, load_outline, load_outlines
from cio_etl.errors import ConfigError, InvalidArguments
from cio_etl.model import JobSettings

MAPPING = {"operation": "identify", "identifiers": {"id": "id"}}
DESTINATION = {"site_id": "${SITE}", "api_key": "${KEY}"}
CSV = {"csv": "p.csv"}
ENVIRONMENT = {"SITE": "s", "KEY": "k", "PING": "https://hc.example/1", "STATE_URL": "postgresql://db/etl"}
HOOK = {"slack": "${HOOK}", "on": ["failed"]}
JOB: dict[str, Any] = {
    "destination": DESTINATION,
    "state": "${STATE_FOLDER:-there}",
    "schedule": "0 3 * * *",
    "expect_every": "26 hours",
    "ping": "${PING}",
    "metrics_file": "job.prom",
    "notify": [HOOK],
    "steps": [
        {"name": "people", "source": CSV, "mapping": "m.yaml", "sync": "changed", "ledger": {"name": "old"}},
        {"name": "two", "source": CSV, "mapping": ["m.yaml", "n.yaml"], "sync": "changed"},
        {"name": "all", "source": CSV, "mapping": "m.yaml"},
    ],
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m", "n"):
        Path(f"{name}.yaml").write_text(json.dumps(MAPPING))


def write(**keys: Any) -> Path:
    path = Path("job.yaml")
    path.write_text(json.dumps({key: value for key, value in (JOB | keys).items() if value is not None}))
    return path


TARGETS = {"destination": None, "destinations": {"dev": DESTINATION, "prod": DESTINATION}}


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"name": "nightly", "notify": None},
        {"notify": []},
        TARGETS,
        {"vars": {"folder": "x"}, "state": "${vars.folder}/state"},
        {"state": {"database": "${STATE_URL}", "folder": "here"}},
    ],
    ids=["plain", "named", "nobody", "targets", "variables", "database"],
)
def test_an_outline_is_what_the_whole_job_says_and_stays_so_with_wrong_mappings(
    keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    Path("cio-etl.yaml").write_text(json.dumps({"notify": [{"slack": "${SLACK}", "on": ["stale"]}]}))
    path = write(**keys)
    outlines = load_outlines(path)
    for outline in outlines:
        job = load_job(path, ENVIRONMENT, target=outline.target)
        for field in fields(JobSettings):
            assert getattr(outline, field.name) == getattr(job, field.name), field.name
        sync = [(step.name, step.sync.mode, step.ledger_name) for step in job.steps]
        assert [(step.name, step.sync.mode, step.ledger_name) for step in outline.steps] == sync
    Path("m.yaml").write_text("operation: [")
    job = json.loads(path.read_text())
    job["steps"][2] |= {"source": {"cvs": "p.csv"}}
    path.write_text(json.dumps(job | {"max_rejects": "many"}))
    assert load_outlines(path) == outlines
    with pytest.raises(ConfigError):
        load_jobs(path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"state": "s3://bucket"}, "state"),
        ({"state": "${NOWHERE}"}, "NOWHERE is not set"),
        ({"state": "${vars.folder}"}, "folder"),
        ({"expect_every": "soon"}, "expect_every"),
        ({"notify": [{"slack": "${HOOK}", "on": ["always"]}]}, "notify"),
        ({"name": "a b"}, "name"),
    ],
)
def test_what_is_wrong_in_the_settings_is_reported_with_all_else(keys: dict[str, Any], message: str) -> None:
    path = write(**keys)
    Path("m.yaml").write_text("operation: identfy\n")
    with pytest.raises(ConfigError, match=message) as outline:
        load_outline(path)
    with pytest.raises(ConfigError) as whole:
        load_job(path, secrets=False, sources=False)
    assert outline.value.problems == whole.value.problems
    assert any(problem.file == "m.yaml" for problem in outline.value.problems)


@pytest.mark.parametrize(
    "keys",
    [{"ping": "${NOWHERE}"}, {"ping": "https://hc.example/1"}, {"ping": "${PLAIN}"}, {"metrics_file": "job.txt"}],
)
def test_who_watches_otherwise_is_left_out_if_it_is_wrong_and_hides_nothing(
    keys: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PING", "https://hc.example/1")
    monkeypatch.setenv("PLAIN", "http://hc.example/1")
    whole, outline = load_outline(write()), load_outline(write(**keys))
    assert whole.ping is not None and whole.metrics_file is not None
    assert outline == replace(whole, ping=None, metrics_file=None)


@pytest.mark.parametrize("content", ["", "steps", json.dumps(MAPPING), "steps: [", "- 1"])
def test_a_file_that_is_no_job_is_none_for_its_outline_either(content: str) -> None:
    path = Path("job.yaml")
    path.write_text(content)
    with pytest.raises(ConfigError) as outline:
        load_outline(path)
    with pytest.raises(ConfigError) as whole:
        load_job(path, secrets=False, sources=False)
    assert outline.value.problems == whole.value.problems


def test_an_outline_needs_the_name_of_one_of_several_destinations() -> None:
    path = write(**TARGETS)
    for target in (None, "test"):
        with pytest.raises(InvalidArguments):
            load_outline(path, target=target)


@pytest.mark.parametrize(
    "steps", [None, "people", [], ["people", {"name": 1}, {"source": {}}], [{"name": "${NOWHERE}"}]]
)
def test_steps_whose_name_is_wrong_are_left_out(steps: Any) -> None:
    path = Path("job.yaml")
    path.write_text(json.dumps(JOB | {"steps": steps}))
    assert load_outline(path).steps == ()
