"""Makes a page that shows what the widget is for, and that needs neither a kernel nor a server.

Two pictures, the trained demo network, and the same with its last block as before training. The numbers in the text are
the networks' own.
"""

from __future__ import annotations

import copy
import html
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from skimage import data

import saliency
from saliency_widget import SaliencyWidget

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "build" / "demo" / "tour.html"

TRAINED, FORGETFUL = range(2)
OBJECTS, PORTRAIT = range(2)
KEEP = 10

METHODS: tuple[saliency.Method, ...] = (
    saliency.XRAI(steps=12),
    saliency.GradCam(),
    saliency.LayerCam(),
    saliency.IntegratedGradients(steps=24),
    saliency.GuidedBackprop(),
    saliency.Occlusion(size=48, stride=16),
)

CHECKED = ("guided_backprop", "grad_cam")
"""What is shown of both networks."""

FINE = ("integrated_gradients", "guided_backprop")
"""What is fine-grained does not compress: of these there are only the maps that steps lead to, or the page would be too
large to be sent."""

VIEW: dict[str, Any] = {
    "grid": {},
    "model_index": TRAINED,
    "mode": "area",
    "sign": "auto",
    "keep": KEEP,
    "region": 0,
    "live": False,
}
"""What a step begins with; it sets what is different."""


class Step(NamedTuple):
    """A thing to try."""

    title: str
    text: str
    traits: dict[str, Any]


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """The network with its last block as it was before training (arXiv:1810.03292)."""
    forgetful = copy.deepcopy(network)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in forgetful.get_submodule("features")[-1].modules():  # type: ignore[index]  # a Sequential
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return forgetful


def portrait() -> np.ndarray:
    """NASA's portrait of Eileen Collins, which scikit-image brings, (224, 224, 3) uint8."""
    return np.asarray(Image.fromarray(data.astronaut()).resize((224, 224), Image.Resampling.LANCZOS))


def explained(
    network: torch.nn.Module, methods: Sequence[saliency.Method] = METHODS, beside: bool = True
) -> SaliencyWidget:
    """The widget with all that the steps lead to.

    Args:
        network: the trained one.
        methods: one of each kind in :data:`METHODS`.
        beside: whether maps beside the way are there too.
    """
    labels = saliency.demo.labels
    models = {"trained": network, "last block forgotten": randomised(network)}
    images = {"three objects": saliency.demo.image(), "a portrait": portrait()}
    widget = SaliencyWidget(models, images, methods, "cat", labels=labels, **VIEW)
    for method in (each["id"] for each in widget.spec["methods"]):
        cheap = beside and method not in FINE
        for target in ("cat", "coffee cup", "astronaut") if cheap else ("cat",):
            widget.compute(method, target, model=TRAINED, image=OBJECTS)
        for target in ("space shuttle", "astronaut") if cheap else ("space shuttle",):
            widget.compute(method, target, model=TRAINED, image=PORTRAIT)
        if beside or method in CHECKED:
            widget.compute(method, "cat", model=FORGETFUL, image=OBJECTS)
    widget.compute("xrai", "coffee cup", model=TRAINED, image=OBJECTS)
    widget.wait()
    return widget


