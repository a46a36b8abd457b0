"""How a run has ended is known to what must be done then: on every door, and also when there was no run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cio_etl import state
from cio_etl.config import load_job
from cio_etl.errors import ConfigError, EtlError, JobLocked, PlanOutdated, TooManyRejects
from cio_etl.model import Report
from cio_etl.rejects import replay, request_for_run
from cio_etl.run import Caller, RunOptions, ending_run
from cio_etl.run.ended import Ended
from cio_etl.run.ending import ENDINGS
from cio_etl.run.start import run_file
from cio_etl.validate.plan import apply_plan, plan_file
from tests.nightly_step import KEYS, Nights, person

JOB = Path("job.yaml")


@pytest.fixture
def ends() -> Iterator[list[Ended]]:
    seen: list[Ended] = []

    def see(ended: Ended) -> Report | None:
        seen.append(ended)
        return ended.report

    ENDINGS.append(see)
    yield seen
    ENDINGS.remove(see)


def outcomes(ends: list[Ended]) -> list[tuple[str | None, type[EtlError] | None]]:
    return [
        (None if each.report is None else each.report.status, None if each.error is None else type(each.error))
        for each in ends
    ]


def test_a_run_a_replay_and_an_applied_plan_end_at_the_same_place(nights: Nights, ends: list[Ended]) -> None:
    nights.write([person(1), person(2, id=None)])
    report = run_file(JOB, RunOptions(), Caller(), lambda: KEYS)
    job = load_job(JOB, KEYS)
    with closing(state.open_store(job.state_location)) as store:
        request = request_for_run(store, report.run_id)
    replayed = replay(request, job, RunOptions(), Caller())
    nights.write([person(1, plan="paid")])
    plan = plan_file(JOB, RunOptions(), print, lambda: KEYS)
    applied = apply_plan(plan, RunOptions(), Caller(), lambda: KEYS)
    assert [each.report for each in ends] == [report, replayed, applied]
    assert outcomes(ends) == [("finished", None)] * 3
    assert [each.job.name for each in ends] == ["job", "job.replay", "job"]
    assert replayed is not None and replayed.job == "job.replay"


def test_a_run_that_stops_ends_with_its_report_and_one_that_cannot_begin_without(
    nights: Nights, ends: list[Ended]
) -> None:
    nights.settings = {"max_rejects": 0}
    nights.write([person(1, id=None)])
    with pytest.raises(TooManyRejects):
        run_file(JOB, RunOptions(), Caller(), lambda: KEYS)
    with pytest.raises(ConfigError):
        run_file(JOB, RunOptions(), Caller(), dict)  # no keys
    job = load_job(JOB, KEYS)
    with state.hold(job.state_location, job.name), pytest.raises(JobLocked):
        run_file(JOB, RunOptions(), Caller(), lambda: KEYS)
    plan = plan_file(JOB, RunOptions(), print, lambda: KEYS)
    nights.write([person(2)])
    with pytest.raises(PlanOutdated):
        apply_plan(plan, RunOptions(), Caller(), lambda: KEYS)
    assert outcomes(ends) == [
        ("stopped", TooManyRejects),
        (None, ConfigError),
        (None, JobLocked),
        (None, PlanOutdated),
    ]
    assert ends[1].job.name == "job"


def test_an_interrupted_program_ends_as_a_run_that_was_asked_to_stop(nights: Nights, ends: list[Ended]) -> None:
    nights.write([person(1)])
    with pytest.raises(KeyboardInterrupt), ending_run(load_job(JOB, KEYS), RunOptions(), Caller()):
        raise KeyboardInterrupt
    assert ends[0].error is not None and ends[0].error.exit_code == 130


def test_what_fails_at_the_end_changes_neither_the_report_nor_the_run(nights: Nights, ends: list[Ended]) -> None:
    def fails(ended: Ended) -> Report | None:
        raise RuntimeError

    ENDINGS.insert(0, fails)
    try:
        nights.write([person(1)])
        report = run_file(JOB, RunOptions(), Caller(), lambda: KEYS)
    finally:
        ENDINGS.remove(fails)
    assert report.status == "finished" and [each.report for each in ends] == [report]
