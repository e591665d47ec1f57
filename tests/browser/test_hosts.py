"""Colab and VS Code as documented: each difference is tested with its remedy and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page

import saliency
from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Widget
from tests.browser.hosts import COLAB, VSCODE, Host, Quirks
from tests.nets import LABELS, picture, small_net

Open = Callable[..., Host]

COLOUR = "root => getComputedStyle(root).color"
HEIGHT = "root => root.getBoundingClientRect().height"


@pytest.fixture
def trouble() -> list[str]:
    """Return the list of errors on the page."""
    return []


@pytest.fixture
def host(browser: Browser, trouble: list[str]) -> Iterator[Open]:
    """Return a function that opens a page of a host with a new widget, or with one that was open before."""
    opened: list[tuple[Page, SaliencyWidget]] = []

    def open_page(quirks: Quirks, again: SaliencyWidget | None = None) -> Host:
        page = browser.new_page(viewport={"width": 1000, "height": 900}, reduced_motion="reduce")
        page.on("pageerror", lambda error: trouble.append(str(error)))
        methods: list[Any] = [saliency.XRAI(steps=2), "gradient"]
        widget = again or SaliencyWidget(small_net(), picture(96, 96), methods, labels=LABELS)
        opened.append((page, widget))
        return Host(page, widget, quirks)

    yield open_page
    for page, widget in opened:
        widget.close()
        page.close()
    assert trouble == []


def open_keys(widget: Widget, selector: str = "dl.slw-keys") -> Locator:
    """Open a tab, whose content is loaded then, and return its content."""
    widget.root.locator(".slw-tab", has_text="Keys").click()
    return widget.root.locator(".slw-drawer").locator(selector)


def test_colab_shows_requested_maps(host: Open) -> None:
    """Maps arrive by polling if nothing is pushed, buffers are Uint8Array and the first state has no binary traits."""
    colab = host(COLAB)

    colab.widget.wait(state="ready", method="xrai", theme="dark")
    colab.widget.method("Gradient").locator("button").first.click()
    colab.widget.wait(state="ready", method="gradient")
    open_keys(colab.widget).wait_for(timeout=PATIENCE)


def test_without_polling_colab_waits_for_ever(host: Open) -> None:
    """Control: the same page without permission to poll tries to, and never gets the map that the kernel has."""
    colab = host(Quirks(**{**vars(COLAB), "polls": False}))

    colab.page.wait_for_function("() => window.polls >= 3", timeout=PATIENCE)

    assert colab.python.wait(60)
    assert colab.python.explanations
    assert colab.widget.root.get_attribute("data-state") != "ready"


def test_buffers_that_are_parts_of_larger_ones_are_read_right(host: Open) -> None:
    """A Uint8Array within a larger buffer is read from its offset; read as a whole it would be another picture."""
    colab = host(COLAB)
    colab.widget.wait(state="ready")

    # PNG files begin with these bytes
    read, naive = colab.page.evaluate(
        """() => {
          const {views: [bytes]} = window.delivered.find(({op}) => op === 'welcome');
          return [Array.from(bytes.slice(0, 4)), Array.from(new Uint8Array(bytes.buffer).slice(0, 4))];
        }"""
    )
    assert read == [0x89, 0x50, 0x4E, 0x47]
    assert naive != read


def test_a_notebook_without_kernel_shows_what_it_kept(host: Open) -> None:
    """Reopened without a kernel, the map stored in the notebook is shown; other maps are unavailable."""
    first = host(Quirks())
    first.widget.wait(state="ready", method="xrai")
    assert first.python.wait(60)

    again = host(Quirks(answers=False), first.python)

    again.widget.wait(state="ready", method="xrai")
    again.widget.root.get_by_text("no kernel", exact=False).first.wait_for(timeout=PATIENCE)
    open_keys(again.widget).wait_for(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("sources", "selector"),
    [("data:", "dl.slw-keys"), ("", "text=/security policy of this page blocks this part of the widget.*to_html/")],
    ids=["no blobs", "neither"],
)
def test_a_policy_against_code_is_reported(host: Open, sources: str, selector: str) -> None:
    """Where a page's policy allows no blob, a data URL loads the tabs; where it allows neither, a sentence says so."""
    strict = host(VSCODE)
    strict.widget.wait(state="ready")
    # after the start, as this host loads the first module from a blob too
    strict.page.evaluate(
        """sources => document.head.append(Object.assign(document.createElement("meta"), {
          httpEquiv: "Content-Security-Policy", content: `script-src 'unsafe-inline' ${sources}`,
        }))""",
        sources,
    )

    open_keys(strict.widget, selector).wait_for(timeout=PATIENCE)


def test_keys_do_not_reach_the_notebook(host: Open) -> None:
    """Plain keys in the widget do not leave it; control: keys in another field of the same cell do."""
    vscode = host(VSCODE)
    vscode.widget.wait(state="ready")
    controls = [vscode.widget.slider("Percentile"), vscode.widget.method("Gradient").locator("button").first]
    for control in controls:
        control.focus()
        for key in ("Delete", "d", "a", "x", "ArrowDown"):
            vscode.page.keyboard.press(key)
    assert vscode.page.evaluate("() => window.keys") == []

    vscode.page.locator("#foreign").focus()
    vscode.page.keyboard.press("Delete")
    assert vscode.page.evaluate("() => window.keys") == ["Delete"]


@pytest.mark.parametrize(
    ("quirks", "theme", "colour"),
    [
        (VSCODE, "dark", "rgb(212, 212, 212)"),
        (Quirks(body='class="vscode-light"'), "light", "rgb(27, 29, 33)"),
        (Quirks(html='theme="dark"'), "dark", "rgb(230, 232, 236)"),
        (Quirks(), "light", "rgb(27, 29, 33)"),
    ],
    ids=["vscode dark", "vscode light", "colab dark", "silent"],
)
def test_the_host_s_theme_is_followed(host: Open, quirks: Quirks, theme: str, colour: str) -> None:
    """The widget follows the theme of each host, and VS Code's colours; without a theme, that of the system."""
    opened = host(quirks)

    opened.widget.wait(theme=theme)
    assert opened.widget.root.evaluate(COLOUR) == colour


def test_the_height_does_not_follow_the_window(host: Open) -> None:
    """In an output that grows with its content (Colab's, up to 1000 pixels) the height depends only on the width."""
    colab = host(COLAB)
    colab.widget.wait(state="ready")
    before = colab.widget.root.evaluate(HEIGHT)
    colab.page.evaluate("() => { foreign.style = 'display: block; height: 100vh' }")
    control = colab.page.locator("#foreign").evaluate(HEIGHT)

    colab.page.set_viewport_size({"width": 1000, "height": 1800})

    assert colab.widget.root.evaluate(HEIGHT) == before <= 1000
    assert colab.page.locator("#foreign").evaluate(HEIGHT) > control
