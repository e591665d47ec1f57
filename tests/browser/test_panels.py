"""The appearance of each panel with a kernel, light and dark; axe-core reports nothing in any of them.

The Python half of the widget runs in this process, and the test sets the model to answer, wait or raise. All text is
therefore the same every time, except for durations, which are covered.
"""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from playwright.sync_api import Browser, Locator, expect

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Widget
from tests.browser.hosts import Host, Quirks
from tests.browser.pictures import assert_same_picture, photograph
from tests.browser.test_pictures import violations


class Mood:
    """The behaviour of the model when it is called."""

    raises = False
    answers = 1 << 30
    """Number of calls before it waits."""
    go_on = threading.Event()


class Moody(torch.nn.Module):
    """The demo model, which waits or raises when the test sets it to."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = saliency.demo.model().double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits, after waiting if set to."""
        Mood.answers -= 1
        if Mood.answers < 0:
            assert Mood.go_on.wait(60)
        if Mood.raises:
            raise RuntimeError("this model has had enough:\nno more <questions>, please")
        result: torch.Tensor = self.inner(images)
        return result


METHODS: list[Any] = [
    saliency.IntegratedGradients(steps=12),
    saliency.XRAI(steps=4),
    saliency.SmoothGrad(samples=40),
    saliency.GradCam(),
    "attention_rollout",
]


@pytest.fixture(scope="module")
def host(browser: Browser) -> Iterator[Host]:
    """Create one widget for all pictures, with its first map on the screen."""
    context = browser.new_context(viewport={"width": 1000, "height": 1000}, reduced_motion="reduce")
    # the same button in every build of Chromium
    context.add_init_script("MediaRecorder.isTypeSupported = (type) => type.startsWith('video/webm');")
    demo = saliency.demo
    widget = SaliencyWidget(
        Moody(),
        demo.image(),
        METHODS,
        labels=demo.labels,
        target="cat",
        keep=20,
        batch_size=4,
        mode="area",
        prefetch=False,
    )
    shown = Host(context.new_page(), widget, Quirks(body='class="light"'))
    shown.widget.wait(state="ready")
    yield shown
    widget.close()
    context.close()


@pytest.fixture(autouse=True)
def calm(host: Host) -> Iterator[None]:
    """Reset before each picture: the model answers, the drawer is closed, the first method is shown."""
    yield
    Mood.raises, Mood.answers = False, 1 << 30
    Mood.go_on.set()
    widget = host.widget
    if (opened := widget.root.locator('.slw-tab[aria-expanded="true"]')).count():
        opened.click()
    choose(widget, "Integrated Gradients")
    widget.wait(state="ready", method="integrated_gradients")


def choose(widget: Widget, name: str) -> None:
    """Click a method."""
    widget.method(name).locator("button").first.click()


def open_tab(widget: Widget, name: str) -> None:
    """Open a tab of the drawer."""
    widget.root.locator(".slw-tab", has_text=name).click()


DRAWN = re.compile("Insertion curve, area .* selection only")
"""The plot's description when both curves and both predictions are present."""

Compare = Callable[..., None]


@pytest.fixture
def compare(host: Host) -> Compare:
    """Return a function that compares a part of the widget with the stored pictures, in both themes."""

    def both(name: str, part: Locator, *covered: str) -> None:
        page, root = host.page, host.widget.root
        wrong: list[str] = []
        for theme in ("light", "dark"):
            page.evaluate("theme => { document.body.className = theme; }", theme)
            host.widget.wait(theme=theme)
            assert violations(page) == []
            page.mouse.move(0, 0)
            png = photograph(root, part, *covered)
            try:
                assert_same_picture(f"{name}-{theme}", png)
            except AssertionError as error:
                wrong.append(str(error))
        page.evaluate("() => { document.body.className = 'light'; }")
        assert wrong == []

    return both


