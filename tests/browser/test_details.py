"""Large photographs: zoomed in, the picture has its full resolution, at the very place of its display copy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser
from scipy.ndimage import gaussian_filter

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE
from tests.browser.hosts import Host, Quirks

SIZE = 2400, 3200
"""Height and width of the photograph."""

STEP = 1.5
"""The factor of the key +."""


def photograph() -> np.ndarray:
    """Return smooth colours with marks of a few pixels, which the display copy blurs: uint8 (H, W, 3)."""
    random = np.random.default_rng(0)
    colours = np.asarray(Image.fromarray(random.integers(60, 200, (12, 16, 3), np.uint8)).resize(SIZE[::-1]), float)
    marks = gaussian_filter(random.normal(size=SIZE), 1.2)
    return np.clip(colours + marks[..., None] / marks.std() * 40, 0, 255).astype(np.uint8)


PHOTOGRAPH = photograph()


def preprocess(image: Any) -> np.ndarray:
    """Return the middle of the picture at 30 × 40 pixels, scaled to 0–1: the model sees a crop."""
    small = Image.fromarray(np.asarray(image)).resize((60, 45), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32)[8:38, 10:50] / 255


@pytest.fixture(scope="module")
def host(browser: Browser) -> Iterator[Host]:
    """Show the photograph with a map over it."""
    context = browser.new_context(viewport={"width": 1000, "height": 900}, reduced_motion="reduce")
    widget = SaliencyWidget(
        lambda images: images.mean((1, 2)),
        PHOTOGRAPH,
        [saliency.Occlusion(size=10, stride=10)],
        preprocess=preprocess,
        target=0,
        opacity=0,
    )
    shown = Host(context.new_page(), widget, Quirks())
    shown.widget.wait(state="ready")
    yield shown
    widget.close()
    context.close()


def part(picture: np.ndarray, view: tuple[float, float, float], width: int, height: int) -> np.ndarray:
    """Return what is on the screen: the part of a picture from (u, v), as shares, zoomed to a canvas."""
    (down, across), (u, v, zoom) = picture.shape[:2], view
    box = (u * across, v * down, (u + 1 / zoom) * across, (v + 1 / zoom) * down)
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image, float)


def error(one: np.ndarray, other: np.ndarray, shift: tuple[int, int] = (0, 0)) -> float:
    """Return the mean difference of two pictures without their margin, one of which is shifted."""
    moved = np.roll(one, shift, (0, 1))
    return float(np.abs(moved - other)[8:-8, 8:-8].mean())


def settled(host: Host, expected: np.ndarray, most: float) -> np.ndarray:
    """Return the canvas once it differs by less than `most` from what is expected, or after the patience ends."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        shown = host.widget.pixels()[..., :3].astype(float)
        if error(shown, expected) < most or time.monotonic() > deadline:
            return shown
        host.page.wait_for_timeout(100)


@pytest.mark.parametrize("mode", ["area", "heat"])
def test_details_are_where_the_copy_has_them(host: Host, mode: str) -> None:
    """At several zooms, and after a move, the canvas is the photograph's own pixels, to less than one of the screen."""
    page, widget = host.page, host.widget
    widget.root.get_by_role("radio", name="Heat map" if mode == "heat" else "Top pixels").click()
    widget.canvas.focus()
    page.keyboard.press("0")
    if mode == "area":
        page.keyboard.down(" ")
    full = PHOTOGRAPH
    if mode == "heat":
        luma = np.asarray(PHOTOGRAPH, float) @ np.array([0.2126, 0.7152, 0.0722])
        full = np.repeat(np.rint(luma).astype(np.uint8)[..., None], 3, -1)
    copy = np.asarray(Image.fromarray(full).resize((1024, 768), Image.Resampling.LANCZOS))
    height, width = widget.pixels().shape[:2]

    for presses in range(3, 7):
        page.keyboard.press("0")
        for _ in range(presses):
            page.keyboard.press("+")
        zoom = STEP**presses
        at = 0.5 - 0.5 / zoom
        # the last of these is moved to the right by a tenth of the screen
        moved = presses == 6
        if moved:
            page.keyboard.press("Shift+ArrowRight")
        view = (at + 0.1 / zoom * moved, at, zoom)
        expected, blurred = part(full, view, width, height), part(copy, view, width, height)
        # a JPEG file, and the browser's own interpolation
        limit = 0.5 * error(blurred, expected)
        shown = settled(host, expected, limit)

        assert error(shown, expected) < limit
        for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            assert error(shown, expected, shift) > error(shown, expected)
        assert abs((shown - expected).mean()) < 1
    page.keyboard.up(" ")
    page.keyboard.press("0")


def test_a_view_that_was_seen_is_not_requested_again(host: Host) -> None:
    """Zooming out and back in shows the details that are kept; at 100 % none are needed."""
    page, widget = host.page, host.widget
    requests = "window.delivered.filter(({op}) => op === 'detail').length"
    widget.canvas.focus()
    page.keyboard.press("0")
    page.wait_for_timeout(400)
    before = page.evaluate(requests)
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_function(f"{requests} <= {before + 1}", timeout=PATIENCE)
    page.wait_for_timeout(400)
    seen = page.evaluate(requests)
    assert seen <= before + 1

    page.keyboard.press("0")
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_timeout(600)
    assert page.evaluate(requests) == seen
    page.keyboard.press("0")


def test_a_saved_page_has_its_copy_alone(host: Host, browser: Browser, tmp_path: Any) -> None:
    """Zoomed in, a page without a kernel requests nothing and reports no error."""
    file = host.python.to_html(tmp_path / "page.html")
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda each: complaints.append(each.text))
    page.on("pageerror", lambda each: complaints.append(str(each)))
    page.goto(file.as_uri())
    canvas = page.locator("canvas.slw-picture")
    canvas.focus()
    for _ in range(5):
        page.keyboard.press("+")
    page.wait_for_timeout(500)

    assert complaints == []
    assert page.locator(".slw-zoom").get_by_text("759 %").is_visible()
    page.close()
