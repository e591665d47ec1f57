"""The first minute with a trained network: from the cell to a page for a colleague, and past a restart of the kernel.

Each journey has a width of the window, a theme, and one way to operate: mouse, keys or touch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.driving import PATIENCE, Notebook, Widget, difference
from tests.browser.jupyter import Jupyter
from tests.browser.pictures import assert_same_picture, photograph
from tests.browser.test_pictures import violations
from tests.browser.test_touch import drag

SETUP = """
import json, numpy as np, torch, saliency
from saliency_widget import SaliencyWidget
torch.set_num_threads(1)
model, img = saliency.demo.model("imagenet"), saliency.demo.image("cat")
"""
SHOW = "w = SaliencyWidget(model, img)\nw"

RESTART = "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
WITHOUT_SIDEBAR = "() => window.jupyterapp.commands.execute('application:toggle-left-area')"
SIDEBAR = 600
"""Width in pixels below which a user closes the sidebar, as nothing else has room beside it."""

SIDEWAYS = """root => [root, ...root.closest('.jp-OutputArea').querySelectorAll('.jp-OutputArea-output')]
  .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.className)"""


@dataclass(frozen=True)
class Way:
    """A window, and what the user operates it with."""

    width: int
    dark: bool
    tool: str

    @property
    def name(self) -> str:
        """The first part of the names of its pictures."""
        return f"journey-{self.width}"

    def use(self, element: Locator) -> None:
        """Press a control."""
        if self.tool == "keys":
            element.focus()
            element.press("Enter")
        elif self.tool == "touch":
            element.tap()
        else:
            element.click()

    def brush(self, widget: Widget) -> None:
        """Brush from the middle of the picture to the right."""
        canvas, page = widget.canvas, widget.page
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        shares = [(0.3 + 0.05 * i, 0.4) for i in range(7)]
        if self.tool == "keys":
            canvas.focus()
            page.keyboard.press("Enter")
            for _ in range(6):
                page.keyboard.press("ArrowRight")
            page.keyboard.press("Enter")
        elif self.tool == "touch":
            drag(page, canvas, *shares)
        else:
            for i, (x, y) in enumerate(shares):
                page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
                if not i:
                    page.mouse.down()
            page.mouse.up()


WAYS = (Way(1280, False, "mouse"), Way(833, True, "keys"), Way(420, False, "touch"), Way(1700, True, "mouse"))


class Journey:
    """A notebook of the one cell, and what was requested and complained about meanwhile."""

    def __init__(self, browser: Browser, lab: Jupyter, way: Way) -> None:
        self.way = way
        self.context = browser.new_context(
            viewport={"width": way.width, "height": 1800},  # all of the widget
            reduced_motion="reduce",
            has_touch=way.tool == "touch",
            accept_downloads=True,
        )
        self.requests: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page: Page = self.context.new_page()
        self.notebook = Notebook(self.page, lab, [SETUP, SHOW], f"{way.name}.ipynb")
        self.page.evaluate(THEME, f"JupyterLab {'Dark' if way.dark else 'Light'}")
        if way.width < SIDEBAR:
            self.page.evaluate(WITHOUT_SIDEBAR)

    @property
    def widget(self) -> Widget:
        """The widget on the screen."""
        return self.notebook.widget()

    def control(self, role: str, name: str | re.Pattern[str]) -> Locator:
        """Return a control of the widget."""
        return self.widget.root.get_by_role(role, name=name)  # type: ignore[arg-type]  # a role is a literal

    def open(self, tab: str) -> None:
        """Open a tab."""
        button = self.widget.root.locator(".slw-tab:visible", has_text=tab)
        self.way.use(button)
        expect(button).to_have_attribute("aria-expanded", "true")

    def look(self, state: str) -> None:
        """Compare a picture of the widget with the stored one; axe-core finds nothing, and nothing scrolls sideways."""
        assert self.widget.root.evaluate(SIDEWAYS) == []
        assert violations(self.page) == []
        self.page.mouse.move(0, 0)
        assert_same_picture(f"{self.way.name}-{state}", photograph(self.widget.root))

    def text(self, code: str) -> str:
        """Return what code prints in the kernel."""
        return self.notebook.run(code).strip()


@pytest.fixture(params=WAYS, ids=lambda way: f"{way.width}-{way.tool}")
def journey(request: pytest.FixtureRequest, browser: Browser, lab: Jupyter) -> Iterator[Journey]:
    """Open the notebook."""
    opened = Journey(browser, lab, request.param)
    yield opened
    opened.notebook.close()
    opened.context.close()


def test_the_first_minute(journey: Journey, lab: Jupyter) -> None:
    """Every step answers as the engine does, keeps what was computed, complains about nothing and requests nothing."""
    first_view(journey)
    if journey.way is WAYS[0]:  # the evidence takes hundreds of images
        believed(journey)
    for step in (another_class, comparison, brushed, parameters, saved, sent, restarted):
        step(journey)
    assert journey.notebook.complaints == []
    assert [url for url in journey.requests if not url.startswith((lab.url, "blob:", "data:", "file:"))] == []


def first_view(journey: Journey) -> None:
    """The picture has a map of the most likely class, whose probability is the engine's."""
    widget = journey.widget
    widget.wait(state="ready", method="hires_cam", theme="dark" if journey.way.dark else "light")
    best = json.loads(journey.text("p = w.predictions[0]; print(json.dumps([p.label, p.probability]))"))
    chip = widget.root.locator(".slw-chip[aria-checked=true]")
    expect(chip).to_contain_text(best[0])
    expect(chip).to_contain_text(f"{best[1]:.0%}".replace("%", " %"))
    assert "cat" in best[0]
    # XRAI is computed ahead unless the machine is too slow for that; here it is there in any case
    journey.text("w.wait(); w.compute('xrai', wait=True)")
    expect(widget.method("XRAI")).to_have_attribute("data-status", "done", timeout=PATIENCE)
    if (offer := journey.control("button", "Do not show it")).is_visible():
        journey.way.use(offer)
    journey.look("first")


