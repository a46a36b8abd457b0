"""How does a job file become a Job?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from pathlib import Path
from typing import Any

from cio_etl.config import address
from cio_etl.config.canonical import canonical
from cio_etl.config.function_arguments import with_secrets
from cio_etl.config.job_references import KEYS_OF, api_of, resolve_job
from cio_etl.config.job_sections import PLAIN_NAME, JobYaml
from cio_etl.config.mapping import read_mapping
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.references import read_text
from cio_etl.config.validation import Fault, in_order, is_rather, unless_told, validated
from cio_etl.config.yaml_file import Loc, read_yaml
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Job, Mapping, Step


def load_job(
    path: Path, environ: MappingOf[str, str] = os.environ, *, secrets: bool = True, sources: bool = True
) -> Job:
    """The job of a YAML file, with its mappings.

    `secrets=False` is for checks on a machine without the destination's keys and those of `hmac`, `sources=False` for
    one without the databases' addresses: they are not looked up, and come out empty or as written. Raises ConfigError
    with all that is wrong in the job and in its mappings.
    """
    job, problems, _ = read_job(path, environ, secrets=secrets, sources=sources)
    if job is None:
        raise ConfigError(problems)
    return job


def read_job(
    path: Path, environ: MappingOf[str, str] = os.environ, *, secrets: bool = True, sources: bool = True
) -> tuple[Job | None, list[Problem], list[Mapping]]:
    """The job of a YAML file, or all that is wrong in it and its mappings; and those of the mappings that can be tried.

    A mapping can be tried when at most its examples are wrong.
    """
    document = read_yaml(path)
    if document.data is None:
        return None, in_order(document.problems), []
    if is_rather(document.data, MappingYaml, than=JobYaml):
        told = "a mapping, and a job is wanted here: it has destination: and steps:, and names this file as a mapping:"
        return None, [document.problem((), told)], []
    data, unresolved = resolve_job(document.data, environ, secrets, sources)
    unresolved += _query_files(data)
    parsed, faults = validated(JobYaml, data)
    faults += _across(data, path)
    faults = [*unless_told(faults, {loc for loc, _ in unresolved} | document.refused), *unresolved]
    mappings, missing = _mappings(document.data, data)
    problems = in_order([*document.problems, *(document.problem(loc, text) for loc, text in [*faults, *missing])])
    for _, of_mapping in mappings.values():
        problems += of_mapping
    read = {name: mapping for name, (mapping, _) in mappings.items() if mapping is not None}
    if secrets:
        looked_up = {name: with_secrets(mapping, environ) for name, mapping in read.items()}
        problems += [problem for _, of_mapping in looked_up.values() for problem in of_mapping]
        read = {name: mapping for name, (mapping, _) in looked_up.items()}
    job = None if parsed is None or problems else parsed.to_job(document, path, read)
    if job is not None and (shared := list(_shared_ids(job, [loc for loc, _ in _named_mappings(document.data)]))):
        return None, in_order(document.problem(loc, text) for loc, text in shared), list(read.values())
    return job, problems, list(read.values())


def _shared_ids(job: Job, places: Sequence[Loc]) -> Iterator[tuple[Loc, str]]:
    """Mappings whose events get the ids of another one's, over the same rows and of other people: one would be lost."""
    before: list[tuple[Step, dict[str, Any]]] = []
    for step, loc in zip(job.steps, places, strict=True):
        if step.mapping.event is None:
            continue
        means = json.loads(canonical(step.mapping))
        for other, meant in before:
            same = step.source == other.source and all(means[key] == meant[key] for key in _OF_ID)
            apart = None not in (means["when"], meant["when"]) and means["when"] != meant["when"]
            if same and not apart and means["identifiers"] != meant["identifiers"]:
                yield (
                    loc,
                    f"its events get the ids of {other.mapping.file}'s: event, timestamp and event_key are the same, "
                    "and the person is no part of an id, so Customer.io would keep one of the two without a word; give "
                    "its event another name, or add the person's column to event_key",
                )
                break
        before.append((step, means))


_OF_ID = ("event", "timestamp", "event_key")


