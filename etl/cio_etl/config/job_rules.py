"""The rules of a job that concern several keys, several steps, or the ids of events.

Those on plain data run before the sections are known to be right, so that their faults are reported together with the
faults of single keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cio_etl import apis
from cio_etl.config.canonical_form import canonical
from cio_etl.config.short_values import PLAIN_NAME
from cio_etl.config.validation import Fault
from cio_etl.config.yaml_file import Loc
from cio_etl.model import Constant, Job, Step
from cio_etl.transform.parts import DIVISIBLE


def job_faults(data: dict[str, Any], path: Path) -> Iterator[Fault]:
    """What is wrong with a job's data, apart from the value of a single key. `path` is the job's file."""
    if "name" not in data and not PLAIN_NAME.fullmatch(path.stem):
        yield (
            ("name",),
            "missing, and the file's own name cannot stand for it; write name: with letters, digits, - and _",
        )
    if isinstance(destination := data.get("destination"), dict):
        yield from _destination_faults(destination)
        if data.get("verify") is not None and apis.app.KEY not in destination:
            message = f"reads people back, which needs {apis.app.KEY}: ${{{apis.app.VARIABLE}}} under destination:"
            yield ("verify",), message
    places: dict[str, int] = {}  # of each step's name, the first step that has it
    for place, step in steps_of(data):
        name = step.get("name")
        if isinstance(name, str) and places.setdefault(name, place) != place:
            yield ("steps", place, "name"), f"the name of steps[{places[name]}] too; give each step its own"
        files = step.get("mapping")
        stems = [Path(file).stem for file in files if isinstance(file, str)] if isinstance(files, list) else []
        if len(set(stems)) != len(stems):
            yield (
                ("steps", place, "mapping"),
                "two mappings of one file name; name the files differently, they name the steps",
            )


def _destination_faults(destination: dict[str, Any]) -> Iterator[Fault]:
    api, region, base_url = apis.get(destination.get("api")), destination.get("region"), destination.get("base_url")
    for key in api.credentials:
        if key not in destination:
            yield ("destination", key), f"missing; write {key}: ${{{apis.variable(key)}}}"
    if api.credential_request.region is None and region == "auto":
        message = f"the {api.title} API does not report the region of a key; write us or eu"
        yield ("destination", "region"), message
    try:
        host = apis.allowed_address(base_url) if isinstance(base_url, str) else None
    except ValueError:  # reported at the key
        return
    if destination.get("requests_per_second") == "unlimited" and not (host and apis.is_loopback(host)):
        yield (
            ("destination", "requests_per_second"),
            "unlimited is for a base_url on this machine; write a number up to 1000",
        )
    if host and region == "auto":
        yield ("destination", "base_url"), "region: auto determines the address; remove one of the two"
    elif host and not apis.is_loopback(host) and host not in api.hosts.values():
        yield ("destination", "base_url"), f"the address of the other API, but api: is {api.name}; leave base_url out"
    elif host in api.hosts.values() and region in ("us", "eu") and host != api.hosts[region]:
        yield ("destination", "base_url"), "the address of the other region; leave base_url out"


def shared_ids(job: Job, places: Sequence[Loc]) -> Iterator[Fault]:
    """Steps that send other people's events under the same ids: Customer.io would store one event of the two.

    `places` has the place of each step's mapping in the job file.
    """
    before: list[tuple[Step, dict[str, Any]]] = []
    for step, loc in zip(job.steps, places, strict=True):
        if "event" not in step.mapping.targets:
            continue
        this = json.loads(canonical(step.mapping))
        for other, that in before:
            other_rows = None not in (this["when"], that["when"]) and this["when"] != that["when"]
            if step.source != other.source or other_rows:
                continue
            own_ids = [meaning.get("more", {}).get("event_id") for meaning in (this, that)]
            differ = [key for key in ("identifiers", "event") if this[key] != that[key]]
            if own_ids[0] is not None and own_ids[0] == own_ids[1] and differ:
                yield (
                    loc,
                    f"its events get the ids of {other.mapping.file}'s: event_id is the same, and {differ[0]} is no "
                    "part of an own id, so Customer.io would silently drop one of the two; write event_key with the "
                    "column of the id in one of them",
                )
                break
            if own_ids != [None, None]:
                continue
            same_ids = all(this[key] == that[key] for key in _PARTS_OF_ID)
            if same_ids and this["identifiers"] != that["identifiers"]:
                yield (
                    loc,
                    f"its events get the ids of {other.mapping.file}'s: event, timestamp and event_key are the same, "
                    "and the person is no part of an id, so Customer.io would silently drop one of the two; give "
                    "its event another name, or add the person's column to event_key",
                )
                break
        before.append((step, this))


def sync_faults(job: Job, places: Sequence[Loc]) -> Iterator[Fault]:
    """Steps that cannot send only what changed. `places` has the place of each step's mapping in the job file."""
    operations = [apis.OPERATIONS[step.mapping.operation] for step in job.steps]
    with_events = {loc[:2] for operation, loc in zip(operations, places, strict=True) if operation.has_event}
    with_others = {loc[:2] for operation, loc in zip(operations, places, strict=True) if not operation.has_event}
    owners: dict[str, str] = {}  # of ledgers
    for step, operation, loc in zip(job.steps, operations, places, strict=True):
        sync, at = step.sync, (*loc[:2], "sync")
        if sync.has_ledger and (owner := owners.setdefault(step.ledger_name, step.name)) != step.name:
            what = f"step {owner} has the ledger {step.ledger_name} already"
            yield (*loc[:2], "ledger"), f"{what}; write the name of another one, or leave it out"
        if "events_of_72h" in sync.limits and loc[:2] not in with_events:
            yield (*loc[:2], "limits", "events_of_72h"), f"{step.mapping.file} sends no events; leave it out"
        if sync.ledger == "values" and loc[:2] not in with_others:
            yield (*loc[:2], "ledger"), "an event that was sent does not change; leave it out"
        every = (*loc[:2], "full_refresh_every")
        if sync.full_refresh_every is not None and not sync.has_ledger:
            yield every, "each run sends every row already; write sync: changed, or leave it out"
        if sync.remember is not None and (fault := _remember_fault(step, operation.has_event)):
            yield (*loc[:2], "remember"), fault
        if not sync.has_ledger:
            continue
        if sync.full_refresh_every is not None and operation.has_event:
            yield every, "Customer.io ignores an event that it has already; leave it out"
        if step.mapping.operations:
            yield at, f"{step.mapping.file} has change records, which are sent as they come; leave sync out"
        elif not operation.repeatable:
            yield at, f"{step.mapping.operation} must not be done twice, so it has no ledger; leave sync out"
        elif operation.has_event and not step.mapping.identifies_events:
            what = f"{step.mapping.file} has no event_key, and without one each night's events are others"
            yield at, f"{what}; write the columns that identify an event as event_key, or its own id as event_id"
        elif step.mapping.operation not in DIVISIBLE and len(step.mapping.relationship_ends()) > 1:
            what = f"{step.mapping.file} has several relationships, which the ledger could not tell apart"
            yield at, f"{what}; write a mapping for each, and list them as the step's mapping"
        elif sync.mode == "mirror":
            yield from ((at, fault) for fault in _mirror_faults(step, job.destination.api))


