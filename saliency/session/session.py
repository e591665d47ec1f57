"""Run the model in batches: count images, report progress, cancel, and recover from running out of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadImage, BadOutput, BadShape, Cancelled, Unsupported
from saliency.model.names import name_in_sentence, subject_of
from saliency.model.protocols import (
    Answer,
    Attention,
    Attentive,
    Cuttable,
    Differentiable,
    EarlyExit,
    Inspectable,
    Layer,
    Layered,
    Model,
    Patchable,
    Read,
    Rewirable,
    provides,
)
from saliency.pictures.picture import beyond_pictures, fill
from saliency.rules import Composite
from saliency.session.baselines import Baseline, Passed
from saliency.session.batch_size import BatchSize, is_out_of_memory
from saliency.session.samples import Compared, Originals, PerImage, Samples, Unchanged, column, evenly, spans
from saliency.targets import NotPerImage, OfEach

A = TypeVar("A")
S = TypeVar("S")
T = TypeVar("T")

Progress = Callable[[int, int], None]
"""A callable (images evaluated so far, images in total)."""


LEAST_PARTIALS = 8
"""Minimal number of batches of a run with partial results, if it has that many images."""


SHARED = "the passes of an earlier method of the same image are used again: they are not counted here"


class Sum(NamedTuple, Generic[A]):
    """Weighted sums of gradients over the copies of each image, as far as they have been computed."""

    total: A
    """(k, b, H, W, C), for the b images reached so far."""
    seen: A
    """(b, 1, 1, 1): the total weight summed for each image."""


class Session(Generic[A]):
    """Runs one model for one explanation.

    Args:
        model: the model, with targets and layers bound.
        batch_size: images per model call; "auto" measures while it runs. Halved when memory runs out.
        progress: a callable (done, total), called after each batch.
        cancelled: called between batches; when it returns true, :class:`~saliency.errors.Cancelled` is raised.
        shared: called between batches; while it returns true, other code is waiting for the model, and an automatic
            batch size drops to one image to keep that wait short.
        total: total number of images, for `progress`.
        streaming: whether partial results are wanted.
        literal: PAIR's behaviour: paths in order, results as they are, NaN included.
        named_baseline: (name, images) -> (B, H, W, C) host array, of all pictures of the run; by default
            :func:`saliency.pictures.picture.fill` of the images.
        inputs: the slice of the last axis that each of several inputs takes.
        passed: where the model starts at a layer: how baselines become values of the layer.
        own: bound targets whose function differs between the pictures of the run.
        passes: passes over the images that sessions with the same targets share; None shares none.
        layers: names of the bound layers.
    """

    def __init__(
        self,
        model: Model[A],
        *,
        batch_size: int | str = "auto",
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        shared: Callable[[], bool] | None = None,
        total: int = 0,
        streaming: bool = False,
        literal: bool = False,
        named_baseline: Callable[[str, np.ndarray], np.ndarray] | None = None,
        inputs: Sequence[slice] = (),
        passed: Passed | None = None,
        own: Sequence[OfEach] = (),
        passes: Passes | None = None,
        layers: Sequence[str] = (),
    ) -> None:
        batch_size = checks.batch_size(batch_size)
        self.model, self.ops = model, model.ops
        self.batch_size, self.total = batch_size, total
        self.streaming, self.literal = streaming, literal
        self._progress, self._cancelled, self._shared = progress, cancelled, shared
        self._named_baseline, self._inputs, self._passed = named_baseline or fill, inputs, passed
        self._pictures: np.ndarray | None = None
        self._explained: Any = None
        self._own, self._passes, self._layers = own, passes, tuple(layers)
        self._sizes: dict[Hashable, BatchSize] = {}
        self._scores = Scores()
        self._known_baselines: dict[Hashable, tuple[Baseline, list[Any]]] = {}
        self.calls, self.images, self.seconds = 0, 0, 0.0
        self.details: dict[str, Any] = {}
        """Auxiliary results of the last mask that a method yielded.

        "regions", by target and image; "standard_error", (k, B, H, W), of methods that sample at random; "attributed",
        (k, B), the sum of the attribution where the mask has another sum; "sampling", by target and image, notes on the
        number of draws.
        """
        self.notes: list[str] = []
        """A method's notes on its run, in sentences."""

    def keep_scores(self, images: A, known: Any = None) -> None:
        """Keep the scores of these images, and of the baselines for them, from all passes that evaluate them unchanged.

        Args:
            images: (B, H, W, C); the same array must be passed to the method.
            known: their scores (k, B), if they were computed before.
        """
        self._explained = images
        self._scores.collect(images, known)

    def known_scores(self, images: A) -> Any:
        """Return the scores (k, B) of such images, or baselines; None if no pass has evaluated all of them."""
        return self._scores.of(images, self.ops)

    def check(self) -> None:
        """Raise :class:`~saliency.errors.Cancelled` if cancellation was requested. For long loops between batches."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("The explanation was cancelled.")

    def scores(self, samples: Samples[A]) -> Iterator[tuple[slice, A]]:
        """Yield (rows, scores (k, n)) until every sample has been evaluated once."""
        for rows, scores in self._stream("scores", self.model.scores, samples):
            self._require_finite(scores, "scores")
            yield rows, scores

    def gradients(self, samples: Samples[A], rules: Composite | None = None) -> Iterator[tuple[slice, Answer[A]]]:
        """Yield (rows, scores (k, n) and gradients (k, n, H, W, C)) until every sample has been evaluated once.

        Args:
            samples: images; where rules compare with references, each an image followed by its references.
            rules: the rules of the backward pass; None for plain gradients.
        """
        model = self._capable(Differentiable, "provides no gradients")
        if rules is not None:
            model = self._capable(Rewirable, "does not support rules on the backward pass").rewired(rules)
        for rows, answer in self._stream(f"gradients {rules or ''}", model.gradients, samples):
            if answer.scores is not None:
                self._require_finite(answer.scores, "scores")
            cause = "" if rules is None else "or take a larger epsilon, where a rule divides by it"
            self._require_finite(answer.gradients, "gradients", cause)
            if answer.references and isinstance(samples, Compared):
                for reference, scores in zip(samples.compared(rows), answer.references, strict=True):
                    self._scores.store(reference, scores)
            yield rows, answer

    def gated(self, samples: Samples[A], selected: np.ndarray) -> Iterator[tuple[slice, Answer[A]]]:
        """Do the same as :meth:`gradients`, with the gradient at the bound layer multiplied by `selected`."""
        model = self._capable(Cuttable, "exposes no layers")
        for rows, answer in self._stream("gated", model.gated(selected).gradients, samples):
            self._require_finite(answer.gradients, "gradients")
            yield rows, answer

    def layers(self, samples: Samples[A], *, whole: bool = False) -> Iterator[tuple[slice, Sequence[Layer[A]]]]:
        """Yield (rows, one Layer per bound layer) until every sample has been evaluated once.

        Args:
            samples: images.
            whole: whether to read all values of the layers, see :class:`saliency.model.protocols.Inspectable`.
        """
        model = self._capable(Layered, "exposes no layers")
        read = partial(model.layers, whole=True) if whole else model.layers
        for rows, layers in self._stream("layers, whole" if whole else "layers", read, samples):
            for layer in layers:
                self._require_finite(layer.activations, "activations")
                self._require_finite(layer.gradients, "layer's gradients")
            yield rows, layers

    def activations(self, samples: Samples[A], *, whole: bool = False) -> Iterator[tuple[slice, Sequence[A]]]:
        """Yield (rows, (n, h, w, K) per bound layer) until every sample has been evaluated once.

        Args:
            samples: images.
            whole: see :meth:`layers`.
        """
        model = self._capable(Inspectable, "exposes no layers")
        read = partial(model.activations, whole=True) if whole else model.activations
        for rows, seen in self._stream("activations, whole" if whole else "activations", read, samples):
            for each in seen:
                self._require_finite(each, "activations")
            yield rows, seen

    def scores_with(self, samples: Samples[tuple[A, A]]) -> Iterator[tuple[slice, A]]:
        """Yield (rows, scores (k, n)) of samples that are images with activations to use for the bound layer."""
        model = self._capable(Patchable, "does not let the activations of its layers be replaced")

        def call(pair: tuple[A, A]) -> A:
            return model.scores_with(*pair)

        for rows, scores in self._stream("scores_with", call, samples):
            self._require_finite(scores, "scores")
            yield rows, scores

    def attentions(self, samples: Samples[A]) -> Iterator[tuple[slice, Attention[A]]]:
        """Yield (rows, every layer's attention weights and gradients) until every sample has been evaluated once."""
        model = self._capable(Attentive, "exposes no attention weights")
        yield from self._attended("attentions", model.attentions, samples)

    def early_exits(self, samples: Samples[A]) -> Iterator[tuple[slice, Attention[A]]]:
        """Do the same as :meth:`attentions`, with gradients of the scores after each layer's own block."""
        model = self._capable(EarlyExit, "returns no scores after its blocks")
        yield from self._attended("early exits", model.early_exits, samples)

    def _attended(
        self, kind: str, call: Callable[[A], Attention[A]], samples: Samples[A]
    ) -> Iterator[tuple[slice, Attention[A]]]:
        for rows, attention in self._stream(kind, call, samples):
            for layer in attention.layers:
                self._require_finite(layer.activations, "attention maps")
                self._require_finite(layer.gradients, "attention's gradients")
            yield rows, attention

    def expect(self, images: int) -> None:
        """Add `images` to the total, for a method whose cost depends on the model's outputs."""
        self.total += images

    def outputs(self, samples: Samples[A]) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, the model's outputs on the host, (n, classes) float64) until every sample has been evaluated."""
        model: Any = self.model
        for rows, outputs in self._stream("outputs", model.outputs, samples):
            self._require_finite(outputs, "outputs")
            yield rows, self.ops.tohost(outputs).astype(np.float64)

    def summed_gradients(
        self,
        samples: Samples[A],
        weights: np.ndarray,
        factors: Callable[[int, slice], A] | None = None,
        rules: Composite | None = None,
        selected: np.ndarray | None = None,
    ) -> Iterator[Sum[A]]:
        """Yield running sums of weighted gradients over the copies of each image.

        Args:
            samples: `each` copies of B images.
            weights: (each,), the weight of each copy's gradient.
            factors: (image, slice of its copies) -> (n, H, W, C); the gradients are multiplied by it first.
            rules: see :meth:`gradients`.
            selected: see :meth:`gated`.

        Yields:
            :class:`Sum` after each batch if partial results are wanted; otherwise once, of all images.
        """
        sums: list[Any] = []
        seen: list[float] = []
        answers = self.gradients(samples, rules) if selected is None else self.gated(samples, selected)
        for rows, answer in answers:
            gradients: Any = answer.gradients
            for image, which in spans(rows, samples.each):
                first = image * samples.each + which.start - rows.start
                here = gradients[:, first : first + which.stop - which.start]
                if factors is not None:
                    here = here * factors(image, which)
                if (weights[which] != 1).any():
                    here = here * column(self.ops, weights[which], here[0])[None]
                part: Any = here[:, 0] if which.stop - which.start == 1 else self.ops.sum(here, 1)
                if which.start == 0:
                    sums.append(part)
                    seen.append(0.0)
                else:
                    sums[-1] = sums[-1] + part
                seen[-1] += float(weights[which].sum())
            if self.streaming or rows.stop == len(samples):
                total: Any = sums[0][:, None]
                if len(sums) > 1:
                    total = self.ops.concat([each[:, None] for each in sums], 1)
                yield Sum(total, column(self.ops, np.array(seen), total[0]))

    @contextmanager
    def of_pictures(self, pictures: np.ndarray) -> Iterator[None]:
        """Within this context, run a method on some of the pictures, or on noisy copies of them.

        Named baselines are then those of the pictures.

        Args:
            pictures: for each image, the index of its picture.
        """
        outer = self._pictures
        self._pictures = pictures if outer is None else outer[pictures]
        try:
            yield
        finally:
            self._pictures = outer

    def order(self, count: int) -> np.ndarray:
        """Return the order in which `count` steps are evaluated: evenly spread, for fair partial results."""
        return np.arange(count) if self.literal else evenly(count)

    def baselines(self, baseline: Baseline, images: Any) -> list[Any]:
        """Return the baseline, or each of several, as arrays that broadcast against `images` (B, H, W, C).

        A note reports numbers outside of the range of pictures.

        Raises:
            BadShape: an array does not fit the images.
            BadField: a baseline is not finite.
        """
        if isinstance(baseline, list | tuple):
            if not baseline:
                raise BadField("A list of baselines needs at least one baseline.")
            return [one for each in baseline for one in self.baselines(each, images)]
        if not self._scores.covers(images) or self._pictures is not None:
            return self._found_baselines(baseline, images)
        named = baseline if isinstance(baseline, str) else id(baseline)
        if named not in self._known_baselines:
            # with the baseline, so that its id is not reused
            self._known_baselines[named] = baseline, self._found_baselines(baseline, images)
            for each in self._known_baselines[named][1]:
                self._scores.collect(each)
        return list(self._known_baselines[named][1])

    def _found_baselines(self, baseline: Baseline, images: Any) -> list[Any]:
        if self._passed is None:
            return self._baselines(baseline, images)
        inputs = self._passed.images
        found = self._baselines(baseline, inputs if self._pictures is None else inputs[self._pictures])
        with self.model.lock:
            return [self._passed.head(each) for each in found]

    def _baselines(self, baseline: Baseline, images: Any) -> list[Any]:
        """Return a baseline, or each of several in one array, in the space of `images` (B, H, W, C)."""
        shape = tuple(int(n) for n in images.shape)
        if isinstance(baseline, str):
            host = self._named_baseline(baseline, self.ops.tohost(images))
            if self._pictures is not None and self._named_baseline is not fill and len(host) > 1:
                host = host[self._pictures]
            return [self.ops.asarray(host)]
        host = np.asarray(baseline)
        if host.dtype.kind not in "fiub" or not host.size or not np.isfinite(host).all():
            raise BadField("A baseline must be a name or finite numbers, got NaN, infinity or another type.")
        if not (self.literal or self._inputs) and len(shape) == 4:
            with suppress(BadImage):  # a preprocessing may fail on black or white, which this baseline does not use
                ends = [self._named_baseline(name, np.zeros((1, *shape[1:]))) for name in ("black", "white")]
                self.notes += beyond_pictures(host, *ends)
        if host.ndim == 0 or host.shape == shape[-1:]:
            # one number, or one per channel
            return [self.ops.asarray(np.broadcast_to(host, (1, *shape[1:])))]
        if host.shape == shape[1:]:
            host = host[None]
        if host.shape[1:] != shape[1:] or not len(host):
            raise BadShape(
                f"The baseline must have the image's shape {shape[1:]}, got {tuple(np.shape(baseline))}. "
                "Pass several baselines in one array with a leading axis."
            )
        return [self.ops.asarray(one[None]) for one in host]

    def ranges(self, images: Any) -> np.ndarray:
        """Return maximum minus minimum of each of `images` (B, H, W, C), on the host: (B,).

        Each of several inputs packed into one row has its own range: (B, D).
        """
        host = self.ops.tohost(images).reshape(len(images), -1)
        if not self._inputs:
            return np.asarray(host.max(1) - host.min(1))
        return np.concatenate([0 * host[:, at] + np.ptp(host[:, at], axis=1, keepdims=True) for at in self._inputs], 1)

    @property
    def _name(self) -> str:
        """The user's model as the first words of a sentence."""
        return subject_of(self.model)

    def _capable(self, capability: type, lacks: str) -> Any:
        """Return the model; raise Unsupported if it lacks a capability."""
        if not provides(self.model, capability):
            raise Unsupported(f"{self._name} {lacks}.")
        return self.model

    def _require_finite(self, array: A, what: str, cause: str = "") -> None:
        if not self.literal and not self.ops.finite(array):
            raise BadOutput(
                f"The {what} of {name_in_sentence(self.model)} contain NaN or infinite values, so nothing can be "
                f"explained. Check it on this image ({cause or 'exploding activations, fp16 overflow, log of zero'})."
            )

    def _stream(self, kind: str, call: Callable[[S], T], samples: Samples[S]) -> Iterator[tuple[slice, T]]:
        done, count = 0, len(samples)
        shares = self._passes is not None and isinstance(samples, Originals) and samples.images is self._passes.images
        key = (kind, self._layers if kind.startswith(("layers", "activations")) else ())
        if self._passes is not None and shares and (known := self._passes.of(key)) is not None:
            self._store_scores(kind, samples, slice(0, count), known)
            self.notes.append(SHARED)
            yield slice(0, count), known
            return
        size = self._size_for(kind, samples)
        # partial results need several batches, even where one batch could hold half the run
        most = max(BatchSize.FIRST, self.total // LEAST_PARTIALS) if self.streaming else count
        while done < count:
            self.check()
            alone = self._shared is None or not self._shared()
            rows = slice(done, min(done + min(size.now if alone else size.least, most), count))
            started = time.perf_counter()
            try:
                batch = samples[rows]
                with self.model.lock, self._own_targets(rows, samples):
                    answer = call(batch)
                    self.ops.wait(_first_array(answer))
            except Exception as error:
                if not is_out_of_memory(error) or not size.shrink():
                    raise
                continue
            seconds = time.perf_counter() - started
            size.measured(rows.stop - rows.start, seconds)
            self.calls += 1
            self.images += rows.stop - rows.start
            self.seconds += seconds
            done = rows.stop
            self._store_scores(kind, samples, rows, answer)
            if self._passes is not None and shares and rows == slice(0, count):
                self._passes.keep(key, answer)
            if self._progress is not None:
                self._progress(self.images, max(self.total, self.images))
            yield rows, answer

    def kept(self, key: Hashable, images: A) -> Any:
        """Return what an earlier session with the same targets kept under this key, for the same images; or None."""
        if self._passes is None or images is not self._passes.images:
            return None
        if (found := self._passes.of((key, self._layers))) is not None:
            self.notes.append(SHARED)
        return found

    def keep(self, key: Hashable, images: A, value: Any) -> None:
        """Keep a result, computed from all of these images, for later sessions with the same targets."""
        if self._passes is not None and images is self._passes.images:
            self._passes.keep((key, self._layers), value)

    def _store_scores(self, kind: str, samples: Samples[Any], rows: slice, answer: Any) -> None:
        """Store the scores of the images and baselines that a batch holds unchanged."""
        if not self.literal and isinstance(samples, PerImage):
            scores = answer if kind == "scores" else getattr(answer, "scores", None)
            self._scores.store(samples.unchanged(rows), scores)

    @contextmanager
    def _own_targets(self, rows: slice, samples: Samples[Any]) -> Iterator[None]:
        """Within this context, each row of scores is read for the target of its own picture.

        Raises:
            NotPerImage: the samples are not the same number of copies of each picture.
            NotYetKnown: the targets are top classes, which only a pass over the unchanged images can find.
        """
        unchanged = isinstance(samples, Originals) and samples.images is self._explained and self._pictures is None
        with ExitStack() as stack:
            for target in self._own:
                pictures = np.arange(len(target.targets)) if self._pictures is None else self._pictures
                each = samples.each
                if len(samples) != each * len(pictures) or not getattr(samples, "image_major", True):
                    raise NotPerImage(
                        f"Expected {each} copies of {len(pictures)} pictures, got {len(samples)} samples."
                    )
                which = pictures[np.arange(rows.start, rows.stop) // each]
                stack.enter_context(target.of(which, unchanged=unchanged))
            yield

    def _size_for(self, kind: str, samples: Samples[Any]) -> BatchSize:
        if kind not in self._sizes:
            fixed = None if self.batch_size == "auto" else int(self.batch_size)
            self._sizes[kind] = BatchSize(fixed, self.model.batch_sizes, (kind, *samples.shape))
        return self._sizes[kind]


class Passes:
    """Results of passes over the images of a run, which several methods share.

    Args:
        images: the images, (B, H, W, C).
    """

    def __init__(self, images: Any) -> None:
        self.images = images
        self._kept: dict[Hashable, Any] = {}

    def keep(self, key: Hashable, answer: Any) -> None:
        """Keep the result of a pass over all images."""
        self._kept[key] = answer

    def of(self, key: tuple[Hashable, tuple[str, ...]]) -> Any:
        """Return the result of a pass, by its kind and the bound layers; None if there was none.

        Activations are part of a pass that reads layers.
        """
        kind, layers = key
        whole = self._kept.get(("layers", layers)) if kind == "activations" else None
        if key in self._kept or whole is None:
            return self._kept.get(key)
        return Read([each.activations for each in whole], whole.scores)


class Scores:
    """The scores of arrays of images, by row, as far as passes have evaluated them."""

    def __init__(self) -> None:
        # by id; each with its array, so that the id is not reused
        self._kept: dict[int, tuple[Any, dict[int, Any]]] = {}
        self._whole: dict[int, Any] = {}

    def covers(self, images: Any) -> bool:
        """Return whether the scores of this very array are collected."""
        return id(images) in self._kept

    def collect(self, images: Any, known: Any = None) -> None:
        """Collect the scores of an array (B, …) from now on; `known` are all of them, (k, B), if known."""
        self._kept.setdefault(id(images), (images, {}))
        if known is not None:
            self._whole[id(images)] = known

    def store(self, unchanged: Unchanged, scores: Any) -> None:
        """Store the scores (k, n) of a batch for its rows that are collected."""
        if scores is None or not self._kept:
            return
        for images, row, at in unchanged:
            if (kept := self._kept.get(id(images))) is not None:
                kept[1][row] = scores[:, at : at + 1]

    def of(self, images: Any, ops: Any) -> Any:
        """Return the scores of an array, (k, B); None if some are missing."""
        if id(images) in self._whole:
            return self._whole[id(images)]
        _, rows = self._kept.get(id(images), (None, {}))
        if len(rows) < int(images.shape[0]):
            return None
        return ops.tohost(ops.concat([rows[i] for i in range(len(rows))], 1))


def originals(session: Session[A], images: A) -> Originals[A]:
    """Return the images themselves, as samples."""
    return Originals(session.ops, images)


def _first_array(answer: Any) -> Any:
    while isinstance(answer, tuple | list):
        answer = next(part for part in answer if part is not None)
    return answer
