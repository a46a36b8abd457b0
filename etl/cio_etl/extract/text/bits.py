"""Sets of offsets of a block of bytes, a bit for each byte: 64 of them are compared, moved or counted at once.

Bit k of word w stands for the byte at 64 w + k. Bits behind the end of the block mean nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint64]

_WORD = 64
_ONE, _LAST = np.uint64(1), np.uint64(_WORD - 1)


def packed(mask: npt.NDArray[np.bool_]) -> Bits:
    """The offsets at which a mask of the block is true."""
    words = np.zeros(-(-len(mask) // _WORD), "<u8")
    octets = np.packbits(mask, bitorder="little")
    words.view(np.uint8)[: len(octets)] = octets
    return words


def offsets(bits: Bits, size: int) -> npt.NDArray[np.int64]:
    """The offsets below `size`, in ascending order."""
    return np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little", count=size).view(np.bool_))


def first(bits: Bits, size: int) -> int:
    """The least offset; `size` where there is none below it."""
    if not bits.any():
        return size
    word = int(np.argmax(bits != 0))
    lowest = int(bits[word]) & -int(bits[word])
    return min(_WORD * word + lowest.bit_length() - 1, size)


def is_set(bits: Bits, offset: int) -> bool:
    """Whether the offset is in the set."""
    return bool(bits[offset // _WORD] >> np.uint64(offset % _WORD) & _ONE)


def previous(bits: Bits, *, begins_with: bool = False) -> Bits:
    """The offsets whose predecessor is in the set; the first one has none, and is there if `begins_with`."""
    moved = bits << _ONE
    moved[1:] |= bits[:-1] >> _LAST
    if begins_with:
        moved[:1] |= _ONE
    return moved


def following(bits: Bits) -> Bits:
    """The offsets whose successor is in the set."""
    moved = bits >> _ONE
    moved[:-1] |= bits[1:] << _LAST
    return moved


def inside(toggles: Bits) -> Bits:
    """The offsets up to which, themselves included, there is an odd number of these."""
    odd = toggles.copy()
    for distance in (1, 2, 4, 8, 16, 32):
        odd ^= odd << np.uint64(distance)
    before = np.zeros_like(odd)
    before[1:] = np.bitwise_xor.accumulate(odd >> _LAST)[:-1]
    odd ^= np.uint64(0) - before
    return odd


def counted_before(bits: Bits, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many of the offsets are below each place, of which none is behind the end of the block."""
    words = np.append(bits, np.uint64(0))  # a place at the very end may begin a word of its own
    counts = np.zeros(len(words), np.int64)
    np.cumsum(np.bitwise_count(words[:-1]), out=counts[1:])
    word = places // _WORD
    below = (_ONE << (places % _WORD).astype(np.uint64)) - _ONE
    return counts[word] + np.bitwise_count(words[word] & below)
