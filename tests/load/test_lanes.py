"""Lanes at work on a real server: one batch in flight each, announced before it is sent, in order, stopped cleanly."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from cio_etl.apis import APIS
from cio_etl.errors import CredentialsRefused, StateError
from cio_etl.load import Lanes, Pace
from cio_etl.load.lanes import WaitingBytes
from cio_etl.model import Batch, Counts, Destination, LaneProgress, Reject, Retry
from cio_etl.sandbox import Credentials, Faults, Sandbox


def batch(lane: int, first: int, items: int, rejects: tuple[Reject, ...] = (), skipped: int = 0) -> Batch:
    """Identifies of one person a lane; the row's position is an attribute."""
    texts = [
        json.dumps(
            {
                "type": "person",
                "action": "identify",
                "identifiers": {"id": f"p{lane}"},
                "attributes": {"row": first + n},
            }
        ).encode()
        for n in range(items)
    ]
    ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1 + len(b'{"batch":[')
    positions = np.arange(first, first + items)
    body = b'{"batch":[' + b",".join(texts) + b"]}" if items else b""
    return Batch(lane, first + max(items, 1) - 1, body, positions, ends, rejects, skipped)


class Commits:
    """What the lanes committed, in order, and which positions had been announced when."""

    def __init__(self) -> None:
        self.progress: dict[int, list[LaneProgress]] = defaultdict(list)
        self.rejects: list[Reject] = []
        self.accepted: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, progress: LaneProgress, rejects: Sequence[Reject], accepted: npt.NDArray[np.int64]) -> None:
        with self._lock:
            self.progress[progress.lane].append(progress)
            self.rejects += rejects
            self.accepted += accepted.tolist()


def lanes_to(
    sandbox: Sandbox, commits: Commits, marks: Sequence[LaneProgress], grace_s: float = 5.0, waiting_bytes: int = 10**6
) -> Lanes:
    secret = SecretStr("sandbox")
    destination = Destination(
        "track", sandbox.url, dict.fromkeys(("site_id", "api_key"), secret), attempt_deadline_s=2.0, batch_budget_s=20.0
    )
    pace = Pace(None, time.monotonic)
    return Lanes(destination, pace, marks, commits, lambda size: None, grace_s, waiting_bytes=waiting_bytes)


def fresh(lanes: int) -> list[LaneProgress]:
    return [LaneProgress(lane) for lane in range(lanes)]


@pytest.fixture
def sandbox() -> object:
    with Sandbox(trace="row") as running:
        yield running


def test_rows_of_a_lane_arrive_in_order_under_faults(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(rates={"503": 0.2, "lost_before": 0.05}, seed=3))
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(4)) as lanes:
        for number in range(6):
            assert lanes.put({lane: [batch(lane, 10 * number, 10)] for lane in range(4)})
        lanes.finish()
    for lane in range(4):
        person = sandbox.people.find("id", f"p{lane}")
        assert person is not None and person.trace == list(range(60))
    assert [progress.counts.accepted for progress in lanes.progress] == [60] * 4
    assert [progress.acked_through for progress in lanes.progress] == [59] * 4
    assert sorted(commits.accepted) == sorted(4 * list(range(60)))


def test_a_batch_is_announced_before_it_is_sent_and_acknowledged_with_the_next_ones_announcement(
    sandbox: Sandbox,
) -> None:
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(1)) as lanes:
        lanes.put({0: [batch(0, 0, 5), batch(0, 5, 5), batch(0, 10, 5)]})
        lanes.finish()
    assert [
        (progress.acked_through, progress.sending_through, progress.counts.accepted) for progress in commits.progress[0]
    ] == [
        (-1, 4, 0),
        (4, 9, 5),
        (9, 14, 10),
        (14, 14, 15),
    ]


@pytest.mark.fault("N22")
def test_each_lane_has_at_most_one_batch_in_flight(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(latency_s=0.05))
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(3)) as lanes:
        lanes.put({lane: [batch(lane, 5 * n, 5) for n in range(4)] for lane in range(3)})
        lanes.finish()
    for lane in range(3):
        for progress in commits.progress[lane]:
            assert progress.sending_through - progress.acked_through <= 5


def test_rejects_and_skipped_rows_are_committed_with_their_batch_even_without_a_request(sandbox: Sandbox) -> None:
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(1)) as lanes:
        lanes.put({0: [batch(0, 3, 0, rejects=(Reject(2, "row_ragged"),), skipped=3)]})
        lanes.finish()
    progress = lanes.progress[0]
    assert (
        progress.acked_through,
        progress.counts.rejected,
        progress.counts.skipped,
        progress.counts.requests,
        progress.counts.batches,
    ) == (3, 1, 3, 0, 0)
    assert commits.rejects == [Reject(2, "row_ragged")]
    assert commits.accepted == []
    assert sandbox.stats()["requests"] == 0


