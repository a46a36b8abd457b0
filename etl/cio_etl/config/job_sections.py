"""The keys of a job file, section by section, and the records that they become."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeGuard

from pydantic import AfterValidator, Field, PlainValidator, SecretStr, WithJsonSchema, create_model, model_validator

from cio_etl.apis import APIS, DEFAULT_API, OPERATIONS, Api, allowed_address, is_loopback, variable
from cio_etl.config.source_sections import SourceYaml
from cio_etl.config.yaml_file import Document
from cio_etl.model import (
    AT_LEAST,
    NO_SECRET,
    Destination,
    Job,
    LedgerContent,
    Limit,
    Mapping,
    MaxRejects,
    Step,
    Sync,
    SyncMode,
    WhenGone,
)
from cio_etl.model.yaml_section import (
    SHOWN_DEFAULT,
    Flag,
    LocalPath,
    LocalPaths,
    OrReference,
    References,
    Secret,
    Section,
    Text,
    duration,
    from_reference,
    omitted,
    wrong,
)

MAX_REQUESTS_PER_SECOND = max(api.limits.requests_per_second for api in APIS.values())
MAX_BATCH_BYTES = max(api.limits.batch_bytes for api in APIS.values())
MIN_BATCH_BYTES = max(api.limits.item_bytes for api in APIS.values()) + 100  # an item and its envelope must fit
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
        return allowed_address(raw)
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
        raise wrong("is an address; write the address of a database under state: database:")
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
    written = raw if isinstance(raw, dict) else {"share": raw} if isinstance(raw, str) else {}
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?) ?%", str(written.get("share")), re.ASCII)
    if share and float(share[1]) <= 100 and written.keys() <= {"share", "at_least"}:
        if _is_count(at_least := from_reference(written.get("at_least", AT_LEAST))):
            return MaxRejects(share=float(share[1]) / 100, at_least=at_least)
    elif _is_count(rows := from_reference(raw)):
        return MaxRejects(rows=rows)
    raise wrong("must be a share, as 1% or {share: 1%, at_least: 0}, or a whole number of rows")


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _ping(url: SecretStr) -> SecretStr:
    """The address of a monitor; "" if secrets are not looked up."""
    address = url.get_secret_value()
    if address and not (address.startswith("https://") or is_loopback("/".join(address.split("/")[:3]))):
        raise wrong("must be an https:// address, or one on this machine")
    return url


def _duration(raw: object) -> timedelta:
    try:
        return duration(str(raw))
    except ValueError as error:
        raise wrong(str(error)) from None


def _full_refresh_every(raw: object) -> timedelta:
    if (every := _duration(raw)) < timedelta(hours=1):
        raise wrong("must be an hour or more, as 30 days")
    return every


def _schedule(raw: object) -> str | tuple[str, ...]:
    if isinstance(raw, str) and raw in _PRESETS:
        return raw
    if isinstance(raw, str) and len(raw.split()) == 5:
        return _cron(raw)
    if isinstance(raw, dict) and raw.keys() == {"assets"}:
        uris = raw["assets"]
        if isinstance(uris, list) and uris and all(isinstance(uri, str) and uri.strip() for uri in uris):
            return tuple(uris)
    raise wrong('must be a cron line of five fields, as "0 3 * * *", or @daily and the like, or {assets: [a URI, …]}')


# Airflow's names for cron lines (its documentation, "Cron presets"), and @once and @continuous
_PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@annually")


def _cron(line: str) -> str:
    from croniter import CroniterError, croniter  # here: few jobs have a cron line

    try:
        croniter(line).get_next()
    except CroniterError as error:
        raise wrong(f"is not a cron line: {error}") from None
    return line


# What may be written where a validator reads the value; the JSON Schema is made of it.
_WrittenRate = Annotated[float, Field(gt=0, le=MAX_REQUESTS_PER_SECOND)] | Literal["unlimited"]
_Share = Annotated[str, Field(pattern=r"^\d{1,3}(\.\d{1,9})? ?%$")]


class MaxRejectsYaml(Section):
    """A share of a step's rows that may be rejected, and its floor."""

    share: _Share = Field(description="a share of the step's rows, as `1%`")
    at_least: Annotated[int, Field(ge=0)] = Field(AT_LEAST, description="rows that may be rejected in any case")


_WrittenMaxRejects = Annotated[int, Field(ge=0)] | _Share | MaxRejectsYaml


class AssetsYaml(Section):
    """Airflow's assets whose updates start a run."""

    assets: Annotated[list[Text], Field(min_length=1)] = Field(description="the URIs of the assets")


_WrittenSchedule = Annotated[str, Field(pattern=r"^(@[a-z]+|\s*\S+(\s+\S+){4}\s*)$")] | AssetsYaml

