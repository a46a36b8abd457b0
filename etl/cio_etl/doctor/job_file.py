"""Is the job file in order, with what it refers to?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cio_etl.apis import APIS
from cio_etl.config import check_examples, load_job
from cio_etl.doctor.check import Check
from cio_etl.errors import (
    ConfigError,
    Problem,
)
from cio_etl.model import Job
from cio_etl.report.words import counted


def loaded(path: Path) -> tuple[Job | None, list[Check]]:
    """The job, though keys or addresses that it refers to may be missing, and what is wrong with it."""
    told: Sequence[Problem] = ()
    for secrets, sources in ((True, True), (False, True), (True, False), (False, False)):
        try:
            job = load_job(path, secrets=secrets, sources=sources)
        except ConfigError as error:
            told = told or error.problems
        else:
            return job, [_of_problem(problem) for problem in told]
    return None, [_of_problem(problem) for problem in told]


_KEYS = {f"destination.{key}" for api in APIS.values() for key in api.credentials}


def _of_problem(problem: Problem) -> Check:
    subject = "credentials" if problem.path in _KEYS else "job file"
    found, _, remedy = str(problem).partition("; ")
    return Check(subject, "wrong", found, remedy or "mend it there", ConfigError.exit_code)


def job_file(job: Job) -> Iterator[Check]:
    """Whether the mappings' examples come out as they say."""
    mappings = {step.mapping.file: step.mapping for step in job.steps}
    problems = [problem for mapping in mappings.values() for problem in check_examples(mapping)]
    yield from map(_of_problem, problems)
    if not problems:
        examples = counted(sum(len(mapping.examples) for mapping in mappings.values()), "example")
        counts = f"{counted(len(job.steps), 'step')}, {counted(len(mappings), 'mapping')}, {examples}"
        yield Check("job file", "ok", f"{job.file}: {counts}, as they should be")
