"""The drawers in a real browser: what-if, curves, parameters and saving."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Notebook, Widget
from tests.browser.jupyter import Jupyter
from tests.browser.pictures import assert_same_picture, photograph
from tests.browser.test_pictures import violations

SETUP = """
import json, numpy as np, torch, saliency
from saliency_widget import SaliencyWidget
torch.set_num_threads(1)
demo = saliency.demo
model, img, labels = demo.model(), demo.image(), demo.labels
"""
SHOW = """
w = SaliencyWidget(
    model, img, labels=labels, target="cat", keep=25, batch_size=8,
    methods=[saliency.XRAI(steps=4), saliency.IntegratedGradients(steps=8)],
)
w
"""


def per_cent(probability: float) -> str:
    """Return a probability as the widget writes it."""
    return f"{probability:.1%}".replace("%", " %") if probability < 0.01 else f"{probability:.0%}".replace("%", " %")


def opened(widget: Widget, tab: str) -> None:
    """Open a tab of the drawer, unless it is open."""
    button = widget.root.locator(".slw-tab", has_text=tab)
    if button.get_attribute("aria-expanded") != "true":
        button.click()
    expect(button).to_have_attribute("aria-expanded", "true")


@pytest.fixture(scope="module")
def notebook(page: Page, lab: Jupyter) -> Iterator[Notebook]:
    """Open a notebook that shows the widget on the demo picture."""
    shown = Notebook(page, lab, [SETUP, SHOW], "drawer.ipynb")
    yield shown
    shown.close()


@pytest.fixture
def widget(notebook: Notebook) -> Iterator[Widget]:
    """Return the widget with its map on the screen and its drawer closed."""
    notebook.complaints.clear()
    notebook.widget().wait(state="ready")
    notebook.run(
        "w.grid, w.target = {}, 'cat'; w.live, w.picked, w.parameters, w.method, w.keep = False, {}, {}, 'xrai', 25.0\n"
        "w.wait()"
    )
    shown = notebook.widget()
    shown.wait(state="ready", method="xrai")
    # the page closes the tab once it has received `live`
    tab = shown.root.get_by_role("button", name="What if…")
    expect(tab).to_have_attribute("aria-expanded", "false", timeout=PATIENCE)
    yield shown
    assert notebook.complaints == []


def test_the_model_answers_to_the_selection(notebook: Notebook, widget: Widget) -> None:
    """Both probabilities are the engine's for `w.selection`, also after a slider has moved; the curves are drawn."""
    opened(widget, "What if…")
    only, without = widget.root.locator(".slw-says .slw-only"), widget.root.locator(".slw-says .slw-without")
    for keep in ("25", "5"):
        notebook.run(f"w.keep = {keep}")
        code = (
            "found = saliency.what_if(model, img, w.selection, labels=labels, top=99)\n"
            "[next(r.probability for r in rows if r.label == 'cat') for rows in found]"
        )
        expected = json.loads(notebook.run(code))
        expect(only).to_have_text(per_cent(expected[0]), timeout=PATIENCE)
        expect(without).to_have_text(per_cent(expected[1]), timeout=PATIENCE)
    curve = widget.root.locator(".slw-ask .slw-curve")
    expect(curve).to_have_attribute("aria-label", re.compile("Insertion curve, area 0"), timeout=PATIENCE)
    assert notebook.run("w.live") == "True"


def test_compared_maps_are_ranked_by_the_model(notebook: Notebook, widget: Widget) -> None:
    """Strengths and marks are the engine's, the strongest first, and the rows disappear with the comparison.

    `w.check()` in a cell fills the open tab, too.
    """
    notebook.run("w.compare(['xrai', 'integrated_gradients'])")
    widget.wait(cells="2", state="ready")
    notebook.until("len(w.explanations) >= 2", True)
    opened(widget, "Evidence")
    widget.root.get_by_role("button", name="Measure all").click()
    rows = widget.root.locator(".slw-ranks li")
    expect(rows.locator(".slw-mark[data-supported]")).to_have_count(2, timeout=PATIENCE)

    code = (
        "names = {'xrai': 'XRAI', 'integrated_gradients': 'Integrated Gradients'}\n"
        "marks = {True: '✓supported', False: '✕not supported', None: '?undecided'}\n"
        "verdicts = [(names[e.method], saliency.check(model, img, e, labels=labels, progress=False))"
        " for (_, t), e in w.explanations.items() if t == w.target]\n"
        "verdicts.sort(key=lambda each: -each[1].strength)\n"
        "print(json.dumps([f'{t}{marks[v.supported]}{v.strength:.2f}' for t, v in verdicts]))"
    )
    expect(rows).to_have_text(json.loads(notebook.run(code).replace("-", "−")))
    notebook.run("w.grid = {}")
    expect(widget.root.locator(".slw-ranking")).to_be_hidden()

    sentence = notebook.run("w.target = w.predictions[1].index\nv = w.check()\nprint(v.sentence)").strip()
    expect(widget.root.locator(".slw-says-so")).to_contain_text(sentence, timeout=PATIENCE)
    expect(widget.root.get_by_role("button", name="Measure evidence")).to_be_hidden()