def test_rows_that_a_killed_run_had_announced_are_counted_as_possibly_sent_twice(sandbox: Sandbox) -> None:
    commits = Commits()
    with lanes_to(
        sandbox, commits, [LaneProgress(0, acked_through=9, sending_through=13, counts=Counts(accepted=10))]
    ) as lanes:
        lanes.put({0: [batch(0, 10, 3), batch(0, 13, 5)]})
        lanes.finish()
    assert (lanes.progress[0].counts.possibly_sent_twice, lanes.progress[0].counts.accepted) == (4, 18)


@pytest.mark.fault("N19")
def test_a_lost_answer_is_counted_as_possibly_sent_twice(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(script=("lost_after",)))
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(1)) as lanes:
        lanes.put({0: [batch(0, 0, 7)]})
        lanes.finish()
    assert (lanes.progress[0].counts.possibly_sent_twice, lanes.progress[0].counts.retries) == (7, 1)


@pytest.mark.fault("N10")
def test_an_error_of_one_lane_stops_all_and_is_raised(sandbox: Sandbox) -> None:
    commits = Commits()
    sandbox.set_credentials(Credentials(api_key="changed"))
    with pytest.raises(CredentialsRefused), lanes_to(sandbox, commits, fresh(3)) as lanes:
        while lanes.put({lane: [batch(lane, 0, 1)] for lane in range(3)}):
            pass
        lanes.finish()
    assert all(progress.acked_through == -1 and progress.counts.rejected == 0 for progress in lanes.progress)


@pytest.mark.fault("P5")
def test_a_lane_that_cannot_commit_stops_all(sandbox: Sandbox) -> None:
    class Full(Commits):
        def __call__(self, progress: LaneProgress, rejects: Sequence[Reject], accepted: npt.NDArray[np.int64]) -> None:
            raise StateError(place="state.db", what="the disk is full")

    with pytest.raises(StateError, match="the disk is full"), lanes_to(sandbox, Full(), fresh(2)) as lanes:
        lanes.put({0: [batch(0, 0, 1)]})
        lanes.finish()
    assert sandbox.stats()["requests"] == 0  # what is not announced is not sent


@pytest.mark.fault("P9")
def test_a_drain_lets_the_exchange_under_way_end_and_keeps_its_acknowledgement(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(latency_s=0.3))
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(1)) as lanes:
        lanes.put({0: [batch(0, 0, 5), batch(0, 5, 5)]})
        while not commits.progress[0]:
            threading.Event().wait(0.01)
        lanes.drain()
        assert not lanes.put({0: [batch(0, 10, 5)]})
        lanes.finish()
    assert lanes.progress[0].acked_through == 4
    assert sandbox.stats()["items"] == 5


@pytest.mark.fault("P9")
def test_a_drain_ends_the_wait_for_the_next_attempt(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(rates={"503": 1.0}, retry_after=("15",)))
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(2)) as lanes:
        lanes.put({0: [batch(0, 0, 5)], 1: [batch(1, 0, 5)]})
        while sandbox.stats()["requests"] < 1:
            threading.Event().wait(0.01)
        lanes.drain()
        lanes.finish()
    assert sandbox.stats()["requests"] <= 2  # each lane tried once, and not again after its wait
    assert [progress.acked_through for progress in lanes.progress] == [-1, -1]


@pytest.mark.fault("P9")
def test_a_batch_that_was_announced_and_not_sent_is_taken_back(sandbox: Sandbox) -> None:
    commits = Commits()
    secret = SecretStr("sandbox")
    destination = Destination("track", sandbox.url, dict.fromkeys(("site_id", "api_key"), secret))
    pace = Pace(None, time.monotonic)
    pace.record(time.monotonic(), Retry("HTTP 429", after_s=60.0, throttled=True))
    with Lanes(destination, pace, fresh(1), commits, lambda size: None, 5.0) as lanes:
        lanes.put({0: [batch(0, 0, 5)]})
        while not commits.progress[0]:
            threading.Event().wait(0.01)
        lanes.drain()
        lanes.finish()
    assert [(progress.acked_through, progress.sending_through) for progress in commits.progress[0]] == [
        (-1, 4),
        (-1, -1),
    ]
    assert sandbox.stats()["requests"] == 0


def test_waiting_bytes_are_limited_together_and_any_number_may_wait_alone() -> None:
    waiting = WaitingBytes(100)
    assert waiting.add(250, 0.0)  # more than the limit, but nothing else waits
    assert not waiting.add(1, 0.0)
    waiting.remove(250)
    assert waiting.add(60, 0.0) and waiting.add(40, 0.0)
    assert not waiting.add(1, 0.0)
    waiting.remove(40)
    assert waiting.add(30, 0.0)


