"""Renders the pages: templates of this room, in the frame and with the macros of the reports."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from cio_etl.model.words import whole_units
from cio_etl.report.templates import HERE as REPORTS
from cio_etl.report.templates import environment

HERE = Path(__file__).parent


def rendered(template: str, /, *, revealed: bool = False, **content: Any) -> str:
    """The page that the template of this name makes of the content. `revealed`: there may be values in it."""
    made = _environment().get_template(template)
    return made.render(revealed=revealed, now=datetime.now(UTC), frame="frame.html.j2", **content)


@cache
def _environment() -> Environment:
    made = environment(HERE)
    made.filters |= {"ago": _ago, "whole_units": whole_units}
    return made


def _ago(at: datetime | str, now: datetime) -> str:
    """How long ago something was, or in how long it is."""
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"in {whole_units(when - now)}" if when > now else f"{whole_units(now - when)} ago"


@cache
def style() -> str:
    """The style of the reports, and what the pages here add to it."""
    return "".join(
        (folder / name).read_text(encoding="utf-8") for folder, name in ((REPORTS, "page.css"), (HERE, "ui.css"))
    )


@cache
def script() -> str:
    """The script that shows what has changed; the pages need none."""
    return (HERE / "live.js").read_text(encoding="utf-8")
