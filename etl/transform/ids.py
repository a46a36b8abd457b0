"""What names a row for ever: its person's lane and its event's id. Both are part of the stored state's format.

Neither may change with a library's version or with the machine: xxHash64 and SHA-256 are specifications, and the
tests hold both functions to known answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from polars_hash import CryptographicHashingNameSpace, NonCryptographicHashingNameSpace

LANE_HASH = "xxhash64"  # stored with a run: its marks mean nothing under another hash

CROCKFORD = np.frombuffer(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", dtype=np.uint8)
_NIBBLE = np.zeros(256, dtype=np.uint32)
_NIBBLE[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)


def lane(identifier: pl.Expr, kind: str, lanes: int) -> pl.Expr:
    """The lane (UInt8) of each identifier text: rows of one person have one lane. Null is lane 0.

    E-mail addresses are one person whatever their case (Customer.io: identifying people), so it does not count there.
    """
    text = identifier.str.to_lowercase() if kind == "email" else identifier
    return (NonCryptographicHashingNameSpace(text).xxhash64() % lanes).fill_null(0).cast(pl.UInt8)


def key_digest(event: pl.Expr, key: Sequence[pl.Expr]) -> pl.Expr:
    """SHA-256, in hex, of an event's name and the text of its key columns.

    Each part is preceded by its length, so ("ab", "c") and ("a", "bc") differ. A null part makes a null digest.
    """
    parts = [pl.concat_str([part.str.len_bytes().cast(pl.String), pl.lit(":"), part]) for part in (event, *key)]
    return CryptographicHashingNameSpace(pl.concat_str([pl.lit("cio-etl/1;"), *parts])).sha2_256()


def ulids(seconds: pl.Series, digests: pl.Series) -> pl.Series:
    """ULIDs of the events' own times (Unix seconds) and the first 80 bits of their digests; null where either is.

    Source: the ULID specification, 48 bits of milliseconds and 80 bits, in Crockford's base 32.
    """
    known = seconds.is_not_null() & digests.is_not_null()
    count = len(seconds)
    milliseconds = (seconds.fill_null(0).cast(pl.Float64).floor().cast(pl.Int64).clip(0, 2**47 // 1000) * 1000).to_numpy()
    text = np.empty((count, 26), dtype=np.uint8)
    for place in range(10):
        text[:, place] = CROCKFORD[(milliseconds >> (45 - 5 * place)) & 31]
    hexadecimal = digests.fill_null("0" * 64).to_arrow()
    nibbles = _NIBBLE[np.frombuffer(hexadecimal.buffers()[2], dtype=np.uint8, count=count * 64).reshape(count, 64)[:, :20]]
    for group in range(4):  # 5 hexadecimal digits are 20 bits are 4 characters of base 32
        bits = np.zeros(count, dtype=np.uint32)
        for nibble in range(5):
            bits = (bits << 4) | nibbles[:, 5 * group + nibble]
        for place in range(4):
            text[:, 10 + 4 * group + place] = CROCKFORD[(bits >> (15 - 5 * place)) & 31]
    offsets = np.arange(0, 26 * count + 1, 26, dtype=np.int64)
    column = pl.Series("id", pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text)))
    return column if known.all() else column.zip_with(known, pl.Series("id", [None], dtype=pl.String))
