"""Shows the progress of a run: a live bar on a terminal, a log line every ten seconds elsewhere; always on stderr."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar

from cio_etl.log import get_logger
from cio_etl.log.streams import say
from cio_etl.model import LaneProgress, total_counts
from cio_etl.model.words import counted
from cio_etl.report.observer import Following, ReadProgress, Waited

log = get_logger()

BAR_EVERY_S, LINE_EVERY_S = 0.2, 10.0
SHOWN_FROM_S = 1.0  # a shorter wait would only flicker
SPEED_OVER_S = 10.0  # the remaining time follows from the speed of the last seconds
NARROW = 110  # columns; a narrower terminal has no room for all that a wide one shows
NARROWEST_BAR = 10  # columns
STALLED_AFTER_S = 3.0  # without a settled row there is no speed


class Progress(Following):
    """Shows the steps of a run as they go on. `live` draws a bar, else log lines come; `quiet` drops the notes."""

    def __init__(self, console: Console, live: bool, quiet: bool = False) -> None:
        self._console = console
        self._live = live
        self._quiet = quiet
        self._steps: Sequence[str] = ()

    def begin(self, steps: Sequence[str]) -> None:
        """Takes the names of the run's steps."""
        super().begin(steps)
        self._steps = steps

    def note(self, line: str) -> None:
        """Prints the sentence to stderr."""
        if not self._quiet:
            say(line, err=True)

    def follow(
        self, name: str, rows: int, lane_progress: ReadProgress, waited: Waited, began: float, ended: threading.Event
    ) -> None:
        """Shows the step, and since when its lanes have been waiting, until `ended` is set."""
        (self._draw if self._live else self._log)(name, rows, lane_progress, waited, began, ended)

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
                status.update(f"{name}: {counted(rows, 'row')} staged · {rate:,.0f} rows/s")
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

    def _draw(
        self, name: str, rows: int, lane_progress: ReadProgress, waited: Waited, began: float, ended: threading.Event
    ) -> None:
        title, width = self._title(name), self._console.width
        # beside the title: the bar, two counts and " of ", a time and the number of rejects
        has_bar = width >= len(title) + NARROWEST_BAR + 2 * len(f"{rows:,}") + 36
        columns: list[ProgressColumn] = [TextColumn("{task.description}")]
        columns += [BarColumn(bar_width=NARROWEST_BAR if width < NARROW else 40)] if has_bar else []
        speed, room = Speed(), width - len(title) - (NARROWEST_BAR + 2 if has_bar else 1)
        with Bar(*columns, TextColumn("{task.fields[words]}"), console=self._console, auto_refresh=False) as bar:
            task = bar.add_task(title, total=rows, words="")
            while True:
                over = ended.wait(BAR_EVERY_S)
                now = lane_progress()
                done, waiting = settled(now), waited()
                rate = speed.after(time.monotonic(), done)
                parts = [f"{done:,} of {rows:,}"]
                if waiting is not None and waiting >= SHOWN_FROM_S:
                    parts.append(f"waiting since {clock(waiting)}")
                else:
                    left = f"{duration((rows - done) / rate)} left" if rate and done < rows else ""
                    rejected = f"{total_counts(lane.counts for lane in now).rejected:,} rejected"
                    speed_words = "" if rate is None else f"{rate:,.0f} rows/s"
                    took = duration(time.monotonic() - began) if width >= NARROW else ""
                    parts += [left, rejected, speed_words, took]
                bar.update(task, completed=done, words=fitting(parts, room), refresh=True)
                if over:
                    return

    def _title(self, name: str) -> str:
        """The step's name and its place among the steps, where there are several."""
        if len(self._steps) < 2 or name not in self._steps:
            return name
        return f"{name} ({self._steps.index(name) + 1} of {len(self._steps)})"

    def _log(
        self, name: str, rows: int, lane_progress: ReadProgress, waited: Waited, began: float, ended: threading.Event
    ) -> None:
        before = settled(lane_progress())
        while not ended.wait(LINE_EVERY_S):
            now, seconds = lane_progress(), waited()
            log.info(
                "step_progressed",
                step=name,
                settled=settled(now),
                rows=rows,
                rejected=total_counts(lane.counts for lane in now).rejected,
                retries=total_counts(lane.counts for lane in now).retries,
                rows_per_second=round((settled(now) - before) / (time.monotonic() - began)),
                **({} if seconds is None else {"waiting_since": clock(seconds)}),
            )


def fitting(parts: Sequence[str], room: int) -> str:
    """The first of these parts, as many as have room in a line; at least one."""
    line, *others = [part for part in parts if part]
    for part in others:
        if len(line) + len(part) + 3 > room:
            break
        line = f"{line} · {part}"
    return line


class Speed:
    """Rows per second over the last seconds; None while no row is settled."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def after(self, now_s: float, done: int) -> float | None:
        """The speed, now that so many rows are settled."""
        self._samples.append((now_s, done))
        while self._samples[0][0] < now_s - SPEED_OVER_S:
            self._samples.popleft()
        began_s, before = self._samples[0]
        last_s = next(at for at, rows in self._samples if rows == done)
        if done == before or now_s - last_s > STALLED_AFTER_S:
            return None
        return (done - before) / max(now_s - began_s, 1e-9)


def duration(seconds: float) -> str:
    """0:07, 12:30 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def clock(seconds: float) -> str:
    """The time of day so many seconds ago, in UTC like the log."""
    return time.strftime("%H:%M:%SZ", time.gmtime(time.time() - seconds))


def settled(lane_progress: Sequence[LaneProgress]) -> int:
    """Rows that are accepted, rejected or skipped."""
    return total_counts(lane.counts for lane in lane_progress).settled
