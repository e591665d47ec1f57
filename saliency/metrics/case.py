"""What metrics are computed on: a model with one image and one target."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from saliency.metrics.orders import KeptSet
from saliency.model.head import Head
from saliency.model.protocols import Model
from saliency.session.samples import PerImage
from saliency.session.session import Session
from saliency.threads import in_threads

A = TypeVar("A")
T = TypeVar("T")

SPACES = ("probability", "score", "decision")
"""What a metric reads of the model: the target's probability (the value where there is none), its score (logit), or
whether the model decides for it (0 or 1; NaN for values)."""


class Runner(Protocol):
    """Runs the method that created a mask again."""

    def __call__(self, images: Any, targets: Sequence[Any] | None = None, model: Any = None) -> np.ndarray:
        """Return the masks of `images` (B, H, W, C), (k, B, H, W) or (k, B, H, W, C) float32.

        Args:
            images: in the model's own array type.
            targets: k targets; the case's own by default.
            model: the model to explain; the case's own by default.
        """


class Case(Generic[A]):
    """A model with one image and one target. Values of perturbed images are cached: metrics share them.

    Args:
        session: runs the model.
        image: (1, H, W, C), in the model's own array type.
        target: index of the class or value; None if the session's model is bound to another target.
        filled: from the name of a fill to the image without its content, (1, H, W, C); see :data:`saliency.FILLS`.
        truth: bool (H, W), the pixels of the object; None without.
        runner: runs the method that created the mask; None without.
        seed: seed of everything random.
    """

    def __init__(
        self,
        session: Session[A],
        image: A,
        target: int | None,
        *,
        filled: Callable[[str], A],
        truth: np.ndarray | None = None,
        runner: Runner | None = None,
        seed: int = 0,
    ) -> None:
        self.session, self.image, self.target, self.filled = session, image, target, filled
        self.truth, self.runner, self.seed = truth, runner, seed
        self.model: Model[A] = session.model
        self.ops = session.ops
        shape: Any = getattr(image, "shape", ())
        self.shape = int(shape[1]), int(shape[2])
        self.images_of_bands = 0
        """Number of images evaluated for the metrics of random maps."""
        self._values: dict[Hashable, np.ndarray] = {}
        self._cached: dict[Hashable, Any] = {}

    @property
    def images(self) -> int:
        """Number of images evaluated so far."""
        return self.session.images

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the result of `compute`, called the first time only."""
        if key not in self._cached:
            self._cached[key] = compute()
        found: T = self._cached[key]
        return found

    def evaluate(
        self, keys: Sequence[Hashable], build: Callable[[Sequence[int]], A], space: str = "probability"
    ) -> np.ndarray:
        """Return the target's values of perturbed images, (n,) float64. Known images are not evaluated again.

        Args:
            keys: equal for equal images.
            build: from indices of keys to these images, (m, H, W, C).
            space: one of :data:`SPACES`.
        """
        unknown = self._unknown(keys)
        self._evaluate([keys[i] for i in unknown], lambda rows: build(unknown[rows]))
        return self._known(keys, space)

    def composed(
        self, keys: Sequence[Hashable], compose: Callable[[int], np.ndarray], space: str = "probability"
    ) -> np.ndarray:
        """Return the target's values of images that are composed on the host, in threads, while the model runs.

        Args:
            keys: see :meth:`evaluate`.
            compose: from the index of a key to this image, (H, W, C).
            space: one of :data:`SPACES`.
        """
        unknown = self._unknown(keys)
        # several calls even where one batch could hold all images: the next ones are composed meanwhile
        size = max(4, -(-len(unknown) // 4))
        with closing(in_threads(compose, unknown)) as images:
            for start in range(0, len(unknown), size):
                self._evaluate_next([keys[i] for i in unknown[start : start + size]], images)
        return self._known(keys, space)

    def removed(self, kept: Sequence[KeptSet], fill: str, space: str = "probability") -> np.ndarray:
        """Return the target's values, (n,), of the image with all pixels but the kept ones replaced.

        Args:
            kept: the pixels that each image keeps: from the same end of one order.
            fill: name of the fill.
            space: one of :data:`SPACES`.
        """
        filled: Any = self.without(fill)
        (height, width), channels = self.shape, int(filled.shape[3])
        # channels are merged with columns, because broadcasting over an axis of length three is slow
        image, beneath = (self.ops.reshape(each, (1, height, width * channels)) for each in (self.image, filled))
        ((order, first),) = {(each.order, each.first) for each in kept}

        def build(which: Sequence[int]) -> A:
            counts, places = np.unique([kept[i].groups for i in which], return_inverse=True)
            # one small number per pixel is copied to the device, not a mask per image: how many counts leave it out
            outside = np.searchsorted(counts, np.arange(len(order)), side="right")[order.ranks]
            levels: Any = self.ops.asarray(np.repeat(outside, channels, axis=1)[None])
            inside = levels < self.ops.asarray(places[:, None, None] + 1)
            merged = self.ops.where(inside, *((image, beneath) if first else (beneath, image)))
            return self.ops.reshape(merged, (-1, height, width, channels))

        # the whole image and the fill alone are the same for all orders
        keys = [each.key if each.key is True else (fill, each.key) for each in kept]
        return self.evaluate(keys, build, space)

    def replaced(
        self,
        keys: Sequence[Hashable],
        pixels: Callable[[int], np.ndarray],
        fill: str,
        space: str = "probability",
    ) -> np.ndarray:
        """Return the target's values, (n,), of the image with arbitrary sets of pixels replaced.

        Args:
            keys: equal for equal sets of pixels.
            pixels: from the index of a key to its pixels, bool (H, W).
            fill: name of the fill.
            space: one of :data:`SPACES`.
        """
        filled: Any = self.without(fill)

        def build(which: Sequence[int]) -> A:
            chosen: Any = self.ops.asarray(np.stack([pixels(i) for i in which])[..., None])
            return self.ops.where(chosen > 0.5, filled, self.image)

        return self.evaluate(keys, build, space)

    def without(self, fill: str) -> A:
        """Return the image without its content, (1, H, W, C), filled once for each name."""
        return self.cached(("fill", fill), lambda: self.filled(fill))

    def value(self, space: str = "probability") -> float:
        """Return the target's value for the image itself."""
        return float(self.evaluate([True], lambda _: self.image, space)[0])

    def change(self, fill: str) -> float:
        """Return how much the target's value changes if the image is replaced by a fill; 1 if it does not."""
        return abs(self.value() - self.value_without(fill)) or 1.0

    def value_without(self, fill: str) -> float:
        """Return the target's value if the image is replaced by a fill."""
        # the key of :meth:`removed` for the fill alone
        (alone,) = self.evaluate([(fill, False)], lambda _: self.without(fill))
        return float(alone)

    @property
    def host(self) -> np.ndarray:
        """The image on the host, (H, W, C)."""
        return self.cached("host", lambda: self.ops.tohost(self.image)[0])

    @property
    def has_probabilities(self) -> bool:
        """Whether the model gives a probability of the target."""
        model: Any = self.model
        return self.target is not None and model.head is not None and model.head.meaning != "value"

    def _unknown(self, keys: Sequence[Hashable]) -> list[int]:
        """Return the indices of keys whose images have not been evaluated, each key once."""
        return sorted({key: i for i, key in reversed(list(enumerate(keys))) if key not in self._values}.values())

    def _evaluate(self, keys: Sequence[Hashable], build: Callable[[slice], A]) -> None:
        """Evaluate the image of each key."""
        for rows, values in self._stream(_Built(self.ops, self.image, build, len(keys))):
            self._values.update(zip(keys[rows], values, strict=True))

    def _evaluate_next(self, keys: Sequence[Hashable], images: Iterator[np.ndarray]) -> None:
        """Evaluate the next of some images on the host, (H, W, C), one for each key."""
        ready: list[np.ndarray] = []

        def build(rows: slice) -> A:
            ready.extend(islice(images, rows.stop - len(ready)))
            return self.ops.asarray(np.stack(ready[rows]))

        self._evaluate(keys, build)

    def _known(self, keys: Sequence[Hashable], space: str) -> np.ndarray:
        """Return the values of images that have been evaluated, (n,) float64."""
        return np.array([self._values[key] for key in keys]).reshape(len(keys), 3)[:, SPACES.index(space)]

    def _stream(self, samples: Any) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, the target's values in each of the spaces, (n, 3))."""
        if self.target is None:
            for rows, scores in self.session.scores(samples):
                score = self.ops.tohost(scores).astype(np.float64)[0]
                yield rows, np.stack([score, score, np.full(len(score), np.nan)], 1)
            return
        model: Any = self.model
        for rows, outputs in self.session.outputs(samples):
            head: Head = model.head
            shown, each = head.shown(outputs)[:, self.target], head.scores(outputs)
            yield rows, np.stack([shown, each[:, self.target], self._decided(head, shown, each)], 1)

    def _decided(self, head: Head, shown: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Return whether the model decides for the target, (n,) of 0 and 1; NaN for values."""
        match head.meaning:
            case "value":
                return np.full(len(shown), np.nan)
            case "labels":
                return np.asarray(shown >= 0.5, np.float64)
        return np.asarray(scores.argmax(1) == self.target, np.float64)


class _Built(PerImage[A]):
    """Images that a function builds."""

    def __init__(self, ops: Any, image: A, build: Callable[[slice], A], each: int) -> None:
        super().__init__(ops, image, each)
        self.build = build

    def copies(self, image: int, which: slice) -> A:
        return self.build(which)
