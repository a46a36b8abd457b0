"""A state that several machines share: whose a lane is, who works on a job, and one rate for all processes of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from cio_etl import state
from cio_etl.errors import JobLocked, LanesTaken, StateError
from cio_etl.load.rate import DatabaseRateLimiter
from cio_etl.model import Counts, LaneProgress, Reject
from cio_etl.state import Budget, Leases, Store, tables
from cio_etl.state import lock_server as locks
from cio_etl.state.commit import Committer
from cio_etl.state.connect import open_engine
from cio_etl.state.leases import renewing
from tests import databases
from tests.fork_server import Process
from tests.load.rate.test_shared_limiter import most_in
from tests.running import environment, start_program, until
from tests.state.runs import FILES, RUN
from tests.state.test_open import add_nights, check_nights

LEASE_S = 1.0


@pytest.fixture
def address(postgres: databases.Database) -> SecretStr:
    return SecretStr(postgres.address)


@pytest.fixture
def store(address: SecretStr) -> Iterator[Store]:
    with contextlib.closing(state.open_store(address)) as opened:
        yield opened


def begin(store: Store, lanes: int = 4, lease_s: float | None = None) -> None:
    store.begin(RUN, [("people", "{}"), ("events", "{}")])
    store.begin_step(RUN.run_id, 0, "print", FILES, 3, lanes, lease_s)


def worker(store: Store, name: str, lease_s: float = LEASE_S) -> Leases:
    return store.leases(RUN.run_id, 0, f"{name}:1:0", lease_s)


# ---------------------------------------------------------------- leases


def test_a_lane_belongs_to_one_worker_until_it_is_done_or_released(store: Store) -> None:
    begin(store)
    one, other = worker(store, "one"), worker(store, "other")
    assert one.claim([0, 1, 2], "print") == [0, 1, 2]
    assert other.claim(range(4), "print") == [3]
    assert other.summary() == state.leases.LaneSummary(4, 0, ())
    one.finish([0])
    one.release()
    assert other.summary() == state.leases.LaneSummary(4, 1, (1, 2))
    assert other.claim([0, 1, 2], "print") == [1, 2]
    assert other.epochs == {1: 2, 2: 2}


def test_assigned_lanes_are_reserved_for_the_length_of_a_lease(store: Store) -> None:
    begin(store, lease_s=LEASE_S)
    early, late = worker(store, "early"), worker(store, "late")
    assert early.claim([0, 1], "print") == [0, 1]
    assert early.summary().free == ()
    assert late.claim([2, 3], "print") == [2, 3]  # they are assigned to it
    late.release()
    assert early.summary().free == (2, 3)


@pytest.mark.fault("P4")
def test_a_worker_whose_lease_expired_can_commit_nothing_more(store: Store) -> None:
    begin(store)
    zombie, heir = worker(store, "zombie"), worker(store, "heir")
    zombie.claim([0, 1], "print")
    committer = Committer(zombie)
    committer.commit(LaneProgress(0, 1, 2, Counts(accepted=1)), ())
    assert heir.claim([0, 1], "print") == []
    until(lambda: heir.summary().free == (0, 1, 2, 3))
    assert heir.claim([0], "print") == [0]
    with pytest.raises(LanesTaken) as lost:
        committer.commit(LaneProgress(0, 2, 3, Counts(accepted=2)), [Reject(2, "x")])
    assert str(lost.value) == "process 1 on heir has taken lanes 0 over"
    with pytest.raises(LanesTaken):  # not even the lane that nobody claimed
        committer.commit(LaneProgress(1, 2, 3), ())
    with pytest.raises(LanesTaken):
        zombie.check()
    with pytest.raises(LanesTaken):
        zombie.finish([0, 1])
    zombie.release()
    assert store.lane_progress(RUN.run_id, 0)[0] == LaneProgress(0, 1, 2, Counts(accepted=1))
    assert store.rejects(RUN.run_id, 0).is_empty()
    Committer(heir).commit(LaneProgress(0, 5, 6), ())
    assert heir.claim(range(4), "print") == [0, 1, 2, 3]


def test_only_one_of_many_workers_gets_an_abandoned_lane(store: Store) -> None:
    begin(store, lanes=8)
    worker(store, "gone", 0.05).claim(range(8), "print")
    time.sleep(0.1)
    taken: list[int] = []
    askers = [worker(store, f"w{number}") for number in range(12)]
    threads = [
        threading.Thread(target=lambda each=each: taken.extend(each.claim(range(8), "print"))) for each in askers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(8))
    assert sorted(lane for each in askers for lane in each.epochs) == list(range(8))


def test_leases_are_renewed_while_the_block_lasts_and_no_longer(store: Store) -> None:
    begin(store)
    one, other, stops = worker(store, "one"), worker(store, "other"), []
    one.claim(range(4), "print")
    with renewing(one, lambda: stops.append("stopped"), lambda: True):
        time.sleep(2 * LEASE_S)
        assert other.claim(range(4), "print") == []
        one.check()
    until(lambda: other.summary().free == (0, 1, 2, 3), 5.0)
    assert other.claim(range(4), "print") == [0, 1, 2, 3]
    with renewing(one, lambda: stops.append("lost"), lambda: True):
        until(lambda: stops == ["lost"])
    with renewing(other, lambda: stops.append("ended"), lambda: False):
        until(lambda: stops == ["lost", "ended"])


def test_a_worker_of_an_earlier_start_of_a_step_can_neither_claim_nor_commit(store: Store) -> None:
    begin(store)
    before = worker(store, "before")
    before.claim([0], "print")
    store.begin_step(RUN.run_id, 0, "another", FILES, 4, 4)
    with pytest.raises(StateError, match="another worker started the step again, over other rows"):
        before.claim([1], "print")
    now = worker(store, "now")
    now.claim([0], "another")
    assert now.epochs[0] > 1  # the earlier worker's epoch is not used again
    with pytest.raises(LanesTaken):
        Committer(before).commit(LaneProgress(0, 1, 2), ())


def test_released_lanes_may_not_be_sent(store: Store) -> None:
    begin(store)
    leases = worker(store, "one", 60.0)
    leases.claim([0, 1], "print")
    leases.check()
    leases.release()
    with pytest.raises(LanesTaken):
        leases.check()


# ---------------------------------------------------------------- older schemas


def test_the_tables_of_an_older_schema_are_migrated(address: SecretStr, postgres: databases.Database) -> None:
    with contextlib.closing(state.open_store(address)) as opened:
        begin(opened)
        Committer(worker_of_all(opened)).commit(LaneProgress(0, 1, 2), [Reject(1, "row_ragged")])
    with psycopg.connect(postgres.address, autocommit=True) as db:  # as version 9 had them
        db.execute("SET search_path TO cio_etl")
        for name in ("closed_as", "closed_note", "subject", "content", "since"):
            db.execute(f"ALTER TABLE reject DROP COLUMN {name} CASCADE")
        db.execute("DROP INDEX IF EXISTS reject_open, reject_closed, reject_closed_of")
        db.execute("DROP TABLE salt")
        db.execute("UPDATE version SET number = 9")
    for _ in range(2):
        with contextlib.closing(state.open_store(address)) as opened:
            assert opened.rejects(RUN.run_id, 0)["subject"].to_list() == [None]
            assert opened.salt() == opened.salt() > 0
            assert [each.rows for each in opened.open_reasons("nightly")] == [1]


def test_rejects_of_schema_10_are_open_since_the_night_that_began_their_chain(
    address: SecretStr, postgres: databases.Database
) -> None:
    state.open_store(address).close()
    with psycopg.connect(postgres.address, autocommit=True) as db:  # as version 10 had them
        db.execute("SET search_path TO cio_etl")
        db.execute("ALTER TABLE reject DROP COLUMN since CASCADE")
        db.execute("DROP INDEX reject_closed_of")
        db.execute(
            "CREATE INDEX reject_open ON reject (run_id, step, reason, field, closed_by, subject, content) "
            "WHERE closed_by IS NULL"
        )
        add_nights(db.execute)
        db.execute("UPDATE version SET number = 10")
    with contextlib.closing(state.open_store(address)) as opened:
        check_nights(opened)


def test_the_table_of_earlier_ends_is_added_to_schema_11(address: SecretStr, postgres: databases.Database) -> None:
    with contextlib.closing(state.open_store(address)) as opened:
        begin(opened)
        opened.end(RUN.run_id, "stopped", 69, "a is out of reach")
    with psycopg.connect(postgres.address, autocommit=True) as db:  # as version 11 had them
        db.execute("DROP TABLE cio_etl.earlier_end")
        db.execute("UPDATE cio_etl.version SET number = 11")
    with contextlib.closing(state.open_store(address)) as opened:
        opened.end(RUN.run_id, "running", None, None)
        assert opened.earlier_ends([RUN.run_id])[RUN.run_id].words == "stopped once"


def test_the_indexes_of_open_and_of_closed_rejects_have_no_others(store: Store, postgres: databases.Database) -> None:
    with psycopg.connect(postgres.address) as db:
        found = db.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'reject'").fetchall()
    conditions = {name: made.partition(" WHERE ")[2] for name, made in found}
    assert {name: condition for name, condition in conditions.items() if condition} == {
        "reject_open": "(closed_by IS NULL)",
        "reject_closed": "(closed_by IS NOT NULL)",
        "reject_closed_of": "(closed_by IS NOT NULL)",
    }
    assert "reject_by_step" in conditions


def worker_of_all(store: Store) -> Leases:
    leases = worker(store, "one", 60.0)
    leases.claim(range(4), "print")
    return leases


# ---------------------------------------------------------------- broken connections


@pytest.mark.fault("P4")
def test_a_commit_survives_a_broken_connection(store: Store, postgres: databases.Database) -> None:
    begin(store)
    leases = worker(store, "one", 60.0)
    leases.claim([0], "print")
    committer = Committer(leases)
    for place in range(1, 6):
        with psycopg.connect(postgres.address, autocommit=True) as db:  # every idle connection of the pool
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        committer.commit(LaneProgress(0, place, place + 1), [Reject(place, "x")])
    assert store.lane_progress(RUN.run_id, 0)[0] == LaneProgress(0, 5, 6)
    assert store.rejects(RUN.run_id, 0)["position"].to_list() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("done", [True, False], ids=["was-done", "was-not"])
def test_a_commit_in_doubt_is_neither_lost_nor_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    begin(store)
    leases = worker(store, "one", 60.0)
    leases.claim([0], "print")
    committer, write, calls = Committer(leases), Committer._write_in, []

    def cut_off(self: Committer, connection: Any, tickets: Any) -> None:
        calls.append(1)
        write(self, connection, tickets)
        if len(calls) == 1:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            if done:
                connection.connection.driver_connection.commit()
            with store._engine.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            connection.execute(text("SELECT 1"))  # finds the connection gone

    monkeypatch.setattr(Committer, "_write_in", cut_off)
    committer.commit(LaneProgress(0, 1, 2), [Reject(1, "x")])
    assert len(calls) == (1 if done else 2)
    assert store.lane_progress(RUN.run_id, 0)[0] == LaneProgress(0, 1, 2)
    assert store.rejects(RUN.run_id, 0).height == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://127.0.0.1:1/x", "127.0.0.1:1/x: the state database is out of reach"),
        ("mysql://u:canary@127.0.0.1/x", "state.database: it is not the address of a PostgreSQL database"),
        ("no address, canary", "state.database: it is not the address of a PostgreSQL database"),
    ],
)
def test_an_unusable_server_is_named_without_its_password(url: str, message: str) -> None:
    with pytest.raises(StateError) as refused:
        state.open_store(SecretStr(url))
    assert str(refused.value) == message and "canary" not in refused.value.remedy


def test_a_missing_database_is_named(postgres: databases.Database) -> None:
    with pytest.raises(StateError, match="the database does not exist"):
        state.open_store(SecretStr(f"{postgres.address}-not-there"))


# ---------------------------------------------------------------- the tables


def test_several_processes_create_the_tables_once(address: SecretStr) -> None:
    wrong: list[BaseException] = []

    def come() -> None:
        try:
            state.open_store(address).close()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.fault("P18")
def test_tables_of_a_newer_version_are_refused(address: SecretStr, store: Store) -> None:
    assert state.exists(address)
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE cio_etl.version SET number = 99"))
    with pytest.raises(StateError, match=r"written by a newer version of this program \(schema 99\)"):
        state.open_store(address)


def test_exists_creates_no_tables(address: SecretStr) -> None:
    assert not state.exists(address)
    assert not state.exists(address)
    state.open_store(address).close()
    assert state.exists(address)


# ---------------------------------------------------------------- the lock

HOLDER = """
import os, sys, time
from pydantic import SecretStr
from cio_etl import state
with state.hold(SecretStr(os.environ["ETL_STATE_URL"]), "nightly", shared=sys.argv[1] == "shared"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def holder(address: SecretStr, how: str = "alone") -> Iterator[Process]:
    surroundings = environment() | {"ETL_STATE_URL": address.get_secret_value()}
    with start_program(HOLDER, how, env=surroundings) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.mark.fault("P5")
def test_a_lock_on_a_server_names_its_owner_and_ends_with_it(address: SecretStr) -> None:
    with holder(address) as process:
        assert state.running(address, "nightly") and not state.running(address, "weekly")
        for shared in (False, True):
            with pytest.raises(JobLocked) as refused, state.hold(address, "nightly", shared=shared):
                pass
            assert refused.value.facts["pid"] == process.pid
        process.send_signal(signal.SIGKILL)
        until(lambda: not state.running(address, "nightly"), 5.0)
    with state.hold(address, "nightly"):
        assert state.running(address, "nightly")
    assert not state.running(address, "nightly")


def test_workers_share_a_lock_and_exclude_a_single_run(address: SecretStr) -> None:
    alone = state.hold(address, "nightly")
    with holder(address, "shared"), state.hold(address, "nightly", shared=True), pytest.raises(JobLocked), alone:
        pass


def test_a_suspended_owner_loses_its_lock(address: SecretStr, monkeypatch: pytest.MonkeyPatch) -> None:
    program = HOLDER.replace(
        "import os", "import cio_etl.state.lock_server as s; s.IDLE_S = 1; s.PING_EVERY_S = 0.2; import os"
    )
    monkeypatch.setattr(sys.modules[__name__], "HOLDER", program)
    with holder(address) as process:
        time.sleep(2.0)
        assert state.running(address, "nightly")  # it is silent, and alive
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: not state.running(address, "nightly"), 5.0)
        os.kill(process.pid, signal.SIGCONT)
    assert locks.IDLE_S > 4 * locks.PING_EVERY_S


