"""Every importer: one realistic definition becomes the expected files, which check, and run against the sandbox."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli import main
from cio_etl.config.yaml_file import Document, Loc
from cio_etl.errors import ConfigError
from cio_etl.importers import IMPORTERS, Imported, read_definitions
from cio_etl.importers.definitions import Definition
from cio_etl.importers.segment.fql import Unreadable, read_trigger
from cio_etl.importers.segment.rows import Rows
from cio_etl.sandbox import Sandbox

HERE = Path(__file__).parent
Captured = pytest.CaptureFixture[str]

# What the warehouse has, for a run; a step each, with the rows that Customer.io gets.
TABLES = """
create table users (user_id, email, first_name, last_name, plan, created_at, deleted_at);
insert into users values ('1', 'ann@example.com', 'Ann', 'Lee', 'pro', '2024-03-10T09:00:00Z', null),
                         ('2', 'ben@example.com', 'Ben', null, null, '2024-03-11T09:00:00Z', null);
create table orders (order_id, user_id, total, sku, ordered_at);
insert into orders values ('o-1', '1', 49.9, 'A', '2024-03-12T09:00:00Z');
create table identifies (id, received_at, sent_at, original_timestamp, timestamp, user_id, anonymous_id, email,
                         first_name, last_name, plan, tags, role, created_at, context_user_agent);
insert into identifies values
    ('i-2', '2024-03-11T09:00:01Z', null, null, '2024-03-11T09:00:00Z', '1', 'v-1', 'ann@example.com',
     'Ann', 'Lee', 'PRO', '["a","b"]', null, '2024-03-10T09:00:00Z', 'Firefox'),
    ('i-1', '2024-03-10T09:00:01Z', null, null, '2024-03-10T09:00:00Z', '1', 'v-1', 'old@example.com',
     'Ann', null, null, null, null, '2024-03-10T09:00:00Z', 'Firefox'),
    ('i-3', '2024-03-12T09:00:01Z', null, null, '2024-03-12T09:00:00Z', null, 'v-2', 'ben@example.com',
     'Ben', null, null, null, null, '2024-03-10T09:00:00Z', null);
create table tracks (id, received_at, sent_at, timestamp, user_id, anonymous_id, event, event_text);
insert into tracks values ('t-1', '2024-03-12T09:00:01Z', null, '2024-03-12T09:00:00Z', '1', null, 'trial', 'Trial');
create table order_completed (id, received_at, sent_at, original_timestamp, timestamp, user_id, anonymous_id, event,
                              event_text, uuid_ts, context_ip, total, sku);
insert into order_completed values ('m-1', '2024-03-12T09:00:01Z', null, null, '2024-03-12T09:00:00Z', '1', 'v-1',
                                    'order_completed', 'Order Completed', null, '10.0.0.1', 49.9, 'A');
"""


@pytest.fixture
def definitions() -> Path:
    """The definitions of all tools, in this folder: places in messages are short then."""
    for tool in IMPORTERS:
        shutil.copytree(HERE / tool, tool)
    return Path()


def written(tool: str, lines: str) -> str:
    """What the command printed, and the files that it wrote."""
    files = [path for folder in ("jobs", "mappings", "queries") for path in sorted(Path(folder).rglob("*.*"))]
    shown = [path for path in files if path.name != ".schema.json"]
    texts = [f"=== {path}\n{path.read_text(encoding='utf-8')}" for path in shown]
    return "\n".join([f"$ cio-etl import-from {tool} {tool}", lines, *texts])


@pytest.mark.parametrize("tool", IMPORTERS)
def test_a_definition_becomes_these_files_and_nothing_is_dropped_silently(
    tool: str, definitions: Path, capsys: Captured
) -> None:
    assert main(["import-from", tool, tool]) == 0, capsys.readouterr().err
    expected = HERE / f"{tool}.txt"
    found = written(tool, capsys.readouterr().out)
    # to renew it: write `found` into the file, and read the difference
    assert found == expected.read_text(encoding="utf-8")
    assert main(["check", f"jobs/{tool}.yaml"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("tool", "people", "events", "skipped"),
    [("hightouch", 2, 1, 0), ("census", 1, 1, 0), ("rudderstack", 2, 1, 0), ("segment", 2, 1, 1)],
)
def test_what_was_imported_runs_against_the_sandbox(
    tool: str,
    people: int,
    events: int,
    skipped: int,
    definitions: Path,
    sandbox: Sandbox,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with contextlib.closing(sqlite3.connect("warehouse.sqlite")) as database, database:
        database.executescript(TABLES)
    database.close()
    monkeypatch.setenv("WAREHOUSE_URL", "sqlite:///warehouse.sqlite")
    for key in ("CUSTOMERIO_SITE_ID", "CUSTOMERIO_API_KEY"):
        monkeypatch.setenv(key, "sandbox")
    content = json_of(["import-from", tool, tool], capsys)
    job = Path(content["written"][0])
    text = job.read_text(encoding="utf-8")
    job.write_text(re.sub("  region: (us|eu)\n", f"  base_url: {sandbox.url}\n", text), encoding="utf-8")
    report = json_of(["run", str(job)], capsys)
    steps = [(step["name"], step["rejected"]) for step in report["steps"]]
    assert steps == [(name, 0) for name in content["steps"]]
    assert sum(step["skipped"] for step in report["steps"]) == skipped  # those of a trigger that must be decided
    assert {key: sandbox.stats()[key] for key in ("people", "events")} == {"people": people, "events": events}


def json_of(arguments: list[str], capsys: Captured) -> Any:
    code = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def data_of(tool: str) -> list[tuple[str, Any]]:
    """The files of a tool's definition and their data."""
    return [(each.file, each.document.data) for each in read_definitions([HERE / tool])]


