"""What the pages name exists: links, paths, commands, make targets; and their size is bounded."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import click
import pytest

from cio_etl.cli import cli
from tests.docs.pages import OTHERS, PAGES, ROOT, all_pages, anchor, blocks, headings, prose, read, recipes

WIDTH = 120


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 250


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_prose_is_at_most_120_characters_wide(page: str) -> None:
    lines = [line for line in prose(read(page)).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > WIDTH] == []


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", prose(read(page)))
    assert [link for link in links if not link.startswith("https://") and not reachable(page, link)] == []


def reachable(page: str, link: str) -> bool:
    """Whether a link of a page leads to a file of the repository, and to a heading that it has."""
    path, _, heading = link.partition("#")
    target = ROOT / Path(page).parent / path if path else ROOT / page
    return target.exists() and (not heading or heading in map(anchor, headings(target.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("page", ["jobs/README.md", "mappings/README.md", "etl/README.md"])
def test_the_line_of_contents_has_every_section_of_a_long_page(page: str) -> None:
    contents, _ = read(page).split("\n## ", 1)
    sections = re.findall(r"(?m)^## (.+)$", prose(read(page)))
    assert [name for name in sections if f"](#{anchor(name)})" not in contents] == []


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_a_heading_stands_below_an_empty_line(page: str) -> None:
    lines = prose(read(page)).splitlines()
    pairs = [(before, text) for before, text in pairwise(lines) if re.match("#+ ", text)]
    crowded = [text for before, text in pairs if before.strip() and not before.startswith("<!--")]
    assert crowded == []


def test_every_page_is_linked_from_the_readme() -> None:
    assert [page for page in PAGES[1:] if f"]({page})" not in read("README.md")] == []


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_every_path_exists(page: str) -> None:
    paths = re.findall(r"`((?:etl|tests|mappings|jobs|airflow_dags)/[\w./*-]*)`", prose(read(page)))
    assert [path for path in paths if not any(ROOT.glob(path)) and path not in OF_A_READER] == []


# Paths in a reader's own folder.
OF_A_READER = {"jobs/people.yaml", "mappings/people.yaml"}


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]*)", all_pages()))
    defined = set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert {"demo", "test", "docs"} <= targets
    assert targets - defined == set()


def commands() -> list[str]:
    """Every `cio-etl` command line of the pages and the recipes, of code blocks and of prose."""
    text = f"{all_pages()}\n{recipes()}"
    lines = [line for _, block in blocks(text, "", "sh") for line in block.splitlines()]
    lines += re.findall(r"`(cio-etl [^`\n]+)`", prose(text))
    found = (re.search(r"(?<![\w-])cio-etl (.+)", line) for line in lines)
    return [words for match in found if match and not (words := match[1].split("  ")[0]).isupper()]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_and_its_options_exist(command: str) -> None:
    words = shlex.split(re.split(r" \|\| | > | # ", command)[0])
    known = {option for param in cli.params if isinstance(param, click.Option) for option in param.opts}
    names = [word for word in words if word in cli.commands]
    if not names:
        assert words[0] in known | {"--help", "COMMAND"}
        return
    for param in cli.commands[names[0]].params:
        known |= {*param.opts} if isinstance(param, click.Option) else set()
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used - known - {"--help"} == set()
