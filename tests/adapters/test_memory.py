from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import saliency
from tests.nets import picture, small_net

TOLERANCE = 20.0
"""MiB; if every explanation leaked its graph, it would be about 100 (the last test)."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")


def growth(checkout: Path, *arguments: str) -> float:
    """Return the script's output: growth in MiB, or a share."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.explained_200_times", *arguments],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_two_hundred_explanations_do_not_grow_memory(checkout: Path, framework: str) -> None:
    """By gradients, a layer, a path and windows, of two targets each: resident memory stays what it was."""
    pytest.importorskip(framework)

    assert growth(checkout, framework) < TOLERANCE


@pytest.mark.long
@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax"])
def test_memory_is_flat_over_a_thousand_explanations(checkout: Path, framework: str) -> None:
    """By ten methods and at four sizes: after the first hundred, resident memory stays within 5 %."""
    pytest.importorskip(framework)

    assert growth(checkout, framework, "mixed") == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("method", ["guided_backprop", "lrp", "deep_lift"])
def test_rules_keep_no_tensor_of_the_graph(method: str) -> None:
    """Operators in place tie a graph to the calls that hold its tensors; after an explanation none is alive."""
    net, image = small_net(), picture()

    def alive() -> int:
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    saliency.explain(net, image, method, 1, progress=False)
    before = alive()
    saliency.explain(net, image, method, 1, progress=False)

    assert alive() == before


def test_a_leak_would_be_seen(checkout: Path) -> None:
    """The measurement itself: with what one explanation holds kept from each, memory grows far beyond the tolerance."""
    assert growth(checkout, "torch", "leaking") > 3 * TOLERANCE
