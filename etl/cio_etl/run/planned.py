"""What a plan was made of, step by step: a run that applies it refuses when one of these has moved since."""

from __future__ import annotations

from dataclasses import dataclass

from cio_etl.errors import PlanOutdated


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The rows, the mapping and the ledger that a step's items are a function of."""

    fingerprint: str  # of the snapshot
    mapping: str  # digest
    generation: int = 0  # of the ledger; 0: it has none, or none yet
    salt: int = 0  # of the ledger; 0: it has none, or none yet
    again: bool = False  # what the ledger knows is sent, too

    def require(self, now: PlannedStep, step: str) -> None:
        """Raises PlanOutdated when something has moved."""
        moved = [
            words
            for name, words in (
                ("fingerprint", "its source has other rows"),
                ("mapping", "its mapping has changed"),
                ("generation", "a run has moved its ledger"),
                ("salt", "it has another ledger"),
                ("again", "its full_refresh_every has passed since, so every row would be sent"),
            )
            if getattr(self, name) != getattr(now, name)
        ]
        if moved:
            raise PlanOutdated(step=step, what=", ".join(moved))
