"""Every method at models that compute with few digits: the mask of the same weights in float32.

The same weights: each is rounded first, so that what is compared is how a mask is computed, not the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.catalogue import METHODS
from tests.adapters import same_net, same_transformer
from tests.nets import FEW, picture, small_net
from tests.test_layers import made

LEAST = {
    "perturbation": 0.95,
    # last digits choose other pixels, regions or layers
    **dict.fromkeys(("xrai", "refine_cam"), 0.95),
    # here also on the way: blurred pixels tie in the max-pool
    **dict.fromkeys(("guided_ig", "blur_ig"), 0.8),
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
    """f(params, images) of rounded parameters, or a module of Flax that is told its type."""
    import jax
    import jax.numpy as jnp

    config: Any = jax.config
    config.update("jax_disable_most_optimizations", True)  # compiling takes most of the time here
    if METHODS[method].family == "attention":
        net, params = same_transformer.in_jax()
    else:
        net, params = same_net.pure_jax, jax.tree.map(jnp.asarray, same_net.weights())
    low = jax.tree.map(lambda each: each.astype(precision), params)
    return Case((net, low), (net, jax.tree.map(lambda each: each.astype("float32"), low)))


CASES: dict[str, Callable[[str], Case]] = {
    **{
        f"torch {precision}": partial(in_torch, precision)
        for precision in ("bfloat16", "float16", "float64", "autocast", "autocast inside")
    },
    **{f"jax {precision}": partial(in_jax, precision) for precision in ("bfloat16", "float16")},
}


def explained(model: Any, method: str, around: Callable[[], AbstractContextManager[Any]] = nullcontext) -> Any:
    """Class 1, few questions."""
    options, size = FEW.get(method, {}), (32, 48) if METHODS[method].family == "attention" else (24, 20)
    if method == "refine_cam" and not isinstance(model, nn.Module):  # where layers have no names in common
        options = {"layer": explained(model, "grad_cam", around).layer}
    with around():
        return saliency.explain(model, picture(*size), method, 1, progress=False, batch_size=4, **options)


@cache
def expected(case: str, method: str) -> Any:
    """The explanation of the same model in float32."""
    return explained(CASES[case](method).same, method)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two masks, pixel by pixel."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def every() -> list[Any]:
    """(case, method): every method in every case. Where a model is compiled, those beyond one a capability are long."""
    one_each = {cls().needs: name for name, cls in reversed(METHODS.items())}.values()
    quick: dict[str, Iterable[str]] = {case: METHODS if case.startswith("torch") else one_each for case in CASES}
    quick["jax float16"] = ()
    return [
        pytest.param(case, name, id=f"{case}-{name}", marks=() if name in quick[case] else pytest.mark.long)
        for case in CASES
        for name in METHODS
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
        # both scores are rounded
        assert abs(found.gap - same.gap) <= 0.01 * max(abs(found.score), abs(found.baseline_score))
