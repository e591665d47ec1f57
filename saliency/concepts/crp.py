"""Concept relevance propagation (doi:10.1038/s42256-023-00711-8): what channels contribute, and where."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.api.explain import explain
from saliency.api.prepare import Prepared, prepare
from saliency.core.lrp import LRP
from saliency.datasets.each import explain_each
from saliency.datasets.sources import collection
from saliency.errors import BadField, BadImage, Unsupported, brief
from saliency.model.inputs import Inputs
from saliency.model.protocols import Rewirable, lacking
from saliency.pictures.presets import Preprocess
from saliency.results.explanation import Explanation
from saliency.targets import unit

TOTAL = 1e6
"""Absolute sum to which relevance is scaled at the layer, so that the stabilizer ε of the rules absorbs none of it."""

LOST = 1e-5
"""Largest share of a layer's relevance at values of zero, which no weight can give."""

SEEN = 0.01
"""Smallest gradient inside of a receptive field, as a share of the largest."""


def conditional(
    model: Any,
    image: Any,
    channels: Any,
    layer: Any,
    target: Any = None,
    method: LRP | None = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    progress: Any = False,
) -> list[Explanation]:
    """Return the relevance that reaches the pixels through some channels of a layer alone, for each set of channels.

    The relevance of a class is propagated back to the layer, that of all other channels is set to zero, and the rest is
    propagated on. The maps of disjoint sets of channels that contain all of them sum to the map of LRP.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        image: see :func:`saliency.explain`.
        channels: a channel, or a list whose items are channels or lists of channels: one map for each item.
        layer: its name, or the module itself; it must have a grid on the image and cut the model. Not between a
            convolution and its batch norm, which are one operator here.
        target: see :func:`saliency.explain`.
        method: the rules; by default ``LRP()``.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        progress: see :func:`saliency.explain`.

    Returns:
        an explanation for each item of `channels`, whose `score` is the relevance of these channels at the layer.

    Raises:
        BadField: there is no such channel, or the method is another one.
        BadImage: the layer has no grid on the image.
        Unsupported: the layer does not cut the model, or the model supports no rules on the backward pass.
    """
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    method = unrequiring(resolved_method(method, prepared), prepared)
    options: dict[str, Any] = {"progress": progress}
    adapted, picture = prepared.adapted, prepared.picture
    at = explain(adapted, picture, method, target, at=layer, **options)
    if at.grid is None or at.mask.ndim != 3:
        raise BadImage(f"The layer {at.layer!r} of shape {at.mask.shape} is no map (h, w, K) of the image: choose one.")
    values = _values(prepared, at.layer)
    items = [channels] if isinstance(channels, int | np.integer) else checks.several(channels, "channels")
    if not items:
        raise BadField("channels is empty: pass at least one channel.")
    kept = [_mask(each, at.mask.shape[-1]) for each in items]
    lost = np.abs(at.mask[values == 0]).sum() / max(float(np.abs(at.mask).sum()), 1e-300)
    if lost > LOST:
        raise Unsupported(
            f"{100 * lost:.2g} % of the relevance at {at.layer!r} is at values of zero, which this composite gives "
            "relevance, too. Use a composite by contribution, such as LRP(composite='epsilon_plus')."
        )
    maps = []
    for name, each in zip(items, kept, strict=True):
        found = _propagated(prepared, method, at.layer, at.mask * each, values, options)
        chosen = f"channel {name} of {at.layer}" if isinstance(name, int | np.integer) else f"channels of {at.layer}"
        total = float((at.mask * each).sum(dtype=np.float64))
        notes = (*at.notes, f"relevance through {chosen} alone")
        maps.append(
            replace(found, target=at.target, label=at.label, score=total, gap=None, notes=notes, layer=at.layer)
        )
    return maps


def resolved_method(method: LRP | None, prepared: Prepared) -> LRP:
    """Return the rules for the whole model: the automatic composite depends on all of its operators.

    Raises:
        BadField: the method is no LRP.
        Unsupported: the model supports no rules on the backward pass.
    """
    method = LRP() if method is None else method
    if not isinstance(method, LRP):
        raise BadField(f"method must be LRP, saliency.LRP(composite=…), got {brief(method)}.")
    adapted: Any = prepared.adapted
    if (why := lacking(adapted, Rewirable)) is not None:
        raise Unsupported(f"Conditional relevance needs a backward pass by rules: {why}.")
    if isinstance(prepared.picture, Inputs):
        raise BadImage("Conditional relevance is of pictures, one input each, not of multi-input models.")
    if method.composite != "auto":
        return method
    with adapted.lock:
        attends = "matmul" in adapted.at([0]).operators(prepared.images[:1])
    return method.but(composite="attention" if attends else "epsilon_plus")


