"""The people and events of a running sandbox on the pages: masked, in parts, and up to date."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from starlette.responses import JSONResponse

from cio_etl import state
from cio_etl.sandbox import Sandbox
from cio_etl.sandbox.serving import AppServer
from cio_etl.ui import Access, Pages, PageServer, SandboxReader, make_app
from cio_etl.ui.rejected_rows import MOST_COLUMNS
from cio_etl.ui.sandbox_view import SandboxView
from tests.browser import Browser
from tests.state.runs import begin
from tests.ui.shop import site_of

pytestmark = pytest.mark.slow

SECRETS = ("zora.quell", "quellhaven", "platinum-canary", "canary-token")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state with a run."""
    store = state.open_store(tmp_path / ".etl")
    begin(store)
    store.close()
    return tmp_path / ".etl"


@contextmanager
def served(folder: Path, url: str, *, reveal: bool = False) -> Iterator[str]:
    """The address of the pages over a state, with the sandbox at `url`."""
    pages = Pages(site_of(folder), SandboxReader(url, reveal=reveal))
    with PageServer(make_app(pages, Access.on("127.0.0.1")), "127.0.0.1", 0) as server:
        yield server.url


def identify(sandbox: Sandbox, person: int, **attributes: Any) -> None:
    email = f"zora.quell{person}@quellhaven.example"
    identifiers = {"id": f"{person}"}
    item = {"type": "person", "action": "identify", "identifiers": identifiers}
    sandbox.people.apply(item | {"attributes": {"email": email, "plan": "platinum-canary", **attributes}}, 1.7e9)


def record(sandbox: Sandbox, person: int, name: str, action: str = "event", at: float = 1.7e9) -> None:
    item = {"type": "person", "action": action, "identifiers": {"id": f"{person}"}, "name": name, "timestamp": at}
    sandbox.people.apply(item | {"attributes": {"coupon": "platinum-canary", "total": 12.5}}, 1.7e9)


