"""The keys of a job file, section by section, and the records that they become."""

import re
from collections.abc import Mapping as MappingOf
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PlainValidator, SecretStr, create_model, model_validator

from cio_etl.apis import APIS, DEFAULT_API, Api, allowed_address, app, is_loopback, variable
from cio_etl.config.notify_sections import NotifyYaml
from cio_etl.config.short_values import PlainName, Share, checked_duration, is_count, share_of
from cio_etl.config.step_sections import StepYaml
from cio_etl.config.yaml_file import Document
from cio_etl.model import (
    AT_LEAST,
    NO_SECRET,
    Destination,
    Job,
    Mapping,
    MaxRejects,
    Telemetry,
    Verify,
)
from cio_etl.model.yaml_section import (
    SHOWN_DEFAULT,
    Flag,
    LocalPath,
    OrReference,
    References,
    Secret,
    Section,
    Text,
    from_reference,
    omitted,
    wrong,
)

MAX_REQUESTS_PER_SECOND = max(api.limits.requests_per_second for api in APIS.values())
MAX_BATCH_BYTES = max(api.limits.batch_bytes for api in APIS.values())
MIN_BATCH_BYTES = max(api.limits.item_bytes for api in APIS.values()) + 100  # an item and its envelope must fit


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
    lease = checked_duration(raw)
    if not timedelta(seconds=2) <= lease <= timedelta(hours=1):
        raise wrong("must be from 2s to 1h")
    return lease


def _max_rejects(raw: object) -> MaxRejects:
    written = raw if isinstance(raw, dict) else {"share": raw} if isinstance(raw, str) else {}
    share = share_of(written.get("share"))
    if share is not None and written.keys() <= {"share", "at_least"}:
        if is_count(at_least := from_reference(written.get("at_least", AT_LEAST))):
            return MaxRejects(share=share, at_least=at_least)
    elif is_count(rows := from_reference(raw)):
        return MaxRejects(rows=rows)
    raise wrong("must be a share, as 1% or {share: 1%, at_least: 0}, or a whole number of rows")


def _ping(url: SecretStr) -> SecretStr:
    """The address of a monitor; "" if secrets are not looked up."""
    address = url.get_secret_value()
    if address and not (address.startswith("https://") or is_loopback("/".join(address.split("/")[:3]))):
        raise wrong("must be an https:// address, or one on this machine")
    return url


def _metrics_file(path: str) -> str:
    """A file that the textfile collector reads."""
    if not path.endswith(".prom"):
        raise wrong("must end in .prom, or node_exporter does not read it")
    return path


def _of_target(metrics_file: str | None, target: str | None) -> Path | None:
    """The file of a target: two destinations of one job do not overwrite each other's."""
    path = Path(metrics_file) if metrics_file else None
    return path if path is None or target is None else path.with_name(f"{path.stem}.{target}.prom")


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


class MaxRejectsYaml(Section):
    """A share of a step's rows that may be rejected, and its floor."""

    share: Share = Field(description="a share of the step's rows, as `1%`")
    at_least: Annotated[int, Field(ge=0)] = Field(AT_LEAST, description="rows that may be rejected in any case")


_WrittenMaxRejects = Annotated[int, Field(ge=0)] | Share | MaxRejectsYaml


class AssetsYaml(Section):
    """Airflow's assets whose updates start a run."""

    assets: Annotated[list[Text], Field(min_length=1)] = Field(description="the URIs of the assets")


_WrittenSchedule = Annotated[str, Field(pattern=r"^(@[a-z]+|\s*\S+(\s+\S+){4}\s*)$")] | AssetsYaml


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
    app_api_key: Secret = omitted(
        f"of the App API, by which `verify` reads people back: a reference, as `${{{app.VARIABLE}}}`",
        "required for `verify`",
    )

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
            app_api_key=self.app_api_key,
        )


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


def _wait(raw: object) -> timedelta:
    wait = checked_duration(raw)
    if wait > timedelta(minutes=10):
        raise wrong("must be from 0s to 10m")
    return wait


