"""Several workers send one delta: the first makes it, the others read it, and the ledger moves once."""

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

from cio_etl.sandbox import Faults, Sandbox
from tests import databases
from tests.run.test_workers import ADDRESS, asked, ended, started
from tests.running import until, write_job

PEOPLE = 3_000
GONE = 20


@dataclass(frozen=True)
class Watched(Faults):
    """Faults that note the person of every item."""

    refused: float = 1e-9  # above 0, or `refuses` is not asked
    latency_s: float = 0.05
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def refuses(self, item: Mapping[str, Any]) -> bool:
        self.seen[item["action"], item["identifiers"]["id"]] += 1
        return False


def people(plan: str, number: int = PEOPLE) -> None:
    # Both values change each night: an item of some 400 bytes, so that a batch has at most 90
    rows = {"id": [f"u{row}" for row in range(number)], "plan": [plan] * number, "note": [plan * 100] * number}
    pl.DataFrame(rows).write_parquet("people.parquet")


def generations(postgres: databases.Database) -> list[dict[str, Any]]:
    return [json.loads(text) for (text,) in asked(postgres, "SELECT generation FROM ledger")]


@pytest.mark.fault("P1", "P4")
def test_workers_send_one_delta_once_though_one_is_killed(postgres: databases.Database) -> None:
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"plan": "plan", "note": "note"}}
    Path("people.yaml").write_text(json.dumps(mapping), encoding="utf-8")
    keys = {"sync": "mirror", "when_gone": "delete"}
    with Sandbox() as sandbox:
        write_job(
            Path("job.yaml"),
            sandbox.url,
            {"people": ({"parquet": "people.parquet"}, "people.yaml", keys)},
            destination={"max_batch_bytes": 32_100, "requests_per_second": "unlimited"},
            state={"database": f"${{{ADDRESS}}}", "folder": "etl", "lease": "2s"},
        )
        people("free")
        shares = ("--lanes=0-7/16", "--lanes=8-15/16")
        said = ended([started(postgres, each, "--run-id=one") for each in shares])
        assert [code for code, _, _ in said] == [0, 0], said
        (first,) = generations(postgres)
        assert (first["number"], first["subjects"]) == (2, PEOPLE)  # a mirror moves its ledger twice

        people("pro", PEOPLE - GONE)
        sandbox.set_faults(faults := Watched())
        one, two = (started(postgres, each, "--run-id=two") for each in shares)
        until(lambda: len(faults.seen) > 100)
        one.send_signal(signal.SIGKILL)
        (delta,) = Path("etl").rglob("0.delta")
        made = (delta / "delta.json").stat().st_mtime_ns
        ((_, _, _), (code, _, stderr)) = ended([one, two])
        assert code == 0, stderr
        assert not delta.exists() or (delta / "delta.json").stat().st_mtime_ns == made
        changed, gone = ({who for action, who in faults.seen if action == each} for each in ("identify", "delete"))
        assert changed == {f"u{row}" for row in range(PEOPLE - GONE)}
        assert gone == {f"u{row}" for row in range(PEOPLE - GONE, PEOPLE)}
        assert faults.seen.total() - len(faults.seen) <= 8 * 90  # a batch of each lane of the one that was killed
        (second,) = generations(postgres)
        assert (second["number"], second["subjects"], second["salt"]) == (4, PEOPLE - GONE, first["salt"])

        faults.seen.clear()
        ((code, _, stderr),) = ended([started(postgres, "--run-id=three")])
        assert code == 0 and not faults.seen, stderr