def test_the_smallest_change_becomes_the_selection(notebook: Notebook, widget: Widget) -> None:
    """One click finds the engine's set, which is `w.selection`; the script includes the call, and a page holds it."""
    notebook.run("w.target = w.predictions[0].index; exp = w.compute(wait=True)")
    opened(widget, "Smallest change")
    widget.root.get_by_role("button", name="Find smallest change").click()
    panel = widget.root.locator(".slw-change")
    expect(panel.locator(".slw-sentence")).to_be_visible(timeout=PATIENCE)

    notebook.run(
        "c = saliency.counterfactual(model, img, w.target, order=w.explanation, labels=labels, progress=False)"
    )
    expect(panel.locator(".slw-sentence")).to_have_text(notebook.run("print(c.sentence)").strip())
    values = json.loads(notebook.run("print(json.dumps([c.before, c.after]))"))
    expect(panel.locator(".slw-says strong")).to_have_text([per_cent(each) for each in values])
    notebook.until("bool(w.picked) and np.array_equal(w.selection, c.mask)", True)
    assert notebook.run("w.mode, 'saliency.counterfactual(' in w.code()") == "('area', True)"
    panel.get_by_role("radio", name="Is enough").click()
    expect(panel.get_by_role("button", name="Find smallest change")).to_be_visible()
    panel.get_by_role("radio", name="Must go").click()
    expect(panel.locator(".slw-sentence")).to_be_visible()
    opened(widget, "What if…")
    expect(widget.root.locator(".slw-says .slw-without").first).to_have_text(per_cent(values[1]), timeout=PATIENCE)


def test_the_channels_are_the_engine_s(notebook: Notebook, widget: Widget) -> None:
    """One click lists the engine's channels and draws the map of the first; a click on another bar draws its own."""
    notebook.run("w.target = w.predictions[0].index; exp = w.compute(wait=True)")
    opened(widget, "Channels")
    panel = widget.root.locator(".slw-channels")
    panel.get_by_role("button", name="Rank channels").click()
    rows = panel.get_by_role("option").filter(has_text="channel")
    expect(rows.first).to_be_visible(timeout=PATIENCE)

    shares = notebook.run(
        "layer = w._explainers[0, 0].layers.automatic\n"
        "c = saliency.explain(model, img, 'input_x_gradient', w.target, at=layer, labels=labels, progress=False)\n"
        "signs = {True: '−', False: ''}\n"
        "texts = [f'channel {e.index}{signs[e.sum < 0]}{100 * e.share:.1f} %' for e in c.channels[:20]]\n"
        "print(json.dumps(texts))"
    )
    expect(rows).to_have_text(json.loads(shares))
    canvas = panel.locator("canvas")
    first = canvas.evaluate("each => each.toDataURL()")
    rows.nth(1).click()
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    changed = "([canvas, before]) => canvas.toDataURL() !== before"
    widget.page.wait_for_function(changed, arg=[canvas.element_handle(), first])
    assert notebook.run("'.channel(' in w.code()") == "True"


def test_a_brushed_mask_is_the_selection(notebook: Notebook, widget: Widget) -> None:
    """The brushed mask is `w.selection` in Python, at the brushed position."""
    opened(widget, "What if…")
    widget.root.get_by_role("radio", name="Brush").click()
    widget.canvas.scroll_into_view_if_needed()
    box = widget.canvas.bounding_box()
    assert box is not None
    page = widget.page
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()

    notebook.until("'runs' in w.picked", True)
    mask = np.array(json.loads(notebook.run("print(w.selection.astype(int).tolist())")))
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() / height - 0.5) < 0.02
    assert abs((columns.min() + columns.max()) / 2 / width - 0.5) < 0.02
    assert abs((columns.max() - columns.min()) / width - 0.58) < 0.03
    expect(widget.root.locator(".slw-figures")).to_contain_text(f"{mask.mean() * 100:.1f} %")
    widget.root.get_by_role("button", name="Clear").click()
    notebook.until("w.picked", {})


def test_regions_are_clicked_on_and_off(notebook: Notebook, widget: Widget) -> None:
    """A click on the picture selects the region there, and a second click deselects it."""
    opened(widget, "What if…")
    widget.root.get_by_role("radio", name="Regions").click()
    widget.root.get_by_role("button", name="Clear").click()
    widget.canvas.click(position={"x": 150, "y": 150})
    notebook.until("len(w.picked.get('regions', []))", 1)

    inside = "w.explanation.regions.ranks[w.selection]"
    assert notebook.run(f"bool((np.unique({inside}) == w.picked['regions']).all())") == "True"
    widget.canvas.click(position={"x": 150, "y": 150})
    notebook.until("w.picked", {"regions": []})


