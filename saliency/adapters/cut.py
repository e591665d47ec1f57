"""A model cut at a layer: the part before the layer as a model, and the error for a layer that does not cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from saliency.errors import BadShape, Unsupported
from saliency.model.names import name_in_sentence
from saliency.model.protocols import Answer
from saliency.targets import Unit, unit

HIDDEN = "it is the part of a model after a cut, which has no other layers: cut or read the whole model instead"
"""Why a tail has no layers."""

TRIED = 12
"""Maximum number of layers that are tried for the suggestion in an error."""


def other_shape(layer: str, wanted: tuple[int, ...], given: tuple[int, ...]) -> BadShape:
    """Return the error for values that do not have the shape of the layer at which a model is cut."""
    return BadShape(
        f"The values of {layer} must have its shape {wanted}, got {given}. For images of another size, cut the model "
        "with one of them: cut(layer, images)."
    )


class LayerValues:
    """The part of a model from images to the values of a layer; its scores are units of the layer.

    Args:
        bound: the whole model, with the layer bound.
    """

    def __init__(self, bound: Any) -> None:
        self._bound, (self.layer,) = bound, bound._layers
        self.ops, self.lacks, self.lock, self.batch_sizes = bound.ops, bound.lacks, bound.lock, bound.batch_sizes
        self.name = bound.name

    def outputs(self, images: Any) -> Any:
        """Return all values of the layer, channels last: (N, h, w, K), (N, T, K) with all tokens, or (N, K)."""
        (values,) = self._bound.activations(images, whole=True)
        return values

    def at(self, targets: Sequence[Any]) -> Self:
        """Return the same model with targets bound.

        Args:
            targets: channels, or callables from the layer's activations to (N,); see :func:`saliency.targets.unit`.
        """
        chosen = [each if isinstance(each, Unit) else unit(self.layer, each) for each in targets]
        return type(self)(self._bound.at(chosen, [self.layer]))

    def scores(self, images: Any) -> Any:
        """Return the values of the bound units, (k, N)."""
        return self._bound.scores(images)

    def gradients(self, images: Any) -> Answer[Any]:
        """Return the values of the bound units (k, N), and their gradients (k, N, H, W, C)."""
        found: Answer[Any] = self._bound.gradients(images)
        return found

    def rewired(self, rules: Any) -> Any:
        """See :meth:`saliency.model.protocols.Rewirable.rewired`."""
        return self._bound.rewired(rules)

    def operators(self, images: Any) -> frozenset[str]:
        """See :meth:`saliency.model.protocols.Rewirable.operators`."""
        found: frozenset[str] = self._bound.operators(images)
        return found


def uncuttable(bound: Any, images: Any, around: bool) -> Unsupported:
    """Return the error for a layer that does not cut a model, with the next layer that does.

    Args:
        bound: the model, with the layer bound.
        images: an example, (1, H, W, C).
        around: whether the scores depend on the image around the layer; otherwise they do not depend on the layer.
    """
    (layer,) = bound._layers
    if not around:
        return Unsupported(f"The scores do not depend on {layer!r}: choose a layer before them.")
    names = [name for name, _, _ in bound.layer_table(images)]
    # the modules around the layer, innermost first, then the layers after it
    around_it = [name for name in reversed(names) if layer.startswith((f"{name}.", f"{name}:"))]
    after = names[names.index(layer) + 1 :] if layer in names else names
    tried = list(dict.fromkeys([*around_it, *after]))[:TRIED]
    there = next((each for each in tried if bound.at(bound._targets, [each]).cuts(images)), None)
    known = layer in names or there in around_it
    hint = (
        "saliency.layers(model, image) lists the layers"
        if there is None
        else f"the next one that does is {there!r}"
        if known
        else f"one that does is {there!r}"
    )
    return Unsupported(
        f"{layer!r} does not cut {name_in_sentence(bound)} in two: with its values fixed, the scores still depend on "
        "the image by a path around it, such as a skip connection. Choose a layer after the paths have joined: "
        f"{hint}."
    )