# ---------------------------------------------------------------- one rate for all processes

TAKER = """
import os, sys, time
from pathlib import Path
from pydantic import SecretStr
from cio_etl.load.rate import DatabaseRateLimiter
from cio_etl.state import Budget
pause, times = float(sys.argv[1]), sys.argv[2]
slots = DatabaseRateLimiter(Budget(SecretStr(os.environ["ETL_STATE_URL"]), "workspace"), 100.0)
out = open(times, "a", buffering=1)
while not Path("enough").exists():
    slot = slots.reserve(time.monotonic())
    time.sleep(max(slot - time.monotonic() - 0.1, 0.0) + pause)
    out.write(f"{slot!r}\\n")
"""


def takers(address: SecretStr, pauses: list[float]) -> list[Process]:
    """Processes that take slots, at most 100 a second together, until there is a file "enough"."""
    surroundings = environment() | {"ETL_STATE_URL": address.get_secret_value()}
    return [start_program(TAKER, pause, f"{number}.times", env=surroundings) for number, pause in enumerate(pauses)]


def taken() -> list[float]:
    return sorted(float(line) for path in Path().glob("*.times") for line in path.read_text().splitlines())


@pytest.mark.parametrize("pauses", [[0.0] * 4, [0.0, 0.0, 0.05, 0.3]], ids=["even", "uneven"])
def test_four_processes_share_one_rate(store: Store, address: SecretStr, pauses: list[float]) -> None:
    processes = takers(address, pauses)
    until(lambda: len(taken()) > 100, 60.0)
    if pauses == [0.0] * 4:
        processes[0].kill()
        before = len(taken())
        until(lambda: len(taken()) > before + 100, 60.0)
    Path("enough").touch()
    for process in processes:
        process.wait(60)
    assert most_in(1.0, taken()) <= 105


