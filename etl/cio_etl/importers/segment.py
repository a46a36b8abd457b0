"""Segment: mappings of the destination Customer.io (Actions), as the Public API and the Terraform provider have them.

Looked up on 2026-11-27:

- a mapping is a subscription: name, actionSlug, enabled, modelId, trigger and settings (Public API), and in Segment's
  own presets subscribe, partnerAction and mapping (packages/destination-actions/src/destinations/customerio)
- the actions, their fields, and how an id becomes an identifier: the same folder
- directives: packages/core/src/mapping-kit
- the rows: a job reads no stream, so it reads the tables that Segment writes into a warehouse. Names are in snake_case
  there, nested objects are flat, arrays are JSON (Warehouse Schemas)
- of a Reverse ETL model, the columns of a row are under $.properties (exported Terraform configurations)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from cio_etl.errors import ConfigError, did_you_mean
from cio_etl.importers.definitions import LIST, Definition, Node, parsed_json, unread_of
from cio_etl.importers.fql import Trigger, Unreadable, literal, quoted, read_trigger
from cio_etl.importers.lost import Lost
from cio_etl.importers.records import Imported, ImportedStep, Importer, Page
from cio_etl.importers.values import Value, is_constant, step_name, template_value, timestamp_of

ALL = "*"  # the value of $.traits or $.properties as a whole

_KNOWN = {
    "enable_batching": ("cio-etl always sends batches", "nothing"),
    "batch_size": ("cio-etl fills batches by their bytes", "nothing"),
    "reverseETLSchedule": ("a job has its own schedule", "write `schedule` in the job"),
    "pagination": ("the answer may have had more pages", "get all pages, and name all files"),
}
_DIRECTIVES = {
    *("@path", "@template", "@literal", "@if", "@arrayPath", "@case"),
    *("@replace", "@flatten", "@json", "@merge", "@transform", "@excludeWhenNull", "@liquid"),
}
_TABLES = {"identify": "identifies", "track": "tracks", "page": "pages", "screen": "screens", "group": "groups"}
_TOP = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "messageId": "id",
    "event": "event_text",
    "timestamp": "timestamp",
    "originalTimestamp": "original_timestamp",
    "receivedAt": "received_at",
    "sentAt": "sent_at",
    "name": "name",
}
_NOT_TRAITS = (
    *("id", "received_at", "sent_at", "original_timestamp", "timestamp", "user_id", "anonymous_id", "group_id"),
    *("event", "event_text", "context_*", "uuid*"),
)


@dataclass(frozen=True, slots=True)
class Action:
    """An action of the destination: the operation, the type of call that triggers it, and its fields by their part."""

    operation: str
    call: str
    person: str = "id"
    name: str | None = None
    attributes: str | None = None


_ACTIONS = {
    "createUpdatePerson": Action("identify", "identify", attributes="custom_attributes"),
    "trackEvent": Action("track", "track", name="name", attributes="data"),
    "trackPageView": Action("page", "page", name="url", attributes="data"),
    "trackScreenView": Action("screen", "screen", name="name", attributes="data"),
    "createUpdateObject": Action("identify_object", "group", person="user_id", attributes="custom_attributes"),
    "deletePerson": Action("delete", "track", person="person_id"),
    "suppressPerson": Action("suppress", "track", person="person_id"),
    "unsuppressPerson": Action("unsuppress", "track", person="person_id"),
}
_EVENTS = ("track", "page", "screen")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a mapping is about: a table of the warehouse, or a model of Reverse ETL."""

    table: str
    model: bool

    def column(self, path: str) -> str | None:
        """The column of a path, `*` for all traits or properties; None if the rows have no such column."""
        parts = path.removeprefix("$.").split(".")
        if "[" in path or not all(parts):
            return None
        if self.model:
            return None if parts[0] != "properties" else ".".join(parts[1:]) or ALL
        if parts[:2] == ["context", "traits"]:
            parts = parts[1:]
        if parts[0] in ("traits", "properties"):
            if parts[0] == "properties" and self.table == "tracks":
                return None
            return "_".join(snake(part) for part in parts[1:]) or ALL
        if parts[0] == "context" and len(parts) > 1:
            return "_".join(snake(part) for part in parts)
        return _TOP.get(parts[0]) if len(parts) == 1 else None


