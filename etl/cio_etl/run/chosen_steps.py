"""Loads a job file with the steps that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from cio_etl.config import load_job, stand_ins
from cio_etl.errors import InvalidArguments
from cio_etl.model import Job, Step
from cio_etl.report import Observer
from cio_etl.run.options import ReadOptions

Environment = Callable[[], Mapping[str, str]]  # read again when credentials are refused: they may have been renewed


def load_steps(path: Path, options: ReadOptions, environment: Environment | None = None, *, secrets: bool) -> Job:
    """The job of a file with the steps that are asked for. Raises ConfigError, and InvalidArguments."""
    if environment is None:
        job = load_job(path, secrets=secrets, target=options.target)
    else:
        job = load_job(path, environment(), secrets=secrets, target=options.target)
    steps = chosen_steps(job, options)
    if options.watermark is not None and not any(step.source.incremental for step in steps):
        what = "these steps read no source with a `watermark:`, so every row would be read; leave it out"
        raise InvalidArguments(f"`watermark`: {what}")
    return replace(job, steps=steps)


def chosen_steps(job: Job, options: ReadOptions) -> tuple[Step, ...]:
    """The job's steps that are asked for, in the job's order. Raises InvalidArguments for a step that it lacks."""
    if not options.steps:
        return job.steps
    names = {name for step in job.steps for name in _names(step)}
    if unknown := [name for name in options.steps if name not in names]:
        has = ", ".join(step.name for step in job.steps)
        raise InvalidArguments(f"{job.file} has no step {unknown[0]!r}; it has {has}")
    return tuple(step for step in job.steps if not set(options.steps).isdisjoint(_names(step)))


def _names(step: Step) -> tuple[str, str]:
    """The step's name, and the name it has in the job file: a fan-out makes several steps of one."""
    return step.name, step.name.split("/")[0]


def note_stand_ins(job: Job, observer: Observer) -> None:
    """Reports each key of a function that is not looked up, so that the values made differ from those of a run."""
    for reference in dict.fromkeys(name for step in job.steps for name in stand_ins(step.mapping)):
        observer.note(f"hmac: {reference} is not looked up here; its own text is the key, so a run sends other values")
