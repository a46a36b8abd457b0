"""The package's own documentation: its map, its docstrings, and no trace of a developer's machine."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cio_etl
from tests.docs.pages import ROOT


def rooms() -> set[str]:
    house = Path(cio_etl.__file__).parent
    files = {path.name for path in house.glob("*.py") if path.name != "__init__.py"}
    return files | {f"{path.parent.name}/" for path in house.glob("*/__init__.py")}


def test_the_map_of_the_package_names_every_room_and_no_other() -> None:
    assert cio_etl.__doc__ is not None
    assert sorted(re.findall(r"(?m)^    (\w+(?:\.py|/)) ", cio_etl.__doc__)) == sorted(rooms())


def test_importing_the_package_alone_imports_only_the_standard_library() -> None:
    """Functions import what they need when they are called; test_api.py looks at what is loaded."""
    tree = ast.parse(Path(cio_etl.__file__).read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


# ---------------------------------------------------------------- every file


def undocumented() -> Iterator[str]:
    """Modules, and their public functions and classes, that say nothing of themselves; an entry point has its help."""
    for path in sorted(Path(cio_etl.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        public = (
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and node.name != "main"
        )
        for node in (tree, *public):
            if not ast.get_docstring(node):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {getattr(node, 'name', 'the module')}"


def test_every_module_and_every_public_function_and_class_says_what_it_is_for() -> None:
    assert list(undocumented()) == []


# A folder of somebody's machine, a registry's host, or the option that names one.
PRIVATE = re.compile(
    r"(?<![\w.])/(?:root|work|home|Users)/|\b[\w.-]*(?:pypi|pythonhosted|artifactory|jfrog|nexus|registry)[\w-]*\.[a-z]{2,}"
    r"|index-ur[l]",
    re.IGNORECASE,
)


def files() -> Iterator[Path]:
    """What the repository consists of: no environments, caches or states, whose names begin with a dot."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".") or path.name in (".ci", ".gitignore")]
    for path in (inner for top in tops for inner in (top, *top.rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
            yield path


def test_no_file_names_a_folder_of_somebody_s_machine_or_a_package_registry() -> None:
    places = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if PRIVATE.search(line)
    ]
    assert places == []


@pytest.mark.parametrize("line", ["cd /" + "home/ada/etl", "https://py" + "pi.org/simple", "--extra-index" + "-url x"])
def test_such_a_line_would_be_found(line: str) -> None:
    assert PRIVATE.search(line)
