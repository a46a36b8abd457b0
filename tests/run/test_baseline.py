"""A first run notes its rows while it sends them; wherever it stops, the ledger has what Customer.io has."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cio_etl import state
from cio_etl.errors import CredentialsRefused, DeltaDamaged
from cio_etl.ledger import BaselineWriter, Delta, Ledger
from cio_etl.load import Lanes
from cio_etl.load.lanes import FRAMES_AHEAD
from cio_etl.model import DeltaCounts
from cio_etl.sandbox import Faults, Sandbox
from tests.ledger_nights import KILLS_ITSELF
from tests.mirror_nights import GIVEN_UP
from tests.nightly_step import KEYS, PEOPLE, Nights, change, person
from tests.running import start_program

SMALL = 40  # rows of a partition: 300 rows have 8 partitions, and with those that the ledger knows 16
FEW = [person(number, city="x" * 600) for number in range(300)]
ROWS = [{"id": str(number), "plan": "free" * 200} for number in range(500)]  # 50 are more than a batch
OF_SMALL_FRAMES = f"from cio_etl.extract import open_source as of\nof.__kwdefaults__['chunk_rows'] = 50\n{KILLS_ITSELF}"
WRITER = "cio_etl.ledger.baseline.BaselineWriter"
MOMENTS = {
    "nothing is sent": ("cio_etl.run.run", "_send", True, 1),
    # A lane has taken three of the five frames before this one, or there were no place: two have been sent.
    "a frame is noted": (WRITER, "add", True, FRAMES_AHEAD + 4),
    "all is sent": (WRITER, "finish", False, 1),
    "the files are written": ("cio_etl.run.ledger_moves", "moved", False, 1),
}
KILLS = [
    ("nothing is sent", "resumed"),
    ("a frame is noted", "resumed"),
    ("a frame is noted", "abandoned"),
    ("all is sent", "resumed"),
    ("the files are written", "abandoned"),
]


def delta_of(nights: Nights) -> Delta:
    """The delta of the last run."""
    folder = max(Path(".etl").rglob("*.delta"), key=lambda folder: folder.stat().st_mtime_ns)
    found = Delta.open(folder)
    assert found is not None
    return found


def ids(nights: Nights) -> set[str]:
    """Who is in the last night's requests."""
    return {item["identifiers"]["id"] for item in nights.items()}


@pytest.fixture(autouse=True)
def _kept(nights: Nights) -> None:
    """The deltas of finished runs stay, so that tests can look at them."""
    nights.settings["keep_snapshots"] = True


@pytest.fixture
def keys_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)


