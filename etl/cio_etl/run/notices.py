"""Tells the channels of a job how its runs end, once for each change; and those of other jobs that theirs do not.

What a channel was told is in the state. A state that is out of reach is a failure like others: then its channels are
told each time, because nobody knows of the times before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cio_etl import state
from cio_etl.config import load_outline
from cio_etl.errors import EtlError, JobLocked, StateError
from cio_etl.log import get_logger
from cio_etl.model import Channel, Conditions, JobSettings, NoticeSent, Report, target_of
from cio_etl.notify import Due, Notice, PastRun, after, closed, compare, due, send_all, told
from cio_etl.notify.compare import RUNS, Findings
from cio_etl.run.ended import Ended
from cio_etl.run.folders import run_folder
from cio_etl.run.reports import write_reports
from cio_etl.run.status import staleness
from cio_etl.state import RunRecord, Store

log = get_logger()

WAIT_S = 60.0  # for a process that tells the same channels, each within its limits
TOLD_AT_ONCE = 16  # other jobs; each has a connection to the state
COMPARED = ("rejects", "deviates", "slower")
OTHER_ENDINGS = (".sandbox", ".replay")  # of names in the state that are no jobs


def tell(ended: Ended) -> Report | None:
    """Sends the notices of an end, and those of other jobs that are stale; the report, with what was sent."""
    job, report = ended.job, ended.report
    if ended.options.sandbox or ended.options.limit is not None or ended.is_by_hand or ended.others_go_on:
        return report
    sent = [*_tell_own(ended), *_tell_others(ended)]
    if report is None or not sent:
        return report
    report = replace(report, notices=tuple(sent))
    with suppress(StateError), closing(state.open_store(job.state_location)) as store:
        state.note_notices(store, report.run_id, report.notices)
    write_reports(report, run_folder(job, report.run_id), ended.commands)
    return report


def tell_stale(job: JobSettings, stale: str, at: datetime) -> list[NoticeSent]:
    """Sends the notices of a job whose last finished run is too old, for `stale` reasons; what was sent.

    Where the state cannot be written nothing is sent: nobody could note that it was.
    """
    if not job.notify or not state.exists(job.state_location) or state.is_read_only(job.state_location):
        return []
    return _tell_waiting(job, stale, at)


def _tell_waiting(job: JobSettings, stale: str | None, at: datetime) -> list[NoticeSent]:
    """Tells the channels of a job that it is stale, if it is, and what they were not told before."""
    found: Findings = {} if stale is None else {"stale": stale}
    return _tell(job, [(channel, found) for channel in job.notify], "", at, _Words(job))


def try_channels(job: JobSettings, at: datetime) -> list[NoticeSent]:
    """Sends a test notice through each channel; the state does not change."""
    notices = [(channel, Notice(Due("test", {}), job.name, job.file, at)) for channel in job.notify]
    outcomes = send_all(notices)
    pairs = zip(job.notify, outcomes, strict=True)
    return [NoticeSent(job.name, channel.label, "test", each.sent, each.reason) for channel, each in pairs]


class _Words:
    """What the notices of a job say, beyond what has happened."""

    def __init__(self, job: JobSettings, ended: Ended | None = None) -> None:
        self._job, self._ended = job, ended

    def notice(self, what: Due, at: datetime) -> Notice:
        job, ended = self._job, self._ended
        if ended is None:
            return Notice(what, job.name, job.file, at)
        report, error = ended.report, ended.error
        page = None if report is None else run_folder(job, report.run_id) / "report.html"
        resume = ended.commands.resume
        commands = {} if report is None or resume is None else ended.commands.shown(report)
        if error is not None and resume is not None:
            commands["continue"] = f"{resume} {error.option}".rstrip()
        return Notice(
            what,
            job.name,
            job.file,
            at,
            report,
            "" if error is None else error.remedy,
            commands,
            str(page.absolute()) if page is not None and page.exists() else None,
        )


def _tell_own(ended: Ended) -> list[NoticeSent]:
    """Tells the job's own channels how its run has ended."""
    job, report = ended.job, ended.report
    if not job.notify:
        return []
    seen = ended.at.isoformat()
    if report is not None and report.finished_at is not None:  # the same end, by whichever worker
        seen = f"{report.run_id} {report.finished_at}"
    failure = _failure(ended)
    wanted = {kind for channel in job.notify for kind in channel.on}
    past = [] if failure or report is None or wanted.isdisjoint(COMPARED) else _past_runs(job, report)
    found: list[tuple[Channel, Findings]] = []
    for channel in job.notify:
        if failure is not None:
            found.append((channel, {"failed": failure}))
        elif report is not None:
            compared = {} if job.name.endswith(".replay") else compare(report, channel.on, past)
            found.append((channel, {"failed": None, "stale": None, **compared}))
    return _tell(job, found, seen, ended.at, _Words(job, ended))


def _failure(ended: Ended) -> str | None:
    """How the run has failed; None: it has finished."""
    report, error = ended.report, ended.error
    if error is None:
        return None
    reason = str(error) if report is None or report.reason is None else report.reason
    return f"{reason} (exit code {error.exit_code})"


