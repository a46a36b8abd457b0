"""The page for Airflow: its tables equal the code, and its lines make DAGs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from conftest import Shop

from cio_etl.airflow import get_provider_info
from cio_etl.airflow.dags import build_dags
from cio_etl.airflow.request import DONE, HOPELESS, PARAMS
from cio_etl.errors import EXIT_CODES

PAGE = (Path(__file__).parents[2] / "airflow_dags" / "README.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the table with this first column, without its heading."""
    lines = PAGE.split(f"\n| {heading} |")[1].split("\n\n")[0].split("\n<!--")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_params_are_those_of_the_code() -> None:
    assert table("param") == [[f"`{name}`", option.help] for name, option in PARAMS.items()]


def test_the_arguments_are_those_of_the_code() -> None:
    named = [name.strip("`") for row in table("argument of `build_dags`") for name in row[0].split(", ")]
    arguments = inspect.signature(build_dags).parameters
    assert named == [*([*arguments][1:-1]), "others"]
    for name, _, default in (row for row in table("argument of `build_dags`") if len(row) == 3):
        if isinstance(value := arguments[name.strip("`").split("`")[0]].default, str | bool):
            assert default == f"`{value}`"


def test_every_exit_code_is_in_the_table_once() -> None:
    rows = {row[0]: row[1] for row in table("exit code")}
    codes = {int(code): words for cell, words in rows.items() for code in cell.split(", ")}
    assert codes.keys() == EXIT_CODES.keys() - {130}  # of Ctrl-C, which nobody presses there
    assert {code for code, words in codes.items() if words.startswith("succeeds")} == DONE
    assert {code for code, words in codes.items() if words.startswith("fails, and is not tried")} == HOPELESS


def test_the_fields_are_those_of_the_connection_type() -> None:
    (kind,) = get_provider_info()["connection-types"]
    labels = [*kind["ui-field-behaviour"]["relabeling"].values()]
    labels += [field["label"] for field in kind["conn-fields"].values()]
    assert sorted(labels) == sorted(row[0] for row in table("field")[:-1])


def test_the_lines_of_the_page_make_dags(shop: Shop) -> None:
    files = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE)
    names: dict[str, Any] = {}
    for lines in files:
        exec(lines.replace("/srv/shop/jobs", str(shop.jobs)), names)
        assert "dag" in lines.lower() and "airflow" in lines.lower()  # by these words Airflow knows a file of DAGs
    assert [name for name in names if name.startswith("customerio__")] == ["customerio__people"]
    assert [*names["dag"].task_dict] == ["plan", "apply"]
