"""A basis of a layer: channels, concept vectors, or any object that encodes and decodes; attribution to its units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from saliency import checks
from saliency.api.prepare import Prepared, prepare
from saliency.errors import BadArgument, BadField, BadImage, BadShape, Unsupported, brief
from saliency.model.inputs import Inputs
from saliency.model.protocols import Cut, Cuttable, Differentiable, lacking
from saliency.model.resolve import resolved
from saliency.pictures.placement import onto
from saliency.pictures.presets import Preprocess
from saliency.results.run import LayerPlace

NEAR = 1e-3
"""Largest deviation of a decoder from a linear one, relative to its values."""


@runtime_checkable
class Basis(Protocol):
    """Coordinates of a layer's values; every method for concepts takes one."""

    def encode(self, activations: np.ndarray) -> np.ndarray:
        """Return coordinates (…, r) of values (…, K)."""

    def decode(self, coordinates: np.ndarray) -> np.ndarray:
        """Return values (…, K) of coordinates (…, r)."""


class Channels:
    """The channels of a layer themselves."""

    def encode(self, activations: np.ndarray) -> np.ndarray:
        """Return the values."""
        return np.asarray(activations)

    def decode(self, coordinates: np.ndarray) -> np.ndarray:
        """Return the coordinates."""
        return np.asarray(coordinates)


class Vectors:
    """The span of directions, such as concept activation vectors; the rest of a value has no coordinate.

    Args:
        vectors: (r, K), linearly independent.

    Raises:
        BadField: the directions depend on each other.
    """

    def __init__(self, vectors: Any) -> None:
        self.vectors = np.atleast_2d(checks.array(vectors, "vectors")).astype(np.float64)
        if self.vectors.ndim != 2 or np.linalg.matrix_rank(self.vectors) < len(self.vectors):
            raise BadField(f"vectors must be linearly independent rows (r, K), got {brief(vectors)}.")
        self._inverse = np.linalg.pinv(self.vectors)

    def encode(self, activations: np.ndarray) -> np.ndarray:
        """Return the coordinates (…, r) of the nearest values in the span, by least squares."""
        return np.asarray(activations @ self._inverse)

    def decode(self, coordinates: np.ndarray) -> np.ndarray:
        """Return the values (…, K)."""
        return np.asarray(coordinates @ self.vectors)


@dataclass(frozen=True)
class BasisAttribution:
    """A score's attribution to the units of a basis; prints the largest.

    Attributes:
        values: z_j (∂f/∂h · d_j), where d_j is what unit j adds to the layer's values: (h, w, r), (tokens, r) or (r,).
        error: the attribution of what the basis does not represent, (h, w), (tokens,) or ().
        layer: name of the layer.
        label: name of the class.
        score: the score that is attributed.
        residual: length of what the basis does not represent, as a share of the length of the values.
        notes: the settings used, in sentences.
    """

    values: np.ndarray
    error: np.ndarray
    layer: str
    label: str
    score: float
    residual: float
    placement: np.ndarray | None = field(default=None, repr=False)
    size: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def sums(self) -> np.ndarray:
        """The attribution of each unit, summed over places, (r,)."""
        return np.asarray(self.values.sum(tuple(range(self.values.ndim - 1))))

    @property
    def total(self) -> float:
        """The sum of all units and the error: that of gradient × value over the layer."""
        return float(self.values.sum() + self.error.sum())

    def on_picture(self, unit: int, smooth: bool = True) -> np.ndarray:
        """Return the map of a unit on the picture's own pixels, (H, W).

        Raises:
            BadField: there is no such unit.
            BadImage: the layer has no grid on the picture.
        """
        unit = checks.whole(unit, "unit", 0, self.values.shape[-1] - 1)
        if self.placement is None or self.values.ndim != 3:
            raise BadImage(f"The layer {self.layer!r} has no grid on the picture: use values and sums.")
        return onto(np.asarray(self.values[..., unit]), self.placement, self.size, checks.flag(smooth, "smooth"))

    def __str__(self) -> str:
        order = np.argsort(-np.abs(self.sums))[:8]
        units = ", ".join(f"{unit}: {self.sums[unit]:+.3g}" for unit in order)
        return f"{self.label} {self.score:.3g} at {self.layer}: {units}; not represented {float(self.error.sum()):+.3g}"

    __repr__ = __str__


