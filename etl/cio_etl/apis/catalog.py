"""The APIs by name, and where each sends the items of a mapping."""

from __future__ import annotations

from collections.abc import Mapping as Headers
from dataclasses import replace

from cio_etl.apis.api import Api, Endpoint, Judge
from cio_etl.apis.operations import OPERATIONS
from cio_etl.apis.pipelines import PIPELINES
from cio_etl.apis.track import TRACK
from cio_etl.model import Mapping, Split, Unknown, Verdict

APIS: dict[str, Api] = {api.name: api for api in (TRACK, PIPELINES)}
DEFAULT_API = TRACK.name


def get(name: object) -> Api:
    """The API that a job names; the default one when there is no such API, which is reported elsewhere."""
    return APIS.get(name if isinstance(name, str) else "", APIS[DEFAULT_API])


def endpoint(api: str, mapping: Mapping) -> Endpoint:
    """The endpoint to which an API takes the items of a mapping."""
    payload = APIS[api].payload(mapping)
    endpoint = APIS[api].batch if payload.endpoint is None else payload.endpoint(mapping)
    # Change records that are sent again, in their order, leave everybody as their last one does.
    if OPERATIONS[mapping.operation].repeatable or mapping.retry_unknown or mapping.operations:
        return endpoint
    return replace(endpoint, judge=_judge_once(endpoint.judge), repeatable=False)


def _judge_once(judge: Judge) -> Judge:
    """The judge of items that must not be sent again, not in halves either, while they may have been accepted."""

    def judged(status: int, headers: Headers[str, str], body: bytes, items: int, host: str) -> Verdict:
        verdict = judge(status, headers, body, items, host)
        if isinstance(verdict, Split) and verdict.ambiguous:
            return Unknown(verdict.reason)
        return verdict

    return judged