def unrequiring(method: LRP, prepared: Prepared) -> LRP:
    """Return the method without the condition that the model has weights, which a part of it may not have."""
    unused: Any = None  # only the automatic composite, which is resolved before, needs a session
    return method.but(composite=replace(method.rules(prepared.images, unused), required=()), first="auto")


def _values(prepared: Prepared, layer: str) -> np.ndarray:
    """Return the values of a layer for the picture, (h, w, K)."""
    bound: Any = prepared.adapted.at((), [layer])
    with bound.lock:
        (values,) = bound.activations(prepared.images)
    return np.asarray(bound.ops.tohost(values)[0], np.float64)


def _mask(channels: Any, count: int) -> np.ndarray:
    """Return which channels are kept, (K,) of 0 and 1."""
    listed = [channels] if isinstance(channels, int | np.integer) else checks.several(channels, "channels")
    kept = np.zeros(count)
    for each in listed:
        kept[checks.whole(each, "a channel", -count, count - 1)] = 1
    return kept


def _propagated(
    prepared: Prepared, method: LRP, layer: str, relevance: np.ndarray, values: np.ndarray, options: dict[str, Any]
) -> Explanation:
    """Return the relevance of the pixels from relevance at a layer (h, w, K), positive and negative apart.

    A weighted sum of the layer's values, whose terms are the relevance, distributes it to them by contribution.
    """
    total = float(np.abs(relevance).sum(dtype=np.float64)) or 1.0
    safe = np.where(values == 0, 1.0, values)
    signs = [part for part in (np.maximum(relevance, 0), np.minimum(relevance, 0)) if part.any()]
    targets = [
        unit(layer, _weighted(prepared.adapted.ops, np.where(values == 0, 0.0, part / safe) * (TOTAL / total)))
        for part in signs or [np.zeros_like(relevance)]
    ]
    found = explain(prepared.adapted, prepared.picture, method, targets, **options)
    mask = np.sum([each.mask.astype(np.float64) for each in found], axis=0) * (total / TOTAL)
    return replace(found[0], mask=mask.astype(np.float32))


def _weighted(ops: Any, weights: np.ndarray) -> Callable[[Any], Any]:
    """Return the sum of a layer's values (N, h, w, K) with weights (h, w, K)."""
    factors = weights[None].astype(np.float32)

    def relevance(values: Any) -> Any:
        return ops.sum(values * ops.asarray(factors), (1, 2, 3))

    return relevance


class ChannelImage(NamedTuple):
    """An image in which a channel contributes much."""

    image: int
    """Its number in the collection."""
    name: str
    value: float
    """The channel's relevance, or activation, summed over places, or the largest."""
    place: tuple[int, int]
    """Row and column of the layer's grid where it is largest."""


@dataclass(frozen=True)
class ChannelImages:
    """For each channel of a layer the images in which it contributes most.

    Attributes:
        images: for each channel, the images by falling value.
        layer: name of the layer.
        by: "relevance" or "activation".
        count: number of images that were read.
        shares: the channels' shares of all absolute relevance, or activation, (K,).
    """

    images: tuple[tuple[ChannelImage, ...], ...]
    layer: str
    by: str
    count: int
    shares: np.ndarray
    _model: Any = None
    _source: Any = None
    _preprocess: Any = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, channel: int) -> tuple[ChannelImage, ...]:
        return self.images[channel]

    def __repr__(self) -> str:
        top = ", ".join(f"{k} ({100 * self.shares[k]:.0f} %)" for k in np.argsort(-self.shares)[:5])
        return f"{len(self)} channels of {self.layer!r} by {self.by}, {self.count} images; most: {top}"

    def crops(self, channel: int, count: int = 8) -> list[np.ndarray]:
        """Return the pictures of a channel, cropped to the receptive field of its largest value, uint8 (h, w, 3) each.

        The receptive field is the box of all pixels by which the unit has a gradient of at least 1 % of the largest.

        Args:
            channel: its index.
            count: largest number of pictures.

        Raises:
            BadField: there is no such channel.
        """
        channel = checks.whole(channel, "channel", 0, len(self) - 1)
        count = checks.whole(count, "count", 1)
        return [self._crop(each, channel) for each in self.images[channel][:count]]

    def _crop(self, found: ChannelImage, channel: int) -> np.ndarray:
        image, _ = self._source.at(found.image)
        target = unit(self.layer, channel, found.place)
        exp = explain(self._model, image, "gradient", target, preprocess=self._preprocess, progress=False)
        field = np.abs(exp.on_picture(smooth=False))
        field = field.max(-1) if field.ndim == 3 else field
        rows, columns = np.nonzero(field > SEEN * field.max())
        if not len(rows):
            return exp.picture
        return np.asarray(exp.picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])


