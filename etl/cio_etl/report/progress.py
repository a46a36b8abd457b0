"""How far is the run? A live bar on a terminal, a line every ten seconds elsewhere; always on stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cio_etl.model import LaneProgress, total_counts

log = structlog.get_logger()

BAR_EVERY_S, LINE_EVERY_S = 0.2, 10.0
WORTH_SAYING_S = 1.0  # a shorter wait would only flicker

Marks = Callable[[], Sequence[LaneProgress]]
Waited = Callable[[], float | None]  # seconds for which all lanes have been waiting; None: they are not


class Progress:
    """Shows the steps of a run as they go. `live` draws a bar; otherwise a log line comes now and then."""

    def __init__(self, console: Console, live: bool) -> None:
        self._console = console
        self._live = live

    @contextmanager
    def step(self, name: str, rows: int, marks: Marks, waited: Waited = lambda: None) -> Iterator[None]:
        """Follows `marks` through a step of `rows` rows until the block ends; says so while the destination is down."""
        began = time.monotonic()
        ended = threading.Event()
        follow = self._draw if self._live else self._tell
        thread = threading.Thread(
            target=follow, args=(name, rows, marks, waited, began, ended), name="progress", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def staging(self, name: str) -> Iterator[Callable[[int], None]]:
        """Follows a step's rows on their way to this machine: the block tells how many there are so far."""
        began = next_line = time.monotonic()
        status = self._console.status(f"{name}: connecting") if self._live else None
        told = 0

        def tell(rows: int) -> None:
            nonlocal next_line, told
            told = rows
            rate = rows / max(time.monotonic() - began, 1e-9)
            if status is not None:
                status.start()
                status.update(f"{name}: {rows:,} rows staged · {rate:,.0f} rows/s")
            elif time.monotonic() - next_line >= LINE_EVERY_S:
                next_line = time.monotonic()
                log.info("step_staging", step=name, rows=rows, rows_per_second=round(rate))

        try:
            yield tell
        finally:
            if status is not None:
                status.stop()
        if told:
            log.info("step_staged", step=name, rows=told, seconds=round(time.monotonic() - began, 1))

    def _draw(self, name: str, rows: int, marks: Marks, waited: Waited, began: float, ended: threading.Event) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=self._console, auto_refresh=False) as bar:
            task = bar.add_task(name, total=rows, note="")
            before = settled(marks())
            while True:
                over = ended.wait(BAR_EVERY_S)
                now = marks()
                rate = (settled(now) - before) / max(time.monotonic() - began, 1e-9)
                note = f"{rate:,.0f} rows/s · {total_counts(mark.counts for mark in now).rejected:,} rejected"
                if (seconds := waited()) is not None and seconds >= WORTH_SAYING_S:
                    note = f"waiting since {since(seconds)}"
                bar.update(task, completed=settled(now), note=note, refresh=True)
                if over:
                    return

    def _tell(self, name: str, rows: int, marks: Marks, waited: Waited, began: float, ended: threading.Event) -> None:
        before = settled(marks())
        while not ended.wait(LINE_EVERY_S):
            now, seconds = marks(), waited()
            log.info(
                "step_progressed",
                step=name,
                settled=settled(now),
                rows=rows,
                rejected=total_counts(mark.counts for mark in now).rejected,
                retries=total_counts(mark.counts for mark in now).retries,
                rows_per_second=round((settled(now) - before) / (time.monotonic() - began)),
                **({} if seconds is None else {"waiting_since": since(seconds)}),
            )


def since(seconds: float) -> str:
    """The time of day so many seconds ago, UTC as in the log."""
    return time.strftime("%H:%M:%SZ", time.gmtime(time.time() - seconds))


def settled(marks: Sequence[LaneProgress]) -> int:
    """Rows that have had their end."""
    return total_counts(mark.counts for mark in marks).settled