def _remember_fault(step: Step, has_event: bool) -> str | None:
    """Why the ledger of a step cannot forget what is old."""
    if not step.sync.has_ledger:
        return "each run sends every row already; write sync: changed, or leave it out"
    if not has_event:
        return f"{step.mapping.file} sends no events; leave it out"
    if isinstance(step.mapping.targets.get("timestamp"), Constant | None):
        return f"{step.mapping.file} does not say when an event was; map its timestamp, or leave it out"
    return None


def _mirror_faults(step: Step, api: str) -> Iterator[str]:
    """Why the step cannot remove who is gone."""
    operation, when_gone = step.mapping.operation, step.sync.when_gone
    if apis.OPERATIONS[operation].has_event:
        yield "events cannot be removed from Customer.io; write sync: changed"
    elif step.mapping.alternatives:
        yield (
            "a person who gets an id would count as gone under the old identifier, and be removed; write one kind "
            "under identifiers, or sync: changed"
        )
    elif when_gone is None:
        yield "say what happens to who is gone, as when_gone: delete, or when_gone: {set: {churned: true}}"
    elif step.mapping.other_columns is not None and when_gone.attributes == dict.fromkeys(
        step.mapping.part("attributes")
    ):
        yield "unset needs the names of the attributes, which `*` does not say; write when_gone: {set: {name: null}}"
    elif step.source.incremental is not None:
        yield "a row that is not read is not gone; leave the watermark out, or write sync: changed"
    elif operation not in apis.REMOVALS and when_gone.operation != (inverse := apis.OPERATIONS[operation].inverse):
        yield f"when_gone is for people and objects; leave it out, and {inverse} is done of who is gone"
    elif operation in apis.REMOVALS and when_gone.operation not in apis.REMOVALS[operation]:
        yield f"{when_gone.operation} is not for {operation}; write when_gone: delete, unset or set"
    elif problems := list(apis.unsupported(apis.removal(step.mapping, when_gone), api)):
        path, fault = problems[0]
        yield f"when_gone needs the operation {when_gone.operation}: {path}: {fault}"


_PARTS_OF_ID = ("event", "timestamp", "event_key")


def steps_of(data: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The place and the data of each step; steps of a wrong form are left out."""
    steps = data.get("steps")
    for place, step in enumerate(steps if isinstance(steps, list) else []):
        if isinstance(step, dict):
            yield place, step
