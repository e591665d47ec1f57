"""The apps of examples/hosts, which docs/hosts.md shows: each is started, and computes a map on a click."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.driving import Widget, difference
from tests.browser.jupyter import notebook
from tests.browser.servers import CHECKOUT, Server, free_port

APPS = Path(CHECKOUT) / "examples" / "hosts"
INSTALLED = Path(sys.prefix) / "hosts"
"""Where `make test` puts the hosts."""

ANYWIDGET = Path(sys.prefix) / "share" / "jupyter" / "nbextensions" / "anywidget" / "index.js"
"""anywidget's own script, which Panel loads from unpkg.com."""


@dataclass(frozen=True)
class Host:
    """How an app is served."""

    command: str
    """Arguments of Python; {app} is the file, {port} the port."""
    address: str = ""
    """Path of the page."""
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables; {port} is the port."""


HOSTS = {
    "gradio_app.py": Host(
        "{app}", settings={"GRADIO_SERVER_PORT": "{port}", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    ),
    "panel_app.py": Host(
        "-m panel serve {app} --address 127.0.0.1 --port {port} --allow-websocket-origin 127.0.0.1:{port}", "panel_app"
    ),
    "solara_app.py": Host(
        "-m solara run {app} --no-open --production --host 127.0.0.1 --port {port}",
        settings={
            "SOLARA_ASSETS_PROXY_CACHE_DIR": str(INSTALLED / "solara-cdn"),
            "SOLARA_ASSETS_FONTAWESOME_ENABLED": "false",
        },
    ),
    "streamlit_app.py": Host(
        "-m streamlit run {app} --server.address 127.0.0.1 --server.port {port} --server.headless true"
        " --server.fileWatcherType none --browser.gatherUsageStats false --global.developmentMode false"
    ),
    "voila_app.ipynb": Host("-m voila {app} --no-browser --port {port} --Voila.ip=127.0.0.1"),
}


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open the page of an app, without a network."""
    assert INSTALLED.is_dir(), "The hosts are missing: run `make test`, which installs them."
    host, port = HOSTS[request.param], str(free_port())
    command = host.command.format(app=APPS / request.param, port=port).split()
    settings = {
        "PYTHONPATH": os.pathsep.join([CHECKOUT, str(INSTALLED)]),
        "JUPYTER_PATH": str(INSTALLED / "share" / "jupyter"),
        "JUPYTER_CONFIG_PATH": str(INSTALLED / "etc" / "jupyter"),
        **{name: value.format(port=port) for name, value in host.settings.items()},
    }
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    context.route(lambda url: "127.0.0.1" not in url, lambda route: route.abort())
    context.route(
        re.compile(r"/anywidget@.*/index"),
        lambda route: route.fulfill(path=ANYWIDGET, headers={"Access-Control-Allow-Origin": "*"}),
    )
    home = tmp_path_factory.mktemp("host")
    with Server(command, home, f"http://127.0.0.1:{port}/{host.address}", settings) as server:
        opened = context.new_page()
        opened.goto(server.url)
        yield opened
        context.close()


def shown_in(page: Page) -> Widget:
    """Return the widget, once its first map is there: in the page, or in the frame of a live page."""
    roots = page.locator(".slw-root"), page.frame_locator("iframe").locator(".slw-root")
    expect(roots[0].or_(page.locator("iframe"))).to_be_visible()
    widget = Widget(roots[page.locator("iframe").count()])
    widget.wait(state="ready")
    return widget


@pytest.mark.parametrize("page", sorted(HOSTS), indirect=True)
def test_a_map_is_computed_on_a_click(page: Page) -> None:
    """A click on a method computes its map in Python, the page paints it, and the app has the new method."""
    widget = shown_in(page)
    cost = widget.root.locator(".slw-cost")
    expect(cost).to_contain_text("evaluated")
    before = widget.pixels()

    widget.method("LRP").locator("button").first.click()
    expect(cost).to_contain_text("LRP · 1 image evaluated")
    expect(page.get_by_text("Shown: lrp")).to_be_visible()
    assert difference(widget.pixels(), before) > 2
    # some hosts reset the looks of all controls
    expect(widget.root.locator("select:visible").first).to_have_css("appearance", "auto")


def test_a_page_of_quarto_shows_what_was_computed(browser: Browser, tmp_path: Path) -> None:
    """The cells of the document run, and their page shows both maps; Quarto itself is not at hand."""
    cells = re.findall(
        r"^```{python}\n(.*?)^```$", (APPS / "quarto_page.qmd").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    written = tmp_path / "quarto_page.ipynb"
    written.write_text(json.dumps(notebook(cells)), "utf-8")
    command = [sys.executable, "-m", "nbconvert", "--execute", "--no-input", "--to=html", str(written)]
    settings = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path / "ipython")}
    subprocess.run(command, env=settings, check=True, timeout=300, capture_output=True)

    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(written.with_suffix(".html").as_uri())
    widget = shown_in(page)
    before = widget.pixels()
    widget.method("LRP").locator("button").first.click()
    expect(widget.root.locator(".slw-cost")).to_contain_text("LRP · 1 image evaluated")
    assert difference(widget.pixels(), before) > 2
    context.close()


@pytest.mark.parametrize("page", ["voila_app.ipynb"], indirect=True)
def test_a_linked_slider_follows_both_ways(page: Page) -> None:
    """`jslink` binds a slider of ipywidgets to the share of the pixels that are kept."""
    widget, readout = shown_in(page), page.locator(".widget-readout")
    own = widget.slider("Percentile")
    expect(readout).to_have_text(f"{100 - float(own.input_value()):.2f}")

    own.focus()
    page.keyboard.press("Home")
    expect(readout).to_have_text("100.00")

    readout.fill("25")
    readout.press("Enter")
    expect(own).to_have_value("75")
