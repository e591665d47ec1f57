"""The methods of PAIR's package, by its own interface, as cases that ours and theirs both run.

PAIR-code/saliency 0.2.1 works on NumPy 1.26 only, so that theirs runs in another process (:func:`serve`). `saliency`
is ours or theirs, by the process that imports this.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import clock

Array = np.ndarray

TARGET = 3
NETWORK, LIGHT, TF1 = "PAIR: ResNet-18", "PAIR: a function that costs nothing", "PAIR: TensorFlow 1"

WHOLE = "8 methods"
"""The case that runs all methods of PAIR on one picture."""

FEW = 48
"""Height and width of pictures for Occlusion, which calls the model for every window."""


def photograph(side: int) -> Array:
    """Return scikit-image's `astronaut` (NASA, public domain) at some size, in [0, 1]."""
    from skimage.data import astronaut
    from skimage.transform import resize

    return np.asarray(resize(astronaut() / 255.0, (side, side), anti_aliasing=True), np.float32)


class Light:
    """A model that costs almost nothing: a smooth score of each value. It counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x_value_batch: Any, call_model_args: Any = None, expected_keys: Sequence[str] = ()) -> Any:
        self.calls += 1
        return self.answer(np.asarray(x_value_batch), expected_keys)

    def answer(self, x: Array, keys: Sequence[str]) -> dict[str, Array]:
        """Return the arrays of all keys."""
        known: dict[str, Callable[[], Array]] = {
            "INPUT_OUTPUT_GRADIENTS": lambda: np.cos(3 * x) * x.shape[2] / x[0].size,
            "OUTPUT_LAYER_VALUES": lambda: np.sin(3 * x).reshape(len(x), -1).mean(1),
            "CONVOLUTION_LAYER_VALUES": lambda: x[:, ::16, ::16],
            "CONVOLUTION_OUTPUT_GRADIENTS": lambda: x[:, ::16, ::16],
        }
        return {key: known[key]() for key in keys}


class Network(Light):
    """ResNet-18 as a function for PAIR's classes."""

    def __init__(self) -> None:
        import torch

        from benchmarks.networks import built

        super().__init__()
        torch.set_num_threads(1)
        self.net = built("ResNet-18")
        *_, self.layer = (module for module in self.net.children() if type(module).__name__ == "Block")

    def answer(self, x: Array, keys: Sequence[str]) -> dict[str, Array]:
        import torch

        pixels = torch.from_numpy(np.asarray(x, np.float32)).permute(0, 3, 1, 2)
        if "OUTPUT_LAYER_VALUES" in keys:
            with torch.no_grad():
                return {"OUTPUT_LAYER_VALUES": self.net(pixels)[:, TARGET].numpy()}
        if "INPUT_OUTPUT_GRADIENTS" in keys:
            leaf = pixels.requires_grad_()
            (found,) = torch.autograd.grad(self.net(leaf)[:, TARGET].sum(), leaf)
            return {"INPUT_OUTPUT_GRADIENTS": found.permute(0, 2, 3, 1).numpy()}
        kept: list[Any] = []
        handle = self.layer.register_forward_hook(lambda _, __, output: kept.append(output))
        try:
            score = self.net(pixels.requires_grad_())[:, TARGET].sum()
        finally:
            handle.remove()
        both = (kept[0], *torch.autograd.grad(score, kept[0]))
        values, gradients = (each.detach().permute(0, 2, 3, 1).numpy() for each in both)
        return {"CONVOLUTION_LAYER_VALUES": values, "CONVOLUTION_OUTPUT_GRADIENTS": gradients}


class Graph:
    """A CNN of five convolutions as a graph of TensorFlow 1, for `saliency.tf1`."""

    calls = 0

    def __init__(self) -> None:
        import tensorflow as tf

        old = tf.compat.v1
        self.graph = tf.Graph()
        with self.graph.as_default():
            old.set_random_seed(0)
            self.x = taken = old.placeholder("float32", (None, None, None, 3))
            inside = 3
            for i, width in enumerate((32, 32, 64, 64, 128)):
                shape, scaled = (3, 3, inside, width), old.initializers.he_normal(seed=i)
                kernel = old.get_variable(f"kernel{i}", shape, initializer=scaled, use_resource=False)
                stride = 2 if i in (0, 2, 4) else 1
                taken = tf.nn.relu(tf.nn.conv2d(taken, kernel, stride, "SAME"))
                inside = width
            self.layer = taken
            self.y = tf.reduce_mean(taken, (1, 2))[:, TARGET]
            self.session = old.Session(graph=self.graph)
            self.session.run(old.global_variables_initializer())
        self.bound: dict[str, Any] = {}

    def of(self, tf1: Any, name: str) -> Any:
        """Return a class of `saliency.tf1` bound to this graph, made once."""
        if name not in self.bound:
            last = (self.layer,) if name == "GradCam" else ()
            self.bound[name] = getattr(tf1, name)(self.graph, self.session, self.y, self.x, *last)
        return self.bound[name]


@dataclass(frozen=True)
class Case:
    """What both packages compute."""

    run: Callable[[Any, Array, Any], Any]
    """From `saliency.core` (or `saliency.tf1`), a picture and the model to the mask."""
    side: int = 224
    """Height and width of the picture."""


