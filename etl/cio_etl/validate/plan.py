"""Plans a run: compares every row with the ledger, counts what would be sent, and sends nothing.

`apply` makes the plan once more and compares the two: it sends just what was planned, or refuses.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from cio_etl import state
from cio_etl.apis import endpoint
from cio_etl.audit import (
    Audit,
    Empty,
    EventKeys,
    Expectations,
    PathValues,
    RepeatedRows,
    ValuesLost,
    events_of_72h,
    expectations_of,
    located_findings,
    run_audits,
    seconds_to_send,
    stopping,
    value_shown,
)
from cio_etl.errors import InvalidArguments, PlanOutdated
from cio_etl.ledger import Ledger, Made
from cio_etl.ledger.delta_files import GONE
from cio_etl.load import Packer, resolve
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import (
    NOT_KNOWN,
    NOTHING,
    Bookmark,
    Campaigns,
    DeltaCounts,
    GoneSource,
    Job,
    Mapping,
    Plan,
    Report,
    Snapshot,
    Step,
    StepPlan,
    ValueChange,
)
from cio_etl.model.plan import VALID
from cio_etl.model.records import dataclass
from cio_etl.run import (
    FULL_REFRESH,
    Caller,
    RunOptions,
    ending_run,
    limited,
    load_run,
    load_steps,
    load_to_run,
    open_step_source,
    prepare,
)
from cio_etl.run.changes import is_replaced
from cio_etl.run.chosen_steps import Environment
from cio_etl.run.folders import plans_folder, private_files
from cio_etl.run.gone import snapshot_of_gone
from cio_etl.run.gone_steps import with_gone_steps
from cio_etl.run.incremental import load_bookmarks, staging
from cio_etl.run.ledgers import while_it_is_current
from cio_etl.run.limits import exceeded_events, exceeded_limits
from cio_etl.run.other_columns import changed_columns, with_other_columns
from cio_etl.run.prescan import with_looks
from cio_etl.run.refresh import refresh_due
from cio_etl.run.resume import is_named
from cio_etl.run.start import run_within
from cio_etl.run.sync import compare, current_ledger, facts_of, sent_before, with_delta
from cio_etl.state import Store
from cio_etl.transform import Compiled, OmittedCounter, counted_rejects, located_rejects
from cio_etl.validate.dry_run import packed, too_many_rejected
from cio_etl.validate.options import PLAN_OPTIONS

CHANGES_SHOWN = 5  # of each part
CHANGES_MASKED = 1_000  # of which those that look alike are put together

Note = Callable[[str], None]


def plan_file(
    path: Path, options: RunOptions, note: Note, environment: Environment | None = None, *, reveal: bool = False
) -> Plan:
    """Plans a run of the job of a file. It reads the sources and the ledgers, and changes nothing. Raises EtlError.

    Where a ledger stores values, the plan has the most frequent changes, masked unless `reveal`.
    """
    with private_files():
        return _plan(load_run(path, options, environment), path, options, note, reveal=reveal)


def plan_place(path: Path, name: str, options: RunOptions, environment: Environment | None = None) -> Path:
    """The file of a plan of this name, in the state's folder of the job of a file. Raises ConfigError.

    Plans in that folder which can no longer be applied are removed, unless an unfinished run applies them.
    """
    job = load_steps(path, options, environment, secrets=False)
    folder = plans_folder(job)
    for file in folder.glob("*.json"):
        with suppress(InvalidArguments, OSError):
            plan = Plan.read(file)
            if datetime.now(UTC) > plan.valid_until and not _has_begun(plan, job, is_unfinished=True):
                for each in (file, file.with_suffix(".html")):
                    each.unlink(missing_ok=True)
    return folder / f"{name}.json"


def apply_plan(plan: Plan, given: RunOptions, caller: Caller, environment: Environment | None = None) -> Report:
    """Runs a job as it was planned. Raises PlanOutdated, before the first request, when the plan does not fit any more.

    A run of the plan that was interrupted is resumed. One that has finished is reported, and nothing is sent again.
    """
    path, options = Path(plan.job_file), run_options(plan, given)
    job = load_to_run(path, options, environment, caller.commands)
    caller = replace(caller, environment=environment)
    with ending_run(job, options, caller) as run:
        if not _has_begun(plan, job):
            _await_others(job, options)
        if not _has_begun(plan, job):
            _require_current(plan, job, path, options)
            options = replace(options, restart=_has_idle(job))
        caller = replace(run.caller, planned={step.name: step.facts for step in plan.steps})
        run.report = run_within(job, options, caller, lambda: load_run(path, options, environment))
    assert run.report is not None
    return run.report


def run_options(plan: Plan, given: RunOptions) -> RunOptions:
    """The options of the run that applies a plan: those of the plan, and of `given` what it leaves open."""
    accepts = {
        name: getattr(given, name) or plan.options.get(name, False) for name in ("accept_changes", "accept_unexpected")
    }
    return replace(given, **plan.options | accepts, run_id=plan.run_id)


def _require_current(plan: Plan, job: Job, path: Path, options: RunOptions) -> None:
    """Raises PlanOutdated when a run would not do what was planned. The run itself says what there is to note."""
    at = datetime.now(UTC)
    if at > plan.valid_until:
        age = at - datetime.fromisoformat(plan.made_at)
        what = f"the plan is {age.days} days old; it is valid for {VALID.days}"
        raise PlanOutdated(step=plan.steps[0].name, what=what)
    with private_files():
        made = _plan(job, path, options, lambda words: None)
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


def _has_begun(plan: Plan, job: Job, *, is_unfinished: bool = False) -> bool:
    """Whether a run of the plan has finished, or is to be resumed; `is_unfinished`: whether it is to be resumed."""
    ends = ("abandoned", "finished") if is_unfinished else ("abandoned",)
    if not state.exists(job.state_location):
        return False
    with closing(state.open_store(job.state_location)) as store:
        return any(is_named(run.run_id, job, plan.run_id) and run.status not in ends for run in store.runs(job.name))


def _await_others(job: Job, options: RunOptions) -> None:
    """Waits for the run that holds the job: what it sends changes what is compared with the plan. Raises JobLocked."""
    if state.exists(job.state_location):
        with state.hold(job.state_location, job.name, options.wait_s, shared=options.share is not None):
            pass


def _has_idle(job: Job) -> bool:
    """Whether the job has an unfinished run that has sent nothing: a new run takes its place."""
    if not state.exists(job.state_location):
        return False
    with closing(state.open_store(job.state_location)) as store:
        run = store.unfinished(job.name)
        return run is not None and not store.has_sent(run.run_id)


def _unfinished(store: Store | None, job: Job, options: RunOptions) -> str | None:
    """The run that the next one would resume, if it has sent something; None when a new one would start."""
    run = None if store is None else store.unfinished(job.name)
    if store is None or run is None or not store.has_sent(run.run_id):
        return None
    return None if is_replaced(store, job, run, options.limit, options.since) else run.run_id


def _plan(job: Job, path: Path, options: RunOptions, note: Note, *, reveal: bool = False) -> Plan:
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    has_ledger = any(step.sync.has_ledger for step in job.steps)
    if has_ledger and not job.destination.base_url:  # a ledger belongs to the address, which region: auto asks for
        job = replace(job, destination=resolve(job.destination))
    bookmarks = load_bookmarks(job)
    opened = closing(state.open_store(job.state_location)) if state.exists(job.state_location) else nullcontext()
    with opened as store:
        steps = tuple(
            _plan_step(job, step, bookmarks.get(step.name, Bookmark()), options, store, made_at, note, reveal)
            for step in job.steps
        )
        unfinished = _unfinished(store, job, options)
    kept = {name: getattr(options, name) for name in PLAN_OPTIONS} | {"steps": list(options.steps)}
    to = job.destination
    return Plan(str(path), job.name, made_at, steps, to.requests_per_second, to.lanes, kept, unfinished, reveal)


@dataclass(frozen=True, slots=True)
class _Items:
    """The items of a step's rows as they would be sent."""

    items: int
    rejects: pl.DataFrame | None  # counted_rejects
    requests: Counter[int]  # by lane
    bytes: int
    omitted: OmittedCounter