def test_parameters(host: Host, compare: Compare) -> None:
    """Fields of every kind with their help, presets, the cost, and the field that differs from its default."""
    choose(host.widget, "XRAI")
    host.widget.wait(state="ready", method="xrai")
    open_tab(host.widget, "Parameters")
    root = host.widget.root
    field = root.get_by_role("spinbutton", name="steps")
    expect(field).to_have_value("4", timeout=PATIENCE)
    field.fill("6")
    field.press("Enter")
    expect(root.locator("[data-changed]")).to_have_count(1, timeout=PATIENCE)
    host.widget.wait(state="ready")
    field = root.get_by_role("spinbutton", name="steps")
    field.blur()

    compare("parameters", root.locator(".slw-drawer"), ".slw-parameters strong")
    root.get_by_role("button", name="reset", exact=True).click()
    expect(root.locator("[data-changed]")).to_have_count(0, timeout=PATIENCE)


def test_save(host: Host, compare: Compare) -> None:
    """The script without the widget is below the buttons."""
    open_tab(host.widget, "Save")
    host.widget.root.get_by_role("button", name="Copy as Python").click()
    code = host.widget.root.get_by_label("Python", exact=True)
    expect(code).to_be_visible(timeout=PATIENCE)
    code.evaluate("area => { area.setSelectionRange(0, 0); area.blur(); }")

    # clipboard access is blocked in a page without a secure address
    compare("save", host.widget.root.locator(".slw-drawer"))


LAST_FRAME = """async (video) => {
  const element = document.createElement('video');
  element.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(video), (letter) => letter.charCodeAt(0))]));
  await new Promise((ready, fail) => { element.onloadeddata = ready; element.onerror = () => fail(element.error); });
  // a recording has no duration until its end was sought
  await new Promise((sought) => { element.onseeked = sought; element.currentTime = 1e6; });
  const size = {width: element.videoWidth, height: element.videoHeight};
  const canvas = Object.assign(document.createElement('canvas'), size);
  canvas.getContext('2d').drawImage(element, 0, 0);
  return [element.duration, canvas.toDataURL('image/png').split(',')[1]];
}"""


def test_films(host: Host) -> None:
    """A click saves a GIF file, another a video that shows the same frames for as long."""
    root = host.widget.root
    open_tab(host.widget, "Save")
    with host.page.expect_download(timeout=PATIENCE) as download:
        root.get_by_role("button", name="GIF").click()
    assert download.value.suggested_filename == "integrated-gradients-cat.gif"
    with Image.open(download.value.path()) as gif:
        frames = [
            (each.info["duration"], np.asarray(each.convert("RGB"), float)) for each in ImageSequence.Iterator(gif)
        ]
    durations, last = [duration for duration, _ in frames], frames[-1][1]
    assert len(durations) > 10

    video = root.get_by_role("button", name="WebM")
    with host.page.expect_download(timeout=PATIENCE) as download:
        video.focus()
        host.page.keyboard.press("Enter")
        expect(root.get_by_role("button", name="Stop")).to_be_visible()
        expect(root.locator(".slw-save [role=status]")).to_have_text("Recording the video…", timeout=PATIENCE)
    name = "integrated-gradients-cat.webm"
    assert download.value.suggested_filename == name
    expect(root.get_by_role("button", name="Stop")).to_be_hidden()
    expect(root.locator(".slw-save [role=status]")).to_have_text(f"Saved as {name}.")
    data = base64.b64encode(Path(download.value.path()).read_bytes()).decode()
    seconds, frame = host.page.evaluate(LAST_FRAME, data)
    assert seconds > 0.9 * sum(durations) / 1000
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(frame))).convert("RGB"), float)
    assert shown.shape == last.shape
    assert abs(shown - last).mean() < 8


def test_keys(host: Host, compare: Compare) -> None:
    """The list of keys, opened by the question mark."""
    host.widget.canvas.focus()
    host.page.keyboard.press("?")
    expect(host.widget.root.locator(".slw-keys")).to_be_visible()

    compare("keys", host.widget.root.locator(".slw-drawer"))
    host.page.keyboard.press("Escape")
    expect(host.widget.root.locator(".slw-keys")).to_be_hidden()


def test_a_failed_method(host: Host, compare: Compare) -> None:
    """The error is shown over the picture as text, with buttons to copy it and to try again."""
    Mood.raises = True
    choose(host.widget, "Grad-CAM")
    message = host.widget.root.locator(".slw-message:not([hidden])")
    expect(message).to_contain_text("no more <questions>, please", timeout=PATIENCE)

    compare("failed", host.widget.root.locator(".slw-frame"))
    Mood.raises = False
    message.get_by_role("button", name="Try again").click()
    expect(message).to_have_count(0, timeout=PATIENCE)


