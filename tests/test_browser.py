"""What TensorBoard and the page of ``inspect`` show of a comparison in a real browser, down to its pixels.

``make test-browser`` makes a comparison of the quick preset in runs/quick, or takes that of RUN=FOLDER; ``make
screenshots`` keeps what the browser shows in experiments/results. The times printed are reported, not judged.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_cases import (
    HEIGHT,
    PATIENCE,
    WIDTH,
    chromium,
    count_colours,
    count_line_colours,
    picture,
    save_screenshot,
    tensorboard,
    wait_for,
    wait_until_served,
)
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

RUN = os.environ.get("BROWSER_RUN")
SCREENSHOTS = os.environ.get("BROWSER_SCREENSHOTS")
PICTURE_COLOURS = 50  # of an episode's picture, at 4 bits a channel: text and three decisions alone have fewer

LOADED = "image => image.complete && image.naturalWidth > 0"
PLACES = """cells => cells.map(cell => [cell.getBoundingClientRect(), cell.innerText.trim()])
    .map(([box, text]) => [Math.round(box.x), Math.round(box.y), text])"""

Check = Callable[["Page", str, Path, float], None]

pytestmark = pytest.mark.browser


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "experiments", *words], check=True)


@pytest.fixture(scope="module")
def comparison() -> Path:
    """Folder of a finished comparison."""
    if not RUN:
        command("compare", "--preset", "quick", "--run", "runs/quick")
    return Path(RUN or "runs/quick").resolve()


@pytest.fixture(scope="module")
def inspection(comparison) -> Path:
    """The page of ``inspect``, anew; but that of a comparison which was given is left as it is."""
    path = comparison / "inspect/index.html"
    if not (RUN and path.exists()):
        command("inspect", str(comparison))
    return path


@pytest.fixture(scope="module")
def page():
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def board(comparison):
    with tensorboard(comparison) as address:
        wait_until_served(address)
        yield address


@pytest.fixture(scope="module")
def empty_board(tmp_path_factory):
    with tensorboard(tmp_path_factory.mktemp("empty")) as address:
        wait_until_served(address)
        yield address


def open_tab(page: Page, address: str, tab: str) -> None:
    """A tab of TensorBoard, with its filters; the query is that of TIME SERIES, which has its own."""
    if not page.url.startswith(address):
        page.goto(
            f"{address}/?tagFilter=validation&smoothing=0&runFilter=%5E%5B%5E%2F%5D%2B%24#timeseries",
            wait_until="domcontentloaded",
        )
    page.evaluate("fragment => { location.hash = fragment }", tab)


# one seed's runs, ^[^/]+s0$: those that inspect writes lie deeper, and of more than 40 TensorBoard shows none by itself
TRAINED = "regexInput=%5E%5B%5E%2F%5D%2Bs0%24"


def learners(comparison: Path) -> list[str]:
    """Names of the comparison's runs with a learning curve."""
    return sorted(path.parent.name for path in comparison.glob("*/learning.json"))


def lines_in(chart: Locator) -> int:
    """Colours of lines in a chart; 0 where there is none."""
    return count_line_colours(picture(chart.first)) if chart.count() and chart.first.is_visible() else 0


def check_lines(chart: Locator, comparison: Path, what: str, seconds: float) -> None:
    """Colours repeat after 7 runs and some are alike, so that three are enough."""
    wanted = min(len(learners(comparison)), 3)
    wait_for(lambda: lines_in(chart), lambda found: found >= wanted, f"lines of {wanted} colours in {what}", seconds)


def check_time_series(page: Page, address: str, comparison: Path, seconds: float) -> None:
    open_tab(page, address, "timeseries")
    for tag in ("validation/accuracy", "validation/cost"):
        chart = page.locator("card-view", has_text=tag).locator(".series-view")
        check_lines(chart, comparison, tag, seconds)


def check_scalars(page: Page, address: str, comparison: Path, seconds: float) -> None:
    open_tab(page, address, f"scalars&tagFilter=validation&_smoothingWeight=0&{TRAINED}")
    for tag in ("validation/accuracy", "validation/cost"):
        chart = page.locator("tf-scalar-card", has_text=tag).locator("#chartdiv")
        check_lines(chart, comparison, tag, seconds)


def check_custom_scalars(page: Page, address: str, comparison: Path, seconds: float) -> None:
    open_tab(page, address, f"custom_scalars&_smoothingWeight=0&{TRAINED}")
    dashboard = page.locator("tf-custom-scalar-dashboard", has_text="policy gradient vs relaxation")
    charts = dashboard.locator("tf-custom-scalar-multi-line-chart-card").locator("#chartdiv")
    wait_for(charts.count, lambda count: count >= 2, "charts of policy gradient vs relaxation", seconds)
    for number in range(2):
        check_lines(charts.nth(number), comparison, f"custom chart {number}", seconds)


