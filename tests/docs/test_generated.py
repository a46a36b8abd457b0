"""The generated tables of the pages are current, and say everything about the things that they list."""

from __future__ import annotations

import re

import pytest

from cio_etl.apis.track.endpoints import judge
from cio_etl.cli import EXIT_CODES
from cio_etl.config import describe
from cio_etl.config.job_sections import DestinationYaml, JobYaml, StateYaml
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.source_sections import SourceYaml
from cio_etl.config.step_sections import StepYaml
from cio_etl.extract.sql.dialects import DATABASES
from cio_etl.model import Refused, Split, reason_words
from cio_etl.model.yaml_section import Section
from cio_etl.transform.functions import FUNCTIONS
from tests.docs import generate
from tests.docs.pages import PAGES, all_pages, anchor, headings, read, section, table_after
from tests.docs.tables import TABLES, can_reject

MAPPINGS = "mappings/README.md"


@pytest.mark.parametrize("page", PAGES)
def test_generated_tables_are_current(page: str) -> None:
    assert read(page) == generate.generated(page), f"{page} is stale: python -m tests.docs.generate"


def test_every_generated_table_stands_in_one_page() -> None:
    names = [name for page in PAGES for _, name, _ in generate.MARKED.findall(read(page))]
    assert sorted(names) == sorted(TABLES)
    assert all_pages().count("<!-- begin generated") == all_pages().count("<!-- end generated") == len(names)


def test_a_stale_table_is_replaced() -> None:
    stale = "before\n<!-- begin generated: reasons -->\nSTALE\n<!-- end generated -->\nafter\n"
    current = generate.replaced(stale, MAPPINGS)
    assert current.startswith("before\n<!-- begin generated: reasons -->\n| reason |")
    assert current.endswith("|\n<!-- end generated -->\nafter\n") and "STALE" not in current


def test_see_becomes_a_link_to_the_page_with_the_heading() -> None:
    assert generate.linked("x. See Databases.", "jobs/README.md") == "x. See [Databases](#databases)."
    assert generate.linked("See Decisions.", "jobs/README.md") == "See [Decisions](../etl/README.md#decisions)."
    with pytest.raises(LookupError, match="Nowhere"):
        generate.linked("See Nowhere.", "jobs/README.md")


def test_headings_that_descriptions_name_are_unique() -> None:
    every = [heading for page in PAGES for heading in headings(read(page))]
    linked = re.findall(r"\bSee \[([^\]]+)\]\(", "".join(table() for table in TABLES.values()))
    assert [heading for heading in linked if every.count(heading) != 1] == []
    assert anchor("Exit codes, and what to do") == "exit-codes-and-what-to-do"


def test_the_functions_of_the_page_are_those_of_the_code() -> None:
    listed = re.findall(r"(?m)^\| `(\w+)` \|", section(MAPPINGS, "## Functions"))
    assert sorted(listed) == sorted(FUNCTIONS)


def test_every_reason_of_a_function_is_explained() -> None:
    reasons = {function.reason for function in FUNCTIONS.values() if can_reject(function)}
    assert reasons - reason_words().keys() == set()


@pytest.mark.parametrize(
    ("status", "body", "written"),
    [
        (400, b'{"errors": [{"batch_index": 0, "reason": "invalid"}]}', "refused_…"),
        (400, b'{"errors": [{"batch_index": 0}]}', "refused"),
        (400, b"no JSON", "http_400"),
        (413, b"", "http_413"),
        (207, b'{"errors": [{"batch_index": 9}]}', "answer_unreadable"),
    ],
)
def test_reasons_that_come_from_an_answer_are_explained(status: int, body: bytes, written: str) -> None:
    verdict = judge(status, {}, body, 2, "localhost")
    assert isinstance(verdict, Refused | Split)
    reason = verdict.errors[0].reason if isinstance(verdict, Refused) else verdict.reason
    assert re.fullmatch(written.replace("…", ".+"), reason)
    assert f"`{written}`" in [row[0] for row in table_after(MAPPINGS, "By Customer.io; its own words")]


@pytest.mark.parametrize("model", [JobYaml, DestinationYaml, StateYaml, StepYaml, SourceYaml, MappingYaml])
def test_every_key_is_described_with_its_bounds(model: type[Section]) -> None:
    for key in describe(model):
        assert key.description and (key.default or key.required), key.name
        bounds = [bound for bound in (key.minimum, key.maximum) if bound]
        assert [bound for bound in bounds if f"{bound:,}" not in key.description] == [], key.name


def test_exit_codes_are_those_of_the_help_and_each_says_what_to_do() -> None:
    in_help = re.findall(r"(\d+(?:, \d+)*)  (\S.*?)(?=\s{3,}|\n|$)", EXIT_CODES)
    rows = table_after("jobs/README.md", "## Exit codes, and what to do")
    assert [row[:2] for row in rows] == sorted(in_help, key=lambda pair: int(pair[0].split(",")[0]))
    assert all(len(row) == 3 and row[2] for row in rows)


def test_every_database_says_whether_it_is_tested() -> None:
    rows = table_after("jobs/README.md", "Each driver is an extra")
    assert [row[-1] for row in rows] == ["yes" if database.ran else "no" for database in DATABASES.values()]
