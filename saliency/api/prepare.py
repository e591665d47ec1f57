"""Prepare a model and pictures. Everything that is decided automatically is decided here, once, with a note."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from saliency import checks
from saliency.adapters import adapt, read_as
from saliency.adapters.multi_input import adapt_several
from saliency.api.at_layer import at_layer, over_layer
from saliency.api.feeding import picture_for, surer_preset
from saliency.api.fitting import bound_for, fitted
from saliency.core.method import Method
from saliency.errors import BadField, BadImage, BadShape, brief
from saliency.model.head import Head
from saliency.model.inputs import Inputs, inputs_of
from saliency.model.protocols import FRAMEWORKS, Adapted
from saliency.model.resolve import (
    Each,
    Resolved,
    each_own,
    functions_of,
    outputs_of,
    resolved,
    resolved_index,
    scores_in,
)
from saliency.pictures.picture import FILLS, Decoded, Picture, decoded, read
from saliency.pictures.presets import Preprocess
from saliency.results.assemble import explained
from saliency.results.run import Run
from saliency.session.consistency import Inconsistency, batches, inconsistency
from saliency.session.session import Passes
from saliency.targets import OfEach, OfScores, TopOfEach

T = TypeVar("T")


@dataclass(frozen=True)
class Prepared:
    """A model with a batch of pictures: the start of every call that explains or predicts.

    One picture is a batch of one. Pictures that the model is fed at different sizes cannot share a batch; prepare each
    of them with :meth:`with_image`, which adapts the model only once.

    Attributes:
        adapted: the model, without bound targets.
        pictures: the B pictures with the model's input; or B times several inputs, packed into one row each.

    Raises:
        BadShape: the model's inputs differ in shape.
    """

    adapted: Adapted[Any]
    pictures: Sequence[Picture | Inputs]
    # not functools.cached_property: before Python 3.12 one lock holds up all instances while a model is called
    _computed: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shapes = {each.packing.shapes if isinstance(each, Inputs) else each.fed.shape[1:] for each in self.pictures}
        if len(shapes) > 1:
            raise BadShape(
                f"The inputs of one batch must have one shape, got {', '.join(map(str, sorted(shapes)))}. Prepare the "
                "pictures one by one, or pass a preprocess with a size, such as preprocess='0..1 224'."
            )

    @property
    def picture(self) -> Picture | Inputs:
        """The picture of a batch of one.

        Raises:
            BadShape: there are several pictures.
        """
        return only(self.pictures)

    @property
    def images(self) -> Any:
        """The model's input in its own array type, (B, H, W, C) or (B, D)."""
        return self._once("images", lambda: self._joined([each.fed for each in self.pictures]))

    @property
    def outputs(self) -> np.ndarray:
        """The model's outputs, (B, K) float64 on the host; computed once.

        Raises:
            BadOutput: they are not finite.
        """
        return np.asarray(self._once("outputs", self._call))

    def _call(self) -> np.ndarray:
        found = self._inconsistency() if len(self.pictures) > 1 else None
        each_batch = batches(self.images, alone=found is not None and found.alone)
        return np.concatenate([outputs_of(self.adapted, each) for each in each_batch])

    @property
    def head(self) -> Head:
        """How the outputs are interpreted; decided by the first model call."""
        if self.adapted.head is None:
            self._once("outputs", self._call)
        head: Head = self.adapted.head
        return head

    def index(self, target: Any) -> int:
        """Return the index of the class, or value, of a target, for a batch of one; None stands for the top class."""
        outputs: np.ndarray = only(self.outputs)
        return resolved_index(target, self.head, outputs, self.head.names(self.adapted.labels, len(outputs)))

    def filled(self, fill: str) -> Any:
        """Return the model's input for the pictures with their content replaced, (B, H, W, C).

        Args:
            fill: "blur", "mean", "grey", "black", "white" or "noise".
        """
        checks.choice(fill, "fill", FILLS)
        return self._joined([each.without(fill) for each in self.pictures])

    def with_image(self, image: Any, preprocess: Preprocess | None = None) -> Prepared:
        """Return the same model with another picture, a batch of one.

        Args:
            image: see :func:`saliency.explain`; or the result of :func:`saliency.read`.
            preprocess: see :func:`saliency.explain`.
        """
        return Prepared(self.adapted, [picture_for(image, preprocess, self.adapted)])

    def run(
        self,
        method: str | Method | type[Method],
        target: Any,
        fields: Mapping[str, Any],
        at: Any = None,
        *,
        late: bool = False,
    ) -> Run:
        """Fit a method to the model, resolve the targets for each picture, and bind both.

        The targets of the pictures may resolve to different functions, such as k top classes. Where the model is called
        directly, each row of a batch is evaluated for its own function. A compiled model evaluates all k for all
        pictures, and each picture's own are kept.

        Args:
            method: an id, a method, its class, or "auto".
            target: see :func:`saliency.explain`; a list gives several; :class:`Each` gives each picture its own.
            fields: fields of the method, or of the method inside it; None leaves a field unchanged.
            at: see :func:`saliency.explain`.
            late: whether the run itself may find the top classes, in its first pass over the pictures, if these are the
                targets. A method without such a pass then raises :class:`saliency.targets.NotYetKnown`.

        Raises:
            Unsupported: the model does not support what the method needs.
        """
        notes: list[str] = []
        used, caption = fitted(method, fields, self.adapted, self.pictures, lambda: self.images, notes, at)
        several = isinstance(target, list | tuple) and not isinstance(target, Each)
        wanted = target if isinstance(target, Each) else list(target) if several else [target]
        of_scores = any(not callable(each) or isinstance(each, OfScores) for each in wanted)
        inconsistent = self._inconsistency() if of_scores else None
        count = len(self.pictures)
        top = self._top() if late and at is None and not used.over_layer and wanted == (None,) * count else None
        targets: list[list[Resolved]]
        own: list[OfEach]
        if top is None:
            targets, on_targets = resolved(wanted, self.adapted, lambda: self.outputs, count)
            targets, own = each_own(targets) if self.adapted.eager else (targets, [])
        else:
            targets, own, on_targets = [[Resolved(top, "", "")]] * count, [top], [[]] * count
        known = "outputs" in self._computed
        on_layers: list[str] = []
        bound, layers = bound_for(used, self.adapted, own or functions_of(targets), self.images, on_layers)
        on_presets = self._surer_presets(targets)
        on_batches = [] if inconsistent is None else [inconsistent.note]
        on_precision = [] if (deviation := self.adapted.deviation(self.images)) is None else [deviation]

        def noted(on_targets: Sequence[Sequence[str]]) -> list[list[str]]:
            each_picture = zip(on_targets, on_presets, strict=True)
            return [[*notes, *own, *on_layers, *preset, *on_batches, *on_precision] for own, preset in each_picture]

        def settle(top: TopOfEach) -> tuple[list[list[Resolved]], list[list[str]]]:
            found, on_targets = self._settled(top)
            return found, noted(on_targets)

        run = Run(
            pictures=self.pictures,
            images=self.images,
            method=used,
            caption=caption,
            targets=targets,
            several=several,
            layers=layers,
            model=bound,
            notes=noted(on_targets),
            alone=inconsistent is not None and inconsistent.alone,
            own=own,
            scores=scores_in(self.outputs, functions_of(targets), self.head) if known and not own else None,
            settle=None if top is None else partial(settle, top),
        )
        if at is not None:
            return at_layer(run, at)
        return over_layer(run) if used.over_layer else run

    def explain(
        self,
        method: str | Method | type[Method],
        target: Any = None,
        fields: Mapping[str, Any] | None = None,
        at: Any = None,
        **options: Any,
    ) -> list[Any]:
        """Return for each picture its explanation, or one per target if a list of targets is given.

        Calls with the same target and weights share what they have in common, such as the pass that all CAMs of a layer
        read; only the first counts it.

        Args:
            method: see :meth:`run`.
            target: see :meth:`run`.
            fields: see :meth:`run`.
            at: see :meth:`run`.
            options: `progress`, `batch_size`, `cancelled` and `shared`, see :func:`saliency.explain`; `partial`, called
                with lists of intermediate explanations, one for each picture reached so far.
        """
        started = time.perf_counter()
        given: Any = {} if fields is None else fields
        if not isinstance(given, Mapping) or any(not isinstance(name, str) for name in given):
            raise BadField(f"fields must be a dict from names of the method's fields to values, got {brief(fields)}.")
        run = self.run(method, target, given, at)
        state = self.adapted.version, self.adapted.structure, tuple(functions_of(run.targets))
        if self._computed.get("state") != state or run.images is not self.images:
            self._computed.update(state=state, passes=Passes(run.images))
        return explained(run, started, passes=self._computed["passes"], **options)

    def _top(self) -> TopOfEach | None:
        """Return the top classes as a target that the run resolves; None where they are known or not plain classes."""
        adapted = self.adapted
        head: Head | None = adapted.head
        plain = head is not None and not head.guessed and head.meaning in ("classes", "labels")
        if "outputs" in self._computed or not plain or not adapted.eager or adapted.width is None:
            return None
        return TopOfEach(len(self.pictures), adapted.ops.tohost)

    def _settled(self, top: TopOfEach) -> tuple[list[list[Resolved]], list[list[str]]]:
        """Return the top classes that a run has found, and the notes on them; keep the outputs."""
        scores = top.scores
        assert scores is not None
        if not self.head.to_logits:
            self._computed["outputs"] = scores
        found, notes = resolved((None,), self.adapted, lambda: scores, len(self.pictures))
        return [[each._replace(row=0) for each in own] for own in found], notes

    def _surer_presets(self, targets: Sequence[Sequence[Resolved]]) -> list[list[str]]:
        """Return for each picture the note on a preset under which the model is much more confident, or none."""
        if not any(isinstance(each.explained, int | OfScores) for own in targets for each in own):
            return [[] for _ in self.pictures]
        found = [surer_preset(self.adapted, each) for each in self.pictures]
        return [[] if each is None else [str(each)] for each in found]

    def _inconsistency(self) -> Inconsistency | None:
        """Check whether the outputs for an image depend on the rest of its batch; once per model."""
        return inconsistency(self.adapted, self.pictures[0].fed)

    def _joined(self, arrays: Sequence[np.ndarray]) -> Any:
        """Return arrays (1, …), one for each picture, as one array (B, …) of the model's own type."""
        return self.adapted.ops.asarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return a computed value, from the cache if it was computed before."""
        if name not in self._computed:
            self._computed[name] = compute()
        return self._computed[name]


def only(each: Sequence[T] | np.ndarray) -> T:
    """Return what belongs to the picture of a batch of one.

    Args:
        each: one value for each picture.

    Raises:
        BadShape: there are several pictures.
    """
    if len(each) != 1:
        raise BadShape(f"Expected one picture, got a batch of {len(each)}.")
    return each[0]


def prepare(
    model: Any,
    images: Sequence[Any],
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    framework: str | None = None,
    activation: str = "auto",
    output: Any = None,
) -> Prepared:
    """Return a model with a batch of pictures, read and preprocessed for it.

    Args:
        model: see :func:`saliency.adapt`.
        images: a list of images, see :func:`saliency.explain`; one image is a list of one. The model must be fed all of
            them at one size.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        framework: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.

    Raises:
        SaliencyError: the model, an image or an argument cannot be used.
    """
    if not isinstance(images, list | tuple) or not images:
        raise BadImage(f"images must be a list of at least one image, [image], got {brief(images)}.")
    given = [each if isinstance(each, Decoded) else decoded(inputs_of(each)) for each in images]
    first = given[0]
    if isinstance(first, Inputs):
        adapted = read_as(_several(model, first, labels, preprocess, framework), activation, output)
    else:

        def fed() -> np.ndarray:
            # a plain function may be called with the picture, to find its array type
            return (first if isinstance(first, Picture) else read(first, preprocess)).fed

        adapted = adapt(model, labels=labels, framework=framework, image=fed, activation=activation, output=output)
    return Prepared(adapted, [picture_for(each, preprocess, adapted) for each in given])


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
