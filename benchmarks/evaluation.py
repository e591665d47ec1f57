"""The time that `saliency.evaluate` takes, and that of Quantus for the metrics that both have.

    python benchmarks/evaluation.py --images 100
    python benchmarks/evaluation.py --images 100 --resume rows.jsonl   # continues where it was interrupted
    python benchmarks/evaluation.py --quantus 10     # pip install quantus

On the demo network and its picture, shifted in a circle, with the exact masks of its objects; torch on one thread.

Without `--quantus`: ten methods and eight metrics, with the random maps of every image. With it: Grad-CAM's masks of so
many images, measured by both packages in one process: deletion in 49 steps, faithfulness correlation with 200 subsets.
The last column adds random maps, which Quantus does not measure; they are shared by all methods of an image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import saliency
import saliency.demo
from saliency import metrics
from saliency.api.cases import case_of

METHODS: Sequence[Any] = (
    "gradient",
    "input_x_gradient",
    "smooth_grad",
    "integrated_gradients",
    "guided_backprop",
    "lrp",
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "eigen_cam",
)
METRICS = (
    "srg",
    "road",
    "deletion",
    "flip_consistency",
    "relevance_rank_accuracy",
    "relevance_mass_accuracy",
    "localisation_auc",
    "gini",
)


def scenes(count: int) -> tuple[list[np.ndarray], list[str], list[np.ndarray]]:
    """Return pictures, targets and the masks of the targets' objects."""
    picture, objects = saliency.demo.image(), saliency.demo.objects()
    pictures, targets, masks = [], [], []
    for i in range(count):
        name = list(objects)[i % len(objects)]
        shift = (16 * i) % 224, (48 * i + 16 * (i // 14)) % 224
        pictures.append(np.roll(picture, shift, (0, 1)))
        masks.append(np.roll(objects[name], shift, (0, 1)))
        targets.append(name)
    return pictures, targets, masks


def alone(count: int, resume: str | None) -> None:
    """Print the time of one evaluation, and which share of it each metric takes."""
    pictures, targets, masks = scenes(count)
    model, started, cpu = saliency.demo.model(), time.perf_counter(), time.process_time()
    found = saliency.evaluate(
        model, pictures, METHODS, METRICS, targets, masks, labels=saliency.demo.labels, resume=resume
    )
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(found)
    measured = f"{count} images, {len(METHODS)} methods, {len(METRICS)} metrics"
    print(f"\n{measured}: {seconds:.0f} s, CPU {cpu:.0f} s; ", end="")
    print(f"{sum(bool(row.error) for row in found.rows)} errors")
    for metric in found.metrics:
        rows = [row for row in found.rows if row.metric == metric]
        print(f"{metric}: {sum(row.seconds for row in rows):.1f} s, {sum(row.images for row in rows)} images evaluated")


def beside_quantus(count: int) -> None:
    """Print the times of both packages for the same masks."""
    import quantus

    pictures, targets, objects = scenes(count)
    model = saliency.demo.model()
    masks = [
        saliency.explain(model, each, "grad_cam", target, labels=saliency.demo.labels, progress=False).mask
        for each, target in zip(pictures, targets, strict=True)
    ]
    quiet: dict[str, Any] = {"disable_warnings": True, "display_progressbar": False}
    shares = tuple(percent / 100 for percent in range(10, 100, 10))
    common: dict[str, tuple[metrics.Metric, Any]] = {
        "deletion": (
            metrics.Deletion(levels=49, fill="black"),
            quantus.PixelFlipping(features_in_step=1024, perturb_baseline="black", **quiet),
        ),
        "ROAD": (
            metrics.ROAD(shares=shares),
            quantus.ROAD(percentages=[round(100 * each) for each in shares], **quiet),
        ),
        "faithfulness correlation": (
            metrics.FaithfulnessCorrelation(),
            quantus.FaithfulnessCorrelation(nr_runs=200, subset_size=10035, **quiet),
        ),
        "pointing game": (metrics.PointingGame(), quantus.PointingGame(**quiet)),
        "relevance rank accuracy": (metrics.RelevanceRankAccuracy(), quantus.RelevanceRankAccuracy(**quiet)),
        "relevance mass accuracy": (metrics.RelevanceMassAccuracy(), quantus.RelevanceMassAccuracy(**quiet)),
        "AUC": (metrics.LocalisationAUC(), quantus.AUC(**quiet)),
        "Gini index": (metrics.Gini(), quantus.Sparseness(**quiet)),
        "entropy": (metrics.Entropy(), quantus.Complexity(**quiet)),
    }
    batch: dict[str, Any] = {
        "x_batch": np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32) / 255,
        "y_batch": np.array([saliency.demo.labels.index(each) for each in targets]),
        "a_batch": np.stack(masks)[:, None],
        "s_batch": np.stack(objects)[:, None],
    }
    cases = [
        case_of(saliency.prepare(model, [picture], saliency.demo.labels), target, truth=truth)
        for picture, target, truth in zip(pictures, targets, objects, strict=True)
    ]
    print("| metric | Quantus, s | the same, s | ratio | with random maps, s |\n|---|---:|---:|---:|---:|")
    sums = np.zeros(3)
    for name, (metric, theirs) in common.items():
        ours = []
        for band in (False, True):
            started = time.perf_counter()
            for case, mask in zip(cases, masks, strict=True):
                metric(case, metrics.Attribution(mask, "positive"), band=band)
            ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        try:
            theirs(model=model, channel_first=True, **batch)
        except IndexError as error:  # ROAD of Quantus 0.6.0, on pictures of three channels
            print(f"| {name} | {type(error).__name__} | {ours[0]:.2f} | | {sum(ours):.2f} |", flush=True)
            continue
        each = time.perf_counter() - started, ours[0], sum(ours)
        sums += each
        print(f"| {name} | {each[0]:.2f} | {each[1]:.2f} | {each[0] / each[1]:.1f}× | {each[2]:.2f} |", flush=True)
    print(f"| all but ROAD | {sums[0]:.2f} | {sums[1]:.2f} | {sums[0] / sums[1]:.1f}× | {sums[2]:.2f} |")


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100, help="number of images")
    parser.add_argument("--resume", help="path of a file of rows that are not computed again")
    parser.add_argument("--quantus", type=int, default=0, help="number of images for the comparison, instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.quantus:
        beside_quantus(arguments.quantus)
    else:
        alone(arguments.images, arguments.resume)


if __name__ == "__main__":
    main()
