"""RudderStack: the YAML specs of Rudder CLI, reverse ETL connections with their models, tables and destinations.

Looked up on 2026-11-27: the YAML reference of connections, and the specs' types and examples in rudderlabs/rudder-iac
(cli/internal/providers/retl). `kind: retl-connections` has spec.connections, each with source, destination, enabled and
config: sync_behaviour, schedule, identifiers, mappings, constants, event, object, cursor_column, sync_settings.
`retl-source-sql-model` has sql or file, `retl-source-table` schema and table, `destination` type and config.

The dashboard's two mappers are the two flows of these specs: with `object`, the visual data mapper; without, the JSON
mapper. A format in which the dashboard itself exports a mapping is not documented, and Customer.io takes the JSON
mapper only, so that is what is read. A JSON file of the same shape is read as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from cio_etl.config.text_file import UnreadableText, read_text
from cio_etl.config.yaml_file import MAX_BYTES
from cio_etl.errors import ConfigError
from cio_etl.importers.definitions import Definition, Node, unread_of
from cio_etl.importers.lost import Lost
from cio_etl.importers.records import Imported, ImportedStep, Importer, Page
from cio_etl.importers.values import (
    Field,
    cron_of,
    event_mapping,
    first_run,
    is_cron,
    is_customer_io,
    people_mapping,
    step_name,
)

_KNOWN = {
    "sync_settings": ("rejected rows and reports are in the state folder", "nothing"),
    "transformation": ("its code changes what is sent", "do the same with functions in the mapping, or in the query"),
    "enabled": ("it is false there", "leave the step out, if it is not to run"),
    "cursor_column": ("every row is read, and what changed is sent", "write `watermark` in the source, to read less"),
}
_PREFIXES = ("context.traits.", "traits.", "properties.")
_PARTS = {"timestamp": "timestamp", "originalTimestamp": "timestamp", "messageId": "event_id", "event": "event name"}


def read(definitions: Sequence[Definition], stated: Collection[str]) -> Imported:
    """The steps of the connections to Customer.io. Raises ConfigError when the files have none."""
    kinds: dict[str, list[Node]] = {}
    for definition in definitions:
        for key in ("version", "metadata", "kind"):
            definition.root[key].take()
        kinds.setdefault(str(definition.root["kind"].value), []).append(definition.root["spec"])
    connections = [each for spec in kinds.get("retl-connections", []) for each in spec["connections"].items()]
    if not connections:
        what = "no reverse ETL connection, `kind: retl-connections`; name the folder of Rudder CLI"
        raise ConfigError([definition.root.problem(what) for definition in definitions])
    destinations = {str(spec["id"].value): spec for spec in kinds.get("destination", [])}
    sources = {
        f"#{kind}:{spec['id'].value}": spec
        for kind in ("retl-source-sql-model", "retl-source-table")
        for spec in kinds.get(kind, [])
    }
    steps: list[ImportedStep] = []
    lost: list[Lost] = []
    others: list[Node] = []
    regions = set()
    for each in connections:
        name = str(each["destination"].take() or "").partition(":")[2]
        spec = destinations.get(name)
        kind = "" if spec is None else str(spec["type"].value).lower()
        if kind != "customerio" and not (spec is None and is_customer_io(name, stated)):
            others.append(each["destination"])
            each.take()
            continue
        if spec is not None:
            regions.add(str(spec["config"]["datacenter"].value or "").lower())
        by_address = spec is not None and spec["config"]["user_id_identifier_type"].value == "email"
        made = _step(each, sources, "email" if by_address else "id", [step.name for step in steps])
        if isinstance(made, ImportedStep):
            steps.append(made)
        else:
            lost.append(made)
    if others and not steps and not lost:
        what = "is not a destination of the type customerio in these files; name its file, too, or add --destination"
        raise ConfigError(node.problem(f"{node.value!r} {what} {_slug(node)}") for node in others)
    for node in others:
        why = "only connections to Customer.io are imported"
        by_hand = "name the file of its destination, if it is one"
        lost.append(node.lost(f"the connection to {node.value!r}", why, by_hand))
    for spec in destinations.values():
        if str(spec["type"].value).lower() == "customerio":
            lost += _unread(spec, ("id", "type"), ("site_id", "api_key", "datacenter", "user_id_identifier_type"))
    lost += _beside(definitions)
    lost += first_run("RudderStack", [step.name for step in steps], steps[0].place if steps else "")
    region = next(iter(regions)) if len(regions) == 1 and regions <= {"us", "eu"} else None
    return Imported(tuple(steps), tuple(lost), region)


_KINDS = ("retl-connections", "retl-source-sql-model", "retl-source-table", "destination")


def _beside(definitions: Sequence[Definition]) -> list[Lost]:
    """What is written beside the specs, and files of other kinds."""
    lost = []
    for root in (definition.root for definition in definitions):
        if root["kind"].value not in _KINDS:
            why = f"the kind {root['kind'].value!r} is not imported"
            lost.append(root.lost("the file", why, "nothing, if no connection to Customer.io needs it"))
            continue
        parts = [root, root["spec"]] if root["kind"].value == "retl-connections" else [root]
        known = ("spec", "connections")
        others = [each for part in parts for each in part.items() if each.key not in known]
        lost += [found for each in others for found in unread_of(each, _KNOWN, "RudderStack")]
    return lost


def _unread(spec: Node, keys: Sequence[str], of_config: Sequence[str] = ()) -> list[Lost]:
    """What was not read of a destination, a model or a table."""
    for key in (*keys, "display_name", "description", "definition_version"):
        spec[key].take()
    if spec["enabled"].value is True:
        spec["enabled"].take()
    for key in (*of_config, "connection_mode"):
        spec["config"][key].take()
    return list(unread_of(spec, _KNOWN, "RudderStack"))


def _slug(node: Node) -> str:
    return str(node.value).partition(":")[2]


def _step(node: Node, sources: dict[str, Node], person_kind: str, taken: Collection[str]) -> ImportedStep | Lost:
    name = node["id"].text() or "connection"
    if node["enabled"].take() is False:
        return node.lost(f"the connection {name}", "enabled is false, so it did not run", "set it to true to import it")
    config, lost = node["config"], list[Lost]()
    if config["object"].value is not None:
        why = "RudderStack has no visual data mapper for Customer.io"
        return config["object"].lost(f"the connection {name}", why, "write it as one of mappings/operations")
    event = config["event"]
    kind = event["type"].take()
    if kind not in (None, "identify", "track"):
        return event.lost(f"the connection {name}", f"the event {kind!r} is not identify or track", "write it by hand")
    is_event = kind == "track"
    fields = [_field(each, lost) for each in [*config["mappings"].items(), *config["constants"].items()]]
    people = {str(each["to"].take()): each["from"].text() for each in config["identifiers"].items()}
    identifiers, anonymous = people.get("user_id"), people.get("anonymous_id")
    if identifiers is None and not (is_event and anonymous is not None):
        why = "no identifier goes to user_id; Customer.io knows no person by an anonymous_id"
        return config["identifiers"].lost(f"the connection {name}", why, "write the mapping by hand")
    connection, source, query, key = _source(node["source"], sources, lost)
    person: tuple[str, Any] = (person_kind, identifiers) if identifiers is not None else ("anonymous_id", anonymous)
    behaviour = config["sync_behaviour"].take()
    more = {"sync": "changed"} if behaviour in ("upsert", "mirror") else {}
    if behaviour not in ("upsert", "mirror", "full"):
        lost.append(Lost(config["sync_behaviour"].place, "sync_behaviour", "it is not upsert or full", "write `sync`"))
    if behaviour == "mirror":
        why = "who is gone from the source stays in Customer.io"
        by_hand = "write sync: mirror and when_gone in the job; see Send only what changed"
        lost.append(Lost(config["sync_behaviour"].place, "sync_behaviour: mirror", why, by_hand))
    if is_event:
        column, constant = event["name_column"].text(), event["name"].text()
        if column is not None or constant is not None:
            fields.insert(0, Field("event name", column if column is not None else {"value": constant}, event))
        mapping, more_lost = event_mapping(fields, person, name, key, node.place)
        if "event_key" not in mapping and "event_id" not in mapping:
            more = {}
        if identifiers is not None and anonymous is not None:
            mapping["identifiers"] = {"first": [{person_kind: identifiers}, {"anonymous_id": anonymous}]}
            mapping = {**mapping, "visitor_events": "batch"}
            why = "visitors' events go to v2 /batch, where Customer.io's document names no anonymous_id"
            lost.append(Lost(config["identifiers"].place, "anonymous_id", why, "see Events of visitors"))
    else:
        if anonymous is not None:
            fields.append(Field("anonymous_id", anonymous, config["identifiers"]))
        mapping, more_lost = people_mapping(fields, person)
        if anonymous is not None:
            mapping["allow_reserved"] = ["anonymous_id"]
    lost += more_lost
    schedule = _schedule(config["schedule"], lost)
    lost += unread_of(node, _KNOWN, "RudderStack")
    return ImportedStep(
        step_name(name, taken), node.place, connection, source, mapping, query, more, tuple(lost), schedule
    )


def _field(node: Node, lost: list[Lost]) -> Field:
    """A mapping, which has from and to, or a constant, which has key and value."""
    target = node["to"].text() or node["key"].text() or ""
    value: Any = node["from"].text()
    if value is None:
        value = {"value": node["value"].take()}
    if target in _PARTS:
        return Field(_PARTS[target], value, node)
    name = next((target.removeprefix(prefix) for prefix in _PREFIXES if target.startswith(prefix)), None)
    if name is None:
        why = "it is neither a trait nor a property, and is read as an attribute"
        lost.append(Lost(node.place, target, why, "check what Customer.io has of it"))
    return Field(name or target, value, node)


def _source(
    node: Node, sources: dict[str, Node], lost: list[Lost]
) -> tuple[str, dict[str, Any], str | None, str | None]:
    """The connection, the table or the query, and the column of the primary key."""
    reference = str(node.take() or "")
    spec = sources.get(reference)
    name = reference.partition(":")[2] or "source"
    if spec is None:
        by_hand = f"name its file, too; or write the query or table of the source instead of {name!r}"
        lost.append(Lost(node.place, f"the source {reference!r}", "its file was not given", by_hand))
        return "warehouse", {"table": name}, None, None
    connection = spec["account"].text() or spec["account_id"].text() or spec["source_definition"].text() or "warehouse"
    connection, key = connection.rpartition(":")[2], spec["primary_key"].text()
    schema, table, query, file = (spec[each].text() for each in ("schema", "table", "sql", "file"))
    lost += _unread(spec, ("id", "source_definition"))
    if table is not None:
        return connection, {"table": table if schema is None else f"{schema}.{table}"}, None, key
    if file is not None:
        path = Path(spec.definition.file).parent / file
        try:
            query = read_text(path, MAX_BYTES).strip()
        except UnreadableText:
            by_hand = f"write the query or table of the source instead of {name!r}"
            lost.append(Lost(spec["file"].place, f"the query in {file}", "the file cannot be read", by_hand))
    return connection, {} if query else {"table": name}, query or None, key


def _schedule(node: Node, lost: list[Lost]) -> str | None:
    kind, minutes, line = node["type"].take(), node["every_minutes"].take(), node["cron_expression"].take()
    if kind == "cron" and isinstance(line, str) and is_cron(line):
        return line
    if kind == "basic" and isinstance(minutes, int) and (cron := cron_of(minutes, "minute")):
        return cron
    if kind not in (None, "manual"):
        lost.append(node.lost("the schedule", "a cron line cannot say it", "write `schedule` in the job"))
    return None


RUDDERSTACK = Importer(
    "rudderstack",
    "RudderStack",
    "the folder of Rudder CLI, or files of connections, models, tables and destinations",
    (
        Page(
            "https://www.rudderstack.com/docs/rudder-cli/yaml-retl-connections/",
            "connections and their two mapping flows",
            "2026-11-27",
        ),
        Page(
            "https://github.com/rudderlabs/rudder-iac/tree/main/cli/internal/providers/retl",
            "every key of connections, models and tables",
            "2026-11-27",
        ),
        Page(
            "https://www.rudderstack.com/docs/rudder-cli/destination-types/customer-io/",
            "the keys of the destination",
            "2026-11-27",
        ),
    ),
    (
        "What RudderStack has sent already: the first run sends every row.",
        "Accounts, sync settings, transformations, event streams.",
        "Connections of the visual data mapper, which RudderStack does not offer for Customer.io, and of Customer.io "
        "Audience; connections that are not enabled.",
    ),
    read,
)
