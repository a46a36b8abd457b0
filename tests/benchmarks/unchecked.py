"""Runs `cio-etl` without its checkpoints, to show what they cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cio_etl.cli import main
from cio_etl.model import LaneProgress, Reject
from cio_etl.state.commit import NOTHING_ACCEPTED, Committer


def forget(
    self: Committer,
    progress: LaneProgress,
    rejects: Sequence[Reject],
    accepted: npt.NDArray[np.int64] = NOTHING_ACCEPTED,
) -> None:
    """Commits nothing."""


if __name__ == "__main__":
    Committer.commit = forget  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