def check_pictures(images: Locator, what: str, seconds: float) -> None:
    """The first of them is loaded, and drawn in many colours."""

    def colours() -> int:
        if not images.count() or not images.first.evaluate(LOADED):
            return 0
        return count_colours(picture(images.first))

    wait_for(colours, lambda found: found >= PICTURE_COLOURS, f"{what} of {PICTURE_COLOURS} colours", seconds)


def check_images(page: Page, address: str, comparison: Path, seconds: float) -> None:
    """Episodes are drawn, and the slider leads to that of an earlier evaluation."""
    open_tab(page, address, f"images&tagFilter=episodes%2Fclip_0&{TRAINED}")
    cards = page.locator("tf-image-loader", has_not_text="inspect/")
    images = cards.locator("img:visible")
    check_pictures(images, "a picture of an episode", seconds)
    last = images.first.get_attribute("src")
    slider = cards.first.locator("#steps")
    slider.focus()
    slider.press("ArrowLeft")
    wait_for(lambda: images.first.get_attribute("src"), lambda source: source != last, "an earlier picture", seconds)
    check_pictures(images, "an earlier picture", seconds)
    slider.press("ArrowRight")
    wait_for(lambda: images.first.get_attribute("src"), lambda source: source == last, "the last picture", seconds)
    check_pictures(images, "the last picture", seconds)


def check_animations(page: Page, address: str, comparison: Path, seconds: float) -> None:
    """What TensorBoard hands out is a GIF that moves."""
    open_tab(page, address, f"images&tagFilter=animations%2Fclip_0&{TRAINED}")
    images = page.locator("tf-image-loader", has_text="animations").locator("img:visible")
    check_pictures(images, "an animation", seconds)
    content = page.request.get(images.first.evaluate("image => image.src")).body()
    with Image.open(io.BytesIO(content)) as animation:
        assert animation.format == "GIF"
        assert animation.n_frames > 1


def check_hparams(page: Page, address: str, comparison: Path, seconds: float) -> None:
    """The table has a row for each run that is in sight, with the last points of its curves."""
    open_tab(page, address, "hparams")
    cells = page.locator("tf-hparams-table-view vaadin-grid-cell-content")
    names = learners(comparison)

    def rows() -> list[dict[str, str]]:
        drawn = cells.evaluate_all(PLACES)
        top = next((y for _, y, text in drawn if text == "Trial ID"), None)
        columns = {x: text for x, y, text in drawn if y == top and text}
        lines = {y: {columns[x]: text for x, at, text in drawn if at == y and x in columns} for _, y, _ in drawn}
        return [line for line in lines.values() if line.get("Trial ID") in names]

    found = wait_for(rows, lambda lines: len(lines) >= min(len(names), 10), "a row for each run", seconds)
    for row in found:
        last = json.loads((comparison / row["Trial ID"] / "learning.json").read_text())[-1]
        assert float(row["validation/accuracy"]) == pytest.approx(last["accuracy"], abs=1e-3), row
        assert float(row["validation/cost"]) == pytest.approx(last["cost"], abs=1e-3), row
        assert 0 < float(row["test/accuracy"]) <= 100, row
        assert 0 < float(row["test/cost"]) < 2, row


CHECKS = {
    "scalars": check_time_series,
    "scalars-classic": check_scalars,
    "comparison": check_custom_scalars,
    "images": check_images,
    "animations": check_animations,
    "hparams": check_hparams,
}


def keep(page: Page, name: str) -> None:
    """A screenshot for README, tidied up so that what matters can be read at its size."""
    if name == "scalars":
        page.get_by_role("button", name="Settings").click()
    elif name == "images":
        page.get_by_text("Show actual image size").click()
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT + 100})
        page.wait_for_timeout(1000)
    elif name == "hparams":  # its columns have a fixed width, and those of accuracy and cost are the last
        for setting in ("group_size", "reward", "seed"):
            page.locator("tf-hparams-query-pane paper-checkbox", has_text=setting).first.click()
        page.set_viewport_size({"width": 1640, "height": HEIGHT})
        page.wait_for_timeout(1000)
    save_screenshot(page, Path(SCREENSHOTS) / f"tensorboard-{name}.png")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


KEPT = ("scalars", "comparison", "images", "hparams")


@pytest.mark.parametrize("name", CHECKS)
def test_tensorboard_shows_the_comparison(name, page, board, comparison):
    CHECKS[name](page, board, comparison, PATIENCE)
    if SCREENSHOTS and name in KEPT:
        keep(page, name)


