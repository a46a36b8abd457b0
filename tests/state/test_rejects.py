"""Which rejects are open over all runs of a job, since when, and what closes them: in each kind of database."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.dialects import sqlite

from cio_etl.errors import StateError
from cio_etl.model import DeltaCounts, LaneProgress, OpenRejects, OpenTotal, Reject
from cio_etl.state import Closed, GoneRejects, Store
from cio_etl.state.rejects import closed_by, closed_of
from tests.state.runs import FILES, RUN, committer_of

NOTHING = np.empty(0, dtype=np.int64)


def night(store: Store, number: int, rejects: Sequence[Reject], closed: Sequence[Closed] = (), job: str = "job") -> str:
    """A run of a job with one step, `people`, and its rejects."""
    run = replace(RUN, run_id=f"{job}-{number}", job=job, started_at=at(number))
    store.begin(run, [("people", "{}")])
    store.begin_step(run.run_id, 0, "print", FILES, 3, 1)
    committer_of(store, run.run_id, 0).commit(LaneProgress(0, 3), rejects, NOTHING, closed)
    return run.run_id


def ids(store: Store, run_id: str) -> list[int]:
    return store.rejects(run_id, 0)["reject_id"].to_list()


def bad(position: int, subject: int | None = None, content: int | None = None) -> Reject:
    return Reject(position, "email_malformed", "attributes.email", "", subject, content)


def test_open_rejects_are_counted_over_all_runs_by_step_reason_and_field(store: Store) -> None:
    night(store, 1, [bad(0, 11), bad(1, 12), Reject(2, "row_ragged")])
    first = ids(store, "job-1")
    night(store, 2, [bad(0, 11)], [(first[0], "rejected"), (first[2], "accepted")])
    night(store, 3, [bad(0, 11)], job="another")
    emails = OpenRejects(
        "job", "people", "email_malformed", "attributes.email", 2, "2026-11-21T00:00:00+00:00", ("job-1", "job-2")
    )
    assert store.open_reasons("job") == [emails]
    assert [each.job for each in store.open_reasons()] == ["another", "job"]
    assert OpenTotal.of(store.open_reasons("job")) == OpenTotal(2, emails.since, emails.runs)
    assert store.open_reasons("none") == [] and OpenTotal.of([]) == OpenTotal()
    by_second = [(each.run_id, each.closed_as, each.rows, each.words) for each in store.closed_rejects(by_run="job-2")]
    assert by_second == [
        ("job-1", "accepted", 1, "accepted by job-2"),
        ("job-1", "rejected", 1, "rejected again by job-2"),
    ]
    assert store.closed_rejects(of_run="job-1") == store.closed_rejects(by_run="job-2")
    assert store.open_keys("job", "people").rows() == [(first[1], 12, None), (ids(store, "job-2")[0], 11, None)]
    assert store.open_keys("job", "people", but_of="job-2").height == 1
    assert store.open_keys("job", "companies").is_empty()
    ends = store.ends("job", "people")
    assert ends["is_open"].to_list() == [True, False, True] and first[0] not in ends["reject_id"]


def test_a_reject_that_recurs_is_open_since_the_night_of_the_first(store: Store) -> None:
    night(store, 1, [bad(0, 11), bad(1, 12)])
    for number in (2, 3):
        earlier = ids(store, f"job-{number - 1}")
        again = [replace(bad(place, 11 + place), earlier=each) for place, each in enumerate(earlier)]
        night(store, number, again, [(each, "rejected") for each in earlier])
    assert [(each.since, each.rows, each.runs) for each in store.open_reasons("job")] == [(at(1), 2, ("job-3",))]
    assert store.first_rejected("job-3", 0) == {("email_malformed", "attributes.email"): at(1)}
    assert store.first_rejected("job-1", 0) == {}


def test_a_row_that_was_accepted_in_between_begins_again(store: Store) -> None:
    night(store, 1, [bad(0, 11)])
    (first,) = ids(store, "job-1")
    night(store, 2, [], [(first, "accepted")])
    night(store, 3, [replace(bad(0, 11), earlier=first)])  # as of a process that read the open ones before that
    assert [each.since for each in store.open_reasons("job")] == [at(3)]


def at(number: int) -> str:
    return f"2026-11-{20 + number}T00:00:00+00:00"


def test_a_commit_that_fails_closes_nothing(store: Store) -> None:
    night(store, 1, [bad(0, 11)])
    with pytest.raises(StateError):
        night(store, 2, [Reject(0, None)], [(ids(store, "job-1")[0], "accepted")])  # type: ignore[arg-type]
    assert store.open_rejects("job-1") == 1


def test_a_closed_reject_stays_as_it_was_closed(store: Store) -> None:
    night(store, 1, [bad(0, 11)])
    night(store, 2, [], [(ids(store, "job-1")[0], "accepted")])
    night(store, 3, [], [(ids(store, "job-1")[0], "rejected")])
    assert store.close_by_hand("job-1", "why") == 0
    assert store.rejects("job-1", 0)["closed_by"].to_list() == ["job-2"]


@pytest.mark.parametrize("with_subject", [True, False])
def test_what_is_gone_is_closed_when_the_step_finishes_and_not_before(store: Store, with_subject: bool) -> None:
    night(store, 1, [bad(0, 11), bad(1, content=12), bad(2)])
    night(store, 1, [bad(0, 11)], job="another")
    night(store, 2, [bad(0, 13)])
    gone = GoneRejects("job", "people", with_subject)
    for finished in (False, True):
        store.end_step("job-2", 0, finished=finished, rows_read=3, seconds=0.0, rejects=[], gone=gone)
        assert store.open_rejects("job-1") == (3 if not finished else 0 if with_subject else 1)
    assert (store.open_rejects("job-2"), store.open_rejects("another-1")) == (1, 1)


def test_rejects_are_closed_with_what_the_ledger_says_and_by_hand(store: Store) -> None:
    night(store, 1, [bad(0, 11), bad(1, 12), Reject(2, "row_ragged")])
    night(store, 2, [])
    store.note_delta("job-2", 0, DeltaCounts(), ids(store, "job-1")[:1])
    assert store.close_by_hand("job-1", "of a test", "row_ragged") == 1
    rejects = store.rejects("job-1", 0)
    assert rejects["closed_as"].to_list() == ["same", None, "hand"]
    assert rejects["closed_note"].to_list() == [None, None, "of a test"]
    assert [each.words for each in store.closed_rejects(of_run="job-1")] == [
        "closed by hand",
        "as Customer.io has it in job-2",
    ]


def test_each_query_of_many_rejects_uses_an_index(in_folder: Store, tmp_path: Path) -> None:
    night(in_folder, 1, [bad(0, 11)])
    plans: list[str] = []
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "state.db")) as database:
        for query in (
            "SELECT run_id, step, reason, field, count(*), min(since) FROM reject WHERE closed_by IS NULL"
            " GROUP BY 1, 2, 3, 4",
            "SELECT reject_id, subject FROM reject WHERE closed_by IS NULL AND (run_id, step) IN (SELECT run_id, number"
            " FROM step JOIN run USING (run_id) WHERE job = 'job' AND name = 'people')",
            "SELECT run_id, step, closed_as, count(*) FROM reject WHERE closed_by = 'r' GROUP BY 1, 2, 3",
            *(
                str(
                    query.params(run_ids=["r"]).compile(
                        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
                    )
                )
                for query in (closed_by(), closed_of())
            ),
        ):
            plans += [str(row[3]) for row in database.execute(f"EXPLAIN QUERY PLAN {query}")]
    of_rejects = [plan for plan in plans if " reject " in f"{plan} "]
    assert len(of_rejects) == 9 and all("COVERING INDEX reject_" in plan for plan in of_rejects), plans
