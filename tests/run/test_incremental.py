"""Incremental runs on a real PostgreSQL send every version of every row once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import CredentialsRefused, SourceError, TooManyRejects
from cio_etl.extract.incremental import NewRows, first_wanted
from cio_etl.model import Incremental, Report, Staging, Watermark, WatermarkValue
from cio_etl.run import Caller, RunOptions, Signals, run_job
from cio_etl.sandbox import Faults, Sandbox
from cio_etl.state import open_store
from tests.databases import Database, own_database
from tests.running import environment, start, until, write_job

MAPPING = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"version": "version", "mail": "mail"}}


pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(trace="version") as running:
        yield running


@dataclass(slots=True)
class Nights:
    """A table `people`, the job that reads what is new in it, and what has arrived so far."""

    sandbox: Sandbox
    database: Database
    kind: str = "timestamptz"  # of updated_at
    told: Counter[str] = field(default_factory=Counter)

    def table(self) -> None:
        self.database.execute(
            f"CREATE TABLE people (id text, version text, mail text, updated_at {self.kind}, extra text)"
        )

    def job(self, steps: Mapping[str, Any] | None = None, max_rejects: Any = "1%", **source: Any) -> None:
        """Writes the job; of `source`, what is not asked for by default."""
        Path("people.yaml").write_text(json.dumps(MAPPING))
        asked = {"table": "people", "watermark": "updated_at", "key": "id"} | source
        asked = {name: value for name, value in asked.items() if value is not None}
        if "query" in asked:
            del asked["table"]
        write_job(
            Path("job.yaml"),
            self.sandbox.url,
            {"people": ({"sql": "${WAREHOUSE_URL}", **asked}, "people.yaml")},
            destination={"requests_per_second": "unlimited", "lanes": 2, "max_batch_bytes": 32_100},
            max_rejects=max_rejects,
        )
        os.environ["WAREHOUSE_URL"] = self.database.address

    def write(self, *versions: tuple[str, str]) -> None:
        """Inserts versions of rows, each named `id.n`, with their SQL expression of updated_at; older ones are gone."""
        statements: list[str] = []
        for version, updated_at in versions:
            name = version.split(".")[0]
            statements += [
                f"DELETE FROM people WHERE id = '{name}'",
                f"INSERT INTO people VALUES ('{name}', '{version}', '{name}@example.com', {updated_at}, 'x')",
            ]
        self.database.execute(*statements)

    def many(self, rows: int) -> None:
        """Inserts first versions of rows 1, 2, … of one moment, some 1 kB each: a batch has 30 of them."""
        series = f"generate_series(1, {rows}) AS t(n)"
        self.database.execute(
            f"INSERT INTO people SELECT n, n || '.1', repeat('x', 900), '2024-03-10', '' FROM {series}"
        )

    def night(self, **options: Any) -> list[str]:
        """Runs the job; the versions that arrived now."""
        self.run(**options)
        return self.arrived()

    def run(self, **options: Any) -> Report:
        with Signals() as signals:
            return run_job(load_job(Path("job.yaml")), RunOptions(**options), Caller(signals))

    def arrived(self) -> list[str]:
        """The versions that came since this was last asked, each as often as it came."""
        all_so_far = Counter(version for person in self.sandbox.people.everybody() for version in person.trace)
        new = all_so_far - self.told
        self.told = all_so_far
        return sorted(new.elements())

    def mark(self) -> Watermark | None:
        """What the last finished run left."""
        store = open_store(Path(".etl"))
        try:
            return store.bookmark("job", "people").watermark
        finally:
            store.close()


@pytest.fixture
def nights(sandbox: Sandbox, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> Nights:
    monkeypatch.setenv("WAREHOUSE_URL", postgres.address)
    return Nights(sandbox, postgres)


# ---------------------------------------------------------------- at the mark


def test_rows_with_the_same_watermark_are_sent_once_over_many_runs(nights: Nights) -> None:
    nights.table()
    nights.job()
    moment = "'2024-03-10 09:00:00.123456+00'"
    nights.write(("a.1", moment), ("b.1", moment), ("z.1", "'2024-03-01+00'"))
    assert nights.night() == ["a.1", "b.1", "z.1"]
    nights.write(("c.1", moment))
    assert nights.night() == ["c.1"]
    nights.write(("d.1", moment), ("e.1", moment))
    assert nights.night() == ["d.1", "e.1"]
    assert nights.night() == []
    nights.write(("f.1", "'2024-03-10 09:00:00.123457+00'"), ("g.1", moment))
    assert nights.night() == ["f.1", "g.1"]
    nights.write(("h.1", moment), ("i.1", "'2024-03-10 09:00:00.123455+00'"))
    assert nights.night() == ["h.1"], "two microseconds before the mark is too late, without a lag"
    assert nights.night() == []


def test_a_row_is_sent_again_only_when_its_watermark_changed(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2024-03-10 09:00+00'"))
    assert nights.night() == ["a.1"]
    nights.write(("a.2", "'2024-03-10 09:00:00.000001+00'"))
    assert nights.night() == ["a.2"]
    nights.database.execute("UPDATE people SET version = 'a.3'")  # and not its watermark: nobody can know
    assert nights.night() == []


@pytest.mark.parametrize("sign", [">", ">="])
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date", "bigint"])
def test_a_query_may_say_after_or_from_the_watermark_on(nights: Nights, sign: str, kind: str) -> None:
    nights.kind = kind
    nights.table()
    query = f"SELECT * FROM people WHERE updated_at {sign} :watermark -- what is new"
    numbers = kind == "bigint"
    nights.job(query=query, start=0 if numbers else "2024-01-01")
    first, later = ("7", "8") if numbers else ("'2024-03-10'", "'2024-03-11'")
    nights.write(("a.1", first), ("old.1", "0" if numbers else "'2023-12-31'"))
    from_start_on = ["a.1", "old.1"] if numbers and sign == ">=" else ["a.1"]
    assert nights.night() == from_start_on
    nights.write(("c.1", later), ("d.1", first))
    assert nights.night() == ["c.1", "d.1"]
    nights.write(("e.1", later))
    assert nights.night() == ["e.1"]
    assert nights.night() == []


@pytest.mark.parametrize(
    ("kind", "values", "mark"),
    [
        (
            "timestamptz",
            ("'2024-03-10 18:00:00.000001+09'", "'2024-03-10 18:00:01+09'"),
            datetime(2024, 3, 10, 9, 0, 1, tzinfo=UTC),
        ),
        ("timestamp", ("'2024-03-10 09:00:00.000001'", "'2024-03-10 09:00:01'"), datetime(2024, 3, 10, 9, 0, 1)),
        ("date", ("'2024-03-10'", "'2024-03-11'"), date(2024, 3, 11)),
        ("bigint", ("9007199254740993", "9007199254740995"), 9007199254740995),
        ("smallint", ("-7", "-6"), -6),
        ("numeric", ("1710061200.000000001", "1710061200.000000002"), Decimal("1710061200.000000002")),
        ("numeric(20,6)", ("1710061200.5", "1710061200.500001"), Decimal("1710061200.500001")),
        ("text", ("'2024-03-10T09:00:00Z'", "'2024-03-10T09:00:01Z'"), "2024-03-10T09:00:01Z"),
        ("text", ("'B it''s \\'", "'a'"), "a"),
    ],
)
def test_the_watermark_is_exact_for_every_type_in_every_server_time_zone(
    nights: Nights, kind: str, values: tuple[str, str], mark: WatermarkValue
) -> None:
    nights.kind = kind
    nights.database.execute(f"ALTER DATABASE {nights.database.url.database} SET timezone = 'Asia/Tokyo'")
    nights.table()
    nights.job()
    before, after = values
    nights.write(("a.1", before), ("b.1", before))
    assert nights.night() == ["a.1", "b.1"]
    nights.write(("c.1", before), ("d.1", after), ("e.1", after))
    assert nights.night() == ["c.1", "d.1", "e.1"]
    left = nights.mark()
    assert left is not None and (type(left.value), left.value) == (type(mark), mark)
    nights.write(("f.1", after))
    assert nights.night() == ["f.1"]
    assert nights.night() == []


def test_a_text_watermark_with_a_linguistic_collation_loses_no_row(nights: Nights) -> None:
    nights.kind = 'text COLLATE "en-x-icu"'
    nights.table()
    nights.job()
    nights.write(("a.1", "'apple'"), ("b.1", "'Banana'"))
    assert nights.night() == ["a.1", "b.1"]
    nights.write(("c.1", "'cherry'"), ("d.1", "'apple'"))
    assert nights.night() == ["c.1", "d.1"]
    assert nights.night() == []


@pytest.mark.parametrize("kind", ["numeric", "text"])
def test_a_query_with_greater_than_is_refused_for_a_numeric_or_text_watermark(nights: Nights, kind: str) -> None:
    nights.kind = kind
    nights.table()
    nights.job(query="SELECT * FROM people WHERE updated_at > :watermark", start="0" if kind == "text" else 0)
    nights.write(("a.1", "'7'"))
    if kind == "numeric":
        assert nights.night() == ["a.1"]
    with pytest.raises(SourceError, match="> :watermark would lose rows that have the same watermark") as error:
        nights.job(query="SELECT * FROM people WHERE updated_at > :watermark", start="x")
        nights.run()
    assert error.value.remedy == "write >= :watermark; rows that were sent before are skipped anyway"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("boolean", "true or false"),
        ("float8", "floating-point numbers"),
        ("jsonb", "JSON, or numbers and text"),
        ("int[]", "lists of whole numbers"),
    ],
)
def test_a_watermark_without_an_exact_order_is_refused(nights: Nights, kind: str, words: str) -> None:
    nights.kind = kind
    nights.table()
    nights.job()
    with pytest.raises(
        SourceError, match=f"the watermark 'updated_at' holds {words}, which have no exact order"
    ) as error:
        nights.run()
    assert error.value.remedy == "name a column of times, dates, whole numbers or text"
    assert nights.sandbox.stats()["requests"] == 0


def test_a_watermark_of_a_changed_type_is_refused_and_a_full_refresh_accepts_it(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2024-03-10 09:00+00'"))
    assert nights.night() == ["a.1"]
    nights.database.execute("ALTER TABLE people ALTER updated_at TYPE timestamp")
    with pytest.raises(SourceError, match="is a time without a zone now, and was of another") as error:
        nights.run()
    assert "--full-refresh" in error.value.remedy
    assert nights.night(full_refresh=True) == ["a.1"]
    assert nights.night() == []


@pytest.mark.parametrize(
    ("settings", "since", "what", "remedy"),
    [
        ({"start": "yesterday"}, None, "and start is not", "write start as 2024-05-20T00:00:00Z"),
        ({"start": "2024-5-20"}, None, "and start is not", "write start as 2024-05-20T00:00:00Z"),
        ({}, "abc", "and --watermark is not", "write --watermark as 2024-05-20T00:00:00Z"),
        ({}, "2024-13-45", "and --watermark is not", "write --watermark as 2024-05-20T00:00:00Z"),
        ({"lag": 15}, None, "and lag does not fit that", "write lag as a duration, as 15 minutes"),
    ],
)
def test_a_start_a_lag_or_an_option_of_another_kind_than_the_watermark_is_refused(
    nights: Nights, settings: dict[str, Any], since: str | None, what: str, remedy: str
) -> None:
    nights.table()
    nights.job(**settings)
    nights.write(("a.1", "'2024-03-10 09:00+00'"))
    with pytest.raises(SourceError) as error:
        nights.run(watermark=since)
    assert str(error.value) == f"table people: the watermark 'updated_at' is a time with a zone, {what}"
    assert error.value.remedy == remedy
    if not settings:
        assert nights.night() == ["a.1"], "a --watermark that cannot be does not stop the nights after it"


# ---------------------------------------------------------------- late, early, without a key


def test_late_rows_within_the_lag_are_sent(nights: Nights) -> None:
    nights.table()
    nights.job(lag="15 minutes")
    nights.write(("a.1", "'2024-03-10 09:00+00'"), ("b.1", "'2024-03-10 08:50+00'"))
    assert nights.night() == ["a.1", "b.1"]
    nights.write(("c.1", "'2024-03-10 08:45+00'"), ("d.1", "'2024-03-10 08:44:59.999998+00'"))
    assert nights.night() == ["c.1"]
    nights.write(("e.1", "'2024-03-10 08:46+00'"))
    assert nights.night() == ["e.1"]
    assert nights.night() == []


@pytest.mark.parametrize(
    ("kind", "lag", "mark", "late", "too_late"),
    [
        ("bigint", 10, "100", "90", "88"),
        ("date", "1 day", "'2024-03-10'", "'2024-03-09'", "'2024-03-07'"),
        ("date", "1h", "'2024-03-10'", "'2024-03-09'", "'2024-03-07'"),
        ("numeric", 10, "100.5", "90.5", "90.4"),
    ],
)
def test_a_lag_must_be_of_the_watermark_s_kind(
    nights: Nights, kind: str, lag: Any, mark: str, late: str, too_late: str
) -> None:
    nights.kind = kind
    nights.table()
    nights.job(lag=lag)
    nights.write(("a.1", mark))
    assert nights.night() == ["a.1"]
    nights.write(("b.1", late), ("c.1", too_late))
    assert nights.night() == ["b.1"]
    assert nights.night() == []


def test_rows_without_a_key_are_distinguished_by_all_their_columns(nights: Nights) -> None:
    nights.table()
    nights.job(key=None)
    nights.write(("a.1", "'2024-03-10'"))
    assert nights.night() == ["a.1"]
    nights.write(("a.2", "'2024-03-10'"), ("b.1", "'2024-03-10'"))
    assert nights.night() == ["a.2", "b.1"]
    nights.database.execute("UPDATE people SET extra = 'y'")  # a column that no mapping reads tells rows apart, too
    assert nights.night() == ["a.2", "b.1"]
    assert nights.night() == []


def test_rows_dated_in_the_future_do_not_hide_later_rows_with_earlier_dates(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "now() - interval '1 hour'"), ("b.1", "'2099-01-01'"), ("c.1", "'2124-01-01'"))
    assert nights.night() == ["a.1", "b.1", "c.1"]
    left = nights.mark()
    assert left is not None and isinstance(left.value, datetime) and left.value < datetime.now(UTC)
    nights.write(("d.1", "now()"), ("b.2", "'2099-01-02'"))
    assert nights.night() == ["b.2", "d.1"]
    assert nights.night() == []


def test_an_infinite_watermark_is_refused(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'infinity'"))
    with pytest.raises(SourceError, match="column 'updated_at' holds an infinite date"):
        nights.run()


def test_rows_without_a_watermark_are_sent_by_the_first_run_only(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "NULL"), ("b.1", "'2024-03-10'"))
    assert nights.night() == ["a.1", "b.1"]
    assert nights.night() == []
    assert nights.night(full_refresh=True) == ["a.1", "b.1"]
    assert nights.night() == []


def test_an_empty_table_stores_no_watermark_and_does_not_change_a_stored_one(nights: Nights) -> None:
    nights.table()
    nights.job()
    assert nights.night() == [] and nights.mark() is None
    nights.write(("a.1", "'2024-03-10+00'"))
    assert nights.night() == ["a.1"]
    nights.database.execute("DELETE FROM people")
    assert nights.night() == []
    left = nights.mark()
    assert left is not None and left.value == datetime(2024, 3, 10, tzinfo=UTC)
    nights.write(("b.1", "'2024-03-09+00'"), ("c.1", "'2024-03-10+00'"))
    assert nights.night() == ["c.1"]


# ---------------------------------------------------------------- from where


def test_a_start_without_a_time_zone_is_in_utc_in_every_server_time_zone(nights: Nights) -> None:
    nights.database.execute(f"ALTER DATABASE {nights.database.url.database} SET timezone = 'Asia/Tokyo'")
    nights.table()
    nights.job(start="2024-03-10")
    nights.write(("a.1", "'2024-03-10 00:00+00'"), ("b.1", "'2024-03-09 20:00+00'"))
    assert nights.night() == ["a.1"]


def test_the_first_run_begins_at_start(nights: Nights) -> None:
    nights.table()
    nights.job(start="2024-03-10T09:00:00+09:00")
    nights.write(("a.1", "'2024-03-10 00:00+00'"), ("b.1", "'2024-03-09 23:59:59+00'"))
    assert nights.night() == ["a.1"]
    assert nights.night() == []


def test_a_full_refresh_reads_everything_from_start_on_again(nights: Nights) -> None:
    nights.table()
    nights.job(start="2024-01-01")
    nights.write(("a.1", "'2024-03-10'"), ("b.1", "'2024-03-11'"), ("old.1", "'2023-03-11'"))
    assert nights.night() == ["a.1", "b.1"]
    assert nights.night(full_refresh=True) == ["a.1", "b.1"]
    assert nights.night() == []


def test_the_watermark_option_reads_older_rows_again_and_a_run_without_rows_moves_no_watermark(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2024-03-08+00'"), ("b.1", "'2024-03-09+00'"), ("c.1", "'2024-03-10+00'"))
    assert nights.night() == ["a.1", "b.1", "c.1"]
    assert nights.night(watermark="2024-03-09T00:00:00Z") == ["b.1", "c.1"]
    assert nights.night() == []
    nights.write(("d.1", "'2024-03-10+00'"))
    assert nights.night(watermark="2030-01-01") == []
    assert nights.night() == ["d.1"], "a watermark that found nothing moves no mark"


def test_full_refresh_and_watermark_work_on_the_command_line(nights: Nights, capfd: pytest.CaptureFixture[str]) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2024-03-08+00'"), ("b.1", "'2024-03-09+00'"))
    for flags, expected in (
        ([], ["a.1", "b.1"]),
        ([], []),
        (["--watermark", "2024-03-09"], ["b.1"]),
        (["--full-refresh"], ["a.1", "b.1"]),
        ([], []),
    ):
        assert main(["run", "job.yaml", *flags]) == 0
        assert nights.arrived() == expected, flags
    assert main(["run", "job.yaml", "--full-refresh", "--watermark", "1"]) == 2
    assert "give one of the two" in capfd.readouterr().err


# ---------------------------------------------------------------- the mark moves when the step has finished


def test_a_run_with_a_limit_does_not_move_the_watermark(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2024-03-08+00'"), ("b.1", "'2024-03-09+00'"))
    assert len(nights.night(limit=1)) == 1 and nights.mark() is None
    assert nights.night() == ["a.1", "b.1"]
    before = nights.mark()
    nights.write(("c.1", "'2024-03-10+00'"), ("d.1", "'2024-03-10+00'"))
    assert len(nights.night(limit=3)) >= 1 and nights.mark() == before
    assert nights.night() == ["c.1", "d.1"]


def test_rejected_rows_move_the_watermark_unless_they_are_too_many(nights: Nights) -> None:
    nights.table()
    nights.job(max_rejects=1)
    nights.write(("a.1", "'2024-03-08+00'"), ("b.1", "'2024-03-09+00'"))
    nights.database.execute("UPDATE people SET mail = 'a@@b' WHERE id = 'b'")
    mapping = {**MAPPING, "attributes": {"version": "version", "email": "mail"}}
    Path("people.yaml").write_text(json.dumps(mapping))
    report = nights.run()
    assert (report.exit_code, report.steps[0].counts.rejected, nights.arrived()) == (3, 1, ["a.1"])
    assert nights.night() == []
    before = nights.mark()
    nights.write(("c.1", "'2024-03-10+00'"), ("d.1", "'2024-03-10+00'"), ("e.1", "'2024-03-10+00'"))
    nights.database.execute("UPDATE people SET mail = 'a@@b' WHERE id IN ('c', 'd')")
    with pytest.raises(TooManyRejects):
        nights.run()
    assert nights.mark() == before
    nights.arrived()
    nights.database.execute("UPDATE people SET mail = 'a@b.co'")
    assert set(nights.night(restart=True)) >= {"c.1", "d.1"}
    assert nights.night() == []


def test_a_resumed_run_sends_the_rows_of_its_own_copy_before_newer_ones(nights: Nights) -> None:
    """The upper bound is taken once: what comes while a run is interrupted belongs to the next one."""
    nights.table()
    nights.job()
    nights.many(400)
    nights.sandbox.set_faults(Faults(key_revoked_after=4))
    with pytest.raises(CredentialsRefused):
        nights.run()
    assert nights.mark() is None
    nights.sandbox.set_faults(Faults())
    nights.write(("new.1", "'2024-03-10'"), ("1.2", "'2024-03-11'"))
    part = nights.arrived()
    rest = nights.night()
    assert sorted(part + rest) == sorted(f"{n}.1" for n in range(1, 401))
    assert nights.night() == ["1.2", "new.1"]
    assert nights.night() == []


def test_a_run_with_a_watermark_option_is_resumed_without_it(nights: Nights) -> None:
    """Cron knows nothing of the flags of whoever began the run that was interrupted."""
    nights.table()
    nights.job()
    nights.many(200)
    nights.night()
    nights.sandbox.set_faults(Faults(key_revoked_after=3))
    with pytest.raises(CredentialsRefused):
        nights.run(full_refresh=True)
    nights.sandbox.set_faults(Faults())
    assert sorted(nights.night()) == sorted(f"{n}.1" for n in range(1, 201)), "all of them once, over both calls"
    assert nights.night() == []


# ---------------------------------------------------------------- kill -9

WAITING = "wait_event = 'PgSleep'"


def killed(nights: Nights, folder: Path, when: Callable[[], bool]) -> None:
    """Starts the command, and kills it as soon as `when()` is true."""
    process = start(
        "run",
        "job.yaml",
        folder=folder,
        env=environment() | {"WAREHOUSE_URL": nights.database.address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def now() -> bool:
            assert process.poll() is None, "it ended before it could be killed"
            return when()

        until(now)
    finally:
        process.signal_group(signal.SIGKILL)
        process.wait()


@pytest.mark.fault("P1")
def test_after_a_kill_during_the_copy_the_next_run_copies_again(nights: Nights, tmp_path: Path) -> None:
    nights.table()
    nights.job(
        query="SELECT * FROM people WHERE updated_at >= :watermark "
        "AND (id <> 'z' OR (SELECT slow FROM switch) = 0 OR pg_sleep(60) IS NULL)",
        start="2024-01-01",
    )
    nights.database.execute("CREATE TABLE switch (slow int)", "INSERT INTO switch VALUES (1)")
    nights.write(("a.1", "'2024-03-10'"), ("z.1", "'2024-03-10'"))
    killed(nights, tmp_path, lambda: nights.database.rows(f"SELECT 1 FROM pg_stat_activity WHERE {WAITING}") == [(1,)])
    nights.database.execute("UPDATE switch SET slow = 0")
    nights.write(("b.1", "'2024-03-10'"))
    assert nights.night() == ["a.1", "b.1", "z.1"]
    assert nights.night() == []


@pytest.mark.fault("P1")
def test_after_a_kill_before_the_first_answer_the_copied_rows_are_sent(nights: Nights, tmp_path: Path) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2024-03-10'"), ("b.1", "'2024-03-10'"))
    nights.sandbox.set_faults(Faults(rates={"hang_before": 1.0}))
    killed(nights, tmp_path, lambda: nights.sandbox.stats()["requests"] > 0)
    nights.sandbox.set_faults(Faults())
    nights.write(("c.1", "'2024-03-10'"), ("a.2", "'2024-03-11'"))
    assert nights.mark() is None
    assert nights.night() == ["a.1", "b.1"]
    assert nights.night() == ["a.2", "c.1"]
    assert nights.night() == []


@pytest.mark.fault("P1")
def test_a_kill_in_the_last_batch_moves_no_watermark_and_the_next_run_sends_the_rest(
    nights: Nights, tmp_path: Path
) -> None:
    nights.table()
    nights.job()
    nights.many(100)
    nights.sandbox.set_faults(Faults(script=("ok", "ok"), rates={"hang_before": 1.0}))
    killed(nights, tmp_path, lambda: nights.sandbox.stats()["requests"] >= 4)
    assert nights.mark() is None
    nights.sandbox.set_faults(Faults())
    part = nights.arrived()
    nights.write(("new.1", "'2024-03-10'"))
    rest = nights.night()
    assert part and rest
    assert sorted(part + rest) == sorted(f"{n}.1" for n in range(1, 101)), "each once: what hung was never taken"
    assert nights.night() == ["new.1"]
    assert nights.night() == []


# ---------------------------------------------------------------- any nights


@pytest.fixture(scope="module")
def many_nights(postgresql_server: URL) -> Iterator[tuple[Sandbox, Database]]:
    with own_database(postgresql_server) as database, Sandbox(trace="version") as sandbox:
        yield sandbox, database


# Of each night, who changes, and whether their change is of a moment later than the one before.
changes = st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=5), min_size=1, max_size=5)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(of_nights=changes, kind=st.sampled_from(["timestamptz", "bigint", "date", "text"]), lag=st.booleans())
@example(
    of_nights=[[(0, False), (1, False)], [(2, False)], [(3, False)], [(0, True), (4, False)], []],
    kind="date",
    lag=False,
)
def test_whatever_changes_between_the_nights_each_version_of_each_row_is_sent_once(
    many_nights: tuple[Sandbox, Database],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    of_nights: list[list[tuple[int, bool]]],
    kind: str,
    lag: bool,
) -> None:
    """Time never goes back in the table, but many rows share a moment, also over several nights."""
    sandbox, database = many_nights
    folder = tmp_path_factory.mktemp("nights")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WAREHOUSE_URL", database.address)
    database.execute("DROP TABLE IF EXISTS people")
    nights = Nights(sandbox, database, kind)
    nights.arrived()
    nights.table()
    nights.job(lag=None if kind == "text" or not lag else 1 if kind == "bigint" else "1 day")
    now, last = 0, dict[str, int]()  # when each one changed last
    for number, of_night in enumerate(of_nights):
        written: dict[str, tuple[str, str]] = {}
        for person, later in of_night:
            name = f"{folder.name}-{person}"  # another one in each example
            now += later or last.get(name) == now  # a change moves the watermark
            last[name] = now
            written[name] = f"{name}.{number}", moment(kind, now)  # what was before in this night nobody sees
        if written:
            nights.write(*written.values())
        assert nights.night() == sorted(version for version, _ in written.values())
    assert nights.night() == []


def moment(kind: str, number: int) -> str:
    """The `number`th moment, as an SQL expression."""
    if kind == "bigint":
        return str(number)
    if kind == "timestamptz":
        return f"'2024-03-01 00:00+00'::timestamptz + {number} * interval '1 microsecond'"
    return f"'{date(2024, 3, 1) + timedelta(days=number)}'"


# ---------------------------------------------------------------- the mark by itself


def frame(*rows: tuple[str, datetime | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.String, "at": pl.Datetime("us", "UTC")}, orient="row")


def test_the_watermark_remembers_only_rows_that_may_be_read_again() -> None:
    noon = datetime(2024, 3, 10, 12, tzinfo=UTC)
    incremental = Incremental("at", ("id",), timedelta(minutes=5))
    new = NewRows("table t", incremental, Staging(Path()), clock=noon)
    rows = frame(
        ("a", noon - timedelta(minutes=6)),
        ("b", noon - timedelta(minutes=5)),
        ("c", noon),
        ("d", noon + timedelta(1)),
        ("e", None),
    )
    assert new.of(rows).equals(rows)
    mark = new.next_watermark([rows])
    assert mark is not None and mark.value == noon and len(mark.seen) == 3
    assert Watermark.of_text(mark.to_text()) == mark
    assert first_wanted(incremental, Staging(Path(), watermark=mark)) == noon - timedelta(minutes=5, microseconds=1)
    again = NewRows("table t", incremental, Staging(Path(), watermark=mark), clock=noon + timedelta(hours=1))
    assert again.of(rows)["id"].to_list() == ["a", "e"]
    assert again.dropped_rows == 3
    second = again.next_watermark([again.of(frame(("f", noon)))])
    assert second is not None and len(second.seen) == 4, "those that were left out are remembered on"


@pytest.mark.parametrize(
    ("texts", "highest"),
    [
        (["2024-03-09", "9999-12-31", None], "2024-03-09"),
        (["2024-03-10 23:59:59", "2024-03-11T02:00:00+14:00", "2024-03-12"], "2024-03-11T02:00:00+14:00"),
        (["9999-12-31", "2024-04-01T00:00:00Z"], "2024-03-10"),  # the clock, where all rows are in the future
        (["10/03/2024", "zz", "9999"], "zz"),  # any other text is no date
    ],
)
def test_a_text_that_is_a_date_in_the_future_hides_no_later_row(texts: list[str | None], highest: str) -> None:
    """As in SQLite, whose dates are texts."""
    noon = datetime(2024, 3, 10, 12, tzinfo=UTC)
    new = NewRows("table t", Incremental("at", ("id",), None), Staging(Path()), clock=noon)
    rows = pl.DataFrame({"id": [str(number) for number in range(len(texts))], "at": texts})
    assert new.of(rows).equals(rows)
    mark = new.next_watermark([rows])
    assert mark is not None and mark.value == highest


# ---------------------------------------------------------------- what the mark is of


def test_a_watermark_belongs_to_one_destination_and_one_column(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2024-03-10 09:00+00'"))
    assert nights.night() == ["a.1"]
    nights.job(watermark="extra")
    with pytest.raises(SourceError) as error:
        nights.run()
    assert "its watermark belongs to another destination, database, table or column" in str(error.value)
    assert error.value.remedy == "read everything with --full-refresh, or continue from a value with --watermark"
    nights.job()
    assert nights.night() == []
    with Sandbox() as another:
        nights.job()
        job = json.loads(Path("job.yaml").read_text())
        job["destination"]["base_url"] = another.url
        Path("job.yaml").write_text(json.dumps(job))
        with pytest.raises(SourceError, match="its watermark belongs to another destination"):
            nights.run()
        nights.run(full_refresh=True)
        assert another.stats()["people"] == 1


def test_rows_that_are_all_of_the_future_are_sent_once(nights: Nights) -> None:
    nights.table()
    nights.job()
    nights.write(("a.1", "'2099-01-01'"))
    assert nights.night() == ["a.1"]
    assert nights.night() == []


def test_a_run_with_the_watermark_option_remembers_the_rows_that_were_sent(nights: Nights) -> None:
    nights.table()
    nights.job(lag="1h")
    nights.write(("a.1", "'2024-03-10 11:10+00'"), ("b.1", "'2024-03-10 12:00+00'"))
    assert nights.night() == ["a.1", "b.1"]
    assert nights.night(watermark="2024-03-10T11:59:00Z") == ["b.1"]
    assert nights.night() == []