def snake(name: str) -> str:
    """A name as Segment writes it in a warehouse: `Order Completed` and orderCompleted are order_completed."""
    apart = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", apart).strip("_").lower()


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
    action = _ACTIONS.get(slug)
    if action is None:
        why = f"the action {slug!r} is not one of those that are imported: {', '.join(_ACTIONS)}"
        return node.lost(f"the mapping {name}", why, "write it as one of mappings/operations")
    lost: list[Lost] = []
    model = node["modelId"].text()
    trigger, rows = _rows(node.first("trigger", "subscribe"), action, model, lost)
    settings = _settings(node.first("settings", "mapping"))
    mapping = _mapping(settings, action, rows, lost)
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
        condition = _condition(node.first("trigger", "subscribe"), trigger, rows, lost)
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


def _rows(node: Node, action: Action, model: str | None, lost: list[Lost]) -> tuple[Trigger | None, Rows]:
    """The trigger, None if it cannot be read, and the rows that it is about."""
    if model is not None:
        return None, Rows(model, True)
    try:
        trigger = read_trigger(node.text() or f'type = "{action.call}"')
    except Unreadable:
        trigger = None
    call = action.call if trigger is None or trigger.type is None else trigger.type
    if trigger is not None and trigger.event is not None and call == "track":
        return trigger, Rows(snake(trigger.event), False)
    return trigger, Rows(_TABLES.get(call, call), False)


def _condition(node: Node, trigger: Trigger | None, rows: Rows, lost: list[Lost]) -> str | None:
    """`when`: what a trigger demands beyond the table. One that cannot be said lets no row through."""
    try:
        if trigger is None:
            raise Unreadable
        return trigger.sql(rows.column)
    except Unreadable:
        why = "the trigger uses functions, or fields that the table does not have, so that no row is sent"
        lost.append(Lost(node.place, "the trigger", why, "write `when` in SQL instead of false"))
        return "false"


def _mapping(settings: Node, action: Action, rows: Rows, lost: list[Lost]) -> dict[str, Any] | Lost:
    """The mapping of an action."""
    read = _Reader(rows, lost)
    person = read.person(settings, action)
    mapping: dict[str, Any] = {"operation": action.operation}
    if action.operation == "identify_object":
        return read.object_mapping(mapping, settings, action, person)
    if not person:
        why = "no column of the rows is the person's id, email or anonymous id"
        return settings.lost("the mapping", why, "write it by hand")
    mapping["identifiers"] = person[0] if len(person) == 1 else {"first": person}
    if action.operation in _EVENTS:
        if any("anonymous_id" in each for each in person):
            mapping["visitor_events"] = "batch"
        name = read.value(settings[action.name or "name"])
        mapping["event"] = name if name not in (None, ALL) else {"value": action.operation}
        if name in (None, ALL):
            why = "the field is empty or cannot be read"
            lost.append(Lost(settings.place, "the name of the event", why, "write it under `event`"))
        if (own := read.column(settings["event_id"])) is not None:
            mapping["event_id"] = own
        elif not rows.model:
            mapping["event_id"] = "id"
    if action.attributes is None:
        return mapping
    if (time := read.column(settings["timestamp"])) is not None:
        mapping["timestamp"] = timestamp_of(time)
    mapping["attributes"] = read.attributes(settings[action.attributes])
    if action.operation == "identify":
        for key in ("created_at", "email"):
            value = read.value(settings[key])
            if value not in (None, ALL) and person != [{key: value}]:
                first = {key: timestamp_of(value) if key == "created_at" else value}
                mapping["attributes"] = first | mapping["attributes"]
        if isinstance(visitor := read.value(settings["anonymous_id"]), str) and visitor != ALL:
            mapping["attributes"] = {**mapping["attributes"], "anonymous_id": visitor}
            mapping["allow_reserved"] = ["anonymous_id"]
        read.relationship(mapping, settings)
    read.no_convert(settings)
    return mapping


