"""Is every fault of the catalogue under test? The ids in the tests' marks, held against the list of all of them.

P: process and machine · S: source · N: destination and network. What each id means is said by the tests that bear it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent

CATALOGUE = {
    *(f"P{number}" for number in range(1, 19)),
    *(f"S{number}" for number in range(1, 25)),
    *(f"N{number}" for number in range(1, 28)),
}

NOT_YET: dict[str, str] = {}


def marked(path: Path) -> Iterator[str]:
    """The ids that a test file's `fault` marks name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            for argument in node.args:
                assert isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                yield argument.value


def test_every_fault_of_the_catalogue_has_a_test_or_a_reason_why_not() -> None:
    found = {fault for path in TESTS.rglob("test_*.py") for fault in marked(path)}
    assert found - CATALOGUE == set(), "marks that name no fault"
    assert found & NOT_YET.keys() == set(), "these have a test by now"
    assert CATALOGUE - found - NOT_YET.keys() == set(), "these have neither a test nor a reason"
