"""Tests of the benchmark itself: its rows, its sink, its arithmetic. `make bench` does the measuring."""

from __future__ import annotations

import json
import re
import signal
import ssl
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sqlalchemy import URL

from cio_etl.config import load_job
from cio_etl.model import CsvSource, ParquetSource
from tests import running
from tests.benchmarks import (
    contenders,
    data,
    extract,
    lanes,
    ledger,
    measure,
    nested,
    paced,
    pages,
    ratios,
    run,
    sink,
    tables,
    transports,
    validate,
)
from tests.databases import Database
from tests.running import spawn

SINK = Path(sink.__file__)
ITEM_BYTES = (325, 345)


# ---------------------------------------------------------------- rows


def test_an_order_is_an_event_of_about_330_bytes_with_all_that_makes_json_hard() -> None:
    orders = data.orders(0, 2_000)
    items = [
        json.dumps(data.event(order), separators=(",", ":"), ensure_ascii=False).encode()
        for order in orders.iter_rows(named=True)
    ]
    assert ITEM_BYTES[0] < sum(map(len, items)) / len(items) < ITEM_BYTES[1]
    text = b"".join(items)
    assert b'\\"' in text and b"\\\\" in text and "東京".encode() in text
    assert orders["order_id"].is_unique().all()
    assert 0.3 < orders["coupon"].null_count() / 2_000 < 0.7
    assert {kind.base_type() for kind in orders.dtypes} == {pl.Int64, pl.String, pl.Datetime, pl.Float64, pl.Boolean}


def test_a_wide_order_has_41_attributes_of_which_30_are_null_in_half_of_the_rows() -> None:
    wide = data.wide_orders(0, 2_000).drop("customer_id", "ordered_at")
    assert_frame_equal(data.wide_orders(0, 300)[150:], data.wide_orders(150, 300))
    shares = [column.null_count() / 2_000 for column in wide.get_columns()]
    assert (len(shares), sum(0.4 < share < 0.6 for share in shares)) == (41, 30)


def test_people_come_back_and_are_200_000_at_most() -> None:
    # 200,000 people drawn 400,000 times: one in e² is never drawn
    assert 170_000 < data.orders(0, 400_000)["customer_id"].n_unique() < 176_000
    assert (
        data.orders(0, 400_000)["customer_id"].unique().str.slice(1).cast(pl.Int64).is_between(100_000, 299_999).all()
    )


def test_a_row_is_the_same_whichever_rows_are_made_with_it() -> None:
    assert_frame_equal(data.orders(0, 300)[150:], data.orders(150, 300))


def test_parquet_and_csv_hold_the_same_rows(tmp_path: Path) -> None:
    rows = data.ROWS_AT_ONCE + 1_000  # more than is written at once
    parquet, csv = data.file_of(tmp_path, rows, "parquet"), data.file_of(tmp_path, rows, "csv")
    expected = data.orders(0, rows)
    assert_frame_equal(pl.read_parquet(parquet), expected)
    assert_frame_equal(pl.read_csv(csv, schema=expected.schema), expected)


def test_the_bare_body_is_full_and_not_overfull(tmp_path: Path) -> None:
    body = data.file_of(tmp_path, 1, "body").read_bytes()
    assert 499_000 < len(body) <= 500_000
    assert len(json.loads(body)["batch"]) == body.count(b'"type":"person"')


# ---------------------------------------------------------------- sink


