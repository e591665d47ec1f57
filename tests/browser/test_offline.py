"""The page of `to_html()`: the same widget from a file, without kernel or network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Widget, difference


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page with three methods computed for two classes, and one method not computed."""
    demo = saliency.demo
    methods: list[Any] = [
        saliency.XRAI(steps=6),
        saliency.GradCam(),
        saliency.IntegratedGradients(steps=8),
        "occlusion",
    ]
    made = SaliencyWidget(demo.model(), demo.image(), methods, labels=demo.labels)
    first, second = (each.index for each in saliency.predict(demo.model(), demo.image(), top=2))
    for target in (second, first):
        for method in ("xrai", "grad_cam", "integrated_gradients"):
            made.compute(method, target, wait=True)
    written = made.to_html(tmp_path_factory.mktemp("offline") / "page.html")
    made.close()
    return written


@pytest.fixture(scope="module")
def offline(browser: Browser, path: Path) -> Iterator[tuple[Page, list[str]]]:
    """Open the page from its file, and record its network requests and errors."""
    context = browser.new_context(
        viewport={"width": 1100, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))

    def on_console(message: ConsoleMessage) -> None:
        # Chromium's advice about reading canvases concerns this test
        if message.type in ("error", "warning") and "willReadFrequently" not in message.text:
            trouble.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            trouble.append(request.url)

    page.on("console", on_console)
    page.on("request", on_request)
    page.goto(path.as_uri())
    yield page, trouble
    context.close()


@pytest.fixture
def widget(offline: tuple[Page, list[str]]) -> Iterator[Widget]:
    """Return the widget on the page; there are no network requests and no errors."""
    page, trouble = offline
    shown = Widget(page.locator(".slw-root"))
    shown.wait(state="ready")
    yield shown
    assert trouble == []


def test_the_page_opens_and_reports_that_there_is_no_kernel(widget: Widget) -> None:
    """The picture and the map are shown, with a hint that no kernel is connected."""
    expect(widget.root).to_contain_text("No kernel", timeout=PATIENCE)

    assert widget.pixels()[..., :3].std() > 10


def test_another_method_and_class_are_shown_from_the_file(widget: Widget) -> None:
    """Computed results can be selected: another method and another class change the picture."""
    first = widget.pixels()
    painted = widget.painted
    widget.method("Grad-CAM").locator("button").first.click()
    widget.wait(method="grad_cam")
    widget.repainted(painted)
    second = widget.pixels()
    painted = widget.painted
    widget.root.locator(".slw-chip").nth(1).click()
    widget.repainted(painted)

    assert difference(first, second) > 1
    assert difference(second, widget.pixels()) > 1


def test_the_slider_and_the_keys_work(widget: Widget) -> None:
    """The percentile moves by keys, and XRAI's regions step."""
    widget.method("XRAI").locator("button").first.click()
    widget.wait(method="xrai")
    before = widget.region
    widget.canvas.click()
    widget.page.keyboard.press("ArrowRight")
    widget.wait(region=str(before + 1))
    painted = widget.painted
    widget.slider("Percentile").focus()
    widget.page.keyboard.press("Home")
    widget.repainted(painted)

    assert widget.region > before + 1


def test_a_map_that_was_not_computed_shows_the_reason(widget: Widget) -> None:
    """A method without a result is shown as needing a kernel."""
    expect(widget.method("Occlusion")).to_contain_text("needs a running kernel")


def test_the_file_names_no_place_but_itself(path: Path) -> None:
    """The file contains no network address and no local path."""
    text = path.read_text(encoding="utf-8")

    assert "http://" not in text.replace("http://www.w3.org/", "")
    # addresses of papers, opened only by a click
    assert "https://" not in text.replace("https://arxiv.org/abs/", "")
    assert str(Path.cwd()) not in text
    assert str(Path.home()) + "/" not in text