def test_bytes_that_did_not_fit_are_added_when_a_lane_takes_others() -> None:
    waiting, entered = WaitingBytes(100), threading.Event()
    assert waiting.add(100, 0.0)

    def enter() -> None:
        if waiting.add(10, 10.0):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    waiting.remove(100)
    assert entered.wait(5.0)
    thread.join()


def test_batches_too_large_to_wait_together_all_arrive(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(rates={"503": 0.2}, seed=5))
    commits = Commits()
    with lanes_to(sandbox, commits, fresh(4), waiting_bytes=1_000) as lanes:  # a list of two batches has some 1,800
        for number in range(8):
            first = 20 * number
            both = {lane: [batch(lane, first, 10), batch(lane, first + 10, 10)] for lane in range(4)}
            assert lanes.put(both if number % 2 else {0: both[0]})
        lanes.finish()
    assert [progress.counts.accepted for progress in lanes.progress] == [160, 80, 80, 80]
    assert sandbox.people.find("id", "p0").trace == list(range(160))  # type: ignore[union-attr]


@pytest.mark.fault("N5")
def test_an_outage_is_logged_once_and_the_pace_knows_how_long_it_lasts(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(rates={"503": 1.0}))
    a_minute_ago = iter([time.monotonic() - 60.0])
    pace = Pace(None, lambda: next(a_minute_ago, time.monotonic()))
    for _ in range(24):  # time-outs of requests that were sent long ago: two failures more, and it is an outage
        pace.record(0.0, Retry("no answer"))
    secret = SecretStr("sandbox")
    destination = Destination("track", sandbox.url, dict.fromkeys(("site_id", "api_key"), secret))
    with (
        capture_logs() as events,
        Lanes(destination, pace, fresh(3), Commits(), lambda size: None, 5.0) as lanes,
    ):
        lanes.put({lane: [batch(lane, 0, 5)] for lane in range(3)})
        while pace.waited_s is None:
            threading.Event().wait(0.01)
        sandbox.set_faults(Faults())
        lanes.finish()
    assert [progress.counts.accepted for progress in lanes.progress] == [5, 5, 5]
    changes = [each for each in events if each["event"].startswith("destination_")]
    assert [(each["event"], each.get("reason")) for each in changes] == [
        ("destination_unavailable", "HTTP 503"),
        ("destination_available", None),
    ]
    assert pace.waited_s is None


def test_one_failure_does_not_lower_the_rate(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(script=("503",)))
    secret = SecretStr("sandbox")
    pace = Pace(50, time.monotonic)
    with Lanes(
        Destination("track", sandbox.url, dict.fromkeys(("site_id", "api_key"), secret)),
        pace,
        fresh(1),
        Commits(),
        lambda size: None,
        5.0,
    ) as lanes:
        lanes.put({0: [batch(0, 0, 5)]})
        lanes.finish()
    assert pace.per_second == 50


def test_an_exception_in_the_block_stops_the_lanes(sandbox: Sandbox) -> None:
    commits = Commits()
    with pytest.raises(ZeroDivisionError), lanes_to(sandbox, commits, fresh(2)) as lanes:
        lanes.put({0: [batch(0, 0, 5)]})
        raise ZeroDivisionError
    assert not any(thread.name.startswith("lane-") for thread in threading.enumerate())


@pytest.mark.fault("N19")
@pytest.mark.parametrize("repeatable", [True, False])
def test_after_a_lost_answer_items_are_sent_again_unless_that_cannot_be_undone(
    sandbox: Sandbox, repeatable: bool
) -> None:
    sandbox.set_faults(Faults(script=("lost_after",)))
    commits = Commits()
    secret = SecretStr("sandbox")
    destination = Destination(
        "track", sandbox.url, dict.fromkeys(("site_id", "api_key"), secret), attempt_deadline_s=2.0, batch_budget_s=20.0
    )
    to = replace(APIS["track"].batch, repeatable=repeatable)
    pace = Pace(None, time.monotonic)
    with Lanes(destination, pace, fresh(1), commits, lambda size: None, 5.0, to) as lanes:
        lanes.put({0: [batch(0, 0, 3), batch(0, 3, 2)]})
        lanes.finish()
        (progress,) = lanes.progress
    reasons = [(reject.position, reject.reason) for reject in commits.rejects]
    if repeatable:
        assert (progress.counts.accepted, progress.counts.possibly_sent_twice, progress.counts.requests, reasons) == (
            5,
            3,
            3,
            [],
        )
    else:
        assert (progress.counts.accepted, progress.counts.rejected, progress.counts.requests) == (2, 3, 2)
        assert reasons == [(0, "outcome_unknown"), (1, "outcome_unknown"), (2, "outcome_unknown")]
