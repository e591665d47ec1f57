"""Draws docs/images/layers.jpg: one decision of a trained network at two layers, and through one channel.

pip install "saliency-widget[imagenet]"
python scripts/layers.py
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

import saliency

SHEET = Path(__file__).parents[1] / "docs" / "images" / "layers.jpg"

LAST, MIDDLE = "_swish", "_blocks.10"


def main() -> None:
    """Explain the picture by both layers and the strongest channel of the earlier one, and draw the maps."""
    mpl.use("agg")
    model, img = saliency.demo.model("imagenet"), saliency.demo.image("coffee")
    last, middle = (saliency.explain(model, img, "conductance", layer=each, progress=False) for each in (LAST, MIDDLE))
    channel = middle.channels[0].index
    neuron = saliency.explain(model, img, saliency.NeuronConductance(MIDDLE, unit=channel), progress=False)
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.4), layout="constrained")
    shown = (
        (last, f"conductance of {LAST}, 7×7"),
        (middle, f"conductance of {MIDDLE}, 14×14"),
        (neuron, f"pixels through its channel {channel}"),
    )
    for ax, (exp, title) in zip(axes, shown, strict=False):
        exp.plot(ax, title=title)
    rows = middle.channels[:12]
    axes[3].bar(range(len(rows)), [each.sum for each in rows], color="#b2182b")
    axes[3].set_xticks(range(len(rows)), [str(each.index) for each in rows], fontsize="x-small")
    axes[3].set_title(f"channels of {MIDDLE}, by conductance", fontsize="small")
    for side in ("top", "right"):
        axes[3].spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, bbox_inches="tight")
    Image.open(buffer).convert("RGB").save(SHEET, quality=88)


if __name__ == "__main__":
    main()
