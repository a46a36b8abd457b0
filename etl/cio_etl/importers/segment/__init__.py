"""Segment: mappings of the destination Customer.io (Actions), as the Public API and the Terraform provider have them.

Looked up on 2026-11-27:

- a mapping is a subscription: name, actionSlug, enabled, modelId, trigger and settings (Public API), and in Segment's
  own presets subscribe, partnerAction and mapping (packages/destination-actions/src/destinations/customerio)
- the actions, their fields, and how an id becomes an identifier: the same folder
- directives: packages/core/src/mapping-kit
- the rows: a job reads no stream, so it reads the tables that Segment writes into a warehouse. Names are in snake_case
  there, nested objects are flat, arrays are JSON (Warehouse Schemas)
- of a Reverse ETL model, the columns of a row are under $.properties (exported Terraform configurations)

rows.py      the rows that a mapping is about, and their columns
fql.py       triggers as SQL
mapping.py   the fields of an action as a mapping
values.py    the directives of a field as a value
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cio_etl.errors import ConfigError
from cio_etl.importers.definitions import LIST, Definition, Node, parsed_json, unread_of
from cio_etl.importers.lost import Lost
from cio_etl.importers.records import Imported, ImportedStep, Importer, Page
from cio_etl.importers.segment.mapping import ACTIONS, mapping_of
from cio_etl.importers.segment.rows import condition_of, rows_of
from cio_etl.importers.values import step_name

_KNOWN = {
    "enable_batching": ("cio-etl always sends batches", "nothing"),
    "batch_size": ("cio-etl fills batches by their bytes", "nothing"),
    "reverseETLSchedule": ("a job has its own schedule", "write `schedule` in the job"),
    "pagination": ("the answer may have had more pages", "get all pages, and name all files"),
}


def read(definitions: Sequence[Definition], stated: Collection[str]) -> Imported:
    """The steps of the subscriptions. Raises ConfigError when the files have none, or a directive that is none."""
    subscriptions = [node for each in definitions for node in _subscriptions(each)]
    if not subscriptions:
        what = "no mapping of Segment, which has trigger and settings; name the answer of the Public API"
        raise ConfigError([definition.root.problem(what) for definition in definitions])
    steps: list[ImportedStep] = []
    lost: list[Lost] = []
    for each in subscriptions:
        made = _step(each, [step.name for step in steps])
        if isinstance(made, ImportedStep):
            steps.append(made)
        else:
            lost.append(made)
    for definition in definitions:
        lost += unread_of(definition.root, _KNOWN, "Segment")
    if any("watermark" in step.source for step in steps):
        why = "a job reads tables, here those that Segment writes into a warehouse, whenever it runs"
        by_hand = "load Segment's source into a warehouse, and write its schema before the tables, as prod.identifies"
        lost.append(Lost(steps[0].place, "the stream of events", why, by_hand))
        why = "the warehouse has them in snake_case: a trait firstName is first_name there, and becomes that attribute"
        by_hand = "write the attribute by its old name, as firstName: first_name"
        lost.append(Lost(steps[0].place, "names of traits and properties", why, by_hand))
    return Imported(tuple(steps), tuple(lost))


def _subscriptions(definition: Definition) -> list[Node]:
    """The subscriptions in an answer of the API, in a list, or a single one."""
    root = definition.root
    data = root["data"] if isinstance(root["data"].value, dict) else root
    for key in ("subscriptions", LIST):
        if isinstance(data[key].value, list):
            return data[key].items()
    single = data["subscription"] if isinstance(data["subscription"].value, dict) else data
    return [single] if single.first("settings", "mapping").value is not None else []


def _step(node: Node, taken: Collection[str]) -> ImportedStep | Lost:
    for key in ("id", "destinationId", "actionId", "type", "createdAt", "updatedAt"):
        node[key].take()
    slug = node.first("actionSlug", "partnerAction").text() or ""
    name = node["name"].text() or slug or "mapping"
    if node["enabled"].take() is False:
        return node.lost(f"the mapping {name}", "enabled is false, so it did not run", "set it to true to import it")
    action = ACTIONS.get(slug)
    if action is None:
        why = f"the action {slug!r} is not one of those that are imported: {', '.join(ACTIONS)}"
        return node.lost(f"the mapping {name}", why, "write it as one of mappings/operations")
    lost: list[Lost] = []
    model = node["modelId"].text()
    trigger, rows = rows_of(node.first("trigger", "subscribe"), action.call, model, lost)
    settings = _settings(node.first("settings", "mapping"))
    mapping = mapping_of(settings, action, rows, lost)
    if isinstance(mapping, Lost):
        return mapping
    more: dict[str, Any] = {}
    source: dict[str, Any] = {"table": rows.table}
    query = None
    if model is None:
        # the order of the calls counts: the last value of a trait remains
        newer = "where received_at >= :watermark order by received_at"
        query = f"select * from {rows.table} {newer}"  # nosec B608 # written into a job, where a person reads it
        source = {"watermark": "received_at", "key": ["id"], "start": "2000-01-01"}
        condition = condition_of(node.first("trigger", "subscribe"), trigger, rows, lost)
        if condition is not None:
            mapping["when"] = condition
    else:
        why = f"the query of the model {model!r} is not in the file"
        lost.append(Lost(node["modelId"].place, "the source", why, f"write its query or table instead of {model!r}"))
        more = {"sync": "changed"} if action.operation == "identify" else {}
        place = node.first("trigger", "subscribe")
        if place.text() is not None:
            why = "it says which rows of a model are meant: added, updated or deleted"
            lost.append(place.lost("the trigger", why, "if it means deleted rows, take the step out"))
    lost += unread_of(node, _KNOWN, "Segment")
    connection = "warehouse"
    return ImportedStep(step_name(name, taken), node.place, connection, source, mapping, query, more, tuple(lost))


def _settings(node: Node) -> Node:
    """The settings; Terraform has them as a text of JSON."""
    if isinstance(node.value, str):
        try:
            parsed = parsed_json(node.value)
        except ValueError:
            raise ConfigError([node.problem("a text that is not JSON; export the mapping once more")]) from None
        around: Any = node.definition.document.data
        for part in node.loc[:-1]:
            around = around[part]
        around[node.loc[-1]] = parsed  # so that what is not read of it is found
        return Node(node.definition, node.loc, parsed)
    return node


SEGMENT = Importer(
    "segment",
    "Segment",
    "answers of the Public API: subscriptions of the destination Customer.io (Actions), as JSON",
    (
        Page(
            "https://github.com/segmentio/action-destinations/tree/main/packages/destination-actions/src/destinations/customerio",
            "actions, fields, presets",
            "2026-11-27",
        ),
        Page(
            "https://github.com/segmentio/action-destinations/tree/main/packages/core/src/mapping-kit",
            "directives",
            "2026-11-27",
        ),
        Page("https://www.twilio.com/docs/segment/api/public-api/fql", "triggers", "2026-11-27"),
        Page("https://www.twilio.com/docs/segment/connections/storage/warehouses/schema", "tables", "2026-11-27"),
    ),
    (
        "The stream: a job reads the tables that Segment writes into a warehouse.",
        "Names of traits and properties in capitals: the warehouse has them in snake_case.",
        "Triggers with functions, such as contains; such a step sends nothing until `when` is written.",
        "Devices, merges, deletions of objects, reports of deliveries, mappings that are not enabled.",
    ),
    read,
)
