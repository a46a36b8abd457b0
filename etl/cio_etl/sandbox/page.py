"""The sandbox's pages for a browser: HTML without scripts or remote assets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Reversible, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import islice
from typing import Any, Final, TypeVar

from cio_etl.sandbox.objects import Object
from cio_etl.sandbox.people import Event, People, Person

_T = TypeVar("_T")
_SHOWN: Final = 15  # rows of each list
_LONGEST: Final = 120  # characters of a value

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #e4e7ec; --paper: #fbfbf9; --card: #fff;
  --mark: #0b6e5a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --soft: #98a2b3; --line: #2c3442; --paper: #12161d;
  --card: #191f29; --mark: #5fd0b4; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; margin-bottom: 2rem; }
h1 { font-size: 1.35rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: .8rem; margin: 2.25rem 0 .6rem; color: var(--soft); text-transform: uppercase; letter-spacing: .07em; }
p { margin: 0; color: var(--soft); }
a { color: var(--mark); text-underline-offset: .2em; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(max(9rem, 22%), 1fr)); gap: .75rem; margin: 0; }
dl div { container-type: inline-size; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; }
dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; font-size: clamp(.9rem, 12cqi, 1.5rem); overflow-wrap: anywhere; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .5rem 1rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-size: .8rem; font-weight: 500; white-space: nowrap; }
td { overflow-wrap: break-word; max-width: 26rem; }
time { white-space: nowrap; }
code { font: .85em ui-monospace, monospace; }
td code { display: block; width: max-content; max-width: 22rem; }
"""


def home(stats: Mapping[str, Any], people: People) -> str:
    """The overview: figures, and the latest of each kind. A kind without entries has no section."""
    segments = [(str(each.id), _text(each.name), f"{len(each.members):,}") for each in people.segments]
    return _document(
        "Sandbox",
        "a local Customer.io; nothing here leaves this machine",
        _figures(stats),
        _section("Latest people", _people(_latest(people.everybody()))),
        _section("Latest events", _events(_latest(people.events.values()), people)),
        _if_any("Answered with 200, without effect", ("what", "about", "why", "time"), _activity(people)),
        _if_any("Latest objects", ("object", "type", "attributes", "people"), _objects(people)),
        _if_any("Manual segments", ("segment", "name", "people"), segments),
        _if_any("Latest merges", ("into", "deleted person", "time"), _merges(people)),
        _if_any("Suppressed", ("kind", "identifier"), _suppressed(people)),
        _section("Operations", _operations(stats)),
        '<h2>For programs</h2><p><a href="/__sandbox/stats">figures as JSON</a> · faults: <code>POST '
        '/__sandbox/faults</code>, for instance <code>{"rates": {"503": 0.2, "lost_after": 0.02}}</code></p>',
    )


def person(who: Person, people: People) -> str:
    """One profile with its attributes, latest events, devices, relationships and segments."""
    identifiers = [("cio_id", who.cio_id), ("id", who.id), ("email", who.email), ("phone", who.phone)]
    events = (people.events[event_id] for event_id in reversed(who.event_ids))
    objects = people.objects.by_cio_object_id
    relationships = [
        (_link_to_object(objects[name]), _text(objects[name].object_type_id), _code(attributes))
        for name, attributes in who.relationships.items()
    ]
    devices = [
        (_text(each.token), _text(each.platform), _code(dict(each.attributes)), _time(each.last_used))
        for each in who.devices.values()
    ]
    segments = [(str(number),) for number in people.segments_of(who)]
    return _document(
        _name_of(who),
        '<a href="/">all people</a>',
        _section(
            "Identifiers", _table(("kind", "value"), [(kind, _text(value)) for kind, value in identifiers if value])
        ),
        _section("Attributes", _attributes(who.attributes, who.set_at)),
        _section("Latest events", _events(islice(events, _SHOWN), people)),
        _if_any("Devices", ("token", "platform", "attributes", "last used"), devices[-_SHOWN:]),
        _if_any("Related to", ("object", "type", "attributes of the relationship"), relationships[-_SHOWN:]),
        _if_any("Manual segments", ("segment",), segments),
    )


def thing(what: Object, people: People) -> str:
    """One object with its attributes and the people who are related to it."""
    identifiers = [(kind, _text(value)) for kind, value in what.identifiers.items()]
    related = [
        (_link(who), _code(attributes))
        for cio_id, attributes in what.people.items()
        if (who := people.find("cio_id", cio_id))
    ]
    visitors = [(_text(name), _code(attributes)) for name, attributes in what.visitors.items()]
    return _document(
        what.object_id,
        '<a href="/">all objects</a>',
        _section("Identifiers", _table(("kind", "value"), identifiers)),
        _section("Attributes", _attributes(what.attributes, what.set_at)),
        _section("Latest people", _table(("person", "attributes of the relationship"), related[-_SHOWN:])),
        _if_any("Visitors", ("anonymous_id", "attributes of the relationship"), visitors[-_SHOWN:]),
    )