def test_an_unsupported_method_shows_the_reason(host: Host, compare: Compare) -> None:
    """The picture shows the reason why the model does not support the method."""
    choose(host.widget, "Attention Rollout")
    expect(host.widget.root.locator(".slw-message:not([hidden])")).to_contain_text("not possible", timeout=PATIENCE)

    compare("lacking", host.widget.root.locator(".slw-main"))


def test_a_running_method(host: Host, compare: Compare) -> None:
    """A partial map, its progress and its ×; and after a while a notice that the model is slow."""
    Mood.go_on.clear()
    Mood.answers = 5
    choose(host.widget, "SmoothGrad")
    row = host.widget.method("SmoothGrad")
    expect(row.locator(".slw-stop")).to_be_visible(timeout=PATIENCE)
    quiet = host.widget.root.locator(".slw-waits .slw-quiet")
    expect(quiet).to_be_visible(timeout=PATIENCE)

    seconds = (".slw-caption-left", ".slw-waits .slw-number", "[data-status=running] .slw-bar")
    compare("running", host.widget.root.locator(".slw-frame"), *seconds)
    Mood.go_on.set()
    host.widget.wait(state="ready", method="smooth_grad")
    expect(quiet).to_be_hidden()


def test_what_if(host: Host, compare: Compare) -> None:
    """The predictions for the selection and without it, and their positions on the curves."""
    open_tab(host.widget, "What if…")
    root = host.widget.root
    expect(root.locator(".slw-ask .slw-curve")).to_have_attribute("aria-label", DRAWN, timeout=PATIENCE)

    compare("answers", root.locator(".slw-drawer"))


def test_a_failed_what_if(host: Host, compare: Compare) -> None:
    """The model's error is shown in place of the prediction, and disappears with the next prediction."""
    open_tab(host.widget, "What if…")
    root = host.widget.root
    expect(root.locator(".slw-ask .slw-curve")).to_have_attribute("aria-label", DRAWN, timeout=PATIENCE)
    Mood.raises = True
    host.widget.slider("Percentile").focus()
    # 9 %: a film has the predictions for 10 %
    host.page.keyboard.press("PageUp")
    host.page.keyboard.press("ArrowUp")
    trouble = root.locator(".slw-ask .slw-trouble:visible")
    expect(trouble).to_contain_text("no more <questions>, please", timeout=PATIENCE)

    compare("answers-failed", root.locator(".slw-drawer"))
    Mood.raises = False
    host.widget.slider("Percentile").focus()
    for key in ("PageDown", "ArrowDown", "ArrowDown"):
        host.page.keyboard.press(key)
    expect(trouble).to_have_count(0, timeout=PATIENCE)
    host.page.keyboard.press("ArrowUp")


def measured(host: Host) -> Locator:
    """Open the Evidence tab, measure the shown map, and return the drawer."""
    open_tab(host.widget, "Evidence")
    drawer = host.widget.root.locator(".slw-drawer")
    drawer.get_by_role("button", name="Measure evidence").click()
    wait_until_measured(drawer)
    return drawer


def wait_until_measured(part: Locator) -> None:
    """Wait until no measurement runs or is left; a partial verdict comes earlier."""
    expect(part.locator(".slw-verdict .slw-measure button")).to_be_hidden(timeout=PATIENCE)


def test_evidence(host: Host, compare: Compare) -> None:
    """The verdict with the curves in their bands and the other measures; the arrow keys read the curves."""
    choose(host.widget, "Grad-CAM")
    host.widget.wait(state="ready", method="grad_cam")
    drawer = measured(host)
    plot = drawer.get_by_role("slider").first
    plot.focus()
    host.page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("^0 % removed, most salient first 33 %"))
    for _ in range(3):
        host.page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("^19 % removed, most salient first 1 %"))

    compare("evidence", drawer)


