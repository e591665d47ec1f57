"""The widget outside a notebook: served by Voila and by marimo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from tests.browser import servers
from tests.browser.driving import PATIENCE, Widget

MAKE = """
import torch, saliency
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net
torch.set_num_threads(1)
w = SaliencyWidget(small_net(), picture(96, 96), labels=LABELS, methods=[saliency.XRAI(steps=2), "gradient"])
"""

SHOW_STATE = """
import ipywidgets
state = ipywidgets.Label()
w.observe(lambda change: setattr(state, "value", f"keep {w.keep:g}, {w.method}"), ["keep", "method"])
state
"""

CELLS = {
    # Python's copy of the widget's state is shown beside it
    "voila": [
        MAKE,
        "w",
        SHOW_STATE,
    ],
    "marimo": [
        f"import marimo as mo{MAKE}shown = mo.ui.anywidget(w)\nshown",
        "shown.value\nmo.md(f'keep {w.keep:g}, {w.method}')",
    ],
}


@pytest.fixture(scope="module", params=sorted(CELLS))
def complaints(
    request: pytest.FixtureRequest, page: Page, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """Open the page, and return the errors of our code."""
    errors: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        url = message.location.get("url", "")
        if message.type in ("error", "warning") and (url.startswith("blob:") or "slw" in message.text):
            errors.append(f"{message.type}: {message.text}")

    page.on("console", listen)
    page.on("pageerror", lambda error: errors.append(str(error.stack)) if "blob:" in (error.stack or "") else None)
    home = tmp_path_factory.mktemp(request.param)
    with getattr(servers, request.param)(home, CELLS[request.param]) as server:
        page.goto(server.url)
        yield errors
        page.goto("about:blank")


@pytest.fixture
def widget(page: Page, complaints: list[str]) -> Iterator[Widget]:
    """Return the widget, ready; no errors may appear while it is used."""
    shown = Widget(page.locator(".slw-root").first)
    shown.wait(state="ready")
    yield shown
    assert complaints == []


def test_the_slider_repaints_and_reaches_python(page: Page, widget: Widget) -> None:
    """Arrow keys on the slider repaint the picture at once, and reach Python on release."""
    slider, painted = widget.slider("Percentile"), widget.painted
    slider.focus()
    before = float(slider.input_value())
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    widget.repainted(painted)

    # a loaded page may drop a key press
    after = float(slider.input_value())
    assert before < after <= before + 5
    expect(page.get_by_text(f"keep {100 - after:g}, ")).to_be_visible(timeout=PATIENCE)


def test_a_method_is_computed_on_request(page: Page, widget: Widget) -> None:
    """A click on another method computes it in the kernel's thread and shows it, and Python receives the method."""
    widget.method("Gradient").locator("button").first.click()

    widget.wait(method="gradient", state="ready")
    expect(page.get_by_text(", gradient")).to_be_visible(timeout=PATIENCE)
