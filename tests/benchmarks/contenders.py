"""The contenders of the benchmark, each with its command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Task:
    """What a contender has to do this time."""

    data: Path
    rows: int
    url: str
    ca: Path | None  # None: plain HTTP
    scratch: Path  # an empty folder, on the disk that holds the data
    command: Path  # cio-etl
    peers: Path  # the Python that the peers are installed in


@dataclass(frozen=True, slots=True)
class Contender:
    """Someone who loads the rows; the shares say how many of the wanted ones, so that nobody needs minutes."""

    key: str
    name: str
    format: str  # of its data: parquet, csv, wide, body
    command: Callable[[Task], list[str]]
    sent: Callable[[str], int]  # rows acknowledged, read from its stdout
    share: float = 1.0
    share_delayed: float = 1.0  # at a latency
    peer: bool = False  # runs in the peers' environment
    memory_only: bool = False  # measured once, without latency and TLS
    verify: int = 20_000  # rows of the run in which the sink counts; more than any queue holds

    def rows(self, wanted: int, latency_s: float) -> int:
        return max(100, round(wanted * (self.share_delayed if latency_s else self.share)))


def ours(
    task: Task,
    lanes: int = 16,
    body_bytes: int = 500_000,
    rate: float | None = None,
    state: str | MappingOf[str, str] | None = None,
    share: str | None = None,
    mapping: str = "orders.yaml",
    api: str = "track",
) -> list[str]:
    """`cio-etl run`, with a job file of its own and a state in which nothing has happened yet.

    `rate`: requests per second, or as many as it can. `state`: as in a job. `share`: the lanes of this process, one of
    several workers, such as `0-7/16`.
    """
    job = Template((HERE / "job.yaml").read_text()).safe_substitute(
        base_url=task.url,
        ca_file=f"ca_file: {_yaml(task.ca)}" if task.ca else "# plain HTTP",
        format=task.data.suffix.removeprefix("."),
        data=_yaml(task.data),
        mapping=_yaml(HERE / mapping),
        api=api,
        credentials=CREDENTIALS[api],
        state=json.dumps(state or str(task.scratch / "state")),
        rate="unlimited" if rate is None else f"{rate:g}",
        lanes=lanes,
        body_bytes=body_bytes,
    )
    path = task.scratch / "job.yaml"
    path.write_text(job)
    return [str(task.command), "run", str(path), "--json", *(["--lanes", share, "--run-id", "paced"] if share else [])]


CREDENTIALS = {  # of each API, as lines of the job
    "track": "site_id: ${BENCH_SITE_ID}\n  api_key: ${BENCH_API_KEY}",
    "pipelines": "write_key: ${BENCH_API_KEY}",
}


def wide(task: Task) -> list[str]:
    """`cio-etl run` of rows with 41 attributes."""
    return ours(task, mapping="wide.yaml")


def pipelines(task: Task) -> list[str]:
    """`cio-etl run` by the Pipelines API."""
    return ours(task, api="pipelines")


def unchecked(task: Task) -> list[str]:
    """`cio-etl run` without its checkpoint, to see what that costs."""
    return [sys.executable, "-m", "tests.benchmarks.unchecked", *ours(task)[1:]]


def _yaml(path: Path) -> str:
    return json.dumps(str(path))  # a JSON string is a YAML string, whatever is in it


def accepted(stdout: str) -> int:
    """The rows that our report says were accepted."""
    report: dict[str, Any] = json.loads(stdout)
    return sum(step["accepted"] for step in report["steps"])


def rows_read(stdout: str) -> int:
    """The rows that our report says were read: all it knows of without a checkpoint."""
    report: dict[str, Any] = json.loads(stdout)
    return sum(step["rows_read"] for step in report["steps"])


def last_line(stdout: str) -> int:
    return int(stdout.split()[-1])


def bare(task: Task, lanes: int = 16, body_bytes: int = 500_000) -> list[str]:
    """A sender of pre-built bodies."""
    sizes = [f"--lanes={lanes}", f"--body-bytes={body_bytes}"]
    return [sys.executable, "-m", "tests.benchmarks.bare", *_what(task), *sizes]


def peer(module: str, *options: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        return [str(task.peers), "-m", f"tests.benchmarks.peers.{module}", *_what(task), *options]

    return command


def _what(task: Task) -> list[str]:
    return [str(task.data), task.url, f"--rows={task.rows}", *([f"--ca={task.ca}"] if task.ca else [])]


CONTENDERS = (
    Contender("ours", "cio-etl run, Parquet", "parquet", ours, accepted),
    Contender("ours-csv", "cio-etl run, CSV", "csv", ours, accepted),
    Contender("ours-wide", "cio-etl run, 41 attributes", "wide", wide, accepted, share=0.5, share_delayed=0.5),
    Contender("ours-pipelines", "cio-etl run, Pipelines", "parquet", pipelines, accepted),
    Contender("ours-large", "cio-etl run, 5 x the rows", "parquet", ours, accepted, share=5.0, memory_only=True),
    Contender("ours-unchecked", "cio-etl run, no checkpoint", "parquet", unchecked, rows_read),
    Contender("bare", "bare sender of pre-built bodies", "body", bare, last_line),
    Contender("loop", "csv + json + httpx", "csv", peer("csv_json_httpx"), last_line, share_delayed=0.25, peer=True),
    Contender("dlt", "dlt destination", "parquet", peer("dlt_destination"), last_line, share_delayed=0.25, peer=True),
    Contender(
        "cdp", "customerio-cdp-analytics", "csv", peer("cdp_analytics"), last_line, 0.25, share_delayed=0.02, peer=True
    ),
    Contender(
        "cdp-large",
        "customerio-cdp-analytics, 1,000 a request",
        "csv",
        peer("cdp_analytics", "--upload-size=1000"),
        last_line,
        share=0.25,
        share_delayed=0.1,
        peer=True,
    ),
    Contender(
        "sdk",
        "customerio SDK, track()",
        "csv",
        peer("customerio_sdk"),
        last_line,
        share=0.005,
        share_delayed=0.00025,
        peer=True,
        verify=1_000,
    ),
    Contender(
        "sdk-batch",
        "customerio SDK, batch() of 1,400",
        "csv",
        peer("customerio_sdk", "--batch=1400"),
        last_line,
        share_delayed=0.25,
        peer=True,
    ),
)
