"""A job with several destinations is, with `--target`, the job of one of them; its name in the state has the target."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.config import load_job, load_jobs, plain_data
from cio_etl.errors import ConfigError, InvalidArguments
from cio_etl.model import target_of

Write = Callable[[str], Path]

ENVIRON = {"DEV": "dev", "PROD": "prod", "KEY": "key"}
JOB = """\
name: nightly
destination: {api: track, api_key: "${KEY}", lanes: 4}
destinations:
  dev: {region: us, site_id: "${DEV}"}
  prod: {region: eu, site_id: "${PROD}", lanes: 8}
steps:
  - {name: a, source: {csv: a.csv}, mapping: m.yaml}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text("operation: identify\nidentifiers: {id: id}\n")

    def job(text: str) -> Path:
        path = Path("job.yaml")
        path.write_text(text, encoding="utf-8")
        return path

    return job


def faults(path: Path, target: str = "prod") -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_job(path, ENVIRON, target=target)
    return [str(problem) for problem in error.value.problems]


def test_a_target_has_the_keys_that_all_share_and_its_own(write: Write) -> None:
    path = write(JOB)
    dev, prod = (load_job(path, ENVIRON, target=name) for name in ("dev", "prod"))
    assert (dev.name, dev.target, dev.destination.lanes, dev.destination.region) == ("nightly.dev", "dev", 4, "us")
    assert (prod.name, prod.target, prod.destination.lanes, prod.destination.region) == (
        "nightly.prod",
        "prod",
        8,
        "eu",
    )
    assert prod.destination.credentials["site_id"].get_secret_value() == "prod"
    assert [job.name for job in load_jobs(path)] == ["nightly.dev", "nightly.prod"]


def test_only_the_keys_of_the_target_are_needed(write: Write) -> None:
    assert load_job(write(JOB), {"DEV": "dev", "KEY": "key"}, target="dev").target == "dev"
    path = Path("job.yaml")
    with pytest.raises(
        ConfigError, match=r"job\.yaml:5: destinations\.prod\.site_id: the environment variable PROD is n"
    ):
        load_job(path, {"DEV": "dev", "KEY": "key"}, target="prod")


@pytest.mark.parametrize(
    ("target", "text", "fault"),
    [
        (None, JOB, "job.yaml has the destinations dev and prod; choose one with --target"),
        (None, JOB.replace("  prod:", "#"), "job.yaml has the destination dev; choose it with --target"),
        ("prd", JOB, "job.yaml has no destination 'prd'; did you mean 'prod'?"),
        (
            "prod",
            JOB.replace("destinations:\n", "").replace("  dev:", "#").replace("  prod:", "#"),
            "leave --target out",
        ),
    ],
)
def test_a_target_that_is_missing_or_unknown_is_a_wrong_argument(
    write: Write, capsys: pytest.CaptureFixture[str], target: str | None, text: str, fault: str
) -> None:
    path = write(text)
    with pytest.raises(InvalidArguments) as error:
        load_job(path, ENVIRON, target=target)
    assert fault in str(error.value)
    words = [] if target is None else ["--target", target]
    for command in ("run", "validate", "preview", "plan", "doctor", "status"):
        assert main([command, str(path), *words]) == 2
        assert fault in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (JOB.replace("lanes: 8", "lanes: 0"), "job.yaml:5: destinations.prod.lanes: must be at least 1"),
        (JOB.replace("lanes: 4", "lane: 4"), "job.yaml:2: destination.lane: unknown key; did you mean 'lanes'?"),
        (JOB.replace("PROD}", "PROD"), "job.yaml:5: destinations.prod.site_id: secrets are references only"),
        (
            JOB.replace("dev:", "sandbox:"),
            "job.yaml:4: destinations.sandbox: a name is letters, digits, - and _, and not ",
        ),
        (JOB.replace("dev: {", "a.b: {"), "job.yaml:4: destinations['a.b']: a name is letters"),
        (
            JOB.replace('dev: {region: us, site_id: "${DEV}"}', "dev: us"),
            "job.yaml:4: destinations.dev: must be keys with",
        ),
        (
            JOB.replace("destination: {api", "destination: [{api").replace("4}", "4}]"),
            "job.yaml:2: destination: must be k",
        ),
        (
            JOB.split("destinations:")[0] + "destinations: {}\nsteps: []\n",
            "job.yaml:3: destinations: must be names with",
        ),
    ],
)
def test_a_fault_of_a_destination_names_its_line(write: Write, text: str, fault: str) -> None:
    (problem,) = faults(write(text))
    assert problem.startswith(fault)


def test_a_destination_that_is_inherited_is_told_where_it_is_written(write: Write) -> None:
    Path("base.yaml").write_text(JOB.replace("lanes: 8", "lanes: 0"))
    path = write("extends: base.yaml\nname: other\ndestinations: {dev: {region: us, lanes: 0}}\n")
    assert faults(path) == ["base.yaml:5: destinations.prod.lanes: must be at least 1"]
    assert "job.yaml:3: destinations.dev.lanes: must be at least 1" in faults(path, "dev")


def test_check_checks_every_target_and_expand_prints_one(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(JOB)
    assert main(["check", str(path)]) == 0
    assert main(["check", str(path), "--expand", "--target", "prod"]) == 0
    assert plain_data(path, "prod")["destination"] == {
        "api": "track",
        "api_key": "${KEY}",
        "lanes": 8,
        "region": "eu",
        "site_id": "${PROD}",
    }
    assert "destinations" not in capsys.readouterr().out
    write(JOB.replace("region: us", "region: u").replace("lanes: 8", "lanes: 0"))
    assert main(["check", str(path), "--json"]) == 78
    problems = json.loads(capsys.readouterr().out)
    assert [(each["line"], each["path"]) for each in problems] == [
        (4, "destinations.dev.region"),
        (5, "destinations.prod.lanes"),
    ]
    assert main(["check", str(path), "--target", "dev", "--json"]) == 78
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("nightly", None),
        ("nightly.sandbox", None),
        ("nightly.replay", None),
        ("nightly.prod", "prod"),
        ("nightly.prod.sandbox.replay", "prod"),
    ],
)
def test_a_name_in_the_state_says_the_target(name: str, target: str | None) -> None:
    assert target_of(name) == target
