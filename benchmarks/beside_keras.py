"""A Keras network explained by ours, tf-explain, tf-keras-vis and Xplique.

Explainers that a package makes once for a model are made once here too; each side runs once before it is measured, as
TensorFlow traces functions in their first call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from benchmarks.bench import STEPS, TARGET, Bench
from benchmarks.clock import Side
from benchmarks.packages import is_installed
from benchmarks.peers_page import KERAS, Cell

SIZE = 128
"""Height and width of the pictures: at 224² one round would take three times as long."""

WINDOW = 32
"""Side and stride of the windows of Occlusion."""

Call = Callable[["KerasBench", Any], Side]
"""From a network and a picture, (1, H, W, C), to an explanation by a package; what it makes once is made here."""


class KerasBench(Bench):
    """MobileNetV2 of Keras, with random weights."""

    def __init__(self) -> None:
        import keras

        keras.utils.set_random_seed(0)
        shape = (SIZE, SIZE, 3)
        self.network = keras.applications.MobileNetV2(weights=None, input_shape=shape, classifier_activation=None)
        super().__init__(KERAS, self.network)

    def pixels(self, pictures: Sequence[np.ndarray]) -> Any:
        import tensorflow as tf

        return tf.constant(np.stack(pictures))

    def repeated(self, pixels: Any, size: int) -> Any:
        import tensorflow as tf

        return tf.repeat(pixels[:1], size, 0)

    @cached_property
    def gradients(self) -> Callable[[Any], Any]:
        import tensorflow as tf

        def gradients(pixels: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(pixels)
                score = tf.reduce_sum(self.network(pixels, training=False)[:, TARGET])
            return tape.gradient(score, pixels)

        return tf.function(gradients, reduce_retracing=True)

    @cached_property
    def forward(self) -> Callable[[Any], Any]:
        import tensorflow as tf

        return tf.function(lambda pixels: self.network(pixels, training=False), reduce_retracing=True)

    @cached_property
    def layer(self) -> str:
        """The name of the layer that our CAMs read."""
        (name, *_), _ = self.adapted.automatic_layers(self.adapted.ops.asarray(self.pictures(1, SIZE)[0][None]))
        return str(name)


def tf_explain(module: str, name: str, **options: Any) -> Call:
    """Return a call of tf-explain."""

    def made(bench: KerasBench, picture: np.ndarray) -> Side:
        import importlib

        explainer = getattr(importlib.import_module(f"tf_explain.core.{module}"), name)()
        layer = {"layer_name": bench.layer} if name == "GradCAM" else {}
        return lambda: explainer.explain((picture, None), bench.network, TARGET, **layer, **options)

    return made


def tf_keras_vis(module: str, name: str, **options: Any) -> Call:
    """Return a call of tf-keras-vis."""

    def made(bench: KerasBench, picture: np.ndarray) -> Side:
        import importlib

        from tf_keras_vis.utils.scores import CategoricalScore

        explainer = getattr(importlib.import_module(f"tf_keras_vis.{module}"), name)(bench.network, clone=False)
        layer = {} if name == "Saliency" else {"penultimate_layer": bench.layer}
        return lambda: explainer(CategoricalScore(TARGET), picture, **layer, **options)

    return made


def xplique(name: str, **options: Any) -> Call:
    """Return a call of Xplique."""

    def made(bench: KerasBench, picture: np.ndarray) -> Side:
        import tensorflow as tf
        from xplique import attributions

        layer = {"conv_layer": bench.layer} if name.startswith("GradCAM") else {}
        explainer = getattr(attributions, name)(bench.network, **layer, **options)
        target = tf.one_hot([TARGET], bench.network.output_shape[-1])
        return lambda: explainer(picture, target)

    return made


METHODS: dict[str, tuple[dict[str, Any], dict[str, Call]]] = {
    "gradient": (
        {},
        {
            "tf_explain": tf_explain("vanilla_gradients", "VanillaGradients"),
            "tf_keras_vis": tf_keras_vis("saliency", "Saliency"),
            "xplique": xplique("Saliency"),
        },
    ),
    "guided_backprop": ({}, {"xplique": xplique("GuidedBackprop")}),
    "grad_cam": (
        {},
        {
            "tf_explain": tf_explain("grad_cam", "GradCAM"),
            "tf_keras_vis": tf_keras_vis("gradcam", "Gradcam"),
            "xplique": xplique("GradCAM"),
        },
    ),
    "grad_cam_plus_plus": (
        {},
        {
            "tf_keras_vis": tf_keras_vis("gradcam_plus_plus", "GradcamPlusPlus"),
            "xplique": xplique("GradCAMPP"),
        },
    ),
    "smooth_grad": (
        {"samples": STEPS},
        {
            "tf_explain": tf_explain("smoothgrad", "SmoothGrad", num_samples=STEPS),
            "tf_keras_vis": tf_keras_vis("saliency", "Saliency", smooth_samples=STEPS, smooth_noise=0.15),
            "xplique": xplique("SmoothGrad", nb_samples=STEPS),
        },
    ),
    "integrated_gradients": (
        {"steps": STEPS, "quadrature": "gauss_legendre"},
        {
            "tf_explain": tf_explain("integrated_gradients", "IntegratedGradients", n_steps=STEPS),
            "xplique": xplique("IntegratedGradients", steps=STEPS),
        },
    ),
    "occlusion": (
        {"size": WINDOW, "stride": WINDOW},
        {
            "tf_explain": tf_explain("occlusion_sensitivity", "OcclusionSensitivity", patch_size=WINDOW),
            "xplique": xplique("Occlusion", patch_size=WINDOW, patch_stride=WINDOW),
        },
    ),
    "rise": ({"samples": 100}, {"xplique": xplique("Rise", nb_samples=100)}),
}
"""The methods, each with the fields that set its cost, and the same by the packages."""

FORWARD = ("occlusion", "rise")
"""Methods that need no backward pass."""


def keras_cells() -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of the Keras network."""
    bench = KerasBench()
    pictures = bench.pictures(1, SIZE)
    pixels, picture = bench.pixels(pictures), np.stack(pictures)
    for method, (fields, calls) in METHODS.items():
        ours = bench.ours(pictures, method, **fields)
        images = ours().images
        run = bench.forward if method in FORWARD else bench.gradients
        bare = partial(bench.loop, run, pixels, images, bench.fastest) if fields else partial(run, pixels)
        others = {name: warmed(partial(call, bench, picture)) for name, call in calls.items() if is_installed(name)}
        bare()
        yield Cell(KERAS, method), bench, {"ours": ours, "bare": bare, **others}


def warmed(make: Callable[[], Side]) -> Side:
    """Return a side that was made and run once; an error of that is raised when it is measured."""
    try:
        side = make()
        side()
    except Exception as error:  # noqa: BLE001  # a package may fail in any way; that is its result
        return partial(again, error)
    return side


def again(error: Exception) -> None:
    """Raise an error."""
    raise error
