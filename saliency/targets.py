"""Targets: what is explained, one number per image, computed from a model's outputs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadTarget, Unsupported, brief, unknown


@dataclass(frozen=True)
class OfScores:
    """A target that receives scores (N, classes), whatever the model returns."""

    index: Any

    def __call__(self, outputs: Any) -> Any:
        """Return one number per image: (N, classes) -> (N,)."""
        return outputs[:, self.index]

    def resolved(self, labels: Sequence[str] | None, scores: np.ndarray, shares: np.ndarray | None = None) -> OfScores:
        """Return the target with labels replaced by indices.

        Args:
            labels: names of the classes.
            scores: the image's scores, (classes,).
            shares: the image's probabilities, (classes,); None where the scores are values.
        """
        return replace(self, index=_output_of(self.index, labels, len(scores)))

    def named(self, labels: Sequence[str] | None) -> str:
        """Return the name of the target, once resolved."""
        return label_of(self.index, labels)


class ClassScore(OfScores):
    """The score of one class."""


class OfEach(OfScores):
    """A target that is another class, or function of the scores, for each image of a batch.

    Args:
        targets: one for each of the B images: a class index or a function of scores (N, classes).

    Attributes:
        targets: the same, as functions.
    """

    __hash__, __eq__ = object.__hash__, object.__eq__

    def __init__(self, targets: Sequence[Any]) -> None:
        super().__init__(None)
        self.targets = [each if isinstance(each, OfScores) else ClassScore(each) for each in targets]
        self._classes = np.array([each.index for each in self.targets if type(each) is ClassScore])
        self._images: np.ndarray | None = None

    @contextmanager
    def of(self, images: np.ndarray, *, unchanged: bool = False) -> Iterator[None]:
        """Within this context, the rows of scores belong to these images, as indices (N,); else to the first N.

        Args:
            images: indices.
            unchanged: whether the rows are the images themselves, not perturbed copies.
        """
        self._images = images
        try:
            yield
        finally:
            self._images = None

    def __call__(self, scores: Any) -> Any:
        """Return one number per image: (N, classes) -> (N,).

        Raises:
            NotPerImage: the scores have another number of rows than images were named.
        """
        count = int(scores.shape[0])
        images = np.arange(min(count, len(self.targets))) if self._images is None else self._images
        if len(images) != count:
            raise NotPerImage(f"Expected scores of {len(images)} images, got {count} rows.")
        if len(self._classes) == len(self.targets):
            return scores[np.arange(count), self._classes[images]]
        total = 0.0 * scores[:, 0]
        for each in dict.fromkeys(self.targets[i] for i in images):
            here = np.array([self.targets[i] == each for i in images])
            total = total + each(scores) * _like(here.astype(np.float32), total)
        return total


class TopOfEach(OfEach):
    """The top class of each image of a batch, found by the first pass over the unchanged images.

    Args:
        count: number B of images.
        tohost: returns an array of the model's framework on the host.

    Attributes:
        scores: of the unchanged images, (B, classes) float64; None before the pass.
    """

    def __init__(self, count: int, tohost: Callable[[Any], np.ndarray]) -> None:
        super().__init__([0] * count)
        self.scores: np.ndarray | None = None
        self._known, self._unchanged, self._tohost = np.zeros(count, bool), False, tohost

    @contextmanager
    def of(self, images: np.ndarray, *, unchanged: bool = False) -> Iterator[None]:
        """See :class:`OfEach`.

        Raises:
            NotYetKnown: the top classes are not known, and the rows are perturbed copies of the images.
        """
        if not (unchanged or self._known[images].all()):
            raise NotYetKnown("The top classes are known only after a pass over the unchanged images.")
        self._unchanged = unchanged
        try:
            with super().of(images):
                yield
        finally:
            self._unchanged = False

    def __call__(self, scores: Any) -> Any:
        """See :class:`OfEach`; outside of :meth:`of`, return the largest score of each row."""
        if self._images is None:
            return scores[np.arange(int(scores.shape[0])), self._tohost(scores).argmax(1)]
        if self._unchanged and not self._known[self._images].all():
            host = self._tohost(scores).astype(np.float64)
            if self.scores is None:
                self.scores = np.zeros((len(self._known), host.shape[1]))
            self.scores[self._images], self._known[self._images] = host, True
            self._classes[self._images] = host.argmax(1)
        return super().__call__(scores)


class NotYetKnown(RuntimeError):
    """A pass over perturbed images would need the top classes before a pass over the unchanged ones has found them."""


class NotPerImage(RuntimeError):
    """The rows of a model call cannot be assigned to the images of a batch, so that each can have its own target."""


@dataclass(frozen=True)
class _Minus(OfScores):
    """Class 0 of a head with a single logit."""

    def __call__(self, outputs: Any) -> Any:
        return -outputs[:, self.index]


@dataclass(frozen=True)
class Complement(OfScores):
    """Class 0 of a head with a single probability."""

    def __call__(self, outputs: Any) -> Any:
        return 1 - outputs[:, self.index]


@dataclass(frozen=True)
class _Margin(OfScores):
    """One class against another."""

    against: Any = 0

    def __call__(self, outputs: Any) -> Any:
        return outputs[:, self.index] - outputs[:, self.against]

    def resolved(self, labels: Sequence[str] | None, scores: np.ndarray, shares: np.ndarray | None = None) -> OfScores:
        index, against = (_output_of(each, labels, len(scores)) for each in (self.index, self.against))
        return _Margin(index, against)

    def named(self, labels: Sequence[str] | None) -> str:
        return f"{label_of(self.index, labels)} against {label_of(self.against, labels)}"


@dataclass(frozen=True)
class LogOdds(OfScores):
    """The logarithm of p / (1 - p) of a class, from logits: its score minus the log-sum-exp of all others.

    Its gradient is that of the cross-entropy divided by -(1 - p): the same direction, without the rounding to zero
    that the cross-entropy has in float32 where p is nearly 1.
    """

    ops: Any = field(default=None, repr=False, compare=False)
    """The array functions of the model's framework, a :class:`saliency.model.protocols.Ops`."""

    def __call__(self, outputs: Any) -> Any:
        others = np.delete(np.arange(int(outputs.shape[1])), self.index)
        return outputs[:, self.index] - self.ops.logsumexp(self.ops.take(outputs, others))


