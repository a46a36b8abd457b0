"""How does a Python function make a column, without running for each row? Once for each distinct value of a frame.

What repeats from frame to frame is remembered by the function itself: give it an lru_cache of REMEMBERED values, if it
costs more than looking a value up does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pyarrow as pa

REMEMBERED = 50_000  # values, of each function: some 10 MB


def by_distinct(value: pl.Expr, function: Callable[[Any], Any], dtype: pl.DataType) -> pl.Expr:
    """`function` of each value, of type `dtype`; null stays null, and where it answers None it becomes null.

    The function must answer the same for the same value, and may be called by several threads at once. What it raises
    comes out of the frame's select; it must not quote the value.
    """

    arrow = pl.Series(dtype=dtype).to_arrow().type  # pyarrow makes lists of Python's twenty times as fast

    def mapped(column: pl.Series) -> pl.Series:
        coded = column.to_arrow().dictionary_encode()
        made = pa.array([function(one) for one in coded.dictionary.to_pylist()], type=arrow)
        return pl.Series(column.name, made, dtype=dtype).gather(pl.Series(coded.indices))

    return value.map_batches(mapped, return_dtype=dtype, is_elementwise=True)
