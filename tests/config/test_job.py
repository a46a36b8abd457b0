"""A job file becomes a Job, or a ConfigError that names every fault with its line."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from cio_etl.config import load_job
from cio_etl.errors import ConfigError
from cio_etl.model import (
    AvroSource,
    CsvSource,
    DeltaSource,
    ExcelSource,
    IcebergSource,
    Incremental,
    Job,
    MaxRejects,
    NdjsonSource,
    ParquetSource,
    Source,
    SqlSource,
    Storage,
)

CANARY = "canary-9c1e"
DATABASE = SecretStr("postgresql://me:hunter2@db/shop")
KEYS = {"SITE": "the-site", "KEY": "the-key"}
MAPPING = "operation: identify\nidentifiers: {id: a}\n"
DESTINATION = "destination: {site_id: '${SITE}', api_key: '${KEY}'}\n"
STEPS = "steps:\n  - name: people\n    source: {csv: a.csv}\n    mapping: m.yaml\n"
WORKING = DESTINATION + STEPS

Read = Callable[..., Job]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MAPPING)
    Path("n.yaml").write_text(MAPPING)
    Path("sub").mkdir()
    Path("sub/m.yaml").write_text(MAPPING)

    def write_and_read(text: str, environ: Mapping[str, str] = KEYS, secrets: bool = True) -> Job:
        Path("j.yaml").write_text(text, encoding="utf-8")
        return load_job(Path("j.yaml"), environ, secrets=secrets)

    return write_and_read


def problems_of(read: Read, text: str, environ: Mapping[str, str] = KEYS, secrets: bool = True) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(text, environ, secrets)
    assert error.value.exit_code == 78
    return [str(problem) for problem in error.value.problems]


# ---------------------------------------------------------------- what is read


def test_every_key_of_a_job_is_read(read: Read) -> None:
    job = read(
        """\
name: nightly-2
destination:
  api: track
  region: eu
  site_id: ${SITE}
  api_key: ${KEY}
  requests_per_second: 12.5
  lanes: 4
  max_batch_bytes: 100000
  ca_file: ca.pem
steps:
  - name: customers
    source: {csv: [a.csv, "b-*.csv"], separator: "\\t", encoding: cp1252, quote: null, null_values: ["", "NULL"]}
    mapping: m.yaml
  - name: orders
    source: {parquet: o.parquet}
    mapping: [m.yaml, n.yaml]
