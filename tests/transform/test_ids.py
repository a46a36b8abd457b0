"""A person's lane and an event's ID are the same on every machine and with every library version."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ulid import ULID

from cio_etl.model import Column, Constant, Mapping
from cio_etl.transform import ids
from tests.mapped_rows import attributes, column, mapped, mapping, rows

# xxHash64 with seed 0; the vectors that its implementations are tested with
XXHASH64 = {
    "": 0xEF46DB3751D8E999,
    "a": 0xD24EC4F1A98C6E5B,
    "as": 0x1C330FB2D66BE179,
    "asd": 0x631C37CE72A97393,
    "asdf": 0x415872F599CEA71E,
    "abc": 0x44BC2CF5AD770999,
    "Call me Ishmael. Some years ago--never mind how long precisely-": 0x02A2E85470D6FD96,
}


def lanes_of(texts: list[str | None], kind: str = "id", lanes: int = 16) -> list[int]:
    made = pl.DataFrame({"i": pl.Series(texts, dtype=pl.String)}).select(ids.lane(pl.col("i"), kind, lanes)).to_series()
    assert made.dtype == pl.UInt8
    return made.to_list()


def ids_of(mapping: Mapping, data: dict[str, Any], start: int = 0, **how: Any) -> list[str]:
    items = mapped(mapping, rows(data, start=start), **how)["item"]
    return [str(json.loads(item[:-1])["id"]) for item in items]


def sha256_of(*parts: str) -> bytes:
    """The digest behind an id: each part after its length in bytes."""
    text = b"cio-etl/1;" + b"".join(f"{len(part.encode())}:".encode() + part.encode() for part in parts)
    return hashlib.sha256(text).digest()


# ---------------------------------------------------------------- lanes


@pytest.mark.parametrize("lanes", [1, 2, 16, 251, 255, 256])
def test_a_lane_is_the_published_hash_modulo_the_lanes(lanes: int) -> None:
    assert lanes_of(list(XXHASH64), lanes=lanes) == [number % lanes for number in XXHASH64.values()]


def test_a_row_without_an_identifier_has_a_lane_too() -> None:
    assert lanes_of([None, "a"]) == [0, XXHASH64["a"] % 16]


def test_the_case_of_an_e_mail_address_does_not_count_but_that_of_an_id_does() -> None:
    assert len(set(lanes_of(["ada@b.co", "Ada@B.CO", "ADA@B.CO"], kind="email", lanes=251))) == 1
    assert lanes_of(["ASDF", "É@B.CO"], kind="email") == lanes_of(["asdf", "é@b.co"])
    assert lanes_of(["ASDF"]) != lanes_of(["asdf"])


@given(st.lists(st.text(), min_size=1), st.integers(1, 256))
@settings(max_examples=50, deadline=None)
def test_a_lane_hangs_on_nothing_but_the_text(texts: list[str], lanes: int) -> None:
    made = lanes_of([*texts], lanes=lanes)
    assert made == [lanes_of([text], lanes=lanes)[0] for text in texts]
    assert all(0 <= lane < lanes for lane in made)


def test_rows_of_one_person_share_a_lane_whatever_the_operation_and_type() -> None:
    person, event = mapping(), mapping("track", identifiers={"id": Column("who")})
    as_text = mapped(person, rows({"id": ["7", "8", "7"]}), lanes=251)["lane"].to_list()
    as_number = mapped(event, rows({"who": [7, 8, 7]}), lanes=251)["lane"].to_list()
    assert as_text == as_number and as_text[0] == as_text[2] != as_text[1]


def test_the_hash_of_lanes_has_the_name_that_runs_keep() -> None:
    assert ids.LANE_HASH == "xxhash64"


# ---------------------------------------------------------------- ids


SECONDS = st.integers(0, 7_258_118_400)


@given(st.lists(st.tuples(SECONDS, st.binary(min_size=32, max_size=32)), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_an_id_is_a_ulid_of_the_time_and_the_first_80_bits(drawn: list[tuple[int, bytes]]) -> None:
    made = ids.ulids(pl.Series([at for at, _ in drawn]), pl.Series([digest.hex() for _, digest in drawn]))
    for text, (at, digest) in zip(made, drawn, strict=True):
        ulid = ULID.from_str(text)
        assert ulid.milliseconds == at * 1000
        assert ulid.bytes[6:] == digest[:10]
        assert str(ulid) == text


def test_an_id_without_a_time_or_a_digest_is_null() -> None:
    made = ids.ulids(pl.Series([1, None, 3]), pl.Series(["0" * 64, "0" * 64, None]))
    assert made.to_list() == [str(ULID.from_bytes((1_000).to_bytes(6) + bytes(10))), None, None]


def test_no_rows_have_no_ids() -> None:
    assert ids.ulids(pl.Series([], dtype=pl.Int64), pl.Series([], dtype=pl.String)).to_list() == []


@given(SECONDS, SECONDS)
@settings(max_examples=50, deadline=None)
def test_ids_sort_by_time(one: int, other: int) -> None:
    made = ids.ulids(pl.Series([one, other]), pl.Series(["f" * 64, "0" * 64]))
    assert (made[0] < made[1]) == (one < other)


PARTS = st.lists(st.text(alphabet="ab1:;é😀", max_size=4), min_size=2, max_size=4)


def digest_of(parts: list[str | None]) -> str | None:
    event, *key = (pl.lit(part, dtype=pl.String) for part in parts)
    digest: str | None = pl.select(ids.key_digest(event, key)).item()
    return digest


@given(PARTS, PARTS)
@settings(max_examples=100, deadline=None)
def test_a_key_is_told_from_every_other_by_the_lengths_of_its_parts(one: list[str], other: list[str]) -> None:
    assert digest_of([*one]) == sha256_of(*one).hex()
    assert (digest_of([*one]) == digest_of([*other])) == (one == other)


def test_a_key_with_a_null_has_no_digest() -> None:
    assert digest_of(["e", None]) is None
    assert digest_of(["e", "a", None]) is None


ORDER = mapping(
    "track",
    event=Constant("order_placed"),
    timestamp=Column("at"),
    event_key=("order", "line"),
    attributes=attributes(total="total"),
)
ORDERS: dict[str, list[Any]] = {
    "order": ["A1", "A1", "Ä2"],
    "line": [1, 2, 1],
    "at": [1_710_061_200, 1_710_061_200, 0],
    "total": [5, None, 7],
}


def test_an_event_s_id_is_its_time_its_name_and_its_key() -> None:
    made = [ULID.from_str(text) for text in ids_of(ORDER, ORDERS)]
    assert [ulid.milliseconds for ulid in made] == [1_710_061_200_000, 1_710_061_200_000, 0]
    assert [ulid.bytes[6:] for ulid in made] == [
        sha256_of("order_placed", "A1", "1")[:10],
        sha256_of("order_placed", "A1", "2")[:10],
        sha256_of("order_placed", "Ä2", "1")[:10],
    ]


@pytest.mark.fault("S4", "S19")
def test_nothing_else_of_the_mapping_or_the_source_is_in_an_id() -> None:
    same = mapping(
        "track",
        event=Column("name"),
        identifiers={"email": Column("mail")},
        timestamp=column("at", {"timestamp": {"unit": "s"}}),
        event_key=("order", "line"),
        attributes=attributes(other="total", more=Constant(1)),
        nulls="clear",
        when="line > 0",
    )
    more = ORDERS | {"name": ["order_placed"] * 3, "mail": ["a@b.co"] * 3, "new": [1, 2, 3]}
    made = ids_of(ORDER, ORDERS)
    assert ids_of(same, more, lanes=16, fingerprint="0" * 64) == made
    shuffled = {name: values[::-1] for name, values in ORDERS.items()}
    assert ids_of(ORDER, shuffled) == made[::-1]
    as_text = ORDERS | {"line": ["1", "2", "1"]}
    assert ids_of(ORDER, as_text) == made


@pytest.mark.parametrize("name", ["order_placed", "commandé 😀", "1:2"])
def test_a_name_that_is_written_and_one_from_a_column_make_the_same_id(name: str) -> None:
    written, read = (
        mapping("track", event=Constant(name), event_key=("k",)),
        mapping("track", event=Column("n"), event_key=("k",)),
    )
    data = {"n": [name], "k": ["é1"]}
    (made,) = ids_of(written, data)
    assert ids_of(read, data) == [made]
    assert ULID.from_str(made).bytes[6:] == sha256_of(name, "é1")[:10]


def test_without_a_key_the_snapshot_and_the_row_s_place_in_it_are_the_key() -> None:
    plain = mapping("track")
    first, second = ids_of(plain, {"a": [1, 1]}, fingerprint="abc")
    assert ULID.from_str(first).bytes == bytes(6) + sha256_of("e", "abc", "0")[:10]
    assert ULID.from_str(second).bytes == bytes(6) + sha256_of("e", "abc", "1")[:10]
    assert ids_of(plain, {"a": [1, 1]}, fingerprint="abd") != [first, second]
    assert ids_of(plain, {"a": [1]}, start=1, fingerprint="abc") == [second]  # in whichever frame the row is read


KEYS = {
    "text": (["a"], "a"),
    "whole numbers": ([-7], "-7"),
    "128 bits": (pl.Series([2**100], dtype=pl.Int128), str(2**100)),
    "true or false": ([True], "true"),
    "numbers": ([1.5], "1.5"),
    "decimals": ([Decimal("1.50")], "1.5"),  # how many zeros there are depends on the other rows
    "whole decimals": ([Decimal("700.00")], "700"),
    "decimals of no fraction": ([Decimal("700")], "700"),
    "dates": ([date(2024, 3, 10)], "2024-03-10"),
    "times": ([datetime(2024, 3, 10, 9, 0)], "2024-03-10 09:00:00.000000"),
    "times of a zone": ([datetime(2024, 3, 10, 9, 0, tzinfo=UTC)], "2024-03-10 09:00:00.000000+00:00"),
    "times of day": ([time(9)], "09:00:00"),
    "categories": (pl.Series(["c"], dtype=pl.Categorical), "c"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_the_text_of_a_key_is_part_of_the_state_s_format(kind: str) -> None:
    """Were it another with a new polars, events sent again after the upgrade would count twice."""
    values, text = KEYS[kind]
    (made,) = ids_of(mapping("track", event_key=("k",)), {"k": values})
    assert ULID.from_str(made).bytes[6:] == sha256_of("e", text)[:10]
