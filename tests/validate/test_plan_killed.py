"""An `apply` that is killed with kill -9 is resumed by the same command, and sends just what was planned."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.sandbox import Faults, Sandbox
from tests.ledger_nights import KILLS_ITSELF
from tests.mirror_nights import ALL_MOMENTS
from tests.running import start_program, write_job

PEOPLE = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"plan": "plan"}}
MOMENTS = (
    "when a delta is written",
    "before the first request of a step",
    "before the ledger moves",
    "when the gone step has opened",
    "when the ledger has lost who is gone",
)

pytestmark = pytest.mark.usefixtures("keys")


@dataclass(frozen=True)
class Watched(Faults):
    """Faults that note the person of every item."""

    refused: float = 1e-9  # above 0, or `refuses` is not asked
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def refuses(self, item: Mapping[str, Any]) -> bool:
        self.seen[item["action"], item["identifiers"]["id"]] += 1
        return False


@pytest.fixture
def planned(sandbox: Sandbox) -> Watched:
    """A plan of a mirror: 1 has changed, 2 is gone, 3 is new. It is killed when the sandbox is asked from here on."""
    Path("people.yaml").write_text(json.dumps(PEOPLE))
    keys = {"sync": "mirror", "when_gone": "delete", "max_gone": "100%"}
    steps = {"people": ({"parquet": "people.parquet"}, "people.yaml", keys)}
    write_job(Path("job.yaml"), sandbox.url, steps, destination={"requests_per_second": "unlimited", "lanes": 2})
    rows({"0": "free", "1": "free", "2": "free"})
    assert main(["run", "job.yaml", "--quiet"]) == 0
    rows({"0": "free", "1": "pro", "3": "free"})
    assert main(["plan", "job.yaml", "-o", "plan.json"]) == 3
    sandbox.set_faults(watched := Watched())
    return watched


def rows(plans: Mapping[str, str]) -> None:
    pl.DataFrame({"id": list(plans), "plan": list(plans.values())}).write_parquet("people.parquet")


def killed(moment: str, nth: int = 1) -> None:
    process = start_program(KILLS_ITSELF, *ALL_MOMENTS[moment], nth, "apply", "plan.json", folder=Path())
    assert process.wait(60) == -signal.SIGKILL


@pytest.mark.fault("P1")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_apply_sends_what_was_planned(planned: Watched, sandbox: Sandbox, moment: str) -> None:
    killed(moment)
    assert main(["apply", "plan.json"]) == 0
    assert planned.seen.keys() == {("identify", "1"), ("identify", "3"), ("delete", "2")}
    assert sorted(str(person.id) for person in sandbox.people.everybody()) == ["0", "1", "3"]
    planned.seen.clear()
    assert main(["apply", "plan.json"]) == 0 and main(["run", "job.yaml", "--quiet"]) == 0
    assert not planned.seen


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        ("when a delta is written", "the plan does not fit any more: step people: its source has other rows"),
        ("before the ledger moves", "was interrupted and cannot go on: step people: the content of people.parquet"),
    ],
)
def test_a_killed_apply_whose_source_gets_another_row_sends_no_more(
    planned: Watched, capsys: pytest.CaptureFixture[str], moment: str, words: str
) -> None:
    killed(moment)
    sent = planned.seen.total()
    rows({"0": "free", "1": "pro", "4": "free"})
    capsys.readouterr()
    assert main(["apply", "plan.json"]) == 78
    assert words in capsys.readouterr().err and planned.seen.total() == sent


def test_a_killed_apply_whose_ledger_moves_meanwhile_sends_no_more(
    planned: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    killed("when a delta is written")
    assert main(["run", "job.yaml", "--quiet", "--restart"]) == 0
    sent = planned.seen.total()
    capsys.readouterr()
    assert main(["apply", "plan.json"]) == 78
    assert "a run has moved its ledger" in capsys.readouterr().err and planned.seen.total() == sent