def steps(widget: SaliencyWidget, network: torch.nn.Module) -> Iterator[Step]:
    """What to try, and what is seen then."""
    labels = saliency.demo.labels
    cat, cup, shuttle = (labels.index(name) for name in ("cat", "coffee cup", "space shuttle"))
    objects = {"image_index": OBJECTS, "target": cat, "method": "xrai"}
    there = {"image_index": PORTRAIT, "target": shuttle, "method": "grad_cam"}
    methods = [each["id"] for each in widget.spec["methods"]]
    *some, last = (
        f"{row.label} {_percent(row.shown)}"
        for row in saliency.predict(network, saliency.demo.image(), labels=labels, top=3)
    )
    yield Step(
        "Another class, another place",
        f"The network sees {', '.join(some)} and {last}. Choose a class at the top: what speaks for it stays lit. "
        "Hold the space bar for the plain picture.",
        {**objects, "target": cup},
    )
    only, without = _asked(widget, network, objects)
    yield Step(
        "Ask the model itself",
        f"Of a tenth of the picture, what is lit, the network says: cat, {only}. Of all the rest: {without}. The "
        "curves are the way from nothing to everything: click on them, or drag the percentile. A number that was read "
        "off a curve has a ≈.",
        {**objects, "live": True},
    )
    yield Step(
        "Region by region",
        "XRAI ranks regions. ◀ and ▶ take one less or more, Play runs through them; the list has what each is worth.",
        {**objects, "region": 3},
    )
    yield Step(
        "Methods side by side",
        f"{len(methods)} answers to one question. Point at one, and all tell their values there; Ctrl and the wheel go "
        "nearer in all. Swipe and Blink lay two over each other. Below the network itself ranks them.",
        {**objects, "mode": "heat", "live": True, "grid": {"methods": methods}},
    )
    only, without = _asked(widget, network, there)
    whole = _percent(next(each for each in widget.predictions if each.index == shuttle).shown)
    noise, _ = _asked(widget, network, {**there, "method": "integrated_gradients"})
    yield Step(
        "Not what you would think",
        f"The portrait of an astronaut, says the network, is a space shuttle: {whole}. Grad-CAM points past her, at "
        f"the one in the background: that tenth of the picture alone gives {only}, the rest {without}. As much of it "
        f"chosen by Integrated Gradients, pixel by pixel, gives {noise}.",
        {**there, "live": True},
    )
    alike = {method: _likeness(widget, method, cat) for method in CHECKED}
    yield Step(
        "A check worth making",
        "Each method twice: for the network, and for the same with its last block as before training, which knows "
        f"nothing. Guided Backprop draws nearly the same (rank correlation {alike['guided_backprop']:.2f}): it shows "
        f"the picture, not the reasons. Grad-CAM does not ({alike['grad_cam']:.2f}). See arXiv:1810.03292.",
        {**objects, "method": "grad_cam", "mode": "heat", "grid": {"methods": list(CHECKED), "models": [0, 1]}},
    )


def _asked(widget: SaliencyWidget, network: torch.nn.Module, traits: dict[str, Any]) -> tuple[str, str]:
    """What the network says of what a view keeps, and of the rest."""
    _set(widget, traits)
    image = (saliency.demo.image(), portrait())[widget.image_index]
    found = saliency.what_if(network, image, widget.selection, widget.fill, top=len(saliency.demo.labels))
    only, without = (next(row for row in rows if row.index == widget.target) for rows in found)
    return _percent(only.shown), _percent(without.shown)


def _likeness(widget: SaliencyWidget, method: str, target: int) -> float:
    """Spearman's rank correlation of the two networks' maps, their signs dropped."""
    maps = [widget.compute(method, target, wait=True, model=model, image=OBJECTS) for model in (TRAINED, FORGETFUL)]
    return float(spearmanr(*(each.heatmap(100).ravel() for each in maps)).statistic)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _set(widget: SaliencyWidget, traits: dict[str, Any]) -> None:
    for name, value in {**VIEW, **traits}.items():
        setattr(widget, name, value)


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
@media print {{ header :not(h1) {{ display: none }} }}
</style>
<p>A small network has learned eight kinds of objects. Here is what in two pictures speaks for which of them, as several
methods find it. All was computed beforehand: nothing is loaded, and nothing is sent.</p>
<h2>Six things to try, each at a click</h2>
<ol>
{steps}
</ol>
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


def page(widget: SaliencyWidget, network: torch.nn.Module) -> str:
    """The widget's own page, with the steps above it."""
    told = list(steps(widget, network))
    listed = "\n".join(
        f'<li><button type="button" data-show="{html.escape(json.dumps({**VIEW, **each.traits}))}">'
        f"{i}. {html.escape(each.title)}</button><p>{html.escape(each.text)}</p></li>"
        for i, each in enumerate(told, 1)
    )
    _set(widget, told[0].traits)
    text = widget.to_html(title="Why does the network say so?", what_if=True)
    before, end, after = text.partition("</header>")
    return f"{before}{INTRODUCTION.format(steps=listed)}{end}{after}{SCRIPT.lstrip()}"


def main(path: Path = PAGE) -> None:
    """Makes the page, and tells where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    network = saliency.demo.model()
    widget = explained(network)
    path.write_text(page(widget, network), encoding="utf-8")
    widget.close()
    print(f"The tour:          {path.resolve().as_uri()}  ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
