"""What is committed is there, all of it or nothing, and nobody else can read it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import SecretStr

from cio_etl import state
from cio_etl.errors import JobLocked, StateError
from cio_etl.model import Counts, Finding, LaneProgress, Reject, RejectCount, SourceFile, Watermark, WatermarkValue
from cio_etl.state import Again, Bookmark, RunRecord, Store
from cio_etl.state.filesystem import file_system
from cio_etl.state.marks import Marks
from tests.running import spawn

RUN = RunRecord(
    "nightly-1",
    "nightly",
    "jobs/nightly.yaml",
    "running",
    "2026-11-21T00:00:00+00:00",
    None,
    None,
    None,
    4,
    "h",
    None,
    "u",
)
FILES = (SourceFile("a.csv", 10, "0" * 64, 3),)


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(state.open_store(tmp_path / "state")) as opened:
        yield opened


@pytest.fixture(params=["folder", "server"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The state in each kind of database: what holds of one holds of the other."""
    if request.param == "folder":
        yield request.getfixturevalue("in_folder")
        return
    address = SecretStr(request.getfixturevalue("postgres").address)
    with contextlib.closing(state.open_store(address)) as opened:
        yield opened


def begun(store: Store, lanes: int = 4) -> Marks:
    store.begin(RUN, [("people", "{}"), ("events", "{}")])
    store.begin_step(RUN.run_id, 0, "print", FILES, 3, lanes)
    return marks_of(store, RUN.run_id, 0)


def marks_of(store: Store, run_id: str, step: int, again: Again | None = None) -> Marks:
    """What commits the lanes of a step, all of which are taken."""
    leases = store.leases(run_id, step, "here:1:0")
    leases.claim(range(256), "print")
    return store.marks(leases, again)


def test_a_run_and_its_steps_come_back_as_they_were(store: Store) -> None:
    begun(store)
    assert store.run(RUN.run_id) == RUN
    people, events = store.steps(RUN.run_id)
    assert (people.name, people.status, people.fingerprint, people.files, people.rows) == (
        "people",
        "running",
        "print",
        FILES,
        3,
    )
    assert (events.name, events.status, events.fingerprint, events.files) == ("events", "waiting", None, None)
    assert store.lane_progress(RUN.run_id, 0) == [LaneProgress(lane) for lane in range(4)]
    assert store.lane_progress(RUN.run_id, 1) == []


def test_a_mark_its_counts_and_its_rejects_are_committed_together(store: Store) -> None:
    marks = begun(store)
    mark = LaneProgress(
        2,
        40,
        80,
        Counts(
            accepted=3,
            rejected=2,
            skipped=1,
            possibly_sent_twice=4,
            batches=5,
            requests=6,
            retries=7,
            bytes_sent=8,
        ),
    )
    marks.commit(mark, [Reject(7, "row_ragged"), Reject(3, "refused_invalid", "attributes.x", "no")])
    assert store.lane_progress(RUN.run_id, 0)[2] == mark
    expected = {
        "position": [3, 7],
        "reason": ["refused_invalid", "row_ragged"],
        "field": ["attributes.x", None],
        "message": ["no", ""],
        "reject_id": [2, 1],
        "closed_by": [None, None],
    }
    assert store.rejects(RUN.run_id, 0).to_dict(as_series=False) == expected


@pytest.mark.fault("P2")
def test_what_cannot_be_committed_whole_is_not_committed_at_all(store: Store) -> None:
    marks = begun(store)
    with pytest.raises(StateError):
        marks.commit(LaneProgress(1, 40, 80, Counts(accepted=3)), [Reject(1, None)])  # type: ignore[arg-type]
    assert store.lane_progress(RUN.run_id, 0)[1] == LaneProgress(1)
    assert store.rejects(RUN.run_id, 0).is_empty()