def believed(journey: Journey) -> None:
    """The sentence in the tab is the verdict of `w.verdicts`, on the map that is shown."""
    journey.open("Evidence")
    journey.way.use(journey.control("button", "Measure evidence"))
    sentence = journey.widget.root.locator(".slw-says-so")
    journey.notebook.until("len(w.verdicts) and w.wait()", True)
    expect(sentence).to_contain_text(journey.text("print(next(iter(w.verdicts.values())).sentence)"), timeout=PATIENCE)
    journey.look("evidence")


def another_class(journey: Journey) -> None:
    """A click on the second class explains it."""
    before = journey.widget.pixels()
    journey.way.use(journey.widget.root.locator(".slw-chip").nth(1))
    journey.notebook.until("w.target == w.predictions[1].index and w.wait()", True)
    journey.widget.wait(state="ready")
    assert difference(journey.widget.pixels(), before) > 0.5


def comparison(journey: Journey) -> None:
    """Methods stand side by side, each with its map; the way back is the same button."""
    button = journey.control("button", re.compile("^Compare"))
    journey.way.use(button)
    journey.notebook.until("len(w.grid.get('methods', [])) >= 2 and w.wait()", True)
    journey.widget.wait(state="ready")
    cells = journey.widget.root.locator("canvas.slw-picture")
    assert cells.count() >= 2
    journey.look("compare")
    journey.way.use(button)
    journey.notebook.until("w.grid", {})


def brushed(journey: Journey) -> None:
    """The answers to a brushed selection are the engine's for `w.selection`."""
    widget = journey.widget
    journey.open("What if…")
    journey.way.use(journey.control("radio", "Brush"))
    journey.way.brush(widget)
    journey.notebook.until("'runs' in w.picked", True)
    answers = "[r.probability for rows in saliency.what_if(model, img, w.selection, top=1000) for r in rows"
    expected = json.loads(journey.text(f"print({answers} if r.index == w.target])"))
    says = widget.root.locator(".slw-says")
    for name, probability in zip((".slw-only", ".slw-without"), expected, strict=True):
        places = ".1%" if probability < 0.01 else ".0%"
        shown = f"{probability:{places}}".replace("%", " %")
        expect(says.locator(name)).to_have_text(shown, timeout=PATIENCE)
    share = float(journey.text("print(w.selection.mean())"))
    assert 0.01 < share < 0.5
    expect(widget.root.locator(".slw-ask .slw-curve")).to_have_attribute("aria-label", re.compile("area 0"))
    journey.look("what-if")
    journey.way.use(journey.control("button", "Clear"))
    journey.notebook.until("w.picked", {})


def parameters(journey: Journey) -> None:
    """A changed parameter computes a new map, and the first one is kept."""
    journey.way.use(journey.widget.method("SmoothGrad").locator("button").first)
    journey.widget.wait(method="smooth_grad")
    journey.open("Parameters")
    field = journey.control("spinbutton", re.compile("^samples"))
    field.fill("3")
    field.press("Enter")
    journey.notebook.until("w.parameters", {"smooth_grad": {"samples": 3}})
    journey.notebook.until("w.wait() and w.explanation.images", 3)
    journey.widget.wait(state="ready")
    journey.look("parameters")


def saved(journey: Journey) -> None:
    """The PNG that the button saves is the picture; the copied script ends by showing it."""
    journey.open("Save")
    with journey.page.expect_download(timeout=PATIENCE) as download:
        journey.way.use(journey.control("button", "PNG"))
    path = download.value.path()
    assert path.read_bytes().startswith(b"\x89PNG")
    journey.way.use(journey.control("button", "Copy as Python"))
    code = journey.control("textbox", "Python")
    expect(code).to_have_value(re.compile(r"plt\.show\(\)\s*$"), timeout=PATIENCE)
    code.evaluate("area => { area.setSelectionRange(0, 0); area.blur(); }")
    journey.look("save")


def sent(journey: Journey) -> None:
    """The page for a colleague shows the same map without a kernel."""
    path = journey.text("print(w.to_html('why.html').resolve())")
    page = journey.context.new_page()
    page.goto(Path(path).as_uri())
    alone = Widget(page.locator(".slw-root"))
    alone.wait(state="ready", method="smooth_grad")
    assert difference(sampled(alone.pixels()), sampled(journey.widget.pixels())) < 6
    alone.method("HiResCAM").locator("button").first.click()
    alone.wait(state="ready", method="hires_cam")
    page.close()


def sampled(pixels: np.ndarray) -> np.ndarray:
    """Return 40 × 40 of the pixels, so that pictures of different sizes can be compared."""
    rows, columns = (np.linspace(0, size - 1, 40).round().astype(int) for size in pixels.shape[:2])
    return pixels[np.ix_(rows, columns)]


def restarted(journey: Journey) -> None:
    """After a restart the banner says so, computed maps can be viewed, and the cell works again when it is run."""
    journey.page.evaluate(RESTART)
    banner = journey.widget.root.locator(".slw-link")
    expect(banner).to_contain_text("Kernel not responding. Run the cell again.", timeout=PATIENCE)
    journey.way.use(journey.widget.method("HiResCAM").locator("button").first)
    journey.widget.wait(state="ready", method="hires_cam")
    journey.look("restarted")
    journey.page.evaluate(RUN_ALL)
    expect(banner).to_be_hidden(timeout=PATIENCE)
    journey.widget.wait(state="ready", method="hires_cam")
    journey.notebook.until("w.explanation is not None", True)
