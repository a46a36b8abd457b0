"""A run's spans and metrics in a collector that is not ours: Rotel takes them, says what it read, and sends them on."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cio_etl.sandbox import Faults, Sandbox
from cio_etl.telemetry import names
from tests.release.contents import ROOT
from tests.telemetry.test_otlp import CANARIES, ENDPOINT, KEYS, PARENT, TRACE, command, known, shop
from tests.telemetry_collector import collecting, decoded, plain

pytestmark = pytest.mark.slow

STARTS_WITHIN_S = 20


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def agent() -> Path:
    """Rotel's program; the test is skipped where it is not installed."""
    program = next(ROOT.glob(".venv-telemetry/lib/python*/site-packages/rotel/rotel-agent"), None)
    if program is None:
        pytest.skip("there is no .venv-telemetry; `make telemetry-test` builds it")
    return program


@contextmanager
def rotel(forwards_to: str, said: Path) -> Iterator[str]:
    """The address of a Rotel that writes all that it has read to `said`, and sends it on. When it ends, all is sent."""
    program, port = agent(), free_port()
    listens = ["--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
    says = ["--debug-log", "traces", "--debug-log", "metrics", "--debug-log-verbosity", "detailed"]
    sends = ["--otlp-exporter-endpoint", forwards_to, "--otlp-exporter-protocol", "http"]
    files = ["--pid-file", f"{said}.pid", "--log-file", f"{said}.agent"]
    with said.open("w") as output:
        process = subprocess.Popen([program, "start", *listens, *says, *sends, *files], stdout=output, stderr=output)
        try:
            until = time.monotonic() + STARTS_WITHIN_S
            while not is_open(port):
                if process.poll() is not None:
                    pytest.skip(f"Rotel does not run on this machine: {said.read_text()[:200]}")
                assert time.monotonic() < until, "it has not begun to listen"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_collector_of_another_maker_reads_each_span_and_metric_and_sends_it_on(compression: str) -> None:
    said = Path("rotel.log").absolute()
    faults = Faults(script=("ok", "503"))
    with Sandbox(faults, credentials=KEYS) as sandbox, collecting() as behind, rotel(behind.url, said) as url:
        variables = {ENDPOINT: url, "TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}
        ended = command(shop(sandbox.url), **variables, OTEL_EXPORTER_OTLP_COMPRESSION=compression)
    assert ended.code == 3 and "telemetry" not in ended.err

    # what it says that it has read
    account = said.read_text()
    spans = re.findall(r"Trace ID +: (\w+)\n +Parent ID +: (\w+)\n +ID +: (\w+)\n +Name +: (.+)\n", account)
    ids = {name: span_id for _, _, span_id, name in spans}
    assert {trace for trace, *_ in spans} == {TRACE}
    assert {name: parent for _, parent, _, name in spans} == {
        "run shop": PARENT,
        "step people": ids["run shop"],
        **dict.fromkeys(("open", "send", "batch"), ids["step people"]),
    }
    assert account.count(f"{names.BATCH_RETRIES}: Int(1)") == 1 and f"{names.EXIT_CODE}: Int(3)" in account
    metrics = dict(re.findall(r"-> Name: (.+)\n +-> Description: .+\n +-> Unit: (.+)\n", account))
    assert metrics == {each.name: each.unit for each in names.METRICS if each is not names.SUBJECTS}

    # what it sends on
    assert sorted((span.name, span.span_id.hex()) for span in behind.spans) == sorted((n, i) for _, _, i, n in spans)
    assert all({*plain(span.attributes)} <= known(span.name) for span in behind.spans)
    outcomes = {outcome: rows for (_, outcome, _), rows in behind.numbers("cio_etl.rows").items()}
    assert outcomes == {"accepted": 599, "rejected": 1, "skipped": 0}
    answers = behind.points("cio_etl.request.duration")
    assert sum(point.count for point in answers.values()) == sum(behind.numbers("cio_etl.requests").values())
    assert {each["service.name"] for each in behind.resources} == {"cio-etl"}
    exported = account.encode() + b"".join(decoded(headers, body) for _, headers, body in behind.requests)
    assert [canary for canary in CANARIES if canary in exported] == []
