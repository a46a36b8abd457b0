"""Compiled templates are kept beside them, for the next process, and never stand for another template."""

from __future__ import annotations

import os
from pathlib import Path

import jinja2
import pytest

from cio_etl.report.templates import environment


def rendered(folder: Path, *, may_compile: bool = True) -> str:
    """The page of a new environment, as a new process has it."""
    made = environment(folder)
    if not may_compile:
        made.code_generator_class = Refusing
    return made.get_template("shown.html.j2").render(rows=1_234)


class Refusing(jinja2.compiler.CodeGenerator):
    def visit_Template(self, node: jinja2.nodes.Template, frame: jinja2.compiler.Frame | None = None) -> None:
        raise AssertionError("compiled once more")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    monkeypatch.setattr("sys.pycache_prefix", None)
    (tmp_path / "shown.html.j2").write_text("<p>{{ rows | number }} rows</p>")
    return tmp_path


def state_location(folder: Path) -> list[Path]:
    return [*folder.glob("__pycache__/*")]


def test_a_template_is_compiled_once_for_all_processes(folder: Path) -> None:
    umask = os.umask(0o077)  # as the command has it
    try:
        assert rendered(folder) == "<p>1,234 rows</p>"
    finally:
        os.umask(umask)
    (file,) = state_location(folder)
    assert file.name.startswith("shown.html.") and file.suffix == ".pyc" and file.stat().st_mode & 0o777 == 0o644
    assert rendered(folder, may_compile=False) == "<p>1,234 rows</p>"


def test_a_template_that_has_changed_is_compiled_again(folder: Path) -> None:
    rendered(folder)
    (folder / "shown.html.j2").write_text("<b>{{ rows | number }}</b>")
    assert rendered(folder) == rendered(folder, may_compile=False) == "<b>1,234</b>"


@pytest.mark.parametrize("kept", [b"", b"j2", b"no code", None])
def test_a_damaged_file_is_written_again(kept: bytes | None, folder: Path) -> None:
    rendered(folder)
    (file,) = state_location(folder)
    file.write_bytes(file.read_bytes()[:-20] if kept is None else kept)
    assert rendered(folder) == rendered(folder, may_compile=False) == "<p>1,234 rows</p>"


def test_no_byte_of_a_kept_template_can_change_a_page(folder: Path) -> None:
    rendered(folder)
    (file,) = state_location(folder)
    file.write_bytes(file.read_bytes().replace(b" rows", b" rats"))
    assert rendered(folder) == rendered(folder, may_compile=False) == "<p>1,234 rows</p>"


def test_a_filter_that_has_changed_since_a_template_was_compiled_is_the_new_one(folder: Path) -> None:
    (folder / "shown.html.j2").write_text("{{ 1234 | number }} {{ 'a<b' }}")
    assert rendered(folder) == "1,234 a&lt;b"
    made = environment(folder)
    made.filters["number"] = lambda number: f"{number:.1e}"
    made.finalize = jinja2.pass_context(lambda context, value: value.upper() if value == "a<b" else value)
    assert made.get_template("shown.html.j2").render() == "1.2e+03 A&lt;B"


def test_a_template_is_compiled_again_for_other_settings(folder: Path) -> None:
    (folder / "shown.html.j2").write_text("{% if rows %}\n{{ '<' }}{% endif %}")
    assert rendered(folder) == "&lt;"
    made = environment(folder)
    made.autoescape = made.trim_blocks = False
    assert made.get_template("shown.html.j2").render(rows=1) == "\n<"


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(folder: Path) -> None:
    rendered(folder)
    (file,) = state_location(folder)
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    assert rendered(folder) == rendered(folder) == "<p>1,234 rows</p>"
    assert state_location(folder) == [file]


@pytest.mark.parametrize("version", ["3.1.6+local.1", "4.0.0rc1", "3.2-dev"])
def test_any_version_of_jinja2_has_a_file_of_its_own(
    version: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered(folder)
    monkeypatch.setattr("jinja2.__version__", version)
    assert rendered(folder) == rendered(folder, may_compile=False) == "<p>1,234 rows</p>"
    assert len(state_location(folder)) == 2


def test_where_nothing_can_be_kept_pages_are_made_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "__pycache__").write_text("a file, and no folder")
    assert rendered(folder) == "<p>1,234 rows</p>"
    (folder / "__pycache__").unlink()
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert rendered(folder) == "<p>1,234 rows</p>" and state_location(folder) == []
