"""Reads people back through the App API, over one connection and at its rate.

People are asked for a hundred at a time. Whom an answer leaves out is asked for alone, so that only a 404 means that
Customer.io does not have them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from cio_etl.apis import Endpoint, app, by_status
from cio_etl.errors import DestinationUnavailable
from cio_etl.load.connection import Connection, Deadlines
from cio_etl.load.rate import LocalRateLimiter
from cio_etl.load.retry import Backoff
from cio_etl.model import Accepted, Destination, Retry, Stop, Verdict
from cio_etl.model.words import duration

LONG_S = 10.0  # what takes longer is said before

UNREADABLE = "the App API does not take their identifier"
_TOO_LONG = "the answer is too long"


class ReadBack:
    """The App API of a destination for the length of a `with` block.

    Raises CredentialsRefused, WrongDestination, and DestinationUnavailable when nothing answers for the time that a
    batch may take. `now` and `sleep` are a monotonic clock and its pause. `note` gets one sentence where it takes long.
    """

    def __init__(
        self,
        destination: Destination,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        key = destination.app_api_key
        assert key is not None
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
        endpoint = Endpoint(app.people_path("id"), lambda *_: Accepted(), headers=headers)
        self._budget_s, self._now, self._sleep, self._note = destination.batch_budget_s, now, sleep, note
        self._has_noted = False
        self._limiter = LocalRateLimiter(app.REQUESTS_PER_SECOND)
        self._deadlines = Deadlines()
        self._connection = Connection(
            replace(destination, base_url=app.address(destination)), self._deadlines, endpoint
        )
        self._at_once = app.MAX_IDS

    def __enter__(self) -> ReadBack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._deadlines.close()

    def people(self, kind: str, identifiers: Sequence[str]) -> dict[str, app.Profile | str | None]:
        """Each of these people, by the identifier: None: there is nobody; a text: why they could not be asked for."""
        found: dict[str, app.Profile | str | None] = {}
        waiting = list(identifiers)
        while waiting:
            asked = waiting[: self._at_once]
            profiles = self._many(kind, asked)
            if profiles is None and self._at_once > 1:  # 300 long attributes of each are more than an answer may have
                self._at_once //= 2
                continue
            waiting = waiting[len(asked) :]
            named = {_key(kind, _identifier(kind, each)): each for each in profiles or ()}
            absent = sum(_key(kind, each) not in named for each in asked)
            self._note_long(absent, len(asked), len(asked) + len(waiting))
            found |= {each: named.get(_key(kind, each)) or self._one(kind, each) for each in asked}
        return found

    def _note_long(self, absent: int, asked: int, people: int) -> None:
        """Notes how long it takes to ask alone for so many, if as many of the others are left out of the answers."""
        seconds = people * absent / asked / app.REQUESTS_PER_SECOND
        if seconds > LONG_S and not self._has_noted:
            self._has_noted = True
            self._note(
                f"{absent:,} of the first {asked:,} people are not in Customer.io's answer, and each such person is "
                f"asked for alone, {app.REQUESTS_PER_SECOND:g} a second: it may take {duration(seconds)}, and as long "
                "again for the second look"
            )

    def check(self) -> None:
        """Asks for something small, to see whether the key is accepted."""
        self._ask(lambda read: self._connection.get(app.CHECK_PATH, read), lambda status, body: True)

    def _many(self, kind: str, identifiers: Sequence[str]) -> list[app.Profile] | None:
        """Those of these people whom an answer has; None: it is too long, or the request is refused as a whole."""
        body = app.people_body(list(identifiers))
        path = app.people_path(kind)

        def read(status: int, body: bytes) -> Any:
            return [] if status == 400 else app.people_of(body)

        answer: list[app.Profile] | None = self._ask(lambda judge: self._connection.send(body, judge, path), read)
        return answer

    def _one(self, kind: str, identifier: str) -> app.Profile | str | None:
        def read(status: int, body: bytes) -> Any:
            return {404: NOBODY, 400: UNREADABLE}.get(status) or app.person_of(body)

        path = app.person_path(kind, identifier)
        answer = self._ask(lambda judge: self._connection.get(path, judge), read, missing=404)
        return None if answer is NOBODY else answer

    def _ask(
        self, attempt: Callable[[Any], Verdict], read: Callable[[int, bytes], Any], missing: int | None = None
    ) -> Any:
        """What `read` makes of the answer, after as many attempts as it takes; None: the answer is too long."""
        host, answer = self._connection.host, None

        def judge(status: int, headers: Any, body: bytes) -> Verdict:
            nonlocal answer
            if status != missing and (verdict := by_status(status, headers, host, app.RENEWAL)) is not None:
                return verdict
            answer = read(status, body)
            return Retry(f"HTTP {status} with an unreadable body") if answer is None else Accepted()

        backoff = Backoff(self._budget_s, self._now)
        while True:
            self._sleep(max(0.0, self._limiter.reserve(self._now()) - self._now()))
            verdict = attempt(judge)
            if isinstance(verdict, Stop):
                raise verdict.error
            if not isinstance(verdict, Retry):
                return answer
            if verdict.reason == _TOO_LONG and self._at_once > 1:
                return None
            if (wait_s := backoff.wait_s(verdict)) is None:
                raise DestinationUnavailable(host=host, reason=verdict.reason)
            self._sleep(wait_s)


NOBODY = object()


def _identifier(kind: str, profile: app.Profile) -> str:
    return profile.identifiers.get(kind) or profile.attributes.get(kind, "")


def _key(kind: str, identifier: str) -> str:
    """An identifier as Customer.io compares it: the case of addresses does not count, nor the prefix of a cio_id."""
    match kind:
        case "email":
            return identifier.lower()
        case "cio_id":
            return identifier.removeprefix("cio_")
    return identifier
