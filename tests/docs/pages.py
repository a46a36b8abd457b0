"""Reads the pages of the documentation: their text, headings, code blocks and links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Every page, by its path from the top of the repository.
PAGES = (
    "README.md",
    "jobs/README.md",
    "mappings/README.md",
    "airflow_dags/README.md",
    "etl/README.md",
    "tests/README.md",
)

# Pages without generated tables or examples.
OTHERS = ("CHANGELOG.md", "etl/cio_etl/load/rate/README.md")


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def all_pages() -> str:
    """The text of all pages, one after the other."""
    return "\n".join(read(page) for page in PAGES)


def recipes() -> str:
    """The text of the recipes of all presets: they name paths in the reader's own folder."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("mappings/presets/*/README.md")))


def prose(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", text)


def blocks(text: str, *languages: str) -> list[tuple[str, str]]:
    """The code blocks in these languages, in their order: (language, text)."""
    return [block for block in re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text) if block[0] in languages]


def yaml_blocks(kind: str) -> list[tuple[str, str]]:
    """The YAML blocks of all pages: (path in their first line, text) of kind `jobs` or `mappings`."""
    return re.findall(rf"(?ms)^```yaml\n# ({kind}/\w+\.yaml)\n(.*?)^```$", all_pages())


def yaml_sections(name: str) -> list[str]:
    """The YAML blocks of all pages that show one section of a job, such as `source`."""
    return re.findall(rf"(?ms)^```yaml\n({name}:\n.*?)^```$", all_pages())


def section(page: str, heading: str) -> str:
    """The text from a heading of a page to the next heading of its level."""
    level = heading.split(" ")[0]
    after = f"\n{read(page)}".split(f"\n{heading}\n")
    assert len(after) == 2, f"{page} must have the heading {heading!r} once"
    return after[1].split(f"\n{level} ")[0]


def headings(text: str) -> list[str]:
    """The headings of a page, without their signs."""
    return re.findall(r"(?m)^#+ (.+)$", prose(text))


def anchor(heading: str) -> str:
    """The name by which a link reaches a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def table_after(page: str, marker: str) -> list[tuple[str, ...]]:
    """The rows of the first table after a text that stands in the page once; without its heading."""
    text = read(page)
    assert text.count(marker) == 1, f"{marker!r} must stand in {page} once"
    lines = re.search(r"(?m)(?:^\|.*\n)+", text[text.index(marker) :])
    assert lines is not None, f"no table after {marker!r} in {page}"
    return [tuple(cell.strip() for cell in line.strip(" |\n").split(" | ")) for line in lines[0].splitlines()[2:]]
