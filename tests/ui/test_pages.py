"""The pages of a real state: all of them answer, say what is so, show no value of a row, and change nothing."""

from __future__ import annotations

import hashlib
import html
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from cio_etl.cli import main
from cio_etl.model import AttributeDifference, Verification
from cio_etl.state import RunRecord
from cio_etl.ui import JobFiles, Pages
from cio_etl.ui.pages import home_verdict
from cio_etl.ui.plan_files import PlanFiles
from cio_etl.ui.site import JobLine
from tests.running import write_job
from tests.ui.conftest import Shop
from tests.ui.shop import SECRETS, pages_of, site_of, write

NOWHERE = "http://127.0.0.1:9"  # `--sandbox` replaces it

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(shop: Shop) -> dict[str, str]:
    """Every page that links lead to, from the first one on."""
    found: dict[str, str] = {}
    with httpx.Client(base_url=shop.url) as client:
        waiting = ["/"]
        while waiting:
            address = waiting.pop()
            answer = client.get(address)
            assert answer.status_code == 200, address
            found[address] = answer.text
            links = [html.unescape(link) for link in re.findall(r'href="(/[^"]*)"', answer.text)]
            waiting += [link for link in dict.fromkeys(links) if link not in found and link not in waiting]
    return found


def text(page: str) -> str:
    """The words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_each_page_is_reached_by_links(pages: dict[str, str]) -> None:
    paths = {re.sub(r"\?.*", "", address) for address in pages}
    assert {"/", "/jobs/shop", "/jobs/strict", "/jobs/shop.replay", "/rejects", "/plans", "/style.css"} <= paths
    assert {
        "/runs/shop-first",
        "/runs/shop-first/rejects",
        "/runs/shop-first/report.html",
        "/runs/strict-stopped",
    } <= paths
    assert any(re.fullmatch(r"/plans/[0-9a-f]{16}", path) for path in paths)


def test_a_job_with_a_wrong_mapping_still_says_when_it_is_due(tmp_path: Path, shop: Shop) -> None:
    job = json.loads((shop.folder / "jobs/shop.yaml").read_text())
    job["steps"][0]["mapping"] = str(tmp_path / "wrong.yaml")
    (tmp_path / "wrong.yaml").write_text("operation: identfy\nidentifiers: {id: id}\n")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/shop.yaml").write_text(json.dumps(job))
    site = site_of(shop.folder / ".etl", tmp_path / "jobs")
    jobs, problems, _ = site.job_files()
    (line,) = site.lines(jobs, ["shop"], datetime.now(UTC) + timedelta(days=3))
    assert line.next_at is not None and line.missed and line.stale is not None
    assert ["wrong.yaml:1: operation" in file.problem for file in problems] == [True]
    pages = Pages(site)
    assert "wrong.yaml" in text(pages.home(None)) and "email_malformed" in text(pages.run("shop-first"))
    assert "email" in pages.rejected("shop-first", "people", "email_malformed", "attributes.email", 0)


def test_no_page_has_a_value_of_a_row_or_a_secret(pages: dict[str, str], shop: Shop) -> None:
    kept = b"".join(path.read_bytes() for path in (shop.folder / ".etl").rglob("*") if path.is_file())
    assert b"quellhaven" in kept and b"platinum-canary" in kept  # rejected rows, and a plan that reveals
    for address, page in pages.items():
        assert [secret for secret in SECRETS if secret.lower() in page.lower()] == [], address


def test_the_first_page_says_which_jobs_need_a_look(pages: dict[str, str]) -> None:
    words = text(pages["/"])
    assert "1 of 2 jobs needs a look; 7 rejects are open." in words
    assert "strict : stopped with exit code 4, too much rejected or changed" in words
    assert "finished" in words and "60 rows accepted, 4 rejected" in words
    assert "broken.yaml" in words and "A job file cannot be read" in words
    mark = re.search(r'<a class="mark rejects" href="/runs/shop-first".*?</a>', pages["/"], re.S)
    assert mark is not None and "60 rows accepted, 4 rejected" in text(mark[0]) and "!" in text(mark[0])


@pytest.mark.parametrize("has_another", [True, False])
def test_a_job_that_has_not_run_is_not_called_well(has_another: bool) -> None:
    Path("jobs").mkdir()
    write(Path("people.csv"), "id,email", ["1,a@b.co", "2,a@@b.co"])
    mapping = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "email"}}
    Path("people.yaml").write_text(json.dumps(mapping))
    write_job(Path("jobs/new.yaml"), NOWHERE, {"people": ({"csv": "people.csv"}, "people.yaml")}, max_rejects=1)
    assert main(["run", "jobs/new.yaml", "--sandbox", "--run-id", "try"]) == 3
    if has_another:
        write_job(Path("jobs/other.yaml"), NOWHERE, {"people": ({"csv": "people.csv"}, "people.yaml")}, max_rejects=1)
    pages = pages_of(Path(".etl"), Path("jobs"))
    home, job, run = pages.home(None), pages.job("new", None), pages.run("new.sandbox-try")
    verdict = "These jobs have not run yet." if has_another else "The job has run in the sandbox only."
    assert f"<h1>{verdict}</h1>" in home and "as it should" not in home and 'class="verdict fair"' in home
    assert 'none; <a href="/runs/new.sandbox-try">in the sandbox</a>' in home
    assert "<h1>It has run in the sandbox only.</h1>" in job and "/runs/new.sandbox-try" in job
    assert "every row accepted" not in home + job, "no legend where there is no strip"
    tried = pages.job("new.sandbox", None)
    assert 'Runs of <a href="/jobs/new">new</a> in the sandbox.' in tried and "0.0 s" not in tried
    assert "no job file here" not in tried and "<dt>open rejects</dt>" not in tried
    assert "nothing reached Customer.io" in run and "1 of 1 rejected row is open" in run


def test_the_verdict_of_all_jobs_names_those_that_have_not_run() -> None:
    night = "2026-11-28T03:00:00+00:00"
    ran = RunRecord("a-1", "a", "a.yaml", "finished", night, night, 0, None, 16, "", None, "")
    well, new = JobLine("a", None, newest=ran), JobLine("b", None)
    assert home_verdict([well], [], 2, "") == "The job runs as it should; 2 rejects are open."
    assert home_verdict([well, well], [], 0, "these ") == "All these 2 jobs run as they should."
    assert home_verdict([well, new], [], 0, "") == "1 of 2 jobs runs as it should; 1 job has not run yet."
    tried = JobLine("b", None, sandbox_run=ran)
    assert home_verdict([tried, tried], [], 0, "") == "These jobs have run in the sandbox only."


def test_a_run_adds_up_and_leads_to_its_rows_and_commands(pages: dict[str, str]) -> None:
    words = text(pages["/runs/shop-first"])
    assert "people 64 = 60 + 4 + 0 ✓" in words
    assert "3 of 4 rejected rows are open" in words and "64 rows" in words.partition("Throughput")[2]
    rows = next(page for address, page in pages.items() if address.startswith("/runs/shop-first/rejects"))
    assert "people.csv:62" in rows and "id ## email Z***.Q***@@q***.e***" in text(rows)
    assert text(rows).count("accepted by shop.replay-") == 1 and text(rows).count("e*** open") == 3


def test_a_run_shows_who_was_read_back_as_far_as_its_report_says_so(shop: Shop) -> None:
    file = shop.folder / ".etl/runs/shop-first/report.json"
    before = file.read_text()
    result = Verification(60, True, 60, 60, 1, 2, (AttributeDifference("plan", 2),), {"not sent yet": 3}, seed=7)
    assert Verification.of_json(json.loads(json.dumps(result.as_json()))) == result
    try:
        file.write_text(json.dumps(json.loads(before) | {"verification": asdict(result)}))
        words = text(httpx.get(f"{shop.url}/runs/shop-first").text).partition("Read back from Customer.io")[2]
        assert "60 people of 60 read back" in words and "other values: plan of 2" in words
        for damaged in ('{"verification": {"people": 1}}', '{"verification": 5}', "[]", "{", ""):
            file.write_text(damaged)
            answer = httpx.get(f"{shop.url}/runs/shop-first")
            assert answer.status_code == 200 and "Read back" not in answer.text
    finally:
        file.write_text(before)


def test_a_plan_shows_its_changes_by_attribute_masked(pages: dict[str, str]) -> None:
    (plan,) = [page for address, page in pages.items() if address.startswith("/plans/")]
    words = text(plan)
    assert 'attributes.plan "xxxxxx" → "xxxxxxxx-xxxxxx" 60 people 0 60 100\xa0% 0'.replace("\xa0", " ") in words


def test_open_rejects_are_listed_over_all_runs_with_who_closed_others(pages: dict[str, str]) -> None:
    words = text(pages["/rejects"])
    assert "7 rejects are open" in words
    assert "email_malformed in attributes.email shop, step people; last in shop-first 3 " in words
    assert "1 row of shop-first , step people: accepted by shop.replay-" in words


def test_reading_every_page_changes_no_file_of_the_state(shop: Shop) -> None:
    def files() -> dict[Path, str]:
        found = (path for path in shop.folder.rglob("*") if path.is_file() and path.suffix != ".db-shm")
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    before = files()
    for address in ("/", "/jobs/shop", "/runs/shop-first", "/rejects", "/plans", "/healthz"):
        httpx.get(shop.url + address)
    assert {path for path, digest in files().items() if before.get(path) != digest} <= {
        shop.folder / ".etl/state.db-wal"
    }


def test_every_answer_has_the_headers_of_safety_and_no_script_of_others(shop: Shop, pages: dict[str, str]) -> None:
    for address in ("/", "/nothing", "/style.css", "/runs/shop-first/report.html", "/healthz"):
        headers = httpx.get(shop.url + address).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert headers["referrer-policy"] == "no-referrer"
    for page in pages.values():
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
        assert not re.search(r"<script(?! src=\"/live\.js\" defer></script>)|\son\w+=|style=\"", page)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_nothing_but_reading_is_answered(shop: Shop, method: str) -> None:
    answer = httpx.request(method, shop.url)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "address",
    [
        "/runs/../../etc/passwd",
        "/runs/%2e%2e%2f%2e%2e%2fstate.db",
        "/runs/nothing",
        "/runs/nothing/report.html",
        "/runs/shop-first/rejects?step=9",
        "/runs/shop-first/rejects?step=people&after=x",
        f"/runs/shop-first/rejects?step=people&after={'9' * 20}",
        "/runs/shop-first/rejects?step=people&reason=%00",
        "/plans/state.db",
        "/jobs/nothing",
        "/<script>alert(1)</script>",
    ],
)
def test_what_is_not_there_is_a_plain_page(shop: Shop, address: str) -> None:
    answer = httpx.get(shop.url + address)
    assert answer.status_code == 404 and "There is no such page" in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8090", 200),
        ("localhost", 200),
        ("[::1]:8090", 200),
        ("evil.example", 400),
        ("10.0.0.1", 400),
        ("", 400),
    ],
)
def test_another_name_than_the_page_s_own_is_refused(shop: Shop, host: str, status: int) -> None:
    assert httpx.get(shop.url, headers={"Host": host}).status_code == status


def test_what_is_read_of_files_is_as_they_are_now(tmp_path: Path) -> None:
    """Job files and plans come and go while the page is served."""
    jobs, plans = tmp_path / "jobs", PlanFiles(tmp_path / ".etl", [tmp_path])
    jobs.mkdir()
    files = JobFiles((jobs,))
    (tmp_path / "export.json").write_text('[{"id": 1}]')
    assert (files.current(), plans.current()) == ([], [])
    (jobs / "one.yaml").write_text("steps: [")
    (tmp_path / ".etl/plans/shop").mkdir(parents=True)
    made = {"job_file": "a.yaml", "job": "a", "made_at": "2026-11-27T00:00:00+00:00", "steps": [], "format": 1}
    (tmp_path / ".etl/plans/shop/late.json").write_text(json.dumps(made))
    (tmp_path / "broken.json").write_text(json.dumps(made)[:-9])
    assert [file.problem != "" for file in files.current()] == [True]
    assert [(file.path.name, file.plan.job) for file in plans.current()] == [("late.json", "a")]
    (jobs / "one.yaml").unlink()
    assert files.current() == []


def test_head_has_no_body(shop: Shop) -> None:
    for address in ("/", "/live", "/style.css", "/runs/shop-first/report.html"):
        answer = httpx.head(shop.url + address)
        assert (answer.status_code, answer.content) == (200, b""), address