max_rejects: 0.5%
state: ${STATE:-.state}
schedule: "0 3 * * *"
"""
    )
    assert (job.file, job.name, job.state, job.schedule) == ("j.yaml", "nightly-2", Path(".state"), "0 3 * * *")
    assert job.max_rejects == MaxRejects(share=0.005)
    to = job.destination
    assert (to.api, to.region, to.base_url, to.ca_file) == ("track", "eu", "https://track-eu.customer.io", "ca.pem")
    assert (to.requests_per_second, to.lanes, to.max_batch_bytes) == (12.5, 4, 100_000)
    assert {key: secret.get_secret_value() for key, secret in to.credentials.items()} == {
        "site_id": "the-site",
        "api_key": "the-key",
    }
    assert [step.name for step in job.steps] == ["customers", "orders/m", "orders/n"]
    assert job.steps[0].source == CsvSource(("a.csv", "b-*.csv"), "\t", "cp1252", None, ("", "NULL"))
    assert job.steps[1].source == job.steps[2].source == ParquetSource(("o.parquet",))
    assert [step.mapping.file for step in job.steps] == ["m.yaml", "m.yaml", "n.yaml"]


@pytest.mark.parametrize(
    ("written", "schedule"),
    [
        ("'*/15 3-5 * * mon'", "*/15 3-5 * * mon"),
        ("'@daily'", "@daily"),
        ("{assets: ['s3://lake/orders', x]}", ("s3://lake/orders", "x")),
    ],
)
def test_a_schedule_is_a_cron_line_or_assets(read: Read, written: str, schedule: object) -> None:
    assert read(WORKING + f"schedule: {written}\n").schedule == schedule


def test_optional_keys_may_be_omitted(read: Read) -> None:
    job = read(WORKING)
    assert (job.name, job.state, job.schedule, job.max_rejects) == ("j", Path(".etl"), None, MaxRejects(share=0.01))
    to = job.destination
    assert (to.region, to.base_url, to.requests_per_second, to.lanes) == ("us", "https://track.customer.io", 100.0, 16)
    assert (to.max_batch_bytes, to.ca_file) == (500_000, None)
    assert job.steps[0].source == CsvSource(("a.csv",))


def test_a_list_with_one_mapping_names_its_step_as_a_list_does(read: Read) -> None:
    assert [step.name for step in read(WORKING.replace("m.yaml", "[m.yaml]")).steps] == ["people/m"]


@pytest.mark.parametrize(
    ("destination", "region", "base_url", "rate"),
    [
        ("region: us", "us", "https://track.customer.io", 100.0),
        ("region: auto", "auto", "", 100.0),
        ("base_url: 'https://track-eu.customer.io/'", "eu", "https://track-eu.customer.io", 100.0),
        ("base_url: 'http://127.0.0.1:8080', requests_per_second: unlimited", "us", "http://127.0.0.1:8080", None),
        ("region: eu, base_url: 'http://[::1]:8080'", "eu", "http://[::1]:8080", 100.0),
        ("requests_per_second: 1000", "us", "https://track.customer.io", 1000.0),
        ("requests_per_second: '${RATE:-2.5}'", "us", "https://track.customer.io", 2.5),
    ],
)
def test_a_region_selects_the_address(
    read: Read, destination: str, region: str, base_url: str, rate: float | None
) -> None:
    to = read(WORKING.replace("destination: {", f"destination: {{{destination}, ")).destination
    assert (to.region, to.base_url, to.requests_per_second) == (region, base_url, rate)


def test_a_number_may_be_a_reference(read: Read) -> None:
    text = WORKING.replace("destination: {", "destination: {lanes: '${LANES}', ") + "max_rejects: ${MAX:-7}\n"
    job = read(text, {**KEYS, "LANES": "8"})
    assert (job.destination.lanes, job.max_rejects) == (8, MaxRejects(rows=7))


def test_booleans_and_numbers_may_be_references(read: Read) -> None:
    environ = {**KEYS, "YES": "true", "N": "7"}
    job = read(WORKING.replace("csv: a.csv", "csv: a.csv, hive: '${YES}'") + "keep_snapshots: ${NO:-false}\n", environ)
    assert (job.steps[0].source, job.keep_snapshots) == (CsvSource(("a.csv",), hive=True), False)
    assert read(WORKING.replace("csv: a.csv", "delta: a, version: '${N}'"), environ).steps[0].source == DeltaSource(
        "a", 7
    )
    assert problems_of(read, WORKING + "keep_snapshots: ${NO:-no}\n") == [
        "j.yaml:6: keep_snapshots: must be true or false"
    ]


def test_rejects_stores_keys_unless_rows_is_written(read: Read) -> None:
    assert read(WORKING).rejects == "keys"
    assert read(f"{WORKING}rejects: rows\n").rejects == "rows"
    assert problems_of(read, f"{WORKING}rejects: row\n") == ["j.yaml:6: rejects: must be 'keys' or 'rows'"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0", MaxRejects(rows=0)),
        ("250", MaxRejects(rows=250)),
        ("0%", MaxRejects(share=0.0)),
        ("100%", MaxRejects(share=1.0)),
        ("2.5 %", MaxRejects(share=0.025)),
        ("{share: 1%, at_least: 0}", MaxRejects(share=0.01, at_least=0)),
        ("{share: 1%, at_least: '${LEAST:-3}'}", MaxRejects(share=0.01, at_least=3)),
    ],
)
def test_max_rejects_is_a_share_or_a_number_of_rows(read: Read, written: str, meant: MaxRejects) -> None:
    assert read(f"{WORKING}max_rejects: {written}\n").max_rejects == meant


@pytest.mark.parametrize(
    ("max_rejects", "rows", "limit", "words"),
    [
        (MaxRejects(share=0.01), 3, 10, "10 rows, the least that 1 % allows"),
        (MaxRejects(share=0.01), 1_000, 10, "10 rows, 1 % of 1,000"),
        (MaxRejects(share=0.01), 1_001, 11, "11 rows, 1 % of 1,001"),
        (MaxRejects(share=0.01, at_least=0), 3, 1, "1 row, 1 % of 3"),
        (MaxRejects(share=0.0), 1_000, 0, "0 rows"),
        (MaxRejects(rows=1), 1_000, 1, "1 row"),
    ],
)
def test_a_share_allows_a_small_step_ten_rejected_rows(
    max_rejects: MaxRejects, rows: int, limit: int, words: str
) -> None:
    assert (max_rejects.limit(rows), max_rejects.of(rows)) == (limit, words)


def test_a_job_is_checked_without_looking_up_secrets(read: Read) -> None:
    job = read(WORKING.replace("${KEY}", "${file:/no/such/file}"), {}, secrets=False)
    assert [secret.get_secret_value() for secret in job.destination.credentials.values()] == ["", ""]
    literal = problems_of(read, WORKING.replace("${KEY}", CANARY), {}, secrets=False)
    assert literal == [f"j.yaml:1: destination.api_key: {ONLY_REFERENCES}"]


# ---------------------------------------------------------------- what is refused

ONLY_REFERENCES = (
    "secrets are references only: write ${NAME} or ${file:/run/secrets/key}, and replace a key that was written here"
)
ADDRESSES = (
    "credentials are sent to https://track.customer.io, https://track-eu.customer.io or this machine "
    "(http://127.0.0.1:8080) only; name one of these, without user, path or query"
)
RATE = "must be a number above 0, up to 1000; or unlimited, with a base_url on this machine"
A_NAME = "must be up to 100 letters, digits, - and _, beginning with a letter or digit: it names files"
SHARE = "must be a share, as 1% or {share: 1%, at_least: 0}, or a whole number of rows"


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("api: pipelines", "write_key: missing; write write_key: ${CUSTOMERIO_WRITE_KEY}"),
        ("api: trck", "api: must be 'track' or 'pipelines'"),
        (
            "base_url: https://cdp.customer.io",
            "base_url: the address of the other API, but api: is track; leave base_url out",
        ),
        (
            "app_api_key: secret",
            "app_api_key: secrets are references only: write ${NAME} or ${file:/run/secrets/key}, and replace a key "
            "that was written here",
        ),
        ("region: usa", "region: must be 'us', 'eu' or 'auto'"),
        ("region: NO", "region: must be 'us', 'eu' or 'auto'"),
        ("lanes: 0", "lanes: must be at least 1"),
        ("lanes: 257", "lanes: must be at most 256"),
        ("lanes: 1.5", "lanes: must be a whole number"),
        ("lanes: true", "lanes: must be a whole number"),
        ("lanes: 1_6", "lanes: must be a whole number"),
        ("lane: 3", "lane: unknown key; did you mean 'lanes'?"),
        ("max_batch_bytes: 32099", "max_batch_bytes: must be at least 32100"),
        ("max_batch_bytes: 500001", "max_batch_bytes: must be at most 500000"),
        ("requests_per_second: 0", f"requests_per_second: {RATE}"),
        ("requests_per_second: -1", f"requests_per_second: {RATE}"),
        ("requests_per_second: 1001", f"requests_per_second: {RATE}"),
        ("requests_per_second: .nan", f"requests_per_second: {RATE}"),
        ("requests_per_second: true", f"requests_per_second: {RATE}"),
        ("requests_per_second: fast", f"requests_per_second: {RATE}"),
        (
            "requests_per_second: unlimited",
            "requests_per_second: unlimited is for a base_url on this machine; write a number up to 1000",
        ),
        (
            "requests_per_second: unlimited, base_url: 'https://track.customer.io'",
            "requests_per_second: unlimited is for a base_url on this machine; write a number up to 1000",
        ),
        ("base_url: 'https://example.com'", f"base_url: {ADDRESSES}"),
        (f"base_url: 'https://u:{CANARY}@track.customer.io'", f"base_url: {ADDRESSES}"),
        ("base_url: null", "base_url: must be text; put it in quotes"),
        (
            "region: auto, base_url: 'http://127.0.0.1:1'",
            "base_url: region: auto determines the address; remove one of the two",
        ),
        (
            "region: us, base_url: 'https://track-eu.customer.io'",
            "base_url: the address of the other region; leave base_url out",
        ),
        ("ca_file: ''", "ca_file: must name a file"),
        (
            "ca_file: '${NO}'",
            "ca_file: the environment variable NO is not set; "
            "set it, or name its file with --env-file, or give it a default, ${NO:-…}, if it is not a secret",
        ),
    ],
)
def test_a_wrong_destination_is_reported(read: Read, setting: str, problem: str) -> None:
    text = WORKING.replace("destination: {", f"destination: {{{setting}, ")
    assert problems_of(read, text) == [f"j.yaml:1: destination.{problem}"]


ONE_KIND = "write one of csv:, parquet:, ndjson:, excel:, avro:, delta:, iceberg:, sql:"
AN_ADDRESS = "must be a database's address, as ${WAREHOUSE_URL} or sqlite:///shop.db"
NO_SUCH = (
    "the environment variable NO_SUCH is not set; "
    "set it, or name its file with --env-file, or give it a default, ${NO_SUCH:-…}, if it is not a secret"
)
IN_SIGHT = (
    "a password in plain text; write a reference, as ${WAREHOUSE_URL} or postgresql://me:${PASSWORD}@host/db, and "
    "change the password"
)
A_TABLE = 'must be a name, as orders or sales.orders; with a point in a name, a list: [sales, "order.lines"]'
A_LAG = "must be a duration, as 15 minutes, 2h or 1 day; for a watermark of numbers, a whole number"
A_START = "must be a value of the watermark, as 2024-01-01, 2024-01-01T00:00:00Z or a whole number"
USE_WATERMARK = "the query must use :watermark, as in `where updated_at >= :watermark`"
NAME_WATERMARK = "the query uses :watermark; name the column with watermark:"
NO_START = "start: is missing; the first run needs a value for :watermark, as 2024-01-01"
NOT_GIVEN = "the query has :region, which parameters: does not give; a colon that is not a parameter is written \\:"
NOT_USED = "parameters: has 'a', which the query does not use"
OURS = ":watermark is set by the program; give this parameter another name"
A_SECRET = (
    "secrets are references only: write ${NAME} or ${file:/run/secrets/key}, and replace a key that was written here"
)
BOTH_KEYS = "access_key_id and secret_access_key go together"
A_COMMA = "inside { } a comma ends a value: write a value that has one in quotes"
ONE_WAY = "write one of anonymous, profile, and the two keys"
REFERENCE = "a reference inside a query would be read as SQL; give it under parameters: instead"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("cvs: a", "source.cvs: unknown key; did you mean 'csv'?"),
        (
            "sql: 'sqlite:///a.db', query: select id, name from people",
            f"source['name from people']: unknown key; {A_COMMA}",
        ),
        ("csv: a, parquet: b", f"source: {ONE_KIND}"),
        ("separator: ';'", f"source: {ONE_KIND}"),
        ("parquet: b, separator: ';'", "source: separator: goes with csv: only; leave it out"),
        ("csv: a, watermark: b", "source: watermark: goes with sql: only; leave it out"),
        ("csv: []", "source.csv: must not be empty"),
        ("csv: ''", "source.csv[0]: must name a file"),
        ("csv: 7", "source.csv: must be text, or a list of texts"),
        ("csv: [7]", "source.csv[0]: must be text; put it in quotes"),
        (
            "csv: 'ftp://lake/a.csv'",
            "source.csv[0]: must be a path, or a URL of s3://, gs://, az:// or https://, as s3://lake/orders/*.parquet",
        ),
        ("parquet: a, sheet: b", "source: sheet: goes with excel: only; leave it out"),
        (
            "sql: 'sqlite:///a.db', table: t, hive: true",
            "source: hive: goes with csv:, parquet:, ndjson: only; leave it out",
        ),
        ("csv: a, dialect: excell", "source.dialect: no dialect of that name; did you mean 'excel'?"),
        ("delta: a, version: -1", "source.version: must be at least 0"),
        (
            "csv: 's3://b/a', storage: {access_key_id: AKIA, secret_access_key: '${KEY}'}",
            f"source.storage.access_key_id: {A_SECRET}",
        ),
        ("csv: 's3://b/a', storage: {access_key_id: '${KEY}'}", f"source.storage: {BOTH_KEYS}"),
        ("csv: 's3://b/a', storage: {anonymous: true, profile: p}", f"source.storage: {ONE_WAY}"),
        ("sql: warehouse, table: t", f"source.sql: {AN_ADDRESS}"),
        ("sql: '${NO_SUCH}', table: t", f"source.sql: {NO_SUCH}"),
        ("sql: 'postgresql://me:hunter2@db/shop', table: t", f"source.sql: {IN_SIGHT}"),
        ("sql: 'sqlite:///a.db'", "source: write one of table:, query: and query_file:"),
        ("sql: 'sqlite:///a.db', table: t, query: select 1", "source: write one of table:, query: and query_file:"),
        (
            "sql: 'sqlite:///a.db', query_file: q.sql",
            "source.query_file: no file 'q.sql'; relative paths start at the folder in which the command runs",
        ),
        ("sql: 'sqlite:///a.db', table: a..b", f"source.table: {A_TABLE}"),
        ("sql: 'sqlite:///a.db', table: [a, b, c, d]", f"source.table: {A_TABLE}"),
        ("sql: 'sqlite:///a.db', table: t, key: id", "source: key: goes with watermark:, which is missing"),
        ("sql: 'sqlite:///a.db', table: t, watermark: w, lag: soon", f"source.lag: {A_LAG}"),
        ("sql: 'sqlite:///a.db', table: t, watermark: w, start: []", f"source.start: {A_START}"),
        ("sql: 'sqlite:///a.db', query: select 1, watermark: w, start: 1", f"source: {USE_WATERMARK}"),
        ("sql: 'sqlite:///a.db', query: 'select :watermark'", f"source: {NAME_WATERMARK}"),
        ("sql: 'sqlite:///a.db', query: 'select :watermark', watermark: w", f"source: {NO_START}"),
        ("sql: 'sqlite:///a.db', query: 'select :region'", f"source: {NOT_GIVEN}"),
        ("sql: 'sqlite:///a.db', query: select 1, parameters: {a: 1}", f"source: {NOT_USED}"),
        ("sql: 'sqlite:///a.db', query: select 1, parameters: {watermark: 1}", f"source.parameters: {OURS}"),
        ("sql: 'sqlite:///a.db', query: 'select ${KEY}'", f"source.query: {REFERENCE}"),
        ("csv: a, separator: ';;'", 'source.separator: must be one ASCII character, as ";" or "\\t"'),
        ("csv: a, separator: é", 'source.separator: must be one ASCII character, as ";" or "\\t"'),
        ("csv: a, separator: '\"'", "source: separator and quote are the same sign"),
        ("csv: a, encoding: utf-9", "source.encoding: no such encoding; as utf-8, latin-1, cp1252, utf-16"),
        ("csv: a, encoding: base64", "source.encoding: no such encoding; as utf-8, latin-1, cp1252, utf-16"),
        ("csv: a, null_values: [-999]", "source.null_values[0]: must be text; put it in quotes"),
        ("csv: a, null_values: [NULL]", "source.null_values[0]: must be text; put it in quotes"),
    ],
)
def test_a_wrong_source_is_reported(read: Read, source: str, problem: str) -> None:
    assert problems_of(read, WORKING.replace("csv: a.csv", source)) == [f"j.yaml:4: steps[0].{problem}"]


NO_CRON = "is not a cron line"
SCHEDULE = 'must be a cron line of five fields, as "0 3 * * *", or @daily and the like, or {assets: [a URI, …]}'


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (STEPS, ["j.yaml:1: destination: missing; add this key"]),
        (DESTINATION, ["j.yaml:1: steps: missing; add this key"]),
        (DESTINATION + "steps: []\n", ["j.yaml:2: steps: must not be empty"]),
        (DESTINATION + "steps: {}\n", ["j.yaml:2: steps: must be a list"]),
        (DESTINATION + "steps: [people]\n", ["j.yaml:2: steps[0]: must be keys with values, as `key: value`"]),
        ("destination: track\n" + STEPS, ["j.yaml:1: destination: must be keys with values, as `key: value`"]),
        (
            "destination: {}\n" + STEPS,
            [
                "j.yaml:1: destination.site_id: missing; write site_id: ${CUSTOMERIO_SITE_ID}",
                "j.yaml:1: destination.api_key: missing; write api_key: ${CUSTOMERIO_API_KEY}",
            ],
        ),
        (WORKING + "step: 1\n", ["j.yaml:6: step: unknown key; did you mean 'steps'?"]),
        (WORKING + "name: a/b\n", [f"j.yaml:6: name: {A_NAME}"]),
        (WORKING + "name: ..\n", [f"j.yaml:6: name: {A_NAME}"]),
        (WORKING + "name: 'a\n\n  b'\n", [f"j.yaml:6: name: {A_NAME}"]),
        (WORKING + "name: 7\n", ["j.yaml:6: name: must be text; put it in quotes"]),
        (
            WORKING + "schedule: '0 25 * * *'\n",
            [f"j.yaml:6: schedule: {NO_CRON}: [0 25 * * *] is not acceptable, out of range"],
        ),
        (WORKING + "schedule: '0 3 31 2 *'\n", [f"j.yaml:6: schedule: {NO_CRON}: failed to find next date"]),
        (WORKING + "schedule: '@nightly'\n", [f"j.yaml:6: schedule: {SCHEDULE}"]),
        (WORKING + "max_rejects: 0.01\n", [f"j.yaml:6: max_rejects: {SHARE}"]),
        (WORKING + "max_rejects: 101%\n", [f"j.yaml:6: max_rejects: {SHARE}"]),
        (WORKING + "max_rejects: -1\n", [f"j.yaml:6: max_rejects: {SHARE}"]),
        (WORKING + "max_rejects: true\n", [f"j.yaml:6: max_rejects: {SHARE}"]),
        (WORKING + "max_rejects:\n", [f"j.yaml:6: max_rejects: {SHARE}"]),
        (
            WORKING + f"state: postgresql://u:{CANARY}@db/x\n",
            [
                "j.yaml:6: state: a password in plain text; write a reference, as ${WAREHOUSE_URL} or "
                "postgresql://me:${PASSWORD}@host/db, and change the password"
            ],
        ),
        (WORKING + "state: ''\n", ["j.yaml:6: state.folder: must name a folder"]),
        *(
            (WORKING + f"schedule: {raw}\n", [f"j.yaml:6: schedule: {SCHEDULE}"])
            for raw in ("3", "nightly", "'0 3 * *'", "{assets: []}", "{assets: [3]}", "{assets: [a], cron: b}", "[a]")
        ),
        (
            WORKING + "state: ${ETL_STATE\n",
            ["j.yaml:6: state: `${` begins a reference: ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"],
        ),
        (
            WORKING + "state: ${1X}\n",
            ["j.yaml:6: state: not a reference; write ${NAME}, ${NAME:-default} or ${file:/run/secrets/key}"],
        ),
        (WORKING + "state: ${file:/no/such}\n", ["j.yaml:6: state: no file '/no/such'; there is no folder /no"]),
        (
            WORKING + STEPS.removeprefix("steps:\n"),
            ["j.yaml:6: steps[1].name: the name of steps[0] too; give each step its own"],
        ),
        (WORKING.replace("name: people", "name: a b"), [f"j.yaml:3: steps[0].name: {A_NAME}"]),
        (
            WORKING.replace("m.yaml", "no.yaml"),
            [
                "j.yaml:5: steps[0].mapping: no file 'no.yaml'; "
                "relative paths start at the folder in which the command runs"
            ],
        ),
        (
            WORKING.replace("m.yaml", "[m.yaml, '${DIR}/no.yaml']"),
            [
                "j.yaml:5: steps[0].mapping[1]: no file '${DIR}/no.yaml'; "
                "relative paths start at the folder in which the command runs"
            ],
        ),
        (
            WORKING.replace("m.yaml", "[m.yaml, sub/m.yaml]"),
            [
                "j.yaml:5: steps[0].mapping: two mappings of one file name; "
                "name the files differently, they name the steps"
            ],
        ),
        (WORKING.replace("mapping: m.yaml", "mapping: []"), ["j.yaml:5: steps[0].mapping: must not be empty"]),
        (
            WORKING.replace("mapping: m.yaml", "mapping: 7"),
            ["j.yaml:5: steps[0].mapping: must be text, or a list of texts"],
        ),
        (WORKING + "state: a\nstate: b\n", ["j.yaml:7: state: written twice, first on line 6; keep one"]),
        ("", ["j.yaml: empty"]),
    ],
)
def test_what_is_wrong_in_a_job_is_reported(read: Read, text: str, problems: list[str]) -> None:
    assert problems_of(read, text, {**KEYS, "DIR": CANARY}) == problems


def test_a_job_needs_a_name_if_its_file_name_cannot_be_one(read: Read, tmp_path: Path) -> None:
    Path("my job.yaml").write_text(WORKING)
    with pytest.raises(ConfigError) as error:
        load_job(Path("my job.yaml"), KEYS)
    assert str(error.value) == (
        "my job.yaml:1: name: missing, and the file's own name cannot stand for it; "
        "write name: with letters, digits, - and _"
    )
    Path("my job.yaml").write_text(WORKING + "name: mine\n")
    assert load_job(Path("my job.yaml"), KEYS).name == "mine"


def test_problems_of_a_job_and_of_all_its_mappings_are_reported_at_once(read: Read) -> None:
    Path("m.yaml").write_text(
        "operation: identify\nidentifiers: {id: a}\nattributes:\n  plan: {column: a, apply: [lowr]}\n"
    )
    Path("n.yaml").write_text("operation: track\nidentifiers: {id: a}\n")
    text = WORKING.replace("${KEY}", "${NO_KEY}").replace("m.yaml", "[m.yaml, n.yaml, m.yaml]") + "max_rejects: x\n"
    assert problems_of(read, text) == [
        "j.yaml:1: destination.api_key: the environment variable NO_KEY is not set; "
        "set it, or name its file with --env-file",
        "j.yaml:5: steps[0].mapping: two mappings of one file name; name the files differently, they name the steps",
        f"j.yaml:6: max_rejects: {SHARE}",
        "m.yaml:4: attributes.plan.apply[0]: no function 'lowr'; did you mean 'lower'?",
        "n.yaml:1: event: missing; write event: {value: order_placed}, or the column that contains the event's name",
    ]


def test_a_missing_secret_of_a_function_is_reported_with_its_line(read: Read) -> None:
    Path("m.yaml").write_text(
        MAPPING + "attributes:\n  a: b\n  c:\n    column: d\n    apply: [trim, {hmac: '${NO}'}]\n"
    )
    assert problems_of(read, WORKING) == [
        "m.yaml:7: attributes.c.apply[1]: hmac: the environment variable NO is not set; "
        "set it, or name its file with --env-file"
    ]
    assert read(WORKING, secrets=False).steps[0].mapping.file == "m.yaml"


# ---------------------------------------------------------------- secrets


def test_the_repr_of_a_job_contains_no_secret(read: Read) -> None:
    job = read(WORKING, {"SITE": CANARY, "KEY": CANARY})
    assert job.destination.credentials["api_key"].get_secret_value() == CANARY
    assert CANARY not in repr(job) + str(job) + f"{job.destination}"


PLACES = [
    "name: ${C}",
    "state: ${C}://x",
    "max_rejects: ${C}",
    "schedule: ${C}",
    "unknown: ${C}",
    "destination: ${C}",
    "steps: ${C}",
    *(
        WORKING.replace("destination: {", f"destination: {{{key}: '${{C}}', ")
        for key in (
            "api",
            "region",
            "requests_per_second",
            "lanes",
            "max_batch_bytes",
            "base_url",
            "ca_file",
            "unknown",
        )
    ),
    *(
        WORKING.replace("csv: a.csv", f"csv: a.csv, {key}: '${{C}}'")
        for key in ("parquet", "separator", "encoding", "quote", "unknown")
    ),
    WORKING.replace("csv: a.csv", "csv: '${C}://x'"),
    WORKING.replace("m.yaml", "${C}"),
    WORKING.replace("name: people", "name: ${C}/"),
    WORKING.replace("${KEY}", "x${C}"),
    WORKING.replace("${KEY}", CANARY),
    WORKING.replace("${KEY}", "${KEY:-" + CANARY + "}"),
    WORKING.replace("'${KEY}'", f"[{CANARY}]"),
    WORKING.replace("'${KEY}'", f"'{CANARY}"),
    WORKING + f"state: a: {CANARY}\n",
    WORKING + f"state: &{CANARY} x\n",
    WORKING + f"state: *{CANARY}\n",
    WORKING + f"state: !{CANARY} x\n",
    WORKING + f'state: "{CANARY}\n',
    WORKING + f"state: '{CANARY}://x'\n",
    WORKING + f"{CANARY}\nx: 1\n",
]


@pytest.mark.parametrize("text", PLACES)
def test_a_secret_in_the_wrong_place_is_not_in_the_error(read: Read, text: str) -> None:
    text = text if "destination" in text else WORKING + text + "\nmore: 1\n"
    with pytest.raises(ConfigError) as error:
        read(text, {**KEYS, "C": CANARY})
        raise ConfigError([])  # a key that allows any text, such as ca_file
    chain = "".join(traceback.format_exception(error.value)) + repr(error.value) + repr(error.value.problems)
    assert CANARY not in chain


# ---------------------------------------------------------------- damage

BASE = WORKING + "max_rejects: 1%\nstate: ${ETL_STATE:-.etl}\nschedule: '0 3 * * *'\n"
SNIPPETS = [
    *(
        "\n",
        " ",
        "  ",
        "\t",
        ":",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!!x ",
        "<<: ",
        "? ",
        "|\n",
        ">\n",
        "%",
        "@",
    ),
    *("'", '"', "#", ",", "${", "${A}", "${file:m.yaml}", "\0", "\x85", "\ufeff", "\ud800", "\\", "\\x", '"\\ud800"'),
    *("null", "true", ".nan", "1e999", "007", "-", "...", "---\n", "steps", "name", "mapping: ", "🙂", "9" * 30, "\r"),
]
DAMAGE = st.tuples(st.integers(0, len(BASE)), st.integers(0, 12), st.sampled_from(SNIPPETS) | st.text(max_size=3))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(DAMAGE, min_size=1, max_size=4), st.sampled_from(["j.yaml", "m.yaml"]))
@example([(0, 10_000, "? " * 3_000)], "j.yaml")
def test_a_damaged_job_raises_only_a_config_error(read: Read, damage: list[tuple[int, int, str]], name: str) -> None:
    content = {
        "j.yaml": BASE,
        "m.yaml": MAPPING + "attributes: {a: {column: b, apply: [trim, {divide: 2}]}}\nwhen: a = 'b'\n",
    }
    for place, length, text in damage:
        whole = content[name]
        content[name] = whole[:place] + text + whole[place + length :]
    for file, text in content.items():
        Path(file).write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        load_job(Path("j.yaml"), KEYS)
    except ConfigError as error:
        assert error.problems
        assert all(problem.message and "not understood" not in problem.message for problem in error.problems)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_raise_only_a_config_error(read: Read, content: bytes) -> None:
    Path("j.yaml").write_bytes(content)
    with pytest.raises(ConfigError):
        load_job(Path("j.yaml"), KEYS)


STORAGE = Storage(endpoint="http://127.0.0.1:9000", access_key_id=SecretStr("id"), secret_access_key=SecretStr("key"))
KEYS_OF_STORAGE = "storage: {endpoint: 'http://127.0.0.1:9000', access_key_id: '${ID}', secret_access_key: '${SECRET}'}"


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ("csv: a, dialect: mysql", CsvSource(("a",), separator="\t", quote=None, escape="\\", null_values=())),
        (
            "csv: a, dialect: mysql, separator: ','",
            CsvSource(("a",), separator=",", quote=None, escape="\\", null_values=()),
        ),
        ("csv: '-', columns: [a, b]", CsvSource(("-",), columns=("a", "b"))),
        (
            f"parquet: 's3://lake/o/**', hive: true, {KEYS_OF_STORAGE}",
            ParquetSource(("s3://lake/o/**",), hive=True, storage=STORAGE),
        ),
        ("ndjson: [a.ndjson, b.ndjson.gz]", NdjsonSource(("a.ndjson", "b.ndjson.gz"))),
        ("excel: a.xlsx, sheet: Mai", ExcelSource(("a.xlsx",), "Mai")),
        ("avro: a.avro", AvroSource(("a.avro",))),
        ("delta: 's3://lake/t', version: 7", DeltaSource("s3://lake/t", 7)),
        ("iceberg: t/metadata.json", IcebergSource("t/metadata.json")),
        ("sql: '${DB}', table: sales.orders", SqlSource(DATABASE, ("sales", "orders"), place="table sales.orders")),
        (
            "sql: '${DB}', table: [sales, o.rders], watermark: at, key: id, lag: 2h, start: '2024-01-01'",
            SqlSource(
                DATABASE,
                ("sales", "o.rders"),
                incremental=Incremental("at", ("id",), timedelta(hours=2), date(2024, 1, 1)),
                place="table sales.o.rders",
            ),
        ),
        (
            "sql: '${DB}', query: 'select :a from t where n > :watermark', parameters: {a: 1}, "
            "watermark: n, lag: 3, start: 0",
            SqlSource(
                DATABASE,
                query="select :a from t where n > :watermark",
                parameters={"a": 1},
                incremental=Incremental("n", lag=3, start=0),
                place="the query",
            ),
        ),
    ],
)
def test_every_kind_of_source_is_read(read: Read, written: str, source: Source) -> None:
    environ = {**KEYS, "DB": DATABASE.get_secret_value(), "ID": "id", "SECRET": "key"}
    job = read(WORKING.replace("csv: a.csv", written), environ)
    assert job.steps[0].source == source


def test_a_query_can_be_read_from_a_file(read: Read, tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("select 1 as id -- ${KEY} means nothing here\n")
    job = read(WORKING.replace("csv: a.csv", "sql: 'sqlite:///a.db', query_file: q.sql"))
    source = job.steps[0].source
    assert isinstance(source, SqlSource)
    assert (source.query, source.place) == ("select 1 as id -- ${KEY} means nothing here\n", "q.sql")


def test_a_job_is_checked_without_the_addresses_of_its_databases(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("operation: identify\nidentifiers: {id: id}\n")
    path = tmp_path / "j.yaml"
    path.write_text(
        WORKING.replace("csv: a.csv", "sql: '${NOWHERE}', table: t").replace("m.yaml", str(tmp_path / "m.yaml"))
    )
    load_job(path, {}, secrets=False, sources=False)
    with pytest.raises(ConfigError, match="the environment variable NOWHERE is not set"):
        load_job(path, {}, secrets=False)


BUYER = {
    "operation": "track",
    "event": {"value": "order"},
    "identifiers": {"id": "buyer"},
    "timestamp": {"column": "at", "apply": ["timestamp"]},
    "event_key": "order_id",
}


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ({}, {"identifiers": {"id": "seller"}}, True),
        ({"event_key": []}, {"event_key": [], "identifiers": {"id": "seller"}}, True),
        ({}, {"operation": "page", "identifiers": {"id": "seller"}}, True),
        ({"when": "a = 1"}, {"identifiers": {"id": "seller"}}, True),
        ({"when": "a = 1"}, {"when": "a = 1", "identifiers": {"id": "seller"}}, True),
        ({"when": "a = 1"}, {"when": "a = 2", "identifiers": {"id": "seller"}}, False),
        ({}, {"identifiers": {"id": "seller"}, "event": {"value": "sale"}}, False),
        ({}, {"identifiers": {"id": "seller"}, "event_key": ["order_id", "seller"]}, False),
        ({}, {"identifiers": {"id": "seller"}, "timestamp": {"column": "paid", "apply": ["timestamp"]}}, False),
        ({}, {}, False),  # the same event of the same person, twice
        ({}, {"operation": "identify", "event": None, "timestamp": None, "event_key": None}, False),
    ],
)
@pytest.mark.parametrize("listed", [True, False], ids=["one-step", "two-steps"])
def test_mappings_that_give_events_of_two_people_the_same_id_are_refused(
    read: Read, first: dict[str, Any], second: dict[str, Any], is_refused: bool, listed: bool
) -> None:
    for name, more in (("buyer", first), ("seller", second)):
        written = {key: value for key, value in (BUYER | more).items() if value is not None}
        Path(f"{name}.yaml").write_text(json.dumps(written), encoding="utf-8")
    steps = (
        ["{name: a, source: {csv: o.csv}, mapping: [buyer.yaml, seller.yaml]}"]
        if listed
        else [
            "{name: a, source: {csv: o.csv}, mapping: buyer.yaml}",
            "{name: b, source: {csv: o.csv}, mapping: seller.yaml}",
        ]
    )
    text = DESTINATION + "steps:\n" + "".join(f"- {step}\n" for step in steps)
    if not is_refused:
        assert read(text).steps[1].mapping.file == "seller.yaml"
        return
    (problem,) = problems_of(read, text)
    place = "3: steps[0].mapping[1]" if listed else "4: steps[1].mapping"
    assert problem.startswith(f"j.yaml:{place}: its events get the ids of buyer.yaml's: event, timestamp and event_key")
    if not listed:
        assert len(read(text.replace("o.csv}, mapping: seller", "p.csv}, mapping: seller")).steps) == 2
