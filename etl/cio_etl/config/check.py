"""Checks a job file with its mappings, or a mapping alone, and tests their examples; reads no data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cio_etl.config.examples import check_examples
from cio_etl.config.folder_file import FOLDER_FILE, folder_channels
from cio_etl.config.job import read_job
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.mapping import read_mapping
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.mapping_tests import count_tests, is_tests, read_tests
from cio_etl.config.plain_form import read_document
from cio_etl.config.targets import target_names, with_target
from cio_etl.config.validation import looks_like
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Job, Mapping, Step
from cio_etl.model.records import dataclass
from cio_etl.transform.event_keys import REMEDY, event_key_of_changes


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file contains, and everything that is wrong in it and in the files that it names.

    `steps` is None if the file is a mapping. Only what could be read is counted.
    """

    steps: int | None
    mappings: int
    examples: int
    problems: tuple[Problem, ...]  # by file, in the order in which the files are read, then by line
    warnings: tuple[str, ...] = ()  # what a job may do without an error, and what to do about it
    channels: int | None = None  # of a file `cio-etl.yaml`
    tests: int = 0  # of the mappings, in files of their own, as far as they can be read


def check_file(path: Path, target: str | None = None) -> Checked:
    """Checks a job, a mapping, `cio-etl.yaml`, or a file of tests, which are not run; faults are listed, not raised.

    It needs no data, no credentials and no addresses of databases. A job with several destinations is checked for each,
    or for `target` alone. Raises InvalidArguments for a target that the job does not have.
    """
    if path.name == FOLDER_FILE:
        channels, problems = folder_channels(path, {})
        return Checked(None, 0, 0, tuple(problems), channels=len(channels))
    data = read_document(path).data
    if data is not None and is_tests(data):
        tests, problems = read_tests(path)
        return _checked(None, [] if tests is None else [tests.mapping], problems)
    if _is_mapping(data):
        mapping, problems = read_mapping(path)
        return _checked(None, [] if mapping is None else [mapping], problems)
    names = target_names(path) if target is None else (target,)
    parts = [_checked_job(path, name) for name in names or (None,)]
    found = tuple(dict.fromkeys(problem for part in parts for problem in part.problems))
    return replace(parts[0], problems=found)


def _checked_job(path: Path, target: str | None) -> Checked:
    job, problems, mappings = read_job(path, secrets=False, sources=False, target=target)
    checked = _checked(0 if job is None else len(job.steps), mappings, problems)
    if job is None:
        return checked
    warnings = tuple(f"step {step.name}: {words}; {remedy}" for step, words, remedy in job_warnings(job))
    return replace(checked, warnings=warnings)


def is_mapping_file(path: Path) -> bool:
    """Whether a file has more keys of a mapping than of a job."""
    return _is_mapping(read_document(path).data)


def _is_mapping(data: dict[str, Any] | None) -> bool:
    return data is not None and looks_like(MappingYaml, data, rather_than=JobYaml)


def plain_data(path: Path, target: str | None = None) -> dict[str, Any]:
    """The data of a job file or a mapping in their plain form, with references as they are written.

    With `target`, a job has the destination of this name in place of all.

    Raises ConfigError.
    """
    document = read_document(path)
    if document.data is not None and target is not None:
        document = with_target(document, target)
    if document.data is None or document.problems:
        raise ConfigError(document.problems)
    return document.data


def job_warnings(job: Job) -> Iterator[tuple[Step, str, str]]:
    """Steps that may do what nobody means, though nothing in their YAML is wrong: what, and the remedy."""
    for step in job.steps:
        if (words := event_key_of_changes(step)) is not None:
            yield step, words, REMEDY


def _checked(steps: int | None, mappings: Sequence[Mapping], problems: Sequence[Problem]) -> Checked:
    all_problems = [*problems, *_problems_of_examples(mappings, problems)]
    files = list(dict.fromkeys(problem.file for problem in all_problems))
    all_problems.sort(key=lambda problem: (files.index(problem.file), problem.line or 0))
    examples = sum(len(mapping.examples) for mapping in mappings)
    tests = sum(count_tests(Path(mapping.file)) for mapping in mappings)
    return Checked(steps, len(mappings), examples, tuple(all_problems), tests=tests)


def _problems_of_examples(mappings: Iterable[Mapping], known: Sequence[Problem]) -> Iterator[Problem]:
    """Examples with another result than they state. An example that is malformed itself is reported once."""
    places = {(problem.file, problem.path.partition(".")[0]) for problem in known}
    for mapping in mappings:
        for problem in check_examples(mapping):
            if (problem.file, problem.path.partition(".")[0]) not in places:
                yield problem