class _Reader:
    """Reads the fields of one mapping."""

    def __init__(self, rows: Rows, lost: list[Lost]) -> None:
        self.rows, self.lost = rows, lost

    def person(self, settings: Node, action: Action) -> list[dict[str, Value]]:
        """The identifiers in their order, as Segment chooses: the id, an address, and for events the anonymous id."""
        columns = self.choices(settings[action.person])
        if action.operation != "identify_object" and isinstance(email := self.peek(settings["email"]), str):
            columns.append(email)
        found: dict[str, Value] = {}
        for column in columns:
            found.setdefault("email" if re.search(r"(^|[_.])email$", column) else "id", column)
        if columns:
            why = "Segment looks at each id: one that is an address is an email, one that begins with cio_ a cio_id"
            by_hand = "here the kind is written; change it if your ids are addresses"
            self.lost.append(Lost(settings[action.person].place, "the kind of identifier", why, by_hand))
        visitor = self.peek(settings["anonymous_id"])
        if action.operation in _EVENTS and isinstance(visitor, str):
            found["anonymous_id"] = visitor
            settings["anonymous_id"].take()
        elif visitor is not None and action.operation != "identify":
            why = "the anonymous id ties what a visitor did before to the person"
            by_hand = "send it with the person: the attribute anonymous_id, and allow_reserved: [anonymous_id]"
            self.lost.append(settings["anonymous_id"].lost("anonymous_id", why, by_hand))
        return [{kind: column} for kind, column in found.items()]

    def peek(self, node: Node) -> Value | None:
        """The value of a field, without account of what is lost."""
        return _Reader(self.rows, []).value(Node(Definition(node.definition.document), node.loc, node.value))

    def column(self, node: Node) -> Value | None:
        """The value of a field that differs from row to row; a constant is lost."""
        value = self.value(node)
        if value is None or not (value == ALL or is_constant(value)):
            return value
        why = "a constant, or all traits, where each row has its own"
        self.lost.append(Lost(node.place, node.key, why, "write its column"))
        return None

    def choices(self, node: Node) -> list[str]:
        """The columns of a field; the first that the table has is read."""
        value = self.value(node)
        if isinstance(value, str) and value != ALL:
            return [value]
        if isinstance(value, dict) and "columns" in value and "coalesce" in str(value["apply"]):
            return list(value["columns"])
        return []

    def value(self, node: Node) -> Value | None:
        """The value of a field; `*` for all traits; None if nothing is written, or if it is lost."""
        if node.value is None:
            return None
        if not isinstance(node.value, dict):
            return {"value": node.take()}
        directives = [key for key in node.value if key.startswith("@")]
        if not directives:
            self.lost.append(node.lost(node.key, "an object where one value is read", "write its members one by one"))
            return None
        if len(directives) > 1 or len(node.value) > 1:
            raise ConfigError([node.problem("a directive stands alone; it has other keys beside it")])
        name = directives[0]
        if name not in _DIRECTIVES:
            raise ConfigError([node.problem(f"{name} is no directive of Segment; {did_you_mean(name, _DIRECTIVES)}")])
        made = self.directive(name, node[name])
        if made is None:
            why = f"{name} of this form has no counterpart, or a field that the rows do not have"
            self.lost.append(node.lost(node.key, why, "write it with functions of `apply`, or in the query"))
        node.take()
        return made

    def directive(self, name: str, node: Node) -> Value | None:
        made = {
            "@path": self.path,
            "@template": self.template,
            "@literal": self.value,
            "@if": self.condition,
            "@arrayPath": self.array,
            "@case": self.case,
        }.get(name, _no_counterpart)(node)
        return made

    def path(self, node: Node) -> Value | None:
        return self.rows.column(node.value) if isinstance(node.value, str) else None

    def template(self, node: Node) -> Value | None:
        def column_of(path: str) -> str | None:
            column = self.rows.column(path)
            return None if column == ALL else column

        return template_value(node.value, column_of) if isinstance(node.value, str) else None

    def condition(self, node: Node) -> Value | None:
        """`@if`: the first of two columns that is there, or an SQL expression."""
        tested = node.first("exists", "blank")
        if tested.value is None or not node.value.keys() <= {"exists", "blank", "then", "else"}:
            return None
        column, then, other = (self.quiet(each) for each in (tested, node["then"], node["else"]))
        if not isinstance(column, str) or column == ALL or ALL in (then, other):
            return None
        if then == column and (isinstance(other, str) or other is None):
            columns = [*dict.fromkeys(each for each in (column, other) if each is not None)]
            if len(columns) == 1:
                return columns[0]
            skip = {"coalesce": {"skip_blank": True}} if tested.key == "blank" else "coalesce"
            return {"columns": columns, "apply": [skip]}
        if tested.key == "blank" or (then is None and node["then"].value is not None):
            return None
        if other is None and node["else"].value is not None:
            return None
        parts = [_in_sql(each) for each in (then, other)]
        if not all(parts):
            return None
        return {"expr": f"case when {quoted(column)} is not null then {parts[0]} else {parts[1]} end"}

    def quiet(self, node: Node) -> Value | None:
        return _Reader(self.rows, []).value(node)

    def array(self, node: Node) -> Value | None:
        """`@arrayPath` without a shape: a list, which the warehouse has as JSON."""
        items = node.items()
        if len(items) != 1 and not (len(items) == 2 and items[1].value in (None, {})):
            return None
        path = items[0].value
        column = self.rows.column(path) if isinstance(path, str) else self.quiet(items[0])
        return {"column": column, "apply": ["json"]} if isinstance(column, str) and column != ALL else None

    def case(self, node: Node) -> Value | None:
        operator, value = node["operator"].value, self.quiet(node["value"])
        if operator not in ("lower", "upper") or value in (None, ALL) or len(node.value) > 2:
            return None
        if isinstance(value, str):
            return {"column": value, "apply": [operator]}
        return None if "value" in value else {**value, "apply": [*value.get("apply", []), operator]}

    def attributes(self, node: Node) -> dict[str, Value]:
        """The attributes: all traits or properties, or an object of fields."""
        if isinstance(node.value, dict) and not any(key.startswith("@") for key in node.value):
            found = {each.key: self.value(each) for each in node.items()}
            return {key: value for key, value in found.items() if value not in (None, ALL)}
        if self.rows.table == "tracks" and node.value == {"@path": "$.properties"}:
            why = "the table tracks has no properties; each event has a table of its own, as order_completed"
            self.lost.append(node.lost(node.key, why, "write a step for each event, with its table"))
            return {}
        value = self.value(node)
        if value == ALL:
            return {ALL: {} if self.rows.model else {"except": list(_NOT_TRAITS)}}
        if value is not None:
            why = "one value where an object is read"
            self.lost.append(Lost(node.place, node.key, why, "write the attributes one by one"))
        return {}

    def object_mapping(
        self, mapping: dict[str, Any], settings: Node, action: Action, person: list[dict[str, Value]]
    ) -> dict[str, Any] | Lost:
        identifier = self.value(settings["id"])
        if not isinstance(identifier, str) or identifier == ALL:
            return settings.lost("the mapping", "no column is the object's id", "write it by hand")
        mapping["object"] = {"type": self.object_type(settings), "id": identifier}
        mapping["attributes"] = self.attributes(settings["custom_attributes"])
        if (created := self.value(settings["created_at"])) not in (None, ALL):
            mapping["attributes"] = {"created_at": timestamp_of(created)} | mapping["attributes"]
        if person:
            mapping["relationships"] = [{"person": person[0]}]
        self.no_convert(settings)
        return mapping

    def object_type(self, settings: Node) -> Value:
        """The type of object: a constant, else 1, which Segment takes when the rows say nothing."""
        node = settings["object_type_id"]
        value = self.peek(node)
        if isinstance(value, dict) and "value" in value:
            return int(node.take()) if str(node.value).isdigit() else 1
        if node.value is not None:
            why = "the type of the object is read from a field there; here it is 1, which Segment takes without one"
            self.lost.append(node.lost("object_type_id", why, "write the number of the type under `object`"))
        return 1

    def relationship(self, mapping: dict[str, Any], settings: Node) -> None:
        """The relationship of a person to an object, unless it is the default of every mapping."""
        node = settings["group_id"]
        if node.value is None:
            settings["object_type_id"].take()
            return
        if node.value == {"@path": "$.traits.objectId"}:
            why = "it is Segment's default: a relationship, for calls that have the trait objectId"
            by_hand = "if yours have, write relationships: [{object: {type: 1, id: object_id}}]"
            self.lost.append(node.lost("group_id", why, by_hand))
            for key in ("object_type_id", "relationship_attributes"):
                settings[key].take()
            return
        if isinstance(column := self.value(node), str) and column != ALL:
            mapping["relationships"] = [{"object": {"type": self.object_type(settings), "id": column}}]

    def no_convert(self, settings: Node) -> None:
        if settings["convert_timestamp"].take() is False:
            why = "dates of typed columns are sent as Unix seconds"
            place = settings["convert_timestamp"].place
            self.lost.append(Lost(place, "convert_timestamp: false", why, "cast them to text in the query"))


def _no_counterpart(node: Node) -> None:
    return None


def _in_sql(value: Value | None) -> str | None:
    """A column or a constant in SQL; None for anything else."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    constant = value.get("value")
    return literal(constant) if isinstance(constant, (str, int, float)) else None


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
