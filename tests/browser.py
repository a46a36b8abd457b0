"""Gives a test a real browser: Chromium, where it is installed. Elsewhere its tests are skipped, or fail on CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that was opened, and all that it does of itself."""

    page: Any
    said: list[str] = field(default_factory=list)  # on the console, of whatever level
    asked: list[str] = field(default_factory=list)  # for something else than itself


@dataclass(frozen=True, slots=True)
class Browser:
    """A real one."""

    chromium: Any

    def opened(self, path: Path) -> AbstractContextManager[Opened]:
        """The file in a window of its own."""
        return self.visited(path.absolute().as_uri())

    @contextmanager
    def visited(self, address: str) -> Iterator[Opened]:
        """The page at an address in a window of its own."""
        window = self.chromium.new_context()
        opened = Opened(window.new_page())
        opened.page.on("console", lambda message: opened.said.append(f"{message.type}: {message.text}"))
        opened.page.on("pageerror", lambda error: opened.said.append(f"error: {error}"))
        opened.page.on("dialog", lambda dialog: opened.said.append(f"dialog: {dialog.message}"))
        opened.page.on("dialog", lambda dialog: dialog.dismiss())
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        try:
            opened.page.goto(address)
            opened.asked.remove(opened.page.url)
            yield opened
        finally:
            window.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or another of that name, for the block."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        missing = "no Chromium: `apt-get install chromium` installs one"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=list(QUIET))
        try:
            yield Browser(running)
        finally:
            running.close()
