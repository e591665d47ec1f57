"""The layout in pages of every width and in containers of all kinds; the contrast and the size of the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE
from tests.browser.hosts import Host, Quirks

METHODS: list[Any] = [saliency.XRAI(steps=4), "grad_cam", "gradient", "guided_backprop", "occlusion"]

TOO_WIDE = """() => {
  const edge = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= edge) return [];
  const seen = (each) => each.checkVisibility({visibilityProperty: true});
  const over = (each) => each.getBoundingClientRect().right > edge + 1 && seen(each);
  return [...document.querySelectorAll('.slw-root *')].filter(over).map((each) => each.className);
}"""

# text by its size in pixels; no other element of the widget is smaller
SMALL = """() => [...document.querySelectorAll('.slw-root *')].filter((each) =>
  [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
  && each.checkVisibility({visibilityProperty: true})
  && !each.matches('option, .slw-hidden') && parseFloat(getComputedStyle(each).fontSize) < 12,
).map((each) => each.className + ': ' + getComputedStyle(each).fontSize)"""

# WCAG's contrast of the text of a button with what is beneath it
CONTRAST = """(button) => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const layers = [];
  for (let each = button; each; each = each.parentElement) layers.unshift(getComputedStyle(each).backgroundColor);
  const luminance = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    const linear = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = luminance(['#fff', ...layers]);
  const text = luminance(['#fff', ...layers, getComputedStyle(button).color]);
  return (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
}"""

WRAP = """([style, count]) => {
  const cell = document.getElementById('cell');
  const box = document.body.appendChild(document.createElement('div'));
  box.style.cssText = style;
  const views = Array.from({length: count}, () => box.appendChild(document.createElement('div')));
  window.closers = Promise.all(views.map((each) => window.show(each))).then((ends) => () => {
    for (const end of ends) end();
    box.remove();
  });
  cell.hidden = true;
}"""

UNWRAP = "async () => { (await window.closers)(); document.getElementById('cell').hidden = false; }"

CONTAINERS = {
    "HBox": "display: flex; align-items: stretch",
    "VBox": "display: flex; flex-direction: column; align-items: stretch",
    "a centred column": "display: flex; flex-direction: column; align-items: center",
    "inline": "display: inline-block",
    "GridspecLayout": "display: grid; grid-template-columns: repeat(2, 1fr)",
    "AppLayout": "display: grid; grid-template-columns: auto auto",
    "a table": "display: table-row",
    "a float": "float: left",
}


@pytest.fixture(scope="module")
def host(browser: Browser) -> Iterator[Host]:
    """Create one widget for all tests, with a map with regions on the screen."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    demo = saliency.demo
    widget = SaliencyWidget(demo.model(), demo.image(), METHODS, labels=demo.labels, method="xrai")
    shown = Host(context.new_page(), widget, Quirks(body='class="light"', css="body { margin: 0 }"))
    shown.widget.wait(state="ready", method="xrai")
    yield shown
    widget.close()
    context.close()


def resized(page: Page, width: int) -> None:
    """Give the page a width, and wait until it is laid out."""
    page.set_viewport_size({"width": width, "height": 1000})
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_no_page_scrolls_sideways(host: Host) -> None:
    """From 360 to 2000 pixels nothing of the widget is wider than the page, with every tab of the drawer."""
    found: dict[str, Any] = {}
    tabs = host.widget.root.locator(".slw-tab[aria-controls]:visible")
    for at in range(-1, tabs.count()):
        resized(host.page, 1280)
        if at >= 0:
            tabs.nth(at).click()
        name = "closed" if at < 0 else tabs.nth(at).inner_text()
        for width in (*range(360, 1000, 40), 1100, 1280, 1539, 1541, 1700, 2000):
            resized(host.page, width)
            if wide := host.page.evaluate(TOO_WIDE):
                found[f"{name}, {width}"] = wide
    resized(host.page, 1280)
    host.page.keyboard.press("Escape")
    assert found == {}


def test_controls_are_under_the_picture_below_900_pixels(host: Host) -> None:
    """At the width of a notebook the picture takes all that the list of methods leaves, and the controls are below."""
    resized(host.page, 833)
    picture = host.widget.canvas.bounding_box()
    side = host.widget.root.locator(".slw-side").bounding_box()
    assert picture is not None
    assert side is not None
    assert picture["width"] > 600
    assert side["y"] > picture["y"] + picture["height"]
    resized(host.page, 1000)
    beside = host.widget.root.locator(".slw-side").bounding_box()
    assert beside is not None
    assert beside["x"] > 500
    resized(host.page, 1280)


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_give_the_widget_a_width(host: Host, name: str) -> None:
    """Two views of one widget are at least 320 pixels wide each, and show the picture."""
    host.page.evaluate(WRAP, [CONTAINERS[name], 2])
    roots = host.page.locator("#cell ~ div .slw-root")
    expect(roots).to_have_count(2, timeout=PATIENCE)
    widths = [box["width"] for box in (each.bounding_box() for each in roots.all()) if box]
    pictures = [box["width"] for box in (each.bounding_box() for each in roots.locator(".slw-picture").all()) if box]
    host.page.evaluate(UNWRAP)
    assert len(widths) == 2
    assert min(widths) >= 320
    assert min(pictures) >= 200


@pytest.mark.parametrize("width", [420, 833, 1280])
def test_no_text_is_smaller_than_12_pixels(host: Host, width: int) -> None:
    """All that must be read has at least 12 pixels, with each tab of the drawer open."""
    resized(host.page, width)
    found = set(host.page.evaluate(SMALL))
    for tab in host.widget.root.locator(".slw-tab[aria-controls]:visible").all():
        tab.click()
        found |= set(host.page.evaluate(SMALL))
    host.page.keyboard.press("Escape")
    resized(host.page, 1280)
    assert found == set()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_buttons_keep_their_contrast(host: Host, theme: str) -> None:
    """Every kind of enabled button has a contrast of 4.5 at rest, under the pointer and while it is pressed."""
    page, root = host.page, host.widget.root
    page.evaluate("theme => { document.body.className = theme; }", theme)
    host.widget.wait(theme=theme)
    root.get_by_role("button", name="Compare").click()
    host.widget.wait(state="ready")
    poor, seen = [], set()
    for tab in ("", *range(root.locator(".slw-tab[aria-controls]:visible").count())):
        if tab != "":
            root.locator(".slw-tab[aria-controls]:visible").nth(int(tab)).click()
        for button in root.locator("button:visible:enabled").element_handles():
            kind = button.evaluate(
                "each => [each.className, ...['aria-checked', 'aria-pressed', 'aria-expanded', 'aria-current']"
                ".map((name) => each.getAttribute(name))].join(' ')"
            )
            # what the last one has changed may have hidden this one
            if kind in seen or not button.is_visible() or button.evaluate("each => each.matches('.slw-zoom > *')"):
                continue
            seen.add(kind)
            page.mouse.move(0, 0)
            states = {"at rest": button.evaluate(CONTRAST)}
            button.hover()
            states["under the pointer"] = button.evaluate(CONTRAST)
            page.mouse.down()
            states["pressed"] = button.evaluate(CONTRAST)
            page.mouse.move(0, 0)
            page.mouse.up()
            poor += [(kind, state, round(value, 1)) for state, value in states.items() if value < 4.5]
    page.keyboard.press("Escape")
    root.get_by_role("button", name="Compare").click()
    page.evaluate("() => { document.body.className = 'light'; }")
    assert poor == []
    assert len(seen) > 10
