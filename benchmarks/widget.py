"""How long the widget takes from the slider to the screen, in Chromium without a GPU.

    python benchmarks/widget.py [--moves 60]

For maps of 224² and 1024², in each view: the slider is moved by its own input event, and the time is taken until the
canvas is painted: the work alone, and with the wait for the next animation frame (up to 16.7 ms of it is the screen's).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

import saliency
from saliency_widget import SaliencyWidget

MOVES = """async ([moves]) => {
  const root = document.querySelector('.slw-root');
  const slider = root.querySelector('input[type=range]');
  const work = [], whole = [];
  for (let i = 0; i < moves; i += 1) {
    await new Promise((go) => setTimeout(go, 30));
    const before = Number(root.dataset.painted);
    const start = performance.now();
    slider.value = String(20 + (i * 37) % 75);
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    // the widget's own frame was asked for before this one, and is done when it comes; a frame's callbacks share
    // one time stamp, so what passed since is the work
    const frame = await new Promise((done) => requestAnimationFrame((began) => done([began, performance.now()])));
    if (Number(root.dataset.painted) === before) throw new Error('not painted');
    work.push(frame[1] - Math.max(frame[0], start));
    whole.push(frame[1] - start);
  }
  return [work, whole];
}"""


def page_for(size: int, method: Any, folder: Path) -> Path:
    """An offline page with one map of that size."""
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 9, padding=4),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )
    image = np.kron(np.random.default_rng(0).integers(0, 256, (size // 32, size // 32, 3)), np.ones((32, 32, 1)))
    widget = SaliencyWidget(net.eval(), image.astype(np.uint8), [method])
    widget.compute(wait=True)
    path = Path(widget.to_html(folder / f"{size}-{method.id}.html"))
    widget.close()
    return path


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--moves", type=int, default=60)
    given = options.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
    print("| map | view | work p95 | input to painted p95 |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size in (224, 1024):
            for method in (saliency.XRAI(steps=2), saliency.GradientSaliency()):
                path = page_for(size, method, Path(folder))
                for view in ("Top area", "Heat map"):
                    page = browser.new_page(viewport={"width": 1200, "height": 900})
                    page.goto(path.as_uri())
                    page.wait_for_selector(".slw-root[data-state=ready]")
                    page.get_by_role("radio", name=view).click()
                    work, whole = page.evaluate(MOVES, [given.moves])
                    figures = " | ".join(f"{np.percentile(each, 95):.1f} ms" for each in (work, whole))
                    print(f"| {size}², {method.title} | {view} | {figures} |", flush=True)
                    page.close()
        browser.close()


if __name__ == "__main__":
    main()
