"""What a job's ledgers are: how many subjects each one knows, its size, when it began and when it last moved.

All of it is in the state; no file of a ledger is read for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from cio_etl.errors import LedgerDamaged
from cio_etl.ledger import Generation
from cio_etl.model import Job, JobOutline, Step, SyncMode
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted, moment, percent, size
from cio_etl.run.folders import ledger_folder, ledger_job
from cio_etl.state import LedgerMove, Reader, RunRecord, Store

if TYPE_CHECKING:
    from cio_etl.ledger import Ledger

T = TypeVar("T")
TRIES = 3


def while_it_is_current(read: Callable[[], Ledger], use: Callable[[Ledger], T]) -> tuple[Ledger, T]:
    """A ledger, read from the state, and what `use` makes of its files.

    A run that starts meanwhile removes the files of older generations: then the ledger is read again. Raises what `use`
    raises for the current one.
    """
    ledger = read()
    for _ in range(TRIES - 1):
        try:
            return ledger, use(ledger)
        except LedgerDamaged:
            before, ledger = ledger, read()
            if ledger == before:
                raise
    return ledger, use(ledger)


def verified_ledger(store: Store, job: Job, step: Step) -> Ledger | None:
    """The step's ledger, with files that are as they were written; None: the state knows none. Raises StateError."""
    from cio_etl.ledger import Ledger  # here: only its files need polars

    folder = ledger_folder(job.state, job.name, step.ledger_name)
    if (text := store.ledger(job.name, step.ledger_name)) is None:
        return None

    def read() -> Ledger:
        return Ledger(folder, Generation.of_text(store.ledger(job.name, step.ledger_name) or text))

    return while_it_is_current(read, Ledger.verify)[0]


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The ledger of a step. `generation` 0: it has none yet."""

    step: str
    sync: SyncMode
    generation: int = 0
    subjects: int = 0
    exact: bool = True  # else `subjects` is the number of the base, and the additions are not counted
    bytes: int = 0
    values: bool = False  # the values of attributes are stored, too
    additions: float = 0.0  # rows beyond the base, as a share of the base; past a fifth they are merged
    started_at: str | None = None  # of the last run that sent everything; ISO 8601, UTC
    moved_at: str | None = None  # by the run `run_id`; ISO 8601, UTC
    run_id: str | None = None


def ledger_statuses(store: Store, job: Job | JobOutline) -> list[LedgerStatus]:
    """The ledgers of the job's steps that send only what changed. Raises StateError for one of a newer version."""
    moves = store.ledgers(ledger_job(job))
    found = []
    for step in job.steps:
        if not step.sync.has_ledger:
            continue
        if (move := moves.get(step.ledger_name)) is None:
            found.append(LedgerStatus(step.name, step.sync.mode))
            continue
        found.append(_status(step.name, step.sync.mode, move, store.run(move.run_id)))
    return found


def stored_ledgers(reader: Reader) -> dict[str, list[LedgerStatus]]:
    """The ledgers that the state has, by job, each by its own name. Raises StateError for one of a newer version."""
    moves = reader.all_ledgers()
    runs = reader.records({move.run_id for move in moves})
    found: dict[str, list[LedgerStatus]] = {}
    for move in moves:
        found.setdefault(move.job, []).append(_status(move.step, "changed", move, runs.get(move.run_id)))
    return found


def _status(step: str, sync: SyncMode, move: LedgerMove, run: RunRecord | None) -> LedgerStatus:
    now = Generation.of_text(move.generation)
    return LedgerStatus(
        step=step,
        sync=sync,
        generation=now.number,
        subjects=now.base_rows if now.subjects is None else now.subjects,
        exact=now.subjects is not None,
        bytes=now.bytes,
        values=now.values,
        additions=(now.rows - now.base_rows) / now.base_rows if now.base_rows else 0.0,
        started_at=now.started_at or None,
        moved_at=None if run is None else run.finished_at or run.started_at,
        run_id=move.run_id,
    )


def ledger_words(ledger: LedgerStatus) -> str:
    """The ledger in a sentence."""
    if not ledger.generation:
        return "no ledger yet; the next run sends every row"
    about = "" if ledger.exact else "about "
    words = f"{about}{counted(ledger.subjects, 'subject')}, {size(ledger.bytes)}"
    words += " with values" if ledger.values else ""
    words += f"; last written by the run of {moment(ledger.moved_at)} UTC" if ledger.moved_at else ""
    words += f"; everything was last sent in the run of {moment(ledger.started_at)} UTC" if ledger.started_at else ""
    return words + (f"; additions are {percent(ledger.additions, 1)} of its base" if ledger.additions else "")
