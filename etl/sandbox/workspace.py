"""What does a request do? The sandbox's one mutable thing: credentials, faults, people and traffic.

Nothing here knows of HTTP connections; app.py does.
"""

from __future__ import annotations

import base64
import gc
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from etl.sandbox.faults import Answer, Faults, FaultSequence, name_of
from etl.sandbox.people import People
from etl.sandbox.reading import Item, Malformed, read_batch, read_entity
from etl.sandbox.rules import MAX_ITEM_BYTES, Violation, violations
from etl.sandbox.traffic import Traffic

ACCEPTED = b"{}\n"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is taken: Track by `site_id` and `api_key`, the App API by `app_api_key`."""

    site_id: str = "sandbox"
    api_key: str = field(default="sandbox", repr=False)
    app_api_key: str = field(default="sandbox", repr=False)


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
        self.traffic = Traffic()
        self.refused: set[str] = set()  # names of valid items that were refused; see faults.name_of
        self.now = now
        self._monotonic = monotonic

    @property
    def faults(self) -> Faults:
        return self.sequence.faults

    def set_faults(self, faults: Faults) -> None:
        """From the next request on; its script and its count of requests begin anew."""
        self.sequence = FaultSequence(faults)

    # ---------------------------------------------------------------- who may

    def may_track(self, authorization: str) -> bool:
        key: str | None = self.credentials.api_key
        if self.sequence.is_key_revoked():
            key = self.faults.new_api_key
        if key is None:
            return False
        pair = f"{self.credentials.site_id}:{key}".encode()
        return _same(authorization, "Basic " + base64.b64encode(pair).decode())

    def may_read_back(self, authorization: str) -> bool:
        return _same(authorization, f"Bearer {self.credentials.app_api_key}")

    # ---------------------------------------------------------------- what is sent

    def arrived(self) -> tuple[str | Answer, bool]:
        """A request begins: which fault befalls it, and is it one too many in this second?"""
        in_this_second = self.traffic.arrived(self._monotonic())
        fault = self.sequence.next()
        if fault != "ok":
            self.traffic.faults[fault if isinstance(fault, str) else "scripted answer"] += 1
        limit = self.faults.requests_per_second
        return fault, limit is not None and in_this_second > limit

    def take_batch(self, body: bytes) -> Answer:
        """Apply a batch's good items."""
        with _collector_paused():
            return self._take_batch(body)

    def _take_batch(self, body: bytes) -> Answer:
        try:
            items = read_batch(body)
        except Malformed as malformed:
            return _refusal(400, Violation("invalid", "", str(malformed)))
        errors = self._take(items, all_or_nothing=self.faults.strict)
        if not errors:
            return Answer(200, ACCEPTED)
        if self.faults.strict:
            return _refusal(400, Violation("invalid", "batch", "the batch holds an invalid item"))
        return _error_answer(self.faults.item_error_status, errors)

    def take_entity(self, body: bytes) -> Answer:
        """Apply one item."""
        try:
            item = read_entity(body)
        except Malformed as malformed:
            return _refusal(400, Violation("invalid", "", str(malformed)))
        errors = self._take([item], all_or_nothing=True)
        for error in errors:
            del error["batch_index"]
        return _error_answer(400, errors) if errors else Answer(200, ACCEPTED)

    def too_large(self, size: int, limit: int) -> Answer | None:
        """The answer to a body of this many bytes, when it is over the limit."""
        if size <= limit:
            return None
        violation = Violation("invalid", "", f"the request cannot be larger than {limit} bytes")
        return _refusal(self.faults.too_large_status, violation)

    @property
    def max_entity_bytes(self) -> int:
        return min(MAX_ITEM_BYTES, self.faults.max_body_bytes)

    def _take(self, items: list[Item], *, all_or_nothing: bool) -> list[dict[str, Any]]:
        now = self.now()
        good, errors = [], []
        for index, (value, size) in enumerate(items):
            found = violations(value, size)
            if found:
                self.traffic.invalid_items += 1
            elif self.faults.refuses(value):
                found = [self._refuse(value)]
            if found:
                errors += [{"batch_index": index} | _as_json(each) for each in found]
            else:
                good.append(value)
        self.traffic.items += len(items)
        if not (errors and all_or_nothing):
            for value in good:
                self.people.apply(value, now)
        return errors

    def _refuse(self, item: dict[str, Any]) -> Violation:
        self.traffic.refused_items += 1
        self.refused.add(name_of(item))
        return Violation("invalid", "identifiers", "refused on demand")

    # ---------------------------------------------------------------- what is told

    def stats(self) -> dict[str, Any]:
        """Everything that is counted, as JSON has it."""
        counts = dict(sorted(self.people.counts.items()))
        return self.traffic.as_json() | {
            "people": len(self.people),
            "events": len(self.people.events),
            "duplicate_events": self.people.counts["duplicate_events"],
            "effects": counts,
        }


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Let the garbage collector wait for the length of one batch.

    Nearly all that a batch allocates is kept and has no cycles; searching it while it grows took a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _as_json(violation: Violation) -> dict[str, Any]:
    return {"reason": violation.reason, "field": violation.field, "message": violation.message}


def _refusal(status: int, violation: Violation) -> Answer:
    """The answer to a request of which nothing is taken."""
    return _error_answer(status, [_as_json(violation)])


def _error_answer(status: int, errors: list[dict[str, Any]]) -> Answer:
    return Answer(status, json.dumps({"errors": errors}).encode() + b"\n")
