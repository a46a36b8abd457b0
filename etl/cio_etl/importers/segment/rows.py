"""The rows that a mapping of Segment is about: a table of the warehouse or a model, by the trigger, and its columns."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cio_etl.importers.definitions import Node
from cio_etl.importers.lost import Lost
from cio_etl.importers.segment.fql import Trigger, Unreadable, read_trigger

ALL = "*"  # the value of $.traits or $.properties as a whole


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


def rows_of(node: Node, call: str, model: str | None, lost: list[Lost]) -> tuple[Trigger | None, Rows]:
    """The trigger, None if it cannot be read, and the rows that it is about."""
    if model is not None:
        return None, Rows(model, True)
    try:
        trigger = read_trigger(node.text() or f'type = "{call}"')
    except Unreadable:
        trigger = None
    if trigger is not None and trigger.type is not None:
        call = trigger.type
    if trigger is not None and trigger.event is not None and call == "track":
        return trigger, Rows(snake(trigger.event), False)
    return trigger, Rows(_TABLES.get(call, call), False)


def condition_of(node: Node, trigger: Trigger | None, rows: Rows, lost: list[Lost]) -> str | None:
    """`when`: what a trigger demands beyond the table. One that cannot be said lets no row through."""
    try:
        if trigger is None:
            raise Unreadable
        return trigger.sql(rows.column)
    except Unreadable:
        why = "the trigger uses functions, or fields that the table does not have, so that no row is sent"
        lost.append(Lost(node.place, "the trigger", why, "write `when` in SQL instead of false"))
        return "false"
