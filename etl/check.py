"""Is a file in order, with all that it refers to? A job with its mappings, or a mapping; and their examples tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from etl.config import read_job, read_mapping
from etl.config.job_sections import JobYaml
from etl.config.mapping import MappingYaml
from etl.config.sections import is_rather
from etl.config.yaml_file import read_yaml
from etl.errors import Problem
from etl.model import Mapping
from etl.rehearse import check_examples
from etl.report.words import counted


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file holds, in words, and all that is wrong in it and in what it refers to."""

    holds: str
    problems: tuple[Problem, ...]


def check_file(path: Path) -> Checked:
    """A job or a mapping, checked without reading data, without keys and without the databases' addresses."""
    data = read_yaml(path).data
    if data is not None and is_rather(data, MappingYaml, than=JobYaml):
        mapping, problems = read_mapping(path)
        return _checked("a mapping", [] if mapping is None else [mapping], problems)
    job, problems, mappings = read_job(path, secrets=False, sources=False)
    steps = counted(0 if job is None else len(job.steps), "step")
    return _checked(f"{steps}, {counted(len(mappings), 'mapping')}", mappings, problems)


def _checked(holds: str, mappings: Sequence[Mapping], problems: Sequence[Problem]) -> Checked:
    examples = sum(len(mapping.examples) for mapping in mappings)
    found = [*problems, *_of_examples(mappings, problems)]
    files = list(dict.fromkeys(problem.file for problem in found))
    found.sort(key=lambda problem: (files.index(problem.file), problem.line or 0))
    return Checked(f"{holds}, {counted(examples, 'example')}", tuple(found))


def _of_examples(mappings: Iterable[Mapping], told: Sequence[Problem]) -> Iterator[Problem]:
    """Examples that do not come out as they say; of one that is no example nothing more is told."""
    places = {(problem.file, problem.path.partition(".")[0]) for problem in told}
    for mapping in mappings:
        for problem in check_examples(mapping):
            if (problem.file, problem.path.partition(".")[0]) not in places:
                yield problem
