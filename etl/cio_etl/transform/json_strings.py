"""Finds the strings in lines of NDJSON, and which of them are keys; no Python code per line.

The lines are sound: each is one JSON object, or one list where the entries of lists are asked for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from cio_etl.model.records import dataclass
from cio_etl.transform.arrays import np, pa

if TYPE_CHECKING:
    import numpy.typing as npt

    Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Strings:
    """The strings of some lines, keys and values: the offset of each opening and closing quote."""

    opens: Offsets
    closes: Offsets
    is_key: npt.NDArray[np.bool_]


def find_strings(lines: bytes) -> Strings:
    """The strings of whole lines. An escape stays in its string: `\\\\` and `\\"` neither open nor close one."""
    if b"\\" in lines:
        lines = lines.replace(b"\\\\", b"xx").replace(b'\\"', b"xx")
    octets = np.frombuffer(lines, np.uint8)
    quotes = np.flatnonzero(octets == ord('"'))
    opens, closes = quotes[::2], quotes[1::2]
    following = octets[closes + 1]  # an object is closed after its last string
    white_space = np.frombuffer(b" \t\r\n", np.uint8)
    if np.isin(following, white_space).any():
        places = np.flatnonzero(~np.isin(octets, white_space))
        following = octets[places[np.searchsorted(places, closes + 1)]]
    return Strings(opens, closes, following == ord(":"))


def with_placeholder_in_texts(lines: bytes, placeholder: bytes) -> bytes:
    """The lines with the placeholder at the beginning of each string that is a value."""
    strings = find_strings(lines)
    places = strings.opens[~strings.is_key] + 1
    octets, added = np.frombuffer(lines, np.uint8), np.frombuffer(placeholder, np.uint8)
    inserted = np.insert(octets, np.repeat(places, added.size), np.tile(added, places.size))
    return inserted.tobytes()


def without_repeated_keys(lines: bytes) -> bytes:
    """The lines without the earlier ones of a key that an object has twice: the last counts, as in other readers.

    So do objects inside an object. Each earlier key is removed with its value, up to the object's next key.
    """
    strings = find_strings(lines)
    opens, closes = strings.opens[strings.is_key], strings.closes[strings.is_key]
    if not opens.size:
        return lines
    octets = np.frombuffer(lines, np.uint8)
    line_ends = np.flatnonzero(octets == ord("\n"))
    hashes = _unescaped(_slices(lines, opens + 1, closes)).hash().to_numpy()
    if _alike(opens, hashes, line_ends):
        return lines
    objects = _objects(octets, strings, opens)
    keys = pl.DataFrame({"object": objects, "key": hashes})
    if not keys.is_duplicated().any():
        return lines
    earlier = ~keys.select(pl.struct("object", "key").is_last_distinct()).to_series().to_numpy()
    order = np.lexsort([opens, objects])  # the key after an earlier one is the next of its object
    next_opens = np.empty_like(opens)
    next_opens[order[:-1]] = opens[order[1:]]
    changes = np.zeros(len(lines) + 1, np.int32)
    np.add.at(changes, opens[earlier], 1)
    np.add.at(changes, next_opens[earlier], -1)
    remaining: npt.NDArray[np.uint8] = octets[np.cumsum(changes[:-1]) == 0]
    return remaining.tobytes()


def keys_of_objects(lines: bytes) -> list[str]:
    """The keys of objects, one a line, but not those of objects inside; in the order in which they first occur."""
    strings = find_strings(lines)
    opens, closes = strings.opens[strings.is_key], strings.closes[strings.is_key]
    if not opens.size:
        return []
    octets = np.frombuffer(lines, np.uint8)
    kinds = _kinds(octets) * (octets != ord(","))
    brackets = np.flatnonzero(kinds)
    brackets = brackets[~_in_strings(strings, brackets)]
    depths = np.cumsum(kinds[brackets], dtype=np.int64)
    outer = depths[np.searchsorted(brackets, opens) - 1] == 1
    keys = _slices(lines, opens[outer] + 1, closes[outer]).unique(maintain_order=True)
    return _unescaped(keys).unique(maintain_order=True).cast(pl.String).to_list()


def entries_of_lists(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The entries of JSON lists as JSON texts, one list after the other; and how many each list has.

    Null is an entry that is JSON's null.
    """
    lines = texts.str.replace_all("[\r\n]", " ") if texts.str.contains("[\r\n]").any() else texts
    data = ("".join((lines.str.join("\n")[0], "\n")) if len(lines) else "").encode()
    octets = np.frombuffer(data, np.uint8)
    kinds = _kinds(octets)
    marks = np.flatnonzero(kinds)
    marks = marks[~_in_strings(find_strings(data), marks)] if marks.size else marks
    kinds = kinds[marks]
    depths = np.cumsum(kinds * (kinds != _COMMA), dtype=np.int64)
    bounds = np.where(kinds == _CLOSES, depths == 0, (depths == 1) & (kinds != 0))
    marks, opens = marks[bounds], kinds[bounds] == _OPENS
    inside = ~opens[1:]  # between two bounds of one list
    numbers = (np.cumsum(opens) - 1)[:-1][inside]
    begins, ends = marks[:-1][inside] + 1, marks[1:][inside]
    if not begins.size:
        return pl.Series(dtype=pl.String), pl.zeros(len(texts), dtype=pl.Int64, eager=True)
    entries = _slices(data, begins, ends).cast(pl.String).str.strip_chars(" \t\r\n")
    filled = (entries != "").to_numpy()  # an empty list has one such
    counts = np.bincount(numbers[filled], minlength=len(texts))
    return entries.filter(filled).replace("null", None), pl.Series(counts, dtype=pl.Int64)


