"""Sets of offsets as bits, beside Python's own sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.extract.text import bits

SIZES = st.integers(1, 200)


@st.composite
def blocks(draw: st.DrawFn) -> tuple[int, set[int]]:
    size = draw(SIZES)
    return size, draw(st.sets(st.integers(0, size - 1)))


def of(size: int, offsets: set[int]) -> bits.Bits:
    mask = np.zeros(size, np.bool_)
    mask[list(offsets)] = True
    return bits.packed(mask)


def listed(words: bits.Bits, size: int) -> set[int]:
    return set(bits.offsets(words, size).tolist())


@given(blocks())
def test_a_mask_gives_its_offsets(block: tuple[int, set[int]]) -> None:
    size, offsets = block
    assert bits.offsets(of(size, offsets), size).tolist() == sorted(offsets)
    assert bits.first(of(size, offsets), size) == min(offsets, default=size)
    assert [bits.is_set(of(size, offsets), at) for at in range(size)] == [at in offsets for at in range(size)]


@given(blocks(), st.booleans())
def test_neighbours_are_found_over_the_borders_of_words(block: tuple[int, set[int]], begins: bool) -> None:
    size, offsets = block
    before = {at for at in range(size) if at - 1 in offsets} | ({0} if begins else set())
    assert listed(bits.previous(of(size, offsets), begins_with=begins), size) == before
    assert listed(bits.following(of(size, offsets)), size) == {at for at in range(size) if at + 1 in offsets}


@given(blocks())
def test_a_quote_toggles_between_outside_and_inside(block: tuple[int, set[int]]) -> None:
    size, offsets = block
    inside = {at for at in range(size) if sum(quote <= at for quote in offsets) % 2}
    assert listed(bits.inside(of(size, offsets)), size) == inside


@given(blocks(), st.data())
def test_offsets_are_counted_up_to_any_place(block: tuple[int, set[int]], data: st.DataObject) -> None:
    size, offsets = block
    places = sorted(data.draw(st.sets(st.integers(0, size))))
    counts = bits.counted_before(of(size, offsets), np.array(places, np.int64))
    assert counts.tolist() == [sum(at < place for at in offsets) for place in places]
