"""Weights of adapted models: their names, the order of their layers, and copies of a model with other values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from saliency.errors import BadField, Unsupported, brief, unknown
from saliency.model.protocols import Reweightable

Change = Callable[[str, np.ndarray], Any]
"""A function from a weight tensor's name and values to its new values."""

Step = tuple[AbstractSet[Hashable], AbstractSet[Hashable]]
"""One operator's call: what it reads, and what it writes."""

QUANTISED = "stores its weights as integers: pass the model before quantisation"
NO_WEIGHTS = "has no weights of a floating type"


@dataclass(frozen=True)
class Weight:
    """One weight tensor of a model; a tied one has several names.

    Args:
        names: the tensor's names.
        layers: names of the layers that own it.
        read: returns its values, in float32 or float64.
    """

    names: tuple[str, ...]
    layers: tuple[str, ...]
    read: Callable[[], np.ndarray]

    def changed(self, change: Change) -> np.ndarray:
        """Return the tensor's new values.

        Raises:
            BadField: they have another shape, or are no numbers.
        """
        values = self.read()
        made = np.asarray(change(self.names[0], values.copy()))
        if made.shape != values.shape or made.dtype.kind not in "fiu":
            raise BadField(
                f"change must return numbers of shape {values.shape} for the weights {self.names[0]!r}, got "
                f"{brief(made)} of shape {made.shape}."
            )
        return made.astype(values.dtype)


def layer_of(name: str) -> str:
    """Return the layer of a weight tensor: its name up to the last "." or "/".

    A tensor that the model itself owns is a layer of its own.
    """
    owned = name.partition(".parametrizations.")[0] if ".parametrizations." in name else name[: _last_mark(name)]
    return owned or name


def _last_mark(name: str) -> int:
    return max(name.rfind("."), name.rfind("/"), 0)


def by_tensor(named: Iterable[tuple[str, Hashable, Callable[[], np.ndarray]]]) -> list[Weight]:
    """Return the weight tensors of a model.

    Args:
        named: name, identity and values of each; tied tensors have the same identity.
    """
    found: dict[Hashable, tuple[list[str], Callable[[], np.ndarray]]] = {}
    for name, identity, read in named:
        found.setdefault(identity, ([], read))[0].append(name)
    return [Weight(tuple(names), tuple(dict.fromkeys(map(layer_of, names))), read) for names, read in found.values()]


def last_uses(
    steps: Sequence[Step], weights: Mapping[Any, Iterable[str]], images: Hashable, scores: Iterable[Hashable]
) -> dict[str, int]:
    """Return, for each weight tensor that the scores depend on, the last step that combines it with the image.

    Steps without the image, such as the cast of a weight, do not count: the steps that use their results do.

    Args:
        steps: the operators of a program, in order.
        weights: by what a step reads, the names of the weight tensors that it is.
        images: what a step reads if it reads the image.
        scores: what the scores are read from.
    """
    wanted, needed = set(scores), [False] * len(steps)
    for i in reversed(range(len(steps))):
        takes, gives = steps[i]
        if not wanted.isdisjoint(gives):
            needed[i] = True
            wanted |= takes
    of_image = {images}
    origins = {slot: set(names) for slot, names in weights.items()}
    last: dict[str, int] = {}
    for i, (takes, gives) in enumerate(steps):
        if not needed[i]:
            continue
        names: set[str] = set().union(*(origins.get(each, ()) for each in takes))
        if of_image.isdisjoint(takes):
            for each in gives if names else ():
                origins[each] = origins.get(each, set()) | names
        else:
            of_image |= gives
            last.update(dict.fromkeys(names, i))
    return last


class Weighted:
    """The part of an adapter that names the weights of its model and makes copies with other values."""

    lacks: dict[type, str]
    lock: Any

    def weighted_layers(self, images: Any) -> list[str]:
        """See :meth:`saliency.model.protocols.Reweightable.weighted_layers`."""
        self._require_weights()
        with self.lock:
            weights, uses = self._weights(), self._last_uses(images[:1])
        last: dict[str, tuple[int, int]] = {}
        for i, weight in enumerate(weights):
            used = [uses[name] for name in weight.names if name in uses]
            for layer in weight.layers if used else ():
                last[layer] = max(last.get(layer, (-1, -1)), (max(used), i))
        return sorted(last, key=lambda layer: last[layer], reverse=True)

    def reweighted(self, change: Change, layers: Sequence[str] | None = None) -> Self:
        """See :meth:`saliency.model.protocols.Reweightable.reweighted`."""
        self._require_weights()
        with self.lock:
            weights = self._weights()
            chosen = _of_layers(weights, layers)
            return self._with_weights({each.names[0]: each.changed(change) for each in chosen})

    def weight_digest(self) -> str:
        """Return a hash of the names and values of all weights."""
        found = hashlib.blake2b(digest_size=16)
        with self.lock:
            for each in self._weights():
                found.update(repr(each.names).encode())
                found.update(np.ascontiguousarray(each.read()).tobytes())
        return found.hexdigest()

    def _require_weights(self) -> None:
        if (why := self.lacks.get(Reweightable)) is not None:
            raise Unsupported(f"The weights of this model cannot be changed: {why}.")

    def _weights(self) -> list[Weight]:
        """Return the weight tensors of the model."""
        raise NotImplementedError

    def _last_uses(self, images: Any) -> dict[str, int]:
        """Return the result of :func:`last_uses` by every name of each weight tensor."""
        raise NotImplementedError

    def _with_weights(self, values: Mapping[str, np.ndarray]) -> Self:
        """Return a copy with these values, by the first name of each weight tensor."""
        raise NotImplementedError


def _of_layers(weights: Sequence[Weight], layers: Sequence[str] | None) -> list[Weight]:
    """Return the weight tensors of some layers, or all."""
    if layers is None:
        return list(weights)
    known = {layer: None for each in weights for layer in each.layers}
    wanted = [layers] if isinstance(layers, str) else list(layers)
    for layer in wanted:
        if layer not in known:
            raise unknown("layer with weights", layer, known)
    return [each for each in weights if not set(wanted).isdisjoint(each.layers)]
