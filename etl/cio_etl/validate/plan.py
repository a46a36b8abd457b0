"""Plans a run: compares every row with the ledger, counts what would be sent, and sends nothing.

`apply` makes the plan once more and compares the two: it sends just what was planned, or refuses.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cio_etl import state
from cio_etl.apis import endpoint
from cio_etl.audit import located_findings
from cio_etl.errors import InvalidArguments, PlanOutdated, TooManyChanges
from cio_etl.load import Packer, resolve
from cio_etl.model import Bookmark, DeltaCounts, Finding, Job, RejectCount, Report, Step
from cio_etl.run import FULL_REFRESH, Caller, RunOptions, limited, load_run, open_step_source, prepare, run_loaded
from cio_etl.run.incremental import load_bookmarks, staging
from cio_etl.run.planned import PlannedStep
from cio_etl.run.prefetch import prefetch
from cio_etl.run.refresh import refresh_due
from cio_etl.run.resume import is_named, is_replaced
from cio_etl.run.start import Environment, private_files
from cio_etl.run.sync import compare, current_ledger, facts_of, require_within_limits, sent_before, with_delta
from cio_etl.state import Store
from cio_etl.validate.dry_run import counted_rejects, located_rejects, packed
from cio_etl.validate.options import PLAN_OPTIONS

FORMAT = 1
VALID = timedelta(days=7)  # a plan that is older is refused

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a run would send of one step's rows. rows = items + rejected + skipped."""

    name: str
    sync: str
    rows: int
    items: int
    rejected: int
    skipped: int
    requests: int
    bytes: int
    facts: PlannedStep
    delta: DeltaCounts | None = None
    rejects: tuple[RejectCount, ...] = ()
    findings: tuple[Finding, ...] = ()
    would_stop: str | None = None  # more would change than `limits` or `max_gone` allow
    full_refresh: str | None = None  # that everything is sent, since `full_refresh_every` has passed

    @property
    def sends(self) -> int:
        """Items, and the subjects that would be removed."""
        return self.items + (0 if self.delta is None else self.delta.gone)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run of a job would send, step by step."""

    job_file: str
    job: str
    made_at: str  # ISO 8601, UTC
    steps: tuple[StepPlan, ...]
    options: dict[str, Any] = field(default_factory=dict)  # with which it was made; `apply` runs with the same
    unfinished: str | None = None  # a run that the next one would resume; it must end before the plan fits
    format: int = FORMAT

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

    def run_options(self, given: RunOptions) -> RunOptions:
        """The options of the run that applies it: those of the plan, and of `given` what it leaves open."""
        accepts = given.accept_changes or self.options.get("accept_changes", False)
        return replace(given, **self.options | {"accept_changes": accepts}, run_id=self.run_id)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

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
            return cls(**content | {"steps": steps})
        except OSError as error:
            raise InvalidArguments(f"{path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError):
            raise InvalidArguments(f"{path} is no plan; `cio-etl plan JOB -o {path}` makes one") from None


def plan_file(path: Path, options: RunOptions, note: Note, environment: Environment | None = None) -> Plan:
    """Plans a run of the job of a file. It reads the sources and the ledgers, and changes nothing. Raises EtlError."""
    with private_files():
        return _plan(load_run(path, options, environment), path, options, note)


def apply_plan(plan: Plan, given: RunOptions, caller: Caller, environment: Environment | None = None) -> Report:
    """Runs a job as it was planned. Raises PlanOutdated, before the first request, when the plan does not fit any more.

    A run of the plan that was interrupted is resumed. One that has finished is reported, and nothing is sent again.
    """
    path, options = Path(plan.job_file), plan.run_options(given)
    job = load_run(path, options, environment)
    if not _has_begun(plan, job):
        _require_current(plan, job, path, options, caller.observer.note)
        options = replace(options, restart=_has_idle(job))
    planned = {step.name: step.facts for step in plan.steps}
    return run_loaded(job, options, replace(caller, planned=planned), lambda: load_run(path, options, environment))


def _require_current(plan: Plan, job: Job, path: Path, options: RunOptions, note: Note) -> None:
    """Raises PlanOutdated when a run would not do what was planned."""
    age = datetime.now(UTC) - datetime.fromisoformat(plan.made_at)
    if age > VALID:
        raise PlanOutdated(
            step=plan.steps[0].name, what=f"the plan is {age.days} days old; it is valid for {VALID.days}"
        )
    with private_files():
        made = _plan(job, path, options, note)
    if made.unfinished is not None:
        raise PlanOutdated(
            f"let the run end first: resume it as it was started; then {PlanOutdated.remedy}",
            step=plan.steps[0].name,
            what=f"the run {made.unfinished} has sent a part of its rows, and is unfinished",
        )
    planned, now = ({step.name: step for step in each.steps} for each in (plan, made))
    for name, step in now.items():
        if name not in planned:
            raise PlanOutdated(step=name, what="it is new in the job")
        planned[name].facts.require(step.facts, name)
        if planned[name].items != step.items:
            raise PlanOutdated(step=name, what="it would send other items")
    for name in planned.keys() - now.keys():
        raise PlanOutdated(step=name, what="the job has no such step any more")


def _has_begun(plan: Plan, job: Job) -> bool:
    """Whether a run of the plan has finished, or is to be resumed."""
    if not state.exists(job.kept_in):
        return False
    with closing(state.open_store(job.kept_in)) as store:
        return any(is_named(run.run_id, job, plan.run_id) and run.status != "abandoned" for run in store.runs(job.name))


def _has_idle(job: Job) -> bool:
    """Whether the job has an unfinished run that has sent nothing: a new run takes its place."""
    if not state.exists(job.kept_in):
        return False
    with closing(state.open_store(job.kept_in)) as store:
        run = store.unfinished(job.name)
        return run is not None and not store.has_sent(run.run_id)


def _unfinished(store: Store | None, job: Job, options: RunOptions) -> str | None:
    """The run that the next one would resume, if it has sent something; None when a new one would start."""
    run = None if store is None else store.unfinished(job.name)
    if store is None or run is None or not store.has_sent(run.run_id):
        return None
    return None if is_replaced(store, job, run, options.limit, options.since) else run.run_id


def _plan(job: Job, path: Path, options: RunOptions, note: Note) -> Plan:
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    if any(step.sync.has_ledger for step in job.steps):  # a ledger belongs to the address of its destination
        job = replace(job, destination=resolve(job.destination))
    bookmarks = load_bookmarks(job)
    opened = closing(state.open_store(job.kept_in)) if state.exists(job.kept_in) else nullcontext()
    with opened as store:
        steps = tuple(
            _plan_step(job, step, bookmarks.get(step.name, Bookmark()), options, store, made_at, note)
            for step in job.steps
        )
        unfinished = _unfinished(store, job, options)
    kept = {name: getattr(options, name) for name in PLAN_OPTIONS}
    return Plan(str(path), job.name, made_at, steps, kept | {"steps": list(options.steps)}, unfinished)


def _plan_step(
    job: Job, step: Step, bookmark: Bookmark, options: RunOptions, store: Store | None, made_at: str, note: Note
) -> StepPlan:
    lanes, api = job.destination.lanes, job.destination.api
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as name:
        refresh = None
        if step.sync.has_ledger and options.since is None and options.limit is None:
            refresh = refresh_due(store, job, step, made_at)
        since = options.since if refresh is None else FULL_REFRESH
        again = since == FULL_REFRESH
        how = staging(Path(name), step, bookmark, since, rows=options.limit)
        snapshot = limited(open_step_source(step, how), options.limit)
        rows, compiled = prepare(step, snapshot, lanes, api)
        ledger, delta, would_stop, audits = None, None, None, []
        if step.sync.has_ledger:
            ledger = current_ledger(store, job, job.destination, step, options, made_at, note)
            made = compare(
                step,
                rows,
                compiled,
                ledger,
                Path(name) / "delta",
                again=again,
                retry_refused=options.retry_refused,
                finds_gone=options.limit is None,
            )
            delta, compiled = made.counts, with_delta(compiled, made.delta)
            audits.append(sent_before(made, ledger, step))
            try:
                if not options.accept_changes:
                    require_within_limits(step, delta, snapshot.rows, ledger, again=again)
            except TooManyChanges as error:
                would_stop = str(error)
        packer = Packer(job.destination.max_batch_bytes, np.full(lanes, -1), endpoint(api, step.mapping).envelope)
        requests: Counter[int] = Counter()
        rejects: list[pl.DataFrame] = []
        items = size = 0
        for frame in prefetch(compiled.items, rows.read(compiled.columns, 0)):
            items += frame.height - frame["item"].null_count()
            rejects.append(counted_rejects(frame))
            size += packed(packer.add(frame), requests)
        size += packed(packer.finish(), requests)
        counts = located_rejects(pl.concat(rejects) if rejects else None, snapshot.places)
        findings = located_findings(audits, snapshot.places)
    rejected = sum(count.rows for count in counts)
    return StepPlan(
        name=step.name,
        sync=step.sync.mode,
        rows=snapshot.rows,
        items=items,
        rejected=rejected,
        skipped=snapshot.rows - items - rejected,
        requests=requests.total(),
        bytes=size,
        facts=facts_of(step, snapshot, ledger, again=again),
        delta=delta,
        rejects=tuple(counts),
        findings=findings,
        would_stop=would_stop,
        full_refresh=refresh,
    )