def read(tool: str, files: list[tuple[str, Any]]) -> Imported:
    return IMPORTERS[tool].read([Definition(Document(file, data, {})) for file, data in files], ())


def places(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    yield loc
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from places(inner, (*loc, key))


def at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data


ORDERS, OF_A_SEGMENT = ("sync:orders",), ("data", "subscriptions", 0)
CONNECTION = ("spec", "connections", 0)


@pytest.mark.parametrize(
    ("tool", "file", "loc"),
    [
        *[
            ("hightouch", "orders-to", loc)
            for loc in [(), ("config",), ("config", "timestamp"), ("schedule", "schedule")]
        ],
        *[("hightouch", "orders-to", ("config", "mappings", 1)), ("hightouch", "orders.yaml", ())],
        *[
            ("census", "orders", (*ORDERS, *loc))
            for loc in [(), ("mappings", 0), ("source",), ("triggers", "schedule")]
        ],
        *[("census", "users.yml", ("model:users",)), ("census", "users.yml", ())],
        *[("segment", "sub", (*OF_A_SEGMENT, *loc)) for loc in [(), ("settings",), ("settings", "id", "@if")]],
        *[("rudderstack", "conn", (*CONNECTION, *loc)) for loc in [(), ("config",), ("config", "mappings", 0)]],
        *[("rudderstack", file, loc) for file in ("users-model", "destination") for loc in [(), ("spec",)]],
    ],
)
def test_a_key_that_no_importer_knows_is_listed_wherever_it_stands(tool: str, file: str, loc: Loc) -> None:
    def count(files: list[tuple[str, Any]]) -> int:
        imported = read(tool, files)
        return len(imported.lost) + sum(len(step.lost) for step in imported.steps)

    files = data_of(tool)
    before = count(copy.deepcopy(files))
    at(next(data for name, data in files if f"/{file}" in name), loc)["odd_key"] = "odd"
    assert count(files) > before


ODD: list[Any] = [None, "", 0, 1.5, True, "{{", "*", [], [1], {}, {"a": 1}, {"@path": "$.x"}, ["a", {"b": 2}], "é\n'"]


@pytest.mark.parametrize("tool", IMPORTERS)
def test_a_damaged_definition_is_imported_or_refused_and_is_never_a_bug(tool: str) -> None:
    files = data_of(tool)
    chance = random.Random(tool)
    for _ in range(100):
        damaged = copy.deepcopy(files)
        data = chance.choice(damaged)[1]
        *around, last = chance.choice([loc for loc in places(data) if loc])
        at(data, tuple(around))[last] = copy.deepcopy(chance.choice(ODD))
        with contextlib.suppress(ConfigError):
            assert isinstance(read(tool, damaged), Imported)


def of_segment(attribute: Any, **more: Any) -> str:
    """A mapping of people with one attribute, in a list."""
    settings = {"id": {"@path": "$.userId"}, "custom_attributes": {"x": attribute}}
    return json.dumps(
        [{"actionSlug": "createUpdatePerson", "trigger": 'type = "identify"', "settings": settings} | more]
    )


def path(of: str) -> dict[str, str]:
    return {"@path": f"$.traits.{of}"}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (path("firstName"), "first_name"),
        (path("address.zipCode"), "address_zip_code"),
        ({"@path": "$.context.page.url"}, "context_page_url"),
        ({"@path": "traits.plan"}, "plan"),
        ({"@literal": True}, {"value": True}),
        (7, {"value": 7}),
        ({"@template": "{{traits.a}}"}, "a"),
        ({"@template": "no field"}, {"value": "no field"}),
        ({"@if": {"exists": path("a"), "then": path("a")}}, "a"),
        ({"@if": {"exists": path("createdAt"), "then": path("createdAt"), "else": path("created_at")}}, "created_at"),
        (
            {"@if": {"blank": path("a"), "then": path("a"), "else": path("b")}},
            {"columns": ["a", "b"], "apply": [{"coalesce": {"skip_blank": True}}]},
        ),
        (
            {"@if": {"exists": {"@path": "$.timestamp"}, "then": "it's", "else": path("b")}},
            {"expr": "case when \"timestamp\" is not null then 'it''s' else b end"},
        ),
        ({"@arrayPath": ["$.traits.tags", {}]}, {"column": "tags", "apply": ["json"]}),
        ({"@case": {"operator": "upper", "value": path("a")}}, {"column": "a", "apply": ["upper"]}),
        (path("list[0].name"), None),
        ({"@path": "$.integrations.All"}, None),
        ({"@if": {"blank": path("a"), "then": "x"}}, None),
        ({"@json": {"mode": "encode", "value": path("a")}}, None),
        ({"a": path("b")}, None),
    ],
)
def test_a_directive_of_segment_becomes_a_value_or_is_listed(written: Any, value: Any, capsys: Captured) -> None:
    Path("a.json").write_text(of_segment(written), encoding="utf-8")
    imported = IMPORTERS["segment"].read(read_definitions([Path("a.json")]), ())
    (step,) = imported.steps
    assert step.mapping["attributes"] == ({} if value is None else {"x": value})
    assert ("x" in [lost.what for lost in step.lost]) == (value is None)


