"""A mapping takes all other columns of its source, night after night: those of the first run, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import SourceError
from cio_etl.model import Report
from cio_etl.rejects import replay, request_for_run
from cio_etl.run import Caller, RunOptions, load_bookmarks
from cio_etl.state import open_store
from cio_etl.validate.dry_run import validate
from cio_etl.validate.plan import plan_file
from tests.nightly_step import KEYS, Nights, person

pytestmark = pytest.mark.usefixtures("keys")

STAR = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"*": {"except": ["secret"]}}}


def findings(report: Report) -> list[tuple[str, str, str]]:
    return [
        (each.code, each.severity, each.words) for each in report.steps[0].findings if each.code.startswith("columns_")
    ]


LEFT = ("columns_new", "warning", "1 new column is not sent: 'age'")


@pytest.mark.parametrize("sync", ["all", "changed"])
def test_a_new_column_is_told_each_night_and_taken_only_when_the_mapping_says_so(
    nights: Nights, sync: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.mapping, nights.step = STAR, {"sync": sync}
    first = nights.run([person(1, secret="x")])
    assert findings(first) == []
    assert nights.people() == {"1": {"plan": "free", "city": "Rome"}}

    rows = [person(1, plan="pro", secret="x", age="41")]
    for _ in range(2):
        assert findings(nights.run(rows)) == [LEFT]
        assert nights.people()["1"] == {"plan": "pro", "city": "Rome"}
    job = load_job(Path("job.yaml"), KEYS)
    validation = validate(job, job.steps, None, load_bookmarks(job))
    assert LEFT in findings(validation)
    assert "columns_appeared" not in [each.code for each in validation.steps[0].findings]
    plan = plan_file(Path("job.yaml"), RunOptions(), print, lambda: KEYS)
    assert LEFT[2] in [each.words for each in plan.steps[0].findings]
    capsys.readouterr()
    assert main(["run", "job.yaml", "--sandbox"]) == 0
    assert LEFT[2] in capsys.readouterr().out  # of a sandbox that is empty, too

    nights.mapping = {**STAR, "attributes": {"*": {"except": ["secret"], "new_columns": "take"}}}
    assert findings(nights.run(rows)) == [("columns_new", "notice", "1 new column is sent: 'age'")]
    assert nights.people()["1"]["age"] == "41"
    nights.mapping = STAR
    assert findings(nights.run([person(1, secret="x", age="42")])) == []
    assert nights.people()["1"] == {"plan": "free", "city": "Rome", "age": "42"}


def test_a_column_that_is_gone_is_told_and_its_attribute_stays(nights: Nights) -> None:
    nights.mapping = STAR
    nights.run([person(1)])
    row = person(1, plan="pro")
    del row["city"]
    words = "1 column is not in the source any more, so the attributes keep their values: 'city'"
    assert findings(nights.run([row])) == [("columns_gone", "warning", words)]
    assert nights.people()["1"] == {"plan": "pro", "city": "Rome"}
    assert findings(nights.run([person(1, city="Bonn")])) == []
    assert nights.people()["1"]["city"] == "Bonn"


def test_a_run_over_some_rows_says_nothing_about_tomorrow_s_columns(nights: Nights) -> None:
    nights.mapping = STAR
    nights.run([person(1), person(2)], limit=1)
    assert findings(nights.run([person(1, age="41"), person(2, age="42")])) == []
    assert nights.people()["2"]["age"] == "42"


def test_a_source_without_another_column_stops_the_run_before_anything_is_sent(nights: Nights) -> None:
    nights.mapping = {**STAR, "attributes": {"*": {"except": "*"}}}
    with pytest.raises(SourceError, match="the source has no other column; remove `\\*`"):
        nights.run([person(1)])
    assert not nights.bodies


def test_a_replay_sends_the_columns_that_its_run_has_taken(nights: Nights) -> None:
    nights.mapping = {**STAR, "attributes": {"email": "email", "*": {}}}
    nights.step, nights.settings = {}, {"rejects": "rows"}
    nights.run([person(1)])
    report = nights.run([person(1, email="ben@@example.com", age="41")])
    assert report.rejected == 1
    nights.mapping = {**STAR, "attributes": {"email": {"column": "email", "on_error": "omit"}, "*": {}}}
    nights.run([person(2)])
    job = load_job(Path("job.yaml"), KEYS)
    store = open_store(job.kept_in)
    try:
        request = request_for_run(store, report.run_id)
    finally:
        store.close()
    replayed = replay(request, job, RunOptions(), Caller())
    assert replayed is not None and replayed.steps[0].counts.accepted == 1
    assert nights.people()["1"] == {"plan": "free", "city": "Rome"}
    assert main(["preview", "job.yaml"]) == 0
