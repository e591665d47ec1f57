"""Maps side by side: each is drawn, zoomed, swiped and read without a message to the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect

import saliency
from saliency.metrics import similarity
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Notebook, Widget, difference, pixels_of
from tests.browser.jupyter import Jupyter

METHODS: list[Any] = [saliency.GradCam(), saliency.GradientSaliency(), saliency.IntegratedGradients(steps=8)]


def written(folder: Path) -> Path:
    """Write a page with two methods for two classes of two models on one picture, as a grid of methods and classes."""
    demo = saliency.demo
    models = {"trained": demo.model(), "upside down": demo.model()}
    made = SaliencyWidget(models, demo.image(), METHODS, labels=demo.labels, mode="heat", method="grad_cam")
    targets = [demo.labels.index("cat"), demo.labels.index("coffee cup")]
    for model in (0, 1):
        for target in targets:
            for method in ("grad_cam", "gradient"):
                made.compute(method, target, wait=True, model=model)
    made.target = targets[0]
    made.compare(["grad_cam", "gradient"], targets)
    path = made.to_html(folder / "page.html")
    made.close()
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page's file."""
    return written(tmp_path_factory.mktemp("compare"))


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Page]:
    """Open the page, in a new context for each test."""
    context = browser.new_context(
        viewport={"width": 1100, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    opened = context.new_page()
    trouble: list[str] = []
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.goto(path.as_uri())
    Widget(opened.locator(".slw-root")).wait(state="ready", cells="4")
    opened.wait_for_function("() => Number(document.querySelector('.slw-root').dataset.painted) > 1", timeout=PATIENCE)
    yield opened
    assert trouble == []
    context.close()


def canvases(page: Page) -> Locator:
    """Return the canvases of the pictures."""
    return page.locator("canvas.slw-picture")


def box_of(locator: Locator) -> FloatRect:
    """Return the position and size of an element that is shown."""
    box = locator.bounding_box()
    assert box is not None
    return box


def settled(page: Page) -> None:
    """Wait until all changes are painted."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_every_cell_shows_its_own_map(page: Page) -> None:
    """Four cells, which differ by method and class, are four different pictures, under headers with their names."""
    shown = [pixels_of(canvases(page).nth(i)) for i in range(4)]

    assert len({each.tobytes() for each in shown}) == 4
    assert page.locator(".slw-column").all_inner_texts() == ["Grad-CAM", "Gradient"]
    assert page.locator(".slw-of-row").all_inner_texts() == ["cat", "coffee cup"]
    assert "".join(page.locator(".slw-caption").all_inner_texts()).strip() == ""
    for i in range(4):
        cell = box_of(canvases(page).nth(i))
        column, row = box_of(page.locator(".slw-column").nth(i % 2)), box_of(page.locator(".slw-of-row").nth(i // 2))
        assert column["x"] == pytest.approx(cell["x"], abs=1)
        assert 0 <= cell["y"] - row["y"] - row["height"] < 12


def test_a_difference_has_the_figures_that_python_computes(page: Page) -> None:
    """The figures are those of the explanations' salience; red is higher in the first map, blue in the second."""
    demo = saliency.demo
    canvases(page).first.focus()
    page.keyboard.press("d")
    panel = page.get_by_role("region", name="Difference")
    expect(panel).to_contain_text("Grad-CAM · cat minus Gradient · cat")
    maps = saliency.explain(demo.model(), demo.image(), METHODS[:2], demo.labels.index("cat"), labels=demo.labels)
    one, two = (each.salience().astype(np.float64) for each in maps)
    top = [each.top(20) for each in maps]
    expected = [
        similarity.spearman(one, two),
        similarity.correlation(one, two),
        100 * (top[0] & top[1]).sum() / (top[0] | top[1]).sum(),
    ]
    shown = [float(each.replace("−", "-").removesuffix(" %")) for each in panel.locator("p strong").all_inner_texts()]
    assert shown == pytest.approx(expected, abs=0.06)
    assert shown[:2] == pytest.approx(expected[:2], abs=0.0051)

    difference = one / np.percentile(one, 99) - two / np.percentile(two, 99)
    reach = np.percentile(np.abs(difference), 99)
    ends = panel.locator(".slw-number span").all_inner_texts()
    assert float(ends[-1]) == pytest.approx(reach, rel=0.01)
    settled(page)
    pixels = pixels_of(panel.locator("canvas")).astype(int)
    redness = pixels[..., 0] - pixels[..., 2]
    step = pixels.shape[0] / len(difference)
    for sign in (1, -1):
        rows, columns = np.nonzero(sign * difference > 0.6 * reach)
        at = redness[((rows + 0.5) * step).astype(int), ((columns + 0.5) * step).astype(int)]
        assert len(at) > 20
        assert np.median(sign * at) > 50


def test_all_cells_are_zoomed_together(page: Page) -> None:
    """Ctrl with the wheel zooms every picture about the pointer; 0 restores the first view."""
    before = [pixels_of(canvases(page).nth(i)) for i in range(4)]
    box = box_of(canvases(page).first)
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    settled(page)
    expect(page.get_by_role("group", name="Zoom")).to_contain_text("272 %")
    near = [pixels_of(canvases(page).nth(i)) for i in range(4)]
    assert all(difference(a, b) > 3 for a, b in zip(before, near, strict=True))

    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 8, box["y"] + box["height"] / 4)
    page.mouse.up()
    settled(page)
    assert all(difference(a, pixels_of(canvases(page).nth(i))) > 1 for i, a in enumerate(near))
    canvases(page).first.press("0")
    settled(page)
    assert all(difference(a, pixels_of(canvases(page).nth(i))) == 0 for i, a in enumerate(before))


def test_what_is_magnified_is_the_same_picture(page: Page) -> None:
    """At zoom 2, the middle of the canvas is the middle of the picture, twice as large."""
    canvas = canvases(page).first
    whole = pixels_of(canvas)[..., :3].astype(float)
    for _ in range(2):
        page.get_by_role("button", name="Zoom in").click()
    settled(page)
    near = pixels_of(canvas)[..., :3].astype(float)
    size, zoom = whole.shape[0], 2.25
    part = slice(round(size / 2 - size / 2 / zoom), round(size / 2 + size / 2 / zoom))
    step = near.shape[0] / (part.stop - part.start)
    at = ((np.arange(part.stop - part.start) + 0.5) * step).astype(int)

    assert np.abs(near[np.ix_(at, at)] - whole[part, part]).mean() < 4
    assert np.abs(near - whole).mean() > 8


def test_two_fingers_pinch_all_cells(browser: Browser, path: Path) -> None:
    """Fingers three times as far apart zoom every picture three times."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, has_touch=True, reduced_motion="reduce")
    page = context.new_page()
    page.goto(path.as_uri())
    Widget(page.locator(".slw-root")).wait(state="ready", cells="4")
    settled(page)
    before = [pixels_of(canvases(page).nth(i)) for i in range(4)]
    box = box_of(canvases(page).first)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers = context.new_cdp_session(page)

    def touch(kind: str, *apart: float) -> None:
        points = [{"x": x + each, "y": y, "id": i} for i, each in enumerate(apart)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -20, 20)
    for half in (28, 36, 44, 52, 60):
        touch("touchMove", -half, half)
    touch("touchEnd")
    settled(page)

    expect(page.get_by_role("group", name="Zoom")).to_contain_text("300 %")
    assert all(difference(each, pixels_of(canvases(page).nth(i))) > 3 for i, each in enumerate(before))
    context.close()


def test_one_cursor_is_read_in_every_cell(page: Page) -> None:
    """The pointer over one picture marks the position in all, and each shows its own value."""
    box = box_of(canvases(page).nth(3))
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
    settled(page)
    cursors = page.locator(".slw-cursor:visible")
    expect(cursors).to_have_count(4)
    for i in range(4):
        own, mark = box_of(canvases(page).nth(i)), box_of(cursors.nth(i))
        assert mark["x"] + mark["width"] / 2 - own["x"] == pytest.approx(0.3 * own["width"], abs=2)
        assert mark["y"] + mark["height"] / 2 - own["y"] == pytest.approx(0.4 * own["height"], abs=2)
    values = page.locator(".slw-caption > :last-child").all_inner_texts()
    assert len(set(values)) == 4
    assert all(each.replace("−", "-").replace("e-", "").replace(".", "").lstrip("-").isdigit() for each in values)


def test_a_swipe_shows_both_sides(page: Page) -> None:
    """One map is left of the line, the other right of it; the line moves by keys and by the mouse."""
    page.get_by_role("radio", name="Swipe").click()
    settled(page)
    canvas = canvases(page)
    expect(canvas).to_have_count(1)
    divider = page.get_by_role("slider", name="Divider")
    ends = {}
    for key in ("Home", "End"):
        divider.press(key)
        settled(page)
        ends[key] = pixels_of(canvas)
    assert difference(ends["Home"], ends["End"]) > 3
    box, line = box_of(canvas), box_of(divider)
    page.mouse.move(line["x"] + line["width"] / 2, line["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, line["y"] + 40)
    page.mouse.up()
    settled(page)
    both = pixels_of(canvas)
    middle = both.shape[1] // 2

    assert difference(both[:, : middle - 2], ends["End"][:, : middle - 2]) == 0
    assert difference(both[:, middle + 2 :], ends["Home"][:, middle + 2 :]) == 0


def test_blinking_turns_by_a_click_where_less_motion_is_wanted(page: Page) -> None:
    """With reduced motion, a blink alternates between two maps on a click; the second map can be chosen."""
    canvases(page).first.focus()
    page.keyboard.press("b")
    settled(page)
    canvas = canvases(page)
    expect(canvas).to_have_count(1)
    first = pixels_of(canvas)
    assert difference(first, pixels_of(canvas)) == 0
    canvas.click()
    settled(page)
    second = pixels_of(canvas)
    assert difference(first, second) > 3
    page.get_by_label("Second").select_option(index=2)
    settled(page)
    assert difference(second, pixels_of(canvas)) > 1
    page.get_by_role("radio", name="Grid").click()
    expect(canvases(page)).to_have_count(4)


def test_one_scale_is_that_of_the_widest(page: Page) -> None:
    """With the same colour scale, weaker maps are darker, and the numbers of the scale are those of the widest."""
    own = [pixels_of(canvases(page).nth(i)) for i in range(4)]
    page.get_by_label("Same colour scale").check()
    settled(page)
    shared = [pixels_of(canvases(page).nth(i)) for i in range(4)]
    changed = [i for i in range(4) if difference(own[i], shared[i]) > 0]

    assert 0 < len(changed) < 4
    assert all(own[i][..., :3].mean() > shared[i][..., :3].mean() for i in changed)


def test_boxes_take_cells_in_and_out(page: Page) -> None:
    """Boxes add a method, a class and a model to the grid and remove them; the last of a kind stays."""
    root = page.locator(".slw-root")
    page.get_by_label("Compare model upside down").check()
    expect(root).to_have_attribute("data-cells", "8")
    page.get_by_label("Compare Gradient").uncheck()
    expect(root).to_have_attribute("data-cells", "4")
    expect(page.get_by_label("Compare Grad-CAM")).to_be_disabled()
    page.get_by_label("Compare coffee cup").uncheck()
    expect(root).to_have_attribute("data-cells", "2")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(root).to_have_attribute("data-cells", "1")
    expect(canvases(page)).to_have_count(1)


def test_arrows_go_from_cell_to_cell(page: Page) -> None:
    """A click or the arrow keys select the cell that the panels show."""
    root = page.locator(".slw-root")
    canvases(page).nth(3).click()
    expect(root).to_have_attribute("data-method", "gradient")
    canvases(page).nth(3).press("ArrowLeft")
    expect(root).to_have_attribute("data-method", "grad_cam")
    canvases(page).nth(3).press("Home")
    settled(page)
    expect(page.locator(".slw-cell[aria-current]")).to_have_count(1)
    expect(page.locator(".slw-cell").first).to_have_attribute("aria-current", "true")


def test_viewing_in_the_notebook_sends_no_request(browser: Browser, lab: Jupyter) -> None:
    """In a live grid, moving, zooming, swiping and dragging send no message; selecting a cell sends its traits."""
    page = browser.new_context(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce").new_page()
    setup = (
        "import torch, saliency\nfrom saliency_widget import SaliencyWidget\n"
        "torch.set_num_threads(1)\ndemo = saliency.demo"
    )
    show = (
        "first = demo.model()\n"
        "w = SaliencyWidget({'a': first, 'b': demo.model()}, demo.image(), [saliency.GradCam(), 'gradient'],"
        " labels=demo.labels, target='cat', mode='heat')\nw.compare(['grad_cam', 'gradient'], models=['a', 'b'])\nw"
    )
    notebook = Notebook(page, lab, [setup, show], "compare.ipynb")
    widget = notebook.widget()
    widget.wait(state="ready", cells="4")
    notebook.until("w.wait(60)", True)
    page.wait_for_timeout(500)
    notebook.count_messages()
    box = box_of(canvases(page).first)
    for share in (0.2, 0.4, 0.6, 0.8):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.5)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_role("radio", name="Swipe").click()
    page.get_by_role("slider", name="Divider").press("ArrowRight")
    page.get_by_role("radio", name="Blink").click()
    page.get_by_role("radio", name="Grid").click()
    page.keyboard.down(" ")
    page.keyboard.up(" ")
    slider = widget.slider("Percentile")
    slider.evaluate("range => { range.value = '60'; range.dispatchEvent(new Event('input', {bubbles: true})); }")
    settled(page)
    assert notebook.sent == 0

    canvases(page).nth(3).click()
    notebook.until("(w.method, w.model_index)", ("gradient", 1))
    assert notebook.complaints == []
    notebook.run("with torch.no_grad():\n    for p in first.parameters(): p.mul_(1.5)")
    notebook.run("w._check_weights()")
    expect(page.locator(".slw-stale")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Compute again").click()
    expect(page.locator(".slw-stale")).to_be_hidden(timeout=PATIENCE)
    widget.wait(state="ready")
    notebook.close()
    page.context.close()
