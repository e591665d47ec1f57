"""Draws docs/images/evidence.jpg: four maps of one decision of a trained network, each with its verdict.

pip install "saliency-widget[imagenet]"
python scripts/evidence.py
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

import saliency
from saliency.metrics.verdict import draw

SHEET = Path(__file__).parents[1] / "docs" / "images" / "evidence.jpg"

PICTURE, METHODS = "coffee", ("grad_cam", "lrp", "gradient", "guided_backprop")


def main() -> None:
    """Explain the picture by each method, check the maps, and draw them with their curves."""
    mpl.use("agg")
    model, img = saliency.demo.model("imagenet"), saliency.demo.image(PICTURE)
    figure, axes = plt.subplots(2, len(METHODS), figsize=(14, 7), height_ratios=(4, 3), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(hspace=0.24)  # room for the sentences
    verdict: saliency.Verdict | None = None
    for i, ((above, below), method) in enumerate(zip(axes.T, METHODS, strict=True)):
        exp = saliency.explain(model, img, method, progress=False)
        verdict = saliency.check(model, img, exp, bands=verdict, progress=False)
        exp.plot(above, title=exp.caption)
        sentence = "\n".join(textwrap.wrap(verdict.sentence, 41))
        above.text(0, -0.06, sentence, transform=above.transAxes, va="top", fontsize=10.5).set_in_layout(False)
        draw(below, verdict.measures["road"], verdict.subject)
        if i:
            below.get_legend().remove()
            below.set_ylabel("")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, bbox_inches="tight")
    Image.open(buffer).convert("RGB").save(SHEET, quality=88)


if __name__ == "__main__":
    main()
