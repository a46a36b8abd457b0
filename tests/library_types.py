"""Lets mypy read the libraries that our files import, and nothing of ours: `make` does it once for each .venv.

A library changes only with .venv, and so mypy's cache of it stays there, as what pip compiles does. Without the cache
`make lint` does the same work itself.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("cio_etl", "tests", "__future__")


def imported() -> Iterator[str]:
    """The modules of libraries that our files import, some of them several times."""
    for folder in ("etl", "tests"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.Import):
                    yield from (name.name for name in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield node.module


def main() -> None:
    """Names of no library are no failure here: `make lint` reports them."""
    names = sorted({name for name in imported() if name.partition(".")[0] not in OURS})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "libraries.py")
        file.write_text("".join(f"import {name}\n" for name in names))
        subprocess.run([sys.executable, "-m", "mypy", file], cwd=ROOT, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
