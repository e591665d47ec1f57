"""Simulations of hosts that cannot run here, with their documented differences from JupyterLab.

The widget's Python half runs in this process, its front end in Chromium. The simulated host between them treats
messages, buffers, keys and themes as Colab or VS Code do.
"""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

import saliency_widget
from saliency_widget import SaliencyWidget
from tests.browser.driving import Widget

STATIC = Path(saliency_widget.__file__).parent / "static"

ADDRESS = "http://localhost/notebook"
"""Address of a page with a storage; no request leaves the browser."""

PAGE = """<!doctype html>
<html {html}><style>{css}</style><body {body}><div id="cell"><input id="foreign"></div></body></html>"""

# anywidget's model over two functions of the test: `toKernel` returns the messages sent meanwhile, `fromKernel` those
# that threads have sent since
SHIM = """async ({code, traits, quirks}) => {
  const listeners = new Map();
  const emit = (name, ...args) => { for (const each of [...(listeners.get(name) ?? [])]) each(...args); };
  const view = (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    if (quirks.buffers === 'DataView') return new DataView(bytes.buffer);
    const room = new Uint8Array(bytes.length + 5);  // a view into something larger, as it comes out of a frame
    room.set(bytes, 5);
    return room.subarray(5);
  };
  const state = {
    ...traits,
    _snapshot: quirks.snapshot === null ? undefined : view(quirks.snapshot),
    _more: quirks.more === null ? undefined : view(quirks.more),
  };
  window.delivered = [];
  const deliver = (messages) => {
    for (const {data, buffers} of messages) {
      if (data.method === 'custom') {
        const views = buffers.map(view);
        window.delivered.push({op: data.content.op, views});
        emit('msg:custom', data.content, views);
      } else if (data.method === 'update') {
        for (const [name, value] of Object.entries(data.state)) { state[name] = value; emit('change:' + name); }
      }
    }
  };
  let changed = {};
  const model = {
    get: (name) => state[name],
    set(name, value) { state[name] = value; changed[name] = value; emit('change:' + name); },
    save_changes() {
      const now = changed;
      changed = {};
      if (quirks.answers) window.toKernel({method: 'update', state: now}).then(deliver);
    },
    on: (name, each) => listeners.set(name, [...(listeners.get(name) ?? []), each]),
    off: (name, each) => listeners.set(name, (listeners.get(name) ?? []).filter((other) => other !== each)),
    send(content) {
      if (content.op === 'poll') {
        window.polls = (window.polls ?? 0) + 1;
        if (!quirks.polls) return;
      }
      if (quirks.answers) window.toKernel({method: 'custom', content}).then(deliver);
    },
  };
  if (quirks.pushes) setInterval(async () => deliver(await window.fromKernel()), 30);
  window.keys = [];
  // VS Code, Colab: what reaches the document is a command of the notebook
  document.addEventListener('keydown', ({key}) => window.keys.push(key));
  const {default: widget} = await import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
  const parts = typeof widget === 'function' ? await widget() : widget;
  await parts.initialize?.({model, signal: new AbortController().signal});
  window.show = async (el) => {
    const life = new AbortController();
    await parts.render({model, el, signal: life.signal});
    return () => life.abort();
  };
  await window.show(document.getElementById('cell'));
}"""


@dataclass(frozen=True)
class Quirks:
    """Differences of a host from JupyterLab."""

    buffers: str = "DataView"
    """Type of a message's buffers: DataView, or Uint8Array (Colab)."""
    pushes: bool = True
    """Messages from threads arrive by themselves (not in Colab)."""
    polls: bool = True
    """The page may poll for them: the remedy, disabled for the control test."""
    open_buffers: bool = True
    """The first state includes its binary traits (Colab drops them)."""
    answers: bool = True
    """A kernel is running."""
    storage: bool = False
    """The page has an address, and with it a storage that lasts."""
    html: str = ""
    """Attributes of <html>, and…"""
    body: str = ""
    """…of <body>, which indicate the theme."""
    css: str = ""


COLAB = Quirks(buffers="Uint8Array", pushes=False, open_buffers=False, html='theme="dark"')
VSCODE = Quirks(
    body='class="vscode-dark"',
    css=":root { --vscode-editor-background: #1e1e1e; --vscode-editor-foreground: #d4d4d4 }",
)


class Host:
    """A page that contains one widget.

    Args:
        page: an empty page.
        widget: its Python half; its comm is replaced.
        quirks: the differences of the host.
    """

    def __init__(self, page: Page, widget: SaliencyWidget, quirks: Quirks) -> None:
        self.page, self.python = page, widget
        self._waiting: list[dict[str, Any]] = []
        self._answers: list[dict[str, Any]] | None = None
        self._handling = 0
        self._lock = threading.Lock()
        widget.comm.send = self._take
        page.expose_function("toKernel", self._to_kernel)
        page.expose_function("fromKernel", self._from_kernel)
        document = PAGE.format(html=quirks.html, body=quirks.body, css=quirks.css)
        if quirks.storage:
            page.route(ADDRESS, lambda route: route.fulfill(body=document, content_type="text/html"))
            page.goto(ADDRESS)
        else:
            page.set_content(document)
        page.add_style_tag(content=(STATIC / "widget.css").read_text())
        state = {
            name: value for name, value in widget.get_state().items() if not name.startswith("_") and name != "layout"
        }
        given = {name: getattr(quirks, name) for name in ("buffers", "pushes", "polls", "answers")}
        given["snapshot"] = _text(widget._snapshot) if quirks.open_buffers else None
        given["more"] = _text(widget._more) if quirks.open_buffers else None
        page.evaluate(SHIM, {"code": (STATIC / "widget.js").read_text(), "traits": state, "quirks": given})
        self.widget = Widget(page.locator(".slw-root"))

    def _to_kernel(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        with self._lock:
            self._handling, self._answers = threading.get_ident(), []
        self.python._handle_msg({"content": {"data": data}, "buffers": []})
        with self._lock:
            answers, self._answers, self._handling = self._answers or [], None, 0
        return answers

    def _from_kernel(self) -> list[dict[str, Any]]:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        return waiting

    def _take(self, data: dict[str, Any], buffers: Any = None, **_: Any) -> None:
        if data.get("method") == "update":
            data = {**data, "state": {name: value for name, value in data["state"].items() if name[0] != "_"}}
        message = {
            "data": json.loads(json.dumps(data, default=str)),
            "buffers": [_text(each) for each in buffers or ()],
        }
        with self._lock:
            own = self._answers is not None and self._handling == threading.get_ident()
            (self._answers if own and self._answers is not None else self._waiting).append(message)


def _text(buffer: Any) -> str:
    return base64.b64encode(bytes(buffer)).decode()
