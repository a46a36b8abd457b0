"""Defines who may follow a run: an observer that does nothing, and one that calls a function of the caller."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field

from cio_etl.log import Thread, get_logger
from cio_etl.model import Counts, LaneProgress, total_counts
from cio_etl.model.records import dataclass

log = get_logger()

CALL_EVERY_S = 0.2

ReadProgress = Callable[[], Sequence[LaneProgress]]
Waited = Callable[[], float | None]  # seconds for which all lanes have been waiting; None: they are not


class Observer:
    """Follows a run. This one shows nothing."""

    has_begun = False  # whether there is a run, which the same command resumes

    def begin(self, steps: Sequence[str]) -> None:
        """Takes the names of the run's steps, in order, before the first of them."""
        self.has_begun = True

    @contextmanager
    def step(self, name: str, rows: int, lane_progress: ReadProgress, waited: Waited = lambda: None) -> Iterator[None]:
        """Follows `lane_progress` through a step of `rows` rows until the block ends."""
        yield

    @contextmanager
    def staging(self, name: str) -> Iterator[Callable[[int], None]]:
        """Follows rows while they are copied to this machine; the block calls the function with their number."""
        yield lambda rows: None

    def note(self, line: str) -> None:
        """Takes a sentence for the person who watches."""


class Following(Observer, ABC):
    """Follows each step in a thread of its own, by `follow`."""

    @contextmanager
    def step(self, name: str, rows: int, lane_progress: ReadProgress, waited: Waited = lambda: None) -> Iterator[None]:
        """Follows `lane_progress` through a step of `rows` rows until the block ends."""
        ended = threading.Event()
        arguments = (name, rows, lane_progress, waited, time.monotonic(), ended)
        thread = Thread(target=self.follow, args=arguments, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @abstractmethod
    def follow(
        self, name: str, rows: int, lane_progress: ReadProgress, waited: Waited, began: float, ended: threading.Event
    ) -> None:
        """Shows the step until `ended` is set."""


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far a step is. `rows` is None while they are copied to this machine; then `staged` counts them."""

    step: str
    rows: int | None
    staged: int = 0
    counts: Counts = field(default_factory=Counts)
    waiting_s: float | None = None  # for which all lanes have been waiting for Customer.io; None: they are not


class Callback(Following):
    """Calls a function with a StepProgress, several times a second and at each step's end, in a thread of its own.

    A function that raises is not called again; the run goes on.
    """

    def __init__(self, function: Callable[[StepProgress], object]) -> None:
        self._function: Callable[[StepProgress], object] | None = function

    def follow(
        self, name: str, rows: int, lane_progress: ReadProgress, waited: Waited, began: float, ended: threading.Event
    ) -> None:
        """Calls the function until `ended` is set, and once more."""
        over = False
        while not over:
            over = ended.wait(CALL_EVERY_S)
            counts = total_counts(lane.counts for lane in lane_progress())
            self._call(StepProgress(name, rows, counts=counts, waiting_s=waited()))

    @contextmanager
    def staging(self, name: str) -> Iterator[Callable[[int], None]]:
        """Calls the function with the rows copied so far, several times a second."""
        next_call = time.monotonic()

        def count(rows: int) -> None:
            nonlocal next_call
            if time.monotonic() >= next_call:
                next_call = time.monotonic() + CALL_EVERY_S
                self._call(StepProgress(name, None, staged=rows))

        yield count

    def _call(self, progress: StepProgress) -> None:
        if self._function is None:
            return
        try:
            self._function(progress)
        except Exception as error:
            self._function = None
            log.warning("progress_callback_failed", reason=type(error).__name__)