PlainName = Annotated[
    str, AfterValidator(_plain_name), WithJsonSchema({"type": "string", "pattern": f"^{PLAIN_NAME.pattern}$"})
]


if TYPE_CHECKING:
    ApiName = str
else:
    ApiName = Literal[tuple(APIS)]


class _ApiYaml(Section):
    api: ApiName = Field(
        DEFAULT_API,
        description="; ".join(f"`{api.name}`: {api.description}" for api in APIS.values()) + ". See Which API.",
    )
    region: Literal["us", "eu", "auto"] = Field(
        "us", description="`us`, `eu`, or `auto`: ask the Track API to which region the credentials belong"
    )


def _credential(api: Api, key: str) -> Any:
    """The field of a credential: a key of the job file that the record of the API names."""
    description = f"of the {api.title} API: a reference, as `${{{variable(key)}}}`"
    return Secret, Field(NO_SECRET, description=description, json_schema_extra={SHOWN_DEFAULT: "required for it"})


if TYPE_CHECKING:
    _CredentialsYaml = _ApiYaml
else:
    _CredentialsYaml = create_model(
        "_CredentialsYaml",
        __base__=_ApiYaml,
        **{key: _credential(api, key) for api in APIS.values() for key in api.credentials},
    )


class DestinationYaml(_CredentialsYaml):
    """Where rows go."""

    not_offered: ClassVar[dict[str, str]] = {
        "app_api_key": "reading data back is not supported yet; leave it out",
        **dict.fromkeys(("rate", "rate_limit", "rps"), "write the rate as requests_per_second:"),
        **dict.fromkeys(("concurrency", "workers", "threads"), "write the number of concurrent batches as lanes:"),
        "batch_size": "a batch contains as many rows as fit into max_batch_bytes:; leave it out",
    }

    requests_per_second: Annotated[float | None, PlainValidator(_rate, json_schema_input_type=_WrittenRate)] = Field(
        100.0,
        description="the highest rate of all lanes together, and of all runs that share the state: above 0, up to "
        "1000; `unlimited` only with a `base_url` on this machine. Below this limit, the rate adapts to what "
        "Customer.io accepts. See Decisions.",
    )
    lanes: Annotated[int, Field(ge=1, le=256), OrReference] = Field(
        16,
        description="1 to 256: the largest number of batches that are sent at the same time. With more lanes, more "
        "rows may be sent twice after a kill",
    )
    max_batch_bytes: Annotated[int, Field(ge=MIN_BATCH_BYTES, le=MAX_BATCH_BYTES), OrReference] = Field(
        MAX_BATCH_BYTES,
        description=f"{MIN_BATCH_BYTES:,} to {MAX_BATCH_BYTES:,}: the largest size of a request's body, in bytes",
    )
    base_url: Annotated[str, AfterValidator(_base_url)] = omitted(
        "one of Customer.io's hosts of this API, or this machine, as `http://127.0.0.1:8080`. Credentials are sent to "
        "no other host",
        "the region's",
    )
    ca_file: LocalPath = omitted("the certificates of a private authority, PEM", "the system's")

    def to_destination(self) -> Destination:
        hosts, keys = APIS[self.api].hosts, APIS[self.api].credentials
        region = next((region for region in ("us", "eu") if self.base_url == hosts[region]), self.region)
        return Destination(
            api=self.api,
            base_url=self.base_url or hosts.get(self.region, ""),
            credentials={key: getattr(self, key) for key in keys},
            region=region,
            requests_per_second=self.requests_per_second,
            lanes=self.lanes,
            max_batch_bytes=self.max_batch_bytes,
            ca_file=self.ca_file,
        )


def _limit(raw: object) -> Limit:
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?) ?%", raw, re.ASCII) if isinstance(raw, str) else None
    if share and float(share[1]) <= 100:
        return Limit(share=float(share[1]) / 100)
    if _is_count(number := from_reference(raw)):
        return Limit(number=number)
    raise wrong("must be a share, as 1%, or a whole number")


def _when_gone(raw: object) -> WhenGone:
    if raw in ("delete", "suppress", "unset"):
        return WhenGone(str(raw))
    if isinstance(raw, dict) and raw.keys() == {"set"} and isinstance(raw["set"], dict) and raw["set"]:
        return WhenGone("set", raw["set"])
    raise wrong("must be delete, suppress, unset, or {set: {attribute: value}}")


_WrittenLimit = Annotated[int, Field(ge=0)] | _Share


class AttributesToSet(Section):
    """The attributes that somebody who is gone gets."""

    set: dict[str, Any] = Field(description="each attribute with its value")


