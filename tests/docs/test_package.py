"""The package's own documentation: its map, its docstrings, and no trace of a developer's machine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import cio_etl
from tests.docs.pages import ROOT
from tests.release import contents


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


# ---------------------------------------------------------------- the wheel


@pytest.mark.slow
def test_the_wheel_has_what_it_should_and_runs_its_demo_in_an_environment_that_has_no_clone(tmp_path: Path) -> None:
    """The short form of `make release-check`, with the libraries of this environment."""
    built = in_clean_environment([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert list(contents.faults(wheel)) == [], built

    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    libraries = [place for place in sys.path if place.endswith("site-packages")]
    (packages / "libraries.pth").write_text("\n".join(libraries))  # no .pth file of theirs, which leads to the clone
    program = "import sys, cio_etl.cli as cli; print(cli.__file__); sys.exit(cli.main(['demo']))"
    printed = in_clean_environment([tmp_path / "venv/bin/python", "-c", program], tmp_path)
    assert printed.startswith(str(packages)) and " finished: 15,162 rows accepted, 85 rejected" in printed


def in_clean_environment(command: list[str | Path], folder: Path) -> str:
    """What a command prints that inherits nothing but where programs are."""
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=env, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("put", "left_out", "fault"),
    [
        ("cio_etl/__pycache__/cli.pyc", "", "is of a machine, not of the program"),
        ("tests/conftest.py", "", "does not belong there"),
        ("cio_etl/presets/products/stripe/.etl/state.db", "", "is of a machine, not of the program"),
        ("", "cio_etl/report/page.css", "is missing"),
        ("", "cio_etl/project/shipped/jobs/demo.yaml", "is missing"),
        ("", "cio_etl/project/template/dot_gitignore", "is missing"),
    ],
)
def test_a_wheel_with_a_fault_would_be_found(put: str, left_out: str, fault: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cio_etl.whl", "w") as wheel:
        for name in {*contents.of_wheel(), put} - {left_out, ""}:
            wheel.writestr(name, "")
    assert list(contents.faults(tmp_path / "cio_etl.whl")) == [f"{put or left_out} {fault}"]


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


# A folder of somebody's machine, a registry's host, or the option that names one; in lower case, and each alternative
# with its rarest letters first: seven megabytes are searched.
PRIVATE = re.compile(
    r"/(?<![\w.]/)(?:root|work|home|users)/|(?:pypi|pythonhosted|artifactory|jfrog|nexus|registry)[\w-]*\.[a-z]{2,}"
    r"|index-ur[l]"
)


DOTTED = (".ci", ".container", ".dockerignore", ".gitignore", ".pre-commit-config.yaml")


def files() -> Iterator[Path]:
    """What the repository consists of: no environments, caches or states, whose names begin with a dot."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".") or path.name in DOTTED]
    for path in (inner for top in tops for inner in (top, *top.rglob("*"))):
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path):
            yield path


def test_no_file_names_a_folder_of_somebody_s_machine_or_a_package_registry() -> None:
    places = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}"
        for path in files()
        for text in (path.read_text(encoding="utf-8", errors="replace").lower(),)
        for found in PRIVATE.finditer(text)
    ]
    assert places == []


@pytest.mark.parametrize(
    "line",
    [
        "cd /" + "home/ada/etl",
        "/" + "Users/x",
        "https://py" + "pi.org/simple",
        "https://REGI" + "STRY.example",
        "--extra-index" + "-url x",
    ],
)
def test_such_a_line_would_be_found(line: str) -> None:
    assert PRIVATE.search(line.lower())
