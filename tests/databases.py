"""Gives a test a real database: in a server that a variable names, else in one of its own, else the test is skipped.

PG_URL and MYSQL_URL name servers that run already, by an account that may make databases and users:
postgresql://user:password@host:port/database, mysql+pymysql://user:password@host:port/.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, make_url

from tests.running import until

PASSWORD = "canary-p4ss/w:rd@%25"  # of every server made here: one that an address must escape


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a test's own, by the address of one who may do everything in it."""

    url: URL

    @property
    def address(self) -> str:
        """As a job's `sql:` has it."""
        return self.url.render_as_string(hide_password=False)

    def as_user(self, name: str, password: str) -> str:
        """The address of another user."""
        return self.url.set(username=name, password=password).render_as_string(hide_password=False)

    def connect(self) -> Any:
        """A connection of the DB API that commits each statement."""
        if self.url.get_backend_name() == "postgresql":
            import psycopg

            uri = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
            return psycopg.connect(uri, autocommit=True, prepare_threshold=None)
        of = self.url
        return import_module("pymysql").connect(
            host=of.host or "127.0.0.1",
            port=of.port or 3306,
            user=of.username,
            password=of.password or "",
            database=of.database or None,
            autocommit=True,
        )

    def execute(self, *statements: str) -> None:
        with self._session() as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
        if any(statement.startswith("ALTER DATABASE ") for statement in statements):
            _altered.add(self.url)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._session() as connection, closing(connection.cursor()) as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """A connection whose session is like a new one."""
        if self.url.get_backend_name() != "postgresql" or self.url in _altered:
            with closing(self.connect()) as connection:
                yield connection
            return
        connection = _taken(self.url) or self.connect()
        try:
            yield connection
            connection.execute("DISCARD ALL")
        except BaseException:
            connection.close()
            raise
        _close_idle(self.url)  # of another thread
        _idle[os.getpid(), self.url] = connection


# Connections to PostgreSQL that will be used again: a new one takes 15 ms of CPU, most of them in the server, and the
# tests need thousands. Each process has its own.
_idle: dict[tuple[int, URL], Any] = {}
_altered: set[URL] = set()  # databases whose settings a test has changed, for new sessions only


def _taken(url: URL) -> Any | None:
    """An idle connection, if there is one that nobody has ended."""
    import psycopg

    if (connection := _idle.pop((os.getpid(), url), None)) is None:
        return None
    try:
        connection.execute("")
    except psycopg.Error:
        connection.close()
        return None
    return connection


def _close_idle(url: URL) -> None:
    if (connection := _idle.pop((os.getpid(), url), None)) is not None:
        connection.close()


_emptied: defaultdict[URL, list[str]] = defaultdict(list)  # PostgreSQL's, to be used again: a new one takes 0.1 s


@contextmanager
def own_database(server: URL) -> Iterator[Database]:
    """An empty database of the server, which nobody else uses during the block."""
    door, is_postgresql = Database(server), server.get_backend_name() == "postgresql"
    if is_postgresql and _emptied[server]:
        name = _emptied[server].pop()
    else:
        name = f"t_{secrets.token_hex(6)}"
        door.execute(f"CREATE DATABASE {name}")
    database = Database(server.set(database=name))
    try:
        yield database
    finally:
        if is_postgresql and _is_emptied(database):
            _emptied[server].append(name)
        else:
            _drop(door, name)
        _altered.discard(database.url)


def _drop(door: Database, name: str) -> None:
    _close_idle(door.url.set(database=name))
    forced = " WITH (FORCE)" if door.url.get_backend_name() == "postgresql" else ""  # whoever still reads it
    door.execute(f"DROP DATABASE IF EXISTS {name}{forced}")


_EMPTY = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL lock_timeout = '5s';
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END $$
"""
# What a test can add to a database outside of its schemas, too. Numbers below 16384 are those of the system.
_CATALOGS = (
    *("pg_class", "pg_type", "pg_proc", "pg_operator", "pg_opclass", "pg_collation", "pg_conversion", "pg_cast"),
    *("pg_extension", "pg_language", "pg_event_trigger", "pg_publication", "pg_default_acl", "pg_ts_config"),
    *("pg_foreign_data_wrapper", "pg_foreign_server", "pg_largeobject_metadata"),
)
_IS_EMPTY = f"""
SELECT datallowconn AND NOT datistemplate AND datconnlimit = -1 AND datacl IS NULL
    AND NOT EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
    AND NOT EXISTS (SELECT FROM pg_subscription WHERE subdbid = pg_database.oid)
    {" ".join(f"AND NOT EXISTS (SELECT FROM {catalog} WHERE oid >= 16384)" for catalog in _CATALOGS)}
