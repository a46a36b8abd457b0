"""The words of this program. Every record that passes from one room to another is here, frozen.

A row has a *position*: its 0-based place in the snapshot. Each record below names positions, never values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import SecretStr

from etl.sources import Mark, Source

# ---------------------------------------------------------------- what the user asks for: YAML, read by config/

IdentifierKind = Literal["id", "email", "phone", "cio_id", "anonymous_id"]
Api = Literal["track", "pipelines"]


@dataclass(frozen=True, slots=True)
class Call:
    """One function of an `apply` list, with its arguments: `{divide: 100}` is Call("divide", {"by": 100})."""

    name: str
    arguments: MappingOf[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A value taken from a column of the row, through functions."""

    name: str
    apply: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value for every row: anything JSON can hold."""

    value: Any


@dataclass(frozen=True, slots=True)
class Columns:
    """A value made of several columns of the row, in this order, by the first of its functions."""

    names: tuple[str, ...]
    apply: tuple[Call, ...]


Value = Column | Columns | Constant


@dataclass(frozen=True, slots=True)
class Relationship:
    """What a person or an object is tied to, and attributes of the tie.

    `to` says an object by `type` and `id`, or by `cio_object_id`; a person by one identifier.
    """

    kind: Literal["object", "person"]
    to: MappingOf[str, Value]
    attributes: MappingOf[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a person; of one that is to be deleted only the token is known."""

    token: Value
    platform: Value | None = None
    last_used: Value | None = None
    attributes: MappingOf[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """A row and what the mapping must make of it: a payload, or a reject with this reason, or `skipped`.

    `payload` is what the Track API is sent, `pipelines` what the Pipelines API is; both may be given.
    """

    row: MappingOf[str, Any]
    payload: MappingOf[str, Any] | str | None = None
    rejected: str | None = None
    skipped: bool = False
    line: int | None = None
    pipelines: MappingOf[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a row becomes a call. `digest` is SHA-256 over what it means; comments, key order and examples aren't.

    Which of the parts are there depends on the operation: transform/operations.py.
    """

    file: str
    operation: str  # a row of the table in transform/operations.py: identify, track, …
    identifiers: MappingOf[IdentifierKind, Value]  # one, or none where the operation is about an object or two people
    attributes: MappingOf[str, Value]
    digest: str
    event: Value | None = None
    timestamp: Value | None = None
    event_key: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()  # columns; of a person's rows the last by them is sent, the others are skipped
    nulls: Literal["omit", "clear"] = "omit"
    when: str | None = None  # SQL expression over the row's columns
    allow_reserved: tuple[str, ...] = ()  # reserved names that this mapping sends on purpose
    examples: tuple[Example, ...] = ()
    object: MappingOf[str, Value] = field(default_factory=dict)  # `type` and `id`, or `cio_object_id`
    relationships: tuple[Relationship, ...] = ()
    device: Device | None = None
    topics: MappingOf[str, Value] = field(default_factory=dict)  # of the subscription centre, by their numbers
    primary: MappingOf[IdentifierKind, Value] = field(default_factory=dict)  # of a merge: who stays
    secondary: MappingOf[IdentifierKind, Value] = field(default_factory=dict)  # of a merge: who goes
    segment: int | None = None
    existing_only: bool = False
    retry_unknown: bool = False  # send again what may have been done, though it cannot be undone

    def values(self) -> dict[str, Value]:
        """Every value of the mapping by its target, a dotted path: `attributes.plan`, `relationships[0].object.id`."""
        made: dict[str, Value] = {f"identifiers.{kind}": value for kind, value in self.identifiers.items()}
        made |= {name: value for name in ("event", "timestamp") if (value := getattr(self, name)) is not None}
        for part in ("object", "primary", "secondary"):
            made |= {f"{part}.{name}": value for name, value in getattr(self, part).items()}
        if self.device is not None:
            parts = {"token": self.device.token, "platform": self.device.platform, "last_used": self.device.last_used}
            made |= {f"device.{name}": value for name, value in parts.items() if value is not None}
            made |= {f"device.attributes.{name}": value for name, value in self.device.attributes.items()}
        for place, tie in enumerate(self.relationships):
            made |= {f"relationships[{place}].{tie.kind}.{name}": value for name, value in tie.to.items()}
            made |= {f"relationships[{place}].attributes.{name}": value for name, value in tie.attributes.items()}
        made |= {f"topics.{topic}": value for topic, value in self.topics.items()}
        return made | {f"attributes.{name}": value for name, value in self.attributes.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """One source through one mapping. A list of mappings is as many steps, in that order, named step/mapping."""

    name: str
    source: Source
    mapping: Mapping


NO_SECRET = SecretStr("")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where rows go. `requests_per_second` None is unlimited, which only a loopback address may have."""

    api: Api
    base_url: str  # one of Customer.io's hosts of this API, or loopback; "" while region is auto
    site_id: SecretStr
    api_key: SecretStr
    write_key: SecretStr = NO_SECRET  # of the Pipelines API, which has neither of the two above
    region: Literal["us", "eu", "auto"] = "us"
    requests_per_second: float | None = 100.0
    lanes: int = 16
    max_batch_bytes: int = 500_000  # 500,000 B: Track v2 batch limit
    ca_file: str | None = None
    attempt_deadline_s: float = 30.0
    batch_budget_s: float = 900.0


@dataclass(frozen=True, slots=True)
class MaxRejects:
    """Past this many rejected rows of a step the run stops: a share of the step's rows, or a number of rows."""

    share: float | None = None  # 0.01 is 1 %
    rows: int | None = None

    def limit(self, rows: int) -> int:
        """The number of rejected rows that a step of `rows` rows may have; a share is rounded up."""
        return self.rows if self.rows is not None else ceil((self.share or 0.0) * rows)

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.rows is not None else f"{(self.share or 0.0) * 100:g} %"


@dataclass(frozen=True, slots=True)
class Job:
    """A job file, read and checked."""

    file: str
    name: str
    destination: Destination
    steps: tuple[Step, ...]
    state: Path  # the folder of reports, copies and kept rows; and of the state, unless a database holds it
    max_rejects: MaxRejects = MaxRejects(share=0.01)
    schedule: str | tuple[str, ...] | None = None  # a cron line; or assets of Airflow, by their URIs
    keep_snapshots: bool = False  # staged rows stay when the run has finished
    rejects: Literal["keys", "rows"] = (
        "keys"  # what is kept of a rejected row: where it is and why, or its columns, too
    )
    ping: SecretStr | None = None  # a monitor's address, told when a run begins and how it ends
    expect_every: timedelta | None = None  # how old the last finished run may be before `status` says so
    database: SecretStr | None = None  # the address of the PostgreSQL that holds the state, for several machines
    lease_s: float = 30.0  # how long a worker may be silent before others take its lanes over

    @property
    def kept_in(self) -> Path | SecretStr:
        """What holds the state: the folder, or a database by its address."""
        return self.state if self.database is None else self.database

    @property
    def named_by(self) -> Path:
        """What names the state on a command line: the folder, or this job file, since an address holds a password."""
        return self.state if self.database is None else Path(self.file)


# ---------------------------------------------------------------- rows in: made by extract/

POSITION = "_position"  # Int64: the row's 0-based place in the snapshot; gapless
FAULT = "_fault"  # String: a reason of REASONS when the row itself could not be read, else null

# Frames of rows that are sent again tell besides what each was at first, which is what an event's id may be made of,
# and whether it is settled since.
ORIGIN_FINGERPRINT = "_cio_etl_fingerprint"  # String: of the snapshot in which it was rejected
ORIGIN_POSITION = "_cio_etl_position"  # Int64: its place there
CLOSED = "_cio_etl_closed"  # Boolean: accepted by a replay before this one

# What functions asked of whole columns, and the answers for each frame: JSON types, by a digest of the question.
Answers = MappingOf[str, Sequence[MappingOf[str, Any]]]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a snapshot, by what tells whether it is still the same."""

    path: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What is known of rows that are sent again: the rejects that they are, and what was asked of all rows."""

    reject_ids: npt.NDArray[np.int64]  # by position, as the state numbers them
    answers: Answers
    closes: bool = True  # False: a rehearsal, after which the rejects are as they were


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An unchanging, row-numbered set of rows.

    `read(columns, start)` yields frames of at most some 25,000 rows, from position `start` on, in order of position:
    the asked columns (None: all) plus POSITION and FAULT. Raises SourceError, also when a file changes underneath.
    `locate(positions)` answers, for each, the file and the 1-based line (CSV) or row (Parquet) in it.
    """

    fingerprint: str  # SHA-256 over the files' contents in order and the settings they are read with
    files: tuple[SourceFile, ...]
    rows: int
    schema: pl.Schema  # of the source's own columns
    read: Callable[[Sequence[str] | None, int], Iterator[pl.DataFrame]]
    locate: Callable[[Sequence[int]], list[tuple[str, int]]]
    json: frozenset[str] = frozenset()  # text columns that the source says are JSON
    loose: bool = False  # the values decide a column's type, so it may be another one tomorrow
    copy: Path | None = None  # the folder in the stage that holds the rows, when they had to be copied
    mark: Mark | None = None  # of an incremental source: where the next run begins, once these rows are settled
    replayed: Replayed | None = None  # its rows are rejects that are sent again


# ---------------------------------------------------------------- rows mapped: made by transform/

# Columns of an items frame, one row for each source row, in order of position:
#   position Int64 · lane UInt8 · item String (JSON text and a trailing comma; null: rejected or skipped)
#   · reason String (null: not rejected) · field String (null: the row as a whole)
ITEMS_SCHEMA = pl.Schema(
    {"position": pl.Int64, "lane": pl.UInt8, "item": pl.String, "reason": pl.String, "field": pl.String}
)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not accepted: by our checks before sending (message "") or by Customer.io (its words)."""

    position: int
    reason: str
    field: str | None = None
    message: str = ""


# ---------------------------------------------------------------- rows sent: made by load/


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the items of a body, and how many it may have; None: as many as fit."""

    open: bytes = b'{"batch":['
    close: bytes = b"]}"
    max_items: int | None = None


ARRAY = Envelope()  # what both APIs take batches in


@dataclass(frozen=True, slots=True)
class Batch:
    """A lane's rows from the one before up to `through`, and the body that sends those of them that are items.

    `positions[i]` is the row of item i, whose text ends before byte `ends[i]` of `body`; a comma, or the closing
    bracket, follows. `body` is empty when every row was rejected or skipped.
    """

    lane: int
    through: int
    body: bytes
    positions: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    rejects: tuple[Reject, ...]
    skipped: int
    envelope: Envelope = ARRAY


@dataclass(frozen=True, slots=True)
class ItemError:
    """What Customer.io says of one item of a batch."""

    index: int
    reason: str
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The batch was taken, but for the items named."""

    errors: tuple[ItemError, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """The same bytes again, not before `after_s` seconds when the answer named a time."""

    reason: str
    after_s: float | None = None
    ambiguous: bool = False  # the batch may have been taken, and its answer lost
    throttled: bool = False  # it says that too much comes: all lanes slow down


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been done, and cannot be undone: its items are not sent again, a person must look at them."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken, because of the items named: reject those and send the rest again."""

    errors: tuple[ItemError, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Refused as a whole without saying which item: halve it. A batch of one is rejected with the reason."""

    reason: str
    message: str = ""
    too_large: bool = False  # 413: the bodies to come are made smaller, too
    ambiguous: bool = False  # it may have been taken all the same: the answer does not tell of which items


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more may be sent: `error` is raised."""

    error: Exception


Verdict = Accepted | Retry | Unknown | Refused | Split | Stop


# ---------------------------------------------------------------- what is kept and told: made by state/ and report/


@dataclass(frozen=True, slots=True)
class LaneMark:
    """How far a lane has come, and what it did on the way: one row of the state.

    Rows at or below `acked_through` are settled and never sent again; those above it and at or below
    `sending_through` may have been sent when a run is killed.
    """

    lane: int
    acked_through: int = -1
    sending_through: int = -1
    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    possibly_sent_twice: int = 0
    batches: int = 0
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class RejectCount:
    """Rejected rows of one reason and field, with the first of them as `file:line`."""

    reason: str
    field: str | None
    rows: int
    first_rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a person should know of a step's rows, though none is rejected for it: a code of audit.FINDINGS.

    `words` says what was found, with counts and times and without values; `first_rows` are `file:line`.
    """

    code: str
    severity: Literal["warning", "notice"]  # notice: worth knowing; warning: somebody could be mailed, or data lost
    field: str | None
    rows: int
    words: str
    first_rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run over these rows would come to, and how long it would take at the job's own settings.

    `seconds` is the longer of two times: all requests at `requests_per_second`, and the fullest lane's one after the
    other, each answered after `latency_s`. Waits that Customer.io asks for come on top.
    """

    people: int  # distinct identifiers of the rows that would be sent; of objects, the objects
    people_exact: bool  # False: reckoned from a part of them, to within 1 %
    events: int  # rows that would be sent as events
    requests: int
    bytes: int
    seconds: float
    requests_per_second: float | None  # None: unlimited
    lanes: int
    latency_s: float  # of one request; assumed, not measured


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What a source's column holds, over all rows. A column that the mapping does not read has a name and a type.

    `low` and `high` are of numbers and times, rounded unless values are revealed; where the column is text, of what the
    mapping makes of it.
    """

    name: str
    type: str  # in words
    targets: tuple[str, ...] = ()  # what of the mapping reads it: attributes.plan, event_key, when
    nulls: int | None = None
    distinct: int | None = None  # values other than null
    distinct_is_exact: bool = True
    shortest: int | None = None  # bytes of the texts
    longest: int | None = None
    low: str | None = None
    high: str | None = None
    example: str | None = None  # the first value, masked unless values are revealed


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart."""

    label: str
    rows: int


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row of a problem: where it is, and the columns that matter, masked unless values are revealed. None is null."""

    code: str  # a reason, or a finding's code
    field: str | None
    place: str
    cells: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What would be sent of a row, for people to read."""

    place: str
    payload: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What a step's rows look like. It holds no values, unless they were asked for."""

    columns: tuple[ColumnProfile, ...]
    sizes: tuple[Bar, ...]  # of items, in bytes
    dates: tuple[Bar, ...]  # of what `dated` names
    dated: str | None  # a target of the mapping: timestamp, attributes.created_at
    rows: tuple[ShownRow, ...] = ()
    samples: tuple[Sample, ...] = ()
    revealed: bool = False


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of a step's rows: rows_read = accepted + rejected + skipped. `rows` is how many there are."""

    name: str
    status: Literal["waiting", "running", "finished"]
    rows_read: int
    accepted: int
    rejected: int
    skipped: int
    possibly_sent_twice: int
    batches: int
    requests: int
    retries: int
    bytes_sent: int
    seconds: float
    rejects: tuple[RejectCount, ...] = ()
    findings: tuple[Finding, ...] = ()
    rows: int | None = None  # of the source; None before the step has begun
    forecast: Forecast | None = None  # of validate; a run has no need of one
    profile: Profile | None = None  # of a validation

    @property
    def rows_per_second(self) -> float:
        return self.rows_read / self.seconds if self.seconds else 0.0

    @property
    def settled(self) -> int:
        return self.accepted + self.rejected + self.skipped


VALIDATION = "validation"  # in place of a run's id


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did, or would do: report.json, report.html, and what the terminal shows."""

    run_id: str
    job: str
    status: Literal["running", "finished", "stopped", "failed", "abandoned"]
    started_at: str  # ISO 8601, UTC
    finished_at: str | None
    steps: tuple[StepReport, ...]
    exit_code: int | None = None
    reason: str | None = None
    resumable: bool = False
    resume_command: str | None = None
    row_limit: int | None = None  # of each step: only the first rows, by --limit

    @property
    def is_validation(self) -> bool:
        """Whether it says what a run would do."""
        return self.run_id == VALIDATION

    @property
    def rejected(self) -> int:
        """Rejected rows of all steps."""
        return sum(step.rejected for step in self.steps)
