"""The page that explains the rate states the figures of the code, all of them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from cio_etl.load import rate

FOLDER = Path(rate.__file__).parent
PAGE = (FOLDER / "README.md").read_text()


def test_the_table_of_figures_has_each_constant_with_its_value() -> None:
    modules = {path.name: import_module(f"cio_etl.load.rate.{path.stem}") for path in FOLDER.glob("[a-z]*.py")}
    constants = {
        (file, name, f"{value:g}")
        for file, module in modules.items()
        for name, value in vars(module).items()
        if isinstance(value, int | float)
        and re.search(rf"^[A-Z_, ]*\b{name}\b.* = ", (FOLDER / file).read_text(), re.M)
    }
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \|", PAGE, re.M)
    assert len(constants) > 25
    assert {(file, name, value) for name, value, file in rows} == constants


def test_the_page_names_each_file() -> None:
    assert {path.stem for path in FOLDER.glob("[a-z]*.py")} <= set(re.findall(r"\w+", PAGE))
