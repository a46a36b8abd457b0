"""The tab key in real shells: what bash, zsh and fish complete `cio-etl` to."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from cio_etl.cli import cli, main
from cio_etl.cli.complete import VARIABLE
from tests.running import environment, spawn

Captured = pytest.CaptureFixture[str]
DEADLINE_S = 30.0


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    assert main(["new", "shop"]) == 0
    folder = tmp_path / "shop"
    (folder / "jobs/members.yaml").write_text(
        "destinations:\n  dev: {region: us, site_id: '${A}', api_key: '${B}'}\n"
        "  prod: {region: eu, site_id: '${A}', api_key: '${B}'}\n"
        "steps:\n- {name: members, source: {csv: x.csv}, mapping: mappings/customers.yaml}\n"
    )
    (folder / "mappings/places.yaml").write_text("attributes:\n  destination: city\n")
    for name in ("shop.sandbox-20261126T030000Z", "shop.sandbox-20261127T030000Z"):
        (folder / ".etl/runs" / name).mkdir(parents=True)
    return folder


def offered(*words: str) -> list[tuple[str, str]]:
    """What is offered for the last word: types and values."""
    found = ShellComplete(cli, {}, "cio-etl", VARIABLE).get_completions([*words[:-1]], words[-1])
    return [(item.type, item.value) for item in found]


BOTH = ["jobs/members.yaml", "jobs/shop.yaml"]
FILE = [("file", "")]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["run", ""], BOTH),
        (["status", "jobs/s"], ["jobs/shop.yaml"]),
        (["plan", "./jobs/m"], ["./jobs/members.yaml"]),
        (["forget", "jobs/shop.yaml", "jobs/"], BOTH),
        (["run", "jobs/shop.yaml", "--step", ""], ["customers", "orders"]),
        (["run", "--limit", "1", "jobs/shop.yaml", "--step", "or"], ["orders"]),
        (["validate", "jobs/members.yaml", "--step", ""], ["members"]),
        (["validate", "jobs/members.yaml", "--target", ""], ["dev", "prod"]),
        (["run", "jobs/members.yaml", "--target", "p"], ["prod"]),
        (["run", "jobs/shop.yaml", "--target", ""], []),
        (["run", "--step", ""], []),
        (["run", "jobs/none.yaml", "--step", ""], []),
        (["run", "mappings/places.yaml", "--step", ""], []),
        (["rejects", "--state", "nowhere", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_jobs_steps_targets_and_runs_are_offered(
    words: list[str], values: list[str], shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    assert offered(*words) == [("plain", value) for value in values]


def test_the_newest_runs_come_first_and_files_where_none_fits(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    old, new = sorted(Path(".etl/runs").iterdir())
    os.utime(old, (1, 1))
    runs = [("plain", new.name), ("plain", old.name)]
    assert offered("rejects", "") == offered("replay", "shop.") == runs
    assert offered("replay", "exp") == FILE
    assert offered("run", "exp") == FILE, "no job begins so, and a folder may have one further down"
    monkeypatch.setenv("ETL_STATE", "postgresql://db/etl")
    assert offered("rejects", "") == []


@contextmanager
def interactive(command: Sequence[str], folder: Path) -> Iterator[int]:
    """A shell at a terminal of its own, of which the block has the other end."""
    ours, theirs = pty.openpty()
    env = environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}
    env |= {"HOME": str(folder), "PS1": "$ "}
    shell = spawn(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        yield ours
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


def typed(terminal: int, keys: str, expected: str) -> str:
    """What the terminal shows after these keys, as soon as it matches; a failure after DEADLINE_S."""
    os.write(terminal, keys.encode())
    shown, until = "", time.monotonic() + DEADLINE_S
    while not re.search(expected, shown):
        assert select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0], (
            f"{expected!r} not in {shown!r}"
        )
        shown += os.read(terminal, 65_536).decode(errors="replace")
    return shown


KILL_LINE = "\x15"


@pytest.mark.slow
@pytest.mark.parametrize(
    "shell", [["bash", "--norc", "--noprofile", "-i"], ["zsh", "-f", "-i"]], ids=lambda words: words[0]
)
def test_the_tab_key_completes(shell: list[str], shop: Path) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]}")
    with interactive(shell, shop) as terminal:
        if shell[0] == "zsh":
            typed(terminal, "autoload -Uz compinit && compinit -u\n", "compinit -u")
        typed(terminal, f'eval "$(cio-etl completion {shell[0]})"; echo loa""ded\n', r"\nloaded")
        typed(terminal, "cio-etl stat\t", "status ")
        typed(terminal, f"{KILL_LINE}cio-etl run jobs/s\t", r"shop\.yaml ")
        typed(terminal, "--st\tor\t", "orders ")
        typed(terminal, f"{KILL_LINE}cio-etl rejects shop.sandbox-20261127\t", "T030000Z ")


@pytest.mark.slow
def test_fish_completes(shop: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish")
    asked = "cio-etl completion fish | source; complete -C 'cio-etl run jobs/'; complete -C 'cio-etl compl'"
    env = environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(shop)}
    done = subprocess.run(["fish", "-c", asked], cwd=shop, env=env, capture_output=True, text=True, timeout=60)
    *jobs, command = done.stdout.splitlines()
    assert jobs == BOTH and command.startswith("completion\tPrint the script"), done.stderr


def test_the_script_of_bash_is_one(capsys: Captured) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert subprocess.run(["bash", "-n"], input=script, text=True, timeout=20).returncode == 0
    assert f"{VARIABLE}=bash_complete" in script and script.count("complete -o nosort -F") == 1
