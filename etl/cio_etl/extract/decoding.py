"""Replaces what libraries raise for a file that they cannot decode: their words may show values of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cio_etl.errors import EtlError, SourceError, is_failure, is_limit


@contextmanager
def decoding(damage: Callable[[], SourceError]) -> Iterator[None]:
    """Raises `damage()` in place of whatever a library raises in the block, panics included.

    The program's own errors and requests to stop pass. So do limits of this machine, which are no fault of the file.
    """
    try:
        yield
    except EtlError:
        raise
    except BaseException as error:
        if not is_failure(error) or is_limit(error):
            raise
        raise damage() from None
