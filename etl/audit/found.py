"""What an audit is, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from etl.transform import Mapped

FIRST = 3  # positions that a finding names


@dataclass(frozen=True, slots=True)
class Found:
    """A finding whose rows are still positions, the first few of them, in order."""

    code: str
    severity: Literal["warning", "notice"]
    field: str | None
    rows: int
    words: str
    first: tuple[int, ...] = ()


class Audit(Protocol):
    """One question about a step's rows."""

    def see(self, mapped: Mapped) -> None:
        """Looks at a frame; frames come in order of position."""

    def findings(self) -> Iterable[Found]:
        """What there is to say, when all frames have been seen."""