def relevance_maximization(
    model: Any,
    images: Any,
    layer: Any,
    target: Any = None,
    method: LRP | None = None,
    *,
    by: str = "relevance",
    reduce: str = "sum",
    keep: int = 16,
    preprocess: Preprocess | None = None,
    labels: Sequence[str] | None = None,
    progress: Any = False,
    **options: Any,
) -> ChannelImages:
    """Return for each channel the images of a collection in which it contributes most to the decision.

    Relevance at the layer (RelMax) shows what a channel is used for; activation (ActMax) also what only excites it.
    Only the best images of each channel are kept, so that memory does not grow with the collection.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        images: see :func:`saliency.explain_each`; without a stream's order only, so that pictures can be read again.
        layer: its name, or the module itself; it must have a grid on the images and cut the model.
        target: see :func:`saliency.explain_each`; by default the top class of each image, or that of the collection.
        method: the rules; by default ``LRP()``.
        by: "relevance" or "activation".
        reduce: "sum" or "max" over the places of the layer.
        keep: number of images of each channel.
        preprocess: see :func:`saliency.explain`.
        labels: names of the model's classes.
        progress: see :func:`saliency.explain_each`.
        **options: further arguments of :func:`saliency.explain_each`.

    Raises:
        BadImage: there are no images, or the layer has no grid on them.
        Unsupported: the layer does not cut the model, or the model supports no rules on the backward pass.
    """
    checks.choice(by, "value of by", ("relevance", "activation"))
    checks.choice(reduce, "value of reduce", ("sum", "max"))
    keep = checks.whole(keep, "keep", 1)
    source = collection(images)
    assert source.at is not None
    assert source.ids is not None
    image, _ = source.at(0)
    model_options = {name: options[name] for name in ("framework", "activation", "output") if name in options}
    prepared = prepare(model, [image], labels, preprocess, **model_options)
    method = unrequiring(resolved_method(method, prepared), prepared)
    best: list[list[tuple[float, int, tuple[int, int]]]] = []
    absolute = np.zeros(0)
    names: list[str] = []
    for number, (maps, name) in enumerate(
        _maps(prepared, source, layer, target, method, by, preprocess, progress, options)
    ):
        if not best:
            names.append(name)
            best, absolute = [[] for _ in range(maps.shape[-1])], np.zeros(maps.shape[-1])
        flat = maps.reshape(-1, maps.shape[-1])
        places = flat.argmax(0)
        values = flat.sum(0) if reduce == "sum" else flat.max(0)
        absolute += np.abs(flat).sum(0)
        for k, (value, place) in enumerate(zip(values, places, strict=True)):
            row, column = divmod(int(place), maps.shape[1])
            entry = float(value), -number, (row, column)
            if len(best[k]) < keep:
                heapq.heappush(best[k], entry)
            else:
                heapq.heappushpop(best[k], entry)
    ids = source.ids
    kept = tuple(
        tuple(ChannelImage(-number, ids[-number], value, place) for value, number, place in sorted(each, reverse=True))
        for each in best
    )
    shares = absolute / (absolute.sum() or 1.0)
    return ChannelImages(kept, names[0], by, len(ids), shares, prepared.adapted, source, preprocess)


def _maps(
    prepared: Prepared, source: Any, layer: Any, target: Any, method: LRP, by: str, preprocess: Any, progress: Any,
    options: dict[str, Any],
) -> Iterator[tuple[np.ndarray, str]]:  # fmt: skip
    """Yield the relevance, or the values, of the layer for each image (h, w, K), with the name of the layer."""
    options = {name: each for name, each in options.items() if name not in ("framework", "activation", "output")}
    for i, exp in enumerate(
        explain_each(
            prepared.adapted, source, method, target, at=layer, preprocess=preprocess, progress=progress, **options
        )
    ):
        if exp.grid is None or exp.mask.ndim != 3:
            raise BadImage(f"The layer {exp.layer!r} of shape {exp.mask.shape} is no map (h, w, K) of the image.")
        if by == "relevance":
            yield exp.mask.astype(np.float64), exp.layer
        else:
            image, _ = source.at(i)
            yield _values(prepared.with_image(image, preprocess), exp.layer), exp.layer
