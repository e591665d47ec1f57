"""The tabs *Concepts* and *Like these* in a real browser: with a kernel, and in the page that is saved afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE
from tests.browser.hosts import Host, Quirks
from tests.browser.test_pictures import violations
from tests.nets import LABELS, picture, small_net
from tests.widget.test_concepts import RANDOM, red
from tests.widget.test_examples import index_of

CHANGED = "([canvas, before]) => canvas.toDataURL() !== before"


def test_both_tabs_with_a_kernel_and_in_a_saved_page(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A brushed region is a concept with its band and map; a training image is lit; the saved page shows the same."""
    defaults: Any = saliency.concepts.TCAV.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "classifier", "mean_difference")  # 20 times as fast
    page = browser.new_page(viewport={"width": 833, "height": 1400}, reduced_motion="reduce")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    net, img = small_net(), picture()
    given, index = {"<i>red</i>": red()}, index_of()
    methods = ["input_x_gradient"]
    widget = SaliencyWidget(net, img, methods, 1, labels=LABELS, concepts=given, random=RANDOM, index=index)
    host = Host(page, widget, Quirks())
    host.widget.wait(state="ready")
    root = host.widget.root

    root.get_by_role("button", name="Concepts").click()
    panel = root.locator(".slw-concepts")
    panel.get_by_role("radio", name="Box").click()
    box = host.widget.canvas.bounding_box()
    assert box is not None
    corners = [(box["x"] + at * box["width"], box["y"] + at * box["height"]) for at in (0.3, 0.6)]
    page.mouse.move(*corners[0])
    page.mouse.down()
    page.mouse.move(*corners[1], steps=3)
    page.mouse.up()
    panel.get_by_label("Name of the concept").fill("<b>middle</b>")
    panel.get_by_role("button", name="Make a concept").click()
    rows = panel.get_by_role("option").filter(has_text="random sets")
    expect(rows).to_have_count(2, timeout=PATIENCE)

    (region,) = widget.brushed
    assert region["name"] == "<b>middle</b>"
    tcav = saliency.concepts.TCAV(net, given, RANDOM, "relu", labels=LABELS)
    low, high = tcav.maps(img, 1)[0].band
    band = f"random sets {low:+.2f} to {high:+.2f}".replace("-", "−")
    expect(rows.filter(has_text="<i>red</i>")).to_contain_text(band)
    canvas = panel.locator("canvas")
    before = canvas.evaluate("each => each.toDataURL()")
    rows.nth(1).click()
    page.wait_for_function(CHANGED, arg=[canvas.element_handle(), before])
    assert violations(page) == []

    root.get_by_role("button", name="Like these").click()
    root.get_by_role("button", name="Find training images").click()
    examples = root.locator(".slw-example")
    found = index.explain(img, 1, 5)
    expect(examples).to_have_count(len(found.proponents) + len(found.opponents), timeout=PATIENCE)
    lit = root.locator(".slw-shared canvas").first
    before = lit.evaluate("each => each.toDataURL()")
    examples.nth(1).click()
    page.wait_for_function(CHANGED, arg=[lit.element_handle(), before])
    assert violations(page) == []
    assert widget.wait(60)
    saved = widget.to_html(tmp_path / "page.html")
    widget.close()
    assert errors == []

    page.goto(saved.as_uri())
    tabs = page.locator(".slw-tab:visible")
    expect(tabs).to_have_text(["What if…", "Concepts", "Like these", "Parameters", "Save", "Keys"])
    tabs.nth(1).click()
    expect(page.locator(".slw-concept")).to_have_count(2)
    expect(page.get_by_role("button", name="Make a concept")).to_be_hidden()
    tabs.nth(2).click()
    expect(page.locator(".slw-example")).to_have_count(len(found.proponents) + len(found.opponents))
    colours = (
        page.locator(".slw-shared canvas")
        .nth(1)
        .evaluate("each => [...each.getContext('2d').getImageData(0, 0, each.width, each.height).data]")
    )
    assert np.unique(colours).size > 10
    assert errors == []
    page.close()