_WhenGoneKeys = Literal["delete", "suppress", "unset"] | AttributesToSet
_OneLimit = Annotated[Limit | None, PlainValidator(_limit, json_schema_input_type=_WrittenLimit)]


class LimitsYaml(Section):
    """How much of a step's ledger may change at once."""

    new: _OneLimit = omitted("subjects that the ledger does not know")
    changed: _OneLimit = omitted("subjects with a change")
    unset: _OneLimit = omitted("subjects of which one attribute becomes null")
    events_of_72h: _OneLimit = omitted("events of the last 72 hours, which can start campaigns")

    def to_limits(self) -> dict[str, Limit]:
        return {name: limit for name in LimitsYaml.model_fields if (limit := getattr(self, name)) is not None}


class StepYaml(Section):
    """One source through one mapping or several."""

    name: PlainName = Field(description="the name of the step in reports and for `--step`")
    source: SourceYaml = Field(description="where the rows come from")
    mapping: LocalPaths = Field(
        description="a mapping file, or a list of them. A list makes one step per mapping, in this order, each over "
        "the whole source; their names are `step/mapping`"
    )

    sync: SyncMode = Field(
        "all",
        description="`all`: every row is sent each time. `changed`: only what Customer.io has not acknowledged yet. "
        "`mirror`: that, and who is gone from the source is removed. See Send only what changed.",
    )
    when_gone: Annotated[WhenGone | None, PlainValidator(_when_gone, json_schema_input_type=_WhenGoneKeys)] = omitted(
        "with `sync: mirror`, what happens to people and objects that the source no longer has: `delete`; for people "
        "also `suppress`; `unset`, the mapping's attributes become null; or `{set: {churned: true}}`. Relationships, "
        "devices and memberships are ended",
        "required for people and objects",
    )
    max_gone: Annotated[Limit, PlainValidator(_limit, json_schema_input_type=_WrittenLimit)] = Field(
        Limit(share=0.01),
        description="with `sync: mirror`, how much of the ledger may be gone at once: a share, as `1%`, or a number. "
        "One more, and the run stops with exit code 4 before it sends anything; a source without rows removes nobody",
        json_schema_extra={SHOWN_DEFAULT: "`1%`"},
    )
    scope: Annotated[list[Text], Field(min_length=1)] = omitted(
        "with `sync: mirror`, columns of the source, as `[store_id]`: somebody can be gone only if the source has "
        "other rows with the values that their last row had, so the file of one store removes nobody of another",
        "none: the source has everybody",
    )
    limits: LimitsYaml = Field(
        LimitsYaml(),
        description="with a `sync` other than `all`, how much may change at once: `new`, `changed`, `unset` and, of "
        "events, `events_of_72h`, each a share of the ledger or a number. One more, and the run stops with exit code 4 "
        "before it sends anything",
        json_schema_extra={SHOWN_DEFAULT: "none"},
    )

    ledger: LedgerContent = Field(
        "hashes",
        description="with a `sync` other than `all`, what the ledger stores of each attribute: `hashes`, which say "
        "whether it has changed; or `values`, which `plan` needs to show what changes into what",
    )

    @model_validator(mode="after")
    def _needs_a_ledger(self) -> StepYaml:
        of_mirrors = [name for name in ("when_gone", "max_gone", "scope") if name in self.model_fields_set]
        if of_mirrors and self.sync != "mirror":
            raise wrong(f"{' and '.join(of_mirrors)} only with `sync: mirror`; write that, or leave it out")
        if "limits" in self.model_fields_set and self.sync == "all":
            raise wrong("limits only with `sync: changed` or `sync: mirror`; write one of them, or leave limits out")
        if "ledger" in self.model_fields_set and self.sync == "all":
            raise wrong("ledger only with `sync: changed` or `sync: mirror`; write one of them, or leave ledger out")
        return self

    full_refresh_every: Annotated[timedelta, PlainValidator(_full_refresh_every, json_schema_input_type=str)] = omitted(
        "with a `sync` other than `all`, how often everything is sent again, as `30 days`: if that was longer ago, the "
        "next run sends every row of the step, as with `--full-refresh`. It repairs what others have changed in "
        "Customer.io"
    )

    def to_sync(self, mapping: Mapping) -> Sync:
        """What one of the step's mappings sends; what becomes of who is gone is as an operation with its attributes."""
        when_gone = self.when_gone
        attributes = mapping.part("attributes")
        if when_gone is None and (inverse := OPERATIONS[mapping.operation].inverse) is not None:
            when_gone = WhenGone(inverse)
        elif when_gone is not None and when_gone.operation in ("unset", "set"):
            changed = dict.fromkeys(attributes) if when_gone.operation == "unset" else when_gone.attributes
            when_gone = WhenGone("identify_object" if "object" in mapping.operation else "identify", changed)
        elif when_gone is not None and when_gone.operation == "delete" and "object" in mapping.operation:
            when_gone = WhenGone("delete_object")
        return Sync(
            self.sync,
            when_gone,
            self.max_gone,
            tuple(self.scope or ()),
            self.limits.to_limits(),
            self.full_refresh_every,
            self.ledger,
        )

    def to_steps(self, listed: bool, mappings: MappingOf[str, Mapping]) -> Iterator[Step]:
        for path in self.mapping:
            name = f"{self.name}/{Path(path).stem}" if listed else self.name
            yield Step(name, self.source.to_source(), mappings[path], self.to_sync(mappings[path]))


