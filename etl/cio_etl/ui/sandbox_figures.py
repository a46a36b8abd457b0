"""Asks a running sandbox for its figures: counts only, its own page shows people and events with their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

SHOWN = {
    "people": "people",
    "events": "events",
    "objects": "objects",
    "requests": "requests",
    "items": "items",
    "refused_items": "items refused",
}
TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class SandboxFigures:
    """The figures of a sandbox, or why there are none."""

    url: str
    figures: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


def sandbox_figures(url: str) -> SandboxFigures:
    """What the sandbox at this address has received."""
    try:
        with httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client:
            content = client.get(f"{url}/__sandbox/stats").raise_for_status().json()
        return SandboxFigures(url, {words: int(content[name]) for name, words in SHOWN.items()})
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return SandboxFigures(url, problem=f"No sandbox answers at {url}; `cio-etl sandbox` starts one.")
