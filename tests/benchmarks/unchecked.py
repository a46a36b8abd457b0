"""Runs `cio-etl` without its checkpoints, to show what they cost: the progress of lanes stays in memory."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cio_etl.cli import main
from cio_etl.model import LaneProgress, Reject
from cio_etl.state import Closed
from cio_etl.state.commit import Committer
from cio_etl.state.lanes import Lanes

_progress: dict[tuple[int, int], LaneProgress] = {}  # by step and lane
_lane_progress = Lanes.lane_progress


def commit(
    self: Committer,
    progress: LaneProgress,
    rejects: Sequence[Reject],
    accepted: npt.NDArray[np.int64] | None = None,
    closed: Sequence[Closed] = (),
) -> None:
    """Writes nothing to the disk."""
    _progress[self._leases.step, progress.lane] = progress


def lane_progress(self: Lanes, run_id: str, number: int) -> list[LaneProgress]:
    """The progress in memory, where there is one."""
    return [_progress.get((number, lane.lane), lane) for lane in _lane_progress(self, run_id, number)]


if __name__ == "__main__":
    Committer.commit = commit  # type: ignore[method-assign]
    Lanes.lane_progress = lane_progress  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
