"""The model's share of a black-box method's time: a ResNet-18-class network at 224².

    python benchmarks/black_box.py [--images 200] [--only rise lime]

CPU seconds on one thread, so that other work on the machine disturbs little. Each method is evaluated for about as many
images; its segmentation, if it has one, is included.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import saliency  # noqa: E402  # of this checkout
from benchmarks.engine import resnet18  # noqa: E402


class Timed(nn.Module):
    """A network that accumulates the time spent in its forward pass."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    seconds = 0.0  # of the class, since calls go to a copy of the module

    def forward(self, x: Tensor) -> Tensor:
        started = time.process_time()
        outputs = self.net(x)
        Timed.seconds += time.process_time() - started
        return outputs


def methods(images: int) -> dict[str, saliency.Method]:
    """The methods, with fields that need about this number of images."""
    side = 224 / (images**0.5)
    return {
        "occlusion": saliency.Occlusion(size=int(2 * side), stride=round(side)),
        "feature_ablation": saliency.FeatureAblation(features=images),
        "rise": saliency.Rise(samples=images),
        "lime": saliency.Lime(samples=images),
        "kernel_shap": saliency.KernelShap(samples=images),
        "shapley_sampling": saliency.ShapleySampling(samples=max(1, images // 49)),
        "partition_shap": saliency.PartitionShap(samples=images),
        "sobol": saliency.Sobol(samples=max(2, images // 18), features=16),
        "hsic": saliency.Hsic(samples=images),
    }


def measured(net: nn.Module, image: np.ndarray, method: saliency.Method) -> tuple[int, float, float]:
    """Return images evaluated, CPU seconds in the model, and total CPU seconds."""
    Timed.seconds, started = 0.0, time.process_time()
    found: Any = saliency.explain(net, image, method, 1, progress=False, batch_size=16)
    return found.images, Timed.seconds, time.process_time() - started


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=200)
    options.add_argument("--only", nargs="*", default=[])
    given = options.parse_args()

    torch.set_num_threads(1)
    net, image = Timed(resnet18()).eval(), np.random.default_rng(0).uniform(size=(224, 224, 3)).astype(np.float32)
    for warm_up in (saliency.Rise(samples=4), saliency.Sobol(samples=2, features=1), saliency.Lime(samples=2)):
        measured(net, image, warm_up)  # imports are not the method's cost
    print("| method | images | in the model, s | in all, s | share of the model |\n|---|---:|---:|---:|---:|")
    for name, method in methods(given.images).items():
        if given.only and name not in given.only:
            continue
        evaluated, inside, all_ = measured(net, image, method)
        print(f"| `{name}` | {evaluated} | {inside:.2f} | {all_:.2f} | {100 * inside / all_:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
