"""Drive a notebook, and the widget in it, as a user does."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from playwright.sync_api import Error, Locator, Page, expect

from tests.browser.jupyter import Jupyter

PATIENCE = 180_000
"""Timeout in milliseconds, for a busy machine."""

READY = """() => {
  const app = window.jupyterapp;  // a sync predicate: an async one answers a promise, which is true at once
  const panel = app?.shell?.currentWidget;
  return Boolean(app?.commands?.hasCommand('notebook:run-all-cells') && panel?.context?.isReady
    && panel.sessionContext?.session?.kernel?.status === 'idle');
}"""

EXECUTE = """async ([code, patience]) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const output = [];
  const future = kernel.requestExecute({code, store_history: false, stop_on_error: false});
  future.onIOPub = ({header, content}) => {
    if (header.msg_type === 'stream') output.push(content.text);
    if (header.msg_type === 'execute_result') output.push(content.data['text/plain']);
    if (header.msg_type === 'error') output.push(`${content.ename}: ${content.evalue}`);
  };
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error('the kernel did not answer')), patience));
  const reply = await Promise.race([future.done, late]);
  return [reply.content.status, output.join('')];
}"""

COUNT_MESSAGES = """() => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  window.sent = 0;
  kernel.anyMessage.connect((_, {msg, direction}) => { if (direction === 'send') window.sent += 1; });
}"""

PIXELS = """canvas => {
  const {width, height} = canvas;
  const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
  let text = '';  // a list of numbers would take seconds on its way
  for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
  return [height, width, btoa(text)];
}"""

PAINTINGS = """root => new Promise((resolve, fail) => {
  const canvas = root.querySelector('canvas.slw-picture');
  const seen = new Set();
  const end = Date.now() + 60000;
  const look = () => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let i = 0; i < data.length; i += 7) sum = (sum * 31 + data[i]) % 1000000007;
    seen.add(sum);
    if (root.dataset.state === 'ready') resolve(seen.size);
    else if (Date.now() > end) fail(new Error(`still ${root.dataset.state} after ${seen.size} pictures`));
    else setTimeout(look, 40);
  };
  look();
})"""


class Notebook:
    """One notebook in one page, with a running kernel.

    Args:
        page: a page of the browser.
        server: the server of the notebook.
        cells: the code of the cells; all are run.
        name: the name of the file.
    """

    def __init__(self, page: Page, server: Jupyter, cells: list[str], name: str = "test.ipynb") -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", self._fail)
        page.on("console", lambda message: self._complain(message.type, message.text, message.location.get("url", "")))
        server.write(name, cells)
        page.goto(server.address(name))
        page.wait_for_function(READY, timeout=PATIENCE)
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def _fail(self, error: Error) -> None:
        # the widget's code is loaded from a blob; Notebook 7 has page errors of its own
        if "blob:" in (error.stack or ""):
            self.complaints.append(f"page error: {error.stack}")

    def _complain(self, kind: str, text: str, url: str) -> None:
        # errors of the host, such as a missing icon, are ignored
        if kind in ("error", "warning") and ("saliency" in text.lower() or "slw" in text or url.startswith("blob:")):
            self.complaints.append(f"{kind}: {text} ({url})")

    def run(self, code: str) -> str:
        """Execute code in the kernel, outside the cells; return its output and its last value."""
        status, output = self.page.evaluate(EXECUTE, [code, PATIENCE])
        assert status == "ok", output
        return str(output)

    def until(self, expression: str, value: object) -> None:
        """Wait until an expression has a value in the kernel."""
        loop = f"for _ in range(300):\n if ({expression}) == {value!r}: break\n time.sleep(0.1)"
        code = f"import time\n{loop}\nprint({expression})"
        assert self.run(code).strip() == str(value)

    def widget(self, number: int = 0) -> Widget:
        """Return the widget on the screen."""
        return Widget(self.page.locator(".slw-root").nth(number))

    def count_messages(self) -> None:
        """Start counting the messages that the page sends to the kernel."""
        self.page.evaluate(COUNT_MESSAGES)

    @property
    def sent(self) -> int:
        """Return the number of messages to the kernel since :meth:`count_messages`."""
        return int(self.page.evaluate("() => window.sent"))

    def close(self) -> None:
        """Stop the kernel."""
        self.page.evaluate("async () => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


class Widget:
    """The widget as a user sees it."""

    def __init__(self, root: Locator) -> None:
        self.root = root
        self.page = root.page
        self.canvas = root.locator("canvas.slw-picture")

    def wait(self, **data: str) -> None:
        """Wait until its root element has these attributes: state="ready", method="xrai" and so on."""
        for name, value in data.items():
            expect(self.root).to_have_attribute(f"data-{name}", value, timeout=PATIENCE)

    @property
    def painted(self) -> int:
        """Return how often it was painted."""
        return int(self.root.get_attribute("data-painted") or 0)

    @property
    def region(self) -> int:
        """Return the number of shown regions."""
        return int(self.root.get_attribute("data-region") or 0)

    def repainted(self, since: int) -> None:
        """Wait until it is painted again."""
        self.page.wait_for_function(
            "([root, since]) => Number(root.dataset.painted) > since",
            arg=[self.root.element_handle(), since],
            timeout=PATIENCE,
        )

    def paintings_until_ready(self) -> int:
        """Return the number of different pictures painted while it is busy, and the final one."""
        return int(self.page.evaluate(PAINTINGS, self.root.element_handle()))

    def pixels(self) -> np.ndarray:
        """Return the picture's canvas, uint8 (H, W, 4)."""
        return pixels_of(self.canvas)

    def slider(self, name: str) -> Locator:
        """Return a slider by its label."""
        return self.root.get_by_role("slider", name=name)

    def method(self, name: str) -> Locator:
        """Return a row of the list of methods."""
        return self.root.locator(".slw-methods li").filter(has=self.page.locator(f'[data-name="{name}"]'))

    def choose_class(self, label: str) -> None:
        """Click a class."""
        self.root.locator(".slw-chip", has_text=label).click()


def pixels_of(canvas: Locator) -> np.ndarray:
    """Return the pixels of a canvas, uint8 (H, W, 4)."""
    height, width, data = canvas.evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)


def difference(one: Any, other: Any) -> float:
    """Return the mean absolute difference of two pictures, 0–255."""
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())
