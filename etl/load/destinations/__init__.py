"""What an API is asked and what its answers mean: one file of pure functions each. They send nothing."""

from __future__ import annotations

from dataclasses import replace

from etl.load.destinations import pipelines, track
from etl.load.destinations.endpoints import Endpoint
from etl.model import Api, Mapping
from etl.transform import endpoint_of, is_repeatable


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
    return replace(found, repeatable=is_repeatable(mapping))
