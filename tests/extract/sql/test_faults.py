"""Whole runs against a real PostgreSQL that fails: no message shows passwords or rows."""

from __future__ import annotations

import json
import secrets
import sqlite3
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server, socket
from typing import Any
from urllib.parse import quote

import pytest

from cio_etl.cli import main
from cio_etl.errors import SourceError, SourceRefused, SourceUnreachable
from cio_etl.extract.sql.faults import Complaint, complaint_to_error
from cio_etl.sandbox import Faults, Sandbox
from tests.databases import Database
from tests.running import API_KEY, SITE_ID, until, write_job

CANARY = "canary-of-the-rows"
RUN = "cio-etl run job.yaml"
MAPPING = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"n": "n", "note": "note"}}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SITE_ID, API_KEY):
        monkeypatch.setenv(name, "sandbox")


@dataclass(slots=True)
class Command:
    """`cio-etl run` on a job that reads people of a database."""

    sandbox: Sandbox
    database: Database
    monkeypatch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]
    told: list[str] = field(default_factory=list)

    def job(self, *, people: int = 5, steps: Mapping[str, Any] | None = None, **source: Any) -> None:
        """Writes the job, and the table that it reads."""
        self.database.execute(
            "CREATE TABLE people (id int PRIMARY KEY, n int, note text)",
            f"INSERT INTO people SELECT n, n, '{CANARY}-' || n FROM generate_series(1, {people}) AS t(n)",
        )
        Path("people.yaml").write_text(json.dumps(MAPPING))
        asked = source or {"table": "people"}
        write_job(
            Path("job.yaml"),
            self.sandbox.url,
            steps or {"people": ({"sql": "${WAREHOUSE_URL}", **asked}, "people.yaml")},
            destination={"requests_per_second": "unlimited", "lanes": 2},
        )
        self.address(self.database.address)

    def address(self, address: str) -> None:
        self.monkeypatch.setenv("WAREHOUSE_URL", address)

    def run(self, *options: str) -> tuple[int, list[str]]:
        """The exit code, and the last two lines on stderr."""
        code = main(["run", "job.yaml", *options])
        out, said = self.capfd.readouterr()
        self.told += [out, said]
        return code, said.splitlines()[-2:]

    def check_nothing_is_told(self) -> None:
        """Neither password nor address is anywhere, nor data, but where it was put on purpose."""
        password = str(self.database.url.password or "the server has none")
        hidden = [password, quote(password, safe=""), self.database.address]
        files = [path for path in Path(".etl").rglob("*") if path.is_file()]
        written = [(path, path.read_bytes()) for path in files]
        for text in hidden:
            assert not any(text in told for told in self.told)
            assert not [path for path, content in written if text.encode() in content]
        assert not any(CANARY in told for told in self.told)
        copies = [path for path in files if "stage" in path.parts]
        assert not [path for path, content in written if CANARY.encode() in content and path not in copies]

    @property
    def requests(self) -> int:
        return int(self.sandbox.stats()["requests"])

    @property
    def runs(self) -> list[tuple[str, str, int]]:
        """Each run's id, status and exit code."""
        with closing(sqlite3.connect(".etl/state.db")) as db:
            return db.execute("SELECT run_id, status, exit_code FROM run ORDER BY rowid").fetchall()


