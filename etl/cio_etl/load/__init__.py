"""Sends items: packs them into bodies, and sends each lane's bodies in order until every row is settled.

pack.py           items -> batches: bodies filled to the API's limit
lanes.py          batches -> lanes: a thread and a connection each; stopping, waiting, errors
lane.py           one lane, from top to bottom: announce, attempt, verdict, wait or split or reject, acknowledge
retry.py          how long to wait before the same body is sent again
rate/             when a request may start: rate limit, speed, outages
connection.py     one body there, one answer back, a deadline for both; every failure is a verdict
answer_stream.py  the bytes of a connection, read no further than the answer's end
credentials.py    before the first row: are the credentials accepted, and what is their region

Names are loaded on first use: `validate` packs bodies, and needs nothing that sends them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.load.credentials import CredentialCheck, check_credentials, resolve, with_region
    from cio_etl.load.lanes import Lanes
    from cio_etl.load.pack import Packer
    from cio_etl.load.rate import Pace, rate_limiter

_FILES = {
    "credentials": ("CredentialCheck", "check_credentials", "resolve", "with_region"),
    "lanes": ("Lanes",),
    "pack": ("Packer",),
    "rate": ("Pace", "rate_limiter"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = [
    "CredentialCheck",
    "Lanes",
    "Pace",
    "Packer",
    "check_credentials",
    "rate_limiter",
    "resolve",
    "with_region",
]


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
