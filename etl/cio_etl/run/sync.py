"""Sends only what changed: a step's delta against its ledger.

    rows ─▶ compared with the ledger ─▶ delta on the disk ─▶ sent by any worker, after any kill ─▶ ledger moves

The delta is made before the first request and never again. The ledger moves in the transaction in which the step
finishes (ledger_moves.py); what an abandoned run had sent moves it, too.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from cio_etl.apis import APIS, KEY, OPERATIONS
from cio_etl.audit import SentBefore
from cio_etl.errors import ChangedSinceStart, DeltaDamaged
from cio_etl.ledger import TIME, Delta, Generation, Ledger, Made, Rules, make_delta, new_generation
from cio_etl.model import (
    POSITION,
    Constant,
    DeltaCounts,
    Destination,
    Job,
    PlannedStep,
    Snapshot,
    Step,
)
from cio_etl.run.baseline import baseline_of
from cio_etl.run.earlier_rejects import Watched, earlier_rejects
from cio_etl.run.folders import delta_folder, ledger_folder, ledger_job
from cio_etl.run.limits import require_within_limits
from cio_etl.run.options import RunOptions
from cio_etl.run.recording import RunContext
from cio_etl.state import StepRecord, Store
from cio_etl.transform import column_of, ids, require_names
from cio_etl.transform.compiled import Compiled, Mapped
from cio_etl.transform.parts import subject_targets
from cio_etl.transform.prefetch import prefetch

SCOPE = "scope."  # prefix of the ledger's columns of a scope


def open_delta(
    context: RunContext, step: Step, record: StepRecord, snapshot: Snapshot, compiled: Compiled, *, again: bool
) -> tuple[Delta, SentBefore | None]:
    """Makes the step's delta and its findings, before its first row is sent; `again`: everything is sent.

    Raises StateError, TooManyChanges and PlanOutdated.
    """
    store, job, run, options = context.store, context.job, context.run, context.options
    note = context.caller.observer.note
    ledger = current_ledger(store, job, context.destination, step, options, run.started_at, note)
    if ledger.generation.number:  # a new ledger is not the current one yet, and the files of the one before stay
        ledger.remove_others()
    require_planned(context, step, snapshot, ledger, again=again)
    folder = delta_folder(job, run.run_id, record.number)
    is_alone = options.share is None and not store.is_shared
    if not ledger.generation.number and is_alone and snapshot.replayed is None:
        rules = rules_of(step, compiled, ledger.generation.salt, again=again, at=run.started_at)
        if (delta := baseline_of(step, snapshot, compiled, ledger, rules, folder)) is not None:
            store.note_delta(run.run_id, record.number, DeltaCounts())
            return delta, None
    earlier = earlier_rejects(context, record, step.mapping, compiled, snapshot)
    watched = None if earlier is None or not earlier.has_open else Watched(earlier)
    made = compare(
        step,
        snapshot,
        compiled,
        ledger,
        folder,
        run.started_at,
        watched=watched,
        again=again,
        retry_refused=options.retry_refused or snapshot.replayed is not None,
        finds_gone=snapshot.replayed is None and run.row_limit is None,
    )
    require_within_limits(step, made, ledger, accepts=options.accept_changes)
    same = () if watched is None else watched.same(made.delta.decisions())
    store.note_delta(run.run_id, record.number, made.counts, same)
    return made.delta, sent_before(made, ledger, step)


def compare(
    step: Step,
    snapshot: Snapshot,
    compiled: Compiled,
    ledger: Ledger,
    folder: Path,
    at: str,
    *,
    again: bool,
    retry_refused: bool,
    finds_gone: bool,
    counts_changes: bool = False,
    watched: Watched | None = None,
) -> Made:
    """The step's delta against a ledger, written to a folder, for a run that starts at this time. Raises StateError.

    With `counts_changes`, its changes from value to value are counted, where the ledger stores values. `watched`
    notes the rows that have the key of an open reject.
    """
    assert compiled.parts is not None
    finds_gone = finds_gone and step.sync.mode == "mirror"
    rules = rules_of(step, compiled, ledger.generation.salt, again=again, at=at, retry_refused=retry_refused)
    return make_delta(
        folder,
        ledger,
        _hashed(step, compiled, snapshot, rules, watched, finds_gone=finds_gone),
        rules,
        pl.select(ids.text_hash(pl.lit("null"), rules.salt)).item(),
        rows=snapshot.rows,
        finds_gone=finds_gone,
        counts_changes=counts_changes,
        belongs_to=ledger.generation.belongs_to,
        fingerprint=snapshot.fingerprint,
        mapping=step.mapping.digest,
        is_first=not (ledger.generation.number and ledger.generation.is_whole),
    )


def rules_of(
    step: Step, compiled: Compiled, salt: int, *, again: bool, at: str | None = None, retry_refused: bool = False
) -> Rules:
    """How the rows of a step are compared by a run that starts `at` this time; None: they are not."""
    assert compiled.parts is not None
    is_mirror, scope = step.sync.mode == "mirror", tuple(f"{SCOPE}{name}" for name in step.sync.scope)
    has_event, remember = OPERATIONS[step.mapping.operation].has_event, step.sync.remember
    keys: tuple[str, ...] = () if remember is None else (TIME,)
    if is_mirror:
        keys = (*(f"{KEY}{target}" for target in compiled.parts.subject), *scope)
    return Rules(
        parts=tuple(compiled.parts.of),
        salt=salt,
        divisible=compiled.partial is not None,
        once=has_event,
        again=again,
        retry_refused=retry_refused,
        keys=keys,
        since=None if at is None or remember is None else int((datetime.fromisoformat(at) - remember).timestamp()),
        scope=scope,
        values=compiled.parts.alone if step.sync.ledger == "values" and not has_event else (),
    )


def facts_of(
    destination: Destination, step: Step, snapshot: Snapshot, ledger: Ledger | None, *, again: bool, sandbox: bool
) -> PlannedStep:
    """What the items of a step are a function of, and where they go. `ledger`: None where everything is sent."""
    account = destination.credentials[APIS[destination.api].workspace_key].get_secret_value()
    planned = PlannedStep(
        snapshot.fingerprint, step.mapping.digest, workspace="" if sandbox else _digest([destination.api, account])
    )
    if ledger is None or not ledger.generation.number:
        return planned
    return replace(planned, generation=ledger.generation.number, salt=ledger.generation.salt, again=again)


def require_planned(
    context: RunContext, step: Step, snapshot: Snapshot, ledger: Ledger | None, *, again: bool = False
) -> None:
    """Raises PlanOutdated when the run applies a plan, and the step is not as it was planned."""
    planned = None if context.caller.planned is None else context.caller.planned.get(step.name)
    if planned is not None:
        sandbox = context.options.sandbox
        now = facts_of(context.destination, step, snapshot, ledger, again=again, sandbox=sandbox)
        planned.require(now, step.name)


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
    folder, owner = ledger_folder(job.state, ledger_job(job), step.ledger_name), belongs_to(destination, step)
    text = None if store is None else store.ledger(ledger_job(job), step.ledger_name)
    if text is not None and options.rebuild_ledger:  # whatever it is, of a newer version too
        note(f"step {step.name}: a new ledger begins, to which every row is new")
        return Ledger(folder, new_generation(owner, secrets.randbits(63), started_at))
    before = None if text is None else Generation.of_text(text)
    if before is None and any(folder.glob("*.parquet")):
        note(
            f"step {step.name}: the state does not know the ledger in {folder}; all rows are new to the one that begins"
        )
    elif before is None:
        note(
            f"step {step.name}: {job.name} has no ledger of this step yet; a new one begins, to which every row is new"
        )
        if store is not None and (others := _without_a_step(store, job)):
            note(f"step {step.name}: if it was renamed, write its ledger: {{name: {' or '.join(others)}}}")
    elif before.belongs_to == owner:
        return Ledger(folder, before)
    elif not options.sandbox:
        what = "the destination, the operation or the identifier is another one than before"
        note(f"step {step.name}: {what}; a new ledger begins, to which every row is new")
    return Ledger(folder, new_generation(owner, secrets.randbits(63), started_at))


def _without_a_step(store: Store, job: Job) -> list[str]:
    """The ledgers of a job that no step of it has any more."""
    return sorted(store.ledgers(ledger_job(job)).keys() - {step.ledger_name for step in job.steps})


def belongs_to(destination: Destination, step: Step) -> str:
    """A digest of what a ledger is about: the destination, the operation, and by what a subject is identified."""
    mapping = step.mapping
    account = destination.credentials[APIS[destination.api].workspace_key].get_secret_value()
    constants = {name: value.value for name, value in mapping.targets.items() if isinstance(value, Constant)}
    about = [(name, constants.get(name)) for name in (*subject_targets(mapping), "event")]
    parts = [destination.base_url, account, mapping.operation, mapping.segment, mapping.event_key, about]
    return _digest(parts)


def _digest(facts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def hasher(step: Step, compiled: Compiled, salt: int) -> Callable[[Mapped], pl.DataFrame]:
    """Gives the subjects and parts of the rows that the mapping selects, as Rules has them."""
    parts, rules = compiled.parts, rules_of(step, compiled, salt, again=False)
    assert parts is not None
    within = [column_of(name).cast(pl.String).alias(f"{SCOPE}{name}") for name in step.sync.scope]

    def hashes(mapped: Mapped) -> pl.DataFrame:
        of_mirror = step.sync.mode == "mirror"
        hashed = parts.hashes(mapped.values, mapped.items, salt, with_keys=of_mirror, texts=rules.values)
        if step.sync.remember is not None:
            hashed = hashed.hstack(mapped.values.select(pl.col("timestamp").cast(pl.Int64).cast(pl.String).alias(TIME)))
        if not within:
            return hashed
        return hashed.join(mapped.rows.select(POSITION, *within), on=POSITION, how="left", maintain_order="left")

    return hashes


def with_scope(step: Step, compiled: Compiled, snapshot: Snapshot) -> Compiled:
    """The compiled mapping, which also reads the columns of the step's `scope`. Raises SourceError without them."""
    scope = step.sync.scope
    require_names(scope, snapshot.schema, f"step {step.name}: scope", "fix the job file, or the source")
    return replace(compiled, columns=tuple(dict.fromkeys((*compiled.columns, *scope))))


def _hashed(
    step: Step, compiled: Compiled, snapshot: Snapshot, rules: Rules, watched: Watched | None, *, finds_gone: bool
) -> Iterator[pl.DataFrame]:
    """The subjects and parts of all rows that the mapping selects; where gone subjects are found, of the others too."""
    compiled = with_scope(step, compiled, snapshot)
    hashes = hasher(step, compiled, rules.salt)

    def hashed(frame: pl.DataFrame) -> pl.DataFrame:
        mapped = compiled.mapped(frame)
        selected = hashes(mapped)
        if watched is not None:
            watched.note(mapped, rules.since)
        if not finds_gone:
            return selected
        selected = selected.with_columns(is_left_out=pl.lit(False))
        others = frame.join(selected, on=POSITION, how="anti")
        if not others.height:
            return selected
        left_out = hashes(replace(compiled, when=None).mapped(others))
        return pl.concat([selected, left_out.with_columns(is_left_out=pl.lit(True))])

    return prefetch(hashed, snapshot.read(compiled.columns, 0))


def with_delta(compiled: Compiled, delta: Delta | None) -> Compiled:
    """The compiled mapping, which then sends what the delta says."""
    return compiled if delta is None or delta.head.is_baseline else replace(compiled, decisions=delta.decisions())
