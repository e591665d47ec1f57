"""Run as a script: explains the little CNN of one framework two hundred times, and prints by how many MiB memory grew.

``python -m tests.adapters.explained_200_times torch [leaking]``
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


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], 'leaking' in sys.argv):.1f}\n")
