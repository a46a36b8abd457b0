"""What a run gets from the door that starts it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import field
from typing import TYPE_CHECKING

from cio_etl.model import PlannedStep, Report
from cio_etl.model.records import dataclass
from cio_etl.report import NO_COMMANDS, Commands, Observer
from cio_etl.run.signals import Signals

if TYPE_CHECKING:
    from cio_etl.run.verify import Sample


def _unheard(*_: object) -> None:
    """Nobody asks."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a run gets from the door that starts it: who may stop it, who follows it, and the commands to show."""

    signals: Signals = field(default_factory=Signals)
    observer: Observer = field(default_factory=Observer)
    commands: Commands = NO_COMMANDS
    planned: MappingOf[str, PlannedStep] | None = None  # by step, of a run that applies a plan
    environment: Callable[[], MappingOf[str, str]] | None = None  # what job files refer to; None: the process's own
    reported: Callable[[Report], None] = _unheard  # gets the report of a run at its end, also when the run fails
    begun: Callable[[], None] = _unheard  # called once the run holds the job's lock
    sample: Sample | None = None  # takes a part of the rows that are sent, to read their people back
