"""The shipped jobs and mappings are correct, and the data of the demo contain what they state."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.config import load_job, load_mapping
from cio_etl.config.examples import check_examples
from cio_etl.model import CsvSource, MaxRejects, ParquetSource
from cio_etl.project import demo_data
from cio_etl.validate.dry_run import validate

ROOT = Path(__file__).parents[2]
FOLDERS = ("mappings", "mappings/operations")  # those of presets have tests instead: tests/test_presets.py
MAPPINGS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_job_is_correct(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    job = load_job(path, {}, secrets=False, sources=False)
    assert job.name == path.stem


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
def test_every_shipped_mapping_has_examples_of_every_result(path: Path) -> None:
    examples = load_mapping(path).examples
    assert any(example.payloads for example in examples)
    assert any(example.rejected for example in examples)
    assert any(example.skipped for example in examples)


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
def test_every_example_of_a_shipped_mapping_passes(path: Path) -> None:
    assert list(check_examples(load_mapping(path))) == []


def test_the_tests_of_the_shipped_jobs_and_mappings_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    jobs = [str(path) for path in sorted(Path("jobs").glob("*.yaml"))]
    assert main(["test", *jobs, "mappings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("customers", "orders", "subscriptions"):
        assert any(line.startswith(f"mappings/tests/{name}.yaml: ") for line in lines)
    assert lines[-1].endswith(" tests passed")


def test_the_demo_rejects_exactly_its_invalid_rows_with_the_right_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    job = load_job(Path("jobs/demo.yaml"), {}, secrets=False)
    monkeypatch.chdir(tmp_path)
    demo_data.write(Path(".etl/demo"))
    customers, orders = validate(job, job.steps, None, {}).steps
    bad = {reason: count for reason, (count, _) in demo_data.BAD_CUSTOMERS.items()}
    assert {count.reason: count.rows for count in customers.rejects} == {
        "row_ragged": bad["too few fields"] + bad["too many fields"],
        "identifier_missing": bad["no identifier"],
        "email_malformed": bad["malformed e-mail"],
        "timestamp_unreadable": bad["unreadable date"],
        "value_too_long": bad["over-long value"],
    }
    assert {count.reason: count.rows for count in orders.rejects} == {
        "identifier_missing": demo_data.BAD_ORDERS["no customer"],
        "event_key_missing": demo_data.BAD_ORDERS["no order number"],
        "timestamp_missing": demo_data.BAD_ORDERS["no time"],
        "timestamp_out_of_range": demo_data.BAD_ORDERS["time out of range"],
    }
    assert (customers.rows_read, orders.rows_read) == (demo_data.CUSTOMERS, demo_data.ORDERS)
    assert customers.counts.skipped == 20 and orders.counts.skipped > 1_000


def test_the_demo_job_reads_what_the_demo_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    job = load_job(Path("jobs/demo.yaml"), {}, secrets=False)
    customers, orders = (step.source for step in job.steps)
    assert isinstance(customers, CsvSource) and isinstance(orders, ParquetSource)
    written = demo_data.write(tmp_path)
    assert [path.name for path in written] == [
        "customers.csv",
        "orders-1.parquet",
        "orders-2.parquet",
        "orders-3.parquet",
    ]
    assert Path(customers.paths[0]).name == "customers.csv" and customers.separator == ";"
    assert all(path.match(Path(orders.paths[0]).name) for path in written[1:])
    assert job.max_rejects == MaxRejects(share=0.02)


def test_the_demo_s_data_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    one, other = demo_data.write(tmp_path / "one"), demo_data.write(tmp_path / "other")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    assert demo_data.write(tmp_path / "third", seed=1)[0].read_bytes() != one[0].read_bytes()


def test_the_customers_of_the_demo_contain_the_stated_faults(tmp_path: Path) -> None:
    with demo_data.write(tmp_path)[0].open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter=";")
    assert (tuple(header), len(rows)) == (demo_data.HEADER, demo_data.CUSTOMERS)
    whole = [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]
    seen = Counter({"too few fields": sum(len(row) < len(header) for row in rows)})
    seen["too many fields"] = sum(len(row) > len(header) for row in rows)
    seen["no identifier"] = sum(row["customer_id"] == "" for row in whole)
    seen["malformed e-mail"] = sum(row["e_mail"] in demo_data.BAD_EMAILS for row in whole)
    seen["unreadable date"] = sum(row["signed_up"] in demo_data.BAD_DATES for row in whole)
    seen["over-long value"] = sum(len(row["notes"].encode()) > 1_000 for row in whole)
    assert seen == {reason: count for reason, (count, _) in demo_data.BAD_CUSTOMERS.items()}
    notes = {row["notes"] for row in whole}
    assert {'likes the "blue" one', "call back\nafter 18:00", "paid; thanks", ""} <= notes
    assert whole[0]["customer_id"].startswith("0000")


def test_the_orders_of_the_demo_contain_the_stated_faults(tmp_path: Path) -> None:
    orders = pl.read_parquet(demo_data.write(tmp_path)[1:])
    far = orders.filter(pl.col("placed_at") > 4_000_000_000_000).height
    nulls = orders.null_count().row(0, named=True)
    assert orders.height == demo_data.ORDERS
    assert orders.schema["placed_at"] == pl.Int64
    assert {
        "no customer": nulls["customer_id"],
        "no order number": nulls["order_id"],
        "no time": nulls["placed_at"],
        "time out of range": far,
    } == demo_data.BAD_ORDERS


def test_about_half_a_per_cent_of_the_demo_rows_are_invalid() -> None:
    bad = sum(count for count, _ in demo_data.BAD_CUSTOMERS.values()) + sum(demo_data.BAD_ORDERS.values())
    assert bad / (demo_data.CUSTOMERS + demo_data.ORDERS) == pytest.approx(0.005, rel=0.1)
