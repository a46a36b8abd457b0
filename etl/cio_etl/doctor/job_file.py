"""Checks the job file, its references and the examples of its mappings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cio_etl.apis import APIS
from cio_etl.config import check_examples, job_warnings, load_job
from cio_etl.doctor.check import Check
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Job
from cio_etl.model.words import counted


def load(path: Path, target: str | None = None) -> tuple[Job | None, list[Check]]:
    """The job and its problems; the job is loaded even if its keys or addresses are missing."""
    problems: Sequence[Problem] = ()
    for secrets, sources in ((True, True), (False, True), (True, False), (False, False)):
        try:
            job = load_job(path, secrets=secrets, sources=sources, target=target)
        except ConfigError as error:
            problems = problems or error.problems
        else:
            return job, [_of_problem(problem) for problem in problems]
    return None, [_of_problem(problem) for problem in problems]


_KEYS = {f"destination.{key}" for api in APIS.values() for key in api.credentials}


def _of_problem(problem: Problem) -> Check:
    subject = "credentials" if problem.path in _KEYS else "job file"
    text, _, remedy = str(problem).partition("; ")
    return Check(subject, "wrong", text, remedy or "fix it there", ConfigError.exit_code)


def job_file(job: Job) -> Iterator[Check]:
    """Checks that the examples of the mappings give the expected results."""
    for step, words, remedy in job_warnings(job):
        yield Check(f"step {step.name}", "warning", words, remedy)
    mappings = {step.mapping.file: step.mapping for step in job.steps}
    problems = [problem for mapping in mappings.values() for problem in check_examples(mapping)]
    yield from map(_of_problem, problems)
    if not problems:
        examples = sum(len(mapping.examples) for mapping in mappings.values())
        correct = f", {counted(examples, 'example')}, all correct" if examples else ""
        counts = f"{counted(len(job.steps), 'step')}, {counted(len(mappings), 'mapping')}"
        yield Check("job file", "ok", f"{job.file}: {counts}{correct}")
