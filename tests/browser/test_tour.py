"""The tour, a page that needs no installation: each of its steps does what its text describes."""

from __future__ import annotations

import getpass
import json
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

import saliency
from scripts import tour
from tests.browser.driving import PATIENCE, Widget
from tests.browser.pictures import SHOWN, assert_same_picture
from tests.browser.test_pictures import AXE

CHEAP = (
    saliency.GradCam(),
    saliency.GradCamPlusPlus(),
    saliency.XRAI(steps=2),
    saliency.IntegratedGradients(),
    saliency.LRP(),
    saliency.GuidedBackprop(),
)
"""The same kinds of methods at a lower cost."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page with cheap maps."""
    network = saliency.demo.model("imagenet")
    widget = tour.explained(network, CHEAP)
    written = tmp_path_factory.mktemp("tour") / "tour.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saliency_widget.work.what_if.SHARES", (tour.KEEP,))
        written.write_text(tour.page(widget, network), encoding="utf-8")
    widget.close()
    return written


@pytest.fixture(scope="module")
def trouble() -> list[str]:
    """Return the list of the pages' errors and network requests."""
    return []


@pytest.fixture(scope="module")
def opened(browser: Browser, path: Path, trouble: list[str]) -> Iterator[Callable[..., tuple[Page, Widget]]]:
    """Return a function that opens the tour from its file, in a window of some width and theme."""
    contexts: list[BrowserContext] = []

    def opened(width: int, dark: bool = False, scale: float = 1) -> tuple[Page, Widget]:
        scheme = "dark" if dark else "light"
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]  # one of two
            device_scale_factor=scale,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "blob:")) else trouble.append(request.url),
        )
        page.goto(path.as_uri())
        widget = Widget(page.locator(".slw-root"))
        widget.wait(state="ready")
        return page, widget

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def shown(opened: Callable[..., tuple[Page, Widget]]) -> tuple[Page, Widget]:
    """Open the tour in a window of usual width."""
    return opened(1000)


def step(page: Page, number: int) -> str:
    """Take a step of the tour, and return its text."""
    button = page.locator("header button").nth(number - 1)
    button.click()
    expect(button).to_have_attribute("aria-current", "step")
    expect(page.locator("header [aria-current]")).to_have_count(1)
    return page.locator("header li p").nth(number - 1).inner_text()


def percents(text: str) -> list[int]:
    """Return the percentages in a text."""
    return [int(each) for each in re.findall(r"(\d+)\s%", text)]


def expect_percents(widget: Widget, *percents: int) -> None:
    """Wait until the drawer shows these percentages for the selection only and with the selection removed."""
    for name, percent in zip(("only", "without"), percents, strict=False):
        number = widget.root.locator(f".slw-says .slw-{name}")
        small = r"0\.\d|" if percent <= 1 else ""
        expect(number).to_have_text(re.compile(rf"^({small}{percent}) %$"), timeout=PATIENCE)


def test_another_class_is_explained(shown: tuple[Page, Widget]) -> None:
    """The text gives the network's first predictions, as the chips do, and the explained class is another one."""
    page, widget = shown
    text = step(page, 1)

    widget.wait(method="grad_cam")
    chips = widget.root.locator(".slw-chips").first
    expect(chips.locator("[aria-checked=true]")).to_contain_text("space shuttle")
    seen = [round(float(each)) for each in re.findall(r"([\d.]+) %", chips.inner_text())]
    assert percents(text) == seen[:3]


def test_the_selection_decides(shown: tuple[Page, Widget]) -> None:
    """The drawer shows the percentages of the text for the same selection; for others, the curves are interpolated."""
    page, widget = shown
    text = step(page, 2)

    kept, only, without = percents(text)
    assert kept == tour.KEEP
    expect_percents(widget, only, without)
    assert only > 10 * without
    expect(widget.root.locator(".slw-top").first).to_contain_text("espresso")
    slider = widget.slider("Percentile")
    slider.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(widget.root.locator(".slw-ask")).to_contain_text("interpolated from the curves")
    expect(widget.root.locator(".slw-says .slw-only")).to_have_text(re.compile(r"^≈\s\d"))


def test_regions_are_stepped(shown: tuple[Page, Widget]) -> None:
    """The step shows twelve regions, and the button that its text names adds one."""
    page, widget = shown
    step(page, 3)

    widget.wait(region="12")
    widget.root.get_by_role("button", name="Next region").click()
    widget.wait(region="13")


