"""Writes a plan as JSON: the file that `apply` reads, and what programs are given of a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cio_etl.errors import InvalidArguments
from cio_etl.model import Plan
from cio_etl.report import plan_words
from cio_etl.report.files import write_text
from cio_etl.report.plan_page import write_plan_page


def page_place(file: Path | None, page: Path | None = None) -> Path | None:
    """Where the page of a plan's file is, unless `page` says it. Raises InvalidArguments when both have one name."""
    if page is None and file is not None:
        page = file.with_suffix(".html")
    if page is not None and page == file:
        raise InvalidArguments(
            f"{page} is the name of the plan's page, too; write the plan to a file such as plan.json"
        )
    return page


def write_plan(
    plan: Plan, file: Path | None, page: Path | None, commands: Mapping[str, str], remedies: Mapping[str, str]
) -> dict[str, Any]:
    """Writes the plan's file and its page, each for its user only (0600), and returns what programs are given.

    That is the plan as JSON types, and before it the exit code, the headline, and where file and page are.
    """
    content = asdict(plan)
    if file is not None:
        write_text(file, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    if page is not None:
        write_plan_page(plan, page, commands, remedies)
    places = {name: None if path is None else str(path.absolute()) for name, path in (("file", file), ("page", page))}
    return {"exit_code": plan.exit_code, "headline": plan_words.headline(plan), **places, **content}
