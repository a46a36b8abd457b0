"""What may stand in a job file, key by key, and which records does it become?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, model_validator

from cio_etl.config import address
from cio_etl.config.address import is_loopback
from cio_etl.config.durations import duration
from cio_etl.config.source_sections import Flag, LocalPath, LocalPaths, SourceYaml, from_reference
from cio_etl.config.validation import OMITTED, Section, wrong
from cio_etl.config.yaml_file import Document
from cio_etl.model import NO_SECRET, Api, Destination, Job, Mapping, MaxRejects, Step

MAX_REQUESTS_PER_SECOND = 1_000  # the highest rate that Customer.io publishes for any of its APIs
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def _rate(raw: object) -> float | None:
    raw = float(raw) if isinstance(raw, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", raw, re.ASCII) else raw
    if raw == "unlimited":
        return None
    if isinstance(raw, (int, float)) and not isinstance(raw, bool) and 0 < raw <= MAX_REQUESTS_PER_SECOND:
        return float(raw)
    raise wrong(
        f"must be a number above 0, up to {MAX_REQUESTS_PER_SECOND}; or unlimited, with a base_url on this machine"
    )


def _base_url(raw: str) -> str:
    try:
        return address.allowed(raw)
    except ValueError as error:
        raise wrong(str(error)) from None


def _plain_name(name: str) -> str:
    if not PLAIN_NAME.fullmatch(name):
        raise wrong("must be up to 100 letters, digits, - and _, beginning with a letter or digit: it names files")
    return name


def _folder(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise wrong("must name a folder")
    if "://" in text:
        raise wrong("is an address; a database's is written under state: database:")
    return text


def _database(raw: object) -> SecretStr:
    if isinstance(raw, str) and re.match(r"postgres(ql)?(\+\w+)?://", raw):
        return SecretStr(raw)
    raise wrong("must be the address of a PostgreSQL database, as ${ETL_STATE_URL}")


def _lease(raw: object) -> timedelta:
    lease = _duration(raw)
    if not timedelta(seconds=2) <= lease <= timedelta(hours=1):
        raise wrong("must be from 2s to 1h")
    return lease


def _max_rejects(raw: object) -> MaxRejects:
    if isinstance(raw, str) and (found := re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?) ?%", raw, re.ASCII)):
        if float(found[1]) <= 100:
            return MaxRejects(share=float(found[1]) / 100)
    elif isinstance(rows := from_reference(raw), int) and not isinstance(rows, bool) and rows >= 0:
        return MaxRejects(rows=rows)
    raise wrong("must be a share, as 1%, or a whole number of rows")


def _ping(url: SecretStr) -> SecretStr:
    """The address of a monitor; "" where secrets are not looked up."""
    address = url.get_secret_value()
    if address and not (address.startswith("https://") or is_loopback("/".join(address.split("/")[:3]))):
        raise wrong("must be an https:// address, or one on this machine")
    return url


def _duration(raw: object) -> timedelta:
    try:
        return duration(str(raw))
    except ValueError as error:
        raise wrong(str(error)) from None


def _schedule(raw: object) -> str | tuple[str, ...]:
    if isinstance(raw, str) and (len(raw.split()) == 5 or re.fullmatch("@[a-z]+", raw)):
        return raw
    if isinstance(raw, dict) and raw.keys() == {"assets"}:
        uris = raw["assets"]
        if isinstance(uris, list) and uris and all(isinstance(uri, str) and uri.strip() for uri in uris):
            return tuple(uris)
    raise wrong('must be a cron line of five fields, as "0 3 * * *", or @daily and the like, or {assets: [a URI, …]}')


Whole = Annotated[int, BeforeValidator(from_reference)]


class DestinationYaml(Section):
    """Where rows go."""

    not_offered: ClassVar[dict[str, str]] = {
        "app_api_key": "reading back is not offered yet; leave it out",
        **dict.fromkeys(("rate", "rate_limit", "rps"), "the pace is written requests_per_second:"),
        **dict.fromkeys(("concurrency", "workers", "threads"), "batches under way at once are written lanes:"),
        "batch_size": "a batch is as many rows as fit into max_batch_bytes:; leave it out",
    }

    api: Api = "track"
    region: Literal["us", "eu", "auto"] = "us"
    site_id: SecretStr = NO_SECRET
    api_key: SecretStr = NO_SECRET
    write_key: SecretStr = NO_SECRET
    requests_per_second: Annotated[float | None, PlainValidator(_rate)] = 100.0
    lanes: Annotated[Whole, Field(ge=1, le=256)] = 16
    max_batch_bytes: Annotated[Whole, Field(ge=32_100, le=500_000)] = 500_000  # an item of 32,000 B must fit
    base_url: Annotated[str, AfterValidator(_base_url)] = OMITTED
    ca_file: LocalPath = OMITTED

    def to_destination(self) -> Destination:
        hosts = address.OF_REGION[self.api]
        region = next((region for region in ("us", "eu") if self.base_url == hosts[region]), self.region)
        return Destination(
            api=self.api,
            base_url=self.base_url or hosts.get(self.region, ""),
            site_id=self.site_id,
            api_key=self.api_key,
            write_key=self.write_key,
            region=region,
            requests_per_second=self.requests_per_second,
            lanes=self.lanes,
            max_batch_bytes=self.max_batch_bytes,
            ca_file=self.ca_file,
        )


class StepYaml(Section):
    """One source through one mapping or several."""

    name: Annotated[str, AfterValidator(_plain_name)]
    source: SourceYaml
    mapping: LocalPaths

    def to_steps(self, listed: bool, mappings: MappingOf[str, Mapping]) -> Iterator[Step]:
        for path in self.mapping:
            name = f"{self.name}/{Path(path).stem}" if listed else self.name
            yield Step(name, self.source.to_source(), mappings[path])


class StateYaml(Section):
    """Where it is written down how far runs are."""

    goes_with: ClassVar = {"lease": ("database",)}
    short_form = "a folder, or the address of a PostgreSQL database"

    database: Annotated[SecretStr, PlainValidator(_database)] = OMITTED
    folder: Annotated[str, AfterValidator(_folder)] = ".etl"
    lease: Annotated[timedelta, PlainValidator(_lease)] = timedelta(seconds=30)

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        if isinstance(raw, str):
            return {"database" if "://" in raw else "folder": raw}
        return raw


class JobYaml(Section):
    """A job file."""

    name: Annotated[str, AfterValidator(_plain_name)] = OMITTED
    destination: DestinationYaml
    steps: Annotated[list[StepYaml], Field(min_length=1)]
    max_rejects: Annotated[MaxRejects, PlainValidator(_max_rejects)] = MaxRejects(share=0.01)
    state: StateYaml = StateYaml()
    schedule: Annotated[str | tuple[str, ...] | None, PlainValidator(_schedule)] = None
    keep_snapshots: Flag = False
    rejects: Literal["keys", "rows"] = "keys"
    ping: Annotated[SecretStr, AfterValidator(_ping)] = OMITTED
    expect_every: Annotated[timedelta, PlainValidator(_duration)] = OMITTED

    def to_job(self, document: Document, path: Path, mappings: MappingOf[str, Mapping]) -> Job:
        listed = [isinstance(step["mapping"], list) for step in (document.data or {})["steps"]]
        return Job(
            file=document.file,
            name=self.name or path.stem,
            destination=self.destination.to_destination(),
            steps=tuple(
                one for step, many in zip(self.steps, listed, strict=True) for one in step.to_steps(many, mappings)
            ),
            state=Path(self.state.folder),
            database=self.state.database,
            lease_s=self.state.lease.total_seconds(),
            max_rejects=self.max_rejects,
            schedule=self.schedule,
            keep_snapshots=self.keep_snapshots,
            rejects=self.rejects,
            ping=self.ping,
            expect_every=self.expect_every,
        )
