"""What is remembered of a condition on texts changes no answer: it is as if each text of each frame were looked at."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.audit.findings import Tally, TextCondition
from cio_etl.model import POSITION
from cio_etl.transform import ITEMS_SCHEMA, Mapped

TARGETS = ("attributes.a", "attributes.b")
TEXTS = st.lists(st.sampled_from([None, "", "x", "12", "1e3", "n/a", "nan", "gold", "-"]), max_size=8)


def mapped(values: pl.DataFrame) -> Mapped:
    return Mapped(values.select(POSITION), values, pl.DataFrame(schema=ITEMS_SCHEMA))


def is_finite(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.Float64, strict=False).is_finite()  # null where it is no number


def compare(frames: Sequence[pl.DataFrame]) -> None:
    """Each answer, and the sum over all frames, is as of a fresh look at all texts."""
    conditions = (TextCondition(is_finite), TextCondition(lambda text: text.str.contains("^$|a")))
    tallies = {(target, n): Tally() for target in TARGETS for n in range(2)}
    wanted = dict.fromkeys(tallies, 0)
    for frame in frames:
        these = mapped(frame)
        for target in TARGETS:
            fresh = frame.select(is_finite(pl.col(target)), pl.col(target).str.contains("^$|a").alias("other"))
            for n, condition in enumerate(conditions):
                holds = fresh.to_series(n).fill_null(False)
                met = condition.met(these, frame, target)
                assert (met is None and not holds.any()) or (met is not None and met.to_list() == holds.to_list())
                tallies[target, n].add(frame[POSITION], met)
                wanted[target, n] += int(holds.sum())
    assert {key: tally.rows for key, tally in tallies.items()} == wanted


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_texts_that_come_back_in_later_frames_are_judged_as_before(columns: list[tuple[list[str], list[str]]]) -> None:
    frames = []
    for a, b in columns:
        size = min(len(a), len(b))
        texts = {target: pl.Series(each[:size], dtype=pl.String) for target, each in zip(TARGETS, (a, b), strict=True)}
        frames.append(pl.DataFrame({POSITION: pl.Series(range(size), dtype=pl.Int64), **texts}))
    compare(frames)


def test_more_texts_than_are_remembered_are_judged_as_well() -> None:
    frames = []
    for number in range(4):  # the first thousand are few, so that all of the frame are remembered
        texts = ["x"] * 1_000 + [
            f"{place}{'' if place % 7 else 'a'}" for place in range(number * 6_000, (number + 1) * 6_000)
        ]
        column = pl.Series(texts, dtype=pl.String)
        frames.append(pl.DataFrame({POSITION: range(len(texts)), TARGETS[0]: column, TARGETS[1]: column + str(number)}))
    compare(frames)
