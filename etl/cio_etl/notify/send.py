"""Sends notices through their channels, all at the same time, each within a bounded time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from cio_etl.model import Channel
from cio_etl.model.records import dataclass
from cio_etl.notify.not_sent import NotSent
from cio_etl.notify.notice import Notice

GRACE_S = 2.0  # beyond a channel's own limit


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a notice was sent. `reason`: why not; or of what was sent, what of it was refused."""

    sent: bool
    reason: str | None = None


def send_all(notices: Sequence[tuple[Channel, Notice]]) -> list[Outcome]:
    """Sends each notice through its channel; what came of them, in the same order. It never raises."""
    waiting = [(channel, _started(channel, notice)) for channel, notice in notices]
    began, outcomes = time.monotonic(), []
    for channel, outcome in waiting:
        left = max(channel.timeout_s + GRACE_S - (time.monotonic() - began), 0.0)
        try:
            outcomes.append(outcome.get(timeout=left))
        except queue.Empty:
            outcomes.append(Outcome(False, "no answer in time"))
    return outcomes


def _started(channel: Channel, notice: Notice) -> queue.SimpleQueue[Outcome]:
    # In a thread, since no library's time-out limits the look-up of a name, or an answer that comes in drips.
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    threading.Thread(target=lambda: outcomes.put(_send(channel, notice)), daemon=True).start()
    return outcomes


def _send(channel: Channel, notice: Notice) -> Outcome:
    if channel.fault:
        return Outcome(False, channel.fault)
    try:
        return Outcome(True, _sender(channel)(channel, notice))
    except NotSent as error:
        return Outcome(False, str(error))
    except Exception as error:  # of any kind: its words may hold the address, and so its secret
        return Outcome(False, f"unexpected {type(error).__name__}")


def _sender(channel: Channel) -> Callable[[Channel, Notice], str | None]:
    """What sends through a channel; its modules are loaded here, since most runs send nothing."""
    match channel.kind:
        case "slack":
            from cio_etl.notify.http import slack

            return slack
        case "webhook":
            from cio_etl.notify.http import webhook

            return webhook
        case "email":
            from cio_etl.notify.mail import email

            return email
        case "command":
            from cio_etl.notify.program import command

            return command
