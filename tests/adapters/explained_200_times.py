"""Run as a script: explains the little CNN of one framework two hundred times, and prints by how many MiB memory grew.

``python -m tests.adapters.explained_200_times torch [leaking]``

With ``mixed`` it explains a thousand times, by more methods and at four sizes, and prints what memory is after the last
as a share of what it was after the first hundred.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

import saliency
from tests.nets import picture, small_net

WARM_UP, COUNTED = 48, 200
METHODS: list[Any] = ["gradient", "grad_cam", saliency.IntegratedGradients(steps=2), saliency.Occlusion(64, 64)]

MIXED: list[Any] = [
    *METHODS,
    saliency.SmoothGrad(samples=3),
    saliency.Rise(samples=8),
    "guided_backprop",
    "lrp",
    "layer_cam",
    saliency.KernelShap(samples=16, features=4),
]
SIZES = ((32, 32), (48, 40), (64, 64), (40, 56))


def resident() -> float:
    """MiB of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def model(framework: str) -> Any:
    """The little CNN."""
    if framework == "torch":
        import torch

        torch.set_num_threads(1)
        return small_net()
    from tests.adapters import same_net

    if framework == "tensorflow":
        return same_net.tf_module(same_net.weights())
    return same_net.pure_jax, {name: np.asarray(value) for name, value in same_net.weights().items()}


def main(framework: str, leaking: bool) -> float:
    """MiB by which memory grew in `COUNTED` explanations, after the first few."""
    net, image, kept = model(framework), picture(64, 64), list[Any]()
    for i in range(WARM_UP + COUNTED):
        if i == WARM_UP:
            before = resident()
        exp = saliency.explain(net, image, METHODS[i % len(METHODS)], [1, 2], progress=False, batch_size=2)
        if leaking:
            kept.append([exp, *(np.ones((6, 64, 64), np.float32) for _ in range(5))])  # as much as one graph would be
    return resident() - before


def mixed(framework: str) -> float:
    """Memory after a thousand explanations, as a share of what it was after the first hundred."""
    net, pictures = model(framework), [picture(*size) for size in SIZES]
    for i in range(1000):
        if i == 100:
            before = resident()
        method, image = MIXED[i % len(MIXED)], pictures[i // len(MIXED) % len(SIZES)]
        saliency.explain(net, image, method, 1, progress=False, batch_size=4)
    return resident() / before


if __name__ == "__main__":
    found = mixed(sys.argv[1]) if "mixed" in sys.argv else main(sys.argv[1], "leaking" in sys.argv)
    sys.stdout.write(f"{found:.4f}\n")
