"""Chooses one of a job's `destinations`: the job is then as if only that one were written.

    destinations: {dev: …, prod: …}  ── --target prod ─▶  destination: …, and the name in the state is NAME.prod

The name keeps everything apart that belongs to one destination: runs, progress, rejects, ledgers and watermarks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cio_etl.config.plain_form import read_document
from cio_etl.config.short_values import PLAIN_NAME
from cio_etl.config.yaml_file import Document, Loc
from cio_etl.errors import InvalidArguments, Problem, did_you_mean

RESERVED = ("sandbox", "replay")  # what the names of other runs end with
HAS_ONE = "has one destination; leave --target out"


def target_names(path: Path) -> tuple[str, ...]:
    """The names of a job's destinations; none where it has one without a name, or cannot be read."""
    data = read_document(path).data
    destinations = None if data is None else data.get("destinations")
    return tuple(destinations) if isinstance(destinations, dict) else ()


def with_target(document: Document, target: str | None) -> Document:
    """The document with the destination of this name in place of all. Faults of the names are among its problems.

    Raises InvalidArguments when a name is missing, or is not one of the job's.
    """
    data = document.data or {}
    if "destinations" not in data:
        if target is not None:
            raise InvalidArguments(f"{document.file} {HAS_ONE}")
        return document
    destinations = data["destinations"]
    if problems := _faults(document, destinations):
        return replace(document, data=None, problems=(*document.problems, *problems))
    if target is None:
        names = " and ".join(destinations)
        what = f"destination {names}; choose it" if len(destinations) == 1 else f"destinations {names}; choose one"
        raise InvalidArguments(f"{document.file} has the {what} with --target")
    if target not in destinations:
        advice = did_you_mean(target, destinations)
        raise InvalidArguments(f"{document.file} has no destination {target!r}; {advice}")
    return _chosen(document, target)


def _faults(document: Document, destinations: Any) -> list[Problem]:
    if not isinstance(destinations, dict) or not destinations:
        return [document.problem(("destinations",), "must be names with destinations, as `dev: {site_id: …}`")]
    problems = []
    for name, destination in destinations.items():
        loc = ("destinations", name)
        if not PLAIN_NAME.fullmatch(name) or name in RESERVED:
            problems.append(
                document.problem(loc, f"a name is letters, digits, - and _, and not {' or '.join(RESERVED)}")
            )
        if not isinstance(destination, dict):
            problems.append(document.problem(loc, "must be keys with values, as {region: eu, site_id: …, api_key: …}"))
    common = (document.data or {}).get("destination")
    if common is not None and not isinstance(common, dict):
        problems.append(document.problem(("destination",), "must be keys with values, which all destinations share"))
    return problems


def _chosen(document: Document, target: str) -> Document:
    """The document with a destination that has the keys of `destination` and over them those of the target."""
    data = document.data or {}
    common, own = data.get("destination", {}), data["destinations"][target]
    rest = {key: value for key, value in data.items() if key not in ("destination", "destinations")}
    plain = {"destination": {**common, **own}, **rest}
    root: dict[Loc, tuple[Document, Loc]] = {(): document.origin(())}
    origins = {**root, **{loc: found for loc, found in document.origins.items() if loc[:1] != ("destination",)}}
    origins[("destination",)] = document.origin(("destinations", target))
    moved = {}  # by the place in the chosen form: the place in the document
    for key in plain["destination"]:
        there: Loc = ("destinations", target, key) if key in own else ("destination", key)
        moved[("destination", key)] = there
        origins[("destination", key)] = document.origin(there)

    def places(marked: frozenset[Loc]) -> frozenset[Loc]:
        kept = {loc for loc in marked if loc[:1] not in (("destination",), ("destinations",))}
        new = {
            (*here, *loc[len(there) :]) for here, there in moved.items() for loc in marked if loc[: len(there)] == there
        }
        return frozenset(kept | new)

    return replace(
        document, data=plain, refused=places(document.refused), empty=places(document.empty), origins=origins
    )
