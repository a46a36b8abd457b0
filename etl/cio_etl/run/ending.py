"""Where runs end: what must be done once it is known how a run, a replay or an applied plan has ended.

Every door comes by here: the command, the Python API and Airflow. A run that cannot begin ends here, too. What is done
is in ENDINGS, in this order; none of it can fail a run or change how it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cio_etl.errors import EtlError, Interrupted, failure_of
from cio_etl.log import about, get_logger
from cio_etl.model import Job, Report
from cio_etl.run.caller import Caller
from cio_etl.run.ended import Ended, Ending
from cio_etl.run.measuring import write_metrics
from cio_etl.run.notices import tell
from cio_etl.run.options import RunOptions
from cio_etl.run.pinging import ping_begun, ping_ended
from cio_etl.run.verifying import sample_of, verify

log = get_logger()


ENDINGS: list[Ending] = [ping_ended, verify, tell, write_metrics]


@dataclass(slots=True)
class OpenRun:
    """A run in progress: `caller` is what it gets in place of the door's, `report` its last report."""

    caller: Caller
    report: Report | None = None
    begun: bool = False


@contextmanager
def ending_run(job: Job, options: RunOptions, caller: Caller) -> Iterator[OpenRun]:
    """Does what must be done when the run in the block has ended, whichever way.

    The block starts the run with the `caller` that it is given, and notes its `report`, which the endings may change.
    """
    run = OpenRun(caller)

    def note(report: Report) -> None:
        run.report = report

    def begin() -> None:
        if not run.begun:  # else it goes on, with other keys
            run.begun = True
            ping_begun(job, options)

    sample = sample_of(job, options)
    run.caller = replace(caller, reported=note, begun=begin, sample=sample)
    try:
        yield run
    except BaseException as error:
        failure = Interrupted("SIGINT") if isinstance(error, KeyboardInterrupt) else failure_of(error)
        end(_ended(run, job, options, failure))
        raise
    if run.report is not None:  # None: there was nothing to do
        run.report = end(replace(_ended(run, job, options, None), sample=sample))


def _ended(run: OpenRun, job: Job, options: RunOptions, error: EtlError | None) -> Ended:
    caller, at = run.caller, datetime.now(UTC)
    return Ended(job, options, caller.commands, run.report, error, at, caller.environment, run.begun)


def end(ended: Ended) -> Report | None:
    """Does it; the report, with what the endings add to it."""
    names = {} if ended.report is None else {"run_id": ended.report.run_id}
    for each in ENDINGS:
        try:
            with about(**names):
                ended = replace(ended, report=each(ended))
        except Exception as error:  # how the run has ended must be reported, whatever else fails
            log.warning("ending_failed", ending=each.__name__, reason=type(error).__name__)
    return ended.report