def text(page: str) -> str:
    """The words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.mark.parametrize("path", ["/", "/sandbox"])
def test_people_and_events_are_shown_without_a_value(folder: Path, path: str) -> None:
    with Sandbox() as sandbox, served(folder, sandbox.url) as url:
        identify(sandbox, 7, visits=42, vip=True, tags=["platinum-canary"])
        record(sandbox, 7, "order_placed")
        record(sandbox, 7, "https://shop.example/reset?of=canary-token", "page", at=1.7e12)
        page = httpx.get(url + path).text
        (person,) = sandbox.people.everybody()
    words = text(page)
    assert [secret for secret in SECRETS if secret in page] == []
    assert "email z***.q***@q***.e***" in words and 'plan "xxxxxxxx-xxxxxx" visits ## vip true' in words
    assert 'order_placed coupon "xxxxxxxx-xxxxxx" total ##.#' in words and "2023-11-14 22:13:20" in words
    assert "xxxxx://xxxx.xxxxxxx/xxxxx?xx=xxxxxx-xxxxx" in words and "beyond the year 9999" in words
    assert f'href="{sandbox.url}/people/{person.cio_id}"' in page and f'href="{sandbox.url}/"' in page
    assert "contains no values of rows" in words and "values are masked" in words.lower()


def test_values_are_there_when_they_are_asked_for_and_cannot_become_elements(folder: Path) -> None:
    with Sandbox() as sandbox, served(folder, sandbox.url, reveal=True) as url:
        identify(sandbox, 7, note="<b>platinum</b>", **{"<i>name": 1})
        record(sandbox, 7, "<b>order_placed")
        for path in ("/", "/sandbox"):
            page = httpx.get(url + path).text
            assert "zora.quell7@quellhaven.example" in page and "contains values of rows" in page
            assert "&lt;b&gt;platinum&lt;/b&gt;" in page and not re.search("<b>(platinum|order)|<i>name", page)
        assert "contains no values of rows" in httpx.get(f"{url}/rejects").text


def test_older_people_and_events_are_on_pages_that_new_ones_do_not_move(folder: Path) -> None:
    def shown(address: str) -> list[int]:
        page = httpx.get(url + address).text
        return [int(number) for number in re.findall(r"id</span> <code>(\d+)<", page)]

    with Sandbox() as sandbox, served(folder, sandbox.url, reveal=True) as url:
        for person in range(60):
            identify(sandbox, person, **{f"a{number}": number for number in range(MOST_COLUMNS)})
            record(sandbox, person, f"event{person}")
        assert shown("/") == [59, 58, 57, 56, 55]
        first = httpx.get(f"{url}/sandbox").text
        assert "1 to 25 of 60, the newest first." in text(first) and "and 1 more attribute" in text(first)
        older = html.unescape(re.findall(r'href="(/sandbox[^"]*)">Older people', first)[0])
        assert shown(older) == list(range(34, 9, -1))
        identify(sandbox, 60)
        assert shown(older) == list(range(34, 9, -1)) and shown("/sandbox")[0] == 60
        assert shown("/sandbox?people=10") == list(range(9, -1, -1))
        events = httpx.get(f"{url}/sandbox?people=10&events=3").text
        assert re.findall(r"event\d+", events) == ["event2", "event1", "event0"]
        assert "/sandbox?people=10#events" in html.unescape(events)
        assert "None that are older." in text(httpx.get(f"{url}/sandbox?events=0").text)
        for wrong in ("people=x", "events=-1", f"people={'9' * 20}", "people="):
            assert httpx.get(f"{url}/sandbox?{wrong}").status_code == 404, wrong


def test_a_sandbox_that_is_gone_and_another_server_are_said_on_the_page(folder: Path) -> None:
    with Sandbox() as sandbox:
        pass
    with served(folder, sandbox.url) as url:
        for path in ("/", "/sandbox"):
            answer = httpx.get(url + path)
            assert answer.status_code == 200 and f"No sandbox answers at {sandbox.url}" in answer.text
    contents: tuple[Any, ...] = ([], {"people": 1}, {name: None for name in ("people", "events", "objects")}, "text")
    for content in contents:
        with AppServer(JSONResponse(content), "127.0.0.1", 0, "another") as another:
            reader = SandboxReader(another.url)
            assert (reader.view(5).problem != "", reader.stamp()) == (True, "")


def test_a_sandbox_that_takes_large_batches_is_not_called_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def busy(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    monkeypatch.setattr("cio_etl.ui.sandbox_view.TIMEOUT_S", 0.2)
    with AppServer(busy, "127.0.0.1", 0, "busy") as sandbox, served(folder, sandbox.url) as url:
        for path in ("/", "/sandbox"):
            assert f"The sandbox at {sandbox.url} is busy: no answer within 0.2 s." in text(httpx.get(url + path).text)


def test_without_a_sandbox_there_is_no_such_page(folder: Path) -> None:
    with PageServer(make_app(Pages(site_of(folder)), Access.on("127.0.0.1")), "127.0.0.1", 0) as server:
        assert "Sandbox" not in httpx.get(server.url).text
        answer = httpx.get(f"{server.url}/sandbox")
        assert answer.status_code == 404 and "cio-etl ui --sandbox URL" in text(answer.text)


def test_who_is_deleted_has_no_link_and_a_repeated_event_says_so() -> None:
    with Sandbox() as sandbox:
        identify(sandbox, 7)
        event = {"type": "person", "action": "event", "identifiers": {"id": "7"}, "name": "order", "id": f"{1:026}"}
        for _ in range(3):
            sandbox.people.apply(event, 1.7e9)
        view: SandboxView = SandboxReader(sandbox.url).view(5)
        assert [(each.received, each.cio_id is None) for each in view.events.entries] == [(3, False)]
        sandbox.people.apply({"type": "person", "action": "delete", "identifiers": {"id": "7"}}, 1.7e9)
        view = SandboxReader(sandbox.url).view(5)
        assert (view.people.total, [each.cio_id for each in view.events.entries]) == (0, [None])


# ---------------------------------------------------------------- in a browser


@pytest.mark.parametrize("path", ["/", "/sandbox"])
@pytest.mark.parametrize("reveal", [False, True])
def test_the_sandbox_is_accessible_and_fits_its_window(
    chromium: Browser, folder: Path, path: str, reveal: bool
) -> None:
    with Sandbox() as sandbox, served(folder, sandbox.url, reveal=reveal) as url:
        for person in range(30):
            identify(sandbox, person, long="x" * 900, nested={"a": [1, {"b": "c" * 300}]}, **{"n" * 200: 1})
            record(sandbox, person, "order_placed" * 20)
        with chromium.visited(url + path) as opened:
            for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)):
                opened.page.emulate_media(color_scheme=scheme)
                opened.page.set_viewport_size({"width": width, "height": 800})
                assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
                found = Axe().run(opened.page).response["violations"]
                assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
            assert opened.said == [] and [each for each in opened.asked if not each.startswith(url)] == []


def test_what_arrives_is_shown_by_itself_and_the_focus_stays(chromium: Browser, folder: Path) -> None:
    with Sandbox() as sandbox, served(folder, sandbox.url) as url, chromium.visited(url) as opened:
        page = opened.page
        expect(page.locator("#live")).to_have_text("updates by itself")
        page.focus('a[href="/sandbox"]:not(nav a)')
        assert page.locator("h3:text('Newest people') + p").inner_text() == "None."
        body = {"batch": [{"type": "person", "action": "identify", "identifiers": {"id": "7"}, "attributes": {}}]}
        httpx.post(f"{sandbox.url}/api/v2/batch", auth=("sandbox", "sandbox"), json=body).raise_for_status()
        page.wait_for_selector(".entries .place", timeout=15_000)
        assert page.evaluate("document.activeElement.textContent") == "All people and events"
        page.keyboard.press("Enter")
        page.wait_for_url("**/sandbox")
        assert page.inner_text("h1") == "1 person and 0 events in the sandbox"
        body["batch"][0]["identifiers"] = {"id": "8"}
        httpx.post(f"{sandbox.url}/api/v2/batch", auth=("sandbox", "sandbox"), json=body).raise_for_status()
        page.wait_for_selector("h1:text('2 people')", timeout=15_000)
