"""Rows of MySQL's protocol are taken apart without loss, however they come, and what is no row is an error."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from pymysql.err import InternalError, MySQLError, OperationalError  # type: ignore[import-untyped]

from cio_etl.errors import SourceUnreachable
from cio_etl.extract.sql.mysql import MysqlReader
from cio_etl.extract.sql.mysql_rows import rows_of
from cio_etl.model import SqlSource
from tests import databases
from tests.databases import Database
from tests.reading import DATABASES, asking, opened, reader, rows

Row = Sequence[bytes | None]
END = b"\xfe\0\0\x02\0"
ERROR = b"\xff\x25\x05#70100Query execution was interrupted"
LONGEST = 0xFFFFFF
LENGTHS = [0, 1, 11, 12, 13, 250, 251, 252, 255, 256, 65535, 65536, 70000]


def encoded(row: Row) -> bytes:
    return b"".join(b"\xfb" if value is None else length(len(value)) + value for value in row)


def length(size: int) -> bytes:
    if size < 251:
        return bytes([size])
    digits, sign = next((digits, sign) for digits, sign in ((2, 0xFC), (3, 0xFD), (8, 0xFE)) if size < 1 << 8 * digits)
    return bytes([sign]) + size.to_bytes(digits, "little")


def packets(payloads: Iterable[bytes], number: int = 5) -> bytes:
    """The payloads as the server sends them, each as one packet or several."""
    sent = bytearray()
    for payload in payloads:
        for start in range(0, len(payload) + 1, LONGEST):
            part = payload[start : start + LONGEST]
            sent += len(part).to_bytes(3, "little") + bytes([number % 256]) + part
            number += 1
    return bytes(sent)


def received(sent: bytes, columns: int, piece: int = 1 << 20) -> Iterator[list[pl.Series]]:
    """The columns of each frame, when the bytes come in such pieces."""
    server, client = socket.socketpair()
    with server, client, client.makefile("rb") as file:
        sender = threading.Thread(target=_send, args=(server, sent, piece), daemon=True)
        sender.start()
        connection = SimpleNamespace(_rfile=file, _next_seq_id=5, encoding="utf8")
        for part in rows_of(connection, columns):
            yield [part.values(*found) for found in part.columns(columns)]


def _send(server: socket.socket, sent: bytes, piece: int) -> None:
    with suppress(OSError):  # the reader may have ended
        for start in range(0, len(sent), piece):
            server.sendall(sent[start : start + piece])
        server.shutdown(socket.SHUT_WR)


def read(rows: Sequence[Row], columns: int, piece: int = 1 << 20) -> list[Row]:
    frames = received(packets([*map(encoded, rows), END]), columns, piece)
    return [row for frame in frames for row in zip(*(series.to_list() for series in frame), strict=True)]


VALUES = st.none() | st.binary(max_size=30) | st.sampled_from(LENGTHS[5:]).map(lambda size: b"\xfe" * size)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(lambda columns: st.lists(st.tuples(*[VALUES] * columns), min_size=1, max_size=300)),
    st.sampled_from([7, 1000, 1 << 20]),
)
def test_every_value_is_the_one_that_was_sent(rows: list[Row], piece: int) -> None:
    if piece == 7:
        rows = rows[:5]
    assert read(rows, len(rows[0]), piece) == rows


def test_rows_of_more_bytes_than_a_packet_are_joined() -> None:
    sent: list[Row] = [
        (b"before", None),
        (b"a" * LONGEST, b"after the end of a packet"),
        (b"b" * (LONGEST - 5), b""),  # with its lengths, one whole packet and an empty one
        (b"c" * 5_000_000, b"in one packet, larger than what is read at once"),
        (b"d" * (2 * LONGEST), b"in three"),
        (b"last", b"row"),
    ]
    assert read(sent, 2) == sent


def test_frames_have_at_most_half_a_million_values() -> None:
    frames = list(received(packets([b"\xfb" * 100] * 12_000 + [END]), 100))
    assert [len(frame[0]) for frame in frames] == [5000, 5000, 2000]
    assert all(series.null_count() == len(series) for frame in frames for series in frame)


@pytest.mark.parametrize(
    ("sent", "kind", "code"),
    [
        (packets([b"\x01a", ERROR]), OperationalError, 1317),
        (packets([b"\x01a", ERROR], number=4), InternalError, 0),  # a packet is missing
        (packets([b"\x01a"]) + packets([ERROR], number=0), OperationalError, 2013),  # of a server that is shut down
        (packets([b"\x01a"]), OperationalError, 2013),
        (packets([b"\x01a"]) + b"\x09", OperationalError, 2013),
        (packets([b"\x01a", b"\x01aa", END]), InternalError, 0),
        (packets([b"\x02a", END]), InternalError, 0),
        (packets([b"\xfc\x01", END]), InternalError, 0),
        (packets([b"\xfe" + b"\xff" * 8, END]), InternalError, 0),
        (packets([b"\x01a\xff", END]), InternalError, 0),
        (b"", OperationalError, 2013),
    ],
)
def test_what_is_no_row_is_an_error(sent: bytes, kind: type[MySQLError], code: int) -> None:
    with pytest.raises(kind) as error:
        list(received(sent, 1))
    assert error.value.args[0] == code


def test_values_of_every_length_arrive(mariadb: Database) -> None:
    mariadb.execute("CREATE TABLE t (n int, v longtext, b longblob) CHARACTER SET utf8mb4")
    for size in LENGTHS:
        mariadb.execute(f"INSERT INTO t VALUES ({size}, repeat('é', {size}), repeat('x', {size}))")
    read = rows(asking(mariadb.address, "SELECT * FROM t ORDER BY n"), "n", "v")
    assert read == [{"n": size, "v": "é" * size} for size in LENGTHS]


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3", "utf8mb4"])
def test_the_character_set_of_the_address_loses_no_character(mariadb: Database, charset: str) -> None:
    address = mariadb.url.update_query_dict({"charset": charset}).render_as_string(hide_password=False)
    source = asking(
        address, "SELECT convert(0xC3A9F09F9880 USING utf8mb4) AS v, :given AS w", parameters={"given": "漢"}
    )
    assert rows(source) == [{"v": "é😀", "w": "漢"}]


def test_frames_do_not_keep_the_bytes_of_columns_that_are_not_read(mariadb: Database) -> None:
    query = "SELECT concat('some text of row ', seq) AS t, cast(repeat('x', 1000000) AS binary) AS b FROM seq_1_to_40"
    tracemalloc.start()
    try:
        frames = list(reader(MysqlReader, asking(mariadb.address, query), DATABASES["mariadb"]).frames())
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert pl.concat(frames)["t"].to_list() == [f"some text of row {number}" for number in range(1, 41)]
    assert kept < 3_000_000


@pytest.mark.slow
def test_rows_come_over_tls_from_a_server_whose_certificate_is_checked(tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    for name, each in (("ca", authority), ("other", other)):
        each.cert_pem.write_to_path(tmp_path / f"{name}.pem")
    files = [tmp_path / "key.pem", tmp_path / "certificate.pem"]
    query = "SELECT seq AS n, concat('t', seq) AS t FROM mysql.seq_1_to_300000"
    with databases.own_mariadb(files, ssl_key="key.pem", ssl_cert="certificate.pem") as url:

        def source(authority: str, check: str = "ssl_check_hostname") -> SqlSource:
            options = {"ssl_ca": str(tmp_path / f"{authority}.pem"), check: "true"}
            return asking(url.update_query_dict(options).render_as_string(hide_password=False), query)

        frame = pl.concat(opened(source("ca")).read(None, 0))
        for check in ("ssl_check_hostname", "ssl_verify_identity", "ssl_verify_cert"):
            with pytest.raises(SourceUnreachable, match=r"certificate is not trusted|agree on TLS"):
                rows(source("other", check))
        for check in ("ssl_verify_identity", "ssl_verify_cert"):
            assert next(iter(opened(source("ca", check)).read(None, 0)))["n"][0] == 1
    assert frame["n"].to_list() == list(range(1, 300_001))
    assert frame["t"][-1] == "t300000"
