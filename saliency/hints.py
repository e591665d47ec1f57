"""Names used by other libraries (Captum, torch-cam, pytorch-grad-cam, tf-explain), and their equivalents here."""

from __future__ import annotations

import re
from collections.abc import Iterable

METHODS: dict[str, str] = {
    "saliency": "gradient",
    "vanilla_gradient": "gradient",
    "vanilla": "gradient",
    "backprop": "gradient",
    "ig": "integrated_gradients",
    "gradient_shap": "expected_gradients",
    "expected_gradients": "expected_gradients",
    "noise_tunnel": "smooth_grad",
    "layer_grad_cam": "grad_cam",
    "grad_cam_pp": "grad_cam_plus_plus",
    "smooth_grad_cam_pp": "grad_cam_plus_plus",
    "deep_lift_shap": "deep_lift",
    "shapley_values": "shapley",
    "shapley_value_sampling": "shapley_sampling",
    "gradients_input": "input_x_gradient",
    "gradient_x_input": "input_x_gradient",
    "grad_x_input": "input_x_gradient",
    "occlusion_sensitivity": "occlusion",
    "full_grad": "input_x_gradient",
    "layer_conductance": "conductance",
    "gradient_x_activation": "input_x_gradient",
    "layer_activation": "eigen_cam",
    "finer_cam": "grad_cam",
    "cam": "grad_cam",
    "is_cam": "score_cam",
    "ss_cam": "score_cam",
    "fem": "eigen_cam",
    "kpca_cam": "eigen_cam",
    "random_cam": "grad_cam",
    "eigen_grad_cam": "eigen_cam",
    "feature_permutation": "feature_ablation",
}
"""From a method's name in another library, in snake case, to the equivalent or closest method here."""

NOT_HERE: dict[str, str] = {
    "full_grad": "FullGrad is not supported",
    "layer_activation": "a layer's activation alone does not explain a class",
    "finer_cam": "Finer-CAM is grad_cam of one class against others, target=saliency.targets.margin(a, b)",
    "cam": "CAM needs a linear head after mean pooling, where it equals Grad-CAM",
    "is_cam": "IS-CAM is not supported",
    "ss_cam": "SS-CAM is not supported",
    "fem": "FEM is not supported",
    "kpca_cam": "KPCA-CAM is not supported",
    "random_cam": "random weights are not supported",
    "eigen_grad_cam": "Eigen-Grad-CAM is not supported",
    "feature_permutation": "FeaturePermutation needs a batch of examples and is not supported",
}
"""From a method's name in another library to the reason why this package does not have it."""

PREFIXES: dict[str, str] = {
    "layer_": "at= the layer",
    "neuron_": "target=saliency.targets.unit(layer, channel)",
}
"""Prefixes of Captum's classes of layers and neurons, and how these are written here."""

ARGUMENTS: dict[str, str] = {
    "n_steps": "steps",
    "x_steps": "steps",
    "nt_samples": "samples",
    "n_samples": "samples",
    "num_samples": "samples",
    "nsamples": "samples",
    "n_masks": "samples",
    "stdevs": "spread (a share of the image's range; Captum's stdevs is absolute)",
    "stdev_spread": "spread",
    "baselines": "baseline",
    "x_baseline": "baseline",
    "target_layer": "layer",
    "target_layers": "layer",
    "layers": "layer",
    "class_idx": "target",
    "class_index": "target",
    "category": "target",
    "targets": "target",
    "sliding_window_shapes": "size, (height, width, channels)",
    "patch_size": "size",
    "strides": "stride, (down, across, channels)",
    "feature_mask": "segments",
    "internal_batch_size": "batch_size",
    "perturbations_per_eval": "batch_size",
    "nt_samples_batch_size": "batch_size",
    "show_progress": "progress",
    "relu_attributions": "relu",
    "input_tensor": "image, the second argument of explain",
    "inputs": "image, the second argument of explain",
}
"""From an argument's name in another library to its name here."""

NO_ARGUMENT: dict[str, str] = {
    "return_convergence_delta": "exp.gap is always computed.",
    "abs": "Masks keep their sign: write np.abs(exp.mask).",
    "nt_type": "Choose the method: 'smooth_grad', 'smooth_grad_squared' or 'var_grad'.",
    "aug_smooth": "Smoothing over augmented images is not supported: average their masks.",
    "eigen_smooth": "Smoothing by principal components is not supported: the closest is the method 'eigen_cam'.",
}
"""From an argument's name in another library to what to do instead, where no argument corresponds to it."""


def snake(name: str) -> str:
    """Return a name in snake case: "GradCAM++" becomes "grad_cam_plus_plus", "DeepLiftShap" "deep_lift_shap"."""
    plain = name.strip().replace("++", "PlusPlus")
    for shout in ("CAM", "SHAP", "LRP"):
        plain = re.sub(shout, shout.capitalize(), plain)
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plain)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")


def method_hint(name: str, known: Iterable[str]) -> str | None:
    """Return a suggestion for a method's name from another library; None where the name is unknown."""
    called = snake(name)
    same = {each.replace("_", ""): each for each in known}
    flat = {each.replace("_", ""): each for each in METHODS}
    if (here := same.get(called.replace("_", ""))) is not None:
        return f"Did you mean {here!r}?"
    if (there := flat.get(called.replace("_", ""))) is None:
        return _with_prefix(called, same, flat)
    if there in NOT_HERE:
        return f"{NOT_HERE[there]}; the closest is {METHODS[there]!r}."
    return f"Did you mean {METHODS[there]!r}?"


def _with_prefix(called: str, same: dict[str, str], flat: dict[str, str]) -> str | None:
    """Return a suggestion for a method of a layer or a neuron, such as "layer_deep_lift"."""
    for prefix, how in PREFIXES.items():
        rest = called.removeprefix(prefix).replace("_", "")
        found = same.get(rest) or METHODS.get(flat.get(rest, ""))
        if called.startswith(prefix) and found is not None:
            return f"Write {found!r} with {how}."
    return None


def argument_hint(name: str) -> str | None:
    """Return a suggestion for an argument's name from another library; None where the name is unknown."""
    return f"Here it is called {ARGUMENTS[name]}." if name in ARGUMENTS else NO_ARGUMENT.get(name)
