"""Write a page that shows what the widget is for, and that needs neither a kernel nor a server.

A trained ImageNet network on two photographs, and the same network with its last layers randomised. Below them stands
the small demo network on the bundled picture, where the exact place of every object is known. All numbers in the text
are the networks' own.
"""

from __future__ import annotations

import base64
import copy
import html
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr

import saliency
from saliency_widget import SaliencyWidget

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "build" / "demo" / "tour.html"

PHOTOGRAPHS = ("coffee", "astronaut")
COFFEE, PORTRAIT = range(2)
TRAINED, RANDOMISED = range(2)
KEEP = 30

METHODS: tuple[saliency.Method, ...] = (
    saliency.GradCam(),
    saliency.GradCamPlusPlus(),
    saliency.XRAI(steps=8),
    saliency.IntegratedGradients(),
    saliency.LRP(),
    saliency.GuidedBackprop(),
)

CHECKED = ("guided_backprop", "grad_cam")
"""Methods computed for both networks."""

LAST_LAYERS = ("_blocks.15", "_conv_head", "_bn1", "_fc")
"""Layers of the ImageNet network that are randomised."""

VIEW: dict[str, Any] = {
    "grid": {},
    "model_index": TRAINED,
    "mode": "area",
    "sign": "auto",
    "keep": KEEP,
    "region": 0,
    "live": False,
}
"""The state at the beginning of a step; each step sets the differences."""


