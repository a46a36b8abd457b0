"""Shows what a running sandbox has: figures, people and events, whose values are masked unless they are revealed."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx

from cio_etl.audit.mask import shown, value_shown
from cio_etl.sandbox.serving import is_loopback
from cio_etl.ui.rejected_rows import MOST_COLUMNS

FIGURES = {
    "people": "people",
    "events": "events",
    "objects": "objects",
    "requests": "requests",
    "items": "items",
    "refused_items": "items refused",
}
TIMEOUT_S = 2.0  # a sandbox that takes large batches answers late
NEWEST = 5  # of each, on the first page
A_PAGE = 25
ANSWERS_OTHERWISE = (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError)  # than a sandbox

Cells = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ShownPerson:
    """A profile as a page shows it."""

    cio_id: str
    url: str  # of its own page in the sandbox
    cells: Cells
    more: int  # attributes that are not shown
    events: int
    updated: datetime | None


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event as a page shows it. `cio_id` None: of a visitor, or of a person who was deleted."""

    name: str
    cio_id: str | None
    url: str
    cells: Cells
    more: int
    received: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A part of a list, the newest first: `first` to `last` of `total`, from 1 on; `older` is where the rest ends."""

    entries: tuple[Any, ...] = ()
    total: int = 0
    first: int = 0
    last: int = 0
    older: int = 0  # 0: there is nothing older


@dataclass(frozen=True, slots=True)
class SandboxView:
    """What a sandbox has, or why it is not known."""

    url: str
    figures: Mapping[str, int] = field(default_factory=dict)
    people: Listed = field(default_factory=Listed)
    events: Listed = field(default_factory=Listed)
    problem: str = ""


class SandboxReader:
    """Reads a running sandbox at this address. `reveal`: values are shown as they are."""

    def __init__(self, url: str, *, reveal: bool = False) -> None:
        """Raises ValueError unless the address is this machine's own."""
        if not _is_loopback(url):
            raise ValueError("name a loopback address, as http://127.0.0.1:8080")
        self.url, self.reveal = url.rstrip("/"), reveal
        self._tls = ssl.create_default_context()  # once: it takes longer than the questions

    def stamp(self) -> str:
        """What is another text after each change."""
        try:
            with self._asking() as client:
                return repr(_figures(client))
        except ANSWERS_OTHERWISE:
            return ""

    def view(self, limit: int, people_before: int | None = None, events_before: int | None = None) -> SandboxView:
        """Its figures, and some of its people and events: the newest, or those before a number."""
        try:
            with self._asking() as client:
                return SandboxView(
                    self.url,
                    _figures(client),
                    _listed(client, "people", self._person, limit, people_before),
                    _listed(client, "events", self._event, limit, events_before),
                )
        except httpx.TimeoutException:
            what = f"The sandbox at {self.url} is busy: no answer within {TIMEOUT_S:g} s. Look again in a moment."
            return SandboxView(self.url, problem=what)
        except ANSWERS_OTHERWISE:
            return SandboxView(self.url, problem=f"No sandbox answers at {self.url}; `cio-etl sandbox` starts one.")

    def _asking(self) -> httpx.Client:
        return httpx.Client(base_url=f"{self.url}/__sandbox", trust_env=False, timeout=TIMEOUT_S, verify=self._tls)

    def _person(self, content: Any) -> ShownPerson:
        cio_id, identifiers = content["cio_id"], content["identifiers"].items()
        names = tuple((kind, shown(value, self.reveal)) for kind, value in identifiers)
        values, more = self._values(content["attributes"])
        return ShownPerson(
            cio_id, self._address(cio_id), names + values, more, content["events"], _time(content["updated"])
        )

    def _event(self, content: Any) -> ShownEvent:
        """The name of a page is an address, in which anything may be."""
        name, cio_id = content["name"], content["cio_id"]
        values, more = self._values(content["attributes"])
        return ShownEvent(
            shown(name, self.reveal or content["type"] != "page"),
            cio_id,
            "" if cio_id is None else self._address(cio_id),
            values,
            more,
            content["received"],
            _time(content["timestamp"]),
        )

    def _values(self, attributes: Mapping[str, Any]) -> tuple[Cells, int]:
        few = islice(attributes.items(), MOST_COLUMNS)
        cells = tuple((name, value_shown(json.dumps(value), self.reveal)) for name, value in few)
        return cells, max(len(attributes) - MOST_COLUMNS, 0)

    def _address(self, cio_id: str) -> str:
        return f"{self.url}/people/{quote(cio_id, safe='')}"


def _figures(client: httpx.Client) -> dict[str, int]:
    content = client.get("stats").raise_for_status().json()
    return {words: int(content[name]) for name, words in FIGURES.items()}


def _listed(client: httpx.Client, what: str, as_shown: Callable[[Any], Any], limit: int, before: int | None) -> Listed:
    query = {"limit": limit} | ({} if before is None else {"before": before})
    content = client.get(what, params=query).raise_for_status().json()
    total, begin, end = (int(content[name]) for name in ("total", "from", "to"))
    return Listed(tuple(map(as_shown, content[what])), total, total - end + 1, total - begin, begin)


def _time(seconds: float | None) -> datetime | None:
    """The time; None also for one beyond the year 9999: milliseconds, sent as seconds."""
    if seconds is None:
        return None
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC)
    return None


def _is_loopback(url: str) -> bool:
    """Whether this is the address of a server on this machine, without user, path and query."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    is_plain = not address.userinfo and address.raw_path == b"/" and not address.fragment
    return address.scheme in ("http", "https") and is_plain and is_loopback(address.host)
