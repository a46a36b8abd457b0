"""A state that lost what a killed run had written is refused, and never taken for the state of a first run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.model import Counts, LaneProgress
from cio_etl.report import NO_COMMANDS
from cio_etl.run.status_note import NOTE_EVERY_S, StatusNote
from cio_etl.sandbox import Faults, Sandbox
from tests.killing import standing
from tests.pace_simulation import Clock
from tests.running import start, until, write_job
from tests.state.runs import RUN, begin

pytestmark = pytest.mark.usefixtures("keys")

ROWS = 3_000


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Faults(latency_s=0.05)) as running:
        yield running


@pytest.fixture(scope="module")
def killed(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job whose run was killed after it had settled rows."""
    folder = tmp_path_factory.mktemp("killed")
    rows = [f"u{row},u{row}@example.com" for row in range(ROWS)]
    (folder / "people.csv").write_text("\n".join(["id,email", *rows]))
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "email"}}
    (folder / "people.yaml").write_text(json.dumps(mapping))
    destination = {"max_batch_bytes": 32_100, "lanes": 2, "requests_per_second": "unlimited"}
    steps = {"people": ({"csv": "people.csv"}, "people.yaml")}
    write_job(folder / "job.yaml", sandbox.url, steps, destination=destination)
    process = start("run", "job.yaml", "--run-id", "killed", folder=folder)  # a name, so that no later run has its id
    until(lambda: sum(acked >= 0 for acked, _ in standing(folder / ".etl").progress.values()) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    items: list[int] = []  # the sandbox may still work on the last requests

    def is_at_rest() -> bool:
        items.append(sandbox.stats()["items"])
        return len(items) > 60 and len(set(items[-60:])) == 1

    until(is_at_rest)
    return folder


@pytest.fixture
def folder(killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which the test works."""
    copy = tmp_path / "copy"
    shutil.copytree(killed, copy)
    monkeypatch.chdir(copy)
    return copy


def note(folder: Path) -> dict[str, Any]:
    """The killed run's status.json."""
    return dict(json.loads((folder / ".etl/runs/job-killed/status.json").read_text()))


def _remove_wal(state_db: Path) -> None:
    Path(f"{state_db}-wal").unlink()


def _empty_wal(state_db: Path) -> None:
    os.truncate(f"{state_db}-wal", 0)


def _damage_wal(state_db: Path) -> None:
    with Path(f"{state_db}-wal").open("r+b") as wal:
        wal.seek(40)
        wal.write(b"\xa5" * 64)


def _remove_all(state_db: Path) -> None:
    for path in state_db.parent.glob("state.db*"):
        path.unlink()


def _put_an_older_one_back(state_db: Path) -> None:
    """As a copy from before the last commits would be."""
    with closing(sqlite3.connect(state_db)) as database, database:
        database.execute("UPDATE lane SET acked_through = -1, accepted = 0 WHERE lane = 0")
    (path,) = state_db.parent.glob("runs/*/status.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"settled": content["settled"] + 10_000}))


@pytest.mark.fault("P2", "P16", "P17")
@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (_remove_wal, "the state does not have this run"),
        (_empty_wal, "the state does not have this run"),
        (_damage_wal, "the state does not have this run"),
        (_remove_all, "the state does not have this run"),
        (_put_an_older_one_back, "settled rows of this run, and 10,"),
    ],
)
def test_a_state_that_lost_a_part_after_a_kill_is_refused_until_restart(
    folder: Path, sandbox: Sandbox, damage: Callable[[Path], None], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / ".etl/state.db")
    before = sandbox.stats()["items"]
    for command in ("run", "status"):
        assert main([command, "job.yaml"]) == 74
        first, second = capsys.readouterr().err.splitlines()[-2:]
        assert first.startswith(".etl/runs/job-killed/") and "status.json: " in first and fault in first
        assert first.endswith("a part of the state was removed, damaged or replaced")
        assert second.startswith("put the state of that time back") and "--restart" in second
    assert sandbox.stats()["items"] == before
    assert main(["run", "job.yaml", "--restart"]) == 0
    assert sandbox.stats()["items"] == before + ROWS
    assert (note(folder)["status"], note(folder)["resumable"]) == ("abandoned", False)
    assert main(["run", "job.yaml"]) == 0


@pytest.mark.fault("P1")
def test_a_complete_state_is_resumed_and_both_kinds_of_status_report_the_kill(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "its process has ended without a report: it was killed, or the machine went down"
    assert (note(folder)["status"], note(folder)["resumable"]) == ("running", True)
    assert main(["status", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert main(["status", "job.yaml", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert (listed["status"], listed["reason"]) == (one["status"], one["reason"]) == ("stopped", reason)
    assert main(["run", "job.yaml"]) == 0
    assert note(folder) | {"settled": ROWS, "status": "finished", "resumable": False} == note(folder)


def test_the_status_of_a_killed_run_that_cannot_be_resumed_names_no_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "people.yaml").write_text(
        (folder / "people.yaml").read_text().replace('"email": "email"', '"e": "email"')
    )
    assert main(["status", "job.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "would exit 78" in printed and "\ncontinue" not in printed
    assert main(["status", "job.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resume_command"] is None


def test_a_note_is_written_at_once_and_then_when_it_is_due(tmp_path: Path) -> None:
    with closing(state.open_store(tmp_path / "state")) as store:
        committer, clock = begin(store, lanes=1), Clock()
        status = StatusNote(tmp_path / "run", store, RUN, NO_COMMANDS, clock)

        def noted() -> int:
            status.refresh()
            return int(json.loads((tmp_path / "run/status.json").read_text())["settled"])

        assert noted() == 0
        committer.commit(LaneProgress(0, 1, 1, Counts(accepted=1, skipped=1)), ())
        assert noted() == 0
        clock.sleep(NOTE_EVERY_S)
        assert noted() == 2
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run").write_text("")  # no folder: the run continues
        clock.sleep(NOTE_EVERY_S)
        status.refresh()