@pytest.fixture(params=["plain", "tls"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """Speaks to a verifying sink in a process of its own."""
    tls = request.param == "tls"
    command = [sys.executable, str(SINK), "--verify", *(["--tls", str(tmp_path)] if tls else [])]
    process = spawn(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem") if tls else ssl.create_default_context()
    with httpx.Client(base_url=url, verify=context, trust_env=False) as client:
        yield client
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0


def test_the_sink_answers_200_and_counts_what_it_is_sent(client: httpx.Client) -> None:
    bodies = [
        (
            "/api/v2/batch",
            {"batch": [{"attributes": {"order_id": 1, "pad": "x" * 600_000}}, {"attributes": {"order_id": 2}}]},
        ),
        ("/v1/batch", {"batch": [{"properties": {"order_id": 2}}]}),
        ("/api/v1/customers/c1/events", {"name": "order_placed", "data": {"order_id": 3}}),
    ]
    for path, body in bodies:
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json()) == (200, {})
    assert client.get("/api/v1/accounts/region").json()["region"] == "us"
    counts = client.get("/counts").json()
    assert (counts["bodies"], counts["items"], counts["orders"]) == (3, 4, 3)
    assert counts["bytes"] > counts["largest_body"] > 600_000


class Received:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, answer: bytes) -> None:
        self.written += answer


@pytest.mark.parametrize("piece", [1, 2, 7, 60, 1_000])
def test_requests_are_told_apart_however_they_are_cut(piece: int) -> None:
    body = json.dumps({"batch": [{"attributes": {"order_id": 1}}]}).encode()
    request = b"POST /api/v2/batch HTTP/1.1\r\nContent-Length: %d\r\nhost: x\r\n\r\n%b" % (len(body), body)
    stream = request * 3
    shared = sink.Sink(0.0, True, sink.Counts(), set(), bytearray(4_096))
    connection = sink.Connection(shared)
    transport = Received()
    connection.transport = transport  # type: ignore[assignment]  # the one method it calls
    for start in range(0, len(stream), piece):
        part = stream[start : start + piece]
        connection.get_buffer(-1)[: len(part)] = part
        connection.buffer_updated(len(part))
    assert (shared.counts.bodies, shared.counts.items, shared.counts.bytes) == (3, 3, 3 * len(body))
    assert transport.written == sink.TAKEN * 3


# ---------------------------------------------------------------- measuring


def test_a_whole_command_is_measured() -> None:
    program = "import sys; held = bytearray(200_000_000); print(7); print('why', file=sys.stderr); sys.exit(3)"
    cost = measure.cost_of([sys.executable, "-c", program], {}, deadline_s=30)
    assert (cost.exit_code, cost.stdout, cost.stderr) == (3, "7\n", "why\n")
    assert cost.peak_mb > 190
    assert cost.cpu_s > 0
    assert 0 < cost.seconds < 30


def test_a_command_is_ended_at_its_deadline() -> None:
    cost = measure.cost_of([sys.executable, "-c", "import time; time.sleep(60)"], {}, deadline_s=0.1)
    assert cost.exit_code == -signal.SIGKILL


def forked(command: Sequence[str], environment: Mapping[str, str], deadline_s: float) -> measure.Cost:
    """Runs `python -m MODULE …` as `cost_of` does, but forked (see fork_server.py); only its seconds are measured."""
    if Path(command[0]).name == "cio-etl":
        command = [sys.executable, "-m", "cio_etl.cli", *command[1:]]
    python, option, module, *words = command
    assert (python, option) == (sys.executable, "-m")
    begin = time.perf_counter()
    if module == "cio_etl.cli":
        process = running.start(*words, folder=Path(), env=environment)
    else:
        program = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
        process = running.start_program(program, *words, stderr=subprocess.PIPE, env=environment)
    stdout, stderr = process.communicate(deadline_s)
    seconds = time.perf_counter() - begin
    return measure.Cost(seconds, seconds, 1.0, process.returncode, stdout, stderr)


@pytest.mark.parametrize(
    ("key", "exit_code", "stdout", "said"),
    [
        ("loop", 0, "20\n", None),
        ("ours", 0, '{"steps": [{"accepted": 15}, {"accepted": 5}]}', None),
        ("loop", 0, "19\n", "csv + json + httpx: says it sent 19 of 20 rows"),
        ("loop", 0, "", "csv + json + httpx: ended well without saying how many rows it sent"),
        ("ours", 0, "", "cio-etl run, Parquet: ended well without saying how many rows it sent"),
        ("loop", 1, "20\n", "csv + json + httpx: ended with 1: the reason"),
    ],
)
def test_a_run_counts_when_the_contender_says_that_every_row_was_taken(
    key: str, exit_code: int, stdout: str, said: str | None
) -> None:
    contender = next(contender for contender in contenders.CONTENDERS if contender.key == key)
    cost = measure.Cost(1.0, 1.0, 1.0, exit_code, stdout, "the reason\n")
    assert run.complaint(contender, cost, 20) == said


def figure(rows: int, seconds: float, peak_mb: float = 100.0) -> ratios.Figure:
    return ratios.Figure(rows, seconds, cpu_s=1.0, peak_mb=peak_mb, requests=1, bytes_sent=1)


def test_ratios_compare_rows_a_second_and_name_only_what_was_measured() -> None:
    values = ratios.ratios(
        {
            "ours": figure(2_000, 1.0, peak_mb=200),
            "loop": figure(1_000, 2.0),
            "ours-csv": figure(2_000, 2.0),
            "ours-large": figure(10_000, 5.0, peak_mb=300),
        }
    )
    assert {ratio.name: (value, ratio.met(value)) for ratio, value in values.items()} == {
        "ours / csv + json + httpx": (4.0, True),
        "CSV / Parquet": (0.5, False),
        "peak memory, 5 x the rows / the rows": (1.5, False),
    }


def test_rows_of_different_sizes_are_compared_by_bytes_per_second() -> None:
    narrow, wide = figure(1_000, 2.0), figure(500, 4.0)
    values = ratios.ratios({"ours": narrow, "ours-wide": wide})
    assert {ratio.name: value for ratio, value in values.items()} == {"41 attributes / 12, bytes per second": 0.5}


def test_a_figure_is_the_median_of_its_runs() -> None:
    assert ratios.middle([figure(10, 5.0), figure(10, 1.0), figure(10, 2.0)]).seconds == 2.0


def test_every_ratio_is_of_contenders_that_exist() -> None:
    known = {contender.key for contender in contenders.CONTENDERS}
    assert {key for ratio in ratios.RATIOS for key in (ratio.first, ratio.second)} <= known


@pytest.mark.parametrize(("format", "source"), [("csv", CsvSource), ("parquet", ParquetSource)])
@pytest.mark.parametrize("ca", [None, Path("certificates", "ca.pem")], ids=["plain", "tls"])
def test_our_command_is_given_a_job_that_it_reads(tmp_path: Path, format: str, source: type, ca: Path | None) -> None:
    url = "https://127.0.0.1:8080" if ca else "http://127.0.0.1:8080"
    task = contenders.Task(tmp_path / f"orders.{format}", 1, url, ca, tmp_path, Path("cio-etl"), Path("python"))
    command = contenders.ours(task)
    job = load_job(Path(command[2]), {"BENCH_SITE_ID": "site-id", "BENCH_API_KEY": "api-key"})
    assert isinstance(job.steps[0].source, source)
    assert job.destination.requests_per_second is None
    assert (job.destination.base_url, job.destination.ca_file) == (url, str(ca) if ca else None)
    assert job.state == tmp_path / "state"


def test_lanes_are_held_against_a_bare_sender_and_the_machine() -> None:
    ours, bare = lanes.Figure(9_601, 20.0, peak_mb=400.0), lanes.Figure(6_001, 10.0, peak_mb=40.0)
    assert (ours.per_second, bare.per_second) == (480.0, 600.0)
    assert lanes.Pair(64, ours, bare).share(machine_per_second=1_000.0) == pytest.approx(480 / 600)
    assert lanes.Pair(64, ours, bare).share(machine_per_second=500.0) == pytest.approx(480 / 500)


def test_lanes_and_body_size_are_in_the_job(tmp_path: Path) -> None:
    task = contenders.Task(tmp_path / "orders.parquet", 1, "http://127.0.0.1:1", None, tmp_path, Path("a"), Path("b"))
    command = contenders.ours(task, 256, 50_000)
    to = load_job(Path(command[2]), {"BENCH_SITE_ID": "site-id", "BENCH_API_KEY": "api-key"}).destination
    assert (to.lanes, to.max_batch_bytes) == (256, 50_000)


def pace(
    requests: int, cpu_s: float, rate: float | None = 1_000.0, rows: int = 90_000, whole_s: float = 12.0
) -> paced.Pace:
    return paced.Pace(rate, 128, 1, rows, requests, 10.0, whole_s, cpu_s, server_cpu_s=4.0, peak_mb=400.0)


def test_a_paced_run_names_what_limits_it() -> None:
    assert pace(9_800, 5.0).limit(0.1, 2) == "the rate"
    assert pace(4_900, 19.0).limit(0.1, 2) == "the cores"
    assert pace(12_000, 5.0, None).limit(0.1, 2) == "lanes and latency"
    assert pace(4_900, 5.0).limit(0.1, 2) == "none of these"


def test_a_forecast_is_on_the_line_through_two_runs() -> None:
    small, large = pace(1_000, 1.0, rows=1_000_000, whole_s=4.0), pace(2_000, 1.0, rows=3_000_000, whole_s=8.0)
    assert paced.forecast(small, large, 10_000_000) == 22.0


def test_processes_share_all_lanes() -> None:
    assert paced.shares(16, 3) == ["0-4/16", "5-9/16", "10-15/16"]


@pytest.mark.usefixtures("at_the_root")
def test_processes_share_the_rows_of_one_run(postgres: Database, tmp_path: Path) -> None:
    ground = run.Ground(tmp_path, Path(sys.executable).with_name("cio-etl"), Path(sys.executable), forked)
    setting = run.Setting(tls=True, latency_s=0.01)
    found = paced.measured(ground, setting, 10_000, 4, 50.0, 2, postgres.address)
    assert (found.processes, found.lanes, found.rate) == (2, 4, 50.0)
    assert 7 <= found.requests <= 16 and 0 < found.per_second < 60  # bodies of at most 500 kB, of 10,000 rows


# ---------------------------------------------------------------- reading databases


def contender_of(key: str) -> extract.Contender:
    return next(contender for contender in extract.CONTENDERS if contender.key == key)


@pytest.mark.parametrize("database", list(tables.OWN))
def test_each_database_has_rows_of_the_same_columns(database: str) -> None:
    create, insert = tables.statements(database, "few", 7)
    columns = [column.split()[0] for column in create.partition("(")[2].split(", ")]
    assert " ".join(columns) == "id name email balance score active born seen updated attrs note n"
    assert insert.startswith("INSERT INTO few SELECT i, 'name-'")


@pytest.mark.parametrize(
    ("exit_code", "stdout", "said"),
    [
        (0, "20\n", None),
        (0, "a warning\n20\n", None),
        (0, "19\n", "sqlite, sqlite3 + csv: says it read 19 of 20 rows"),
        (0, "", "sqlite, sqlite3 + csv: says it read nothing of 20 rows"),
        (1, "20\n", "sqlite, sqlite3 + csv: ended with 1: the reason"),
    ],
)
def test_reading_counts_when_the_contender_says_that_it_read_every_row(
    exit_code: int, stdout: str, said: str | None
) -> None:
    cost = measure.Cost(1.0, 1.0, 1.0, exit_code, stdout, "the reason\n")
    assert extract.complaint(contender_of("sqlite-loop"), cost, 20) == said


def test_who_leaves_other_rows_than_it_says_is_named(tmp_path: Path) -> None:
    says_all = f"""
import sys, pathlib
folder = pathlib.Path(sys.argv[1]); folder.mkdir()
(folder / "rows.csv").write_text("id\\n" + "1\\n" * {extract.FEW})
print({extract.FEW})
"""
    liar = extract.Contender("sqlite-liar", "liar", lambda task: [sys.executable, "-c", says_all, str(task.folder)])
    ground = extract.Ground(tmp_path, Path("python"), {"sqlite": "sqlite:///none"})
    assert extract.FEW == tables.FEW
    assert extract.verified(ground, liar) == "sqlite, liar: left 20000 rows and 1 ids of 20000"
    assert list(tmp_path.iterdir()) == []


def test_ours_is_compared_with_the_quickest_of_those_that_only_move_rows() -> None:
    values = extract.ratios(
        {
            "postgresql-ours": figure(1_000, 2.0, peak_mb=301),
            "postgresql-adbc": figure(1_000, 4.0),
            "postgresql-copy": figure(1_000, 1.5),
            "postgresql-connectorx": figure(1_000, 5.0),
        }
    )
    assert {ratio.name: (value, ratio.met(value)) for ratio, value in values.items()} == {
        "PostgreSQL: ours / quickest of ADBC + pyarrow, connectorx, COPY": (0.75, True),
        "PostgreSQL: ours / ADBC + pyarrow": (2.0, True),
        "PostgreSQL: ours / connectorx + pyarrow": (2.5, True),
        "MB of memory: postgresql": (301.0, False),
    }


def test_every_ratio_of_reading_is_of_contenders_that_exist() -> None:
    known = {contender.key for contender in extract.CONTENDERS} | {"quickest"}
    assert {key for ratio in extract.RATIOS for key in (ratio.first, ratio.second)} <= known
    assert {contender.database for contender in extract.CONTENDERS} == set(tables.OWN)


@pytest.fixture
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks' own processes are modules of this folder."""
    monkeypatch.chdir(Path(run.__file__).parents[2])


@pytest.mark.usefixtures("at_the_root")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_quick_form_reads_a_real_database(
    database: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if database == "postgresql":
        server: URL = request.getfixturevalue("postgresql_server")
        monkeypatch.setenv("PG_URL", server.render_as_string(hide_password=False))
    words = ["--quick", f"--only={database}-ours", f"--folder={tmp_path / 'data'}"]
    code = extract.main(extract.arguments([*words, "--peers=none", f"--json={tmp_path / 'figures'}"]), forked)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, ""), printed.out
    figures = json.loads((tmp_path / "figures").read_text())["figures"]
    assert figures[f"{database}-ours"]["rows"] == 50_000
    assert f"MB of memory: {database}" in printed.out
    assert list((tmp_path / "data").iterdir()) == []  # neither its tables nor the rows are left


@pytest.mark.usefixtures("at_the_root")
def test_validate_is_measured_beside_mapping_and_packing_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = validate.main(Namespace(rows=20_000, rounds=1, format="parquet", folder=tmp_path), forked)
    printed = capsys.readouterr()
    assert printed.err == "" and code in (0, 1)  # whichever ratio a small file and a busy machine give
    assert re.search(r"mapped and packed +[\d.]+ s.*\ncio-etl validate +[\d.]+ s", printed.out)
    assert re.search(r"validate / mapped and packed: [\d.]+, wanted at most 1\.5", printed.out)


@pytest.mark.usefixtures("at_the_root")
def test_a_command_that_goes_through_fewer_rows_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^mapped and packed went through 3 of 4 rows$"):
        validate.measured(tmp_path, data.file_of(tmp_path, 3, "csv"), 4, rounds=1, measure=forked)


@pytest.mark.parametrize(
    ("key", "how"),
    [("ours", measure.cost_of), ("ours-unchecked", forked), ("ours-wide", forked), ("ours-pipelines", forked)],
)
def test_our_command_sends_every_row_of_each_kind(
    key: str, how: measure.Measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])  # the sink and the rows are modules of this folder
    (contender,) = (each for each in contenders.CONTENDERS if each.key == key)
    ground = run.Ground(tmp_path, Path(sys.executable).with_name("cio-etl"), Path(sys.executable), how)
    assert run.verified(ground, contender) is None


