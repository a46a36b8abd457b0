"""Consoles of rich for tables and long texts; what prints a line by `streams.say` need not load rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from cio_etl.log.streams import drop_output, writing_results
from cio_etl.log.visible import visible


class SafeConsole(Console):
    """A console that prints an escape for each invisible character of a text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


class Screen(SafeConsole):
    """A console for stdout that goes quiet when its reader closes the pipe; rich's own would exit with 1."""

    def print(self, *objects: Any, **settings: Any) -> None:
        with writing_results():
            super().print(*objects, **settings)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        drop_output(sys.stdout)
