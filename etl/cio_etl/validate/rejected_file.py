"""Writes the rejected rows of a validation to a file, so that they can be fixed before the first run."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cio_etl.errors import InvalidArguments
from cio_etl.model import Job, Snapshot, Step
from cio_etl.reject_files import OF_VALIDATION, concatenated, export, require_ending, separator_of, step_frame
from cio_etl.run import rows_at


class RejectedFile:
    """The file that `validate --rejects` writes: the columns are those of `cio-etl rejects`, also the reasons.

    Raises InvalidArguments for a name of another ending, and for a file that is there already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._frames: list[pl.DataFrame] = []
        try:
            require_ending(path)
        except ValueError as error:
            raise InvalidArguments(f"`rejects`: {error}") from None
        if path.is_symlink() or path.exists():
            raise self._exists()

    def add(self, step: Step, number: int, rejects: pl.DataFrame, snapshot: Snapshot) -> None:
        """Takes the rejects of a step, as `items` has them, with their rows of the snapshot."""
        if rejects.is_empty():
            return
        rejects = rejects.select("position", "reason", "field", pl.col("also").fill_null("").alias("message"))
        rejects = rejects.sort("position")
        rows = rows_at(snapshot, rejects["position"].to_list())
        self._frames.append(step_frame(rejects, rows, step.name, f"{OF_VALIDATION}/{number}"))

    def write(self, job: Job) -> tuple[int, list[str]]:
        """Writes the file (0600): how many rows, and the columns of which its format cannot hold all values exactly."""
        rows = concatenated(self._frames)
        try:
            return rows.height, export(rows, self.path, separator_of(job, rows["step"].unique()))
        except FileExistsError:
            raise self._exists() from None
        except OSError as error:
            raise InvalidArguments(f"`rejects`: {self.path} cannot be written: {error.strerror}") from None

    def _exists(self) -> InvalidArguments:
        return InvalidArguments(f"`rejects`: {self.path} is there already; remove it, or name another file")
