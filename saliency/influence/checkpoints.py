"""Checkpoints of a model: models, state dicts of torch, or anything that a function turns into one of these."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadField, brief

WRAPPED = "state_dict", "model_state_dict"
"""Keys under which files of checkpoints hold the state dict."""


class Checkpoint(NamedTuple):
    """A model during its training."""

    name: str
    """How messages call it."""
    model: Callable[[], Any]
    """Returns the model; called again for each use, so that one at a time is in memory."""
    rate: float
    """The learning rate."""


def checkpoints_of(model: Any, given: Any, load: Any, rates: Any) -> list[Checkpoint]:
    """Return the checkpoints of a model; the model itself is not changed.

    Args:
        model: the user's own.
        given: a list of models; of state dicts, for a torch module; or of what `load` turns into one of these.
        load: a function of one of them, such as ``torch.load`` for paths.
        rates: the learning rate at each, or one for all.

    Raises:
        BadField: there are none, or not one rate for each.
    """
    several = checks.several(given, "checkpoints")
    if not several:
        raise BadField("checkpoints is empty: pass at least one, or omit it for the model as it is.")
    if load is not None:
        checks.function(load, "load", ["checkpoint"])
    each_rate = _rates(rates, len(several))
    return [
        Checkpoint(f"checkpoint {i}", _model_of(model, each, load, f"checkpoint {i}"), rate)
        for i, (each, rate) in enumerate(zip(several, each_rate, strict=True))
    ]


def _rates(rates: Any, count: int) -> Sequence[float]:
    if rates is None:
        return [1.0] * count
    found = checks.array(rates, "rates").astype(np.float64)
    if found.ndim == 0:
        found = np.full(count, float(found))
    if found.shape != (count,) or not (found > 0).all():
        raise BadField(
            f"rates must be one positive number, or one for each of the {count} checkpoints, got {brief(rates)}."
        )
    return [float(each) for each in found]


def _model_of(model: Any, given: Any, load: Callable[[Any], Any] | None, name: str) -> Callable[[], Any]:
    def found() -> Any:
        loaded = given if load is None else load(given)
        if isinstance(loaded, Mapping):
            return _with_state(model, loaded, name)
        if isinstance(loaded, str | bytes) or loaded is None:
            raise BadField(
                f"{name} is {brief(loaded)}, no model and no state dict: pass load=, a function that reads it, such as "
                "load=torch.load."
            )
        return loaded

    return found


def _with_state(model: Any, state: Mapping[str, Any], name: str) -> Any:
    """Return a copy of a torch module with another state.

    Raises:
        BadField: the state is of another architecture, or the model is no torch module.
    """
    if not hasattr(model, "load_state_dict"):
        raise BadField(
            f"{name} is a dict, and only torch modules have state dicts: pass load=, a function that returns the model "
            "with the weights of a checkpoint."
        )
    inner = next((state[key] for key in WRAPPED if isinstance(state.get(key), Mapping)), state)
    copied = copy.deepcopy(model)
    try:
        copied.load_state_dict(inner)
    except (RuntimeError, TypeError) as reason:
        first = " ".join(str(reason).split())[:300].rstrip(".")
        raise BadField(
            f"{name} is of another architecture than your {type(model).__name__}: {first}. Pass a model of its own in "
            "place of the state dict."
        ) from reason
    return copied
