"""The number of images that Integrated Gradients evaluates for the same completeness error: PAIR, Captum, `tolerance=`.

    python benchmarks/completeness.py [--side 112]
    SALIENCY_REAL_DATA=folder python benchmarks/completeness.py --photographs 40

On the demo network and its picture, for several classes from black and from white. PAIR's rule (through PAIR's door)
and Captum's default, Gauss-Legendre, are each given the fewest steps of a ladder from which on their gap stays within
the tolerance: what a user would have to know beforehand. `tolerance=` finds its nodes by itself. A model call is one
image, forward and backward; the image's and the baseline's score, which Captum and we report the gap by, are left out
for all. "Wasted" are the images that a user evaluates in vain on the ladder, since neither rule reuses earlier ones.

With `--photographs` the trained ImageNet network is explained on so many photographs (.jpg, .png) of the folder that
SALIENCY_REAL_DATA names: the default, PAIR's 25 steps and Captum's 50, with their completeness errors and their
distance from 300 nodes of Gauss and Legendre's, as a share of that map (L1). About 20 s a photograph on one thread.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients as Captum
from skimage.transform import resize

import saliency
import saliency.core
import saliency.demo

LADDER = (4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200)
TOLERANCES = (0.1, 0.05, 0.02, 0.01)
TARGETS = (1, 2, 3, 6)
"""Cat, coffee cup, coin: what is in the picture; and retina, which is not."""


def settled(gaps: list[float], tolerance: float) -> int | None:
    """Return the first step of the ladder from which on the gap is within the tolerance; None if there is none."""
    beyond = [i for i, gap in enumerate(gaps) if gap > tolerance]
    first = beyond[-1] + 1 if beyond else 0
    return first if first < len(gaps) else None


class Case:
    """One class from one baseline."""

    def __init__(self, net: torch.nn.Module, image: np.ndarray, target: int, level: float) -> None:
        self.net, self.image, self.target, self.level = net, image, target, level
        self.tensor = torch.tensor(image).permute(2, 0, 1)[None]
        with torch.no_grad():
            scores = net(torch.cat([self.tensor, torch.full_like(self.tensor, level)]))[:, target].double()
        self.rise = float(scores[0] - scores[1])

    def called(self, x: np.ndarray, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, np.ndarray]:
        """PAIR's call_model_function."""
        images = torch.tensor(x, requires_grad=True)
        score = self.net(images.permute(0, 3, 1, 2))[:, self.target].sum()
        return {"INPUT_OUTPUT_GRADIENTS": torch.autograd.grad(score, images)[0].numpy()}

    def pair(self, steps: int) -> float:
        """The gap by PAIR's rule, as a share of the difference."""
        baseline = np.full_like(self.image, self.level)
        mask = saliency.core.IntegratedGradients().GetMask(
            self.image, self.called, x_baseline=baseline, x_steps=steps, batch_size=16
        )
        return abs(float(mask.sum(dtype=np.float64)) - self.rise) / abs(self.rise)

    def captum(self, steps: int) -> float:
        """The same by Gauss and Legendre's, through Captum."""
        image = self.tensor.clone().requires_grad_()
        found = Captum(self.net).attribute(image, self.level, target=self.target, n_steps=steps, internal_batch_size=16)
        return abs(float(found.double().sum()) - self.rise) / abs(self.rise)

    def ours(self, tolerance: float) -> tuple[int, float]:
        """Return images evaluated, and the gap."""
        found = saliency.explain(
            self.net, self.image, "integrated_gradients", self.target,
            baseline=self.level, tolerance=tolerance, progress=False,
        )  # fmt: skip
        return found.images, abs(found.gap) / abs(self.rise)


def climbed(gap: Callable[[int], float]) -> list[float]:
    """Return the gaps for all numbers of steps."""
    return [gap(steps) for steps in LADDER]


def chosen(count: int) -> list[Path]:
    """Return so many photographs, spread evenly over the folder that SALIENCY_REAL_DATA names."""
    if not (folder := os.environ.get("SALIENCY_REAL_DATA")):
        raise SystemExit("SALIENCY_REAL_DATA names no folder of photographs, so there is nothing to measure.")
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise SystemExit(f"There are no photographs (.jpg, .png) in {folder}.")
    return [found[int(i * len(found) / min(count, len(found)))] for i in range(min(count, len(found)))]


def photographs(paths: Sequence[Path]) -> None:
    """Print how the default fares on photographs, beside rules of a fixed number of nodes."""
    model: Any = saliency.demo.model("imagenet")
    kinds: dict[str, saliency.Method] = {
        "default": saliency.IntegratedGradients(),
        "PAIR's rule, 25": saliency.IntegratedGradients(steps=25),
        "Gauss–Legendre, 25": saliency.IntegratedGradients(steps=25, quadrature="gauss_legendre"),
        "Gauss–Legendre, 50 (Captum's default)": saliency.IntegratedGradients(steps=50, quadrature="gauss_legendre"),
    }
    reference = saliency.IntegratedGradients(steps=300, quadrature="gauss_legendre")
    rows: dict[str, list[tuple[int, float, float]]] = {name: [] for name in kinds}
    for path in paths:

        def explained(method: saliency.Method, path: Path = path) -> saliency.Explanation:
            found: saliency.Explanation = saliency.explain(
                model, str(path), method, preprocess=model.preprocess, progress=False, batch_size=8
            )
            return found

        exact = explained(reference).mask
        for name, method in kinds.items():
            found = explained(method)
            away = np.abs(found.mask - exact).sum() / np.abs(exact).sum()
            rows[name].append((found.images, found.gap_share or 0.0, float(away)))

    print("| nodes | images, median | 95 % | error ≤ 5 % | error, median | L1, median | L1, 95 % |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, each in rows.items():
        images, errors, distances = np.array(each).T
        print(
            f"| {name} | {np.median(images):.0f} | {np.percentile(images, 95):.0f} | {np.mean(errors <= 0.05):.0%} | "
            f"{np.median(errors):.1%} | {np.median(distances):.3f} | {np.percentile(distances, 95):.3f} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=112, help="of the picture, a multiple of 16")
    parser.add_argument("--photographs", type=int, default=0, help="how many, with the trained network, instead")
    given = parser.parse_args()
    if given.photographs:
        photographs(chosen(given.photographs))
        return
    side = given.side
    net = saliency.demo.model()
    image = np.asarray(resize(saliency.demo.image() / 255, (side, side), anti_aliasing=True), np.float32)
    cases = [Case(net, image, target, level) for target in TARGETS for level in (0.0, 1.0)]
    pair, captum = ([climbed(getattr(case, name)) for case in cases] for name in ("pair", "captum"))

    print("| gap within | PAIR's rule | wasted | Captum, Gauss–Legendre | wasted | `tolerance=` | its gap |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for tolerance in TOLERANCES:
        row = [f"{tolerance:.0%}"]
        for gaps in (pair, captum):
            places = [settled(each, tolerance) for each in gaps]
            fewest = [LADDER[-1] if place is None else LADDER[place] for place in places]
            wasted = [sum(LADDER[: len(LADDER) if place is None else place]) for place in places]
            more = "≥ " if None in places else ""
            row += [f"{more}{np.mean(fewest):.1f}", f"{more}{np.mean(wasted):.0f}"]
        evaluated, left = zip(*(case.ours(tolerance) for case in cases), strict=True)
        row += [f"{np.mean(evaluated):.1f}", f"{max(left):.1%}"]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
