"""The widget in JupyterLab, in Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PATIENCE, Notebook, Widget, difference
from tests.browser.jupyter import Jupyter

SETUP = """
import numpy as np, torch, saliency
from saliency_widget import SaliencyWidget
torch.set_num_threads(1)
model, img, labels = saliency.demo.model(), saliency.demo.image(), saliency.demo.labels
objects = saliency.demo.objects()
"""

SHOW = """
w = SaliencyWidget(
    model, img, labels=labels,
    methods=[saliency.XRAI(steps=6), saliency.GradCam(), saliency.IntegratedGradients(steps=8)],
)
w
"""


FOCUSED = """() => {
  const focused = document.activeElement;
  return focused.closest('.slw-root') && (focused.getAttribute('aria-label') || focused.textContent);
}"""


@pytest.fixture(scope="module")
def notebook(page: Page, lab: Jupyter) -> Iterator[Notebook]:
    """Open a notebook that shows the widget on the demo picture."""
    opened = Notebook(page, lab, [SETUP, SHOW])
    yield opened
    opened.close()


@pytest.fixture
def widget(notebook: Notebook) -> Iterator[Widget]:
    """Return the widget with its first map on the screen; no errors may appear while it is used."""
    notebook.complaints.clear()
    shown = notebook.widget()
    shown.wait(state="ready")
    before = shown.painted
    changed = notebook.run(
        "w.method, w.target, w.mode, w.sign = 'xrai', w.predictions[0].index, 'area', 'auto'\n"
        "w.keep, w.threshold, w.opacity, w.region, w.colormap = 30.0, 0.0, 0.7, 0, 'inferno'\n"
        "w.wait()"
    )
    assert changed == "True"
    shown.wait(state="ready", method="xrai")
    assert shown.painted >= before
    yield shown
    assert notebook.complaints == []


def mask_of(notebook: Notebook, expression: str) -> np.ndarray:
    """Return an array of the kernel."""
    output = notebook.run(f"print(np.asarray({expression}).astype(np.uint8).tolist())")
    return np.array(json.loads(output), np.uint8)


def test_what_is_kept_is_what_numpy_keeps(notebook: Notebook, widget: Widget) -> None:
    """In the view of top pixels, the pixels with their own colours are those of `w.selection`."""
    notebook.run("w.method = 'grad_cam'; w.wait()")
    widget.wait(state="ready", method="grad_cam")
    before = widget.painted
    notebook.run("w.keep = 20.0")
    widget.repainted(before)
    kept = mask_of(notebook, "w.selection").astype(bool)
    picture = mask_of(notebook, "img")
    pixels = widget.pixels()
    scale = pixels.shape[0] / kept.shape[0]
    # centres of the mask's cells, away from the outlines
    inner = kept & np.roll(kept, 2, 0) & np.roll(kept, -2, 0) & np.roll(kept, 2, 1) & np.roll(kept, -2, 1)
    outer = ~(kept | np.roll(kept, 2, 0) | np.roll(kept, -2, 0) | np.roll(kept, 2, 1) | np.roll(kept, -2, 1))
    rows, columns = (np.round((np.arange(n) + 0.5) * scale - 0.5).astype(int) for n in kept.shape)
    seen = pixels[np.ix_(rows, columns)][..., :3]

    assert 0.15 < kept.mean() < 0.25
    assert difference(seen[inner], picture[inner]) < 12
    assert seen[outer].mean() < 0.6 * picture[outer].mean()


def test_dragging_the_slider_repaints_without_requests(notebook: Notebook, widget: Widget) -> None:
    """While the percentile is dragged, the picture changes and no message is sent; releasing it sends one."""
    before, painted = widget.pixels(), widget.painted
    notebook.count_messages()
    handle = widget.slider("Percentile")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    widget.page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    widget.page.mouse.down()
    for share in np.linspace(0.3, 0.8, 25):
        widget.page.mouse.move(box["x"] + share * box["width"], middle)
    widget.repainted(painted)
    while_dragging = notebook.sent
    widget.page.mouse.up()
    expect(handle).to_be_visible()
    widget.page.wait_for_function("() => window.sent > 0", timeout=PATIENCE)

    assert while_dragging == 0
    assert notebook.sent <= 2
    assert difference(widget.pixels(), before) > 2
    assert float(notebook.run("print(w.keep)")) != 30.0


def test_regions_are_stepped_by_keys(notebook: Notebook, widget: Widget) -> None:
    """On the picture, → adds a region and ← removes it; the notebook does not react; Python receives the number."""
    widget.canvas.click()
    before = widget.region
    for _ in range(3):
        widget.page.keyboard.press("ArrowRight")
    widget.wait(region=str(before + 3))
    more = widget.pixels()
    widget.page.keyboard.press("ArrowLeft")
    widget.wait(region=str(before + 2))
    painted = widget.painted
    widget.page.keyboard.press("b")  # the notebook's "insert a cell below"
    widget.page.keyboard.press("x")  # and its "cut this cell"

    assert widget.painted >= painted
    assert difference(widget.pixels(), more) > 0.05
    assert widget.page.locator(".jp-Notebook .jp-Cell").count() == 2
    notebook.until("w.region", before + 2)


def test_another_class_moves_the_map(notebook: Notebook, widget: Widget) -> None:
    """Each object's class moves Grad-CAM's top pixels onto that object, and Python receives the class."""
    notebook.run("w.method = 'grad_cam'; w.wait()")
    names = notebook.run("print(*[labels[p.index] for p in w.predictions[:2]], sep='|')").strip().split("|")
    for name in names:
        widget.choose_class(name)
        notebook.until("labels[w.target]", name)
        notebook.run("w.wait(); w.keep = 5.0")
        widget.wait(state="ready")
        share = float(notebook.run(f"print(objects[{name!r}][w.selection].mean())"))

        assert share > 0.6, name


def test_a_trait_set_in_python_is_seen(notebook: Notebook, widget: Widget) -> None:
    """Mode, opacity and colours set from Python repaint the picture."""
    pictures = [widget.pixels()]
    for code in ("w.mode = 'heat'", "w.colormap = 'viridis'", "w.opacity = 0.2", "w.sign = 'signed'"):
        painted = widget.painted
        notebook.run(code)
        widget.repainted(painted)
        pictures.append(widget.pixels())

    for one, other in pairwise(pictures):
        assert difference(one, other) > 1


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("area", ("XRAI", "Top pixels", "Positive", "Percentile", "Opacity", "Next region", "Play", "Settings used")),
        ("heat", ("XRAI", "Heat map", "Percentile", "Colours", "Opacity")),
    ],
)
def test_every_control_is_reached_by_tab(notebook: Notebook, widget: Widget, mode: str, names: tuple[str, ...]) -> None:
    """Tab moves through classes, methods, view, sign, sliders, colours and regions, and out again."""
    notebook.run(f"w.mode = {mode!r}")
    widget.root.locator(".slw-chip[aria-checked=true]").focus()
    seen: list[str] = []
    while len(seen) < 40 and (now := widget.page.evaluate(FOCUSED)) is not None:
        seen.append(now)
        widget.page.keyboard.press("Tab")

    assert len(seen) < 40
    for name in names:
        assert any(name in each for each in seen), f"{name} in {seen}"


def test_the_map_s_value_is_read_under_the_pointer(notebook: Notebook, widget: Widget) -> None:
    """Hovering shows the pixel, the mask's value and the region there."""
    box = widget.canvas.bounding_box()
    assert box is not None
    widget.canvas.hover(position={"x": 0.5 * box["width"], "y": 0.25 * box["height"]})
    reading = widget.root.locator(".slw-reading")
    expect(reading.locator(".slw-figure-value strong")).to_have_text(re.compile(r"\d"), timeout=PATIENCE)
    expect(reading).to_contain_text("mean attribution")
    expected = float(notebook.run("m = w.explanation.mask; print(m[m.shape[0] // 4, m.shape[1] // 2])"))
    value = widget.root.locator(".slw-figure-value strong").inner_text().replace("−", "-")

    assert float(value) == pytest.approx(expected, rel=0.06)