def attribute(
    model: Any,
    image: Any,
    basis: Basis,
    layer: Any = None,
    target: Any = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
) -> BasisAttribution:
    """Return the attribution of a score to the units of a basis of a layer, and to what it does not represent.

    The layer's values are h = Σ z_j d_j + rest. By gradient × value, unit j is attributed z_j (∂f/∂h · d_j) at each
    place, and the rest ∂f/∂h · rest: all of them sum to the layer's own ∂f/∂h · h exactly.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        image: see :func:`saliency.explain`.
        basis: :class:`Channels`, :class:`Vectors`, :class:`NMF`, or an object with `encode` and a linear `decode`, such
            as a sparse autoencoder.
        layer: its name, or the module itself; it must cut the model. By default the last layer with a spatial grid.
        target: see :func:`saliency.explain`.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.

    Raises:
        BadField: the basis is not linear.
        BadShape: the basis is of another width than the layer.
        Unsupported: the layer does not cut the model.
    """
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    cut, label, notes = cut_at(prepared, layer, target)
    ops = prepared.adapted.ops
    tail: Any = cut.tail
    if (why := lacking(tail, Differentiable)) is not None:
        raise Unsupported(f"An attribution to a basis needs gradients: {why}.")
    with prepared.adapted.lock:
        values = cut.head.outputs(prepared.images)  # type: ignore[attr-defined]
        answer = tail.gradients(values)
    h, g = (ops.tohost(each).astype(np.float64) for each in (values, answer.gradients[0]))
    z, units = encoded(basis, h[0])
    parts = z * (g[0] @ units.T)
    rest = h[0] - z @ units
    length = float(np.linalg.norm(h[0])) or 1.0
    picture = prepared.picture
    assert not isinstance(picture, Inputs)
    placement = None if cut.grid is None else LayerPlace(cut.grid, cut.before).placement(picture)
    return BasisAttribution(
        parts, (g[0] * rest).sum(-1), cut.layer, label, float(ops.tohost(answer.scores)[0, 0]),
        float(np.linalg.norm(rest)) / length, placement, (picture.values.shape[0], picture.values.shape[1]), notes,
    )  # fmt: skip


def cut_at(prepared: Prepared, layer: Any, target: Any) -> tuple[Cut[Any], str, tuple[str, ...]]:
    """Return a model that is cut at a layer, with a target bound; the name of the target; and notes.

    Raises:
        Unsupported: the layer does not cut the model, or the model exposes no layers.
    """
    adapted: Any = prepared.adapted
    if (why := lacking(adapted, Cuttable)) is not None:
        raise Unsupported(f"Concepts need a model that can be cut at a layer: {why}.")
    if isinstance(prepared.picture, Inputs):
        raise BadImage("Concepts are of pictures, one input each, not of multi-input models.")
    if isinstance(target, list | tuple):
        raise BadArgument(f"Concepts are attributed to one target at a time, got {brief(target)}.")
    targets, notes = resolved([target], adapted, lambda: prepared.outputs, 1)
    name = adapted.automatic_layer(prepared.images) if layer is None else layer
    found: Cut[Any] = adapted.at([targets[0][0].explained]).cut(name, prepared.images)
    return found, targets[0][0].label, tuple(notes[0])


def encoded(basis: Any, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates (…, r) of values (…, K), and what a unit of each coordinate adds to the values, (r, K).

    Raises:
        BadField: the object is no basis, or decodes by a function that is not linear up to a constant.
        BadShape: its coordinates or values have another shape.
    """
    if isinstance(basis, type) or not isinstance(basis, Basis):
        raise BadField(f"basis must have the methods encode and decode, got {brief(basis)}.")
    z = _numbers(basis.encode(values.astype(np.float32)), "basis.encode")
    if z.shape[:-1] != values.shape[:-1] or not z.shape[-1]:
        raise BadShape(f"basis.encode must return (…, r) for values {values.shape}, got {z.shape}.")
    count, flat = z.shape[-1], z.reshape(-1, z.shape[-1])
    decoded = _numbers(basis.decode(np.concatenate([np.zeros((1, count)), np.eye(count), flat]).astype(np.float32)),
                       "basis.decode")  # fmt: skip
    if decoded.shape != (1 + count + len(flat), values.shape[-1]):
        raise BadShape(f"basis.decode must return (…, {values.shape[-1]}), got {decoded.shape[1:]} values.")
    units = decoded[1 : 1 + count] - decoded[0]
    expected = flat @ units + decoded[0]
    if np.abs(decoded[1 + count :] - expected).max() > NEAR * max(float(np.abs(expected).max()), 1e-12):
        raise BadField(
            "basis.decode is not linear in the coordinates, so that a unit has no direction of its own: pass a basis "
            "with a linear decoder, such as a dictionary or a sparse autoencoder."
        )
    return z, units


def _numbers(found: Any, what: str) -> np.ndarray:
    return checks.array(found, what).astype(np.float64)
