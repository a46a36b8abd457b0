"""How long to wait before the same bytes are sent again. The limit is a time, never a number of attempts."""

from __future__ import annotations

import random
from collections.abc import Callable

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base, wait_random_exponential

from cio_etl.model import Retry

FIRST_S, LONGEST_S = 0.5, 60.0


class wait_as_asked(wait_base):
    """Full jitter that grows from FIRST_S to LONGEST_S; at least as long as the answer's Retry-After."""

    def __init__(self) -> None:
        self._jitter = wait_random_exponential(multiplier=FIRST_S, max=LONGEST_S)

    def __call__(self, retry_state: RetryCallState) -> float:
        verdict = retry_state.outcome.result() if retry_state.outcome is not None else None
        after_s = verdict.after_s if isinstance(verdict, Retry) and verdict.after_s else 0.0
        # lanes with the same Retry-After don't come back in the same instant
        spread_s = random.uniform(0.0, FIRST_S)  # nosec B311
        return max(self._jitter(retry_state), after_s + spread_s if after_s else 0.0)


_WAIT, _RETRYING = wait_as_asked(), Retrying()  # of all attempts: neither has a state


class Backoff:
    """The waits between the attempts to send one body, which may take `budget_s` seconds from now."""

    def __init__(self, budget_s: float, now: Callable[[], float]) -> None:
        self._now = now
        self._deadline = now() + budget_s
        self._state = RetryCallState(_RETRYING, None, (), {})

    def wait_s(self, verdict: Retry) -> float | None:
        """Seconds to wait before the next attempt; None when the time is over before it."""
        self._state.set_result(verdict)
        seconds = _WAIT(self._state)
        self._state.prepare_for_next_attempt()
        return None if self._now() + seconds > self._deadline else seconds
