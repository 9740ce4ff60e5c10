"""A real browser for the tests: TensorBoard as a process, Debian's Chromium through playwright, and what is in pixels.

TensorBoard's elements live in open shadow roots, through which playwright's CSS selectors see; none is in a frame.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

if TYPE_CHECKING:  # playwright is only there for make test-browser
    from playwright.sync_api import Locator, Page

T = TypeVar("T")

WIDTH, HEIGHT = 1400, 900  # CSS pixels of the window, and pixels of a screenshot
PATIENCE = 180.0  # seconds until something must be there; on a quiet machine it takes a hundredth of them
SCREENSHOT_BYTES = 250_000
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-3d-apis",  # TensorBoard then draws SVG: without a GPU, its WebGL may leave a chart empty
)


@contextmanager
def chromium() -> Iterator[Page]:
    """A page in a fresh Chromium, which ends with the block.

    :raises FileNotFoundError: no chromium on the PATH
    """
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium")
    if executable is None:
        raise FileNotFoundError("expected chromium on the PATH, found none: run make test-browser, which installs it")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, sync_playwright() as playwright:
        window = {"width": WIDTH, "height": HEIGHT}
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=executable,
            args=list(FLAGS),
            viewport=window,
            locale="en-GB",
            timezone_id="UTC",
            timeout=PATIENCE * 1000,
        )
        context.set_default_timeout(PATIENCE * 1000)
        try:
            yield context.pages[0]
        finally:
            context.close()


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """The address of a TensorBoard that has just been started on a folder; it may not answer yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir.name, "--port", str(port)]
        command += ["--host", "127.0.0.1"]
        server = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "TZ": "UTC"}, cwd=logdir.parent
        )  # pictures name no folder of the machine
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def wait_until_served(address: str, seconds: float = PATIENCE) -> None:
    """Wait for a server at ``http://HOST:PORT``."""
    host, port = address.removeprefix("http://").split(":")

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    wait_for(answers, lambda answered: answered, "an answer of TensorBoard", seconds)


def wait_for(look: Callable[[], T], enough: Callable[[T], bool], what: str, seconds: float) -> T:
    """What ``look`` finds, as soon as it is enough.

    :raises AssertionError: it never was
    """
    end = time.monotonic() + seconds
    while True:
        found = look()
        if enough(found):
            return found
        assert time.monotonic() < end, f"expected {what} within {seconds:g} s, last seen: {found}"
        time.sleep(0.2)


def picture(element: Locator) -> Image.Image:
    """An element as it is drawn on the screen."""
    return Image.open(io.BytesIO(element.screenshot(animations="disabled"))).convert("RGB")


def count_line_colours(chart: Image.Image, *, pixels: int = 40) -> int:
    """Hues, of 18, that at least so many saturated pixels have: lines have them; axes, grid and text are grey."""
    hue, saturation, value = np.asarray(chart.convert("HSV")).astype(int).transpose(2, 0, 1)
    drawn = hue[(saturation > 75) & (value > 50)]
    return int((np.bincount(drawn * 18 // 256, minlength=18) >= pixels).sum())


def count_colours(image: Image.Image) -> int:
    """Different colours, at 4 bits a channel: text on white has at most 16, a photograph hundreds."""
    rgb = np.asarray(image.convert("RGB")) >> 4
    return len(np.unique(rgb.reshape(-1, 3), axis=0))


def save_screenshot(page: Page, path: Path) -> None:
    """The page as a PNG of WIDTH pixels across and less than SCREENSHOT_BYTES, with as many colours as that allows."""
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    shot = shot.resize((WIDTH, round(shot.height * WIDTH / shot.width)), Image.Resampling.LANCZOS)
    path.write_bytes(next(small for small in map(_compressed(shot), (256, 128, 64, 32, 16)) if small is not None))


def _compressed(shot: Image.Image) -> Callable[[int], bytes | None]:
    def compress(colours: int) -> bytes | None:
        file = io.BytesIO()
        shot.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        return file.getvalue() if file.tell() < SCREENSHOT_BYTES else None

    return compress
