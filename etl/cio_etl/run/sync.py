"""Sends only what changed: opens a step's delta against its ledger, and moves the ledger when the rows are settled.

    rows ─▶ compared with the ledger ─▶ delta on the disk ─▶ sent by any worker, after any kill ─▶ ledger moves

The delta is made before the first request and never again. The ledger moves in the transaction in which the step
finishes; what an abandoned run had sent moves it, too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from cio_etl.apis import APIS, KEY, OPERATIONS
from cio_etl.audit import SentBefore
from cio_etl.errors import ChangedSinceStart, DeltaDamaged, LedgerDamaged, TooManyChanges
from cio_etl.ledger import Delta, Generation, Ledger, Made, Rules, make_delta, moved, new_generation, renewed
from cio_etl.ledger.delta import Outcomes
from cio_etl.log import get_logger
from cio_etl.model import (
    OUTCOME_UNKNOWN,
    POSITION,
    Constant,
    DeltaCounts,
    Destination,
    Job,
    Limit,
    PlannedStep,
    Snapshot,
    Step,
)
from cio_etl.report.words import counted
from cio_etl.run.folders import ledger_folder, stage_folder
from cio_etl.run.options import RunOptions
from cio_etl.run.prefetch import prefetch
from cio_etl.run.recording import RunContext
from cio_etl.state import LedgerMove, RunRecord, StepRecord, Store
from cio_etl.transform import column_of, ids, require_names
from cio_etl.transform.compiled import Compiled
from cio_etl.transform.parts import Parts, subject_targets

log = get_logger()


def delta_folder(job: Job, run_id: str, number: int) -> Path:
    """Where a step's delta is until its run has finished."""
    return stage_folder(job, run_id) / f"{number}.delta"


def ledger_job(job: Job) -> str:
    """The job whose ledger a run moves: a replay moves that of the job itself."""
    return job.name.removesuffix(".replay")


def open_delta(
    context: RunContext, step: Step, record: StepRecord, snapshot: Snapshot, compiled: Compiled, *, again: bool
) -> tuple[Delta, SentBefore]:
    """Makes the step's delta, before its first row is sent; `again`: everything is sent.

    Raises StateError, TooManyChanges and PlanOutdated.
    """
    store, job, run, options = context.store, context.job, context.run, context.options
    note = context.caller.observer.note
    ledger = current_ledger(store, job, context.destination, step, options, run.started_at, note)
    if ledger.generation.number:  # a new ledger is not the current one yet, and the files of the one before stay
        ledger.remove_others()
    require_planned(context, step, snapshot, ledger, again=again)
    made = compare(
        step,
        snapshot,
        compiled,
        ledger,
        delta_folder(job, run.run_id, record.number),
        again=again,
        retry_refused=options.retry_refused or snapshot.replayed is not None,
        finds_gone=snapshot.replayed is None and run.row_limit is None,
    )
    require_within_limits(step, made, ledger, accepts=options.accept_changes)
    store.note_delta(run.run_id, record.number, made.counts)
    return made.delta, sent_before(made, ledger, step)


def compare(
    step: Step,
    snapshot: Snapshot,
    compiled: Compiled,
    ledger: Ledger,
    folder: Path,
    *,
    again: bool,
    retry_refused: bool,
    finds_gone: bool,
    counts_changes: bool = False,
) -> Made:
    """The step's delta against a ledger, written to a folder. Raises StateError.

    With `counts_changes`, its changes from value to value are counted, where the ledger stores values.
    """
    assert compiled.parts is not None
    is_mirror, salt = step.sync.mode == "mirror", ledger.generation.salt
    finds_gone, scope = finds_gone and is_mirror, tuple(f"{SCOPE}{name}" for name in step.sync.scope)
    has_event = OPERATIONS[step.mapping.operation].has_event
    rules = Rules(
        parts=tuple(compiled.parts.of),
        salt=salt,
        divisible=compiled.partial is not None,
        once=has_event,
        again=again,
        retry_refused=retry_refused,
        keys=(*(f"{KEY}{target}" for target in compiled.parts.subject), *scope) if is_mirror else (),
        scope=scope,
        values=compiled.parts.alone if step.sync.ledger == "values" and not has_event else (),
    )
    return make_delta(
        folder,
        ledger,
        _hashed(step, compiled, compiled.parts, snapshot, rules, finds_gone=finds_gone),
        rules,
        pl.select(ids.text_hash(pl.lit("null"), salt)).item(),
        rows=snapshot.rows,
        finds_gone=finds_gone,
        counts_changes=counts_changes,
        belongs_to=ledger.generation.belongs_to,
        fingerprint=snapshot.fingerprint,
        mapping=step.mapping.digest,
        is_first=not (ledger.generation.number and ledger.generation.is_whole),
    )


