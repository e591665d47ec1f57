"""Find the linear layer that a model ends in, from its values and gradients at the layer before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from saliency.errors import BadShape, Unsupported
from saliency.influence.head import LinearHead
from saliency.model.head import Head
from saliency.model.names import name_in_sentence, subject_of
from saliency.model.protocols import Adapted, Cuttable, Layered, lacking
from saliency.model.resolve import outputs_of

TOLERANCE = 2e-3
"""Largest relative difference between images of the gradients, and of the bias, that is a rounding error."""

SHUFFLED = 2
"""Maximum number of images that are compared with their own pixels in another order, as more images."""

TOGETHER = 64
"""Maximum number of targets of one backward pass: frameworks take time quadratic in it."""

PICK = (
    "Name the layer that the last linear layer reads with layer=…; saliency.layers(model, image) lists those with a "
    "grid"
)


@dataclass(frozen=True)
class LastLayer:
    """The linear layer that a model ends in, and the layer that it reads.

    Attributes:
        head: its weights and bias.
        layer: name of the layer before it.
        places: the places of that layer that the head reads, (k,): one for a vector or a class token.
        pooled: whether the head reads their mean; otherwise all of their values in a row.
        shape: of the values of that layer for one image, channels last.
    """

    head: LinearHead
    layer: str
    places: np.ndarray
    pooled: bool
    shape: tuple[int, ...]

    def features(self, values: np.ndarray) -> np.ndarray:
        """Return the inputs of the head, (n, d), from the values of the layer, (n, …, K).

        Raises:
            BadShape: they have another shape.
        """
        if values.shape[1:] != self.shape:
            raise BadShape(
                f"The values of {self.layer!r} have the shape {self.shape} for the first image and {values.shape[1:]} "
                "for another, which is fed at another size: pass a preprocess with a size, such as "
                "preprocess='0..1 224'."
            )
        read = values.reshape(len(values), -1, values.shape[-1])[:, self.places]
        return read.mean(1) if self.pooled else read.reshape(len(read), -1)


def last_layer(adapted: Adapted[Any], images: Any, layer: Any = None) -> LastLayer:
    """Return the linear layer that a model ends in.

    The weights are the gradients of the logits at the layer before, and the bias is what remains of the logits. That
    the logits are linear is verified on the images, and on these with their pixels in another order.

    Args:
        adapted: the model.
        images: (N, H, W, C), a few different ones.
        layer: name of the layer before the last one, or the module itself; by default the one that the last operator
            with weights reads.

    Raises:
        Unsupported: the outputs are no logits of classes or labels, the logits are no linear function of the layer, or
            the model exposes no layers.
        UnknownName: there is no such layer.
    """
    if (why := lacking(adapted, Layered) or lacking(adapted, Cuttable)) is not None:
        raise Unsupported(
            f"The influence of training images needs the last, linear layer of a model, read by its gradients: {why}. "
            "With features and weights of your own, use saliency.influence.Snapshot."
        )
    model: Any = adapted
    several = _with_shuffled(model.ops, images)
    outputs = outputs_of(adapted, several)
    targets = _logits_of(adapted, outputs.shape[1])
    with adapted.lock:
        name = model.penultimate_layer(several) if layer is None else model.layer_name(layer)
        gradients, spread = _gradients(model, several, name, targets)
        if spread > TOLERANCE:
            raise _not_linear(adapted, name, f"their gradients there differ between images by {100 * spread:.2g} %")
        logits = _scores(model, several, targets) if adapted.head.to_logits or len(targets) == 1 else outputs
        (values,) = model.at((), [name]).activations(several, whole=True)
    found = _with_weights(gradients, name, _loss(adapted.head))
    linear = found.features(np.asarray(model.ops.tohost(values))).astype(np.float64) @ found.head.weights.T
    remains = logits - linear
    scale = max(float(np.abs(logits).max()), float(np.abs(linear).max()), 1e-12)
    if (differs := float(np.ptp(remains, axis=0).max()) / scale) > TOLERANCE:
        raise _not_linear(adapted, name, f"what remains of them there differs between images by {100 * differs:.2g} %")
    return replace(found, head=LinearHead(found.head.weights, remains.mean(0), found.head.loss))


def _with_shuffled(ops: Any, images: Any) -> Any:
    """Return images, and the first ones again with their pixels in another order."""
    host = np.asarray(ops.tohost(images[:SHUFFLED]))
    places = int(np.prod(host.shape[1:-1]))
    order = np.random.default_rng(0).permutation(places)
    shuffled = host.reshape(len(host), places, host.shape[-1])[:, order].reshape(host.shape)
    return ops.concat([images, ops.asarray(shuffled)])


def _logits_of(adapted: Adapted[Any], width: int) -> Sequence[Any]:
    """Return the targets that are the logits of a model with `width` outputs.

    Raises:
        Unsupported: its outputs are values, or probabilities whose logits cannot be reached.
    """
    head: Head = adapted.head
    if head.meaning == "value":
        raise Unsupported(
            f"{subject_of(adapted)} returns values, and the loss of their training is unknown ({head.note}). If they "
            "are logits, pass activation='softmax' or 'sigmoid'."
        )
    if head.apply == "none" and not head.to_logits:
        raise Unsupported(
            f"{subject_of(adapted)} returns probabilities whose logits cannot be reached ({head.note}). Pass a model "
            "that returns logits; or activation='softmax' or 'sigmoid' if these are logits."
        )
    return [head.target(1)] if head.meaning == "binary" else range(width)


def _loss(head: Head) -> str:
    return "softmax" if head.meaning == "classes" else "sigmoid"


def _gradients(model: Any, images: Any, layer: str, targets: Sequence[Any]) -> tuple[np.ndarray, float]:
    """Return the gradients of the targets at a layer for the first image, (C, …, K), and how they differ for others.

    The difference is that of the first targets, relative to their largest gradient.

    Raises:
        Unsupported: the first axis of the layer is not the batch.
    """
    (first,) = model.at(targets[:TOGETHER], [layer]).layers(images, whole=True)
    some = np.asarray(model.ops.tohost(first.gradients))
    if some.shape[1] != len(images):
        raise Unsupported(
            f"The first axis of {layer!r} must be the batch; of {len(images)} images it is {some.shape[1]}."
        )
    most, differs = float(np.abs(some).max()), float(np.abs(some - some[:, :1]).max())
    gradients = [some[:, 0]]
    for part in _parts(targets[TOGETHER:], TOGETHER):
        (found,) = model.at(part, [layer]).layers(images[:1], whole=True)
        gradients.append(np.asarray(model.ops.tohost(found.gradients))[:, 0])
    return np.concatenate(gradients)[: len(targets)].astype(np.float64), differs / most if most else float(differs > 0)


def _scores(model: Any, images: Any, targets: Sequence[Any]) -> np.ndarray:
    """Return the scores of the targets, (N, C) float64."""
    parts = _parts(targets, len(targets) if model.eager else min(len(targets), TOGETHER))
    scores = [np.asarray(model.ops.tohost(model.at(part).scores(images))) for part in parts]
    return np.concatenate(scores)[: len(targets)].T.astype(np.float64)


def _parts(targets: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield `size` targets at a time; the last are filled up, since compiled models are compiled for each number."""
    for i in range(0, len(targets), size):
        part = list(targets[i : i + size])
        yield part + part[-1:] * (size - len(part))


def _with_weights(gradients: np.ndarray, name: str, loss: str) -> LastLayer:
    """Return the weights that the gradients (C, …, K) are, without the bias."""
    shape = gradients.shape[1:]
    gradients = gradients.reshape(len(gradients), -1, shape[-1])
    most = np.abs(gradients).max()
    places = np.flatnonzero((gradients != 0).any((0, 2))) if most > 0 else np.arange(gradients.shape[1])
    gradients = gradients[:, places]
    pooled = len(places) > 1 and bool(np.ptp(gradients, axis=1).max() <= TOLERANCE * most)
    weights = gradients.sum(1) if pooled else gradients.reshape(len(gradients), -1)
    return LastLayer(LinearHead(weights, loss=loss), name, places, pooled, shape)


def _not_linear(adapted: Adapted[Any], layer: str, found: str) -> Unsupported:
    return Unsupported(
        f"The scores of {name_in_sentence(adapted)} are no linear function of {layer!r}: {found}. The influence of "
        f"training images is computed on the last, linear layer. {PICK}; or pass output=… to choose another output."
    )