def not_found(what: str) -> str:
    """The page of a person or an object that does not exist, or no longer."""
    return _document("Not found", '<a href="/">all people</a>', f"<p>There is no such {what}, or no longer.</p>")


def _document(title: str, subtitle: str, *sections: str) -> str:
    """A page; `title` is escaped here, the rest is HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{_text(title)} · cio-etl sandbox</title><style>{_STYLE}</style></head>"
        f"<body><header><h1>{_text(title)}</h1><p>{subtitle}</p></header><main>{''.join(sections)}</main></body></html>"
    )


def _figures(stats: Mapping[str, Any]) -> str:
    shown = {
        "people": stats["people"],
        "events": stats["events"],
        "objects": stats["objects"],
        "requests": stats["requests"],
        "items": stats["items"],
        "repeats ignored": stats["duplicate_events"] + stats["repeated_messages"],
        "items refused": stats["invalid_items"] + stats["refused_items"],
        "busiest second": stats["max_requests_in_a_second"],
    }
    return (
        "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for name, number in shown.items()) + "</dl>"
    )


def _people(shown: Iterable[Person]) -> str:
    rows = [
        (_link(each), _text(each.email), str(len(each.attributes)), str(len(each.event_ids)), _time(each.edited_at))
        for each in shown
    ]
    return _table(("person", "e-mail", "attributes", "events", "updated"), rows)


def _events(shown: Iterable[Event], people: People) -> str:
    rows = []
    for each in shown:
        who = people.find("cio_id", each.cio_id) if each.cio_id else None
        whose = _link(who) if who else "deleted" if each.cio_id else f"visitor {_text(each.anonymous_id)}"
        rows.append((_text(each.name), whose, _code(dict(each.attributes)), str(each.received), _time(each.timestamp)))
    return _table(("event", "person", "attributes", "received", "time"), rows)


def _objects(people: People) -> list[tuple[str, ...]]:
    return [
        (_link_to_object(each), _text(each.object_type_id), str(len(each.attributes)), f"{len(each.people):,}")
        for each in _latest(people.objects.everything())
    ]


def _merges(people: People) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for each in _latest(people.merges):
        who = people.find("cio_id", each.primary)
        named = {kind: value for kind, value in each.secondary.items() if value is not None}
        rows.append((_link(who) if who else "deleted", _code(named), _time(each.at)))
    return rows


def _suppressed(people: People) -> list[tuple[str, ...]]:
    return [(kind, _text(value)) for kind, value in people.suppressed[:_SHOWN]]


def _activity(people: People) -> list[tuple[str, ...]]:
    return [
        (_text(each.type), _text(each.about), _text(each.reason), _time(each.at))
        for each in _latest(list(people.activity))
    ]


def _operations(stats: Mapping[str, Any]) -> str:
    rows = [(_text(name.replace("_", " ")), f"{number:,}") for name, number in stats["effects"].items()]
    return _table(("what happened", "times"), rows)


def _attributes(attributes: Mapping[str, Any], set_at: Mapping[str, float]) -> str:
    rows = [(_text(name), _code(value), _time(set_at.get(name))) for name, value in sorted(attributes.items())]
    return _table(("attribute", "value", "set"), rows)


def _if_any(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return _section(title, _table(heads, rows)) if rows else ""


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of cells that are HTML already."""
    if not rows:
        return "<p>None yet.</p>"
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _link(who: Person) -> str:
    return f'<a href="/people/{_text(who.cio_id)}">{_text(_name_of(who))}</a>'


def _link_to_object(what: Object) -> str:
    return f'<a href="/objects/{_text(what.cio_object_id)}">{_text(what.object_id)}</a>'


def _name_of(who: Person) -> str:
    return who.id or who.email or who.phone or who.cio_id


def _text(value: str | None) -> str:
    """Data, escaped and cut to a length."""
    value = value or ""
    return escape(value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…")


def _code(value: Any) -> str:
    return f"<code>{_text(json.dumps(value, ensure_ascii=False))}</code>"


def _time(at: float | None) -> str:
    if at is None:
        return ""
    try:
        return f"<time>{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}</time>"
    except (ValueError, OverflowError, OSError):  # milliseconds, sent as seconds
        return "beyond year 9999"


def _latest(every: Reversible[_T]) -> Iterable[_T]:
    return islice(reversed(every), _SHOWN)
