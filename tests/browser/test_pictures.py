"""What the widget looks like: each picture is one test, compared with the kept one; axe-core finds nothing in any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Notebook, Widget
from tests.browser.jupyter import Jupyter
from tests.browser.pictures import assert_same_picture

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"

METHODS: list[Any] = [
    saliency.XRAI(steps=20),
    saliency.GradCam(),
    saliency.IntegratedGradients(steps=20),
    saliency.SmoothGrad(samples=8),
    "occlusion",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo picture explained, as an offline page."""
    demo = saliency.demo
    # in float64, so that another processor's rounding does not choose another region
    made = SaliencyWidget(demo.model().double(), demo.image(), METHODS, labels=demo.labels, batch_size=8)
    target = demo.labels.index("cat")
    for method in ("grad_cam", "integrated_gradients", "smooth_grad", "xrai"):
        made.compute(method, target, wait=True)
    made.target = target
    written = made.to_html(tmp_path_factory.mktemp("pictures") / "page.html")
    made.close()
    return written


def opened(browser: Browser, path: Path, width: int, dark: bool = False) -> tuple[Page, Widget]:
    """The page in a window of some width."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(path.as_uri())
    widget = Widget(page.locator(".slw-root"))
    widget.wait(state="ready")
    page.wait_for_function(
        "root => Number(root.dataset.painted) > 1", arg=widget.root.element_handle(), timeout=PATIENCE
    )
    return page, widget


def photograph(widget: Widget) -> bytes:
    """The widget alone; how long things took is covered, for it differs every time."""
    changing = [widget.root.locator(".slw-status"), widget.root.locator(".slw-cost")]
    return widget.root.screenshot(animations="disabled", mask=changing, mask_color="#888888")


def violations(page: Page) -> list[str]:
    """What axe-core finds in the widget."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run('.slw-root')).violations.map(v => `${v.id}: ${v.nodes[0].html}`)")
    return list(found)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1000, 460])
def test_regions(browser: Browser, path: Path, width: int, dark: bool) -> None:
    """XRAI's regions on the demo picture, wide and narrow, light and dark."""
    page, widget = opened(browser, path, width, dark)

    assert violations(page) == []
    assert_same_picture(f"regions-{width}-{'dark' if dark else 'light'}", photograph(widget))
    page.context.close()


def test_heat_map(browser: Browser, path: Path) -> None:
    """Grad-CAM's heat map over the greyed picture."""
    page, widget = opened(browser, path, 1000)
    widget.method("Grad-CAM").locator("button").first.click()
    widget.wait(method="grad_cam")
    widget.root.get_by_role("radio", name="Heat map").click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert violations(page) == []
    assert_same_picture("heat-map", photograph(widget))
    page.context.close()


def test_signed_map(browser: Browser, path: Path) -> None:
    """Integrated Gradients with its sign: for the class in red, against it in blue."""
    page, widget = opened(browser, path, 1000)
    widget.method("Integrated Gradients").locator("button").first.click()
    widget.wait(method="integrated_gradients")
    widget.root.get_by_role("radio", name="Heat map").click()
    widget.root.get_by_role("radio", name="Signed").click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert violations(page) == []
    assert_same_picture("signed-map", photograph(widget))
    page.context.close()


@pytest.fixture(scope="module")
def shown_in_lab(browser: Browser, lab: Jupyter) -> Iterator[tuple[Page, Widget]]:
    """The widget in JupyterLab with its dark theme."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce").new_page()
    setup = "import torch, saliency\nfrom saliency_widget import SaliencyWidget\ntorch.set_num_threads(1)"
    show = (
        "demo = saliency.demo\n"
        "w = SaliencyWidget(demo.model(), demo.image(), [saliency.GradCam(), 'gradient'], labels=demo.labels,"
        " target='cat', mode='heat')\nw"
    )
    notebook = Notebook(page, lab, [setup, show], "pictures.ipynb")
    widget = notebook.widget()
    widget.wait(state="ready")
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    widget.wait(theme="dark")
    yield page, widget
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    notebook.close()
    page.context.close()


def test_dark_lab(shown_in_lab: tuple[Page, Widget]) -> None:
    """In JupyterLab's dark theme the widget is dark, in Lab's own colours and font."""
    page, widget = shown_in_lab
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)

    assert violations(page) == []
    assert_same_picture("lab-dark", photograph(widget))
