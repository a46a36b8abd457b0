"""Opens the state, with all that it stores: each subject has its file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from cio_etl.state.bookmarks import Bookmarks
from cio_etl.state.connect import Where, open_engine
from cio_etl.state.lanes import Lanes
from cio_etl.state.ledgers import Ledgers
from cio_etl.state.lock_server import ServerLock
from cio_etl.state.rejects import Rejects
from cio_etl.state.runs import Runs
from cio_etl.state.steps import Steps

POLL_S = 0.2  # of a worker that waits for another one


class Store(Runs, Steps, Lanes, Bookmarks, Ledgers, Rejects):
    """The state of all runs in one folder, or in one database of a server."""

    @contextmanager
    def exclusive(self, job: str) -> Iterator[None]:
        """Lets one worker of a job at a time into the block, to begin a run or a step. A folder has only one worker."""
        if not self.is_shared:
            yield
            return
        with closing(ServerLock(self._engine, f"{job}: beginning")) as lock:
            while not lock.take():
                time.sleep(POLL_S)
            yield


def open_store(where: Where, mounts: str | None = None) -> Store:
    """The state in a folder, created when it is missing (0700, its file 0600), or in the database at an address.

    A file is checked when its last run did not end. Raises StateError when it is damaged, newer than this program, of
    another user, or on a network file system; `mounts` replaces the lines of /proc/mounts. Raises it also when a server
    is out of reach, refuses the user, or is not PostgreSQL.
    """
    return Store(open_engine(where, mounts))
