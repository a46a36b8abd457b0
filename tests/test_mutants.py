"""The list of defects fits the code, and its runner tells a defect that is caught from one that survives."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from tests.mutant_list import MUTANTS, Mutant
from tests.mutants import ROOT, main, occurrences, outcome


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_text_that_a_defect_replaces_is_in_its_file_once(mutant: Mutant) -> None:
    assert occurrences(mutant) == 1
    assert mutant.old != mutant.new
    files = [word for word in shlex.split(mutant.tests) if word.startswith("tests/")]
    assert files and all((ROOT / file).exists() for file in files)


def test_there_are_forty_defects_and_each_has_a_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40


def test_a_defect_whose_text_is_gone_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    gone = replace(MUTANTS[0], old="no such text")
    assert outcome(gone) == f"its text is in {gone.file} 0 times"
    assert main(["no such defect"]) == 1
    assert capsys.readouterr().out == "0 of 0 defects caught\n"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_defect_is_caught_and_a_change_without_one_survives(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["an old success ends an outage"]) == 0
    assert capsys.readouterr().out.endswith("1 of 1 defects caught\n")
    harmless = replace(
        next(each for each in MUTANTS if "old success" in each.name), new="if self.open_since <= started else self"
    )
    assert outcome(harmless) == "survived"