def _past_runs(job: JobSettings, report: Report) -> list[PastRun]:
    """The finished runs before this one that read what a night reads; the newest first."""
    try:
        with closing(state.open_store(job.state_location)) as store:
            runs = store.runs(job.name, limit=4 * RUNS)
            this = next((run for run in runs if run.run_id == report.run_id), None)
            if this is None or this.since is not None:
                return []
            is_usual = [run for run in runs if run.status == "finished" and run.row_limit is None and run.since is None]
            return [_past_run(store, run) for run in is_usual if run.run_id != report.run_id][:RUNS]
    except StateError:
        return []


def _past_run(store: Store, run: RunRecord) -> PastRun:
    steps = store.steps(run.run_id)
    return PastRun({step.name: step.rows_read for step in steps}, sum(step.seconds for step in steps))


# ---------------------------------------------------------------- other jobs


def _tell_others(ended: Ended) -> list[NoticeSent]:
    """Tells the channels of each other job of the state that it is stale: perhaps nothing starts it any more.

    They also get what could not be sent when that job has ended.
    """
    job, at = ended.job, ended.at
    try:
        if not state.exists(job.state_location):  # else a command in a wrong folder would begin a state there
            return []
        with closing(state.open_store(job.state_location)) as store:
            runs = store.last_runs()
            others = [run for run in runs if run.job != job.name and not run.job.endswith(OTHER_ENDINGS)]
            waiting = [(other, words) for run in others for other, words in _waiting(store, ended, run)]
    except StateError:  # the run's own end reports it
        return []
    if not waiting:
        return []
    with ThreadPoolExecutor(min(len(waiting), TOLD_AT_ONCE)) as threads:  # a run must not wait for each of them in turn
        told_to = [threads.submit(copy_context().run, _tell_waiting, other, words, at) for other, words in waiting]
    return [notice for each in told_to for notice in each.result()]


def _waiting(store: Store, ended: Ended, run: RunRecord) -> Sequence[tuple[JobSettings, str | None]]:
    """The job of a run and that it is stale, if it is or if a channel of it waits for a notice.

    None if its file is gone, or is not that of the job any more.
    """
    job, environ = ended.job, () if ended.environment is None else (ended.environment(),)
    try:
        other = load_outline(Path(run.job_file), *environ, target=target_of(run.job))
    except EtlError:
        return []
    if other.name != run.job or not other.notify:
        return []
    if state.running(job.state_location, other.name):
        return []
    other = replace(other, state=job.state, database=job.database)
    words = staleness(other, store.runs(other.name, limit=100), ended.at)
    is_due = any(due(state.conditions(store, other.name, each.key), each.on) for each in other.notify)
    return [(other, words)] if words is not None or is_due else []


# ---------------------------------------------------------------- telling


def _tell(
    job: JobSettings, found: Sequence[tuple[Channel, Findings]], seen: str, at: datetime, words: _Words
) -> list[NoticeSent]:
    """Tells each channel what is due after what was found; what was sent. A later end sends what cannot be sent now."""
    try:
        with (
            state.telling(job.state_location, job.name, WAIT_S),
            closing(state.open_store(job.state_location)) as store,
        ):
            return _told(store, job, found, seen, at, words)
    except JobLocked:
        log.warning("notices_not_sent", job=job.name, reason="another process tells the same channels")
        return []
    except StateError as error:
        log.warning("notices_not_recorded", job=job.name, reason=str(error))
        return _told(None, job, found, seen, at, words)


def _told(
    store: Store | None,
    job: JobSettings,
    found: Sequence[tuple[Channel, Findings]],
    seen: str,
    at: datetime,
    words: _Words,
) -> list[NoticeSent]:
    now, after_it = at.isoformat(timespec="seconds"), dict[str, Conditions]()
    notices = []
    for channel, findings in found:
        known = {} if store is None else state.conditions(store, job.name, channel.key)
        after_it[channel.key] = conditions = after(known, findings, channel.on, now, seen)
        if store is not None and conditions != known:
            state.write_conditions(store, job.name, channel.key, conditions)
        notices += [(channel, words.notice(what, at)) for what in due(conditions, channel.on)]
    sent = []
    for (channel, notice), outcome in zip(notices, send_all(notices), strict=True):
        if outcome.sent:
            after_it[channel.key] = told(after_it[channel.key], notice.due, now)
            log.info("notice_sent", job=job.name, channel=channel.label, kind=notice.kind)
        else:
            log.warning("notice_not_sent", job=job.name, channel=channel.label, kind=notice.kind, reason=outcome.reason)
        sent.append(NoticeSent(job.name, channel.label, notice.kind, outcome.sent, outcome.reason))
    if store is not None:
        _record(store, job, found, after_it)
    return sent


def _record(
    store: Store, job: JobSettings, found: Sequence[tuple[Channel, Findings]], conditions: Mapping[str, Conditions]
) -> None:
    """Records what each channel was told. When that fails, a later end tells it a second time."""
    try:
        for channel, _ in found:
            state.write_conditions(store, job.name, channel.key, closed(conditions[channel.key], channel.on))
    except StateError as error:
        log.warning("notices_not_recorded", job=job.name, reason=str(error))