def facts_of(step: Step, snapshot: Snapshot, ledger: Ledger | None, *, again: bool) -> PlannedStep:
    """What the items of a step are a function of. `ledger`: None where everything is sent."""
    fingerprint, mapping = snapshot.fingerprint, step.mapping.digest
    if ledger is None or not ledger.generation.number:
        return PlannedStep(fingerprint, mapping)
    return PlannedStep(fingerprint, mapping, ledger.generation.number, ledger.generation.salt, again)


def require_planned(
    context: RunContext, step: Step, snapshot: Snapshot, ledger: Ledger | None, *, again: bool = False
) -> None:
    """Raises PlanOutdated when the run applies a plan, and the step is not as it was planned."""
    planned = None if context.caller.planned is None else context.caller.planned.get(step.name)
    if planned is not None:
        planned.require(facts_of(step, snapshot, ledger, again=again), step.name)


def sent_before(made: Made, ledger: Ledger, step: Step) -> SentBefore:
    """The findings of a delta."""
    now, before = made.delta.head.parts, ledger.generation
    is_mirror = step.sync.mode == "mirror"
    known = before.parts if before.number else now
    return SentBefore(
        made.counts,
        made.changed_after_sent,
        known,
        now,
        OPERATIONS[step.mapping.operation].nouns,
        is_mirror=is_mirror,
    )


def require_delta(context: RunContext, step: Step, record: StepRecord, snapshot: Snapshot) -> Delta | None:
    """The delta of a step whose rows are being sent; None where everything is sent.

    Raises ChangedSinceStart when the job file's `sync` has changed since, and StateError when the delta is missing.
    """
    run_id = context.run.run_id
    if step.sync.has_ledger != (record.delta is not None):
        was = "all" if record.delta is None else "changed or mirror"
        changes = f"step {step.name}: its sync was {was}, and now is {step.sync.mode}"
        raise ChangedSinceStart("undo the change, or start a new run with --restart", run_id=run_id, changes=changes)
    if not step.sync.has_ledger:
        return None
    folder = delta_folder(context.job, run_id, record.number)
    delta = Delta.open(folder)
    if delta is None or delta.head.fingerprint != snapshot.fingerprint:
        shared = (
            f"let all workers share the folder of state:, or {DeltaDamaged.remedy}" if context.store.is_shared else ""
        )
        raise DeltaDamaged(shared, place=folder, what="what the step sends is missing, or belongs to other rows")
    return delta


def require_within_limits(step: Step, made: Made, ledger: Ledger, *, accepts: bool) -> None:
    """Raises TooManyChanges when the delta changes more at once than the step allows."""
    if exceeded := "; ".join(exceeded_limits(step, made, ledger, accepts=accepts)):
        is_empty = step.sync.mode == "mirror" and not made.delta.head.rows
        remedy = "check the source; a mirror removes nobody while its source has no rows" if is_empty else ""
        raise TooManyChanges(remedy, step=step.name, changes=exceeded)


def exceeded_limits(step: Step, made: Made, ledger: Ledger, *, accepts: bool) -> Iterator[str]:
    """The limits of the step that a delta exceeds, in words.

    Only `max_gone` limits a first run, also after one that was abandoned, and a --full-refresh: everybody is new then.
    `accepts`: all changes are allowed, but a source without rows removes nobody.
    """
    before, counts, head = ledger.generation, made.counts, made.delta.head
    if not before.number:
        return
    known = counts.known + (counts.new if head.again else 0)
    known = known if before.subjects is None else before.subjects  # the rows may be those of an incremental source
    unset = max((part.unset for part in counts.parts.values()), default=0)
    found = {"new": counts.new, "changed": counts.changed, "unset": unset, "gone": counts.gone}
    limits = dict(step.sync.limits) if before.is_whole and known and not head.again else {}
    if step.sync.mode == "mirror":
        limits["gone"] = step.sync.max_gone
    if accepts:
        limits = {}
    if not head.rows:
        limits["gone"] = Limit(number=0)
    for name, limit in limits.items():
        if found.get(name, 0) > limit.of(known):
            key = "max_gone" if name == "gone" else f"limits: {name}"
            words = _LIMIT_WORDS[name]
            if name == "gone" and counts.left_out:
                words += f", {counts.left_out:,} of them because `when` leaves their rows out"
            allows = f"{key} allows {limit.of(known):,}{_share(limit)}" if head.rows else "the source has no rows"
            yield f"{found[name]:,} of {counted(known, 'subject')} {words}; {allows}"


