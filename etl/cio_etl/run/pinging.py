"""Tells the monitor of a job that a run begins, and how it has ended."""

from __future__ import annotations

from cio_etl.log import get_logger
from cio_etl.model import JobSettings, Report
from cio_etl.notify.ping import ping
from cio_etl.run.ended import Ended
from cio_etl.run.options import RunOptions

log = get_logger()


def ping_begun(job: JobSettings, options: RunOptions) -> None:
    """Tells that a run begins."""
    _ping(job, options, "/start")


def ping_ended(ended: Ended) -> Report | None:
    """Tells how a run has ended: the exit code of its error, else a success.

    A run that another one keeps from beginning, or a person, tells nothing; nor does a worker whose run others go on
    with.
    """
    if not ended.others_go_on and (ended.begun or not ended.is_by_hand):
        _ping(ended.job, ended.options, "" if ended.error is None else f"/{ended.error.exit_code}")
    return ended.report


def _ping(job: JobSettings, options: RunOptions, suffix: str) -> None:
    """Calls no monitor for a run in the sandbox, nor where the address is empty: its variable was not looked up."""
    if job.ping is None or options.sandbox or not job.ping.get_secret_value():
        return
    if failure := ping(job.ping, suffix):
        log.warning("ping_failed", reason=failure)
