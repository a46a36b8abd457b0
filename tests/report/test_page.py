"""The page shows what the report holds, escaped, and loads nothing else. See also test_page_in_browser.py."""

from __future__ import annotations

import hashlib
import re
import stat
from base64 import b64encode
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli.commands import ROWS_ARE_GONE, reject_commands
from cio_etl.log.visible import visible
from cio_etl.model import Counts, Report
from cio_etl.report.page import page, tone, verdict, write_page
from cio_etl.run.reports import remedies
from tests.reports import HOSTILE, NOTHING, RUN, STEP, VALIDATION, WIDE, hostile


class Elements(HTMLParser):
    """Names and attributes of all elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def words(text: str) -> str:
    """What a reader sees, in a line."""
    body = text.partition("<body>")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def shape(text: str) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attributes)) for tag, attributes in Elements(text).found]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("report", [VALIDATION, RUN], ids=["validation", "run"])
def test_what_comes_from_data_or_files_is_text_wherever_it_stands(report: Report, text: str) -> None:
    plain, made = (
        page(hostile(report, "plain"), {"run": "plain"}, remedies()),
        page(hostile(report, text), {"run": text}, remedies()),
    )
    assert shape(plain) == shape(made)  # not one element or attribute more
    assert words(made).count(" ".join(visible(text).split())) >= words(plain).count("plain") - 12
    assert not re.search("[\x00-\x08\x0b-\x1f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]", made)


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    made = page(VALIDATION, {}, remedies())
    elements = Elements(made).found
    assert {tag for tag, _ in elements} & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "base",
        "audio",
    } == set()
    addresses = [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "srcset", "data", "xlink:href", "style") or name.startswith("on")
    ]
    assert {address for address in addresses if address and not address.startswith("#")} == {"data:,"}
    assert "url(" not in made and "@import" not in made and "http://" not in made


def test_the_policy_allows_the_page_s_own_style_and_nothing_else() -> None:
    made = page(VALIDATION, {}, remedies())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', made)
    (style,) = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = dict(part.strip().split(" ", 1) for part in unescape(policy).split(";"))
    assert allowed == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


@pytest.mark.parametrize("report", [VALIDATION, RUN, NOTHING, WIDE], ids=["validation", "run", "nothing", "wide"])
def test_the_page_can_be_read_by_those_who_do_not_see_it(report: Report) -> None:
    made = page(report, {}, remedies())
    elements = Elements(made).found
    tags = [tag for tag, _ in elements]
    assert tags.count("h1") == 1 and 'lang="en"' in made
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tags.count("table") == tags.count("caption")
    assert all({"role", "aria-labelledby"} <= attributes.keys() for tag, attributes in elements if tag == "svg")
    assert tags.count("svg") <= tags.count("title") - 1 and tags.count("svg") == tags.count("desc")
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    named = [id_ for _, a in elements for id_ in (a.get("aria-labelledby") or "").split()]
    named += [(a["href"] or "")[1:] for tag, a in elements if tag == "a"]
    assert len(ids) == len(set(ids)) and set(named) <= set(ids)


def test_a_validation_s_page_says_all_that_its_report_does() -> None:
    said = words(page(VALIDATION, {"run": "cio-etl run shop.yaml"}, remedies()))
    for expected in (
        "Validation of shop 2024-03-10 09:00 UTC",
        "A run would send 24,000 of 24,690 rows, reject 600 and skip 90.",
        "Exit code 3: done, some rows rejected. A run takes about 3 min.",
        "run cio-etl run shop.yaml",
        "people 12,345 = 12,000 + 300 + 45 ✓",
        "all steps 24,690 = 24,000 + 600 + 90",
        "people or objects about 9,800 events 0 requests to send 16 data to send 4.2 MB a run takes about 2 min",
        "at most 100 requests a second and 16 lanes, each answered in 200 ms",
        "warning some_warning in timestamp 1,200 rows 1,200 events are younger than 72 hours people.csv:2 and 1,199",
        "notice some_notice 1 row a duplicate",
        "email_malformed: 2.4 % of the rows",
        "not the shape of an e-mail address; fix it; `apply: [email]` only removes characters around it",
        "people.csv:3 id ## e_mail a*** x null people.csv:8 people.csv:9 and 296 more",
        "299 2.4 %",
        "Rows to send, by attributes.created_at 11,996",
        "2024-03 4 2024-05 11,996",
        "e_mail text attributes.email , when < 0.1 % about 4,000 3–214 – a***@b***.co",
        "cents text attributes.email , when < 0.1 % about 4,000 – -3 … 1,200 a***@b***.co",
        "1 column that is not read unread text",
        '"id": "#####"',
        "contains no values of rows",
    ):
        assert expected in said.replace("\u00a0", " "), expected


def test_a_stopped_run_s_page_says_why_and_how_to_go_on() -> None:
    said = words(
        page(RUN, {"continue": "cio-etl run shop.yaml", "rejects": "cio-etl rejects shop-… -o rejects.csv"}, remedies())
    )
    for expected in (
        "The run has stopped; 12,000 rows were accepted so far and 300 rejected: track.customer.io is out of reach",
        "Exit code 69: Customer.io out of reach; run again to go on.",
        "continue cio-etl run shop.yaml rejects cio-etl rejects shop-… -o rejects.csv",
        "orders 0 = 0 + 0 + 0 waiting",
        "requests sent 16 data sent 4.2 MB retries 0 perhaps sent twice 0 took 1.2 s",
    ):
        assert expected in said, expected
    assert "The content of the columns" in said and "Values are masked" not in said


@pytest.mark.parametrize(
    ("changes", "sentence", "looks"),
    [
        ({"exit_code": 0, "steps": (replace(STEP, counts=Counts(accepted=12_345), findings=()),)},
         "A run would send all 12,345 rows.", "good"),
        ({"exit_code": 0, "steps": (replace(STEP, counts=Counts(accepted=12_345)),)},
         "A run would send all 12,345 rows.", "fair"),  # there is a warning
        ({"exit_code": 4, "reason": "a run would stop in step people: more than max_rejects allows"},
         "Not as it is: a run would stop in step people: more than max_rejects allows.", "bad"),
        ({"exit_code": 0, "steps": NOTHING.steps}, "There are no rows to send.", "fair"),
        ({"run_id": "r", "exit_code": 0, "steps": NOTHING.steps}, "There were no rows to send.", "good"),
        ({"run_id": "r"}, "24,000 of 24,690 rows were accepted, 600 rejected and 90 skipped.", "fair"),
        ({"run_id": "r", "status": "running", "exit_code": None},
         "The run is in progress; 24,000 rows were accepted so far and 600 rejected.", "fair"),
        ({"run_id": "r", "status": "failed", "exit_code": 1, "reason": "unexpected KeyError"},
         "The run has stopped; 24,000 rows were accepted so far and 600 rejected: unexpected KeyError.", "bad"),
    ],
)  # fmt: skip
def test_the_verdict_is_one_sentence_and_looks_as_it_is(changes: dict[str, Any], sentence: str, looks: str) -> None:
    report = replace(VALIDATION, **changes)
    assert (verdict(report), tone(report)) == (sentence, looks)


def test_rows_that_do_not_add_up_get_no_tick() -> None:
    report = replace(VALIDATION, steps=(replace(STEP, rows_read=12_346),))
    assert "✓" in page(VALIDATION, {}, remedies()) and "✓" not in page(report, {}, remedies())


def test_of_many_columns_the_first_are_shown_and_the_others_folded_up() -> None:
    made = page(WIDE, {}, remedies())
    first, _, folded = made.partition("260 more columns</summary>")
    assert "column_number_039" in first and "column_number_040" not in first and "column_number_299" in folded
    assert '<details class="all"><summary>100 columns that are not read' in made


def test_the_page_is_written_for_its_user_only_whatever_names_hold(tmp_path: Path) -> None:
    path = write_page(replace(VALIDATION, reason="\udcff"), tmp_path / "new", {}, remedies())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.name == "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("job", "state", "commands"),
    [
        ("shop", ".etl", ["cio-etl rejects r -o rejects.csv", "cio-etl replay rejects.csv"]),
        (
            "shop.sandbox",
            "my state",
            [
                "cio-etl rejects r -o rejects.csv '--state=my state'",
                "cio-etl replay rejects.csv --sandbox '--state=my state'",
            ],
        ),
        ("shop.replay", ".etl", []),  # its rejects are those of the run before
    ],
)
def test_the_commands_that_fix_rejected_rows_can_be_run_as_they_are(job: str, state: str, commands: list[str]) -> None:
    report = replace(VALIDATION, run_id="r", job=job)
    assert list(reject_commands(report, Path(state)).values()) == commands
    names = {step.name for step in report.steps}
    gone = reject_commands(report, Path(state), names)
    assert list(gone.values()) == [ROWS_ARE_GONE] * bool(commands)
    assert reject_commands(replace(report, steps=NOTHING.steps), Path(state)) == {}