# Takes slots as fast as it can, five at once, so that the schedule is ahead of the clock.
BUSY = """
import os, sys
from pydantic import SecretStr
from cio_etl.state import Budget
budget = Budget(SecretStr(os.environ["ETL_STATE_URL"]), "workspace")
for _ in range(int(sys.argv[1])):
    budget.take(5, 0.1, 0.0)
"""


def test_no_slot_is_lost_while_four_processes_take_them(store: Store, address: SecretStr) -> None:
    surroundings = environment() | {"ETL_STATE_URL": address.get_secret_value()}
    with contextlib.closing(Budget(address, "workspace")) as budget:
        budget.take(1, 600.0, 0.0)  # from here on the schedule is ahead of the clock, however slow this machine is
        before = next_slot(address)
        for process in [start_program(BUSY, 40, env=surroundings) for _ in range(4)]:
            assert process.wait(60) == 0
        assert next_slot(address) - before == pytest.approx(4 * 40 * 5 * 0.1, abs=0.001)


def next_slot(address: SecretStr) -> float:
    """The time of the next free slot, by the database's row."""
    engine = open_engine(address)
    try:
        with engine.connect() as connection:
            return float(connection.execute(select(tables.budget.c.next_at)).scalar_one())
    finally:
        engine.dispose()


