"""The plan of a run: what it would change, step by step, and what it was made of."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping as MappingOf
from dataclasses import asdict, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cio_etl.errors import InvalidArguments, PlanOutdated
from cio_etl.model.records import dataclass
from cio_etl.model.report import DeltaCounts, Finding, Omitted, RejectCount

FORMAT = 1
VALID = timedelta(days=7)  # a plan that is older is refused


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """The rows, the mapping and the ledger that a step's items are a function of."""

    fingerprint: str  # of the snapshot
    mapping: str  # digest
    generation: int = 0  # of the ledger; 0: it has none, or none yet
    salt: int = 0  # of the ledger; 0: it has none, or none yet
    again: bool = False  # what the ledger knows is sent, too
    workspace: str = ""  # digest of the API and the account; "": it is not compared

    def require(self, now: PlannedStep, step: str) -> None:
        """Raises PlanOutdated when something has moved."""
        moved = [
            words
            for name, words in (
                ("workspace", "it would be sent to another workspace"),
                ("fingerprint", "its source has other rows"),
                ("mapping", "its mapping has changed"),
                ("generation", "a run has moved its ledger"),
                ("salt", "it has another ledger"),
                ("again", "its full_refresh_every has passed since, so every row would be sent"),
            )
            if getattr(self, name) != getattr(now, name) and (name != "workspace" or (self.workspace and now.workspace))
        ]
        if moved:
            raise PlanOutdated(step=step, what=", ".join(moved))


@dataclass(frozen=True, slots=True)
class Campaigns:
    """Who and what can start campaigns of a step's items. None: it is not known, since the step has no ledger."""

    new_people: int | None = 0  # people whom the ledger does not know
    changed_people: int | None = 0
    events_of_72h: int = 0  # events of the last 72 hours, and events without a time, which are dated now


NOTHING = "nothing"  # in place of a value: none was acknowledged. JSON texts are never so
NOT_KNOWN = "not known"  # a value was acknowledged, and the ledger has its hash alone


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A change of a part from one value to another, for so many subjects.

    Values are JSON texts, masked unless they were requested; `before` may be NOTHING or NOT_KNOWN.
    """

    before: str
    after: str
    subjects: int


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a run would send of one step's rows. rows = items + rejected + skipped.

    `requests`, `bytes` and `seconds` include the removal of who is gone.
    """

    name: str
    operation: str
    sync: str
    rows: int
    items: int
    rejected: int
    skipped: int
    same_rows: int  # of the skipped rows: what the ledger has already
    requests: int
    bytes: int
    seconds: float  # estimated, at the rate and with the lanes of the destination
    campaigns: Campaigns
    facts: PlannedStep
    delta: DeltaCounts | None = None
    when_gone: str | None = None  # of a mirror: the operation for who is gone
    rejects: tuple[RejectCount, ...] = ()
    findings: tuple[Finding, ...] = ()
    changes_too_much: tuple[str, ...] = ()  # the limits of changes that a run would not pass, in words
    rejects_too_much: tuple[str, ...] = ()  # as with max_rejects
    unexpected: tuple[str, ...] = ()  # the expectations for which a run would stop, in words
    changes: MappingOf[str, tuple[ValueChange, ...]] = field(default_factory=dict)  # the most frequent, by part
    omitted: Omitted = field(default_factory=Omitted)  # values without which rows would be sent
    full_refresh: str | None = None  # that everything is sent, since `full_refresh_every` has passed

    @property
    def would_stop(self) -> tuple[str, ...]:
        """Why a run would stop, in words."""
        return (*self.unexpected, *self.changes_too_much, *self.rejects_too_much)

    @property
    def sends(self) -> int:
        """Items, and the subjects that would be removed."""
        return self.items + (0 if self.delta is None else self.delta.gone)

    @property
    def is_first(self) -> bool:
        """Whether the step's ledger is new, so that everybody is."""
        return self.delta is not None and not self.facts.generation


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run of a job would send, step by step."""

    job_file: str
    job: str
    made_at: str  # ISO 8601, UTC
    steps: tuple[StepPlan, ...]
    requests_per_second: float | None = None  # of the destination; None: unlimited
    lanes: int = 1
    options: dict[str, Any] = field(default_factory=dict)  # with which it was made; `apply` runs with the same
    unfinished: str | None = None  # a run that the next one would resume; it must end before the plan fits
    revealed: bool = False  # the values of `changes` are not masked
    format: int = FORMAT

    @property
    def seconds(self) -> float:
        """How long a run is estimated to take."""
        return sum(step.seconds for step in self.steps)

    @property
    def valid_until(self) -> datetime:
        """Until when `apply` takes it."""
        return datetime.fromisoformat(self.made_at) + VALID

    @property
    def exit_code(self) -> int:
        """0: nothing would be sent, and no row is rejected; 4: a run would stop; else 3."""
        if any(step.would_stop for step in self.steps):
            return 4
        return 3 if any(step.sends or step.rejected for step in self.steps) else 0

    @property
    def run_id(self) -> str:
        """The name of the run that applies it: the same each time, so that it is resumed, and is not done twice."""
        about = [self.job, self.made_at, self.options, *((step.name, asdict(step.facts)) for step in self.steps)]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        return f"plan-{datetime.fromisoformat(self.made_at):%Y%m%dT%H%M%SZ}-{digest[:8]}"

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan of a file, so far as `apply` needs it. Raises InvalidArguments for another file."""
        try:
            content = json.loads(path.read_text())
            if content["format"] != FORMAT:
                raise InvalidArguments(f"{path} was made by another version of this program; make a new plan")
            steps = tuple(
                StepPlan(**step | {"facts": PlannedStep(**step["facts"]), "delta": None}) for step in content["steps"]
            )
            known = {each.name for each in fields(cls)}  # what `plan --json` prints has more
            return cls(**{name: value for name, value in content.items() if name in known} | {"steps": steps})
        except OSError as error:
            raise InvalidArguments(f"{path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise InvalidArguments(
                f"{path} is no plan; `cio-etl plan JOB -o {shlex.quote(str(path))}` makes one"
            ) from None
