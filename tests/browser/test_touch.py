"""The widget with touch, and in forced colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Locator, Page, expect

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Widget
from tests.nets import LABELS, picture, small_net

SMALL = """() => {
  const seen = (each) => each.checkVisibility({visibilityProperty: true}) && !each.matches('.slw-hidden *');
  const targets = 'button, input, select, summary, a, [role=option], [role=slider]';
  const area = (each) => (each.closest('label') ?? each).getBoundingClientRect();
  return [...document.querySelectorAll(targets)].filter((each) => seen(each) && !each.matches('p a'))
    .map((each) => [each.outerHTML.slice(0, 90), area(each)])
    .filter(([, {width, height}]) => Math.min(width, height) < 24)
    .map(([what, {width, height}]) => `${what}: ${width} x ${height}`);
}"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an offline page with two methods in a grid."""
    methods: list[Any] = [saliency.XRAI(steps=2), saliency.GradientSaliency()]
    made = SaliencyWidget(small_net(), picture(96, 96), methods, labels=LABELS, target=0)
    for method in ("xrai", "gradient"):
        made.compute(method, wait=True)
    made.compare(["xrai", "gradient"])
    written = made.to_html(tmp_path_factory.mktemp("touch") / "page.html")
    made.close()
    return written


def opened(browser: Browser, path: Path, **more: Any) -> tuple[Page, Widget]:
    """Open the page in a context of some kind."""
    context = browser.new_context(viewport={"width": 1000, "height": 1000}, reduced_motion="reduce", **more)
    page = context.new_page()
    page.goto(path.as_uri())
    widget = Widget(page.locator(".slw-root"))
    widget.wait(state="ready", cells="2")
    return page, widget


@pytest.fixture
def phone(browser: Browser, path: Path) -> Iterator[tuple[Page, Widget]]:
    """Open the page with touch."""
    page, widget = opened(browser, path, has_touch=True, is_mobile=True)
    yield page, widget
    page.context.close()


def drag(page: Page, element: Locator, *shares: tuple[float, float]) -> None:
    """Drag one finger over positions of an element, given as shares of its width and height."""
    box = element.bounding_box()
    assert box is not None
    fingers: CDPSession = page.context.new_cdp_session(page)
    for i, (x, y) in enumerate(shares):
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        fingers.send("Input.dispatchTouchEvent", {"type": "touchMove" if i else "touchStart", "touchPoints": [point]})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_targets_are_as_large_as_a_finger_needs(phone: tuple[Page, Widget]) -> None:
    """Every control is at least 24 pixels high and wide, in every drawer."""
    page, widget = phone
    assert page.evaluate("() => matchMedia('(pointer: coarse)').matches")
    for name in ("", "What if…", "Parameters", "Save", "Keys"):
        if name:
            widget.root.locator(".slw-tab", has_text=name).click()
        assert page.evaluate(SMALL) == []


def test_the_line_of_a_swipe_follows_a_finger(phone: tuple[Page, Widget]) -> None:
    """The line stays where the finger has left it."""
    page, widget = phone
    widget.root.get_by_role("radio", name="Swipe").click()
    canvas, line = widget.canvas.first, widget.root.get_by_role("slider", name="Divider")
    room = canvas.bounding_box()
    start = line.bounding_box()
    assert room is not None
    assert start is not None
    middle = (start["y"] + start["height"] / 2 - room["y"]) / room["height"]

    drag(page, canvas, (0.5, middle), (0.4, middle), (0.3, middle), (0.2, middle))
    expect(line).to_have_attribute("aria-valuenow", "20")


def test_a_finger_brushes(phone: tuple[Page, Widget]) -> None:
    """With the brush a finger paints, and neither scrolls nor zooms the page."""
    page, widget = phone
    widget.root.locator(".slw-tab", has_text="What if…").click()
    widget.root.get_by_role("radio", name="Brush").click()
    note = widget.root.locator(".slw-drawer-note")
    before = page.evaluate("() => scrollY")

    drag(page, widget.canvas.first, (0.3, 0.3), (0.4, 0.4), (0.5, 0.6), (0.6, 0.7))
    expect(note).to_have_text("manual selection", timeout=PATIENCE)
    assert page.evaluate("() => scrollY") == before


def test_what_is_chosen_is_seen_in_forced_colours(browser: Browser, path: Path) -> None:
    """With forced colours, the selected segment has the system's highlight colour."""
    page, widget = opened(browser, path, forced_colors="active")
    colours = "element => [getComputedStyle(element).backgroundColor, getComputedStyle(element).color]"
    chosen = widget.root.locator('.slw-segment[aria-checked="true"]').first.evaluate(colours)
    other = widget.root.locator('.slw-segment[aria-checked="false"]').first.evaluate(colours)
    outline = "element => getComputedStyle(element).outlineStyle"
    current = widget.root.locator(".slw-method[aria-current]").evaluate(outline)

    assert chosen[0] != other[0]
    assert chosen[0] != chosen[1]
    assert current == "solid"
    page.context.close()


CONTRAST = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => colour.slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
  const around = (element) => {
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 255 ? own : element.parentElement ? around(element.parentElement) : [255, 255, 255, 255];
  };
  const faint = (element) => element ? getComputedStyle(element).opacity * faint(element.parentElement) : 1;
  const bad = [];
  for (const element of document.querySelectorAll('.slw-root *')) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const seen = element.checkVisibility({visibilityProperty: true, opacityProperty: true});
    const field = element.matches('select, input:not([type=checkbox], [type=range])');
    if (!seen || !(words || field) || element.matches('.slw-hidden, option')) continue;
    const [ground, alpha] = [around(element), faint(element)];
    const text = rgba(getComputedStyle(element).color).map((part, i) => part * alpha + ground[i] * (1 - alpha));
    const [dark, light] = [luminance(text), luminance(ground)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) bad.push(`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_can_be_read(browser: Browser, path: Path, theme: Any) -> None:
    """All text has a contrast of at least 4.5, including disabled and unsupported entries."""
    page, widget = opened(browser, path, color_scheme=theme)
    widget.root.get_by_role("radio", name="Top pixels").click()
    widget.root.locator(".slw-tab", has_text="What if…").click()
    expect(widget.root.locator(".slw-flag input").first).to_be_disabled()

    assert page.evaluate(CONTRAST) == []
    page.context.close()