class Elsewhere:
    """A schedule that is asked over a long way, in a time of the test's own."""

    def __init__(self) -> None:
        self.now, self.next_at, self.asked = 0.0, 0.0, 0

    def take(self, count: int, gap_s: float, ahead_s: float) -> float:
        self.asked += 1
        first = max(self.next_at, self.now + ahead_s)
        self.next_at = first + count * gap_s
        away = first - self.now
        self.now += 0.01
        return away

    def close(self) -> None:
        pass


def test_a_busy_process_takes_many_slots_at_once_and_an_idle_one_few() -> None:
    far = Elsewhere()
    slots = DatabaseRateLimiter(far, 100.0, lambda: far.now)
    times = []
    for _ in range(1_000):
        times.append(slots.reserve(far.now))
        far.now = max(far.now, times[-1] - 0.05)
    assert most_in(1.0, times) <= 100 and len(times) / (times[-1] - times[0]) > 95
    assert far.asked < 0.25 * len(times)
    far.asked, before, began = 0, far.next_at, far.now
    for _ in range(100):
        far.now += 0.1
        slots.reserve(far.now)
    assert (far.next_at - before) / (far.now - began) < 1.2 and far.asked >= 95
    assert far.next_at - far.now < 0.1  # nothing was taken for later


def test_a_run_record_has_every_column_of_its_table(store: Store) -> None:
    begin(store)
    later = replace(RUN, run_id="nightly-2", started_at="2026-11-20T00:00:00+00:00")
    store.begin(later, [("people", "{}")])
    assert [run.run_id for run in store.runs()] == [
        "nightly-2",
        "nightly-1",
    ]  # in the order of their start, whatever the clocks are
