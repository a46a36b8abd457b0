"""A stopped run reports place, fault and remedy; the report of a replaced run names no command that resumes it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cio_etl.cli import main
from cio_etl.sandbox import Sandbox
from tests.running import write_job

PERSON = {"operation": "identify", "identifiers": {"email": "mail"}, "attributes": {"plan": "plan"}}

pytestmark = pytest.mark.usefixtures("keys")

Captured = pytest.CaptureFixture[str]


def job(sandbox: Sandbox, **mapping: object) -> None:
    Path("m.yaml").write_text(json.dumps(PERSON | mapping, indent=1))
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.executescript(
            "DROP TABLE IF EXISTS people; CREATE TABLE people (mail, plan);"
            "INSERT INTO people VALUES ('a@b.co', 'x'), ('no', 'y')"
        )
    source = {"sql": "sqlite:///shop.db", "table": "people"}
    write_job(Path("job.yaml"), sandbox.url, {"people": (source, "m.yaml")}, max_rejects=0)


def test_too_many_rejects_name_the_step_the_field_a_row_and_the_page(sandbox: Sandbox, capfd: Captured) -> None:
    job(sandbox)
    assert main(["run", "job.yaml"]) == 4
    *_, fault, remedy = capfd.readouterr().err.strip().splitlines()
    assert fault == (
        "step people: 1 row rejected, more than max_rejects allows (0 rows); the most frequent: "
        "email_malformed in identifiers.email, as at table people, row 2"
    )
    (folder,) = Path(".etl/runs").iterdir()
    assert remedy.startswith(f"look at {folder}/report.html, fix the mapping or the rows, or raise max_rejects; then: ")


@pytest.mark.parametrize("restart", [[], ["--restart"]])
def test_the_page_of_a_run_that_was_replaced_names_no_command_that_resumes_it(
    restart: list[str], sandbox: Sandbox
) -> None:
    job(sandbox)
    assert main(["run", "job.yaml"]) == 4
    (page,) = Path(".etl/runs").glob("*/report.html")
    assert "cio-etl run job.yaml" in page.read_text()
    job(sandbox, when="mail like '%@%'")
    assert main(["run", "job.yaml", *restart]) == 0
    assert "was abandoned" in page.read_text() and "cio-etl run job.yaml" not in page.read_text()


@pytest.mark.parametrize("command", [["run"], ["validate"], ["preview"]])
def test_a_column_that_a_table_lacks_is_reported_with_its_line_and_the_nearest_name(
    command: list[str], sandbox: Sandbox, capfd: Captured
) -> None:
    job(sandbox, attributes={"plan": "plam"})
    assert main([*command, "job.yaml"]) == 65
    err = capfd.readouterr().err
    assert "m.yaml:7: the source has no column 'plam'; did you mean 'plan'?" in err