class StateYaml(Section):
    """Where the progress of runs is stored."""

    goes_with: ClassVar = {"lease": ("database",)}
    short_form = "a folder, or the address of a PostgreSQL database"

    database: Annotated[SecretStr, PlainValidator(_database, json_schema_input_type=SecretStr), References.ADDRESS] = (
        omitted("the address of a PostgreSQL database that all machines can reach: a reference, as `${ETL_STATE_URL}`")
    )
    folder: Annotated[str, AfterValidator(_folder)] = Field(
        default=".etl",
        description="the folder of reports, of staged rows and of rejected rows; with a `database`, a folder that all "
        "machines share",
    )
    lease: Annotated[timedelta, PlainValidator(_lease, json_schema_input_type=str)] = Field(
        default=timedelta(seconds=30),
        description="after how much silence of a worker the others take over its lanes: from `2s` to `1h`",
        json_schema_extra={SHOWN_DEFAULT: "`30s`"},
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        if isinstance(raw, str):
            return {"database" if "://" in raw else "folder": raw}
        return raw


class JobYaml(Section):
    """A job file."""

    name: PlainName = omitted(
        "the name of the job's runs and of its lock: up to 100 letters, digits, `-` and `_`", "the file's name"
    )
    destination: DestinationYaml = Field(description="where rows are sent")
    steps: Annotated[list[StepYaml], Field(min_length=1)] = Field(
        description="a list. A step starts when the step before has finished: load people before their events"
    )
    max_rejects: Annotated[MaxRejects, PlainValidator(_max_rejects, json_schema_input_type=_WrittenMaxRejects)] = Field(
        MaxRejects(share=0.01),
        description="how many rows of each step may be rejected: a number of rows, or a share, as `1%` (rounded up). "
        "A share allows at least 10 rows, and with `{share: 1%, at_least: 0}` fewer; `0%` allows none. One more, and "
        "the run stops with exit code 4",
        json_schema_extra={SHOWN_DEFAULT: "`1%`"},
    )
    state: Annotated[StateYaml, References.ADDRESS] = Field(
        StateYaml(),
        description="a folder on a local disk, which several jobs may share; or, for several machines, "
        "`{database: ${ETL_STATE_URL}, folder: /mnt/etl}`. See Several machines.",
        json_schema_extra={SHOWN_DEFAULT: "`.etl`"},
    )
    schedule: Annotated[
        str | tuple[str, ...] | None, PlainValidator(_schedule, json_schema_input_type=_WrittenSchedule)
    ] = omitted(
        'when Airflow runs the job: a cron line, as `"0 3 * * *"`, a word such as `@daily`, or `{assets: [a URI, …]}`, '
        "after each update of these assets. Only Airflow reads it. See Airflow."
    )
    keep_snapshots: Flag = Field(
        False,
        description="`true`: staged rows stay in the state folder after the run has finished, so that `rejects` can "
        "show them",
    )
    rejects: Literal["keys", "rows"] = Field(
        "keys",
        description="what is stored of a rejected row: `keys`, its position and the reason; `rows`, the columns of its "
        "source as well, so that it can be fixed after the source has changed. See Fix and replay.",
    )
    ping: Annotated[Secret, AfterValidator(_ping)] = omitted(
        "the address of a monitor, as a reference `${HEALTHCHECK_URL}`. It is called when a run starts and when it "
        "ends. See Nightly."
    )
    expect_every: Annotated[timedelta, PlainValidator(_duration, json_schema_input_type=str)] = omitted(
        "how often a run should finish, as `1 day` or `26 hours`. When the last one is older, `status` reports it and "
        "exits with 3"
    )

    def to_job(self, document: Document, path: Path, mappings: MappingOf[str, Mapping]) -> Job:
        listed = [isinstance(step["mapping"], list) for step in (document.data or {})["steps"]]
        return Job(
            file=document.file,
            name=self.name or path.stem,
            destination=self.destination.to_destination(),
            steps=tuple(
                inner for step, many in zip(self.steps, listed, strict=True) for inner in step.to_steps(many, mappings)
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
