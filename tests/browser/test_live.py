"""The page of `live_html()` in a frame, with a page around it that passes its texts on."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from saliency_widget import SaliencyWidget, exchange
from tests.browser.driving import PATIENCE, Widget, difference
from tests.nets import LABELS, picture, small_net

PASS_ON = """source => {
  const frame = document.body.appendChild(document.createElement('iframe'));
  frame.style = 'width: 1000px; height: 900px';
  window.answers = [];
  window.deaf = false;
  addEventListener('message', async ({data}) => {
    if (!data.saliency || window.deaf) return;
    const saliency = await window.exchange(data.saliency);
    answers.push(saliency);
    // repeated, as some hosts do
    for (let i = 0; i < 2; i++) frame.contentWindow.postMessage({saliency}, '*');
  });
  frame.srcdoc = source;
}"""


@pytest.fixture(scope="module")
def python(page: Page) -> Iterator[SaliencyWidget]:
    """Return the widget whose page is shown."""
    made = SaliencyWidget(small_net(), picture(64, 64), ["gradient", "grad_cam", "lrp"], labels=LABELS)
    page.expose_function("exchange", exchange)
    page.set_content("<!doctype html><body></body>")
    page.evaluate(PASS_ON, made.live_html())
    yield made
    made.close()


@pytest.fixture
def widget(page: Page, python: SaliencyWidget) -> Widget:
    """Return the widget in the frame, ready."""
    shown = Widget(page.frame_locator("iframe").locator(".slw-root"))
    shown.wait(state="ready")
    return shown


def test_a_click_computes_in_python(widget: Widget, python: SaliencyWidget) -> None:
    """A click on a method computes it in Python, once, and the page paints the map."""
    before = widget.pixels()
    widget.method("LRP").locator("button").first.click()
    expect(widget.root.locator(".slw-cost")).to_contain_text("LRP · 1 image evaluated")

    assert python.method == "lrp"
    assert ("lrp", python.target) in python.explanations
    assert difference(widget.pixels(), before) > 1


def test_an_empty_text_fetches_what_python_set(page: Page, widget: Widget, python: SaliencyWidget) -> None:
    """What Python sets waits for the next text, for which the app asks with an empty one."""
    python.mode, python.keep = "area", 35.0
    page.evaluate("() => document.querySelector('iframe').contentWindow.postMessage({saliency: ''}, '*')")

    expect(widget.slider("Percentile")).to_have_value("65")


def test_a_picture_is_sent_to_python(widget: Widget, python: SaliencyWidget) -> None:
    """A picture that is opened in the page reaches Python as bytes, and is shown with its prediction."""
    file = io.BytesIO()
    Image.fromarray((np.random.default_rng(0).random((40, 60, 3)) * 255).astype(np.uint8)).save(file, "PNG")
    widget.root.locator("input[type=file]").set_input_files(
        {"name": "noise.png", "mimeType": "image/png", "buffer": file.getvalue()}
    )
    expect(widget.root).to_contain_text("noise", timeout=PATIENCE)

    assert [each["size"] for each in python.spec["images"]] == [[64, 64], [40, 60]]


def test_a_lost_text_is_repeated(page: Page, widget: Widget, python: SaliencyWidget) -> None:
    """A text that is not answered is posted again after a while, and what followed it after that."""
    page.evaluate("() => { window.deaf = true; }")
    widget.slider("Percentile").focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    page.evaluate("() => { window.deaf = false; }")
    widget.method("Gradient").locator("button").first.click()

    expect(widget.root.locator(".slw-cost")).to_contain_text("Gradient · 1 image evaluated")
    assert (python.method, python.keep) == ("gradient", 100)