class Step(NamedTuple):
    """A thing to try."""

    title: str
    text: str
    traits: dict[str, Any]


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of the network with its last layers as before training (arXiv:1810.03292)."""
    copied = copy.deepcopy(network)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in LAST_LAYERS:
            for module in copied.get_submodule(name).modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
    return copied


def explained(network: Any, methods: Sequence[saliency.Method] = METHODS) -> SaliencyWidget:
    """Return the widget with every explanation that the steps show.

    Args:
        network: the trained ImageNet network.
        methods: one of each kind in :data:`METHODS`.
    """
    models = {"EfficientNet-Lite0": network, "last layers randomised": randomised(network)}
    images = {name: saliency.demo.image(name) for name in PHOTOGRAPHS}
    # both networks are fed alike
    preprocess = [network.preprocess] * len(models)
    widget = SaliencyWidget(models, images, methods, "espresso", labels=network.labels, preprocess=preprocess, **VIEW)
    for method in (each["id"] for each in widget.spec["methods"]):
        widget.compute(method, "espresso", model=TRAINED, image=COFFEE)
        widget.compute(method, "football helmet", model=TRAINED, image=PORTRAIT)
    widget.compute("grad_cam", "cup", model=TRAINED, image=COFFEE)
    widget.compute("grad_cam", "space shuttle", model=TRAINED, image=PORTRAIT)
    for method in CHECKED:
        widget.compute(method, "football helmet", model=RANDOMISED, image=PORTRAIT)
    widget.wait()
    return widget


def steps(widget: SaliencyWidget, network: Any) -> Iterator[Step]:
    """Yield what to try, with the numbers that the page shows then."""
    espresso, helmet, shuttle = (
        network.labels.index(name) for name in ("espresso", "football helmet", "space shuttle")
    )
    coffee = {"image_index": COFFEE, "target": espresso, "method": "grad_cam"}
    portrait = {"image_index": PORTRAIT, "target": helmet, "method": "grad_cam"}
    methods = [each["id"] for each in widget.spec["methods"]]
    first, second, third = (
        f"{row.label} {_percent(row.shown)}" for row in _predictions(network, PORTRAIT, len(network.labels))[:3]
    )
    yield Step(
        "Another class, another place",
        f"The network's first guesses for this portrait: {first}, {second} and {third}. Here Grad-CAM explains the "
        "class space shuttle, and highlights the one in the background. Choose football helmet at the top to explain "
        "that class. Hold the space bar to see the picture without the map.",
        {**portrait, "target": shuttle, "keep": 10},
    )
    only, without = _what_if(widget, network, coffee)
    yield Step(
        "Test the explanation on the model",
        f"From the top {KEEP} % of the pixels alone the network predicts espresso with {only}; from all the others "
        f"with {without}. The curves insert and delete the pixels step by step: click on them, or drag the percentile. "
        "A number read from a curve is marked ≈.",
        {**coffee, "live": True},
    )
    yield Step(
        "Region by region",
        "XRAI ranks regions of the picture. ◀ and ▶ remove or add one, Play runs through them; the list gives the mean "
        "attribution of each.",
        {**coffee, "method": "xrai", "region": 12},
    )
    yield Step(
        "Methods side by side",
        f"{len(methods)} methods explain the same prediction. Hover over one map to read the values of all; Ctrl and "
        "the mouse wheel zoom all of them. Swipe and Blink lay one map over another. In a notebook, Evidence measures "
        "which of them the network supports.",
        {**coffee, "mode": "heat", "grid": {"methods": methods}},
    )
    only, without = _what_if(widget, network, portrait)
    whole = _percent(
        next(row for row in _predictions(network, PORTRAIT, len(network.labels)) if row.index == helmet).shown
    )
    pixels, _ = _what_if(widget, network, {**portrait, "method": "integrated_gradients"})
    yield Step(
        "Why a wrong answer?",
        f"ImageNet has no class astronaut. The network predicts football helmet with {whole}, and Grad-CAM shows why: "
        f"the helmet in front of her. The top {KEEP} % of the pixels alone give {only}, all the others {without}. The "
        f"same share chosen pixel by pixel, by Integrated Gradients, gives {pixels}.",
        {**portrait, "live": True},
    )
    correlation = {method: _correlation(widget, method, helmet) for method in CHECKED}
    yield Step(
        "A sanity check",
        "Two methods explain the trained network, and a copy whose last layers are randomised, which predicts nothing "
        f"useful. Guided Backprop hardly changes (rank correlation {correlation['guided_backprop']:.2f}): it shows the "
        f"edges of the picture, not the reasons of the network. Grad-CAM changes ({correlation['grad_cam']:.2f}). See "
        "arXiv:1810.03292.",
        {**portrait, "mode": "heat", "grid": {"methods": list(CHECKED), "models": [TRAINED, RANDOMISED]}},
    )


def _predictions(network: Any, image: int, top: int) -> list[saliency.Prediction]:
    """Return the classes of a photograph, most likely first."""
    picture = saliency.demo.image(PHOTOGRAPHS[image])
    return saliency.predict(network, picture, labels=network.labels, preprocess=network.preprocess, top=top)


def _what_if(widget: SaliencyWidget, network: Any, traits: dict[str, Any]) -> tuple[str, str]:
    """Return the target's probability from a view's selection alone, and with the selection removed."""
    _set(widget, traits)
    found = saliency.what_if(
        network,
        saliency.demo.image(PHOTOGRAPHS[widget.image_index]),
        widget.selection,
        widget.fill,
        top=len(network.labels),
        labels=network.labels,
        preprocess=network.preprocess,
    )
    only, without = (next(row for row in rows if row.index == widget.target) for rows in found)
    return _percent(only.shown), _percent(without.shown)


def _correlation(widget: SaliencyWidget, method: str, target: int) -> float:
    """Return Spearman's rank correlation of the absolute maps of the two networks."""
    maps = [widget.compute(method, target, wait=True, model=model, image=PORTRAIT) for model in (TRAINED, RANDOMISED)]
    return float(spearmanr(*(each.heatmap(100).ravel() for each in maps)).statistic)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _set(widget: SaliencyWidget, traits: dict[str, Any]) -> None:
    for name, value in {**VIEW, **traits}.items():
        setattr(widget, name, value)


class Hit(NamedTuple):
    """A picture of the known place, with how much of a selection as large as the object is on the object."""

    title: str
    share: float | None
    picture: np.ndarray


KNOWN = "cat"
"""The object of the bundled picture whose place is compared with the maps."""


def known_place(methods: Sequence[saliency.Method] = METHODS) -> Iterator[Hit]:
    """Yield the object's true place, then every method's selection, as pictures (224, 224, 3) uint8."""
    network, picture, place = saliency.demo.model(), saliency.demo.image(), saliency.demo.objects()[KNOWN]
    yield Hit("True place", None, _shaded(picture, place))
    for method in methods:
        found = saliency.explain(network, picture, method, KNOWN, labels=saliency.demo.labels, progress=False)
        selected = found.top(100 * place.mean())
        yield Hit(method.title, float(place[selected].mean()), _shaded(picture, selected))