@pytest.fixture
def command(
    sandbox: Sandbox, postgres: Database, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    told = Command(sandbox, postgres, monkeypatch, capfd)
    yield told
    told.check_nothing_is_told()


@contextmanager
def user(database: Database, *grants: str, attributes: str = "LOGIN") -> Iterator[tuple[str, Callable[[str], None]]]:
    """The name of a new user with password `first`, and what gives them another password."""
    name = f"u_{secrets.token_hex(6)}"
    database.execute(f"CREATE ROLE {name} {attributes} PASSWORD 'first'", *(grant.format(name) for grant in grants))
    try:
        yield name, lambda password: database.execute(f"ALTER ROLE {name} PASSWORD '{password}'")
    finally:
        database.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@contextmanager
def answering(answer: bytes, error: bytes = b"") -> Iterator[int]:
    """The port of a server that gives `answer` to the question for TLS, and `error` to the one for a connection."""

    def answer_all(listening: socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with closing(connection):
                while (sent := connection.recv(8192)) and not sent.startswith(b"X"):
                    asks_for_encryption = len(sent) == 8
                    connection.sendall(answer if asks_for_encryption else error)
                    if not (asks_for_encryption and answer):
                        break

    with create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_all, args=(listening,), daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        listening.shutdown(2)
    thread.join()


def refusal(code: str, message: str) -> bytes:
    """A server's ErrorResponse."""
    fields = b"".join(kind + text.encode() + b"\0" for kind, text in ((b"S", "FATAL"), (b"C", code), (b"M", message)))
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"


# ---------------------------------------------------------------- no connection


@pytest.mark.fault("S21")
@pytest.mark.parametrize(
    ("change", "reason", "remedy"),
    [
        ({"port": 1}, "it refused the connection", "check whether it runs, and the port in the job's reference"),
        (
            {"host": "no-such-host.invalid"},
            "its host name has no address",
            "fix the host in the job's reference, or the name server of this machine",
        ),
        (
            {"database": "no_such_database"},
            "it has no database of that name",
            "fix the database's name in the job's reference",
        ),
    ],
)
def test_a_server_that_is_out_of_reach_is_named_with_the_reason(
    command: Command, change: dict[str, Any], reason: str, remedy: str
) -> None:
    command.job()
    there = command.database.url.set(**change)
    command.address(there.render_as_string(hide_password=False))
    code, said = command.run()
    assert code == 65
    assert said == [
        f"postgresql {there.host}:{there.port}/{there.database} is out of reach: {reason}",
        f"{remedy}; then: {RUN}",
    ]
    command.address(command.database.address)
    assert command.requests == 0
    assert command.run()[0] == 0
    assert [run[1:] for run in command.runs] == [("finished", 0)] and len(command.sandbox.people) == 5


@pytest.mark.fault("S21")
@pytest.mark.parametrize(
    ("answer", "error", "query", "reason"),
    [
        (b"N", b"", "?sslmode=require", "it and this program do not agree on TLS"),
        (
            b"N",
            refusal("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "u", database "d", no encryption'),
            "",
            "it takes no such connection from this machine (pg_hba.conf); without TLS, perhaps",
        ),
        (b"N", refusal("57P03", "the database system is starting up"), "", "it is starting up, or recovering"),
        (b"N", refusal("57P03", "the database system is shutting down"), "", "it is shutting down"),
        (b"N", refusal("53300", "sorry, too many clients already"), "", "it has too many connections"),
        (b"", b"", "", "no connection"),
    ],
)
def test_a_server_that_takes_no_connection_is_named_with_the_reason(
    command: Command, answer: bytes, error: bytes, query: str, reason: str
) -> None:
    command.job()
    with answering(answer, error) as port:
        command.address(f"postgresql://u:canary-p4ssword@127.0.0.1:{port}/d{query}")
        code, said = command.run()
    assert (code, said[0]) == (65, f"postgresql 127.0.0.1:{port}/d is out of reach: {reason}")
    assert command.requests == 0 and not any("canary-p4ssword" in told for told in command.told)


@pytest.mark.fault("S21")
def test_a_user_without_the_right_to_connect_is_no_error_of_the_password(command: Command) -> None:
    command.job()
    database = command.database.url.database
    command.database.execute(f"REVOKE CONNECT ON DATABASE {database} FROM public")
    with user(command.database) as (name, _):
        command.address(command.database.as_user(name, "first"))
        code, said = command.run()
    assert code == 65 and said[0].endswith(f"/{database} is out of reach: its user may not connect to it")
    with user(
        command.database, f"GRANT CONNECT ON DATABASE {database} TO {{}}", attributes="LOGIN CONNECTION LIMIT 0"
    ) as (
        name,
        _,
    ):
        command.address(command.database.as_user(name, "first"))
        code, said = command.run()
    assert code == 65 and said[0].endswith("is out of reach: it has too many connections")
    assert command.requests == 0


# ---------------------------------------------------------------- the password


@pytest.mark.fault("S24")
@pytest.mark.parametrize("who", ["a wrong password", "nobody", "no login", "no password"])
def test_a_refused_user_or_password_is_an_error_of_the_credentials(command: Command, who: str) -> None:
    command.job()
    login = "NOLOGIN" if who == "no login" else "LOGIN"
    with user(command.database, "GRANT SELECT ON people TO {}", attributes=login) as (name, _):
        names = {"nobody": "no_such_user"}
        passwords = {"no password": "", "no login": "first"}
        command.address(command.database.as_user(names.get(who, name), passwords.get(who, "canary-p4ssword")))
        code, said = command.run()
    url = command.database.url
    assert code == 77
    assert said == [
        f"postgresql {url.host}:{url.port}/{url.database} refused the user or the password",
        f"renew the user or password in the job's reference; then: {RUN}",
    ]
    assert command.requests == 0 and not any("canary-p4ssword" in told for told in command.told)
    ((_, status, exit_code),) = command.runs
    assert (status, exit_code) == ("stopped", 77)


@pytest.mark.fault("S24")
def test_a_password_that_changed_between_two_runs_is_renewed_in_its_reference(command: Command) -> None:
    command.job()
    with user(command.database, "GRANT SELECT ON people TO {}") as (name, set_password):
        command.address(command.database.as_user(name, "first"))
        assert command.run()[0] == 0
        set_password("second")
        assert command.run()[0] == 77
        assert command.run()[0] == 77
        command.address(command.database.as_user(name, "second"))
        assert command.run()[0] == 0
    assert [run[1:] for run in command.runs] == [("finished", 0), ("finished", 0)]
    assert command.sandbox.people.counts["identifies"] == 10


@pytest.mark.fault("S24")
def test_a_run_resumes_after_the_password_of_its_second_source_was_renewed(command: Command) -> None:
    people = {"table": "people"}
    steps = {
        "first": ({"sql": "${WAREHOUSE_URL}", **people}, "people.yaml"),
        "second": ({"sql": "${OTHER_URL}", "query": "SELECT * FROM people"}, "people.yaml"),
    }
    command.job(steps=steps)
    with user(command.database, "GRANT SELECT ON people TO {}") as (name, _):
        command.monkeypatch.setenv("OTHER_URL", command.database.as_user(name, "wrong"))
        assert command.run()[0] == 77
        assert command.sandbox.people.counts["identifies"] == 5
        command.monkeypatch.setenv("OTHER_URL", command.database.as_user(name, "first"))
        assert command.run()[0] == 0
    assert command.sandbox.people.counts["identifies"] == 10, "the first step is not sent again"
    assert len(command.runs) == 1


# ---------------------------------------------------------------- lost, stopped, slow

# Rows come until the 60,000th, which waits for a minute as long as the switch says so.
SLOW = (
    "SELECT id, n, note FROM people "
    "WHERE id < 60000 OR (SELECT slow FROM switch) = 0 OR pg_sleep(60) IS NULL ORDER BY id"
)


def waits(database: Database) -> str:
    return f"FROM pg_stat_activity WHERE datname = '{database.url.database}' AND wait_event = 'PgSleep'"


@contextmanager
def meanwhile(act: Callable[[], bool]) -> Iterator[None]:
    """Acts in a thread, again and again until it worked; what it raised is raised at the end of the block."""
    raised: list[BaseException] = []

    def acting() -> None:
        try:
            until(act)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=acting)
    thread.start()
    yield
    thread.join()
    assert not raised, raised


def slow_job(command: Command) -> None:
    command.job(people=60_010, query=SLOW)
    command.database.execute("CREATE TABLE switch (slow int)", "INSERT INTO switch VALUES (1)")


@pytest.mark.fault("S21")
def test_a_connection_lost_while_rows_are_read_loses_no_row_in_the_next_run(command: Command) -> None:
    slow_job(command)
    database = command.database
    with meanwhile(lambda: database.rows(f"SELECT pg_terminate_backend(pid) {waits(database)}") == [(True,)]):
        code, said = command.run()
    assert code == 65
    assert said[0].endswith("is out of reach: the connection was lost while rows were read")
    assert said[1] == f"check whether it runs and whether this machine can reach it; then: {RUN}"
    assert command.requests == 0
    database.execute("UPDATE switch SET slow = 0")
    assert command.run()[0] == 0
    assert [run[1:] for run in command.runs] == [("finished", 0)]
    assert command.sandbox.people.counts["identifies"] == len(command.sandbox.people) == 60_010


@pytest.mark.fault("S24")
def test_a_password_that_changed_while_rows_were_read_stops_the_run_until_it_is_renewed(command: Command) -> None:
    slow_job(command)
    database = command.database
    with user(database, "GRANT SELECT ON people, switch TO {}") as (name, set_password):
        command.address(database.as_user(name, "first"))

        def rotate() -> bool:
            if not database.rows(f"SELECT pid {waits(database)}"):
                return False
            set_password("second")
            return database.rows(f"SELECT pg_terminate_backend(pid) {waits(database)}") == [(True,)]

        with meanwhile(rotate):
            assert command.run()[0] == 65
        database.execute("UPDATE switch SET slow = 0")
        assert command.run()[0] == 77
        assert command.requests == 0
        command.address(database.as_user(name, "second"))
        assert command.run()[0] == 0
    assert [run[1:] for run in command.runs] == [("finished", 0)]
    assert len(command.sandbox.people) == 60_010


@pytest.mark.fault("S21")
def test_a_statement_timeout_is_reported_as_one(command: Command) -> None:
    slow_job(command)
    command.address(f"{command.database.address}?options=-c%20statement_timeout%3D1500")
    code, said = command.run()
    assert (code, said) == (
        65,
        [
            "the query: the database stopped it: a time-out",
            f"raise its time-out, or ask for less at a time; then: {RUN}",
        ],
    )
    assert command.requests == 0
    command.address(command.database.address)
    command.database.execute("UPDATE switch SET slow = 0")
    assert command.run()[0] == 0


@pytest.mark.fault("S22")
def test_a_slow_customer_io_does_not_keep_a_transaction_open(command: Command) -> None:
    command.job(people=2_000)
    command.database.execute(f"ALTER DATABASE {command.database.url.database} SET idle_session_timeout = '100ms'")
    command.address(f"{command.database.address}?options=-c%20idle_in_transaction_session_timeout%3D100")
    command.sandbox.set_faults(Faults(latency_s=0.4))
    assert command.run()[0] == 0
    assert len(command.sandbox.people) == 2_000


# ---------------------------------------------------------------- what it is asked for


@pytest.mark.parametrize(
    ("asked", "spoil", "line", "remedy"),
    [
        (
            {"table": "people"},
            "ALTER TABLE people RENAME TO persons",
            "table people: the database has no such table",
            "its tables are persons",
        ),
        (
            {"table": "shop.people"},
            "SELECT 1",
            "table shop.people: the database has no such table",
            "did you mean 'people'? its tables are people",
        ),
        (
            {"query": "SELECT * FROM peple"},
            "SELECT 1",
            'the query: the database does not understand it: relation "peple" does not exist',
            "fix the query, or the table; its tables are people",
        ),
        (
            {"table": "people"},
            "ALTER TABLE people RENAME note TO remark",
            "people.yaml:1: the source has no column 'note'; it has 'id', 'n', 'remark'",
            "fix the mapping, or the source",
        ),
        (
            {"table": "people"},
            "ALTER TABLE people ALTER note TYPE bytea USING note::bytea",
            "table people: column 'note' holds bytes, which have no JSON form",
            "leave it out of the mapping, or encode it in the query",
        ),
        (
            {"query": "SELECT * FROM people"},
            "ALTER TABLE people RENAME note TO remark",
            "people.yaml:1: the source has no column 'note'; it has 'id', 'n', 'remark'",
            "fix the mapping, or the source",
        ),
        (
            {"table": "people", "watermark": "changed_at"},
            "SELECT 1",
            "table people: the rows have no column 'changed_at', which is the watermark or its key",
            "let the query select it",
        ),
        (
            {"query": "SELECT id, n FROM people WHERE id >= :watermark", "watermark": "changed_at", "start": 0},
            "SELECT 1",
            "the query: the rows have no column 'changed_at', which is the watermark or its key",
            "let the query select it",
        ),
        (
            {"query": "SELEC 1"},
            "SELECT 1",
            'the query: the database does not understand it: syntax error at or near "SELEC"',
            "fix the query, or the table",
        ),
        (
            {"query": "SELECT id, n, note FROM people WHERE note = 'canary-of-the-rows' 'x'"},
            "SELECT 1",
            "the query: the database does not understand it: syntax error at or near a value",
            "fix the query, or the table",
        ),
        (
            {"query": "SELECT id, n, note FROM people WHERE note = CAST(:text AS int)", "parameters": {"text": CANARY}},
            "SELECT 1",
            "the query: the database failed while it was read (code 22P02)",
            "try the query in the database",
        ),
        (
            {"query": "SELECT id, note::int AS n, note FROM people"},
            "SELECT 1",
            "the query: the database failed while it was read (code 22P02)",
            "try the query in the database",
        ),
        (
            {"query": "SELECT id, n / (n - 50000) AS n, note FROM people"},
            "SELECT 1",
            "the query: the database failed while it was read (code 22012)",
            "try the query in the database",
        ),
        (
            {"query": "SELECT id, n, note FROM people; DELETE FROM people"},
            "SELECT 1",
            "the query: the query is more than one statement",
            "leave one select; what it needs first belongs into a view or a common table expression",
        ),
        (
            {"query": "DELETE FROM people RETURNING id, n, note"},
            "SELECT 1",
            "the query: the query would write, and is run read-only",
            "leave a query that only reads",
        ),
        (
            {"query": "SELECT id, n, note, 1 AS n FROM people"},
            "SELECT 1",
            "the query: two columns are named 'n'",
            "give them names with `as`",
        ),
    ],
)
def test_a_query_that_fails_is_reported_before_the_first_request(
    command: Command, asked: dict[str, Any], spoil: str, line: str, remedy: str
) -> None:
    command.job(people=50_100, **asked)
    command.database.execute(spoil)
    code, said = command.run()
    assert (code, said) == (65, [line, f"{remedy}; then: {RUN}"])
    assert command.requests == 0
    assert command.database.rows("SELECT count(*) FROM pg_class WHERE relname IN ('people', 'persons')") == [(1,)]


def test_a_user_without_rights_is_refused(command: Command) -> None:
    command.job()
    with user(command.database) as (name, _):
        command.address(command.database.as_user(name, "first"))
        assert command.run() == (
            65,
            [
                "table people: the database's user may not read it",
                f"grant select on it to the job's user; then: {RUN}",
            ],
        )
        assert command.requests == 0
        command.database.execute(f"GRANT SELECT ON people TO {name}")
        assert command.run()[0] == 0


def test_a_column_of_another_kind_than_in_the_last_run_stops_before_the_first_request(command: Command) -> None:
    command.job()
    assert command.run()[0] == 0
    command.database.execute("ALTER TABLE people ALTER n TYPE bigint")
    assert command.run()[0] == 0, "of one kind"
    before = command.requests
    command.database.execute("ALTER TABLE people ALTER n TYPE text")
    expected = (
        65,
        [
            "step people: since the last run, 'n' contained numbers and now contains text",
            f"fix the source, or add --accept-drift to accept it as it is now; then: {RUN}",
        ],
    )
    assert command.run() == command.run() == expected
    assert command.requests == before
    assert command.run("--accept-drift")[0] == 0
    assert command.run()[0] == 0, "it is known now"
    person = command.sandbox.people.find("id", "3")
    assert person is not None and person.attributes["n"] == "3"


def test_a_drift_that_was_fixed_in_the_database_is_gone_in_the_next_run(command: Command) -> None:
    command.job()
    assert command.run()[0] == 0
    command.database.execute("ALTER TABLE people ALTER n TYPE text")
    assert command.run()[0] == 65
    command.database.execute("ALTER TABLE people ALTER n TYPE int USING n::int")
    assert command.run()[0] == 0


# ---------------------------------------------------------------- the copy


@pytest.mark.parametrize("kept", [False, True])
def test_the_copy_is_readable_for_the_user_only_and_stays_with_keep_snapshots(command: Command, kept: bool) -> None:
    command.job()
    job = json.loads(Path("job.yaml").read_text())
    Path("job.yaml").write_text(json.dumps(job | {"keep_snapshots": kept}))
    assert command.run()[0] == 0
    ((run_id, _, _),) = command.runs
    stage = Path(".etl/runs") / run_id / "stage"
    assert stage.exists() is kept
    if kept:
        modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (stage, *stage.rglob("*"))}
        assert modes == {(True, 0o700), (False, 0o600)}


def test_the_copy_of_a_stopped_run_is_readable_for_the_user_only(command: Command) -> None:
    command.job()
    command.sandbox.set_faults(Faults(key_revoked_after=0, new_api_key="another"))
    assert command.run()[0] == 77
    ((run_id, _, _),) = command.runs
    stage = Path(".etl/runs") / run_id / "stage"
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (stage, *stage.rglob("*"))}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_the_next_run_deletes_the_copies_of_ended_runs(command: Command) -> None:
    command.job()
    command.sandbox.set_faults(Faults(key_revoked_after=0, new_api_key="another"))
    assert command.run()[0] == 77
    ((given_up, _, _),) = command.runs
    command.sandbox.set_faults(Faults())
    assert command.run("--restart")[0] == 0
    finished = next(run_id for run_id, _, _ in command.runs if run_id != given_up)
    late = Path(".etl/runs") / finished / "stage" / "late"  # as if it had been killed before it could clean up
    late.mkdir(parents=True)
    assert command.run()[0] == 0
    assert [str(path) for path in Path(".etl/runs").glob("*/stage")] == []


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("complaint", "kind", "said"),
    [
        (Complaint("", 'invalid percent-encoded token: "canary"', False), SourceUnreachable, "its address cannot be"),
        (
            Complaint("", 'connection to server at "h", port 5 failed: timeout expired', False),
            SourceUnreachable,
            "in time",
        ),
        (Complaint("", "SSL error: certificate verify failed", False), SourceUnreachable, "TLS"),
        (Complaint("", 'password authentication failed for user "canary"', False), SourceRefused, "refused the user"),
        (Complaint("22P02", 'invalid input syntax for type integer: "canary timed out"'), SourceError, "code 22P02"),
        (Complaint("22P02", 'invalid input: "canary, server closed, gone away"'), SourceError, "code 22P02"),
        (Complaint("22P02", 'invalid input: "canary: access denied"'), SourceError, "code 22P02"),
        (Complaint("42601", "syntax error at or near \"'canary'\""), SourceError, "near a value"),
        (Complaint("42601", 'unterminated quoted string at or near "\'canary"'), SourceError, "near a value"),
        (Complaint("42601", 'syntax error at or near "1234canary"'), SourceError, "near a value"),
        (Complaint("42883", "function lowr(text) does not exist"), SourceError, "function lowr(text) does not exist"),
        (Complaint("57014", "canceling statement due to user request"), SourceError, "a time-out"),
        (Complaint("25P03", "terminating connection due to idle-in-transaction timeout"), SourceError, "a time-out"),
        (Complaint("57P01", "terminating connection due to administrator command"), SourceUnreachable, "was lost"),
        (Complaint("57P02", "terminating connection because of crash"), SourceUnreachable, "was lost"),
        (Complaint("08006", "server closed the connection unexpectedly"), SourceUnreachable, "was lost"),
        (Complaint("", "server closed the connection unexpectedly"), SourceUnreachable, "was lost"),
        (Complaint("40001", "canceling statement due to conflict with recovery"), SourceError, "its replication"),
        (Complaint("53200", "out of memory: canary"), SourceError, "code 53200"),
        (Complaint("XX000", "canary"), SourceError, "code XX000"),
        (Complaint("", "canary"), SourceError, "failed while it was read"),
    ],
)
def test_an_error_of_a_driver_is_classified_by_its_code_and_shows_no_data(
    complaint: Complaint, kind: type, said: str
) -> None:
    error = complaint_to_error(complaint, "table t", "postgresql h/d")
    assert type(error) is kind
    assert said in str(error)
    assert "canary" not in f"{error} {error.remedy}"