@pytest.mark.usefixtures("at_the_root")
def test_a_run_that_sends_only_changes_is_measured_beside_validate_and_a_whole_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ledger.main(Namespace(rows=3_000, folder=tmp_path), forked) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.startswith("3,000 people of 6 attributes, 3 changed")
    assert re.search(
        r"night / validate: [\d.]+\nnight / sync: all: [\d.]+\nfirst run / sync: all: [\d.]+\n", printed.out
    )


def test_nested_and_flat_rows_become_the_same_items(tmp_path: Path) -> None:
    assert nested.ratios(tmp_path, 50, 1).keys() == {"parquet", "ndjson"}
    mapped = [
        {**json.loads(line)["order"]["values"], "id": json.loads(line)["id"]}
        for line in (tmp_path / "nested.ndjson").read_text().splitlines()
    ]
    assert mapped == [json.loads(line) for line in (tmp_path / "flat.ndjson").read_text().splitlines()]


def test_each_transport_sends_what_is_measured_over_tls(tmp_path: Path) -> None:
    process = spawn([sys.executable, str(SINK), "--tls", str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url, ca = process.stdout.readline().strip(), tmp_path / "ca.pem"
    for name in ("ours", "httpcore", "httpx"):
        assert transports.send(name, url, ca, 1_000, 40) > 0
    with httpx.Client(verify=transports.context(ca), trust_env=False) as client:
        assert client.get(f"{url}/counts").json()["bodies"] == 3 * (40 + transports.LANES)
    process.send_signal(signal.SIGTERM)
    process.communicate()


def test_each_page_answers_over_the_state_that_is_made(tmp_path: Path) -> None:
    pages.fill(tmp_path, 3, 30)
    taken = {name: len(others) for name, _, others, _ in pages.seconds(tmp_path, 3, 5, 2)}
    assert len(taken) == 9 and {*taken.values()} == {2}
