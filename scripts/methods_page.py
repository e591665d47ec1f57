"""Write docs/methods.md from the classes of the methods, and docs/images/methods/ from their masks of the demo picture.

    python scripts/methods_page.py             the page and the pictures (minutes)
    python scripts/methods_page.py xrai rise   the page, and the pictures of these methods

The texts are from the classes: docstring, formula, advice, fields. tests/docs/test_methods_page.py fails if the page
differs from them.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path

import numpy as np
from PIL import Image

import saliency
from saliency.core.evidence import Evidence
from saliency.core.method import FAMILIES, Method, default_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "methods.md"
PICTURES = ROOT / "docs" / "images" / "methods"

TARGET = "cat"
"""The explained class: one of the three objects in the demo picture."""

HEAD = f"""# The methods

Every method of `saliency.explain(model, image, method="…")`, and of the widget. f is the score of the target, x the
image, M the mask; A the activations of a layer. "Images evaluated" is the number with default fields, for one
image of 224×224: forward and backward passes where a method needs gradients or layers, otherwise forward passes only.
"Standing" is the share of the other methods that a method beats on the [leaderboard](leaderboard.md).
The pictures beside the methods are of the bundled network (`saliency.demo`) and its class “{TARGET}”.

This page is written by `scripts/methods_page.py` from the classes themselves.

## On a trained ImageNet network

![Every method on two photographs, a cat and a cup of coffee](images/real-network.jpg)

EfficientNet-Lite0 (`saliency.demo.model("imagenet")`) on two photographs of scikit-image, for the most likely
class, “tiger cat” and “espresso”; written by `scripts/real_network.py`. Methods run at their defaults, those that
need hundreds of images with fewer. White to red and blue: signed, red for the class. The photographs: *Chelsea* by
Stéfan van der Walt and *coffee* by Rachel Michetti, both CC0.

* Grad-CAM, HiResCAM and XGrad-CAM are the same map here, Grad-CAM++ and LayerCAM nearly the same: the network ends in a
  mean over space and one dense layer, so the gradient of its last layer is the same everywhere.
* Deconvolution shows the network and not the image: there is no max-pooling, and every photograph has this map.
* IDGI's frame is the gradient at the black baseline, largest where padding begins: `adaptive=True` or
  `baseline="blur"` removes it. DeepLIFT adds up exactly, by large values of opposite sign.
* The grids of Gradient and SmoothGrad are in the gradient itself: they come from strided convolutions.
* In a picture put together of four photographs, chance puts a quarter of the most salient tenth on the cat. Grad-CAM
  puts 100 % there, SmoothGrad² 99 %, Integrated Gradients 75 %, the gradient 51 %, Input × Gradient 13 %.

## The list
"""

FAMILY = {
    "gradients": "Gradients with respect to the image",
    "paths": "Gradients integrated along a path from a baseline to the image",
    "noise": "Statistics of any method over noisy copies",
    "backward rules": "Backward passes with modified rules",
    "layers": "Layers: class activation maps, and the part of each unit in the score",
    "attention": "Attention of a transformer",
    "perturbation": "Scores of images with some parts replaced",
    "regions": "Ranked regions",
}
"""Each family's heading."""


def text() -> str:
    """Return the whole page."""
    table = saliency.methods()
    rows = ["| method | id | needs | images evaluated | standing | paper |", "|---|---|---|---:|---:|---|"]
    parts = []
    for family in FAMILIES:
        mine = [each for each in table if each.family == family]
        if mine:
            parts.append(f"## {FAMILY[family]}\n")
        for each in mine:
            title, cost = f"[{each.title}](#{each.id})", each.images_evaluated
            standing = str(each.evidence or "–")
            rows.append(f"| {title} | `{each.id}` | {each.needs} | {cost} | {standing} | {linked(each.paper)} |")
            parts.append(entry(each))
    return "\n".join([HEAD, *rows, "", *parts])


