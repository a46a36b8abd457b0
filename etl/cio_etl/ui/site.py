"""Gathers what each page shows, from the state, the files of its runs, and the job files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cio_etl.config import next_time
from cio_etl.model import Counts, EarlierEnds, Job, JobOutline, Report, Verification
from cio_etl.run import LedgerStatus, RunOptions, compared, options_to_resume, runs_folder, staleness, stored_ledgers
from cio_etl.state import Reader, RunRecord, StepRecord, Where, build_report
from cio_etl.ui.commands import PageCommands, Words
from cio_etl.ui.job_files import JobFile, JobFiles, has_state_in
from cio_etl.ui.nights import MOST, Night, night_of, nights, outcome
from cio_etl.ui.open_rejects import OpenCounts
from cio_etl.ui.plan_files import PlanFile, PlanFiles

JOBS_A_PAGE = 50
RUNS_A_PAGE = 30
MOST_REPORT_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job on the first page. `job` None: no job file here has it."""

    name: str
    job: Job | JobOutline | None
    nights: Sequence[Night] = ()
    newest: RunRecord | None = None
    sandbox_run: RunRecord | None = None  # of a job without other runs, its newest one in the sandbox
    counts: Counts | None = None
    outcome: str = ""
    next_at: datetime | None = None
    stale: str | None = None
    open_rejects: int = 0
    ledgers: Sequence[LedgerStatus] = ()

    @property
    def missed(self) -> bool:
        """Whether the last run that was due did not begin."""
        return bool(self.nights) and self.nights[-1].kind == "missing"

    @property
    def failed(self) -> bool:
        """Whether the last run has failed."""
        return any(night.kind == "failed" for night in [n for n in self.nights if n.run_id is not None][-1:])

    @property
    def needs_a_look(self) -> bool:
        """Whether somebody should look at it."""
        return self.failed or self.missed or self.stale is not None


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a table."""

    run: RunRecord
    night: Night
    outcome: str
    counts: Counts
    open_rejects: int

    @property
    def seconds(self) -> float | None:
        """How long it took, with the pauses between its processes."""
        if self.run.finished_at is None:
            return None
        return (
            datetime.fromisoformat(self.run.finished_at) - datetime.fromisoformat(self.run.started_at)
        ).total_seconds()


@dataclass(slots=True)
class Site:
    """A state as pages: nothing here writes."""

    where: Where
    folder: Path  # of reports, stored rows and named plans
    name: str  # of the state, for people: never the address of a database
    files: JobFiles
    commands: PageCommands = field(default_factory=PageCommands)
    reader: Reader = field(init=False)
    rejects: OpenCounts = field(init=False)
    plans: PlanFiles = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(self.where)
        self.rejects = OpenCounts(self.reader)
        self.plans = PlanFiles(self.folder, [self.folder.absolute().parent, Path.cwd()])

    def stamp(self) -> str:
        """What is another text after each change that a page shows."""
        return digest(repr(self.reader.stamp()))

    # ---- jobs

    def job_files(self) -> tuple[dict[str, Job | JobOutline], list[JobFile], list[JobFile]]:
        """The jobs that have their state here, by name; the files with problems, and those with another state."""
        files = self.files.current()
        jobs = {job.name: job for file in files for job in file.jobs if has_state_in(job, self.where)}
        elsewhere = [
            file for file in files if file.jobs and not any(has_state_in(job, self.where) for job in file.jobs)
        ]
        return jobs, [file for file in files if file.problem], elsewhere

    def lines(self, jobs: dict[str, Job | JobOutline], names: Sequence[str], now: datetime) -> list[JobLine]:
        """These jobs as lines of the first page."""
        runs = self.reader.newest_runs(names, MOST)
        tried = self.reader.newest_runs([f"{name}.sandbox" for name in names if not runs[name]], 1)
        sandbox_runs = {name.removesuffix(".sandbox"): each[0] for name, each in tried.items() if each}
        run_ids = [run.run_id for each in runs.values() for run in each]
        counts, earlier = self.reader.counts(run_ids), self.reader.earlier_ends(run_ids)
        rejects, ledgers = self.rejects.rows_by_job(), self._ledgers_by_job()
        lines = (
            self._line(
                name, jobs.get(name), runs[name], counts, earlier, rejects.get(name, 0), ledgers.get(name, ()), now
            )
            for name in names
        )
        return [replace(line, sandbox_run=sandbox_runs.get(line.name)) for line in lines]

    def _line(
        self,
        name: str,
        job: Job | JobOutline | None,
        runs: Sequence[RunRecord],
        counts: dict[str, Counts],
        earlier: dict[str, EarlierEnds],
        open_rejects: int,
        ledgers: Sequence[LedgerStatus],
        now: datetime,
    ) -> JobLine:
        newest = runs[0] if runs else None
        held = newest is not None and newest.status == "running" and self.reader.is_held(name)
        return JobLine(
            name=name,
            job=job,
            nights=nights(job, runs, counts, earlier, now, is_held=held),
            newest=newest,
            counts=None if newest is None else counts.get(newest.run_id),
            outcome="" if newest is None else outcome(newest, earlier.get(newest.run_id), is_held=held),
            next_at=next_run(job, now),
            stale=None if job is None else staleness(job, runs, now),
            open_rejects=open_rejects,
            ledgers=ledgers,
        )

    def _ledgers_by_job(self) -> dict[str, list[LedgerStatus]]:
        return stored_ledgers(self.reader)

    def runs(self, name: str, before: str | None) -> tuple[list[RunLine], str | None]:
        """Runs of a job, the newest first, and the last of them, when there are older ones."""
        found = self.reader.runs_before(name, before, RUNS_A_PAGE + 1)
        page = found[:RUNS_A_PAGE]
        names = [run.run_id for run in page]
        counts, rejects = self.reader.counts(names), self.reader.open_of_runs(names)
        earlier = self.reader.earlier_ends(names)
        is_first = before is None
        lines = []
        for place, run in enumerate(page):
            held = is_first and place == 0 and run.status == "running" and self.reader.is_held(name)
            own, ended = counts.get(run.run_id, Counts()), earlier.get(run.run_id)
            night, words = night_of(run, own, ended, is_held=held), outcome(run, ended, is_held=held)
            lines.append(RunLine(run, night, words, own, rejects.get(run.run_id, 0)))
        return lines, page[-1].run_id if len(found) > len(page) else None

    # ---- a run

    def report(self, run: RunRecord) -> tuple[Report, bool]:
        """The report of a run from the state, and whether a process is at work on it."""
        held = run.status == "running" and self.reader.is_held(run.job)
        report = compared(self.reader, build_report(self.reader, run))
        return replace(report, verification=self._verification(run)), held

    def _verification(self, run: RunRecord) -> Verification | None:
        """Who was read back after a run, of which only report.json tells; None: nobody, or it is not here."""
        try:
            content = json.loads(self._file(run, "report.json") or "{}").get("verification")
            return None if content is None else Verification.of_json(content)
        except (ValueError, TypeError, KeyError, AttributeError):  # of another version, or longer than is read
            return None

    def run_commands(self, run: RunRecord, report: Report, job: Job | JobOutline | None, *, is_held: bool) -> Words:
        """What to type next about a run; nothing while a process is at work on it."""
        if is_held:
            return {}
        if run.run_id.startswith("plan-") and report.resumable:
            files = [file.path for file in self.plans.current() if file.plan.run_id == run.run_id]
            return self.commands.of_planned_run(files[0]) if files else {}
        options = options_to_resume(job, run, self.reader.steps(run.run_id)) if job is not None else RunOptions()
        return self.commands.of_run(run, report, job, options)

    def run_folder(self, run: RunRecord) -> Path:
        """The folder of its files, as far as they are on this machine."""
        return runs_folder(self.folder) / run.run_id

    def report_page(self, run: RunRecord) -> str | None:
        """The page that the run has written; None: it is not here."""
        return self._file(run, "report.html")

    def _file(self, run: RunRecord, name: str) -> str | None:
        """The text of a file in the folder of a run; None: it is not here."""
        try:
            descriptor = os.open(self.run_folder(run) / name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        with open(descriptor, encoding="utf-8", errors="replace") as file:
            return file.read(MOST_REPORT_BYTES)

    def step(self, run: RunRecord, name: str) -> StepRecord | None:
        """A step of a run."""
        return next((step for step in self.reader.steps(run.run_id) if step.name == name), None)

    # ---- plans

    def plan(self, key: str) -> PlanFile | None:
        """The plan of this key."""
        return next((file for file in self.plans.current() if file.key == key), None)

    def healthy(self) -> None:
        """Raises StateError when the state cannot be read."""
        self.reader.require_current()
        self.reader.runs(limit=1)


def digest(text: str) -> str:
    """Sixteen characters that stand for a text."""
    return hashlib.blake2s(text.encode(), digest_size=8).hexdigest()


def next_run(job: Job | JobOutline | None, now: datetime) -> datetime | None:
    """When the job is due next, by a cron line of its `schedule`."""
    return next_time(job.schedule, now) if job is not None and isinstance(job.schedule, str) else None


def base_name(job: str) -> str:
    """The job itself, of a replay or of runs in the sandbox."""
    return job.removesuffix(".replay").removesuffix(".sandbox")
