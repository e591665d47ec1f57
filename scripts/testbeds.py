"""Draws docs/images/testbeds.jpg: scenes of the test-beds, their truth, and four maps of each.

python scripts/testbeds.py
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

import saliency
from saliency.testbed import Bed, beds

SHEET = Path(__file__).parents[1] / "docs" / "images" / "testbeds.jpg"

METHODS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "grad_cam": {},
    "xrai": {},
    "occlusion": {"size": 12, "stride": 4},
}
SHOWN = (
    "demo_objects",
    "object_network",
    "background_network",
    "planted_shortcut",
    "planted_trojan",
    "planted_clean",
    "wired_shortcut_brightness",
    "wired_and_texture",
)


def row(axes: Sequence[Any], bed: Bed) -> None:
    """Draw the first scene of a bed, its truth, the scene without its truth, and the maps."""
    (scene,) = bed.scenes(1)
    assert scene.truth is not None
    reasons = [name for name, pixels in scene.parts.items() if (pixels & scene.truth).any()]
    axes[0].imshow(scene.image)
    axes[0].set_ylabel(bed.id.replace("_", " "), fontsize=11)
    axes[0].set_title(f"target: {bed.labels[scene.target]}", fontsize=9)
    axes[1].imshow(scene.truth, cmap="gray", vmin=0, vmax=1)
    axes[1].set_title("truth", fontsize=9)
    axes[2].imshow(scene.without(reasons))
    axes[2].set_title(f"without {' and '.join(reasons)}", fontsize=9)
    for ax, (method, fields) in zip(axes[3:], METHODS.items(), strict=True):
        name = method.replace("_", " ")
        try:
            exp = saliency.explain(
                bed.model, scene.image, method, scene.target, labels=bed.labels, progress=False, **fields
            )
        except saliency.UnknownName:
            ax.set_title(f"{name}: no layer", fontsize=9)
            continue
        ax.imshow(exp.overlay(alpha=0.8))
        inside = saliency.metrics.RelevanceMassAccuracy().compare(saliency.metrics.Attribution.of(exp), scene.truth)
        ax.set_title(f"{name}: {inside.value:.0%} on the truth", fontsize=9)


def main(names: Sequence[str] = SHOWN, sheet: Path = SHEET) -> None:
    """Draw one row for each bed."""
    mpl.use("agg")
    known = {bed.id: bed for bed in beds()}
    columns = 3 + len(METHODS)
    figure, axes = plt.subplots(len(names), columns, figsize=(2 * columns, 2.15 * len(names)), layout="constrained")
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    for of_bed, name in zip(axes, names, strict=True):
        row(of_bed, known[name])
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=80)
    Image.open(buffer).convert("RGB").save(sheet, quality=86)


if __name__ == "__main__":
    main()
