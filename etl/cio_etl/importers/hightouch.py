"""Hightouch: the YAML files of Git Sync, models and syncs.

Looked up on 2026-11-27. Hightouch documents the folders (`models`, `syncs`, `manifest-*.yaml`), but no page was found
that lists the keys of the files. What is read here is documented elsewhere:

- a sync has `destination`, the destination's slug, and `config` with `object` and `mappings`; a mapping has `to`, and
  `from`, or `type: variable` with `variable`, or `type: template` with `template`: Hightouch's own script
- a model has `primaryKey` and its SQL or its table, a sync `model`, `disabled` and `schedule`: the REST API
- customers are found by id, email or cio_id; the modes are upsert, update and insert: the page of the destination

Of other keys only the shape is read: a key of `config` with one `from` and one `to` is a mapping, and keys called event
name, timestamp or event id are what they say. Each is marked TO DECIDE. All else is listed as not carried over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from cio_etl.errors import ConfigError
from cio_etl.importers.definitions import Definition, Node, unread_of
from cio_etl.importers.lost import Lost
from cio_etl.importers.records import Imported, ImportedStep, Importer, Page
from cio_etl.importers.values import (
    IDENTIFIERS,
    Field,
    cron_of,
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

_PEOPLE = ("customers", "customer", "people", "person", "users", "user")
_KNOWN = {
    "sync_alerts": ("alerts are not part of a job", "watch the exit code, or write `ping` in the job"),
    "alerts": ("alerts are not part of a job", "watch the exit code, or write `ping` in the job"),
    "labels": ("a job has no labels", "nothing, unless something reads them"),
    "configVersion": ("it is Hightouch's number of its own form", "nothing"),
    "isSchema": ("it belongs to Customer Studio", "nothing"),
    "deleteMode": ("it is not in the documents", "sync: mirror with when_gone does it; see Send only what changed"),
}
_NAMES = ("name", "slug", "id", "description", "workspaceId", "createdAt", "updatedAt", "type", "queryType")


def read(definitions: Sequence[Definition], stated: Collection[str]) -> Imported:
    """The steps of the syncs to Customer.io. Raises ConfigError when the files have none."""
    models, syncs, lost = _sorted(definitions)
    steps: list[ImportedStep] = []
    others: list[tuple[Node, str]] = []
    for sync in syncs:
        destination = sync.root["destination"]
        slug = destination.text() or ""
        if not is_customer_io(slug, stated):
            others.append((destination, str(destination.value)))
            continue
        made = _step(sync, models, [step.name for step in steps])
        if isinstance(made, ImportedStep):
            steps.append(made)
        else:
            lost.append(made)
    lost += not_customer_io(others, nothing_else=not steps and not lost)
    if not steps and not lost:
        raise ConfigError([definition.root.problem(_NOTHING) for definition in definitions])
    lost += first_run("Hightouch", [step.name for step in steps], steps[0].place if steps else "")
    return Imported(tuple(steps), tuple(lost))


_NOTHING = "no sync of Hightouch, which has `destination` and `config`; name the folder of Git Sync"


def _sorted(definitions: Sequence[Definition]) -> tuple[dict[str, Definition], list[Definition], list[Lost]]:
    """The models by slug, the syncs, and what is neither."""
    models: dict[str, Definition] = {}
    syncs: list[Definition] = []
    lost: list[Lost] = []
    for definition in definitions:
        root = definition.root
        if root["config"].value is not None and root["destination"].value is not None:
            syncs.append(definition)
        elif root.first("primaryKey", "primary_key").value is not None:
            models[root["slug"].text() or Path(definition.file).stem] = definition
        elif not Path(definition.file).name.startswith("manifest"):
            why = "it is neither a model, which has primaryKey, nor a sync, which has destination and config"
            lost.append(root.lost("the file", why, "nothing, if no sync needs it"))
    return models, syncs, lost


def _step(sync: Definition, models: dict[str, Definition], taken: Collection[str]) -> ImportedStep | Lost:
    root, config = sync.root, sync.root["config"]
    name = root["slug"].text() or Path(sync.file).stem
    for known in _NAMES:
        root[known].take()
    for flag in ("disabled", "schedulePaused"):
        if root[flag].take() is True:
            why = f"{flag} is true, so it did not run"
            return root[flag].lost(f"the sync {name}", why, "set it to false to import it")
    subject = config["object"].text() or config["type"].text() or ""
    config["type"].take()
    is_event = "event" in squeezed(subject)
    by_hand = "write it as one of mappings/operations"
    if not is_event and squeezed(subject) not in ("", *_PEOPLE, "object", "objects"):
        return config.lost(f"the sync {name} to {subject!r}", "only customers and events are imported", by_hand)
    mode = (config["mode"].text() or "").lower()
    if mode not in ("", "insert", "update", "upsert"):
        return config.lost(f"the sync {name}", f"the mode {mode!r} is not upsert, update or insert", by_hand)
    lost: list[Lost] = []
    if not is_event and squeezed(subject) not in _PEOPLE:
        lost.append(Lost(config.place, "what the rows are", "the sync does not say it", "they are read as people"))
    more: dict[str, Any] = {"sync": "changed"}
    if mode == "insert" and not is_event:
        why = "people who exist are changed, too"
        lost.append(config["mode"].lost("mode: insert", why, "leave them out by `when`"))
    fields = [field for each in config["mappings"].items() if (field := _field(each, lost)) is not None]
    model, connection, source, query, key = _model(root, models, lost)
    fields += _by_shape(config, is_event, lost)
    identifier = first_identifier(fields)
    if identifier is None:
        why = "no mapping to id, email or cio_id was found"
        lost.append(Lost(config.place, "the identifier", why, "write `identifiers`"))
        identifier = Field("id", key or "id", config)
    person = (identifier.to, identifier.value)
    others = [each for each in fields if not (each.node is identifier.node and each.to != "email")]
    if is_event:
        mapping, more_lost = event_mapping(others, person, name, key, config.place)
        if "event_key" not in mapping and "event_id" not in mapping:
            more = {}
    else:
        mapping, more_lost = people_mapping(others, person)
        if mode == "update":
            mapping["existing_only"] = True
    schedule, lost_schedule = _schedule(root["schedule"])
    lost += [*more_lost, *lost_schedule, *unread_of(root, _KNOWN, "Hightouch")]
    if model is not None:
        lost += unread_of(model.root, _KNOWN, "Hightouch")
    return ImportedStep(
        step_name(name, taken), root.place, connection, source, mapping, query, more, tuple(lost), schedule
    )


def _field(node: Node, lost: list[Lost]) -> Field | None:
    """One mapping; None if it is lost."""
    to, kind = node["to"].text(), (node["type"].text() or "standard").lower()
    if to is None:
        lost.append(node.lost(node.path, "no `to`", "write it in the mapping"))
        return None
    if kind == "template" or isinstance(node["template"].value, str):
        text = str(node["template"].take())
        value = template_value(text)
        if value is None:
            why = "a template that uses more of Liquid than names of columns, upcase, downcase, strip and default"
            lost.append(node.lost(to, why, "write it with the function `template` or with `expr`"))
            return None
        return Field(to, value, node)
    if kind == "variable" or node["variable"].value is not None:
        variable = node["variable"].take()
        why = f"the variable {variable!r} is a number of Hightouch's"
        lost.append(node.lost(to, why, "leave it out, or send a constant"))
        return None
    if (column := node["from"].text()) is not None:
        return Field(to, column, node)
    if isinstance(node.value, dict) and "value" in node.value:
        return Field(to, {"value": node["value"].take()}, node)
    lost.append(node.lost(to, f"a mapping of the type {kind!r}, which is not documented", "write it in the mapping"))
    return None


def _by_shape(config: Node, is_event: bool, lost: list[Lost]) -> Iterator[Field]:
    """Fields by keys of `config` that are not documented, but whose shape or name says what they are."""
    for node in config.items():
        names = {"eventname": "event", "timestamp": "timestamp", "eventtimestamp": "timestamp", "eventid": "event_id"}
        part = names.get(squeezed(node.key)) if is_event else None
        why = f"the key {node.key} is not in Hightouch's public documents"
        if isinstance(node.value, dict) and {"from", "to"} <= node.value.keys():
            to = str(node["to"].value)
            if (field := _field(node, lost)) is not None and IDENTIFIERS.get(squeezed(to)) is not None:
                lost.append(Lost(node.place, f"{node.key}: {to}", f"{why}; it is read as the identifier", "check it"))
            if field is not None:
                yield field
        elif part is not None and isinstance(node.value, (str, dict)):
            column = node["from"].text() if isinstance(node.value, dict) else None
            constant = node.text() if isinstance(node.value, str) else None
            if constant is not None and part != "event":
                column = constant
            value = column if column is not None else {"value": constant}
            if column is None and constant is None:
                continue
            lost.append(Lost(node.place, node.key, f"{why}; it is read as {part} of the mapping", "check it"))
            yield Field({"event": "event name"}.get(part, part), value, node)


def _model(
    root: Node, models: dict[str, Definition], lost: list[Lost]
) -> tuple[Definition | None, str, dict[str, Any], str | None, str | None]:
    """The model of a sync: itself, its connection, the table or the query, and the column of its primary key."""
    slug = root["model"].text() or ""
    model = models.get(slug)
    if model is None:
        by_hand = f"name its file, too; or write the query or table of the source instead of {slug or 'model'!r}"
        lost.append(root["model"].lost(f"the model {slug!r}", "its file was not given", by_hand))
        return None, "warehouse", {"table": slug or "model"}, None, None
    node = model.root
    for known in _NAMES:
        node[known].take()
    key = node.first("primaryKey", "primary_key").text()
    connection = node.first("source", "sourceId").text() or "warehouse"
    raw = node["raw"]
    query = raw["sql"].text() or node.first("rawSql", "sql").text()
    table = node["table"]["name"].text() or node["table"].text()
    if query is None and table is None:
        why = "it is made of dbt, a visual query or another tool, not of SQL or a table"
        lost.append(node.lost(f"the model {slug}", why, f"write the query or table of the source instead of {slug!r}"))
        return model, connection, {"table": slug}, None, key
    if query is not None and ("{{" in query or "{%" in query):
        why = "the query has variables or tags of Liquid"
        lost.append(Lost(node.place, f"the query of the model {slug}", why, "write the SQL that they stand for"))
    return model, connection, {} if query is not None else {"table": table}, query, key


def _schedule(node: Node) -> tuple[str | None, list[Lost]]:
    """The cron line of a schedule."""
    if node.value in (None, ""):
        return None, []
    inner = node["schedule"] if isinstance(node["schedule"].value, dict) else node
    interval = inner["interval"] if isinstance(inner["interval"].value, dict) else inner
    quantity, unit = interval.first("quantity", "amount").take(), interval["unit"].take()
    line = inner.first("expression", "cronExpression", "cron").take()
    kind = node["type"].take()
    if isinstance(quantity, int) and isinstance(unit, str) and (cron := cron_of(quantity, unit)):
        return cron, []
    if isinstance(line, str) and is_cron(line):
        return line, []
    if kind == "manual":
        return None, []
    return None, [node.lost("the schedule", "it is not one that a cron line can say", "write `schedule` in the job")]


HIGHTOUCH = Importer(
    "hightouch",
    "Hightouch",
    "the folder of Git Sync, or files of its folders models and syncs",
    (
        Page("https://hightouch.com/docs/syncs/git-sync/", "the folders of Git Sync", "2026-11-27"),
        Page(
            "https://github.com/hightouchio/add-mappings-to-syncs-programmatically/blob/main/script.py",
            "destination, config.object and config.mappings of a sync's file",
            "2026-11-27",
        ),
        Page(
            "https://github.com/speakeasy-sdks/hightouch-python-sdk/tree/main/docs",
            "the fields of models, syncs and schedules in the REST API",
            "2026-11-27",
        ),
        Page("https://hightouch.com/docs/destinations/customerio", "sync types, modes, identifiers", "2026-11-27"),
    ),
    (
        "What Hightouch has sent already: the first run sends every row.",
        "Connections, alerts, variables of Hightouch, Liquid beyond names of columns and four filters.",
        "Segments, custom objects, models of dbt or of the visual editor, syncs that are disabled.",
        "Keys that Hightouch does not document: they are read by their shape, and marked.",
    ),
    read,
)
