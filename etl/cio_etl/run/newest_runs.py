"""Reports the newest runs of every job in a state."""

from __future__ import annotations

from dataclasses import replace

from cio_etl import state
from cio_etl.model import OpenRejects, OpenTotal, Report
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted, moment

KILLED = "its process has ended without a report: it was killed, or the machine went down"


@dataclass(frozen=True, slots=True)
class RecentRun:
    """A run of a job, and how many of its rejects are open, and of the rejects of all of the job's runs."""

    report: Report
    job_file: str
    open_rejects: int
    all_open: OpenTotal


def recent_runs(where: state.Where) -> list[RecentRun]:
    """The newest runs of every job in a state, which must exist; the newest one of each job that has open rejects."""
    store = state.open_to_read(where)
    try:
        runs = store.runs()
        by_job: dict[str, list[OpenRejects]] = {}
        for each in store.open_reasons():
            by_job.setdefault(each.job, []).append(each)
        for job in by_job.keys() - {run.job for run in runs}:
            runs += store.runs(job, limit=1)
        totals = {job: OpenTotal.of(parts) for job, parts in by_job.items()}
        running_jobs = {job: state.running(where, job) for job in {run.job for run in runs if run.status == "running"}}
        newest = {run.job: run for run in reversed(runs)}
        open_rejects = store.open_rejects_by_run()
        return [
            RecentRun(
                with_killed(
                    state.build_report(store, run), running_jobs.get(run.job, False) and newest[run.job] is run
                ),
                run.job_file,
                open_rejects.get(run.run_id, 0),
                totals.get(run.job, OpenTotal()),
            )
            for run in runs
        ]
    finally:
        store.close()


def open_words(total: OpenTotal) -> str:
    """How many rejects of a job are open over all of its runs, and since when."""
    runs = f"in {counted(len(total.runs), 'run')}" if len(total.runs) > 1 else f"of {total.runs[0]}"
    since = f", the oldest since {moment(total.since)} UTC" if total.since else ""
    return f"{counted(total.rows, 'reject is', 'rejects are')} open {runs}{since}"


def with_killed(report: Report, is_running: bool) -> Report:
    """The report of a run that was killed as one that has stopped; `is_running`: a process is at work on it."""
    if report.status != "running" or is_running:
        return report
    return replace(report, status="stopped", reason=KILLED)
