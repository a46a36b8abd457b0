"""How a source is copied to this machine before its rows are sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cio_etl.model.records import dataclass
from cio_etl.model.sources.watermark import Watermark, WatermarkValue


@dataclass(frozen=True, slots=True)
class Staging:
    """How a source that cannot be read twice is copied to this machine."""

    folder: Path  # created when it is needed, 0700
    columns: tuple[str, ...] | None = None  # the columns to copy; None: all
    watermark: Watermark | None = None  # of the last finished run; None: from the source's `start` on
    since: WatermarkValue | None = None  # start here, whatever the watermark and the source's `start` are
    rows: int | None = None  # at most this many
    report_rows: Callable[[int], None] = lambda rows: None  # called with the number of rows copied so far
    first_only: bool = False  # nothing is sent: of files, too, the first rows are enough, at least `rows` of them
    may_read: bool = True  # False: some of its rows are sent already, so only the copy that they came from will do