def test_rejects_that_are_sent_again_are_closed_with_the_mark_that_acknowledges_them(store: Store) -> None:
    begun(store).commit(LaneProgress(0, 3), [Reject(position, "row_ragged") for position in range(4)])
    ids = store.rejects(RUN.run_id, 0)["reject_id"].to_numpy()
    store.begin(replace(RUN, run_id="replay-1", job="nightly.replay"), [("people", "{}")])
    store.begin_step("replay-1", 0, "print", FILES, 3, 1)
    again = Again(ids[[3, 0, 1, 2]])  # by the replay's positions: row 0 of it was row 3
    marks = marks_of(store, "replay-1", 0, again)
    marks.commit(LaneProgress(0, 1), [Reject(1, "email_malformed", "attributes.email")], np.array([0]))
    rejects = store.rejects(RUN.run_id, 0)
    assert rejects["closed_by"].to_list() == [None, None, None, "replay-1"]
    assert rejects["reason"].to_list() == ["email_malformed", "row_ragged", "row_ragged", "row_ragged"]
    assert (store.open_rejects(RUN.run_id), store.open_rejects("replay-1")) == (3, 0)
    store.close_left_out("replay-1", 0, again)  # all but the one that is still wrong
    assert store.rejects(RUN.run_id, 0)["closed_by"].to_list() == [None, "replay-1", "replay-1", "replay-1"]


def test_no_reject_is_closed_when_its_mark_cannot_be_committed(store: Store) -> None:
    begun(store).commit(LaneProgress(0, 3), [Reject(0, "row_ragged")])
    again = Again(store.rejects(RUN.run_id, 0)["reject_id"].to_numpy())
    with pytest.raises(StateError):
        marks_of(store, RUN.run_id, 1, again).commit(LaneProgress(0, 1), [Reject(0, None)], np.array([0]))  # type: ignore[arg-type]
    assert store.open_rejects(RUN.run_id) == 1


def test_a_rehearsal_of_rejects_changes_none_of_them(store: Store) -> None:
    begun(store).commit(LaneProgress(0, 3), [Reject(0, "row_ragged"), Reject(1, "row_ragged")])
    before = store.rejects(RUN.run_id, 0)
    again = Again(before["reject_id"].to_numpy(), closes=False)
    store.begin(replace(RUN, run_id="replay-1"), [("people", "{}")])
    store.begin_step("replay-1", 0, "print", FILES, 3, 1)
    marks_of(store, "replay-1", 0, again).commit(LaneProgress(0, 1), [Reject(1, "x")], np.array([0]))
    store.close_left_out("replay-1", 0, again)
    assert store.rejects(RUN.run_id, 0).equals(before)


@pytest.mark.fault("P4")
def test_after_a_failed_commit_nobody_commits_on_that_handle_again(store: Store) -> None:
    marks = begun(store)
    with pytest.raises(StateError) as first:
        marks.commit(LaneProgress(1, 40), [Reject(1, None)])  # type: ignore[arg-type]
    with pytest.raises(StateError) as second:
        marks.commit(LaneProgress(2, 40), [])
    assert first.value.exit_code == 74 and second.value is first.value
    assert store.lane_progress(RUN.run_id, 0)[2] == LaneProgress(2)


def test_lanes_that_commit_at_once_are_all_on_the_disk_when_they_return(in_folder: Store, tmp_path: Path) -> None:
    marks = begun(in_folder, lanes=16)
    wrong: list[int] = []

    def work(lane: int) -> None:
        with sqlite3.connect(tmp_path / "state" / "state.db") as other:
            for position in range(30):
                marks.commit(LaneProgress(lane, position, position + 1), [Reject(position, f"r{lane}")])
                query = "select acked_through from lane where run_id = ? and step = 0 and lane = ?"
                if other.execute(query, (RUN.run_id, lane)).fetchone() != (position,):
                    wrong.append(lane)
        other.close()

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert in_folder.rejects(RUN.run_id, 0).height == 16 * 30


def test_every_failed_lane_hears_of_it(store: Store) -> None:
    marks = begun(store, lanes=8)
    heard: list[int] = []

    def work(lane: int) -> None:
        try:
            for position in range(50):
                marks.commit(LaneProgress(lane, position), [Reject(1, None)] if lane == 3 and position == 9 else [])  # type: ignore[arg-type]
        except StateError:
            heard.append(lane)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 3 in heard
    committed = [mark.acked_through for mark in store.lane_progress(RUN.run_id, 0)]
    assert all(through == 49 for lane, through in enumerate(committed) if lane not in heard)