def _packed(
    job: Job,
    mapping: Mapping,
    rows: Snapshot,
    compiled: Compiled,
    audits: Sequence[Audit] = (),
    expectations: Expectations | None = None,
) -> _Items:
    """Maps and packs all rows as a run would; the audits observe what would be sent, the expectations all rows."""
    lanes, to = job.destination.lanes, endpoint(job.destination.api, mapping)
    packer = Packer(job.destination.max_batch_bytes, np.full(lanes, -1), to.envelope, makes_bodies=False)
    requests: Counter[int] = Counter()
    rejects: list[pl.DataFrame] = []
    omitted = OmittedCounter()
    items = size = 0
    columns = [*compiled.columns, *(() if expectations is None else expectations.columns)]
    for mapped in with_looks(expectations, compiled.sending, rows.read(list(dict.fromkeys(columns)), 0)):
        for audit in audits:
            audit.observe(mapped)
        omitted.add(mapped)
        frame = mapped.items
        items += frame.height - frame["item"].null_count()
        rejects.append(counted_rejects(frame))
        size += packed(packer.add(frame), requests)
    size += packed(packer.finish(), requests)
    return _Items(items, pl.concat(rejects) if rejects else None, requests, size, omitted)


def _plan_step(
    job: Job,
    step: Step,
    bookmark: Bookmark,
    options: RunOptions,
    store: Store | None,
    made_at: str,
    note: Note,
    reveal: bool,
) -> StepPlan:
    with temporary_folder() as name:
        refresh = None
        if step.sync.has_ledger and options.since is None and options.limit is None:
            refresh = refresh_due(store, job, step, made_at)
        since = options.since if refresh is None else FULL_REFRESH
        again = since == FULL_REFRESH
        how = staging(Path(name), step, bookmark, since, rows=options.limit)
        snapshot = limited(open_step_source(step, how), options.limit)
        step, found = with_other_columns(step, snapshot, bookmark)
        rows, compiled = prepare(step, snapshot, job.destination.lanes, job.destination.api)
        ledger, made, same_rows = None, None, 0
        exceeded: list[str] = []
        audits: list[Audit] = [Empty(step.source, snapshot), EventKeys(step), RepeatedRows(compiled.repeats)]
        audits += [*changed_columns(found), PathValues(step, snapshot), ValuesLost(step, snapshot, rows, compiled)]
        if step.sync.has_ledger:

            def compared(ledger: Ledger) -> Made:
                return compare(
                    step,
                    rows,
                    compiled,
                    ledger,
                    Path(name) / "delta",
                    made_at,
                    again=again,
                    retry_refused=options.retry_refused,
                    finds_gone=options.limit is None,
                    counts_changes=True,
                )

            read = partial(current_ledger, store, job, job.destination, step, options, made_at, note)
            ledger, made = while_it_is_current(read, compared)
            compiled = with_delta(compiled, made.delta)
            same_rows = made.delta.decisions().same
            audits.append(sent_before(made, ledger, step))
            exceeded += exceeded_limits(step, made, ledger, accepts=options.accept_changes)
        dated = run_audits(step, compiled, job.destination, time.time())
        expectations = expectations_of(step, rows, time.time(), whole=options.limit is None)
        sent = _packed(job, step.mapping, rows, compiled, dated, expectations)
        if made is not None and not options.accept_changes:
            exceeded += exceeded_events(step, made.delta, events_of_72h(dated))
        removed = list(_removals(job, step, Path(name), made))
        rejects = located_rejects(sent.rejects, snapshot.places)
        of_rows = [] if expectations is None else [expectations]
        findings = located_findings([*audits, *dated, *of_rows], snapshot.places)
        omitted = sent.omitted.omitted(snapshot.places)
    rejected = sum(count.rows for count in rejects)
    return StepPlan(
        name=step.name,
        operation=step.mapping.operation,
        sync=step.sync.mode,
        rows=snapshot.rows,
        items=sent.items,
        rejected=rejected,
        skipped=snapshot.rows - sent.items - rejected,
        same_rows=same_rows,
        requests=sum(part.requests.total() for part in (sent, *removed)),
        bytes=sum(part.bytes for part in (sent, *removed)),
        seconds=sum(seconds_to_send(part.requests, job.destination) for part in (sent, *removed)),
        campaigns=_campaigns(step, None if made is None else made.counts, dated),
        facts=facts_of(job.destination, step, snapshot, ledger, again=again, sandbox=options.sandbox),
        delta=None if made is None else made.counts,
        when_gone=None if step.sync.when_gone is None or step.sync.mode != "mirror" else step.sync.when_gone.operation,
        rejects=tuple(rejects),
        findings=findings,
        changes_too_much=tuple(exceeded),
        unexpected=() if options.accept_unexpected else tuple(filter(None, [stopping(findings)])),
        rejects_too_much=tuple(too_many_rejected(rejected, snapshot.rows, job.max_rejects)),
        changes={} if made is None else _value_changes(made, reveal),
        omitted=omitted,
        full_refresh=refresh,
    )