def _shaded(picture: np.ndarray, selection: np.ndarray) -> np.ndarray:
    """Return the picture, darkened outside a selection."""
    return np.where(selection[..., None], picture, picture // 4).astype(np.uint8)


INTRODUCTION = """
<style>
header {{ margin-bottom: 16px; line-height: 1.5 }}
header h2 {{ margin: 0 0 6px; font-size: 14px }}
header p {{ margin: 0 0 10px; max-width: 75ch }}
header ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 10px 24px;
  margin: 0; padding: 0; list-style: none }}
header li p {{ margin: 2px 0 0 }}
header button {{ padding: 2px 8px; border: 1px solid GrayText; border-radius: 5px; background: none; color: inherit;
  font: inherit; font-weight: 600; text-align: left; cursor: pointer }}
header button[aria-current] {{ border-color: currentColor; box-shadow: inset 3px 0 currentColor }}
footer {{ max-width: 1120px; margin: 24px auto 0; line-height: 1.5 }}
footer h2 {{ margin: 0 0 6px; font-size: 14px }}
footer p {{ margin: 0 0 10px; max-width: 75ch }}
footer ul {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); gap: 10px; margin: 0;
  padding: 0; list-style: none }}
footer img {{ display: block; width: 100%; border-radius: 3px }}
footer li {{ font-size: 12px }}
@media print {{ header :not(h1), footer {{ display: none }} }}
</style>
<p>EfficientNet-Lite0 was trained on ImageNet: 1000 classes. On this page six methods explain what it sees in two
photographs, of which it is fed the central square. Everything was computed in advance: the page loads nothing and sends
nothing.</p>
<h2>Six things to try, each at a click</h2>
<ol>
{steps}
</ol>
"""

KNOWN_PLACE = """
<footer>
<h2>Where the place is known</h2>
<p>Nobody knows for certain which pixels a network uses in a photograph. In this picture the objects were pasted in, so
the exact place of the cat is known, to a small network trained on such pictures. Each method selects as many pixels as
the cat has; the number is the share of them that are on the cat. By chance it would be {chance}.</p>
<ul>
{pictures}
</ul>
</footer>
"""

SCRIPT = """
<script type="module">
const buttons = document.querySelectorAll("[data-show]");
const widget = document.getElementById("widget");
for (const button of buttons) {
  button.addEventListener("click", () => {
    for (const [name, value] of Object.entries(JSON.parse(button.dataset.show))) widget.model.set(name, value);
    for (const each of buttons) each.removeAttribute("aria-current");
    button.setAttribute("aria-current", "step");
    widget.scrollIntoView({ block: "nearest" });
  });
}
</script>
"""


def page(widget: SaliencyWidget, network: Any) -> str:
    """Return the widget's own page, with the steps above it and the known place below."""
    shown = list(steps(widget, network))
    listed = "\n".join(
        f'<li><button type="button" data-show="{html.escape(json.dumps({**VIEW, **each.traits}))}">'
        f"{i}. {html.escape(each.title)}</button><p>{html.escape(each.text).replace(' %', '&nbsp;%')}</p></li>"
        for i, each in enumerate(shown, 1)
    )
    _set(widget, shown[0].traits)
    text = widget.to_html(title="Why does the network say so?", what_if=True)
    before, header, after = text.partition("</header>")
    main, end, scripts = after.partition("</main>")
    above = INTRODUCTION.format(steps=listed)
    return f"{before}{above}{header}{main}{end}{_known_place()}{scripts}{SCRIPT.lstrip()}"


def _known_place() -> str:
    """Return the HTML of the selections on the picture whose objects' places are known."""
    pictures = "\n".join(
        f'<li><img src="{_data_url(each.picture)}" alt="">{html.escape(each.title)}'
        f"{'' if each.share is None else f'<br><b>{_percent(each.share)}</b>'}</li>"
        for each in known_place()
    )
    return KNOWN_PLACE.format(chance=_percent(saliency.demo.objects()[KNOWN].mean()), pictures=pictures)


def _data_url(picture: np.ndarray) -> str:
    with io.BytesIO() as file:
        Image.fromarray(picture).save(file, "JPEG", quality=80)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def main(path: Path = PAGE) -> None:
    """Write the page and print where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network = saliency.demo.model("imagenet")
    widget = explained(network)
    path.write_text(page(widget, network), encoding="utf-8")
    widget.close()
    print(f"The tour:          {path.resolve().as_uri()}  ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
