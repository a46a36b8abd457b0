"""How fast requests may start: the rate limit, the pace below it, and the circuit breaker."""

from cio_etl.load.rate.circuit import PROBE_S
from cio_etl.load.rate.limiter import LocalRateLimiter, RateLimiter
from cio_etl.load.rate.pace import Pace
from cio_etl.load.rate.shared_limiter import rate_limiter

__all__ = ["PROBE_S", "LocalRateLimiter", "Pace", "RateLimiter", "rate_limiter"]
