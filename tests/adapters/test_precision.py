"""Every method at models that compute with few digits: the mask of the same weights in float32.

The same weights: each is rounded first, so that what is compared is how a mask is computed, not the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.core.catalogue import METHODS
from saliency.model.protocols import Model
from tests.adapters import same_net, same_transformer
from tests.api.test_layers import made
from tests.nets import black_box, few, one_each, picture, small_net

LEAST = {
    "perturbation": 0.95,
    # last digits choose other pixels, regions or layers
    **dict.fromkeys(("xrai", "refine_cam"), 0.95),
    # here also on the way: blurred pixels tie in the max-pool
    **dict.fromkeys(("guided_ig", "blur_ig"), 0.8),
    # its kernel is as narrow as scores are apart, and kernels without bfloat16 instructions round each partial sum
    "hsic": 0.9,
}
"""Least correlation with the mask of float32, by method or family; .99 for all others."""


class Case(NamedTuple):
    """A model of few digits, and the same one of float32."""

    low: Any
    same: Any
    around: Callable[[], AbstractContextManager[Any]] = nullcontext


def autocasting(net: nn.Module) -> nn.Module:
    """A module whose forward pass switches autocast on by itself."""
    forward = torch.autocast("cpu", torch.bfloat16)(type(net).forward)
    net.__class__ = type("Autocasting", (type(net),), {"forward": forward})
    return net


def net_of(method: str) -> nn.Module:
    """A transformer for methods that read attention, else the little CNN."""
    return made() if METHODS[method].family == "attention" else small_net()


def in_torch(precision: str, method: str) -> Case:
    """A module of that type, or in float32 under autocast."""
    mixed = precision.startswith("autocast")
    of = torch.bfloat16 if mixed else getattr(torch, precision)
    low, same = net_of(method).to(of), net_of(method).to(of).float()
    if mixed and precision.endswith("inside"):
        return Case(autocasting(low.float()), same)
    return Case(same, same, lambda: torch.autocast("cpu", torch.bfloat16)) if mixed else Case(low, same)


def in_jax(precision: str, method: str) -> Case:
    """f(params, images) of rounded parameters, or a Flax module with a given type."""
    import jax
    import jax.numpy as jnp

    if METHODS[method].family == "attention":
        net, params = same_transformer.in_jax()
    else:
        net, params = same_net.pure_jax, jax.tree.map(jnp.asarray, same_net.weights())
    low = jax.tree.map(lambda each: each.astype(precision), params)
    return Case((net, low), (net, jax.tree.map(lambda each: each.astype("float32"), low)))


def in_tensorflow(precision: str, method: str) -> Case:
    """A tf.Module of rounded weights, which takes images of their type alone."""
    import tensorflow as tf

    def with_weights_of(of: Any) -> Any:
        attends = METHODS[method].family == "attention"
        net = same_transformer.in_tensorflow() if attends else same_net.tf_module(same_net.weights())
        rounded = {name: tf.cast(each, precision) for name, each in net.w.items()}
        net.w = {name: tf.Variable(tf.cast(each, of)) for name, each in rounded.items()}
        return net

    return Case(with_weights_of(precision), with_weights_of("float32"))


def in_keras(policy: str, method: str) -> Case:
    """A Keras model of a policy, on the backend that Keras runs here."""
    keras = pytest.importorskip("keras")
    rounded = {
        name: torch.tensor(each).to(getattr(torch, policy.removeprefix("mixed_"))).float().numpy()
        for name, each in same_net.weights().items()
    }

    def under(policy: str) -> Any:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            attends = METHODS[method].family == "attention"
            return same_transformer.in_keras() if attends else same_net.keras(rounded)
        finally:
            keras.config.set_dtype_policy(before)

    return Case(under(policy), under("float32"))


def as_function(precision: str, method: str) -> Case:
    """A function of NumPy's arrays that answers in few digits."""
    same = small_net()

    def low(images: np.ndarray) -> Any:
        with torch.no_grad():
            scores = same(torch.from_numpy(images).permute(0, 3, 1, 2)).to(getattr(torch, precision))
        return scores if precision == "bfloat16" else scores.numpy()

    return Case(low, black_box(same))


CASES: dict[str, Callable[[str], Case]] = {
    **{
        f"torch {precision}": partial(in_torch, precision)
        for precision in ("bfloat16", "float16", "float64", "autocast", "autocast inside")
    },
    **{f"jax {precision}": partial(in_jax, precision) for precision in ("bfloat16", "float16")},
    **{f"tensorflow {precision}": partial(in_tensorflow, precision) for precision in ("bfloat16", "float16")},
    **{f"keras {policy}": partial(in_keras, policy) for policy in ("mixed_float16", "mixed_bfloat16", "float16")},
    **{f"function {precision}": partial(as_function, precision) for precision in ("bfloat16", "float16")},
}


