"""The report page in a real browser: no errors, readable and in order, on small and large, light and dark screens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cio_etl.log.visible import visible
from cio_etl.model import Plan, Report
from cio_etl.report.page import page
from cio_etl.report.plan_page import plan_page
from cio_etl.run.reports import remedies
from tests.browser import Browser
from tests.reports import HOSTILE, NOTHING, PLAN, RUN, STOPPING, VALIDATION, WIDE, hostile

# The text with the least contrast to what is behind it, and how much it has (WCAG 2.2, 1.4.3).
CONTRAST = """() => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = parts(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const texts = [...document.body.querySelectorAll('*')].filter(e => e instanceof HTMLElement
    && e.getClientRects().length && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  return texts.map(e => {
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 80)];
  }).sort((x, y) => x[0] - y[0])[0];
}"""


def written(folder: Path, shown: Report | Plan, command: str = "cio-etl run shop.yaml") -> Path:
    path, commands = folder / "page.html", {"run": command}
    made = page(shown, commands, remedies()) if isinstance(shown, Report) else plan_page(shown, commands, remedies())
    path.write_text(made, encoding="utf-8")
    return path


@pytest.mark.parametrize("shown", [VALIDATION, PLAN], ids=["validation", "plan"])
def test_hostile_text_does_nothing_and_is_there_to_read(
    chromium: Browser, tmp_path: Path, shown: Report | Plan
) -> None:
    text = " ".join(HOSTILE)
    with chromium.opened(written(tmp_path, hostile(shown, text), f"cio-etl {text}")) as opened:
        opened.page.set_viewport_size({"width": 375, "height": 800})
        opened.page.mouse.move(100, 400)
        assert opened.page.evaluate("document.querySelector('.next code').textContent") == f"cio-etl {visible(text)}"
        assert (
            opened.page.evaluate("document.querySelectorAll('script, img, iframe, form, base, [onload]').length") == 0
        )
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 375
        assert (opened.said, opened.asked) == ([], [])


@pytest.mark.parametrize(
    "shown",
    [VALIDATION, RUN, NOTHING, WIDE, PLAN, STOPPING],
    ids=["validation", "run", "nothing", "wide", "plan", "stopping"],
)
def test_the_page_is_silent_fits_its_window_and_can_be_read(
    chromium: Browser, tmp_path: Path, shown: Report | Plan
) -> None:
    papers = set()
    with chromium.opened(written(tmp_path, shown)) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        for scheme in ("light", "dark"):
            opened.page.emulate_media(color_scheme=scheme)
            papers.add(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            least, element = opened.page.evaluate(CONTRAST)
            assert least >= 4.5, element
        for width in (375, 1280):
            opened.page.set_viewport_size({"width": width, "height": 800})
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert (opened.said, opened.asked) == ([], [])
    assert len(papers) == 2  # one for the day, one for the night


def test_the_page_prints_dark_on_light_with_all_its_columns(chromium: Browser, tmp_path: Path) -> None:
    with chromium.opened(written(tmp_path, WIDE)) as opened:
        opened.page.emulate_media(media="print", color_scheme="dark")
        ink: str = opened.page.evaluate("getComputedStyle(document.body).color")
        assert max(map(int, re.findall(r"\d+", ink))) < 100
        assert opened.page.locator("code", has_text="column_number_299").first.bounding_box()["height"] > 0


def test_the_browser_would_tell_what_a_page_does(chromium: Browser, tmp_path: Path) -> None:
    """The tests above hang on this."""
    noisy = tmp_path / "noisy.html"
    noisy.write_text("<img src=gone.png><script>console.warn('w'); alert('a'); undefined_name</script>")
    with chromium.opened(noisy) as opened:
        opened.page.wait_for_load_state("networkidle")
        assert len(opened.asked) == 1 and opened.asked[0].endswith("/gone.png")
        said = " ".join(opened.said)
        assert "warning: w" in said and "dialog: a" in said and "undefined_name is not defined" in said


def test_each_page_finds_the_window_as_the_first_one_found_it(chromium: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("a page")
    media = "['print', '(prefers-color-scheme: dark)'].map(of => matchMedia(of).matches)"
    for _ in range(2):
        with chromium.opened(page) as opened:
            assert opened.page.evaluate("[innerWidth, innerHeight]") == [1280, 720]
            assert opened.page.evaluate(media) == [False, False]
            assert (opened.page.context.cookies(), opened.said, opened.asked) == ([], [], [])
            opened.page.set_viewport_size({"width": 375, "height": 800})
            opened.page.emulate_media(media="print", color_scheme="dark")
            opened.page.context.add_cookies([{"name": "a", "value": "b", "url": "http://127.0.0.1"}])
            opened.page.evaluate("console.warn('w')")
            assert opened.said == ["warning: w"]
