"""How does a job file become a Job?"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, model_validator

from etl.config import address
from etl.config.mapping import read_mapping
from etl.config.references import resolve, resolve_secret
from etl.config.sections import OMITTED, Section, in_order, validated, wrong
from etl.config.yaml_file import Document, Loc, read_yaml
from etl.errors import ConfigError, Problem
from etl.model import CsvSource, Destination, Job, Mapping, MaxRejects, ParquetSource, Source, Step

SECRETS = (("destination", "site_id"), ("destination", "api_key"))
MAX_REQUESTS_PER_SECOND = 1_000  # the highest rate that Customer.io publishes for any of its APIs


def load_job(path: Path, environ: MappingOf[str, str] = os.environ, *, secrets: bool = True) -> Job:
    """The job of a YAML file, with its mappings.

    `secrets=False` is for checks on a machine without them: they must be written as references, are not looked up, and
    come out empty. Raises ConfigError with all that is wrong in the job and in its mappings.
    """
    document = read_yaml(path)
    if document.data is None:
        raise ConfigError(in_order(document.problems))
    data, unresolved = _resolved(document.data, environ, secrets)
    parsed, faults = validated(JobYaml, data)
    faults = [*_unless_told(faults, unresolved), *unresolved, *_across(data, path)]
    mappings, missing = _mappings(document.data, data)
    problems = in_order([*document.problems, *(document.problem(loc, text) for loc, text in [*faults, *missing])])
    for _, of_mapping in mappings.values():
        problems += of_mapping
    if parsed is None or problems:
        raise ConfigError(problems)
    read = {name: mapping for name, (mapping, _) in mappings.items() if mapping is not None}
    return parsed.to_job(document, path, read)


# ---------------------------------------------------------------- the sections


def _number(raw: object) -> object:
    """Text that a reference left where a number belongs, as that number."""
    if isinstance(raw, str) and re.fullmatch(r"\d{1,15}", raw, re.ASCII):
        return int(raw)
    return raw


def _rate(raw: object) -> float | None:
    raw = float(raw) if isinstance(raw, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", raw, re.ASCII) else raw
    if raw == "unlimited":
        return None
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and 0 < raw <= MAX_REQUESTS_PER_SECOND:
        return float(raw)
    raise wrong(
        f"must be a number above 0, up to {MAX_REQUESTS_PER_SECOND}; or unlimited, with a base_url on this machine"
    )


def _api(raw: object) -> str:
    if raw == "track":
        return "track"
    raise wrong("only track is offered now; write api: track")


def _base_url(raw: str) -> str:
    try:
        return address.allowed(raw)
    except ValueError as error:
        raise wrong(str(error)) from None


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise wrong("must be up to 100 letters, digits, - and _, beginning with a letter or digit: it names files")
    return name


def _path(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise wrong("must name a file")
    if "://" in text:
        raise wrong("only files of this machine are read now; copy them here, or mount their folder")
    return text


def _one_sign(text: str) -> str:
    if len(text) != 1 or not text.isascii() or text in "\r\n\0":
        raise wrong('must be one ASCII character, as ";" or "\\t"')
    return text


def _encoding(text: str) -> str:
    try:
        codecs.lookup(text)
        "".encode(text)  # refuses codecs that are not of text, as base64
    except (LookupError, ValueError):
        raise wrong("no such encoding; as utf-8, latin-1, cp1252, utf-16") from None
    return text


def _folder(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise wrong("must name a folder")
    if "://" in text:
        raise wrong("a database is not offered for the state yet; give a folder, as .etl")
    return text


def _max_rejects(raw: object) -> MaxRejects:
    if isinstance(raw, str) and (found := re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?) ?%", raw, re.ASCII)):
        if float(found[1]) <= 100:
            return MaxRejects(share=float(found[1]) / 100)
    elif isinstance(rows := _number(raw), int) and not isinstance(rows, bool) and rows >= 0:
        return MaxRejects(rows=rows)
    raise wrong("must be a share, as 1%, or a whole number of rows")


def _as_list(raw: object) -> object:
    if isinstance(raw, (str, list)):
        return [raw] if isinstance(raw, str) else raw
    raise wrong("must be text, or a list of texts")


Whole = Annotated[int, BeforeValidator(_number)]
Paths = Annotated[list[Annotated[str, AfterValidator(_path)]], BeforeValidator(_as_list), Field(min_length=1)]
Sign = Annotated[str, AfterValidator(_one_sign)]


class DestinationYaml(Section):
    """Where rows go."""

    not_offered: ClassVar[dict[str, str]] = {
        "write_key": "belongs to api: pipelines, and only track is offered now; leave it out",
        "app_api_key": "reading back is not offered yet; leave it out",
    }

    api: Annotated[Literal["track"], PlainValidator(_api)] = "track"
    region: Literal["us", "eu", "auto"] = "us"
    site_id: SecretStr
    api_key: SecretStr
    requests_per_second: Annotated[float | None, PlainValidator(_rate)] = 100.0
    lanes: Annotated[Whole, Field(ge=1, le=256)] = 16
    max_batch_bytes: Annotated[Whole, Field(ge=32_100, le=500_000)] = 500_000  # an item of 32,000 B must fit
    base_url: Annotated[str, AfterValidator(_base_url)] = OMITTED
    ca_file: Annotated[str, AfterValidator(_path)] = OMITTED

    def to_destination(self) -> Destination:
        region = self.region
        if self.base_url in address.OF_REGION.values():
            region = "eu" if self.base_url == address.OF_REGION["eu"] else "us"
        return Destination(
            api=self.api,
            base_url=self.base_url or address.OF_REGION.get(self.region, ""),
            site_id=self.site_id,
            api_key=self.api_key,
            region=region,
            requests_per_second=self.requests_per_second,
            lanes=self.lanes,
            max_batch_bytes=self.max_batch_bytes,
            ca_file=self.ca_file,
        )


class SourceYaml(Section):
    """Where a step's rows come from."""

    not_offered: ClassVar[dict[str, str]] = dict.fromkeys(
        ("sql", "query", "query_file", "table", "watermark"),
        "databases are not read yet; export the rows to csv: or parquet: files",
    )

    csv: Paths = OMITTED
    parquet: Paths = OMITTED
    separator: Sign = ","
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    quote: Sign | None = '"'
    null_values: Annotated[list[str], BeforeValidator(_as_list)] = Field(default=[""])

    @model_validator(mode="after")
    def _one_format(self) -> SourceYaml:
        written = self.model_fields_set
        if len(written & {"csv", "parquet"}) != 1:
            raise wrong("write either csv: or parquet:, one of the two")
        if "parquet" in written and len(written) > 1:
            raise wrong(f"{', '.join(sorted(written - {'parquet'}))}: of CSV files only; leave it out")
        if self.quote == self.separator:
            raise wrong("separator and quote are the same sign")
        return self

    def to_source(self) -> Source:
        if self.parquet:
            return ParquetSource(tuple(self.parquet))
        return CsvSource(tuple(self.csv), self.separator, self.encoding, self.quote, tuple(self.null_values))


