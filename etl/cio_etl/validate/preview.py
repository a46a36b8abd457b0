"""Makes the payloads of a step's first rows, as a run would send them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cio_etl.extract import open_source
from cio_etl.model import Step
from cio_etl.report import Observer
from cio_etl.run.incremental import staging
from cio_etl.run.open_step import limited, prepare
from cio_etl.run.options import ReadOptions
from cio_etl.run.start import Environment, load_steps, note_stand_ins
from cio_etl.state import Bookmark
from cio_etl.transform import outcome

EVIDENCE_ROWS = 10_000  # read from a source that has to be copied: enough to know a column's format


def preview(step: Step, rows: int, api: str) -> Iterator[dict[str, Any]]:
    """The first rows of a step: for each its row number, and its payload, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        how = staging(Path(stage), step, Bookmark(), rows=max(rows, EVIDENCE_ROWS))
        snapshot = open_source(step.source, how)
        all_rows, compiled = prepare(step, snapshot, 1, api)  # over all rows: they decide how the first ones are read
        for frame in limited(all_rows, rows).read(compiled.columns, 0):
            for position, _, item, reason, field in compiled.items(frame).iter_rows():
                yield {"row": position + 1, **outcome(item, reason, field)}


def preview_file(
    path: Path, rows: int, options: ReadOptions, observer: Observer, environment: Environment | None = None
) -> Iterator[dict[str, Any]]:
    """The first rows of each step of a job: its name, the row number, and the payload, or why there is none."""
    job = load_steps(path, options, environment, secrets=False)
    note_stand_ins(job, observer)
    for step in job.steps:
        for row in preview(step, rows, job.destination.api):
            yield {"step": step.name, **row}
