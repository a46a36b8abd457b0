"""Whom a job tells how it goes: channels, what they are told, and what was sent."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import field
from typing import Literal

from pydantic import SecretStr

from cio_etl.model.records import dataclass

ConditionKind = Literal["failed", "stale", "rejects", "deviates", "slower", "verify_differs"]
NoticeKind = Literal["failed", "stale", "rejects", "deviates", "slower", "verify_differs", "recovered", "test"]
ChannelKind = Literal["slack", "webhook", "email", "command"]

DEFAULT_ON: MappingOf[str, float | None] = {"failed": None, "recovered": None, "stale": None}


NO_SECRET = SecretStr("")


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference of a job file to a secret, and what it means here. `fault`: why it means nothing."""

    written: str  # as ${SLACK_WEBHOOK}
    value: SecretStr = NO_SECRET
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of `notify`."""

    kind: ChannelKind
    label: str  # in reports: the kind, with a number where the job has several of it
    key: str  # in the state: a digest of where its notices go
    on: MappingOf[str, float | None] = field(default_factory=lambda: DEFAULT_ON)  # kinds with their thresholds
    address: Reference | None = None  # of slack and webhook, and the server of email
    secret: Reference | None = None  # of webhook
    to: tuple[str, ...] = ()  # addresses of email
    sender: str | None = None  # of email
    command: tuple[str, ...] = ()
    timeout_s: float = 10.0
    ca_file: str | None = None

    @property
    def fault(self) -> str:
        """Why nothing can be sent: a reference that means nothing; "" for none."""
        return next((each.fault for each in (self.address, self.secret) if each is not None and each.fault), "")


@dataclass(frozen=True, slots=True)
class NoticeSent:
    """A notice that was sent at a run's end, or should have been."""

    job: str
    channel: str  # its label
    kind: NoticeKind
    sent: bool
    reason: str | None = None  # why not; or of what was sent, what of it was refused


@dataclass(frozen=True, slots=True)
class Condition:
    """Something of a job that is not as it should be, as one of its channels knows it or is to know it."""

    since: str  # ISO 8601, UTC
    times: int  # how many runs have ended so
    seen: str  # the last of these ends, so that none counts twice
    words: str  # of the last of these ends
    told_at: str | None = None  # None: not yet
    over_at: str | None = None  # it is as it should be again, and the channel does not know yet; None: it is not


Conditions = MappingOf[ConditionKind, Condition]