class StepYaml(Section):
    """One source through one mapping or several."""

    name: Annotated[str, AfterValidator(_plain_name)]
    source: SourceYaml
    mapping: Paths

    def to_steps(self, listed: bool, mappings: MappingOf[str, Mapping]) -> Iterator[Step]:
        for path in self.mapping:
            name = f"{self.name}/{Path(path).stem}" if listed else self.name
            yield Step(name, self.source.to_source(), mappings[path])


class JobYaml(Section):
    """A job file."""

    name: Annotated[str, AfterValidator(_plain_name)] = OMITTED
    destination: DestinationYaml
    steps: Annotated[list[StepYaml], Field(min_length=1)]
    max_rejects: Annotated[MaxRejects, PlainValidator(_max_rejects)] = MaxRejects(share=0.01)
    state: Annotated[str, AfterValidator(_folder)] = ".etl"
    schedule: Annotated[str, Field(min_length=1)] = OMITTED

    def to_job(self, document: Document, path: Path, mappings: MappingOf[str, Mapping]) -> Job:
        listed = [isinstance(step["mapping"], list) for step in (document.data or {})["steps"]]
        return Job(
            file=document.file,
            name=self.name or path.stem,
            destination=self.destination.to_destination(),
            steps=tuple(
                one for step, many in zip(self.steps, listed, strict=True) for one in step.to_steps(many, mappings)
            ),
            state=Path(self.state),
            max_rejects=self.max_rejects,
            schedule=self.schedule,
        )


# ---------------------------------------------------------------- references, mappings, rules across keys

Faults = list[tuple[Loc, str]]


def _resolved(data: dict[str, Any], environ: MappingOf[str, str], secrets: bool) -> tuple[dict[str, Any], Faults]:
    """The data with references replaced, None where that failed, and why."""
    faults: Faults = []

    def walk(raw: Any, loc: Loc) -> Any:
        if isinstance(raw, dict) and loc not in SECRETS:
            return {key: walk(value, (*loc, key)) for key, value in raw.items()}
        if isinstance(raw, list) and loc not in SECRETS:
            return [walk(value, (*loc, place)) for place, value in enumerate(raw)]
        try:
            if loc in SECRETS:
                return SecretStr(resolve_secret(raw, environ if secrets else None))
            return resolve(raw, environ) if isinstance(raw, str) else raw
        except ValueError as error:
            faults.append((loc, str(error)))
            return None

    return walk(data, ()), faults


def _unless_told(faults: Iterable[tuple[Loc, str]], told: Faults) -> Faults:
    """Faults that are not only the echo of a reference without a value."""
    places = {loc for loc, _ in told}
    return [(loc, text) for loc, text in faults if not any(loc[:end] in places for end in range(len(loc) + 1))]


def _mappings(
    raw: dict[str, Any], data: dict[str, Any]
) -> tuple[dict[str, tuple[Mapping | None, list[Problem]]], Faults]:
    """Each mapping that the steps name, read once, with its problems; and where a file is named that isn't there."""
    read: dict[str, tuple[Mapping | None, list[Problem]]] = {}
    missing: Faults = []
    for loc, path in _named_mappings(data):
        if "\0" in path or not path.strip() or "://" in path:
            continue  # told already
        if os.path.isfile(path):
            read[path] = read.get(path) or read_mapping(Path(path))
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
    if "name" not in data and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", path.stem):
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
    region, base_url = destination.get("region"), destination.get("base_url")
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
    elif given in address.OF_REGION.values() and region in ("us", "eu") and given != address.OF_REGION[region]:
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