@pytest.fixture
def stopped(nights: Nights, sandbox: Sandbox) -> Nights:
    """A first run of 300 people whose key is revoked after the first request."""
    nights.settings["destination"] = {"max_batch_bytes": 32_100, "lanes": 1}
    sandbox.set_faults(Faults(key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run(FEW)
    sandbox.set_faults(Faults())
    assert delta_of(nights).head.is_baseline and 0 < len(nights.people()) < 300
    return nights


@pytest.mark.parametrize(("moment", "then"), KILLS)
def test_a_first_run_that_is_killed(nights: Nights, keys_here: None, moment: str, then: str) -> None:
    nights.mapping = PEOPLE | {"attributes": {"plan": "plan"}}
    nights.settings["destination"] = {"lanes": 1, "max_batch_bytes": 32_100}
    nights.write(ROWS)
    killed = start_program(OF_SMALL_FRAMES, *MOMENTS[moment], "run", "job.yaml", stderr=subprocess.DEVNULL)
    assert killed.wait() == -signal.SIGKILL
    there = nights.people().keys()
    assert bool(there) == (moment != "nothing is sent")
    report = nights.again(restart=then == "abandoned")
    assert ids(nights) | there == {row["id"] for row in ROWS} == nights.people().keys()
    assert len(ids(nights) & there) < 100 and report.steps[0].delta is not None
    assert nights.sent([*ROWS[:-1], {"id": "499", "plan": "pro"}]) == [change(499, plan="pro")]


def test_a_frame_is_noted_before_it_is_sent(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def spied(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            done.append(name)
            return real(*arguments)

        return noted

    monkeypatch.setattr(BaselineWriter, "add", spied("add", BaselineWriter.add))
    monkeypatch.setattr(Lanes, "put", spied("put", Lanes.put))
    nights.run(FEW)
    assert done[:2] == ["add", "put"]


def test_a_first_run_that_goes_on_notes_all_of_its_rows(stopped: Nights) -> None:
    assert stopped.again().steps[0].delta == DeltaCounts(new=300)
    assert stopped.sent([*FEW[1:], person(0, city="Oslo")]) == [change(0, city="Oslo")]


@pytest.fixture
def _small_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cio_etl.ledger.files.ROWS_AT_ONCE", SMALL)


@pytest.mark.usefixtures("_small_partitions")
def test_an_abandoned_first_run_may_be_counted_twice(nights: Nights, stopped: Nights, keys_here: None) -> None:
    """The second time, the ledger knows its rows, and has other partitions than those by which they were noted."""
    moment = GIVEN_UP["while an abandoned run is counted"]
    words = ("run", "job.yaml", "--restart")
    program = f"import cio_etl.ledger.files as files\nfiles.ROWS_AT_ONCE = {SMALL}\n" + KILLS_ITSELF
    killed = start_program(program, *moment, 1, *words, stderr=subprocess.DEVNULL)
    assert killed.wait() == -signal.SIGKILL
    there = stopped.people().keys()
    assert ids_sent(stopped, restart=True) == {str(number) for number in range(300)} - there
    assert stopped.sent(FEW) == []


def test_of_a_record_that_is_torn_the_rows_before_it_are_known(stopped: Nights) -> None:
    (file,) = delta_of(stopped).folder.rglob("*.arrows")
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 9)
    there = stopped.people().keys()
    assert ids_sent(stopped, restart=True) >= {str(number) for number in range(300)} - there
    assert stopped.sent(FEW) == []


def test_a_first_run_that_is_damaged_after_it_was_sent_says_so(
    stopped: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr(Ledger, "with_changes", raising)
        stopped.run(FEW)
    folder = delta_of(stopped).folder
    (file,) = folder.rglob("*.arrows")
    file.write_bytes(file.read_bytes()[:-9] + b"xxxxxxxxx")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DeltaDamaged):
        stopped.run(FEW)
    assert len(stopped.sent(FEW, restart=True)) == 300
    assert stopped.sent(FEW) == []


def raising(*arguments: object, **named: object) -> None:
    raise RuntimeError


def ids_sent(nights: Nights, **options: Any) -> set[str]:
    """Whom a night of the same rows sends."""
    nights.run(FEW, **options)
    return ids(nights)


@pytest.mark.parametrize("mode", ["changed", "mirror"])
def test_the_report_counts_whom_a_first_run_has_sent(nights: Nights, mode: str) -> None:
    nights.step = {"sync": mode} | ({"when_gone": "delete"} if mode == "mirror" else {})
    rows = [person(1), person(2, email="no address"), person(3), person(4, id=None), person(5, id=None)]
    report = nights.run(rows)
    assert delta_of(nights).head.is_baseline and report.steps[0].accepted == 2
    assert report.steps[0].delta == DeltaCounts(new=2, unreadable=2)


def test_a_first_run_that_stops_counts_whom_it_may_have_sent(stopped: Nights) -> None:
    with closing(state.open_store(Path(".etl"))) as store:
        (run,) = store.runs("job", limit=9)
        assert store.steps(run.run_id)[0].delta == DeltaCounts(new=300)


TIES = {
    "operation": "add_relationships",
    "identifiers": {"id": "id"},
    "relationships": [{"object": {"type": {"value": "1"}, "id": "company"}}],
}
REPEATED: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "once": ([person(1), person(2)], True),
    "twice": ([person(1), person(1)], False),
    "an address in two cases": ([{"mail": "Anna@example.com"}, {"mail": "anna@EXAMPLE.com"}], False),
    "twice without one": ([person(1), person(2, id=None), person(3, id=None)], True),
    "a relationship of each": ([{"id": "1", "company": "a"}, {"id": "1", "company": "b"}], True),
    "a relationship twice": ([{"id": "1", "company": "a"}] * 2, False),
}


@pytest.mark.parametrize("case", REPEATED)
def test_rows_of_one_subject_are_compared(nights: Nights, case: str) -> None:
    rows, is_baseline = REPEATED[case]
    if "mail" in rows[0]:
        nights.mapping = {"operation": "identify", "identifiers": {"email": "mail"}, "attributes": {"address": "mail"}}
    if "company" in rows[0]:
        nights.mapping = TIES
    nights.run(rows)
    assert delta_of(nights).head.is_baseline == is_baseline
    assert nights.sent(rows) == []
