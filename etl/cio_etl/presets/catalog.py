"""Finds the presets, and reads what their files say about them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cio_etl.config.validation import validated
from cio_etl.config.yaml_file import read_yaml
from cio_etl.errors import ConfigError, Problem, did_you_mean
from cio_etl.model.sources import KINDS
from cio_etl.model.yaml_section import Count, Section, Text, omitted

HOME = "mappings/presets"  # where the files of presets say that they are
SAMPLE = "sample"
_NAME = re.compile(r"[a-z0-9_]+")


class FileYaml(Section):
    """A file or a table of the product's export, and how it is recognised."""

    one_of = ("file", "table")

    name: Text = Field(description="what the file is called in messages, as `customers`")
    title: Text = Field(description="what the file is, in the vendor's words")
    file: Text = omitted("its name in the folder `sample`, or a pattern, as the job has it")
    table: Text = omitted("the name of the table, as the job has it")
    columns: Annotated[list[Text], Field(min_length=1)] = Field(
        description="the columns by which it is recognised: a file that has all of them; `a.b` is a member of an object"
    )
    absent: list[Text] = Field(default=[], description="columns that it does not have, and that similar files have")
    without: Text = omitted("what a migration loses besides, when the export lacks this file; a sentence")


class DocumentYaml(Section):
    """A page on which the vendor describes the export."""

    address: Text = Field(description="the page's address")
    says: Text = Field(description="what was taken from it")
    looked_up: Text = Field(description="the day, as 2026-11-27")


class SampleYaml(Section):
    """What Customer.io has after a run with the sample, into an empty workspace. The tests of the presets count it."""

    people: Count = Field(default=0, description="people who exist")
    unsubscribed: Count = Field(default=0, description="of them, those with `unsubscribed: true`")
    suppressed: Count = Field(default=0, description="identifiers that are suppressed")
    events: Count = Field(default=0, description="events, also those of visitors")
    objects: Count = Field(default=0, description="objects")
    relationships: Count = Field(default=0, description="relationships of people and objects")
    without_effect: Count = Field(
        default=0, description="calls that Customer.io takes and drops, as an address that two people have"
    )
    skipped: Count = Field(default=0, description="rows that `when`, `order_by` or `event_key` skips, of all steps")
    rejected: dict[str, Count] = Field(default={}, description="rows of all steps by reason; the recipe names each")


class PresetYaml(Section):
    """What `preset.yaml` says."""

    title: Text = Field(description="the product's name")
    files: Annotated[list[FileYaml], Field(min_length=1)] = Field(description="the files that the job reads")
    documents: Annotated[list[DocumentYaml], Field(min_length=1)] = Field(description="where the shapes are from")
    loses: Annotated[list[Text], Field(min_length=1)] = Field(description="what a migration by this preset loses")
    sample: SampleYaml = Field(description="what becomes of the sample")


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file or a table of an export. `steps` are those of the job that read it, `mappings` their mapping files.

    kind: the kind of source by which the job reads it, as `csv`; `sql` of a table.
    without: what a migration loses besides, when the export lacks the file.
    """

    name: str
    title: str
    file: str | None
    table: str | None
    kind: str
    columns: tuple[str, ...]
    absent: tuple[str, ...]
    steps: tuple[str, ...]
    mappings: tuple[str, ...]
    without: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """A page of the vendor, what was taken from it, and when it was looked up."""

    address: str
    says: str
    looked_up: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset, and its folder on this machine."""

    name: str
    folder: Path
    title: str
    files: tuple[ExportFile, ...]
    documents: tuple[Document, ...]
    loses: tuple[str, ...]
    sample: Mapping[str, Any]  # what becomes of it, by the keys of SampleYaml
    steps: tuple[Mapping[str, Any], ...] = field(repr=False)  # of its job, as they are written

    @property
    def recipe(self) -> str:
        return (self.folder / "README.md").read_text(encoding="utf-8")

    @property
    def home(self) -> str:
        """The folder as the preset's own files name it."""
        return f"{HOME}/{self.name}"


@cache
def presets() -> tuple[Preset, ...]:
    """All presets, by name. Raises ConfigError when the file of one is wrong."""
    here = Path(__file__)
    shipped, checkout = here.parent / "products", here.parents[3] / HOME
    folder = shipped if shipped.is_dir() else checkout
    if not folder.is_dir():
        what = "the presets are missing in this installation; install the wheel again"
        raise ConfigError([Problem(str(shipped), None, "", what)])
    return tuple(read_preset(file.parent) for file in sorted(folder.glob("*/preset.yaml")))


def find_preset(name: str) -> Preset:
    """The preset of a product. Raises ConfigError, with the name that was probably meant, when there is none."""
    found = {preset.name: preset for preset in presets()}
    if name not in found:
        advice = did_you_mean(name, found, "`cio-etl presets` lists them")
        what = f"no preset of this name; {advice}"
        raise ConfigError([Problem(name, None, "", what)])
    return found[name]


def read_preset(folder: Path) -> Preset:
    """The preset in a folder. Raises ConfigError with all that is wrong in its preset.yaml."""
    document = read_yaml(folder / "preset.yaml")
    parsed, faults = validated(PresetYaml, document.data or {})
    problems = [*document.problems, *(document.problem(loc, message) for loc, message in faults)]
    if not _NAME.fullmatch(folder.name):
        problems.append(document.problem((), "the folder's name must be small letters, digits and _"))
    if parsed is None or problems:
        raise ConfigError(problems)
    steps = list(_steps(folder))
    files = []
    for place, file in enumerate(parsed.files):
        of = [step for step in steps if _reads(step, file)]
        if not of:
            raise ConfigError([document.problem(("files", place), "no step of job.yaml reads it; write its step")])
        mappings = [mapping for step in of for mapping in _mappings(step)]
        files.append(
            ExportFile(
                file.name,
                file.title,
                file.file,
                file.table,
                next(kind for kind in _KINDS if kind in of[0]["source"]),
                tuple(file.columns),
                tuple(file.absent),
                tuple(str(step["name"]) for step in of),
                tuple(dict.fromkeys(Path(mapping).name for mapping in mappings)),
                file.without,
            )
        )
    documents = tuple(Document(each.address, each.says, each.looked_up) for each in parsed.documents)
    return Preset(
        folder.name,
        folder,
        parsed.title,
        tuple(files),
        documents,
        tuple(parsed.loses),
        parsed.sample.model_dump(),
        tuple(steps),
    )


_KINDS = [kind.kind() for kind in KINDS]


def _steps(folder: Path) -> Iterator[dict[str, Any]]:
    """The steps of the preset's job, as they are written."""
    document = read_yaml(folder / "job.yaml")
    if document.data is None or not document.data.get("steps"):
        raise ConfigError(document.problems or [document.problem((), "no steps; write the job of the preset")])
    yield from document.data["steps"]


def _reads(step: dict[str, Any], file: FileYaml) -> bool:
    """Whether a step reads the file or the table; a query names its table in its text."""
    source = step["source"]
    if file.table:
        named = str(source.get("table", "")).rpartition(".")[2]
        return named == file.table or bool(re.search(rf"\b{re.escape(file.table)}\b", str(source.get("query", ""))))
    return any(str(source.get(kind, "")).endswith(f"/{SAMPLE}/{file.file}") for kind in _KINDS)


def _mappings(step: Mapping[str, Any]) -> list[str]:
    mapping = step["mapping"]
    return [mapping] if isinstance(mapping, str) else list(mapping)
