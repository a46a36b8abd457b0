"""Census: the YAML files of GitLink, models and syncs.

Looked up on 2026-11-27 in Census's documentation (basics/developers/gitlink.md of sutrolabs/census-docs, spec 0.x):
`model:ID` with name, query and connection; `sync:ID` with paused, label, behavior, mapping_configuration, triggers,
source, destination, mappings, operational_settings. The objects of Customer.io and their sync keys are those of
destinations/customer.io.md. Names of the fields of events are not documented: name, timestamp and event id are
recognised by these names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from cio_etl.errors import ConfigError
from cio_etl.importers.definitions import Definition, Node, unread_of
from cio_etl.importers.lost import Lost
from cio_etl.importers.records import Imported, ImportedStep, Importer, Page
from cio_etl.importers.values import (
    IDENTIFIERS,
    Field,
    event_mapping,
    first_identifier,
    first_run,
    is_cron,
    is_customer_io,
    not_customer_io,
    people_mapping,
    squeezed,
    step_name,
    template_value,
)

_KNOWN = {
    "operational_settings": ("alerts are not part of a job", "watch the exit code, or write `ping` in the job"),
    "triggers": ("a job starts by its schedule", "let Airflow start the job, or the tool that runs the task before it"),
    "advanced_configuration": ("it is not documented", "find out what it does in Census"),
    "preserve_values": ("cio-etl changes what Customer.io has", "leave the attribute out, or rows by `when`"),
    "service_slice_size": ("cio-etl packs batches itself", "nothing"),
    "enable_sync_logs": ("the report and the state have it", "nothing"),
    "template_sync_identifier": ("it only says of which sync this one was made", "nothing"),
    "lookup_object": ("Customer.io has nothing to look up", "look it up in the query"),
    "order_by": ("the order of mappings means nothing here", "nothing"),
    "append_properties": ("it is Census's own watermark", "write `watermark` in the source, to read new rows only"),
    "name_normalization": ("the names are written in the mappings", "nothing"),
}
_CLIPPED = ("follow_source_type", "generate_field", "field_type", "array_field", "is_primary_identifier")


def read(definitions: Sequence[Definition], stated: Collection[str]) -> Imported:
    """The steps of the syncs to Customer.io. Raises ConfigError when the files have none."""
    models = {node.key: node for node in _sections(definitions, "model:")}
    syncs = _sections(definitions, "sync:")
    steps: list[ImportedStep] = []
    lost: list[Lost] = []
    others: list[tuple[Node, str]] = []
    for sync in syncs:
        destination = sync["destination"]["connection_identifier"]
        slug = str(destination.take() or "").removeprefix("destination:")
        if not is_customer_io(slug, stated):
            others.append((destination, str(destination.value).removeprefix("destination:")))
            sync.take()
            continue
        made = _step(sync, models, [step.name for step in steps])
        if isinstance(made, ImportedStep):
            steps.append(made)
        else:
            lost.append(made)
    elsewhere = not_customer_io(others, nothing_else=not steps and not lost)
    if not syncs:
        raise ConfigError([definition.root.problem(_NOTHING) for definition in definitions])
    lost += elsewhere
    for node in (node for each in definitions for node in each.root.items()):
        if not node.key.startswith(("sync:", "model:")):
            lost.append(node.lost(node.key, "only models and syncs are imported", "nothing, if no sync needs it"))
    lost += first_run("Census", [step.name for step in steps], steps[0].place if steps else "")
    return Imported(tuple(steps), tuple(lost))


_NOTHING = "no sync of Census, a key such as `sync:people`; name the folder of GitLink"


def _sections(definitions: Sequence[Definition], prefix: str) -> list[Node]:
    """The resources of a kind; all files are one repository."""
    return [node for each in definitions for node in each.root.items() if node.key.startswith(prefix)]


def _step(sync: Node, models: dict[str, Node], taken: Collection[str]) -> ImportedStep | Lost:
    name = sync.key.removeprefix("sync:")
    sync["label"].take()
    if sync["paused"].take() is True:
        return sync.lost(f"the sync {name}", "paused is true, so it did not run", "set it to false to import it")
    subject = sync["destination"]["object_identifier"]
    word = squeezed(str(subject.take() or ""))
    is_event = "event" in word
    if not is_event and word not in ("person", "people", "customer", "customers", "user"):
        why = "only people and events are imported"
        return sync.lost(f"the sync {name} to {subject.value!r}", why, "write it as one of mappings/operations")
    lost: list[Lost] = []
    operation = str(sync["behavior"]["operation"].take() or "").lower()
    if operation == "delete" and is_event:
        return sync.lost(f"the sync {name}", "events cannot be deleted", "nothing")
    more, existing_only = _behavior(sync["behavior"], operation, is_event, lost)
    fields: list[Field] = []
    primary: Field | None = None
    for each in sync["mappings"].items():
        if (made := _field(each, lost)) is None:
            continue
        fields.append(made)
        if each["is_primary_identifier"].value is True and not is_event:
            primary = made
        for clipped in _CLIPPED:
            each[clipped].take()
    unique = [each for each in fields if each.node["is_primary_identifier"].value is True]
    key = unique[0].value if unique and isinstance(unique[0].value, str) else None
    identifier = primary or first_identifier([each for each in fields if not (is_event and each in unique)])
    kind = None if identifier is None else IDENTIFIERS.get(squeezed(identifier.to))
    if kind is None:
        why = "no mapping to ID, email or cio_id was found"
        lost.append(Lost(sync.place, "the identifier", why, "write `identifiers`"))
    person = (kind or "id", identifier.value if identifier is not None else "id")
    others = [each for each in fields if identifier is None or each.node is not identifier.node]
    if is_event:
        mapping, more_lost = event_mapping(others, person, name, key, sync.place)
        if "event_key" not in mapping and "event_id" not in mapping:
            more = {}
            why = "Census sends each row once, by a unique column that the file does not name"
            lost.append(Lost(sync.place, "the key of an event", why, "write event_key, and sync: changed in the job"))
    else:
        mapping, more_lost = people_mapping(others, person)
        if existing_only:
            mapping["existing_only"] = True
    if operation == "delete":
        mapping, more = {"operation": "delete", "identifiers": {person[0]: person[1]}}, {}
        why = "each row deletes a person, and each run would send it again"
        lost.append(Lost(sync["behavior"].place, "operation: delete", why, "try it with --sandbox first"))
    lost += more_lost
    _other_columns(sync["mapping_configuration"], mapping, lost)
    connection, source, query = _source(sync["source"], models, lost)
    schedule = _schedule(sync["triggers"]["schedule"], lost)
    lost += unread_of(sync, _KNOWN, "Census")
    return ImportedStep(
        step_name(name, taken), sync.place, connection, source, mapping, query, more, tuple(lost), schedule
    )


def _behavior(node: Node, operation: str, is_event: bool, lost: list[Lost]) -> tuple[dict[str, Any], bool]:
    """The keys of the step, and whether only people who exist are changed."""
    if operation == "mirror":
        strategy = node["mirror_properties"]["strategy"]
        deletes = strategy.take() != "sync_updates_and_nulls"
        if is_event:
            lost.append(node.lost("operation: mirror", "an event cannot be taken back", "nothing"))
            return {"sync": "changed"}, False
        gone = "delete" if deletes else "unset"
        why = f"who is gone from the source is handled by when_gone: {gone}, at most max_gone: 1% of all at once"
        lost.append(Lost(node.place, "operation: mirror", why, "look at `cio-etl plan` before the first run"))
        return {"sync": "mirror", "when_gone": gone}, False
    if operation == "create" and not is_event:
        lost.append(node.lost("operation: create", "people who exist are changed, too", "leave them out by `when`"))
    return {"sync": "changed"}, operation == "update"


def _field(node: Node, lost: list[Lost]) -> Field | None:
    """One mapping; None if it is lost."""
    to = node["to"]["field_name"].text() or node["to"].text()
    kind, data = str(node["from"]["type"].take() or ""), node["from"]["data"]
    if to is None:
        lost.append(node.lost(node.path, "no field_name under `to`", "write it in the mapping"))
        return None
    column = data["column_name"].text() or data.text()
    if kind == "column" and column is not None:
        return Field(to, column, node)
    if kind in ("constant", "constant_value") and isinstance(data.value, dict) and "value" in data.value:
        value = data["value"].take()
        is_number = str(data["basic_type"].take()).lower() == "integer" and str(value).lstrip("-").isdigit()
        return Field(to, {"value": int(str(value)) if is_number else value}, node)
    if kind == "liquid_template" and isinstance(text := data["liquid_template"].value or data.value, str):
        if (made := template_value(text)) is not None:
            node["from"].take()
            return Field(to, made, node)
        why = "a template that uses more of Liquid than names of columns, upcase, downcase, strip and default"
        lost.append(node.lost(to, why, "write it with the function `template` or with `expr`"))
        return None
    lost.append(node.lost(to, f"a mapping from {kind!r}", "make a column of it in the query, and map that"))
    return None


def _other_columns(node: Node, mapping: dict[str, Any], lost: list[Lost]) -> None:
    """`sync_all_source_columns` is `*`."""
    everything = node["sync_all_source_columns"]
    if everything.take():
        names = str(node["name_normalization"].take() or "match_source_names")
        others = {"rename": "snake_case"} if names == "snake_case" else {}
        mapping["attributes"]["*"] = others
        if names not in ("match_source_names", "snake_case"):
            lost.append(node.lost(f"name_normalization: {names}", "columns keep their names", "name them one by one"))


def _source(node: Node, models: dict[str, Node], lost: list[Lost]) -> tuple[str, dict[str, Any], str | None]:
    """The connection, and the table or the query."""
    kind, identifier = str(node["type"].take() or ""), str(node["object_identifier"].take() or "")
    connection = str(node["connection_identifier"].take() or "data_warehouse:warehouse").partition(":")[2]
    if (model := models.get(identifier)) is not None:
        for key in ("name", "description"):
            model[key].take()
        own = str(model["connection"].take() or "").partition(":")[2]
        query = model["query"].text()
        lost += unread_of(model, _KNOWN, "Census")
        if query is not None:
            if "{{" in query or "{%" in query:
                why = "the query has variables or tags of Liquid"
                lost.append(Lost(model["query"].place, model.key, why, "write the SQL that they stand for"))
            return own or connection, {}, query
    if kind == "table" and identifier:
        return connection, {"table": identifier.partition(":")[2] or identifier}, None
    name = identifier.partition(":")[2] or identifier or "source"
    why = f"the {kind or 'source'} {identifier!r} has no query in these files"
    lost.append(Lost(node.place, "the source", why, f"write its query or table instead of {name!r}"))
    return connection, {"table": name}, None


_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def _schedule(node: Node, lost: list[Lost]) -> str | None:
    frequency = str(node["frequency"].take() or "never")
    minute, hour = (node[key].take() or 0 for key in ("minute", "hour"))
    day = str(node["day"].take() or "sunday").lower()
    line = node["cron_expression"].take()
    if frequency == "expression" and isinstance(line, str) and is_cron(line):
        return line
    lines = {
        "quarter_hourly": "*/15 * * * *",
        "hourly": f"{minute} * * * *",
        "daily": f"{minute} {hour} * * *",
        "weekly": f"{minute} {hour} * * {_DAYS.index(day) if day in _DAYS else 0}",
    }
    line = lines.get(frequency)
    if frequency != "never" and (line is None or not is_cron(line)):
        lost.append(node.lost(f"frequency: {frequency}", "a cron line cannot say it", "write `schedule` in the job"))
        return None
    return line


CENSUS = Importer(
    "census",
    "Census",
    "the folder of GitLink, or files of its models and syncs",
    (
        Page(
            "https://github.com/sutrolabs/census-docs/blob/main/basics/developers/gitlink.md",
            "the keys of models and syncs",
            "2026-11-27",
        ),
        Page("https://docs.getcensus.com/destinations/customer.io", "objects, sync keys and behaviors", "2026-11-27"),
    ),
    (
        "What Census has sent already: the first run sends every row.",
        "Connections, alerts, triggers other than a schedule.",
        "Devices, collections, segments, objects and relationships of Customer.io; syncs that are paused.",
        "Mappings from references, compound keys and segments; Liquid beyond names of columns and four filters.",
    ),
    read,
)
