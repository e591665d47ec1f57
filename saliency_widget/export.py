"""One file that shows a widget without a kernel, a notebook or a network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' data:; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
body {{ margin: 0; padding: 16px; font: 14px/1.4 system-ui, sans-serif; background: Canvas; color: CanvasText }}
:root {{ color-scheme: light dark }}
main {{ max-width: 1120px; margin: 0 auto }}
{css}
</style>
<main id="widget"><noscript>{fallback}</noscript></main>
<script type="application/json" id="traits">{traits}</script>
<script type="text/plain" id="packet">{packet}</script>
<script type="module">
{host}
</script>
"""

# A stand-in for anywidget's model: settings live in the page, and what is sent goes nowhere.
HOST = """
const text = (id) => document.getElementById(id).textContent;
const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const traits = {{ ...JSON.parse(text("traits")), _snapshot: bytes(text("packet")) }};
const listeners = new Map();
const model = {{
  get: (name) => traits[name],
  set(name, value) {{
    traits[name] = value;
    for (const listener of listeners.get("change:" + name) ?? []) listener();
  }},
  save_changes() {{}},
  on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
  off: (name, listener) => listeners.set(name, (listeners.get(name) ?? []).filter((each) => each !== listener)),
  send() {{}},
}};
const {{ default: widget }} = await import("data:text/javascript;base64,{code}");
const {{ initialize, render }} = await (typeof widget === "function" ? widget() : widget);
const {{ signal }} = new AbortController();
await initialize?.({{ model, signal }});
await render({{ model, signal, el: document.getElementById("widget") }});
"""


def page(title: str, code: str, css: str, traits: Mapping[str, Any], packet: bytes, fallback: str) -> str:
    """The page.

    Args:
        title: as text.
        code: the front end, one ES module.
        css: its style sheet.
        traits: what the front end reads of its model, without the packet.
        packet: messages, see :func:`saliency_widget.wire.pack`.
        fallback: HTML for browsers that run no scripts.
    """
    return PAGE.format(
        title=html.escape(title),
        # an end tag would end the element, wherever it stands
        css=css.replace("</", r"<\/"),
        fallback=fallback,
        traits=_json(traits),
        packet=base64.b64encode(packet).decode(),
        host=HOST.format(code=base64.b64encode(code.encode()).decode()).strip(),
    )


def _json(value: object) -> str:
    """JSON that is safe within a script element: it can hold neither a tag nor a comment."""
    told = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return told.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
