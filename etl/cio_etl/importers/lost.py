"""What could not be carried over: one record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that could not be carried over: where it is written, what, why, and what to do by hand."""

    place: str
    what: str
    why: str
    by_hand: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: {self.why}; by hand: {self.by_hand}"
