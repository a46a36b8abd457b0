"""The report of a run or a validation: counts, rejects, findings, a profile."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import field, fields
from typing import Any, Literal

from cio_etl.model.closed import ClosedRejects
from cio_etl.model.comparison import Comparison
from cio_etl.model.earlier_ends import EarlierEnds
from cio_etl.model.notices import NoticeSent
from cio_etl.model.records import dataclass
from cio_etl.model.sending import Counts, total_counts
from cio_etl.model.verification import Verification


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Rows of one reason and field, with the first of them as `file:line`."""

    reason: str
    field: str | None
    rows: int
    first_rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RejectCount(ReasonCount):
    """Rejected rows of one reason and field."""

    since: str | None = None  # when the oldest of them was rejected first, ISO 8601, if an earlier run did


@dataclass(frozen=True, slots=True)
class OmittedCount(ReasonCount):
    """Rows that are sent without the value of one attribute, for one reason, as its `on_error` says."""


@dataclass(frozen=True, slots=True)
class Omitted:
    """The values that cannot be sent, and without which their rows are sent: how many such rows, and why."""

    rows: int = 0  # that are sent without a value of theirs; a row counts once
    counts: tuple[OmittedCount, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a step's rows for which no row is rejected; the audits of audit/ define the codes.

    `words` describes it with counts and times and without values. `first_rows` are `file:line`.
    """

    code: str
    severity: Literal["error", "warning", "notice"]  # warning: somebody could get a message, or data be lost
    field: str | None
    rows: int
    words: str
    first_rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartCounts:
    """Subjects by what becomes of one part of theirs: an attribute, a relationship."""

    set: int = 0  # it was not known before
    changed: int = 0
    unset: int = 0  # it becomes null
    emptied: int = 0  # the row has no value any more, and under nulls: omit that is not sent

    def __add__(self, other: PartCounts) -> PartCounts:
        return PartCounts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class DeltaCounts:
    """The subjects of a snapshot by what the ledger says of them; parts are those of changed subjects."""

    new: int = 0
    changed: int = 0
    same: int = 0
    refused_before: int = 0
    gone: int = 0  # in the ledger only
    left_out: int = 0  # of those that are gone: the source has a row, which the mapping's `when` does not select
    nameless: int = 0  # in the ledger only, which does not store who they are; they stay in Customer.io
    changed_after_sent: int = 0  # events that were accepted with other content; they stay as they were
    unreadable: int = 0  # rows whose subject could not be read
    too_old: int = 0  # rows of events that are older than the ledger remembers; they are not sent
    parts: MappingOf[str, PartCounts] = field(default_factory=dict)

    @property
    def known(self) -> int:
        """The subjects that the ledger has."""
        return self.changed + self.same + self.refused_before + self.gone

    def __add__(self, other: DeltaCounts) -> DeltaCounts:
        counted = [each.name for each in fields(self) if each.name != "parts"]
        sums: dict[str, int] = {name: getattr(self, name) + getattr(other, name) for name in counted}
        parts = {name: self.parts.get(name, PartCounts()) + counts for name, counts in other.parts.items()}
        return DeltaCounts(**sums, parts={**self.parts, **parts})

    @classmethod
    def of(cls, content: MappingOf[str, Any]) -> DeltaCounts:
        """The counts that `asdict` made a dictionary."""
        return cls(**{**content, "parts": {name: PartCounts(**counts) for name, counts in content["parts"].items()}})


ASSUMED_LATENCY_S = 0.25  # of a request with a full body; only a run can measure it


@dataclass(frozen=True, slots=True)
class Forecast:
    """Estimates a run over these rows: what it would send, and how long it would take with the job's settings.

    `seconds` is the longer of two times: all requests at `requests_per_second`, and the requests of the fullest lane
    one after the other, each answered after `latency_s`. Waits that Customer.io asks for are not included.
    """

    people: int  # distinct identifiers of the rows that would be sent; objects, when the step sends objects
    people_exact: bool  # False: estimated, to within 1 %
    events: int  # rows that would be sent as events
    requests: int
    bytes: int
    seconds: float
    requests_per_second: float | None  # None: unlimited
    lanes: int
    latency_s: float  # of one request; assumed, not measured


@dataclass(frozen=True, slots=True)
class ValueCount:
    """Rows that have a value, which is masked unless values are revealed: then two may look the same."""

    value: str
    rows: int


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """A source's column over all rows. A column that the mapping does not read has only a name and a type.

    `low` and `high` are those of numbers and times, rounded unless values are revealed. Of a text column they are those
    of the numbers or times that the mapping makes from it.
    """

    name: str
    type: str  # in words
    targets: tuple[str, ...] = ()  # the places of the mapping that read it: attributes.plan, event_key, when
    nulls: int | None = None
    distinct: int | None = None  # values other than null
    distinct_is_exact: bool = True
    shortest: int | None = None  # bytes of the texts
    longest: int | None = None
    low: str | None = None
    high: str | None = None
    example: str | None = None  # the first value, masked unless values are revealed
    values: tuple[ValueCount, ...] = ()  # the most frequent ones of a column that has few


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart."""

    label: str
    rows: int


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row with a problem: its place, and its relevant columns, masked unless values are revealed. None is null."""

    code: str  # a reason, or a finding's code
    field: str | None
    place: str
    cells: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The payload of a row, for people to read."""

    place: str
    payload: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A step's rows as distributions and examples. It has no values unless they were requested."""

    columns: tuple[ColumnProfile, ...]
    sizes: tuple[Bar, ...]  # of items, in bytes
    dates: tuple[Bar, ...]  # of the target that `dated` names
    dated: str | None  # a target of the mapping: timestamp, attributes.created_at
    rows: tuple[ShownRow, ...] = ()
    samples: tuple[Sample, ...] = ()
    revealed: bool = False


@dataclass(frozen=True, slots=True)
class EventCount:
    """Rows of a step by the name of their event; None: all names that are not shown."""

    name: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class StepReport:
    """The result of a step. Every row that was read is settled: rows_read = accepted + rejected + skipped."""

    name: str
    status: Literal["waiting", "running", "finished"]
    rows_read: int
    counts: Counts
    seconds: float
    rejects: tuple[RejectCount, ...] = ()
    findings: tuple[Finding, ...] = ()
    rows: int | None = None  # in the source; None before the step has started
    forecast: Forecast | None = None  # of a validation
    profile: Profile | None = None  # of a validation
    delta: DeltaCounts | None = None  # of a step that sends only what changed
    omitted: Omitted = Omitted()
    # Rows that are sent, by name. Names of a column: as before the first request, with rows that other checks reject.
    events: tuple[EventCount, ...] = ()

    @property
    def accepted(self) -> int:
        """Rows that Customer.io has accepted, or would be sent."""
        return self.counts.accepted

    @property
    def rejected(self) -> int:
        """Rows that were rejected, here or by Customer.io."""
        return self.counts.rejected

    @property
    def rejected_since(self) -> str | None:
        """When the oldest of its rejects was rejected first, ISO 8601, if an earlier run did."""
        return min((each.since for each in self.rejects if each.since is not None), default=None)

    @property
    def skipped(self) -> int:
        """Rows that the mapping leaves out."""
        return self.counts.skipped

    @property
    def rows_per_second(self) -> float:
        return self.rows_read / self.seconds if self.seconds else 0.0


VALIDATION = "validation"  # in place of a run's ID


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run or a validation, as in report.json, on report.html and on the terminal."""

    run_id: str
    job: str
    status: Literal["running", "finished", "stopped", "failed", "abandoned"]
    started_at: str  # ISO 8601, UTC
    finished_at: str | None
    steps: tuple[StepReport, ...]
    exit_code: int | None = None
    reason: str | None = None
    resumable: bool = False
    row_limit: int | None = None  # of each step, by --limit
    compared_with: Comparison | None = None  # None: there is no earlier run that can be compared
    verification: Verification | None = None  # of the people whose rows this process has sent
    notices: tuple[NoticeSent, ...] = ()  # at its end, of other jobs too
    closed: tuple[ClosedRejects, ...] = ()  # of its rejects, those that are closed since, by a replay or a later run
    closes: tuple[ClosedRejects, ...] = ()  # rejects of earlier runs that this run has closed
    earlier_ends: EarlierEnds = field(default_factory=EarlierEnds)  # after which the run was resumed or abandoned

    @property
    def is_validation(self) -> bool:
        """Whether it is the report of a validation."""
        return self.run_id == VALIDATION

    @property
    def rejected_since(self) -> str | None:
        """When the oldest reject of all steps was rejected first, ISO 8601, if an earlier run did."""
        return min((step.rejected_since for step in self.steps if step.rejected_since is not None), default=None)

    @property
    def rows_read(self) -> int:
        """Rows that were read, of all steps."""
        return sum(step.rows_read for step in self.steps)

    @property
    def counts(self) -> Counts:
        """The counts of all steps together."""
        return total_counts(step.counts for step in self.steps)

    @property
    def rejected(self) -> int:
        """Rejected rows of all steps."""
        return self.counts.rejected
