"""Base of all methods: a dataclass that turns a batch of images into progressively refined masks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from saliency import checks
from saliency.errors import BadField, Unsupported, brief, unknown
from saliency.model.protocols import Model, capability, lacking
from saliency.pictures.picture import held
from saliency.session.baselines import Baseline
from saliency.session.session import Session

Part = Any
"""A part of a model (a torch module, a Keras layer), used instead of its name."""

FAMILIES = ("gradients", "paths", "noise", "backward rules", "layers", "attention", "perturbation", "regions")
"""Families of methods, in display order."""


LARGEST_SEED = 2**63 - 1
"""The largest seed: NumPy accepts larger ones, but JSON and JavaScript do not."""


def parameter(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
) -> Any:
    """Return a dataclass field with a description and limits, for input controls and for checking values.

    Args:
        default: its default; a callable is called for the default (as ``default_factory``).
        meaning: label or short sentence.
        low: smallest allowed number.
        high: largest allowed number.
        choices: allowed names.
    """
    description = {"help": meaning, "low": low, "high": high, "choices": choices}
    if callable(default):
        return field(default_factory=default, metadata=description)
    return field(default=default, metadata=description)


@dataclass(eq=False, repr=False)
class Method:
    """A method: a dataclass whose fields are its parameters, called with images and a session.

    Treat an instance as immutable; :meth:`but` returns a changed copy. (It is not frozen, because users patch
    attributes of PAIR's classes.)
    """

    id: ClassVar[str] = ""
    """Stable, explicit name."""
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
    family: ClassVar[str] = ""
    """Its family, one of :data:`FAMILIES`."""
    beyond: ClassVar[str] = ""
    """The part of the cost beyond :meth:`cost` that depends on the model: "the layer's channels"."""
    formula: ClassVar[str] = ""
    """The mask M of image x and score f, in LaTeX."""
    advice: ClassVar[str] = ""
    """When to use it, and when not."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = self._checked(each, held(getattr(self, each.name)))
            setattr(self, each.name, value.inside() if isinstance(value, Method) else value)

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

    def cost(self, shape: tuple[int, ...]) -> int:
        """Return the number of images evaluated for a batch of shape (B, H, W, C); see :attr:`beyond`."""
        return shape[0]

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        """Names of the layers to bind.

        None stands for the automatic layer; -1, -2, … for the last layer at the last, second to last, … grid size.
        """
        return ()

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed."""
        known = {each.name for each in fields(self)}
        for name in changes:
            if name not in known:
                raise unknown(f"field of {self.id or type(self).__name__}", name, known)
        return replace(self, **changes)

    def key(self) -> str:
        """A digest of the method and all its fields: equal if and only if the masks are."""
        digest = hashlib.sha256(repr(type(self)).encode())
        for each in fields(self):
            digest.update(each.name.encode())
            _digest(getattr(self, each.name), digest.update)
        return digest.hexdigest()[:16]

    def changed(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        return {
            each.name: value for each in fields(self) if not _same(value := getattr(self, each.name), default_of(each))
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_brief(value)}" for name, value in self.changed().items())
        return f"{type(self).__name__}({shown})"

    def _checked(self, each: Field[Any], value: Any) -> Any:
        """Return the value of a field made by :func:`parameter`, converted to its annotated type.

        Raises:
            SaliencyError: the value is not allowed.
        """
        description, types, who = each.metadata, _types(each), f"{type(self).__name__}.{each.name}"
        if "help" not in description or (value is None and (each.default is None or "None" in types)):
            return value
        low, high, choices = description["low"], description["high"], description["choices"]
        if choices is not None and (isinstance(value, str) or types <= {"str", "None"}):
            return checks.choice(value, f"value for {who}:", choices)
        if "bool" in types:
            return checks.flag(value, who)
        if "Method" in types:
            return as_method(value, who)
        if "str" in types and isinstance(value, bool | np.bool_ | float):
            raise BadField(f"{who} must be text, got {brief(value)}.")
        if "Baseline" in types:
            return _checked_baseline(value, who)
        if "Part" in types or each.name == "layer":
            return _checked_layer(value, who, several=any("Sequence" in one for one in types))
        if low is None and high is None and not types & {"int", "float"}:
            return value
        check = checks.whole if "int" in types else checks.number
        if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) > 0 and any("tuple" in one for one in types):
            return tuple(check(one, who, low, high) for one in value)
        return check(value, who, low, high)


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


def _types(each: Field[Any]) -> set[str]:
    """Return the names of the types in a field's annotation: two for "int | None"."""
    # annotations are strings, or types in a user's module without postponed evaluation
    return set(str(each.type if isinstance(each.type, str) else getattr(each.type, "__name__", each.type)).split(" | "))


def default_of(each: Field[Any]) -> Any:
    """Return the default of a dataclass field, calling its factory if there is one."""
    return each.default_factory() if callable(each.default_factory) else each.default


def described(method: Method) -> list[Mapping[str, Any]]:
    """Return the method's fields for a control panel: name, value, help, low, high, choices."""
    if not isinstance(method, Method):
        raise BadField(f"Expected a method, such as saliency.GradCam(), got {brief(method)}.")
    return [{"name": each.name, "value": getattr(method, each.name), **each.metadata} for each in fields(method)]


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, Method) and isinstance(other, Method):
        return value.key() == other.key()
    if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(value, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(value, other)
    if type(value) is not type(other):
        return False
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    return bool(value == other)


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    if isinstance(value, list | tuple) and any(isinstance(each, np.ndarray) for each in value):
        return f"[{', '.join(map(_brief, value[:3]))}{', …' if len(value) > 3 else ''}]"
    with suppress(Exception):  # a user's own __repr__ may fail
        return getattr(value, "__name__", None) or repr(value)
    return brief(value)


def _digest(value: Any, update: Callable[[bytes], None]) -> None:
    if isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Method):
        update(value.key().encode())
    elif isinstance(value, list | tuple):
        update(f"[{len(value)}".encode())
        for part in value:
            _digest(part, update)
    else:
        update(repr(value).encode())
