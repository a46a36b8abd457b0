"""The databases of the tests: their connections are used again, and no test notices."""

from __future__ import annotations

from sqlalchemy import URL

from tests.databases import Database, own_database

PID = "SELECT pg_backend_pid()"


def test_each_session_of_a_test_is_like_a_new_one(postgres: Database) -> None:
    first = postgres.rows(PID)
    postgres.execute("SET TIME ZONE 'Asia/Tokyo'", "CREATE TEMP TABLE t (n int)", "SELECT pg_advisory_lock(1)")
    assert postgres.rows(PID) == first
    assert postgres.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    assert postgres.rows("SELECT current_setting('TimeZone') <> 'Asia/Tokyo', to_regclass('t')") == [(True, None)]


def test_settings_of_the_database_are_those_of_the_next_session(postgresql_server: URL) -> None:
    with own_database(postgresql_server) as database:
        database.execute(f"ALTER DATABASE {database.url.database} SET timezone = 'Asia/Tokyo'")
        assert database.rows("SHOW timezone") == [("Asia/Tokyo",)]
    with own_database(postgresql_server) as again:
        assert again.url == database.url and again.rows("SHOW timezone") != [("Asia/Tokyo",)]


def test_a_connection_that_was_ended_is_replaced(postgres: Database, postgresql_server: URL) -> None:
    ((pid,),) = postgres.rows(PID)
    assert Database(postgresql_server).rows(f"SELECT pg_terminate_backend({pid}, 5000)") == [(True,)]
    assert postgres.rows(PID) != [(pid,)]
