"""Our package beside PAIR's own, method by method, on the same model function: cost, memory, and how far masks differ.

    python benchmarks/pair.py --upstream /path/to/pair/bin/python [--rounds 3] [--only XRAI Blur]

PAIR-code/saliency 0.2.1 works on NumPy 1.26 only, so it runs in a separate environment, made as described in
scripts/make_pair_fixtures.py; `--upstream` is that environment's Python. Each case runs in a process of its own,
ours and theirs turn by turn, so that a noisy machine disturbs both alike; matrix products on one thread, or neighbours
would be measured. The model is a few NumPy operations, or, where a case is about the whole, a small CNN in PyTorch.
"Overhead" is what is not spent within the model function. Times are medians over the rounds; the memory is what the
process grew by.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
Array = np.ndarray


def photograph(side: int, dtype: str) -> Array:
    """scikit-image's `astronaut` (NASA, public domain) at some size, in [0, 1]."""
    from skimage.data import astronaut
    from skimage.transform import resize

    return np.asarray(resize(astronaut() / 255.0, (side, side), anti_aliasing=True), dtype)


class Light:
    """A model with almost no cost: a smooth score of each value. It counts its calls and its own time."""

    def __init__(self) -> None:
        self.calls, self.seconds = 0, 0.0

    def __call__(self, x_value_batch: Any, call_model_args: Any = None, expected_keys: Sequence[str] = ()) -> Any:
        started = time.perf_counter()
        self.calls += 1
        answer = {key: self.answer(key, np.asarray(x_value_batch)) for key in expected_keys}
        self.seconds += time.perf_counter() - started
        return answer

    def answer(self, key: str, x: Array) -> Array:
        """Return the array of a key."""
        if key == "INPUT_OUTPUT_GRADIENTS":
            return np.cos(3 * x) * x.shape[2] / x[0].size
        if key == "OUTPUT_LAYER_VALUES":
            return np.sin(3 * x).reshape(len(x), -1).mean(1)
        return x[:, ::16, ::16]


class Convolution(Light):
    """A small CNN in PyTorch, on one thread: two convolutions, rectified, pooled, read out."""

    def __init__(self) -> None:
        import torch

        super().__init__()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.torch = torch
        layers = [torch.nn.Conv2d(3, 16, 3, 2), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, 2), torch.nn.ReLU()]
        self.net = torch.nn.Sequential(
            *layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 1)
        )

    def answer(self, key: str, x: Array) -> Array:
        with self.torch.no_grad():
            scores: Array = self.net(self.torch.from_numpy(x).permute(0, 3, 1, 2))[:, 0].numpy()
        return scores


@dataclass(frozen=True)
class Case:
    """One thing both packages do.

    Attributes:
        run: from (`saliency.core` or `saliency.metrics.pic`, picture, model) to what is compared.
        side: of the picture.
        dtype: of the picture.
        model: what is explained.
        ours: the same through the modern door, where that is what the case is about.
    """

    run: Callable[[Any, Array, Light], Any]
    side: int = 224
    dtype: str = "float32"
    model: type[Light] = Light
    ours: Callable[[Any, Array, Light], Any] | None = None


def xrai(core: Any, image: Array, _: Light) -> Array:
    """Segmentation and ranking, of an attribution that is given."""
    rows, columns, channels = np.indices(image.shape)
    attribution = np.sin(rows / 31.0) * np.cos(columns / 17.0) + 0.2 * image.astype(np.float64) + channels
    parameters = core.XRAIParameters(return_xrai_segments=True)
    found = core.XRAI().GetMaskWithDetails(
        image, None, base_attribution=attribution, segments=None, extra_parameters=parameters
    )
    return np.stack([found.attribution_mask, found.segments])


def explained_occlusion(_: Any, image: Array, model: Light) -> Array:
    """Occlusion in batches, PAIR's sums: what `batch_size` allows through saliency.explain."""
    import saliency

    def scores(images: Array) -> Array:
        answer: Array = model(images, None, ["OUTPUT_LAYER_VALUES"])["OUTPUT_LAYER_VALUES"]
        return answer[:, None]

    method = saliency.Occlusion(size=15, stride=1, reduce="sum")
    mask = saliency.explain(scores, image, method, None, progress=False).mask
    return np.repeat(mask[..., None], 3, 2)


def pic_curve(_: Any, image: Array, __: Light) -> Array:
    """The curve of one picture at thirteen thresholds."""
    from saliency.metrics import pic

    np.random.seed(0)  # noqa: NPY002  # PAIR draws from the global generator
    picture = np.round(image * 255).astype(np.uint8)
    rows, columns = np.indices(picture.shape[:2])
    thresholds = [0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.10, 0.13, 0.21, 0.34, 0.5, 0.75]

    def sharpness(images: Array) -> list[float]:
        grey = images.astype(np.float64).mean(3)
        return [float(np.tanh(np.abs(np.diff(each, axis=0)).mean() / 5)) for each in grey]

    known = pic.generate_random_mask(*picture.shape[:2])
    found = pic.compute_pic_metric(
        picture, rows * 1.0 + columns * 0.37, known, sharpness, thresholds, min_pred_value=0.0
    )
    return np.asarray(found.curve_y)


