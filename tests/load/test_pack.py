"""Bodies: as full as the limit lets them be, never over it, every row once and in its lane's order."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.load.pack import REJECTS_A_BATCH, Packer
from cio_etl.model import Batch, Envelope, Reject
from cio_etl.transform import ITEMS_SCHEMA

Row = tuple[int, str | None, str | None]  # lane, item without its comma, reason


def items(rows: list[Row], start: int = 0) -> pl.DataFrame:
    listed = [
        (start + place, lane, None if item is None else f"{item},", reason, None if reason is None else "f", None)
        for place, (lane, item, reason) in enumerate(rows)
    ]
    return pl.DataFrame(listed, schema=ITEMS_SCHEMA, orient="row")


def packed(packer: Packer, frames: list[pl.DataFrame]) -> list[Batch]:
    """Every batch, in the order in which it was handed out."""
    handed = [packer.add(frame) for frame in frames] + [packer.finish()]
    return [batch for by_lane in handed for batches in by_lane.values() for batch in batches]


def fresh(lanes: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.full(lanes, -1)


def item(position: int, length: int) -> str:
    text = json.dumps({"n": position, "pad": ""}, separators=(",", ":"))
    return text[:-2] + "x" * (length - len(text)) + text[-2:]


def test_a_batch_closes_before_the_item_that_would_exceed_500_kb() -> None:
    rows: list[Row] = [(0, item(n, 1_000), None) for n in range(1_200)]
    batches = packed(Packer(500_000, fresh(1)), [items(rows)])
    assert [len(batch.body) for batch in batches] == [12 + 499 * 1_001 - 1] * 2 + [12 + 202 * 1_001 - 1]
    assert [batch.through for batch in batches] == [498, 997, 1_199]


def test_a_body_of_exactly_the_limit_is_one_batch() -> None:
    limit = 12 + 40 * 1_001 - 1
    assert len(packed(Packer(limit, fresh(1)), [items([(0, item(n, 1_000), None) for n in range(40)])])) == 1
    assert len(packed(Packer(limit - 1, fresh(1)), [items([(0, item(n, 1_000), None) for n in range(40)])])) == 2


def test_an_item_that_just_fits_is_in_the_body_also_where_more_follow() -> None:
    limit = 12 + 40 * 1_001 - 1
    batches = packed(Packer(limit, fresh(1)), [items([(0, item(n, 1_000), None) for n in range(90)])])
    assert [len(batch.positions) for batch in batches] == [40, 40, 10]
    assert len(batches[0].body) == limit


def test_an_unfinished_body_is_carried_into_the_next_frame() -> None:
    frames = [items([(0, item(n + 10 * f, 300), None) for n in range(10)], start=10 * f) for f in range(400)]
    batches = packed(Packer(500_000, fresh(1)), frames)
    assert all(len(batch.body) > 0.99 * 500_000 for batch in batches[:-1])
    assert sum(len(batch.positions) for batch in batches) == 4_000


def test_bodies_are_more_than_99_percent_full() -> None:
    rng = np.random.default_rng(7)
    rows: list[Row] = [(int(rng.integers(4)), item(n, int(rng.integers(200, 600))), None) for n in range(20_000)]
    frames = [items(rows[start : start + 5_000], start) for start in range(0, 20_000, 5_000)]
    full = [batch for batch in packed(Packer(500_000, fresh(4)), frames) if batch.through < 19_900]
    assert sum(len(batch.body) for batch in full) > 0.99 * 500_000 * len(full)


def test_rejected_and_skipped_rows_are_in_the_batch_of_their_lane() -> None:
    rows: list[Row] = [(0, '{"a":1}', None), (0, None, "row_ragged"), (1, None, None), (0, '{"a":2}', None)]
    first, second = packed(Packer(500_000, fresh(2)), [items(rows)])[::-1]
    assert first.body == b'{"batch":[{"a":1},{"a":2}]}'
    assert (first.rejects, first.skipped, first.through) == ((Reject(1, "row_ragged", "f"),), 0, 3)
    assert first.positions.tolist() == [0, 3]
    assert [first.body[:end][-7:] for end in first.ends] == [b'{"a":1}', b'{"a":2}']
    assert (second.body, second.skipped, second.through) == (b"", 1, 2)


def test_rows_that_are_acknowledged_already_are_left_out() -> None:
    rows: list[Row] = [(n % 2, f'{{"n":{n}}}', None) for n in range(10)]
    batches = packed(Packer(500_000, np.array([4, 5])), [items(rows)])
    assert sorted(position for batch in batches for position in batch.positions.tolist()) == [6, 7, 8, 9]
    assert all(not batch.rejects and not batch.skipped for batch in batches)


def test_a_lane_of_rejects_only_does_not_keep_them_in_memory() -> None:
    packer = Packer(500_000, fresh(1))
    rows: list[Row] = [(0, '{"n":0}', None), *((0, None, "row_ragged") for _ in range(REJECTS_A_BATCH))]
    assert [len(batch.rejects) for batch in packer.add(items(rows))[0]] == [REJECTS_A_BATCH]


def test_after_a_413_bodies_are_half_as_large() -> None:
    packer = Packer(500_000, fresh(1))
    packer.too_large(400_000)
    packer.too_large(450_000)  # another lane's, which was packed before
    batches = packed(packer, [items([(0, item(n, 1_000), None) for n in range(1_000)])])
    assert max(len(batch.body) for batch in batches) == 12 + 199 * 1_001 - 1


@pytest.mark.parametrize("refused", [10, 40_000])
def test_a_body_never_gets_too_small_for_one_item(refused: int) -> None:
    packer = Packer(500_000, fresh(1))
    packer.too_large(refused)
    assert len(packed(packer, [items([(0, item(0, 32_000), None), (0, item(1, 32_000), None)])])) == 2


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(
            st.none(), st.text("aé漢😀", max_size=40).map(lambda text: json.dumps({"t": text}, ensure_ascii=False))
        ),
    ),
    max_size=60,
)


@given(rows=ROWS, frame_rows=st.integers(1, 20), limit=st.integers(230, 600))
def test_every_row_is_in_one_batch_and_rows_stay_in_order(
    rows: list[tuple[int, str | None]], frame_rows: int, limit: int
) -> None:
    listed: list[Row] = [(lane, text, "bad" if text is None and n % 2 else None) for n, (lane, text) in enumerate(rows)]
    frames = [items(listed[start : start + frame_rows], start) for start in range(0, len(rows), frame_rows)]
    batches = packed(Packer(limit, fresh(4)), frames)
    assert all(len(batch.body) == batch.size <= limit for batch in batches)
    dry = packed(Packer(limit, fresh(4), makes_bodies=False), frames)
    assert [(b.lane, b.through, b.size, b.rejects) for b in dry] == [
        (b.lane, b.through, b.size, b.rejects) for b in batches
    ]
    assert not any(batch.body for batch in dry)
    for lane in range(4):
        own = [batch for batch in batches if batch.lane == lane]
        sent = [body for batch in own if batch.body for body in json.loads(batch.body)["batch"]]
        assert sent == [json.loads(text) for at, text, _ in listed if at == lane and text is not None]
        assert [p for batch in own for p in batch.positions] == [
            n for n, (at, text, _) in enumerate(listed) if at == lane and text is not None
        ]
        assert [reject.position for batch in own for reject in batch.rejects] == [
            n for n, (at, _, reason) in enumerate(listed) if at == lane and reason
        ]
        assert sum(batch.skipped for batch in own) == sum(
            at == lane and text is None and not reason for at, text, reason in listed
        )
        throughs = [batch.through for batch in own]
        assert throughs == sorted(set(throughs))
        assert all(text[-1:] == b"}" for batch in own for text in (batch.body[:end] for end in batch.ends))


def test_a_body_has_at_most_as_many_items_as_its_envelope_allows() -> None:
    rows: list[Row] = [(n % 2, None if n % 5 == 0 else f'"{n}"', "r" if n % 10 == 0 else None) for n in range(100)]
    ids = Envelope(b'{"ids":[', b"]}", 7)
    batches = packed(Packer(500_000, fresh(2), ids), [items(rows[:30]), items(rows[30:], start=30)])
    bodies = [json.loads(batch.body)["ids"] for batch in batches if batch.body]
    assert max(map(len, bodies)) == 7 and sum(map(len, bodies)) == 80
    assert sorted(int(one) for ids in bodies for one in ids) == [n for n in range(100) if n % 5]
    assert [int(one) for batch in batches if batch.body for one in json.loads(batch.body)["ids"]] == [
        position for batch in batches for position in batch.positions
    ]
    assert sum(len(batch.rejects) for batch in batches) == 10 and sum(batch.skipped for batch in batches) == 10


def test_a_body_may_be_one_item_without_an_envelope() -> None:
    alone = Envelope(b"", b"", 1)
    batches = packed(
        Packer(500_000, fresh(1), alone), [items([(0, '{"n":1}', None), (0, None, "r"), (0, '{"n":2}', None)])]
    )
    assert [batch.body for batch in batches] == [b'{"n":1}', b'{"n":2}']
    assert [len(batch.rejects) for batch in batches] == [1, 0]


def test_rows_that_may_have_been_sent_and_must_not_be_repeated_are_rejects() -> None:
    rows: list[Row] = [(n % 2, None if n == 4 else item(n, 100), None) for n in range(10)]
    acked, announced = np.array([1, 2]), np.array([6, 2])
    (even, odd) = packed(Packer(500_000, acked, announced=announced), [items(rows)])
    assert [(reject.position, reject.reason) for reject in even.rejects] == [
        (2, "outcome_unknown"),
        (6, "outcome_unknown"),
    ]
    assert list(even.positions) == [8] and even.skipped == 1
    assert list(odd.positions) == [3, 5, 7, 9] and odd.rejects == ()
