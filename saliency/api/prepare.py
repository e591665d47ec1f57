"""Prepare a model and a picture. Everything that is decided automatically is decided here, once, with a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saliency import checks
from saliency.adapters import adapt, read_as
from saliency.adapters.multi_input import adapt_several
from saliency.api.feeding import picture_for, surer_preset
from saliency.api.fitting import for_inputs, layers_for, with_layer_names
from saliency.api.methods import chosen, offered, unsupported, with_field
from saliency.core.method import Method
from saliency.errors import BadField, BadTarget
from saliency.model.head import Head
from saliency.model.inputs import Inputs, inputs_of
from saliency.model.protocols import FRAMEWORKS, Adapted, lacking
from saliency.model.resolve import outputs_of, resolved, resolved_index
from saliency.pictures.picture import Picture, read
from saliency.pictures.presets import Preprocess
from saliency.results.run import Run
from saliency.session.consistency import inconsistency
from saliency.targets import OfScores


@dataclass(frozen=True)
class Prepared:
    """A model with its input: the start of every call that explains or predicts.

    Attributes:
        adapted: the model, without bound targets.
        picture: the picture with the model's input; or several inputs, packed into one.
    """

    adapted: Adapted[Any]
    picture: Picture | Inputs
    # not functools.cached_property: before Python 3.12 one lock holds up all instances while a model is called
    _computed: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def images(self) -> Any:
        """The model's input in its own array type, (1, H, W, C) or (1, D)."""
        if "images" not in self._computed:
            self._computed["images"] = self.adapted.ops.asarray(self.picture.fed)
        return self._computed["images"]

    @property
    def outputs(self) -> np.ndarray:
        """The model's outputs, (K,) float64 on the host.

        Raises:
            BadOutput: they are not finite.
        """
        if "outputs" not in self._computed:
            self._computed["outputs"] = outputs_of(self.adapted, self.images)
        return np.asarray(self._computed["outputs"])

    @property
    def head(self) -> Head:
        """How the outputs are interpreted."""
        if self.adapted.head is None:
            _ = self.outputs
        head: Head = self.adapted.head
        return head

    def index(self, target: Any) -> int:
        """Return the index of the class, or value, of a target; None stands for the top class."""
        return resolved_index(target, self.head, self.outputs, self.head.names(self.adapted.labels, len(self.outputs)))

    def filled(self, fill: str) -> Any:
        """Return the model's input for the picture with its content replaced: "blur", "mean", "black", …."""
        return self.adapted.ops.asarray(self.picture.without(fill))

    def run(self, method: str | Method | type[Method], target: Any, fields: Mapping[str, Any]) -> Run:
        """Fit a method to the model, resolve the targets, and bind both.

        Args:
            method: an id, a method, its class, or "auto".
            target: see :func:`saliency.explain`; a list gives several.
            fields: fields of the method, or of the method inside it; None leaves a field unchanged.

        Raises:
            Unsupported: the model does not support what the method needs.
        """
        notes: list[str] = []
        several_inputs = isinstance(self.picture, Inputs)
        used = chosen(method, self.adapted, notes, several_inputs)
        for name, value in fields.items():
            if value is not None:
                used = with_field(used, name, value)
        if (why := lacking(self.adapted, used.needs)) is not None:
            raise unsupported(used, self.adapted, why, several_inputs)
        if used.layers:
            used = with_layer_names(used, self.adapted)
        caption = repr(used)
        if isinstance(self.picture, Inputs):
            used = for_inputs(used, self.picture, offered(self.adapted, True))
        wanted = list(target) if isinstance(target, list | tuple) else [target]
        if not wanted:
            raise BadTarget("target is an empty list: pass at least one class, or omit it for the top class.")
        inconsistent = None
        if any(not callable(each) or isinstance(each, OfScores) for each in wanted):
            inconsistent = inconsistency(self.adapted, self.adapted.outputs, self.picture.fed)
        targets = resolved(wanted, self.adapted, lambda: self.outputs, notes)
        explained = [each.explained for each in targets]
        bound = self.adapted.at(explained)
        layers = layers_for(used, bound, self.images, notes)
        bound = bound.at(explained, layers)
        if any(isinstance(each, int | OfScores) for each in explained):
            surer = surer_preset(self.adapted, self.picture)
            notes += [] if surer is None else [str(surer)]
        notes += [] if inconsistent is None else [inconsistent.note]
        alone = inconsistent is not None and inconsistent.alone
        return Run(self.picture, self.images, used, caption, targets, layers, bound, notes, alone)


def prepare(
    model: Any,
    image: Any,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    framework: str | None = None,
    activation: str = "auto",
    output: Any = None,
) -> Prepared:
    """Return a model with its input; for the arguments see :func:`saliency.explain`.

    Raises:
        SaliencyError: the model, the image or an argument cannot be used.
    """
    given = inputs_of(image)
    if isinstance(given, Inputs):
        adapted = _several(model, given, labels, preprocess, framework)
        return Prepared(read_as(adapted, activation, output), given)
    read_already: list[Picture] = [given] if isinstance(given, Picture) else []

    def fed() -> np.ndarray:
        # a plain function may be called with the picture, to find its array type
        if not read_already:
            read_already.append(read(given, preprocess))
        return read_already[0].fed

    adapted = adapt(model, labels=labels, framework=framework, image=fed, activation=activation, output=output)
    return Prepared(adapted, picture_for(given, preprocess, adapted))


def _several(
    model: Any, inputs: Inputs, labels: Sequence[str] | None, preprocess: Preprocess | None, framework: str | None
) -> Adapted[Any]:
    """Adapt a multi-input model."""
    if preprocess is not None:
        raise BadField("preprocess applies to pictures only: a list of inputs is passed to the model unchanged.")
    if framework is not None:
        checks.choice(framework, "framework", FRAMEWORKS)
    labels = checks.names(labels)
    return adapt_several(model, inputs.packing, labels=labels, framework=framework, row=lambda: inputs.fed)
