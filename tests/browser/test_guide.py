"""The guide on first use, in a page whose storage lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, pixels_of
from tests.browser.hosts import Host, Quirks
from tests.browser.pictures import assert_same_picture, photograph

AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"

OVERLAPS = """guide => {
  const box = (each) => each.getBoundingClientRect();
  const [one, other] = [box(guide), box(guide.closest('.slw-root').querySelector('canvas.slw-picture'))];
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}"""

IN_SIGHT = """guide => {
  const {top, bottom, left, right} = guide.getBoundingClientRect();
  return top >= -1 && bottom <= innerHeight + 1 && left >= 0 && right <= innerWidth;  // scrolling is in whole pixels
}"""


@pytest.fixture(scope="module")
def network() -> Any:
    """Load the trained ImageNet network."""
    return saliency.demo.model("imagenet")


@pytest.fixture
def first(browser: Browser, network: Any) -> Iterator[Callable[..., tuple[Page, Host]]]:
    """Return a function that opens a widget in the browser of somebody who has not seen the guide."""
    opened: list[tuple[Page, SaliencyWidget]] = []

    def open_page(width: int = 1000, dark: bool = False, touch: bool = False) -> tuple[Page, Host]:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, reduced_motion="reduce", has_touch=touch
        )
        page = context.new_page()
        # after what all other tests remember
        page.add_init_script("localStorage.removeItem('saliency-widget.guide')")
        widget = SaliencyWidget(network, saliency.demo.image("cat"), ["hires_cam", "xrai"], prefetch=False)
        opened.append((page, widget))
        quirks = Quirks(storage=True, body=f'class="{"dark" if dark else "light"}"', css="body { margin: 0 }")
        return page, Host(page, widget, quirks)

    yield open_page
    for page, widget in opened:
        widget.close()
        page.context.close()


def guide_of(host: Host) -> Locator:
    """Return the guide, once it is on the screen."""
    guide = host.widget.root.locator(".slw-guide")
    expect(guide).to_be_visible(timeout=PATIENCE)
    return guide


def violations(page: Page) -> list[str]:
    """Return axe-core's findings in the widget."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run('.slw-root')).violations.map(v => `${v.id}: ${v.nodes[0].html}`)")
    return list(found)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_looks_and_is_read_by_everyone(first: Callable[..., tuple[Page, Host]], dark: bool) -> None:
    """The first step is a strip between the classes and the picture; axe finds nothing in any step."""
    page, host = first(dark=dark)
    guide = guide_of(host)
    name = f"guide-{'dark' if dark else 'light'}"

    assert_same_picture(name, photograph(host.widget.root))
    for _ in range(3):
        assert violations(page) == []
        guide.get_by_role("button", name="Next").click()
    assert violations(page) == []
    assert_same_picture(f"{name}-last", photograph(host.widget.root))


@pytest.mark.parametrize("width", [360, 420, 833, 1280, 1700])
def test_it_covers_nothing_and_stays_in_sight(first: Callable[..., tuple[Page, Host]], width: int) -> None:
    """Of no width does a step cover the picture or widen the page, and each is in sight beside its control."""
    page, host = first(width)
    guide = guide_of(host)
    canvas = host.widget.canvas
    size = canvas.bounding_box()
    assert size is not None
    for number in range(1, 5):
        expect(guide.get_by_role("status")).to_contain_text(f"{number} of 4")
        assert not guide.evaluate(OVERLAPS)
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        marked = host.widget.root.locator("[data-guided]")
        expect(marked).to_have_count(1)
        expect(marked).to_be_visible()
        box = canvas.bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (size["width"], size["height"])
        if number < 4:
            guide.get_by_role("button", name="Next").click()
            page.wait_for_function(IN_SIGHT, arg=guide.element_handle(), timeout=PATIENCE)


def test_it_is_followed_by_keys(first: Callable[..., tuple[Page, Host]]) -> None:
    """It takes no focus; Tab reaches it, Enter leads on, Esc ends it, and it does not come back."""
    page, host = first()
    guide = guide_of(host)
    assert page.evaluate("() => document.activeElement === document.body")
    guide.get_by_role("button", name="Skip").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("Enter")
    expect(guide.get_by_role("button", name="Done")).to_be_focused()
    page.keyboard.press("Escape")

    expect(guide).to_be_hidden()
    expect(host.widget.root.get_by_role("button", name="Save")).to_be_focused()
    assert page.evaluate("() => localStorage.getItem('saliency-widget.guide')") == "dismissed"


def test_the_picture_is_explored_meanwhile(first: Callable[..., tuple[Page, Host]]) -> None:
    """While it is shown, a finger on the picture reads values, and a tap on a control works; a tap ends it."""
    page, host = first(420, touch=True)
    guide = guide_of(host)
    before = pixels_of(host.widget.canvas)
    host.widget.canvas.tap()
    expect(host.widget.root.get_by_text("Hover to see values")).to_be_hidden()
    host.widget.root.get_by_role("radio", name="Heat map").tap()
    page.wait_for_function(
        "root => Number(root.dataset.painted) > 1", arg=host.widget.root.element_handle(), timeout=PATIENCE
    )
    assert (pixels_of(host.widget.canvas) != before).any()
    guide.get_by_role("button", name="Skip").tap()
    expect(guide).to_be_hidden()
