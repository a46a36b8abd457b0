"""What does somebody see who rehearses and opens the sandbox in a browser? HTML without scripts or remote assets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Reversible, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import islice
from typing import Any, Final, TypeVar

from etl.sandbox.people import Event, People, Person

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
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 0; }
dl div { padding: .8rem 1rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .5rem 1rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-size: .8rem; font-weight: 500; white-space: nowrap; }
td { overflow-wrap: anywhere; }
code { font: .85em ui-monospace, monospace; }
"""


def home(stats: Mapping[str, Any], people: People) -> str:
    """The overview: figures, and the people and events that came last."""
    return _document(
        "Sandbox",
        "a local Customer.io; nothing here leaves this machine",
        _figures(stats),
        _section("Latest people", _people(_latest(people.everybody()))),
        _section("Latest events", _events(_latest(people.events.values()), people)),
        '<h2>For programs</h2><p><a href="/__sandbox/stats">figures as JSON</a> · faults: <code>POST '
        '/__sandbox/faults</code>, for instance <code>{"rates": {"503": 0.2, "lost_after": 0.02}}</code></p>',
    )


def person(who: Person, people: People) -> str:
    """One profile with its attributes and latest events."""
    identifiers = [("cio_id", who.cio_id), ("id", who.id), ("email", who.email), ("phone", who.phone)]
    attributes = _table(
        ("attribute", "value", "set"),
        [(_text(name), _code(value), _time(who.set_at.get(name))) for name, value in sorted(who.attributes.items())],
    )
    events = (people.events[event_id] for event_id in reversed(who.event_ids))
    return _document(
        who.id or who.email or who.phone or who.cio_id,
        '<a href="/">all people</a>',
        _section(
            "Identifiers", _table(("kind", "value"), [(kind, _text(value)) for kind, value in identifiers if value])
        ),
        _section("Attributes", attributes),
        _section("Latest events", _events(islice(events, _SHOWN), people)),
    )


def nobody() -> str:
    """The page of a person who is not there, or no longer."""
    return _document("Nobody", '<a href="/">all people</a>', "<p>There is no such person, or no longer.</p>")


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
        "requests": stats["requests"],
        "items": stats["items"],
        "duplicates ignored": stats["duplicate_events"],
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
        who = people.find("cio_id", each.cio_id)
        whose = _link(who) if who else "deleted"
        rows.append((_text(each.name), whose, _code(dict(each.attributes)), str(each.received), _time(each.timestamp)))
    return _table(("event", "person", "attributes", "received", "time"), rows)


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
    return f'<a href="/people/{_text(who.cio_id)}">{_text(who.id or who.email or who.phone or who.cio_id)}</a>'


def _text(value: str | None) -> str:
    """Data, made safe and short."""
    value = value or ""
    return escape(value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…")


def _code(value: Any) -> str:
    return f"<code>{_text(json.dumps(value, ensure_ascii=False))}</code>"


def _time(at: float | None) -> str:
    if at is None:
        return ""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # milliseconds, sent as seconds
        return "beyond year 9999"


def _latest(every: Reversible[_T]) -> Iterable[_T]:
    return islice(reversed(every), _SHOWN)
