"""The faults to inject, and the requests to which they apply."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from email.utils import formatdate
from random import Random
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from cio_etl.sandbox.identities import identifier_of
from cio_etl.sandbox.limits import MAX_BODY_BYTES
from cio_etl.sandbox.objects import name_of_object


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is sent as it is, to any request. `applied`: the request's items are applied nevertheless."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    applied: bool = False


_JSON: Final = (("content-type", "application/json"),)
_HTML: Final = (("content-type", "text/html"),)

# Answers that acknowledge nothing, though their status is 200: a client that trusts one loses the batch.
UNREADABLE: Final[Mapping[str, Answer]] = {
    "html": Answer(200, b"<!doctype html><title>Sign in</title><p>Sign in to use this network.", _HTML),
    "empty": Answer(200, b"", _JSON),
    "null": Answer(200, b"null", _JSON),
    "list": Answer(200, b"[]", _JSON),
    "bom": Answer(200, b"\xef\xbb\xbf{}", _JSON),
    "text": Answer(200, b"{} and more", _JSON),
}

# Faults of the connection.
CONNECTION_FAULTS: Final[Mapping[str, str]] = {
    "cut_upload": "reset while the request's body arrives; not applied",
    "early_413": "413 and closed before the request's body was read; not applied",
    "lost_before": "reset without an answer; not applied",
    "lost_after": "applied, then reset without an answer",
    "closed_after": "applied, then closed properly without an answer",
    "hang_before": "no answer until the client closes the connection; not applied",
    "hang_after": "applied, then no answer until the client closes the connection",
    "drip": "applied, the answer is sent one byte at a time, `drip_s` seconds apart",
    "truncated": "applied, the answer's body ends after `cut_at` bytes",
    "broken_chunks": "applied, the answer's chunked body is broken",
    "bad_gzip": "applied, the answer says gzip and is not",
    "huge": "applied, the answer has a body of `huge_bytes` bytes",
    "header_bomb": "applied, the answer has a header of 1 MB",
    "two_answers": "applied, a second answer follows",
}


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of the sandbox. None, by default.

    A fault is "ok", a status ("429", "503", "307", …: answered with it, not applied), a key of UNREADABLE or of
    CONNECTION_FAULTS, or, in a script, an Answer. Faults apply to every request that sends data: Track v2 and v1,
    and Pipelines; those that begin with `app_`, to requests of the App API. The same seed and the same order of
    requests give the same faults.

        Faults(rates={"503": 0.2, "429": 0.05, "lost_after": 0.02}, retry_after=("1",))
        Faults(script=("lost_after", "ok", Answer(207, b'{"errors": [{"batch_index": -1}]}', applied=True)))
    """

    seed: int = 0
    script: tuple[str | Answer, ...] = ()  # for the first requests, in order; after it, the rates
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))  # share of requests; sum at most 1
    retry_after: tuple[str, ...] = ()  # Retry-After lines of a 429 or 503, as they are
    retry_after_date_s: float | None = None  # or one with the date this many seconds after the answer's own
    location: str = "/elsewhere"  # of a redirect
    latency_s: float = 0.0  # before each answer
    refused: float = 0.0  # share of valid items refused all the same; Pipelines drops them behind its 200
    dropped: float = 0.0  # share of valid items that are accepted, and dropped when they would be applied
    item_error_status: int = 207  # 200 and 400 have been observed in practice, with the same body
    strict: bool = False  # one bad item: 400 for the whole batch, which does not say which, and nothing is applied
    max_body_bytes: int = MAX_BODY_BYTES
    too_large_status: int = 413  # not documented; 400 is the other guess
    requests_per_second: int | None = None  # in any sliding second; above it 429
    app_script: tuple[str | Answer, ...] = ()  # like `script`, for requests to the App API
    app_requests_per_second: int | None = None  # of the App API, in any sliding second; above it 429
    key_revoked_after: int | None = None  # requests, after which the keys are refused …
    new_api_key: str | None = None  # … and Track takes this one,
    new_write_key: str | None = None  # … and Pipelines this one
    pipelines_dedupes: bool = True  # a repeated messageId is ignored; whether Customer.io does so is not documented
    cut_at: int = 1
    drip_s: float = 0.05
    huge_bytes: int = 300_000_000
    region: str = "us"  # which the credentials belong to: us | eu

    def __post_init__(self) -> None:
        scripted = (each for each in (*self.script, *self.app_script) if isinstance(each, str))
        for fault in (*self.rates, *scripted):
            if not _is_fault(fault):
                raise ValueError(f"no such fault: {fault}")
        shares = (*self.rates.values(), self.refused, self.dropped)
        if any(not 0 <= share <= 1 for share in shares) or sum(self.rates.values()) > 1 + 1e-9:
            raise ValueError("rates, refused and dropped are shares between 0 and 1, and the rates' sum is at most 1")

    @classmethod
    def from_json(cls, members: Any) -> Faults:
        """The record of a JSON object with the same names. Raises ValueError, naming no value."""
        if not isinstance(members, dict):
            raise ValueError("faults are an object")
        if unknown := sorted(set(members) - {each.name for each in fields(cls)}):
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        try:
            return _faults_of(members)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"][:1]))
            message = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{place}: {message}" if place else message) from None

    def refuses(self, item: Mapping[str, Any]) -> bool:
        """Is this one of the valid items that are refused? It depends on the seed and the item's name only."""
        return _is_drawn(self.refused, f"{self.seed} {name_of(item)}") if self.refused else False

    def drops(self, item: Mapping[str, Any]) -> bool:
        """Is this one of the accepted items that are dropped? It depends on the seed and the item's name only."""
        return _is_drawn(self.dropped, f"{self.seed} dropped {name_of(item)}") if self.dropped else False

    def answer_with(self, status: int, now: float) -> Answer:
        """The answer of a fault that is a status. `now` is in Unix seconds."""
        headers: list[tuple[str, str]] = []
        if 300 <= status < 400:
            headers.append(("location", self.location))
        if status in (429, 503):
            headers += [("retry-after", line) for line in self.retry_after]
            if self.retry_after_date_s is not None:
                headers.append(("retry-after", formatdate(now + self.retry_after_date_s, usegmt=True)))
        return Answer(status, headers=tuple(headers))


