"""Traces and metrics of whole runs, at a real collector; and collectors that refuse, hang or are not there."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs

import cio_etl
from cio_etl.errors import CredentialsRefused, Interrupted, TooManyRejects
from cio_etl.model import Telemetry
from cio_etl.report import Callback
from cio_etl.run import Caller, RunOptions, Signals, run_file
from cio_etl.sandbox import Credentials, Faults, Sandbox
from cio_etl.telemetry import names
from cio_etl.telemetry.otlp import begin
from cio_etl.telemetry.spans import BATCHES_A_SECOND, Bound
from tests.running import API_KEY, SITE_ID, environment, start, write_job
from tests.telemetry_collector import collecting, decoded, plain

pytestmark = pytest.mark.slow

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
KEY = "canary-key"
KEYS = Credentials(KEY, KEY)

# What must not leave this machine: values of rows, a partition's value in a path, keys of the destination.
CANARIES = (b"canary.person", b"C4N4RY", b"canary-city", b"canary-no-address", KEY.encode(), b".csv")


def shop(url: str, rows: int = 600, **settings: Any) -> Path:
    """A job of one step: people with recognisable values, the last one without an e-mail address."""
    folder = Path("exports/city=canary-city")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"C4N4RY{row},canary.person{row}@example.com,{'x' * 500}" for row in range(rows - 1)]
    (folder / "people.csv").write_text("\n".join(["id,e_mail,note", *lines, "C4N4RY,canary-no-address,x"]) + "\n")
    mapping = {
        "operation": "identify",
        "identifiers": {"id": "id"},
        "attributes": {"email": "e_mail", "note": "note", "city": "city"},
    }
    Path("people.yaml").write_text(json.dumps(mapping))
    source = {"csv": "exports/*/people.csv", "hive": True}
    settings = {"destination": {"max_batch_bytes": 32_100, "lanes": 4}, "telemetry": "otlp", **settings}
    return write_job(Path("shop.yaml"), url, {"people": (source, "people.yaml")}, **settings)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]


def command(job: Path, **variables: str) -> Ended:
    """`cio-etl run`, with its log as JSON."""
    words = ("--log-format", "json", "--debug", "run", job)
    process = start(*words, folder=Path.cwd(), env=environment(KEY, KEY) | variables)
    _, err = process.communicate(timeout=90)
    return Ended(process.returncode, err)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The keys of the sandbox in the environment, for runs in this process."""
    for name in (SITE_ID, API_KEY):
        monkeypatch.setenv(name, KEY)
    return monkeypatch


# ---------------------------------------------------------------- what arrives


