"""Run as a script, on one of Keras' backends: explains the little CNN by every method and writes the masks to a file.

The backend is fixed per process, so the test starts one for each.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from tests import jitter

NOTE = "uint8 fed as 0–255: the model scales it itself"
AT_A_TRANSFORMER: dict[str, dict[str, Any]] = {
    **{name: {"layer": "attention_0", "relu": False} for name in ("grad_cam", "ablation_cam")},
    **{name: {} for name in ("attention_rollout", "attention_relevance", "grad_sam", "le_grad")},
}
"""Methods that read the tokens of a transformer, and how."""

ENDINGS = ("sigmoid", "written", "squeezed", "none")
"""Endings of a head with one output."""


def masks(net: Any, methods: list[str]) -> dict[str, np.ndarray]:
    """By method, the masks of two classes; or the sentence why there are none."""
    import saliency
    from saliency.core.catalogue import METHODS
    from tests.nets import few, picture

    found = {}
    adapted, needs = saliency.adapt(net), {row.id: row.cls().needs for row in saliency.methods()}
    for method in methods:
        if (why := saliency.lacking(adapted, needs[method])) is not None:
            found[f"refused {method}"] = np.array(why)
            continue
        options: dict[str, Any] = {"progress": False, "batch_size": 4}
        quick = METHODS[method](**few(METHODS[method]))
        if len(quick.layers) > 1:  # Keras and torch find others by themselves
            quick = quick.but(layer=["norm", "block"])
        found[method] = np.stack([exp.mask for exp in saliency.explain(net, picture(), quick, [1, 2], **options)])
    return found


def main(path: str) -> None:
    """Write "kind method" -> masks, and what else the test looks at."""
    jitter.install(process=1)
    import keras

    import saliency
    from tests.adapters import headed, same_net, same_transformer, two_inputs
    from tests.adapters.reweighted import facts
    from tests.adapters.writing import OF_KERAS, changes
    from tests.nets import picture

    found: dict[str, Any] = {}
    every = [row.id for row in saliency.methods()]
    for kind in ("functional", "subclassed", "sequential", "nested", "softmax"):
        net = same_net.keras(same_net.weights(), "functional" if kind == "softmax" else kind, kind == "softmax")
        before = [np.array(each) for each in net.get_weights()]
        attributes = [sorted(vars(layer)) for layer in net.layers]
        for method, mask in masks(net, every if kind == "functional" else ["gradient", "grad_cam"]).items():
            found[f"{kind} {method}"] = mask
        exp = saliency.explain(net, picture(), "grad_cam", 1, progress=False)
        found[f"layer {kind}"], found[f"notes {kind}"] = str(exp.layer), np.array(exp.notes)
        found[f"weights {kind}"] = json.dumps(facts(net, picture()[None]))
        same = all(map(np.array_equal, before, net.get_weights()))
        found[f"left {kind}"] = same and attributes == [sorted(vars(layer)) for layer in net.layers]
        inner = "inner/block" if kind in ("sequential", "nested") else "block"
        unit = saliency.targets.unit(inner, 2, (3, 4))
        found[f"{kind} unit"] = saliency.explain(net, picture(), "gradient", unit, progress=False).mask
        found[f"{kind} named"] = saliency.explain(net, picture(), "grad_cam", 1, layer=inner, progress=False).mask
    keras.config.set_dtype_policy("mixed_float16")
    mixed = same_net.keras(same_net.weights())
    keras.config.set_dtype_policy("float32")
    for method, mask in masks(mixed, ["gradient", "ablation_cam", "lrp"]).items():
        found[f"mixed {method}"] = mask
    for method in two_inputs.METHODS:
        for i, row in enumerate(two_inputs.explained(two_inputs.of_keras(), method)):
            for j, mask in enumerate(row):
                found[f"two inputs {method} {i}{j}"] = mask
    found["two inputs weights"] = doubled(two_inputs.of_keras())
    transformer: Any = same_transformer.in_keras()
    for method, options in AT_A_TRANSFORMER.items():
        exps = saliency.explain(transformer, picture(32, 48), method, [1, 3], progress=False, **options)
        found[f"transformer {method}"] = np.stack([exp.mask for exp in exps])
    found["transformer layers"] = [row.name for row in saliency.layers(transformer, picture(32, 48))]
    found["transformer grid"] = saliency.layers(transformer, picture(32, 48))[0].grid
    found["transformer notes"] = np.array(exps[0].notes)
    windowed = same_transformer.windows_in_keras()
    found["windows grad_cam"] = saliency.explain(
        windowed, picture(32, 32), "grad_cam", 1, relu=False, progress=False
    ).mask
    try:
        saliency.explain(windowed, picture(32, 32), "attention_rollout", 1, progress=False)
    except saliency.SaliencyError as error:
        found["windows"] = str(error)
    for wrong, layer in (("stam", "stam"), ("channels", None)):
        try:
            image = picture(channels=4) if wrong == "channels" else picture()
            saliency.explain(net, image, "grad_cam", 1, layer=layer, progress=False)
        except saliency.SaliencyError as error:
            found[f"error {wrong}"] = f"{type(error).__name__}: {error}"
    for ending in ENDINGS:
        headed_by = headed.model("keras", (3.0,), ending)
        exp = saliency.explain(headed_by, headed.IMAGE, "gradient", 0, progress=False)
        found[f"head {ending}"], found[f"head {ending} score"] = exp.mask, exp.score
        found[f"head {ending} shown"] = sorted(row.shown for row in saliency.predict(headed_by, headed.IMAGE))
    found["written"] = np.array([line for kind in OF_KERAS for line in changes(kind)], str)
    np.savez(path, **found, **scaling(), **cuts())


def doubled(net: Any) -> list[float]:
    """Return the score of a model with two inputs, and that of copies with the head and with all weights doubled."""
    from saliency.adapters.multi_input import adapt_several
    from saliency.model.inputs import Inputs
    from tests.adapters import two_inputs

    given = Inputs([two_inputs.SERIES, two_inputs.FACTS])
    adapted: Any = adapt_several(net, given.packing).at([1])
    rows = adapted.ops.asarray(given.fed)
    head, _ = adapted.weighted_layers(rows)
    copies = [adapted.reweighted(lambda _, each: 2 * each, layers) for layers in ([head], None)]
    return [float(each.ops.tohost(each.scores(rows))[0, 0]) for each in (adapted, *copies)]


def cuts() -> dict[str, Any]:
    """Return the errors of models without a gradient from the image to the scores, in two ways."""
    import keras

    import saliency
    from tests.nets import picture

    class Stopping(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return keras.ops.stop_gradient(x) * 2

    class Rounding(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return keras.ops.cast(keras.ops.cast(x * 9, "int32"), "float32")

    found = {}
    for name, made in (("stopped", Stopping(name="stopping")), ("rounded", Rounding(name="rounding"))):
        inner = [made, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        net = keras.Sequential([keras.Input((24, 20, 3)), *inner])
        for method in ("gradient", "grad_cam"):
            try:
                layer = made.name if method == "grad_cam" else None
                saliency.explain(net, picture(), method, 1, layer=layer, progress=False)
            except saliency.SaliencyError as error:
                found[f"cut {name} {method}"] = f"{type(error).__name__}: {error}"
    return found


def scaling() -> dict[str, Any]:
    """Return the outputs of models that scale their input themselves, in three ways, and of one with another size."""
    import keras

    import saliency
    from tests.nets import picture

    ways: dict[str, list[Any]] = {
        "rescaling": [keras.layers.Rescaling(1 / 255)],
        "centred": [keras.layers.Rescaling(1 / 127.5, offset=-1.0)],
        "normalization": [keras.layers.Normalization(mean=[127.0] * 3, variance=[3000.0] * 3)],
        "inner": [keras.Sequential([keras.Input((24, 20, 3)), keras.layers.Rescaling(1 / 255)])],
        "zero to one": [keras.layers.Normalization(mean=[0.45] * 3, variance=[0.05] * 3)],
        "none": [],
    }
    found: dict[str, Any] = {}
    for name, ahead in ways.items():
        keras.utils.set_random_seed(0)
        ends = [keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D()]
        net = keras.Sequential([keras.Input((24, 20, 3)), *ahead, *ends])
        exp = saliency.explain(net, picture(), "gradient", 1, progress=False)
        whole = name not in ("zero to one", "none")
        outputs = net(picture()[None].astype(np.float32) / (1 if whole else 255), training=False)
        found[f"scaled {name}"] = [exp.score, float(keras.ops.convert_to_numpy(outputs)[0, 1])]
        found[f"noted {name}"] = NOTE in exp.notes
        read = saliency.read(picture().astype(np.float32))
        found[f"floats {name}"] = NOTE in saliency.explain(net, read, "gradient", 1, progress=False).notes
    small = saliency.explain(net, picture(12, 10), "gradient", 1, progress=False)
    return found | {"resized": np.array(small.mask.shape), "resized notes": np.array(small.notes)}


if __name__ == "__main__":
    main(sys.argv[1])
