"""How many people differ at most, after a sample of them was compared. Pure."""

from __future__ import annotations

from math import exp, fsum, lgamma, log, log1p


def most_that_differ(different: int, checked: int, confidence: float = 0.95) -> float:
    """The share of all people that differ at most: the upper bound of Clopper and Pearson, one-sided and exact.

    With a larger share, a sample with so few differences would have a probability of less than 1 - confidence. It is
    drawn without putting back, from people who are many more; where they are not, the true bound is lower.

    >>> round(most_that_differ(0, 3_000), 6)
    0.000998
    """
    if different >= checked:
        return 1.0
    low, high = different / checked, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if _at_most(different, checked, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(most: int, of: int, share: float) -> float:
    """The probability of at most `most` successes of `of`, each with this probability."""
    if share <= 0.0 or share >= 1.0:
        return 1.0 if share <= 0.0 else 0.0
    whole = lgamma(of + 1)
    return fsum(
        exp(whole - lgamma(k + 1) - lgamma(of - k + 1) + k * log(share) + (of - k) * log1p(-share))
        for k in range(most + 1)
    )
