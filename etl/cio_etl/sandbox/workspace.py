"""The sandbox's mutable state: credentials, faults, people and traffic."""

from __future__ import annotations

import base64
import hmac
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cio_etl.sandbox.faults import Answer, Faults, FaultSequence
from cio_etl.sandbox.people import People
from cio_etl.sandbox.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is taken: Track by `site_id` and `api_key`, the App API by `app_api_key`, Pipelines by `write_key`."""

    site_id: str = "sandbox"
    api_key: str = field(default="sandbox", repr=False)
    app_api_key: str = field(default="sandbox", repr=False)
    write_key: str = field(default="sandbox", repr=False)


class Workspace:
    """A Customer.io workspace. `now` gives Unix seconds, `monotonic` seconds that never go back."""

    def __init__(
        self,
        faults: Faults | None = None,
        credentials: Credentials | None = None,
        trace: str | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sequence = FaultSequence(faults or Faults())
        self.credentials = credentials or Credentials()
        self.people = People(trace)
        self.messages: Counter[str] = Counter()  # how often each messageId of Pipelines came
        self.traffic = Traffic()
        self.refused: set[str] = set()  # names of valid items that were refused; see faults.name_of
        self.now = now
        self._monotonic = monotonic

    @property
    def faults(self) -> Faults:
        return self.sequence.faults

    def set_faults(self, faults: Faults) -> None:
        """From the next request on; its script and its count of requests start again."""
        self.sequence = FaultSequence(faults)

    # ---------------------------------------------------------------- who may

    def may_track(self, authorization: str) -> bool:
        key = self._now_taken(self.credentials.api_key, self.faults.new_api_key)
        return key is not None and _same(authorization, _basic(self.credentials.site_id, key))

    def may_pipe(self, authorization: str) -> bool:
        key = self._now_taken(self.credentials.write_key, self.faults.new_write_key)
        return key is not None and _same(authorization, _basic(key, ""))

    def may_read_back(self, authorization: str) -> bool:
        return _same(authorization, f"Bearer {self.credentials.app_api_key}")

    def _now_taken(self, key: str, new_key: str | None) -> str | None:
        return new_key if self.sequence.is_key_revoked() else key

    # ---------------------------------------------------------------- what comes, and what is told

    def arrived(self, endpoint: str) -> tuple[str | Answer, bool]:
        """Register a request: its fault, and whether it exceeds the limit of this second."""
        in_this_second = self.traffic.arrived(endpoint, self._monotonic())
        fault = self.sequence.next()
        if fault != "ok":
            self.traffic.faults[fault if isinstance(fault, str) else "scripted answer"] += 1
        limit = self.faults.requests_per_second
        return fault, limit is not None and in_this_second > limit

    def stats(self) -> dict[str, Any]:
        """Everything that is counted, as JSON has it."""
        people = self.people
        return self.traffic.as_json() | {
            "people": len(people),
            "events": len(people.events),
            "objects": len(people.objects),
            "relationships": people.objects.relationships,
            "suppressed": len(people.identities.suppressed),
            "duplicate_events": people.counts["duplicate_events"],
            "messages": len(self.messages),
            "repeated_messages": people.counts["repeated_messages"],
            "effects": dict(sorted(people.counts.items())),
        }


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
