"""`ledger: values`: a plan shows what changes into what; the values are in the ledger's files and nowhere else."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import ConfigError
from cio_etl.sandbox import Faults, Sandbox
from tests.nightly_step import EVENTS, KEYS, Nights, delta, person

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def values(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> Nights:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    nights.step["ledger"] = "values"
    return nights


def ledger_files() -> list[Path]:
    return sorted(Path(".etl/ledger").rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)


def stored() -> dict[str, Any]:
    """The values of the ledger's newest file, by the last part of their names."""
    rows = pl.read_parquet(ledger_files()[-1])
    names = [name for name in rows.columns if name.startswith("value.")]
    return {name.split(".")[-1]: sorted(rows[name], key=str) for name in names}


def plan(capsys: Captured, *words: str) -> dict[str, Any]:
    """The most frequent changes that a plan shows, by the last part of their names."""
    capsys.readouterr()
    assert main(["plan", "job.yaml", "--json", *words]) == 3
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    return {
        name.split(".")[-1]: [tuple(change.values()) for change in changes] for name, changes in step["changes"].items()
    }


def written(nights: Nights, *rows: dict[str, Any]) -> None:
    """Writes the rows of the next night, without a run."""
    pl.DataFrame(list(rows), schema=dict.fromkeys(rows[0], pl.String)).write_parquet("rows.parquet")


def test_a_plan_shows_the_most_frequent_changes_masked(values: Nights, capsys: Captured) -> None:
    values.run([person(number) for number in range(10)])
    cities = ["Oslo"] * 4 + ["Bern"] * 3 + ["Lyon", "Lille", "Metz"]
    written(values, *(person(number, city=city) for number, city in enumerate(cities)))
    assert plan(capsys) == {"city": [('"Xxxx"', '"Xxxx"', 9), ('"Xxxx"', '"Xxxxx"', 1)]}
    most = {"Oslo": 4, "Bern": 3, "Lille": 1, "Lyon": 1, "Metz": 1}
    assert plan(capsys, "--reveal")["city"] == [('"Rome"', f'"{city}"', count) for city, count in most.items()]
    capsys.readouterr()
    assert main(["plan", "job.yaml", "-o", "plan.json"]) == 3
    shown = capsys.readouterr().out + Path("plan.html").read_text() + Path("plan.json").read_text()
    assert "Oslo" not in shown and '9  attributes.city: "Xxxx" → "Xxxx"' in shown
    assert main(["apply", "plan.json"]) == 0
    assert main(["plan", "job.yaml", "--reveal"]) == 0


def test_the_ledger_has_what_customer_io_has(values: Nights, sandbox: Sandbox) -> None:
    values.run([person(1), person(2, city=None), person(2, city="Bern"), person(3)])
    assert stored() == {
        "email": ['"1@example.com"', '"2@example.com"', '"3@example.com"'],
        "plan": ['"free"'] * 3,
        "city": ['"Bern"', '"Rome"', '"Rome"'],
    }
    sandbox.set_faults(Faults(refused=1.0))
    values.run([person(1, city="Oslo")])
    sandbox.set_faults(Faults())
    values.run([person(3, plan="pro")])
    everybody = pl.concat([pl.read_parquet(file) for file in ledger_files()], how="diagonal")
    assert "Oslo" not in str(everybody["value.attributes.city"].to_list())
    assert '"pro"' in everybody["value.attributes.plan"].to_list()


def test_values_are_nowhere_but_in_files_of_their_user(values: Nights, capfd: Captured) -> None:
    secret = "Reykjavik"
    values.run([person(number, city=secret) for number in range(3)])
    written(values, *(person(number, city="Oslo") for number in range(3)))
    assert main(["plan", "job.yaml", "-o", "plan.json"]) == 3
    assert main(["run", "job.yaml"]) == 0
    said = "".join(capfd.readouterr())
    assert secret not in said and "Oslo" not in said
    with_values = set()
    for file in [*Path(".etl").rglob("*"), Path("plan.json"), Path("plan.html")]:
        if file.is_file() and file.suffix != ".parquet":
            content = file.read_bytes()
            with_values |= {file} if secret.encode() in content or b"Oslo" in content else set()
    assert not with_values
    assert {stat.S_IMODE(file.stat().st_mode) for file in ledger_files()} == {0o600}


