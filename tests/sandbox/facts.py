"""Documented facts as data: requests to a sandbox, the answers that a source declares, and that source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from cio_etl.sandbox import Sandbox
from tests.sandbox_client import APP

ANY: Final = object()  # any answer's body


@dataclass(frozen=True)
class Step:
    """One request and its answer. Of `answer`, an object is the members that the answer must have, among others."""

    method: str
    path: str
    body: object = None
    status: int = 200
    answer: Any = ANY
    headers: Mapping[str, str] | None = None
    content: bytes | None = None


@dataclass(frozen=True)
class Fact:
    """Something that a source says of Customer.io, and the requests that show it."""

    name: str
    source: str
    steps: tuple[Step, ...]


def get(path: str, answer: Any = ANY, status: int = 200) -> Step:
    return Step("GET", path, None, status, answer)


def put(path: str, body: object, answer: Any = ANY, status: int = 200) -> Step:
    return Step("PUT", path, body, status, answer)


def post(path: str, body: object = None, answer: Any = ANY, status: int = 200, **headers: str) -> Step:
    return Step("POST", path, body, status, answer, {name.replace("_", "-"): text for name, text in headers.items()})


def delete(path: str, answer: Any = ANY, status: int = 200) -> Step:
    return Step("DELETE", path, None, status, answer)


def check(sandbox: Sandbox, fact: Fact) -> None:
    """Send the requests of a fact in order, and compare each answer."""
    for step in fact.steps:
        auth = None if "Authorization" in (step.headers or {}) else _basic(step.path)
        with httpx.Client(auth=auth, headers=_bearer(step.path), timeout=10) as client:
            answer = client.request(
                step.method,
                sandbox.url + step.path,
                headers=step.headers,
                **({"content": step.content} if step.content is not None else {"json": step.body}),
            )
        assert answer.status_code == step.status, (fact.source, step, answer.text)
        if step.answer is not ANY:
            assert _matches(answer.json() if answer.content else None, step.answer), (fact.source, step, answer.text)


def _matches(actual: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            name in actual and _matches(actual[name], value) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(_matches(one, other) for one, other in zip(actual, expected, strict=True))
        )
    return expected is ANY or (type(actual) is type(expected) and bool(actual == expected))


def _basic(path: str) -> tuple[str, str] | None:
    if path.startswith("/api/"):
        return ("sandbox", "sandbox")
    return ("sandbox", "") if path in _PIPELINES else None


def _bearer(path: str) -> dict[str, str]:
    return APP if path.startswith("/v1/") and path not in _PIPELINES else {}


_PIPELINES = frozenset(f"/v1/{call}" for call in ("batch", "identify", "track", "page", "screen", "group", "alias"))
