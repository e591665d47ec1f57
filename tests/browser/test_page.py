"""The page of `to_html()` in a frame, under a strict policy, in an old browser and in print."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, Route, expect

from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Widget
from tests.browser.test_pictures import AXE
from tests.nets import LABELS, picture, small_net

STRICT = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
ADDRESS = "https://elsewhere.test/page.html"

COLOURS = """canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""
"""Count the different colours of a canvas."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of a small network with two methods and their curves."""
    made = SaliencyWidget(small_net(), picture(48, 40), ["gradient", "grad_cam"], labels=LABELS, target="cat")
    for method in ("gradient", "grad_cam"):
        made.compute(method, wait=True)
    written = made.to_html(tmp_path_factory.mktemp("page") / "page.html", what_if=True)
    made.close()
    return written


@pytest.fixture
def trouble() -> list[str]:
    """Return the list of errors of the pages."""
    return []


@pytest.fixture
def opened(browser: Browser, trouble: list[str]) -> Iterator[Callable[..., Page]]:
    """Return a function that opens an empty page without a network, and records its console."""
    contexts: list[BrowserContext] = []

    def opened(**options: object) -> Page:
        context = browser.new_context(viewport={"width": 500, "height": 720}, **options)  # type: ignore[arg-type]  # as Playwright has them
        contexts.append(context)
        context.route(lambda url: url.startswith("http"), lambda route: route.abort())
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None
        )
        return page

    yield opened
    for context in contexts:
        context.close()


def from_file(page: Page, path: Path) -> Page:
    """Open the page from a file, as its recipient does."""
    page.goto(path.as_uri())
    return page


def in_frame(page: Page, path: Path, attributes: str = "") -> FrameLocator:
    """Open the page in a frame, as mail readers and dashboards do; a frame inherits the policy of its page."""
    source = html.escape(path.read_text(encoding="utf-8"))
    around = f'<meta http-equiv="Content-Security-Policy" content="{STRICT}">'
    page.set_content(f'{around}<iframe width="460" height="700" {attributes} srcdoc="{source}"></iframe>')
    return page.frame_locator("iframe")


def in_sandbox(page: Page, path: Path) -> FrameLocator:
    """Open the page in a frame with an opaque origin."""
    return in_frame(page, path, 'sandbox="allow-scripts"')


def under_policy(page: Page, path: Path) -> Page:
    """Open the page from a server whose policy allows inline scripts only."""

    def serve(route: Route) -> None:
        headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": STRICT}
        route.fulfill(body=path.read_bytes(), headers=headers)

    page.route(ADDRESS, serve)
    page.goto(ADDRESS)
    return page


@pytest.mark.parametrize("show", [from_file, in_frame, in_sandbox, under_policy])
def test_it_works_wherever_it_is_opened(
    opened: Callable[..., Page], path: Path, trouble: list[str], show: Callable[[Page, Path], Page | FrameLocator]
) -> None:
    """The picture is painted, another method is selected, the prediction is shown; nothing is refused or requested."""
    shown = show(opened(), path)
    widget = Widget(shown.locator(".slw-root"))
    widget.wait(state="ready")
    assert widget.canvas.evaluate(COLOURS) > 20
    expect(shown.locator("#still")).to_have_count(0)

    widget.method("Grad-CAM").locator("button").first.click()
    widget.wait(method="grad_cam")
    widget.root.get_by_role("button", name="What if…").click()
    expect(widget.root.locator(".slw-says .slw-only")).not_to_have_text("–", timeout=PATIENCE)

    assert trouble == []


def test_in_a_frame_it_reports_its_height(opened: Callable[..., Page], path: Path) -> None:
    """The page around a frame is sent the height of the page, so that it can show all of it."""
    page = opened()
    page.set_content("<iframe></iframe>")
    page.evaluate("() => addEventListener('message', ({data}) => window.height = data.saliencyHeight)")
    page.evaluate("source => { document.querySelector('iframe').srcdoc = source; }", path.read_text(encoding="utf-8"))
    shown = page.frame_locator("iframe")
    Widget(shown.locator(".slw-root")).wait(state="ready")

    height = shown.locator("html").evaluate("element => element.offsetHeight")
    assert height > 400
    page.wait_for_function("height => window.height === height", arg=height, timeout=PATIENCE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_by_everyone(opened: Callable[..., Page], path: Path, scheme: str) -> None:
    """axe-core reports nothing in the whole page, and its headings name its contents."""
    page = from_file(opened(color_scheme=scheme), path)
    Widget(page.locator(".slw-root")).wait(state="ready")

    expect(page.get_by_role("heading", level=1)).to_have_text("Why SmallNet decides")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations.map(v => `${v.id}: ${v.nodes[0].html}`)")
    assert found == []


def test_without_scripts_the_picture_is_there(opened: Callable[..., Page], path: Path) -> None:
    """Without scripts, the map is shown on its picture, with an alternative text."""
    page = from_file(opened(java_script_enabled=False), path)

    image = page.get_by_role("img", name="Gradient for cat: 1 image evaluated")
    expect(image).to_be_visible()
    expect(page.locator("figcaption")).to_have_text("Gradient for cat: 1 image evaluated")
    expect(page.locator("main")).to_contain_text("With JavaScript")
    box = image.bounding_box()
    assert box is not None
    assert box["width"] > 400


def test_a_browser_that_cannot_decompress_shows_a_message(
    opened: Callable[..., Page], path: Path, trouble: list[str]
) -> None:
    """A browser without decompression shows a sentence beside the picture, and raises no error."""
    page = opened()
    page.add_init_script("delete globalThis.DecompressionStream")
    from_file(page, path)

    expect(page.locator("#why")).to_contain_text("lacks DecompressionStream", timeout=PATIENCE)
    expect(page.get_by_role("img", name="Gradient for cat: 1 image evaluated")).to_be_visible()
    assert trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_paper_stands_what_is_looked_at(opened: Callable[..., Page], path: Path, scheme: str) -> None:
    """In print, the picture, its caption, the class and the cost are dark on white; controls are hidden."""
    page = from_file(opened(color_scheme=scheme), path)
    widget = Widget(page.locator(".slw-root"))
    widget.wait(state="ready", theme=scheme)
    page.emulate_media(media="print")

    expect(widget.canvas).to_be_visible()
    for name in (".slw-caption-left", ".slw-cost"):
        expect(widget.root.locator(name)).to_be_visible()
    expect(widget.root.locator(".slw-chip:visible")).to_have_count(1)
    for name in (".slw-methods", ".slw-modes", ".slw-side", ".slw-tabs", ".slw-compare"):
        expect(widget.root.locator(name)).to_be_hidden()
    ink = "element => getComputedStyle(element).color.match(/[0-9.]+/g).slice(0, 3).map(Number)"
    colour = widget.root.locator(".slw-chip-label:visible").evaluate(ink)
    assert max(colour) < 100
    assert page.pdf().startswith(b"%PDF")
