"""The commands that are printed to be copied: they work in every shell, and have every option that mattered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.cli.commands import as_typed
from tests.nightly_step import KEYS, Nights, person

HOSTILE = [
    "it's",
    "a b",
    'say "x"',
    "$HOME",
    "`id`",
    "a\\b",
    "a\\'b",
    "=ls",
    "%self",
    "~",
    "*",
    "a!b",
    "{a,b}",
    "ü#",
    "&",
    "",
]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_printed_command_has_the_same_words_in_every_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = f"{sys.executable} -c 'import sys; print(sys.argv[1:])'"
    typed = as_typed(*HOSTILE).replace("cio-etl", program, 1)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    done = subprocess.run([shell, "-c", typed], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout.strip(), done.returncode) == (str(HOSTILE), 0), done.stderr


def test_a_path_that_begins_like_an_option_is_none() -> None:
    assert as_typed("run", Path("-x.yaml"), "--sandbox") == "cio-etl run ./-x.yaml --sandbox"


# ---------------------------------------------------------------- a job that fails


@pytest.fixture
def job(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> Nights:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return nights


def failed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The second of the two lines on stderr of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(words))
    assert ended.value.code not in (0, 3)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("20")]
    return lines[-1]


def copied(line: str) -> Sequence[str]:
    """The words of the command that a line ends with."""
    return line[line.rindex("cio-etl ") + len("cio-etl ") :].split()


MANY = [person(n) for n in range(1, 41)]
OTHERS = [person(n, plan="pro") for n in range(1, 41)]
LIMITS = {"sync": "changed", "limits": {"changed": 1, "new": 1}}


def test_a_run_that_failed_before_it_began_goes_on_with_the_options_of_this_once(
    job: Nights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.step = LIMITS
    job.run(MANY)
    job.write(OTHERS)
    key = next(iter(KEYS))
    monkeypatch.setenv(key, "WRONG")
    once = ["--retry-refused", "--accept-changes", "--accept-unexpected", "--lanes=2", "--restart"]
    line = failed(capsys, "run", "job.yaml", *once)
    again = copied(line)
    assert again[:2] == ["run", "job.yaml"] and sorted(again[2:]) == sorted(once)
    monkeypatch.setenv(key, KEYS[key])
    assert main(list(again)) == 0 and job.people()["7"]["plan"] == "pro"


def test_a_run_that_has_begun_is_resumed_and_not_abandoned_once_more(
    job: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    job.step = LIMITS
    job.run(MANY)
    job.write(OTHERS)
    line = failed(capsys, "run", "job.yaml", "--restart", "--accept-drift")
    assert line == (
        "check the source; if the changes are right, run once `cio-etl run job.yaml --accept-drift --accept-changes`; "
        "once the source is fixed: cio-etl run job.yaml --accept-drift"
    )


def test_a_replay_that_changes_too_much_names_the_option_that_it_has(
    job: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    job.step = LIMITS
    job.run(MANY)
    run_id = job.run([*MANY, *(person(n, email="bad@@x") for n in range(50, 55))]).run_id
    Path("mapping.yaml").write_text(Path("mapping.yaml").read_text().replace('"email": "email"', '"mail": "email"'))
    line = failed(capsys, "replay", run_id)
    once = line.split("`")[1]
    assert once == f"cio-etl replay {run_id} --accept-changes"
    assert main(once.split()[1:]) == 0 and "52" in job.people()


def test_a_replay_with_a_damaged_ledger_names_the_run_that_starts_a_new_one(
    job: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    job.run(MANY)
    run_id = job.run([*MANY, person(50, email="bad@@x")]).run_id
    for file in Path(".etl/ledger").rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:-30] + b"x" * 30)
    Path("mapping.yaml").write_text(Path("mapping.yaml").read_text().replace('"email": "email"', '"mail": "email"'))
    line = failed(capsys, "replay", run_id)
    assert line.endswith(f"then: cio-etl run job.yaml --rebuild-ledger; cio-etl replay {run_id}")
    for command in line.partition("then: ")[2].split("; "):
        assert main(command.split()[1:]) == 0
    assert "50" in job.people()


def test_a_replay_that_fails_prints_json_if_it_was_asked_to(
    job: Nights, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = job.run([*MANY, person(50, email="bad@@x")]).run_id
    monkeypatch.setenv(next(iter(KEYS)), "WRONG")
    assert main(["replay", run_id, "--json"]) == 77
    assert '"job": "job.replay"' in capsys.readouterr().out


def test_a_plan_that_does_not_fit_any_more_names_the_command_that_makes_another(
    job: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    job.run(MANY)
    job.write(OTHERS)
    assert main(["plan", "job.yaml", "--accept-changes", "-o", "p.json"]) == 3
    job.write(MANY[:10])
    line = failed(capsys, "apply", "p.json")
    again = line.split("`")[1].split()
    assert again == ["cio-etl", "plan", "job.yaml", "--accept-changes", "-o", "p.json"]
    assert main(again[1:]) == 0


def test_validate_names_the_target_in_the_commands_that_follow(job: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    job.write(MANY)
    content = Path("job.yaml").read_text()
    assert main(["validate", "job.yaml"]) == 0
    made = json.loads(content)
    made["destinations"] = {"dev": {}, "prod": {}}
    Path("job.yaml").write_text(json.dumps(made))
    capsys.readouterr()
    assert main(["validate", "job.yaml", "--target=dev"]) == 0
    page = capsys.readouterr()
    report = next(line for line in page.out.splitlines() if line.startswith("report")).split()[1]
    assert "cio-etl run job.yaml --target=dev" in Path(report).read_text()


def test_the_command_that_exports_rejects_names_a_file_that_is_not_there(
    job: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    job.step = {}
    job.write([*MANY[:3], person(50, email="bad@@x")])
    for _ in range(2):
        assert main(["run", "job.yaml"]) == 3
        lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.split()}
        assert main(lines["rejects"][1:]) == 0
        capsys.readouterr()
        assert main(lines["once"][2:]) == 3
        capsys.readouterr()
    run_id = lines["rejects"][2]
    assert sorted(map(str, Path().glob("*.csv"))) == [f"{run_id}.csv", "rejects.csv"]
    assert main(["rejects", run_id, "-o", "none/x.csv"]) == 2
    assert "none/x.csv cannot be written: No such file or directory; name another file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "validate", "plan"])
def test_a_watermark_is_refused_where_no_source_has_one(
    job: Nights, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job.write(MANY[:3])
    assert main([command, "job.yaml", "--watermark=2024-03-10"]) == 2
    assert "--watermark: these steps read no source with a `watermark:`, so every row" in capsys.readouterr().err
