"""Makes the rows that the benchmark loads: order events, made by arithmetic, the same for everybody, every time.

    python -m tests.benchmarks.data FOLDER --rows 2000000 --format parquet

prints the file, which is written when it isn't there yet.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow.parquet as pq

PEOPLE = 200_000
PRIME = 2_147_483_647
ROWS_AT_ONCE = 100_000  # a row group of the Parquet file; also bounds what the generator holds in memory

# Few values each, as orders have; some outside ASCII, some with characters that JSON must escape.
STATUSES = ["placed", "paid", "packed", "shipped", "returned"]
CHANNELS = ["web", "ios", "android", "shop"]
CITIES = ["Zürich", "Kraków", "東京", "Lyon", "Boston", "São Paulo", "Oslo", "Quito"]
CURRENCIES = ["EUR", "USD", "JPY", "PLN"]
PRODUCTS = ["Lamp", 'TV 27"', "Crêpe pan", "Cap\\S", "Tea, green", "Socks"]
COUPONS = ["SPRING10", "WELCOME", "VIP-20"]
NOTES = ['Ring "Müller", please', "Leave at the door"]

BODY_BYTES = 500_000  # Track v2 batch limit

# body: one full Track v2 body, whatever the number of rows
Format = Literal["parquet", "csv", "wide", "body"]
WRITTEN_AS: dict[Format, str] = {
    "parquet": "orders-{rows}.parquet",
    "csv": "orders-{rows}.csv",
    "wide": "wide-{rows}.parquet",
    "body": "body.json",
}


def draw(multiplier: int, below: int) -> pl.Expr:
    """A number below this one for each row.

    Squares modulo the prime 2^31 - 1: all of it fits in 64 bits up to four billion rows, and unlike polars' own hash
    and sampling it gives the same numbers with every version.
    """
    spread = (pl.col("row") + 1) * multiplier % PRIME
    return spread * spread % PRIME // 7 % below


def orders(start: int, stop: int) -> pl.DataFrame:
    """Rows `start` to `stop` of the data set, one order each.

    Columns: order_id Int64 (unique), customer_id String (one of PEOPLE), ordered_at Datetime(us, UTC), status, channel,
    city, currency, product String, items Int64, total, shipping Float64, gift Boolean, coupon String (half null), note
    String (nine of ten null).
    """
    row = pl.int_range(start, stop, dtype=pl.Int64, eager=True).alias("row")

    def one_of(values: list[str], multiplier: int, out_of: int | None = None) -> pl.Expr:
        place = draw(multiplier, out_of or len(values))
        return pl.lit(pl.Series(values, dtype=pl.String)).gather(pl.when(place < len(values)).then(place))

    return row.to_frame().select(
        (pl.col("row") + 1_000_000).alias("order_id"),
        ("c" + (draw(1_103_515_245, PEOPLE) + 100_000).cast(pl.String)).alias("customer_id"),
        ((1_735_689_600 + draw(48_271, 31_536_000)) * 1_000_000)
        .cast(pl.Datetime("us", "UTC"))
        .alias("ordered_at"),  # in 2025, to the second
        one_of(STATUSES, 1_664_525).alias("status"),
        one_of(CHANNELS, 22_695_477).alias("channel"),
        one_of(CITIES, 134_775_813).alias("city"),
        one_of(CURRENCIES, 69_069).alias("currency"),
        one_of(PRODUCTS, 214_013).alias("product"),
        (draw(16_807, 9) + 1).alias("items"),
        (draw(1_812_433_253, 50_000) / 100).round(2).alias("total"),
        (draw(1_566_083_941, 100) / 10).round(1).alias("shipping"),
        (draw(630_360_016, 10) == 0).alias("gift"),
        one_of(COUPONS, 397_204_094, out_of=6).alias("coupon"),
        one_of(NOTES, 950_706_376, out_of=20).alias("note"),
    )


# What a wide order has besides, by name, each null in half of the rows: with `coupon`, 30 of 41 attributes are so.
FURTHER: dict[str, pl.Expr] = {
    **{
        f"text_{place}": pl.lit(pl.Series(CITIES + PRODUCTS)).gather(draw(69_621 * place, 14)) for place in range(1, 14)
    },
    **{f"count_{place}": draw(39_373 * place, 1_000_000) for place in range(1, 7)},
    **{f"amount_{place}": (draw(48_271 * place + 1, 100_000) / 100).round(2) for place in range(1, 6)},
    **{f"flag_{place}": draw(65_539 * place, 2) == 0 for place in range(1, 6)},
}


def wide_orders(start: int, stop: int) -> pl.DataFrame:
    """The same orders, with the columns FURTHER."""
    row = pl.int_range(start, stop, dtype=pl.Int64, eager=True).alias("row").to_frame()
    further = row.select(
        pl.when(draw(1_220_703_125 + 2 * place, 2) == 0).then(value).alias(name)
        for place, (name, value) in enumerate(FURTHER.items())
    )
    return orders(start, stop).hstack(further)


def event(order: dict[str, Any]) -> dict[str, Any]:
    """An order as the item of a Track v2 batch that orders.yaml makes of it (the event's id is made up)."""
    customer_id, ordered_at = order.pop("customer_id"), order.pop("ordered_at")
    return {
        "type": "person",
        "action": "event",
        "identifiers": {"id": customer_id},
        "name": "order_placed",
        "id": f"{order['order_id']:026d}",
        "timestamp": int(ordered_at.timestamp()),
        "attributes": {name: value for name, value in order.items() if value is not None},
    }


def file_of(folder: Path, rows: int, format: Format) -> Path:
    """The file of the first `rows` orders in `folder`: written when it isn't there yet."""
    path = folder / WRITTEN_AS[format].format(rows=rows)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        {"parquet": _write_parquet, "csv": _write_csv, "wide": _write_wide, "body": _write_body}[format](
            unfinished, rows
        )
        unfinished.rename(path)
    return path


def _chunks(rows: int, made: Callable[[int, int], pl.DataFrame] = orders) -> Iterator[pl.DataFrame]:
    for start in range(0, rows, ROWS_AT_ONCE):
        yield made(start, min(start + ROWS_AT_ONCE, rows))


def _write_parquet(path: Path, rows: int, made: Callable[[int, int], pl.DataFrame] = orders) -> None:
    with pq.ParquetWriter(path, made(0, 0).to_arrow().schema, compression="zstd") as writer:
        for chunk in _chunks(rows, made):
            writer.write_table(chunk.to_arrow(), row_group_size=ROWS_AT_ONCE)


def _write_wide(path: Path, rows: int) -> None:
    _write_parquet(path, rows, wide_orders)


def _write_csv(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        for number, chunk in enumerate(_chunks(rows)):
            chunk.write_csv(file, include_header=number == 0, datetime_format="%Y-%m-%dT%H:%M:%SZ")


def _write_body(path: Path, rows: int) -> None:
    body = b'{"batch":['
    for order in orders(0, 2_000).iter_rows(named=True):
        item = json.dumps(event(order), separators=(",", ":"), ensure_ascii=False).encode()
        if len(body) + len(item) + len(b"]}") > BODY_BYTES:
            break
        body += item + b","
    path.write_bytes(body[:-1] + b"]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the benchmark's rows to a file.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--format", choices=list(WRITTEN_AS), default="parquet")
    options = parser.parse_args()
    print(file_of(options.folder, options.rows, options.format))
