"""What pages read of a state, in each kind of database: the same as a store says, bounded, and without writing."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from sqlalchemy import event, text

from cio_etl import state
from cio_etl.errors import StateError
from cio_etl.ledger import Generation
from cio_etl.model import Counts, LaneProgress, Reject
from cio_etl.state import Reader, Store, Where
from cio_etl.state.ledgers import LedgerMove
from tests.running import until
from tests.state.runs import FILES, RUN, begin, committer_of
from tests.ui.shop import pages_of

ACCEPTED = np.empty(0, dtype=np.int64)


def fill(store: Store, runs: int = 3, rejects: int = 4) -> None:
    """Runs of one job, each with a step and so many rejects of two reasons; the last one has closed one reject."""
    for number in range(runs):
        run = replace(
            RUN, run_id=f"r{number}", started_at=f"2026-11-{number % 28 + 1:02}T03:00:00+00:00", status="finished"
        )
        store.begin(run, [("people", "{}")])
        store.begin_step(run.run_id, 0, "print", FILES, 100, 1)
        counts = Counts(accepted=10, rejected=rejects)
        rows = [Reject(n, "too_long" if n % 2 else "no_date", "name" if n % 2 else None, "") for n in range(rejects)]
        committer_of(store, run.run_id, 0).commit(LaneProgress(0, 99, 99, counts), rows, ACCEPTED)
        store.end(run.run_id, "finished", 3, None)
    store.move_ledger(LedgerMove("nightly", "people", Generation(1, 7, "x").to_text(), "r0"))


@pytest.fixture(params=["folder", "server"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """The place of a state of each kind, which has runs."""
    server = request.param == "server"
    place: Where = SecretStr(request.getfixturevalue("postgres").address) if server else tmp_path / "state"
    with contextlib.closing(state.open_store(place)) as store:
        fill(store)
        with store._engine.begin() as connection:
            schema = "cio_etl." if server else ""
            change = f"UPDATE {schema}reject SET closed_by = 'r2', closed_as = 'accepted'"
            connection.execute(text(f"{change} WHERE run_id = 'r0' AND position = 1"))
    return place


@pytest.fixture
def reader(where: Where) -> Iterator[Reader]:
    with contextlib.closing(Reader(where)) as opened:
        yield opened


def test_a_state_on_a_file_system_that_nobody_can_write_is_read(tmp_path: Path) -> None:
    with contextlib.closing(state.open_store(tmp_path / "state")) as store:
        begin(store)
    with read_only(tmp_path / "state") as folder:
        with pytest.raises(StateError, match="Read-only file system"):
            state.open_store(folder)
        with contextlib.closing(state.open_to_read(folder)) as opened:
            assert [run.run_id for run in opened.runs()] == [RUN.run_id]
        assert not state.running(folder, RUN.job) and state.is_read_only(folder)
    assert not state.is_read_only(tmp_path / "state")


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """The folder, mounted so that nobody can write there."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a folder read-only")
    at = folder.with_name("mounted")
    at.mkdir()
    subprocess.run(["mount", "--bind", folder, at], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def test_a_reader_says_what_is_there(reader: Reader) -> None:
    assert reader.jobs() == ["nightly"]
    assert [run.run_id for run in reader.newest_runs(["nightly", "other"], 2)["nightly"]] == ["r2", "r1"]
    assert [run.run_id for run in reader.runs_before("nightly", "r2", 5)] == ["r1", "r0"]
    assert reader.counts(["r0", "r2"])["r2"] == Counts(accepted=10, rejected=4)
    assert {*reader.records(["r0", "gone"])} == {"r0"}
    assert [(ledger.job, ledger.step, ledger.run_id) for ledger in reader.all_ledgers()] == [
        ("nightly", "people", "r0")
    ]
    first, last = reader.rejects_after("r0", 0, "too_long", "name", 0, 5)
    assert (first.position, first.closed_by, last.position) == (1, "r2", 3)
    assert [row.position for row in reader.rejects_after("r0", 0, "no_date", None, 0, 1)] == [0]
    assert reader.open_of_runs(["r0", "r1", "gone"]) == {"r0": 3, "r1": 4}
    assert [each.words for each in reader.closed_by_runs(["r1", "r2"])] == ["accepted by r2"]
    assert [(each.reason, each.rows, each.runs[0]) for each in reader.open_reasons()] == [
        ("no_date", 6, "r0"),
        ("too_long", 5, "r0"),
    ]


def test_a_reader_cannot_write(reader: Reader) -> None:
    with pytest.raises(StateError):
        reader.end("r0", "failed", 1, "no")
    assert reader.runs()[2].status == "finished"


def test_a_reader_sees_who_is_at_work_and_holds_nobody_up(reader: Reader, where: Where) -> None:
    before = reader.stamp()
    assert not reader.is_held("nightly")
    with state.hold(where, "nightly"):
        assert reader.is_held("nightly") and not reader.is_held("other")
    until(lambda: not reader.is_held("nightly"))  # a server notices the end of a session a moment later
    with contextlib.closing(state.open_store(where)) as store:
        store.begin(replace(RUN, run_id="new"), [("people", "{}")])
    assert reader.stamp() != before


@pytest.mark.parametrize("version", [4, 99])
def test_a_state_of_another_schema_is_not_migrated_but_explained(tmp_path: Path, version: int) -> None:
    state.open_store(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StateError, match="version of this program") as raised:
        Reader(tmp_path)
    assert ("cio-etl status" if version == 4 else "upgrade") in raised.value.remedy
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (version,)


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="it holds no state"):
        Reader(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def statements_of(page: Callable[[], str], reader: Reader) -> int:
    """How many statements a page needs."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(reader._engine, "before_cursor_execute", note)
    assert len(page()) < 60_000
    event.remove(reader._engine, "before_cursor_execute", note)
    return len(asked)


def test_a_page_asks_as_much_of_many_runs_as_of_few(tmp_path: Path) -> None:
    asked = []
    for runs in (2, 40):
        with contextlib.closing(state.open_store(tmp_path / str(runs))) as store:
            fill(store, runs)
        pages = pages_of(tmp_path / str(runs))
        pages.rejects(None)
        pages.site.rejects._counted._due_at = math.inf  # only what is counted once is behind this cache
        every = (
            partial(pages.home, None),
            partial(pages.rejects, None),
            partial(pages.job, "nightly", None),
            partial(pages.run, "r1"),
            partial(pages.rejected, "r1", "people", "too_long", "name", 0),
            pages.plans,
        )
        asked.append([statements_of(page, pages.site.reader) for page in every])
    assert asked[0] == asked[1] and max(asked[0]) < 25