@dataclass(frozen=True)
class _Contrast(OfScores):
    """One class against those nearest to it."""

    count: int = 3
    weights: tuple[tuple[int, float], ...] = ()

    def __call__(self, outputs: Any) -> Any:
        difference = outputs[:, self.index]
        for other, weight in self.weights:
            difference = difference - outputs[:, other] * weight
        return difference

    def resolved(self, labels: Sequence[str] | None, scores: np.ndarray, shares: np.ndarray | None = None) -> OfScores:
        index = _output_of(self.index, labels, len(scores))
        others = [int(i) for i in np.argsort(-scores, kind="stable") if i != index][: self.count]
        if not others:
            raise BadTarget("A contrast needs a second class: this model has one output.")
        if shares is None:
            raise BadTarget("A contrast needs probabilities, but this model's outputs are values.")
        shares = shares[others]
        # all of them may underflow, if they are far below the top class
        shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(others), 1 / len(others))
        return _Contrast(index, self.count, tuple(zip(others, map(float, shares), strict=True)))

    def named(self, labels: Sequence[str] | None) -> str:
        others = ", ".join(label_of(other, labels) for other, _ in self.weights)
        return f"{label_of(self.index, labels)} against {others}"


def margin(a: int | str, b: int | str) -> OfScores:
    """Return the target score(a) - score(b): how much the model prefers class `a` to class `b`."""
    return _Margin(a, b)


def contrast(target: int | str, k: int = 3) -> OfScores:
    """Return the target that contrasts a class with its `k` closest rivals, weighted by their probabilities.

    Σ_d p_d (z_target - z_d) / Σ_d p_d: the evidence for this class that its rivals do not share. The probabilities are
    those of the explained image.
    """
    return _Contrast(target, checks.whole(k, "k", 1))


def output(index: int = 0) -> OfScores:
    """Return the target that is one output as it is: a regression's value, or the single logit of one class."""
    return _Output(index)


