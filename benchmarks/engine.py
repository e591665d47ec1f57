"""The engine's overhead: Integrated Gradients on a ResNet-18-class network against a bare loop.

    python benchmarks/engine.py [--size 224] [--steps 32] [--rounds 7]

Both sides run in the same process, turn by turn, so that a noisy machine disturbs both alike; the figures are medians
of paired ratios. The bare loop is the least that anybody could write: interpolate, forward, backward, add, at the batch
size that was fastest for it. Peak memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import saliency


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside))
        self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside))
        self.relu = nn.ReLU(inplace=True)
        change = stride != 1 or inside != outside
        short = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.short = short if change else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.relu(self.first(x))).add_(self.short(x)))


def resnet18() -> nn.Module:
    """A network with the layers of ResNet-18 (arXiv:1512.03385, table 1), random weights."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    blocks: list[nn.Module] = []
    inside = 64
    for outside, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        blocks.append(Block(inside, outside, stride))
        inside = outside
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)).eval()


def bare(net: nn.Module, image: Tensor, target: int, steps: int, batch: int) -> Tensor:
    """Integrated Gradients from black, and nothing else."""
    alphas = torch.linspace(0, 1, steps)[:, None, None, None]
    total = torch.zeros_like(image)
    for part in alphas.split(batch):
        points = (part * image).requires_grad_()
        (gradients,) = torch.autograd.grad(net(points)[:, target].sum(), points)
        total += gradients.sum(0)
    return total / steps * image


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def peak(steps: int, size: int) -> float:
    """Peak resident MiB of a process that explains with so many steps."""
    code = f"import benchmarks.engine as e; e.explain_once({steps}, {size})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def explain_once(steps: int, size: int) -> None:
    """Explain once and print the process's peak resident memory in MiB."""
    image = np.random.default_rng(0).uniform(size=(size, size, 3)).astype(np.float32)
    saliency.explain(resnet18(), image, "integrated_gradients", 1, steps=steps, batch_size=8, progress=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--steps", type=int, default=32)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()

    net = resnet18()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    array = np.random.default_rng(0).uniform(size=(given.size, given.size, 3)).astype(np.float32)
    image = torch.from_numpy(np.moveaxis(array, -1, 0).copy())
    sizes = (1, 2, 4, 8, 16, 32)
    each = {n: min(timed(partial(bare, net, image, 1, given.steps, n)) for _ in range(2)) for n in sizes}
    best = min(each, key=lambda n: each[n])

    def ours() -> np.ndarray:
        found = saliency.explain(net, array, "integrated_gradients", 1, steps=given.steps, progress=False)
        return np.asarray(found.mask)

    first = timed(ours)
    pairs = [(timed(ours), timed(lambda: bare(net, image, 1, given.steps, best))) for _ in range(given.rounds)]
    expected = np.moveaxis(bare(net, image, 1, given.steps, best).numpy(), 0, -1)
    difference = np.abs(ours() - expected).max() / np.abs(expected).max()
    print(f"IG with {given.steps} steps at {given.size}², {torch.get_num_threads()} threads\n")
    print("| | |\n|---|---|")
    print(f"| bare loop, by batch size | {', '.join(f'{n}: {t:.2f} s' for n, t in each.items())} |")
    print(f"| bare loop, best batch size ({best}), median | {statistics.median(b for _, b in pairs):.2f} s |")
    print(f"| ours, first run (measures the batch size) | {first:.2f} s |")
    print(f"| ours, median | {statistics.median(a for a, _ in pairs):.2f} s |")
    print(f"| ours ÷ bare, median of pairs | {statistics.median(a / b for a, b in pairs):.3f} |")
    print(f"| largest difference of the masks | {difference:.1e} of the maximum |")
    print(f"| peak memory with {given.steps} steps | {peak(given.steps, given.size):.0f} MiB |")
    print(f"| peak memory with {8 * given.steps} steps | {peak(8 * given.steps, given.size):.0f} MiB |")


if __name__ == "__main__":
    main()