def test_rejects_are_counted_by_reason_and_field_the_most_frequent_first(store: Store) -> None:
    marks = begun(store)
    rejects = [Reject(n, "email_malformed", "attributes.email") for n in (9, 4, 6, 5)]
    marks.commit(LaneProgress(0, 9), [*rejects, Reject(1, "row_ragged")])
    counts = store.reject_counts(RUN.run_id, 0)
    assert [(c.reason, c.field, c.rows, c.first) for c in counts] == [
        ("email_malformed", "attributes.email", 4, (4, 5, 6)),
        ("row_ragged", None, 1, (1,)),
    ]


def test_an_unfinished_run_is_found_and_a_finished_one_is_not(store: Store) -> None:
    begun(store)
    for status, resumable in (
        ("running", True),
        ("stopped", True),
        ("failed", True),
        ("finished", False),
        ("abandoned", False),
    ):
        store.end(RUN.run_id, status, None, None)
        assert (store.unfinished("nightly") is not None) == resumable
    assert store.unfinished("another") is None


def test_only_the_newest_run_can_be_resumed(store: Store) -> None:
    begun(store)
    later = replace(RUN, run_id="nightly-2", started_at="2026-11-22T00:00:00+00:00", status="finished")
    store.begin(later, [("people", "{}")])
    assert store.unfinished("nightly") is None
    assert [run.run_id for run in store.runs("nightly")] == ["nightly-2", "nightly-1"]


def test_the_account_adds_up_over_lanes_and_processes(store: Store) -> None:
    marks = begun(store)
    marks.commit(LaneProgress(0, 2, 2, Counts(accepted=1, skipped=1, requests=2)), [])
    marks.commit(LaneProgress(3, 1, 1, Counts(rejected=1, retries=1)), [Reject(1, "row_ragged")])
    counts = [RejectCount("row_ragged", None, 1, ("a.csv:3",))]
    store.leave_step(RUN.run_id, 0, finished=False, rows_read=2, seconds=1.5, rejects=counts)
    store.leave_step(RUN.run_id, 0, finished=True, rows_read=3, seconds=2.0, rejects=counts)
    step = state.account(store, RUN, "cio-etl run x").steps[0]
    assert (
        step.rows_read,
        step.counts.accepted,
        step.counts.rejected,
        step.counts.skipped,
        step.counts.requests,
        step.counts.retries,
    ) == (
        3,
        1,
        1,
        1,
        2,
        1,
    )
    assert step.counts.settled == step.rows_read
    assert (step.seconds, step.rejects) == (3.5, tuple(counts))


def test_the_state_is_for_its_owner_alone(in_folder: Store, tmp_path: Path) -> None:
    begun(in_folder)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes["state.db"] == 0o600 and modes["state.db-wal"] == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.fault("P3")
def test_sqlite_writes_ahead_and_waits_for_the_disk(in_folder: Store) -> None:
    with in_folder._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL


@pytest.mark.fault("P18")
def test_a_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    state.open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StateError, match=r"written by a newer version of this program \(schema 99\)"):
        state.open_store(tmp_path)


@pytest.mark.fault("P18")
def test_a_state_of_the_schema_before_is_migrated_and_copied_first(tmp_path: Path) -> None:
    load_state(tmp_path, "v4.sql")
    for _ in range(2):  # the second time there is nothing to migrate
        opened = state.open_store(tmp_path)
        run = opened.unfinished("nightly")
        assert run is not None and (run.run_id, run.since) == ("nightly-1", None)
        assert [lane.acked_through for lane in opened.lane_progress("nightly-1", 0)] == [1, -1]
        assert opened.bookmark("nightly", "people") == Bookmark()
        opened.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.v4.db")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (4,)
        assert copy.execute("SELECT run_id FROM run").fetchall() == [("nightly-1",)]
    assert stat.S_IMODE((tmp_path / "state.v4.db").stat().st_mode) == 0o600


