"""The reports as a reader sees them, in headless Chromium."""

import shutil
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MINUTES = 60_000

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox does not start as root.
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=5 * MINUTES
        )
        yield launched
        launched.close()


class Opened:
    """A report in a window, and what it complained of or asked for."""

    def __init__(self, browser, path: Path, width: int = 1100, scheme: str = "light") -> None:
        size = {"width": width, "height": 900}
        self.page = browser.new_page(viewport=size, color_scheme=scheme)
        self.page.set_default_timeout(2 * MINUTES)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.resolve().as_uri())


@pytest.mark.parametrize("name", ["run", "compare"])
@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (360, "dark")])
def test_a_report_renders_without_a_word_in_both_schemes_and_on_a_phone(
    browser, reports, name, width, scheme
):
    opened = Opened(browser, reports[name], width, scheme)
    page = opened.page
    assert opened.complaints == []
    files = [url for url in opened.requests if not url.startswith("data:")]
    assert files == [reports[name].resolve().as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.evaluate(
        """() => {
            const style = getComputedStyle(document.body);
            const text = getComputedStyle(document.querySelector("figure svg text"));
            return [style.backgroundColor, style.color, text.fill];
        }"""
    )
    paper, ink, drawn = (tuple(map(int, c.strip("rgb()").split(", "))) for c in colours)
    assert (sum(paper) > sum(ink)) == (scheme == "light")
    assert drawn == ink
    page.close()


def test_a_click_on_a_column_sorts_the_rows_and_another_the_other_way(browser, reports):
    page = Opened(browser, reports["run"]).page
    page.click("summary:has-text('every epoch')")
    table = page.locator("details[open] table")
    head = table.locator("th").nth(0)
    column = table.locator("td:first-child")
    assert column.all_inner_texts() == ["0", "1", "2"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column.all_inner_texts() == ["2", "1", "0"]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column.all_inner_texts() == ["0", "1", "2"]
    other = table.locator("th").nth(1)
    other.locator("button").press("Enter")
    assert (head.get_attribute("aria-sort"), other.get_attribute("aria-sort")) == (
        "none",
        "descending",
    )
    page.close()


def test_numbers_are_sorted_as_numbers_and_empty_cells_stay_last(browser, reports):
    page = Opened(browser, reports["compare"]).page
    table = page.locator("table").first
    names = table.locator("td:first-child")
    assert names.all_inner_texts() == ["none", "kd"]
    teacher = table.locator("th", has_text="teacher").locator("button")
    for _ in range(2):
        teacher.click()
        # Only one of the two methods has a teacher.
        assert names.all_inner_texts() == ["kd", "none"]
    table.locator("th", has_text="method").locator("button").click()
    assert names.all_inner_texts() == ["kd", "none"]
    page.close()


def test_a_click_plays_a_clip_and_another_stops_it(browser, reports):
    page = Opened(browser, reports["run"]).page
    button = page.locator("button.clip").first
    button.scroll_into_view_if_needed()
    still = button.locator("img").screenshot()
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    seen = {button.locator("img").screenshot()}
    for _ in range(40):
        if len(seen) > 2:
            break
        page.wait_for_timeout(50)
        seen.add(button.locator("img").screenshot())
    assert len(seen) > 2
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    page.mouse.move(0, 0)
    assert button.locator("img").screenshot() == still
    page.close()