class _Output(OfScores):
    """One output, whatever its meaning."""

    def named(self, labels: Sequence[str] | None) -> str:
        return f"output {self.index}"


def single_logit(index: int) -> OfScores:
    """Return the target for class 0 or 1 of a head with one logit: the negated logit, or the logit."""
    return ClassScore(0) if index else _Minus(0)


def unit(
    layer: str,
    channel: int | slice | Callable[[Any], Any],
    position: Sequence[int | slice] | None = None,
) -> Unit:
    """Return the target that is one unit of a layer, or several: a channel's mean over the grid, or its value there.

    Args:
        layer: name of the layer; :func:`saliency.layers` lists those with a grid.
        channel: index of the channel, or of the unit of a dense layer; a slice, whose channels are summed; or a
            callable from the layer's activations (N, …, K), channels last, to one number per image (N,).
        position: (row, column) on the layer's grid; (token,) for a sequence of tokens without a grid. The values at the
            positions of a slice are summed. By default the mean over all positions.

    Raises:
        BadField: an index is of another type, or a callable has a position.
    """
    if position is not None and not isinstance(position, Sequence | np.ndarray):
        raise BadField(f"position must be (row, column), got {brief(position)}.")
    if callable(channel):
        if position is not None:
            raise BadField("A callable computes the unit from all activations: omit position.")
        return Unit(checks.text(layer, "layer"), checks.function(channel, "channel", ("activations",)))
    place = None if position is None else tuple(_chosen(at, "position") for at in position)
    return Unit(checks.text(layer, "layer"), _chosen(channel, "channel"), place)


class Span(NamedTuple):
    """A slice that can be hashed."""

    start: int | None
    stop: int | None
    step: int | None


def _chosen(at: Any, name: str) -> int | Span:
    """Return an index, or a slice as a :class:`Span`."""
    if isinstance(at, slice):
        ends = (None if each is None else checks.whole(each, name) for each in (at.start, at.stop, at.step))
        return Span(*ends)
    found: int = checks.whole(at, name)
    return found


@dataclass(frozen=True)
class Unit:
    """A target inside the model, computed from a layer's activations; see :func:`unit`."""

    layer: str
    channel: int | Span | Callable[[Any], Any]
    position: tuple[int | Span, ...] | None = None

    def __call__(self, outputs: Any) -> Any:
        raise Unsupported(f"{self.named()} is a unit inside the model and cannot be computed from the model's outputs.")

    def read(self, activations: Any) -> Any:
        """Return the unit's value for each image: (N, ..., K) of the layer, channels last -> (N,).

        Raises:
            BadTarget: there is no such channel or position, or a callable returns other than one number per image.
        """
        if callable(self.channel):
            found = self.channel(activations)
            if (shape := tuple(getattr(found, "shape", ()))) != tuple(activations.shape[:1]):
                raise BadTarget(f"The unit of {self.layer!r} must be one number per image, (N,), got shape {shape}.")
            return found
        *places, channels = tuple(activations.shape)[1:] or (0,)
        if not _within(self.channel, channels):
            raise BadTarget(f"{self.layer!r} has {channels} channels, counted from 0, got {_counted('channel', self)}.")
        if self.position is not None and (
            len(self.position) != len(places) or not all(map(_within, self.position, places))
        ):
            grid = "×".join(map(str, places)) or "no"
            comma = "," if len(self.position) == 1 else ""
            raise BadTarget(f"{self.layer!r} has {grid} positions, got position ({_indices(self.position)}{comma}).")
        at = (*(self.position or (Span(None, None, None),) * len(places)), self.channel)
        # TensorFlow's tensors take slices and integers, but no arrays, as indices
        chosen = activations[(slice(None), *(slice(*each) if isinstance(each, Span) else each for each in at))]
        total = _sum(chosen, tuple(range(1, len(chosen.shape)))) if len(chosen.shape) > 1 else chosen
        return total / math.prod(places) if places and self.position is None else total

    def named(self) -> str:
        """Return the name of the unit."""
        if callable(self.channel):
            return f"{self.layer} {getattr(self.channel, '__name__', type(self.channel).__name__)}"
        place = "" if self.position is None else f" at {_indices(self.position)}"
        return f"{self.layer} {_counted('channel', self)}{place}"