@pytest.mark.parametrize("name", CHECKS)
def test_control_an_empty_log_directory_shows_nothing(name, page, empty_board, comparison):
    open_tab(page, empty_board, "timeseries")
    loaded = page.get_by_text("Tags matching filter")
    wait_for(loaded.is_visible, bool, "TensorBoard's own page", PATIENCE)
    with pytest.raises(AssertionError, match=r"expected .* within 3 s"):
        CHECKS[name](page, empty_board, comparison, 3)


def test_control_a_chart_without_lines_has_no_colours():
    chart = Image.new("RGB", (300, 200), "white")
    draw = ImageDraw.Draw(chart)
    draw.line((0, 100, 300, 100), "#ccc", 2)
    draw.text((20, 20), "0.5", fill="black")
    assert count_line_colours(chart) == 0
    assert count_colours(chart) < PICTURE_COLOURS
    for y, colour in enumerate(("#0077bb", "#ee3377", "#009988")):
        draw.line((0, 40 * y + 10, 300, 40 * y + 30), colour, 2)
    assert count_line_colours(chart) == 3


def test_the_page_of_inspect_holds_all_of_it(page, inspection):
    """Table, pictures and episodes are drawn, next and previous leaf through them, and nothing is asked of a network."""
    asked = open_page(page, inspection)
    assert page.locator("#table tbody tr").count() > 0
    for part in ("#front", "#learning"):
        chart = page.locator(f"{part} img")
        if chart.count():  # of a run on its own there is a sentence in its place
            assert count_line_colours(picture(chart)) > 0
        else:
            assert page.locator(part).inner_text()
    shown, episodes = page.locator(".episode.shown"), page.locator(".episode")
    seen = []
    while True:
        assert shown.count() == 1
        image = shown.locator("img")
        assert image.evaluate(LOADED)
        assert count_colours(picture(image)) >= PICTURE_COLOURS
        seen.append(shown.inner_text())
        if page.locator("#next").is_disabled():
            break
        page.locator("#next").click()
    assert len(seen) == episodes.count() > 1
    assert len(set(seen)) == len(seen)
    page.locator("#previous").click()
    assert shown.inner_text() == seen[-2]
    assert not asked
    if SCREENSHOTS:  # about the width of an episode
        page.set_viewport_size({"width": 900, "height": HEIGHT})
        page.locator("#episodes").evaluate("section => section.scrollIntoView()")
        save_screenshot(page, Path(SCREENSHOTS) / "inspect.png")
        page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


def open_page(page: Page, path: Path) -> list[str]:
    """Open a file; the addresses that it asks for, itself and what it holds aside, are listed as they come."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    mine = (path.as_uri(), "data:", "blob:")
    page.wait_for_timeout(500)
    asked[:] = [address for address in asked if not address.startswith(mine)]
    return asked


def test_control_a_page_that_asks_the_network_is_caught(page, tmp_path):
    path = tmp_path / "index.html"
    path.write_text('<link rel="icon" href="data:,"><img src="http://127.0.0.1:9/picture.png">')
    assert open_page(page, path) == ["http://127.0.0.1:9/picture.png"]


def test_how_long_tensorboard_takes_to_open(page, comparison, capsys):
    """From the start of its process to the lines of the first chart of validation clips, and to the first pictures."""
    started = time.monotonic()
    with tensorboard(comparison) as address:
        wait_until_served(address)
        served = time.monotonic() - started
        page.goto(f"{address}/?tagFilter=validation#timeseries", wait_until="domcontentloaded")
        chart = page.locator("card-view .series-view")
        wait_for(lambda: lines_in(chart), bool, "the lines of the first chart", PATIENCE)
        drawn = time.monotonic() - started
        page.evaluate("location.hash = 'images'")
        image = page.locator("tf-image-loader").locator("img:visible")
        check_pictures(image, "a picture", PATIENCE)
        pictures = time.monotonic() - started - drawn
    size = sum(path.stat().st_size for path in comparison.rglob("*") if path.is_file())
    runs = len(list(comparison.glob("*/events.out.tfevents.*")))
    load = os.getloadavg()[0]
    with capsys.disabled():
        print(
            f"\nTensorBoard on {comparison.name}: {runs} event files, {size / 1e6:.0f} MB in all. From its start: "
            f"{served:.1f} s until it answers, {drawn:.1f} s until the first chart's lines are drawn; then {pictures:.1f} s "
            f"until IMAGES shows episodes. {os.cpu_count()} cores with a load of {load:.1f}."
        )
