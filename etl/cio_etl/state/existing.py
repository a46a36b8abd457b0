"""Whether there is a state. To look for a file needs no SQLAlchemy, which takes a tenth of a second to import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cio_etl.errors import StateError

if TYPE_CHECKING:
    from cio_etl.state.connect import Where


def exists(where: Where) -> bool:
    """Whether there is a state; creates nothing. Raises StateError where that cannot be known.

    As when the server cannot be reached, the folder may not be read, or its name is that of a file.
    """
    if isinstance(where, Path):
        try:
            (where / "state.db").stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateError.of_file(where, error) from None
        return True
    from cio_etl.state.connect import exists_on_server

    return exists_on_server(where)
