"""Holds an answer that takes long to read, so that no page waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

T = TypeVar("T")

WAIT_S = 0.05  # that a page waits for a new answer
SHARE = 0.05  # of the time may be spent on reading


class Refreshed(Generic[T]):
    """The answer of `read`, a moment old at most where reading is quick, and the last one where it takes longer.

    It is read for the first time at once.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._done.set()
        self._due_at = 0.0
        self._answer: tuple[T, datetime] | None = None
        self._error: BaseException | None = None
        self._begin()

    def get(self) -> tuple[T, datetime]:
        """The answer, and when it was read. The first one is waited for. Raises what `read` has raised last."""
        self._begin()
        self._done.wait(WAIT_S if self._answer is not None else None)
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def _begin(self) -> None:
        with self._lock:
            if self._done.is_set() and time.monotonic() >= self._due_at:
                self._done.clear()
                threading.Thread(target=self._refresh, name="counting", daemon=True).start()

    def _refresh(self) -> None:
        began, at = time.monotonic(), datetime.now(UTC)
        try:
            self._answer, self._error = (self._read(), at), None
        except BaseException as error:
            self._error = error
        took = time.monotonic() - began
        self._due_at = time.monotonic() + took / SHARE
        self._done.set()
