"""The apps of examples/hosts, which docs/hosts.md shows: each is started, and computes a map on a click."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.driving import Widget, difference
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
    """Environment variables."""


HOSTS = {
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
        **host.settings,
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


@pytest.mark.parametrize("page", sorted(HOSTS), indirect=True)
def test_a_map_is_computed_on_a_click(page: Page) -> None:
    """A click on a method computes its map in Python, the page paints it, and an observer in Python is called."""
    widget = Widget(page.locator(".slw-root"))
    widget.wait(state="ready")
    before = widget.pixels()

    widget.method("LRP").locator("button").first.click()
    widget.wait(method="lrp", state="ready")
    expect(page.get_by_text("Shown: lrp")).to_be_visible()
    assert difference(widget.pixels(), before) > 2


@pytest.mark.parametrize("page", ["voila_app.ipynb"], indirect=True)
def test_a_linked_slider_follows_both_ways(page: Page) -> None:
    """`jslink` binds a slider of ipywidgets to the share of the pixels that are kept."""
    widget, readout = Widget(page.locator(".slw-root")), page.locator(".widget-readout")
    widget.wait(state="ready")
    own = widget.slider("Percentile")
    expect(readout).to_have_text(f"{100 - float(own.input_value()):.2f}")

    own.focus()
    page.keyboard.press("Home")
    expect(readout).to_have_text("100.00")

    readout.fill("25")
    readout.press("Enter")
    expect(own).to_have_value("75")
