"""Export of widgets as one HTML file that needs no kernel, notebook or network; or as a live page, see live.py."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>
{style}
{css}
{printed}
</style>
<header><h1>{title}</h1></header>
<main><h2 class="slw-hidden">Explanations</h2>
{widgets}</main>
<script type="module">
{code}
{host}
</script>
"""

WIDGET = """\
<div id="widget{n}"><div id="still{n}">{fallback}<p id="why{n}">With JavaScript it can be looked at in full.</p>
</div></div>
<script type="application/json" id="traits{n}">{traits}</script>
<script type="text/plain" id="packet{n}">{packet}</script>
"""

STYLE = """
:root { color-scheme: light dark }
body { margin: 0; padding: 16px; font: 14px/1.4 system-ui, sans-serif; background: Canvas; color: CanvasText }
header, main { max-width: 1120px; margin: 0 auto }
h1 { margin: 0 0 10px; font-size: 18px }
main > [id^="widget"] { flex: 1 1 380px; min-width: min(320px, 100%) }
[id^="still"] figure { margin: 0 }
[id^="still"] img { max-width: 100%; height: auto }
"""

SIDE_BY_SIDE = """
header, main { max-width: none }
main { display: flex; flex-flow: row wrap; align-items: flex-start; gap: 8px }
"""
"""The style of a page with several widgets."""

# The results are printed dark on white in any theme, without the controls.
PRINTED = """
@media print {
  :root, .slw-root[data-theme] {
    --slw-ground: #fff; --slw-ink: #1b1d21; --slw-rule: #d0d3d9; --slw-blue: #1f6feb; --slw-warm: #c2410c;
    color-scheme: light;
  }
  body { padding: 0 }
  .slw-root .slw-frame { display: block; border: 0 }
  .slw-link, .slw-compare, .slw-others, .slw-box, .slw-slot:not(:has([aria-checked="true"])), .slw-methods, .slw-side,
  .slw-main > :not(.slw-stage), .slw-tabs, .slw-ask > :first-child, .slw-reading { display: none !important }
  .slw-cell, .slw-block { break-inside: avoid }
}
"""

EXPORTED = re.compile(r"export\s*\{\s*([\w$]+) as default\s*\};?\s*$")
"""The end of the first module."""

EXPORTS = "export default "
"""The start of the second module."""

