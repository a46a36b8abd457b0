"""The names that remedies offer, and the commands that they give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cio_etl
from cio_etl.errors import did_you_mean, did_you_mean_file, install, similar

_FROM_HERE = "relative paths start at the folder in which the command runs"


@pytest.mark.parametrize(
    ("name", "known", "advice"),
    [
        ("lowr", ["lower", "upper"], "did you mean 'lower'?"),
        ("PLAN", ["id", "Plan"], "did you mean 'Plan'?"),
        ("zzz", ["id", "Plan"], "there are id, Plan"),
        ("x" * 100_000, ["id"], "there are id"),
    ],
)
def test_a_similar_name_is_offered_in_any_case_of_letters(name: str, known: list[str], advice: str) -> None:
    assert did_you_mean(name, known) == advice
    assert (similar(name, known) is None) == advice.startswith("there are")


@pytest.mark.parametrize(
    ("files", "path", "advice"),
    [
        (["people.yaml"], "people.yml", "did you mean people.yaml?"),
        (["jobs/people.yaml"], "people.yaml", "did you mean jobs/people.yaml?"),
        (["people.yaml", "people.csv"], "peple.csv", "did you mean people.csv?"),
        (["people.csv", "people.parquet"], "peple.parquet", "did you mean people.parquet?"),
        (["people.yaml"], "people.csv", _FROM_HERE),
        ([], "exports/people.csv", f"there is no folder exports; {_FROM_HERE}"),
        (["b.yaml"], "a.yaml", _FROM_HERE),
        ([], "/no/such/people.csv", "there is no folder /no/such"),
        ([], "", _FROM_HERE),
    ],
)
def test_a_similar_file_is_offered_of_a_kind_that_fits(files: list[str], path: str, advice: str) -> None:
    for file in files:
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).touch()
    assert did_you_mean_file(path) == advice


def test_advice_that_ends_with_a_question_mark_ends_its_sentence() -> None:
    goes_on = re.compile(r"did_you_mean\w*\([^}]*\)}[;,.]")
    paths = list(Path(cio_etl.__file__).parent.rglob("*.py"))
    assert [path.name for path in paths if goes_on.search(path.read_text())] == []


def test_an_extra_is_installed_from_a_clone_or_a_wheel_and_never_from_an_index() -> None:
    remedy = install("excel")
    assert remedy == "install the extra excel: `pip install '.[excel]'` in a clone, or `pip install 'WHEEL[excel]'`"
    written = [path for path in Path(cio_etl.__file__).parent.rglob("*.py") if "cio-etl[" in path.read_text()]
    assert written == []