def _value_changes(made: Made, reveal: bool) -> dict[str, tuple[ValueChange, ...]]:
    """The most frequent changes of each part from value to value; those that look alike when masked are one."""

    def shown(value: str) -> str:
        return value if value in (NOTHING, NOT_KNOWN) else value_shown(value, reveal)

    found = {}
    for name, changes in made.changes.top(CHANGES_MASKED).items():
        alike: Counter[tuple[str, str]] = Counter()
        for before, after, subjects in changes:
            alike[shown(before), shown(after)] += subjects
        found[name] = tuple(ValueChange(*change, count) for change, count in alike.most_common(CHANGES_SHOWN))
    return found


def _removals(job: Job, step: Step, folder: Path, made: Made | None) -> Iterator[_Items]:
    """The items of the step that removes who is gone; none where nobody is."""
    if made is None or not made.counts.gone:
        return
    for after in with_gone_steps(job).steps:
        if isinstance(after.source, GoneSource) and after.source.step == step.name:
            gone = snapshot_of_gone(made.delta.folder / GONE, staging(folder, after, Bookmark()))
            rows, compiled = prepare(after, gone, job.destination.lanes, job.destination.api)
            yield _packed(job, after.mapping, rows, compiled)


def _campaigns(step: Step, delta: DeltaCounts | None, audits: Sequence[Audit]) -> Campaigns:
    if step.mapping.operation != "identify":
        return Campaigns(events_of_72h=events_of_72h(audits))
    return Campaigns(None, None) if delta is None else Campaigns(delta.new, delta.changed)