def exceeded_events(step: Step, delta: Delta, events: int) -> Iterator[str]:
    """The limit of events of the last 72 hours, in words, when more than it allows would be sent; see exceeded_limits.

    Their times are known only after the delta has been made.
    """
    limit, head = step.sync.limits.get("events_of_72h"), delta.head
    if limit is None or head.is_first or head.again:
        return
    if events > (most := limit.of(DeltaCounts.of(head.counts).known)):
        are = "event of the last 72 hours would be sent", "events of the last 72 hours would be sent"
        yield f"{counted(events, *are)}; limits: events_of_72h allows {most:,}{_share(limit)}"


def require_few_events(step: Step, delta: Delta, events: int) -> None:
    """Raises TooManyChanges when more events of the last 72 hours would be sent than the step allows."""
    for changes in exceeded_events(step, delta, events):
        raise TooManyChanges(step=step.name, changes=changes)


def _share(limit: Limit) -> str:
    return f" ({limit})" if limit.number is None else ""


_LIMIT_WORDS = {
    "new": "would be new",
    "changed": "would change",
    "unset": "would lose an attribute",
    "gone": "are gone from the source",
}


def next_ledger(context: RunContext, step: Step, record: StepRecord, delta: Delta) -> LedgerMove:
    """The ledger after all rows of a step are settled; its files are on the disk. Raises StateError.

    With --rebuild-ledger, a ledger that cannot be read any more is replaced by one that knows the delta alone.
    """
    store, job, run = context.store, context.job, context.run
    try:
        move = _moved(store, job, run, step.name, record.number, delta)
    except LedgerDamaged as error:
        if not context.options.rebuild_ledger or isinstance(error, DeltaDamaged):
            raise
        note_lost(context.caller.observer.note, step.name, error)
        move = _moved(store, job, run, step.name, record.number, delta, anew=True)
    if not delta.head.again or run.row_limit is not None:
        return move
    after = renewed(Generation.of_text(move.generation), run.started_at)
    return replace(move, generation=after.to_text())


def note_lost(note: Callable[[str], None], step: str, error: LedgerDamaged) -> None:
    """Notes that a step's ledger is given up, and what that leads to."""
    note(f"step {step}: {error}; a new ledger begins, and every row is sent once more")


def fold_abandoned(store: Store, job: Job, run: RunRecord, note: Callable[[str], None]) -> None:
    """Moves the ledgers by what a run that will never be resumed has sent, so far as it was acknowledged.

    Rows whose answer is not known are sent again by the next run. Where a delta or a ledger is missing or damaged, the
    ledger can no longer be trusted, and the next run starts a new one. Raises StateError when the disk fails.
    """
    for record in store.steps(run.run_id):
        sent = record.delta is not None and store.has_started(run.run_id, record.number, by_others=False)
        if record.status == "finished" or not sent:
            continue
        folder = delta_folder(job, run.run_id, record.number)
        try:
            delta = Delta.open(folder)
            if delta is None:
                raise DeltaDamaged(place=folder, what="what the abandoned run was to send is missing")
            store.move_ledger(_moved(store, job, run, record.name, record.number, delta, is_whole=False))
        except LedgerDamaged as error:
            note_lost(note, record.name, error)
            store.drop_ledger(ledger_job(job), record.name)


def _moved(
    store: Store,
    job: Job,
    run: RunRecord,
    step: str,
    number: int,
    delta: Delta,
    *,
    is_whole: bool = True,
    anew: bool = False,
) -> LedgerMove:
    text = None if anew else store.ledger(ledger_job(job), step)
    before = None if text is None else Generation.of_text(text)
    if before is None or before.salt != delta.head.salt:
        before = new_generation(delta.head.belongs_to, delta.head.salt, run.started_at)
    ledger = Ledger(ledger_folder(job.state, ledger_job(job), step), before)
    after = moved(ledger, delta, _outcomes(store, run.run_id, number))
    is_whole = is_whole and run.row_limit is None and job.name == ledger_job(job)  # a replay has some rows only
    after = replace(after, is_whole=is_whole or before.is_whole)
    return LedgerMove(ledger_job(job), step, after.to_text(), run.run_id)


