"""The gallery of 200 scenes in a real browser: scroll, filter, maps, open with all tools, back, accessibility."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Notebook
from tests.browser.jupyter import Jupyter
from tests.browser.pictures import assert_same_picture, photograph
from tests.browser.test_pictures import violations

SETUP = """
import numpy as np, torch, saliency
from saliency_widget import SaliencyWidget
torch.set_num_threads(1)
demo = saliency.demo
whole, labels = demo.image(), demo.labels
rng = np.random.default_rng(0)
images = {}
for i in range(200):
    top, left = rng.integers(0, np.array(whole.shape[:2]) - 128)
    images[f"scene {i}"] = whole[top:top + 128, left:left + 128]
images["broken"] = b"no picture"
tops = [each[0].index for each in saliency.predict_each(demo.model(), list(images.values())[:-1], 1)]
truth = [(top + 1) % len(labels) if i % 10 == 3 else top for i, top in enumerate(tops)] + [None]
"""
SHOW = "w = SaliencyWidget(demo.model(), images, labels=labels, truth=truth, methods=['grad_cam', 'gradient'])\nw"


@pytest.fixture(scope="module")
def notebook(page: Page, lab: Jupyter) -> Iterator[Notebook]:
    """Open a notebook that shows the gallery."""
    shown = Notebook(page, lab, [SETUP, SHOW], "gallery.ipynb")
    yield shown
    shown.close()


def test_a_gallery_is_scrolled_filtered_opened_and_left(notebook: Notebook) -> None:
    """Only tiles in sight exist; wrong predictions are found; a tile opens with all tools, and Esc leads back."""
    root = notebook.widget().root
    tiles, listed = root.locator(".slw-item"), root.locator(".slw-gallery-list")
    expect(tiles.first.locator("img")).to_be_visible()
    expect(tiles.first).to_have_attribute("aria-label", re.compile("scene 0, predicted .+ %, true class .+, right"))
    assert tiles.count() < 60
    assert violations(root.page) == []
    assert_same_picture("gallery-light", photograph(root))

    listed.focus()
    root.page.keyboard.press("End")
    last = root.get_by_role("option", name=re.compile("^broken"))
    expect(last).to_be_visible()
    expect(last).to_contain_text("no picture")
    assert tiles.count() < 60

    root.get_by_label("Show", exact=True).select_option("wrong")
    expect(root.locator(".slw-gallery-status")).to_have_text("20 of 201 pictures · 180 right, 20 wrong")
    expect(tiles.first).to_have_attribute("data-right", "false")
    expect(tiles.first).to_have_attribute("aria-label", re.compile("^scene 3,"))
    root.get_by_text("Maps: Grad-CAM").click()
    before = tiles.nth(1).locator("img").get_attribute("src")
    expect(tiles.nth(1).locator("img")).not_to_have_attribute("src", str(before))

    tiles.nth(1).click()
    notebook.widget().wait(state="ready", image="13", method="grad_cam")
    expect(root.locator(".slw-back")).to_contain_text("2 of 20")
    expect(root.locator("canvas.slw-picture")).to_be_visible()
    root.get_by_label("Next picture").click()
    notebook.widget().wait(state="ready", image="23")
    root.locator("canvas.slw-picture").focus()
    root.page.keyboard.press("Escape")
    expect(listed).to_be_visible()
    expect(root.locator(".slw-item[aria-selected=true]")).to_have_attribute("aria-label", re.compile("^scene 23,"))
    assert notebook.run("(w.image_index, w.gallery)").strip() == "(23, True)"
    assert not notebook.complaints