def explained(model: Any, method: str, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> Any:
    """Explain class 1 with few images."""
    size = (32, 48) if METHODS[method].family == "attention" else (24, 20)
    quick = METHODS[method](**few(METHODS[method], (*size, 3)))
    with around():
        return saliency.explain(model, picture(*size), quick, 1, progress=False, batch_size=4)


@cache
def expected(case: str, method: str) -> Any:
    """The explanation of the same model in float32."""
    return explained(CASES[case](method).same, method)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two masks, pixel by pixel."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def every() -> list[Any]:
    """(case, method): every method in every case. Where a model is compiled, those beyond one a capability are long."""
    quick: dict[str, Iterable[str]] = {
        case: METHODS if case.startswith(("torch", "function")) else one_each() for case in CASES
    }
    beside = ("jax float16", "tensorflow float16", "keras mixed_bfloat16", "keras float16")
    quick |= dict.fromkeys(beside, ())
    return [
        pytest.param(case, name, id=f"{case}-{name}", marks=() if name in quick[case] else pytest.mark.long)
        for case in CASES
        for name in METHODS
        if METHODS[name]().needs is Model or not case.startswith("function")
    ]


@pytest.mark.parametrize(("case", "method"), every())
def test_every_method_has_the_mask_of_float32(case: str, method: str) -> None:
    """Correlated by .99, perturbation methods by .95; those of discrete choice are as complete as in float32."""
    low = CASES[case](method)
    found, same = explained(low.low, method, low.around), expected(case, method)

    assert found.mask.dtype == np.float32
    if case.endswith("float64"):
        assert not any("significant digits" in note for note in found.notes)
    else:
        assert any("significant digits" in note for note in found.notes)
    least = LEAST.get(method, LEAST.get(METHODS[method].family, 0.99))
    assert correlation(found.mask, same.mask) >= least
    if METHODS[method].complete:
        # the gap contains the error of both scores: of small ones that of the sums in which they cancel
        pairs = ((each.score, each.baseline_score or 0.0) for each in (found, same))
        rounded = sum(abs(low - exact) for low, exact in zip(*pairs, strict=True))
        assert abs(found.gap - same.gap) <= rounded + 0.02 * max(abs(found.score), abs(found.baseline_score or 0.0))
        assert rounded <= 0.03 * max(abs(found.score), abs(found.baseline_score or 0.0), 0.02)


def test_flax_computes_in_the_type_that_its_modules_name() -> None:
    """A float32 model that computes in bfloat16 up to its head has a note, and the masks of float32."""
    pytest.importorskip("flax")
    import jax
    import jax.numpy as jnp
    from flax import linen

    class Net(linen.Module):
        of: Any

        @linen.compact
        def __call__(self, x: Any) -> Any:
            x = linen.relu(linen.Conv(4, (3, 3), dtype=self.of)(x))
            return linen.Dense(3)(x.mean((1, 2)))

    variables = Net(None).init(jax.random.PRNGKey(0), jnp.zeros((1, 24, 20, 3)))
    for method in ("gradient", "grad_cam", "lrp", "ablation_cam"):
        found = explained((Net(jnp.bfloat16), variables), method)
        assert correlation(found.mask, explained((Net(None), variables), method).mask) >= 0.99
        assert any("computes in bfloat16" in note for note in found.notes)


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "attention_relevance", "lrp", "occlusion"])
def test_transformers_loaded_in_bfloat16_are_explained(method: str) -> None:
    """Hugging Face's: the mask of the same weights in float32."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    few = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(**few, patch_size=8, image_size=32, initializer_range=0.2)
    low = transformers.ViTForImageClassification(config).eval().to(torch.bfloat16)
    same = transformers.ViTForImageClassification(config).eval()
    same.load_state_dict(low.state_dict())
    options: dict[str, Any] = {"layer": "vit.layers.0", "relu": False} if method == "grad_cam" else {}
    names = dict(same.named_modules())
    if options and options["layer"] not in names:
        options["layer"] = "vit.encoder.layer.0"
    masks = [
        saliency.explain(net, picture(32, 32), method, 1, progress=False, batch_size=64, **options).mask
        for net in (low, same)
    ]

    assert correlation(*masks) >= (0.95 if method == "occlusion" else 0.98)


class Mixed(nn.Module):
    """A norm in float32 that stands first and is called last, all else in the type of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.conv, self.head = nn.Conv2d(3, 4, 3).bfloat16(), nn.Linear(4, 3).bfloat16()

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.relu(self.conv(x)).mean((2, 3))
        return self.head(self.norm(x.float()).to(x.dtype))


