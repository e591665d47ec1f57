"""The appearance of the widget: each view is compared with its stored picture; axe-core reports nothing in any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Notebook, Widget
from tests.browser.jupyter import Jupyter
from tests.browser.pictures import assert_same_picture, photograph

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
    """Write an offline page that explains the demo picture."""
    demo = saliency.demo
    # in float64, so that rounding of another processor does not select another region
    made = SaliencyWidget(demo.model().double(), demo.image(), METHODS, labels=demo.labels, batch_size=8)
    target = demo.labels.index("cat")
    for method in ("grad_cam", "integrated_gradients", "smooth_grad", "xrai"):
        made.compute(method, target, wait=True)
    made.target = target
    written = made.to_html(tmp_path_factory.mktemp("pictures") / "page.html")
    made.close()
    return written


def opened(browser: Browser, path: Path, width: int, dark: bool = False) -> tuple[Page, Widget]:
    """Open the page in a window of some width."""
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


def violations(page: Page) -> list[str]:
    """Return axe-core's findings in the widget."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run('.slw-root')).violations.map(v => `${v.id}: ${v.nodes[0].html}`)")
    return list(found)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1000, 460])
def test_regions(browser: Browser, path: Path, width: int, dark: bool) -> None:
    """XRAI's regions on the demo picture, wide and narrow, light and dark."""
    page, widget = opened(browser, path, width, dark)

    assert violations(page) == []
    assert_same_picture(f"regions-{width}-{'dark' if dark else 'light'}", photograph(widget.root))
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
    assert_same_picture("heat-map", photograph(widget.root))
    page.context.close()


def test_signed_map(browser: Browser, path: Path) -> None:
    """Integrated Gradients with signs: evidence for the class in red, against it in blue."""
    page, widget = opened(browser, path, 1000)
    widget.method("Integrated Gradients").locator("button").first.click()
    widget.wait(method="integrated_gradients")
    widget.root.get_by_role("radio", name="Heat map").click()
    widget.root.get_by_role("radio", name="Signed").click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert violations(page) == []
    assert_same_picture("signed-map", photograph(widget.root))
    page.context.close()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page with two models and two images, two methods computed for two classes of each."""
    demo = saliency.demo
    models = {"float64": demo.model().double(), "the same again": demo.model().double()}
    images = {"three objects": demo.image(), "mirrored": np.asarray(demo.image())[:, ::-1]}
    methods = [saliency.GradCam(), saliency.IntegratedGradients(steps=12), saliency.XRAI(steps=6)]
    made = SaliencyWidget(models, images, methods, labels=demo.labels, mode="heat", batch_size=8)
    cat, cup = (demo.labels.index(name) for name in ("cat", "coffee cup"))
    for target in (cat, cup):
        for method in ("grad_cam", "integrated_gradients", "xrai"):
            made.compute(method, target, wait=True)
    made.compute("grad_cam", cat, wait=True, image=1)
    made.compute("grad_cam", cat, wait=True, model=1)
    made.compute("grad_cam", cat, wait=True, model=1, image=1)
    made.method, made.target = "grad_cam", cat
    made.compare(["grad_cam", "integrated_gradients", "xrai"], [cat, cup])
    written = made.to_html(tmp_path_factory.mktemp("several") / "page.html")
    made.close()
    return written


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1600, 400])
def test_compare(browser: Browser, several: Path, width: int, dark: bool) -> None:
    """Methods by classes in a grid, wide and narrow, light and dark."""
    page, widget = opened(browser, several, width, dark)
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert violations(page) == []
    assert_same_picture(f"compare-{width}-{'dark' if dark else 'light'}", photograph(widget.root))
    page.context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_difference(browser: Browser, several: Path, dark: bool) -> None:
    """One map minus another, with the legend that names both and the figures on how alike they are."""
    page, widget = opened(browser, several, 1000, dark)
    widget.root.get_by_role("radio", name="Difference").click()
    widget.root.get_by_label("Second").select_option(label="XRAI · cat")
    widget.root.get_by_role("region", name="Difference").get_by_text("Grad-CAM · cat minus XRAI · cat").wait_for()
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert violations(page) == []
    assert_same_picture(f"difference-{'dark' if dark else 'light'}", photograph(widget.root))
    page.context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_swipe(browser: Browser, several: Path, dark: bool) -> None:
    """One map over another up to a line, with contours, above a percentile that the histogram marks."""
    page, widget = opened(browser, several, 1000, dark)
    widget.root.get_by_role("radio", name="Swipe").click()
    widget.root.get_by_label("contours").check()
    slider = widget.slider("Percentile")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("PageUp")
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert violations(page) == []
    assert_same_picture(f"swipe-{'dark' if dark else 'light'}", photograph(widget.root))
    page.context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_images(browser: Browser, several: Path, dark: bool) -> None:
    """Models by images, with the strip of pictures above."""
    page, widget = opened(browser, several, 1000, dark)
    for name in ("Integrated Gradients", "XRAI", "coffee cup"):
        widget.root.get_by_label(f"Compare {name}").uncheck()
    widget.root.get_by_label("Compare model the same again").check()
    widget.root.get_by_label("Compare image mirrored").check()
    widget.wait(cells="4")
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)

    assert violations(page) == []
    assert_same_picture(f"images-{'dark' if dark else 'light'}", photograph(widget.root))
    page.context.close()


@pytest.fixture(scope="module")
def shown_in_lab(browser: Browser, lab: Jupyter) -> Iterator[tuple[Page, Widget]]:
    """Return the widget in JupyterLab with its dark theme."""
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
    """In JupyterLab's dark theme the widget is dark, with Lab's colours and font."""
    page, widget = shown_in_lab
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)

    assert violations(page) == []
    assert_same_picture("lab-dark", photograph(widget.root))
