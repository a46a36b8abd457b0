"""The steps of a job as it runs: after each mirror step, the step that removes who is gone. See gone.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cio_etl.apis import removal
from cio_etl.model import SYNC_ALL, GoneSource, Job, ReplaySource, Step


def with_gone_steps(job: Job) -> Job:
    """The job as it runs: after each mirror step, the step that removes who is gone. Such a job stays as it is."""
    return replace(job, steps=tuple(_steps(job)))


def _steps(job: Job) -> Iterator[Step]:
    has_one = {step.source.step for step in job.steps if isinstance(step.source, GoneSource)}
    for step in job.steps:
        yield step
        if step.sync.mode == "mirror" and step.name not in has_one and not isinstance(step.source, ReplaySource):
            assert step.sync.when_gone is not None
            mapping = removal(step.mapping, step.sync.when_gone)
            yield Step(f"{step.name}/gone", GoneSource(step.name, step.ledger_name), mapping, SYNC_ALL)
