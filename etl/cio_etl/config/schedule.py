"""Computes when a job is due: the times of its `schedule`, in UTC."""

from __future__ import annotations

from datetime import datetime


def next_time(schedule: str, after: datetime) -> datetime | None:
    """The first time of a cron line after this one; None for a line that never comes, such as of 30 February."""
    from croniter import CroniterError, croniter  # here: few jobs have a cron line

    try:
        return datetime.fromtimestamp(croniter(schedule, after).get_next(), after.tzinfo)
    except CroniterError:
        return None


def times_before(schedule: str, now: datetime, since: datetime, most: int) -> list[datetime]:
    """The last times of a cron line up to `now`, from `since` on, the oldest first; not more than `most`."""
    from croniter import CroniterError, croniter

    found: list[datetime] = []
    try:
        times = croniter(schedule, now)
        while len(found) < most:
            at = datetime.fromtimestamp(times.get_prev(), now.tzinfo)
            if at < since:
                break
            found.append(at)
    except CroniterError:
        pass
    return found[::-1]
