"""Reads `cio-etl.yaml`, which is beside job files and has what all jobs of its folder share."""

from collections.abc import Mapping as MappingOf
from pathlib import Path

from pydantic import Field

from cio_etl.config.job_references import resolve_job
from cio_etl.config.notify_sections import NotifyYaml, channels_of
from cio_etl.config.validation import in_order, not_consequences, validated
from cio_etl.config.yaml_file import read_yaml
from cio_etl.errors import Problem
from cio_etl.model import Channel
from cio_etl.model.yaml_section import Section

FOLDER_FILE = "cio-etl.yaml"


class FolderYaml(Section):
    """A file `cio-etl.yaml`."""

    notify: list[NotifyYaml] = Field(description="whom all jobs of the folder tell how they go. See Being told.")


def shared_channels(job_file: Path, environ: MappingOf[str, str]) -> tuple[tuple[Channel, ...], list[Problem]]:
    """The channels of the file beside a job file, and everything that is wrong in it; none without such a file."""
    path = job_file.parent / FOLDER_FILE
    return folder_channels(path, environ) if path.is_file() else ((), [])


def folder_channels(path: Path, environ: MappingOf[str, str]) -> tuple[tuple[Channel, ...], list[Problem]]:
    """The channels of a file `cio-etl.yaml`, and everything that is wrong in it."""
    document = read_yaml(path)
    if document.data is None:
        return (), in_order(document.problems)
    data, unresolved = resolve_job(document.data, environ, secrets=False, sources=False, root=FolderYaml)
    parsed, faults = validated(FolderYaml, data)
    faults = [*not_consequences(faults, {loc for loc, _ in unresolved} | document.refused), *unresolved]
    problems = in_order([*document.problems, *(document.problem(loc, text) for loc, text in faults)])
    if parsed is None or problems:
        return (), problems
    return channels_of(parsed.notify, document.data["notify"], environ), []
