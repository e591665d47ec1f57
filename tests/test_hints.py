"""Names from other libraries and lookup of labels: each error contains the name to write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency.core.catalogue import METHODS
from saliency.hints import ARGUMENTS, NOT_HERE
from saliency.hints import METHODS as ELSEWHERE
from tests.nets import LABELS, picture, small_net

IMAGE = picture()
NAMES = [
    ("GradCAM", "Did you mean 'grad_cam'?"),
    ("GradCAM++", "Did you mean 'grad_cam_plus_plus'?"),
    ("GradCAMpp", "Did you mean 'grad_cam_plus_plus'?"),
    ("LayerGradCam", "Did you mean 'grad_cam'?"),
    ("ScoreCAM", "Did you mean 'score_cam'?"),
    ("XGradCAM", "Did you mean 'xgrad_cam'?"),
    ("HiResCAM", "Did you mean 'hires_cam'?"),
    ("Saliency", "Did you mean 'gradient'?"),
    ("ig", "Did you mean 'integrated_gradients'?"),
    ("IntegratedGradients", "Did you mean 'integrated_gradients'?"),
    ("GradientShap", "Did you mean 'expected_gradients'?"),
    ("NoiseTunnel", "Did you mean 'smooth_grad'?"),
    ("GuidedBackprop", "Did you mean 'guided_backprop'?"),
    ("DeepLiftShap", "Did you mean 'deep_lift'?"),
    ("KernelShap", "Did you mean 'kernel_shap'?"),
    ("LayerConductance", "Did you mean 'conductance'?"),
    ("LayerDeepLift", "Write 'deep_lift' with at= the layer."),
    ("LayerGradientXActivation", "Write 'input_x_gradient' with at= the layer."),
    ("NeuronGradient", "Write 'gradient' with target=saliency.targets.unit(layer, channel)."),
    ("NeuronGuidedBackprop", "Write 'guided_backprop' with target="),
    ("FinerCAM", "target=saliency.targets.margin"),
]
ANIMALS = ["tabby cat", "Egyptian cat", "tiger cat", "crate", "catamaran", "cougar", "Cat Bus"]


def explain(net: Any = None, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain the picture without a progress bar."""
    return saliency.explain(small_net() if net is None else net, IMAGE, method, target, progress=False, **options)


@pytest.mark.parametrize(("name", "hint"), NAMES, ids=[name for name, _ in NAMES])
def test_methods_of_other_libraries_are_known(name: str, hint: str) -> None:
    """The error gives the name of the method here, or the nearest one."""
    with pytest.raises(saliency.UnknownName) as refused:
        explain(method=name)

    assert hint in str(refused.value)


def test_every_name_leads_to_a_method() -> None:
    """Every suggested method exists, and methods without an equivalent are in the table."""
    assert set(ELSEWHERE.values()) <= METHODS.keys()
    assert NOT_HERE.keys() <= ELSEWHERE.keys()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("n_steps", "Here it is called steps."),
        ("baselines", "Here it is called baseline."),
        ("target_layers", "Here it is called layer."),
        ("class_idx", "Here it is called target."),
        ("nt_samples", "Here it is called samples."),
        ("stdevs", "spread (a share of the image's range"),
        ("sliding_window_shapes", "size, (height, width, channels)"),
        ("internal_batch_size", "Here it is called batch_size."),
        ("return_convergence_delta", "exp.gap is always computed."),
        ("aug_smooth", "average their masks"),
    ],
)
def test_arguments_of_other_libraries_are_known(name: str, hint: str) -> None:
    """The error gives the name of the argument here, or what to do instead."""
    with pytest.raises(saliency.UnknownName) as refused:
        explain(**{name: 3})

    assert hint in str(refused.value)
    assert name in ARGUMENTS or "called" not in hint


def test_labels_are_found_whatever_their_case() -> None:
    """An exact label is preferred, then one that differs only in case."""
    assert explain(target="DOG", labels=LABELS).label == "dog"
    assert explain(target="b", labels=["B", "b", "c", "d"]).label == "b"
    with pytest.raises(saliency.UnknownName, match="Did you mean 'Bee' or 'BEE'"):
        explain(target="bee", labels=["Bee", "BEE", "c", "d"])


def test_labels_are_suggested_by_whole_words() -> None:
    """The word cat suggests labels with that word, in any case, and neither crate nor catamaran."""
    with pytest.raises(saliency.UnknownName) as refused:
        saliency.targets.index_of("cat", ANIMALS, len(ANIMALS))

    assert "Did you mean 'tabby cat' or 'Egyptian cat' or 'tiger cat' or 'Cat Bus'?" in str(refused.value)


@pytest.mark.parametrize(
    "given", [np.array(2), np.int64(2), torch.tensor(2), torch.tensor([2]), np.array([[2]])], ids=repr
)
def test_a_number_in_an_array_is_a_target(given: Any) -> None:
    """An array of one element, such as `out.argmax()`, is a class index, alone and in a list."""
    assert explain(target=given).target == 2
    assert [each.target for each in explain(target=[given, 1])] == [2, 1]


def test_other_arrays_are_not_targets() -> None:
    """Two numbers, or a fraction, are refused."""
    for given in (torch.tensor([1, 2]), np.array(0.5)):
        with pytest.raises(saliency.BadTarget, match="A target is a class index"):
            explain(target=given)


@pytest.mark.parametrize(("name", "value"), [("size", (3, 8, 8)), ("size", (1, 6, 7)), ("stride", (3, 4, 4))])
def test_windows_with_their_channels_first_are_refused(name: str, value: tuple[int, ...]) -> None:
    """Captum's order is recognised, and the error gives the order to write."""
    other: dict[str, Any] = {"size": (8, 8, 3)} if name == "stride" else {"stride": 6}
    right = (value[1], value[2], value[0])

    with pytest.raises(saliency.BadField) as refused:
        explain(method="occlusion", **{name: value}, **other)
    assert f"use {name}={right}" in str(refused.value)
    assert explain(method="occlusion", **(other | {"size": (8, 8, 3)} | {name: right})).mask.any()


def test_feature_masks_in_captums_layout_are_accepted() -> None:
    """(1, 1, H, W) and equal channels are one label map; different channels are refused."""
    labels = np.arange(24)[:, None] // 12 * 2 + np.arange(20) // 10
    expected = explain(method="feature_ablation", segments=labels).mask

    for given in (labels[None, None], np.repeat(labels[None, None], 3, 1), torch.tensor(labels)[None, None]):
        np.testing.assert_array_equal(explain(method="feature_ablation", segments=given).mask, expected)
    with pytest.raises(saliency.BadShape, match="one label map"):
        explain(method="feature_ablation", segments=np.stack([labels, labels + 1, labels])[None])


def test_a_list_of_models_is_refused() -> None:
    """The error for a list of models gives the loop to write."""
    with pytest.raises(saliency.Unsupported, match=r"got a list of 2.*for each in models"):
        explain([small_net(), small_net(seed=1)])
