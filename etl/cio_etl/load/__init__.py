"""Rows out: items are packed into bodies, and each lane sends its own, one at a time, until they are settled.

pack.py         items -> batches (bytes, filled to the API's limit)
lanes.py    batches -> threads, one a lane; what is settled goes to the state
deliver.py  one batch -> what became of it: retries, splits, rejects
retry.py    how long to wait, and when to give up
pace.py     when the next request may start: below a ceiling (slots.py), at the speed that the destination takes
            (speed.py), and hardly ever while it is down (circuit.py)
wire.py     one connection: bytes out, an answer back, a deadline on both
budget.py   a ceiling that all processes of this machine keep to together
ping.py     a monitor is told that a run has begun, and how it has ended
destinations/  what the API is asked and what its answers mean: pure functions
"""

from cio_etl.load.credentials import CredentialCheck, check_credentials, of_region, resolve
from cio_etl.load.destinations import endpoint
from cio_etl.load.lanes import Lanes
from cio_etl.load.pack import Packer
from cio_etl.load.ping import monitored
from cio_etl.load.rate.pace import Pace
from cio_etl.load.rate.shared_limiter import rate_limiter

__all__ = [
    "CredentialCheck",
    "Lanes",
    "Pace",
    "Packer",
    "check_credentials",
    "endpoint",
    "monitored",
    "of_region",
    "rate_limiter",
    "resolve",
]
