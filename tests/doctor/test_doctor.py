"""Does the doctor find what is wrong, all of it, and say what to do, without showing what nobody may see?"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.doctor import Check, Machine, examine, exit_code
from cio_etl.sandbox import Credentials, Sandbox
from tests import databases
from tests.running import API_KEY, SITE_ID, write_job

CANARY = "canary5ecret"
KEYS = Credentials(site_id=f"{CANARY}site", api_key=f"{CANARY}key")
MAPPING: dict[str, Any] = {
    "operation": "identify",
    "identifiers": {"id": "id"},
    "attributes": {"email": "e_mail"},
    "examples": [{"row": {"id": "1", "e_mail": "no"}, "rejected": "email_malformed"}],
}
LOCAL = "/dev/vda / ext4 rw 0 0\n"
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
COMMAND = "cio-etl run job.yaml"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping, three good people, and the keys of the sandbox in the environment."""
    monkeypatch.setenv(SITE_ID, KEYS.site_id)
    monkeypatch.setenv(API_KEY, KEYS.api_key)
    write_mapping()
    write_people("1,a@b.co", "2,b@b.co", "3,c@b.co")


@pytest.fixture
def url(sandbox: Sandbox) -> str:
    sandbox.set_credentials(KEYS)
    return sandbox.url


def write_mapping(**changed: Any) -> None:
    Path("people.yaml").write_text(json.dumps(MAPPING | changed), encoding="utf-8")


def write_people(*rows: str, heading: str = "id,e_mail") -> None:
    Path("people.csv").write_text("\n".join((heading, *rows, "")), encoding="utf-8")


def examined(url: str, source: dict[str, Any] | None = None, **settings: Any) -> list[Check]:
    """What the doctor finds of a job of one step, whose source is people.csv unless another is given."""
    machine = {name: settings.pop(name) for name in ("mounts", "free_bytes") if name in settings}
    write_job(Path("job.yaml"), url, {"people": (source or {"csv": "people.csv"}, "people.yaml")}, **settings)
    given: dict[str, Any] = {"mounts": lambda: LOCAL} | machine
    return examine(Path("job.yaml"), COMMAND, Machine(now=lambda: NOW, patience_s=0.5, **given))


def not_ok(findings: list[Check]) -> list[tuple[str, str, str, int]]:
    return [(each.subject, each.level, each.found, each.exit_code) for each in findings if each.level != "ok"]


def said(findings: list[Check], subject: str) -> str:
    return "\n".join(f"{each.found} > {each.remedy}" for each in findings if each.subject == subject)


def hidden(findings: list[Check]) -> bool:
    return CANARY not in repr(findings)


# ---------------------------------------------------------------- all is well


def test_a_job_in_order_is_told_part_by_part_and_nothing_is_made_or_sent(url: str, sandbox: Sandbox) -> None:
    findings = examined(url, free_bytes=lambda folder: 12_340_000_000)
    assert [(each.subject, each.level, each.found) for each in findings] == [
        ("job file", "ok", "job.yaml: 1 step, 1 mapping, 1 example, as they should be"),
        ("state", "ok", ".etl is not there yet, and can be made; 12.3 GB are free"),
        (
            "Customer.io",
            "ok",
            f"{url.removeprefix('http://')} takes the credentials, which belong to the region us",
        ),
        ("step people", "ok", "readable, 3 rows; no column that the mapping reads is missing"),
    ]
    assert exit_code(findings) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["job.yaml", "people.csv", "people.yaml"]
    assert sandbox.stats()["people"] == 0