def test_a_state_of_the_current_schema_has_its_runs_and_the_killed_one_can_be_resumed(tmp_path: Path) -> None:
    """`v5.sql` is a dump of a state that an earlier version of this program wrote."""
    load_state(tmp_path, "v5.sql")
    with contextlib.closing(state.open_store(tmp_path)) as opened:
        assert [run.run_id for run in opened.runs("nightly")] == ["nightly-1", "nightly-0"]
        run = opened.unfinished("nightly")
        assert run is not None and run.run_id == "nightly-1"
        first = Counts(accepted=1, rejected=1, batches=1, requests=1, bytes_sent=640)
        assert opened.lane_progress("nightly-1", 0) == [LaneProgress(0, 1, 2, first), LaneProgress(1, -1, 0)]
        assert opened.rejects("nightly-1", 0)["reason"].to_list() == ["email_malformed"]
        watermark = Watermark(datetime(2026, 11, 19, tzinfo=UTC), frozenset({"0" * 32}))
        assert opened.bookmark("nightly", "people") == Bookmark(watermark, {"id": "numbers"}, "origin")
        resumed = marks_of(opened, "nightly-1", 0)
        resumed.commit(LaneProgress(0, 2, 2, first + Counts(accepted=1)), [])
        assert opened.lane_progress("nightly-1", 0)[0].counts.settled == 3
    assert not list(tmp_path.glob("state.v*.db"))


@pytest.mark.fault("P18")
def test_a_state_from_before_the_first_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    load_state(tmp_path, "v4.sql", version=3)
    with pytest.raises(StateError, match=r"before its first release \(schema 3\)"):
        state.open_store(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)


def load_state(folder: Path, dump: str, version: int | None = None) -> None:
    """Makes a state from a dump in schemas/; `version` replaces the number of its schema."""
    with contextlib.closing(sqlite3.connect(folder / "state.db")) as database:
        database.executescript((Path(__file__).parent / "schemas" / dump).read_text())
        if version is not None:
            database.execute(f"PRAGMA user_version = {version}")


def test_what_a_finished_step_leaves_is_there_for_the_next_run(store: Store) -> None:
    begun(store)
    mark = Watermark(datetime(2026, 11, 21, 3, tzinfo=UTC), frozenset({"0" * 32}))
    leave = partial(store.leave_step, RUN.run_id, 0, rows_read=0, seconds=0.0, rejects=())
    leave(finished=False, left=Bookmark(mark, {"a": "text"}))
    assert store.bookmark("nightly", "people") == Bookmark()
    leave(finished=True, left=Bookmark(mark, {"a": "text"}))
    assert store.bookmark("nightly", "people") == Bookmark(mark, {"a": "text"})
    leave(finished=True, left=Bookmark(None, {"a": "numbers"}))  # it is over, and stays as it was
    assert store.bookmark("nightly", "people") == Bookmark(mark, {"a": "text"})
    assert store.bookmark("nightly", "events") == store.bookmark("weekly", "people") == Bookmark()


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 11, 21, 3, 4, 5, 678901, tzinfo=UTC),
        datetime(2026, 11, 21, 3, 4, 5, 678901),
        date(2026, 11, 21),
        -(2**63),
        Decimal("1234567890123456789012345678901234.5678"),
        "2026-11-21 03:04",
    ],
)
def test_a_mark_is_stored_exactly(value: WatermarkValue) -> None:
    mark = Watermark(value, frozenset({"a" * 32, "b" * 32}))
    again = Watermark.of_text(mark.to_text())
    assert again == mark
    assert type(again.value) is type(value)


@pytest.mark.fault("P17")
def test_a_damaged_state_is_told_and_kept(tmp_path: Path) -> None:
    opened = state.open_store(tmp_path)
    begun(opened)
    opened.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[4_096 : 3 * 4_096] = os.urandom(2 * 4_096)
    path.write_bytes(content)
    with pytest.raises(StateError) as raised:
        state.open_store(tmp_path)
    assert raised.value.exit_code == 74 and "damaged" in str(raised.value)
    assert path.read_bytes() == content


