"""The pages in a real browser: readable for everybody, on small and large, light and dark screens, and by keyboard."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from starlette.responses import PlainTextResponse

from cio_etl.ui import Access, PageServer
from cio_etl.ui.guard import Guard
from tests.browser import Browser
from tests.ui.conftest import Shop

pytestmark = pytest.mark.slow

PAGES = {
    "jobs": "/",
    "job": "/jobs/shop",
    "run": "/runs/shop-first",
    "stopped": "/runs/strict-stopped",
    "rows": "/runs/shop-first/rejects?step=people&reason=email_malformed&field=attributes.email",
    "rejects": "/rejects",
    "plans": "/plans",
    "plan": None,
    "nothing": "/nothing",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits_its_window(chromium: Browser, shop: Shop, name: str) -> None:
    with chromium.visited(shop.url + (PAGES[name] or "/plans")) as opened:
        if PAGES[name] is None:
            opened.page.click("article a")
        opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        for scheme, width in (("light", 1280), ("dark", 390)):
            opened.page.emulate_media(color_scheme=scheme)
            opened.page.set_viewport_size({"width": width, "height": 800})
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
            found = Axe().run(opened.page).response["violations"]
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
        assert [line for line in opened.said if "404" not in line] == []
        assert [url for url in opened.asked if not url.startswith(shop.url)] == []


def test_the_keyboard_leads_from_the_jobs_to_a_rejected_row(chromium: Browser, shop: Shop) -> None:
    with chromium.visited(shop.url) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        for wanted in ("/runs/shop-first", "/runs/shop-first/rejects"):
            for _ in range(60):
                page.keyboard.press("Tab")
                focused = page.evaluate(
                    "[document.activeElement.getAttribute('href'), document.activeElement.matches(':focus-visible')]"
                )
                if (focused[0] or "").split("?")[0] == wanted:
                    break
            assert focused[1], wanted
            page.keyboard.press("Enter")
            page.wait_for_url(f"**{wanted}**")
        assert "email_malformed" in page.inner_text("h1")


def test_a_page_that_is_open_shows_what_has_changed(chromium: Browser, shop: Shop) -> None:
    with chromium.visited(shop.url) as opened:
        page = opened.page
        expect(page.locator("#live")).to_have_text("updates by itself")
        page.focus('a[href="/jobs/strict"]')
        change = "UPDATE run SET status = 'abandoned' WHERE run_id = 'strict-stopped'"
        with contextlib.closing(sqlite3.connect(shop.folder / ".etl/state.db")) as state, state:
            state.execute(change)
        page.wait_for_selector("text=strict: abandoned")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "/jobs/strict"
        assert page.evaluate("document.querySelectorAll('main').length") == 1


def test_pages_are_whole_without_a_script(chromium: Browser, shop: Shop, tmp_path: Path) -> None:
    window = chromium.chromium.new_context(java_script_enabled=False)
    try:
        page = window.new_page()
        page.goto(f"{shop.url}/runs/shop-first")
        assert page.locator("table.sum").count() == 1 and page.locator("svg.chart rect").count() >= 1
    finally:
        window.close()


def test_a_token_can_be_typed_and_is_asked_for_once(chromium: Browser) -> None:
    app = Guard(PlainTextResponse("inside"), Access.on("127.0.0.1", token="the-token-of-the-tests"))
    with PageServer(app, "127.0.0.1", 0) as server, chromium.visited(server.url) as opened:
        page = opened.page
        page.set_viewport_size({"width": 390, "height": 800})
        assert Axe().run(page).response["violations"] == []
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.type("the-token-of-the-tests")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=inside")
        assert page.url == f"{server.url}/"
        page.goto(f"{server.url}/runs/x")
        assert page.inner_text("body") == "inside"