def test_the_command_prints_signs_words_and_remedies_and_exits_as_the_first_fault_does(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people("1,a@b.co", heading="id,email")
    write_job(Path("job.yaml"), url, {"people": ({"csv": "people.csv"}, "people.yaml")})
    assert main(["doctor", "job.yaml"]) == 65
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✓ ok      job file     job.yaml: 1 step, 1 mapping, 1 example, as they should be"
    assert lines[-3:] == [
        "✗ wrong   step people  1 row, but no column 'e_mail' (is it 'email'?)",
        "                       → mend people.yaml, or the source",
        "1 wrong, 0 warnings",
    ]
    assert main(["doctor", "job.yaml", "--json"]) == 65
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 65
    assert [finding["level"] for finding in told["findings"]] == ["ok", "ok", "ok", "wrong"]
    assert told["findings"][3]["remedy"] == "mend people.yaml, or the source"


def test_every_part_is_looked_at_though_another_is_wrong() -> None:
    Path("state").write_text("no folder")
    write_mapping(examples=[{"row": {"id": "1", "e_mail": "a@b.co"}, "rejected": "email_malformed"}])
    Path("people.csv").unlink()
    findings = examined("http://127.0.0.1:1", state="state")
    assert [(each.subject, each.exit_code) for each in findings] == [
        ("job file", 78),
        ("state", 74),
        ("Customer.io", 69),
        ("step people", 65),
    ]
    assert all(each.remedy for each in findings)
    assert exit_code(findings) == 78


# ---------------------------------------------------------------- the job file and its references


def test_a_job_file_that_does_not_load_ends_it_with_all_its_faults() -> None:
    findings = examined("http://127.0.0.1:1", lanes=3, max_rejects="many")
    assert [each.subject for each in findings] == ["job file", "job file"]
    assert "job.yaml:" in findings[0].found and "lanes" in said(findings, "job file")
    assert exit_code(findings) == 78


def test_an_example_that_does_not_come_out_is_wrong(url: str) -> None:
    write_mapping(examples=[{"row": {"id": "1", "e_mail": "no"}, "skipped": True}])
    findings = examined(url)
    assert "skipped was expected, but the row is rejected: email_malformed" in said(findings, "job file")
    assert not_ok(findings)[0][3] == 78


def test_a_missing_key_is_told_and_the_rest_looked_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(API_KEY)
    findings = examined(url)
    assert f"the environment variable {API_KEY} is not set > set it" in said(findings, "credentials")
    assert f"{url.removeprefix('http://')} answers; the credentials are missing" in said(findings, "Customer.io")
    assert "readable, 3 rows" in said(findings, "step people")
    assert [fault[:2] for fault in not_ok(findings)] == [("credentials", "wrong")]


def test_a_missing_address_of_a_database_is_told_and_the_rest_looked_at(url: str) -> None:
    findings = examined(url, {"sql": "${WAREHOUSE}", "table": "people"})
    assert "steps[0].source.sql: the environment variable WAREHOUSE is not set" in said(findings, "job file")
    assert "takes the credentials" in said(findings, "Customer.io")
    assert "not looked at, since its address or keys are missing" in said(findings, "step people")
    assert exit_code(findings) == 78


# ---------------------------------------------------------------- the state


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_state_on_a_network_file_system_is_wrong(url: str, kind: str) -> None:
    mounts = f"{LOCAL}server:/export {Path.cwd()} {kind} rw 0 0\n"
    findings = examined(url, mounts=lambda: mounts)
    expected = f"{Path.cwd()}: is on a network file system ({kind}), whose locks a database cannot rely on"
    assert not_ok(findings) == [("state", "wrong", expected, 74)]
    assert "keep it on a local disk" in said(findings, "state")


def test_little_room_is_a_warning(url: str) -> None:
    findings = examined(url, free_bytes=lambda folder: 400_000_000)
    assert not_ok(findings) == [("state", "warning", ".etl is not there yet, and can be made; 0.4 GB are free", 0)]


def test_a_state_folder_that_cannot_be_written_is_wrong(url: str) -> None:
    Path("state").write_text("no folder")
    findings = examined(url, state="state")
    assert not_ok(findings) == [("state", "wrong", "state: Not a directory", 74)]


def test_a_job_that_is_at_work_is_told_with_its_holder(url: str) -> None:
    with state.hold(Path(".etl"), "job"):
        findings = examined(url)
    assert [fault[:2] for fault in not_ok(findings)] == [("state", "warning")]
    assert "another run holds the job job: process " in said(findings, "state")
    assert exit_code(findings) == 0


def test_a_newer_state_is_wrong(url: str) -> None:
    state.open_store(Path(".etl")).close()
    with closing(sqlite3.connect(".etl/state.db")) as database:
        database.execute("PRAGMA user_version = 99")
    findings = examined(url)
    assert "written by a newer version of this program (schema 99) > upgrade cio-etl" in said(findings, "state")
    assert [fault[3] for fault in not_ok(findings)] == [74]


def test_a_damaged_state_is_wrong_though_its_last_run_ended_well(url: str) -> None:
    state.open_store(Path(".etl")).close()
    with closing(sqlite3.connect(".etl/state.db")) as database:
        database.execute("CREATE TABLE long AS SELECT zeroblob(100000) AS filler")
        database.commit()
    with open(".etl/state.db", "r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * 8_192)
    findings = examined(url)
    assert [(*fault[:2], fault[3]) for fault in not_ok(findings)] == [("state", "wrong", 74)]
    assert "state.db: the state database is damaged > keep the file, move it away" in said(findings, "state")


def stopped_run(url: str) -> None:
    """A run of the job that stopped on its way, some rows sent."""
    write_mapping(attributes={"email": "e_mail", "note": "note"})
    write_people(*(f"{n},{n}@b.co,{'x' * 700}" for n in range(200)), "200,a@b.co,ragged,more", heading="id,e_mail,note")
    settings = {"max_rejects": 0, "destination": {"max_batch_bytes": 32_100, "lanes": 1}}
    write_job(Path("job.yaml"), url, {"people": ({"csv": "people.csv"}, "people.yaml")}, **settings)
    assert main(["run", "job.yaml"]) == 4


def test_an_unfinished_run_is_told_with_what_run_would_do(url: str) -> None:
    stopped_run(url)
    machine = Machine(mounts=lambda: LOCAL, patience_s=0.5)
    going_on = examine(Path("job.yaml"), COMMAND, machine)
    assert f" stopped: `{COMMAND}` goes on in step people: " in said(going_on, "state")
    assert "let it go on, or give it up with --restart" in said(going_on, "state")
    write_mapping(attributes={"email": "e_mail"})
    stuck = examine(Path("job.yaml"), COMMAND, machine)
    assert f"`{COMMAND}` would exit 78, since people.yaml changed" in said(stuck, "state")
    assert exit_code(stuck) == 78


# ---------------------------------------------------------------- Customer.io


def test_wrong_credentials_are_wrong_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, f"{CANARY}another")
    findings = examined(url)
    host = url.removeprefix("http://")
    assert not_ok(findings) == [("Customer.io", "wrong", f"{host} refused the credentials (HTTP 401)", 77)]
    assert "renew what destination.site_id and api_key refer to" in said(findings, "Customer.io")
    assert hidden(findings)


def test_a_server_that_is_down_is_wrong() -> None:
    findings = examined("http://127.0.0.1:1")
    assert not_ok(findings) == [("Customer.io", "wrong", "127.0.0.1:1 is out of reach: no connection", 69)]


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """A server that answers every question alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_a_server_in_trouble_is_not_taken_for_one_that_takes_the_credentials() -> None:
    with answering(503, {}, b"") as url:
        findings = examined(url)
    assert [(*fault[:2], fault[3]) for fault in not_ok(findings)] == [("Customer.io", "wrong", 69)]
    assert "is out of reach: HTTP 503" in said(findings, "Customer.io")


def test_a_server_that_knows_no_region_is_a_warning() -> None:
    with answering(200, {}, b"{}") as url:
        findings = examined(url)
    assert "does not say to which region they belong" in not_ok(findings)[0][2]
    assert exit_code(findings) == 0


@pytest.mark.parametrize(("year", "where"), [(2001, "ahead of"), (2090, "behind")])
def test_a_clock_that_is_wrong_is_a_warning(year: int, where: str) -> None:
    date = {"Date": f"Mon, 01 Jan {year} 00:00:00 GMT"}
    with answering(200, date, b'{"region": "us"}') as url:
        findings = examined(url)
    (fault,) = not_ok(findings)
    assert fault[:2] == ("clock", "warning") and f" days {where} that of 127.0.0.1" in fault[2]


def test_a_clock_that_is_right_is_not_mentioned(url: str) -> None:
    assert said(examined(url), "clock") == ""


# ---------------------------------------------------------------- steps


def test_all_missing_columns_are_named_with_what_may_be_meant(url: str) -> None:
    write_mapping(attributes={"email": "E-Mail", "name": "name", "plan": "pIan"}, examples=[])
    write_people("1,a,b,c", heading="id,e_mail,forename,Plan")
    findings = examined(url)
    found = "1 row, but no column 'E-Mail' (is it 'e_mail'?), 'name' (is it 'forename'?), 'pIan' (is it 'Plan'?)"
    assert not_ok(findings) == [("step people", "wrong", found, 65)]


def test_rows_that_would_be_rejected_are_counted_by_reason_without_their_values(url: str) -> None:
    write_people(*(f"{n},{n}@b.co" for n in range(200)), f"200,{CANARY}", f"201,{CANARY}", ",a@b.co")
    findings = examined(url, max_rejects="5%")
    found = (
        "of its 203 rows 3 would be rejected: 2 email_malformed in attributes.email, "
        "1 identifier_missing in identifiers.id"
    )
    assert not_ok(findings) == [("step people", "warning", found, 0)]
    assert "not the shape of an e-mail address" in said(findings, "step people")
    assert hidden(findings)


def test_too_many_rejects_are_wrong_where_all_rows_were_seen(url: str) -> None:
    write_people("1,no", "2,no", "3,a@b.co")
    (fault,) = not_ok(examined(url))
    assert fault[1] == "wrong" and fault[3] == 4
    assert fault[2].endswith("; that is more than max_rejects allows (1 %)")


def test_only_the_first_thousand_rows_are_mapped(url: str) -> None:
    write_people(*(f"{n},no" for n in range(1_500)))
    (fault,) = not_ok(examined(url))
    assert fault[1] == "warning"
    assert "of its first 1,000 rows 1,000 would be rejected" in fault[2]
    assert "readable, 1,500 rows" in said(examined(url), "step people")


def test_a_source_without_rows_or_with_none_that_when_keeps_is_a_warning(url: str) -> None:
    write_mapping(when="id = '7'", examples=[])
    assert not_ok(examined(url)) == [("step people", "warning", "`when` leaves out all of its 3 rows", 0)]
    write_people()
    assert not_ok(examined(url)) == [("step people", "warning", "readable, but without a row", 0)]


def test_a_mapping_that_does_not_fit_the_types_is_wrong(url: str) -> None:
    write_mapping(when="id > 5", examples=[])
    (fault,) = not_ok(examined(url))
    assert fault[0] == "step people" and fault[3] == 65
    assert "people.yaml: when: it does not fit the columns' types" in fault[2]


# ---------------------------------------------------------------- databases


def shop(*statements: str) -> dict[str, Any]:
    """A source of a SQLite database in which these statements were executed."""
    with closing(sqlite3.connect("shop.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return {"sql": "sqlite:///shop.db", "table": "people"}


MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"


def test_a_table_is_counted_though_only_its_first_rows_are_copied(url: str) -> None:
    source = shop(
        "CREATE TABLE people (id integer, e_mail text)",
        f"INSERT INTO people {MANY} SELECT i, i || '@b.co' FROM n",
    )
    findings = examined(url, source)
    assert "readable, 2,500 rows; no column" in said(findings, "step people")
    assert not_ok(findings) == []


def test_all_columns_that_a_table_lacks_are_named(url: str) -> None:
    write_mapping(attributes={"email": "E_Mail_", "name": "fore_name"}, examples=[])
    findings = examined(url, shop("CREATE TABLE people (id integer, e_mail text)"))
    found = "0 rows, but no column 'E_Mail_' (is it 'e_mail'?), 'fore_name'"
    assert not_ok(findings) == [("step people", "wrong", found, 65)]


def test_a_table_that_is_not_there_is_wrong(url: str) -> None:
    findings = examined(url, shop() | {"table": "peple"})
    assert [(*fault[:2], fault[3]) for fault in not_ok(findings)] == [("step people", "wrong", 65)]
    assert "peple" in said(findings, "step people")


def test_a_mark_is_told_with_what_the_next_run_asks_for(url: str) -> None:
    source = shop(
        "CREATE TABLE people (id integer, e_mail text, changed integer)",
        "INSERT INTO people VALUES (1, 'a@b.co', 70), (2, 'b@b.co', 80)",
    )
    source |= {"watermark": "changed", "key": "id", "lag": 5}
    first = said(examined(url, source), "step people")
    assert (
        "no run has left a mark yet; the next run asks for all rows; the newest of the rows looked at is of 80" in first
    )
    assert main(["run", "job.yaml"]) == 0
    shop("INSERT INTO people VALUES (3, 'c@b.co', 1090)")
    second = said(examined(url, source), "step people")
    assert (
        "the last run's mark is 80; the next run asks for rows from 74 on; the newest of the rows looked at is of 1,090"
        in second
    )


def test_a_column_that_drifted_is_wrong(url: str) -> None:
    source = {"parquet": "people.parquet"}
    pl.DataFrame({"id": [1], "e_mail": ["a@b.co"]}).write_parquet("people.parquet")
    examined(url, source)
    assert main(["run", "job.yaml"]) == 0
    pl.DataFrame({"id": ["x"], "e_mail": ["a@b.co"]}).write_parquet("people.parquet")
    (fault,) = not_ok(examined(url, source))
    assert fault[3] == 65
    assert fault[2] == "step people: since the last run, 'id' held numbers and now text"


def test_a_driver_that_is_not_installed_is_told_with_its_pip_line(url: str) -> None:
    findings = examined(url, {"sql": f"trino://me:${{{API_KEY}}}@127.0.0.1:1/x", "table": "people"})
    assert "the driver for Trino is not installed > pip install 'cio-etl[trino]'" in said(findings, "step people")
    assert hidden(findings)


@pytest.fixture(params=["postgres", "mariadb"])
def database(request: pytest.FixtureRequest) -> databases.Database:
    """A table of 2,560 people in a real server, the planner told of it."""
    server: databases.Database = request.getfixturevalue(request.param)
    server.execute(
        "CREATE TABLE people (id integer, e_mail varchar(20), changed timestamp)",
        "INSERT INTO people VALUES " + ", ".join(f"({n}, '{n}@b.co', '2024-04-30 12:00:00')" for n in range(2_560)),
        "ANALYZE people" if request.param == "postgres" else "ANALYZE TABLE people",
    )
    return server


def test_rows_of_a_server_are_estimated_by_its_planner(
    url: str, database: databases.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", database.address)
    findings = examined(url, {"sql": "${WAREHOUSE}", "table": "people"})
    assert not_ok(findings) == []
    (rows,) = re.findall(r"readable, some ([\d,]+) rows by the planner's estimate;", said(findings, "step people"))
    assert 2_000 < int(rows.replace(",", "")) < 3_000
    few = {"sql": "${WAREHOUSE}", "query": "SELECT id, e_mail FROM people WHERE id < :top", "parameters": {"top": 8}}
    assert "readable, 8 rows;" in said(examined(url, few), "step people")


def test_the_newest_row_of_a_server_is_told_with_its_age(
    url: str, database: databases.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", database.address)
    findings = examined(url, {"sql": "${WAREHOUSE}", "table": "people", "watermark": "changed", "start": "2024-01-01"})
    told = said(findings, "step people")
    assert "no run has left a mark yet; the next run asks for rows from 2024-01-01 on" in told
    assert re.search(r"the newest of the rows looked at is of 2024-04-30 12:00:00(\+00:00)?, 24 hours ago", told)


def test_a_database_that_refuses_the_password_is_wrong_and_it_is_not_shown(
    url: str, database: databases.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", database.as_user(str(database.url.username), CANARY))
    findings = examined(url, {"sql": "${WAREHOUSE}", "table": "people"})
    assert [(*fault[:2], fault[3]) for fault in not_ok(findings)] == [("step people", "wrong", 77)]
    assert "refused the user or the password > renew the user or password" in said(findings, "step people")
    assert hidden(findings)


def test_a_database_that_is_down_is_wrong(url: str) -> None:
    pytest.importorskip("adbc_driver_postgresql", reason="the extra cio-etl[postgres] is not installed")
    findings = examined(url, {"sql": "postgresql://127.0.0.1:1/shop", "table": "people"})
    assert [(*fault[:2], fault[3]) for fault in not_ok(findings)] == [("step people", "wrong", 65)]
    assert "is out of reach: it refused the connection" in said(findings, "step people")
