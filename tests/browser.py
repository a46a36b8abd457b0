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


class Browser:
    """A real one. Its window is the same for all pages: a new one costs 1 s of CPU, another page in it 0.15 s."""

    def __init__(self, chromium: Any) -> None:
        self.chromium = chromium
        self._window: Any = None

    def opened(self, path: Path) -> AbstractContextManager[Opened]:
        """The file in a window that shows nothing else."""
        return self.visited(path.absolute().as_uri())

    @contextmanager
    def visited(self, address: str) -> Iterator[Opened]:
        """The page at an address, in a window as a new one has it: size, media and cookies."""
        window, self._window = self._window or self.chromium.new_page(), None
        opened = Opened(window)
        listeners = (
            ("console", lambda message: opened.said.append(f"{message.type}: {message.text}")),
            ("pageerror", lambda error: opened.said.append(f"error: {error}")),
            ("dialog", lambda dialog: opened.said.append(f"dialog: {dialog.message}")),
            ("dialog", lambda dialog: dialog.dismiss()),
            ("request", lambda request: opened.asked.append(request.url)),
        )
        for event, listener in listeners:
            window.on(event, listener)
        try:
            window.goto(address)
            opened.asked.remove(window.url)
            yield opened
        except BaseException:
            window.close()
            raise
        window.goto("about:blank")
        for event, listener in listeners:
            window.remove_listener(event, listener)
        window.context.clear_cookies()
        window.emulate_media(media="null", color_scheme="light")
        window.set_viewport_size({"width": 1280, "height": 720})
        window.mouse.move(0, 0)
        self._window = window


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
