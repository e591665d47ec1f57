"""Long methods in JupyterLab: progress, partial results, cancel, errors, and other widgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import PATIENCE, Notebook, Widget
from tests.browser.jupyter import Jupyter

SETUP = """
import threading, time, numpy as np, torch, saliency
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net
torch.set_num_threads(1)

class Slow(torch.nn.Module):
    "A network that waits `pause` seconds before each call, and raises if `fail` is set."
    pause, fail = 0.0, False
    def __init__(self):
        super().__init__()
        self.net = small_net()
    def forward(self, x):
        time.sleep(Slow.pause)
        if Slow.fail:
            raise ValueError("<b>boom</b> & <script>window.harmed = true</script>")
        return self.net(x)

smooth = saliency.SmoothGrad(samples=120)
w = SaliencyWidget(Slow(), picture(64, 64), labels=["<i>ape</i>", *LABELS[1:]], batch_size=4,
                   methods=["gradient", smooth, saliency.IntegratedGradients(steps=8)])
"""


@pytest.fixture(scope="module")
def notebook(page: Page, lab: Jupyter) -> Iterator[Notebook]:
    """Open a notebook with a widget whose model can be slow, and a second widget below it."""
    opened = Notebook(
        page, lab, [SETUP, "w", "SaliencyWidget(small_net(), picture(32, 48), methods=['gradient'])"], "long.ipynb"
    )
    yield opened
    opened.close()


@pytest.fixture
def widget(notebook: Notebook) -> Iterator[Widget]:
    """Return the first widget, with a fast model and the gradient on the screen."""
    notebook.complaints.clear()
    notebook.run("Slow.pause, Slow.fail = 0.0, False; w.wait(); w.method = 'gradient'; w.target = 1; w.wait()")
    shown = notebook.widget()
    shown.wait(state="ready", method="gradient")
    yield shown
    assert notebook.complaints == []


def test_partial_results_reach_the_screen_and_converge(notebook: Notebook, widget: Widget) -> None:
    """During a long method, at least five partial maps are painted before the final one."""
    notebook.run("Slow.pause = 0.15")
    widget.method("SmoothGrad").locator("button").first.click()
    widget.wait(state="busy", method="smooth_grad")
    expect(widget.method("SmoothGrad")).to_have_attribute("data-status", "running", timeout=PATIENCE)
    expect(widget.method("SmoothGrad")).to_contain_text("%", timeout=PATIENCE)
    seen = widget.paintings_until_ready()

    assert seen >= 6
    widget.wait(state="ready")
    expect(widget.method("SmoothGrad")).to_contain_text("120 samples", timeout=PATIENCE)


def test_a_long_method_can_be_cancelled(notebook: Notebook, widget: Widget) -> None:
    """× stops a running method after the current model call; the method can be computed again."""
    notebook.run("Slow.pause = 0.2; w.target = 2; w.wait()")
    row = widget.method("SmoothGrad")
    row.locator("button").first.click()
    expect(row).to_have_attribute("data-status", "running", timeout=PATIENCE)
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_have_attribute("data-status", "idle", timeout=PATIENCE)

    assert notebook.run("print(w.wait(5), ('smooth_grad', 2) in w.explanations)").split() == ["True", "False"]
    notebook.run("Slow.pause = 0.0")
    row.locator("button").first.click()
    expect(row).to_have_attribute("data-status", "done", timeout=PATIENCE)


def test_an_error_is_shown_as_text_and_the_others_live_on(notebook: Notebook, widget: Widget) -> None:
    """If a model raises, its message is shown as text, tags included; the next method works."""
    notebook.run("Slow.fail = True")
    row = widget.method("Integrated Gradients")
    row.locator("button").first.click()
    expect(row).to_have_attribute("data-status", "failed", timeout=PATIENCE)
    expect(widget.root).to_contain_text("<b>boom</b> & <script>", timeout=PATIENCE)

    assert widget.page.evaluate("() => window.harmed") is None
    notebook.run("Slow.fail = False")
    widget.root.get_by_role("button", name="Try again").click()
    expect(row).to_have_attribute("data-status", "done", timeout=PATIENCE)


def test_labels_are_text(widget: Widget) -> None:
    """A label that contains tags is shown with its tags."""
    expect(widget.root.locator(".slw-chip", has_text="<i>ape</i>")).to_be_visible()
    assert widget.root.locator("i", has_text="ape").count() == 0


def test_a_cell_may_run_beside(notebook: Notebook, widget: Widget) -> None:
    """While a cell keeps the kernel busy, the widget still computes."""
    # ipykernel 7.4 sends a comm's messages to the shell that last used it: now the widget's own, not that of the cells
    widget.choose_class("cat")
    widget.wait(target="2", state="ready")
    notebook.until("('gradient', 2) in w.explanations", True)
    notebook.page.evaluate(
        "() => { window.busy = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute("
        "{code: 'done_at = None; time.sleep(4); done_at = time.time()', store_history: false}).done; }"
    )
    widget.choose_class("dog")
    widget.wait(target="3", state="ready")
    expect(widget.method("Gradient")).to_have_attribute("data-status", "done", timeout=PATIENCE)
    widget.page.evaluate("async () => { await window.busy; }")
    finished = notebook.run("print(w.explanations.keys() >= {('gradient', 3)}, done_at is not None)")

    assert finished.split() == ["True", "True"]


def test_widgets_do_not_share_their_state(notebook: Notebook, widget: Widget) -> None:
    """Two widgets on one page have separate states."""
    other = notebook.widget(1)
    other.wait(state="ready", method="gradient")
    other.root.get_by_role("radio", name="Heat map").click()
    expect(other.root.get_by_role("radio", name="Heat map")).to_have_attribute("aria-checked", "true")

    expect(widget.root.get_by_role("radio", name="Top pixels")).to_have_attribute("aria-checked", "true")
