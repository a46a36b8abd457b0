"""A dry run reports what a run would do, and the place of each example that differs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from cio_etl.config.examples import check_examples
from cio_etl.errors import SourceError, StateError
from cio_etl.extract import open_source
from cio_etl.model import (
    Bookmark,
    Column,
    Constant,
    CsvSource,
    Destination,
    Example,
    Forecast,
    Job,
    Mapping,
    MaxRejects,
    Omitted,
    OmittedCount,
    ParquetSource,
    RejectCount,
    Report,
    Source,
    Staging,
    Step,
)
from cio_etl.run import prepare
from cio_etl.run.reports import write_reports
from cio_etl.validate.dry_run import validate
from cio_etl.validate.preview import preview, previewed
from tests.mapped_rows import attributes, column, mapping, rows, texts

PEOPLE = """\
id,e_mail,plan
1,a@b.co,pro
2,nope,pro
3,c@d.co,internal
,e@f.co,pro
5,g@h.co
6,i@j.co,free
,k@l.co,free
8,m@n.co,x
"""
PLANS = {"map": {"pro": "Pro", "free": "Free", "internal": "-"}}
PERSON = mapping(attributes={"email": Column("e_mail"), "plan": column("plan", PLANS)}, when="plan <> 'internal'")

ONE = mapping(attributes=attributes(a="a"))


def people(content: str = PEOPLE, name: str = "people.csv") -> CsvSource:
    Path(name).write_text(content, encoding="utf-8")
    return CsvSource((name,))


def job(*steps: Step, rejects: MaxRejects | None = None, lanes: int = 4, max_batch_bytes: int = 500_000) -> Job:
    secret = SecretStr("none is read")
    destination = Destination(
        "track", "", dict.fromkeys(("site_id", "api_key"), secret), lanes=lanes, max_batch_bytes=max_batch_bytes
    )
    return Job(
        "j.yaml",
        "j",
        Path("state"),
        destination=destination,
        steps=steps,
        max_rejects=rejects or MaxRejects(share=1.0),
    )


def dry_run(job: Job, limit: int | None = None) -> Report:
    return validate(job, job.steps, limit, {})


# ---------------------------------------------------------------- validate


def test_what_a_run_would_come_to_is_reckoned() -> None:
    lines = "".join(f"{n % 7},a{n}@b.co,free\n" for n in range(100))
    source = people(f"id,e_mail,plan\n{lines},x@y.co,free\n")
    (step,) = dry_run(job(Step("people", source, PERSON), lanes=1, max_batch_bytes=32_100)).steps
    assert step.forecast == Forecast(
        people=7,
        people_exact=True,
        events=0,
        requests=step.counts.requests,
        bytes=step.counts.bytes_sent,
        seconds=0.2,
        requests_per_second=100.0,
        lanes=1,
        latency_s=0.25,
    )
    event = mapping("track", identifiers={"id": Column("plan")})
    (events,) = dry_run(job(Step("events", people(), event))).steps
    assert events.forecast is not None and (events.forecast.people, events.forecast.events) == (4, 7)


def test_a_column_of_another_kind_than_in_the_last_run_is_found_before_a_run_stops_for_it() -> None:
    pl.DataFrame({"id": ["1", "2"], "e_mail": ["a@b.co", "c@d.co"], "plan": ["pro", "free"]}).write_parquet("p.parquet")
    validated_job = job(Step("people", ParquetSource(("p.parquet",)), PERSON))
    before = Bookmark(columns={"id": "numbers", "e_mail": "text"})
    (step,) = validate(validated_job, validated_job.steps, None, {"people": before}).steps
    assert [(finding.code, finding.severity) for finding in step.findings] == [
        ("column_changed", "warning"),
        ("columns_appeared", "notice"),
    ]


def test_findings_name_the_first_rows_by_file_and_line() -> None:
    lines = "1,a@b.co,free\n2,c@d.co,free\n3,A@b.co,pro\n"
    (step,) = dry_run(job(Step("people", people("id,e_mail,plan\n" + lines), PERSON))).steps
    (finding,) = step.findings
    assert (finding.code, finding.rows, finding.first_rows) == ("email_shared", 2, ("people.csv:2", "people.csv:4"))


def test_every_row_is_counted_once_with_its_reason_and_first_places() -> None:
    report = dry_run(job(Step("people", people(), PERSON)))
    (step,) = report.steps
    assert (step.rows_read, step.counts.accepted, step.counts.rejected, step.counts.skipped) == (8, 2, 5, 1)
    assert step.rejects == (
        RejectCount("identifier_missing", "identifiers.id", 2, ("people.csv:5", "people.csv:8")),
        RejectCount("email_malformed", "attributes.email", 1, ("people.csv:3",)),
        RejectCount("map_unmatched", "attributes.plan", 1, ("people.csv:9",)),
        RejectCount("row_ragged", None, 1, ("people.csv:6",)),
    )
    assert (report.status, report.exit_code, report.reason, report.resumable) == ("finished", 3, None, False)
    assert (step.counts.retries, step.counts.possibly_sent_twice) == (0, 0)


def test_the_counts_are_those_of_the_items_that_a_run_would_send(tmp_path: Path) -> None:
    lines = [
        f"{n % 7 or ''},{'a@b.co' if n % 5 else 'nope'},{('pro', 'free', 'internal', 'x')[n % 4]}" for n in range(2_000)
    ]
    source = people("\n".join(["id,e_mail,plan", *lines, ""]))
    step = Step("people", source, PERSON)
    snapshot = open_source(source, Staging(tmp_path / "s"))
    snapshot, compiled = prepare(step, snapshot, 1, "track")
    items = pl.concat([compiled.items(frame) for frame in snapshot.read(compiled.columns, 0)])
    sizes = [len(item.encode()) for item in items["item"].drop_nulls()]
    (said,) = dry_run(job(step, lanes=1)).steps
    assert said.rows_read == said.counts.settled == items.height == 2_000
    assert said.counts.accepted == len(sizes)
    assert said.counts.rejected == items["reason"].drop_nulls().len()
    counted = Counter(items.filter(pl.col("reason").is_not_null()).select("reason", "field").iter_rows())
    assert {(count.reason, count.field): count.rows for count in said.rejects} == counted
    assert (said.counts.batches, said.counts.requests) == (1, 1)
    assert said.counts.bytes_sent == len('{"batch":[') + sum(sizes) - 1 + len("]}")


@pytest.mark.parametrize("lanes", [1, 4])
def test_requests_are_the_bodies_that_lanes_would_send(lanes: int) -> None:
    content = "id,e_mail,plan\n" + "".join(f"{n},a{n}@b.co,pro\n" for n in range(1_000))
    (whole,) = dry_run(job(Step("people", people(content), PERSON), lanes=lanes)).steps
    assert whole.counts.requests == lanes
    (cut,) = dry_run(job(Step("people", people(content), PERSON), lanes=lanes, max_batch_bytes=40_000)).steps
    assert (
        cut.counts.requests >= whole.counts.bytes_sent / 40_000
        and cut.counts.requests <= whole.counts.bytes_sent / 39_800 + lanes
    )
    around = len('{"batch":[]}') - 1  # what a body has more than its items with a comma each
    assert (
        cut.counts.bytes_sent - cut.counts.requests * around == whole.counts.bytes_sent - whole.counts.requests * around
    )


@pytest.mark.parametrize(
    ("allowed", "exit_code", "reason"),
    [
        (MaxRejects(rows=5), 3, None),
        (MaxRejects(rows=4), 4, "5 rows rejected, more than max_rejects allows (4 rows)"),
        (MaxRejects(share=0.625, at_least=0), 3, None),
        (MaxRejects(share=0.5, at_least=0), 4, "5 rows rejected, more than max_rejects allows (4 rows, 50 % of 8)"),
        (MaxRejects(share=0.5), 3, None),
    ],
)
def test_too_many_rejects_are_told_as_a_run_would_end(allowed: MaxRejects, exit_code: int, reason: str | None) -> None:
    report = dry_run(job(Step("people", people(), PERSON), rejects=allowed))
    assert report.exit_code == exit_code
    assert report.reason == (reason and f"a run would stop in step people: {reason}")


def test_a_source_without_a_bad_row_ends_well() -> None:
    report = dry_run(job(Step("people", people("id,e_mail,plan\n1,a@b.co,pro\n"), PERSON)))
    assert (report.exit_code, report.steps[0].rejects) == (0, ())


def test_a_header_alone_is_no_rows() -> None:
    (step,) = dry_run(job(Step("people", people("id,e_mail,plan\n"), PERSON))).steps
    assert (step.rows_read, step.counts.settled, step.counts.requests, step.counts.bytes_sent) == (0, 0, 0, 0)


def test_a_limit_is_of_each_step() -> None:
    first, second = Step("one", people(), PERSON), Step("two", people(), mapping())
    report = dry_run(job(first, second), limit=2)
    assert [(step.name, step.rows_read, step.counts.accepted, step.counts.rejected) for step in report.steps] == [
        ("one", 2, 1, 1),
        ("two", 2, 2, 0),
    ]


def test_rejects_of_several_files_name_the_file() -> None:
    people(name="a.csv")
    people("id,e_mail,plan\n,x@y.co,pro\n,x@y.co,pro\n", name="b.csv")
    (step,) = dry_run(job(Step("people", CsvSource(("a.csv", "b.csv")), PERSON))).steps
    assert step.rejects[0] == RejectCount("identifier_missing", "identifiers.id", 4, ("a.csv:5", "a.csv:8", "b.csv:2"))


def test_a_fault_that_would_stop_a_run_at_once_stops_its_validation() -> None:
    with pytest.raises(SourceError, match=r"^m\.yaml: the source has no column 'gone'; it has 'id', 'e_mail', 'plan'$"):
        dry_run(job(Step("people", people(), mapping(attributes=attributes(a="gone")))))
    assert not Path("state").exists()


def test_events_of_people_whose_row_is_rejected_are_a_finding() -> None:
    csv = "id,e_mail,plan\n1,a@b.co,pro\n2,nope,pro\n3,nope,pro\n3,c@d.co,pro\n,x@y.co,pro\n"
    who = mapping(attributes={"email": Column("e_mail")})
    events = mapping("track", event=Column("plan"), timestamp=Constant(1_710_061_200))
    steps = (Step("people", people(csv), who), Step("orders", people("id,plan\n1,x\n2,x\n2,y\n3,x\n", "o.csv"), events))
    _, orders = dry_run(job(*steps)).steps
    (finding,) = (one for one in orders.findings if one.code == "events_of_rejected_people")
    assert (finding.severity, finding.field, finding.rows) == ("warning", "identifiers.id", 2)
    assert finding.first_rows == ("o.csv:3", "o.csv:4")
    assert finding.words == (
        "2 events are of people whose row step people rejects; they get a profile without attributes"
    )
    alone = dry_run(job(steps[1])).steps[0]
    assert "events_of_rejected_people" not in [one.code for one in alone.findings]


# ---------------------------------------------------------------- preview


def test_a_preview_shows_the_first_rows_with_what_becomes_of_them() -> None:
    shown = list(preview(Step("people", people(), PERSON), 4, "track"))
    payload = {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": "1"},
        "attributes": {"email": "a@b.co", "plan": "Pro"},
    }
    assert shown == [
        {"row": 1, "payload": payload},
        {"row": 2, "rejected": "email_malformed", "field": "attributes.email"},
        {"row": 3, "skipped": True},
        {"row": 4, "rejected": "identifier_missing", "field": "identifiers.id"},
    ]
    assert len(list(preview(Step("people", people(), PERSON), 100, "track"))) == 8


def test_values_without_which_rows_are_sent_are_counted_by_reason_and_shown() -> None:
    lenient = replace(PERSON, on_error={"attributes.email": None, "attributes.plan": Constant("other")})
    (step,) = dry_run(job(Step("people", people(), lenient))).steps
    assert (step.counts.accepted, step.counts.rejected, step.counts.skipped) == (4, 3, 1)
    assert step.omitted == Omitted(
        2,
        (
            OmittedCount("email_malformed", "attributes.email", 1, ("people.csv:3",)),
            OmittedCount("map_unmatched", "attributes.plan", 1, ("people.csv:9",)),
        ),
    )
    assert step.profile is not None
    cells = {row.code: dict(row.cells) for row in step.profile.rows}
    assert cells["email_malformed"] == {"id": "#", "e_mail": "xxxx"}
    shown = list(preview(Step("people", people(), lenient), 9, "track"))
    assert shown[1] == {
        "row": 2,
        "payload": {
            "type": "person",
            "action": "identify",
            "identifiers": {"id": "2"},
            "attributes": {"plan": "Pro"},
        },
        "omitted": {"attributes.email": "email_malformed"},
    }
    assert [row["row"] for row in shown if "omitted" in row] == [2, 8]
    lines = [row.line("s") for row in previewed(Step("s", people(), lenient), 9, "track")]
    assert json.loads(lines[1]) == {"step": "s", **shown[1]}


def parquet(**columns: Any) -> Source:
    pl.DataFrame(columns).write_parquet("rows.parquet")
    return ParquetSource(("rows.parquet",))


@pytest.mark.parametrize(
    "column_",
    [
        pl.Series([1e16, -0.0, 1.0, 5e-324]),
        pl.Series([2**53 + 1, -(2**63), 2**63 - 1, 1]),
        pl.Series([2**64 - 1, 10**19], dtype=pl.UInt64),
        pl.Series([Decimal("1234567890123456.78"), Decimal("1.10"), Decimal("-0.00")]),
        pl.Series(["a\x7f\u200b\ufeff\u2028é😀\U0010ffff", '"\\\n', ""]),
        pl.Series([{"d": Decimal("1.10")}, None]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_the_lines_of_a_preview_have_the_bytes_that_a_run_sends(column_: pl.Series) -> None:
    frame = {"id": [str(n) for n in range(len(column_))], "a": column_}
    lines = [row.line("s") for row in previewed(Step("s", parquet(**frame), ONE), 9, "track")]
    sent = [f'{{"step": "s", "row": {n}, "payload": {text}}}' for n, text in enumerate(texts(ONE, rows(frame)), 1)]
    assert lines == sent


def test_json_text_is_previewed_as_it_is_sent_with_a_key_that_occurs_twice() -> None:
    text = '{"a":1,"a":2,"b":1.10,"d":1e16}'
    step = Step("s", parquet(id=["1"], j=[text]), mapping(attributes={"j": column("j", "json")}))
    (row,) = previewed(step, 1, "track")
    sent = text.replace('"a":1,', "")  # the last of a key counts; what remains is as it is written
    assert f'"attributes":{{"j":{sent}}}' in row.line("s")
    values = row.result()["payload"]["attributes"]["j"]
    assert values == {"a": 2, "b": 1.1, "d": 1e16} and isinstance(values["d"], float)


def test_a_number_that_a_float_would_change_is_a_decimal_for_python() -> None:
    step = Step("s", parquet(id=["1"], a=[Decimal("1234567890123456.78")]), ONE)
    (row,) = preview(step, 1, "track")
    assert row["payload"]["attributes"] == {"a": Decimal("1234567890123456.78")}


def test_a_preview_reads_the_first_rows_as_a_run_that_knows_them_all_would() -> None:
    how = mapping(attributes={"at": column("at", "timestamp")})
    seconds = parquet(id=["1", "2", "3"], at=[86_400, 5, 1_710_061_200])
    assert [shown["payload"]["attributes"] for shown in preview(Step("s", seconds, how), 2, "track")] == [
        {"at": 86_400},
        {"at": 5},
    ]
    doubtful = parquet(id=["1", "2"], at=[1_710_061_200, 1_710_061_200_000])
    with pytest.raises(SourceError, match="some numbers look like seconds and milliseconds"):
        list(preview(Step("s", doubtful, how), 1, "track"))


# ---------------------------------------------------------------- examples

ROW = {"id": 7, "e_mail": "a@b.co", "plan": "pro", "n": "2", "tags": "x,y"}
FULL = mapping(
    attributes={
        "email": Column("e_mail"),
        "plan": column("plan", PLANS),
        "half": column("n", {"divide": 2}),
        "tags": column("tags", "split"),
        "k": Constant({"deep": [1, True]}),
    },
    when="plan <> 'internal'",
)
PAYLOAD: dict[str, Any] = {
    "type": "person",
    "action": "identify",
    "identifiers": {"id": "7"},
    "attributes": {"email": "a@b.co", "plan": "Pro", "half": 1.0, "tags": ["x", "y"], "k": {"deep": [1, True]}},
}


def with_examples(how: Mapping, *examples: Example) -> Mapping:
    return replace(how, examples=examples)


def found(how: Mapping, *examples: Example) -> list[str]:
    return [str(problem) for problem in check_examples(with_examples(how, *examples))]


def changed(**attributes: Any) -> dict[str, Any]:
    return PAYLOAD | {"attributes": PAYLOAD["attributes"] | attributes}


def test_examples_that_come_out_as_they_say_are_no_problems() -> None:
    assert (
        found(
            FULL,
            Example(ROW, payloads={"track": PAYLOAD}),
            Example(ROW, payloads={"track": changed(half=1)}),  # 1 and 1.0 are one number in JSON
            Example(ROW | {"id": None}, rejected="identifier_missing"),
            Example(ROW | {"plan": "internal"}, skipped=True),
        )
        == []
    )


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        (changed(plan="pro"), "payload.attributes.plan"),
        (changed(half=True), "payload.attributes.half"),
        (changed(half="1.0"), "payload.attributes.half"),
        (changed(extra=None), "payload.attributes.extra"),
        (changed(tags=["y", "x"]), "payload.attributes.tags[0], payload.attributes.tags[1]"),
        (changed(tags=["x"]), "payload.attributes.tags"),
        (changed(k={"deep": [True, True]}), "payload.attributes.k.deep[0]"),
        (changed(k={"deep": [1, 1]}), "payload.attributes.k.deep[1]"),
        (changed(k=None, email="A@B.CO"), "payload.attributes.email, payload.attributes.k"),
        (PAYLOAD | {"identifiers": {"email": "7"}}, "payload.identifiers.email, payload.identifiers.id"),
        ({name: value for name, value in PAYLOAD.items() if name != "action"}, "payload.action"),
        (PAYLOAD | {"attributes": []}, "payload.attributes"),
        (PAYLOAD | {"name": "x"}, "payload.name"),
    ],
)
def test_a_payload_that_differs_is_told_by_its_paths_and_without_values(expected: dict[str, Any], path: str) -> None:
    assert found(FULL, Example(ROW, payloads={"track": expected}, line=12)) == [
        f"m.yaml:12: examples[0]: the payload differs at {path}"
    ]


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            Example(ROW | {"id": None}, payloads={"track": PAYLOAD}),
            "a payload was expected, but the row is rejected: identifier_missing",
        ),
        (
            Example(ROW | {"plan": "internal"}, payloads={"track": PAYLOAD}),
            "a payload was expected, but the row is skipped",
        ),
        (Example(ROW, skipped=True), "skipped was expected, but the row is sent"),
        (
            Example(ROW | {"id": None}, skipped=True),
            "skipped was expected, but the row is rejected: identifier_missing",
        ),
        (Example(ROW, rejected="email_malformed"), "rejected: email_malformed was expected, but the row is sent"),
        (Example(ROW | {"plan": "internal"}, rejected="x"), "rejected: x was expected, but the row is skipped"),
        (
            Example(ROW | {"e_mail": "secret"}, rejected="identifier_missing"),
            "rejected: identifier_missing was expected, but the row is rejected: email_malformed",
        ),
        (
            Example(ROW | {"n": [1]}, skipped=True),
            "attributes.half: column 'n': divide needs text or a number; the column holds lists of whole numbers",
        ),
    ],
)
def test_another_outcome_than_the_example_s_is_told(example: Example, message: str) -> None:
    assert found(FULL, Example(ROW, payloads={"track": PAYLOAD}), example) == [f"m.yaml: examples[1]: {message}"]


def test_an_example_whose_row_lacks_a_column_says_which() -> None:
    assert found(FULL, Example({"id": "7"}, skipped=True)) == [
        "m.yaml: examples[0].row: has no 'e_mail', 'plan', 'n', 'tags', which the mapping uses; add the "
        "missing columns, with null for no value"
    ]


@pytest.mark.parametrize("value", [[["x"], 1, 0.5], [{"a": [1, "x", True]}, 3], [["x"], 0.5]])
def test_a_row_that_no_columns_can_hold_is_told_and_not_a_bug(value: Any) -> None:
    assert found(FULL, Example(ROW | {"o.k": value}, payloads={"track": PAYLOAD})) == [
        "m.yaml: examples[0].row['o.k']: a list with values of several types, which no column can contain"
    ]


def test_every_example_is_told_by_its_number() -> None:
    assert found(
        FULL, Example(ROW, skipped=True), Example(ROW, payloads={"track": PAYLOAD}), Example(ROW, skipped=True)
    ) == [f"m.yaml: examples[{n}]: skipped was expected, but the row is sent" for n in (0, 2)]


def test_an_event_s_id_is_compared_only_where_the_example_has_one() -> None:
    how = mapping("track", timestamp=column("at", "timestamp"), event_key=("k",))
    row = {"id": "7", "at": "2024-03-10T09:00:00Z", "k": 1}
    payload = {
        "type": "person",
        "action": "event",
        "identifiers": {"id": "7"},
        "name": "e",
        "timestamp": 1_710_061_200,
        "attributes": {},
    }
    assert found(how, Example(row, payloads={"track": payload})) == []
    assert found(how, Example(row, payloads={"track": payload | {"id": "0" * 26}})) == [
        "m.yaml: examples[0]: the payload differs at payload.id"
    ]


@pytest.mark.parametrize(
    ("row", "attribute"),
    [
        ({"a": None}, {}),
        ({"a": 2**64 - 1}, {"a": 2**64 - 1}),
        ({"a": {"b": [1, None], "c": []}}, {"a": {"b": [1, None], "c": []}}),
        ({"a": [], "*": 1, "^a$": 2}, {"a": []}),
        ({"a": True, "event": "x"}, {"a": True}),
    ],
)
def test_an_example_s_row_may_hold_whatever_yaml_can_say(row: dict[str, Any], attribute: dict[str, Any]) -> None:
    how = mapping(identifiers={"id": Constant("7")}, attributes=attributes(a="a"))
    payload = {"type": "person", "action": "identify", "identifiers": {"id": "7"}, "attributes": attribute}
    assert found(how, Example(row, payloads={"track": payload})) == []


def test_an_example_may_need_no_row() -> None:
    how = mapping(identifiers={"id": Constant("7")}, attributes={"k": Constant(1)})
    payload = {"type": "person", "action": "identify", "identifiers": {"id": "7"}, "attributes": {"k": 1}}
    assert found(how, Example({}, payloads={"track": payload})) == []


def test_a_report_that_cannot_be_written_names_the_fault_and_its_own_remedy() -> None:
    report = dry_run(job(Step("people", people("id,e_mail,plan\n1,a@b.co,pro\n"), PERSON)))
    Path("taken").touch()
    with pytest.raises(StateError, match=r"^taken.*: the report could not be written: Not a directory$") as error:
        write_reports(report, Path("taken/people"), required=True)
    assert error.value.remedy.startswith("a file or a link has the name of the folder")