def test_a_model_of_reverse_etl_has_its_columns_under_properties_and_terraform_s_settings_are_text() -> None:
    settings = {
        "id": {"@path": "$.properties.USER"},
        "email": {"@path": "$.properties.contact.email"},
        "custom_attributes": {"@path": "$.properties"},
        "batch_size": 5,
        "odd": 1,
    }
    text = of_segment(None, modelId="79sGD3", settings=json.dumps(settings), trigger='event = "updated"')
    Path("a.json").write_text(text, encoding="utf-8")
    (step,) = IMPORTERS["segment"].read(read_definitions([Path("a.json")]), ()).steps
    assert step.mapping == {
        "operation": "identify",
        "identifiers": {"first": [{"id": "USER"}, {"email": "contact.email"}]},
        "attributes": {"email": "contact.email", "*": {}},
    }
    assert (step.source, step.more) == ({"table": "79sGD3"}, {"sync": "changed"})
    assert [lost.what for lost in step.lost][-4:] == [
        "the source",
        "the trigger",
        "settings.batch_size",
        "settings.odd",
    ]


@pytest.mark.parametrize(
    ("trigger", "type_", "event", "sql"),
    [
        ('type = "identify"', "identify", None, None),
        ('type = "track" and event = "Order Completed"', "track", "Order Completed", None),
        ("event = \"A\" or event = 'B'", None, None, "(event_text = 'A' or event_text = 'B')"),
        (
            'type = "track" and event != "A\\"B"',
            "track",
            None,
            "(event_text <> 'A\"B' or event_text is null)",
        ),
        (
            'type = "identify" and !(traits.age >= 1.5 or traits.vip = true)',
            "identify",
            None,
            "not (age >= 1.5 or vip = true)",
        ),
        ("traits.a = null and traits.b != null", None, None, "a is null and b is not null"),
        ('contains(event, "x")', None, None, Unreadable),
        ('type = "track" and integrations.x = 1', "track", None, Unreadable),
        ("type =", None, None, Unreadable),
        ("(type = 1", None, None, Unreadable),
        ("type ~ 1", None, None, Unreadable),
    ],
)
def test_a_trigger_of_segment_becomes_a_table_and_sql(trigger: str, type_: Any, event: Any, sql: Any) -> None:
    if sql is Unreadable:
        with pytest.raises(Unreadable):
            read_trigger(trigger).sql(Rows("identifies", False).column)
        return
    found = read_trigger(trigger)
    assert (found.type, found.event, found.sql(Rows("identifies", False).column)) == (type_, event, sql)


HUBSPOT = "destination: hubspot-sales\nmodel: users\nconfig: {object: contacts, mappings: []}\n"
OF_CENSUS = "sync:a:\n  destination: {connection_identifier: destination:hubspot, object_identifier: contact}\n"

OF_RUDDERSTACK = """kind: retl-connections
spec: {connections: [{id: a, source: "#retl-source-table:b", destination: "#destination:braze", config: {}}]}
"""


