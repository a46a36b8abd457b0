"""Decides what a channel is to be told: one notice for each change of state, not one for each run.

    a condition begins ─▶ open, not told ─▶ told ─▶ over, not told ─▶ gone
                             "failed"                "recovered"

What is to be told is written down first, and what was told only after it was sent. So a kill in between repeats a
notice, and loses none.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from cio_etl.model import Condition, ConditionKind, Conditions, NoticeKind
from cio_etl.model.records import dataclass
from cio_etl.notify.compare import Findings


@dataclass(frozen=True, slots=True)
class Due:
    """A notice that a channel is to get; of `recovered`, with all conditions that are over."""

    kind: NoticeKind
    conditions: Conditions


def after(
    before: Conditions, found: Findings, on: Container[str], at: str, seen: str
) -> dict[ConditionKind, Condition]:
    """The conditions after a run has ended `at` a time, or a look at the job; `seen` identifies that end.

    A kind that `found` does not have stays as it was. A job whose failure is known is not stale, too.
    """
    now = {kind: each for kind, each in before.items() if kind in on}
    for kind, words in found.items():
        if kind not in on:
            continue
        known = now.get(kind)
        if words is None:
            if known is not None and known.over_at is None and known.seen != seen:  # not what another worker has found
                now[kind] = replace(known, over_at=at)
        elif known is None:
            now[kind] = Condition(at, 1, seen, words)
        elif known.seen != seen or known.over_at is not None:
            now[kind] = replace(known, times=known.times + 1, seen=seen, words=words, over_at=None)
    failed = now.get("failed")
    if failed is not None and failed.over_at is None and "stale" in now and now["stale"].told_at is None:
        del now["stale"]
    return now


def due(conditions: Conditions, on: Container[str]) -> list[Due]:
    """What a channel is to be told now."""
    opened = [kind for kind, each in conditions.items() if each.over_at is None and each.told_at is None]
    notices = [Due(kind, {kind: conditions[kind]}) for kind in opened]
    over = {kind: each for kind, each in conditions.items() if each.over_at is not None}
    return [*notices, Due("recovered", over)] if over and "recovered" in on else notices


def told(conditions: Conditions, notice: Due, at: str) -> dict[ConditionKind, Condition]:
    """The conditions after a notice was sent."""
    if notice.kind == "recovered":
        return {kind: each for kind, each in conditions.items() if kind not in notice.conditions}
    return {kind: replace(each, told_at=at) if kind == notice.kind else each for kind, each in conditions.items()}


def closed(conditions: Conditions, on: Container[str]) -> dict[ConditionKind, Condition]:
    """The conditions without those that are over and of which the channel does not want to be told."""
    return {kind: each for kind, each in conditions.items() if each.over_at is None or "recovered" in on}