class VerifyYaml(Section):
    """What is read back after each run."""

    short_form = "a number of people"

    people: Annotated[int, Field(ge=1, le=100_000), OrReference] = Field(
        description="1 to 100,000: how many people are drawn at random, of those whose rows the run has sent"
    )
    wait: Annotated[timedelta, PlainValidator(_wait, json_schema_input_type=str)] = Field(
        timedelta(seconds=10),
        description="how long Customer.io has to apply what it took, before the first look and again before the second "
        "one at those who differ: from `0s` to `10m`",
        json_schema_extra={SHOWN_DEFAULT: "`10s`"},
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        return raw if isinstance(raw, dict) else {"people": raw}


class JobYaml(Section):
    """A job file."""

    name: PlainName = omitted(
        "the name of the job's runs and of its lock: up to 100 letters, digits, `-` and `_`", "the file's name"
    )
    extends: Text = omitted(
        "a job file from which this one inherits, as `base.yaml`; the path starts at this file's folder. `name` and "
        "`schedule` are not inherited. See Less to write."
    )
    vars: dict[str, str | float | bool] = Field(
        default={}, description="variables: names with texts, numbers, true or false; `${vars.name}` reads one"
    )
    destination: DestinationYaml = Field(description="where rows are sent; the keys that all `destinations` share")
    destinations: dict[PlainName, DestinationYaml] = Field(
        default={},
        description="several places, by name, as `{dev: …, prod: …}`; `--target` chooses one. See Several "
        "destinations.",
    )
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
        StateYaml.model_construct(),
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
    expect_every: Annotated[timedelta, PlainValidator(checked_duration, json_schema_input_type=str)] = omitted(
        "how often a run should finish, as `1 day` or `26 hours`. When the last one is older, `status` reports it and "
        "exits with 3"
    )

    telemetry: Literal["none", "otlp"] = Field(
        "none",
        description="`otlp`: traces and metrics of each run go to a collector of OpenTelemetry, as the environment "
        "variables `OTEL_…` say; needs the extra `otel`. See Metrics and traces.",
    )
    metrics_file: Annotated[LocalPath, AfterValidator(_metrics_file)] = omitted(
        "a file that is written at the end of each run, for the textfile collector of Prometheus' node_exporter, as "
        "`/var/lib/node_exporter/shop.prom`. See Metrics and traces."
    )
    notify: list[NotifyYaml] = omitted(
        "whom to tell how the job goes: a list of channels, as `[{slack: ${SLACK_WEBHOOK}}]`. It replaces that of "
        "`cio-etl.yaml`; `[]` tells nobody. See Being told.",
        "that of `cio-etl.yaml` beside the job file",
    )

    verify: VerifyYaml = omitted(
        "how many people are read back after each run that has sent something, as `1000`; or with the wait before it, "
        "as `{people: 1000, wait: 30s}`. See Verify."
    )

    def to_job(
        self, document: Document, path: Path, mappings: MappingOf[str, Mapping], target: str | None = None
    ) -> Job:
        listed = [isinstance(step["mapping"], list) for step in (document.data or {})["steps"]]
        return Job(
            **settings_of(self, document.file, path, target),
            destination=self.destination.to_destination(),
            steps=tuple(
                inner
                for number, (step, many) in enumerate(zip(self.steps, listed, strict=True))
                for inner in step.to_steps(many, mappings, document, ("steps", number))
            ),
            lease_s=self.state.lease.total_seconds(),
            max_rejects=self.max_rejects,
            keep_snapshots=self.keep_snapshots,
            rejects=self.rejects,
            **watchers_of(self, target),
            telemetry=Telemetry() if self.telemetry == "otlp" else None,
            verify=None if self.verify is None else Verify(self.verify.people, self.verify.wait.total_seconds()),
        )


OUTLINE = ("name", "state", "schedule", "expect_every", "notify")  # the keys of the settings
WATCHERS = ("ping", "metrics_file")  # those which no run needs, so that one that is wrong hides nothing else

if TYPE_CHECKING:
    OutlineYaml = WatchersYaml = JobYaml
else:

    def _part(name: str, keys: tuple[str, ...]) -> type[Section]:
        """A section that has only these keys of a job file."""
        fields = {key: (JobYaml.model_fields[key].annotation, JobYaml.model_fields[key]) for key in keys}
        return create_model(name, __base__=Section, **fields)

    OutlineYaml, WatchersYaml = _part("OutlineYaml", OUTLINE), _part("WatchersYaml", WATCHERS)


def watchers_of(parsed: JobYaml, target: str | None) -> dict[str, Any]:
    """The fields of JobSettings for those who watch the job by other ways than notices."""
    return {"ping": parsed.ping, "metrics_file": _of_target(parsed.metrics_file, target)}


def settings_of(parsed: JobYaml, file: str, path: Path, target: str | None) -> dict[str, Any]:
    """The other fields of JobSettings, except for the channels, which need the environment."""
    return {
        "file": file,
        "name": f"{parsed.name or path.stem}{'' if target is None else f'.{target}'}",
        "state": Path(parsed.state.folder),
        "database": parsed.state.database,
        "target": target,
        "schedule": parsed.schedule,
        "expect_every": parsed.expect_every,
    }
