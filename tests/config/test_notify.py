"""`notify` in a job file and in `cio-etl.yaml`: its channels, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import ConfigError
from cio_etl.model import Job
from tests.running import API_KEY, SITE_ID, write_job

KEYS = {SITE_ID: "s", API_KEY: "k", "SLACK": "https://hooks.example.com/T0", "SMTP": "smtps://user:pw@mail.example.com"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.yaml").write_text("operation: identify\nidentifiers: {id: id}\nattributes: {plan: plan}\n")


def loaded(notify: Any = None, shared: Any = None, environ: dict[str, str] | None = None) -> Job:
    settings = {} if notify is None else {"notify": notify}
    file = write_job(Path("job.yaml"), "http://127.0.0.1:9", {"people": ({"csv": "a.csv"}, "people.yaml")}, **settings)
    if shared is not None:
        Path("cio-etl.yaml").write_text(json.dumps(shared))
    return load_job(file, KEYS if environ is None else environ)


def faults(notify: Any = None, shared: Any = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(notify, shared)
    return str(error.value).splitlines()


def test_channels_have_their_secrets_and_what_they_are_told_of() -> None:
    job = loaded(
        [
            {"slack": "${SLACK}", "on": ["failed", {"rejects": "1%"}, {"deviates": "50%"}, {"slower": "3x"}]},
            {"email": "data@example.com", "smtp": "${SMTP}"},
            {"command": ["page", "{job}"], "timeout": "5s"},
            {"slack": "${SLACK}"},
        ]
    )
    assert [each.label for each in job.notify] == ["slack 1", "email", "command", "slack 2"]
    assert len({each.key for each in job.notify}) == 4  # the state knows them apart
    first, mail, command, _ = job.notify
    assert first.on == {"failed": None, "rejects": 0.01, "deviates": 0.5, "slower": 3.0}
    assert first.address is not None and first.address.value.get_secret_value() == KEYS["SLACK"]
    assert [*mail.on] == ["failed", "recovered", "stale"] and mail.to == ("data@example.com",)
    assert (command.command, command.timeout_s) == (("page", "{job}"), 5.0)
    assert "hooks.example.com" not in repr(job)


def test_a_file_beside_the_jobs_holds_for_all_of_them_and_a_job_replaces_it() -> None:
    shared = {"notify": [{"slack": "${SLACK}"}]}
    assert [each.label for each in loaded(shared=shared).notify] == ["slack"]
    assert [each.label for each in loaded([{"command": ["page"]}], shared).notify] == ["command"]
    assert loaded([], shared).notify == ()


def test_a_secret_that_is_missing_is_a_fault_of_its_channel_and_not_of_the_job() -> None:
    environ = {**KEYS, "SLACK": "http://hooks.example.com/T0"}
    del environ["SMTP"]
    slack, mail = loaded([{"slack": "${SLACK}"}, {"email": "a@b.co", "smtp": "${SMTP}"}], environ=environ).notify
    assert slack.fault == "${SLACK} must mean an https:// address, or one on this machine"
    assert mail.fault == "the environment variable SMTP is not set; set it, or name its file with --env-file"


@pytest.mark.parametrize(
    ("channel", "fault"),
    [
        ({"slack": "https://hooks.example.com/T0"}, "notify[0].slack: secrets are references only"),
        ({"webhook": "${SLACK}"}, "notify[0]: webhook: needs secret:, which is missing"),
        ({"webhook": "${SLACK}", "secret": "abc"}, "notify[0].secret: secrets are references only"),
        ({"email": "a@b.co"}, "notify[0]: email: needs smtp:, which is missing"),
        ({"email": "a b@c", "smtp": "${SMTP}"}, "notify[0].email: must be an address"),
        ({"slack": "${SLACK}", "command": ["page"]}, "notify[0]: a channel has one of slack:, webhook:"),
        ({"slack": "${SLACK}", "on": ["faild"]}, "notify[0].on: must be of failed, recovered"),
        ({"slack": "${SLACK}", "on": [{"rejects": "0%"}]}, "notify[0].on: must be of failed"),
        ({"slack": "${SLACK}", "on": ["recovered"]}, "notify[0].on: must have something that recovered can follow"),
        ({"slack": "${SLACK}", "on": ["failed", "failed"]}, "notify[0].on: failed is written twice"),
        ({"slack": "${SLACK}", "on": [{"verify_differs": "1%"}]}, "notify[0].on: must be of failed"),
        ({"slak": "${SLACK}"}, "notify[0].slak: unknown key; did you mean 'slack'?"),
        ({"command": ["page"], "timeout": "1h"}, "notify[0].timeout: must be from 1s to 5m"),
    ],
)
def test_a_fault_of_a_channel(channel: dict[str, Any], fault: str) -> None:
    (found,) = faults([channel])
    assert fault in found and found.startswith("job.yaml:")
    (found,) = faults(shared={"notify": [channel]})
    assert fault in found and found.startswith("cio-etl.yaml:1: ")


def test_check_reads_the_file_beside_the_jobs_and_run_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("cio-etl.yaml").write_text("notify:\n  - slack: ${SLACK}\n")
    assert main(["check", "cio-etl.yaml"]) == 0 and capsys.readouterr().out == "cio-etl.yaml: 1 channel\n"
    assert main(["run", "cio-etl.yaml"]) == 78
    assert "has what the jobs of its folder share; name a job file" in capsys.readouterr().err
    Path("cio-etl.yaml").write_text("notify:\n  - slack: https://hooks.example.com\nsteps: []\n")
    assert main(["check", "cio-etl.yaml"]) == 78
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "cio-etl.yaml:2",
        "cio-etl.yaml:3",
    ]