@pytest.fixture(params=[460, 1600])
def compared_in(request: pytest.FixtureRequest, host: Host) -> Iterator[int]:
    """Compare three maps in a page of some width; return the width."""
    width = int(request.param)
    button = host.widget.root.get_by_role("button", name="Compare")
    host.page.set_viewport_size({"width": width, "height": 1000})
    for name in ("XRAI", "Grad-CAM", "Integrated Gradients"):
        choose(host.widget, name)
        host.widget.wait(state="ready")
    button.click()
    # Another test of this page may have computed it. uncheck() reads the box before it waits for it, and until the next
    # frame its state is that of the last comparison.
    other = host.widget.root.get_by_label("Compare SmoothGrad")
    expect(other).to_be_visible(timeout=PATIENCE)
    other.uncheck()
    yield width
    button.click()
    host.page.set_viewport_size({"width": 1000, "height": 1000})


def test_evidence_of_compared_maps(host: Host, compare: Compare, compared_in: int) -> None:
    """The compared maps are ranked by the strength of their verdicts, and bear their marks, in pages of any width."""
    root = host.widget.root
    open_tab(host.widget, "Evidence")
    host.widget.wait(state="ready")
    # the button is drawn with the ranking, in the frame after the tab opens
    expect(root.locator(".slw-ranks li")).to_have_count(3)
    expect(root.locator(".slw-ranks li").first).to_be_visible()
    every = root.get_by_role("button", name="Measure all")
    if every.count():
        every.click()
    wait_until_measured(root)
    expect(root.locator(".slw-ranks .slw-mark[data-supported]")).to_have_count(3, timeout=PATIENCE)

    compare(f"evidence-{compared_in}", root)


def test_search(host: Host, compare: Compare) -> None:
    """All classes are listed over the content below; Escape returns to the button."""
    root = host.widget.root
    root.get_by_role("button", name="More classes…").click()
    expect(root.get_by_role("option").first).to_be_visible(timeout=PATIENCE)

    compare("search", root.locator(".slw-popup"))
    host.page.keyboard.press("Escape")
    expect(root.get_by_role("button", name="More classes…")).to_be_focused()


def test_settings_used(host: Host, compare: Compare) -> None:
    """The notes open under everything else: they cover and move nothing, and close by their button or Escape."""
    root = host.widget.root
    button, notes = root.locator(".slw-decided"), root.locator(".slw-notes")
    parts = [root.locator(each) for each in (".slw-drawer", ".slw-decided", ".slw-picture")]
    before = [each.bounding_box() for each in parts]
    button.click()
    assert [each.bounding_box() for each in parts] == before

    compare("decided", notes)
    host.page.keyboard.press("Escape")
    expect(notes).to_be_hidden()
    button.click()
    button.click()
    expect(notes).to_be_hidden()


def test_in_a_wide_page_the_drawer_opens_beside_the_picture(host: Host) -> None:
    """In a wide page the picture keeps its position and size, and the open drawer is visible beside it."""
    widget, page = host.widget, host.page
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.wait_for_timeout(300)
    picture = widget.canvas.bounding_box()
    assert picture is not None
    for name in ("Evidence", "Parameters", "Save", "Keys", "What if…"):
        open_tab(widget, name)
        expect(widget.root.locator(".slw-tab", has_text=name)).to_have_attribute("aria-expanded", "true")
        body = widget.root.locator(".slw-drawer-body:visible").bounding_box()
        frame = widget.root.locator(".slw-frame").bounding_box()
        assert body is not None
        assert frame is not None
        assert body["x"] > picture["x"] + picture["width"]
        assert body["y"] < picture["y"]
        assert body["x"] + body["width"] <= frame["x"] + frame["width"]
        assert widget.canvas.bounding_box() == picture
    page.keyboard.press("Escape")
    expect(widget.root.locator(".slw-drawer-body:visible")).to_have_count(0)
    assert widget.canvas.bounding_box() == picture
    page.set_viewport_size({"width": 1000, "height": 1000})


def test_full_screen(host: Host) -> None:
    """The button shows the widget on the whole screen, where the command palette works, and ends it again."""
    root = host.widget.root
    button = root.get_by_role("button", name="Full screen", exact=True)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    size = host.page.evaluate("[innerWidth, innerHeight]")
    box = root.bounding_box()
    assert box is not None
    assert [box["width"], box["height"]] == size
    assert violations(host.page) == []

    root.get_by_role("button", name="Commands").click()
    expect(root.get_by_role("combobox", name="Find a command")).to_be_focused()
    host.page.keyboard.press("Escape")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert host.page.evaluate("document.fullscreenElement") is None