@pytest.mark.parametrize("method", ["gradient", "lrp", "grad_cam", "occlusion"])
def test_a_model_of_two_types_is_fed_that_of_its_first_layer(method: str) -> None:
    """A norm in float32 stands before a convolution in bfloat16."""
    torch.manual_seed(0)
    low = Mixed().eval()
    same = Mixed().float().eval()
    same.load_state_dict(low.state_dict())

    assert correlation(explained(low, method).mask, explained(same, method).mask) >= 0.99


class Dense(nn.Module):
    """Gives a map of scores for each class; its gradients by a mean are below the smallest number of float16."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(torch.relu(self.first(x)) * 1e-3)


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "layer_cam"])
def test_small_gradients_do_not_vanish_in_float16(method: str) -> None:
    """Of the mean over a map, by the image and by a layer: those of float32, where plain float16 gives zeros."""
    low, same = Dense().half().eval(), Dense().half().float().eval()
    leaf = torch.rand(1, 3, 64, 64, requires_grad=True)
    plain = torch.autograd.grad(low(leaf.half())[:, 1].mean((1, 2)).float().sum(), leaf)[0]
    assert int((plain == 0).sum()) > plain.numel() / 2

    options: dict[str, Any] = {"layer": "first"} if method != "gradient" else {}
    masks = [
        saliency.explain(net, picture(64, 64), method, lambda maps: maps[:, 1].mean((1, 2)), progress=False, **options)
        for net in (low, same)
    ]
    assert correlation(masks[0].mask, masks[1].mask) >= 0.99


def test_a_scale_that_overflows_is_lowered() -> None:
    """Gradients that reach far into float16 are those of float32 too."""
    torch.manual_seed(0)
    head = nn.Linear(4, 3)
    with torch.no_grad():
        head.weight *= 1e4
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    low, same = net.half().eval(), copy.deepcopy(net).float().eval()

    for method in ("gradient", "grad_cam"):
        assert correlation(explained(low, method).mask, explained(same, method).mask) >= 0.99


@pytest.mark.parametrize("kind", ["torch.float16", "torch.bfloat16", "numpy.float16", "jax.bfloat16"])
def test_pictures_of_few_digits_are_read(kind: str) -> None:
    """The mask of the same numbers in float32, whatever the type they come in."""
    rounded = torch.tensor(picture() / 255).to(torch.bfloat16 if "bfloat16" in kind else torch.float16)
    given: Any = rounded
    if kind == "numpy.float16":
        given = rounded.numpy()
    elif kind == "jax.bfloat16":
        jnp = pytest.importorskip("jax").numpy
        given = jnp.asarray(rounded.float().numpy(), jnp.bfloat16)

    found = saliency.explain(small_net(), given, "gradient", 1, progress=False).mask
    np.testing.assert_array_equal(
        found, saliency.explain(small_net(), rounded.float().numpy(), "gradient", 1, progress=False).mask
    )


def test_float64_loses_nothing_on_the_way() -> None:
    """DeepLIFT of a float64 model sums to the difference of its scores to 1e-12, though its mask is float32."""
    exp = explained(small_net().double(), "deep_lift")

    assert exp.mask.dtype == np.float32
    assert abs(exp.gap) <= 1e-12


@pytest.mark.parametrize("method", ["input_x_gradient", "integrated_gradients", "feature_ablation"])
def test_large_values_of_few_digits_are_summed_in_float32(method: str) -> None:
    """A mask whose sum is beyond 65,504, where float16 ends: finite, and complete."""
    head = nn.Linear(3 * 24 * 20, 2)
    with torch.no_grad():
        head.weight.fill_(80)
        head.bias.fill_(-57_600)
    net = nn.Sequential(nn.Flatten(), head).half().eval()
    options: dict[str, Any] = (
        {"segments": np.zeros((24, 20), int), "baseline": "black"} if method == "feature_ablation" else {}
    )
    exp = saliency.explain(net, np.ones((24, 20, 3), np.float32), method, 1, progress=False, **options)

    assert exp.score == 57_600
    whole = exp.mask[0, 0] if method == "feature_ablation" else exp.mask.sum(dtype=np.float64)
    assert float(whole) == pytest.approx(2 * 57_600, rel=1e-3)
