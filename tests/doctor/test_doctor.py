"""The doctor reports every fault with its remedy, and shows no secret and no value."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
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
from cio_etl.config import load_job
from cio_etl.doctor import Check, Machine, examine, exit_code
from cio_etl.doctor.check import with_errors
from cio_etl.doctor.state_folder import state_folder
from cio_etl.errors import StateError, install
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


def checked(url: str, source: dict[str, Any] | None = None, **settings: Any) -> list[Check]:
    """The checks of a job of one step, whose source is people.csv unless another is given."""
    machine = {name: settings.pop(name) for name in ("mounts", "free_bytes") if name in settings}
    step = (source or {"csv": "people.csv"}, "people.yaml", settings.pop("step", {}))
    write_job(Path("job.yaml"), url, {"people": step}, **settings)
    given: dict[str, Any] = {"mounts": lambda: LOCAL} | machine
    return examine(Path("job.yaml"), COMMAND, Machine(now=lambda: NOW, patience_s=0.5, **given))


def not_ok(checks: list[Check]) -> list[tuple[str, str, str, int]]:
    return [(each.subject, each.level, each.found, each.exit_code) for each in checks if each.level != "ok"]


def reported(checks: list[Check], subject: str) -> str:
    return "\n".join(f"{each.found} > {each.remedy}" for each in checks if each.subject == subject)


def hidden(checks: list[Check]) -> bool:
    return CANARY not in repr(checks)


# ---------------------------------------------------------------- all is well


def test_a_correct_job_passes_every_check_and_nothing_is_created_or_sent(url: str, sandbox: Sandbox) -> None:
    checks = checked(url, free_bytes=lambda folder: 12_340_000_000)
    assert [(each.subject, each.level, each.found) for each in checks] == [
        ("job file", "ok", "job.yaml: 1 step, 1 mapping, 1 example, all correct"),
        ("state", "ok", ".etl does not exist yet, and can be created; 12.3 GB are free"),
        (
            "Customer.io",
            "ok",
            f"{url.removeprefix('http://')} accepts the credentials, which belong to the region us",
        ),
        ("step people", "ok", "readable, 3 rows; no column that the mapping reads is missing"),
    ]
    assert exit_code(checks) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["job.yaml", "people.csv", "people.yaml"]
    assert sandbox.stats()["people"] == 0


def test_what_telemetry_needs_is_checked_where_a_job_asks_for_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = checked(url, telemetry="otlp", metrics_file="people.prom")
    assert [each.level for each in checks if each.subject == "telemetry"] == ["ok", "ok"]
    monkeypatch.setattr("cio_etl.doctor.watching.find_spec", lambda name: None)
    checks = checked(url, telemetry="otlp", metrics_file="missing/people.prom")
    assert not_ok(checks) == [
        ("telemetry", "wrong", "otlp needs the packages of OpenTelemetry, which are not installed", 78),
        ("telemetry", "warning", "missing/people.prom cannot be written: its folder does not exist", 0),
    ]
    assert "pip install '.[otel]'" in reported(checks, "telemetry")


def test_the_command_prints_results_and_remedies_and_exits_with_the_code_of_the_first_fault(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people("1,a@b.co", heading="id,email")
    write_job(Path("job.yaml"), url, {"people": ({"csv": "people.csv"}, "people.yaml")})
    assert main(["doctor", "job.yaml"]) == 65
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✓ ok      job file     job.yaml: 1 step, 1 mapping, 1 example, all correct"
    assert lines[-3:] == [
        "✗ wrong   step people  people.yaml:1: the source has no column 'e_mail'; did you mean 'email'? "
        "It has 'id', 'email'",
        "                       → fix the mapping, or the source",
        "1 wrong, 0 warnings",
    ]
    assert main(["doctor", "job.yaml", "--json"]) == 65
    output = json.loads(capsys.readouterr().out)
    assert output["exit_code"] == 65
    assert [finding["level"] for finding in output["findings"]] == ["ok", "ok", "ok", "wrong"]
    assert output["findings"][3]["remedy"] == "fix the mapping, or the source"


def test_every_check_runs_even_if_another_fails() -> None:
    Path("state").write_text("no folder")
    write_mapping(examples=[{"row": {"id": "1", "e_mail": "a@b.co"}, "rejected": "email_malformed"}])
    Path("people.csv").unlink()
    checks = checked("http://127.0.0.1:1", state="state")
    assert [(each.subject, each.exit_code) for each in checks] == [
        ("job file", 78),
        ("state", 74),
        ("Customer.io", 69),
        ("step people", 65),
    ]
    assert all(each.remedy for each in checks)
    assert exit_code(checks) == 78


# ---------------------------------------------------------------- the job file and its references


def test_a_job_file_that_does_not_load_is_the_last_check_and_reports_all_its_problems() -> None:
    checks = checked("http://127.0.0.1:1", lanes=3, max_rejects="many")
    assert [each.subject for each in checks] == ["job file", "job file"]
    assert "job.yaml:" in checks[0].found and "lanes" in reported(checks, "job file")
    assert exit_code(checks) == 78


def test_an_example_with_another_result_is_wrong(url: str) -> None:
    write_mapping(examples=[{"row": {"id": "1", "e_mail": "no"}, "skipped": True}])
    checks = checked(url)
    assert "skipped was expected, but the row is rejected: email_malformed" in reported(checks, "job file")
    assert not_ok(checks)[0][3] == 78


def test_a_missing_key_is_reported_and_the_other_checks_run(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(API_KEY)
    checks = checked(url)
    assert f"the environment variable {API_KEY} is not set > set it" in reported(checks, "credentials")
    assert f"{url.removeprefix('http://')} answers; the credentials are missing" in reported(checks, "Customer.io")
    assert "readable, 3 rows" in reported(checks, "step people")
    assert [fault[:2] for fault in not_ok(checks)] == [("credentials", "wrong")]


def test_a_missing_database_address_is_reported_and_the_other_checks_run(url: str) -> None:
    checks = checked(url, {"sql": "${WAREHOUSE}", "table": "people"})
    assert "steps[0].source.sql: the environment variable WAREHOUSE is not set" in reported(checks, "job file")
    assert "accepts the credentials" in reported(checks, "Customer.io")
    assert "not checked, because its address or keys are missing" in reported(checks, "step people")
    assert exit_code(checks) == 78


# ---------------------------------------------------------------- the ledger


def with_ledger(url: str) -> Path:
    """The file of the ledger of a job that has run once."""
    write_mapping(attributes={"email": "e_mail"})
    checked(url, step={"sync": "changed"})
    assert main(["run", "job.yaml", "--quiet"]) == 0
    (file,) = Path(".etl/ledger/job/people").iterdir()
    return file


def of_ledger(url: str, **settings: Any) -> list[tuple[str, str, str, int]]:
    """The checks of the ledger: level, text, remedy and exit code."""
    checks = [each for each in checked(url, step={"sync": "changed"}, **settings) if each.subject == "step people"]
    return [(each.level, each.found, each.remedy, each.exit_code) for each in checks if "ledger" in each.found]


def test_a_ledger_is_read_and_reported(url: str) -> None:
    state.open_store(Path(".etl")).close()
    assert of_ledger(url) == [("ok", "ledger: no ledger yet; the next run sends every row", "", 0)]
    with_ledger(url)
    ((level, found, remedy, _),) = of_ledger(url)
    assert (level, remedy) == ("ok", "")
    assert re.fullmatch(
        r"ledger: 3 subjects, \S+ kB; last written by the run of .*; its files are as they were written", found
    )


def test_a_ledger_that_is_damaged_or_missing_is_wrong(url: str) -> None:
    file = with_ledger(url)
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    ((level, found, remedy, code),) = of_ledger(url)
    assert (level, code) == ("wrong", 74) and found.startswith(f"{file}: the file is not what was written")
    assert "--rebuild-ledger" in remedy
    file.unlink()
    assert [(level, found) for level, found, *_ in of_ledger(url)] == [("wrong", f"{file}: the file is missing")]


def test_a_ledger_that_the_state_does_not_know_is_a_warning(url: str) -> None:
    with_ledger(url)
    with closing(sqlite3.connect(".etl/state.db")) as database:
        database.execute("DELETE FROM ledger")
        database.commit()
    ((level, found, remedy, _),) = of_ledger(url)
    assert level == "warning" and "has files of a ledger that the state does not know" in found
    assert remedy == "put back the state that belongs to them, or let the next run start again"


def test_a_ledger_of_a_newer_version_is_wrong(url: str) -> None:
    with_ledger(url)
    with closing(sqlite3.connect(".etl/state.db")) as database:
        database.execute("UPDATE ledger SET generation = json_set(generation, '$.format', 99)")
        database.commit()
    ((level, found, remedy, code),) = of_ledger(url)
    assert (level, code) == ("wrong", 74)
    assert remedy.startswith("upgrade cio-etl on this machine, or start a new ledger with --rebuild-ledger: ")
    assert "written by a newer version of this program (format 99)" in found


def test_a_ledger_that_others_may_read_is_a_warning(url: str) -> None:
    file = with_ledger(url)
    file.chmod(0o644)
    file.parent.chmod(0o750)
    assert [(level, remedy) for level, found, remedy, _ in of_ledger(url) if "open to other users" in found] == [
        ("warning", f"chmod 700 {file.parent}"),
        ("warning", f"chmod 600 {file}"),
    ]


def test_too_little_room_to_merge_a_ledger_is_a_warning(url: str) -> None:
    with_ledger(url)
    checks = of_ledger(url, free_bytes=lambda folder: 1_000 if "ledger" in str(folder) else 10**10)
    ((level, found, remedy, _),) = [each for each in checks if "free space" in each[1]]
    assert level == "warning" and "has 1.0 kB of free space; to merge the ledger's files, it needs" in found
    assert remedy == "free some space there, before a run stops for it"


# ---------------------------------------------------------------- the state


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_state_on_a_network_file_system_is_wrong(url: str, kind: str) -> None:
    mounts = f"{LOCAL}server:/export {Path.cwd()} {kind} rw 0 0\n"
    checks = checked(url, mounts=lambda: mounts)
    expected = f"{Path.cwd()}: is on a network file system ({kind}), whose locks a database cannot rely on"
    assert not_ok(checks) == [("state", "wrong", expected, 74)]
    assert "keep it on a local disk" in reported(checks, "state")


def test_little_free_space_is_a_warning(url: str) -> None:
    checks = checked(url, free_bytes=lambda folder: 400_000_000)
    assert not_ok(checks) == [("state", "warning", ".etl does not exist yet, and can be created; 0.4 GB are free", 0)]


def test_a_state_folder_that_cannot_be_written_is_wrong(url: str) -> None:
    Path("state").write_text("no folder")
    checks = checked(url, state="state")
    assert not_ok(checks) == [("state", "wrong", "state: Not a directory", 74)]
    assert "move it, or name another folder" in reported(checks, "state")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space there"),
        (errno.EDQUOT, "free some space there"),
        (errno.EFBIG, "raise the quota"),
        (errno.EACCES, "make the folder writable"),
        (errno.EROFS, "make the folder writable"),
        (errno.EIO, "check the disk"),
    ],
)
def test_the_remedy_for_a_state_that_cannot_be_written_fits_the_cause(number: int, remedy: str) -> None:
    error = StateError.of_file(".etl", OSError(number, os.strerror(number)))
    assert str(error) == f".etl: {os.strerror(number)}" and error.remedy.startswith(remedy)


def test_a_disk_without_room_is_wrong_and_needs_no_other_permissions(url: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    write_job(Path("job.yaml"), url, {"people": ({"csv": "people.csv"}, "people.yaml")})
    job = load_job(Path("job.yaml"), secrets=False)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limits[1]))  # a write past it fails, as on a full disk
    try:
        checks = list(with_errors("state", state_folder(job, COMMAND, Machine(mounts=lambda: LOCAL))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not_ok(checks) == [("state", "wrong", ".etl: File too large", 74)]
    assert "raise the quota" in reported(checks, "state") and "writable for" not in reported(checks, "state")


def test_a_running_job_is_reported_with_its_process(url: str) -> None:
    with state.hold(Path(".etl"), "job"):
        checks = checked(url)
    assert [fault[:2] for fault in not_ok(checks)] == [("state", "warning")]
    assert "another run holds the job job: process " in reported(checks, "state")
    assert exit_code(checks) == 0


def test_a_newer_state_is_wrong(url: str) -> None:
    state.open_store(Path(".etl")).close()
    with closing(sqlite3.connect(".etl/state.db")) as database:
        database.execute("PRAGMA user_version = 99")
    checks = checked(url)
    assert "written by a newer version of this program (schema 99) > upgrade cio-etl" in reported(checks, "state")
    assert [fault[3] for fault in not_ok(checks)] == [74]


def test_a_damaged_state_is_wrong_even_if_its_last_run_finished(url: str) -> None:
    state.open_store(Path(".etl")).close()
    with closing(sqlite3.connect(".etl/state.db")) as database:
        database.execute("CREATE TABLE long AS SELECT zeroblob(100000) AS filler")
        database.commit()
    with open(".etl/state.db", "r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * 8_192)
    checks = checked(url)
    assert [(*fault[:2], fault[3]) for fault in not_ok(checks)] == [("state", "wrong", 74)]
    assert "state.db: the state database is damaged > move the file away, keep it" in reported(checks, "state")


def stopped_run(url: str) -> None:
    """A run of the job that stopped on its way, some rows sent."""
    write_mapping(attributes={"email": "e_mail", "note": "note"})
    write_people(*(f"{n},{n}@b.co,{'x' * 700}" for n in range(200)), "200,a@b.co,ragged,more", heading="id,e_mail,note")
    settings = {"max_rejects": 0, "destination": {"max_batch_bytes": 32_100, "lanes": 1}}
    write_job(Path("job.yaml"), url, {"people": ({"csv": "people.csv"}, "people.yaml")}, **settings)
    assert main(["run", "job.yaml"]) == 4


def test_an_unfinished_run_is_reported_with_what_run_would_do(url: str) -> None:
    stopped_run(url)
    machine = Machine(mounts=lambda: LOCAL, patience_s=0.5)
    going_on = examine(Path("job.yaml"), COMMAND, machine)
    stops = (
        f" stopped: `{COMMAND}` would exit 4 again, since this run has too many rejects; fix the mapping or the rows"
    )
    assert stops in reported(going_on, "state")
    job_file, one_more = (
        Path("job.yaml").read_text(),
        Path("job.yaml").read_text().replace('rejects": 0', 'rejects": 5'),
    )
    Path("job.yaml").write_text(one_more)
    going_on = examine(Path("job.yaml"), COMMAND, machine)
    assert f" stopped: `{COMMAND}` continues in step people: " in reported(going_on, "state")
    assert "resume it, or abandon it with --restart" in reported(going_on, "state")
    Path("job.yaml").write_text(job_file)
    write_mapping(attributes={"email": "e_mail"})
    anew = examine(Path("job.yaml"), COMMAND, machine)
    assert "reads the source again in a new run, since this one had too many rejects" in reported(anew, "state")
    Path("job.yaml").write_text(Path("job.yaml").read_text().replace('"max_rejects": 0', '"max_rejects": 5'))
    stuck = examine(Path("job.yaml"), COMMAND, machine)
    assert f"`{COMMAND}` would exit 78, since people.yaml changed" in reported(stuck, "state")
    assert exit_code(stuck) == 78


# ---------------------------------------------------------------- Customer.io


def test_wrong_credentials_are_wrong_and_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, f"{CANARY}another")
    checks = checked(url)
    host = url.removeprefix("http://")
    assert not_ok(checks) == [("Customer.io", "wrong", f"{host} refused the credentials (HTTP 401)", 77)]
    assert "renew what destination.site_id and api_key refer to" in reported(checks, "Customer.io")
    assert hidden(checks)


def test_refused_credentials_of_the_pipelines_api_are_named_by_its_key(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRITE_KEY", f"{CANARY}another")
    write_mapping(examples=[])
    destination = {"api": "pipelines", "base_url": url, "write_key": "${WRITE_KEY}"}
    steps = [{"name": "people", "source": {"csv": "people.csv"}, "mapping": "people.yaml"}]
    Path("job.yaml").write_text(json.dumps({"destination": destination, "steps": steps}), encoding="utf-8")
    checks = examine(Path("job.yaml"), COMMAND, Machine(now=lambda: NOW, patience_s=0.5, mounts=lambda: LOCAL))
    assert "renew what destination.write_key refers to" in reported(checks, "Customer.io")
    assert hidden(checks) and "site_id" not in repr(checks)


def test_a_server_that_is_down_is_wrong() -> None:
    checks = checked("http://127.0.0.1:1")
    assert not_ok(checks) == [("Customer.io", "wrong", "127.0.0.1:1 is out of reach: no connection", 69)]


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """A server that gives every request the same answer."""

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


def test_an_http_503_does_not_count_as_accepted_credentials() -> None:
    with answering(503, {}, b"") as url:
        checks = checked(url)
    assert [(*fault[:2], fault[3]) for fault in not_ok(checks)] == [("Customer.io", "wrong", 69)]
    assert "is out of reach: HTTP 503" in reported(checks, "Customer.io")


def test_an_answer_without_a_region_is_a_warning() -> None:
    with answering(200, {}, b"{}") as url:
        checks = checked(url)
    assert "does not say to which region they belong" in not_ok(checks)[0][2]
    assert exit_code(checks) == 0


@pytest.mark.parametrize(("year", "where"), [(2001, "ahead of"), (2090, "behind")])
def test_a_clock_that_is_wrong_is_a_warning(year: int, where: str) -> None:
    date = {"Date": f"Mon, 01 Jan {year} 00:00:00 GMT"}
    with answering(200, date, b'{"region": "us"}') as url:
        checks = checked(url)
    (fault,) = not_ok(checks)
    assert fault[:2] == ("clock", "warning") and f" days {where} that of 127.0.0.1" in fault[2]


def test_a_clock_that_is_right_is_not_mentioned(url: str) -> None:
    assert reported(checked(url), "clock") == ""


# ---------------------------------------------------------------- steps


def test_missing_columns_are_reported_with_similar_names(url: str) -> None:
    write_mapping(attributes={"email": "E-Mail", "name": "name", "plan": "pIan"}, examples=[])
    write_people("1,a,b,c", heading="id,e_mail,forename,Plan")
    checks = checked(url)
    text = (
        "people.yaml:1: the source has no column 'E-Mail', 'name', 'pIan'; did you mean 'e_mail' and 'forename' and "
        "'Plan'? It has 'id', 'e_mail', 'forename', 'Plan'"
    )
    assert not_ok(checks) == [("step people", "wrong", text, 65)]


def test_rows_that_would_be_rejected_are_counted_by_reason_without_their_values(url: str) -> None:
    write_people(*(f"{n},{n}@b.co" for n in range(200)), f"200,{CANARY}", f"201,{CANARY}", ",a@b.co")
    checks = checked(url, max_rejects="5%")
    text = (
        "of its 203 rows 3 would be rejected: 2 email_malformed in attributes.email, "
        "1 identifier_missing in identifiers.id"
    )
    assert not_ok(checks) == [("step people", "warning", text, 0)]
    assert "not the shape of an e-mail address" in reported(checks, "step people")
    assert hidden(checks)


def test_too_many_rejects_are_wrong_if_all_rows_were_mapped(url: str) -> None:
    write_people("1,no", "2,no", "3,a@b.co")
    (fault,) = not_ok(checked(url, max_rejects={"share": "1%", "at_least": 0}))
    assert fault[1] == "wrong" and fault[3] == 4
    assert fault[2].endswith("; that is more than max_rejects allows (1 row, 1 % of 3)")


def test_only_the_first_thousand_rows_are_mapped(url: str) -> None:
    write_people(*(f"{n},no" for n in range(1_500)))
    (fault,) = not_ok(checked(url))
    assert fault[1] == "warning"
    assert "of its first 1,000 rows 1,000 would be rejected" in fault[2]
    assert "readable, 1,500 rows" in reported(checked(url), "step people")


def test_no_rows_or_none_that_pass_when_is_a_warning(url: str) -> None:
    write_mapping(when="id = '7'", examples=[])
    assert not_ok(checked(url)) == [("step people", "warning", "`when` skips all of its 3 rows", 0)]
    write_people()
    assert not_ok(checked(url)) == [("step people", "warning", "readable, but without rows", 0)]


def test_a_mapping_that_does_not_fit_the_types_is_wrong(url: str) -> None:
    write_mapping(when="id > 5", examples=[])
    (fault,) = not_ok(checked(url))
    assert fault[0] == "step people" and fault[3] == 65
    assert "people.yaml:1: when: it does not fit the types of 'id' (text)" in fault[2]


# ---------------------------------------------------------------- databases


def shop(*statements: str) -> dict[str, Any]:
    """A source of a SQLite database in which these statements were executed."""
    with closing(sqlite3.connect("shop.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return {"sql": "sqlite:///shop.db", "table": "people"}


MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"


def test_all_rows_of_a_table_are_counted_and_only_the_first_are_copied(url: str) -> None:
    source = shop(
        "CREATE TABLE people (id integer, e_mail text)",
        f"INSERT INTO people {MANY} SELECT i, i || '@b.co' FROM n",
    )
    checks = checked(url, source)
    assert "readable, 2,500 rows; no column" in reported(checks, "step people")
    assert not_ok(checks) == []


def test_all_columns_that_a_table_lacks_are_named(url: str) -> None:
    write_mapping(attributes={"email": "E_Mail_", "name": "fore_name"}, examples=[])
    checks = checked(url, shop("CREATE TABLE people (id integer, e_mail text)"))
    text = (
        "people.yaml:1: the source has no column 'E_Mail_', 'fore_name'; did you mean 'e_mail'? It has 'id', 'e_mail'"
    )
    assert not_ok(checks) == [("step people", "wrong", text, 65)]


def test_a_table_that_is_not_there_is_wrong(url: str) -> None:
    checks = checked(url, shop("CREATE TABLE people (id integer)") | {"table": "peple"})
    assert [(*fault[:2], fault[3]) for fault in not_ok(checks)] == [("step people", "wrong", 65)]
    reported_ = reported(checks, "step people")
    assert "table peple: the database has no such table > did you mean 'people'? its tables are people" in reported_


def test_the_watermark_is_reported_with_where_the_next_run_begins(url: str) -> None:
    source = shop(
        "CREATE TABLE people (id integer, e_mail text, changed integer)",
        "INSERT INTO people VALUES (1, 'a@b.co', 70), (2, 'b@b.co', 80)",
    )
    source |= {"watermark": "changed", "key": "id", "lag": 5}
    first = reported(checked(url, source), "step people")
    assert "there is no watermark yet; the next run reads all rows; the newest row of the sample has 80" in first
    assert main(["run", "job.yaml"]) == 0
    shop("INSERT INTO people VALUES (3, 'c@b.co', 1090)")
    second = reported(checked(url, source), "step people")
    assert "the watermark of the last run is 80; the next run reads rows from 74 on; the newest row" in second
    assert "the newest row of the sample has 1,090" in second


def test_a_column_that_drifted_is_wrong(url: str) -> None:
    source = {"parquet": "people.parquet"}
    pl.DataFrame({"id": [1], "e_mail": ["a@b.co"]}).write_parquet("people.parquet")
    checked(url, source)
    assert main(["run", "job.yaml"]) == 0
    pl.DataFrame({"id": ["x"], "e_mail": ["a@b.co"]}).write_parquet("people.parquet")
    (fault,) = not_ok(checked(url, source))
    assert fault[3] == 65
    assert fault[2] == "step people: since the last run, 'id' contained numbers and now contains text"


def test_a_missing_driver_is_reported_with_its_pip_command(url: str) -> None:
    checks = checked(url, {"sql": f"trino://me:${{{API_KEY}}}@127.0.0.1:1/x", "table": "people"})
    assert "the driver for Trino is not installed > " + install("trino") in reported(checks, "step people")
    assert hidden(checks)


@pytest.fixture(params=["postgres", "mariadb"])
def database(request: pytest.FixtureRequest) -> databases.Database:
    """A table of 2,560 people in a real server, analyzed for its planner."""
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
    checks = checked(url, {"sql": "${WAREHOUSE}", "table": "people"})
    assert not_ok(checks) == []
    (rows,) = re.findall(r"readable, some ([\d,]+) rows by the planner's estimate;", reported(checks, "step people"))
    assert 2_000 < int(rows.replace(",", "")) < 3_000
    few = {"sql": "${WAREHOUSE}", "query": "SELECT id, e_mail FROM people WHERE id < :top", "parameters": {"top": 8}}
    assert "readable, 8 rows;" in reported(checked(url, few), "step people")


def test_the_newest_row_of_a_server_is_reported_with_its_age(
    url: str, database: databases.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", database.address)
    checks = checked(url, {"sql": "${WAREHOUSE}", "table": "people", "watermark": "changed", "start": "2024-01-01"})
    report = reported(checks, "step people")
    assert "there is no watermark yet; the next run reads rows from 2024-01-01 on" in report
    assert re.search(r"the newest row of the sample has 2024-04-30 12:00:00(\+00:00)?, 24 hours ago", report)


def test_a_database_that_refuses_the_password_is_wrong_and_it_is_not_shown(
    url: str, database: databases.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", database.as_user(str(database.url.username), CANARY))
    checks = checked(url, {"sql": "${WAREHOUSE}", "table": "people"})
    assert [(*fault[:2], fault[3]) for fault in not_ok(checks)] == [("step people", "wrong", 77)]
    assert "refused the user or the password > renew the user or password" in reported(checks, "step people")
    assert hidden(checks)


def test_a_database_that_is_down_is_wrong(url: str) -> None:
    pytest.importorskip("adbc_driver_postgresql", reason="the extra cio-etl[postgres] is not installed")
    checks = checked(url, {"sql": "postgresql://127.0.0.1:1/shop", "table": "people"})
    assert [(*fault[:2], fault[3]) for fault in not_ok(checks)] == [("step people", "wrong", 65)]
    assert "is out of reach: it refused the connection" in reported(checks, "step people")
