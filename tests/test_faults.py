"""Every fault of the catalogue has a test: the ids in the tests' markers are compared with tests/faults.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.faults import FAULTS

TESTS = Path(__file__).parent


def marked(path: Path) -> Iterator[str]:
    """The ids that a test file's `fault` markers name."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)) if "mark.fault" in text else ():
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "fault"
            and ast.unparse(node.func) == "pytest.mark.fault"
        ):
            for argument in node.args:
                assert isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                yield argument.value


def test_every_fault_of_the_catalogue_has_a_test_and_every_mark_a_meaning() -> None:
    tested = {fault for path in TESTS.rglob("test_*.py") for fault in marked(path)}
    assert tested - FAULTS.keys() == set(), "markers without a meaning in tests/faults.py"
    assert FAULTS.keys() - tested == set(), "faults without a test"
