"""Downloads one file over https, never without TLS; its address is never shown with its secrets."""

from __future__ import annotations

import logging
import threading
from typing import BinaryIO

import httpx

from cio_etl.errors import EtlError, SourceError, SourceRefused, SourceUnreachable
from cio_etl.extract.remote.storage import Patience
from cio_etl.model import shown
from cio_etl.model.records import dataclass

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_BLOCK_BYTES = 1 << 20
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

logging.getLogger("httpx").setLevel(logging.WARNING)  # its INFO lines have whole addresses with their signatures


@dataclass(frozen=True, slots=True)
class WebFile:
    """A downloaded file: its size, and the etag of this version, if the server gives one."""

    bytes: int
    etag: str | None


class _Again(Exception):
    """A failed try that may be repeated; `error` is raised after the last one."""

    def __init__(self, error: EtlError) -> None:
        self.error = error


def download(address: str, file: BinaryIO, patience: Patience, stopped: threading.Event) -> WebFile:
    """Writes the address's file into `file`. Raises EtlError; ends early, with what there is, when it is stopped."""
    timeout = httpx.Timeout(patience.read_s, connect=patience.connect_s)
    wait_s = patience.first_wait_s
    with httpx.Client(timeout=timeout, headers={"Accept-Encoding": "identity"}) as client:
        for tries_left in range(patience.retries, -1, -1):
            file.seek(0)
            file.truncate()
            try:
                return _once(client, address, file, stopped)
            except _Again as again:
                if not tries_left or stopped.wait(wait_s):
                    raise again.error from None
                wait_s = min(wait_s * 2, patience.longest_wait_s)
    raise AssertionError("the last try returns or raises")


def _once(client: httpx.Client, address: str, file: BinaryIO, stopped: threading.Event) -> WebFile:
    place = shown(address)
    try:
        url = httpx.URL(address)
        for _ in range(_MOST_REDIRECTS):
            with client.stream("GET", url) as answer:
                if answer.status_code not in _REDIRECTS:
                    return _body(place, answer, file, stopped)
                url = _next(place, url, answer.headers.get("Location", ""))
    except httpx.InvalidURL:
        raise SourceError(
            "fix the address", place=place, what="it, or an address that it redirects to, is invalid"
        ) from None
    except httpx.TimeoutException:
        raise _Again(_unreachable(place, "no answer in time")) from None
    except httpx.ConnectError:
        raise _Again(_unreachable(place, "no connection, or no trustworthy certificate")) from None
    except httpx.HTTPError:
        raise _Again(_unreachable(place, "the connection was cut, or the answer was no HTTP")) from None
    raise SourceError("name the last address itself", place=place, what="redirects without end")


def _next(place: str, before: httpx.URL, location: str) -> httpx.URL:
    """The address of a redirect. Raises SourceError when it would leave https."""
    after = before.join(location)
    secret = after.scheme == "https" or (before.scheme == after.scheme == "http" and after.host in _LOOPBACK)
    if not location or not secret:
        raise SourceError(
            "name the last address itself",
            place=place,
            what="redirects to an address that does not begin with https://",
        )
    return after


def _body(place: str, answer: httpx.Response, file: BinaryIO, stopped: threading.Event) -> WebFile:
    status = answer.status_code
    if status in (401, 403, 407):
        raise SourceRefused("renew the address's signature, or its user and password", place=place)
    if status in (404, 410):
        raise SourceError("look at the address", place=place, what="there is no such file")
    if status == 429 or status >= 500:
        raise _Again(_unreachable(place, f"it answers with HTTP {status}"))
    if status != 200:
        raise _unreachable(place, f"it answers with HTTP {status}")
    written = 0
    for block in answer.iter_raw(_BLOCK_BYTES):  # as it was sent: what is compressed is unpacked by its reader
        if stopped.is_set():
            break
        file.write(block)
        written += len(block)
    return WebFile(written, answer.headers.get("ETag"))


def _unreachable(place: str, what: str) -> SourceUnreachable:
    return SourceUnreachable("look at the network, and run the same command again", place=place, what=what)
