"""Every operation has its documented effect at Customer.io, through each API. Whole runs of the shipped mappings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.apis import APIS, unsupported
from cio_etl.config import load_job, load_mapping
from cio_etl.errors import ConfigError, CredentialsRefused
from cio_etl.model import Report
from cio_etl.run import Caller, RunOptions, run_job
from cio_etl.sandbox import Answer, Faults, Sandbox
from tests.running import API_KEY, SITE_ID, write_job

SHIPPED = {path.stem: path for path in (Path(__file__).parents[2] / "mappings" / "operations").glob("*.yaml")}
WRITE_KEY = "WRITE_KEY_OF_THE_TESTS"
KEYS = {name: "sandbox" for name in (SITE_ID, API_KEY, WRITE_KEY)}


def run(sandbox: Sandbox, api: str, *steps: tuple[str, Sequence[Mapping[str, Any]]], **settings: Any) -> Report:
    """Runs a job of (shipped mapping, rows) steps, which go to the sandbox through one API."""
    written = {}
    for number, (name, rows) in enumerate(steps):
        pl.DataFrame([dict(row) for row in rows], infer_schema_length=None).with_columns(
            pl.col(pl.Null).cast(pl.String)
        ).write_parquet(f"{number}.parquet")
        written[f"{number}-{name}"] = ({"parquet": f"{number}.parquet"}, str(SHIPPED[name]))
    to = {"api": api, "write_key": f"${{{WRITE_KEY}}}", "lanes": 4, "requests_per_second": "unlimited"}
    path = write_job(Path("job.yaml"), sandbox.url, written, destination=to, max_rejects="100%", **settings)
    return run_job(load_job(path, KEYS), RunOptions(), Caller())


def counts(report: Report) -> list[tuple[int, int, int]]:
    return [(step.counts.accepted, step.counts.rejected, step.counts.skipped) for step in report.steps]


@pytest.mark.parametrize("api", APIS)
def test_each_api_accepts_the_shipped_mappings_of_its_operations(api: str, sandbox: Sandbox) -> None:
    """The examples of each mapping are a step of one run."""
    mappings = {name: load_mapping(path) for name, path in sorted(SHIPPED.items())}
    examples = {name: each.examples for name, each in mappings.items() if not list(unsupported(each, api))}
    report = run(sandbox, api, *((name, [one.row for one in of_one]) for name, of_one in examples.items()))
    assert len(report.steps) == len(examples) > 10 and sandbox.refused == frozenset()
    for (name, of_one), step in zip(examples.items(), report.steps, strict=True):
        outcomes = Counter("rejected" if one.rejected else "skipped" if one.skipped else "sent" for one in of_one)
        assert (step.counts.accepted, step.counts.rejected, step.counts.skipped) == (
            outcomes["sent"],
            outcomes["rejected"],
            outcomes["skipped"],
        ), name
        assert step.rows_read == len(of_one), name
        assert {reject.reason for reject in step.rejects} == {one.rejected for one in of_one if one.rejected}, name
        assert not any(reject.reason.startswith(("http", "refused", "answer")) for reject in step.rejects), name


COMPANY = {"company_id": "acme", "name": "Acme", "seats": "12", "owner_id": "7"}
TIED = {"user_id": "42", "company_id": "acme", "role": "owner", "left_on": None}
DEVICE = {"user_id": "42", "push_token": "f3a9", "os": "iOS", "revoked": "no"}


@pytest.mark.parametrize("api", APIS)
def test_objects_relationships_and_devices_are_added_and_deleted(api: str, sandbox: Sandbox) -> None:
    report = run(sandbox, api, ("identify_object", [COMPANY]), ("add_device", [DEVICE]), ("add_relationships", [TIED]))
    assert counts(report) == [(1, 0, 0)] * 3
    person, company = sandbox.people.find("id", "42"), sandbox.objects.find(1, "acme")
    assert person is not None and company is not None
    assert (company.attributes["name"], company.attributes["seats"]) == ("Acme", 12)
    assert person.relationships == {company.cio_object_id: {"role": "owner"}}
    assert {token: device.platform for token, device in person.devices.items()} == {"f3a9": "ios"}
    gone: list[tuple[str, list[dict[str, Any]]]] = [
        ("delete_relationships", [TIED | {"left_on": "2024-03-10"}]),
        ("delete_device", [DEVICE | {"revoked": "yes"}]),
        ("delete_object", [{"company_id": "acme", "closed_on": "2024-03-10"}]),
    ]
    assert counts(run(sandbox, api, *gone)) == [(1, 0, 0)] * 3
    person = sandbox.people.find("id", "42")
    assert person is not None and not person.relationships and not person.devices
    assert sandbox.objects.find(1, "acme") is None


@pytest.mark.parametrize("api", APIS)
def test_people_are_suppressed_and_unsuppressed(api: str, sandbox: Sandbox) -> None:
    who = [{"user_id": "42", "status": "confirmed"}]
    run(sandbox, api, ("add_device", [DEVICE]))
    assert sandbox.people.find("id", "42") is not None
    run(sandbox, api, ("suppress", who), ("add_device", [DEVICE]))
    assert sandbox.people.find("id", "42") is None and sandbox.stats()["effects"]["suppressed_calls"] == 1
    run(sandbox, api, ("unsuppress", who), ("add_device", [DEVICE]))
    assert sandbox.people.find("id", "42") is not None
    run(sandbox, api, ("delete", who))
    assert sandbox.people.find("id", "42") is None


@pytest.mark.parametrize("api", APIS)
def test_views_and_events_of_visitors_count_once_when_sent_twice(api: str, sandbox: Sandbox) -> None:
    seen = "2024-03-10T09:00:00Z"
    pages = [
        {"view_id": f"v{n}", "user_id": str(n % 3), "page_title": "Prices", "url": "u", "referrer": None, "bot": None}
        for n in range(30)
    ]
    visits = [{"view_id": f"v{n}", "visitor_id": f"x{n % 3}", "product": "Moka pot", "bot": None} for n in range(30)]
    steps = (
        ("page", [row | {"seen_at": seen} for row in pages]),
        ("track_anonymous", [row | {"seen_at": seen} for row in visits]),
    )
    for _ in range(2):
        assert counts(run(sandbox, api, *steps)) == [(30, 0, 0)] * 2
    assert len(sandbox.people.events) == 60 and len(sandbox.people.anonymous_events) == 30
    assert Counter(event.name for event in sandbox.people.events.values()) == {"Prices": 30, "product_viewed": 30}
    assert {event.timestamp for event in sandbox.people.events.values()} == {1_710_061_200}


def test_an_identify_of_existing_people_only_creates_nobody_and_changes_one_topic(sandbox: Sandbox) -> None:
    row = {"plan": "pro", "newsletter": "yes", "offers": None, "company_id": "acme", "role": "owner"}
    run(sandbox, "track", ("add_device", [DEVICE]))
    run(sandbox, "track", ("identify_with_more", [row | {"user_id": "42"}, row | {"user_id": "43"}]))
    person = sandbox.people.find("id", "42")
    assert person is not None and sandbox.people.find("id", "43") is None
    assert person.attributes["plan"] == "pro" and "_update" not in person.attributes
    assert person.attributes["cio_subscription_preferences"] == {"topics": {"topic_1": True}}
    assert list(person.relationships.values()) == [{"role": "owner"}]


def test_a_merge_makes_one_person_of_two(sandbox: Sandbox) -> None:
    run(sandbox, "track", ("add_device", [DEVICE, DEVICE | {"user_id": "7", "push_token": "b2"}]))
    merge = {"keep_id": "42", "approved": "yes"}
    report = run(sandbox, "track", ("merge", [merge | {"merge_email": "nobody@example.com"}]))
    assert counts(report) == [(1, 0, 0)] and sandbox.stats()["effects"]["merges_of_nobody"] == 1


def test_a_segment_call_has_at_most_a_thousand_ids(sandbox: Sandbox) -> None:
    people = [DEVICE | {"user_id": str(n), "push_token": str(n)} for n in range(2_500)]
    run(sandbox, "track", ("add_device", people))
    winners = [{"user_id": str(n), "winner": "yes"} for n in range(2_500)]
    (step,) = run(sandbox, "track", ("add_to_segment", [*winners, {"user_id": "x", "winner": "yes"}])).steps
    assert (step.counts.accepted, step.counts.requests) == (2_501, 4)  # of each of four lanes one
    assert len(sandbox.people.segment(7)) == 2_500 and sandbox.stats()["effects"]["segment_ids_ignored"] == 1


@pytest.mark.fault("N19")
@pytest.mark.parametrize("told", [False, True])
def test_a_deletion_whose_answer_is_lost_is_sent_again_only_when_the_mapping_says_so(
    told: bool, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if told:
        text = SHIPPED["delete"].read_text() + "retry_unknown: true\n"
        (tmp_path / "told.yaml").write_text(text)
        monkeypatch.setitem(SHIPPED, "delete", tmp_path / "told.yaml")
    sandbox.set_faults(Faults(script=("ok", "lost_after")))
    (step,) = run(sandbox, "track", ("delete", [{"user_id": str(n), "status": "confirmed"} for n in range(9)])).steps
    assert step.counts.accepted + step.counts.rejected == 9
    if told:
        assert step.counts.rejected == 0 and step.counts.requests == step.counts.batches + 1
    else:
        (reject,) = step.rejects
        assert (reject.reason, reject.rows) == ("outcome_unknown", step.counts.rejected)
        assert step.counts.rejected > 0 and step.counts.requests == step.counts.batches


@pytest.mark.fault("N7")
@pytest.mark.parametrize("api", APIS)
def test_a_deletion_with_an_ambiguous_answer_is_not_sent_again(api: str, sandbox: Sandbox) -> None:
    untold = Answer(207, b'{"errors": []}', applied=True)
    sandbox.set_faults(Faults(script=(untold,) if api == "track" else ("ok", untold)))
    rows = [{"user_id": str(n), "status": "confirmed"} for n in range(40)]
    (step,) = run(sandbox, api, ("delete", rows)).steps
    (reject,) = step.rejects
    assert (reject.reason, reject.rows) == ("outcome_unknown", step.counts.rejected)
    assert step.counts.accepted + step.counts.rejected == 40 == sandbox.stats()["effects"]["deletes"]
    assert step.counts.requests == step.counts.batches and step.counts.possibly_sent_twice == 0


@pytest.mark.fault("N10")
@pytest.mark.parametrize("script", [("ok", "401"), ("ok", "429", "401"), ("ok", "ok", "403")])
def test_deletions_refused_for_their_credentials_are_sent_once_these_are_right(
    script: tuple[str, ...], sandbox: Sandbox
) -> None:
    sandbox.set_faults(Faults(script=script + ("401",) * 20))
    rows = [{"user_id": str(n), "status": "confirmed"} for n in range(40)]
    with pytest.raises(CredentialsRefused):
        run(sandbox, "track", ("delete", rows))
    sandbox.set_faults(Faults())
    (step,) = run(sandbox, "track", ("delete", rows)).steps
    assert (step.counts.accepted, step.counts.rejected, step.counts.possibly_sent_twice) == (40, 0, 0)
    assert sandbox.stats()["effects"]["deletes"] == 40


def test_a_row_sent_twice_in_a_run_has_one_message_id_and_another_in_the_next_run(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(script=("ok", "lost_after")))  # the first asks whether the key is taken
    for times in (1, 2):
        assert counts(run(sandbox, "pipelines", ("add_device", [DEVICE]))) == [(1, 0, 0)]
        assert len(sandbox.messages) == times
    assert sorted(sandbox.messages.values()) == [1, 2]


@pytest.mark.fault("N8")
def test_a_batch_that_pipelines_refuses_is_halved_until_the_bad_call_is_rejected(sandbox: Sandbox) -> None:
    rows = [DEVICE | {"user_id": str(n), "push_token": str(n)} for n in range(40)]
    sandbox.set_faults(Faults(max_body_bytes=2_000))  # whatever is larger is refused as a whole
    (step,) = run(sandbox, "pipelines", ("add_device", rows)).steps
    assert (step.counts.accepted, step.counts.rejected) == (40, 0) and step.counts.requests > step.counts.batches


def test_an_operation_that_an_api_lacks_is_reported_with_its_line(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(ConfigError) as raised:
        run(sandbox, "pipelines", ("merge", [{"keep_id": "1", "merge_email": "a@b.co", "approved": "yes"}]))
    (problem,) = raised.value.problems
    assert problem.file.endswith("merge.yaml") and problem.line is not None
    assert str(problem).endswith("operation: the Pipelines API has no merge; write api: track in the job")


def test_a_job_changes_api_by_one_line(sandbox: Sandbox) -> None:
    for api in APIS:
        run(sandbox, api, ("add_relationships", [TIED]))
        written = json.loads(Path("job.yaml").read_text())
        assert written["destination"].pop("api") == api
        Path(f"{api}.json").write_text(json.dumps(written))
    assert Path("track.json").read_text() == Path("pipelines.json").read_text()
