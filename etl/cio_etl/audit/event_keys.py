"""Events that Customer.io would ignore because their key stays the same."""

from __future__ import annotations

from collections.abc import Iterable

from cio_etl.audit.findings import PositionedFinding, finding_kind
from cio_etl.model import Step
from cio_etl.transform import Mapped
from cio_etl.transform.event_keys import REMEDY, event_key_of_changes

EVENT_KEY_OF_CHANGES = finding_kind("event_key_of_changes", "warning", REMEDY)


class EventKeys:
    """Reports `event_key_of_changes` of a step."""

    def __init__(self, step: Step) -> None:
        self._words = event_key_of_changes(step)

    def observe(self, mapped: Mapped) -> None:
        """Nothing to observe: the job says it."""

    def findings(self) -> Iterable[PositionedFinding]:
        if self._words is not None:
            yield EVENT_KEY_OF_CHANGES.finding("event_key", 0, self._words)
