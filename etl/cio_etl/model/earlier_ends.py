"""The ends of a run before its last one: it failed, was stopped or was killed, and was resumed."""

from __future__ import annotations

from typing import Literal

from cio_etl.model.records import dataclass

EndStatus = Literal["failed", "stopped", "killed"]


@dataclass(frozen=True, slots=True)
class EarlierEnd:
    """An end of a run that did not finish it."""

    status: EndStatus
    at: str  # ISO 8601, UTC; of a killed one: when the next process found it so
    exit_code: int | None  # None: it was killed
    reason: str | None


@dataclass(frozen=True, slots=True)
class EarlierEnds:
    """How often a run ended before its last end, and how."""

    failed: int = 0
    stopped: int = 0
    killed: int = 0
    newest: tuple[EarlierEnd, ...] = ()  # the newest first, as many as a report shows

    @property
    def times(self) -> int:
        """How often the run ended before its last end."""
        return self.failed + self.stopped + self.killed

    @property
    def words(self) -> str:
        """`stopped 2 times and killed once`; empty: this is its first end."""
        ways = {"failed": self.failed, "stopped": self.stopped, "killed": self.killed}
        parts = [f"{way} {'once' if times == 1 else f'{times:,} times'}" for way, times in ways.items() if times]
        return " and ".join(parts[-2:]) if len(parts) < 3 else f"{parts[0]}, {parts[1]} and {parts[2]}"
