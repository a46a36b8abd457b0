"""Threads whose log events say what those of the thread that made them say: the run, the step, the trace."""

from __future__ import annotations

import contextvars
import threading
from typing import Any


class Thread(threading.Thread):
    """A thread that works in the context of the one that made it. Python's own begin in an empty one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._context = contextvars.copy_context()

    def run(self) -> None:
        self._context.run(super().run)
