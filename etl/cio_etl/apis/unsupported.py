"""The parts of a mapping that an API cannot take."""

from __future__ import annotations

from collections.abc import Iterator

from cio_etl.apis.catalog import APIS
from cio_etl.apis.changes import each_operation
from cio_etl.model import Mapping


def unsupported(mapping: Mapping, api: str) -> Iterator[tuple[str, str]]:
    """Each part of a mapping that an API cannot take: its dotted path, and what is wrong and what to do."""
    for each in each_operation(mapping):
        yield from _unsupported(each, api)


def _unsupported(mapping: Mapping, api: str) -> Iterator[tuple[str, str]]:
    title = f"the {APIS[api].title} API"
    others = " or ".join(other.name for other in APIS.values() if other.name != api)
    if mapping.operation not in APIS[api].payloads:
        yield "operation", f"{title} has no {mapping.operation}; write api: {others} in the job"
        return
    payload = APIS[api].payload(mapping)
    is_alone = APIS[api].visitors_alone and not mapping.visitors_in_batches
    if is_alone and "identifiers.anonymous_id" in mapping.alternatives:
        what = f"{title} takes people in batches and visitors one a request"
        yield "identifiers", f"{what}; write visitor_events: batch, api: {others}, or a mapping for each"
        return
    for kind in mapping.part("identifiers"):
        if payload.identifier_kinds is not None and kind not in payload.identifier_kinds:
            yield (
                f"identifiers.{kind}",
                f"for {mapping.operation} {title} takes {' or '.join(payload.identifier_kinds)}",
            )
        if kind in payload.identifiers_in_attributes and f"attributes.{kind}" in mapping.targets:
            yield f"attributes.{kind}", f"{title} has the {kind} from identifiers; leave it out here"
    ends = mapping.relationship_ends()
    used = {path.split(".")[0] for path in mapping.targets} | ({"existing_only"} if mapping.existing_only else set())
    used |= {path.rpartition(".")[0] for path in mapping.targets} | set(mapping.targets)
    used |= {"relationships"} if ends else set()
    for part, advice in payload.unsupported.items():
        if part in used or any(path.endswith(f".{part}") for path in used):
            yield part.partition(".")[0], f"{title} has no place for {part}: {advice}"
    if payload.max_relationships is None:
        return
    if len(ends) > payload.max_relationships:
        yield "relationships", f"{title} takes one a call; write a mapping for each, or api: {others}"
    for end in ends:
        if end.endswith(".person") and not {"id", "anonymous_id"} & mapping.part(end).keys():
            yield end, f"{title} knows people by id"
