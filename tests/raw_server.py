"""Starts a server that does to each connection whatever a test wants: no HTTP library, only a socket."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handle = Callable[[socket.socket], None]


@contextmanager
def raw_server(handle: Handle, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Runs `handle` in a thread for each connection, over TLS if a context is given; gives the server's URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def handle_one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client may close it at any moment
            handle(connection if tls is None else tls.wrap_socket(connection, server_side=True))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle_one, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """The body of the next request, which has a Content-Length; raises ConnectionError at the connection's end."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _piece(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += _piece(connection)
    return body


def _piece(connection: socket.socket) -> bytes:
    if not (piece := connection.recv(1_000_000)):
        raise ConnectionResetError
    return piece


def answering(*answers: bytes) -> Handle:
    """Sends the next of these answers on each connection, and the last one on all that follow."""
    remaining = list(answers)

    def answer(connection: socket.socket) -> None:
        with connection:
            connection.recv(10_000)
            connection.sendall(remaining.pop(0) if len(remaining) > 1 else remaining[0])

    return answer
