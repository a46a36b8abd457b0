"""What is known of a run that has ended, for what must be done then: see ending.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from cio_etl.errors import EtlError, InvalidArguments, JobLocked, StateError
from cio_etl.model import JobSettings, Report
from cio_etl.model.records import dataclass
from cio_etl.report import Commands
from cio_etl.run.options import RunOptions

if TYPE_CHECKING:
    from cio_etl.run.verify import Sample

BY_HAND = (InvalidArguments.exit_code, 130, JobLocked.exit_code)


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended in this process. Another worker of the run may still be at work: `report.status` says so."""

    job: JobSettings  # by the name of its runs: NAME.replay of a replay; a Job, unless its files are wrong
    options: RunOptions
    commands: Commands
    report: Report | None  # None: it failed before there was a run
    error: EtlError | None  # None: it has finished
    at: datetime
    environment: Callable[[], Mapping[str, str]] | None = None  # what job files refer to; None: the process's own
    begun: bool = False  # whether it held the job's lock
    sample: Sample | None = None  # of the people whose rows were sent; None: nobody is to be read back

    @property
    def is_by_hand(self) -> bool:
        """Whether it ended in a way that nobody must be told of: somebody was there, or another run is at work."""
        return self.error is not None and self.error.exit_code in BY_HAND

    @property
    def others_go_on(self) -> bool:
        """Whether other workers go on with the run. Not if the state could not record its end, as on a full disk."""
        is_running = self.report is not None and self.report.status == "running"
        return is_running and self.options.share is not None and not isinstance(self.error, StateError)


Ending = Callable[[Ended], Report | None]  # gives the report, with what it adds to it
