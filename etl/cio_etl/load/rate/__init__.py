"""How fast requests may start: the rate limit, the pace below it, and the circuit breaker."""