def test_methods_stand_side_by_side(shown: tuple[Page, Widget]) -> None:
    """Every method has its map, and evidence that was not measured has no tab."""
    page, widget = shown
    text = step(page, 4)

    widget.wait(cells=str(len(CHEAP)))
    assert text.startswith(f"{len(CHEAP)} methods")
    expect(widget.root.locator(".slw-cell .slw-message:visible")).to_have_count(0)
    expect(widget.root.locator(".slw-tab", has_text="Evidence")).to_be_hidden()


def test_the_wrong_answer_is_explained(shown: tuple[Page, Widget]) -> None:
    """The drawer shows the percentages of the text, for Grad-CAM's selection and for Integrated Gradients'."""
    page, widget = shown
    whole, kept, only, without, pixels = percents(step(page, 5))

    assert kept == tour.KEEP
    expect(widget.root.locator(".slw-chip[aria-checked=true]").first).to_contain_text(f"football helmet{whole} %")
    expect_percents(widget, only, without)
    assert only > 5 * without
    assert only > 5 * pixels
    widget.method("Integrated Gradients").locator("button").first.click()
    expect(widget.root.locator(".slw-ask")).to_contain_text(f"football helmet in the top {tour.KEEP} %")
    expect_percents(widget, pixels)


def test_the_check_shows_what_it_claims(shown: tuple[Page, Widget]) -> None:
    """Guided Backprop's map survives the randomisation of the last layers, Grad-CAM's does not."""
    page, widget = shown
    text = step(page, 6)

    widget.wait(cells="4")
    expect(widget.root.locator(".slw-cell .slw-message:visible")).to_have_count(0)
    blind, seeing = (float(each) for each in re.findall(r"\((?:rank correlation )?(-?\d\.\d+)\)", text))
    assert blind > 0.75
    assert abs(seeing) < 0.5


def test_the_known_place_is_found(shown: tuple[Page, Widget]) -> None:
    """In the lower part, every method's share on the toy's cat is above chance, and the pictures are present."""
    page, _ = shown
    footer = page.locator("footer")

    (chance,) = percents(footer.locator("p").inner_text())
    pictures = footer.locator("li")
    expect(pictures).to_have_count(1 + len(tour.METHODS))
    shares = percents(" ".join(pictures.all_inner_texts()))
    assert len(shares) == len(tour.METHODS)
    assert min(shares) > chance
    assert max(shares) > 60
    assert page.evaluate(
        "() => [...document.querySelectorAll('footer img')].every((each) => each.naturalWidth === 224)"
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1000])
def test_the_tour_looks(opened: Callable[..., tuple[Page, Widget]], width: int, dark: bool) -> None:
    """The page with its text: axe reports nothing in it, and nothing overflows."""
    page, widget = opened(width, dark)
    expect_percents(widget, *percents(step(page, 5))[2:4])
    page.evaluate("() => document.activeElement.blur()")
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations.map(v => `${v.id}: ${v.nodes[0].html}`)")
    assert found == []
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    if width == 1000:
        png = page.screenshot(full_page=True, animations="disabled")
        assert_same_picture(f"tour-{'dark' if dark else 'light'}", png)


def test_the_readme_shows_the_widget(opened: Callable[..., tuple[Page, Widget]]) -> None:
    """The README's picture shows the current widget, with the model's prediction."""
    page, widget = opened(1000, scale=1.5)
    expect_percents(widget, *percents(step(page, 2))[1:])
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert_same_picture("widget", widget.root.screenshot(animations="disabled"), SHOWN)


def test_the_page_contains_no_path_of_the_machine(path: Path, trouble: list[str]) -> None:
    """The page contains no folder, user or machine, no address except papers', and causes no request and no error."""
    text = path.read_text(encoding="utf-8")

    words = re.sub(r'<script type="text/plain" id="packet">[^<]*', "", text)
    for name in (str(Path.home()), str(Path.cwd()), tempfile.gettempdir(), socket.gethostname()):
        assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", words), name
    assert f"/{getpass.getuser()}/" not in words
    addresses = set(re.findall(r"https?://[^\s\"'`)<>\\]+", words))
    assert {
        each for each in addresses if not each.startswith(("http://www.w3.org/", "https://arxiv.org/abs/"))
    } == set()
    shows = [json.loads(each.replace("&quot;", '"')) for each in re.findall(r'data-show="([^"]*)"', text)]
    assert len(shows) == 6
    assert trouble == []
