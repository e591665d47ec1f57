"""The tour: a page for whoever has nothing installed. Each of its steps does what it says."""

from __future__ import annotations

import getpass
import itertools
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
    saliency.XRAI(steps=4),
    saliency.GradCam(),
    saliency.LayerCam(),
    saliency.IntegratedGradients(steps=4),
    saliency.GuidedBackprop(),
    saliency.Occlusion(size=56, stride=56),
)
"""The same kinds of methods with less to do."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, of maps that are made soon."""
    network = saliency.demo.model()
    widget = tour.explained(network, CHEAP, beside=False)
    written = tmp_path_factory.mktemp("tour") / "tour.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saliency_widget.questions.SHARES", (tour.KEEP,))
        written.write_text(tour.page(widget, network), encoding="utf-8")
    widget.close()
    return written


@pytest.fixture(scope="module")
def trouble() -> list[str]:
    """What the pages complained about, or asked of a network."""
    return []


@pytest.fixture(scope="module")
def opened(browser: Browser, path: Path, trouble: list[str]) -> Iterator[Callable[..., tuple[Page, Widget]]]:
    """Opens the tour from its file, in a window of some width and theme."""
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
        page.on("console", lambda told: trouble.append(told.text) if told.type in ("error", "warning") else None)
        page.on(
            "request", lambda asked: None if asked.url.startswith(("file:", "blob:")) else trouble.append(asked.url)
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
    """The tour in a window of usual width."""
    return opened(1000)


def step(page: Page, number: int) -> str:
    """Take a step of the tour; what its text says."""
    button = page.locator("header button").nth(number - 1)
    button.click()
    expect(button).to_have_attribute("aria-current", "step")
    expect(page.locator("header [aria-current]")).to_have_count(1)
    return page.locator("header li p").nth(number - 1).inner_text()


def percents(text: str) -> list[int]:
    """The percentages in a text."""
    return [int(each) for each in re.findall(r"(\d+) %", text)]


def says(widget: Widget, *percents: int) -> None:
    """Until the drawer tells so many percent for the selection alone, and for all without it."""
    for name, percent in zip(("only", "without"), percents, strict=False):
        number = widget.root.locator(f".slw-says .slw-{name}")
        expect(number).to_have_text(f"{percent / 100:.2f}", timeout=PATIENCE)


def test_it_opens_with_the_first_step(shown: tuple[Page, Widget]) -> None:
    """Another class is explained, and the chips at the top say what the text says of the network."""
    page, widget = shown
    told = step(page, 1)

    widget.wait(method="xrai")
    chips = widget.root.locator(".slw-chips").first
    expect(chips.locator("[aria-checked=true]")).to_contain_text("coffee cup")
    seen = [round(100 * float(each)) for each in re.findall(r"0\.\d\d", chips.inner_text())]
    assert percents(told) == seen[:3]


def test_the_model_has_answered(shown: tuple[Page, Widget]) -> None:
    """The numbers of the text are those that the drawer tells of the very selection; elsewhere curves are read."""
    page, widget = shown
    told = step(page, 2)

    only, without = percents(told)
    says(widget, only, without)
    assert only > 2 * without
    expect(widget.root.locator(".slw-top").first).to_contain_text("cat")
    slider = widget.slider("Percentile")
    slider.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(widget.root.locator(".slw-ask")).to_contain_text("read from the curves")
    expect(widget.root.locator(".slw-says .slw-only")).to_have_text(re.compile(r"^≈\s0"))


def test_regions_are_stepped(shown: tuple[Page, Widget]) -> None:
    """Three regions, and one more by the button that the text names."""
    page, widget = shown
    step(page, 3)

    widget.wait(region="3")
    widget.root.get_by_role("button", name="Next region").click()
    widget.wait(region="4")


def test_methods_stand_side_by_side(shown: tuple[Page, Widget]) -> None:
    """All of them, each with its map, and ranked: what is inserted best and deleted worst comes first."""
    page, widget = shown
    told = step(page, 4)

    widget.wait(cells=str(len(CHEAP)))
    assert told.startswith(f"{len(CHEAP)} answers")
    expect(widget.root.locator(".slw-cell .slw-message:visible")).to_have_count(0)
    ranks = widget.root.locator(".slw-ranks li")
    expect(ranks).to_have_count(len(CHEAP))
    found = [re.findall(r"0\.\d\d", each) for each in ranks.all_inner_texts()]
    gains = [float(insertion) - float(deletion) for insertion, deletion in found]
    assert all(one >= other - 0.011 for one, other in itertools.pairwise(gains))
    assert gains[0] > gains[-1]


def test_the_portrait_is_a_space_shuttle(shown: tuple[Page, Widget]) -> None:
    """What the text says of the whole, of the tenth that Grad-CAM chose, and of the one of Integrated Gradients."""
    page, widget = shown
    whole, only, without, noise = percents(step(page, 5))

    expect(widget.root.locator(".slw-chip[aria-checked=true]").first).to_contain_text(f"space shuttle0.{whole}")
    says(widget, only, without)
    assert only > 2 * without
    assert only > 2 * noise
    widget.method("Integrated Gradients").locator("button").first.click()
    expect(widget.root.locator(".slw-ask")).to_contain_text("space shuttle in the top 10 %")
    says(widget, noise)


def test_the_check_says_what_it_shows(shown: tuple[Page, Widget]) -> None:
    """Two methods of two networks; the one is blind to what was forgotten, as the text says, the other is not."""
    page, widget = shown
    told = step(page, 6)

    widget.wait(cells="4")
    blind, seeing = (float(each) for each in re.findall(r"\((?:rank correlation )?(-?0\.\d+)\)", told))
    assert blind > 0.75
    assert abs(seeing) < 0.3


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1000])
def test_the_tour_looks(opened: Callable[..., tuple[Page, Widget]], width: int, dark: bool) -> None:
    """The page with its text: axe finds nothing in all of it, and nothing sticks out."""
    page, widget = opened(width, dark)
    says(widget, *percents(step(page, 5))[1:3])
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
    """The picture in the README is the widget of today, with the model's answer."""
    page, widget = opened(1000, scale=1.5)
    says(widget, *percents(step(page, 2)))
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)

    assert_same_picture("widget", widget.root.screenshot(animations="disabled"), SHOWN)


def test_nobody_is_told_where_it_was_made(path: Path, trouble: list[str]) -> None:
    """No folder, user or machine, no address but papers', no request and no complaint while it was looked at."""
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