def _outcomes(store: Store, run_id: str, number: int) -> Outcomes:
    """How each row that is sent ended, from the lanes' progress and the rejects."""
    progress = store.lane_progress(run_id, number)
    acked, sending = (
        np.array([getattr(lane, name) for lane in progress]) for name in ("acked_through", "sending_through")
    )
    rejects = store.rejects(run_id, number).select(pl.col("position").alias(POSITION), "reason", "field")

    def outcomes(rows: pl.DataFrame) -> pl.DataFrame:
        position, lane = rows[POSITION].to_numpy(), rows["lane"].to_numpy()
        settled, announced = pl.lit(pl.Series(position <= acked[lane])), pl.lit(pl.Series(position <= sending[lane]))
        is_unknown = pl.col("reason") == OUTCOME_UNKNOWN
        outcome = (
            pl.when(~pl.col("is_sent") | (settled & pl.col("reason").is_null()))
            .then(pl.lit("accepted"))
            .when(announced & (~settled | is_unknown))
            .then(pl.lit("unknown"))
            .when(settled)
            .then(pl.lit("refused"))
        )
        return rows.join(rejects, on=POSITION, how="left", maintain_order="left").with_columns(outcome=outcome)

    return outcomes


def current_ledger(
    store: Store | None,
    job: Job,
    destination: Destination,
    step: Step,
    options: RunOptions,
    started_at: str,
    note: Callable[[str], None],
) -> Ledger:
    """The step's ledger, or a new one where there is none, or where it belongs to something else."""
    folder, owner = ledger_folder(job.state, ledger_job(job), step.name), belongs_to(destination, step)
    text = None if store is None else store.ledger(ledger_job(job), step.name)
    if text is not None and options.rebuild_ledger:  # whatever it is, of a newer version too
        note(f"step {step.name}: a new ledger begins, and every row is sent")
        return Ledger(folder, new_generation(owner, secrets.randbits(63), started_at))
    before = None if text is None else Generation.of_text(text)
    if before is None and any(folder.glob("*.parquet")):
        note(
            f"step {step.name}: the state does not know the ledger in {folder}; a new one begins, and all rows are sent"
        )
    elif before is None:
        note(f"step {step.name}: {job.name} has no ledger of this step yet; a new one begins, and every row is sent")
    elif before.belongs_to == owner:
        return Ledger(folder, before)
    elif not options.sandbox:
        what = "the destination, the operation or the identifier is another one than before"
        note(f"step {step.name}: {what}; a new ledger begins, and every row is sent")
    return Ledger(folder, new_generation(owner, secrets.randbits(63), started_at))


def belongs_to(destination: Destination, step: Step) -> str:
    """A digest of what a ledger is about: the destination, the operation, and by what a subject is identified."""
    mapping = step.mapping
    account = destination.credentials[APIS[destination.api].workspace_key].get_secret_value()
    constants = {name: value.value for name, value in mapping.targets.items() if isinstance(value, Constant)}
    about = [(name, constants.get(name)) for name in (*subject_targets(mapping), "event")]
    parts = [destination.base_url, account, mapping.operation, mapping.segment, mapping.event_key, about]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _hashed(
    step: Step, compiled: Compiled, parts: Parts, snapshot: Snapshot, rules: Rules, *, finds_gone: bool
) -> Iterator[pl.DataFrame]:
    """The subjects and parts of all rows that the mapping selects; where gone subjects are found, of the others too."""
    keys, scope = step.sync.mode == "mirror", step.sync.scope
    require_names(scope, snapshot.schema, f"step {step.name}: scope", "fix the job file, or the source")

    def hashes(compiled: Compiled, frame: pl.DataFrame) -> pl.DataFrame:
        mapped = compiled.mapped(frame)
        hashed = parts.hashes(mapped.values, mapped.items, rules.salt, with_keys=keys, texts=rules.values)
        if not scope:
            return hashed
        within = [column_of(name).cast(pl.String).alias(f"{SCOPE}{name}") for name in scope]
        return hashed.join(frame.select(POSITION, *within), on=POSITION, how="left", maintain_order="left")

    def hashed(frame: pl.DataFrame) -> pl.DataFrame:
        selected = hashes(compiled, frame)
        if not finds_gone:
            return selected
        selected = selected.with_columns(is_left_out=pl.lit(False))
        others = frame.join(selected, on=POSITION, how="anti")
        if not others.height:
            return selected
        left_out = hashes(replace(compiled, when=None), others)
        return pl.concat([selected, left_out.with_columns(is_left_out=pl.lit(True))])

    return prefetch(hashed, snapshot.read(tuple(dict.fromkeys((*compiled.columns, *scope))), 0))


SCOPE = "scope."  # prefix of the ledger's columns of a scope


def with_delta(compiled: Compiled, delta: Delta | None) -> Compiled:
    """The compiled mapping, which then sends what the delta says."""
    return compiled if delta is None else replace(compiled, decisions=delta.decisions())
