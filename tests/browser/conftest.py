"""One browser for all tests, and one Jupyter server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.driving import PATIENCE
from tests.browser.jupyter import Jupyter

HERE = Path(__file__).parent

expect.set_options(timeout=PATIENCE)  # a loaded machine is slow

QUIET = (
    "--no-sandbox",  # the tests may run as root
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


DISMISS_GUIDE = "try { localStorage.setItem('saliency-widget.guide', 'dismissed') } catch { /* it has no storage */ }"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder as tests of the browser."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start headless Chromium, the system's own."""
    names = ("chromium", "google-chrome", "chromium-browser")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert path, "Chromium is missing: run `make test`, which installs it, or set CHROMIUM to its path."
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        _without_guide(launched)
        yield launched
        launched.close()


def _without_guide(browser: Browser) -> None:
    """Have each context remember that the guide was dismissed, as in the browser of somebody who knows the widget."""
    new_context = browser.new_context

    def remembering(**options: Any) -> BrowserContext:
        context = new_context(**options)
        context.add_init_script(DISMISS_GUIDE)
        return context

    browser.new_context = remembering  # type: ignore[method-assign]
    browser.new_page = lambda **options: remembering(**options).new_page()  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """Open one page for the tests of a module: starting a notebook takes longer than using it."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 1000}, color_scheme="light", reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """Start JupyterLab."""
    with Jupyter("lab", tmp_path_factory.mktemp("lab")) as server:
        yield server
