"""The sandbox's page in a real browser: figures of any size stay within their tiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from cio_etl.sandbox import page
from cio_etl.sandbox.workspace import Workspace
from tests.browser import Browser

OVERFLOWING = """() => [...document.querySelectorAll('dl div, dd')]
  .filter(e => e.scrollWidth > e.clientWidth || e.clientHeight > 100).map(e => e.innerText)"""


@pytest.mark.parametrize("figure", [0, 1_000_000, 1_234_567_890])
def test_figures_stay_within_their_tiles(chromium: Browser, tmp_path: Path, figure: int) -> None:
    workspace = Workspace()
    stats = {name: figure if isinstance(value, int) else value for name, value in workspace.stats().items()}
    (tmp_path / "home.html").write_text(page.home(stats, workspace.people), encoding="utf-8")
    with chromium.opened(tmp_path / "home.html") as opened:
        for width in (320, 390, 768, 1280):
            opened.page.set_viewport_size({"width": width, "height": 800})
            assert opened.page.evaluate(OVERFLOWING) == []
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
