"""Many widgets that are shown, run again and deleted: all their resources are released."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from saliency_widget import SaliencyWidget
from tests.browser.driving import PATIENCE, Notebook
from tests.browser.hosts import Host, Quirks
from tests.browser.jupyter import Jupyter
from tests.nets import LABELS, picture, small_net

MANY = 30

SHOW_AND_DELETE = """async (times) => {
  const cell = document.createElement('div');
  document.body.append(cell);
  for (let i = 0; i < times; i++) {
    const end = await window.show(cell);
    await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
    end();
    cell.replaceChildren();
  }
  cell.remove();
}"""

SETUP = """
import gc, threading, weakref, torch
from IPython.display import display
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net
torch.set_num_threads(1)
net, shown = small_net(), []
def threads():
    return sum(each.name == "saliency-widget" for each in threading.enumerate())
"""

SHOW = f"""
for each in shown:
    each.close()
shown = [SaliencyWidget(net, picture(24, 24), ["gradient"], labels=LABELS) for _ in range({MANY})]
display(*shown)
"""


class Counts:
    """Chromium's counts of a page's objects, after garbage collection."""

    def __init__(self, page: Page) -> None:
        self._cdp: CDPSession = page.context.new_cdp_session(page)
        self._cdp.send("Performance.enable")

    def __call__(self) -> dict[str, float]:
        for _ in range(3):
            self._cdp.send("HeapProfiler.collectGarbage")
        metrics = self._cdp.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in metrics}


def test_a_view_that_is_gone_leaves_nothing(browser: Browser) -> None:
    """Thirty views that were shown and deleted leave no listener, no node and no megabyte."""
    page = browser.new_page(reduced_motion="reduce")
    widget = SaliencyWidget(small_net(), picture(64, 64), ["gradient"], labels=LABELS)
    host = Host(page, widget, Quirks())
    host.widget.wait(state="ready")
    counts = Counts(page)
    page.evaluate(SHOW_AND_DELETE, 3)
    before = counts()

    page.evaluate(SHOW_AND_DELETE, MANY)

    after = counts()
    assert after["JSEventListeners"] <= before["JSEventListeners"]
    assert after["Nodes"] <= before["Nodes"] + MANY
    assert after["JSHeapUsedSize"] <= before["JSHeapUsedSize"] + (1 << 20)
    widget.close()
    page.close()


@pytest.fixture(scope="module")
def notebook(page: Page, lab: Jupyter) -> Iterator[Notebook]:
    """Open a notebook with thirty widgets in one cell."""
    opened = Notebook(page, lab, [SETUP, SHOW], "many.ipynb")
    yield opened
    opened.close()


def test_thirty_widgets_in_a_notebook(notebook: Notebook) -> None:
    """All widgets are ready, also after their cell was run again; when closed, no thread and no widget remains."""
    roots = notebook.page.locator(".slw-root")
    for runs in (1, 2):
        expect(roots).to_have_count(MANY, timeout=PATIENCE)
        for i in range(MANY):
            expect(roots.nth(i)).to_have_attribute("data-state", "ready", timeout=PATIENCE)
        assert notebook.run("threads()").strip() in ("0", "1")
        if runs == 1:
            first = roots.first.element_handle()
            notebook.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
            notebook.page.wait_for_function("root => !root.isConnected", arg=first, timeout=PATIENCE)

    notebook.run("alive = weakref.WeakSet(shown)")
    notebook.run("[each.close() for each in shown]; shown.clear(); each = None")
    notebook.until("threads()", 0)
    assert notebook.run("gc.collect(); len(alive)").splitlines()[-1] == "0"
    assert notebook.complaints == []
