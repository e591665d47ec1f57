"""The base of all adapters: bind targets and layers, note decisions, read a layer's tokens as patches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Self, cast

import numpy as np

from saliency.adapters.answers import Arrays
from saliency.adapters.calls import Calls
from saliency.adapters.cut import HIDDEN, LayerValues, uncuttable
from saliency.adapters.declared import declared_by, labels_of
from saliency.adapters.layers import Surveyed
from saliency.adapters.outputs import Choice
from saliency.adapters.per_model import Shared, shared_by
from saliency.adapters.tokens import Grid, patches, tokens_of, tokens_on_grid
from saliency.errors import BadField, UnknownName, Unsupported
from saliency.model.head import Ending, Head, decide
from saliency.model.names import name_of
from saliency.model.protocols import Answer, Attention, Attentive, Cut, Inspectable, Layer, Ops, Read, Target, lacking
from saliency.pictures.presets import Declared
from saliency.rules import Composite
from saliency.targets import ClassScore, OfScores, Unit, units

NO_GRID = (
    "No layer with a spatial grid was found between the image and the scores. Expected an output of shape "
    "(N, h, w, K), or (N, K, h, w) in torch, with h, w > 1, or tokens (N, T, K) that are patches of the image. "
    "Name a layer with layer=…; saliency.layers(model, image) lists the candidates."
)

LAST = "the last with a spatial grid"
DENSE = "the encoder's last: the output is a map"
"""How the automatic layer was chosen."""


NOUNS = {"value": "values", "labels": "labels"}
"""Nouns for outputs that are not classes, by their meaning."""


class Adapter:
    """A model with targets and layers bound.

    ``comparable`` is false where calls with other preprocessings are to be avoided, since calls may be expensive.

    Args:
        model: the user's own; all its adapters share one lock and one cache.
        labels: names of the classes.
        ops: the array functions of its framework.
    """

    comparable = True
    eager = True
    size: tuple[int, int] | None = None
    channels: int | None = None
    scales_itself = False

    def __init__(self, model: Any, labels: Sequence[str] | None, ops: Ops[Any]) -> None:
        self.model, self.ops = model, ops
        self.name = name_of(model)
        """How messages call it, such as "your MyNet"."""
        self.labels = labels_of(model) if labels is None else labels
        self.labels_given = labels is not None
        """Whether the user passed the labels; these must not be fewer than the classes."""
        self._share(shared_by(model))
        self.lacks: dict[type, str] = {}
        self.notes: list[str] = []
        # returns the name and the object of each part of the model, if it has any
        self._parts: Callable[[], Iterable[tuple[str, Any]]] = tuple
        self._targets: tuple[Target, ...] = ()
        self._layers: tuple[str, ...] = ()
        # the layer that a tail starts after; none for a whole model
        self._start = ""
        self._rules: Composite | None = None
        # by what the gradient at the bound layer is multiplied
        self._gate: np.ndarray | None = None
        self.activation, self.output = "auto", cast(Any, None)
        self._declared_activation = "auto"
        self.head: Head | None = None
        self.width: tuple[Hashable, int] | None = None
        self._declared: Declared | None = None
        self.loaded: Any = None
        """The model if :func:`saliency.adapt` loaded it from a file: this reference keeps it alive."""

    def _share(self, shared: Shared) -> None:
        """Use the lock and the caches of a model."""
        self._shared, self.lock, self.batch_sizes = shared, shared.lock, shared.batch_sizes
        self.compared, self.consistency = shared.compared, shared.consistency

    def _copied(self) -> Self:
        """Return a copy for other weights, with no results of these weights."""
        view = copy.copy(self)
        view.notes = list(self.notes)
        view._share(self._shared.reweighted())
        return view

    @property
    def declared(self) -> Declared | None:
        """The preprocessing that the model declares; None without one."""
        return self._declared or declared_by(self.model)

    @declared.setter
    def declared(self, declared: Declared) -> None:
        self._declared = declared

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.at`."""
        bound = copy.copy(self)
        bound._targets = tuple(t if callable(t) else ClassScore(t) for t in targets)
        bound._layers = tuple(layers)
        bound.notes = list(self.notes)
        return bound

    def rewired(self, rules: Composite) -> Self:
        """See :meth:`saliency.model.protocols.Rewirable.rewired`."""
        view = copy.copy(self)  # operators that follow no rule are reported in the notes of the model itself
        view._rules = rules
        return view

    def computing(self, precision: str | None, *, compiled: bool) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.computing`; for models that only compute in their own way."""
        if precision is not None:
            raise Unsupported(
                f"precision={precision!r} is for torch modules, and {self.name} is none: build it in that type itself, "
                "in Keras after keras.config.set_dtype_policy('mixed_bfloat16'), in JAX with parameters of that type."
            )
        if compiled and self.eager:
            raise Unsupported(
                f"compile=True is for torch modules, and {self.name} is none. Models of TensorFlow and JAX, and Keras "
                "on either, are always compiled; a function is called as it is, so compile it yourself."
            )
        return self

    def deviation(self, images: Any) -> str | None:
        """See :meth:`saliency.model.protocols.Adapted.deviation`; these compute in their own type."""
        return None

    def wants(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """See :meth:`saliency.model.protocols.Adapted.wants`; a model without a fixed size takes any."""
        return shape

    def layer_name(self, layer: Any) -> Any:
        """Return the name of a layer that is given by name or as a module; for a list, a list of names.

        Raises:
            UnknownName: the module is not part of the model.
        """
        if isinstance(layer, list | tuple):
            return [self.layer_name(each) for each in layer]
        if isinstance(layer, str):
            return layer
        for name, part in self._parts():
            if part is layer and name:
                return name
        raise UnknownName(
            f"The {type(layer).__name__} given as layer= is not part of {self.name}. Pass one of its "
            "modules, or a name from saliency.layers(model, image)."
        )

    def automatic_layer(self, images: Any) -> str:
        """See :meth:`saliency.model.protocols.Adapted.automatic_layer`."""
        return self.automatic_layers(images)[0][0]

    def automatic_layers(self, images: Any) -> tuple[list[str], str]:
        """See :meth:`saliency.model.protocols.Adapted.automatic_layers`."""
        found: tuple[list[str], str] = self._fact("layers", images, lambda: self._automatic_layers(images))
        return found

    @property
    def structure(self) -> Hashable:
        """See :meth:`saliency.model.protocols.Adapted.structure`."""
        return self.version

    @property
    def version(self) -> Hashable:
        """See :meth:`saliency.model.protocols.Adapted.version`."""
        raise NotImplementedError

    def _fact(self, name: str, images: Any, find: Callable[[], Any]) -> Any:
        """Return a fact about the program from images of this shape to the scores, found once per model.

        It must not depend on which class is explained, nor on the values of the weights. Nothing is cached for targets
        and outputs that are callables.
        """
        key = self._key(name, images)
        return find() if key is None else self._shared.fact(key, find)

    def _known_fact(self, name: str, images: Any) -> Any:
        """Return a fact if it was found before; otherwise None."""
        key = self._key(name, images)
        return None if key is None else self._shared.known(key)

    def _key(self, name: str, images: Any) -> Hashable | None:
        """Return the key of a fact; None where nothing is cached."""
        if any(not isinstance(each, OfScores | Unit) for each in self._targets) or callable(self.output):
            return None
        kinds = frozenset(each if isinstance(each, Unit) else OfScores for each in self._targets)
        bound = (kinds, self._layers, self._start, self._to_logits, self.output)
        return name, self.structure, *bound, tuple(images.shape[1:])

    def _automatic_layers(self, images: Any) -> tuple[list[str], str]:
        found = self._survey(images)
        if not found.layers:
            raise UnknownName(NO_GRID)
        return found.automatic(), DENSE if found.dense else LAST

    def layer_table(self, images: Any) -> list[tuple[str, tuple[int, ...], str]]:
        """See :meth:`saliency.model.protocols.Adapted.layer_table`."""
        return [(each.name, each.shape, each.grid.described()) for each in self._survey(images).layers]

    def cut(self, layer: Any, images: Any = None) -> Cut[Any]:
        """See :meth:`saliency.model.protocols.Cuttable.cut`."""
        if (why := lacking(cast(Any, self), Inspectable)) is not None:
            raise Unsupported(f"Cutting a model at a layer needs a layer's activations: {why}.")
        if inside := units(self._targets):
            raise Unsupported(
                f"The target is a unit of {inside[0]!r}, and a model that is cut at a layer has no other layers. "
                "Explain the unit with the whole model, or a class with the cut one."
            )
        example = self._example() if images is None else images[:1]
        bound = self.at(self._targets, [self.layer_name(layer)])
        around, through = bound._paths(example)
        if around or not through:
            raise uncuttable(bound, example, around)
        (values,) = bound.activations(example, whole=True)
        grid, before = bound._grid_of(values, example)
        if len(values) != 1 or len(values.shape) < 2:
            shape = tuple(map(int, values.shape))
            raise Unsupported(f"The first axis of {bound._layers[0]!r} must be the batch; for one image it is {shape}.")
        tail = bound._tail(example)
        tail._start = bound._layers[0]
        tail._layers, tail.size, tail.channels, tail.scales_itself = (), None, None, False
        tail.wants = lambda shape: shape  # type: ignore[method-assign]
        tail.lacks = {**self.lacks, Inspectable: HIDDEN, Attentive: HIDDEN}
        return Cut(bound._layers[0], LayerValues(bound), cast(Any, tail), grid, before)

    def cuts(self, images: Any) -> bool:
        """See :meth:`saliency.model.protocols.Cuttable.cuts`."""
        paths: tuple[bool, bool] = self._fact("paths", images, lambda: self._paths(images[:1]))
        return paths == (False, True)

    def penultimate_layer(self, images: Any) -> str:
        """See :meth:`saliency.model.protocols.Cuttable.penultimate_layer`."""
        found: str | None = self._fact("penultimate", images, lambda: self._penultimate(images[:1]))
        if found is None:
            raise Unsupported(
                f"The layer before the last linear layer of {self.name} was not found: its program shows no operator "
                "with weights that reads a layer. Name the layer with layer=…; saliency.layers(model, image) lists "
                "those with a grid."
            )
        return found

    def operators(self, images: Any) -> frozenset[str]:
        """See :meth:`saliency.model.protocols.Rewirable.operators`."""
        found: frozenset[str] = self._fact("operators", images, lambda: self._operators(images))
        return found

    def _operators(self, images: Any) -> frozenset[str]:
        """Return the kinds of operators that process images (1, H, W, C)."""
        raise NotImplementedError

    def gated(self, selected: np.ndarray) -> Self:
        """See :meth:`saliency.model.protocols.Cuttable.gated`."""
        view = copy.copy(self)
        view._gate = selected
        return view

    def layer_grid(self, images: Any) -> tuple[tuple[int, int] | None, int]:
        """See :meth:`saliency.model.protocols.Cuttable.layer_grid`."""

        def find() -> tuple[tuple[int, int] | None, int]:
            (values,) = self.activations(images[:1], whole=True)
            return self._grid_of(values, images[:1])

        found: tuple[tuple[int, int] | None, int] = self._fact("grid", images, find)
        return found

    def _grid_of(self, values: Any, images: Any) -> tuple[tuple[int, int] | None, int]:
        """Return :meth:`layer_grid` from all of the layer's values for one image."""
        place = self._place(values, images)
        return (None, 0) if place is None else ((place.height, place.width), place.before)

    def activations(self, images: Any, *, whole: bool = False) -> list[Any]:
        """See :meth:`saliency.model.protocols.Inspectable.activations`."""
        raise NotImplementedError

    def _example(self) -> Any:
        """Return one grey image of a size that the model accepts, (1, H, W, C)."""
        shape = self.wants((*(self.size or (224, 224)), self.channels or 3))
        return self.ops.asarray(np.full((1, *shape), 0.5, np.float32))

    def _paths(self, images: Any) -> tuple[bool, bool]:
        """Return whether the scores depend on the image around the bound layer, and whether through it."""
        raise NotImplementedError

    def _penultimate(self, images: Any) -> str | None:
        """Return the name of the layer that the last operator with weights reads; None if there is none."""
        raise NotImplementedError

    def _place(self, values: Any, images: Any) -> Grid | None:
        """Return the grid of the bound layer on the image, from all of its values for one image."""
        raise NotImplementedError

    def _tail(self, images: Any) -> Self:
        """Return the model from the values of the bound layer to the scores; `images` is an example."""
        raise NotImplementedError

    def _survey(self, images: Any) -> Surveyed:
        """Return the layers with a spatial grid that the scores depend on."""
        raise NotImplementedError

    def note(self, text: str) -> None:
        """Add a note for the user, once."""
        if text not in self.notes:
            self.notes.append(text)

    def _choice(self, arrays: Arrays) -> Choice:
        """Return the rule that picks the output to explain."""
        return Choice(arrays, self.output, None if self.labels is None else len(self.labels), self.name)

    @property
    def _undecided(self) -> bool:
        """Whether the meaning of the outputs is not decided yet, or only guessed."""
        return self.head is None or self.head.guessed

    @property
    def _to_logits(self) -> bool:
        """Whether targets read the logits before the model's last activation."""
        return self.head is not None and self.head.to_logits

    def _decide(self, outputs: np.ndarray, ending: Ending, choice: str = "") -> None:
        """Decide what the outputs mean. A guess from their range is kept until later outputs contradict it.

        Args:
            outputs: (N, K), on the host.
            ending: the last operator of the program.
            choice: the note on which of several outputs was chosen.
        """
        activation = self._declared_activation if self.activation == "auto" else self.activation
        head = decide(outputs, ending, None if self.labels is None else len(self.labels), activation)
        self._compare_labels(head, outputs.shape[1])
        if self.head is not None:
            if not self.head.guessed or head.guessed:
                return
            self.notes.remove(self.head.note)
        self.head = head
        for text in (choice, self.head.note):
            if text:
                self.note(text)

    def _compare_labels(self, head: Head, width: int) -> None:
        """Compare the number of the user's labels with outputs (N, `width`); note it if there are more labels.

        Raises:
            BadField: there are fewer labels than classes.
        """
        if self.labels is None or not self.labels_given or len(self.labels) == (count := head.count(width)):
            return
        nouns = NOUNS.get(head.meaning, "classes")
        counts = f"labels has {len(self.labels)} names, but {self.name} has {count} {nouns}"
        if len(self.labels) < count:
            raise BadField(f"{counts}. Pass one name for each, in order.")
        self.note(f"{counts}: the first {count} are used")


class GridAdapter(Adapter):
    """An adapter that reads tokens as patches of the image, and channels in either layout.

    Subclasses provide the model's :class:`Calls` and the survey of its layers.
    """

    def __init__(self, model: Any, labels: Sequence[str] | None, ops: Ops[Any]) -> None:
        super().__init__(model, labels, ops)
        # by number of tokens, their grid on the image
        self._grids: dict[int, Grid] = {}
        # by layer and shape of image, the shape of the layer's values
        self._shapes: dict[tuple[Any, ...], tuple[int, ...]] = {}
        # by shape of image, the grid of the bound layer's tokens; None if the layer is a map
        self._patched: dict[tuple[int, ...], Grid | None] = {}

    @property
    def channels_first(self) -> bool:
        """Whether the model's own images are (C, H, W)."""
        return False

    def at(self, targets: Sequence[int | Target], layers: Sequence[str] = ()) -> Self:
        """See :meth:`saliency.model.protocols.Adapted.at`."""
        bound = super().at(targets, layers)
        bound._grids, bound._patched = {}, {}
        return bound

    @property
    def _calls(self) -> Calls:
        """Return the calls of the model, in the layout of the framework."""
        raise NotImplementedError

    def scores(self, images: Any) -> Any:
        """Return the scores, (k, N)."""
        return self._calls.scores(images)

    def gradients(self, images: Any) -> Answer[Any]:
        """Return scores (k, N) and gradients (k, N, H, W, C), from one forward pass."""
        if self._gate is not None:
            return Answer(*self._calls.gated(images, self._selected(images)))
        answer = Answer(*(self._calls.gradients if self._rules is None else self._calls.rewired)(images))
        return answer if len(images) == 1 else answer._replace(lost=None)

    def _selected(self, images: Any) -> Any:
        """Return the gate of the bound layer for each image, in the layer's own layout."""
        (layer,) = self._layers
        key = (layer, tuple(images.shape[1:]))
        if key not in self._shapes:
            self._shapes[key] = tuple(map(int, self.activations(images[:1], whole=True)[0].shape[1:]))
        gate = np.broadcast_to(np.asarray(self._gate, np.float32), (len(images), *self._shapes[key]))
        return self.ops.asarray(np.moveaxis(gate, -1, 1) if self.channels_first and gate.ndim == 4 else gate)

    def layers(self, images: Any, *, whole: bool = False) -> list[Layer[Any]]:
        """Return activations (N, h, w, K) and gradients (k, N, h, w, K) of each bound layer."""
        scores, found = self._calls.layers(images)
        pairs = [(self._last(seen, 1), self._last(back, 2)) for seen, back in found]
        if whole:
            return Read((Layer(*pair) for pair in pairs), scores)
        grids = [self._grid(seen, images) for seen, _ in pairs]
        return Read(
            (
                Layer(*(patches(each, grid, self.ops.reshape) for each in pair))
                for pair, grid in zip(pairs, grids, strict=True)
            ),
            scores,
        )

    def activations(self, images: Any, *, whole: bool = False) -> list[Any]:
        """Return the activations (N, h, w, K) of each bound layer."""
        arrays = [self._last(each, 1) for each in self._calls.activations(images)]
        return arrays if whole else [patches(each, self._grid(each, images), self.ops.reshape) for each in arrays]

    def scores_with(self, images: Any, activations: Any) -> Any:
        """Return the scores (k, N) with the bound layer's activations replaced."""
        if (shape := tuple(images.shape[1:])) not in self._patched:
            self._patched[shape] = self._grid(self._calls.activations(images[:1])[0], images)
        if (grid := self._patched[shape]) is not None:
            # tokens that are no patches keep their values
            (seen,) = self._calls.activations(images)
            rows = self.ops.reshape(activations, (len(images), -1, int(seen.shape[-1])))
            own = self.ops.concat([seen[:, : grid.before], rows, seen[:, grid.tokens - grid.after :]], 1)
        elif self.channels_first and len(activations.shape) == 4:
            own = self.ops.transpose(activations, (0, 3, 1, 2))
        else:
            own = activations
        return self._calls.scores_with(images, own)

    def attentions(self, images: Any) -> Attention[Any]:
        """Return each layer's attention maps (N, heads, T, T) and their gradients (k, N, heads, T, T)."""
        return self._attended(self._calls.attentions, images)

    def early_exits(self, images: Any) -> Attention[Any]:
        """Return the attention maps with gradients of the scores that the head gives after each layer's own block."""
        return self._attended(self._calls.early_exits, images)

    def _attended(self, call: Callable[[Any], Any], images: Any) -> Attention[Any]:
        layers = [Layer(*each) for each in call(images)]
        tokens = tokens_of([each.activations for each in layers], len(images), self.name)
        if tokens not in self._grids:
            maps = {(laid.grid.height, laid.grid.width) for laid in self._survey(images).layers if len(laid.shape) == 4}
            self._grids[tokens] = tokens_on_grid(tokens, size_of(images), maps, self.name)
        grid = self._grids[tokens]
        self.note(f"attention between {grid.described()}")
        return Attention(layers, grid.height, grid.width, grid.before)

    def _automatic_layers(self, images: Any) -> tuple[list[str], str]:
        """Return the last layer at each grid size.

        After the last attention, a class token's score no longer depends on the patches, so only earlier rows of tokens
        count as layers.
        """
        found = self._survey(images)
        rows = [each.name for each in found.layers if each.grid.of_tokens]
        if rows and found.layers[-1].name == rows[-1]:
            layers = self.at(self._targets or (0,), rows).layers(images[:1])
            idle = {name for name, each in zip(rows, layers, strict=True) if not self.ops.tohost(each.gradients).any()}
            found = found._replace(layers=[each for each in found.layers if each.name not in idle])
        if not found.layers:
            raise UnknownName(NO_GRID)
        return found.automatic(), DENSE if found.dense else LAST

    def _place(self, values: Any, images: Any) -> Grid | None:
        """See :class:`Adapter`."""
        if len(values.shape) == 4 and len(images.shape) == 4:
            return Grid("last", int(values.shape[1]), int(values.shape[2]))
        return self._grid(values, images)

    def _grid(self, activations: Any, images: Any) -> Grid | None:
        """Return the grid of a layer's tokens on the image; None for a map."""
        if len(activations.shape) != 3 or len(images.shape) != 4:
            return None
        tokens = int(activations.shape[1])
        if tokens not in self._grids:
            found = (each.grid for each in self._survey(images).layers if each.grid.of_tokens)
            grid = next((each for each in found if each.tokens == tokens), None)
            if grid is None:
                return None
            self._grids[tokens] = grid
            self.notes.append(f"a layer read as a grid of {grid.described()}")
        return self._grids[tokens]

    def _last(self, array: Any, leading: int) -> Any:
        """Move the channels of a map from after its `leading` axes to the end."""
        axes = len(array.shape)
        if not self.channels_first or axes - leading != 3:
            return array
        return self.ops.transpose(array, (*range(leading), axes - 2, axes - 1, leading))


def size_of(images: Any) -> tuple[int, int]:
    """Return the height and width of images (N, H, W, C); (1, 1) for other arrays."""
    return (int(images.shape[1]), int(images.shape[2])) if len(images.shape) == 4 else (1, 1)