FROM pg_database WHERE datname = current_database()
"""


def _is_emptied(database: Database) -> bool:
    """Whether everything that was done to a database of PostgreSQL is undone. Before version 15 nothing is tried."""
    import psycopg

    try:
        with database._session() as connection:
            if connection.info.server_version < 150_000:  # the rights on the schema `public` were others
                return False
            connection.execute(_EMPTY)
            return bool(connection.execute(_IS_EMPTY).fetchone()[0])
    except psycopg.Error:
        return False


@contextmanager
def postgresql() -> Iterator[URL]:
    """The address of a PostgreSQL's superuser: of PG_URL, else of a server that lives for the block."""
    if named := os.environ.get("PG_URL"):
        server = make_url(named)
        try:
            yield server
        finally:
            for name in _emptied.pop(server, ()):
                _drop(Database(server), name)
            _close_idle(server)
        return
    pytest.importorskip("psycopg", reason="the extra cio-etl[postgres] is not installed")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    binaries = programs[-1].parent if programs else _beside("initdb")
    if binaries is None:
        pytest.skip("no PostgreSQL: PG_URL is not set, and none is installed here")
    with _folder("postgres") as (folder, user):
        (folder / "password").write_text(PASSWORD)
        shutil.chown(folder / "password", user)
        # md5, because a connection by SCRAM takes the client 5 ms of CPU more
        initdb = [binaries / "initdb", "-D", folder / "data", "-U", "postgres", f"--pwfile={folder / 'password'}"]
        _done([*initdb, "--auth=md5", "--encoding=UTF8", "--locale=C", "--no-sync"], user, folder)
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "max_connections": 100,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with _serving([binaries / "postgres", "-D", folder / "data", *options], user, folder, "ready to accept"):
            server = URL.create("postgresql", "postgres", PASSWORD, "127.0.0.1", port, "postgres")
            try:
                yield server
            finally:
                for name in ("postgres", *_emptied.pop(server, ())):
                    _close_idle(server.set(database=name))


@contextmanager
def mariadb() -> Iterator[URL]:
    """The address of a MariaDB's or MySQL's administrator: of MYSQL_URL, else of a server that lives for the block."""
    if named := os.environ.get("MYSQL_URL"):
        yield make_url(named)
        return
    with own_mariadb() as url:
        yield url


@contextmanager
def own_mariadb(files: Sequence[Path] = (), **more: object) -> Iterator[URL]:
    """A server that lives for the block, with more settings; the files are copied to its folder, by their names."""
    pytest.importorskip("pymysql", reason="the extra cio-etl[mysql] is not installed")
    binaries, install = _beside("mariadbd"), shutil.which("mariadb-install-db")
    if binaries is None or install is None:
        pytest.skip("no MariaDB: MYSQL_URL is not set, and none is installed here")
    with _folder("nobody") as (folder, user):
        data, first = f"--datadir={folder / 'data'}", folder / "first.sql"
        literal = PASSWORD.replace("\\", "\\\\").replace("'", "''")
        first.write_text(
            f"CREATE USER IF NOT EXISTS 'etl'@'%' IDENTIFIED BY '{literal}';\n"
            "GRANT ALL ON *.* TO 'etl'@'%' WITH GRANT OPTION;\n"
        )
        shutil.chown(first, user)
        made = [install, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db"]
        _done(made, user, folder)
        port = _free_port()
        settings = {
            "bind-address": "127.0.0.1",
            "port": port,
            "socket": folder / "s",
            "pid-file": folder / "pid",
            "init-file": first,
            "character-set-server": "utf8mb4",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-buffer-pool-size": "16M",
        }
        for file in files:
            shutil.chown(shutil.copy(file, folder / "data"), user)
        settings |= {name.replace("_", "-"): value for name, value in more.items()}
        options = [f"--{name}={value}" for name, value in settings.items()]
        serving = [binaries / "mariadbd", "--no-defaults", data, *options, "--skip-name-resolve"]
        with _serving(serving, user, folder, "ready for connections"):
            yield URL.create("mysql+pymysql", "etl", PASSWORD, "127.0.0.1", port)


def _beside(program: str) -> Path | None:
    """The folder of a program."""
    file = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    return Path(file).resolve().parent if file else None


@contextmanager
def _folder(server: str) -> Iterator[tuple[Path, str]]:
    """A folder for a server, and the user that it runs as: the one of that name for root, which no server runs as."""
    user = server if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="cio-etl-"))
    try:
        shutil.chown(folder, user)
        yield folder, user
    except LookupError:
        pytest.skip(f"no user {server!r} on this machine, and root may not run the server")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as(user: str) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _done(command: Sequence[object], user: str, folder: Path) -> None:
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True, **_as(user))
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr or done.stdout}")


@contextmanager
def _serving(command: Sequence[object], user: str, folder: Path, ready: str) -> Iterator[None]:
    """A server that runs for the block, from when its log says that it is ready."""
    log = folder / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            **_as(user),
        )
    try:

        def is_ready() -> bool:
            if server.poll() is not None:
                raise RuntimeError(f"{command[0]} has ended: {log.read_text(errors='replace')[-2000:]}")
            return ready in log.read_text(errors="replace")

        until(is_ready)
        yield
    finally:
        server.send_signal(signal.SIGINT if "postgres" in str(command[0]) else signal.SIGTERM)  # a fast shutdown
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])
