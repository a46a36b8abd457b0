"""Defines the tables of the state: positions, counts, digests, reasons and names of events; no values of rows, no
secrets."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    event,
    false,
)

from cio_etl.model import Counts

SCHEMA_VERSION = 12  # in SQLite's user_version, on a server in `version`; raise it with each change, see migrate.py
SCHEMA = "cio_etl"  # of the tables on a server

COUNTS = tuple(each.name for each in fields(Counts))  # columns of a lane

metadata = MetaData()

run = Table(
    "run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("job", Text, nullable=False, index=True),
    Column("job_file", Text, nullable=False),
    Column("status", Text, nullable=False),  # running, stopped, failed: resumable; finished, abandoned: not
    Column("started_at", Text, nullable=False),  # ISO 8601, UTC
    Column("finished_at", Text),
    Column("exit_code", Integer),
    Column("reason", Text),
    Column("lanes", Integer, nullable=False),
    Column("lane_hash", Text, nullable=False),
    Column("row_limit", BigInteger),
    Column("destination", Text, nullable=False),
    Column("sequence", BigInteger),  # the newest run has the highest
    Column("since", Text),  # of --full-refresh or --watermark, or the key of a replay; null: none
    Column("notices", Text),  # JSON: [[job, channel, kind, sent, reason], …], of the run's last end; null: none
)

earlier_end = Table(  # the ends of a run after which it was resumed or abandoned; `run` has its last one
    "earlier_end",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1
    Column("status", Text, nullable=False),  # failed, stopped, killed
    Column("at", Text, nullable=False),  # ISO 8601, UTC; of a killed one: when the next process found it so
    Column("exit_code", Integer),
    Column("reason", Text),
    ForeignKeyConstraint(["run_id"], ["run.run_id"], ondelete="CASCADE"),
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
    Column("rejects", Text, nullable=False, default="[]"),  # JSON: [[reason, field, rows, [first rows], since], …]
    Column("findings", Text, nullable=False, server_default="[]"),  # JSON: [[code, severity, field, rows, words, …], …]
    Column("columns", Text),  # JSON: types of the source's columns, facts about whole columns, rows by names of events
    Column("delta", Text),  # JSON: model.DeltaCounts; null: the step sends everything
    # JSON: [rows, [[reason, field, rows, [first rows]], …]], the values without which rows are sent; null: none
    Column("omitted", Text),
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
    # The lease: who holds the lane, how often its holder has changed, and until when nobody else may take it, in Unix
    # seconds by the database's clock. A commit must name the current epoch.
    Column("owner", Text),
    Column("epoch", BigInteger, nullable=False, default=0, server_default="0"),
    Column("until", Double, nullable=False, default=0.0, server_default="0"),
    Column("done", Boolean, nullable=False, default=False, server_default=false()),  # all its rows are settled
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
    Column("message", Text, nullable=False),  # of Customer.io, see apis.masked; "" when the row was never sent
    # The run that closed it, or BY_HAND; null: the reject is open. A replay closes its own rejects: rows that are still
    # wrong stay open in the run that rejected them first.
    Column("closed_by", Text),
    Column("closed_as", Text),  # see model.ClosedAs; null of one that is open, or a replay's own
    Column("closed_note", Text),  # of somebody who closed it by hand
    # What a later run finds it by, one of the two: salted hashes, see transform/reject_keys.py. Null: it has no key.
    Column("subject", BigInteger),
    Column("content", BigInteger),
    # When the run started that rejected it first, ISO 8601, of a reject that is open in place of those of earlier runs;
    # null: its own run did.
    Column("since", Text),
    ForeignKeyConstraint(["run_id", "step"], ["step.run_id", "step.number"], ondelete="CASCADE"),
    Index("reject_by_step", "run_id", "step", "reason", "field"),
)
# The open ones, in the order in which they are counted; what each run has closed; and what is closed of each run.
Index(
    "reject_open",
    reject.c.run_id,
    reject.c.step,
    reject.c.reason,
    reject.c.field,
    reject.c.closed_by,  # null; with it and the next three, no row has to be read
    reject.c.subject,
    reject.c.content,
    reject.c.since,
    sqlite_where=reject.c.closed_by.is_(None),
)
_IS_CLOSED = reject.c.closed_by.is_not(None)
for _name, _columns in {
    "reject_closed": (reject.c.closed_by, reject.c.closed_as, reject.c.run_id, reject.c.step),
    "reject_closed_of": (reject.c.run_id, reject.c.closed_as, reject.c.closed_by, reject.c.step),
}.items():
    Index(_name, *_columns, sqlite_where=_IS_CLOSED)


@event.listens_for(metadata, "before_create")
def _as_on_a_server(_metadata: MetaData, connection: Connection, **_: object) -> None:
    """Gives the indexes their conditions on a server, too.

    `postgresql_where=` above would load the dialect of PostgreSQL, with all of its drivers, for each state in a file.
    """
    if connection.dialect.name == "postgresql":
        for index in reject.indexes:
            index.dialect_kwargs["postgresql_where"] = index.dialect_kwargs.get("sqlite_where")


salt = Table("salt", metadata, Column("number", BigInteger, primary_key=True))  # of the hashes of rejects; one row

source = Table(  # the bookmark of a step's last finished run
    "source",
    metadata,
    Column("job", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    Column(
        "mark", Text
    ),  # the watermark of an incremental source: Watermark.to_text(); it has digests of keys, not the keys
    Column("columns", Text, nullable=False),  # JSON: {name: kind} of the columns that the mapping reads
    Column(
        "origin", Text, nullable=False
    ),  # digest of what the watermark belongs to: destination, database, table, column
    Column("run_id", Text, nullable=False),
    Column("known_columns", Text),  # JSON: names, of a mapping with `*`; null: it has none
)

ledger = Table(  # which files are the ledger of a step
    "ledger",
    metadata,
    Column("job", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("generation", Text, nullable=False),  # ledger.Generation.to_text()
    Column("run_id", Text, nullable=False),  # after which it is so
)

notice = Table(  # what of a job is not as it should be, by channel, and whether the channel was told
    "notice",
    metadata,
    Column("job", Text, primary_key=True),
    Column("channel", Text, primary_key=True),  # Channel.key
    Column("kind", Text, primary_key=True),  # ConditionKind
    Column("since", Text, nullable=False),  # ISO 8601, UTC
    Column("times", BigInteger, nullable=False),  # how many runs have ended so
    Column("seen", Text, nullable=False),  # the last of these ends, so that none counts twice
    Column("words", Text, nullable=False),  # of the last of these ends
    Column("told_at", Text),  # null: not yet
    Column("over_at", Text),  # it is as it should be again, and the channel does not know yet; null: it is not
)

budget = Table(  # one rate limit for all processes of all machines that send to one workspace
    "budget",
    metadata,
    Column("name", Text, primary_key=True),  # digest of the workspace's address and key
    Column("next_at", Double, nullable=False),  # of the next free slot: Unix seconds by the database's clock
)

lock = Table(  # who holds a job's lock, for messages; the lock itself is an advisory lock
    "lock",
    metadata,
    Column("job", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # JSON: pid, host, since
)

version = Table("version", metadata, Column("number", Integer, primary_key=True))  # not in SQLite
