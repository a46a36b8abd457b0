"""One lane, without a network and in virtual time: each item of a batch is accepted or rejected, exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.errors import CredentialsRefused, DestinationUnavailable, TooManyRejects
from cio_etl.load.lane import HOPELESS, Drained, Lane, LaneSettings
from cio_etl.load.rate import Pace
from cio_etl.model import (
    Accepted,
    Batch,
    Counts,
    ItemError,
    LaneProgress,
    Refused,
    Reject,
    Retry,
    Split,
    Stop,
    Verdict,
)
from tests.pace_simulation import Clock

Post = Callable[[bytes, int], Verdict]


def batch(items: int, rejects: tuple[Reject, ...] = ()) -> Batch:
    texts = [json.dumps({"n": n, "pad": "é" * (n % 5)}, ensure_ascii=False).encode() for n in range(items)]
    ends = np.cumsum([len(text) + 1 for text in texts]) - 1 + len(b'{"batch":[')
    body = b'{"batch":[' + b",".join(texts) + b"]}" if items else b""
    return Batch(0, 99, body, np.arange(items) * 10, ends.astype(np.int64), rejects, 0)


def numbers(body: bytes) -> list[int]:
    return [item["n"] for item in json.loads(body)["batch"]]


@dataclass(frozen=True, slots=True)
class Fake:
    """Answers as `post` says."""

    post: Post
    host: str = "track.example"


@dataclass
class Sent:
    """What a lane committed for one batch."""

    commits: list[LaneProgress] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        return self.commits[-1].counts

    @property
    def announced(self) -> list[int]:
        """How far the announcement of each commit reaches."""
        return [each.sending_through for each in self.commits]

    def commit(self, progress: LaneProgress, rejects: Sequence[Reject], accepted: npt.NDArray[np.int64]) -> None:
        self.commits.append(progress)
        self.rejects += rejects
        self.accepted += accepted.tolist()


def send(
    batch_to_send: Batch,
    post: Post,
    too_large: Callable[[int], None] = lambda size: None,
    *,
    sent: Sent | None = None,
    sleep: Callable[[float], None] | None = None,
    repeatable: bool = True,
) -> Sent:
    """Sends one batch by a lane, whose waits take no time."""
    sent, clock = sent or Sent(), Clock()
    pace = Pace(None, clock, lambda: 0.0)
    settings = LaneSettings(pace, sent.commit, too_large, sleep or clock.sleep, 900.0, repeatable, clock)
    Lane(LaneProgress(0), Fake(post), settings).run([batch_to_send])
    return sent


def test_an_accepted_batch_takes_one_request() -> None:
    sent = send(batch(5), lambda body, items: Accepted())
    assert sent.counts == Counts(accepted=5, batches=1, requests=1, bytes_sent=len(batch(5).body))
    assert (sent.rejects, sent.accepted) == ([], [0, 10, 20, 30, 40])


def test_a_batch_without_items_takes_no_request() -> None:
    assert send(batch(0), lambda body, items: pytest.fail("sent")).counts == Counts()


@pytest.mark.fault("N6")
def test_the_items_that_a_207_names_become_rejects_and_nothing_is_sent_again() -> None:
    sent = send(batch(5), lambda body, items: Accepted((ItemError(3, "refused_invalid", "f", "why"),)))
    assert sent.rejects == [Reject(30, "refused_invalid", "f", "why")]
    assert sent.counts.requests == 1


@pytest.mark.fault("N8")
def test_a_400_that_names_items_sends_the_others_again() -> None:
    bodies = []

    def post(body: bytes, items: int) -> Verdict:
        bodies.append(numbers(body))
        if len(bodies) == 1:
            return Refused((ItemError(1, "refused_x", None, ""), ItemError(2, "refused_y", None, "")))
        return Accepted((ItemError(2, "refused_z", None, ""),))

    sent = send(batch(5), post)
    assert bodies == [[0, 1, 2, 3, 4], [0, 3, 4]]
    assert [(reject.position, reject.reason) for reject in sent.rejects] == [
        (10, "refused_x"),
        (20, "refused_y"),
        (40, "refused_z"),
    ]


@pytest.mark.fault("N7")
def test_items_that_an_ambiguous_answer_does_not_name_count_once_as_possibly_sent_twice() -> None:
    def post(body: bytes, items: int) -> Verdict:
        return Split("answer_unreadable", ambiguous=True) if items > 2 else Accepted()

    sent = send(batch(8), post)
    assert (sent.counts.possibly_sent_twice, sent.rejects) == (8, [])
    sure = send(batch(8), lambda body, items: Split("http_400") if items > 2 else Accepted())
    assert sure.counts.possibly_sent_twice == 0


@pytest.mark.fault("N8")
@given(items=st.integers(1, 200), bad=st.sets(st.integers(0, 199), max_size=6))
def test_bad_items_are_rejected_by_halving_and_good_ones_are_accepted_in_order(items: int, bad: set[int]) -> None:
    bad = {n for n in bad if n < items}
    arrived: list[int] = []

    def post(body: bytes, count: int) -> Verdict:
        sent = numbers(body)
        assert len(sent) == count
        if bad & set(sent):
            return Split("refused_invalid")
        arrived.extend(sent)
        return Accepted()

    sent = send(batch(items), post)
    assert arrived == [n for n in range(items) if n not in bad]
    assert [reject.position // 10 for reject in sent.rejects] == sorted(bad)
    assert sent.counts.requests <= 1 + 2 * len(bad) * (int(np.ceil(np.log2(items))) + 1 if items > 1 else 1)


@pytest.mark.fault("N8")
def test_the_run_stops_when_every_item_is_refused_for_one_reason() -> None:
    with pytest.raises(TooManyRejects, match=f"{HOPELESS} rows rejected.*one by one.*refused_paused") as raised:
        send(batch(500), lambda body, items: Split("refused_paused"))
    assert raised.value.resumable


@pytest.mark.fault("N6", "N8")
def test_items_refused_by_a_207_do_not_count_as_accepted_ones() -> None:
    """The first half is refused by name, the others one by one: none is accepted."""
    requests = [0]

    def post(body: bytes, items: int) -> Verdict:
        requests[0] += 1
        if requests[0] == 2:
            return Accepted(tuple(ItemError(n, "refused_x", None, "") for n in range(items)))
        return Split("refused_x")

    with pytest.raises(TooManyRejects):
        send(batch(64), post)


@pytest.mark.fault("N8")
def test_items_refused_for_other_reasons_do_not_stop_the_run() -> None:
    def post(body: bytes, items: int) -> Verdict:
        return Split(f"refused_{numbers(body)[0] % 3}")

    sent = send(batch(64), post)
    assert (sent.counts.rejected, sent.counts.accepted) == (64, 0)


@pytest.mark.fault("P1")
def test_an_announced_position_never_falls_back() -> None:
    """Rows 3 to 9 may have been sent by a killed run; if this one is killed as well, that is still so."""
    sent, clock = Sent(), Clock()
    settings = LaneSettings(
        Pace(None, clock, lambda: 0.0), sent.commit, lambda size: None, clock.sleep, 1.0, True, clock
    )
    lane = Lane(LaneProgress(0, 2, 9), Fake(lambda body, items: Accepted()), settings)
    lane.run([replace(batch(1), through=through, positions=np.array([through])) for through in (4, 7, 12)])
    assert [(each.acked_through, each.sending_through) for each in sent.commits] == [(2, 9), (4, 9), (7, 12), (12, 12)]
    assert sent.counts.possibly_sent_twice == 2


@pytest.mark.fault("N9")
def test_a_413_halves_the_batch_and_reports_how_large_it_was() -> None:
    reported: list[int] = []
    arrived: list[int] = []

    def post(body: bytes, items: int) -> Verdict:
        if len(body) > 400:
            return Split("http_413", too_large=True)
        arrived.extend(numbers(body))
        return Accepted()

    sent = send(batch(100), post, reported.append)
    assert arrived == list(range(100)) and sent.rejects == []
    assert reported and max(reported) == len(batch(100).body)


def test_an_item_that_is_too_large_by_itself_is_rejected() -> None:
    sent = send(batch(1), lambda body, items: Split("http_413", "too large", too_large=True))
    assert sent.rejects == [Reject(0, "http_413", None, "too large")]


@pytest.mark.fault("N19")
def test_items_whose_answer_was_lost_count_as_possibly_sent_twice() -> None:
    answers: Iterator[Verdict] = iter([Retry("cut", ambiguous=True), Retry("HTTP 503"), Accepted()])
    sent = send(batch(5), lambda body, items: next(answers))
    assert (sent.counts.requests, sent.counts.retries, sent.counts.possibly_sent_twice) == (3, 2, 5)


def test_after_a_503_nothing_is_counted_as_possibly_sent_twice() -> None:
    answers: Iterator[Verdict] = iter([Retry("HTTP 503"), Accepted()])
    assert send(batch(5), lambda body, items: next(answers)).counts.possibly_sent_twice == 0


def test_the_same_bytes_are_sent_again() -> None:
    bodies: list[bytes] = []

    def post(body: bytes, items: int) -> Verdict:
        bodies.append(body)
        return Accepted() if len(bodies) == 3 else Retry("HTTP 503")

    send(batch(9), post)
    assert len(set(bodies)) == 1


@pytest.mark.fault("N5")
def test_the_error_after_the_time_budget_has_the_last_answer() -> None:
    words = r"track\.example is out of reach: HTTP 503, and no batch was accepted within 900 s"
    with pytest.raises(DestinationUnavailable, match=words):
        send(batch(5), lambda body, items: Retry("HTTP 503"))


@pytest.mark.fault("N10")
def test_a_stop_rejects_nothing_and_takes_the_announcement_back() -> None:
    sent = Sent()
    with pytest.raises(CredentialsRefused):
        send(batch(5), lambda body, items: Stop(CredentialsRefused(host="h", status=401)), sent=sent)
    assert sent.announced == [99, -1] and sent.rejects == []


def leave(seconds: float) -> None:
    raise Drained


@pytest.mark.fault("P9")
@pytest.mark.parametrize(
    ("verdict", "announced"),
    [
        pytest.param(Retry("HTTP 503"), [99, -1], id="a refusal was the last answer: nothing was done"),
        pytest.param(Retry("cut", ambiguous=True), [99], id="a lost answer: some of it may have been done"),
    ],
)
def test_a_lane_that_must_stop_between_two_attempts_takes_back_only_what_was_not_done(
    verdict: Verdict, announced: list[int]
) -> None:
    sent = Sent()
    with pytest.raises(Drained):
        send(batch(5), lambda body, items: verdict, sent=sent, sleep=leave)
    assert sent.announced == announced and sent.commits[-1].acked_through == -1


@pytest.mark.fault("P9")
def test_a_batch_of_which_a_part_was_done_is_not_taken_back() -> None:
    answers: Iterator[Verdict] = iter([Split("http_400"), Accepted(), Retry("HTTP 503")])
    sent = Sent()
    with pytest.raises(Drained):
        send(batch(4), lambda body, items: next(answers), sent=sent, sleep=leave)
    assert sent.announced == [99]


@pytest.mark.fault("N19")
def test_an_item_that_cannot_be_repeated_is_not_sent_again_after_a_lost_answer() -> None:
    answers: Iterator[Verdict] = iter([Retry("HTTP 503"), Retry("cut", ambiguous=True)])
    sent = send(batch(2), lambda body, items: next(answers), repeatable=False)
    assert [(reject.position, reject.reason) for reject in sent.rejects] == [
        (0, "outcome_unknown"),
        (10, "outcome_unknown"),
    ]
    assert (sent.counts.requests, sent.counts.retries, sent.counts.accepted) == (2, 1, 0)


@pytest.mark.fault("N7")
@given(items=st.integers(1, 40), data=st.data())
def test_no_sequence_of_answers_rejects_an_item_twice(items: int, data: st.DataObject) -> None:
    requests = [0]

    def post(body: bytes, count: int) -> Verdict:
        requests[0] += 1
        errors = st.lists(st.integers(0, count - 1), unique=True, max_size=3).map(
            lambda indexes: tuple(ItemError(index, f"refused_{index}", None, "") for index in indexes)
        )
        choices: list[st.SearchStrategy[Verdict]] = [
            errors.map(Accepted),
            st.just(Split("x")),
            st.just(Split("y", too_large=True)),
        ]
        if requests[0] < 40:
            choices.append(errors.filter(bool).map(Refused))
        return data.draw(st.one_of(choices))

    try:
        sent = send(batch(items), post)
    except TooManyRejects:
        return
    positions = [reject.position for reject in sent.rejects]
    assert len(set(positions)) == len(positions) <= items
    assert set(positions) <= {10 * n for n in range(items)}