def regions(core: Any, image: Array, _: Any) -> Array:
    """Return XRAI's regions and their order, of an attribution that is given."""
    rows, columns, channels = np.indices(image.shape)
    attribution = np.sin(rows / 31.0) * np.cos(columns / 17.0) + 0.2 * image.astype(np.float64) + channels
    parameters = core.XRAIParameters(return_xrai_segments=True)
    found = core.XRAI().GetMaskWithDetails(
        image, None, base_attribution=attribution, segments=None, extra_parameters=parameters
    )
    return np.stack([found.attribution_mask, found.segments])


def pic_curve(_: Any, image: Array, __: Any) -> Array:
    """Return the performance information curve of one picture at thirteen thresholds."""
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


def smoothed(core: Any, image: Array, model: Any) -> Array:
    """Return SmoothGrad, with repeatable noise."""
    np.random.seed(0)  # noqa: NPY002  # PAIR draws from the global generator
    return core.GradientSaliency().GetSmoothedMask(image, model)


METHODS: dict[str, Callable[[Any, Array, Any], Any]] = {
    "Gradient": lambda core, x, f: core.GradientSaliency().GetMask(x, f),
    "Grad-CAM": lambda core, x, f: core.GradCam().GetMask(x, f),
    "SmoothGrad": smoothed,
    "Integrated Gradients": lambda core, x, f: core.IntegratedGradients().GetMask(x, f),
    "Blur IG": lambda core, x, f: core.BlurIG().GetMask(x, f),
    "Guided IG": lambda core, x, f: core.GuidedIG().GetMask(x, f),
    "XRAI": lambda core, x, f: core.XRAI().GetMask(x, f),
    "Occlusion": lambda core, x, f: core.Occlusion().GetMask(x, f),
}
"""PAIR's methods at PAIR's defaults: 25 steps and samples, 100 of Blur IG and of XRAI, 200 of Guided IG."""


def whole(core: Any, image: Array, model: Any) -> Array:
    """Run every method, and return the last mask."""
    *_, last = [run(core, image, model) for run in METHODS.values()]
    return last


def tf1(name: str, side: int = 112) -> Case:
    """Return the case of a class of `saliency.tf1`."""
    return Case(lambda door, x, f: f.of(door, name).GetMask(x, feed_dict={}), side)


CASES: dict[str, dict[str, Case]] = {
    NETWORK: {
        **{name: Case(run, FEW if name == "Occlusion" else 224) for name, run in METHODS.items()},
        WHOLE: Case(whole, FEW),
    },
    LIGHT: {
        **{name: Case(run, FEW if name == "Occlusion" else 224) for name, run in METHODS.items()},
        "XRAI, regions only": Case(regions),
        "XRAI, regions only, 512²": Case(regions, 512),
        "PIC, 13 thresholds": Case(pic_curve),
    },
    TF1: {
        "Gradient": tf1("GradientSaliency"),
        "Guided Backprop": tf1("GuidedBackprop"),
        "Grad-CAM": tf1("GradCam"),
        "Integrated Gradients": tf1("IntegratedGradients"),
        "Blur IG": tf1("BlurIG"),
        "XRAI": tf1("XRAI"),
        "Occlusion": tf1("Occlusion", 32),
    },
}
"""Cases by the model they are computed with."""


class Runs:
    """The cases of a model, run by the package that this process imports as `saliency`.

    Args:
        part: a key of :data:`CASES`.
    """

    def __init__(self, part: str) -> None:
        self.part = part
        self.started: set[str] = set()
        self.pictures: dict[int, Array] = {}

    @cached_property
    def door(self) -> Any:
        """The module that the cases call."""
        return importlib.import_module("saliency.tf1" if self.part == TF1 else "saliency.core")

    @cached_property
    def model(self) -> Any:
        """What is explained."""
        return {NETWORK: Network, LIGHT: Light, TF1: Graph}[self.part]()

    def prepare(self, name: str) -> None:
        """Run a case on a small picture if it was never run: imports and thread pools are not the method's cost."""
        if name not in self.started:
            CASES[self.part][name].run(self.door, self.picture(32), self.model)
            self.picture(CASES[self.part][name].side)
            self.started.add(name)
        self.model.calls = 0

    def run(self, name: str) -> Any:
        """Return the mask of a case that is prepared."""
        case = CASES[self.part][name]
        return case.run(self.door, self.picture(case.side), self.model)

    def picture(self, side: int) -> Array:
        """Return the photograph, read once."""
        if side not in self.pictures:
            self.pictures[side] = photograph(side)
        return self.pictures[side]


def serve(part: str) -> None:
    """Run the cases that this process reads, one a line of JSON, and write what each took."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a package prints is no reply
    runs = Runs(part)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            reply = served(runs, **asked)
        except Exception as error:  # noqa: BLE001  # a package may fail in any way; that is its result
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")


def served(runs: Runs, case: str, keep: str, *, memory: bool) -> dict[str, Any]:
    """Run one case, keep its mask in a file, and return the amount and the model's calls."""
    runs.prepare(case)
    found = (clock.mebibytes if memory else clock.seconds)(lambda: runs.run(case))
    np.save(Path(keep), np.asarray(found.result))
    return {"amount": found.amount, "calls": runs.model.calls}