def name_of(item: Mapping[str, Any]) -> str:
    """How the list of refused items refers to an item: `event <its id>`, or the person's identifier, as `id 42`.

    A merge is named by its secondary, and an object as `object 1/acme`.
    """
    if "id" in item:
        return f"event {item['id']}"
    identifiers = item["secondary"] if item.get("action") == "merge" else item["identifiers"]
    if item.get("type") == "object":
        return name_of_object(identifiers)
    return " ".join(identifier_of(identifiers))


def _is_drawn(share: float, name: str) -> bool:
    return zlib.crc32(name.encode()) / 2**32 < share


class FaultSequence:
    """The fault for the next request."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.requests = 0
        self._random = Random(faults.seed)  # nosec B311 # no secret is made of it

    def next(self) -> str | Answer:
        self.requests += 1
        if self.requests <= len(self.faults.script):
            return self.faults.script[self.requests - 1]
        drawn = self._random.random()
        for fault, share in self.faults.rates.items():
            if drawn < share:
                return fault
            drawn -= share
        return "ok"

    def is_key_revoked(self) -> bool:
        """Have as many requests arrived as the keys were valid for?"""
        after = self.faults.key_revoked_after
        return after is not None and self.requests > after


def _is_fault(name: str) -> bool:
    is_status = len(name) == 3 and name.isascii() and name.isdigit() and name[0] in "2345"
    return is_status or name == "ok" or name in UNREADABLE or name in CONNECTION_FAULTS


_faults_of = TypeAdapter(Faults).validate_python
