"""Decides what the next `run` of a job would do with its newest run, and says it."""

from __future__ import annotations

from typing import Literal

from cio_etl import state
from cio_etl.model import Job, total_counts
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted
from cio_etl.state import RunRecord, Store


@dataclass(frozen=True, slots=True)
class NextStep:
    """What the next `run` of a job would do.

    locked: exit, since a process holds the job.
    new: start a new run.
    replace: start a new run in place of this one, which had too many rejects.
    refuse: exit, since the job has `changes`.
    invalid: exit, since `changes` says what `check` reports of the job.
    stop: exit, since it has too many rejects, and its rows and mapping are the same; `changes` says what --restart does
        twice.
    resume: continue in `step`, of whose `rows` so many are `settled`; `lanes` may send one batch a second time.
    """

    kind: Literal["locked", "new", "replace", "refuse", "invalid", "stop", "resume"]
    changes: tuple[str, ...] = ()
    step: str | None = None
    settled: int = 0
    rows: int = 0
    lanes: int = 0

    @property
    def remedy(self) -> str:
        """What to do when the run would stop again."""
        if self.kind != "stop":
            return ""
        if not self.changes:
            return "fix the mapping or the rows, or raise max_rejects"
        return f"raise max_rejects, run it, then fix and replay the rejects; or add --restart, but {self.changes[0]}"


def next_step(store: Store, job: Job, run: RunRecord, is_running: bool) -> NextStep:
    """What `run` would do, now that the job's newest run is this one; `is_running`: a process is at work on it."""
    from cio_etl.run.changes import changes_since, is_replaced  # here: they need polars
    from cio_etl.run.replacement import has_too_many_rejects, restart_repeats

    if is_running:
        return NextStep("locked")
    if run.status not in state.RESUMABLE:
        return NextStep("new")
    if is_replaced(store, job, run, run.row_limit):
        return NextStep("replace")
    if store.has_sent(run.run_id) and (changes := changes_since(run, store.steps(run.run_id), job, run.row_limit)):
        return NextStep("refuse", tuple(changes))
    records = store.steps(run.run_id)
    if has_too_many_rejects(store, job, run, records):
        twice = restart_repeats(store, job, run, records)
        return NextStep("stop", (twice,) if twice else ())
    remaining = [step for step in records if step.status != "finished"]
    progress = [lane for step in remaining for lane in store.lane_progress(run.run_id, step.number)]
    return NextStep(
        "resume",
        step=remaining[0].name if remaining else None,
        settled=total_counts(lane.counts for lane in progress).settled,
        rows=sum(step.rows or 0 for step in remaining),
        lanes=sum(lane.sending_through > lane.acked_through for lane in progress),
    )


def next_words(next_step: NextStep, command: str) -> str:
    """What `command` would do, in a sentence."""
    match next_step.kind:
        case "locked":
            return "a process is at work on it now; `run` would exit 75"
        case "new":
            return f"`{command}` starts a new run"
        case "replace":
            return f"`{command}` reads the source again in a new run, since this one had too many rejects"
        case "refuse":
            return f"`{command}` would exit 78, since {'; '.join(next_step.changes)}; undo that, or add --restart"
        case "invalid":
            return f"`{command}` would exit 78, since the job no longer passes its check: {next_step.changes[0]}"
        case "stop":
            return f"`{command}` would exit 4 again, since this run has too many rejects; {next_step.remedy}"
    rows = counted(next_step.rows, "row is", "rows are")
    progress = f"{next_step.settled:,} of {rows} settled" if next_step.rows else "its source is not read yet"
    if next_step.lanes:
        progress += f", and {counted(next_step.lanes, 'batch', 'batches')} may be sent a second time"
    return f"`{command}` continues in step {next_step.step or '-'}: {progress}"
