"""What does the state hold? Positions, counts, digests and reasons: no row's values, no secrets."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKeyConstraint, Index, Integer, MetaData, String, Table, Text

SCHEMA_VERSION = 4  # kept in SQLite's user_version; raised with every change, which brings its migration

metadata = MetaData()

run = Table(
    "run",
    metadata,
    Column("run_id", String(120), primary_key=True),
    Column("job", String(80), nullable=False, index=True),
    Column("job_file", Text, nullable=False),
    Column("status", String(20), nullable=False),  # running, stopped, failed: resumable; finished, abandoned: over
    Column("started_at", String(40), nullable=False),  # ISO 8601, UTC
    Column("finished_at", String(40)),
    Column("exit_code", Integer),
    Column("reason", Text),
    Column("lanes", Integer, nullable=False),
    Column("lane_hash", String(20), nullable=False),
    Column("row_limit", BigInteger),
    Column("destination", String(200), nullable=False),
    Column("since", String(200)),  # what --full-refresh or --watermark said, or what a replay was given; null: nothing
)

step = Table(
    "step",
    metadata,
    Column("run_id", String(120), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", String(160), nullable=False),
    Column("status", String(20), nullable=False),  # waiting, running, finished
    Column("fingerprint", String(80)),
    Column("files", Text),  # JSON: [[path, bytes, sha256, rows], …]
    Column("mapping", Text, nullable=False),  # canonical JSON of the mapping
    Column("rows", BigInteger),  # of the snapshot
    Column("rows_read", BigInteger, nullable=False, default=0),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("rejects", Text, nullable=False, default="[]"),  # JSON: [[reason, field, rows, [first rows]], …]
    Column("findings", Text, nullable=False, server_default="[]"),  # JSON: [[code, severity, field, rows, words, …], …]
    Column("columns", Text),  # JSON: types of the source's columns, and what functions asked of them as a whole
    ForeignKeyConstraint(["run_id"], ["run.run_id"], ondelete="CASCADE"),
)

_COUNTS = ("accepted", "rejected", "skipped", "possibly_sent_twice", "batches", "requests", "retries", "bytes_sent")

lane = Table(
    "lane",
    metadata,
    Column("run_id", String(120), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("acked_through", BigInteger, nullable=False),
    Column("sending_through", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False, default=0) for name in _COUNTS),
    ForeignKeyConstraint(["run_id", "step"], ["step.run_id", "step.number"], ondelete="CASCADE"),
)

reject = Table(
    "reject",
    metadata,
    Column("reject_id", Integer, primary_key=True),
    Column("run_id", String(120), nullable=False),
    Column("step", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("reason", String(80), nullable=False),
    Column("field", String(200)),
    Column("message", Text, nullable=False),  # what Customer.io said of it; "" when it was never sent
    # The run that accepted the row, mended or not, or left it out; null: still to be mended. A replay's own rejects are
    # closed by itself: what it did not mend stays open where it was.
    Column("closed_by", String(120)),
    ForeignKeyConstraint(["run_id", "step"], ["step.run_id", "step.number"], ondelete="CASCADE"),
    Index("reject_by_step", "run_id", "step", "reason", "field"),
)

source = Table(  # what the last finished run of a step leaves for the next one
    "source",
    metadata,
    Column("job", String(80), primary_key=True),
    Column("step", String(160), primary_key=True),
    Column("mark", Text),  # of an incremental source: Mark.to_text(); it has digests of keys, not the keys
    Column("columns", Text, nullable=False),  # JSON: {name: kind} of the columns that the mapping reads
    Column("origin", String(64), nullable=False),  # digest of what the mark is of: destination, database, table, column
    Column("run_id", String(120), nullable=False),
)
