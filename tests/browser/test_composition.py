"""Two composed widgets in JupyterLab, and in a page without a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import saliency
from saliency_widget import SaliencyWidget, compose
from tests.browser.driving import PATIENCE, Notebook, Widget
from tests.browser.jupyter import Jupyter
from tests.browser.pictures import assert_same_picture, photograph

CELL = """
import saliency
from saliency_widget import SaliencyWidget, compose
demo = saliency.demo
options = {"labels": demo.labels, "prefetch": False, "target": "cat"}
one = SaliencyWidget(demo.model(), demo.image(), ["xrai"], **options)
other = SaliencyWidget(demo.model(), demo.image(), ["grad_cam", "gradient"], **options)
both = compose(one, other)
both
"""


@pytest.fixture(scope="module")
def notebook(page: Page, lab: Jupyter) -> Iterator[Notebook]:
    """Open a notebook with two composed widgets."""
    page.set_viewport_size({"width": 1500, "height": 1000})
    shown = Notebook(page, lab, [CELL], "composition.ipynb")
    for number in range(2):
        shown.widget(number).wait(state="ready", target="1")
    yield shown
    shown.close()


def hover(widget: Widget, across: float, down: float) -> None:
    """Move the pointer over the picture."""
    box = widget.canvas.bounding_box()
    assert box is not None
    widget.page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])


def reading(widget: Widget) -> str:
    """Return the pixel under the pointer, or under that of the other widget."""
    return " ".join(widget.root.locator(".slw-reading strong").all_inner_texts()[:2])


def test_looking_is_linked_without_the_kernel(notebook: Notebook) -> None:
    """Pointer and zoom of one are those of the other, and no message goes to the kernel."""
    one, other = notebook.widget(0), notebook.widget(1)
    notebook.count_messages()
    one.root.get_by_role("button", name="Zoom in").click()
    hover(one, 0.3, 0.4)

    expect(other.root.locator(".slw-zoom .slw-number")).to_have_text("150 %")
    expect(other.root.locator(".slw-cursor")).to_be_visible()
    expect(one.root.locator(".slw-cursor")).to_be_hidden()
    assert reading(one) == reading(other) != ""
    assert notebook.sent == 0
    hover(other, 0.7, 0.6)
    expect(one.root.locator(".slw-cursor")).to_be_visible()
    one.canvas.dblclick()


def test_settings_and_class_are_linked_with_python(notebook: Notebook) -> None:
    """A class and a percentile chosen in one widget are those of the other on the screen and in Python, and back."""
    one, other = notebook.widget(0), notebook.widget(1)
    one.choose_class("coffee cup")
    for each in (one, other):
        each.wait(state="ready", target=str(saliency.demo.labels.index("coffee cup")))
    notebook.until("other.target == one.target and other.explanation is not None", True)
    slider = other.root.locator(".slw-side input[type=range]").first
    slider.focus()
    notebook.page.keyboard.press("End")
    notebook.until("one.keep == other.keep != 12", True)
    notebook.run("one.mode = 'heat'")
    expect(other.root.get_by_role("radio", name="Heat map")).to_be_checked(timeout=PATIENCE)
    notebook.run("both.close()")
    expect(notebook.page.locator(".slw-root")).to_have_count(0)
    assert notebook.run("one.keep = 50; print(other.keep == 50)").strip() == "False"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of two composed widgets."""
    demo = saliency.demo
    made = [
        SaliencyWidget(demo.model(), demo.image(), [each], labels=demo.labels, target="cat", keep=20)
        for each in ("xrai", "grad_cam")
    ]
    for each in made:
        for label in ("cat", "coffee cup"):
            each.compute(target=label, wait=True)
    file = compose(*made).to_html(tmp_path_factory.mktemp("page") / "both.html")
    for each in made:
        each.close()
    return file


@pytest.mark.parametrize("width", [1180, 700])
def test_a_page_links_them_too(browser: Browser, path: Path, width: int) -> None:
    """In one saved page they are side by side, or below each other in a narrow one, and linked, class included."""
    page = browser.new_page(viewport={"width": width, "height": 1000}, reduced_motion="reduce")
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(path.as_uri())
    one, other = (Widget(page.locator(".slw-root").nth(number)) for number in range(2))
    for each in (one, other):
        each.wait(state="ready")
    boxes = [each.root.bounding_box() for each in (one, other)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert (boxes[0]["y"] == boxes[1]["y"]) == (width > 800)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")

    hover(one, 0.3, 0.3)
    expect(other.root.locator(".slw-cursor")).to_be_visible()
    other.root.get_by_role("radio", name="coffee cup").click()
    for each in (one, other):
        each.wait(target=str(saliency.demo.labels.index("coffee cup")))
    if width > 800:
        page.mouse.move(0, 0)
        assert_same_picture("composed-light", photograph(page.locator("main")))
    assert troubles == []
    page.close()
