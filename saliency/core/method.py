"""Base of all methods: a dataclass that turns a batch of images into progressively refined masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from saliency.core.parameters import LARGEST_SEED, Parameters, default_of, described, is_default, parameter, types_of
from saliency.errors import BadField, Unsupported, brief
from saliency.model.protocols import Model, capability, lacking
from saliency.session.baselines import Baseline
from saliency.session.session import Session

__all__ = ["FAMILIES", "LARGEST_SEED", "Method", "Part", "as_method", "default_of", "described", "parameter", "run"]

Part = Any
"""A part of a model (a torch module, a Keras layer), used instead of its name."""

FAMILIES = ("gradients", "paths", "noise", "backward rules", "layers", "attention", "perturbation", "regions")
"""Families of methods, in display order."""


@dataclass(eq=False, repr=False)
class Method(Parameters):
    """A method: a dataclass whose fields are its parameters, called with images and a session.

    (It is not frozen, because users patch attributes of PAIR's classes.)
    """

    title: ClassVar[str] = ""
    """Name for display."""
    paper: ClassVar[str] = ""
    """arXiv number or short reference."""
    needs: ClassVar[Any] = Model
    """The capability it needs of the model."""
    complete: ClassVar[Any] = False
    """Whether the attribution should sum to f(image) - f(baseline), so that the completeness error is defined."""
    sign: ClassVar[Any] = "absolute"
    """The best way to show its values: "absolute", "positive" or "signed"."""
    images_only: ClassVar[Any] = True
    """Whether it needs rows, columns and colours of a picture; otherwise any number of inputs of any shape works."""
    over_layer: ClassVar[bool] = False
    """Whether its mask is over the values of a layer, (h, w, K), (tokens, K) or (K,), not over the image."""
    family: ClassVar[str] = ""
    """Its family, one of :data:`FAMILIES`."""
    beyond: ClassVar[str] = ""
    """The part of the cost beyond :meth:`cost` that depends on the model: "the layer's channels"."""
    formula: ClassVar[str] = ""
    """The mask M of image x and score f, in LaTeX."""
    advice: ClassVar[str] = ""
    """When to use it, and when not."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for each in fields(self):
            if isinstance(value := getattr(self, each.name), Method):
                setattr(self, each.name, value.inside())

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Yield progressively refined masks; the last is final.

        Args:
            images: (B, H, W, C), in the model's own array type.
            session: runs the model in batches.

        Yields:
            (k, b, H, W, C) or (k, b, H, W), for the b <= B images reached so far. The last has all B. k is 1 if the
            mask is the same for every target.
        """
        raise NotImplementedError

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        """Return the start of a complete method's paths; the mask sums to f(image) minus the mean of f there.

        Returns:
            arrays that broadcast against `images` (B, H, W, C); none if the mask sums to f(image) itself.
        """
        baseline: Baseline = getattr(self, "baseline", "black")
        return session.baselines(baseline, images)

    def remedy(self) -> str:
        """Return how to reduce the completeness error, such as "try steps=100"; empty where no remedy is known."""
        return ""

    def inside(self) -> Method:
        """Return the method as it runs inside another one, with a cost known beforehand: itself by default."""
        return self

    def on_values(self, channels: int) -> Self:
        """Return the method as it runs on the values of a layer, with the part of the model after it.

        Args:
            channels: number of channels of the layer.

        Raises:
            Unsupported: it reads a layer itself, or needs a picture.
        """
        name = type(self).__name__
        if self.layers:
            raise Unsupported(
                f"{name} reads a layer itself: pass layer=… and omit at=…, which runs a method on the part of the "
                "model after a layer."
            )
        if self.images_only:
            raise Unsupported(
                f"{name} needs a picture with rows, columns and colours, and at=… runs it on the values of a layer."
            )
        inner = {each.name: getattr(self, each.name) for each in fields(self)}
        changes = {key: each.on_values(channels) for key, each in inner.items() if isinstance(each, Method)}
        return self.but(**changes) if changes else self

    def cost(self, shape: tuple[int, ...]) -> int:
        """Return the number of images evaluated for a batch of shape (B, H, W, C); see :attr:`beyond`."""
        return shape[0]

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        """Names of the layers to bind.

        None stands for the automatic layer; -1, -2, … for the last layer at the last, second to last, … grid size.
        """
        return ()

    def _checked(self, each: Field[Any], value: Any) -> Any:
        types, who = types_of(each), f"{type(self).__name__}.{each.name}"
        if is_default(each, value):
            return value
        if "Method" in types:
            return as_method(value, who)
        value = super()._checked(each, value)
        if "Baseline" in types:
            return _checked_baseline(value, who)
        if each.metadata["choices"] is None and ("Part" in types or each.name == "layer"):
            return _checked_layer(value, who, several=any("Sequence" in one for one in types))
        return value


def run(method: Method, session: Session[Any], images: Any) -> Iterator[Any]:
    """Yield the method's masks of `images` (B, H, W, C); see :meth:`Method.__call__`.

    Raises:
        Unsupported: the model does not support what the method needs; raised before any model call.
    """
    if (why := lacking(session.model, method.needs)) is not None:
        raise Unsupported(f"{type(method).__name__} needs {capability(method.needs)}: {why}.")
    session.check()
    yield from method(images, session)


def as_method(value: Any, who: str) -> Method:
    """Return a method given as an instance or class.

    Args:
        value: what was given.
        who: the name of the argument.

    Raises:
        BadField: it is no method, or one without a computation.
    """
    made = value() if isinstance(value, type) and issubclass(value, Method) else value
    if not isinstance(made, Method):
        raise BadField(f"{who} must be a method, such as saliency.IntegratedGradients(steps=50), got {brief(value)}.")
    if type(made).__call__ is Method.__call__:
        raise BadField(f"{who} must be a method that can be run, but {type(made).__name__} defines no __call__.")
    return made


def _checked_baseline(value: Any, who: str) -> Any:
    """Return a baseline; the session checks later whether arrays fit the image."""
    if isinstance(value, list | tuple):
        return type(value)(_checked_baseline(each, who) for each in value) if type(value) in (list, tuple) else value
    if isinstance(value, bool | np.bool_) or not isinstance(value, str | int | float | np.number | np.ndarray):
        raise BadField(f"{who} must be a name, a number or an array, or a list of these, got {brief(value)}.")
    return value


NO_LAYERS = (list, tuple, set, dict, bytes, np.ndarray, int, float, complex, Method)
"""Types that are neither the name of a layer nor a part of a model."""


def _checked_layer(value: Any, who: str, several: bool) -> Any:
    """Return the name of a layer, or the part of a model itself; or a list of these."""
    if isinstance(value, list | tuple) and several:
        return type(value)(_checked_layer(each, who, several=False) for each in value)
    if value is None or isinstance(value, NO_LAYERS):
        one = "one layer" if not several else "a layer, or a list of them,"
        raise BadField(f"{who} must name {one} or be the model's own module, got {brief(value)}.")
    return value
