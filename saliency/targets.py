"""What is explained: one number per image, made of a model's outputs."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadTarget, Unsupported, brief, unknown


@dataclass(frozen=True)
class OfScores:
    """A target that is handed scores (N, classes), whatever the model returns."""

    index: Any

    def __call__(self, outputs: Any) -> Any:
        """(N, classes) -> (N,)."""
        return outputs[:, self.index]

    def resolved(self, labels: Sequence[str] | None, scores: np.ndarray, shares: np.ndarray | None = None) -> OfScores:
        """Return the same with indices for labels.

        Args:
            labels: names of the classes.
            scores: the image's own, (classes,).
            shares: its probabilities, (classes,); None where the scores are values.
        """
        return replace(self, index=_output_of(self.index, labels, len(scores)))

    def named(self, labels: Sequence[str] | None) -> str:
        """What it is called, once resolved."""
        return label_of(self.index, labels)


class ClassScore(OfScores):
    """The score of one class."""


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
            raise BadTarget("A contrast needs probabilities, and this model's outputs were read as values.")
        shares = shares[others]
        # all of them may be far below the winner, and underflow
        shares = shares / shares.sum() if shares.sum() > 0 else np.full(len(others), 1 / len(others))
        return _Contrast(index, self.count, tuple(zip(others, map(float, shares), strict=True)))

    def named(self, labels: Sequence[str] | None) -> str:
        others = ", ".join(label_of(other, labels) for other, _ in self.weights)
        return f"{label_of(self.index, labels)} against {others}"


def margin(a: int | str, b: int | str) -> OfScores:
    """By how much the model prefers class `a` to class `b`: the difference of their scores."""
    return _Margin(a, b)


def contrast(target: int | str, k: int = 3) -> OfScores:
    """A class against the `k` nearest others, each weighed by its probability on the image explained.

    Σ_d p_d (z_target - z_d) / Σ_d p_d: what the image has of this class and not of its rivals.
    """
    return _Contrast(target, checks.whole(k, "k", 1))


def output(index: int = 0) -> OfScores:
    """One output as it is: a regression's value, or a single logit without a second class."""
    return _Output(index)


class _Output(OfScores):
    """One output, whatever it means."""

    def named(self, labels: Sequence[str] | None) -> str:
        return f"output {self.index}"


def single_logit(index: int) -> OfScores:
    """Class 0 or 1 of a head with one output: the output with its sign turned, or itself."""
    return ClassScore(0) if index else _Minus(0)


def unit(layer: str, channel: int, position: Sequence[int] | None = None) -> Unit:
    """What one channel of a layer says: its mean over the map, or its value at one place of it.

    Args:
        layer: its name; :func:`saliency.layers` lists those with a grid.
        channel: index of the channel, or of the unit of a dense layer.
        position: (row, column) on the layer's grid; for a row of tokens without one, (token,).
    """
    if position is not None and not isinstance(position, Sequence | np.ndarray):
        raise BadField(f"position must be (row, column), got {brief(position)}.")
    place = None if position is None else tuple(checks.whole(at, "position") for at in position)
    return Unit(checks.text(layer, "layer"), checks.whole(channel, "channel"), place)


@dataclass(frozen=True)
class Unit:
    """A target inside the model. An adapter that has layers hands it what the layer said; see :func:`unit`."""

    layer: str
    channel: int
    position: tuple[int, ...] | None = None

    def __call__(self, outputs: Any) -> Any:
        raise Unsupported(f"{self.named()} cannot be told from the model's outputs: its layers have to be asked.")

    def read(self, activations: Any) -> Any:
        """(N, ..., K) of the layer, channels last -> (N,).

        Raises:
            BadTarget: there is no such channel or place.
        """
        *places, channels = tuple(activations.shape)[1:] or (0,)
        if not -channels <= self.channel < channels:
            raise BadTarget(f"{self.layer!r} has {channels} channels, counted from 0, got channel {self.channel}.")
        chosen = activations[..., self.channel]
        if self.position is None:
            return _sum(chosen, tuple(range(1, 1 + len(places)))) / math.prod(places) if places else chosen
        if len(self.position) != len(places) or any(
            not -size <= at < size for at, size in zip(self.position, places, strict=True)
        ):
            grid = "×".join(map(str, places)) or "no"
            raise BadTarget(f"{self.layer!r} has {grid} places, got position {self.position}.")
        for at in self.position:
            chosen = chosen[:, at]
        return chosen

    def named(self) -> str:
        """What it is called."""
        place = "" if self.position is None else f" at {', '.join(map(str, self.position))}"
        return f"{self.layer} channel {self.channel}{place}"


def units(targets: Iterable[Any]) -> list[str]:
    """Names of the layers that targets read."""
    return list(dict.fromkeys(each.layer for each in targets if isinstance(each, Unit)))