_OPENS, _CLOSES, _COMMA = 1, -1, 2


def _kinds(octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """Which bytes open, close or divide a list or an object; 0 of the others."""
    kinds = np.zeros(256, np.int8)
    kinds[[ord("["), ord("{")]], kinds[[ord("]"), ord("}")]], kinds[ord(",")] = _OPENS, _CLOSES, _COMMA
    found: npt.NDArray[np.int8] = kinds[octets]
    return found


def _in_strings(strings: Strings, places: Offsets) -> npt.NDArray[np.bool_]:
    """Which of these places, in rising order, are inside a string."""
    if not strings.opens.size:
        return np.zeros(places.size, np.bool_)
    before = np.searchsorted(strings.opens, places)
    inside: npt.NDArray[np.bool_] = (before > 0) & (places < strings.closes[np.maximum(before, 1) - 1])
    return inside


def _alike(opens: Offsets, hashes: npt.NDArray[np.uint64], line_ends: Offsets) -> bool:
    """Whether all lines have the same keys in the same order, each once: most files are so, and this is fast to see.

    Keys of objects inside are included, so the answer is no where a key is both outside and inside.
    """
    first_end = line_ends[line_ends > opens[0]][:1]
    width = int(np.searchsorted(opens, first_end[0])) if first_end.size else 0
    if not width or opens.size % width:
        return False
    table = hashes.reshape(-1, width)
    begins, ends = (np.searchsorted(line_ends, opens[at::width]) for at in (0, width - 1))
    in_own_lines = bool((begins == ends).all() and (np.diff(begins) > 0).all())
    return in_own_lines and bool((table == table[0]).all()) and np.unique(table[0]).size == width


def _slices(data: bytes, begins: Offsets, ends: Offsets) -> pl.Series:
    """The bytes from each begin to its end; begins and ends rise."""
    offsets = np.column_stack([begins, ends]).ravel()
    buffers = [None, pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(data)]
    pieces = pa.Array.from_buffers(pa.large_binary(), offsets.size - 1, buffers)  # every other one lies between two
    return pl.Series(pieces).gather_every(2)


def _unescaped(keys: pl.Series) -> pl.Series:
    """The keys as they are without escapes, so that one that is written in two ways is one key."""
    escaped = keys.filter(keys.bin.contains(b"\\")).unique()
    plain = [json.loads(b'"%s"' % key, strict=False).encode(errors="surrogatepass") for key in escaped]
    return keys.replace(escaped, pl.Series(plain, dtype=pl.Binary)) if plain else keys


def _objects(octets: npt.NDArray[np.uint8], strings: Strings, offsets: Offsets) -> Offsets:
    """A number for the object in which each offset is, the same for offsets of one object."""
    opened = (octets == ord("{")) | (octets == ord("["))
    brackets = np.flatnonzero(opened | (octets == ord("}")) | (octets == ord("]")))
    brackets = brackets[~_in_strings(strings, brackets)]
    opens = opened[brackets]
    depths = np.cumsum(np.where(opens, 1, -1))
    own_depths = depths[np.searchsorted(brackets, offsets) - 1]
    begins = np.sort(depths[opens] * octets.size + brackets[opens])  # by depth, then by place
    return np.searchsorted(begins, own_depths * octets.size + offsets)
