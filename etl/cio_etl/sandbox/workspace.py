"""The sandbox's mutable state: credentials, faults, people and traffic."""

from __future__ import annotations

import base64
import hmac
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from cio_etl.sandbox.faults import Answer, Faults, FaultSequence
from cio_etl.sandbox.people import People
from cio_etl.sandbox.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Credentials:
    """Valid credentials: of Track `site_id` and `api_key`, of the App API `app_api_key`, of Pipelines `write_key`."""

    site_id: str = "sandbox"
    api_key: str = field(default="sandbox", repr=False)
    app_api_key: str = field(default="sandbox", repr=False)
    write_key: str = field(default="sandbox", repr=False)


class Workspace:
    """A Customer.io workspace. `now` returns Unix seconds, `monotonic` seconds that never go back.

    `segments` are the numbers of the manual segments that exist from the start.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        credentials: Credentials | None = None,
        trace: str | None = None,
        segments: Iterable[int] = (),
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sequence = FaultSequence(faults or Faults())
        self.app_sequence = _of_app_api(self.sequence.faults)
        self.credentials = credentials or Credentials()
        self.people = People(trace, segments, now())
        self.messages: Counter[str] = Counter()  # how often each messageId of Pipelines came
        self.traffic = Traffic()
        self.app_traffic = Traffic()  # of the App API
        self.refused: set[str] = set()  # names of valid items that were refused; see faults.name_of
        self.now = now
        self._monotonic = monotonic

    @property
    def faults(self) -> Faults:
        return self.sequence.faults

    def set_faults(self, faults: Faults) -> None:
        """Apply these from the next request on; their script and their count of requests start again."""
        self.sequence = FaultSequence(faults)
        self.app_sequence = _of_app_api(faults)

    # ---------------------------------------------------------------- credentials

    def may_track(self, authorization: str, *, is_revoked: bool) -> bool:
        key = self.faults.new_api_key if is_revoked else self.credentials.api_key
        return key is not None and _same(authorization, _basic(self.credentials.site_id, key))

    def may_pipe(self, authorization: str, *, is_revoked: bool) -> bool:
        """Is the write key valid? A key of a region has its prefix, and the vendor's clients send it as a bearer."""
        key = self.faults.new_write_key if is_revoked else self.credentials.write_key
        if key is None:
            return False
        keys = (key, *(f"{kind}_{self.faults.region}_{key}" for kind in ("pk", "sk")))
        return any(_same(authorization, form) for key in keys for form in (_basic(key, ""), f"Bearer {key}"))

    def may_read_back(self, authorization: str) -> bool:
        return _same(authorization, f"Bearer {self.credentials.app_api_key}")

    # ---------------------------------------------------------------- traffic

    def count_request(self, endpoint: str) -> tuple[str | Answer, bool]:
        """Count a request. Returns its fault, and whether it exceeds the limit of this second."""
        in_this_second = self.traffic.count_request(endpoint, self._monotonic())
        fault = self.sequence.next()
        if fault != "ok":
            self.traffic.faults[fault if isinstance(fault, str) else "scripted answer"] += 1
        limit = self.faults.requests_per_second
        return fault, limit is not None and in_this_second > limit

    def count_read(self, operation: str) -> tuple[str | Answer, bool]:
        """Count a request to the App API. Returns its fault, and whether it exceeds the limit of this second."""
        in_this_second = self.app_traffic.count_request(operation, self._monotonic())
        limit = self.faults.app_requests_per_second
        return self.app_sequence.next(), limit is not None and in_this_second > limit

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


def _of_app_api(faults: Faults) -> FaultSequence:
    return FaultSequence(replace(faults, script=faults.app_script, rates={}))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _same(value: str, expected: str) -> bool:
    return hmac.compare_digest(value.encode(), expected.encode())