def mean_logit(mask: Any, index: int) -> Callable[[Any], Any]:
    """For segmentation: the mean of one class's logits over a region.

    Args:
        mask: (H, W), true (or a weight) where it counts; resized to the size of the model's output.
        index: of the class.

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
            raise BadTarget(f"Nothing is left of the mask at the model's own resolution, {height}×{width}.")
        return _sum(plane * _like(there / there.sum(), plane), (1, 2))

    return mean_of_the_region


def similarity(embedding: Any) -> Callable[[Any], Any]:
    """For models that give embeddings, CLIP's towers say: the cosine between the image's and this one, (D,)."""
    host = embedding.detach().cpu().float() if _of_torch(embedding) else embedding
    wanted = checks.array(host, "embedding", BadTarget).astype(np.float32).reshape(-1)
    length = float(np.linalg.norm(wanted))
    if not length > 0:
        raise BadTarget("The embedding to compare with is zero or not finite.")

    def cosine(outputs: Any) -> Any:
        found = _part(outputs, ("image_embeds", "pooler_output", "embedding", "logits"), 2)
        if int(found.shape[-1]) != len(wanted):
            raise BadTarget(f"The model's embedding has {int(found.shape[-1])} numbers, yours {len(wanted)}.")
        return _sum(found * _like(wanted / length, found), (1,)) / _sum(found * found, (1,)) ** 0.5

    return cosine


def _part(outputs: Any, names: Sequence[str], rank: int) -> Any:
    """The array of that rank in whatever a model returned."""
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
        f"The model returned no array of {rank} axes: a {type(outputs).__name__}. Write a target of your own."
    )


def _of_torch(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch"


def _like(host: np.ndarray, array: Any) -> Any:
    """A host array that may be multiplied with `array`."""
    return array.new_tensor(host) if hasattr(array, "new_tensor") else host


def _sum(array: Any, axes: tuple[int, ...]) -> Any:
    """TensorFlow's tensors have no sum of their own."""
    return array.sum(axes) if hasattr(array, "sum") else sys.modules["tensorflow"].reduce_sum(array, axes)


IMAGENET = 1000
"""How many classes a model has that is taken for one of ImageNet's."""


@lru_cache(1)
def imagenet_names() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, in their order; no two are the same."""
    return tuple((Path(__file__).parent / "data" / "imagenet.txt").read_text(encoding="utf-8").splitlines())


def names_of(labels: Sequence[str] | None, classes: int) -> Sequence[str] | None:
    """The labels; ImageNet's where there are none and the model has 1,000 classes."""
    return imagenet_names() if labels is None and classes == IMAGENET else labels


def _label_index(label: str, names: list[str]) -> int:
    """Return where a label stands; without regard to case where only one then fits."""
    if label in names:
        return names.index(label)
    alike = [index for index, each in enumerate(names) if str(each).casefold() == label.casefold()]
    if len(alike) != 1:
        raise unknown("label", label, names)
    return alike[0]


def _scalar(target: Any) -> Any:
    """Return the whole number in an array or tensor of one element, as ``out.argmax()`` gives; else what was given."""
    shape = getattr(target, "shape", None)
    if shape is None or math.prod(shape) != 1:
        return target
    number = np.asarray(target.detach().cpu() if hasattr(target, "detach") else target)
    return number.item() if number.dtype.kind in "iu" else target


def index_of(target: Any, labels: Sequence[str] | None, classes: int) -> int:
    """The class that an index or a label means.

    Args:
        target: index (negative ones count from the end), also as an array or tensor of one element; or label, of which
            the case may differ where no other label is then the same.
        labels: names of the classes, where there are any.
        classes: how many there are.

    Raises:
        BadTarget: no such index, or a label where the model has none.
        UnknownName: no such label.
    """
    if isinstance(target, str):
        if labels is None:
            raise BadTarget(
                f"The target {brief(target)} is a label, but this model has none: pass labels=[…] or an index."
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
    """Return the output that an index or a label means, where each class has one of its own."""
    index = index_of(target, labels, width)
    if index >= width:
        raise BadTarget(
            f"{target!r} has no output of its own: the model has one output for both of its classes. "
            f"Pass the class itself, target={target!r}."
        )
    return index


def label_of(index: int, labels: Sequence[str] | None) -> str:
    """A class's name, or its number as text where there are no names."""
    return labels[index] if labels is not None and index < len(labels) else str(index)


def probabilities(outputs: np.ndarray, activation: str = "auto") -> np.ndarray:
    """Outputs (N, classes) as probabilities.

    Args:
        outputs: what the model said.
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
    """Whether every row is non-negative and sums to one."""
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(-1), 1, atol=1e-3)) and outputs.shape[-1] > 1
