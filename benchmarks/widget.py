"""The widget's latency from a gesture to the screen, in Chromium without a GPU.

    python benchmarks/widget.py [--moves 60] [--only 224]

For single maps of 224² and 1024² in each view, and for a grid of 3 × 3 maps of 224²: the slider is moved, the picture
zoomed, a region added, one cell blinked against another, each by the input event a person would cause. The time is
taken until the canvas is painted: the work alone, and with the wait for the next animation frame (up to 16.7 ms of it
is the screen's).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, sync_playwright

import saliency
from saliency_widget import SaliencyWidget

MOVES = """async ([moves, gesture]) => {
  const root = document.querySelector('.slw-root');
  const canvas = root.querySelector('canvas.slw-picture');
  const slider = root.querySelector('input[type=range]');
  const button = (name) => [...root.querySelectorAll('button')].find((each) => each.ariaLabel === name);
  const box = canvas.getBoundingClientRect();
  const gestures = {
    slider(i) {
      slider.value = String(20 + (i * 37) % 75);
      slider.dispatchEvent(new Event('input', {bubbles: true}));
    },
    zoom(i) {
      canvas.dispatchEvent(new WheelEvent('wheel', {
        bubbles: true, cancelable: true, ctrlKey: true, deltaY: i % 12 < 6 ? -20 : 20,
        clientX: box.x + box.width * 0.3, clientY: box.y + box.height * 0.6,
      }));
    },
    region(i) { button(i % 20 < 10 ? 'Next region' : 'Previous region').click(); },
    blink() { canvas.click(); },
  };
  const work = [], whole = [];
  for (let i = 0; i < moves; i += 1) {
    await new Promise((go) => setTimeout(go, 30));
    const before = Number(root.dataset.painted);
    const start = performance.now();
    gestures[gesture](i);
    const handled = performance.now() - start;
    // the widget's own frame was requested before this one, and is done when it comes; a frame's callbacks share
    // one time stamp, so what passed since is the work
    const frame = await new Promise((done) => requestAnimationFrame((began) => done([began, performance.now()])));
    if (Number(root.dataset.painted) === before) throw new Error(`not painted: ${gesture} ${i}`);
    work.push(handled + frame[1] - Math.max(frame[0], start + handled));
    whole.push(frame[1] - start);
  }
  return [work, whole];
}"""

GRID: tuple[Any, ...] = (saliency.XRAI(steps=2), saliency.GradientSaliency(), saliency.GradCam())


def page_for(size: int, methods: Sequence[Any], targets: Sequence[int], folder: Path) -> Path:
    """Return an offline page with maps of that size: each method for each class, side by side if there are several."""
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
    widget = SaliencyWidget(net.eval(), image.astype(np.uint8), list(methods), target=targets[0])
    for target in targets:
        for method in methods:
            widget.compute(method.id, target, wait=True)
    if len(methods) > 1:
        widget.compare([method.id for method in methods], targets)
    path = Path(widget.to_html(folder / f"{size}-{'-'.join(method.id for method in methods)}.html"))
    widget.close()
    return path


def measure(browser: Browser, path: Path, what: str, moves: int) -> None:
    """Print a line for each view and gesture."""
    for view in ("Top area", "Heat map"):
        for gesture in ("slider", "zoom", "region", "blink"):
            page = browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
            page.goto(path.as_uri())
            page.wait_for_selector(".slw-root[data-state=ready]")
            page.get_by_role("radio", name=view).click()
            grid = page.locator("canvas.slw-picture").count() > 1
            regions = view == "Top area" and page.locator(".slw-region").count() > 0
            if (gesture == "blink" and not grid) or (gesture == "region" and not regions):
                page.close()
                continue
            if gesture == "blink":
                page.get_by_role("radio", name="Blink").click()
            work, whole = page.evaluate(MOVES, [moves, gesture])
            figures = " | ".join(f"{np.percentile(each, 95):.1f} ms" for each in (work, whole))
            print(f"| {what} | {view} | {gesture} | {figures} |", flush=True)
            page.close()


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--moves", type=int, default=60)
    options.add_argument("--only", type=int, default=0, help="maps of this size alone; 3 for the grid alone")
    given = options.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium"
    print("| maps | view | gesture | work p95 | input to painted p95 |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if given.only in (0, 3):
            measure(browser, page_for(224, GRID, (0, 1, 2), Path(folder)), "3 × 3 of 224²", given.moves)
        for size in (224, 1024):
            for method in (saliency.XRAI(steps=2), saliency.GradientSaliency()):
                if given.only in (0, size):
                    path = page_for(size, [method], [0], Path(folder))
                    measure(browser, path, f"{size}², {method.title}", given.moves)
        browser.close()


if __name__ == "__main__":
    main()
