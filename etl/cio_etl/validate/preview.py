"""The payloads of a step's first rows, as a run would send them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cio_etl.extract import open_source
from cio_etl.model import Step
from cio_etl.run.incremental import staging
from cio_etl.run.open_step import limited, prepare
from cio_etl.state import Bookmark
from cio_etl.transform import outcome

EVIDENCE_ROWS = 10_000  # that a preview takes from a source which has to be copied: enough to tell a column's form


def preview(step: Step, rows: int, api: str) -> Iterator[dict[str, Any]]:
    """The first rows of a step: each one's row number, and its payload, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        how = staging(Path(stage), step, Bookmark(), rows=max(rows, EVIDENCE_ROWS))
        snapshot = open_source(step.source, how)
        compiled = prepare(
            step, snapshot, 1, api
        )  # all rows have a say in how the first are read: a run would hear them
        for frame in limited(snapshot, rows).read(compiled.columns, 0):
            for position, _, item, reason, field in compiled.items(frame).iter_rows():
                yield {"row": position + 1, **outcome(item, reason, field)}
