"""Loads a job file with its mappings as a Job, or reports everything that is wrong in them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from pathlib import Path
from typing import Any

from cio_etl import apis
from cio_etl.config.folder_file import FOLDER_FILE, shared_channels
from cio_etl.config.function_arguments import with_secrets
from cio_etl.config.job_references import resolve_job
from cio_etl.config.job_rules import job_faults, shared_ids, steps_of, sync_faults
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.mapping import NOT_A_MAPPING, read_mapping
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.notify_sections import channels_of
from cio_etl.config.plain_form import read_document
from cio_etl.config.references import read_file
from cio_etl.config.source import is_source_file
from cio_etl.config.targets import target_names, with_target
from cio_etl.config.validation import Fault, in_order, looks_like, not_consequences, validated
from cio_etl.config.yaml_file import Loc
from cio_etl.errors import ConfigError, Problem, did_you_mean_file
from cio_etl.model import Job, Mapping, Telemetry


def load_job(
    path: Path,
    environ: MappingOf[str, str] = os.environ,
    *,
    secrets: bool = True,
    sources: bool = True,
    target: str | None = None,
) -> Job:
    """The job of a YAML file, with its mappings; of several `destinations` with that of the name `target`.

    `secrets=False` is for checks on a machine without the credentials and the keys of `hmac`, `sources=False` for one
    without the databases' addresses: they are not looked up, and stay empty or as written. Raises ConfigError with
    everything that is wrong in the job and in its mappings, and InvalidArguments when it has no such destination.
    """
    job, problems, _ = read_job(path, environ, secrets=secrets, sources=sources, target=target)
    if job is None:
        raise ConfigError(problems)
    return job


def load_jobs(path: Path) -> list[Job]:
    """The job of a YAML file for each of its destinations, without secrets and addresses. Raises ConfigError."""
    return [load_job(path, secrets=False, sources=False, target=name) for name in target_names(path) or (None,)]


def read_job(
    path: Path,
    environ: MappingOf[str, str] = os.environ,
    *,
    secrets: bool = True,
    sources: bool = True,
    target: str | None = None,
) -> tuple[Job | None, list[Problem], list[Mapping]]:
    """The job of a YAML file, or everything that is wrong in it and its mappings; and the mappings that can be tested.

    A mapping can be tested if nothing is wrong in it except its examples.
    """
    document = read_document(path)
    if path.name == FOLDER_FILE:
        message = "has what the jobs of its folder share; name a job file"
        return None, [Problem(str(path), None, "", message)], []
    if document.data is None and is_source_file(path):
        message = f"a source of rows, not a job; `cio-etl init {shlex.quote(str(path))}` proposes a job for it"
        return None, [Problem(str(path), None, "", message)], []
    if document.data is None:
        return None, in_order(document.problems), []
    if looks_like(MappingYaml, document.data, rather_than=JobYaml):
        message = (
            "this is a mapping, not a job; a job has the keys destination and steps, and names this file under mapping"
        )
        return None, [document.problem((), f"{message}; {_how_to_run(path)}")], []
    document = with_target(document, target)
    if document.data is None:
        return None, in_order(document.problems), []
    data, unresolved = resolve_job(document.data, environ, secrets, sources)
    unresolved += _query_files(data)
    parsed, faults = validated(JobYaml, data)
    faults += job_faults(data, path)
    faults = [*not_consequences(faults, {loc for loc, _ in unresolved} | document.refused), *unresolved]
    mappings, missing = _mappings(document.data, data)
    problems = in_order([*document.problems, *(document.problem(loc, text) for loc, text in [*faults, *missing])])
    for _, problems_of_mapping in mappings.values():
        problems += problems_of_mapping
    usable = {name: mapping for name, (mapping, _) in mappings.items() if mapping is not None}
    if secrets:
        for name, mapping in usable.items():
            usable[name], problems_of_keys = with_secrets(mapping, environ)
            problems += in_order(problems_of_keys)
    channels, problems_of_folder = shared_channels(path, environ)
    problems += problems_of_folder
    job = None if parsed is None or problems else parsed.to_job(document, path, usable, target)
    if parsed is not None and parsed.notify is not None:
        channels = channels_of(parsed.notify, document.data["notify"], environ)
    if job is not None:
        if job.telemetry is not None:
            job = replace(job, telemetry=telemetry_of(environ))
        job = replace(job, notify=channels)
        places = [loc for loc, _ in _mapping_files(document.data)]
        shared = [*shared_ids(job, places), *sync_faults(job, places)]
        problems = in_order(document.problem(loc, text) for loc, text in shared)
    return (None if problems else job), problems, list(usable.values())


def telemetry_of(environ: MappingOf[str, str]) -> Telemetry | None:
    """What the standard variables of OpenTelemetry leave on, and the span that they name; None: nothing is on.

    The other variables, `OTEL_EXPORTER_OTLP_ENDPOINT` and so on, are read by its own library.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    traces, metrics = (environ.get(f"OTEL_{signal}_EXPORTER", "").strip() != "none" for signal in ("TRACES", "METRICS"))
    parent = {name.lower(): environ[name] for name in ("TRACEPARENT", "TRACESTATE") if environ.get(name)}
    return Telemetry(traces, metrics, parent) if traces or metrics else None


