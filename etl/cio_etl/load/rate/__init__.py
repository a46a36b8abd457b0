"""When the next request may start: below the rate limit, as fast as the destination takes it, seldom while it is down.

README.md beside this file explains the model, with its figures.

    limiter.py         the rate limit, as slots; of this process alone
    shared_limiter.py  the same for several processes: slots of one schedule, in a file or in the state database
    congestion.py      do the answers say that the rate is too high?
    rate.py            the rate as a function of time: lower at once, back along a curve
    circuit.py         is the destination down? then one lane at a time tries, and all others wait
    pace.py            where these meet, under one lock: lanes wait for turns, and record the answers
"""

from cio_etl.load.rate.circuit import PROBE_S
from cio_etl.load.rate.limiter import LocalRateLimiter, RateLimiter
from cio_etl.load.rate.pace import Pace
from cio_etl.load.rate.shared_limiter import DatabaseRateLimiter, FileRateLimiter, Schedule, rate_limiter

__all__ = [
    "PROBE_S",
    "DatabaseRateLimiter",
    "FileRateLimiter",
    "LocalRateLimiter",
    "Pace",
    "RateLimiter",
    "Schedule",
    "rate_limiter",
]