def _query_files(data: dict[str, Any]) -> list[Fault]:
    """Puts the text of each step's `query_file` beside it as its `query`; where that failed, and why."""
    faults: list[Fault] = []
    for place, step in _steps(data):
        source = step.get("source")
        if isinstance(source, dict) and isinstance(path := source.get("query_file"), str) and "\0" not in path:
            loc = ("steps", place, "source", "query_file")
            if "query" in source:
                faults.append((loc, "query: is there, too; write one of the two"))
                continue
            try:
                source["query"] = read_text(Path(path))
            except ValueError as error:
                faults.append((loc, str(error)))
    return faults


def _mappings(
    raw: dict[str, Any], data: dict[str, Any]
) -> tuple[dict[str, tuple[Mapping | None, list[Problem]]], list[Fault]]:
    """Each mapping that the steps name, read once, with its problems; and where a file is named that isn't there."""
    read: dict[str, tuple[Mapping | None, list[Problem]]] = {}
    api = api_of(destination) if isinstance(destination := data.get("destination"), dict) else None
    missing: list[Fault] = []
    for loc, path in _named_mappings(data):
        if "\0" in path or not path.strip() or "://" in path:
            continue  # told already
        if os.path.isfile(path):
            read[path] = read.get(path) or read_mapping(Path(path), api)
        else:
            written = _at(raw, loc)  # as it stands in the file: a reference's value is nobody's business
            missing.append((loc, f"no file {written!r}; relative paths start at the folder in which the command runs"))
    return read, missing


def _named_mappings(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    for place, step in _steps(data):
        named = step.get("mapping")
        if isinstance(named, str):
            yield ("steps", place, "mapping"), named
        for item, path in enumerate(named if isinstance(named, list) else []):
            if isinstance(path, str):
                yield ("steps", place, "mapping", item), path


def _across(data: dict[str, Any], path: Path) -> Iterator[tuple[Loc, str]]:
    if "name" not in data and not PLAIN_NAME.fullmatch(path.stem):
        yield (
            ("name",),
            "missing, and the file's own name cannot stand for it; write name: with letters, digits, - and _",
        )
    if isinstance(destination := data.get("destination"), dict):
        yield from _of_destination(destination)
    names: dict[str, int] = {}
    for place, step in _steps(data):
        name = step.get("name")
        if isinstance(name, str) and names.setdefault(name, place) != place:
            yield ("steps", place, "name"), f"the name of steps[{names[name]}] too; give each step its own"
        named = step.get("mapping")
        stems = [Path(one).stem for one in named if isinstance(one, str)] if isinstance(named, list) else []
        if len(set(stems)) != len(stems):
            yield (
                ("steps", place, "mapping"),
                "two mappings of one file name; name the files differently, they name the steps",
            )


def _of_destination(destination: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    api, region, base_url = api_of(destination), destination.get("region"), destination.get("base_url")
    for key in KEYS_OF[api]:
        if key not in destination:
            yield ("destination", key), f"missing; write {key}: ${{CUSTOMERIO_{key.upper()}}}"
    if api == "pipelines" and region == "auto":
        yield ("destination", "region"), "the Pipelines API does not tell to which region a key belongs; write us or eu"
    try:
        given = address.allowed(base_url) if isinstance(base_url, str) else None
    except ValueError:
        return
    if destination.get("requests_per_second") == "unlimited" and not (given and address.is_loopback(given)):
        yield (
            ("destination", "requests_per_second"),
            "unlimited is for a base_url on this machine; write a number up to 1000",
        )
    if given and region == "auto":
        yield ("destination", "base_url"), "region: auto finds the address out; leave one of the two out"
    elif given and not address.is_loopback(given) and given not in address.OF_REGION[api].values():
        yield ("destination", "base_url"), f"the address of the other API, and api: says {api}; leave base_url out"
    elif (
        given in address.OF_REGION[api].values() and region in ("us", "eu") and given != address.OF_REGION[api][region]
    ):
        yield ("destination", "base_url"), "the address of the other region; leave base_url out"


def _steps(data: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    steps = data.get("steps")
    for place, step in enumerate(steps if isinstance(steps, list) else []):
        if isinstance(step, dict):
            yield place, step


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data
