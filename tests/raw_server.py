"""Starts a server that does to each connection whatever a test wants: no HTTP library, only a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handle = Callable[[socket.socket], None]


@contextmanager
def raw_server(handle: Handle) -> Iterator[str]:
    """Runs `handle` in a thread for each connection; gives the server's URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answering(*answers: bytes) -> Handle:
    """Sends the next of these answers on each connection, and the last one on all that follow."""
    remaining = list(answers)

    def answer(connection: socket.socket) -> None:
        with connection:
            connection.recv(10_000)
            connection.sendall(remaining.pop(0) if len(remaining) > 1 else remaining[0])

    return answer
