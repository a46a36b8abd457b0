"""What does the state hold? Positions, counts, digests and reasons: no row's values, no secrets."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
)

from cio_etl.model import Counts

SCHEMA_VERSION = 5  # kept in SQLite's user_version, elsewhere in `version`; raised with every change, see opening.py
SCHEMA = "cio_etl"  # that holds the tables, where a database has schemas

COUNTS = tuple(each.name for each in fields(Counts))  # columns of a lane

metadata = MetaData()

run = Table(
    "run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("job", Text, nullable=False, index=True),
    Column("job_file", Text, nullable=False),
    Column("status", Text, nullable=False),  # running, stopped, failed: resumable; finished, abandoned: over
    Column("started_at", Text, nullable=False),  # ISO 8601, UTC
    Column("finished_at", Text),
    Column("exit_code", Integer),
    Column("reason", Text),
    Column("lanes", Integer, nullable=False),
    Column("lane_hash", Text, nullable=False),
    Column("row_limit", BigInteger),
    Column("destination", Text, nullable=False),
    Column("sequence", BigInteger),  # grows with every run: the newest has the highest
    Column("since", Text),  # what --full-refresh or --watermark said, or what a replay was given; null: nothing
)

step = Table(
    "step",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),  # waiting, running, finished
    Column("fingerprint", Text),
    Column("files", Text),  # JSON: [[path, bytes, sha256, rows], …]
    Column("mapping", Text, nullable=False),  # canonical JSON of the mapping
    Column("rows", BigInteger),  # of the snapshot
    Column("rows_read", BigInteger, nullable=False, default=0),
    Column("seconds", Double, nullable=False, default=0.0),
    Column("rejects", Text, nullable=False, default="[]"),  # JSON: [[reason, field, rows, [first rows]], …]
    Column("findings", Text, nullable=False, server_default="[]"),  # JSON: [[code, severity, field, rows, words, …], …]
    Column("columns", Text),  # JSON: types of the source's columns, and what functions asked of them as a whole
    ForeignKeyConstraint(["run_id"], ["run.run_id"], ondelete="CASCADE"),
)

lane = Table(
    "lane",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("acked_through", BigInteger, nullable=False),
    Column("sending_through", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False, default=0) for name in COUNTS),
    # The lease: whose the lane is, how often it has changed hands, and until when nobody else may take it, in Unix
    # seconds by the database's clock. Who commits its mark must know the epoch.
    Column("owner", Text),
    Column("epoch", BigInteger, nullable=False, default=0, server_default="0"),
    Column("until", Double, nullable=False, default=0.0, server_default="0"),
    Column("done", Boolean, nullable=False, default=False, server_default=false()),  # no row of it is left
    ForeignKeyConstraint(["run_id", "step"], ["step.run_id", "step.number"], ondelete="CASCADE"),
)

reject = Table(
    "reject",
    metadata,
    Column("reject_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("field", Text),
    Column("message", Text, nullable=False),  # what Customer.io said of it; "" when it was never sent
    # The run that accepted the row, mended or not, or left it out; null: still to be mended. A replay's own rejects are
    # closed by itself: what it did not mend stays open where it was.
    Column("closed_by", Text),
    ForeignKeyConstraint(["run_id", "step"], ["step.run_id", "step.number"], ondelete="CASCADE"),
    Index("reject_by_step", "run_id", "step", "reason", "field"),
)

source = Table(  # what the last finished run of a step leaves for the next one
    "source",
    metadata,
    Column("job", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("mark", Text),  # of an incremental source: Mark.to_text(); it has digests of keys, not the keys
    Column("columns", Text, nullable=False),  # JSON: {name: kind} of the columns that the mapping reads
    Column("origin", Text, nullable=False),  # digest of what the mark is of: destination, database, table, column
    Column("run_id", Text, nullable=False),
)

budget = Table(  # one ceiling for all processes of all machines that go to one workspace
    "budget",
    metadata,
    Column("name", Text, primary_key=True),  # digest of the workspace's address and key
    Column("next_at", Double, nullable=False),  # of the next free slot: Unix seconds by the database's clock
)

lock = Table(  # who holds a job's lock, for the message; the lock itself is the server's
    "lock",
    metadata,
    Column("job", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # JSON: pid, host, since
)

version = Table("version", metadata, Column("number", Integer, primary_key=True))  # not in SQLite