def test_a_run_is_a_trace_with_metrics_and_logs_and_tells_nothing_personal() -> None:
    faults = Faults(script=("ok", "503"), latency_s=0.1)
    with Sandbox(faults, credentials=KEYS) as sandbox, collecting() as collector:
        variables = {ENDPOINT: collector.url, "TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}
        variables["OTEL_METRIC_EXPORT_INTERVAL"] = "50"
        variables |= {"OTEL_EXPORTER_OTLP_HEADERS": "x-token=canary-token", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        ended = command(shop(sandbox.url), **variables)
    assert ended.code == 3

    (run,), (step,) = collector.named("run shop"), collector.named("step people")
    assert (run.trace_id.hex(), run.parent_span_id.hex()) == (TRACE, PARENT)
    about = plain(run.attributes)
    run_id = about["cio_etl.run.id"]
    assert about == {names.JOB: "shop", names.RUN_ID: run_id, names.STATUS: "finished", names.EXIT_CODE: 3}
    assert step.parent_span_id == run.span_id
    assert [plain(step.attributes)[each] for each in names.STEP_ROWS.values()] == [599, 1, 0]
    for name in ("open", "send"):
        (part,) = collector.named(name)
        assert part.parent_span_id == step.span_id
        assert run.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
    batches = [plain(span.attributes) for span in collector.named("batch")]
    assert {span.parent_span_id for span in collector.named("batch")} == {step.span_id}
    assert [each[names.BATCH_RETRIES] for each in batches].count(1) == 1 and max(
        each[names.BATCH_ITEMS] for each in batches
    ) > 20
    assert 10 <= len(batches) <= 2 * 2 * BATCHES_A_SECOND
    assert {plain(span.attributes).keys() <= known(span.name) for span in collector.spans} == {True}

    assert collector.rows == sorted(collector.rows) and collector.rows[0] < collector.rows[-1] == 600
    outcomes = {outcome: rows for (_, outcome, _), rows in collector.numbers("cio_etl.rows").items()}
    assert outcomes == {"accepted": 599, "rejected": 1, "skipped": 0}
    requests = {outcome: number for (_, outcome, _), number in collector.numbers("cio_etl.requests").items()}
    assert requests.pop("retry") == 1 and requests.keys() == {"accepted"}
    answers = collector.points("cio_etl.request.duration")
    assert sum(point.count for point in answers.values()) == requests["accepted"] + 1
    assert collector.numbers("cio_etl.request.retries") == {("shop", "people"): 1}
    assert collector.numbers("cio_etl.request.body.size")["shop", "people"] > 600 * 500
    assert collector.numbers("cio_etl.request.rate.allowed") == {("shop",): 100}
    assert collector.numbers("cio_etl.rejects.open") == {("shop",): 1}
    assert collector.numbers("cio_etl.runs") == {("shop", 3, "finished"): 1}
    sent = {each.name: each.unit for each in collector.metrics.values()}
    assert sent == {each.name: each.unit for each in names.METRICS if each is not names.SUBJECTS}

    log = ended.events
    assert {event["run_id"] for event in log if event["event"] != "run_started"} == {run_id}
    assert {event["trace_id"] for event in log if event["event"] != "run_started"} == {TRACE}
    (delayed,) = [event for event in log if event["event"] == "batch_delayed"]
    assert delayed["step"] == "people" and delayed["lane"] in range(4) and delayed["span_id"] == step.span_id.hex()

    assert {headers["x-token"] for _, headers, _ in collector.requests} == {"canary-token"}
    exported = b"".join(decoded(headers, body) for _, headers, body in collector.requests)
    assert [canary for canary in (*CANARIES, b"canary-token") if canary in exported] == []
    assert "canary-token" not in ended.err and "people.csv" not in ended.err.replace("run_started", "")


def known(span: str) -> set[str]:
    """The attributes that a span may have."""
    kinds = {kind.name.split()[0]: kind for kind in names.SPANS}
    extra = {names.JOB} if span.startswith("run") else set()
    return {*kinds[span.split()[0]].attributes} | extra


def test_standard_variables_apply_and_tls_is_verified(keys: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path("ca.pem")
    with Sandbox(credentials=KEYS) as sandbox, collecting(tls=context) as collector:
        keys.setenv(ENDPOINT, collector.url)
        job = shop(sandbox.url, rows=20)
        keys.setattr("cio_etl.telemetry.otlp.FLUSH_S", 1.0)
        cio_etl.run(job)
        assert collector.requests == []  # its certificate is nobody's
        keys.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem")
        keys.setenv("REQUESTS_CA_BUNDLE", "others.pem")
        keys.setenv("OTEL_SERVICE_NAME", "nights")
        keys.setenv("OTEL_TRACES_SAMPLER", "always_off")
        cio_etl.run(job)
        assert {each["service.name"] for each in collector.resources} == {"nights"}
        assert collector.spans == [] and collector.numbers("cio_etl.runs") == {("shop", 3, "finished"): 1}
        requests = len(collector.requests)
        keys.setenv("OTEL_SDK_DISABLED", "true")
        cio_etl.run(job)
        assert len(collector.requests) == requests


def test_each_worker_is_an_instance(keys: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        keys.setenv(ENDPOINT, collector.url)
        with begin("shop", Telemetry(), "0-7/16").running():
            pass
    (about,) = collector.resources
    assert (about["service.name"], about["service.instance.id"]) == ("cio-etl", "0-7/16")
    assert about["telemetry.sdk.language"] == "python"


def test_a_run_that_stops_says_so_and_the_next_one_counts_its_own_rows_alone(keys: pytest.MonkeyPatch) -> None:
    """The span of a program around it, such as Airflow's of the task, is the run's parent."""
    faults = Faults(script=(*["ok"] * 6, "401"))
    with Sandbox(faults, credentials=KEYS) as sandbox, collecting() as collector:
        keys.setenv(ENDPOINT, collector.url)
        job = shop(sandbox.url, destination={"max_batch_bytes": 32_100, "lanes": 1})
        with pytest.raises(CredentialsRefused):
            cio_etl.run(job)
        (stopped,) = collector.named("run shop")
        assert stopped.status.code == 2 and plain(stopped.attributes)[names.ERROR] == "CredentialsRefused"
        assert not stopped.status.message and not stopped.events
        assert collector.numbers("cio_etl.runs") == {("shop", 77, "stopped"): 1}
        before = collector.numbers("cio_etl.rows")["shop", "accepted", "people"]
        (unsettled,) = [s for s in collector.named("batch") if names.ERROR in plain(s.attributes)]
        assert plain(unsettled.attributes)[names.ERROR] == "not_settled"
        with TracerProvider().get_tracer("airflow").start_as_current_span("task") as task:
            cio_etl.run(job)
        run = collector.named("run shop")[-1]
        assert run.parent_span_id == task.get_span_context().span_id.to_bytes(8, "big")
        after = collector.numbers("cio_etl.rows")["shop", "accepted", "people"]
        assert 0 < before < 599 and before + after == 599


def test_rejects_above_the_limit_are_an_error_of_the_trace(keys: pytest.MonkeyPatch) -> None:
    with Sandbox(credentials=KEYS) as sandbox, collecting() as collector:
        keys.setenv(ENDPOINT, collector.url)
        with pytest.raises(TooManyRejects):
            cio_etl.run(shop(sandbox.url, rows=20, max_rejects=0))
    kinds = {span.name: plain(span.attributes).get(names.ERROR) for span in collector.spans if span.status.code == 2}
    assert kinds["run shop"] == kinds["step people"] == kinds["send"] == "TooManyRejects"
    exported = b"".join(body for *_, body in collector.requests)
    assert [canary for canary in CANARIES if canary in exported] == []


def test_of_very_many_batches_few_are_spans_and_each_says_how_many_it_stands_for() -> None:
    bound = Bound(10)
    shown = [stands_for for number in range(3_000) if (stands_for := bound.passes(100 + number / 1_000))]
    assert len(shown) == 30 and shown[:11] == [1] * 10 + [991] and sum(shown) == 3_000 - 990


# ---------------------------------------------------------------- a collector that does not work


@contextmanager
def broken(kind: str) -> Iterator[str]:
    """The address of a collector that does not take anything."""
    if kind == "absent":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{free.getsockname()[1]}/canary-path"
    elif kind == "hangs":
        with collecting(hangs_s=60) as collector:
            yield f"{collector.url}/canary-path"
    else:
        with collecting(answer=lambda: int(kind)) as collector:
            yield f"{collector.url}/canary-path"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("absent", "has not taken it within 1 s"),
        ("hangs", "has not taken it within 1 s"),
        ("503", "has not taken it within 1 s"),
        ("401", "the collector answers 401"),
    ],
)
def test_a_collector_that_does_not_work_costs_one_warning(
    kind: str,
    reason: str,
    keys: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    keys.setattr("cio_etl.telemetry.otlp.FLUSH_S", 1.0)
    with Sandbox(credentials=KEYS) as sandbox, broken(kind) as url, capture_logs() as events:
        keys.setenv(ENDPOINT, url)
        report = cio_etl.run(shop(sandbox.url, rows=20))
        assert (report.status, sandbox.stats()["people"]) == ("finished", 19)
    (warning,) = [each for each in events if each["event"].startswith("telemetry")]
    assert reason in warning["reason"] and warning["signals"] == "metrics and traces"
    assert "canary" not in "".join(capfd.readouterr()) + caplog.text


def test_a_run_that_is_stopped_by_a_signal_waits_less(keys: pytest.MonkeyPatch) -> None:
    signals = Signals()
    stop = Callback(lambda progress: signals.ask("SIGTERM") if progress.counts.accepted else None)
    keys.setattr("cio_etl.telemetry.otlp.FLUSH_STOPPED_S", 0.5)
    slow = Sandbox(Faults(latency_s=0.3), credentials=KEYS)
    with slow as sandbox, broken("hangs") as url, capture_logs() as events, pytest.raises(Interrupted):
        keys.setenv(ENDPOINT, url)
        job = shop(sandbox.url, destination={"max_batch_bytes": 32_100, "lanes": 1})
        run_file(job, RunOptions(), Caller(signals, stop))
    (warning,) = [each for each in events if each["event"].startswith("telemetry")]
    assert "within 0.5 s" in warning["reason"] and warning["run_id"].startswith("shop-")


def test_a_value_that_the_libraries_refuse_costs_one_warning(
    keys: pytest.MonkeyPatch,
) -> None:
    keys.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with Sandbox(credentials=KEYS) as sandbox, capture_logs() as events:
        assert cio_etl.run(shop(sandbox.url, rows=20)).status == "finished"
    assert [each["event"] for each in events if each["event"].startswith("telemetry")] == ["telemetry_not_started"]


# ---------------------------------------------------------------- without it

PROGRAM = """
import sys
if sys.argv[1] == "missing":
    sys.modules["opentelemetry"] = None
from cio_etl.cli import main
code = main(["run", "shop.yaml", "--quiet"])
print(code, *(name for name in sys.modules if name.startswith("opentelemetry.")))
"""


@pytest.mark.parametrize(("packages", "telemetry", "code"), [("missing", "otlp", 78), ("there", "none", 3)])
def test_only_a_job_that_asks_for_it_loads_its_packages(packages: str, telemetry: str, code: int) -> None:
    with Sandbox(credentials=KEYS) as sandbox:
        shop(sandbox.url, rows=20, telemetry=telemetry)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, packages], capture_output=True, text=True, env=environment(KEY, KEY)
        )
        assert done.stdout.splitlines()[-1] == str(code)
        assert sandbox.stats()["people"] == (0 if code == 78 else 19)
    if code == 78:
        assert "shop.yaml: telemetry: otlp needs the packages of OpenTelemetry" in done.stderr
        assert "pip install '.[otel]'" in done.stderr
