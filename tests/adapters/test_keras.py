import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from tests.adapters import headed, two_inputs
from tests.adapters.keras_masks import AT_A_TRANSFORMER, ENDINGS, masks
from tests.adapters.reweighted import check
from tests.api.test_layers import made
from tests.nets import picture, small_net

pytestmark = pytest.mark.needs("keras", "tensorflow", "jax")

KINDS = ("functional", "subclassed", "sequential", "nested", "softmax")


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """The masks of the same net in torch."""
    return masks(small_net(), [row.id for row in saliency.methods()])


@pytest.fixture(scope="module", params=["tensorflow", "jax", "torch"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Any:
    """Return the results of a process on one backend."""
    path = tmp_path_factory.mktemp("keras") / f"{request.param}.npz"
    env = {**os.environ, "KERAS_BACKEND": request.param, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.adapters.keras_masks", str(path)],
        env=env,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_with_other_weights(found: Any, kind: str) -> None:
    """Layers with weights come from the output back, under the layers' names; the model itself does not change."""
    inner = "inner/" if kind in ("sequential", "nested") else ""
    facts = json.loads(str(found[f"weights {kind}"]))

    check(facts, ["head", f"{inner}block", f"{inner}norm", f"{inner}stem"], facts["score"])
    assert sorted(name for name in facts["names"] if "norm" in name) == [f"{inner}norm/beta", f"{inner}norm/gamma"]


def test_copies_of_a_model_with_two_inputs(found: Any) -> None:
    """The layers are the head and the hidden one; doubling the head doubles the score, doubling both does not."""
    score, head, both = found["two inputs weights"]

    assert head == pytest.approx(2 * score, rel=1e-5)
    assert both != pytest.approx(head, rel=1e-3)


@pytest.mark.agreement
@pytest.mark.parametrize("method", two_inputs.METHODS)
def test_two_inputs_agree_with_torch(found: Any, method: str) -> None:
    """Two classes of a functional model with two inputs: the masks of the same module of torch."""
    for i, row in enumerate(two_inputs.explained(two_inputs.TwoInputs(), method)):
        for j, wanted in enumerate(row):
            mask = found[f"two inputs {method} {i}{j}"]
            np.testing.assert_allclose(mask, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.agreement
@pytest.mark.parametrize("method", [row.id for row in saliency.methods()])
def test_every_method_agrees_with_torch(found: Any, expected: dict[str, np.ndarray], method: str) -> None:
    """Two targets at once, by every method: the masks of the same net in torch, or a sentence why there are none."""
    if (refused := f"functional refused {method}") in found:
        assert re.search("exposes no attention weights", str(found[refused]))
        return
    same = expected[method]

    np.testing.assert_allclose(found[f"functional {method}"], same, atol=1e-4 * np.abs(same).max())


@pytest.mark.parametrize("method", ["gradient", "ablation_cam", "lrp"])
def test_mixed_precision_has_the_masks_of_float32(found: Any, expected: dict[str, np.ndarray], method: str) -> None:
    """A functional model of the policy mixed_float16, its weights in float32: correlated by .99 on every backend."""
    assert np.corrcoef(found[f"mixed {method}"].ravel(), expected[method].ravel())[0, 1] >= 0.99


def test_nothing_that_a_model_writes_to_is_changed(found: Any) -> None:
    """A model, and a function that holds one, whose batch norm and dropout stay in training: see writing.py."""
    assert list(found["written"]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_works(found: Any, expected: dict[str, np.ndarray], kind: str) -> None:
    """Each agrees with torch, is left as it was, and has its automatic layer at the last ReLU, by a layer's name."""
    for method in ("gradient", "grad_cam"):
        same = expected[method]
        np.testing.assert_allclose(found[f"{kind} {method}"], same, atol=1e-4 * np.abs(same).max())
    assert found[f"left {kind}"]
    assert str(found[f"layer {kind}"]) in ("relu", "inner", "inner/relu")


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_read_by_its_name(found: Any, kind: str) -> None:
    """Grad-CAM at the second convolution, inside another model too, is that of torch."""
    same = saliency.explain(small_net(), picture(), "grad_cam", 1, layer="block", progress=False).mask

    np.testing.assert_allclose(found[f"{kind} named"], same, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_is_a_target(found: Any, kind: str) -> None:
    """One place of a channel of the second convolution, inside another model too, is that of torch."""
    unit = saliency.targets.unit("block", 2, (3, 4))
    same = saliency.explain(small_net(), picture(), "gradient", unit, progress=False).mask

    np.testing.assert_allclose(found[f"{kind} unit"], same, atol=1e-6)


@pytest.mark.agreement
@pytest.mark.parametrize("method", AT_A_TRANSFORMER)
def test_a_transformer_agrees_with_torch(found: Any, method: str) -> None:
    """Its attention maps, and what is read at its first block, are those of torch: two classes by each method."""
    options = AT_A_TRANSFORMER[method] | ({"layer": "blocks.0"} if "layer" in AT_A_TRANSFORMER[method] else {})
    same = np.stack(
        [exp.mask for exp in saliency.explain(made(), picture(32, 48), method, [1, 3], progress=False, **options)]
    )

    assert same.any()
    np.testing.assert_allclose(found[f"transformer {method}"], same, atol=1e-4 * np.abs(same).max())


def test_a_transformer_s_blocks_are_layers(found: Any) -> None:
    """By their names, the class token left out; notes say how tokens were read."""
    assert {"attention_0", "attention_1"} <= {str(name).rpartition("/")[2] for name in found["transformer layers"]}
    assert str(found["transformer grid"]) == "4×6 patches, 1 leading token skipped"
    assert "attention between 4×6 patches, 1 leading token skipped" in found["transformer notes"]


def test_a_model_that_attends_within_windows_has_layers_but_no_maps(found: Any) -> None:
    """Grad-CAM reads it; attention methods are refused, because no map covers the whole image."""
    assert found["windows grad_cam"].shape == (32, 32)
    assert np.ptp(found["windows grad_cam"]) > 0
    assert "attends within windows" in str(found["windows"])


def test_the_notes_say_what_was_explained(found: Any) -> None:
    """The logit, where there is a softmax at the end."""
    assert "the model ends in a softmax: explained the logit" in found["notes softmax"]
    assert not any("softmax" in note for note in found["notes functional"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_output_is_a_probability_or_a_value(found: Any, ending: str) -> None:
    """A sigmoid at the end is p of class 1, and class 0 explained by −z; anything else a value, target 0 the value."""
    sign = 1 if ending == "none" else -1
    np.testing.assert_allclose(found[f"head {ending}"], sign * headed.gradient((3.0,), 0), atol=1e-6)
    assert float(found[f"head {ending} score"]) == pytest.approx(sign * 3, abs=1e-4)
    shown = [3.0] if ending == "none" else [0.0474, 0.9526]
    np.testing.assert_allclose(found[f"head {ending} shown"], shown, atol=1e-4)


@pytest.mark.parametrize("name", ["rescaling", "centred", "normalization", "inner", "zero to one", "none"])
def test_a_model_with_its_preprocessing_inside_is_fed_what_it_takes(found: Any, name: str) -> None:
    """0–255 where it scales that itself, inside another model too, and the notes say so; floats go in as they are."""
    explained, expected = found[f"scaled {name}"]

    assert explained == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert bool(found[f"noted {name}"]) == (name not in ("zero to one", "none"))
    assert not found[f"floats {name}"]


def test_a_picture_is_resized_to_a_fixed_input(found: Any) -> None:
    """The model's own size, by its input's shape; the notes say so."""
    assert tuple(found["resized"]) == (24, 20, 3)
    assert "resized from 12×10 to 24×20, the input size of the model" in found["resized notes"]


def test_a_missing_gradient_names_its_cause(found: Any, request: pytest.FixtureRequest) -> None:
    """The operator at which it is cut off, or becomes whole numbers; on torch with the layer's name."""
    stopped, rounded = str(found["cut stopped gradient"]), str(found["cut rounded gradient"])

    assert stopped.startswith("NoGradient")
    assert re.search("stops the gradient|detached from the graph", str(stopped))
    assert "integers have no gradient" in rounded
    if "torch" in request.node.name:
        assert "at detach() in 'stopping'" in stopped
        assert "in 'rounding' it becomes torch.int32" in rounded


def test_errors_name_the_cause(found: Any) -> None:
    """An unknown layer with its nearest, wrong channels with the shapes."""
    assert "Did you mean 'stem'" in str(found["error stam"])
    assert "BadImage" in str(found["error channels"]) or "3 channels" in str(found["error channels"])
    assert "\x1b" not in str(found["error channels"])


def application(name: str) -> Any:
    """One of Keras' own models for pictures of 32×32 and ten classes; ConvNeXt and EfficientNet with fewer layers."""
    import keras

    keras.utils.set_random_seed(0)
    made = getattr(keras.applications, name)
    options: dict[str, Any] = {"weights": None, "input_shape": (32, 32, 3), "classes": 10}
    small: dict[str, dict[str, Any]] = {
        "ConvNeXtTiny": {"depths": [1, 1, 1, 1], "projection_dims": [8, 16, 24, 32], "name": "small"},
        "EfficientNetB0": {"width_coefficient": 0.3, "depth_coefficient": 0.3, "default_size": 32, "name": "small"},
    }
    if name in small:
        # what these are made by
        made = getattr(inspect.getmodule(made), {"C": "ConvNeXt", "E": "EfficientNet"}[name[0]])
    return made(**options, **small.get(name, {}))


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetB0", "MobileNetV3Small", "ResNet50", "VGG16"])
def test_applications_need_no_arguments(name: str) -> None:
    """With random weights and a small picture: finite masks that are not empty, and the model's own top class."""
    net, image = application(name), picture(32, 32)
    inside = name in ("ConvNeXtTiny", "EfficientNetB0", "MobileNetV3Small")
    top = int(np.argmax(net(image[None] / np.float32(1 if inside else 255), training=False)))

    for method in ("gradient", saliency.IntegratedGradients(steps=3), "grad_cam"):
        exp = saliency.explain(net, image, method, progress=False)
        assert exp.target == top
        assert exp.mask.shape[:2] == (32, 32)
        assert np.isfinite(exp.mask).all()
        assert exp.mask.any() or method == "grad_cam"
        assert any("explained the logit" in note for note in exp.notes)
        assert ("uint8 fed as 0–255: the model scales it itself" in exp.notes) == inside
