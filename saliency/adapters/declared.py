"""Preprocessing and class names that models of any framework declare as attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saliency.pictures.presets import Declared, Preprocessing, from_timm

CONFIGURATIONS = ("pretrained_cfg", "default_cfg")
"""Attributes of timm's models."""

LABELS = ("labels", "classes", "class_names")

IMAGE_LIBRARIES = {"torchvision", "timm", "transformers"}

CALLED = ("forward", "__call__", "call")


def declared_by(model: Any) -> Declared | None:
    """Return the preprocessing that a model declares as an attribute; None without one.

    That is timm's configuration, or a callable named ``preprocess`` (or ``transforms``, of torchvision, timm or
    transformers) that was set on the object. Methods, and attributes that the forward pass uses, do not count.
    """
    for name in CONFIGURATIONS:
        config = getattr(model, name, None)
        if config is not None and _has_size(config):
            made = from_timm(config)
            return Declared(made, f"preprocessing of the model's {name}: {made.described()}")
    for name in ("preprocess", "transforms"):
        carried = _set_on(model, name)
        if not callable(carried) or isinstance(carried, type) or name in _names_used(model):
            continue
        made_by = {base.__module__.partition(".")[0] for base in type(carried).__mro__}
        if made_by & IMAGE_LIBRARIES or (name == "preprocess" and not hasattr(carried, "named_modules")):
            return Declared(carried, f"preprocessing of the model's own .{name}")
    return None


def labels_of(model: Any) -> Sequence[str] | None:
    """Return the names of classes that were set on a model as ``labels``, ``classes`` or ``class_names``."""
    for name in LABELS:
        names = _set_on(model, name)
        names = names.tolist() if isinstance(names, np.ndarray) else names
        if isinstance(names, list | tuple) and len(names) > 1 and all(isinstance(each, str) for each in names):
            return names
    return None


def normalised_as(mean: Any, std: Any) -> Preprocessing | None:
    """Return the normalisation by means and standard deviations; None unless they are equally many numbers.

    Args:
        mean: of each channel, for pixels in 0–1, or in 0–255 if any mean is above 1.
        std: likewise.
    """
    try:
        means, stds = (
            np.ravel(each.detach().cpu() if hasattr(each, "detach") else each).astype(float) for each in (mean, std)
        )
    except (TypeError, ValueError):
        return None
    if not 0 < len(means) == len(stds) or not np.isfinite([*means, *stds]).all() or not stds.all():
        return None
    whole = 255 if max(np.abs(means).max(), np.abs(stds).max()) > 1 else 1
    return Preprocessing(mean=tuple(means / whole), std=tuple(stds / whole))


def _has_size(config: Any) -> bool:
    size = config.get("input_size") if isinstance(config, Mapping) else getattr(config, "input_size", None)
    return isinstance(size, tuple | list) and len(size) == 3


def _set_on(model: Any, name: str) -> Any:
    """Return an attribute of the object itself, not of its class; torch stores modules separately."""
    own = getattr(model, "__dict__", {})
    modules = own.get("_modules")
    return own.get(name, modules.get(name) if isinstance(modules, dict) else None)


def _names_used(model: Any) -> set[str]:
    """Return the names used in the code of a model's forward pass."""
    codes = [getattr(getattr(type(model), name, None), "__code__", None) for name in CALLED]
    codes.append(getattr(model, "__code__", None))
    return {name for code in codes if code is not None for name in code.co_names}