@pytest.mark.parametrize(
    ("tool", "name", "text", "message"),
    [
        ("hightouch", "a.yaml", "config: [", "a.yaml:1: column 10: a `[` or `{` that is not closed"),
        ("hightouch", "a.yaml", "", "a.yaml: empty"),
        ("hightouch", "a.yaml", "config: &a {x: 1}\n", "a.yaml:1: config: an anchor (&)"),
        (
            "hightouch",
            "a.yaml",
            HUBSPOT,
            "a.yaml:1: destination: 'hubspot-sales' is not named as Customer.io; if it is",
        ),
        ("hightouch", "a.yaml", "name: x\n", "nothing of it can be imported"),
        (
            "hightouch",
            "a.json",
            '{"destination": "customerio",\n "config": {"mappings": [}}',
            "a.json:2: not JSON: a value",
        ),
        ("hightouch", "a.json", '{"a": 1, "a": 2}', "a.json:1: not JSON: the key 'a' is written twice"),
        ("census", "a.yaml", OF_CENSUS, "'destination:hubspot' is not named as Customer.io"),
        ("census", "a.yaml", "model:users: {name: x, query: select 1}\n", "no sync of Census"),
        ("census", "missing.yaml", None, "missing.yaml: no such file"),
        ("rudderstack", "a.yaml", "kind: destination\n", "no reverse ETL connection"),
        ("rudderstack", "a.yaml", OF_RUDDERSTACK, "'#destination:braze' is not a destination of the type customerio"),
        (
            "segment",
            "a.json",
            of_segment({"@pth": "$.traits.x"}),
            "@pth is no directive of Segment; did you mean",
        ),
        (
            "segment",
            "a.json",
            of_segment({"@path": "$.x", "a": 1}),
            "attributes.x: a directive stands alone",
        ),
        ("segment", "a.json", '{"data": {}}', "no mapping of Segment"),
        ("segment", "a.json", '{"a":\n "\\ud800"}', "a.json:2: not JSON: an incomplete character"),
        ("segment", "a.json", '{"a": NaN}', "not JSON: a value is missing"),
        ("segment", "a.json", "[" * 60, "nested deeper than 50 levels"),
        ("segment", "a.json", of_segment(1, settings="[[" * 9000), "a text that is not JSON"),
        ("segment", "a.json", of_segment("x", actionSlug="identifyContact"), "nothing of it can be imported"),
        ("hightoch", "a.yaml", "a: 1\n", "did you mean 'hightouch'?"),
    ],
)
def test_what_cannot_be_imported_ends_in_a_message_and_writes_nothing(
    tool: str, name: str, text: str | None, message: str, capsys: Captured
) -> None:
    if text is not None:
        Path(name).write_text(text, encoding="utf-8")
    assert main(["import-from", tool, name]) == 78
    assert message in capsys.readouterr().err
    assert not Path("jobs").exists()


def test_a_destination_of_another_name_is_imported_when_a_person_says_that_it_is_customer_io(capsys: Captured) -> None:
    Path("a.yaml").write_text(HUBSPOT.replace("contacts", "customers"), encoding="utf-8")
    content = json_of(["import-from", "hightouch", "a.yaml", "--destination", "hubspot-sales"], capsys)
    assert content["steps"] == ["a"]
    assert [lost["what"] for lost in content["lost"] if lost["place"] != "a.yaml:1"] == [
        "the model 'users'",
        "the identifier",
    ]


def test_what_was_written_is_checked(capsys: Captured) -> None:
    Path("a.json").write_text(of_segment(1).replace('"settings": {', '"settings": {"email": "nobody", '))
    assert main(["import-from", "segment", "a.json"]) == 78
    captured = capsys.readouterr()
    assert captured.err.startswith("mappings/segment/createupdateperson.yaml:") and "constant" in captured.err
    assert "written: jobs/segment.yaml" in captured.out


def test_no_file_is_overwritten(definitions: Path, capsys: Captured) -> None:
    Path("mappings/mine").mkdir(parents=True)
    Path("mappings/mine/orders.yaml").write_text("mine")
    assert main(["import-from", "census", "census", "--name", "mine"]) == 78
    assert "mappings/mine/orders.yaml: exists already and is not overwritten" in capsys.readouterr().err
    assert not Path("jobs").exists() and Path("mappings/mine/orders.yaml").read_text() == "mine"
    assert main(["import-from", "census", "census", "--into", "elsewhere"]) == 0
    assert Path("elsewhere/jobs/census.yaml").exists()


def test_an_importer_says_where_its_format_is_from_and_what_it_never_carries_over(capsys: Captured) -> None:
    listed = json_of(["import-from"], capsys)
    assert [each["tool"] for each in listed] == [*IMPORTERS]
    assert main(["import-from"]) == 0
    out = capsys.readouterr().out
    for each in listed:
        assert all(words.endswith(".") and words in out for words in each["loses"])
        for page in each["pages"]:
            assert page["address"].startswith("https://") and date.fromisoformat(page["looked_up"])
