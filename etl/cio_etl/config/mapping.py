"""Loads a mapping file as a Mapping, or reports everything that is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cio_etl.apis import unsupported
from cio_etl.config.canonical_form import digest
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.mapping_rules import mapping_faults
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.other_columns import NO_ON_ERROR, ONLY_AT_THE_TOP, checked_star, inner_stars, without_star
from cio_etl.config.plain_form import read_document
from cio_etl.config.validation import Fault, in_order, looks_like, not_consequences, validated
from cio_etl.config.yaml_file import Document, Loc, place_of
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Mapping, reason_words
from cio_etl.transform.checks import constant_faults

NOT_A_MAPPING = "this is a job, not a mapping: a mapping has operation: and identifiers:"


def load_mapping(path: Path) -> Mapping:
    """The mapping of a YAML file. Raises ConfigError with everything that is wrong in it."""
    mapping, problems = read_mapping(path)
    if mapping is None or problems:
        raise ConfigError(problems)
    return mapping


def read_mapping(path: Path, api: str | None = None) -> tuple[Mapping | None, list[Problem]]:
    """The mapping of a YAML file, and everything that is wrong in it; with `api`, also what this API does not support.

    The mapping is None unless it can be tested: at most its examples are wrong, or it does not fit the API.
    """
    document = read_document(path)
    if document.data is None:
        return None, in_order(document.problems)
    if looks_like(JobYaml, document.data, rather_than=MappingYaml):
        return None, [document.problem((), NOT_A_MAPPING)]
    data, star = without_star(document.data)
    parsed, faults = validated(MappingYaml, data)
    others, faults_of_star = checked_star(star, document.empty)
    faults += faults_of_star
    faults += [(loc, NO_ON_ERROR) for loc in document.empty if loc[-1] == "on_error" and "attributes" not in loc[-2:]]
    stars = set(inner_stars(data))
    faults = not_consequences([*faults, *mapping_faults(data)], document.refused | stars)
    faults += [(loc, ONLY_AT_THE_TOP) for loc in stars]
    problems = in_order([*document.problems, *(document.problem(loc, message) for loc, message in faults)])
    if problems:
        only_here = all(problem.file == document.file for problem in problems)
        parsed = _without_wrong_examples(data, problems) if only_here else None
    if parsed is None:
        return None, problems
    mapping = parsed.to_mapping(document, others)
    problems = in_order([*problems, *(document.problem(*fault) for fault in _constant_faults(mapping, document))])
    unfit = [] if api is None else [document.problem(place_of(path), text) for path, text in unsupported(mapping, api)]
    return replace(mapping, digest=digest(mapping)), in_order([*problems, *unfit])


def _constant_faults(mapping: Mapping, document: Document) -> Iterator[Fault]:
    """Constants that no row could be sent with."""
    words = reason_words()
    for target, reason, is_instead in constant_faults(mapping):
        loc = place_of(target)
        what = f"this constant would be refused: {words[reason].split(';')[0]} ({reason})"
        own = (*loc, "on_error")
        if not is_instead:
            yield (*loc, "value"), f"{what}; write another one"
        elif _is_written(document.data, own):
            yield own, f"{what}; write another one, or omit"
        else:
            yield ("on_error",), f"as the value of {target}, {what}; write another one, or on_error: omit at {target}"


def _is_written(data: Any, loc: Loc) -> bool:
    for part in loc:
        if not isinstance(data, dict | list) or (isinstance(data, dict) and part not in data):
            return False
        data = data[part]  # type: ignore[index]
    return True


def _without_wrong_examples(data: dict[str, Any], problems: Iterable[Problem]) -> MappingYaml | None:
    """The mapping with an empty example in place of each wrong one; None if anything else is wrong as well.

    Examples are never inherited, so those are the file's own.
    """
    matches = [_EXAMPLE.match(problem.path) for problem in problems]
    if not all(matches):
        return None
    wrong_places = {int(match[1]) for match in matches if match}
    empty = {"row": {}, "skipped": True}
    examples = [empty if place in wrong_places else example for place, example in enumerate(data["examples"])]
    return validated(MappingYaml, data | {"examples": examples})[0]


_EXAMPLE = re.compile(r"examples\[(\d+)\]")
