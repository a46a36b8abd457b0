"""Lists what a server may answer to a batch of three items, and what the answer must be taken for.

Kinds: `accepted` is a clean success; `refused`, nothing was done; `ambiguous`, nobody knows; `stop`, not this API.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import json
import select
import socket
import struct
import zlib
from collections.abc import Callable

Act = Callable[[socket.socket], None]
Answer = bytes | Act

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 503 -\r\nContent-Length: 0\r\n\r\n"


def answer(body: bytes | str = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """An answer whose Content-Length is right."""
    content = body if isinstance(body, bytes) else body.encode()
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def head(*lines: str, body: bytes = b"{}") -> bytes:
    """An answer of 200 with just these headers."""
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1") + body


def chunked(body: bytes) -> bytes:
    return head("Transfer-Encoding: chunked", body=body)


def errors(*entries: object, status: str = "207 -") -> bytes:
    return answer(json.dumps({"errors": list(entries)}), status)


def closing(data: bytes) -> Act:
    """Sends these bytes, then ends the connection."""

    def act(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.close()

    return act


def endless(start: bytes, piece: bytes) -> Act:
    """Sends the start, and then the piece until the client closes the connection."""

    def act(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(start)
            for _ in itertools.repeat(None):
                connection.sendall(piece)

    return act


def dripping(start: bytes, piece: bytes) -> Act:
    """Sends the start, and then the piece now and then until the client closes the connection."""

    def act(connection: socket.socket) -> None:
        connection.sendall(start)
        while not select.select([connection], [], [], 0.03)[0]:
            connection.sendall(piece)

    return act


def reset_after(data: bytes) -> Act:
    """Sends these bytes, then resets the connection."""

    def act(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    return act


def silent_after(data: bytes) -> Act:
    """Sends these bytes, and then nothing; the client's next bytes end it."""

    def act(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.recv(1)

    return act


def half_closing(data: bytes) -> Act:
    """Sends these bytes, then says that no more will come, and continues to read."""

    def act(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    return act


@functools.cache
def bomb() -> bytes:
    return gzip.compress(b" " * 20_000_000 + b"{}")


STATUS_LINES: dict[str, tuple[str, Answer]] = {
    "no status line": ("ambiguous", closing(b"\r\n\r\n{}")),
    "HTTP/0.9": ("ambiguous", closing(b"{}")),
    "settings of HTTP/2": ("ambiguous", closing(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64")),
    "a preface of HTTP/2": ("ambiguous", closing(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    "a version of 2": ("ambiguous", GOOD.replace(b"HTTP/1.1", b"HTTP/2")),
    "a version of 3.0": ("ambiguous", GOOD.replace(b"HTTP/1.1", b"HTTP/3.0")),
    "a version in small letters": ("ambiguous", GOOD.replace(b"HTTP", b"http")),
    "another protocol": ("ambiguous", closing(b"SSH-2.0-OpenSSH_9.6\r\n")),
    "ICY": ("ambiguous", GOOD.replace(b"HTTP/1.1", b"ICY")),
    "two digits": ("ambiguous", GOOD.replace(b"200", b"20")),
    "four digits": ("ambiguous", GOOD.replace(b"200", b"2000")),
    "a decimal": ("ambiguous", GOOD.replace(b"200", b"200.0")),
    "a negative status": ("ambiguous", GOOD.replace(b"200", b"-200")),
    "letters": ("ambiguous", GOOD.replace(b"200", b"OK")),
    "digits of another script": ("ambiguous", GOOD.replace(b"200", "٢٠٠".encode())),
    "status 999": ("ambiguous", GOOD.replace(b"200", b"999")),
    "status 600": ("ambiguous", GOOD.replace(b"200", b"600")),
    "status 000": ("ambiguous", GOOD.replace(b"200", b"000")),
    "NUL in the reason": ("ambiguous", GOOD.replace(b"OK", b"O\0K")),
    "ESC in the reason, which nobody reads": ("accepted", GOOD.replace(b"OK", b"\x1b[2J")),
    "a space before it": ("ambiguous", b" " + GOOD),
    "no reason": ("accepted", GOOD.replace(b" OK", b"")),
    "HTTP/1.0": ("accepted", closing(GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"))),
}

HEADERS: dict[str, tuple[str, Answer]] = {
    "two lengths that differ": ("ambiguous", head("Content-Length: 2", "Content-Length: 3")),
    "two lengths in a line": ("ambiguous", head("Content-Length: 2, 3")),
    "one length, twice": ("accepted", head("Content-Length: 2", "Content-Length: 2")),
    "a length and chunks": (
        "ambiguous",
        head("Content-Length: 2", "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    ),
    "a length and chunks that are none": (
        "ambiguous",
        closing(head("Content-Length: 2", "Transfer-Encoding: chunked")),
    ),
    "a negative length": ("ambiguous", head("Content-Length: -2")),
    "a signed length": ("ambiguous", head("Content-Length: +2")),
    "a length in hexadecimal": ("ambiguous", head("Content-Length: 0x2")),
    "an empty length": ("ambiguous", head("Content-Length: ")),
    "a length of 18 digits": ("ambiguous", closing(head("Content-Length: 100000000000000000"))),
    "a length of 30 digits": ("ambiguous", closing(head(f"Content-Length: 1{'0' * 29}"))),
    "a length of 5,000 digits": ("ambiguous", closing(head(f"Content-Length: {'9' * 5_000}"))),
    "a length that is too short": ("ambiguous", head("Content-Length: 1")),
    "a length that is too long, then the end": ("ambiguous", closing(head("Content-Length: 3"))),
    "a length that is too long, then nothing": ("ambiguous", silent_after(head("Content-Length: 3"))),
    "a length that leaves out errors": ("accepted", head("Content-Length: 2", body=b'{}{"errors":[{}]}')),
    "no headers, and the end": ("accepted", closing(head())),
    "no headers, and nothing": ("ambiguous", silent_after(head())),
    "endless headers": ("ambiguous", endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1_000)),
    "a header of 1 MB": ("ambiguous", head(f"X: {'y' * 1_000_000}", "Content-Length: 2")),
    "an endless header": ("ambiguous", endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 60_000)),
    "40,000 headers": ("ambiguous", head(*["X: y"] * 40_000, "Content-Length: 2")),
    "a header without a colon": ("ambiguous", head("Content-Length 2")),
    "a space before the colon": ("ambiguous", head("Content-Length : 2")),
    "NUL in a header": ("ambiguous", head("X: \0", "Content-Length: 2")),
    "a carriage return in a header": ("ambiguous", head("X: y\rZ: 1", "Content-Length: 2")),
    "line feeds only": ("accepted", b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"),
    "a flood of 100": ("ambiguous", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)),
    "a flood of 103": ("ambiguous", endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 500)),
    "a 100, then nothing": ("ambiguous", silent_after(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "a 103, then a success": ("accepted", b"HTTP/1.1 103 Early Hints\r\n\r\n" + GOOD),
    "an upgrade": ("ambiguous", b"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n{}"),
    "chunks and extensions": ("accepted", chunked(b'2;a=b;c="d"\r\n{}\r\n0;e\r\n\r\n')),
    "chunks and a trailer": ("accepted", chunked(b"2\r\n{}\r\n0\r\nTook: 2\r\n\r\n")),
    "an endless trailer": ("ambiguous", endless(chunked(b"2\r\n{}\r\n0\r\n"), b"X: y\r\n" * 1_000)),
    "a chunk without a length": ("ambiguous", chunked(b"{}\r\n0\r\n\r\n")),
    "a chunk of a negative length": ("ambiguous", chunked(b"-2\r\n{}\r\n0\r\n\r\n")),
    "a chunk of 30 digits": ("ambiguous", chunked(b"f" * 30 + b"\r\n{}\r\n0\r\n\r\n")),
    "a chunk that is too short": ("ambiguous", chunked(b"1\r\n{}\r\n0\r\n\r\n")),
    "chunks without their last one": ("ambiguous", closing(chunked(b"2\r\n{}\r\n"))),
    "an endless extension": ("ambiguous", endless(chunked(b"2;"), b"x" * 60_000)),
    "endless chunks with extensions": ("ambiguous", endless(chunked(b""), (b"1;" + b"x" * 9_000 + b"\r\n \r\n") * 6)),
    "a transfer coding of gzip": ("ambiguous", head("Transfer-Encoding: gzip, chunked", body=b"2\r\n{}\r\n0\r\n\r\n")),
    "chunks in chunks": ("ambiguous", head("Transfer-Encoding: chunked, chunked", body=b"2\r\n{}\r\n0\r\n\r\n")),
    "an unknown transfer coding": ("ambiguous", head("Transfer-Encoding: xchunked", "Content-Length: 2")),
}

BODIES: dict[str, tuple[str, Answer]] = {
    "nothing": ("ambiguous", answer("")),
    "blanks": ("ambiguous", answer(" \r\n ")),
    "endless": ("ambiguous", endless(head(body=b""), b" " * 60_000)),
    "endless chunks": ("ambiguous", endless(chunked(b""), b"800\r\n" + b" " * 0x800 + b"\r\n")),
    "a drip of headers": ("ambiguous", dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")),
    "a drip of blanks": ("ambiguous", dripping(head("Content-Length: 100"), b" ")),
    "a drip of blanks, and no length": ("ambiguous", dripping(head(), b" ")),
    "a drip of chunks": ("ambiguous", dripping(chunked(b"2\r\n{}\r\n"), b"1\r\n \r\n")),
    "a length of 2 MB": ("ambiguous", answer(b" " * 2_000_000 + b"{}")),
    "cut short": ("ambiguous", closing(answer('{"errors": []}')[:-3])),
    "null": ("ambiguous", answer("null")),
    "true": ("ambiguous", answer("true")),
    "a number": ("ambiguous", answer("0")),
    "a string": ("ambiguous", answer('"ok"')),
    "a list": ("ambiguous", answer("[]")),
    "a list of objects": ("ambiguous", answer("[{}]")),
    "two documents": ("ambiguous", answer("{}{}")),
    "a comment": ("ambiguous", answer("{} // fine")),
    "single quotes": ("ambiguous", answer("{'errors': []}")),
    "a guard": ("ambiguous", answer(")]}',\n{}")),
    "duplicate keys": ("ambiguous", answer('{"errors": [{"batch_index": 0}], "errors": []}')),
    "duplicate keys within": ("ambiguous", answer('{"errors": [{"batch_index": 0, "batch_index": 1}]}')),
    "NaN": ("ambiguous", answer('{"took": NaN}')),
    "infinity": ("ambiguous", answer('{"took": -Infinity}')),
    "100,000 brackets": ("ambiguous", answer('{"a": ' + "[" * 100_000)),
    "nested objects": ("ambiguous", answer('{"a":' * 100_000 + "1" + "}" * 100_000)),
    "a number of 10,000 digits": ("ambiguous", answer('{"a": ' + "9" * 10_000 + "}")),
    "an error": ("ambiguous", answer('{"error": "no such workspace"}')),
    "an error in meta": ("ambiguous", answer('{"meta": {"error": "Unauthorized request"}}')),
    "errors as an object": ("ambiguous", answer('{"errors": {"0": "invalid"}}')),
    "errors as a string": ("ambiguous", answer('{"errors": "invalid"}')),
    "errors as null": ("ambiguous", answer('{"errors": null}')),
    "errors as a number": ("ambiguous", answer('{"errors": 1}')),
    "a list of null": ("ambiguous", errors(None)),
    "a list of strings": ("ambiguous", errors("invalid")),
    "207 without errors": ("ambiguous", answer("{}", "207 -")),
    "207 with an empty list": ("ambiguous", errors()),
    "207 without a body": ("ambiguous", answer("", "207 -")),
    "an error without an index": ("ambiguous", errors({"reason": "invalid"})),
    "an index as a string": ("ambiguous", errors({"batch_index": "0"})),
    "an index as a decimal": ("ambiguous", errors({"batch_index": 0.0})),
    "an index as true": ("ambiguous", errors({"batch_index": True})),
    "an index of null": ("ambiguous", errors({"batch_index": None})),
    "an index of -1": ("ambiguous", errors({"batch_index": -1})),
    "an index beyond the batch": ("ambiguous", errors({"batch_index": 3})),
    "an index of 2 ** 63": ("ambiguous", errors({"batch_index": 2**63})),
    "an index that is right and one that is not": ("ambiguous", errors({"batch_index": 0}, {"batch_index": 7})),
    "200 with errors for rows that were not sent": ("ambiguous", errors({"batch_index": 9}, status="200 OK")),
    "400 with errors for rows that were not sent": ("refused", errors({"batch_index": 9}, status="400 -")),
    "UTF-16": ("ambiguous", answer("{}".encode("utf-16-le"))),
    "UTF-16 with its mark": ("ambiguous", answer("{}".encode("utf-16"))),
    "UTF-32": ("ambiguous", answer("{}".encode("utf-32-le"))),
    "a byte order mark": ("ambiguous", answer(b"\xef\xbb\xbf{}")),
    "Latin-1": ("ambiguous", answer('{"a": "é"}'.encode("latin-1"))),
    "NUL after it": ("ambiguous", answer(b"{}\0")),
    "HTML": ("ambiguous", answer("<html>OK</html>", "200 OK", "Content-Type: text/html")),
    "a page of a portal": ("ambiguous", answer("<html>Log in", "200 OK", "Content-Type: application/json")),
    "gzip": ("ambiguous", answer(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip")),
    "gzip that is none": ("ambiguous", answer("{}", "200 OK", "Content-Encoding: gzip")),
    "x-gzip": ("ambiguous", answer("{}", "200 OK", "content-encoding: X-Gzip")),
    "gzip without its header": ("ambiguous", answer(gzip.compress(b"{}"))),
    "a bomb of gzip": ("ambiguous", answer(bomb(), "200 OK", "Content-Encoding: gzip")),
    "an endless bomb": ("ambiguous", endless(head("Content-Encoding: gzip", body=b""), bomb())),
    "deflate": ("ambiguous", answer(zlib.compress(b"{}"), "200 OK", "Content-Encoding: deflate")),
    "br": ("ambiguous", answer("{}", "200 OK", "Content-Encoding: br")),
    "zstd": ("ambiguous", answer("{}", "200 OK", "Content-Encoding: zstd")),
    "two encodings": ("ambiguous", answer("{}", "200 OK", "Content-Encoding: identity", "Content-Encoding: gzip")),
    "a 429 in gzip": ("refused", answer(gzip.compress(b"{}"), "429 -", "Content-Encoding: gzip")),
    "a 503 in gzip": ("refused", answer(bomb(), "503 -", "Content-Encoding: gzip")),
    "a 400 in gzip": ("refused", answer(gzip.compress(b"{}"), "400 -", "Content-Encoding: gzip")),
    "identity": ("accepted", answer("{}", "200 OK", "Content-Encoding: identity")),
    "200 with an empty list": ("accepted", answer('{"errors": []}')),
    "unknown members": ("accepted", answer('{"took_ms": 12}')),
    "201": ("stop", answer("{}", "201 Created")),
    "202": ("stop", answer("{}", "202 Accepted")),
    "204": ("stop", b"HTTP/1.1 204 -\r\n\r\n"),
    "204 with a body": ("stop", answer("{}", "204 -")),
    "205 with a body": ("stop", answer("{}", "205 -")),
    "206": ("stop", answer("{}", "206 -", "Content-Range: bytes 0-1/9")),
    "304": ("stop", b"HTTP/1.1 304 -\r\n\r\n"),
    "304 with a body": ("stop", answer("{}", "304 -")),
    "a redirect to another host": ("stop", answer("{}", "307 -", "Location: https://other.example/api/v2/batch")),
    "a redirect to this host": ("stop", answer("{}", "308 -", "Location: /api/v2/batch")),
    "a redirect that ends the line": ("stop", answer("{}", "301 -", "Location: https://\x7f\x80\xff.example/")),
    "a redirect without a place": ("stop", answer("{}", "302 -")),
}

CONNECTIONS: dict[str, tuple[str, Answer]] = {
    "closed without an answer": ("ambiguous", closing(b"")),
    "half closed without an answer": ("ambiguous", half_closing(b"")),
    "reset without an answer": ("ambiguous", reset_after(b"")),
    "reset within the headers": ("ambiguous", reset_after(GOOD[:20])),
    "reset within the body": ("ambiguous", reset_after(GOOD[:-1])),
    "silent": ("ambiguous", silent_after(b"")),
    "half closed after the answer": ("accepted", half_closing(GOOD)),
    "closed after the answer": ("accepted", closing(GOOD)),
    "two successes": ("accepted", GOOD + GOOD),
    "two successes, pipelined by fives": ("accepted", GOOD * 5),
    "a refusal and a success": ("refused", REFUSED + GOOD),
    "a refusal, half a success": ("refused", REFUSED + GOOD[:9]),
    "a success and a refusal": ("accepted", GOOD + REFUSED),
    "a 400 and a success": ("refused", answer("{}", "400 -") + GOOD),
    "a 413 and a success": ("refused", answer("{}", "413 -") + GOOD),
    "a 207 that refuses all, and a success": ("accepted", errors(*({"batch_index": i} for i in range(3))) + GOOD),
    "an interim answer after the answer": ("accepted", GOOD + b"HTTP/1.1 100 Continue\r\n\r\n"),
}

RETRY_AFTER = {  # what the header says -> the seconds that are waited
    "-1": None,
    "1e9": None,
    "nan": None,
    "": None,
    "soon": None,
    "1.5": None,
    "٣": None,
    "5, 10": None,
    "9" * 400: None,
    "999999999": 300.0,
    "0": 0.0,
    " 7 ": 7.0,
    "Thu, 01 Jan 1970 00:00:00 GMT": None,
    "Thu, 99 Foo 1970 00:00:00 GMT": None,
    "Fri, 31 Dec 9999 23:59:59 GMT": 300.0,
}