CASES = {
    "XRAI regions 224²": Case(xrai),
    "XRAI regions 512²": Case(xrai, 512),
    "XRAI regions 1024²": Case(xrai, 1024),
    "XRAI whole 224²": Case(lambda core, x, f: core.XRAI().GetMask(x, f, batch_size=20)),
    "Gradient": Case(lambda core, x, f: core.GradientSaliency().GetMask(x, f)),
    "SmoothGrad": Case(lambda core, x, f: (np.random.seed(0), core.GradientSaliency().GetSmoothedMask(x, f))[1]),  # noqa: NPY002
    "Integrated Gradients": Case(lambda core, x, f: core.IntegratedGradients().GetMask(x, f)),
    "Blur IG float32": Case(lambda core, x, f: core.BlurIG().GetMask(x, f)),
    "Blur IG float64": Case(lambda core, x, f: core.BlurIG().GetMask(x, f), dtype="float64"),
    "Guided IG": Case(lambda core, x, f: core.GuidedIG().GetMask(x, f)),
    "Guided IG float64": Case(lambda core, x, f: core.GuidedIG().GetMask(x, f), dtype="float64"),
    "Grad-CAM": Case(lambda core, x, f: core.GradCam().GetMask(x, f)),
    "Occlusion 64², one by one": Case(lambda core, x, f: core.Occlusion().GetMask(x, f), 64, model=Convolution),
    "Occlusion 64², batches": Case(
        lambda core, x, f: core.Occlusion().GetMask(x, f), 64, model=Convolution, ours=explained_occlusion
    ),
    "PIC, 13 thresholds": Case(pic_curve),
}


def measure(name: str, package: str, keep: Path) -> None:
    """Run one case once in this process, print its figures, keep its mask."""
    from saliency import core

    case = CASES[name]
    sys.path.append(os.environ.get("LENT", ""))
    image, model = photograph(case.side, case.dtype), case.model()
    run = case.ours if package == "ours" and case.ours is not None else case.run
    tiny = photograph(32, case.dtype)
    run(core, tiny, case.model())  # imports and thread pools are not the method's cost
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    mask = run(core, image, model)
    seconds = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    np.save(keep, mask)
    print(json.dumps({"seconds": seconds, "model": model.seconds, "calls": model.calls, "megabytes": grown / 1024}))


def side_by_side(name: str, pythons: dict[str, str], rounds: int, folder: Path) -> str:
    """One line of the table."""
    found: dict[str, list[dict[str, float]]] = {package: [] for package in pythons}
    for _ in range(rounds):
        for package, python in pythons.items():
            # only ours is found in the checkout; theirs is installed in its environment
            where = ROOT if package == "ours" else folder
            keep = str(folder / f"{package}.npy")
            command = [python, str(Path(__file__).resolve()), "--measure", name, package, keep]
            # PyTorch, for the small CNN, is appended to the path of their environment
            environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT) if package == "ours" else ""}
            environment["LENT"] = sysconfig.get_path("purelib")
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=where)
            found[package].append(json.loads(done.stdout.splitlines()[-1]))
    ours, theirs = (np.load(folder / f"{package}.npy").astype(np.float64) for package in ("ours", "upstream"))
    largest = np.abs(ours - theirs).max() / np.abs(theirs).max()

    def median(package: str, figure: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(figure, found[package]))

    def both(figure: Callable[[dict[str, float]], float], form: str) -> str:
        return f"{median('upstream', figure):{form}} → {median('ours', figure):{form}}"

    def overhead(run: dict[str, float]) -> float:
        return run["seconds"] - run["model"]

    times = median("upstream", overhead) / median("ours", overhead)
    whole = median("upstream", lambda run: run["seconds"]) / median("ours", lambda run: run["seconds"])
    cells = [
        name,
        both(lambda run: run["calls"], ".0f"),
        both(overhead, ".3f"),
        f"{times:.1f}×",
        both(lambda run: run["seconds"], ".3f"),
        f"{whole:.1f}×",
        both(lambda run: run["megabytes"], ".0f"),
        f"{largest:.1e}" if largest else "none",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", help="the Python that has PAIR's own package")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[""], help="cases whose names hold one of these")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, package, keep = options.measure
        measure(name, package, Path(keep))
        return
    if not options.upstream:
        parser.error("--upstream is needed: the Python of an environment that has PAIR's own package")
    pythons = {"upstream": options.upstream, "ours": sys.executable}
    print("| PAIR → ours | model calls | overhead, s | | total, s | | memory, MB | largest difference |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES:
            if any(part in name for part in options.only):
                print(side_by_side(name, pythons, options.rounds, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
