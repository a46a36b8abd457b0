"""Declares every name under which a run is measured: metrics, spans, attributes and labels. The documents list them.

Attributes and labels are names that the job's files give (job, step, ledger) and words of this program (outcome,
reason, status). None is a value of a row, a key, a path or an address.
"""

from __future__ import annotations

from typing import Literal

from cio_etl.model.records import dataclass

JOB, STEP, OUTCOME = "cio_etl.job.name", "cio_etl.step.name", "cio_etl.outcome"
STATUS, EXIT_CODE, RUN_ID, LEDGER = (
    "cio_etl.run.status",
    "cio_etl.run.exit_code",
    "cio_etl.run.id",
    "cio_etl.ledger.name",
)

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of OpenTelemetry: its unit in UCUM, and the attributes of its points."""

    name: str
    kind: Kind
    unit: str
    attributes: tuple[str, ...]
    words: str


ROWS = Metric(
    "cio_etl.rows",
    "counter",
    "{row}",
    (JOB, STEP, OUTCOME),
    "rows that are done: `accepted`, `rejected` or `skipped`; their sum is the rows that were read",
)
SENT_TWICE = Metric(
    "cio_etl.rows.sent_twice",
    "counter",
    "{row}",
    (JOB, STEP),
    "rows that may have been sent twice, since an answer was lost",
)
REQUESTS = Metric(
    "cio_etl.requests",
    "counter",
    "{request}",
    (JOB, STEP, OUTCOME),
    "requests by outcome: `accepted`, `partly_accepted`, `refused`, `split`, `retry`, `throttled`, `unknown`, `stop`",
)
RETRIES = Metric("cio_etl.request.retries", "counter", "{request}", (JOB, STEP), "requests that repeat an earlier one")
SENT = Metric("cio_etl.request.body.size", "counter", "By", (JOB, STEP), "bytes of the bodies of all requests")
DURATION = Metric(
    "cio_etl.request.duration", "histogram", "s", (JOB, STEP, OUTCOME), "time from the start of a request to its answer"
)
PACE = Metric(
    "cio_etl.request.rate.allowed",
    "gauge",
    "{request}/s",
    (JOB,),
    "the rate at which requests may start now; missing while it is unlimited",
)
OPEN_REJECTS = Metric(
    "cio_etl.rejects.open",
    "gauge",
    "{row}",
    (JOB,),
    "open rejects of all runs of the job, at the end of the run",
)
SUBJECTS = Metric(
    "cio_etl.ledger.subjects",
    "gauge",
    "{subject}",
    (JOB, LEDGER),
    "people and objects that a ledger knows, at the end of the run",
)
RUNS = Metric(
    "cio_etl.runs",
    "counter",
    "{run}",
    (JOB, STATUS, EXIT_CODE),
    "runs that have ended: `finished`, `stopped` or `failed`",
)
RUN_DURATION = Metric(
    "cio_etl.run.duration", "histogram", "s", (JOB, STATUS), "how long this process worked on the run"
)
LAST_SUCCESS = Metric(
    "cio_etl.run.last_success",
    "gauge",
    "s",
    (JOB,),
    "when the job last finished, in Unix seconds; a run with `--limit` does not count",
)

METRICS = (
    ROWS,
    SENT_TWICE,
    REQUESTS,
    RETRIES,
    SENT,
    DURATION,
    PACE,
    OPEN_REJECTS,
    SUBJECTS,
    RUNS,
    RUN_DURATION,
    LAST_SUCCESS,
)

# Upper bounds of the histograms' buckets.
REQUEST_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
RUN_S = (1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0)


@dataclass(frozen=True, slots=True)
class SpanKind:
    """A span: its name, and its attributes."""

    name: str
    attributes: tuple[str, ...]
    words: str


BATCH_ITEMS, BATCH_BYTES, BATCH_REJECTED = "cio_etl.batch.items", "cio_etl.batch.size", "cio_etl.batch.rejected"
BATCH_REQUESTS, BATCH_RETRIES, BATCH_COUNT = "cio_etl.batch.requests", "cio_etl.batch.retries", "cio_etl.batch.count"
BATCH_LANE, ERROR = "cio_etl.lane", "error.type"
STEP_ROWS = {each: f"cio_etl.step.{each}" for each in ("accepted", "rejected", "skipped")}

RUN_SPAN = SpanKind(
    "run JOB",
    (JOB, RUN_ID, STATUS, EXIT_CODE, ERROR),
    "the run in this process, from the state's opening to the report",
)
STEP_SPAN = SpanKind(
    "step STEP",
    (STEP, *STEP_ROWS.values(), ERROR),
    "a step, from its source to its last acknowledgement, with its rows by outcome",
)
OPEN_SPAN = SpanKind("open", (), "its source is opened or copied, and all rows are compared and checked")
SEND_SPAN = SpanKind("send", (), "its rows are mapped, packed and sent")
BATCH_SPAN = SpanKind(
    "batch",
    (BATCH_LANE, BATCH_ITEMS, BATCH_BYTES, BATCH_REQUESTS, BATCH_RETRIES, BATCH_REJECTED, BATCH_COUNT, ERROR),
    "one batch of a lane, with all requests that it took; `cio_etl.batch.count` is how many batches it stands for",
)

SPANS = (RUN_SPAN, STEP_SPAN, OPEN_SPAN, SEND_SPAN, BATCH_SPAN)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge of the text file, and its labels."""

    name: str
    labels: tuple[str, ...]
    words: str


