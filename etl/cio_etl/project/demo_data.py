"""Writes the data of the demo: a realistic shop's export, 5,000 customers and 12,000 orders, half a per cent bad.

These are customers.csv (separator ";") and orders-1.parquet to orders-3.parquet, the same bytes for the same seed.
BAD_CUSTOMERS and BAD_ORDERS define how many rows must be rejected and why; all other oddities (leading zeros, quotes,
line breaks inside a field, accents, empty fields) must be sent.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

SEED = 20_250_101
CUSTOMERS, ORDERS, ORDER_FILES = 5_000, 12_000, 3
HEADER = (
    *("customer_id", "e_mail", "first_name", "last_name", "phone"),
    *("plan_name", "signed_up", "country", "balance_cents", "tags", "notes"),
)

FIRST_NAMES = ("Zoë", "José", "Ayşe", "Søren", "李", "Anna", "Noah", "Mia", "Olu", "Chloé", "Łukasz", "Яна", "David")
LAST_NAMES = ("O'Brien", "Müller", "Nguyễn", "Smith", "García", "Kowalski", "王", "da Silva", "Öztürk", "Dvořák")
COUNTRIES = ("FR", "DE", "GB", "PL", "ES", "NL", "")
PLANS = ("free", "free", "free", "pro", "pro", "team", "")
TAGS = ("", "newsletter", "newsletter,beta", "vip,newsletter", "beta")
NOTES = ('likes the "blue" one', "call back\nafter 18:00", "paid; thanks", "  two spaces  ", "café ☕", "", "", "", "")
BAD_EMAILS = ("anna@@example.com", "no-at.example.com", "a b@example.com", "@example.com")
BAD_DATES = ("2024-02-31 10:00", "yesterday", "31/31/2024")
PRODUCTS = ("Espresso cups, 6", 'Moka pot 3"', "Thé vert 100 g", "Filtre à café", "Grinder", "コーヒー豆")
COUPONS = ("", "", "", "SPRING", "WELCOME10")
STATUSES = ("paid", "paid", "paid", "paid", "shipped", "returned", "test")


BAD_CUSTOMERS: dict[str, tuple[int, Callable[[list[str], random.Random], list[str]]]] = {
    "too few fields": (3, lambda row, dice: row[:-2]),
    "too many fields": (2, lambda row, dice: [*row, "", "old"]),
    "no identifier": (6, lambda row, dice: _with(row, "customer_id", "")),
    "malformed e-mail": (6, lambda row, dice: _with(row, "e_mail", dice.choice(BAD_EMAILS))),
    "unreadable date": (5, lambda row, dice: _with(row, "signed_up", dice.choice(BAD_DATES))),
    "over-long value": (3, lambda row, dice: _with(row, "notes", "blah " * 300)),
}
BAD_ORDERS = {"no customer": 20, "no order number": 18, "no time": 12, "time out of range": 10}


def customers(seed: int = SEED) -> Iterator[list[str]]:
    """The rows of customers.csv, bad ones among them, without the header."""
    dice = random.Random(seed)  # nosec B311 # no secret is made of it
    faults = [spoil for count, spoil in BAD_CUSTOMERS.values() for _ in range(count)]
    eligible = [number for number in range(CUSTOMERS) if not _is_internal(number)]
    spoiled = dict(zip(dice.sample(eligible, len(faults)), faults, strict=True))
    for number in range(CUSTOMERS):
        row = _customer(number, dice)
        yield spoiled[number](row, dice) if number in spoiled else row


def orders(seed: int = SEED) -> pl.DataFrame:
    """All orders, bad ones among them, in order of time."""
    dice = np.random.default_rng(seed)
    placed_at_ms = np.sort(dice.integers(1_704_067_200_000, 1_767_225_600_000, ORDERS))  # 2024 and 2025
    frame = pl.DataFrame(
        {
            "order_id": [f"{number:07d}" for number in range(1, ORDERS + 1)],
            "customer_id": [customer_id(number) for number in dice.integers(0, CUSTOMERS, ORDERS).tolist()],
            "placed_at": placed_at_ms,
            "product": dice.choice(np.array(PRODUCTS), ORDERS).tolist(),
            "quantity": dice.integers(1, 6, ORDERS),
            "cents": dice.integers(199, 30_000, ORDERS),
            "coupon": dice.choice(np.array(COUPONS), ORDERS).tolist(),
            "status": dice.choice(np.array(STATUSES), ORDERS).tolist(),
        }
    ).with_columns(coupon=pl.col("coupon").replace("", None))
    eligible = (frame["status"] != "test").arg_true().to_numpy()
    return _spoil_orders(frame, dice.choice(eligible, sum(BAD_ORDERS.values()), replace=False))


def customer_id(number: int) -> str:
    """A number with leading zeros, which matter: 00042 is not 42."""
    return f"{number + 1:05d}"


def write(folder: Path, seed: int = SEED) -> list[Path]:
    """Writes the demo's files; their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "customers.csv", *(folder / f"orders-{number}.parquet" for number in range(1, ORDER_FILES + 1))]
    with paths[0].open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";", lineterminator="\n").writerows([HEADER, *customers(seed)])
    frame, share = orders(seed), ORDERS // ORDER_FILES
    for number, path in enumerate(paths[1:]):
        content = BytesIO()  # polars' own error of a full disk has no number
        frame.slice(number * share, share).write_parquet(content)
        path.write_bytes(content.getvalue())
    return paths


def _customer(number: int, dice: random.Random) -> list[str]:
    first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
    month, day, hour = dice.randint(1, 12), dice.randint(1, 28), dice.randint(4, 23)  # never in the hour that DST skips
    return [
        customer_id(number),
        f" Customer{number + 1}@Example.COM " if dice.random() < 0.2 else f"customer{number + 1}@example.com",
        first,
        last,
        f"+336{dice.randint(10_000_000, 99_999_999)}" if dice.random() < 0.7 else "",
        "internal" if _is_internal(number) else dice.choice(PLANS),
        f"{dice.randint(2019, 2025)}-{month:02d}-{day:02d} {hour:02d}:{dice.randint(0, 59):02d}",
        dice.choice(COUNTRIES),
        str(dice.randint(0, 250_000)),
        dice.choice(TAGS),
        dice.choice(NOTES),
    ]


def _is_internal(number: int) -> bool:
    """Whether the mapping's `when` leaves the customer out."""
    return number % 250 == 7


def _with(row: list[str], column: str, value: str) -> list[str]:
    place = HEADER.index(column)
    return [*row[:place], value, *row[place + 1 :]]


def _spoil_orders(frame: pl.DataFrame, positions: npt.NDArray[np.int64]) -> pl.DataFrame:
    """`frame` with each fault of BAD_ORDERS in as many of the rows at `positions`, one fault a row."""
    ends = np.cumsum(list(BAD_ORDERS.values()))
    no_customer, no_order, no_time, far = np.split(positions, ends[:-1])
    row = pl.int_range(pl.len())
    return frame.with_columns(
        customer_id=pl.when(row.is_in(no_customer.tolist()).not_()).then("customer_id"),
        order_id=pl.when(row.is_in(no_order.tolist()).not_()).then("order_id"),
        placed_at=pl.when(row.is_in(far.tolist()))
        .then(253_402_214_400_000)  # 9999-12-31, as systems write "never"
        .when(row.is_in(no_time.tolist()).not_())
        .then("placed_at"),
    )
