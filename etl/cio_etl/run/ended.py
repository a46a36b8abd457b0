"""What is known of a run that has ended, for what must be done then: see ending.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from cio_etl.errors import EtlError
from cio_etl.model import Job, Report
from cio_etl.model.records import dataclass
from cio_etl.report import Commands
from cio_etl.run.options import RunOptions

if TYPE_CHECKING:
    from cio_etl.verify import Sample


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended in this process. Another worker of the run may still be at work: `report.status` says so."""

    job: Job  # by the name of its runs: NAME.replay of a replay
    options: RunOptions
    commands: Commands
    report: Report | None  # None: it failed before there was a run
    error: EtlError | None  # None: it has finished
    at: datetime
    environment: Callable[[], Mapping[str, str]] | None = None  # what job files refer to; None: the process's own
    sample: Sample | None = None  # of the people whose rows were sent; None: nobody is to be read back


Ending = Callable[[Ended], Report | None]  # gives the report, with what it adds to it
