"""The widget's latency until a model's result is on the screen, in JupyterLab with Chromium.

    python benchmarks/latency.py [--rounds 30] [--network demo|resnet18|lite0] [--beside guided_ig]

For each network: the widget, the classes and the first map after its cell is run; another method after a click; what-if
after the slider has moved, with nothing else to do and beside a long method; and what the comm handler takes meanwhile.
The model's own time is measured in the same kernel: without it the rest is ours, the notebook's and the browser's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.driving import Notebook, Widget  # noqa: E402  # of this checkout
from tests.browser.jupyter import Jupyter  # noqa: E402

SETUP = """
import json, statistics, time, warnings
import numpy as np, torch, saliency
from saliency_widget import SaliencyWidget
from saliency_widget.handlers import MessageHandler
from benchmarks.engine import resnet18

class Timed(torch.nn.Module):
    "A network that keeps how long each call took, and of how many images."
    calls = []
    def __init__(self, net):
        super().__init__()
        self.net = net
    def forward(self, x):
        began = time.perf_counter()
        outputs = self.net(x)
        Timed.calls.append((len(x), time.perf_counter() - began))
        return outputs

handled = []
answer = MessageHandler.__call__
def timed(self, *args):
    wall, cpu = time.perf_counter(), time.thread_time()
    answer(self, *args)
    handled.append((time.perf_counter() - wall, time.thread_time() - cpu))
MessageHandler.__call__ = timed

net = Timed(%(network)s).eval()
img = %(picture)s
saliency.predict(net, img)  # the first call warms up torch, not the widget
methods = [saliency.GradientSaliency(), saliency.GradCam(), %(beside)s]
"""

SHOW = "w = SaliencyWidget(net, img, methods)\nw"

NETWORKS = {
    "demo": "saliency.demo.model()",
    "resnet18": "resnet18()",
    "lite0": "saliency.demo.model('imagenet')",
}

FIRSTS = 7
"""Number of widgets created."""

BESIDE = {
    "guided_ig": "saliency.GuidedIG(steps=9999)",
    "integrated_gradients": "saliency.IntegratedGradients(steps=9999)",
    "occlusion": "saliency.Occlusion(size=8, stride=1)",
}

HEAR = """() => {
  const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
  window.heard = null;
  kernel.iopubMessage.connect((_, {header, content}) => {
    if (header.msg_type === 'comm_msg' && content.data?.content?.op === 'what_if') window.heard?.();
  });
  new MutationObserver(() => {
    const root = document.querySelector('.slw-root');
    if (!root || !window.marks) return;
    const mark = (name) => { window.marks[name] ??= performance.now() - window.marks.ran; };
    mark('widget');
    if (root.querySelectorAll('.slw-chip').length > 1) mark('classes');
    // rows and canvas are drawn in the same frame
    if (root.querySelector('li[data-status=done]')) mark('map');
    if (root.dataset.method === window.awaited && root.dataset.state === 'ready') mark('method');
  }).observe(document.body, {
    subtree: true, childList: true, attributes: true, attributeFilter: ['data-status', 'data-state', 'data-method'],
  });
}"""

RUN = """async (code) => {
  const app = window.jupyterapp;
  const {activeCell} = app.shell.currentWidget.content;
  activeCell.model.outputs.clear();
  activeCell.model.sharedModel.setSource(code);
  await new Promise((done) => setTimeout(done, 300));
  window.marks = {ran: performance.now()};
  app.commands.execute('notebook:run-cell');
}"""

SWITCH = """(name) => {
  const row = document.querySelector(`.slw-methods [data-name="${name}"]`);
  window.awaited = {'Gradient': 'gradient', 'Grad-CAM': 'grad_cam'}[name];
  window.marks = {ran: performance.now()};
  row.click();
}"""

MOVE_SLIDER = """async ([rounds, first]) => {
  const slider = document.querySelector('.slw-root input[type=range]');
  const waits = [];
  for (let i = 0; i < rounds; i += 1) {
    await new Promise((go) => setTimeout(go, 150 + (i * 37) % 90));
    const began = performance.now();
    const heard = new Promise((done) => { window.heard = done; });
    slider.value = String(first + i * 0.5);
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    await heard;
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    waits.push(performance.now() - began);
  }
  return waits;
}"""


def percentiles(seconds: list[float] | np.ndarray) -> str:
    """Return the median and 95th percentile, in milliseconds."""
    low, high = np.percentile(np.asarray(seconds) * 1000, (50, 95))
    return f"{low:.1f} / {high:.1f} ms"


def measure(browser: Browser, lab: Jupyter, name: str, network: str, beside: str, rounds: int) -> None:
    """Print a line for each figure."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    picture = "saliency.demo.image('cat')" if name == "lite0" else "saliency.demo.image()"
    setup = SETUP % {"network": network, "picture": picture, "beside": BESIDE[beside]}
    notebook = Notebook(page, lab, [setup], f"{name}.ipynb")
    notebook.until("'methods' in dir()", True)
    page.evaluate(HEAR)
    marks, own = [], []
    for _ in range(FIRSTS):
        page.evaluate(RUN, SHOW)
        page.wait_for_function("() => window.marks?.map", timeout=60_000)
        marks.append(page.evaluate("() => window.marks"))
        own += json.loads(notebook.run("w.wait(); print([e.seconds for e in w.explanations.values()])"))
    for what in ("widget", "classes", "map"):
        seconds = [each[what] / 1000 for each in marks]
        print(f"| {name} | {what} after the cell is run | {percentiles(seconds)} |", flush=True)
    print(f"| … | the model's own time for the map | {percentiles(own)} |", flush=True)

    notebook.run("w.compute('grad_cam', wait=True)")
    switches = []
    for i in range(rounds):
        page.evaluate(SWITCH, ["Grad-CAM", "Gradient"][i % 2])
        page.wait_for_function("() => window.marks.method", timeout=60_000)
        switches.append(page.evaluate("() => window.marks.method") / 1000)
    print(f"| {name} | a click on a method whose map is there | {percentiles(switches)} |", flush=True)

    widget = Widget(page.locator(".slw-root"))
    widget.root.get_by_role("button", name="What if").click()
    for long in (False, True):
        if long:
            notebook.run(f"w.compute({beside!r})")
            page.wait_for_timeout(1500)
        notebook.run("Timed.calls.clear(); handled.clear()")
        waits = np.array(page.evaluate(MOVE_SLIDER, [rounds, 20 + 30 * long])) / 1000
        calls, handler = json.loads(notebook.run("print(json.dumps([Timed.calls, handled]))"))
        own = [seconds for images, seconds in calls if images == 2]
        what = f"beside {beside}" if long else "with nothing else to do"
        print(f"| {name} | what-if {what} | {percentiles(waits)}; the model's own call {percentiles(own)} |")
        wall, cpu = zip(*handler, strict=True)
        print(f"| {name} | handler {what}, wall | {percentiles(wall)} |\n| … | CPU | {percentiles(cpu)} |", flush=True)
        if long:
            others = [seconds for images, seconds in calls if images != 2]
            print(f"| … | forward passes of {beside} meanwhile | {percentiles(others)} |", flush=True)
    notebook.run("w.close()")
    notebook.close()
    page.close()


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--network", default="", choices=("", *NETWORKS))
    options.add_argument("--beside", default="guided_ig", choices=tuple(BESIDE))
    given = options.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
    print("| network | what | median / p95 |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright, Jupyter("lab", Path(home)) as lab:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, network in NETWORKS.items():
            if given.network in ("", name):
                measure(browser, lab, name, network, given.beside, given.rounds)
        browser.close()


if __name__ == "__main__":
    main()