def test_a_file_that_is_no_database_is_told_and_kept(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(StateError, match="the state database is damaged"):
        state.open_store(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        state.open_store(tmp_path / "file")


def test_a_link_in_the_databases_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StateError):
        state.open_store(tmp_path / "state")


# ---------------------------------------------------------------- the lock


@pytest.mark.fault("P8")
def test_a_second_holder_is_refused_at_once_and_told_of_the_first(tmp_path: Path) -> None:
    with state.hold(tmp_path, "nightly"):
        assert state.running(tmp_path, "nightly")
        message = f"another run holds the job nightly: process {os.getpid()} on "
        with pytest.raises(JobLocked, match=message) as raised, state.hold(tmp_path, "nightly"):
            pytest.fail("held twice")
        with state.hold(tmp_path, "another"):
            pass
    assert raised.value.exit_code == 75
    assert not state.running(tmp_path, "nightly")


@pytest.mark.fault("P1", "P8")
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from cio_etl.state import hold\n"
        "with hold(pathlib.Path(sys.argv[1]), 'j'): print(1, flush=True); time.sleep(60)"
    )
    with spawn([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        assert state.running(tmp_path, "j")
        holder.kill()
        holder.wait()
    assert not state.running(tmp_path, "j")


def test_rejects_come_as_a_frame_even_when_there_are_none(store: Store) -> None:
    begun(store)
    assert store.rejects(RUN.run_id, 0).schema == {
        "position": pl.Int64,
        "reason": pl.String,
        "field": pl.String,
        "message": pl.String,
        "reject_id": pl.Int64,
        "closed_by": pl.String,
    }


@pytest.mark.parametrize(
    ("mounts", "kind"),
    [
        ("/dev/vda / ext4 rw\nhost:/x /mnt nfs rw\n", "ext4"),
        ("/dev/vda / ext4 rw\nhost:/x /srv/my\\040data nfs rw\n", "nfs"),
        ("host:/x / nfs rw\n/dev/vdb /srv ext4 rw\n", "ext4"),
        ("/dev/vdb /srv ext4 rw\nhost:/x / nfs rw\n", "ext4"),
        ("/dev/vdb /srv ext4 rw\nhost:/x /srv nfs rw\n", "nfs"),
        ("host:/x /srv/my nfs rw\n", ""),
        ("", ""),
    ],
)
def test_the_innermost_and_topmost_mount_says_the_file_system(mounts: str, kind: str) -> None:
    assert file_system(Path("/srv/my data/etl"), mounts) == kind


@pytest.mark.fault("P16")
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.s3fs"])
def test_a_state_on_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/export {tmp_path} {kind} rw 0 0\n"
    with pytest.raises(StateError) as error:
        state.open_store(tmp_path / "state", mounts)
    assert str(error.value) == (
        f"{tmp_path / 'state'}: lies on a network file system ({kind}), whose locks a database cannot rely on"
    )
    assert not (tmp_path / "state").exists()


@pytest.mark.fault("P16")
def test_a_state_that_vanishes_or_is_replaced_while_it_is_in_use_stops_the_run(
    in_folder: Store, tmp_path: Path
) -> None:
    marks, path = begun(in_folder), tmp_path / "state" / "state.db"
    marks.commit(LaneProgress(0, 1, 2), ())
    path.rename(path.with_suffix(".away"))
    with pytest.raises(StateError, match="the state database has vanished while it was in use"):
        marks.commit(LaneProgress(0, 2, 3), ())
    path.write_bytes(b"")
    with pytest.raises(StateError, match="was replaced by another file while it was in use"):
        store_marks(in_folder, path)


def store_marks(store: Store, path: Path) -> None:
    """A commit on marks that were made before the file was replaced."""
    path.unlink()
    path.with_suffix(".away").rename(path)
    marks = marks_of(store, RUN.run_id, 0)
    path.rename(path.with_suffix(".away"))
    path.write_bytes(b"")
    marks.commit(LaneProgress(0, 3, 4), ())


def test_findings_and_what_closed_a_reject_have_their_place(store: Store) -> None:
    begun(store)
    finding = Finding("event_in_the_future", "warning", "timestamp", 2, "2 events", ("a.csv:3",))
    store.note_findings(RUN.run_id, 0, [finding])
    assert store.steps(RUN.run_id)[0].findings == (finding,)