def test_values_that_were_not_stored_are_not_known(values: Nights, capsys: Captured) -> None:
    values.step["ledger"] = "hashes"
    values.run([person(1), person(2)])
    values.step["ledger"] = "values"
    report = values.run([person(1, plan="pro"), person(2)])
    assert delta(report) == (0, 1, 1, 0)  # the ledger is the same one
    written(values, person(1, plan="free"), person(2, plan="pro"))
    changes = plan(capsys, "--reveal")["plan"]
    assert changes == [('"pro"', '"free"', 1), ("not known", '"pro"', 1)]
    values.run([person(1), person(2)], full_refresh=True)
    written(values, person(1), person(2, plan="pro"))
    assert plan(capsys, "--reveal")["plan"] == [('"free"', '"pro"', 1)]


def test_a_ledger_of_hashes_forgets_its_values(values: Nights, capsys: Captured) -> None:
    values.run([person(1), person(2)])
    assert stored()
    values.step["ledger"] = "hashes"
    report = values.run([person(1), person(2)])
    assert delta(report) == (0, 0, 2, 0) and stored() == {}
    values.run([person(1), person(2)])
    assert [file for file in ledger_files() if b"Rome" in file.read_bytes()] == []
    written(values, person(1, city="Oslo"), person(2))
    assert plan(capsys) == {}


def test_a_plan_shows_attributes_that_are_new_and_that_become_null(values: Nights, capsys: Captured) -> None:
    values.mapping = values.mapping | {"nulls": "clear", "attributes": {"plan": "plan", "city": "city"}}
    values.run([person(1), person(2)])
    attributes = {"plan": "plan", "city": "city", "tier": {"value": 7}}
    Path("mapping.yaml").write_text(json.dumps(values.mapping | {"attributes": attributes}))
    written(values, person(1, city=None), person(2))
    assert plan(capsys, "--reveal") == {"city": [('"Rome"', "null", 1)], "tier": [("nothing", "7", 2)]}
    assert plan(capsys)["tier"] == [("nothing", "#", 2)]


def test_relationships_have_no_values(values: Nights) -> None:
    companies = [{"object": {"type": {"value": "1"}, "id": "company"}, "attributes": {"role": "role"}}]
    values.mapping = values.mapping | {"attributes": {"plan": "plan"}, "relationships": companies}
    values.run([person(1, company=company, role="chief") for company in ("acme", "bolt")])
    assert stored() == {"plan": ['"free"']}


@pytest.mark.parametrize(
    ("step", "mapping", "fault"),
    [
        ({"ledger": "values"}, {}, "ledger only with `sync: changed` or `sync: mirror`"),
        ({"sync": "changed", "ledger": "values"}, EVENTS, "an event that was sent does not change; leave it out"),
        ({"sync": "changed", "ledger": "all"}, {}, "ledger: must be hashes, values, or {name: …}"),
    ],
)
def test_a_ledger_of_values_that_would_mean_nothing_is_a_fault(
    nights: Nights, step: dict[str, Any], mapping: dict[str, Any], fault: str
) -> None:
    nights.step, nights.mapping = step, mapping or nights.mapping
    with pytest.raises(ConfigError) as raised:
        nights.run([person(1)])
    assert fault in str(raised.value)


def test_a_step_of_several_mappings_stores_values_of_those_that_change(values: Nights) -> None:
    values.run([person(1)])
    Path("events.yaml").write_text(json.dumps(EVENTS))
    job = json.loads(Path("job.yaml").read_text())
    job["steps"][0]["mapping"] = ["mapping.yaml", "events.yaml"]
    Path("job.yaml").write_text(json.dumps(job))
    assert [step.sync.ledger for step in load_job(Path("job.yaml"), KEYS).steps] == ["values", "values"]
    rows = [person(1, order="1", at="2026-11-20T10:00:00Z", price="5")]
    pl.DataFrame(rows).write_parquet("rows.parquet")
    values.again()
    columns = {file.parent.name: pl.read_parquet(file).columns for file in ledger_files() if "rows" in str(file.parent)}
    with_values = {name for name, found in columns.items() if any(each.startswith("value.") for each in found)}
    assert with_values == {name for name in columns if "events" not in name}
