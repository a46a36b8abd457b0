"""Commits are whole or not at all, and are read back as they were written."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sqlalchemy import update

from cio_etl import state
from cio_etl.errors import LanesTaken, StateError
from cio_etl.model import (
    Bookmark,
    Counts,
    EarlierEnd,
    Finding,
    LaneProgress,
    Reject,
    RejectCount,
    Watermark,
    WatermarkValue,
)
from cio_etl.state import ReplayedRejects, Store, tables
from tests.state.runs import FILES, RUN, begin, committer_of


def test_a_run_and_its_steps_are_read_as_they_were_written(store: Store) -> None:
    begin(store)
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


def test_progress_counts_and_rejects_are_committed_together(store: Store) -> None:
    committer = begin(store)
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
    committer.commit(mark, [Reject(7, "row_ragged"), Reject(3, "refused_invalid", "attributes.x", "no")])
    assert store.lane_progress(RUN.run_id, 0)[2] == mark
    expected = {
        "position": [3, 7],
        "reason": ["refused_invalid", "row_ragged"],
        "field": ["attributes.x", None],
        "message": ["no", ""],
        "reject_id": [2, 1],
        **{name: [None, None] for name in ("closed_by", "closed_as", "closed_note", "subject", "content")},
    }
    assert store.rejects(RUN.run_id, 0).to_dict(as_series=False) == expected


def test_the_ends_after_which_a_run_was_resumed_are_kept(store: Store) -> None:
    begin(store)
    run_id = RUN.run_id
    store.end(run_id, "running", None, None)  # joined by a worker: another one is at work
    assert store.earlier_ends([run_id], newest=2) == {}
    for status, code, reason in (("failed", 1, "unexpected X"), ("stopped", 69, "a is out of reach")):
        store.end(run_id, status, code, reason)
        store.end(run_id, status, code, reason)  # by two workers, for the same reason
        stopped = store.run(run_id)
        store.end(run_id, "running", None, None, was_killed=True)
    store.end(run_id, "running", None, None, was_killed=True)
    assert stopped is not None and stopped.finished_at is not None
    ends = store.earlier_ends([run_id, "other"], newest=2)
    assert [*ends] == [run_id] and ends[run_id].words == "failed once, stopped once and killed once"
    killed, second = ends[run_id].newest
    assert second == EarlierEnd("stopped", stopped.finished_at, 69, "a is out of reach")
    assert (killed.status, killed.exit_code, killed.reason) == ("killed", None, None)
    assert store.earlier_ends([run_id])[run_id] == replace(ends[run_id], newest=())
    store.end(run_id, "stopped", 4, "too many rejects")
    store.end(run_id, "abandoned", 4, "too many rejects; replaced by a new run")
    assert store.earlier_ends([run_id])[run_id].stopped == 2


@pytest.mark.fault("P2")
def test_a_commit_that_fails_changes_nothing(store: Store) -> None:
    committer = begin(store)
    with pytest.raises(StateError):
        committer.commit(LaneProgress(1, 40, 80, Counts(accepted=3)), [Reject(1, None)])  # type: ignore[arg-type]
    assert store.lane_progress(RUN.run_id, 0)[1] == LaneProgress(1)
    assert store.rejects(RUN.run_id, 0).is_empty()


def test_replayed_rejects_are_closed_in_the_commit_of_their_accepted_rows(store: Store) -> None:
    begin(store).commit(LaneProgress(0, 3), [Reject(position, "row_ragged") for position in range(4)])
    ids = store.rejects(RUN.run_id, 0)["reject_id"].to_numpy()
    store.begin(replace(RUN, run_id="replay-1", job="nightly.replay"), [("people", "{}")])
    store.begin_step("replay-1", 0, "print", FILES, 3, 1)
    replayed = ReplayedRejects(ids[[3, 0, 1, 2]])  # by the replay's positions: row 0 of it was row 3
    committer = committer_of(store, "replay-1", 0, replayed)
    committer.commit(LaneProgress(0, 1), [Reject(1, "email_malformed", "attributes.email")], np.array([0]))
    rejects = store.rejects(RUN.run_id, 0)
    assert rejects["closed_by"].to_list() == [None, None, None, "replay-1"]
    assert rejects["closed_as"].to_list() == [None, None, None, "accepted"]
    assert rejects["reason"].to_list() == ["email_malformed", "row_ragged", "row_ragged", "row_ragged"]
    assert (store.open_rejects(RUN.run_id), store.open_rejects("replay-1")) == (3, 0)
    store.close_skipped("replay-1", 0, replayed)  # all but the one that is still wrong
    assert store.rejects(RUN.run_id, 0)["closed_by"].to_list() == [None, "replay-1", "replay-1", "replay-1"]


def test_no_reject_is_closed_by_a_commit_that_fails(store: Store) -> None:
    begin(store).commit(LaneProgress(0, 3), [Reject(0, "row_ragged")])
    replayed = ReplayedRejects(store.rejects(RUN.run_id, 0)["reject_id"].to_numpy())
    with pytest.raises(StateError):
        committer_of(store, RUN.run_id, 1, replayed).commit(LaneProgress(0, 1), [Reject(0, None)], np.array([0]))  # type: ignore[arg-type]
    assert store.open_rejects(RUN.run_id) == 1


def test_a_sandbox_replay_changes_no_reject(store: Store) -> None:
    begin(store).commit(LaneProgress(0, 3), [Reject(0, "row_ragged"), Reject(1, "row_ragged")])
    before = store.rejects(RUN.run_id, 0)
    replayed = ReplayedRejects(before["reject_id"].to_numpy(), closes=False)
    store.begin(replace(RUN, run_id="replay-1"), [("people", "{}")])
    store.begin_step("replay-1", 0, "print", FILES, 3, 1)
    committer_of(store, "replay-1", 0, replayed).commit(LaneProgress(0, 1), [Reject(1, "x")], np.array([0]))
    store.close_skipped("replay-1", 0, replayed)
    assert store.rejects(RUN.run_id, 0).equals(before)


@pytest.mark.fault("P4")
def test_after_a_failed_commit_every_further_commit_raises_the_same_error(store: Store) -> None:
    committer = begin(store)
    with pytest.raises(StateError) as first:
        committer.commit(LaneProgress(1, 40), [Reject(1, None)])  # type: ignore[arg-type]
    with pytest.raises(StateError) as second:
        committer.commit(LaneProgress(2, 40), [])
    assert first.value.exit_code == 74 and second.value is first.value
    assert store.lane_progress(RUN.run_id, 0)[2] == LaneProgress(2)


def test_concurrent_commits_are_on_the_disk_when_they_return(in_folder: Store, tmp_path: Path) -> None:
    committer = begin(in_folder, lanes=16)
    wrong: list[int] = []

    def work(lane: int) -> None:
        with closing(sqlite3.connect(tmp_path / "state" / "state.db")) as other, other:
            for position in range(30):
                committer.commit(LaneProgress(lane, position, position + 1), [Reject(position, f"r{lane}")])
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


@pytest.mark.parametrize("wrong", [Reject(1, None), object()], ids=["the database refuses it", "a defect of ours"])  # type: ignore[arg-type]
def test_every_lane_whose_commit_failed_gets_an_error(store: Store, wrong: Any) -> None:
    committer = begin(store, lanes=8)
    heard: list[int] = []

    def work(lane: int) -> None:
        try:
            for position in range(50):
                committer.commit(LaneProgress(lane, position), [wrong] if lane == 3 and position == 9 else [])
        except (StateError, AttributeError):
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
    committer = begin(store)
    rejects = [Reject(n, "email_malformed", "attributes.email") for n in (9, 4, 6, 5)]
    committer.commit(LaneProgress(0, 9), [*rejects, Reject(1, "row_ragged")])
    counts = store.reject_counts(RUN.run_id, 0)
    assert [(c.reason, c.field, c.rows, c.first) for c in counts] == [
        ("email_malformed", "attributes.email", 4, (4, 5, 6)),
        ("row_ragged", None, 1, (1,)),
    ]


def test_running_stopped_and_failed_runs_can_be_resumed(store: Store) -> None:
    begin(store)
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
    begin(store)
    later = replace(RUN, run_id="nightly-2", started_at="2026-11-22T00:00:00+00:00", status="finished")
    store.begin(later, [("people", "{}")])
    assert store.unfinished("nightly") is None
    assert [run.run_id for run in store.runs("nightly")] == ["nightly-2", "nightly-1"]


def test_a_report_sums_counts_over_lanes_and_seconds_over_processes(store: Store) -> None:
    committer = begin(store)
    committer.commit(LaneProgress(0, 2, 2, Counts(accepted=1, skipped=1, requests=2)), [])
    committer.commit(LaneProgress(3, 1, 1, Counts(rejected=1, retries=1)), [Reject(1, "row_ragged")])
    counts = [RejectCount("row_ragged", None, 1, ("a.csv:3",))]
    store.end_step(RUN.run_id, 0, finished=False, rows_read=2, seconds=1.5, rejects=counts)
    store.end_step(RUN.run_id, 0, finished=True, rows_read=3, seconds=2.0, rejects=counts)
    step = state.build_report(store, RUN).steps[0]
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


def test_the_bookmark_of_a_finished_step_is_read_by_the_next_run(store: Store) -> None:
    begin(store)
    mark = Watermark(datetime(2026, 11, 21, 3, tzinfo=UTC), frozenset({"0" * 32}))
    leave = partial(store.end_step, RUN.run_id, 0, rows_read=0, seconds=0.0, rejects=())
    leave(finished=False, bookmark=Bookmark(mark, {"a": "text"}))
    assert store.bookmark("nightly", "people") == Bookmark()
    leave(finished=True, bookmark=Bookmark(mark, {"a": "text"}))
    assert store.bookmark("nightly", "people") == Bookmark(mark, {"a": "text"})
    leave(finished=True, bookmark=Bookmark(None, {"a": "numbers"}))  # it is over, and stays as it was
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
def test_a_watermark_is_stored_exactly(value: WatermarkValue) -> None:
    mark = Watermark(value, frozenset({"a" * 32, "b" * 32}))
    again = Watermark.of_text(mark.to_text())
    assert again == mark
    assert type(again.value) is type(value)


def test_a_step_without_rejects_has_an_empty_frame_of_rejects(store: Store) -> None:
    begin(store)
    assert store.rejects(RUN.run_id, 0).schema == {
        "position": pl.Int64,
        "reason": pl.String,
        "field": pl.String,
        "message": pl.String,
        "reject_id": pl.Int64,
        "closed_by": pl.String,
        "closed_as": pl.String,
        "closed_note": pl.String,
        "subject": pl.Int64,
        "content": pl.Int64,
    }


def test_findings_of_a_step_are_read_as_they_were_recorded(store: Store) -> None:
    begin(store)
    finding = Finding("event_in_the_future", "warning", "timestamp", 2, "2 events", ("a.csv:3",))
    store.note_findings(RUN.run_id, 0, [finding])
    assert store.steps(RUN.run_id)[0].findings == (finding,)


@pytest.mark.fault("P17")
@pytest.mark.parametrize("column", ["rejects", "findings", "files", "mapping", "columns"])
def test_a_step_whose_json_is_damaged_is_a_damaged_state(store: Store, column: str) -> None:
    begin(store)
    for damaged in ("[", "[[1, 2]]x", "{'a': 1}", "\x01" if store.is_shared else "\x00", "[" * 100_000):
        with store._engine.begin() as connection:
            connection.execute(update(tables.step).values({column: damaged}))
        with pytest.raises(StateError, match="the state database is damaged") as raised:
            store.steps(RUN.run_id)
        assert (raised.value.exit_code == 74 and "copy" in raised.value.remedy) or "--restart" in raised.value.remedy


@pytest.mark.fault("P17")
@pytest.mark.parametrize("damage", [{"mark": "no watermark"}, {"columns": "["}, {"columns": "1"}])
def test_a_bookmark_that_is_damaged_is_a_damaged_state(store: Store, damage: dict[str, str]) -> None:
    begin(store)
    bookmark = Bookmark(Watermark(1, frozenset()), {"id": "numbers"}, "origin")
    store.end_step(RUN.run_id, 0, finished=True, rows_read=3, seconds=1.0, rejects=(), bookmark=bookmark)
    assert store.bookmark("nightly", "people") == bookmark
    with store._engine.begin() as connection:
        connection.execute(update(tables.source).values(damage))
    with pytest.raises(StateError, match="the state database is damaged"):
        store.bookmark("nightly", "people")


@pytest.mark.fault("P11")
def test_a_restarted_step_uses_no_epoch_again(store: Store) -> None:
    committer = begin(store, lanes=2)
    committer.commit(LaneProgress(0, -1, 2), ())
    store.begin_step(RUN.run_id, 0, "print", FILES, 3, 2)
    later = committer_of(store, RUN.run_id, 0)
    with pytest.raises(LanesTaken):
        committer.commit(LaneProgress(0, 2, 2), ())
    later.commit(LaneProgress(1, 1, 2), ())
    assert [lane.acked_through for lane in store.lane_progress(RUN.run_id, 0)] == [-1, 1]


@pytest.mark.fault("P8")
def test_a_claim_takes_a_lane_from_the_process_that_had_it_before(store: Store) -> None:
    before = begin(store, lanes=1)
    after = committer_of(store, RUN.run_id, 0)
    with pytest.raises(LanesTaken):
        before.commit(LaneProgress(0, 1, 2), ())
    after.commit(LaneProgress(0, 2, 2), ())
    assert store.lane_progress(RUN.run_id, 0) == [LaneProgress(0, 2, 2)]
