"""A data set and a model without a framework, for runs in other processes: ``python -m tests.datasets.runs OUT``."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import saliency

COUNT, SHARD = 40, 4


def pictures() -> list[Any]:
    """Return small pictures, one of which is damaged."""
    found: list[Any] = [np.random.default_rng(i).integers(0, 256, (12, 10, 3), np.uint8) for i in range(COUNT)]
    found[5] = b"no picture"
    return found


def weights() -> np.ndarray:
    """Return the weights of the model, (3, 4)."""
    return np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def model(pause: float = 0.0) -> Any:
    """Return a function from images (N, 12, 10, 3) to scores (N, 4), which waits in each call."""
    pause = float(os.environ.get("PAUSE", pause))

    def scores(images: np.ndarray) -> np.ndarray:
        time.sleep(pause)
        rows: np.ndarray = np.tanh(images[:, 3:9, 2:8]).mean((1, 2)) @ weights()
        return rows

    return scores


def broken() -> Any:
    """Fail as the factory of a model may."""
    raise RuntimeError("no weights here")


def seen() -> Any:
    """Return a model whose bias is the number of the device that its process sees."""
    number = float(os.environ["CUDA_VISIBLE_DEVICES"])
    return lambda images: model()(images) + number


OCCLUSION = saliency.Occlusion(size=5, stride=5)


def run(out: Path, **options: Any) -> saliency.Masks:
    """Explain the data set."""
    given: dict[str, Any] = {"batch_size": 8, "shard_size": SHARD, "progress": False, "framework": "numpy", **options}
    methods = [OCCLUSION, saliency.Rise(samples=6, cells=3)] if "methods" not in given else given.pop("methods")
    return saliency.explain_dataset(given.pop("source", pictures), given.pop("model", model), methods, out=out, **given)


def files(out: Path) -> dict[str, str]:
    """Return the hashes of all files of a store that do not hold times."""
    found = [each for each in sorted(out.rglob("*")) if each.is_file() and each.parent.name != "seconds"]
    return {
        each.relative_to(out).as_posix(): hashlib.md5(each.read_bytes()).hexdigest()
        for each in found
        if each.name != ".lock"
    }


if __name__ == "__main__":
    run(Path(sys.argv[1]), workers=int(sys.argv[2]))
