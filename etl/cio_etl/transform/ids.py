"""The lane of a person and the id of an event. Both are part of the stored state's format.

Neither may change with a library's version or with the machine: xxHash64 and SHA-256 are specifications, and the
tests compare both functions with known results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from polars_hash import CryptographicHashingNameSpace, NonCryptographicHashingNameSpace

from cio_etl.transform.arrays import are_worthwhile, np, pa

if TYPE_CHECKING:
    import numpy.typing as npt

    Words = npt.NDArray[Any]  # of np.uint64

LANE_HASH = "xxhash64"  # stored with a run: its lane progress is void under another hash

CROCKFORD = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def lane(identifier: pl.Expr, kind: str, lanes: int) -> pl.Expr:
    """The lane (UInt8) of each identifier text: rows of one person have the same lane. Null is lane 0.

    Case does not count in e-mail addresses: Customer.io treats them as one person (identifying people).
    """
    text = identifier.str.to_lowercase() if kind == "email" else identifier
    return (NonCryptographicHashingNameSpace(text).xxhash64() % lanes).fill_null(0).cast(pl.UInt8)


def key_digest(event: pl.Expr | str, key: Sequence[pl.Expr]) -> pl.Expr:
    """SHA-256, in hex, of an event's name and the text of its key columns.

    Each part is preceded by its length in bytes, so ("ab", "c") and ("a", "bc") differ. A null part makes a null
    digest.
    """
    pieces = [pl.lit(f"cio-etl/1;{len(event.encode())}:{event}") if isinstance(event, str) else pl.lit("cio-etl/1;")]
    for part in key if isinstance(event, str) else (event, *key):
        pieces += [part.str.len_bytes().cast(pl.String), pl.lit(":"), part]
    return CryptographicHashingNameSpace(pl.concat_str(pieces)).sha2_256()


IS_ULID = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"


def own_digest(own_id: pl.Expr) -> pl.Expr:
    """SHA-256, in hex, of the id that an event has in its source. A ULID is the same one in small letters."""
    text = pl.when(own_id.str.contains(IS_ULID)).then(own_id.str.to_uppercase()).otherwise(own_id)
    return CryptographicHashingNameSpace(pl.concat_str([pl.lit("cio-etl/id;"), text])).sha2_256()


def subject(parts: Sequence[pl.Expr], salt: int) -> list[pl.Expr]:
    """128 bits (two UInt64) of the texts that say whom or what an item is about; null where one of them is null."""
    pieces = [piece for part in parts for piece in (part.str.len_bytes().cast(pl.String), pl.lit(":"), part)]
    text = NonCryptographicHashingNameSpace(pl.concat_str(pieces))
    return [text.xxhash64(seed=salt), text.xxhash64(seed=salt ^ _OTHER_HALF)]


_OTHER_HALF = 0x9E3779B97F4A7C15


def text_hash(text: pl.Expr, salt: int) -> pl.Expr:
    """64 bits (UInt64) of a text; null where it is null."""
    named = text.alias("text")  # decimals.NUMBER, a name with a NUL, would end the process in polars' plugin
    return NonCryptographicHashingNameSpace(named).xxhash64(seed=salt)


def content(hashes: Mapping[str, pl.Expr], salt: int) -> pl.Expr:
    """64 bits (UInt64) of the hashes of a row and their names together; a null is left out."""
    named = [pl.lit(f"{len(name)}:{name} ") + hashes[name].cast(pl.String) for name in sorted(hashes)]
    return text_hash(pl.concat_str([pl.lit(""), *named], separator=",", ignore_nulls=True), salt)


_ULID: Any = {"names": ["head", "time", "key", "rest"], "formats": [">u2", *3 * [">u8"]], "offsets": [0, 2, 10, 18]}


def _of_hex(digits: Words) -> Words:
    """The 32 bits that each word of 8 hexadecimal digits says, all of its digits at once."""
    words: Words = digits.astype(np.uint64)
    words = (words & 0x0F0F0F0F0F0F0F0F) + 9 * (words >> 6 & 0x0101010101010101)
    for shift, kept in ((4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF), (16, 0xFFFFFFFF)):
        words = (words | words >> shift) & kept
    return words


def _base_32(words: Words) -> Words:
    """The lowest 40 bits of each word as 8 bytes of 5 bits."""
    for shift, moved, kept in (
        (12, 0x000000FFFFF00000, 0x00000000000FFFFF),
        (6, 0x000FFC00000FFC00, 0x000003FF000003FF),
        (3, 0x03E003E003E003E0, 0x001F001F001F001F),
    ):
        words = (words & moved) << shift | words & kept
    return words


def ulids(seconds: pl.Series, digests: pl.Series) -> pl.Series:
    """ULIDs of the events' own times (Unix seconds) and the first 80 bits of their digests; null where either is.

    Source: the ULID specification, 48 bits of milliseconds and 80 bits, in Crockford's base 32.
    """
    count = len(seconds)
    known = None
    if seconds.dtype != pl.Int64 or seconds.null_count() or digests.null_count():
        seconds = seconds.cast(pl.Int64, strict=False)  # past 64 bits: a reject
        known = seconds.is_not_null() & digests.is_not_null()
        seconds, digests = seconds.fill_null(0), digests.fill_null("0" * 64)
    if are_worthwhile(count):
        column = _many_ulids(seconds, digests)
    else:
        column = pl.Series("id", map(_ulid, seconds.to_list(), digests.to_list()), dtype=pl.String)
    return column if known is None else column.zip_with(known, pl.Series("id", [None], dtype=pl.String))


def _ulid(seconds: int, digest: str) -> str:
    number = min(max(seconds, 0), _LATEST_S) * 1000 << 80 | int(digest[:20], 16)
    return "".join(chr(CROCKFORD[number >> bits & 31]) for bits in range(125, -1, -5))


_LATEST_S = 2**47 // 1000


def _many_ulids(seconds: pl.Series, digests: pl.Series) -> pl.Series:
    count = len(seconds)
    milliseconds = np.clip(seconds.to_numpy(), 0, _LATEST_S).astype(np.uint64) * 1000
    digits = np.frombuffer(digests.to_arrow().buffers()[2], ">u8", count * 8).reshape(count, 8)
    first, second, third = (_of_hex(digits[:, place]) for place in range(3))
    made = np.empty(count, dtype=np.dtype(_ULID))
    made["head"] = _base_32(milliseconds >> 40)
    made["time"] = _base_32(milliseconds)
    made["key"] = _base_32(first << 8 | second >> 24)
    made["rest"] = _base_32(second << 16 | third >> 16)
    text = pa.py_buffer(made.tobytes().translate(CROCKFORD.ljust(256)))
    ends = pa.py_buffer(np.arange(0, 26 * count + 1, 26, dtype=np.int64))
    batch = pa.record_batch([pa.LargeStringArray.from_buffers(count, ends, text)], ["id"])
    return pl.DataFrame(batch)["id"]  # of an array alone, polars imports pyarrow.compute
