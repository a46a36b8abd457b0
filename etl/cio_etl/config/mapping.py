"""Loads a mapping file as a Mapping, or reports everything that is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cio_etl.config.canonical import digest
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.mapping_rules import mapping_faults
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.validation import in_order, is_rather, unless_told, validated
from cio_etl.config.yaml_file import Loc, read_yaml
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Api, Mapping
from cio_etl.transform import unsayable


def load_mapping(path: Path) -> Mapping:
    """The mapping of a YAML file. Raises ConfigError with all that is wrong in it."""
    mapping, problems = read_mapping(path)
    if mapping is None or problems:
        raise ConfigError(problems)
    return mapping


def read_mapping(path: Path, api: Api | None = None) -> tuple[Mapping | None, list[Problem]]:
    """The mapping of a YAML file, and all that is wrong in it, also what the API has no place for, if it is known.

    Both, where the mapping can be tried: nothing but examples is wrong with it, or that it does not fit the API.
    """
    document = read_yaml(path)
    if document.data is None:
        return None, in_order(document.problems)
    if is_rather(document.data, JobYaml, than=MappingYaml):
        told = "a job, and a mapping is wanted here: it has operation: and identifiers:"
        return None, [document.problem((), told)]
    parsed, faults = validated(MappingYaml, document.data)
    faults = unless_told([*faults, *mapping_faults(document.data)], document.refused)
    problems = in_order([*document.problems, *(document.problem(loc, message) for loc, message in faults)])
    if problems:
        parsed = _without_broken_examples(document.data, problems)
    if parsed is None:
        return None, problems
    mapping = parsed.to_mapping(document)
    unfit = [] if api is None else [document.problem(_loc(path), text) for path, text in unsayable(mapping, api)]
    return replace(mapping, digest=digest(mapping)), in_order([*problems, *unfit])


def _without_broken_examples(data: dict[str, Any], problems: Iterable[Problem]) -> MappingYaml | None:
    """The mapping with an empty example in place of each that is wrong; None where anything else is wrong, too."""
    broken = [found and int(found[1]) for found in (_OF_EXAMPLE.match(problem.path) for problem in problems)]
    if not all(found is not None for found in broken):
        return None
    empty = {"row": {}, "skipped": True}
    examples = [empty if place in broken else example for place, example in enumerate(data["examples"])]
    return validated(MappingYaml, data | {"examples": examples})[0]


_OF_EXAMPLE = re.compile(r"examples\[(\d+)\]")


def _loc(path: str) -> Loc:
    """The place that a dotted path means: `relationships[0].person`."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path))
