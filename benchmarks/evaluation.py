"""The time that `saliency.evaluate` takes, and that of Quantus for the metrics that both have.

    python benchmarks/evaluation.py --images 100
    python benchmarks/evaluation.py --images 100 --resume rows.jsonl   # continues where it was interrupted
    python benchmarks/evaluation.py --quantus 10     # pip install quantus

On the demo network and its picture, shifted in a circle, with the exact masks of its objects; torch on one thread.

Without `--quantus`: ten methods and eight metrics, with the random maps of every image. With it: Grad-CAM's masks of so
many images, measured by both packages in turn: deletion in 48 steps, faithfulness correlation with 200
subsets of a fifth of the pixels (Quantus counts features: each pixel has three). Times are of the CPU, as the wall time
depends on other processes. "Bare" is the model alone, called with as many images as this package evaluates. The last
column adds random maps, which Quantus does not measure; they are shared by all methods of an image.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
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
ROUNDS = 3
"""Times are the medians of so many measurements of both packages in turn."""

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
            metrics.Deletion(levels=48, fill="black"),
            quantus.PixelFlipping(features_in_step=3136, perturb_baseline="black", **quiet),
        ),
        "ROAD": (
            metrics.ROAD(shares=shares),
            quantus.ROAD(percentages=[round(100 * each) for each in shares], **quiet),
        ),
        "faithfulness correlation": (
            metrics.FaithfulnessCorrelation(),
            quantus.FaithfulnessCorrelation(nr_runs=200, subset_size=3 * 10035, **quiet),
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
    first = saliency.prepare(model, pictures[:1], saliency.demo.labels)
    counter = [0]
    model.register_forward_pre_hook(lambda _, given: counter.__setitem__(0, counter[0] + len(given[0])))

    def once(metric: metrics.Metric, theirs: Any) -> tuple[float, ...]:
        """Return seconds and images of Quantus, the same of this package, those of random maps, of the model alone."""
        cases = [
            case_of(first.with_image(picture), target, truth=truth)
            for picture, target, truth in zip(pictures, targets, objects, strict=True)
        ]

        def measured(band: bool) -> None:
            for case, mask in zip(cases, masks, strict=True):
                metric(case, metrics.Attribution(mask, "positive"), band=band)

        ours, images = timed(lambda: measured(band=False)), sum(case.images for case in cases)
        random = timed(lambda: measured(band=True))
        # Quantus removes features of the mask: it gets one of as many channels as the picture for that
        given = {**batch, "a_batch": np.repeat(batch["a_batch"], 3, 1)} if metric.family == "perturbation" else batch
        counter[0] = 0
        try:
            other = timed(lambda: theirs(model=model, channel_first=True, **given))
        except IndexError:  # ROAD of Quantus 0.6.0, on pictures of three channels
            other = np.nan
        counted = counter[0]
        return other, counted, ours, images, ours + random, timed(lambda: bare(model, pictures, images))

    once(*common["deletion"])  # batch sizes are measured
    columns = "Quantus, s | ours, s | ratio | bare, s | images, Quantus | images, ours | with random maps, s"
    print(f"| metric | {columns} |\n|---|{'---:|' * 7}")
    sums = np.zeros(4)
    for name, pair in common.items():
        other, counted, ours, images, random, alone = np.median([once(*pair) for _ in range(ROUNDS)], 0)
        ratio = f"{other / ours:.1f}×" if np.isfinite(other) else ""
        numbers = f"{ratio} | {alone:.2f} | {counted:.0f} | {images:.0f} | {random:.2f}"
        print(f"| {name} | {other:.2f} | {ours:.2f} | {numbers} |", flush=True)
        sums += np.array([other, ours, alone, random]) if np.isfinite(other) else 0
    ratio = f"{sums[0] / sums[1]:.1f}×"
    print(f"| all but ROAD | {sums[0]:.2f} | {sums[1]:.2f} | {ratio} | {sums[2]:.2f} | | | {sums[3]:.2f} |")


def bare(model: torch.nn.Module, pictures: Sequence[np.ndarray], count: int) -> None:
    """Call the model with so many pictures, eight at a time."""
    batch = torch.tensor(np.resize(np.stack(pictures), (8, *pictures[0].shape))).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        for start in range(0, count, 8):
            model(batch[: count - start])


def timed(call: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    started = time.process_time()
    call()
    return time.process_time() - started


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
