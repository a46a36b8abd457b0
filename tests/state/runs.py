"""Runs and lanes for tests of the state."""

from __future__ import annotations

from cio_etl.model import SourceFile
from cio_etl.state import ReplayedRejects, RunRecord, Store
from cio_etl.state.commit import Committer

RUN = RunRecord(
    "nightly-1",
    "nightly",
    "jobs/nightly.yaml",
    "running",
    "2026-11-21T00:00:00+00:00",
    None,
    None,
    None,
    4,
    "h",
    None,
    "u",
)
FILES = (SourceFile("a.csv", 10, "0" * 64, 3),)


def begin(store: Store, lanes: int = 4) -> Committer:
    store.begin(RUN, [("people", "{}"), ("events", "{}")])
    store.begin_step(RUN.run_id, 0, "print", FILES, 3, lanes)
    return committer_of(store, RUN.run_id, 0)


def committer_of(store: Store, run_id: str, step: int, replayed: ReplayedRejects | None = None) -> Committer:
    """A committer of a step, with all of its lanes claimed."""
    leases = store.leases(run_id, step, "here:1:0")
    leases.claim(range(256), "print")
    return store.committer(leases, replayed)
