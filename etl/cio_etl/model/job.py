"""What a job says: steps, a destination, limits."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import field
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from cio_etl.model.expectations import ONE_PERCENT, Expectation, Limit
from cio_etl.model.mapping import Mapping
from cio_etl.model.notices import Channel
from cio_etl.model.records import dataclass
from cio_etl.model.sources import Source
from cio_etl.model.verification import Verify
from cio_etl.model.words import counted

SyncMode = Literal["all", "changed", "mirror"]
LedgerContent = Literal["hashes", "values"]


@dataclass(frozen=True, slots=True)
class WhenGone:
    """What becomes of a subject that the source no longer has: the operation that removes it, or attributes to set."""

    operation: str  # of apis/operations.py
    attributes: MappingOf[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sync:
    """What a step sends of its rows, and how much of it may change at once. A limit of None is none."""

    mode: SyncMode = "all"
    when_gone: WhenGone | None = None  # of a mirror
    max_gone: Limit = ONE_PERCENT
    scope: tuple[str, ...] = ()  # columns of the source: only who has their values of some row can be gone
    limits: MappingOf[str, Limit] = field(default_factory=dict)  # new, changed, unset, events_of_72h
    full_refresh_every: timedelta | None = None  # after so long, a run sends everything again
    ledger: LedgerContent = "hashes"  # what it stores of a part
    ledger_name: str | None = None  # None: that of the step
    remember: timedelta | None = None  # of events: older ones are neither sent nor compared; None: all are

    @property
    def has_ledger(self) -> bool:
        """Whether what was sent is recorded and compared."""
        return self.mode != "all"


SYNC_ALL = Sync()


@dataclass(frozen=True, slots=True)
class Step:
    """One source through one mapping. A list of mappings is as many steps, in that order, named step/mapping."""

    name: str
    source: Source
    mapping: Mapping
    sync: Sync = SYNC_ALL
    expect: tuple[Expectation, ...] = ()  # beside those of the mapping

    @property
    def expectations(self) -> tuple[Expectation, ...]:
        """What is expected of the rows of the source."""
        return (*self.expect, *self.mapping.expect)

    @property
    def ledger_name(self) -> str:
        """The name of the step's ledger in the state, and of its folder."""
        return self.sync.ledger_name or self.name


@dataclass(frozen=True, slots=True)
class Destination:
    """Where rows go. `requests_per_second` None is unlimited, which only a loopback address may have."""

    api: str  # the name of a record of apis/
    base_url: str  # one of Customer.io's hosts of this API, or loopback; "" while region is auto
    credentials: MappingOf[str, SecretStr]  # by the keys of the job file that the API names
    region: Literal["us", "eu", "auto"] = "us"
    requests_per_second: float | None = 100.0
    lanes: int = 16
    max_batch_bytes: int = 500_000  # 500,000 B: Track v2 batch limit
    ca_file: str | None = None
    attempt_deadline_s: float = 30.0
    batch_budget_s: float = 900.0
    app_api_key: SecretStr | None = None  # reads back what was sent; None: nothing is read back


AT_LEAST = 10  # rejected rows that a share allows a small step


@dataclass(frozen=True, slots=True)
class MaxRejects:
    """Past this many rejected rows of a step the run stops: a share of the step's rows, or a number of rows.

    A share has a floor, so that two rejected rows do not stop a night of three; a share of zero has none.
    """

    share: float | None = None  # 0.01 is 1 %
    rows: int | None = None
    at_least: int = AT_LEAST  # rows that may be rejected whatever the share says

    def limit(self, rows: int) -> int:
        """The number of rejected rows that a step of `rows` rows may have; a share is rounded up."""
        if self.rows is not None:
            return self.rows
        return max(ceil(self.share * rows), self.at_least) if self.share else 0

    def __str__(self) -> str:
        return counted(self.rows, "row") if self.rows is not None else f"{(self.share or 0.0) * 100:g} %"

    def of(self, rows: int) -> str:
        """The limit of a step of `rows` rows, in words: `300 rows, 1 % of 30,000`."""
        limit = self.limit(rows)
        if not self.share:
            return counted(limit, "row")
        why = f"{self} of {rows:,}" if limit == ceil(self.share * rows) else f"the least that {self} allows"
        return f"{counted(limit, 'row')}, {why}"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a collector of OpenTelemetry is sent, and the span of another program that a run belongs to."""

    traces: bool = True
    metrics: bool = True
    parent: MappingOf[str, str] = field(default_factory=dict)  # W3C Trace Context: traceparent, tracestate


def target_of(job: str) -> str | None:
    """The target in a job's name in the state, as `nightly.prod` or `nightly.prod.replay`; None: it has none."""
    parts = [part for part in job.split(".")[1:] if part not in ("sandbox", "replay")]
    return parts[0] if parts else None


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What a job file says beside its destination and its steps: which runs are its, where, and who is told of them."""

    file: str
    name: str
    state: Path  # the folder of reports, copies and stored rows; and of the state, unless a database holds it
    database: SecretStr | None = None  # the address of the PostgreSQL that holds the state, for several machines
    target: str | None = None  # the name of the destination, where the job file has several; `name` ends with it
    schedule: str | tuple[str, ...] | None = None  # a cron line; or assets of Airflow, by their URIs
    expect_every: timedelta | None = None  # how old the last finished run may be before `status` says so
    notify: tuple[Channel, ...] = ()  # whom to tell how its runs end
    ping: SecretStr | None = None  # a monitor's address, told when a run begins and how it ends
    metrics_file: Path | None = None  # written at the end of each run, for node_exporter

    @property
    def state_location(self) -> Path | SecretStr:
        """What holds the state: the folder, or a database by its address."""
        return self.state if self.database is None else self.database

    @property
    def named_by(self) -> Path:
        """What names the state on a command line: the folder, or this job file, since an address holds a password."""
        return self.state if self.database is None else Path(self.file)


@dataclass(frozen=True, slots=True)
class StepOutline:
    """The name of a step, and the ledger that it has."""

    name: str
    sync: Sync

    @property
    def ledger_name(self) -> str:
        """The name of the step's ledger in the state."""
        return self.sync.ledger_name or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutline(JobSettings):
    """A job file without its sources and mappings, which may be wrong; steps whose name is wrong are left out."""

    steps: tuple[StepOutline, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(JobSettings):
    """A job file with its mappings, read and checked."""

    destination: Destination
    steps: tuple[Step, ...]
    max_rejects: MaxRejects = MaxRejects(share=0.01)
    keep_snapshots: bool = False  # staged rows stay when the run has finished
    rejects: Literal["keys", "rows"] = (
        "keys"  # what is stored of a rejected row: where it is and why, or its columns, too
    )
    telemetry: Telemetry | None = None  # None: no collector is sent anything
    verify: Verify | None = None  # what is read back after each run; None: nothing
    lease_s: float = 30.0  # how long a worker may be silent before others take its lanes over