# `job` and `instance` are the names of Prometheus' own labels.
LABEL_JOB, LABEL_STEP = "job_name", "step"

F_SUCCESS = Gauge(
    "cio_etl_last_success_timestamp_seconds",
    (LABEL_JOB,),
    "When the job last finished, in Unix time; 0 if it never has. A run with --limit does not count.",
)
F_EXPECTED = Gauge(
    "cio_etl_expected_interval_seconds", (LABEL_JOB,), "How often a run should finish, as expect_every of the job says."
)
F_STARTED = Gauge("cio_etl_last_run_start_timestamp_seconds", (LABEL_JOB,), "When the newest run began, in Unix time.")
F_ENDED = Gauge("cio_etl_last_run_end_timestamp_seconds", (LABEL_JOB,), "When the newest run ended, in Unix time.")
F_EXIT = Gauge(
    "cio_etl_last_exit_code",
    (LABEL_JOB,),
    "The exit code of the last command that ran the job; 0 and 3 are a finished run.",
)
F_RESUMABLE = Gauge(
    "cio_etl_last_run_resumable", (LABEL_JOB,), "1 if the newest run has stopped and the next one resumes it, else 0."
)
F_ROWS = Gauge(
    "cio_etl_last_run_rows",
    (LABEL_JOB, LABEL_STEP, "outcome"),
    "Rows of the newest run: accepted, rejected or skipped; their sum is the rows that were read.",
)
F_TWICE = Gauge(
    "cio_etl_last_run_sent_twice_rows", (LABEL_JOB, LABEL_STEP), "Rows of the newest run that may have been sent twice."
)
F_REASONS = Gauge(
    "cio_etl_last_run_rejected_rows", (LABEL_JOB, LABEL_STEP, "reason"), "Rejected rows of the newest run by reason."
)
F_REQUESTS = Gauge("cio_etl_last_run_requests", (LABEL_JOB, LABEL_STEP), "Requests of the newest run.")
F_RETRIES = Gauge(
    "cio_etl_last_run_retries", (LABEL_JOB, LABEL_STEP), "Requests of the newest run that repeat an earlier one."
)
F_SENT = Gauge(
    "cio_etl_last_run_sent_bytes", (LABEL_JOB, LABEL_STEP), "Bytes of the bodies of all requests of the newest run."
)
F_SECONDS = Gauge(
    "cio_etl_last_run_step_duration_seconds", (LABEL_JOB, LABEL_STEP), "How long the newest run worked on the step."
)
F_OPEN = Gauge("cio_etl_open_rejects", (LABEL_JOB,), "Open rejects of all runs of the job.")
F_SUBJECTS = Gauge("cio_etl_ledger_subjects", (LABEL_JOB, "ledger"), "People and objects that a ledger knows.")

FILE_METRICS = (
    F_SUCCESS,
    F_EXPECTED,
    F_STARTED,
    F_ENDED,
    F_EXIT,
    F_RESUMABLE,
    F_ROWS,
    F_TWICE,
    F_REASONS,
    F_REQUESTS,
    F_RETRIES,
    F_SENT,
    F_SECONDS,
    F_OPEN,
    F_SUBJECTS,
)
