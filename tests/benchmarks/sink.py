"""The server that receives the rows. It does as little as a server can: read the body, discard it, answer 200.

    python -m tests.benchmarks.sink --port 0 --latency 0.05 --tls FOLDER

prints its address and serves until it is ended. POST and PUT are counted and answered after the latency; GET
/api/v1/accounts/region answers as Customer.io does, GET /counts with what has been received so far. It keeps no
account, asks for no credentials and never refuses anything: it must cost next to nothing beside what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

READ_AT_ONCE = 256 * 1024
END_OF_HEAD = b"\r\n\r\n"


@dataclass(slots=True)
class Counts:
    """What has been received. `items` and `orders` (distinct order ids) are counted when verifying only."""

    bodies: int = 0
    seconds: float = 0.0  # from the end of the first body to the end of the last
    bytes: int = 0
    largest_body: int = 0
    items: int = 0
    orders: int = 0


@dataclass(slots=True)
class Sink:
    """What the connections of a sink share."""

    latency_s: float
    verify: bool
    counts: Counts
    orders: set[Any]
    # One buffer for every connection: asyncio fills it and hands it over before it turns to the next one.
    buffer: bytearray
    first_at: float | None = None  # when the first body had been received

    def count(self) -> None:
        """Count a body that has been received."""
        now = time.monotonic()
        self.first_at = now if self.first_at is None else self.first_at
        self.counts.bodies += 1
        self.counts.seconds = now - self.first_at

    def take(self, body: bytes) -> None:
        """Count the items of a body, whichever of the three APIs it was meant for, by parsing it."""
        for order in order_ids(json.loads(body)):
            self.counts.items += 1
            self.orders.add(order)
        self.counts.orders = len(self.orders)


def order_ids(document: dict[str, Any]) -> Iterator[Any]:
    """The order id of each item: Track v2 says attributes, Pipelines properties, Track v1 (no batch) data."""
    for item in document.get("batch", [document]):
        yield (item.get("attributes") or item.get("properties") or item["data"])["order_id"]


def answer(body: bytes) -> bytes:
    """An HTTP answer 200 with this JSON body."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


TAKEN = answer(b"{}")


class Connection(asyncio.BufferedProtocol):
    """One keep-alive connection: heads are read, bodies are counted down."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.view = memoryview(sink.buffer)
        self.head = b""
        self.remaining = 0  # bytes of the body still to come
        self.body: list[bytes] = []  # only when verifying

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        at = 0
        while at < nbytes:
            at += self._read_body(at, nbytes) if self.remaining else self._read_head(at, nbytes)

    def _read_body(self, start: int, stop: int) -> int:
        taken = min(self.remaining, stop - start)
        if self.sink.verify:
            self.body.append(bytes(self.view[start : start + taken]))
        self.remaining -= taken
        if not self.remaining:
            self._body_ended()
        return taken

    def _read_head(self, start: int, stop: int) -> int:
        seen = len(self.head)
        self.head += self.view[start:stop]
        end = self.head.find(END_OF_HEAD)
        if end < 0:
            return stop - start
        head, self.head = self.head[:end], b""
        self._head_ended(head)
        return end + len(END_OF_HEAD) - seen

    def _head_ended(self, head: bytes) -> None:
        if head.startswith(b"GET "):
            return self.transport.write(answer(self._page(head)))
        _, named, length = head.lower().partition(b"\r\ncontent-length:")
        if not named:  # a body without its length would be taken for the next head
            return self.transport.close()
        self.remaining = int(length.split(b"\r\n", 1)[0])
        self.sink.counts.bytes += self.remaining
        self.sink.counts.largest_body = max(self.sink.counts.largest_body, self.remaining)
        if not self.remaining:
            self._body_ended()

    def _page(self, head: bytes) -> bytes:
        if head.startswith(b"GET /api/v1/accounts/region"):
            return b'{"url":"https://track.customer.io","region":"us","environment_id":1}'
        return json.dumps(asdict(self.sink.counts)).encode()

    def _body_ended(self) -> None:
        self.sink.count()
        if self.sink.verify:
            self.sink.take(b"".join(self.body))
            self.body.clear()
        if self.sink.latency_s:
            asyncio.get_running_loop().call_later(self.sink.latency_s, self.transport.write, TAKEN)
        else:
            self.transport.write(TAKEN)


def certificate_folder(folder: Path) -> Path:
    """`folder` with ca.pem and server.pem in it, for 127.0.0.1: made when they aren't there yet."""
    if not (folder / "ca.pem").exists():
        import trustme  # only whoever starts a TLS sink for the first time needs it

        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return folder


async def serve(port: int, latency_s: float, tls: Path | None, verify: bool) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; print the address once it can be used."""
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate_folder(tls) / "server.pem")
    sink = Sink(latency_s, verify, Counts(), set(), bytearray(READ_AT_ONCE))
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, ended.set)
    server = await loop.create_server(lambda: Connection(sink), "127.0.0.1", port, ssl=context, backlog=256)
    print(f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read, discard, answer 200.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="where the certificates are, or will be")
    parser.add_argument("--verify", action="store_true", help="parse every body and count its items")
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.latency, options.tls, options.verify))
