"""Writes the reference tables of the documentation: `make docs`.

A page holds a table between two markers, `<!-- begin generated: NAME -->` and `<!-- end generated -->`. The text
between them comes from the program itself, through tables.py. `test_generated.py` fails when a page is stale.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.docs.pages import PAGES, ROOT, anchor, headings, read
from tests.docs.tables import TABLES

MARKED = re.compile(r"(?ms)^(<!-- begin generated: ([\w-]+) -->\n).*?^(<!-- end generated -->)$")


def generated(page: str) -> str:
    """The text of a page as it should be."""
    return replaced(read(page), page)


def replaced(text: str, page: str) -> str:
    """The text of a page with every marked table replaced by the current one."""

    def current(marked: re.Match[str]) -> str:
        begin, name, end = marked.groups()
        return f"{begin}{linked(TABLES[name](), page)}\n{end}"

    return MARKED.sub(current, text)


def linked(text: str, page: str) -> str:
    """The text with `See HEADING.` as a link to the page that has the heading."""
    targets = {heading: other for other in PAGES for heading in headings(read(other))}

    def link(mention: re.Match[str]) -> str:
        heading = mention[1]
        if heading not in targets:
            raise LookupError(f"no page has the heading {heading!r}, which a description names")
        return f"See [{heading}]({link_to(page, targets[heading], heading)})."

    return re.sub(r"\bSee ([A-Z][\w ]+)\.", link, text)


def link_to(page: str, target: str, heading: str) -> str:
    """The address of a heading of `target`, from `page`."""
    path = "" if target == page else Path(os.path.relpath(target, Path(page).parent)).as_posix()
    return f"{path}#{anchor(heading)}"


def main() -> None:
    """Writes every page whose tables are stale, and prints its path."""
    for page in PAGES:
        if (text := generated(page)) != read(page):
            (ROOT / page).write_text(text, encoding="utf-8")
            print(f"written: {page}")


if __name__ == "__main__":
    main()
