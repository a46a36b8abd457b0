"""Whether there is a state. To look for a file needs no SQLAlchemy, which takes a tenth of a second to import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cio_etl.state.connect import Where


def exists(where: Where) -> bool:
    """Whether there is a state; creates nothing. Raises StateError when the server cannot be reached."""
    if isinstance(where, Path):
        return (where / "state.db").exists()
    from cio_etl.state.connect import exists_on_server

    return exists_on_server(where)
