"""Defines how a run is followed for programs that watch many runs. Without a collector, nothing is followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cio_etl.model import LaneProgress, LaneWatch, Report
from cio_etl.telemetry.facts import JobFacts

ReadProgress = Callable[[], Sequence[LaneProgress]]


class Watch:
    """Follows one run in this process. This one follows nothing."""

    def begun(self, run_id: str, allowed: Callable[[], float]) -> None:
        """The run has an ID, and `allowed` gives the requests a second that may start."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Follows a step until the block ends."""
        yield

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Follows how the current step is opened."""
        yield

    def lanes(self) -> LaneWatch | None:
        """What follows the lanes of the current step; None: nothing does."""
        return None

    @contextmanager
    def sending(self, progress: ReadProgress) -> Iterator[None]:
        """Follows how the current step's rows are sent: the `progress` of this process's lanes."""
        yield

    def ended(self, report: Report, facts: JobFacts) -> None:
        """The run has ended, whichever way."""
