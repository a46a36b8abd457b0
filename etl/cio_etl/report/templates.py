"""Renders the pages: one HTML file without scripts and without other files, whose texts are escaped."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from cio_etl.log.visible import visible
from cio_etl.model import Finding, Profile, ReasonCount, ShownRow
from cio_etl.model.closed import settled_and_again, sums_by_words
from cio_etl.model.words import counted, delta_words, duration, moment, number, percent, size, verification_words
from cio_etl.report.comparison_words import amount, change, label, rows_of_table
from cio_etl.report.template_cache import TemplateCache

HERE = Path(__file__).parent


def rendered(name: str, **content: Any) -> str:
    """The page that the template of this name makes of the content."""
    return template(name).render(frame="layout.html.j2", **content)


def template(name: str) -> Template:
    """A page's template."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    made = environment()
    style = (HERE / "page.css").read_text(encoding="utf-8")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    made.globals |= {
        "style": Markup(style),  # nosec B704 # our own file; the policy allows the style with this digest and no other
        "policy": f"default-src 'none'; style-src 'sha256-{digest}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
    }
    return made


def environment(*folders: Path) -> Environment:
    """An environment with the templates of these folders and of the reports, and the reports' filters."""
    environment = Environment(
        loader=FileSystemLoader([*folders, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        optimized=False,  # no filter is applied when a template is compiled: it may be another one the next time
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=TemplateCache(),
    )
    environment.filters |= {
        "counted": counted,
        "number": number,
        "delta_words": delta_words,
        "percent": percent,
        "size": size,
        "duration": duration,
        "moment": lambda at: "–" if at is None else moment(at),
        "oneline": _oneline,
        "verification": verification_words,
        "label": label,
        "change": change,
        "rows_of_table": rows_of_table,
        "settled_and_again": settled_and_again,
        "closed_rejects": lambda closed, by_run: sums_by_words(closed, by_run=by_run),
    }
    environment.globals |= {"rows_of": _rows_of, "amount": amount, "version": version("cio-etl")}
    return environment


@pass_context  # so that it, too, is called when a page is made, and not when its template is compiled
def _finalize(context: Context, value: Any) -> Any:
    return visible(value) if type(value) is str else value


def _rows_of(profile: Profile | None, problem: ReasonCount | Finding) -> list[ShownRow]:
    """The first rows of a problem: with their cells when a validation has read them, else only their places."""
    code = problem.code if isinstance(problem, Finding) else problem.reason
    rows = () if profile is None else profile.rows
    shown = {row.place: row for row in rows if (row.code, row.field) == (code, problem.field)}
    return [shown.get(place, ShownRow(code, problem.field, place, ())) for place in problem.first_rows]


def _oneline(text: str) -> str:
    return text.replace("\n", "↵").replace("\t", "⇥")
