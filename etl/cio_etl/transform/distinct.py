"""A Python function over a column, called once for each distinct value of a frame instead of each row.

Values that repeat from frame to frame are cached by the function itself: give it an lru_cache of CACHED_VALUES if it
costs more than a cache lookup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from cio_etl.transform.arrays import are_worthwhile, pa

CACHED_VALUES = 50_000  # per function: some 10 MB


def by_distinct(value: pl.Expr, function: Callable[[Any], Any], dtype: pl.DataType) -> pl.Expr:
    """`function` of each value, of type `dtype`; null stays null, and None becomes null.

    The function must return the same result for the same value, and may be called by several threads at once. An error
    that it raises leaves the frame's select; it must not quote the value.
    """

    def mapped(column: pl.Series) -> pl.Series:
        if not are_worthwhile(len(column)):
            made = [None if one is None else function(one) for one in column.to_list()]
            return pl.Series(column.name, made, dtype=dtype)
        arrow = pl.Series(dtype=dtype).to_arrow().type  # pyarrow converts Python lists twenty times as fast
        coded = column.to_arrow().dictionary_encode()
        made = pa.array([function(one) for one in coded.dictionary.to_pylist()], type=arrow)
        return pl.Series(column.name, made, dtype=dtype).gather(pl.Series(coded.indices))

    return value.map_batches(mapped, return_dtype=dtype, is_elementwise=True)
