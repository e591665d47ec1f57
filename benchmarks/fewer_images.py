"""The number of images that a map needs, on the trained ImageNet network and photographs.

    python benchmarks/fewer_images.py xrai --photographs 8
    python benchmarks/fewer_images.py rise --photographs 3
    python benchmarks/fewer_images.py score_cam --photographs 3
    python benchmarks/fewer_images.py occlusion --photographs 6

`xrai` compares maps of few steps with that of PAIR's 200 images, `score_cam` those of clusters with that of all
channels, `occlusion` those of a share of the windows with that of all: rank correlation, overlap of the most salient
tenth and fifth, and the difference in two metrics of evidence, with 95 % intervals over the photographs. `rise`
compares the variance of maps over seeds, of orthogonal masks and of independent ones at equal images. Photographs are
those of scikit-image and scikit-learn, then of the folder that SALIENCY_REAL_DATA names, if any.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import saliency  # noqa: E402  # of this checkout
from saliency.session.masks import RandomGrids  # noqa: E402

Array = np.ndarray

METRICS = ("srg", "road")
"""Metrics of evidence."""


def photographs(count: int) -> dict[str, Array]:
    """Return so many photographs, the freely available ones first."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    found = {name: np.asarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")}
    found |= {name: np.asarray(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")}
    more = sorted(Path(os.environ.get("SALIENCY_REAL_DATA", os.devnull)).rglob("*.jpg"))
    spread = more[:: max(1, len(more) // max(1, count - len(found)))]
    found |= {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in spread}
    return dict(list(found.items())[:count])


def explained(image: Array, method: saliency.Method) -> saliency.Explanation:
    """Return the explanation of the top class by the trained network."""
    found: saliency.Explanation = saliency.explain(network(), image, method, progress=False, batch_size=8)
    return found


def network() -> Any:
    """Return the trained network, loaded once."""
    if not LOADED:
        LOADED.append(saliency.demo.model("imagenet"))
    return LOADED[0]


LOADED: list[Any] = []


def overlap(one: Array, other: Array, percent: float) -> float:
    """Return the intersection over union of the most salient `percent` of two maps."""
    tops = [each >= np.percentile(each, 100 - percent) for each in (one, other)]
    return float((tops[0] & tops[1]).sum() / (tops[0] | tops[1]).sum())


def beside(methods: Mapping[str, saliency.Method], images: Mapping[str, Array]) -> None:
    """Print how far maps are from that of the first method, in position and in evidence."""
    from scipy.stats import spearmanr

    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    for name, image in images.items():
        maps = {each: explained(image, method) for each, method in methods.items()}
        values = saliency.evaluate(network(), image, maps, METRICS, progress=False).rows
        of = {(row.method, row.metric): row.value for row in values}
        first = next(iter(maps))
        for each, found in maps.items():
            whole, mask = maps[first].salience(), found.salience()
            rank = float(spearmanr(whole.ravel(), mask.ravel())[0])
            tops = overlap(whole, mask, 10), overlap(whole, mask, 20)
            apart = [float(of[each, metric] - of[first, metric]) for metric in METRICS]
            rows[each].append((found.images, rank, *tops, *apart))
        print(f"{name}: {maps[first].label}", file=sys.stderr, flush=True)
    print("| | images | rank correlation, median (least) | IoU, top 10 % | IoU, top 20 % | Δ SRG | Δ ROAD |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for each, found in rows.items():
        print(f"| {each} | {line(found)} |")


def line(rows: Sequence[tuple[float, ...]]) -> str:
    """Return the cells of one method: images, rank correlation, overlaps and differences of metrics."""
    count, rank, ten, twenty, *apart = np.array(rows).T
    cells = [f"{count.mean():.0f}", f"{np.median(rank):.3f} ({rank.min():.3f})", f"{ten.mean():.2f}"]
    margins = [f"{each.mean():+.3f} ± {1.96 * each.std(ddof=1) / len(each) ** 0.5:.3f}" for each in apart]
    return " | ".join(chain(cells, [f"{twenty.mean():.2f}"], margins))


def xrai_steps() -> dict[str, saliency.Method]:
    """Return XRAI with PAIR's 100 steps, and with fewer."""
    found: dict[str, saliency.Method] = {
        f"PAIR's rule, {steps}": saliency.XRAI(steps=steps) for steps in (100, 50, 25, 15, 8)
    }
    for steps in (25, 15, 8, 4):
        inner = saliency.IntegratedGradients(steps=steps, baseline=("black", "white"), quadrature="gauss_legendre")
        found[f"Gauss–Legendre, {steps}"] = saliency.XRAI(base_attribution=inner)
    return found


def clusters() -> dict[str, saliency.Method]:
    """Return Score-CAM of every channel, and of clusters."""
    counts = (None, 256, 128, 64, 32)
    return {
        "every channel" if each is None else f"{each} clusters": saliency.ScoreCam(clusters=each) for each in counts
    }


def windows() -> dict[str, saliency.Method]:
    """Return occlusion by every window, by a share of them, and by a wider stride."""
    found: dict[str, saliency.Method] = {"every window": saliency.Occlusion()}
    found |= {f"share {share}": saliency.Occlusion(share=share) for share in (0.6, 0.5, 0.4, 0.3)}
    return found | {f"stride {stride}": saliency.Occlusion(stride=stride) for stride in (11, 15)}


class Independent(saliency.Rise):
    """RISE with independent masks."""

    def _masks(self, ops: Any, shape: tuple[int, int]) -> Any:
        return RandomGrids(ops, shape, self.cells, self.probability, self.seed)


def rise_masks(images: Mapping[str, Array]) -> None:
    """Print the variance of RISE's map over seeds, as a share of that of independent masks."""
    print("| photograph | variance, independent masks | orthogonal masks | ratio |")
    print("|---|---:|---:|---:|")
    for name, image in images.items():
        found = [
            float(
                np.var([explained(image, cls(samples=512, seed=seed)).mask for seed in range(SEEDS)], 0, ddof=1).mean()
            )
            for cls in (Independent, saliency.Rise)
        ]
        print(f"| {name} | {found[0]:.3g} | {found[1]:.3g} | {found[1] / found[0]:.2f} |", flush=True)


SEEDS = 5
"""Number of maps of which a variance is computed."""

PARTS = {
    "xrai": lambda images: beside(xrai_steps(), images),
    "rise": rise_masks,
    "score_cam": lambda images: beside(clusters(), images),
    "occlusion": lambda images: beside(windows(), images),
}


def main() -> None:
    """Measure one part and print its table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("part", choices=PARTS)
    options.add_argument("--photographs", type=int, default=8)
    given = options.parse_args()
    PARTS[given.part](photographs(given.photographs))


if __name__ == "__main__":
    main()