def _within(at: int | Span, size: int) -> bool:
    """Return whether an index exists, or a slice selects anything."""
    return len(range(size)[slice(*at)]) > 0 if isinstance(at, Span) else -size <= at < size


def _counted(noun: str, unit: Unit) -> str:
    """Return "channel 3" or "channels 0:3"."""
    return f"{noun}{'s' if isinstance(unit.channel, Span) else ''} {_indices((unit.channel,))}"


def _indices(chosen: Sequence[Any]) -> str:
    """Return indices and slices as they are written in brackets."""
    return ", ".join(
        ":".join("" if each is None else str(each) for each in (at if at.step is not None else at[:2]))
        if isinstance(at, Span)
        else str(at)
        for at in chosen
    )


def units(targets: Iterable[Any]) -> list[str]:
    """Return the names of the layers that the targets read."""
    return list(dict.fromkeys(each.layer for each in targets if isinstance(each, Unit)))


def mean_logit(mask: Any, index: int) -> Callable[[Any], Any]:
    """Return a target for segmentation: the mean of one class's logits over a region.

    Args:
        mask: (H, W), true (or a weight) inside the region; resized to the size of the model's output.
        index: index of the class.

    Returns:
        a target for outputs (N, classes, h, w) of torch, or (N, h, w, classes) of any other framework.
    """
    weights = checks.array(mask, "mask", BadTarget).astype(np.float32)
    index = checks.whole(index, "index")
    if weights.ndim != 2 or not weights.any():
        raise BadTarget(f"mean_logit needs a mask (H, W) that is true somewhere, got shape {weights.shape}.")

    def mean_of_the_region(outputs: Any) -> Any:
        logits = _part(outputs, ("logits", "out", "output"), 4)
        plane = logits[:, index] if _of_torch(logits) else logits[..., index]
        height, width = (int(n) for n in plane.shape[1:])
        rows, columns = (np.arange(n) * size // n for n, size in zip((height, width), weights.shape, strict=True))
        there = weights[np.ix_(rows, columns)]
        if not there.any():
            raise BadTarget(f"The mask is empty at the resolution of the model's output, {height}×{width}.")
        return _sum(plane * _like(there / there.sum(), plane), (1, 2))

    return mean_of_the_region


def similarity(embedding: Any) -> Callable[[Any], Any]:
    """Return a target for models that output embeddings, such as CLIP's: the cosine with this embedding (D,)."""
    host = embedding.detach().cpu().float() if _of_torch(embedding) else embedding
    wanted = checks.array(host, "embedding", BadTarget).astype(np.float32).reshape(-1)
    length = float(np.linalg.norm(wanted))
    if not length > 0:
        raise BadTarget("The embedding to compare with is zero or not finite.")

    def cosine(outputs: Any) -> Any:
        found = _part(outputs, ("image_embeds", "pooler_output", "embedding", "logits"), 2)
        if int(found.shape[-1]) != len(wanted):
            raise BadTarget(f"The model's embedding has {int(found.shape[-1])} numbers, yours has {len(wanted)}.")
        return _sum(found * _like(wanted / length, found), (1,)) / _sum(found * found, (1,)) ** 0.5

    return cosine


def _part(outputs: Any, names: Sequence[str], rank: int) -> Any:
    """Return the array with `rank` axes among a model's outputs."""
    if hasattr(outputs, "keys"):
        parts = [outputs[name] for name in names if name in outputs] or list(outputs.values())
    elif isinstance(outputs, tuple | list):
        parts = list(outputs)
    else:
        parts = [getattr(outputs, name) for name in names if hasattr(outputs, name)] or [outputs]
    for part in parts:
        if len(getattr(part, "shape", ())) == rank:
            return part
    raise BadTarget(
        f"The model returned no array of {rank} axes, but a {type(outputs).__name__}. Write your own target."
    )


def _of_torch(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch"


def _like(host: np.ndarray, array: Any) -> Any:
    """Return a host array in a form that can be multiplied with `array`."""
    return array.new_tensor(host) if hasattr(array, "new_tensor") else host


def _sum(array: Any, axes: tuple[int, ...]) -> Any:
    """Return the sum over axes; TensorFlow's tensors have no method for it."""
    return array.sum(axes) if hasattr(array, "sum") else sys.modules["tensorflow"].reduce_sum(array, axes)


IMAGENET = 1000
"""Number of classes of a model that is taken for an ImageNet classifier."""


@lru_cache(1)
def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes in class order; no two are the same."""
    return tuple((Path(__file__).parent / "data" / "imagenet.txt").read_text(encoding="utf-8").splitlines())


def names_of(labels: Sequence[str] | None, classes: int) -> Sequence[str] | None:
    """Return the labels; those of ImageNet where there are none and the model has 1,000 classes."""
    return imagenet_names() if labels is None and classes == IMAGENET else labels


def _label_index(label: str, names: list[str]) -> int:
    """Return the index of a label; the case is ignored where only one label then matches."""
    if label in names:
        return names.index(label)
    alike = [index for index, each in enumerate(names) if str(each).casefold() == label.casefold()]
    if len(alike) != 1:
        raise unknown("label", label, names)
    return alike[0]


def _scalar(target: Any) -> Any:
    """Return the integer in an array or tensor of one element, such as ``out.argmax()``; any other value unchanged."""
    shape = getattr(target, "shape", None)
    if shape is None or math.prod(shape) != 1:
        return target
    number = np.asarray(target.detach().cpu() if hasattr(target, "detach") else target)
    return number.item() if number.dtype.kind in "iu" else target


def index_of(target: Any, labels: Sequence[str] | None, classes: int) -> int:
    """Return the class index of an index or a label.

    Args:
        target: index (negative ones count from the end), also as an array or tensor of one element; or label, in any
            case where that is unambiguous.
        labels: names of the classes, if any.
        classes: number of classes.

    Raises:
        BadTarget: no such index, or a label where the model has none.
        UnknownName: no such label.
    """
    if isinstance(target, str):
        if labels is None:
            raise BadTarget(
                f"The target {brief(target)} is a label, but this model has no labels: pass labels=[…] or an index."
            )
        return _label_index(target, list(labels))
    target = _scalar(target)
    if isinstance(target, bool) or not isinstance(target, int | np.integer):
        raise BadTarget(
            "A target is a class index, a label, None (the top class) or a callable outputs -> (N,), got "
            f"{brief(target)}."
        )
    if not -classes <= target < classes:
        raise BadTarget(f"The model has {classes} classes (0 to {classes - 1}), got target {brief(int(target))}.")
    return int(target) % classes


def _output_of(target: Any, labels: Sequence[str] | None, width: int) -> int:
    """Return the output of an index or a label, where each class has its own output."""
    index = index_of(target, labels, width)
    if index >= width:
        raise BadTarget(
            f"{target!r} has no output of its own: the model has one output for both of its classes. "
            f"Pass the class itself, target={target!r}."
        )
    return index


def label_of(index: int, labels: Sequence[str] | None) -> str:
    """Return a class's name, or its index as text where there are no names."""
    return labels[index] if labels is not None and index < len(labels) else str(index)


def probabilities(outputs: np.ndarray, activation: str = "auto") -> np.ndarray:
    """Return outputs (N, classes) as probabilities.

    Args:
        outputs: the model's outputs.
        activation: "softmax", "sigmoid" (multi-label), "none", or "auto": softmax unless the rows are probabilities
            already.
    """
    if activation == "auto":
        activation = "none" if are_probabilities(outputs) else "softmax"
    match activation:
        case "none":
            return outputs
        case "sigmoid":
            return np.asarray(0.5 * (1 + np.tanh(0.5 * outputs)))
        case "softmax":
            powers = np.exp(outputs - outputs.max(-1, keepdims=True))
            return np.asarray(powers / powers.sum(-1, keepdims=True))
    raise unknown("activation", activation, ("auto", "softmax", "sigmoid", "none"))


def are_probabilities(outputs: np.ndarray) -> bool:
    """Return whether every row is non-negative and sums to one."""
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(-1), 1, atol=1e-3)) and outputs.shape[-1] > 1
