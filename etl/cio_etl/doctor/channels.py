"""Checks whether the channels of `notify` could be reached; nothing is sent."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from cio_etl.doctor.check import Check
from cio_etl.model import Job
from cio_etl.notify import NotSent


def channels(job: Job) -> Iterator[Check]:
    """Checks the secrets, the connection and the login of each channel. A fault is a warning: it stops no run."""
    from cio_etl.notify.reach import reach  # here: few jobs have channels

    for channel in job.notify:
        subject = f"notify {channel.label}"
        try:
            yield Check(subject, "ok", reach(channel))
        except NotSent as error:
            remedy = (
                f"fix that, or notify: of the job; then try it with `cio-etl notify {shlex.quote(job.file)} --test`"
            )
            yield Check(subject, "warning", str(error), remedy)
