"""Shows the progress of a run: a live bar on a terminal, a log line every ten seconds elsewhere; always on stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cio_etl.model import LaneProgress, total_counts
from cio_etl.model.log import get_logger
from cio_etl.report.observer import Following, Marks, Waited
from cio_etl.report.streams import say

log = get_logger()

BAR_EVERY_S, LINE_EVERY_S = 0.2, 10.0
SHOWN_FROM_S = 1.0  # a shorter wait would only flicker


class Progress(Following):
    """Shows the steps of a run as they go on. `live` draws a bar, else log lines come; `quiet` drops the notes."""

    def __init__(self, console: Console, live: bool, quiet: bool = False) -> None:
        self._console = console
        self._live = live
        self._quiet = quiet

    def note(self, line: str) -> None:
        """Prints the sentence to stderr."""
        if not self._quiet:
            say(line, err=True)

    def follow(self, name: str, rows: int, marks: Marks, waited: Waited, began: float, ended: threading.Event) -> None:
        """Shows the step, and since when its lanes have been waiting, until `ended` is set."""
        (self._draw if self._live else self._log)(name, rows, marks, waited, began, ended)

    @contextmanager
    def staging(self, name: str) -> Iterator[Callable[[int], None]]:
        """Follows rows while they are copied to this machine; the block calls the function with their number."""
        began = next_line = time.monotonic()
        status = self._console.status(f"{name}: connecting") if self._live else None
        staged = 0

        def count(rows: int) -> None:
            nonlocal next_line, staged
            staged = rows
            rate = rows / max(time.monotonic() - began, 1e-9)
            if status is not None:
                status.start()
                status.update(f"{name}: {rows:,} rows staged · {rate:,.0f} rows/s")
            elif time.monotonic() - next_line >= LINE_EVERY_S:
                next_line = time.monotonic()
                log.info("step_staging", step=name, rows=rows, rows_per_second=round(rate))

        try:
            yield count
        finally:
            if status is not None:
                status.stop()
        if staged:
            log.info("step_staged", step=name, rows=staged, seconds=round(time.monotonic() - began, 1))

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
                if (seconds := waited()) is not None and seconds >= SHOWN_FROM_S:
                    note = f"waiting since {clock(seconds)}"
                bar.update(task, completed=settled(now), note=note, refresh=True)
                if over:
                    return

    def _log(self, name: str, rows: int, marks: Marks, waited: Waited, began: float, ended: threading.Event) -> None:
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
                **({} if seconds is None else {"waiting_since": clock(seconds)}),
            )


def clock(seconds: float) -> str:
    """The time of day so many seconds ago, in UTC like the log."""
    return time.strftime("%H:%M:%SZ", time.gmtime(time.time() - seconds))


def settled(marks: Sequence[LaneProgress]) -> int:
    """Rows that are accepted, rejected or skipped."""
    return total_counts(mark.counts for mark in marks).settled
