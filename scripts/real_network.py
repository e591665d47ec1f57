"""Draws docs/images/real-network.jpg: every method on a trained ImageNet network and two photographs.

    python scripts/real_network.py             all methods (minutes)
    python scripts/real_network.py xrai rise   these again, and the others as they were computed last

Explanations are stored in build/real-network/. Methods that evaluate hundreds of images get smaller budgets.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
import saliency  # noqa: E402
from saliency.core.catalogue import METHODS  # noqa: E402
from scripts.methods_page import painted  # noqa: E402

KEPT = ROOT / "build" / "real-network"
SHEET = ROOT / "docs" / "images" / "real-network.jpg"

PHOTOGRAPHS = {"cat": "tiger cat", "coffee": "espresso"}
"""The explained class of each picture: the most likely one."""

BUDGETS: dict[str, dict[str, Any]] = {
    "occlusion": {"size": 32, "stride": 16},
    "rise": {"samples": 600},
    "lime": {"samples": 300},
    "kernel_shap": {"samples": 300},
    "shapley_sampling": {"samples": 6},
    "partition_shap": {"samples": 200},
    "sobol": {"samples": 8},
    "hsic": {"samples": 200},
}

FONT = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"

TILE, TEXT, GAP, PAIRS = 144, 18, 10, 4
"""Pixels of a picture's side, of a line of text and between pairs; how many methods stand in a row."""


def compute(ids: list[str]) -> None:
    """Explain both photographs by these methods, and by those of which nothing is kept."""
    KEPT.mkdir(parents=True, exist_ok=True)
    network = saliency.demo.model("imagenet")
    for each in saliency.methods():
        for name, label in PHOTOGRAPHS.items():
            path = kept(each.id, name)
            if path.exists() and each.id not in ids:
                continue
            method = METHODS[each.id](**BUDGETS.get(each.id, {}))
            given = {"preprocess": network.preprocess, "labels": network.labels, "progress": False}
            try:
                found = saliency.explain(network, saliency.demo.image(name), method, label, **given)
            except saliency.Unsupported as why:
                print(f"{each.id}: {why}")
                break
            found.save(path)
            print(f"{each.id}, {name}: {found.images} images, {found.seconds:.1f} s", flush=True)


def kept(method: str, photograph: str) -> Path:
    """Return the path of a stored explanation."""
    return KEPT / f"{method}-{photograph}.npz"


def pairs() -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield a title and a picture (224, 224, 3) uint8 for each photograph: first plain, then by every method."""
    network = saliency.demo.model("imagenet")
    plain = {}
    for name in PHOTOGRAPHS:
        fed = network.preprocess(saliency.demo.image(name)).numpy() * 128 + 127
        plain[name] = np.asarray(np.moveaxis(fed, 0, -1).round(), np.uint8)
    yield " and ".join(PHOTOGRAPHS.values()), list(plain.values())
    for each in saliency.methods():
        if all(kept(each.id, name).exists() for name in PHOTOGRAPHS):
            maps = [saliency.Explanation.load(kept(each.id, name)) for name in PHOTOGRAPHS]
            yield each.title, [painted(found, plain[name]) for found, name in zip(maps, PHOTOGRAPHS, strict=True)]


def draw() -> None:
    """Write the sheet."""
    cells = list(pairs())
    width, height = 2 * TILE + GAP, TILE + TEXT + GAP
    sheet = Image.new("RGB", (PAIRS * width + GAP, -(-len(cells) // PAIRS) * height + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.truetype(FONT, 12)
    for index, (title, pictures) in enumerate(cells):
        left, top = index % PAIRS * width + GAP, index // PAIRS * height + GAP
        pen.text((left, top), title, "black", font)
        for column, picture in enumerate(pictures):
            tile = Image.fromarray(picture).resize((TILE - 2, TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left + column * TILE, top + TEXT))
    sheet.save(SHEET, quality=82, optimize=True)
    print(f"wrote {SHEET.relative_to(ROOT)}: {SHEET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    compute(sys.argv[1:])
    draw()
