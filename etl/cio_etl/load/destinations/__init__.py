"""What an API is asked and what its answers mean: one file of pure functions each. They send nothing."""

from __future__ import annotations

from collections.abc import Mapping as Headers
from dataclasses import replace

from cio_etl.load.destinations import pipelines, track
from cio_etl.load.destinations.endpoints import Endpoint, Judge
from cio_etl.model import Api, Mapping, Split, Unknown, Verdict
from cio_etl.transform import endpoint_of, is_repeatable


def endpoint(api: Api, mapping: Mapping) -> Endpoint:
    """Where the items go that a mapping makes for an API."""
    if api == "pipelines":
        found = pipelines.BATCH
    else:
        match endpoint_of(mapping, api):
            case "batch":
                found = track.BATCH
            case "anonymous_event":
                found = track.ANONYMOUS_EVENT
            case "segment":
                found = track.segment(mapping)
    if is_repeatable(mapping):
        return found
    return replace(found, judge=_once(found.judge), repeatable=False)


def _once(judge: Judge) -> Judge:
    """The judge of what must not be sent again, in halves either, while it may have been taken."""

    def judged(status: int, headers: Headers[str, str], body: bytes, items: int, host: str) -> Verdict:
        verdict = judge(status, headers, body, items, host)
        if isinstance(verdict, Split) and verdict.ambiguous:
            return Unknown(verdict.reason)
        return verdict

    return judged
