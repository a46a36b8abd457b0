"""A state is created, opened, migrated or refused."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from cio_etl import state
from cio_etl.errors import StateError
from cio_etl.model import Bookmark, Counts, LaneProgress, Watermark
from cio_etl.state import Store, statements, tables
from cio_etl.state.connect import open_engine, read_only_engine
from cio_etl.state.filesystem import file_system
from tests.state.runs import RUN, begin, committer_of


def test_only_its_owner_can_read_the_state(in_folder: Store, tmp_path: Path) -> None:
    begin(in_folder)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes["state.db"] == 0o600 and modes["state.db-wal"] == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@pytest.mark.fault("P3")
def test_sqlite_uses_a_write_ahead_log_and_waits_for_the_disk(in_folder: Store) -> None:
    with in_folder._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL


def test_states_of_one_process_share_compiled_statements(tmp_path: Path) -> None:
    compiled: dict[str, list[object]] = {}
    for folder in (tmp_path / "one", tmp_path / "two"):
        opened = open_engine(folder)
        read_only = read_only_engine(folder)
        for engine in (opened, read_only):
            with engine.connect() as connection:
                result = connection.execute(select(tables.run.c.run_id).where(tables.run.c.job == folder.name))
                compiled.setdefault(str(result.context.compiled), []).append(result.context.compiled)
            engine.dispose()
    [same] = compiled.values()
    assert len(same) == 4 and all(each is same[0] for each in same)


def test_compiled_statements_are_forgotten_before_they_are_too_many() -> None:
    few = statements.Statements()
    compiled = select(tables.run.c.run_id).compile()
    for number in range(statements.LIMIT + 1):
        few[number] = compiled
    assert list(few) == [statements.LIMIT]


@pytest.mark.fault("P18")
def test_a_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    state.open_store(tmp_path).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StateError, match=r"written by a newer version of this program \(schema 99\)"):
        state.open_store(tmp_path)


@pytest.mark.fault("P18")
def test_a_state_of_the_previous_schema_is_copied_and_then_migrated(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("schema", ["v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12"])
def test_a_state_of_this_schema_or_the_last_ones_has_its_runs_and_the_killed_one_can_be_resumed(
    tmp_path: Path, schema: str
) -> None:
    """The dumps are of states that versions of this program wrote."""
    load_state(tmp_path, f"{schema}.sql")
    with contextlib.closing(state.open_store(tmp_path)) as opened:
        assert [run.run_id for run in opened.runs("nightly")] == ["nightly-1", "nightly-0"]
        run = opened.unfinished("nightly")
        assert run is not None and run.run_id == "nightly-1"
        first = Counts(accepted=1, rejected=1, batches=1, requests=1, bytes_sent=640)
        assert opened.lane_progress("nightly-1", 0) == [LaneProgress(0, 1, 2, first), LaneProgress(1, -1, 0)]
        assert opened.rejects("nightly-1", 0)["reason"].to_list() == ["email_malformed"]
        watermark = Watermark(datetime(2026, 11, 19, tzinfo=UTC), frozenset({"0" * 32}))
        assert opened.bookmark("nightly", "people") == Bookmark(watermark, {"id": "numbers"}, "origin")
        ends = opened.earlier_ends(["nightly-0", "nightly-1"], newest=5)
        assert [*ends] == (["nightly-0"] if schema == "v12" else [])
        opened.end("nightly-1", "running", None, None, was_killed=True)
        assert opened.earlier_ends(["nightly-1"])["nightly-1"].words == "killed once"
        resumed = committer_of(opened, "nightly-1", 0)
        resumed.commit(LaneProgress(0, 2, 2, first + Counts(accepted=1)), [])
        assert opened.lane_progress("nightly-1", 0)[0].counts.settled == 3
    copies = [] if schema == "v12" else [f"state.{schema}.db"]
    assert [copy.name for copy in tmp_path.glob("state.v*.db")] == copies


def test_rejects_of_schema_10_are_open_since_the_night_that_began_their_chain(tmp_path: Path) -> None:
    load_state(tmp_path, "v10.sql")
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as database:
        add_nights(database.execute)
        database.commit()
    with contextlib.closing(state.open_store(tmp_path)) as opened:
        check_nights(opened)


def add_nights(execute: Callable[[str], object]) -> None:
    """Six nights of a job as schema 10 had them. In the fourth, its steps have changed places.

    Subject 1 is rejected each night. Subject 2 is accepted in the third one. Subject 3 has two rows until the fifth.
    A row without a subject is rejected in the last three nights.
    """
    for night in range(6):
        run = f"'n{night}', 'job', 'job.yaml', 'finished', '2026-11-1{night}T03:00:00+00:00', 2, 'h', 'd', {10 + night}"
        execute(
            "INSERT INTO run (run_id, job, job_file, status, started_at, lanes, lane_hash, destination, sequence)"
            f" VALUES ({run})"
        )
        for number, name in enumerate(("people", "orders") if night < 3 else ("orders", "people")):
            values = f"'n{night}', {number}, '{name}', 'finished', '{{}}', 0, 0.0, '[]'"
            execute(
                "INSERT INTO step (run_id, number, name, status, mapping, rows_read, seconds, rejects)"
                f" VALUES ({values})"
            )
    for night in range(6):
        is_last = night == 5
        later = "NULL, NULL" if is_last else f"'n{night + 1}', 'rejected'"
        people, orders = (0, 1) if night < 3 else (1, 0)
        rejects = [
            (people, 0, "1", "NULL", later),
            (orders, 0, "1", "NULL", "NULL, NULL" if night == 2 else "'x', 'hand'"),
        ]
        if night != 2:
            how = "'n2', 'accepted'" if night == 1 else later
            rejects.append((people, 1, "2", "NULL", how))
        rejects += [(people, row, "3", "NULL", later) for row in ((2, 3) if night < 4 else (2,))]
        if night > 2:
            rejects.append((people, 4, "NULL", "77", later))
        for step, position, subject, content, closed in rejects:
            values = f"'n{night}', {step}, {position}, 'row_ragged', '', {subject}, {content}, {closed}"
            execute(
                "INSERT INTO reject (run_id, step, position, reason, message, subject, content, closed_by, closed_as)"
                f" VALUES ({values})"
            )


def check_nights(opened: Store) -> None:
    """What schema 11 says of these nights."""
    reject = tables.reject.c
    query = select(reject.subject, reject.content, reject.since).where(reject.run_id == "n5", reject.step == 1)
    with opened.transaction() as connection:
        since = {(subject, content): at for subject, content, at in connection.execute(query)}
        others = connection.scalars(select(reject.since).where(reject.run_id == "n2", reject.step == 1)).all()
    firsts = {(1, None): 0, (2, None): 3, (3, None): 0, (None, 77): 3}
    assert since == {key: f"2026-11-1{night}T03:00:00+00:00" for key, night in firsts.items()}
    assert others == [None]  # of another step


@pytest.mark.fault("P18")
def test_a_state_from_before_the_first_release_is_refused_and_not_changed(tmp_path: Path) -> None:
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


@pytest.mark.fault("P17")
def test_a_damaged_state_is_refused_and_not_changed(tmp_path: Path) -> None:
    opened = state.open_store(tmp_path)
    begin(opened)
    opened.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[4_096 : 3 * 4_096] = os.urandom(2 * 4_096)
    path.write_bytes(content)
    with pytest.raises(StateError) as raised:
        state.open_store(tmp_path)
    assert raised.value.exit_code == 74 and "damaged" in str(raised.value)
    assert path.read_bytes() == content


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(StateError, match="the state database is damaged"):
        state.open_store(tmp_path)


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError):
        state.open_store(tmp_path / "file")


def test_a_link_in_place_of_the_database_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(StateError):
        state.open_store(tmp_path / "state")


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
def test_the_file_system_is_that_of_the_innermost_and_last_mount(mounts: str, kind: str) -> None:
    assert file_system(Path("/srv/my data/etl"), mounts) == kind


@pytest.mark.fault("P16")
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.s3fs"])
def test_a_state_on_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/export {tmp_path} {kind} rw 0 0\n"
    with pytest.raises(StateError) as error:
        state.open_store(tmp_path / "state", mounts)
    assert str(error.value) == (
        f"{tmp_path / 'state'}: is on a network file system ({kind}), whose locks a database cannot rely on"
    )
    assert not (tmp_path / "state").exists()


@pytest.mark.fault("P16")
def test_a_commit_fails_once_the_database_was_removed_or_replaced(in_folder: Store, tmp_path: Path) -> None:
    committer, path = begin(in_folder), tmp_path / "state" / "state.db"
    committer.commit(LaneProgress(0, 1, 2), ())
    path.rename(path.with_suffix(".away"))
    with pytest.raises(StateError, match="the state database disappeared while it was in use"):
        committer.commit(LaneProgress(0, 2, 3), ())
    path.write_bytes(b"")
    with pytest.raises(StateError, match="was replaced by another file while it was in use"):
        commit_after_replacement(in_folder, path)


def commit_after_replacement(store: Store, path: Path) -> None:
    """A commit on committer that were made before the file was replaced."""
    path.unlink()
    path.with_suffix(".away").rename(path)
    committer = committer_of(store, RUN.run_id, 0)
    path.rename(path.with_suffix(".away"))
    path.write_bytes(b"")
    committer.commit(LaneProgress(0, 3, 4), ())


@pytest.mark.fault("P16")
def test_a_file_in_place_of_the_folder_is_an_error_also_where_the_state_is_only_looked_for(tmp_path: Path) -> None:
    assert not state.exists(tmp_path / "state")
    (tmp_path / "state").write_text("of another program")
    with pytest.raises(StateError) as error:
        state.exists(tmp_path / "state")
    assert str(error.value) == f"{tmp_path / 'state'}: Not a directory" and "move it" in error.value.remedy
