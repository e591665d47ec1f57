"""The widget in Notebook 7, which handles plain keys itself unless prevented."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PATIENCE, Notebook, Widget
from tests.browser.jupyter import Jupyter

SETUP = """
import numpy as np, torch, saliency
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net
torch.set_num_threads(1)
w = SaliencyWidget(small_net(), picture(96, 96), labels=LABELS, methods=[saliency.XRAI(steps=2), "gradient"])
"""


@pytest.fixture(scope="module")
def notebook(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """Open a notebook in Notebook 7 that shows the widget."""
    with Jupyter("notebook", tmp_path_factory.mktemp("notebook7")) as server:
        opened = Notebook(page, server, [SETUP, "w"])
        yield opened
        opened.close()


@pytest.fixture
def widget(notebook: Notebook) -> Iterator[Widget]:
    """Return the widget, ready; no errors may appear while it is used."""
    shown = notebook.widget()
    shown.wait(state="ready", method="xrai")
    yield shown
    assert notebook.complaints == []


def test_the_slider_moves_by_keys(notebook: Notebook, widget: Widget) -> None:
    """Arrow keys on the focused slider move it, repaint the picture, and reach Python on release."""
    slider, painted = widget.slider("Percentile"), widget.painted
    slider.focus()
    before = float(slider.input_value())
    for _ in range(5):
        widget.page.keyboard.press("ArrowRight")
    widget.repainted(painted)

    assert float(slider.input_value()) == before + 5
    notebook.until("w.keep", 100 - (before + 5))


def test_regions_step_by_keys(notebook: Notebook, widget: Widget) -> None:
    """→ on the picture adds a region."""
    widget.canvas.click()
    before = widget.region
    widget.page.keyboard.press("ArrowRight")
    widget.wait(region=str(before + 1))
    notebook.until("w.region", before + 1)


@pytest.mark.parametrize("control", ["slider", "picture", "method", "class"])
def test_the_notebook_keeps_its_hands_off(widget: Widget, control: str) -> None:
    """The notebook's one-letter commands (insert, cut, to Markdown) do nothing while a control has the focus."""
    element = {
        "slider": widget.slider("Opacity"),
        "picture": widget.canvas,
        "method": widget.method("Gradient").locator("button").first,
        "class": widget.root.locator(".slw-chip").first,
    }[control]
    if control == "picture":
        element.click()
    else:
        element.focus()
    for key in ("a", "b", "x", "m", "d", "d"):
        widget.page.keyboard.press(key)
    widget.page.wait_for_timeout(200)

    assert widget.page.locator(".jp-Notebook .jp-Cell").count() == 2
    assert widget.page.locator(".jp-MarkdownCell").count() == 0


def test_space_shows_the_plain_picture(widget: Widget) -> None:
    """While the space bar is held on the picture, the original is shown, and afterwards the map again."""
    widget.canvas.click()
    with_map = widget.pixels()
    painted = widget.painted
    widget.page.keyboard.down("Space")
    widget.repainted(painted)
    plain = widget.pixels()
    painted = widget.painted
    widget.page.keyboard.up("Space")
    widget.repainted(painted)

    assert plain[..., :3].mean() > with_map[..., :3].mean() + 5
    assert (widget.pixels() == with_map).all()


def test_a_method_is_chosen_by_key(notebook: Notebook, widget: Widget) -> None:
    """Enter on a method's row computes and shows it."""
    widget.method("Gradient").locator("button").first.focus()
    widget.page.keyboard.press("Enter")
    widget.wait(method="gradient", state="ready")
    expect(widget.method("Gradient")).to_have_attribute("data-status", "done", timeout=PATIENCE)
    notebook.until("w.method", "gradient")
    notebook.run("w.method = 'xrai'")
    widget.wait(method="xrai")