def _how_to_run(mapping: Path) -> str:
    """What to run instead of a mapping: the job of the same name in the folder `jobs`, as `init` writes it."""
    job = Path("jobs") / mapping.name
    if job.is_file() and job.absolute() != mapping.absolute():
        return f"run {job} instead"
    return f"run a job instead; `cio-etl check {shlex.quote(str(mapping))}` checks the mapping alone"


def _query_files(data: dict[str, Any]) -> list[Fault]:
    """Puts the text of each step's `query_file` beside it as its `query`; returns what failed."""
    faults: list[Fault] = []
    for place, step in steps_of(data):
        source = step.get("source")
        if isinstance(source, dict) and isinstance(path := source.get("query_file"), str) and "\0" not in path:
            loc = ("steps", place, "source", "query_file")
            if "query" in source:
                faults.append((loc, "query: is written too; write one of the two"))
                continue
            try:
                source["query"] = read_file(Path(path))
            except ValueError as error:
                faults.append((loc, str(error)))
    return faults


def _mappings(
    written: dict[str, Any], data: dict[str, Any]
) -> tuple[dict[str, tuple[Mapping | None, list[Problem]]], list[Fault]]:
    """Each mapping that the steps name, read once, with its problems; and the files that do not exist.

    `written` is the data before references were replaced.
    """
    mappings: dict[str, tuple[Mapping | None, list[Problem]]] = {}
    api = apis.get(destination.get("api")).name if isinstance(destination := data.get("destination"), dict) else None
    missing: list[Fault] = []
    for loc, path in _mapping_files(data):
        if "\0" in path or not path.strip() or "://" in path:
            continue  # reported at the key
        if os.path.isfile(path):
            read = mappings.get(path) or read_mapping(Path(path), api)
            if [problem.message for problem in read[1]] == [NOT_A_MAPPING]:
                missing.append((loc, "this file is a job, not a mapping; name a file with operation: and identifiers:"))
            else:
                mappings[path] = read
        else:
            name = _value_at(written, loc)  # a message never contains the value of a reference
            advice = did_you_mean_file(path if path == name else "")
            missing.append((loc, f"no file {name!r}; {advice}"))
    return mappings, missing


def _mapping_files(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    for place, step in steps_of(data):
        files = step.get("mapping")
        if isinstance(files, str):
            yield ("steps", place, "mapping"), files
        for item, path in enumerate(files if isinstance(files, list) else []):
            if isinstance(path, str):
                yield ("steps", place, "mapping", item), path


def _value_at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data
