"""How long to wait before the same bytes go again, and when to give up? By time, never by a count of attempts."""

from __future__ import annotations

import random
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_result
from tenacity.stop import stop_base
from tenacity.wait import wait_base, wait_random_exponential

from cio_etl.model import Retry, Verdict

FIRST_S, LONGEST_S = 0.5, 60.0


class wait_as_told(wait_base):
    """Full jitter, growing from FIRST_S to LONGEST_S; at least as long as a Retry-After asks for."""

    def __init__(self) -> None:
        self._jitter = wait_random_exponential(multiplier=FIRST_S, max=LONGEST_S)

    def __call__(self, retry_state: RetryCallState) -> float:
        verdict = retry_state.outcome.result() if retry_state.outcome is not None else None
        told = verdict.after_s if isinstance(verdict, Retry) and verdict.after_s else 0.0
        spread = random.uniform(0.0, FIRST_S)  # lanes that were told the same time don't come back in the same instant
        return max(self._jitter(retry_state), told + spread if told else 0.0)


class stop_when_spent(stop_base):
    """Stops when the next wait would end after `budget_s` seconds from the first attempt."""

    def __init__(self, budget_s: float, now: Callable[[], float]) -> None:
        self._deadline = now() + budget_s
        self._now = now

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._now() + retry_state.upcoming_sleep > self._deadline


def persist(
    attempt: Callable[[], Verdict],
    *,
    budget_s: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    before_sleep: Callable[[Retry, float], None],
) -> Verdict:
    """The verdict of `attempt`, made again while it is Retry and the budget lasts; the last Retry when it is spent.

    `sleep` may raise, to leave between two attempts. `before_sleep` is told of each attempt that will be made again.
    """

    def told(state: RetryCallState) -> None:
        assert state.outcome is not None
        before_sleep(state.outcome.result(), state.upcoming_sleep)

    retrying = Retrying(
        retry=retry_if_result(lambda verdict: isinstance(verdict, Retry)),
        wait=wait_as_told(),
        stop=stop_when_spent(budget_s, now),
        sleep=sleep,
        before_sleep=told,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    verdict: Verdict = retrying(attempt)
    return verdict