def entry(info: saliency.MethodInfo) -> str:
    """Return the entry of one method."""
    picture = PICTURES / f"{info.id}.jpg"
    described = cleandoc(info.cls.__doc__ or "").replace("``", "`")
    lines = [f'### <a id="{info.id}"></a>{info.title}: `{info.id}`', ""]
    if picture.exists():
        lines += [f'<img src="images/methods/{picture.name}" width="224" alt="{info.title} of the demo picture">', ""]
    else:
        lines += ["*No picture, because the demo network does not support it: it needs " + f"{info.needs}.*", ""]
    lines += [described, "", f"$${info.cls.formula}$$", "", f"**When:** {info.advice}", ""]
    lines += [f"**Evidence:** {found(info.evidence)}", ""]
    lines += [f"`saliency.{info.cls.__name__}`: " + "; ".join(field(info.cls)) + ".", ""]
    return "\n".join(lines)


def found(evidence: Evidence | None) -> str:
    """Return what the leaderboard found about a method, in words."""
    if evidence is None:
        return "not on the [leaderboard](leaderboard.md), as no test-bed supports it."
    share = (
        f"{100 * evidence.standing:.0f} % of the other methods ({100 * evidence.low:.0f}–{100 * evidence.high:.0f} %)"
    )
    if evidence.reason:
        beside = f"**never better than a random map**: {evidence.reason}"
    else:
        beside = f"better than a random map on {evidence.beats_random} of {evidence.beds} test-beds"
    return f"it beats {share} on {evidence.network}; {beside}. See the [leaderboard](leaderboard.md)."


def field(cls: type[Method]) -> list[str]:
    """Return each field with its default and meaning."""
    found = []
    for each in fields(cls):
        default = default_of(each)
        shown = default.id if isinstance(default, Method) else repr(default)
        found.append(f"`{each.name}={shown}` {each.metadata.get('help', '')}".rstrip())
    return found or ["no fields"]


def linked(paper: str) -> str:
    """Return a paper, as a link if it is on arXiv."""
    return f"[{paper}](https://arxiv.org/abs/{paper[6:]})" if paper.startswith("arXiv:") else paper


def paint(ids: list[str]) -> None:
    """Create the pictures of all methods, or of some."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    model, image = saliency.demo.model(), saliency.demo.image()
    for each in saliency.methods():
        if ids and each.id not in ids:
            continue
        try:
            found = saliency.explain(model, image, each.id, TARGET, labels=saliency.demo.labels, progress=False)
        except saliency.Unsupported as why:
            print(f"{each.id}: {why}")
            continue
        Image.fromarray(painted(found)).save(PICTURES / f"{each.id}.jpg", quality=85)
        print(f"{each.id}: {found.images} images, {found.seconds:.1f} s")


def painted(found: saliency.Explanation, picture: np.ndarray | None = None) -> np.ndarray:
    """Return the heat map over the greyed picture, (H, W, 3) uint8.

    Args:
        found: the explanation.
        picture: (H, W, 3) uint8 of the mask's size; the explanation's own by default.
    """
    from matplotlib import colormaps

    if isinstance(found, saliency.LayerExplanation):
        named = {name: getattr(found, name) for name in ("method", "caption", "target", "label", "sign", "picture")}
        found = saliency.Explanation(mask=found.on_picture(), **named)
    signed = found.sign == "signed"
    values = (found.diverging() + 1) / 2 if signed else found.heatmap()
    colours = colormaps["RdBu_r" if signed else "inferno"](values)[..., :3]
    grey = (found.picture if picture is None else picture).mean(2, keepdims=True) / 255
    return np.asarray(np.clip(0.3 * grey + 0.7 * colours, 0, 1) * 255, np.uint8)


def main() -> None:
    """Create the pictures first, because entries refer to them."""
    paint(sys.argv[1:])
    PAGE.write_text(text())
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
