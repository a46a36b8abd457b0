"""Disks that fill and files that are lost: each ends with the place, the fault and the command that goes on."""

from __future__ import annotations

import ctypes
import errno
import resource
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.errors import CredentialsRefused, StateError
from cio_etl.ledger import Ledger, new_generation
from cio_etl.ledger.files import ROWS_AT_ONCE
from cio_etl.ledger.stored import KNOWN
from cio_etl.sandbox import Faults
from tests.nightly_step import Nights, person
from tests.running import start_anew

LEDGER = Path(".etl/ledger/job/rows")
COMMAND = "cio-etl run job.yaml"

pytestmark = pytest.mark.usefixtures("keys")


def piece() -> Path:
    (found,) = LEDGER.glob("*.parquet")
    return found


def truncate() -> None:
    piece().write_bytes(piece().read_bytes()[:-20])


def flip_a_bit() -> None:
    content = bytearray(piece().read_bytes())
    content[len(content) // 2] ^= 1
    piece().write_bytes(content)


def remove() -> None:
    piece().unlink()


def upgrade() -> None:
    with closing(sqlite3.connect(".etl/state.db")) as db, db:
        db.execute("UPDATE ledger SET generation = replace(generation, '\"format\": 1', '\"format\": 2')")


FAULTS: dict[str, tuple[Callable[[], None], str]] = {
    "truncated": (truncate, "the file is not what was written (its SHA-256 differs)"),
    "a bit flipped": (flip_a_bit, "the file is not what was written (its SHA-256 differs)"),
    "missing": (remove, "the file is missing"),
    "newer": (upgrade, "the ledger was written by a newer version of this program (format 2)"),
}


def cio_etl(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, and the last two lines on stderr: what happened, and what to do."""
    capsys.readouterr()
    code = main([*arguments])
    lines = ["", "", *capsys.readouterr().err.splitlines()]
    return code, lines[-2], lines[-1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_damaged_ledger_stops_a_run_and_a_new_one_removes_nobody(
    mirror: Nights, capsys: pytest.CaptureFixture[str], fault: str, restarts: bool
) -> None:
    mirror.run([person(1), person(2), person(3)])
    if restarts:
        mirror.sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
        with pytest.raises(CredentialsRefused):
            mirror.run([person(1), person(2), person(3, city="Oslo")])
        mirror.sandbox.set_faults(Faults())
    else:
        mirror.run([person(1), person(2), person(3)])
    damage, words = FAULTS[fault]
    damage()
    pl.DataFrame([person(1), person(2)]).write_parquet("rows.parquet")
    if not restarts:
        code, happened, remedy = cio_etl(capsys, "run", "job.yaml")
        assert (code, happened.endswith(words)) == (74, True), happened
        assert happened.startswith("the state: " if fault == "newer" else f"{LEDGER}/")
        assert "a run then sends every row once, and removes nobody" in remedy
        assert remedy.endswith(f"; then: {COMMAND} --rebuild-ledger")
    mirror.bodies.clear()
    code, _, _ = cio_etl(capsys, "run", "job.yaml", "--rebuild-ledger", *(["--restart"] if restarts else []))
    assert (code, len(mirror.items()), sorted(mirror.people())) == (0, 2, ["1", "2", "3"])
    assert mirror.sent([person(1), person(2)]) == []


def test_plan_and_apply_name_the_plan_that_goes_on(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    nights.run([person(1), person(2)])
    nights.write([person(1, city="Oslo"), person(2)])
    assert cio_etl(capsys, "plan", "job.yaml", "-o", "plan.json")[0] == 3
    truncate()
    for command in (["plan", "job.yaml", "-o", "plan.json"], ["apply", "plan.json"]):
        code, happened, remedy = cio_etl(capsys, *command)
        assert (code, happened.startswith(f"{LEDGER}/")) == (74, True), happened
        assert remedy.endswith("; then: cio-etl plan job.yaml -o plan.json --rebuild-ledger")
    assert cio_etl(capsys, "plan", "job.yaml", "-o", "plan.json", "--rebuild-ledger")[0] == 3
    assert cio_etl(capsys, "apply", "plan.json")[0] == 0
    assert nights.people()["1"]["city"] == "Oslo"
    assert nights.sent([person(1, city="Oslo"), person(2)]) == []


@pytest.mark.parametrize("command", [["run", "job.yaml", "--rebuild-ledger"], ["run", "job.yaml", "--restart"]])
def test_a_ledger_that_was_damaged_during_a_run_does_not_hold_it(
    mirror: Nights, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    mirror.run([person(1), person(2)])
    mirror.sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        mirror.run([person(1, city="Oslo"), person(2)])
    mirror.sandbox.set_faults(Faults())
    truncate()
    code, happened, remedy = cio_etl(capsys, "run", "job.yaml")
    assert code == 74 and remedy.endswith(f"; then: {COMMAND} --rebuild-ledger"), happened
    assert cio_etl(capsys, *command)[0] == 0
    mirror.run([person(1, city="Oslo"), person(2)])
    assert mirror.sent([person(1, city="Oslo"), person(2)]) == []
    assert mirror.people()["1"]["city"] == "Oslo"


@pytest.mark.parametrize("file", ["delta.json", "codes", "masks", "rows.parquet"])
def test_a_delta_that_was_damaged_during_a_run_is_abandoned(
    nights: Nights, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    nights.run([person(1)])
    nights.sandbox.set_faults(Faults(script=("lost_after",), key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run([person(1, city="Oslo")])
    nights.sandbox.set_faults(Faults())
    (delta,) = Path(".etl/runs").glob("*/stage/0.delta")
    content = (delta / file).read_bytes()
    (delta / file).write_bytes(content[: len(content) // 2])
    code, happened, remedy = cio_etl(capsys, "run", "job.yaml")
    assert code == 74 and str(delta) in happened and remedy.endswith(f"; then: {COMMAND} --restart"), happened
    nights.bodies.clear()
    assert cio_etl(capsys, "run", "job.yaml", "--restart")[0] == 0
    assert len(nights.items()) == 1 and nights.sent([person(1, city="Oslo")]) == []


def limited(room: int) -> Callable[[], None]:
    """RLIMIT_FSIZE stands for a full disk and for a quota: a write past it fails."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code, and the last two lines on stderr."""
    happened, remedy = process.communicate(timeout=60)[1].splitlines()[-2:]
    return process.returncode, happened, remedy


def test_a_disk_that_is_full_of_a_delta_stops_the_run_before_it_sends(nights: Nights) -> None:
    nights.run([person(1)])
    before = nights.people()
    schema = dict.fromkeys(person(1), pl.String)
    pl.DataFrame([person(number) for number in range(40_000)], schema=schema).write_parquet("rows.parquet")
    code, happened, remedy = ended(start_anew("run", "job.yaml", folder=Path(), before_exec=limited(250_000)))
    assert code == 74 and "0.delta" in happened and "File too large" in happened, happened
    assert "raise the quota" in remedy and remedy.endswith(f"; then: {COMMAND}")
    assert nights.people() == before


def test_a_disk_that_is_full_of_the_ledger_sends_nothing_again(nights: Nights) -> None:
    people = [person(number) for number in range(12_000)]
    nights.run(people)
    pl.DataFrame([row | {"city": "Oslo"} for row in people[:2_500]] + people[2_500:]).write_parquet("rows.parquet")
    before = set(LEDGER.iterdir())
    code, happened, remedy = ended(start_anew("run", "job.yaml", folder=Path(), before_exec=limited(250_000)))
    assert code == 74 and str(LEDGER) in happened and "File too large" in happened, happened
    assert "raise the quota" in remedy and remedy.endswith(f"; then: {COMMAND}")
    assert set(LEDGER.iterdir()) == before
    assert [row["city"] for row in nights.people().values()].count("Oslo") == 2_500
    nights.again()
    assert nights.items() == []
    nights.again()
    assert nights.items() == []


def obeys_permissions() -> None:
    """A process of root gives up the capability of writing everywhere, CAP_DAC_OVERRIDE."""
    ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP


def test_a_ledger_in_a_folder_that_may_not_be_written_stops_the_run(nights: Nights) -> None:
    nights.run([person(1)])
    pl.DataFrame([person(1, city="Oslo")]).write_parquet("rows.parquet")
    LEDGER.chmod(0o500)
    code, happened, remedy = ended(start_anew("run", "job.yaml", folder=Path(), before_exec=obeys_permissions))
    assert (code, happened) == (74, f"{LEDGER}: Permission denied")
    assert "make the folder writable" in remedy and remedy.endswith(f"; then: {COMMAND}")
    LEDGER.chmod(0o700)
    nights.again()
    assert nights.items() == [] and nights.people()["1"]["city"] == "Oslo"


def test_a_piece_of_a_ledger_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    def changes(number: int, bits: int) -> pl.DataFrame:
        if number:
            raise OSError(errno.ENOSPC, "")
        return pl.DataFrame([dict.fromkeys(KNOWN) | {"hi": 1, "lo": 1, "is_gone": False}], schema=KNOWN)

    ledger = Ledger(tmp_path / "ledger", new_generation("", 1, ""))
    with pytest.raises(StateError, match="No space left on device"):
        ledger.with_changes(changes, 2 * ROWS_AT_ONCE)
    assert [*ledger.folder.iterdir()] == []
