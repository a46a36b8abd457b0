"""A shop with what the pages show: runs with rejects, a replay, a run that has stopped, plans; and known values."""

from __future__ import annotations

import json
from pathlib import Path

from cio_etl.cli import main
from cio_etl.ui import JobFiles, Pages, Site
from tests.running import write_job

# Values of rows, and keys: no page may have one of them.
SECRETS = ("sandbox-canary-key", "Zora.Quell", "zora.quell", "quellhaven", "platinum-canary", "+33612345678")


def open_shop(folder: Path, url: str) -> None:
    """Writes the shop's files into `folder`, the current one, and runs its jobs."""
    (folder / "jobs").mkdir()
    rows = [f"{number},zora.quell{number}@quellhaven.example,silver" for number in range(60)]
    rows += [f"{number},Zora.Quell@@quellhaven.example,platinum-canary" for number in range(60, 64)]
    write(folder / "people.csv", "id,email,plan", rows)
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "email", "plan": "plan"}}
    Path("people.yaml").write_text(json.dumps(mapping))
    sent = {"sync": "changed", "ledger": "values"}
    steps = {"people": ({"csv": str(folder / "people.csv")}, str(folder / "people.yaml"), sent)}
    settings = {"state": str(folder / ".etl"), "schedule": "0 3 * * *", "expect_every": "26 hours", "rejects": "rows"}
    write_job(folder / "jobs/shop.yaml", url, steps, name="shop", max_rejects="20%", **settings)
    lane = {"lanes": 1}  # so that it always rejects the same rows before it stops
    strict = {"name": "strict", "destination": lane, "max_rejects": 0, "state": settings["state"]}
    write_job(folder / "jobs/strict.yaml", url, steps, **strict)
    Path("jobs/broken.yaml").write_text("steps: [")
    assert main(["run", "jobs/shop.yaml", "--quiet", "--run-id", "first"]) == 3
    assert main(["rejects", "shop-first", "-o", "rejects.csv"]) == 0
    lines = Path("rejects.csv").read_text(encoding="utf-8-sig").splitlines()
    Path("fixed.csv").write_text("\n".join([lines[0], lines[1].replace("@@", "@")]))
    assert main(["replay", "fixed.csv"]) == 0
    assert main(["run", "jobs/strict.yaml", "--quiet", "--run-id", "stopped"]) == 4
    write(folder / "people.csv", "id,email,plan", [row.replace("silver", "platinum-canary") for row in rows])
    assert main(["plan", "jobs/shop.yaml", "--name", "spring", "--reveal"]) == 3


def write(path: Path, head: str, rows: list[str]) -> None:
    path.write_text("\n".join([head, *rows]), encoding="utf-8")


def site_of(state: Path, jobs: Path | None = None) -> Site:
    """The site of a state in a folder."""
    return Site(state, state, str(state), JobFiles(() if jobs is None else (jobs,)))


def pages_of(state: Path, jobs: Path | None = None) -> Pages:
    """Its pages."""
    return Pages(site_of(state, jobs))