def test_a_field_is_changed_and_set_back(notebook: Notebook, widget: Widget) -> None:
    """The new mask is computed at once; the old one is shown at once when the field is reset."""
    notebook.run("w.method = 'integrated_gradients'; w.wait()")
    widget.wait(state="ready", method="integrated_gradients")
    opened(widget, "Parameters")
    steps = widget.root.get_by_role("spinbutton", name="steps")
    expect(steps).to_have_value("8", timeout=PATIENCE)
    steps.fill("3")
    expect(widget.root.locator(".slw-parameters .slw-split strong")).to_contain_text(
        "3 images evaluated", timeout=PATIENCE
    )
    steps.press("Enter")

    notebook.until("w.parameters", {"integrated_gradients": {"steps": 3}})
    widget.wait(state="ready")
    notebook.until("w.explanation is not None and w.explanation.images", 3)
    widget.root.get_by_role("button", name="reset", exact=True).click()
    notebook.until("w.explanation is not None and w.explanation.images", 8)


def test_a_restarted_kernel_is_reported(notebook: Notebook, widget: Widget) -> None:
    """After a restart of the kernel nothing is shown as running, and computed maps remain visible."""
    notebook.run("w.method = 'xrai'; w.wait()")
    widget.wait(state="ready", method="xrai")
    opened(widget, "What if…")
    restart = "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
    widget.page.evaluate(restart)
    widget.method("Integrated Gradients").locator("button").first.click()

    expect(widget.root.locator(".slw-link")).to_contain_text("not responding", timeout=PATIENCE)
    expect(widget.root).not_to_have_attribute("data-state", "busy")
    before = widget.painted
    widget.method("XRAI").locator("button").first.click()
    widget.repainted(before)
    notebook.complaints.clear()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an offline page that explains the demo picture."""
    demo = saliency.demo
    methods = [saliency.XRAI(steps=20), saliency.IntegratedGradients(steps=8)]
    made = SaliencyWidget(demo.model().double(), demo.image(), methods, labels=demo.labels, batch_size=8, target="cat")
    made.compute("integrated_gradients", wait=True)
    made.compute("xrai", wait=True)
    made.live = True
    written = made.to_html(tmp_path_factory.mktemp("drawer") / "page.html")
    made.close()
    return written


@pytest.fixture
def offline(browser: Browser, path: Path, request: pytest.FixtureRequest) -> Iterator[Widget]:
    """Open the page, in the light or dark theme."""
    dark = getattr(request, "param", False)
    context = browser.new_context(
        viewport={"width": 1000, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(path.as_uri())
    shown = Widget(page.locator(".slw-root"))
    shown.wait(state="ready")
    yield shown
    context.close()


def saved(widget: Widget, name: str) -> tuple[str, bytes]:
    """Return the file that a button of the drawer downloads."""
    opened(widget, "Save")
    with widget.page.expect_download() as download:
        widget.root.get_by_role("button", name=name, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_pictures_and_numbers_without_a_kernel(offline: Widget) -> None:
    """Without a kernel: PNG at the picture's size, SVG with its outline as a path, NPZ as NumPy reads it."""
    height, width = saliency.demo.image().shape[:2]

    name, png = saved(offline, "PNG")
    assert name == "xrai-cat.png"
    assert Image.open(io.BytesIO(png)).size == (width, height)
    name, svg = saved(offline, "SVG")
    assert name == "xrai-cat.svg"
    assert b"<path d=" in svg
    assert b"http" not in svg.replace(b"http://www.w3.org/2000/svg", b"")
    name, npz = saved(offline, "NPZ")
    assert name == "xrai-cat.npz"
    with np.load(io.BytesIO(npz), allow_pickle=False) as arrays:
        assert arrays["values"].shape == arrays["ranks"].shape == arrays["selection"].shape
        kept = arrays["ranks"] < offline.region
        np.testing.assert_array_equal(arrays["selection"].astype(bool), kept)


def test_a_colour_bar_is_below_the_picture(offline: Widget) -> None:
    """A saved picture with a colour bar is higher, and the bar has the colours of the map."""
    offline.root.get_by_role("radio", name="Heat map").click()
    opened(offline, "Save")
    offline.root.get_by_label("with the colour bar").check()
    height, width = saliency.demo.image().shape[:2]

    _, png = saved(offline, "PNG")
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)
    assert image.shape[:2] == (height + 34, width)
    ramp = image[height + 10, 6:-6]
    # inferno: from nearly black to pale yellow
    assert ramp[0].sum() < 60
    assert ramp[-1].sum() > 550


@pytest.mark.parametrize("offline", [False, True], ids=["light", "dark"], indirect=True)
@pytest.mark.parametrize("tool", ["Brush", "Regions"])
def test_what_if_looks(offline: Widget, tool: str) -> None:
    """The drawer with a manual selection and without a kernel; axe reports nothing."""
    offline.root.get_by_role("radio", name=tool).click()
    box = offline.canvas.bounding_box()
    assert box is not None
    page = offline.page
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert violations(page) == []
    dark = offline.root.get_attribute("data-theme")
    if tool == "Brush":
        assert_same_picture(f"what-if-{dark}", photograph(offline.root))
