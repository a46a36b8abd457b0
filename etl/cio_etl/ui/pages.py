"""Makes each page of what the site knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from cio_etl.errors import EXIT_CODES
from cio_etl.model import OmittedCount, ReasonCount
from cio_etl.model.words import counted
from cio_etl.report import plan_words
from cio_etl.report.page import COLUMNS_SHOWN, tone, verdict, warnings
from cio_etl.report.plan_page import findings_of
from cio_etl.report.plan_page import tone as plan_tone
from cio_etl.run import ledger_words, read_throughput
from cio_etl.run.reports import remedies
from cio_etl.state import RunRecord
from cio_etl.ui.chart import throughput_bars
from cio_etl.ui.nights import outcome
from cio_etl.ui.open_rejects import MOST_LINES
from cio_etl.ui.rejected_rows import rejected_rows
from cio_etl.ui.render import rendered
from cio_etl.ui.sandbox_view import A_PAGE, NEWEST, SandboxReader
from cio_etl.ui.site import JOBS_A_PAGE, JobLine, Site, base_name, digest

NEWEST_CLOSERS = 50  # of the newest runs, the page of open rejects says what they have closed
MOST_CLOSED = 100


class NotFound(Exception):
    """What a page was asked for is not there."""


@dataclass(frozen=True, slots=True)
class Look:
    """A job that somebody should look at, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a site, as HTML. Raises NotFound, and StateError for a state that cannot be read."""

    site: Site
    sandbox: SandboxReader | None = None  # that of a running one

    def home(self, after: str | None) -> str:
        """All jobs: their last nights, what needs a look."""
        site, now = self.site, datetime.now(UTC)
        site.reader.require_current()
        jobs, problems, elsewhere = site.job_files()
        in_state = site.reader.jobs()
        names = sorted({*jobs, *(name for name in in_state if base_name(name) == name)})
        others = {base_name(name) for name in in_state} - {*names}
        later = [name for name in names if after is None or name > after]
        lines = site.lines(jobs, later[:JOBS_A_PAGE], now)
        looks = [Look(line.name, why(line)) for line in lines if line.needs_a_look]
        open_rows = sum(line.open_rejects for line in lines)
        return self._page(
            "home.html.j2",
            "/",
            live=True,
            shows_sandbox=True,
            lines=lines,
            looks=looks,
            verdict=home_verdict(lines, looks, open_rows, "these " if len(lines) < len(names) else ""),
            tone="bad" if looks else "fair" if open_rows or not any(line.newest for line in lines) else "good",
            next_page=later[JOBS_A_PAGE - 1] if len(later) > JOBS_A_PAGE else None,
            problems=problems,
            elsewhere=elsewhere,
            only_sandbox=sorted(others),
            sandbox=None if self.sandbox is None else self.sandbox.view(NEWEST),
        )

    def sandbox_page(self, people_before: int | None, events_before: int | None) -> str:
        """The sandbox: its people and events, page by page."""
        if self.sandbox is None:
            raise NotFound("No sandbox is named: `cio-etl ui --sandbox URL` shows the one that runs there.")
        view = self.sandbox.view(A_PAGE, people_before, events_before)

        def address(part: str, before: int | None) -> str:
            """Of the same page with another part of people or events."""
            places = {"people": people_before, "events": events_before} | {part: before}
            query = urlencode({name: place for name, place in places.items() if place is not None})
            return f"/sandbox{f'?{query}' if query else ''}#{part}"

        return self._page("sandbox.html.j2", "/sandbox", live=True, shows_sandbox=True, sandbox=view, address=address)

    def sandbox_stamp(self) -> str:
        """What is another text after each change of the state and of the sandbox."""
        return digest(f"{self.site.stamp()} {None if self.sandbox is None else self.sandbox.stamp()}")

    def job(self, name: str, before: str | None) -> str:
        """A job: its schedule, its ledgers, its runs."""
        site, now = self.site, datetime.now(UTC)
        site.reader.require_current()
        jobs, in_state = site.job_files()[0], site.reader.jobs()
        if name not in jobs and name not in in_state:
            raise NotFound(f"No job {name} has run with this state.")
        (line,) = site.lines(jobs, [name], now)
        runs, older = site.runs(name, before)
        others = [
            (f"{name}.{kind}", words)
            for kind, words in (("replay", "Replays"), ("sandbox", "Runs in the sandbox"))
            if f"{name}.{kind}" in in_state
        ]
        return self._page(
            "job.html.j2",
            "",
            live=True,
            name=name,
            base=base_name(name),
            line=line,
            verdict=job_verdict(line),
            tone="bad" if line.needs_a_look else "fair" if line.open_rejects or line.newest is None else "good",
            next_steps={} if line.job is None else dict(site.commands.of_job(line.job)),
            ledger_words=ledger_words,
            runs=runs,
            next_page=older,
            is_continued=before is not None,
            others=others,
            plans=[plan for plan in site.plans.current() if plan.plan.job == name],
            headline=plan_words.headline,
        )

    def run(self, run_id: str) -> str:
        """A run: its report, its throughput, its open rejects."""
        site = self.site
        run = self._run(run_id)
        report, held = site.report(run)
        job = site.job_files()[0].get(base_name(run.job))
        bars, width = throughput_bars(read_throughput(site.run_folder(run)))

        def page_of_rows(number: int, what: str, count: ReasonCount) -> str:
            step = report.steps[number - 1].name
            return "" if isinstance(count, OmittedCount) else rows_address(run_id, step, count.reason, count.field)

        return self._page(
            "run.html.j2",
            "",
            live=True,
            report=report,
            verdict=verdict(report) if held or report.status != "running" else f"{outcome(run, is_held=False)}",
            tone=tone(report) if held or report.status != "running" else "bad",
            warnings=warnings(report),
            exit_words=None if report.exit_code is None else EXIT_CODES.get(report.exit_code),
            seconds=None,
            columns_shown=COLUMNS_SHOWN,
            next_steps=dict(site.run_commands(run, report, job, is_held=held)),
            remedy=_remedy,
            page_of_rows=page_of_rows,
            has_page=(site.run_folder(run) / "report.html").is_file(),
            open_rows=site.reader.open_of_runs([run_id]).get(run_id, 0),
            bars=bars if any(bar.rows for bar in bars) else (),
            width=timedelta(seconds=width),
        )

    def rejected(self, run_id: str, name: str, reason: str, field: str | None, after: int) -> str:
        """Rejected rows of a step with one reason and field."""
        site, run = self.site, self._run(run_id)
        step = site.step(run, name)
        if step is None:
            raise NotFound(f"The run {run_id} has no step {name}.")
        job = site.job_files()[0].get(base_name(run.job))
        found = rejected_rows(site.reader, site.folder, run, step, job, reason, field, after)
        report, held = site.report(run)
        commands = site.run_commands(run, report, job, is_held=held)
        return self._page(
            "rows.html.j2",
            "",
            run=run,
            step=step,
            reason=reason,
            field=field,
            remedy=_remedy(reason),
            next_steps={name: words for name, words in commands.items() if name != "continue"},
            found=found,
            has_cells=any(each.row.cells for each in found.rows),
            known=site.reader.records({each.closed_by for each in found.rows if each.closed_by}),
            next_page=rows_address(run_id, name, reason, field, found.next_after),
        )

    def rejects(self, job: str | None) -> str:
        """Open rejects over all runs."""
        site = self.site
        site.reader.require_current()
        lines = site.rejects.of(job)
        total = sum(line.rows for line in lines)
        closers = {run.run_id: run for run in site.reader.runs(limit=NEWEST_CLOSERS)}
        closed = site.reader.closed_by_runs(closers) if job is None else []
        oldest = min((line.since for line in lines), default="")[:10]
        opened = f"{counted(total, 'reject is', 'rejects are')} open, the oldest since {oldest}."
        return self._page(
            "rejects.html.j2",
            "/rejects",
            live=True,
            job=job,
            verdict=opened if total else "No reject is open.",
            lines=lines[:MOST_LINES],
            total=total,
            more=len(lines) - MOST_LINES,
            closed=sorted(closed, key=lambda each: closers[each.closed_by].started_at, reverse=True)[:MOST_CLOSED],
            rows_address=rows_address,
            counted_at=site.rejects.counted_at,
        )

    def plans(self) -> str:
        """The plans that are files here."""
        self.site.reader.require_current()
        plans = self.site.plans.current()
        applied = self.site.reader.records({each.plan.run_id for each in plans})
        return self._page("plans.html.j2", "/plans", plans=plans, applied=applied, headline=plan_words.headline)

    def plan(self, key: str) -> str:
        """A plan: what a run would change, by attribute."""
        file = self.site.plan(key)
        if file is None:
            raise NotFound("This plan is not among the files here any more.")
        applied = self.site.reader.run(file.plan.run_id)
        commands = {} if applied is not None and applied.status == "finished" else self.site.commands.of_plan(file.path)
        return self._page(
            "plan_file.html.j2",
            "",
            plan=file.plan,
            path=file.path,
            applied=applied,
            words=plan_words,
            tone=plan_tone(file.plan),
            findings_of=findings_of,
            next_steps=dict(commands),
            remedy=_remedy,
        )

    def report_page(self, run_id: str) -> str:
        """The page that a run has written."""
        content = self.site.report_page(self._run(run_id))
        if content is None:
            raise NotFound("The report of this run is not in the state's folder on this machine.")
        return content

    def _run(self, run_id: str) -> RunRecord:
        self.site.reader.require_current()
        run = self.site.reader.run(run_id)
        if run is None:
            raise NotFound(f"The state has no run {run_id}.")
        return run

    def _page(
        self, template: str, here: str, *, live: bool = False, shows_sandbox: bool = False, **content: Any
    ) -> str:
        if live:
            follows = shows_sandbox and self.sandbox is not None
            content["stamp"] = self.sandbox_stamp() if follows else self.site.stamp()
            content["stream"] = "/sandbox/live" if follows else "/live"
        revealed = shows_sandbox and self.sandbox is not None and self.sandbox.reveal
        has_sandbox = self.sandbox is not None
        return rendered(template, site=self.site, here=here, revealed=revealed, has_sandbox=has_sandbox, **content)


def rows_address(run_id: str, step: str, reason: str, field: str | None, after: int | None = None) -> str:
    """The address of the rejected rows of a step with one reason and field."""
    query: dict[str, object] = {"step": step, "reason": reason}
    query |= {} if field is None else {"field": field}
    query |= {} if after is None else {"after": after}
    return f"/runs/{run_id}/rejects?{urlencode(query)}"


def why(line: JobLine) -> str:
    """Why somebody should look at a job."""
    reasons = [line.outcome] * line.failed + ["no run began when one was due"] * line.missed
    return "; ".join([*reasons, *([line.stale] if line.stale else [])])


def home_verdict(lines: Sequence[JobLine], looks: Sequence[Look], open_rows: int, these: str) -> str:
    """How all jobs are, or `these` of a page, in a sentence."""
    if not lines:
        return "No job has run yet."
    rejects = f"; {counted(open_rows, 'reject is', 'rejects are')} open" if open_rows else ""
    if looks:
        return f"{len(looks)} of {these}{counted(len(lines), 'job')} need{'s' * (len(looks) == 1)} a look{rejects}."
    waiting = [line for line in lines if line.newest is None]
    if len(waiting) == len(lines):
        return _not_run(waiting, "The job has", "These jobs have") + f"{rejects}."
    well = len(lines) - len(waiting)
    they = "runs as it should" if well == 1 else "run as they should"
    jobs = (
        "The job"
        if len(lines) == 1
        else f"{well} of {these}{len(lines)} jobs"
        if waiting
        else f"All {these}{well} jobs"
    )
    rest = f"; {_not_run(waiting, '1 job has', f'{len(waiting)} jobs have')}" if waiting else ""
    return f"{jobs} {they}{rest}{rejects}."


def _not_run(lines: Sequence[JobLine], one: str, several: str) -> str:
    """That these jobs have not run, or in the sandbox only."""
    tried = all(line.sandbox_run for line in lines)
    return f"{one if len(lines) == 1 else several} {'run in the sandbox only' if tried else 'not run yet'}"


def job_verdict(line: JobLine) -> str:
    """How a job is, in a sentence."""
    if line.newest is None:
        return f"{_not_run([line], 'It has', '')}."
    if line.missed:
        return f"No run began when one was due; the last one: {line.outcome}."
    rejected = line.counts.rejected if line.counts is not None else 0
    rejects = f", {counted(rejected, 'row')} rejected" if rejected else ""
    return f"The last run: {line.outcome}{rejects}."


def _remedy(code: str) -> str:
    return remedies().get(code, "")