# Replaces anywidget's model. Traits are stored in the page; messages go to the page around it if this page is live (see
# live.py), one text at a time, and are dropped otherwise. In a frame, its height is reported for the page around it.
HOST = """
const saliencyWidget = {factory};
const saliencyMore = {more};
for (const n of {numbers}) {{
  const part = (name) => document.getElementById(name + n);
  const text = (name) => part(name).textContent;
  const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const live = {live};
  const own = {{ _alone: live === null, _snapshot: bytes(text("packet")), _more: saliencyMore }};
  const traits = {{ ...JSON.parse(text("traits")), ...own }};
  const listeners = new Map();
  const emit = (name, ...args) => {{ for (const listener of listeners.get(name) ?? []) listener(...args); }};
  const outgoing = [];
  let changed = {{}};
  let posted = {{ turn: 0 }};
  let unanswered;
  const pass = () => {{
    unanswered = setTimeout(pass, 10000); // the text or its answer was lost
    parent.postMessage({{ saliency: JSON.stringify(posted) }}, "*");
  }};
  const flush = () => {{
    if (unanswered || !outgoing.length) return;
    posted = {{ page: live, turn: posted.turn + 1, messages: outgoing.splice(0) }};
    pass();
  }};
  const post = (message) => {{
    if (live === null) return;
    outgoing.push(message);
    flush();
  }};
  const base64 = (buffer) => btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""));
  const model = {{
    get: (name) => traits[name],
    set(name, value) {{
      traits[name] = changed[name] = value;
      emit("change:" + name);
    }},
    save_changes() {{
      post({{ state: changed }});
      changed = {{}};
    }},
    on: (name, listener) => listeners.set(name, [...(listeners.get(name) ?? []), listener]),
    off: (name, listener) => listeners.set(name, (listeners.get(name) ?? []).filter((each) => each !== listener)),
    send: (content, _callbacks, buffers) => post({{ content, buffers: (buffers ?? []).map(base64) }}),
  }};
  addEventListener("message", ({{ source, data }}) => {{
    if (live === null || source !== parent || typeof data?.saliency !== "string") return;
    if (data.saliency === "") return post({{ content: {{ op: "poll" }}, buffers: [] }}); // the app has news
    const answer = JSON.parse(data.saliency);
    if (!unanswered || answer.turn !== posted.turn) return; // hosts may repeat an answer
    clearTimeout(unanswered);
    unanswered = undefined;
    for (const {{ content, buffers, state }} of answer.messages) {{
      if (content) emit("msg:custom", content, buffers.map((each) => new DataView(bytes(each).buffer)));
      for (const name in state) {{
        traits[name] = state[name];
        emit("change:" + name);
      }}
    }}
    flush();
  }});
  const show = async () => {{
    if (!globalThis.DecompressionStream) throw new Error("it lacks DecompressionStream, known since 2023");
    const {{ initialize, render }} = await (typeof saliencyWidget === "function" ? saliencyWidget() : saliencyWidget);
    const {{ signal }} = new AbortController();
    await initialize?.({{ model, signal }});
    await render({{ model, signal, el: part("widget") }});
    part("still").remove();
    part("widget").model = model; // for other scripts of the page
    if (!n && parent !== window) {{
      const report = () => parent.postMessage({{ saliencyHeight: document.documentElement.offsetHeight }}, "*");
      new ResizeObserver(report).observe(document.documentElement);
    }}
  }};
  show().catch((reason) => {{
    const why = part("why");
    if (why) why.textContent = "This browser cannot show more than the picture: " + reason.message + ".";
  }});
}}
"""


class Part(NamedTuple):
    """What a page has of one widget."""

    traits: Mapping[str, Any]
    """The traits that the front end reads, without the snapshot."""
    packet: bytes
    """The messages, see :func:`saliency_widget.protocol.messages.pack`."""
    fallback: str
    """HTML for browsers that cannot run the scripts."""


def page(title: str, code: str, more: str, css: str, parts: Sequence[Part], live: str | None = None) -> str:
    """Return the page.

    Args:
        title: title as plain text.
        code: the front end, an ES module.
        more: its second module, whose default export is a function.
        css: style sheet of the front end.
        parts: the widgets. Their elements have the ids ``widget``, ``widget2``, ``widget3`` and so on.
        live: name of the page, if it is live; it then has one widget.
    """
    exported = EXPORTED.search(code)
    if exported is None or not more.startswith(EXPORTS):
        raise ValueError("Expected the built widget.js and more.js, which have a default export; run `npm run build`.")
    numbers = ["" if i == 0 else str(i + 1) for i in range(len(parts))]
    widgets = [
        WIDGET.format(
            n=n, fallback=each.fallback, traits=_json(each.traits), packet=base64.b64encode(each.packet).decode()
        )
        for n, each in zip(numbers, parts, strict=True)
    ]
    more = _script(more.removeprefix(EXPORTS).rstrip("; \n"))
    return PAGE.format(
        title=html.escape(title),
        style=f"{STYLE.strip()}{SIDE_BY_SIDE if len(parts) > 1 else ''}",
        # an end tag would end the element, even within a string
        css=css.replace("</", r"<\/"),
        printed=PRINTED.strip(),
        widgets="".join(widgets),
        # inline: every content security policy that allows scripts allows it
        code=_script(code[: exported.start()]),
        host=HOST.format(factory=exported[1], more=more, numbers=json.dumps(numbers), live=_json(live)).strip(),
    )


def _script(code: str) -> str:
    """Return code that is safe within a script element: tags and comments in its strings are escaped."""
    return code.replace("</", r"<\/").replace("<!--", r"<\!--").replace("<script", r"<\script")


def _json(value: object) -> str:
    """Return JSON that is safe within a script element: it contains no tag and no comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")
